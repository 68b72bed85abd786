"""Priorities while several sessions send, read and give back."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from support.load import SECONDS
from support.queries import ids, one
from support.sweeps import let_look, stop_sweeps, sweep_every
from support.waiting import hold_snapshot

if TYPE_CHECKING:
    from conftest import Connect

SEND = "SELECT pgmq.send('q', '1', jsonb_build_object('x-pgmq-priority', %s::integer))"
READ = "SELECT msg_id FROM pgmq.read('q', 60, %s)"
KINDS = {
    "plain": "SELECT pgmq.create('q')",
    # Quick senders come to more than 100,000 ids: none is to be dropped by its age.
    "by_id": "SELECT pgmq.create_partitioned('q', '200', '1000000000')",
}


@pytest.fixture(params=list(KINDS.values()), ids=list(KINDS))
def queue(request: pytest.FixtureRequest, db: psycopg.Connection) -> psycopg.Connection:
    """A session to a database with queue q, which has priorities."""
    db.execute(request.param)
    db.execute("SELECT pgmq.set_policy('q', priorities => true)")
    return db


def test_a_reader_gets_the_highest_that_no_other_holds(
    queue: psycopg.Connection, connect: Connect
) -> None:
    other = connect()
    sent = {one(queue, SEND, priority): priority for priority in random.choices(range(10), k=120)}
    order = sorted(sent, key=lambda msg_id: (-sent[msg_id], msg_id))
    with other.transaction(force_rollback=True):
        assert ids(other, READ, 40) == order[:40]
        assert ids(queue, READ, 1) == order[40:41]
        assert ids(queue, READ, 40) == order[41:81]
        late = one(queue, SEND, 9)
        assert ids(queue, READ, 2) == [late, order[81]]
    # What was rolled back is next.
    assert ids(queue, READ, 100) == order[:40] + order[82:]


def test_a_message_that_is_committed_late_is_the_next(
    queue: psycopg.Connection, connect: Connect
) -> None:
    stop_sweeps(queue, "q")
    late = connect(autocommit=False)
    msg_id = one(late, SEND, 7)
    for priority in (7, 9, 1):
        for _ in range(100):
            queue.execute(SEND, (priority,))
    for _ in range(4):
        queue.execute("SELECT pgmq.pop('q', 50)")
        let_look(queue)
        queue.execute("SELECT pgmq.maintain('q')")
    late.commit()
    assert ids(queue, READ, 1) == [msg_id]


def test_what_a_killed_session_had_leased_or_given_back_is_the_next(
    queue: psycopg.Connection, connect: Connect
) -> None:
    for priority in (3, 8, 5, 8):
        queue.execute(SEND, (priority,))
    assert ids(queue, READ, 1) == [2]
    other = connect(autocommit=False)
    assert ids(other, READ, 1) == [4]
    assert one(other, "SELECT pgmq.nack('q', 2, 1, 0)")
    pid = other.info.backend_pid
    assert ids(queue, READ, 1) == [3]
    queue.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))
    queue.execute("SELECT pgmq.nack('q', 2, 1, 0)")
    assert ids(queue, READ, 9) == [2, 4, 1]


def test_a_low_priority_is_overtaken_only_by_what_is_sent_within_its_head_starts(
    queue: psycopg.Connection, connect: Connect
) -> None:
    queue.execute("SELECT pgmq.alter_policy('q', priority_ageing => '0.05 s')")
    first = one(queue, SEND, 0)
    sent_at = one(queue, "SELECT enqueued_at FROM pgmq.q_q")
    end = threading.Event()

    def send() -> None:
        with connect() as session:
            while not end.is_set():
                session.execute(
                    "SELECT pgmq.send_batch('q', array_agg('1'::jsonb),"
                    " array_agg('{\"x-pgmq-priority\": 9}'::jsonb)) FROM generate_series(1, 10)"
                )

    # More is sent than is read.
    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 20
    while one(queue, "SELECT count(*) FROM pgmq.q_q") < 40:
        assert time.monotonic() < deadline
    while True:
        rows = queue.execute("SELECT msg_id, enqueued_at FROM pgmq.pop('q', 20)").fetchall()
        popped = [msg_id for msg_id, _ in rows]
        before = rows[: popped.index(first)] if first in popped else rows
        for _, enqueued_at in before:
            late = (enqueued_at - sent_at).total_seconds()
            assert late <= 9 * 0.05 + 0.0001, (first, rows)
        if first in popped:
            break
        assert time.monotonic() < deadline
    end.set()
    for thread in threads:
        thread.join()


def test_each_message_is_done_once_and_a_high_one_soon_while_others_crash_and_hold_snapshots(
    queue: psycopg.Connection, connect: Connect, dsn: str
) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    sweep_every(queue, "0.5 s")
    sent = ids(
        queue, "SELECT pgmq.send_batch('q', array_agg('1'::jsonb)) FROM generate_series(1, 3000)"
    )
    hold_snapshot(connect)
    done: list[int] = []
    lock = threading.Lock()
    end = time.monotonic() + SECONDS

    def work(number: int) -> None:
        rng = random.Random(seed + number)
        session = psycopg.connect(dsn)
        while time.monotonic() < end:
            leases = session.execute(
                "SELECT msg_id, read_ct FROM pgmq.read('q', 1, %s)", (rng.choice([1, 1, 7]),)
            ).fetchall()
            acked: list[int] = []
            for lease in leases:
                if rng.random() < 0.2:
                    session.execute("SELECT pgmq.nack('q', %s, %s, 0)", lease)
                elif one(session, "SELECT pgmq.ack('q', %s, %s)", *lease):
                    acked.append(lease[0])
            added = [
                one(
                    session,
                    "SELECT pgmq.send('q', '1', jsonb_build_object('x-pgmq-priority',"
                    " %s::integer), %s::integer)",
                    rng.randrange(10),
                    rng.choice([0, 0, 1]),
                )
                for _ in range(rng.choice([0, 0, 3]))
            ]
            chance = rng.random()
            if chance < 0.05:
                session.close()
                session = psycopg.connect(dsn)
            elif chance < 0.15:
                session.rollback()
            else:
                session.commit()
                with lock:
                    done.extend(acked)
                    sent.extend(added)
        session.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    late: list[float] = []
    while time.monotonic() < end:
        msg_id = one(queue, SEND, 9)
        sent.append(msg_id)
        since = time.monotonic()
        while one(queue, "SELECT count(*) FROM pgmq.q_q WHERE msg_id = %s", msg_id):
            time.sleep(0.01)
            if time.monotonic() > end:
                break
        else:
            late.append(time.monotonic() - since)
    for thread in threads:
        thread.join()
    deadline = time.monotonic() + 20
    while one(queue, "SELECT count(*) FROM pgmq.q_q"):
        done += ids(queue, "SELECT msg_id FROM pgmq.pop('q', 500)")
        assert time.monotonic() < deadline, ids(queue, "SELECT msg_id FROM pgmq.q_q")
    assert sorted(done) == sorted(sent)
    assert late
    print("late", len(late), max(late))
