"""Keys that are taken while their message is pending, beside others that send or acknowledge."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from support.cases import case
from support.queries import ids, one
from support.waiting import Waiting, never_wait

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Connect

ONCE = "SELECT * FROM pgmq.send_once('q', '1', %s)"
BATCH = "SELECT * FROM pgmq.send_once('q', array_fill('1'::jsonb, ARRAY[%s::integer]), %s)"
MAKE = {
    "plain": "create('q')",
    "by_id": "create_partitioned('q', '100', '100000', 1)",
    "by_time": "create_partitioned('q', '1 day', '7 days', 1)",
}
TWICE = "SELECT headers ->> 'x-pgmq-dedup-id' FROM pgmq.q_q GROUP BY 1 HAVING count(*) > 1"
TAKES = [
    "SELECT msg_id FROM pgmq.pop('q', 3)",
    "SELECT pgmq.archive('q', ARRAY(SELECT msg_id FROM pgmq.read('q', 60, 3)))",
    "DELETE FROM pgmq.q_q WHERE msg_id % 7 = 0 RETURNING msg_id",
]
Row = tuple[Any, ...]


def _once(session: psycopg.Connection, key: str) -> Row | None:
    return session.execute(ONCE.encode(), (key,)).fetchone()


def _make(db: psycopg.Connection, kind: str) -> None:
    """Make a queue of this kind that forgets a key with its message."""
    db.execute(f"SELECT pgmq.{MAKE[kind]}".encode())
    db.execute("SELECT pgmq.alter_policy('q', dedup_scope => 'pending')")


@contextlib.contextmanager
def _queue(db: psycopg.Connection, kind: str) -> Iterator[None]:
    """Make a queue of this kind, and drop it at the end."""
    with case(kind):
        _make(db, kind)
        yield
        db.execute("SELECT pgmq.drop_queue('q')")


@pytest.fixture(params=MAKE)
def queue(request: pytest.FixtureRequest, db: psycopg.Connection) -> psycopg.Connection:
    _make(db, request.param)
    return db


def test_a_sender_waits_for_what_becomes_of_the_first(
    db: psycopg.Connection, connect: Connect
) -> None:
    for kind, end, before in itertools.product(
        MAKE, ["COMMIT", "ROLLBACK"], ["never sent", "gone"]
    ):
        with case(end, before), _queue(db, kind):
            if before == "gone":
                _once(db, "a")
                db.execute("SELECT pgmq.pop('q')")
            first, second, third = connect(), connect(autocommit=False), connect()
            first.execute("BEGIN")
            msg_id, is_new = _once(first, "a") or (0, None)
            assert is_new
            waiting = Waiting(second, ONCE, "a").until_it_waits(db)
            first.execute(end.encode())
            ((counts, is_new),) = waiting.result()
            assert is_new == (end == "ROLLBACK")
            if end == "COMMIT":
                # Duplicates do not wait for each other, though this one is not committed.
                assert counts == msg_id
                never_wait(third)
                assert _once(third, "a") == (msg_id, False)
            second.commit()
            assert _once(third, "a") == (counts, False)
            assert ids(db, "SELECT msg_id FROM pgmq.q_q") == [counts]
            for session in (first, second, third):
                session.close()


def test_a_key_is_free_when_the_removal_is_committed_and_nobody_waits_for_that(
    db: psycopg.Connection, other: psycopg.Connection
) -> None:
    ways = [
        "SELECT pgmq.pop('q')",
        "SELECT pgmq.delete('q', 1::bigint)",
        "SELECT pgmq.archive('q', 1::bigint)",
        "SELECT pgmq.ack('q', 1, read_ct) FROM pgmq.read('q', 60, 1)",
        "DELETE FROM pgmq.q_q",
    ]
    for kind, way in itertools.product(MAKE, ways):
        with case(way), _queue(db, kind):
            never_wait(db)
            _once(db, "a")
            for end in ("ROLLBACK", "COMMIT"):
                other.execute("BEGIN")
                other.execute(way.encode())
                assert _once(db, "a") == (1, False)
                other.execute(end.encode())
            assert (_once(db, "a") or ())[1] is True


def test_who_has_removed_the_message_itself_may_send_the_key_again(
    db: psycopg.Connection, other: psycopg.Connection
) -> None:
    for kind in MAKE:
        with _queue(db, kind):
            _once(db, "a")
            other.execute("BEGIN")
            other.execute("SELECT pgmq.pop('q')")
            msg_id, is_new = _once(other, "a") or (0, None)
            assert is_new
            other.execute("COMMIT")
            assert _once(db, "a") == (msg_id, False)


def test_a_stricter_transaction_fails_where_its_snapshot_is_out_of_date(
    db: psycopg.Connection, other: psycopg.Connection
) -> None:
    levels = ["REPEATABLE READ", "SERIALIZABLE"]
    for kind, level in itertools.product(MAKE, levels):
        with case(level), _queue(db, kind):
            never_wait(db)
            for key in ("kept", "leased", "gone"):
                _once(db, key)
            begin = f"BEGIN ISOLATION LEVEL {level}; SELECT 1".encode()
            other.execute(begin)
            assert _once(other, "kept") == (1, False)
            # It holds no lock on it.
            db.execute("SELECT pgmq.delete('q', 1::bigint)")
            other.execute("ROLLBACK")
            for key, before in {
                "leased": "SELECT pgmq.read('q', 60, 1)",
                "gone": "SELECT pgmq.delete('q', 3::bigint)",
                "new": ONCE % "'new'",
            }.items():
                other.execute(begin)
                db.execute(before.encode())
                with pytest.raises(psycopg.errors.SerializationFailure):
                    _once(other, key)
                other.execute("ROLLBACK")
            # Begun again, it succeeds, also while a removal is not committed.
            assert (_once(db, "gone") or ())[1]
            db.execute("BEGIN")
            db.execute("DELETE FROM pgmq.q_q WHERE msg_id > 2")
            other.execute(begin)
            assert (_once(other, "gone") or ())[1] is False
            other.execute("COMMIT")
            db.execute("ROLLBACK")


def test_upkeep_makes_nobody_wait_for_a_key_that_is_pending_or_young(
    db: psycopg.Connection, other: psycopg.Connection
) -> None:
    for kind in MAKE:
        with _queue(db, kind):
            never_wait(db)
            for key in ("pending", "young", "old"):
                _once(db, key)
            db.execute("DELETE FROM pgmq.q_q WHERE msg_id > 1")
            db.execute(
                "UPDATE pgmq.dedup_q SET sent_at = sent_at - interval '1 hour'"
                " WHERE dedup_key <> 'young'"
            )
            other.execute("BEGIN")
            assert one(other, "SELECT pgmq._forget_q(100)") == 1
            assert _once(db, "pending") == (1, False)
            assert (_once(db, "young") or ())[1] is True
            db.execute("SET lock_timeout = '200ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                _once(db, "old")
            never_wait(db)
            other.execute("COMMIT")
            assert (_once(db, "old") or ())[1] is True


def test_at_any_moment_one_message_of_a_key_is_pending_and_none_is_lost(
    queue: psycopg.Connection, connect: Connect
) -> None:
    stop = time.monotonic() + 4
    new: list[int] = []
    taken: list[int] = []
    failures: list[BaseException] = []

    def send(session: psycopg.Connection, seed: int) -> None:
        chance = random.Random(seed)
        while time.monotonic() < stop:
            keys = [str(chance.randrange(20)) for _ in range(chance.choice([1, 1, 4]))]
            if len(keys) == 1:
                got = session.execute(ONCE.encode(), keys).fetchall()
            else:
                got = session.execute(BATCH.encode(), (len(keys), keys)).fetchall()
            if chance.random() < 0.3:
                session.rollback()
            else:
                session.commit()
                new.extend(msg_id for msg_id, is_new in got if is_new)

    def consume(session: psycopg.Connection, seed: int) -> None:
        chance = random.Random(seed)
        while time.monotonic() < stop:
            call = chance.choice(TAKES)
            got = ids(session, call)
            if chance.random() < 0.3:
                session.rollback()
            else:
                session.commit()
                taken.extend(got)

    def watch(session: psycopg.Connection, _: int) -> None:
        while time.monotonic() < stop:
            assert ids(session, TWICE) == []
            session.execute("SELECT pgmq._forget_q(null)")
            session.commit()

    def run(work: Any, seed: int) -> None:
        try:
            with connect(autocommit=False) as session:
                work(session, seed)
        except (psycopg.Error, AssertionError) as error:
            failures.append(error)

    threads = [
        threading.Thread(target=run, args=(work, seed))
        for seed, work in enumerate([send, send, send, consume, consume, watch])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    left = ids(queue, "SELECT msg_id FROM pgmq.q_q")
    assert len(new) > 50
    assert sorted(new) == sorted(taken + left)
