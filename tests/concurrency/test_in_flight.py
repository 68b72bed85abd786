"""The cap on messages in flight, with sessions that have not committed what they leased."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from support.prepared import prepared
from support.queries import ADVISORY_LOCKS, ids, one
from support.waiting import never_wait

if TYPE_CHECKING:
    from conftest import Connect

READ = "SELECT msg_id FROM pgmq.read('q', 60, %s)"


template = prepared(
    "SELECT pgmq.create('q'), pgmq.create_fifo_index('q');"
    "SELECT pgmq.set_policy('q', max_in_flight => 3)",
    by="queue",
)


@pytest.fixture
def queue(db: psycopg.Connection) -> psycopg.Connection:
    db.execute(
        "SELECT pgmq.send_batch('q', array_agg('1'::jsonb),"
        " array_agg(jsonb_build_object('x-pgmq-group', n))) FROM generate_series(1, 20) AS n"
    )
    never_wait(db)
    return db


@pytest.mark.parametrize(
    "call",
    [
        READ,
        "SELECT msg_id FROM pgmq.read_grouped('q', 60, %s)",
        "SELECT msg_id FROM pgmq.read_grouped_rr('q', 60, %s)",
        "SELECT msg_id FROM pgmq.read_grouped_head('q', 60, %s)",
        "SELECT msg_id FROM pgmq.ack_and_read('q', 60, %s, '{}', '{}')",
        "SELECT msg_id FROM pgmq.read('q', 60, %s, '1')",
    ],
)
def test_no_read_leases_more_than_the_cap_leaves(queue: psycopg.Connection, call: str) -> None:
    assert ids(queue, call, 2) == [1, 2]
    assert ids(queue, call, 9) == [3]
    assert ids(queue, call, 9) == []


@pytest.mark.parametrize(
    "freed",
    [
        "SELECT pgmq.ack('q', 2, 1)",
        "SELECT pgmq.delete('q', 2)",
        "SELECT pgmq.archive('q', 2)",
        "SELECT pgmq.nack('q', 2, 1, 60)",
        "SELECT pgmq.set_vt('q', 2, 0)",
    ],
)
def test_whatever_ends_a_lease_makes_room(queue: psycopg.Connection, freed: str) -> None:
    ids(queue, READ, 3)
    queue.execute(freed.encode())
    assert ids(queue, READ, 9) in ([4], [2])
    assert ids(queue, READ, 9) == []


def test_what_is_delayed_is_not_in_flight(queue: psycopg.Connection) -> None:
    queue.execute("SELECT pgmq.send_batch('q', '{1,2,3}', 60), pgmq.set_vt('q', 5, 60)")
    assert ids(queue, READ, 9) == [1, 2, 3]


def test_leases_that_are_not_committed_count(
    queue: psycopg.Connection, other: psycopg.Connection
) -> None:
    with other.transaction():
        # One number would stand for both of these, were it not for the calls' own.
        assert ids(other, READ, 1) == [1]
        assert ids(other, READ, 1) == [2]
        assert ids(queue, READ, 9) == [3]
        assert ids(queue, READ, 9) == []
    assert ids(queue, READ, 9) == []


def test_a_rollback_makes_room_at_once(
    queue: psycopg.Connection, other: psycopg.Connection
) -> None:
    with other.transaction():
        assert ids(other, READ, 1) == [1]
        with other.transaction(force_rollback=True):
            assert ids(other, READ, 2) == [2, 3]
            assert ids(queue, READ, 9) == []
        assert ids(other, READ, 1) == [2]
        assert ids(queue, READ, 9) == [3]


def test_a_consumer_that_acknowledges_in_its_transaction_counts_until_it_ends(
    queue: psycopg.Connection, other: psycopg.Connection
) -> None:
    with other.transaction():
        ids(other, READ, 3)
        other.execute("SELECT pgmq.ack('q', '{1,2,3}'::bigint[], '{1,1,1}')")
        assert ids(queue, READ, 9) == []
    assert ids(queue, READ, 9) == [4, 5, 6]


def test_what_a_transaction_has_leased_and_acknowledged_makes_room_for_it(
    queue: psycopg.Connection, other: psycopg.Connection
) -> None:
    with other.transaction():
        for number in range(1, 11):
            with other.transaction():  # a savepoint
                assert ids(other, READ, 1) == [number]
            other.execute("SELECT pgmq.ack('q', %s, 1)", [number])
        # At no time was it more than one.
        assert ids(queue, READ, 9) == [11, 12]
        assert one(other, f"SELECT count(*) {ADVISORY_LOCKS} AND mode = 'ShareLock'") == 1


def test_a_long_transaction_says_how_much_it_has_leased_by_few_locks(
    queue: psycopg.Connection, other: psycopg.Connection
) -> None:
    queue.execute("SELECT pgmq.set_policy('q', max_in_flight => 2000)")
    queue.execute("SELECT pgmq.send_batch('q', array_agg('1'::jsonb)) FROM generate_series(1, 800)")
    with other.transaction():
        for _ in range(800):
            assert len(ids(other, READ, 1)) == 1
        row = other.execute(
            f"SELECT count(*), max(objid::bigint) {ADVISORY_LOCKS} AND mode = 'ShareLock'".encode()
        ).fetchone()
        assert row is not None
        assert row[0] < 70
        assert 800 <= row[1] <= 900


@pytest.mark.parametrize("lock", ["pg_advisory_lock(%s, -1)", "pg_advisory_lock_shared(%s, 3)"])
def test_a_stranger_that_takes_the_locks_holds_nobody_up(
    queue: psycopg.Connection, other: psycopg.Connection, lock: str
) -> None:
    row = queue.execute("SELECT 'pgmq.q_q'::regclass::oid::bigint - 2147483648").fetchone()
    other.execute(f"SELECT {lock}".encode(), row)
    queue.execute("SET statement_timeout = '700ms'")
    assert ids(queue, READ, 2) == [1, 2]
    assert ids(queue, READ, 2) == [3]
    assert ids(queue, READ, 2) == []


def test_a_user_of_the_queue_that_keeps_the_lock_is_waited_for_a_second(
    queue: psycopg.Connection, other: psycopg.Connection
) -> None:
    row = queue.execute("SELECT 'pgmq.q_q'::regclass::oid::bigint - 2147483648").fetchone()
    with other.transaction():
        other.execute("SELECT pgmq.send('q', '1')")
        other.execute("SELECT pg_advisory_lock(%s, -1)", row)
        begun = time.monotonic()
        assert ids(queue, READ, 9) == [1, 2, 3]
        assert 0.8 < time.monotonic() - begun < 5


def test_a_killed_reader_leaves_room(queue: psycopg.Connection, other: psycopg.Connection) -> None:
    other.autocommit = False
    assert ids(other, READ, 3) == [1, 2, 3]
    row = (other.info.backend_pid,)
    queue.execute("SELECT pg_terminate_backend(%s, 5000)", row)
    assert ids(queue, READ, 9) == [1, 2, 3]


def test_a_cancelled_read_holds_nobody_up(
    queue: psycopg.Connection, other: psycopg.Connection
) -> None:
    # The trigger makes the read wait, with the lock that counts, for what is moved away.
    queue.execute("SELECT pgmq.set_policy('q', max_in_flight => 3, max_receives => 1)")
    queue.execute("SELECT pgmq.set_vt('q', msg_id, 0) FROM pgmq.read('q', 60, 1)")
    queue.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN PERFORM pg_sleep(60); RETURN new; END'"
    )
    queue.execute(
        "CREATE TRIGGER slow BEFORE INSERT ON pgmq.a_q FOR EACH ROW EXECUTE FUNCTION slow()"
    )
    other.execute("SET statement_timeout = '200ms'")
    with pytest.raises(psycopg.errors.QueryCanceled):
        other.execute(READ, [1])
    queue.execute("DROP TRIGGER slow ON pgmq.a_q")
    assert ids(queue, READ, 9) == [2, 3]


def test_many_consumers_never_exceed_the_cap(queue: psycopg.Connection, connect: Connect) -> None:
    queue.execute("SELECT pgmq.send_batch('q', array_agg('1'::jsonb)) FROM generate_series(1, 400)")
    lock = threading.Lock()
    held = 0
    most = 0
    done = 0
    failures: list[BaseException] = []

    def consume(seed: int) -> None:
        nonlocal held, most, done
        chance = random.Random(seed)
        session = connect()
        call = chance.choice([READ, "SELECT msg_id FROM pgmq.read_grouped_head('q', 60, %s)"])
        try:
            while done < 300:
                with session.transaction(force_rollback=chance.random() < 0.2):
                    found = ids(session, call, chance.randint(1, 3))
                    with lock:
                        held += len(found)
                        most = max(most, held)
                    time.sleep(chance.random() / 200)
                    if chance.random() < 0.7:
                        session.execute("SELECT pgmq.delete('q', %s::bigint[])", [found])
                        with lock:
                            done += len(found)
                    else:
                        session.execute("SELECT pgmq.set_vt('q', %s::bigint[], 0)", [found])
                    # Before the commit, or another may have taken their places already.
                    with lock:
                        held -= len(found)
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=consume, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert done >= 300
    assert most == 3


@pytest.mark.parametrize(
    ("turned_on", "call"),
    [
        ("set_policy('q', max_in_flight => 5)", "count(*) FROM pgmq.read('q', 0, 32)"),
        ("set_policy('q', archive_retention => '1 h')", "pgmq._look_after('q', 32)"),
        ("enable_wakeups('q')", "pgmq.await('q', 60)"),
    ],
)
def test_a_cancel_at_any_moment_leaves_no_lock_behind(
    db: psycopg.Connection, connect: Connect, turned_on: str, call: str
) -> None:
    """Session locks outlast a failed call; a pool would keep them for hours."""
    db.execute(f"SELECT pgmq.create('q'), pgmq.{turned_on}".encode())
    db.execute("SELECT pgmq.send('q', '1') FROM generate_series(1, 40)")
    session = connect(prepare_threshold=None)
    pid = session.info.backend_pid
    at_work = threading.Event()
    stop = threading.Event()
    turn = threading.Lock()

    def cancel() -> None:
        chance = random.Random(1)
        canceller = connect()
        while not stop.is_set():
            if at_work.wait(0.1):
                until = time.perf_counter() + chance.random() * 0.0015
                while time.perf_counter() < until:
                    pass
                with turn:
                    if at_work.is_set():
                        canceller.execute("SELECT pg_cancel_backend(%s)", [pid])
                        at_work.clear()

    def tried(query: str) -> list[Any]:
        with contextlib.suppress(psycopg.errors.QueryCanceled):
            return session.execute(query.encode()).fetchall()
        return []

    thread = threading.Thread(target=cancel)
    thread.start()
    try:
        cancelled = 0
        deadline = time.monotonic() + 15
        while cancelled < 60 and time.monotonic() < deadline:
            at_work.set()
            cancelled += not tried(f"SELECT {call}")
            with turn:  # one cancel for each call: a second could hit what cleans up
                at_work.clear()
            locks = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
            assert tried(locks) == []
    finally:
        stop.set()
        thread.join()
    assert cancelled > 0


@pytest.mark.parametrize("limit", ["rate_limit", "max_in_flight", "max_in_flight_per_group"])
def test_a_reader_whose_time_is_up_while_it_waits_for_another_leaves_no_lock_behind(
    db: psycopg.Connection, connect: Connect, limit: str
) -> None:
    """The lock may be granted in the moment of the cancel."""
    db.execute(f"SELECT pgmq.create('q'), pgmq.set_policy('q', {limit} => 1000000)".encode())
    db.execute("SELECT pgmq.send_batch('q', array_fill('1'::jsonb, ARRAY[2000]))")
    until = time.monotonic() + 2
    left: list[Any] = []

    def read(seed: int) -> int:
        chance = random.Random(seed)
        session = connect(prepare_threshold=None)
        cancelled = 0

        def tried(query: str) -> list[Any] | None:
            with contextlib.suppress(psycopg.errors.QueryCanceled):
                return session.execute(query.encode()).fetchall()
            return None

        while time.monotonic() < until and not left:
            tried(f"SELECT set_config('statement_timeout', '{chance.randint(1, 8)}', false)")
            cancelled += tried("SELECT FROM pgmq.read('q', 0, 5)") is None
            while tried("SELECT set_config('statement_timeout', '0', false)") is None:
                pass
            found = None  # a signal may still be on its way
            while found is None:
                found = tried(f"SELECT locktype {ADVISORY_LOCKS} AND pid = pg_backend_pid()")
            left.extend(found)
        return cancelled

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(read, range(3))) > 0
    assert left == []
