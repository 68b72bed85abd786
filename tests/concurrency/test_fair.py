"""Groups that take turns, and their limits of leases, with several sessions."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import psycopg
import pytest

from support.cases import case
from support.queries import ADVISORY_LOCKS, ids, one
from support.waiting import never_wait

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Connect

READ = "SELECT msg_id FROM pgmq.read('q', 3600, %s)"
FAIR = "SELECT msg_id FROM pgmq.read_fair('q', 3600, %s)"
GROUPED = "SELECT msg_id FROM pgmq.read_grouped('q', 3600, %s)"
CREATED = {
    "plain": "create('q')",
    "by id": "create_partitioned('q', '1000', '100000', 1)",
    "by time": "create_partitioned('q', '1 day', '7 days', 1)",
}


def _send(session: psycopg.Connection, group: str, count: int = 1) -> list[int]:
    return ids(
        session,
        "SELECT pgmq.send_batch('q', array_fill('1'::jsonb, ARRAY[%s]),"
        " array_fill(jsonb_build_object('x-pgmq-group', %s::text), ARRAY[%s]))",
        count, group, count,
    )  # fmt: skip


def _make(db: psycopg.Connection, kind: str) -> None:
    """Make a queue of this kind with two leases for each group."""
    db.execute(f"SELECT pgmq.{CREATED[kind]}".encode())
    db.execute("SELECT pgmq.create_fifo_index('q')")
    db.execute("SELECT pgmq.set_policy('q', max_in_flight_per_group => 2)")
    never_wait(db)


@contextlib.contextmanager
def _queue(db: psycopg.Connection, kind: str) -> Iterator[None]:
    """Make a queue of this kind, and drop it at the end."""
    with case(kind):
        _make(db, kind)
        yield
        db.execute("SELECT pgmq.drop_queue('q')")


@pytest.fixture(params=CREATED)
def queue(request: pytest.FixtureRequest, db: psycopg.Connection) -> psycopg.Connection:
    _make(db, request.param)
    return db


@pytest.fixture
def other(connect: Connect) -> psycopg.Connection:
    session = connect()
    never_wait(session)
    return session


def test_sessions_go_on_from_each_others_turn(
    db: psycopg.Connection, other: psycopg.Connection
) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.create_fair_index('q')")
    for group in "abcdef":
        _send(db, group, 9)
    turns: list[int] = []
    with other.transaction():  # the turn moves at once
        for _ in range(3):
            turns += [*ids(other, FAIR, 1), *ids(db, FAIR, 1)]
    assert Counter((turn - 1) // 9 for turn in turns) == dict.fromkeys(range(6), 1)


def test_a_message_in_an_open_transaction_is_passed_over(
    db: psycopg.Connection, other: psycopg.Connection
) -> None:
    never_wait(db)
    db.execute("SELECT pgmq.create('q'), pgmq.create_fair_index('q')")
    _send(db, "a", 40)
    with other.transaction(force_rollback=True):
        assert ids(other, FAIR, 30) == list(range(1, 31))
        assert ids(db, FAIR, 1) == [31]
        with other.transaction():
            _send(other, "b")
        assert ids(db, FAIR, 99) == list(range(32, 41))
    assert ids(db, FAIR, 99) == list(range(1, 31))


def test_savepoints_hide_from_nobody_what_others_hold(
    db: psycopg.Connection, other: psycopg.Connection
) -> None:
    held = "SELECT msg_id FROM pgmq.q_q WHERE xmax <> '0' AND pgmq._is_held(xmax, xmin) ORDER BY 1"
    never_wait(db)
    for kind, create in CREATED.items():
        with case(kind):
            db.execute(f"SELECT pgmq.{create}, pgmq.create_fair_index('q')".encode())
            _send(db, "a", 9)
            with db.transaction(), db.transaction():  # an old transaction, and a savepoint
                assert ids(db, FAIR, 2) == [1, 2]
                with other.transaction(force_rollback=True):
                    with other.transaction():
                        assert ids(other, FAIR, 2) == [3, 4]
                    other.execute("SELECT pgmq.set_vt('q', 3, 0)")
                    assert ids(other, held) == [1, 2]
                    assert ids(db, held) == [3, 4]
                    assert ids(other, FAIR, 2) == [3, 5]
                    with db.transaction():
                        db.execute("SELECT pgmq.set_vt('q', 2, 0)")
                        assert ids(db, FAIR, 2) == [2, 6]
                    assert ids(db, held) == [3, 4, 5]
            assert ids(other, held) == []
            assert ids(other, FAIR, 9) == [3, 4, 5, 7, 8, 9]
            db.execute("SELECT pgmq.drop_queue('q')")


def test_leases_that_are_not_committed_count(
    db: psycopg.Connection, other: psycopg.Connection
) -> None:
    calls = [READ, FAIR, GROUPED]
    for kind, call in itertools.product(CREATED, calls):
        with case(call), _queue(db, kind):
            _send(db, "a", 9)
            with other.transaction():
                assert ids(other, READ, 1) == [1]
                assert ids(db, call, 9) == ([] if call == GROUPED else [2])
                assert ids(db, call, 9) == []
                _send(db, "b")  # no other group waits, nor does a producer
                assert ids(db, call, 9) == [10]
            assert ids(db, READ, 9) == ([2] if call == GROUPED else [])


def test_a_rollback_or_a_killed_reader_makes_room_at_once(
    db: psycopg.Connection, other: psycopg.Connection, connect: Connect
) -> None:
    for kind in CREATED:
        with _queue(db, kind):
            _send(db, "a", 9)
            with other.transaction():
                assert ids(other, FAIR, 1) == [1]
                with other.transaction(force_rollback=True):
                    assert ids(other, FAIR, 2) == [2]
                    assert ids(db, READ, 9) == []
                assert ids(db, READ, 9) == [2]
            killed = connect(autocommit=False)
            db.execute("SELECT pgmq.delete('q', '{1,2}'::bigint[])")
            assert ids(killed, FAIR, 9) == [3, 4]
            assert ids(db, FAIR, 9) == []
            db.execute("SELECT pg_terminate_backend(%s, 5000)", (killed.info.backend_pid,))
            assert ids(db, FAIR, 9) == [3, 4]


def test_what_a_transaction_acknowledges_counts_until_it_ends(
    db: psycopg.Connection, other: psycopg.Connection
) -> None:
    for kind in CREATED:
        with _queue(db, kind):
            _send(db, "a", 20)
            with other.transaction():
                for number in range(1, 11):
                    assert ids(other, FAIR, 1) == [number]
                    other.execute("SELECT pgmq.ack('q', %s, 1)", (number,))
                assert ids(db, FAIR, 9) == []
                assert one(db, f"SELECT count(*) {ADVISORY_LOCKS}") == 2
            assert ids(db, FAIR, 9) == [11, 12]


def test_leases_elsewhere_in_a_group_do_not_hide_its_other_messages(
    db: psycopg.Connection, other: psycopg.Connection, connect: Connect
) -> None:
    """Also of a transaction that is newer than all that have ended, and one that goes on."""
    older = connect()
    for kind, is_newer in itertools.product(CREATED, [False, True]):
        with case(is_newer), _queue(db, kind), contextlib.ExitStack() as stack:
            _send(db, "a", 200)
            _send(db, "b", 3)
            if is_newer:
                stack.enter_context(older.transaction())
                older.execute("SELECT pg_current_xact_id()")
            with other.transaction():
                assert len(ids(other, "SELECT msg_id FROM pgmq.pop('q', 150)")) == 150
                assert ids(db, READ, 9) == [151, 152, 201, 202]
                assert ids(db, FAIR, 9) == []


def test_a_stranger_that_takes_the_locks_holds_nobody_up(
    db: psycopg.Connection, other: psycopg.Connection
) -> None:
    locks = ["pg_advisory_lock(%s, -1)", "pg_advisory_lock(%s, 1)"]
    for kind, held in itertools.product(CREATED, locks):
        with case(held), _queue(db, kind):
            _send(db, "a", 3)
            _send(db, "b", 3)
            space = "'pgmq.q_q'::regclass::oid::bigint - 2147483648"
            if held.endswith("1)") and "-1" not in held:
                space = "pgmq._group_lock('pgmq.q_q', pgmq._group('{\"x-pgmq-group\": \"a\"}'))"
            other.execute(f"SELECT {held % f'({space})::integer'}".encode())
            db.execute("SET statement_timeout = '2s'")
            found = {*ids(db, FAIR, 1), *ids(db, FAIR, 1), *ids(db, FAIR, 1)}
            assert 4 in found
            other.execute("SELECT pg_advisory_unlock_all()")
            db.execute("RESET statement_timeout")


def test_an_old_snapshot_gets_nothing_that_others_have_leased(
    db: psycopg.Connection, connect: Connect
) -> None:
    for kind in CREATED:
        with _queue(db, kind):
            other = connect()
            never_wait(other)
            _send(db, "a", 9)
            other.execute("SET default_transaction_isolation = 'repeatable read'")
            with other.transaction():
                assert ids(other, FAIR, 1) == [1]
                assert ids(db, FAIR, 9) == [2]
            assert ids(other, FAIR, 9) == ids(db, FAIR, 9) == []
            db.execute("SELECT pgmq.delete('q', '{1,2}'::bigint[])")
            other.autocommit = False
            other.execute("SELECT 1")
            assert ids(db, FAIR, 9) == [3, 4]
            with pytest.raises(psycopg.errors.SerializationFailure):
                ids(other, FAIR, 9)
            other.close()


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_many_consumers_exceed_no_limit_and_lose_nothing(
    queue: psycopg.Connection, connect: Connect, isolation: str
) -> None:
    groups = {}
    for number in range(6):
        for msg_id in _send(queue, f"g{number}", 20):
            groups[msg_id] = number
    lock = threading.Lock()
    held: Counter[int] = Counter()
    done: list[int] = []
    most = 0
    failures: list[BaseException] = []
    deadline = time.monotonic() + 60

    def consume(seed: int) -> None:
        nonlocal most
        chance = random.Random(seed)
        session = connect()
        session.execute(f"SET default_transaction_isolation = '{isolation}'".encode())
        while len(done) < len(groups) and time.monotonic() < deadline:
            found: list[int] = []
            finished = False
            try:
                with session.transaction(force_rollback=chance.random() < 0.2) as transaction:
                    found = ids(session, chance.choice([READ, FAIR, FAIR]), chance.randint(1, 5))
                    with lock:
                        held.update(groups[msg_id] for msg_id in found)
                        most = max(most, *held.values(), 0)
                    time.sleep(chance.random() / 200)
                    finished = chance.random() < 0.7 and not transaction.force_rollback
                    if finished:
                        session.execute("SELECT pgmq.delete('q', %s::bigint[])", [found])
                    else:
                        session.execute("SELECT pgmq.set_vt('q', %s::bigint[], 0)", [found])
                    # Before the commit, or another may have taken their places already.
                    with lock:
                        held.subtract(groups[msg_id] for msg_id in found)
                        found, ended = [], found
                if finished:
                    with lock:
                        done.extend(ended)
            except psycopg.errors.SerializationFailure:
                with lock:
                    held.subtract(groups[msg_id] for msg_id in found)
            except BaseException as error:  # noqa: BLE001
                failures.append(error)
                return

    threads = [threading.Thread(target=consume, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert not failures
    assert sorted(done) == sorted(groups)
    if isolation == "read committed":
        assert most == 2
