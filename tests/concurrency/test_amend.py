"""amend beside sessions that read, and what they see of it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from support.queries import ids, one
from support.waiting import Waiting, never_wait

if TYPE_CHECKING:
    from conftest import Connect


@pytest.fixture(params=["create('q')", "create_partitioned('q', '1 day', '7 days', 1)"])
def queue(request: pytest.FixtureRequest, db: psycopg.Connection) -> psycopg.Connection:
    db.execute(f"SELECT pgmq.{request.param}".encode())
    never_wait(db)
    return db


def test_it_waits_for_nobody_and_readers_pass_over_the_message(
    queue: psycopg.Connection, other: psycopg.Connection
) -> None:
    queue.execute("SELECT pgmq.send_batch('q', '{1,2}')")
    amend = "SELECT pgmq.amend('q', 1, '\"new\"')"
    for end, found in (("ROLLBACK", [1, 2]), ("COMMIT", ["new", 2])):
        other.execute("BEGIN")
        assert one(other, amend)
        assert not one(queue, amend)
        with queue.transaction(force_rollback=True):
            assert ids(queue, "SELECT message FROM pgmq.read('q', 60, 9)") == [2]
        other.execute(end.encode())
        assert ids(queue, "SELECT message FROM pgmq.peek('q', 9)") == found
    # Nor is what an open transaction has leased or removed amended, whatever becomes of it.
    for call in ("read('q', 60, 1)", "pop('q')", "delete('q', 1)"):
        other.execute("BEGIN")
        other.execute(f"SELECT pgmq.{call}".encode())
        assert not one(queue, amend)
        other.execute("ROLLBACK")
        assert one(queue, amend)


SWEEP = "_is_sweep_due", "regclass, regclass", "boolean", "$1, $2"
RANKED = "_ranked_q", "timestamptz, bigint, jsonb", "bigint[]", "$1, $2, $3"
ROOM = "_fairroom_q", "bigint[], bigint[]", "integer[]", "$1, $2"


@pytest.mark.parametrize(
    ("policy", "between"),
    [
        ("message_ttl => null", SWEEP),
        ("priorities => true", RANKED),
        ("max_in_flight_per_group => 5", ROOM),
    ],
)
def test_a_read_with_a_condition_looks_again_at_what_was_amended_meanwhile(
    queue: psycopg.Connection,
    other: psycopg.Connection,
    connect: Connect,
    policy: str,
    between: tuple[str, ...],
) -> None:
    """Which messages there are, and to lock them, are two steps."""
    queue.execute(f"SELECT pgmq.set_policy('q', {policy})".encode())
    queue.execute("SELECT pgmq.send_batch('q', '{\"1\",\"2\"}')")
    queue.execute("SELECT pgmq.maintain('q')")  # or the read does, and begins once more
    name, types, result, arguments = between
    queue.execute(
        f"""
        ALTER FUNCTION pgmq.{name}({types}) RENAME TO really;
        CREATE FUNCTION pgmq.{name}({types}) RETURNS {result} LANGUAGE plpgsql AS $$
        DECLARE
            v_result {result} := pgmq.really({arguments});
        BEGIN
            PERFORM pg_advisory_xact_lock_shared(1);
            RETURN v_result;
        END
        $$
    """.encode()
    )
    other.execute("SELECT pg_advisory_lock(1)")
    call = "SELECT message FROM pgmq.read('q', 60, 2, '1')"
    read = Waiting(connect(), call).until_it_waits(queue)
    assert one(queue, "SELECT pgmq.amend('q', 1, '2')")
    other.execute("SELECT pg_advisory_unlock(1)")
    assert read.result() == []
    assert ids(queue, "SELECT message FROM pgmq.peek('q', 9)") == [2, 2]


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_an_old_snapshot_amends_nothing_that_has_changed(
    queue: psycopg.Connection, other: psycopg.Connection, level: str
) -> None:
    queue.execute("SELECT pgmq.send_batch('q', '{1,2}')")
    other.execute(f"BEGIN ISOLATION LEVEL {level}; SELECT 1".encode())
    queue.execute("SELECT pgmq.read('q', 60, 1)")
    assert one(other, "SELECT pgmq.amend('q', 2, '\"new\"')")
    with pytest.raises(psycopg.errors.SerializationFailure):
        other.execute("SELECT pgmq.amend('q', 1, '\"new\"')")
    other.execute("ROLLBACK")


def test_a_pending_key_stays_taken_while_its_message_is_amended(
    db: psycopg.Connection, other: psycopg.Connection
) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.set_policy('q', dedup_scope => 'pending')")
    once = "SELECT is_new FROM pgmq.send_once('q', '1', 'key')"
    assert one(db, once)
    never_wait(db)
    for end in ("ROLLBACK", "COMMIT"):
        other.execute("BEGIN")
        assert one(other, "SELECT pgmq.amend('q', 1, '2', '{}')")
        assert not one(db, once)
        other.execute(end.encode())
        assert not one(db, once)
    assert ids(db, "SELECT msg_id FROM pgmq.pop('q', 9)") == [1]
    assert one(db, once)


def test_a_message_that_was_pushed_is_leased(
    db: psycopg.Connection, other: psycopg.Connection
) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.enable_push('q')")
    other.execute("SELECT pgmq.open_channel('q')")
    db.execute("SELECT pgmq.send('q', '1')")
    assert not one(db, "SELECT pgmq.amend('q', 1, '2')")
    assert one(db, "SELECT pgmq.nack('q', 1, 1, 60)")
    assert one(db, "SELECT pgmq.amend('q', 1, '2')")


@pytest.mark.parametrize("read", ["read", "read_grouped_rr"])
def test_each_message_is_read_once_as_it_was_amended_last_and_groups_keep_their_order(
    queue: psycopg.Connection, connect: Connect, read: str
) -> None:
    """Readers beside one who amends payloads and headers, with marks that move."""
    count = 500
    queue.execute("SELECT pgmq.create_fifo_index('q')")
    queue.execute(
        "SELECT pgmq.send_batch('q', array_fill('0'::jsonb, ARRAY[%s]), ARRAY(SELECT"
        " jsonb_build_object('x-pgmq-group', n %% 7) FROM generate_series(1, %s) AS n))",
        [count, count],
    )
    amended: set[int] = set()
    seen: dict[int, object] = {}
    stop = time.monotonic() + 30

    def amend(session: psycopg.Connection) -> None:
        for msg_id in range(count, 0, -1):
            headers = f'{{"x-pgmq-priority": {msg_id % 10}}}'
            if one(session, "SELECT pgmq.amend('q', %s, '1', %s)", msg_id, headers):
                amended.add(msg_id)

    def consume(session: psycopg.Connection) -> None:
        call = f"SELECT msg_id, message FROM pgmq.{read}('q', 60, 5)"
        while len(seen) < count and time.monotonic() < stop:
            for msg_id, message in session.execute(call.encode()).fetchall():
                assert msg_id not in seen
                seen[msg_id] = message
                assert one(session, "SELECT pgmq.ack('q', %s, 1)", msg_id)

    threads = [
        threading.Thread(target=work, args=(connect(),)) for work in (amend, consume, consume)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(1, count + 1))
    # What is told to be amended was read so.
    assert {msg_id for msg_id, message in seen.items() if message == 1} == amended
    assert amended
    if read != "read":
        for group in range(7):
            order = [msg_id for msg_id in seen if msg_id % 7 == group]
            assert order == sorted(order)
