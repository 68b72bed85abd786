"""Readers beside each other that meet messages which must not be handed out."""

from __future__ import annotations

import itertools
import json
import threading
from typing import TYPE_CHECKING

import psycopg
import pytest

from support.prepared import prepared
from support.queries import ids
from support.waiting import never_wait

if TYPE_CHECKING:
    from conftest import Connect

# Each takes up to so many messages, in msg_id order where there is but one group.
TAKES = {
    "read": "pgmq.read('q', 60, %s)",
    "read with a condition": """pgmq.read('q', 60, %s, '{"live": true}')""",
    "read_any": "pgmq.read_any('{q}', 60, %s)",
    "pop": "pgmq.pop('q', %s)",
    "ack_and_read": "pgmq.ack_and_read('q', 60, %s, '{}', '{}')",
    "read_grouped": "pgmq.read_grouped('q', 60, %s)",
    "read_grouped_rr": "pgmq.read_grouped_rr('q', 60, %s)",
    "read_grouped_head": "pgmq.read_grouped_head('q', 60, %s)",
}
EVERY = pytest.mark.parametrize("take", TAKES.values(), ids=TAKES.keys())
# Both ways to be dead: one is parked and due, the other is ready.
STATES = {
    "received too often": "UPDATE pgmq.q_q SET read_ct = 3, vt = now()"
    " + interval '1 microsecond' WHERE msg_id = ANY (%s)",
    "expired": "UPDATE pgmq.q_q SET enqueued_at = now() - interval '2 days',"
    " vt = now() - interval '2 days' WHERE msg_id = ANY (%s)",
}
DEAD = pytest.mark.parametrize("state", STATES.values(), ids=STATES.keys())


def _take(session: psycopg.Connection, take: str, qty: int) -> list[int]:
    return ids(session, f"SELECT msg_id FROM {take}", qty)


def _dead(session: psycopg.Connection) -> list[int]:
    query = "SELECT (headers -> 'x-pgmq-dead-letter' ->> 'msg_id')::int FROM pgmq.q_dead"
    return sorted(ids(session, query))


def _send(session: psycopg.Connection, count: int) -> None:
    """Send messages of a group each."""
    session.execute(
        """
        SELECT pgmq.send_batch('q', array_agg('{"live": true}'::jsonb), array_agg(
            jsonb_build_object('x-pgmq-group', i::text) ORDER BY i))
        FROM generate_series(1, %s) AS i
        """,
        (count,),
    )


template = prepared(
    "SELECT pgmq.create('q'), pgmq.create_fifo_index('q');"
    "SELECT pgmq.set_policy('q', max_receives => 3, message_ttl => '1 day',"
    " dead_letter_queue => 'dead')",
    by="queue",
)


@pytest.fixture
def queue(db: psycopg.Connection) -> psycopg.Connection:
    never_wait(db)
    return db


@EVERY
@DEAD
def test_while_one_reader_buries_another_passes_on_and_nobody_waits(
    queue: psycopg.Connection, other: psycopg.Connection, take: str, state: str
) -> None:
    _send(queue, 4)
    queue.execute(state.encode(), ([1, 2],))
    with other.transaction():
        assert _take(other, take, 1) == [3]
        assert _take(queue, take, 1) == [4]
        assert _take(queue, take, 1) == []
        assert _dead(other) == [1, 2]
        assert _dead(queue) == []
    assert _dead(queue) == [1, 2]
    assert _take(queue, take, 5) == []


@EVERY
@pytest.mark.parametrize("how", ["ROLLBACK", "kill"])
def test_what_a_reader_buried_is_back_unchanged_when_it_fails(
    queue: psycopg.Connection, other: psycopg.Connection, take: str, how: str
) -> None:
    _send(queue, 2)
    queue.execute(STATES["received too often"].encode(), ([1],))
    before = queue.execute("SELECT * FROM pgmq.q_q ORDER BY msg_id").fetchall()
    other.execute("BEGIN")
    assert _take(other, take, 1) == [2]
    if how == "kill":
        queue.execute("SELECT pg_terminate_backend(%s, 5000)", (other.info.backend_pid,))
    else:
        other.execute("ROLLBACK")
    assert queue.execute("SELECT * FROM pgmq.q_q ORDER BY msg_id").fetchall() == before
    assert _dead(queue) == []
    assert _take(queue, take, 1) == [2]
    assert _dead(queue) == [1]


