"""A pinned queue is called by name, and does what it did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import errors, sql

from support.queries import one
from support.queues import KINDS, LEASED

if TYPE_CHECKING:
    from conftest import Connect, Roles

# Each returns what may be compared: no times.
CALLS = [
    "SELECT pgmq.send(%(q)s, '1'), pgmq.send(%(q)s, '2', '{}'::jsonb), pgmq.send(%(q)s, '3', 0)",
    "SELECT pgmq.send(%(q)s, '4', now()), pgmq.send(%(q)s, '5', null, 3600)",
    "SELECT pgmq.send(%(q)s, null, '{}', '-infinity'::timestamptz)",
    "SELECT msg_id, read_ct, message FROM pgmq.read(%(q)s, 60, 2)",
    "SELECT msg_id, read_ct, message FROM pgmq.read(%(q)s, 0, 9, '{}')",
    "SELECT msg_id, read_ct, message FROM pgmq.read(%(q)s, 0, 9, '3')",
    "SELECT msg_id, message FROM pgmq.set_vt(%(q)s, 1, 0)",
    "SELECT msg_id, message FROM pgmq.set_vt(%(q)s, 1, now())",
    "SELECT msg_id FROM pgmq.set_vt(%(q)s, '{1,2}'::bigint[], 0)",
    "SELECT pgmq.ack(%(q)s, 1, 0), pgmq.ack(%(q)s, 1, 1), pgmq.ack(%(q)s, 1, null)",
    "SELECT pgmq.delete(%(q)s, 2::bigint), pgmq.delete(%(q)s, 2::bigint)",
    "SELECT pgmq.archive(%(q)s, 3::bigint), pgmq.archive(%(q)s, 3::bigint)",
    "SELECT pgmq.ack(%(q)s, '{4}'::bigint[], '{0}'), pgmq.ack(%(q)s, '{4,4}'::bigint[], '{1,1}')",
    "SELECT msg_id, read_ct FROM pgmq.ack_and_read(%(q)s, 60, 1, '{4}', '{1}')",
    "SELECT msg_id, message FROM pgmq.set_vt(%(q)s, 6, -1)",
    "SELECT msg_id, message FROM pgmq.pop(%(q)s)",
    "SELECT msg_id, message FROM pgmq.pop(%(q)s, 3)",
    "SELECT msg_id FROM pgmq.read(%(q)s, 60, 0)",
    "SELECT count(*) FROM pgmq.read(%(q)s, 60, null), pgmq.pop(%(q)s, null)",
]
ERRORS = [
    ("SELECT pgmq.read(%s, null, 1)", errors.NullValueNotAllowed),
    ("SELECT pgmq.read(%s, 1, -1)", errors.InvalidRowCountInLimitClause),
    ("SELECT pgmq.send(%s, '1', null::integer)", errors.NullValueNotAllowed),
]


def _run(db: psycopg.Connection, queue: str) -> list[object]:
    return [db.execute(call.encode(), {"q": queue}).fetchall() for call in CALLS]


def _by_name(db: psycopg.Connection, queue: str) -> bool:
    return bool(one(db, "SELECT pgmq._pinned(%s)", queue))


# The names, and the ways to read that are not those of a plain queue.
KINDS_TO_PIN = [*LEASED[:3], "ranked", "limited", "by_time_policy"]


@pytest.mark.parametrize("queue", KINDS_TO_PIN)
def test_a_pinned_queue_of_any_kind_does_what_it_did(db: psycopg.Connection, queue: str) -> None:
    results: list[list[object]] = []
    for _ in range(2):
        db.execute(KINDS[queue].encode())
        if results:
            db.execute("SELECT pgmq.pin(%s)", [queue])
        results.append(_run(db, queue))
        for call, error in ERRORS:
            with pytest.raises(error):
                db.execute(call.encode(), [queue])
        assert _by_name(db, queue) == (len(results) == 2)
        db.execute("SELECT pgmq.set_policy(%s)", [queue])  # of its dead letters
        db.execute("SELECT pgmq.drop_queue(queue_name) FROM pgmq.list_queues()")
    assert results[0] == results[1]
    assert not _by_name(db, queue)


def test_a_call_of_a_pinned_queue_finds_its_function_by_name(
    db: psycopg.Connection, connect: Connect
) -> None:
    names = [f"Queue {chr(97 + n)}" for n in range(9)]
    for name in names:
        db.execute("SELECT pgmq.create(%s), pgmq.pin(%s)", [name, name])
    session = connect()
    session.execute("SET track_functions = 'all'")
    for name in names:
        for spelled in (name, name.lower()):
            session.execute("SELECT pgmq.send(%s, %s)", [spelled, f'"{name}"'])
    calls = """SELECT pg_stat_get_xact_function_calls(p.oid) FROM pg_proc AS p
        WHERE p.proname = '_pinned_receive'"""
    with session.transaction():
        for name in names:
            rows = session.execute("SELECT message FROM pgmq.read(%s, 60, 9)", [name]).fetchall()
            assert rows == [(name,), (name,)]
        assert session.execute(calls).fetchone() == (len(names),)
    # Another spelling, and who is not pinned, go the other way.
    db.execute("SELECT pgmq.create('z')")
    for name in ("QUEUE A", "z"):
        assert not _by_name(db, name)
        session.execute("SELECT pgmq.send(%s, '1')", [name])
    with pytest.raises(errors.UndefinedTable):
        session.execute("SELECT pgmq.send('no queue', '1')")


def test_a_queue_that_was_dropped_is_pinned_no_longer(
    db: psycopg.Connection, connect: Connect
) -> None:
    session = connect()
    db.execute("SELECT pgmq.create('q'), pgmq.pin('q'), pgmq.pin('q')")
    session.execute("SELECT pgmq.send('q', '1')")
    db.execute("SELECT pgmq.drop_queue('q')")
    with pytest.raises(errors.UndefinedTable):
        session.execute("SELECT pgmq.send('q', '1')")
    db.execute("SELECT pgmq.create('q')")
    session.execute("SELECT pgmq.send('q', '1')")
    assert not _by_name(db, "q")
    db.execute("SELECT pgmq.pin('q')")
    assert one(db, "SELECT pgmq.unpin('Q')") is True
    assert one(db, "SELECT pgmq.unpin('q')") is False
    assert not _by_name(db, "q")


def test_two_who_pin_at_a_time_both_do(db: psycopg.Connection, connect: Connect) -> None:
    db.execute("SELECT pgmq.create('a'), pgmq.create('b')")
    first, second = connect(autocommit=False), connect()
    first.execute("SELECT pgmq.pin('a')")
    second.execute("SET lock_timeout = '100ms'")
    with pytest.raises(errors.LockNotAvailable):
        second.execute("SELECT pgmq.pin('b')")
    second.execute("SELECT pgmq.send('a', '1'), pgmq.read('b', 1, 1)")  # waits for nobody
    first.commit()
    second.execute("SELECT pgmq.pin('b')")
    assert _by_name(db, "a")
    assert _by_name(db, "b")


def test_pinning_is_for_few_queues_and_for_who_owns_pgmq(
    db: psycopg.Connection, roles: Roles, connect: Connect
) -> None:
    db.execute("SELECT pgmq.create('q' || n), pgmq.pin('q' || n) FROM generate_series(1, 32) AS n")
    db.execute("SELECT pgmq.create('q33')")
    with pytest.raises(errors.ConfigurationLimitExceeded, match="cannot be pinned: 32 others are"):
        db.execute("SELECT pgmq.pin('q33')")
    assert one(db, "SELECT count(*) FROM pgmq.pinned WHERE pgmq._pinned(queue_name)") == 32
    with pytest.raises(errors.UndefinedTable):
        db.execute("SELECT pgmq.pin('nix')")
    role = roles("")
    db.execute(sql.SQL("GRANT USAGE ON SCHEMA pgmq TO {}").format(sql.Identifier(role)))
    db.execute("SELECT pgmq.grant_send('q1', %s), pgmq.grant_consume('q1', %s)", [role, role])
    session = connect()
    session.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
    session.execute("SELECT pgmq.send('q1', '1'), pgmq.read('q1', 1, 1)")
    with pytest.raises(errors.InsufficientPrivilege, match="q_q2"):
        session.execute("SELECT pgmq.send('q2', '1')")
    for call in ("pin('q1')", "unpin('q1')"):
        with pytest.raises(errors.InsufficientPrivilege, match='to pin or unpin queue "q1"'):
            session.execute(f"SELECT pgmq.{call}".encode())


def test_whoever_owns_a_pinned_queue_drops_it_when_it_is_unpinned(
    db: psycopg.Connection, roles: Roles, connect: Connect
) -> None:
    role = roles("")
    db.execute(sql.SQL("GRANT USAGE ON SCHEMA pgmq TO {}").format(sql.Identifier(role)))
    db.execute("SELECT pgmq.grant_create(%s)", [role])
    session = connect()
    session.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
    session.execute("SELECT pgmq.create('q')")
    db.execute("SELECT pgmq.pin('q')")
    with pytest.raises(errors.InsufficientPrivilege, match='to pin or unpin queue "q"'):
        session.execute("SELECT pgmq.drop_queue('q')")
    session.execute("SELECT pgmq.send('q', '1')")
    assert _by_name(db, "q")
    db.execute("SELECT pgmq.unpin('q')")
    assert one(session, "SELECT pgmq.drop_queue('q')") is True


def test_what_a_restore_has_left_out_is_named_and_mended(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.pin('q')")
    db.execute(
        "CREATE OR REPLACE FUNCTION pgmq._pinned(queue_name text) RETURNS boolean"
        " LANGUAGE sql STABLE AS 'SELECT false'"
    )
    db.execute("SELECT pgmq.send('q', '1')")
    fix = one(db, "SELECT fix FROM pgmq.doctor() WHERE finding LIKE 'pinned%'")
    assert fix == "SELECT pgmq.pin('q')"
    db.execute(fix.encode())
    assert _by_name(db, "q")
