"""Redriving and moving beside other sessions: shared, waited for, given up, never done twice."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from support.prepared import prepared
from support.queries import ids
from support.waiting import Waiting, never_wait

if TYPE_CHECKING:
    from conftest import Connect

REDRIVE = "SELECT pgmq.redrive('dead')"


def _redrive(session: psycopg.Connection, qty: int | None = None) -> int:
    return int(ids(session, "SELECT pgmq.redrive('dead', NULL, %s)", qty)[0])


def _fill(session: psycopg.Connection, count: int) -> None:
    session.execute(
        "INSERT INTO pgmq.q_dead (enqueued_at, vt, message, headers)"
        """ SELECT now(), now(), to_jsonb(i), '{"x-pgmq-dead-letter": {"queue": "q"}}'"""
        " FROM generate_series(1, %s) AS i",
        (count,),
    )


def _messages(session: psycopg.Connection, queue: str) -> list[Any]:
    return ids(session, f"SELECT message FROM pgmq.q_{queue} ORDER BY msg_id")


template = prepared("SELECT pgmq.create('q'), pgmq.create('dead')", by="queues")


@pytest.fixture
def queues(db: psycopg.Connection) -> psycopg.Connection:
    never_wait(db)
    return db


def test_redrives_at_once_share_the_work_and_move_each_message_once(
    queues: psycopg.Connection, connect: Connect
) -> None:
    _fill(queues, 20_000)
    moved: list[int] = []
    start = threading.Barrier(4)

    def work(session: psycopg.Connection, qty: int | None) -> None:
        start.wait()
        mine = 0
        while count := _redrive(session, qty):
            mine += count
        moved.append(mine)

    threads = [
        threading.Thread(target=work, args=(connect(), qty)) for qty in (None, None, 300, 300)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(moved) == 20_000
    assert sum(1 for mine in moved if mine) > 1
    assert _messages(queues, "dead") == []
    assert sorted(_messages(queues, "q")) == list(range(1, 20_001))


def test_a_second_redrive_takes_what_the_first_has_not_come_to(
    queues: psycopg.Connection, other: psycopg.Connection
) -> None:
    _fill(queues, 5)
    with other.transaction():
        assert _redrive(other, 2) == 2
        assert _redrive(queues, 2) == 2
        assert _messages(queues, "q") == [3, 4]
        assert _redrive(queues) == 1
        assert _redrive(queues) == 0
    assert sorted(_messages(queues, "q")) == [1, 2, 3, 4, 5]


def test_a_letter_that_a_consumer_holds_stays_and_nobody_waits(
    queues: psycopg.Connection, other: psycopg.Connection
) -> None:
    _fill(queues, 3)
    with other.transaction():
        assert ids(other, "SELECT msg_id FROM pgmq.read('dead', 0, 1)") == [1]
        assert _redrive(queues) == 2
    assert _messages(queues, "q") == [2, 3]
    assert _redrive(queues) == 1
    with other.transaction():
        _fill(other, 1)  # not committed yet
        assert _redrive(queues) == 0
    assert _redrive(queues) == 1


def test_consumers_of_both_queues_do_not_wait_for_a_redrive_and_see_none_of_it(
    queues: psycopg.Connection, other: psycopg.Connection
) -> None:
    _fill(queues, 3)
    with other.transaction():
        assert _redrive(other, 2) == 2
        assert ids(queues, "SELECT msg_id FROM pgmq.read('q', 60, 5)") == []
        queues.execute("SELECT pgmq.send('q', '9')")
        assert ids(queues, "SELECT message FROM pgmq.read('q', 60, 5)") == [9]
        assert ids(queues, "SELECT message FROM pgmq.read('dead', 60, 5)") == [3]
    assert ids(queues, "SELECT message FROM pgmq.read('q', 60, 5)") == [1, 2]


@pytest.mark.parametrize("how", ["rollback", "kill"])
@pytest.mark.parametrize("call", ["redrive('dead')", "move('dead', 1, 'q')"])
def test_what_is_rolled_back_or_killed_leaves_everything_as_it_was(
    queues: psycopg.Connection, other: psycopg.Connection, how: str, call: str
) -> None:
    _fill(queues, 3000)
    before = queues.execute("SELECT * FROM pgmq.q_dead ORDER BY msg_id").fetchall()
    other.execute("BEGIN")
    other.execute(f"SELECT pgmq.{call}".encode())
    if how == "kill":
        queues.execute("SELECT pg_terminate_backend(%s, 5000)", (other.info.backend_pid,))
    else:
        other.execute("ROLLBACK")
    assert queues.execute("SELECT * FROM pgmq.q_dead ORDER BY msg_id").fetchall() == before
    assert _messages(queues, "q") == []
    assert _redrive(queues) == 3000


def test_a_redrive_that_is_killed_between_its_steps_moves_nothing(
    queues: psycopg.Connection, connect: Connect
) -> None:
    _fill(queues, 3000)
    # Its third step waits here for the outcome of this insertion.
    queues.execute("CREATE UNIQUE INDEX ON pgmq.q_q (message) WHERE message = '2500'")
    other = connect()
    with queues.transaction(force_rollback=True):
        queues.execute("SELECT pgmq.send('q', '2500')")
        waiting = Waiting(other, REDRIVE).until_it_waits(queues)
        queues.execute("SELECT pg_terminate_backend(%s, 5000)", (other.info.backend_pid,))
        with pytest.raises(psycopg.OperationalError):
            waiting.result()
    assert _messages(queues, "q") == []
    assert _messages(queues, "dead") == list(range(1, 3001))
    assert _redrive(queues) == 3000


def test_a_target_dropped_meanwhile_is_waited_for_and_its_letters_stay(
    queues: psycopg.Connection, connect: Connect
) -> None:
    _fill(queues, 3)
    other = connect()
    with queues.transaction():
        queues.execute("SELECT pgmq.drop_queue('q')")
        waiting = Waiting(other, REDRIVE).until_it_waits(queues)
    with pytest.raises(psycopg.errors.UndefinedTable):
        waiting.result()
    assert _messages(queues, "dead") == [1, 2, 3]
    assert _redrive(other) == 0
    other.execute("SELECT pgmq.create('q')")
    assert _redrive(other) == 3


def test_dropping_the_target_waits_for_a_redrive(
    queues: psycopg.Connection, other: psycopg.Connection
) -> None:
    _fill(queues, 3)
    queues.execute("SET lock_timeout = '100ms'")
    with other.transaction():
        assert _redrive(other) == 3
        with pytest.raises(psycopg.errors.LockNotAvailable):
            queues.execute("SELECT pgmq.drop_queue('q')")


@pytest.mark.parametrize(
    "level", [psycopg.IsolationLevel.REPEATABLE_READ, psycopg.IsolationLevel.SERIALIZABLE]
)
def test_under_a_stricter_isolation_level_a_redrive_moves_what_its_snapshot_shows(
    queues: psycopg.Connection, connect: Connect, level: psycopg.IsolationLevel
) -> None:
    _fill(queues, 2)
    strict = connect(autocommit=False)
    strict.isolation_level = level
    strict.execute("SELECT 1")
    _fill(queues, 1)
    assert _redrive(strict) == 2
    strict.commit()
    strict.execute("SELECT 1")
    queues.execute("SELECT pgmq.read('dead', 0, 1)")
    with pytest.raises(psycopg.errors.SerializationFailure):
        _redrive(strict)
    strict.rollback()
    assert _redrive(strict) == 1
    strict.commit()
    assert sorted(_messages(queues, "q")) == [1, 1, 2]


def test_moving_waits_for_whoever_holds_the_message(
    queues: psycopg.Connection, connect: Connect
) -> None:
    _fill(queues, 2)
    other = connect()
    for outcome, msg_id, moved in (("COMMIT", 1, None), ("ROLLBACK", 2, 1)):
        queues.execute("BEGIN")
        queues.execute("SELECT pgmq.delete('dead', %s::bigint)", (msg_id,))
        move = "SELECT pgmq.move('dead', %s, 'q')"
        waiting = Waiting(other, move, msg_id).until_it_waits(queues)
        queues.execute(outcome.encode())
        assert waiting.result() == [(moved,)]


def test_two_moves_of_one_message_move_it_once(
    queues: psycopg.Connection, connect: Connect
) -> None:
    queues.execute("SELECT pgmq.create('r')")
    _fill(queues, 50)
    found: list[Any] = []

    def work(session: psycopg.Connection, queue: str) -> None:
        for msg_id in range(1, 51):
            found.extend(ids(session, "SELECT pgmq.move('dead', %s, %s)", msg_id, queue))

    threads = [threading.Thread(target=work, args=(connect(), queue)) for queue in "qr"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([msg_id for msg_id in found if msg_id]) == 50
    assert sorted(_messages(queues, "q") + _messages(queues, "r")) == list(range(1, 51))


def test_archived_messages_come_back_once_whoever_asks(
    queues: psycopg.Connection, connect: Connect, other: psycopg.Connection
) -> None:
    queues.execute("SELECT pgmq.send_batch('q', array_fill('0'::jsonb, '{900}'))")
    queues.execute("SELECT pgmq.archive('q', ARRAY(SELECT generate_series(1, 900)))")
    some = "SELECT pgmq.requeue('q', since => '-infinity', qty => %s)"
    # Nobody waits, and what is given up is there for others.
    other.execute("BEGIN")
    assert ids(other, some, 7) == [7]
    assert ids(queues, "SELECT pgmq.requeue('q', ARRAY[1, 2, 7, 8])") == [1]
    other.execute("ROLLBACK")
    counts: list[int] = []

    def requeue(session: psycopg.Connection) -> None:
        while count := ids(session, some, 20)[0]:
            counts.append(count)

    threads = [threading.Thread(target=requeue, args=(connect(),)) for _ in "123"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 899
    was = "SELECT (headers #> '{x-pgmq-requeued,msg_id}')::bigint FROM pgmq.q_q ORDER BY 1"
    assert ids(queues, was) == list(range(1, 901))
    assert ids(queues, "SELECT count(*) FROM pgmq.a_q") == [0]


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_an_old_snapshot_requeues_nothing_that_is_gone(
    queues: psycopg.Connection, other: psycopg.Connection, level: str
) -> None:
    queues.execute("SELECT pgmq.send_batch('q', '{1,2}'), pgmq.archive('q', '{1,2}'::bigint[])")
    for end, found in (("ROLLBACK", []), ("COMMIT", [2])):
        other.execute(f"BEGIN ISOLATION LEVEL {level}; SELECT 1".encode())
        assert ids(other, "SELECT pgmq.requeue('q', '{2}')") == [1]
        other.execute(end.encode())
        assert ids(queues, "SELECT message FROM pgmq.peek('q', 9)") == found
    other.execute(f"BEGIN ISOLATION LEVEL {level}; SELECT 1".encode())
    assert ids(queues, "SELECT pgmq.requeue('q', '{1}')") == [1]
    with pytest.raises(psycopg.errors.SerializationFailure):
        other.execute("SELECT pgmq.requeue('q', '{1}')")
    other.execute("ROLLBACK")
    assert ids(queues, "SELECT message FROM pgmq.peek('q', 9)") == [2, 1]
