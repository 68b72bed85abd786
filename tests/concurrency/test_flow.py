"""Rate limits and pauses with many sessions."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from support.push import open_channel, pushed, send
from support.queries import ADVISORY_LOCKS, ids, one
from support.waiting import Waiting, hold_snapshot, never_wait

if TYPE_CHECKING:
    from conftest import Connect

READ = "SELECT msg_id FROM pgmq.read('q', 600, %s)"
POP = "SELECT msg_id FROM pgmq.pop('q', %s)"
WAYS = [
    READ,
    POP,
    "SELECT msg_id FROM pgmq.read('q', 600, %s, '1')",
    "SELECT msg_id FROM pgmq.read_grouped_rr('q', 600, %s)",
]
SLACK = 0.5  # for a busy machine
# Another session that counts, for as long as it likes.
LOCK = "SELECT pg_advisory_lock(pgmq._lock_space('pgmq.q_q'), -1)"


def _make(db: psycopg.Connection, options: str, messages: int = 100) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.create_fifo_index('q'), pgmq.enable_wakeups('q')")
    db.execute(f"SELECT pgmq.set_policy('q', {options})".encode())
    db.execute(
        "SELECT pgmq.send_batch('q', array_agg('1'::jsonb),"
        " array_agg(jsonb_build_object('x-pgmq-group', n))) FROM generate_series(1, %s) AS n",
        [messages],
    )


@pytest.mark.parametrize("options", ["", ", max_in_flight => 2000"], ids=["rate", "both"])
def test_many_sessions_never_exceed_the_rate(
    db: psycopg.Connection, connect: Connect, options: str
) -> None:
    """In any stretch of time: neither by reads that race, nor by those that are rolled back."""
    rate, burst = 200, 10
    _make(db, f"rate_limit => {rate}, rate_burst => {burst}{options}", 3000)
    found: list[tuple[float, float, int]] = []  # when it was called, when it came back, how many
    failures: list[BaseException] = []
    end = time.monotonic() + 3

    def consume(seed: int) -> None:
        chance = random.Random(seed)
        try:
            with connect() as session:
                while (began := time.monotonic()) < end:
                    call = chance.choice(WAYS)
                    with session.transaction(force_rollback=chance.random() < 0.3):
                        count = len(ids(session, call, chance.randint(1, 4)))
                        if count:
                            found.append((began, time.monotonic(), count))
                    time.sleep(chance.random() / 100)
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=consume, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    total = sum(count for *_, count in found)
    assert total > rate  # in three seconds, on a busy machine
    # What lies within a stretch as a whole, calls and all, was let through within it.
    for start in sorted({began for began, *_ in found}):
        let_through = 0
        for _, came_back, count in sorted(
            (call for call in found if call[0] >= start), key=lambda call: call[1]
        ):
            let_through += count
            assert let_through <= burst + rate * (came_back - start) + 1e-6


def test_reads_wait_for_each_other_only_while_one_counts(
    db: psycopg.Connection, connect: Connect
) -> None:
    _make(db, "rate_limit => 4, rate_interval => '1 hour'")
    other = connect(autocommit=False)
    never_wait(db)
    assert ids(other, READ, 2) == [1, 2]
    assert ids(db, READ, 9) == [3, 4]
    other.rollback()
    assert ids(db, READ, 9) == []  # its share is used up


def test_who_cannot_count_gets_nothing(db: psycopg.Connection, connect: Connect) -> None:
    _make(db, "rate_limit => 4, rate_interval => '1 hour'")
    other = connect(autocommit=False)
    other.execute(LOCK.encode())
    assert [ids(db, way, 9) for way in WAYS] == [[], [], [], []]
    # It waits for one that uses the queue, but not for long.
    other.execute("LOCK TABLE pgmq.q_q IN ROW EXCLUSIVE MODE")
    reader = Waiting(connect(), READ, 9).until_it_waits(db)
    assert reader.result() == []
    reader = Waiting(connect(), READ, 9).until_it_waits(db)
    other.execute("SELECT pg_advisory_unlock_all()")
    assert reader.result() == [(1,), (2,), (3,), (4,)]


def test_an_old_snapshot_does_not_exceed_the_rate(db: psycopg.Connection, connect: Connect) -> None:
    _make(db, "rate_limit => 3, rate_interval => '1 hour'")
    old = hold_snapshot(connect)
    assert ids(db, POP, 2) == [1, 2]
    old.execute("SAVEPOINT s")
    with pytest.raises(psycopg.errors.SerializationFailure):
        ids(old, READ, 9)  # the messages that it sees are gone
    old.execute("ROLLBACK TO s")
    assert ids(db, READ, 9) == [3]
    assert ids(old, READ, 9) == []


def test_a_reader_that_is_killed_leaves_no_lock_and_its_share_used(
    db: psycopg.Connection, connect: Connect
) -> None:
    _make(db, "rate_limit => 3, rate_interval => '1 hour'")
    victim = connect(autocommit=False)
    assert ids(victim, READ, 2) == [1, 2]
    db.execute("SELECT pg_terminate_backend(%s, 5000)", [victim.info.backend_pid])
    assert ids(db, READ, 9) == [1]
    assert ids(db, READ, 9) == []
    assert one(db, f"SELECT count(*) {ADVISORY_LOCKS} AND pid <> pg_backend_pid()") == 0


def test_who_awaits_gets_each_message_when_it_is_due(
    db: psycopg.Connection, connect: Connect
) -> None:
    """It neither polls nor oversleeps."""
    _make(db, "rate_limit => 10, rate_burst => 1")
    consumer = connect()
    # As the consumer does it: drain, await, look once more, and wait.
    late, looks, taken = [], 0, 0
    for _ in range(10):
        while found := ids(consumer, POP, 9):
            taken += len(found)
        row = consumer.execute("SELECT a, a - clock_timestamp() FROM pgmq.await('q', 60) AS a")
        (at, wait) = row.fetchall()[0]
        if found := ids(consumer, POP, 9):
            taken += len(found)
            continue
        looks += 1
        time.sleep(max(wait.total_seconds(), 0))
        found = ids(consumer, POP, 9)
        late.append(one(consumer, "SELECT extract(epoch FROM clock_timestamp() - %s)::float8", at))
        assert len(found) == 1
        taken += len(found)
    assert taken >= 10
    assert looks >= 5
    assert sorted(late)[len(late) // 2] < 0.05
    assert max(late) < SLACK


def test_a_new_limit_wakes_who_waits_for_the_old_one(
    db: psycopg.Connection, connect: Connect
) -> None:
    _make(db, "rate_limit => 1, rate_interval => '1 day'")
    consumer = connect()
    assert ids(consumer, READ, 9) == [1]
    assert one(consumer, "SELECT pgmq.await('q', 60) > clock_timestamp() + interval '50 s'")
    assert ids(consumer, READ, 9) == []
    db.execute("SELECT pgmq.alter_policy('q', rate_limit => 100, rate_interval => '1 second')")
    assert list(consumer.notifies(timeout=10, stop_after=1))
    assert len(ids(consumer, READ, 1)) <= 1


# Pauses

SEND = "SELECT pgmq.send('q', '1')"


@pytest.mark.parametrize("options", ["archive_retention => '1 h'", "max_in_flight => 900"])
def test_a_pause_waits_for_nobody_and_nobody_for_it(
    db: psycopg.Connection, connect: Connect, options: str
) -> None:
    _make(db, options)
    reader, sender = connect(autocommit=False), connect(autocommit=False)
    assert ids(reader, READ, 1) == [1]
    assert one(sender, SEND) == 101
    never_wait(db)
    with db.transaction():
        db.execute("SELECT pgmq.pause('q', sends => true)")
        for session in (reader, sender, connect()):
            never_wait(session)
            assert len(ids(session, READ, 1)) == 1
            assert one(session, SEND) > 101
    for session in (reader, sender):
        session.commit()
        assert ids(session, READ, 1) == []
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="can be sent"):
            one(session, SEND)
        session.rollback()
    db.execute("SELECT pgmq.resume('q')")
    for session in (reader, sender):
        assert len(ids(session, READ, 1)) == 1
        assert one(session, SEND) > 101


def test_under_load_no_call_that_begins_after_a_pause_gets_anything(
    db: psycopg.Connection, connect: Connect
) -> None:
    """And none fails in any other way, however often functions are replaced under it."""
    _make(db, "archive_retention => '1 h'", 5000)
    paused = threading.Event()  # set when the pause is committed, cleared before it ends
    stop = threading.Event()
    failures: list[str] = []
    counts = [0, 0]

    def use(number: int) -> None:
        call = [READ, POP, WAYS[3]][number % 3]
        with connect() as session:
            while not stop.is_set():
                began_paused = paused.is_set()
                try:
                    found = ids(session, call, 2)
                    if found and began_paused and paused.is_set():
                        failures.append(f"{call} gave {found}")
                    counts[bool(found)] += 1
                except psycopg.Error as error:
                    failures.append(f"{call}: {error}")
                try:
                    session.execute(SEND.encode())
                    if began_paused and paused.is_set():
                        failures.append("a send succeeded")
                except psycopg.errors.ObjectNotInPrerequisiteState:
                    pass
                except psycopg.Error as error:
                    failures.append(f"send: {error}")

    threads = [threading.Thread(target=use, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for _ in range(8):
        time.sleep(0.1)
        db.execute("SELECT pgmq.pause('q', sends => true)")
        paused.set()
        time.sleep(0.1)
        paused.clear()
        db.execute("SELECT pgmq.resume('q')")
    stop.set()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert min(counts) > 20


def test_resume_wakes_who_waits_however_it_began(db: psycopg.Connection, connect: Connect) -> None:
    _make(db, "archive_retention => '1 h'", 3)
    db.execute("SELECT pgmq.enable_notify_insert('q')")
    early, late, listener = connect(), connect(), connect()
    listener.execute('LISTEN "pgmq.q_q.INSERT"')
    ids(early, READ, 3)
    one(early, "SELECT pgmq.await('q', 60)")  # before the pause
    db.execute("SELECT pgmq.pause('q'), pgmq.send('q', '1')")
    assert list(early.notifies(timeout=5, stop_after=1))  # of the send
    assert list(listener.notifies(timeout=5, stop_after=1))
    assert ids(early, READ, 3) == []
    # One that awaits in a transaction which sees the queue paused, and commits after resume.
    with late.transaction():
        assert one(late, "SELECT pgmq.await('q', 60) > clock_timestamp() + interval '50 s'")
        assert one(early, "SELECT pgmq.await('q', 60) > clock_timestamp() + interval '50 s'")
        db.execute("SELECT pgmq.resume('q')")
    assert list(early.notifies(timeout=5, stop_after=1))
    assert list(listener.notifies(timeout=5, stop_after=1))
    assert ids(late, READ, 3) == [4]  # as it looks once more


def test_resume_pushes_when_it_commits_and_touches_no_other_queue(
    db: psycopg.Connection, connect: Connect
) -> None:
    consumer, resuming = connect(), connect(autocommit=False)
    for name in ("q", "other"):
        db.execute("SELECT pgmq.create(%s)", [name])
        open_channel(consumer, slots=3, queue=name)
    db.execute("SET session_replication_role = replica")
    send(db, 0, queue="other")  # which nobody has pushed
    db.execute("RESET session_replication_role")
    db.execute("SELECT pgmq.pause('q')")
    send(db, 1, 2)
    assert pushed(consumer) == []
    resuming.execute("SELECT pgmq.resume('q')")
    send(db, 3, 4)
    assert pushed(consumer) == []
    resuming.commit()
    assert pushed(consumer) == [1, 2, 3]


@pytest.mark.parametrize(
    "call",
    [
        "SELECT msg_id FROM pgmq.read_with_poll('q', 60, 1, 20, 20)",
        "SELECT msg_id FROM pgmq.fetch_with_poll('s', 'g', 60, 1, 20, 20)",
    ],
)
def test_a_call_that_polls_notices_the_end_of_a_pause(
    db: psycopg.Connection, connect: Connect, call: str
) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.create_stream('s')")
    db.execute("SELECT pgmq.create_group('s', 'g', 'earliest')")
    db.execute("SELECT pgmq.send(n, '1'), pgmq.pause(n) FROM (VALUES ('q'), ('s')) AS v (n)")
    session = connect()
    reader = Waiting(session, call)
    active = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"
    deadline = time.monotonic() + 20
    while not one(db, active, session.info.backend_pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    began = time.monotonic()
    db.execute("SELECT pgmq.resume(n) FROM (VALUES ('q'), ('s')) AS v (n)")
    assert reader.result() == [(1,)]
    assert time.monotonic() - began < 5


def test_pauses_at_the_same_time_follow_each_other(
    db: psycopg.Connection, connect: Connect
) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.send('q', '1')")
    with db.transaction():
        db.execute("SELECT pgmq.pause('q')")
        other = Waiting(connect(), "SELECT pgmq.resume('q')").until_it_waits(db)
    assert other.result() == [(True,)]
    assert ids(db, READ, 1) == [1]
    assert ids(db, "SELECT queue_name FROM pgmq.list_paused()") == []
