"""FIFO groups in one session; tests/model has what each call hands out, against a model."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from support.prepared import prepared
from support.queries import ids

if TYPE_CHECKING:
    from collections.abc import Iterable


MAKE = {
    "with the index": "SELECT pgmq.create('q'), pgmq.create_fifo_index('q')",
    "without the index": "SELECT pgmq.create('q')",
}
template = prepared(MAKE, by="queue")


@pytest.fixture(params=MAKE)
def queue(db: psycopg.Connection) -> psycopg.Connection:
    """A queue with and without the index for groups, on which nothing else depends."""
    return db


def _send(session: psycopg.Connection, headers: Iterable[object], delay: int = 0) -> list[int]:
    values = [None if value is None else Jsonb(value) for value in headers]
    rows = session.execute(
        "SELECT * FROM pgmq.send_batch('q', %s::jsonb[], %s::jsonb[], %s::integer)",
        ([Jsonb(n) for n in range(len(values))], values, delay),
    ).fetchall()
    return [row[0] for row in rows]


def _send_groups(session: psycopg.Connection, groups: Iterable[str]) -> list[int]:
    return _send(session, ({"x-pgmq-group": group} for group in groups))


@pytest.mark.parametrize("call", ["read_grouped", "read_grouped_rr", "read_grouped_head"])
def test_a_grouped_read_returns_the_message_as_it_is_now(
    queue: psycopg.Connection, call: str
) -> None:
    _send_groups(queue, ["a"])
    row = queue.execute(f"SELECT * FROM pgmq.{call}('q', 60, 1)").fetchone()
    columns = "msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers"
    assert row == queue.execute(f"SELECT {columns} FROM pgmq.q_q").fetchone()
    assert row is not None
    assert json.dumps(row[-2:]) == '[0, {"x-pgmq-group": "a"}]'
    left = "SELECT extract(epoch FROM vt - last_read_at)::float FROM pgmq.q_q"
    assert queue.execute(left).fetchone() == (pytest.approx(60, abs=0.5),)


@pytest.mark.parametrize("call", ["read_grouped", "read_grouped_rr", "read_grouped_head"])
def test_no_limit_returns_every_group_of_many(queue: psycopg.Connection, call: str) -> None:
    sent = _send_groups(queue, (f"g{n}" for n in range(2000)))
    assert ids(queue, f"SELECT msg_id FROM pgmq.{call}('q', 60, NULL)") == sent
    assert ids(queue, f"SELECT msg_id FROM pgmq.{call}('q', 60, NULL)") == []


@pytest.mark.parametrize("call", ["read_grouped", "read_grouped_rr", "read_grouped_head"])
def test_a_blocked_group_in_front_does_not_hide_the_others(
    queue: psycopg.Connection, call: str
) -> None:
    _send_groups(queue, ["hot"] * 5000)
    others = _send_groups(queue, (f"g{n}" for n in range(10)))
    assert ids(queue, "SELECT msg_id FROM pgmq.read('q', 3600, 1)") == [1]
    assert ids(queue, f"SELECT msg_id FROM pgmq.{call}('q', 60, 5)") == others[:5]
    assert ids(queue, f"SELECT msg_id FROM pgmq.{call}('q', 60, NULL)") == others[5:]


def test_an_old_group_has_its_turn_while_newer_ones_keep_coming(queue: psycopg.Connection) -> None:
    """Both ends of the queue look busy: returned messages of a closed group, and new groups."""
    _send_groups(queue, ["closed"] * 50 + ["old"])
    queue.execute("SELECT pgmq.read('q', 0, 51)")
    queue.execute("SELECT pgmq.set_vt('q', 1, 3600), pgmq.set_vt('q', 51, 0)")
    for n in range(300):
        _send_groups(queue, [f"g{n}"])
        (found,) = ids(queue, "SELECT msg_id FROM pgmq.read_grouped('q', 60, 1)")
        if found == 51:
            return
        queue.execute("SELECT pgmq.delete('q', %s::bigint)", (found,))
    pytest.fail("it never had its turn")


def test_the_only_free_group_of_many_is_found_within_some_calls(queue: psycopg.Connection) -> None:
    """A call looks at a part of very many blocked groups, and the next call at the next part."""
    groups = [f"g{n}" for n in range(5000)]
    _send_groups(queue, groups * 2)
    assert len(ids(queue, "SELECT msg_id FROM pgmq.read_grouped_head('q', 3600, NULL)")) == 5000
    queue.execute("SELECT pgmq.delete('q', 4321)")
    found = (ids(queue, "SELECT msg_id FROM pgmq.read_grouped_head('q', 60, 1)") for _ in range(9))
    assert next(filter(None, found), None) == [9321]


def test_rounds_go_on_in_the_groups_that_have_more(queue: psycopg.Connection) -> None:
    _send_groups(queue, ["a", "b", "b", "c", *"bbbbbb", "c"])
    rounds = "SELECT msg_id FROM pgmq.read_grouped_rr('q', 0, %s)"
    assert ids(queue, rounds, 6) == [1, 2, 4, 3, 11, 5]
    assert ids(queue, rounds, None) == [1, 2, 4, 3, 11, 5, 6, 7, 8, 9, 10]


def test_rounds_reach_every_group_however_crowded_the_front_is(queue: psycopg.Connection) -> None:
    _send_groups(queue, ["a", "a", "a", *["hot"] * 100, "b", "b", "c", "c"])
    rounds = "SELECT msg_id FROM pgmq.read_grouped_rr('q', 0, %s)"
    assert ids(queue, rounds, 4) == [1, 4, 104, 106]
    queue.execute("SELECT pgmq.set_vt('q', 4, 3600)")
    assert ids(queue, rounds, 6) == [1, 104, 106, 2, 105, 107]


def test_read_group_knows_only_its_own_group(queue: psycopg.Connection) -> None:
    _send(queue, [{"x-pgmq-group": "a"}, None, {"x-pgmq-group": "b"}, {"x-pgmq-group": "a"}])
    read = "SELECT msg_id FROM pgmq.read_group('q', %s, 60, %s)"
    assert ids(queue, read, "nobody", 10) == []
    assert ids(queue, read, "a", 0) == []
    assert ids(queue, read, "a", 10) == [1, 4]
    assert ids(queue, read, "a", 10) == []
    assert ids(queue, read, None, 10) == [2]
    assert ids(queue, read, "b", 10) == [3]


def test_a_wrong_call_is_an_error_even_when_the_queue_is_empty(queue: psycopg.Connection) -> None:
    calls = ["read_group('{}', 'a', {}, {})"] + [
        f"read_grouped{kind}{poll}('{{}}', {{}}, {{}})"
        for kind in ("", "_rr", "_head")
        for poll in ("", "_with_poll")
    ]
    for call, (arguments, error, message) in itertools.product(
        calls,
        [
            (("q", 60, -1), psycopg.errors.InvalidRowCountInLimitClause, "qty .* negative: -1"),
            (("q", "NULL", 1), psycopg.errors.NullValueNotAllowed, "vt must not be null"),
            (("nope", 60, 1), psycopg.errors.UndefinedTable, 'queue "nope" does not exist'),
        ],
    ):
        with pytest.raises(error, match=message):
            queue.execute(f"SELECT * FROM pgmq.{call.format(*arguments)}".encode())


INDEXES = """
    SELECT indexname FROM pg_indexes
    WHERE schemaname = 'pgmq' AND indexname ~ 'fifo' ORDER BY 1
