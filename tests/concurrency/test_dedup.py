"""Senders with the same keys: who waits for whom, and that each key is sent exactly once."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from support.prepared import prepared
from support.waiting import Waiting, never_wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Connect

ONCE = "SELECT * FROM pgmq.send_once('q', '1', %s)"
BATCH = (
    "SELECT s.* FROM (SELECT %s::text[] AS keys) AS k,"
    " pgmq.send_once('q', array_fill('1'::jsonb, ARRAY[cardinality(keys)]), keys) AS s"
)
HEADER = "SELECT * FROM pgmq.send('q', '1', jsonb_build_object('x-pgmq-dedup-id', %s::text))"
EXPIRE = "UPDATE pgmq.dedup_q SET sent_at = sent_at - interval '1 hour'"
Row = tuple[Any, ...]


def _once(session: psycopg.Connection, key: str) -> Row | None:
    return session.execute(ONCE, (key,)).fetchone()


def _messages(db: psycopg.Connection) -> dict[str, int]:
    return Counter(
        row[0]
        for row in db.execute("SELECT headers ->> 'x-pgmq-dedup-id' FROM pgmq.q_q").fetchall()
    )


template = prepared(
    "SELECT pgmq.create('q'); SELECT pgmq.set_policy('q', dedup_window => '1 hour')", by="queue"
)


@pytest.fixture
def queue(db: psycopg.Connection) -> psycopg.Connection:
    return db


@pytest.fixture
def other(connect: Connect) -> psycopg.Connection:
    """Another session; it waits for what becomes of a key, but not forever."""
    session = connect()
    session.execute("SET lock_timeout = '20s'")
    return session


@pytest.fixture(params=["new", "its window is over", "never sent"])
def first(
    request: pytest.FixtureRequest, queue: psycopg.Connection, connect: Connect
) -> psycopg.Connection:
    """A session that has sent the key "a" and not committed; what there was of the key before."""
    if request.param == "its window is over":
        _once(queue, "a")
        queue.execute(EXPIRE)
    elif request.param == "never sent":
        # As 2.0.0 left it of a sender that was given no message.
        queue.execute("INSERT INTO pgmq.dedup_q (dedup_key, sent_at) VALUES ('a', now())")
    queue.execute("DELETE FROM pgmq.q_q")
    queue.execute("ALTER SEQUENCE pgmq.q_q_msg_id_seq RESTART WITH 10")
    session = connect(autocommit=False)
    assert _once(session, "a") == (10, True)
    return session


def _commit(first: psycopg.Connection, db: psycopg.Connection) -> None:
    first.commit()


def _roll_back(first: psycopg.Connection, db: psycopg.Connection) -> None:
    first.rollback()


def _kill(first: psycopg.Connection, db: psycopg.Connection) -> None:
    db.execute("SELECT pg_terminate_backend(%s)", (first.info.backend_pid,))


@pytest.mark.parametrize(
    ("end", "msg_id", "is_new"), [(_commit, 10, False), (_roll_back, 11, True), (_kill, 11, True)]
)
def test_a_sender_waits_for_what_becomes_of_the_first(
    queue: psycopg.Connection,
    first: psycopg.Connection,
    other: psycopg.Connection,
    end: Callable[[psycopg.Connection, psycopg.Connection], None],
    msg_id: int,
    is_new: bool,
) -> None:
    waiting = Waiting(other, ONCE, "a").until_it_waits(queue)
    end(first, queue)
    assert waiting.result() == [(msg_id, is_new)]
    assert queue.execute("SELECT msg_id FROM pgmq.q_q").fetchall() == [(msg_id,)]


@pytest.mark.parametrize("call", [BATCH, HEADER])
def test_every_way_to_send_waits_and_gets_the_first(
    queue: psycopg.Connection, connect: Connect, other: psycopg.Connection, call: str
) -> None:
    with connect() as first, first.transaction():
        _once(first, "a")
        arguments = (["b", "a"],) if call == BATCH else ("a",)
        waiting = Waiting(other, call, *arguments).until_it_waits(queue)
    assert waiting.result() == ([(2, True), (1, False)] if call == BATCH else [(1,)])


def test_a_sender_that_waits_has_its_place_already(
    queue: psycopg.Connection, connect: Connect, other: psycopg.Connection
) -> None:
    first = connect(autocommit=False)
    _once(first, "a")
    waiting = Waiting(other, ONCE, "a").until_it_waits(queue)
    assert _once(queue, "b") == (3, True)
    first.rollback()
    assert waiting.result() == [(2, True)]


@pytest.mark.parametrize(
    "call",
    [
        "SELECT pgmq.pop('q')",
        "SELECT pgmq.archive('q', 1::bigint)",
        "SELECT pgmq.purge_queue('q')",
        "SELECT pgmq.read('q', 60, 1)",
    ],
)
def test_neither_waits_a_sender_for_what_is_done_with_the_first_nor_does_it_matter(
    queue: psycopg.Connection, other: psycopg.Connection, call: str
) -> None:
    never_wait(queue)
    _once(queue, "a")
    for end in ("ROLLBACK", "COMMIT"):
        other.execute("BEGIN")
        other.execute(call.encode())
        assert _once(queue, "a") == (1, False)
        other.execute(end.encode())
        assert _once(queue, "a") == (1, False)


def test_duplicates_wait_neither_for_each_other_nor_for_new_keys(
    queue: psycopg.Connection, connect: Connect, other: psycopg.Connection
) -> None:
    never_wait(queue)
    _once(queue, "a")
    other.execute("BEGIN")
    assert other.execute(BATCH, (["a", "b"],)).fetchall() == [(1, False), (2, True)]
    assert _once(queue, "a") == (1, False)
    assert _once(queue, "c") == (3, True)
    # Nor where they had to wait for the first.
    waiting = [Waiting(connect(autocommit=False), ONCE, "b").until_it_waits(queue) for _ in "123"]
    other.execute("COMMIT")
    assert [one.result() for one in waiting] == [[(2, False)]] * 3


def test_a_key_whose_window_is_over_may_be_deleted_at_any_time(
    queue: psycopg.Connection, other: psycopg.Connection, connect: Connect
) -> None:
    _once(queue, "a")
    queue.execute(EXPIRE)
    upkeep = connect(autocommit=False)
    for end, msg_id in ((upkeep.rollback, 2), (upkeep.commit, 3)):
        upkeep.execute("DELETE FROM pgmq.dedup_q")
        waiting = Waiting(other, ONCE, "a").until_it_waits(queue)
        end()
        assert waiting.result() == [(msg_id, True)]
        assert _once(queue, "a") == (msg_id, False)
        queue.execute(EXPIRE)


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_stricter_transaction_fails_where_its_snapshot_does_not_show_the_first(
    queue: psycopg.Connection, other: psycopg.Connection, connect: Connect, level: str
) -> None:
    _once(queue, "seen")
    _once(queue, "over")
    queue.execute(EXPIRE + " WHERE dedup_key = 'over'")
    for key in ("a", "over"):
        other.execute(f"BEGIN ISOLATION LEVEL {level}".encode())
        assert _once(other, "seen") == (1, False)
        _once(queue, key)
        with pytest.raises(psycopg.errors.SerializationFailure):
            _once(other, key)
        other.execute("ROLLBACK")
    # Also when it had to wait for it; not when that was for nothing.
    first = connect(autocommit=False)
    for end in (first.commit, first.rollback):
        _once(first, f"b {end.__name__}")
        other.execute(f"BEGIN ISOLATION LEVEL {level}".encode())
        waiting = Waiting(other, ONCE, f"b {end.__name__}").until_it_waits(queue)
        end()
        if end == first.commit:
            with pytest.raises(psycopg.errors.SerializationFailure):
                waiting.result()
        else:
            assert waiting.result()[0][1] is True
        other.execute("ROLLBACK")


def test_batches_in_opposite_orders_do_not_deadlock(
    queue: psycopg.Connection, connect: Connect
) -> None:
    queue.execute("SET deadlock_timeout = '1s'")
    keys = [f"k{n}" for n in range(200)]
    # Of every second key the window is over.
    queue.execute(BATCH, (keys[::2],))
    queue.execute(EXPIRE + "; DELETE FROM pgmq.q_q")
    failures: list[psycopg.Error] = []

    def send(session: psycopg.Connection, keys: list[str]) -> None:
        try:
            for _ in range(15):
                session.execute(BATCH, (keys,))
                with session.transaction(force_rollback=True):
                    session.execute(BATCH, ([f"{k}x" for k in keys],))
        except psycopg.Error as error:
            failures.append(error)

    threads = [
        threading.Thread(target=send, args=(connect(), order))
        for order in (keys, keys[::-1], keys, keys[::-1])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert set(_messages(queue).values()) == {1}


def test_dropping_the_queue_does_not_deadlock_with_a_sender(
    queue: psycopg.Connection, connect: Connect, other: psycopg.Connection
) -> None:
    first = connect(autocommit=False)
    _once(first, "a")
    sender = connect()
    waiting = Waiting(sender, ONCE, "a").until_it_waits(queue)
    drop = Waiting(other, "SELECT pgmq.drop_queue('q')").until_it_waits(queue)
    first.rollback()
    assert waiting.result() == [(2, True)]
    assert drop.result() == [(True,)]


def test_turning_the_window_off_waits_for_no_open_sender_nor_does_one_wait_for_it(
    queue: psycopg.Connection, other: psycopg.Connection, connect: Connect
) -> None:
    for session in (queue, other):
        never_wait(session)
    _once(queue, "a")
    _once(queue, "over")
    queue.execute(EXPIRE + " WHERE dedup_key = 'over'")
    sender = connect(autocommit=False)
    assert [_once(sender, key) for key in ("a", "b", "over")] == [(1, False), (3, True), (4, True)]
    with other.transaction():
        other.execute("SELECT pgmq.set_policy('q')")
        assert _once(queue, "c") == (5, True)
        assert _once(sender, "d") == (6, True)
    sender.commit()
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        _once(queue, "c")


def test_many_senders_with_random_keys_send_each_exactly_once(
    queue: psycopg.Connection, connect: Connect
) -> None:
    sent: list[tuple[str, int, bool]] = []
    failures: list[psycopg.Error] = []
    stop = time.monotonic() + 5

    def send(session: psycopg.Connection, seed: int) -> None:
        chance = random.Random(seed)
        while time.monotonic() < stop:
            keys = [str(chance.randrange(400)) for _ in range(chance.choice([1, 1, 1, 5]))]
            try:
                if len(keys) == 1:
                    got = session.execute(ONCE, keys).fetchall()
                else:
                    got = session.execute(BATCH, (keys,)).fetchall()
                if chance.random() < 0.3:
                    session.execute("SELECT pgmq.pop('q')")
                if chance.random() < 0.4:
                    session.rollback()
                else:
                    session.commit()
                    sent.extend((key, *row) for key, row in zip(keys, got, strict=True))
            except psycopg.Error as error:
                failures.append(error)
                session.rollback()

    def forget(session: psycopg.Connection) -> None:
        # As upkeep: keys that nobody has sent.
        while time.monotonic() < stop:
            session.execute("DELETE FROM pgmq.dedup_q WHERE sent_at < now() - interval '1 hour'")
            session.execute(
                "INSERT INTO pgmq.dedup_q (dedup_key, sent_at) VALUES (%s, now())"
                " ON CONFLICT DO NOTHING",
                (str(random.randrange(400)),),
            )

    threads = [
        threading.Thread(target=send, args=(connect(autocommit=False), seed)) for seed in range(6)
    ]
    threads.append(threading.Thread(target=forget, args=(connect(),)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    new = {key: msg_id for key, msg_id, is_new in sent if is_new}
    assert sum(is_new for _, _, is_new in sent) == len(new) > 100
    # Everybody was told the same message.
    assert {(key, msg_id) for key, msg_id, _ in sent} == set(new.items())
    assert set(_messages(queue).values()) <= {1}
