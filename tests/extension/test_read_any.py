"""Reading from several queues: strict priorities, policies, errors, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from support.plans import touched
from support.prepared import prepared
from support.sweeps import stop_sweeps

if TYPE_CHECKING:
    from conftest import Connect


def _read(session: psycopg.Connection, names: list[str], qty: int | None) -> list[Any]:
    query = "SELECT queue_name, msg_id FROM pgmq.read_any(%s, 60, %s)"
    return session.execute(query, (names, qty)).fetchall()


template = prepared(
    "SELECT pgmq.create('high'), pgmq.create('Low'), pgmq.create('empty');"
    "SELECT pgmq.send_batch('low', '{1,2,3}'), pgmq.send_batch('high', '{11,12}')",
    by="queues",
)


@pytest.fixture
def queues(db: psycopg.Connection) -> psycopg.Connection:
    return db


def test_the_first_queue_comes_first_and_the_next_fills_up(queues: psycopg.Connection) -> None:
    names = ["empty", "high", "Low"]
    assert _read(queues, names, 1) == [("high", 1)]
    assert _read(queues, names, 2) == [("high", 2), ("Low", 1)]
    queues.execute("SELECT pgmq.send('high', '13')")
    assert _read(queues, names, 0) == []
    assert _read(queues, names, None) == [("high", 3), ("Low", 2), ("Low", 3)]
    assert _read(queues, names, 5) == []


def test_a_message_comes_whole(queues: psycopg.Connection) -> None:
    queues.execute("SELECT pgmq.send('empty', '{\"a\": 1}', '{\"b\": 2}'::jsonb)")
    (came,) = queues.execute("SELECT * FROM pgmq.read_any('{empty,high}', 60)").fetchall()
    (lies,) = queues.execute("SELECT 'empty', m.* FROM pgmq.get('empty', 1) AS m").fetchall()
    assert came == lies
    assert lies[6:] == ({"a": 1}, {"b": 2})


def test_each_queue_is_read_under_its_policy(queues: psycopg.Connection) -> None:
    queues.execute("SELECT pgmq.set_policy('high', max_receives => 1, dead_letter_queue => 'dead')")
    queues.execute("SELECT pgmq.set_policy('Low', max_in_flight => 2)")
    queues.execute("SELECT pgmq.read('high', 0, 1)")
    names = ["high", "Low", "dead"]
    assert _read(queues, names, 4) == [("high", 2), ("Low", 1), ("Low", 2), ("dead", 1)]


@pytest.mark.parametrize(
    ("names", "vt", "qty", "error"),
    [
        (["high", "none"], 60, 1, psycopg.errors.UndefinedTable),
        (["high", None], 60, 1, psycopg.errors.NullValueNotAllowed),
        ([], 60, 1, psycopg.errors.InvalidParameterValue),
        (None, 60, 1, psycopg.errors.InvalidParameterValue),
        (["high"], None, 1, psycopg.errors.NullValueNotAllowed),
        (["high"], None, 0, psycopg.errors.NullValueNotAllowed),
        (["high"], 60, -1, psycopg.errors.InvalidRowCountInLimitClause),
    ],
)
def test_errors_come_before_anything_is_read(
    queues: psycopg.Connection, names: Any, vt: Any, qty: Any, error: type[psycopg.Error]
) -> None:
    with pytest.raises(error) as raised:
        queues.execute("SELECT pgmq.read_any(%s::text[], %s, %s)", (names, vt, qty))
    assert raised.value.diag.message_hint


def test_an_empty_queue_costs_one_empty_read_and_one_behind_enough_costs_nothing(
    queues: psycopg.Connection, connect: Connect
) -> None:
    session = connect()
    # The marks are kept up now and then, which is not what is counted.
    stop_sweeps(queues, "high", "low", "empty")
    names = "'{empty,high,Low}', 60, 1"
    for table, call in (
        ("pgmq.q_empty", "SELECT pgmq.read('empty', 60, 1)"),
        ("pgmq.q_high", "SELECT pgmq.read('high', 60, 1)"),
        ("pgmq.q_low", "SELECT 1"),
    ):
        any_of_three = [touched(session, table, f"SELECT pgmq.read_any({names})") for _ in range(7)]
        alone = [touched(session, table, call) for _ in range(7)]
        assert min(any_of_three) == min(alone)


def test_the_marks_of_a_queue_that_is_never_the_first_to_give_move_too(
    queues: psycopg.Connection, connect: Connect
) -> None:
    for table in ("q_high", "q_low"):
        queues.execute(f"ALTER TABLE pgmq.{table} SET (autovacuum_enabled = off)".encode())
    snapshot = connect(autocommit=False)
    snapshot.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    snapshot.execute("SELECT 1")
    for _ in range(400):
        queues.execute("SELECT pgmq.send('high', '1'), pgmq.send('low', '1')")
        queues.execute(
            "SELECT pgmq.delete(queue_name, msg_id) FROM pgmq.read_any('{high,low}', 60, 8)"
        )
    (mark,) = queues.execute("SELECT pgmq._id_mark('pgmq.ready_mark_low')").fetchall()
    assert mark[0] > 200