def test_readers_in_parallel_bury_each_message_once_and_read_each_live_one_once(
    queue: psycopg.Connection, connect: Connect
) -> None:
    _send(queue, 3000)
    odd = list(range(1, 3001, 2))
    queue.execute(STATES["received too often"].encode(), (odd[:750],))
    queue.execute(STATES["expired"].encode(), (odd[750:],))
    got: list[int] = []
    sessions = [connect() for _ in TAKES]
    start = threading.Barrier(len(sessions))

    def drain(session: psycopg.Connection, take: str) -> None:
        start.wait()
        for number in range(10_000):
            # Now and then one fails.
            with session.transaction(force_rollback=number % 5 == 3) as transaction:
                batch = _take(session, take, 3)
            if not transaction.force_rollback:
                got.extend(batch)
            if not batch and not ids(session, "SELECT 1 FROM pgmq.peek('q')"):
                break

    threads = [
        threading.Thread(target=drain, args=pair)
        for pair in zip(sessions, TAKES.values(), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == list(range(2, 3001, 2))
    # If the last burial was one of those that were rolled back, it is done by whoever reads next.
    assert _take(queue, TAKES["read"], 3) == []
    assert _dead(queue) == odd


def test_an_acknowledgement_and_a_burial_do_not_both_have_the_message(
    queue: psycopg.Connection, other: psycopg.Connection
) -> None:
    _send(queue, 2)
    queue.execute(STATES["received too often"].encode(), ([1, 2],))
    # Its lease has ended, but nobody else has the message yet.
    with other.transaction():
        assert ids(other, "SELECT pgmq.ack('q', 1, 3)") == [True]
        assert _take(queue, TAKES["read"], 1) == []
    assert _dead(queue) == [2]
    assert ids(other, "SELECT pgmq.ack('q', 2, 3)") == [False]


@pytest.mark.parametrize(
    "level", [psycopg.IsolationLevel.REPEATABLE_READ, psycopg.IsolationLevel.SERIALIZABLE]
)
def test_under_a_stricter_isolation_level_a_reader_buries_what_its_snapshot_shows(
    queue: psycopg.Connection, connect: Connect, level: psycopg.IsolationLevel
) -> None:
    _send(queue, 3)
    queue.execute(STATES["received too often"].encode(), ([1],))
    strict = connect(autocommit=False)
    strict.isolation_level = level
    strict.execute("SELECT 1")
    assert _take(queue, TAKES["read"], 1) == [2]
    # It sees message 1, which is gone.
    with pytest.raises(psycopg.errors.SerializationFailure):
        _take(strict, TAKES["read"], 1)
    strict.rollback()
    queue.execute(STATES["received too often"].encode(), ([2],))
    assert _take(strict, TAKES["read"], 1) == [3]
    strict.commit()
    assert _dead(queue) == [1, 2]


def test_a_burial_shuts_its_group_until_it_is_committed(
    queue: psycopg.Connection, other: psycopg.Connection
) -> None:
    queue.execute(
        """SELECT pgmq.send('q', '1', '{"x-pgmq-group": "g"}'::jsonb) FROM generate_series(1, 3)"""
    )
    queue.execute(STATES["received too often"].encode(), ([1],))
    group = "pgmq.read_group('q', 'g', 60, %s)"
    with other.transaction(force_rollback=True):
        # It buries the first one and leases the next.
        assert _take(other, group, 1) == [2]
        for take in (group, TAKES["read_grouped"]):
            assert _take(queue, take, 5) == []
    assert _take(queue, group, 5) == [2, 3]
    assert _dead(queue) == [1]


def _pushed(session: psycopg.Connection) -> list[int]:
    session.execute("SELECT 1")
    return [json.loads(note.payload)["msg_id"] for note in session.notifies(timeout=0)]


@pytest.mark.parametrize("grouped", [True, False])
@DEAD
def test_no_dead_message_is_pushed(
    queue: psycopg.Connection, connect: Connect, grouped: bool, state: str
) -> None:
    if not grouped:
        queue.execute("DROP INDEX pgmq.fifo_idx_q")
    _send(queue, 4)
    queue.execute(state.encode(), ([1, 3],))
    queue.execute("SELECT pgmq.enable_push('q')")
    consumer = connect()
    consumer.execute("SELECT pgmq.open_channel('q', 1, 600)")
    assert _pushed(consumer) == [2]
    consumer.execute("SELECT pgmq.ack('q', 2, 1)")
    assert _pushed(consumer) == [4]
    assert _dead(queue) == [1, 3]
    # What is given back once too often is neither pushed again nor holds a slot.
    queue.execute("UPDATE pgmq.q_q SET read_ct = 3 WHERE msg_id = 4")
    queue.execute("UPDATE pgmq.channel_slot SET read_ct = 3")
    consumer.execute("SELECT pgmq.nack('q', 4, 3)")
    _send(queue, 1)
    assert _pushed(consumer) == [5]
    assert _dead(queue) == [1, 3, 4]


@pytest.mark.parametrize(
    ("take", "state"),
    [*zip(TAKES.values(), itertools.cycle(STATES.values()), strict=False)],
    ids=TAKES,
)
def test_live_messages_behind_many_dead_ones_come_within_few_calls_of_bounded_work(
    queue: psycopg.Connection, take: str, state: str
) -> None:
    _send(queue, 3002)
    queue.execute(state.encode(), (list(range(1, 3001)),))
    buried = [0]
    found: list[int] = []
    while not found and len(buried) < 20:
        found = _take(queue, take, 2)
        buried.append(len(_dead(queue)))
    assert found == [3001, 3002]
    assert max(after - before for before, after in itertools.pairwise(buried)) <= 1_200
    assert len(_dead(queue)) == 3000
