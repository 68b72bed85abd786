"""Changing a policy while other sessions use the queue, change another policy, or drop a queue."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import psycopg
import pytest

from support.prepared import prepared
from support.waiting import Waiting, never_wait

if TYPE_CHECKING:
    from conftest import Connect

POLICIES = [
    "max_receives => 9, dead_letter_queue => 'dead'",
    "max_in_flight => 1000",
    "message_ttl => '1 hour', archive_retention => '1 hour'",
    "retry_delay => '1 s', ack_archives => true",
    "dedup_window => '1 hour'",
    "ack_archives => false",
]


template = prepared("SELECT pgmq.create('q'), pgmq.create('a'), pgmq.create('b')", by="other")


@pytest.fixture
def other(db: psycopg.Connection, other: psycopg.Connection) -> psycopg.Connection:
    """Another session, and queues for both."""
    never_wait(db)
    return other


def _policy(session: psycopg.Connection, queue: str, dead_letter_queue: str) -> None:
    session.execute(
        "SELECT pgmq.set_policy(%s, max_receives => 1, dead_letter_queue => %s)",
        [queue, dead_letter_queue],
    )


def test_a_change_waits_for_no_open_transaction_of_the_queue(
    db: psycopg.Connection, other: psycopg.Connection
) -> None:
    db.execute("SELECT pgmq.send_batch('q', '{1,2,3}')")
    with other.transaction():
        other.execute("SELECT pgmq.send('q', '4'), pgmq.read('q', 0, 1)")
        _policy(db, "q", "dead")
        db.execute("SELECT pgmq.read('q', 0, 1), pgmq.read('q', 0, 1)")
        # In force at once, for the transaction that began before it too.
        assert other.execute("SELECT msg_id FROM pgmq.read('q', 0, 9)").fetchall() == [(4,)]
    assert db.execute("SELECT count(*) FROM pgmq.q_dead").fetchone() == (3,)


def test_changes_under_way_disturb_no_call(db: psycopg.Connection, connect: Connect) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.create('dead')")
    over = threading.Event()
    failures: list[BaseException] = []
    calls = [
        "SELECT pgmq.send('q', '1')",
        "SELECT pgmq.ack('q', msg_id, read_ct) FROM pgmq.read('q', 60, 40)",
        "SELECT pgmq.nack('q', msg_id, read_ct, 0) FROM pgmq.read_grouped('q', 60, 3)",
        "SELECT pgmq.pop('q', 40)",
    ]

    def use(call: str) -> None:
        session = connect()
        try:
            while not over.is_set():
                session.execute(call.encode())
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=use, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    try:
        for options in POLICIES * 4:
            db.execute(f"SELECT pgmq.set_policy('q', {options})".encode())
    finally:
        over.set()
        for thread in threads:
            thread.join(30)
    assert not failures


def test_two_sessions_close_no_circle_between_them(
    db: psycopg.Connection, other: psycopg.Connection
) -> None:
    # Two links of the circle q -> a -> b -> c -> q, with no queue in common.
    db.execute("SELECT pgmq.create('c')")
    _policy(db, "a", "b")
    _policy(db, "c", "q")
    with other.transaction():
        _policy(other, "q", "a")
        call = "SELECT pgmq.set_policy('b', max_receives => 1, dead_letter_queue => 'c')"
        waiting = Waiting(db, call).until_it_waits(other)
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        waiting.result()


def test_a_queue_that_is_being_dropped_takes_no_dead_letters(
    db: psycopg.Connection, other: psycopg.Connection
) -> None:
    with other.transaction():
        other.execute("SELECT pgmq.drop_queue('a')")
        call = "SELECT pgmq.set_policy('q', max_receives => 1, dead_letter_queue => 'a')"
        waiting = Waiting(db, call).until_it_waits(other)
    waiting.result()
    db.execute(
        "SELECT pgmq.send('q', '1'); SELECT pgmq.read('q', 0, 1); SELECT pgmq.read('q', 0, 1)"
    )
    assert db.execute("SELECT count(*) FROM pgmq.q_a").fetchone() == (1,)  # it was made anew


def test_a_queue_that_is_being_given_dead_letters_is_not_dropped(
    db: psycopg.Connection, other: psycopg.Connection
) -> None:
    with other.transaction():
        _policy(other, "q", "a")
        waiting = Waiting(db, "SELECT pgmq.drop_queue('a')").until_it_waits(other)
    with pytest.raises(psycopg.errors.DependentObjectsStillExist):
        waiting.result()


def test_a_queue_dropped_under_a_change_of_its_policy_is_missed(
    db: psycopg.Connection, other: psycopg.Connection
) -> None:
    with other.transaction():
        other.execute("SELECT pgmq.drop_queue('q')")
        waiting = Waiting(db, "SELECT pgmq.set_policy('q', max_receives => 1)").until_it_waits(
            other
        )
    with pytest.raises(psycopg.errors.UndefinedTable):
        waiting.result()


def test_on_and_off_in_one_transaction_does_not_deadlock_with_a_caller(
    db: psycopg.Connection, other: psycopg.Connection
) -> None:
    db.execute("SELECT pgmq.send('q', '1')")
    other.execute("SET lock_timeout = 0; SET deadlock_timeout = '100ms'")
    # It has looked at the table before it waits to write.
    other.execute("BEGIN; SELECT pgmq.peek('q')")
    with db.transaction():
        db.execute("SELECT pgmq.set_policy('q', max_in_flight => 9)")
        waiting = Waiting(other, "SELECT msg_id FROM pgmq.read('q', 0, 1)").until_it_waits(db)
        db.execute("SELECT pgmq.set_policy('q')")
    assert waiting.result() == [(1,)]
    other.execute("COMMIT")
    index = "SELECT to_regclass('pgmq.in_flight_idx_q') IS NULL"
    assert db.execute(index).fetchone() == (False,)
    db.execute("SELECT pgmq.set_policy('q')")
    assert db.execute(index).fetchone() == (True,)


@pytest.mark.parametrize("what", ["wakeups", "push", "notify_insert"])
def test_a_trigger_that_is_made_and_dropped_in_one_transaction_fails_no_caller(
    db: psycopg.Connection, other: psycopg.Connection, what: str
) -> None:
    db.execute("SELECT pgmq.send('q', '1')")
    other.execute("SET lock_timeout = 0; SET deadlock_timeout = '100ms'")
    other.execute("BEGIN; SELECT pgmq.peek('q')")
    with db.transaction(force_rollback=True):
        db.execute(f"SELECT pgmq.enable_{what}('q')".encode())
        waiting = Waiting(other, "SELECT msg_id FROM pgmq.read('q', 0, 1)").until_it_waits(db)
        with pytest.raises(psycopg.errors.LockNotAvailable, match="wait for this"):
            db.execute(f"SELECT pgmq.disable_{what}('q')".encode())
    assert waiting.result() == [(1,)]
    other.execute("COMMIT")
    with db.transaction():
        db.execute(f"SELECT pgmq.enable_{what}('q')".encode())
        db.execute(f"SELECT pgmq.disable_{what}('q')".encode())