"""


def test_the_index_is_made_once_and_replaces_upstreams(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.create('Other One'), pgmq.create_unlogged('u')")
    db.execute("CREATE INDEX q_q_fifo_idx ON pgmq.q_q USING gin (headers)")
    assert db.execute("SELECT pgmq.create_fifo_index('Q')").fetchone() == ("",)
    assert db.execute(INDEXES).fetchall() == [("fifo_idx_q",)]
    before = db.execute("SELECT 'pgmq.fifo_idx_q'::regclass::oid").fetchone()
    db.execute("SELECT pgmq.create_fifo_indexes_all()")
    assert db.execute("SELECT 'pgmq.fifo_idx_q'::regclass::oid").fetchone() == before
    every = [("fifo_idx_other one",), ("fifo_idx_q",), ("fifo_idx_u",)]
    assert db.execute(INDEXES).fetchall() == every
    with pytest.raises(psycopg.errors.UndefinedTable, match='queue "nope" does not exist'):
        db.execute("SELECT pgmq.create_fifo_index('nope')")
    db.execute("SELECT pgmq.drop_queue('q')")
    assert db.execute(INDEXES).fetchall() == [every[0], every[2]]


def test_only_a_queue_with_the_index_has_functions_for_groups(db: psycopg.Connection) -> None:
    functions = """
        SELECT proname FROM pg_proc
        WHERE pronamespace = 'pgmq'::regnamespace AND proname ~ '^_.*groups_q$' ORDER BY 1
    """
    read = "SELECT msg_id FROM pgmq.read_grouped_rr('q', 0, 9)"
    order = [1, 3, 4, 2, 5]
    db.execute("SELECT pgmq.create('q')")
    _send_groups(db, "aabca")
    assert not ids(db, functions)
    assert ids(db, read) == order
    db.execute("SELECT pgmq.create_fifo_index('q')")
    names: list[Any] = [f"_{name}groups_q" for name in ("find", "front", "plan")]
    assert ids(db, functions) == names
    assert ids(db, read) == order
    db.execute("DROP INDEX pgmq.fifo_idx_q")
    assert ids(db, read) == order
    db.execute("SELECT pgmq.create_fifo_index('q')")
    assert ids(db, functions) == names
    assert ids(db, read) == order
    db.execute("SELECT pgmq.drop_queue('q')")
    assert ids(db, functions) == []


def test_the_index_is_not_used_to_look_messages_up_by_msg_id(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q')")
    db.execute("SELECT pgmq.create_fifo_index('q')")
    for number in range(20):
        db.execute(
            "SELECT pgmq.send('q', '1', jsonb_build_object('x-pgmq-group', %s::text))", (number,)
        )
    # Batches would come in the order of the groups.
    ids = [row[0] for row in db.execute("SELECT * FROM pgmq.read('q', 30, 10)").fetchall()]
    assert ids == list(range(1, 11))
    deleted = db.execute("SELECT pgmq.delete('q', '{9,2,7,5,1,8}'::bigint[])").fetchall()
    assert deleted == [(1,), (2,), (5,), (7,), (8,), (9,)]
    row = db.execute(
        "SELECT array_agg(attname) FROM pg_attribute WHERE attrelid = 'pgmq.fifo_idx_q'::regclass"
    ).fetchone()
    assert row is not None
    assert "msg_id" not in row[0]


def test_a_dead_letter_that_cannot_be_moved_closes_its_group(queue: psycopg.Connection) -> None:
    queue.execute("SELECT pgmq.set_policy('q', max_receives => 1)")
    dead, behind, other = _send_groups(queue, "aab")
    # So the archive has its id already.
    queue.execute("INSERT INTO pgmq.a_q (msg_id, vt) VALUES (%s, now())", [dead])
    assert ids(queue, "SELECT msg_id FROM pgmq.read_grouped('q', 0, 1)") == [dead]
    for call in ("read_grouped", "read_grouped_rr", "read_grouped_head"):
        with queue.transaction(force_rollback=True):
            assert ids(queue, f"SELECT msg_id FROM pgmq.{call}('q', 30, 3)") == [other]
    assert ids(queue, "SELECT msg_id FROM pgmq.read_group('q', 'a', 30, 3)") == []
    queue.execute("DELETE FROM pgmq.a_q")
    queue.execute("SELECT pgmq.set_vt('q', %s::bigint, 0)", [dead])
    assert ids(queue, "SELECT msg_id FROM pgmq.read_group('q', 'a', 30, 3)") == [behind]
