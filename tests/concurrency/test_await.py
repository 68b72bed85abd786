"""Consumers that wait by await: drain, await, look once more, wait for a notification or the time.

No committed message may wait longer than the bound: none at all for a notification where its send
came after the await, a tenth of a second where the two overlapped.
"""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

import pytest

from support.prepared import prepared

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from conftest import Connect, Roles

SEND = "SELECT pgmq.send('q', '1')"
TAKE = "SELECT pgmq.ack('q', r.msg_id, r.read_ct) FROM pgmq.read('q', 60, 10) AS r"
SOON = 0.1
SLACK = 0.5  # for a busy machine; an await is for 5 seconds
LISTEN = 'LISTEN "pgmq.q_q.READY"'


template = prepared("SELECT pgmq.create('q'), pgmq.enable_wakeups('q')", by="producer")


@pytest.fixture
def producer(db: psycopg.Connection) -> psycopg.Connection:
    return db


@pytest.fixture
def consumer(producer: psycopg.Connection, connect: Connect) -> psycopg.Connection:
    assert producer.autocommit
    return connect()


def _take(session: psycopg.Connection) -> int:
    return len(session.execute(TAKE).fetchall())


def _await(session: psycopg.Connection, seconds: int = 5) -> float:
    """Return for how many seconds it says to wait at the most."""
    row = session.execute(
        "SELECT extract(epoch FROM pgmq.await('q', %s) - clock_timestamp())::float8", (seconds,)
    ).fetchone()
    assert row is not None
    return float(row[0])


def _woken(session: psycopg.Connection, timeout: float = 0) -> bool:
    return bool(list(session.notifies(timeout=timeout, stop_after=1)))


def _interleavings(one: list[str], other: list[str]) -> Iterator[list[str]]:
    if not one or not other:
        yield one + other
        return
    for rest in _interleavings(one[1:], other):
        yield one[:1] + rest
    for rest in _interleavings(one, other[1:]):
        yield other[:1] + rest


ORDERS = [
    pytest.param(order, id=" ".join(order))
    for end in ("commit", "rollback")
    for order in _interleavings(["send", end], ["drain", "await", "look", "wait"])
]


@pytest.mark.parametrize("listens", [False, True], ids=["first", "again"])
@pytest.mark.parametrize("order", ORDERS)
def test_in_every_order_a_committed_message_is_taken_within_the_bound(
    producer: psycopg.Connection, consumer: psycopg.Connection, order: list[str], *, listens: bool
) -> None:
    if listens:  # as one that has waited before does
        consumer.execute(LISTEN.encode())
    at = {step: number for number, step in enumerate(order)}
    got, wait, due, committed = 0, 0.0, 0.0, 0.0
    for step in order:
        if step == "send":
            producer.execute("BEGIN")
            producer.execute(SEND)
        elif step in ("drain", "look"):
            got += _take(consumer)
        elif step == "await":
            wait = _await(consumer)
            due = time.monotonic() + wait
        elif step != "wait":  # what comes after it, happens while the consumer waits
            producer.execute(step.encode())
            committed = time.monotonic()
    if "rollback" in order:
        assert (got, _take(consumer), _woken(consumer)) == (0, 0, False)
        # A sender that had not ended is waited for shortly, any other not at all.
        assert (wait <= SOON) == (at["send"] < at["await"] < at["rollback"])
        return
    if got == 0:
        woken = _woken(consumer, due - time.monotonic())
        waited = time.monotonic() - committed
        assert woken == (at["await"] < at["send"])
        assert waited < SOON + SLACK
        got = _take(consumer)
    assert got == 1


def test_where_nobody_waits_nothing_is_announced(
    producer: psycopg.Connection, consumer: psycopg.Connection
) -> None:
    consumer.execute(LISTEN.encode())
    producer.execute(SEND)
    _take(consumer)
    assert not _woken(consumer)
    _await(consumer, 1)
    producer.execute("SELECT setval('pgmq.armed_until_q', 1)")  # the second is over
    producer.execute(SEND)
    _take(consumer)
    assert not _woken(consumer)


def test_a_killed_consumer_leaves_nothing(
    producer: psycopg.Connection, consumer: psycopg.Connection
) -> None:
    objects = "SELECT count(*) FROM pg_class"
    before = producer.execute(objects.encode()).fetchone()
    consumer.execute("BEGIN")
    _await(consumer)
    producer.execute("SELECT pg_terminate_backend(%s, 5000)", (consumer.info.backend_pid,))
    assert producer.execute(objects.encode()).fetchone() == before
    assert producer.execute(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database ="
        " (SELECT oid FROM pg_database WHERE datname = current_database())"
    ).fetchone() == (0,)


def test_a_shorter_wait_does_not_cut_off_a_longer_one(
    producer: psycopg.Connection, consumer: psycopg.Connection, connect: Connect
) -> None:
    _await(consumer, 60)
    armed = producer.execute("SELECT last_value FROM pgmq.armed_until_q").fetchone()
    _await(connect(), 1)
    assert producer.execute("SELECT last_value FROM pgmq.armed_until_q").fetchone() == armed


