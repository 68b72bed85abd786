"""Two and more sessions on a queue: who gets what, who waits, what a rollback or a kill leaves."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from support.queries import ids
from support.waiting import never_wait

if TYPE_CHECKING:
    from conftest import Connect

READ = "SELECT msg_id FROM pgmq.read('q', 60, %s)"


@pytest.fixture
def queue(db: psycopg.Connection) -> psycopg.Connection:
    db.execute("SELECT pgmq.create('q')")
    never_wait(db)
    return db


def test_many_readers_never_get_the_same_message(
    queue: psycopg.Connection, connect: Connect
) -> None:
    queue.execute(
        "SELECT pgmq.send_batch('q', array_agg('1'::jsonb)) FROM generate_series(1, 3000)"
    )
    got: list[list[int]] = []

    def drain(session: psycopg.Connection, call: str) -> None:
        while batch := ids(session, call):
            got.append(batch)

    calls = ["SELECT msg_id FROM pgmq.read('q', 60, 7)", "SELECT msg_id FROM pgmq.pop('q', 3)"]
    threads = [threading.Thread(target=drain, args=(connect(), calls[n % 2])) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(msg_id for batch in got for msg_id in batch) == list(range(1, 3001))


@pytest.mark.parametrize("call", [READ, "SELECT msg_id FROM pgmq.pop('q', %s)"])
def test_a_reader_takes_the_next_messages_while_another_holds_the_first(
    queue: psycopg.Connection, other: psycopg.Connection, call: str
) -> None:
    queue.execute("SELECT pgmq.send_batch('q', '{1,2,3,4}')")
    with other.transaction():
        assert ids(other, READ, 2) == [1, 2]
        assert ids(queue, call, 10) == [3, 4]


def test_a_reader_takes_the_next_due_messages_while_another_holds_the_first(
    queue: psycopg.Connection, other: psycopg.Connection
) -> None:
    # More than a reader looks at: those behind must not starve while the transaction is open.
    queue.execute("SELECT pgmq.send_batch('q', array_agg('1'::jsonb)) FROM generate_series(1, 500)")
    queue.execute("SELECT count(*) FROM pgmq.read('q', 0, 500)")
    with other.transaction():
        assert len(ids(other, READ, 300)) == 300
        assert len(ids(queue, READ, 150)) == 150
        assert len(ids(queue, READ, 150)) == 50
        queue.execute("SELECT pgmq.send('q', '1')")
        assert ids(queue, READ, 1) == [501]


def test_a_rolled_back_read_pop_delete_or_archive_leaves_the_message_as_it_was(
    queue: psycopg.Connection,
) -> None:
    queue.execute("SELECT pgmq.send('q', '1')")
    before = queue.execute("SELECT * FROM pgmq.q_q").fetchall()
    for call in (
        "SELECT pgmq.read('q', 60, 1)",
        "SELECT pgmq.pop('q')",
        "SELECT pgmq.delete('q', 1::bigint)",
        "SELECT pgmq.archive('q', 1::bigint)",
        "SELECT pgmq.set_vt('q', 1, 60)",
        "SELECT pgmq.purge_queue('q')",
    ):
        with queue.transaction(force_rollback=True):
            queue.execute(call)
        assert queue.execute("SELECT * FROM pgmq.q_q").fetchall() == before
    assert ids(queue, "SELECT msg_id FROM pgmq.pop('q')") == [1]


def test_a_rolled_back_send_leaves_nothing(queue: psycopg.Connection) -> None:
    with queue.transaction(force_rollback=True):
        queue.execute("SELECT pgmq.send('q', '1')")
    assert ids(queue, READ, 1) == []
    queue.execute("SELECT pgmq.send('q', '1')")
    assert ids(queue, READ, 1) == [2]


def test_a_read_that_is_rolled_back_to_a_savepoint_is_read_again(queue: psycopg.Connection) -> None:
    queue.execute("SELECT pgmq.send('q', '1')")
    with queue.transaction():
        with queue.transaction(force_rollback=True):
            assert ids(queue, READ, 1) == [1]
        assert ids(queue, READ, 1) == [1]


def test_producers_do_not_wait_for_each_other_nor_for_readers(
    queue: psycopg.Connection, other: psycopg.Connection
) -> None:
    with other.transaction():
        other.execute("SELECT pgmq.send('q', '1')")
        with queue.transaction():
            queue.execute("SELECT pgmq.send('q', '2')")
        assert ids(queue, READ, 5) == [2]
        with queue.transaction():
            assert ids(queue, READ, 5) == []
            other.execute("SELECT pgmq.send('q', '3')")
    assert ids(queue, READ, 5) == [1, 3]


def test_purging_does_not_wait_for_a_producer_and_counts_what_it_removed(
    queue: psycopg.Connection, other: psycopg.Connection
) -> None:
    queue.execute("SELECT pgmq.send_batch('q', '{1,2,3}')")
    with other.transaction():
        other.execute("SELECT pgmq.send('q', '4')")
        assert queue.execute("SELECT pgmq.purge_queue('q')").fetchone() == (3,)
    assert ids(queue, READ, 5) == [4]


@pytest.mark.parametrize(
    "level", [psycopg.IsolationLevel.REPEATABLE_READ, psycopg.IsolationLevel.SERIALIZABLE]
)
def test_a_reader_in_a_stricter_isolation_level_takes_what_its_snapshot_shows(
    queue: psycopg.Connection, connect: Connect, level: psycopg.IsolationLevel
) -> None:
    queue.execute("SELECT pgmq.send_batch('q', '{1,2,3}')")
    strict = connect(autocommit=False)
    strict.isolation_level = level
    strict.execute("SELECT 1")
    assert ids(queue, READ, 1) == [1]
    queue.execute("SELECT pgmq.send('q', '4')")
    with pytest.raises(psycopg.errors.SerializationFailure):
        strict.execute(READ, (1,))  # another took message 1 since the snapshot
    strict.rollback()
    assert ids(strict, READ, 2) == [2, 3]
    strict.commit()
    assert ids(queue, READ, 5) == [4]


def test_a_killed_reader_gives_back_what_it_had_not_committed(
    queue: psycopg.Connection, other: psycopg.Connection
) -> None:
    queue.execute("SELECT pgmq.send_batch('q', '{1,2}')")
    other.execute("BEGIN")
    assert ids(other, READ, 1) == [1]
    queue.execute("SELECT pg_terminate_backend(%s, 5000)", (other.info.backend_pid,))
    assert ids(queue, READ, 5) == [1, 2]


def test_an_acknowledgement_is_refused_once_another_has_the_lease(
    queue: psycopg.Connection, other: psycopg.Connection
) -> None:
    queue.execute("SELECT pgmq.send_batch('q', '{1,2}')")
    queue.execute("SELECT pgmq.read('q', 0, 1)")
    assert other.execute("SELECT read_ct FROM pgmq.read('q', 60, 1)").fetchone() == (2,)
    for call in (
        "SELECT pgmq.ack('q', 1, 1)",
        "SELECT pgmq.nack('q', 1, 1)",
        "SELECT pgmq.extend('q', 1, 1, 60)",
    ):
        assert queue.execute(call).fetchone() == (False,)
    # 2 was never read.
    assert ids(queue, "SELECT pgmq.ack('q', '{1,2}'::bigint[], '{1,0}'::integer[])") == []
    # Stale pair in ack_and_read: passed over, the next batch still comes.
    assert ids(queue, "SELECT msg_id FROM pgmq.ack_and_read('q', 60, 5, '{1}', '{1}')") == [2]
    assert other.execute("SELECT pgmq.ack('q', 1, 2)").fetchone() == (True,)


def test_an_acknowledgement_waits_for_a_concurrent_read_and_is_then_refused(
    queue: psycopg.Connection, other: psycopg.Connection
) -> None:
    queue.execute("SELECT pgmq.send('q', '1')")
    queue.execute("SELECT pgmq.read('q', 0, 1)")
    other.execute("BEGIN")
    assert ids(other, READ, 1) == [1]
    answer: list[Any] = []
    queue.execute("SET lock_timeout = 0")
    thread = threading.Thread(
        target=lambda: answer.append(queue.execute("SELECT pgmq.ack('q', 1, 1)").fetchone())
    )
    thread.start()
    thread.join(0.3)
    assert answer == []
    other.execute("COMMIT")
    thread.join()
    assert answer == [(False,)]


def test_two_sessions_creating_one_queue_at_once_make_one_queue(
    db: psycopg.Connection, connect: Connect
) -> None:
    sessions = [connect() for _ in range(4)]
    errors: list[BaseException] = []

    def create(session: psycopg.Connection) -> None:
        try:
            session.execute("SELECT pgmq.create('same')")
        except psycopg.Error as error:
            errors.append(error)

    threads = [threading.Thread(target=create, args=(session,)) for session in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert db.execute("SELECT queue_name FROM pgmq.list_queues()").fetchall() == [("same",)]


def test_recompiling_goes_on_under_load(queue: psycopg.Connection, connect: Connect) -> None:
    stop = threading.Event()
    errors: list[BaseException] = []

    def work(session: psycopg.Connection) -> None:
        try:
            while not stop.is_set():
                session.execute("SELECT pgmq.send('q', '1')")
                session.execute("SELECT pgmq.delete('q', msg_id) FROM pgmq.read('q', 60, 2)")
        except psycopg.Error as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(connect(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        assert queue.execute("SELECT pgmq.recompile_all()").fetchone() == (1,)
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_poll_sees_what_is_committed_meanwhile(
    queue: psycopg.Connection, other: psycopg.Connection
) -> None:
    found: list[list[int]] = []
    thread = threading.Thread(
        target=lambda: found.append(
            ids(other, "SELECT msg_id FROM pgmq.read_with_poll('q', 60, 1, 20, 10)")
        )
    )
    thread.start()
    queue.execute("SELECT pgmq.send('q', '1')")
    thread.join(10)
    assert found == [[1]]
