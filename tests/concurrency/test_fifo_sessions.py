"""FIFO groups and two sessions: what is open to whom, who waits, what a failure leaves."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from support.prepared import prepared
from support.queries import ADVISORY_LOCKS, ids, one
from support.waiting import never_wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from conftest import Connect
    from pgmq import embedded

READ = "SELECT msg_id FROM pgmq.read_grouped('q', 60, %s)"
ROUNDS = "SELECT msg_id FROM pgmq.read_grouped_rr('q', 60, %s)"
HEADS = "SELECT msg_id FROM pgmq.read_grouped_head('q', 60, %s)"
GROUP = "SELECT msg_id FROM pgmq.read_group('q', %s, 60, %s)"
EVERY = pytest.mark.parametrize("call", [READ, ROUNDS, HEADS], ids=["grouped", "rr", "head"])
STRICT = pytest.mark.parametrize(
    "level", [psycopg.IsolationLevel.REPEATABLE_READ, psycopg.IsolationLevel.SERIALIZABLE]
)


def _look(session: psycopg.Connection, query: str, *arguments: Any) -> list[int]:
    """Read and give it back."""
    with session.transaction(force_rollback=True):
        return ids(session, query, *arguments)


def _send(session: psycopg.Connection, groups: Iterable[str], queue: str = "q") -> None:
    session.execute(
        """
        SELECT pgmq.send_batch(%s, array_agg('1'::jsonb ORDER BY n), array_agg(
            jsonb_build_object('x-pgmq-group', g) ORDER BY n))
        FROM unnest(%s::text[]) WITH ORDINALITY AS u (g, n)
        """,
        (queue, list(groups)),
    )


MAKE = {
    "with the index": "SELECT pgmq.create('q'), pgmq.create_fifo_index('q')",
    "without the index": "SELECT pgmq.create('q')",
}
template = prepared(MAKE, by="queue")


@pytest.fixture(params=MAKE)
def queue(db: psycopg.Connection) -> psycopg.Connection:
    never_wait(db)
    return db


def test_a_group_is_closed_while_a_transaction_holds_its_first_message(
    queue: psycopg.Connection, other: psycopg.Connection
) -> None:
    _send(queue, ["a", "a", "b"])
    queue.execute("SELECT pgmq.read('q', 0, 1)")  # so that there is a lease to give back
    for holding in [
        *["read_grouped('q', 60, 1)", "read_grouped_rr('q', 0, 1)", "read_grouped_head('q', 0, 1)"],
        *["read_group('q', 'a', 60, 1)", "read('q', 60, 1)", "pop('q')", "delete('q', 1)"],
        *["archive('q', 1)", "set_vt('q', 1, 0)", "ack('q', 1, 1)", "nack('q', 1, 1)"],
    ]:
        with other.transaction(force_rollback=True):
            other.execute(f"SELECT pgmq.{holding}".encode())
            for call in (READ, ROUNDS, HEADS):
                assert _look(queue, call, 9) == [3], holding
            assert _look(queue, GROUP, "a", 9) == [], holding
        assert _look(queue, READ, 9) == [1, 2, 3]


def test_a_batch_ends_before_what_another_transaction_holds(
    queue: psycopg.Connection, other: psycopg.Connection
) -> None:
    _send(queue, ["a", "a", "a", "b", "b"])
    for holding in ("set_vt('q', 2, 0)", "delete('q', 2)"):
        with other.transaction(force_rollback=True):
            other.execute(f"SELECT pgmq.{holding}".encode())
            assert _look(queue, READ, 9) == [1, 4, 5]
            assert _look(queue, ROUNDS, 9) == [1, 4, 5]
            assert _look(queue, GROUP, "a", 9) == [1]
    assert _look(queue, ROUNDS, 9) == [1, 4, 2, 5, 3]


@EVERY
def test_a_reader_leaves_every_group_that_it_does_not_take_to_others(
    queue: psycopg.Connection, other: psycopg.Connection, call: str
) -> None:
    _send(queue, ["hot"] * 1000 + ["b", "c", "b"])
    with other.transaction():
        assert ids(other, call, 1) == [1]
        assert ids(queue, call, 1) == [1001]
        assert ids(queue, call, None) == [1002]
    assert ids(queue, call, None) == []


def test_a_reader_locks_no_more_groups_than_its_batch_has(
    queue: psycopg.Connection, other: psycopg.Connection
) -> None:
    _send(queue, [f"g{n}" for n in range(10)] * 3)
    for call, batch in [(READ, [1, 2, 11, 21]), (ROUNDS, [1, 2, 3, 4]), (HEADS, [1, 2, 3, 4])]:
        with other.transaction(force_rollback=True):
            assert ids(other, call, 4) == batch
            left = range(max(id_ for id_ in batch if id_ <= 10) + 1, 11)
            assert _look(queue, HEADS, None) == list(left)


@EVERY
def test_queues_share_nothing(
    queue: psycopg.Connection, other: psycopg.Connection, call: str
) -> None:
    queue.execute("SELECT pgmq.create('r')")
    for name in "qr":
        _send(queue, ["a", "b"], name)
    with other.transaction():
        assert ids(other, call, 1) == [1]
        assert one(queue, f"SELECT count(*) {ADVISORY_LOCKS}") == 0
        assert ids(queue, call.replace("'q'", "'r'"), 2) == [1, 2]


def test_producers_wait_neither_for_each_other_nor_for_readers(
    queue: psycopg.Connection, other: psycopg.Connection, connect: Connect
) -> None:
    reader = connect()
    never_wait(reader)
    _send(queue, ["a", "b"])
    with reader.transaction(), queue.transaction(), other.transaction():
        assert ids(reader, READ, 1) == [1]
        for session, groups in [(queue, "abn"), (other, "nba")] * 2:
            for group in groups:
                _send(session, group)
        assert ids(reader, READ, 9) == [2]


@EVERY
def test_a_failure_of_the_reader_leaves_the_groups_as_they_were(
    queue: psycopg.Connection, other: psycopg.Connection, call: str
) -> None:
    _send(queue, ["a", "a", "b"])
    before = queue.execute("SELECT * FROM pgmq.q_q").fetchall()
    batch = _look(queue, call, 9)
    with queue.transaction(force_rollback=True):
        with queue.transaction(force_rollback=True):
            assert ids(queue, call, 9) == batch
        assert ids(queue, call, 9) == batch
    other.execute("BEGIN")
    assert ids(other, call, 9) == batch
    queue.execute("SELECT pg_terminate_backend(%s, 5000)", (other.info.backend_pid,))
    assert queue.execute("SELECT * FROM pgmq.q_q").fetchall() == before
    assert ids(queue, call, 9) == batch


@STRICT
def test_a_strict_reader_fails_rather_than_break_the_order(
    queue: psycopg.Connection, connect: Connect, level: psycopg.IsolationLevel
) -> None:
    _send(queue, ["a", "a", "a", "b"])
    strict = connect(autocommit=False)
    strict.isolation_level = level

    def read_after(change: str, call: str) -> list[int]:
        """Read under a snapshot of before the change, and give back what was read."""
        strict.execute("SELECT 1")
        queue.execute(f"SELECT pgmq.{change}".encode())
        try:
            return ids(strict, call, 9)
        finally:
            strict.rollback()

    for change in ("set_vt('q', 2, 60)", "delete('q', 2)"):
        assert read_after("set_vt('q', 2, 0)", HEADS) == [1, 4]
        with pytest.raises(psycopg.errors.SerializationFailure):
            read_after(change, READ)
    for change in ("read_grouped('q', 60, 1)", "set_vt('q', 1, 0)", "delete('q', 1)"):
        if change.startswith("set_vt"):
            assert read_after(change, HEADS) == [4]  # the snapshot shows 1 in flight
        with pytest.raises(psycopg.errors.SerializationFailure):
            read_after(change, HEADS)
    assert _look(queue, READ, 9) == [3, 4]
    queue.execute("SELECT pgmq.set_vt('q', 3, 60)")
    assert read_after("delete('q', 3)", READ) == [4]


def test_an_id_that_commits_late_is_delivered_before_or_beside_those_behind_it(
    queue: psycopg.Connection, other: psycopg.Connection
) -> None:
    with other.transaction():
        _send(other, "ab")
        _send(queue, "ab")
        assert ids(queue, READ, 1) == [3]
    # a: 3 is in flight already, so 1 is late; b: nothing was leased, so its order is kept.
    assert ids(queue, ROUNDS, 9) == [1, 2, 4]


@pytest.mark.parametrize("kind", ["grouped", "rr", "head", "group"])
def test_a_head_that_is_not_the_first_any_more_when_it_is_locked_gives_nothing(
    queue: psycopg.Connection, kind: str
) -> None:
    """What happens between looking for heads and locking them: a smaller id commits."""
    _send(queue, ["a", "a", "a", "b"])
    queue.execute("SELECT pgmq.set_vt('q', 1, 60)")
    compiled = "(SELECT 'q' WHERE to_regclass('pgmq.fifo_idx_q') IS NOT NULL)"
    name = "b" if kind == "group" else None
    call = f"SELECT pgmq._fifo_claim('q', {compiled}, clock_timestamp(), '{{2,4}}', 9, %s, %s)"
    assert queue.execute(call.encode(), (kind, name)).fetchone() == ([4],)


@EVERY
def test_a_poll_sees_what_is_committed_meanwhile(
    queue: psycopg.Connection, other: psycopg.Connection, call: str
) -> None:
    _send(queue, "a")
    with queue.transaction():
        assert ids(queue, call, 1) == [1]
        found: list[list[int]] = []
        poll = call.replace("('q'", "_with_poll('q'").replace("%s)", "%s, 20, 10)")
        thread = threading.Thread(target=lambda: found.append(ids(other, poll, 1)))
        thread.start()
        thread.join(0.1)
        assert found == []
        queue.execute("SELECT pgmq.delete('q', 1)")
        _send(queue, "a")
    thread.join(10)
    assert found == [[2]]


def test_a_crash_of_the_server_leaves_no_group_closed(
    new_server: Callable[..., embedded.Server],
) -> None:
    server = new_server(fsync="on")
    with (
        contextlib.closing(psycopg.connect(server.dsn("pgmq"), autocommit=True)) as session,
        contextlib.closing(psycopg.connect(server.dsn("pgmq"), autocommit=True)) as reader,
    ):
        session.execute("SELECT pgmq.create('q'), pgmq.create_fifo_index('q')")
        _send(session, ["a", "a", "b", "c"])
        assert ids(session, READ, 1) == [1]
        reader.execute("BEGIN")
        assert ids(reader, READ, 9) == [3, 4]
        server.restart(mode="immediate")
    with psycopg.connect(server.dsn("pgmq"), autocommit=True) as session:
        assert ids(session, READ, 9) == [3, 4]
        assert session.execute("SELECT pgmq.ack('q', 1, 1)").fetchone() == (True,)
        assert ids(session, READ, 9) == [2]