def test_who_waits_while_another_is_about_to_looks_again_soon(
    producer: psycopg.Connection, consumer: psycopg.Connection, connect: Connect
) -> None:
    """Two that read and write the time at once would lose one of the two."""
    _await(consumer, 60)
    key = "pgmq._lock_space('pgmq.q_q'), -4"
    consumer.execute(f"SELECT pg_advisory_lock({key})".encode())
    # Armed for long enough already.
    assert _await(producer, 5) > SOON
    assert _await(producer, 3600) <= SOON
    consumer.execute(f"SELECT pg_advisory_unlock({key})".encode())
    with consumer.transaction():
        _await(consumer, 600)  # does not hold it any longer
        assert _await(producer, 3600) > SOON


@pytest.mark.parametrize(
    ("calls", "seconds"),
    [
        (["send('q', '1', 2)"], 2),
        (["send('q', '1')", "read('q', 2, 1)"], 2),
        (["send('q', '1')", "read('q', 60, 1)", "nack('q', 1, 1, 2)"], 2),
        (["send('q', '1')", "read('q', 60, 1)", "set_vt('q', 1, 2)"], 2),
        (["send('q', '1', 60)"], 5),
        ([], 5),
        # Visible, and yet not taken: its lease ended just now, or its group is closed.
        (["send('q', '1')"], SOON),
    ],
)
def test_the_time_is_that_of_the_next_message_and_no_later_than_asked_for(
    producer: psycopg.Connection, consumer: psycopg.Connection, calls: list[str], seconds: float
) -> None:
    for call in calls:
        producer.execute(f"SELECT pgmq.{call}".encode())
    assert seconds - SLACK < _await(consumer) <= seconds


@pytest.mark.parametrize("call", ["nack('q', 1, 1, 0)", "set_vt('q', 1, 0)", "nack('q', 1, 1, 1)"])
def test_a_message_that_comes_back_sooner_wakes(
    producer: psycopg.Connection, consumer: psycopg.Connection, call: str
) -> None:
    producer.execute(SEND)
    producer.execute("SELECT pgmq.read('q', 3600, 1)")
    assert _await(consumer) > SOON
    producer.execute(f"SELECT pgmq.{call}".encode())
    assert _woken(consumer, 5)


def test_what_brings_no_message_wakes_nobody(
    producer: psycopg.Connection, consumer: psycopg.Connection
) -> None:
    producer.execute("SELECT pgmq.send_batch('q', '{1,2,3,4}')")
    _await(consumer)
    for call in ("read('q', 60, 4)", "extend('q', 1, 1, 90)", "ack('q', 2, 1)", "delete('q', 3)"):
        producer.execute(f"SELECT pgmq.{call}".encode())
    _take(consumer)
    assert not _woken(consumer)


def test_a_group_that_is_closed_does_not_make_its_consumers_spin(
    producer: psycopg.Connection, consumer: psycopg.Connection
) -> None:
    producer.execute("SELECT pgmq.create_fifo_index('q')")
    producer.execute("SELECT pgmq.send_batch('q', '{1,2}')")
    assert producer.execute("SELECT pgmq.ack('q', 1, 0)").fetchone() == (False,)
    assert len(producer.execute("SELECT pgmq.read_grouped('q', 3600, 1)").fetchall()) == 1
    assert consumer.execute("SELECT pgmq.read_grouped('q', 60, 9)").fetchall() == []
    assert SOON / 2 < _await(consumer) <= SOON


def test_rows_that_a_user_cannot_see_need_no_other_grant(
    producer: psycopg.Connection, consumer: psycopg.Connection, roles: Roles
) -> None:
    """Whoever may not write to the queue can still wait for it and be woken."""
    role = roles()
    producer.execute(f"GRANT USAGE ON SCHEMA pgmq TO {role}".encode())
    producer.execute(f"GRANT SELECT, INSERT ON pgmq.q_q TO {role}".encode())
    consumer.execute(f"SET ROLE {role}".encode())
    _await(consumer)
    consumer.execute(SEND)
    assert _woken(consumer, 5)


def test_under_load_no_message_waits_longer_than_the_bound(
    producer: psycopg.Connection, connect: Connect
) -> None:
    """The latency from the commit to the read, over some seconds of commits and rollbacks."""
    end = time.monotonic() + 5
    committed: dict[int, float] = {}
    taken: dict[int, float] = {}

    def produce(session: psycopg.Connection, dice: random.Random) -> None:
        while time.monotonic() < end:
            time.sleep(dice.random() * 0.1)
            session.execute("BEGIN")
            row = session.execute(SEND).fetchone()
            assert row is not None
            time.sleep(dice.choice((0, 0, 0.02, 0.3)))
            if dice.random() < 0.3:
                session.execute("ROLLBACK")
            else:
                committed[row[0]] = time.monotonic()
                session.execute("COMMIT")

    def drain(session: psycopg.Connection) -> bool:
        rows = session.execute("SELECT msg_id FROM pgmq.pop('q', 5)").fetchall()
        taken.update((row[0], time.monotonic()) for row in rows)
        return bool(rows)

    def consume(session: psycopg.Connection) -> None:
        while time.monotonic() < end + 2:  # longer than a transaction and the bound
            if not drain(session):
                due = time.monotonic() + _await(session, 30)
                if not drain(session):
                    _woken(session, min(due, end + 2) - time.monotonic())

    threads = [
        threading.Thread(target=produce, args=(connect(), random.Random(seed))) for seed in range(4)
    ]
    threads += [threading.Thread(target=consume, args=(connect(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(committed) > 50
    assert set(taken) == set(committed)
    assert max(taken[one] - committed[one] for one in committed) < SOON + SLACK
