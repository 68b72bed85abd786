"""Push delivery between sessions: who waits for whom, and what is left when somebody goes."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from pgmq import embedded
from support.prepared import prepared
from support.push import open_channel, pushed, send
from support.waiting import never_wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Connect


def _kill(db: psycopg.Connection, session: psycopg.Connection) -> None:
    pid = session.info.backend_pid
    db.execute("SELECT pg_terminate_backend(%s)", (pid,))
    gone = "SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = %s)"
    deadline = time.monotonic() + 10
    while db.execute(gone, (pid,)).fetchone() != (True,):
        assert time.monotonic() < deadline
        time.sleep(0.01)


template = prepared("SELECT pgmq.create('q'), pgmq.enable_push('q')", by="queue")


@pytest.fixture
def queue(db: psycopg.Connection) -> psycopg.Connection:
    never_wait(db)
    return db


def test_an_open_transaction_of_a_producer_holds_no_slot_and_delays_nobody(
    queue: psycopg.Connection, connect: Connect
) -> None:
    consumer, producer = connect(), connect(autocommit=False)
    open_channel(consumer)
    send(producer, 1)
    send(queue, 2, 3)
    assert pushed(consumer) == [2]
    consumer.execute("SELECT pgmq.ack('q', 2, 1)")
    assert pushed(consumer) == [3]
    producer.commit()
    consumer.execute("SELECT pgmq.ack('q', 3, 1)")
    assert pushed(consumer) == [1]


@pytest.mark.parametrize("change", ["ack('q', 1, 1)", "nack('q', 1, 1)", "close_channel()"])
def test_a_producer_does_not_wait_for_a_consumers_open_transaction(
    queue: psycopg.Connection, connect: Connect, change: str
) -> None:
    consumer = connect(autocommit=False)
    open_channel(consumer)
    consumer.commit()
    send(queue, 1)
    consumer.execute(f"SELECT pgmq.{change}".encode())
    start = time.monotonic()
    send(queue, 2)
    queue.execute("SELECT pgmq.close_dead_channels()")
    assert time.monotonic() - start < 1
    consumer.commit()
    assert sorted(set(pushed(consumer))) == [1] + [2] * (change[0] == "a")


@pytest.mark.parametrize("busy", [False, True], ids=["a slot is free", "all slots are filled"])
def test_the_next_sender_notices_a_killed_consumer(
    queue: psycopg.Connection, connect: Connect, busy: bool
) -> None:
    victim, other = connect(), connect()
    open_channel(victim, slots=2)
    send(queue, *([1, 2] if busy else [1]))
    open_channel(other, slots=4)
    if not busy:
        # The victim's free slot is the one that was free for longest.
        queue.execute(
            "UPDATE pgmq.channel_slot SET free_at = '-infinity' WHERE msg_id IS NULL"
            " AND channel IN (SELECT channel FROM pgmq.channel WHERE maximum_messages = 2)"
        )
    else:
        send(queue, 3, 4, 5, 6)
        assert pushed(other) == [3, 4, 5, 6]
        other.execute("SELECT pgmq.close_channel()")
        open_channel(other, slots=1)
        assert pushed(other) == [3]
    _kill(queue, victim)
    send(queue, 7)
    assert len(queue.execute("SELECT * FROM pgmq.list_channels()").fetchall()) == 1
    if busy:
        # The oldest comes first, when there is room.
        other.execute("SELECT pgmq.ack('q', 3, 2)")
        assert pushed(other) == [1]
    else:
        assert sorted(pushed(other)) == [1, 7]


def test_close_dead_channels_hands_a_killed_consumers_messages_to_the_others(
    queue: psycopg.Connection, connect: Connect
) -> None:
    victim, other = connect(), connect()
    open_channel(victim, slots=2)
    send(queue, 1, 2)
    open_channel(other, slots=2)
    _kill(queue, victim)
    assert pushed(other) == []
    assert queue.execute("SELECT pgmq.close_dead_channels()").fetchone() == (1,)
    assert pushed(other) == [1, 2]
    assert queue.execute("SELECT pgmq.close_dead_channels()").fetchone() == (0,)


def test_close_dead_channels_leaves_out_a_queue_that_is_dropped_or_fails(
    queue: psycopg.Connection, connect: Connect
) -> None:
    consumer, dropper = connect(), connect(autocommit=False)
    for name in ("broken", "dropped", "q"):
        queue.execute("SELECT pgmq.create(%s)", (name,))
        open_channel(consumer, queue=name)
    queue.execute(
        """
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
        CREATE TRIGGER fail BEFORE UPDATE ON pgmq.q_broken FOR EACH ROW EXECUTE FUNCTION fail();
        SET session_replication_role = replica;
        """
    )
    for message, name in enumerate(("broken", "dropped", "q")):
        send(queue, message, queue=name)
    queue.execute("RESET session_replication_role")
    dropper.execute("SELECT pgmq.drop_queue('dropped')")
    said: list[str | None] = []
    queue.add_notice_handler(lambda notice: said.append(notice.message_primary))
    queue.execute("SELECT pgmq.close_dead_channels()")
    assert said == ['channels of queue "broken" were left as they are: no']
    assert pushed(consumer) == [2]
    assert queue.execute("SHOW lock_timeout").fetchone() == ("2s",)
    dropper.rollback()
    queue.execute("SELECT pgmq.close_dead_channels()")
    assert pushed(consumer) == [1]


def test_a_lost_notification_costs_one_vt(queue: psycopg.Connection, connect: Connect) -> None:
    consumer = connect()
    channel = open_channel(consumer, vt=1)
    consumer.execute(f'UNLISTEN "{channel}"'.encode())
    send(queue, 1, 2)
    assert pushed(consumer) == []
    consumer.execute(f'LISTEN "{channel}"'.encode())
    row = queue.execute(
        "SELECT max(vt) - clock_timestamp() <= interval '1 second' FROM pgmq.q_q WHERE read_ct > 0"
    ).fetchone()
    assert row == (True,)
    queue.execute("SELECT pg_sleep_until(max(vt)) FROM pgmq.q_q WHERE read_ct > 0")
    queue.execute("SELECT pgmq.close_dead_channels()")
    assert pushed(consumer) == [1]


_LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"


@pytest.mark.parametrize(
    "rolled_back",
    [
        "BEGIN; SELECT pgmq.close_channel(); ROLLBACK",
        "BEGIN; SELECT pgmq.close_channel(); SELECT pgmq.close_channel(); ROLLBACK",
        "BEGIN; SELECT pgmq.close_channel(), pgmq.open_channel('q', 2, 600); ROLLBACK",
        "BEGIN; SAVEPOINT s; SELECT pgmq.close_channel(); ROLLBACK TO s; COMMIT",
    ],
)
def test_a_channel_whose_closing_is_rolled_back_lives_on(
    queue: psycopg.Connection, connect: Connect, rolled_back: str
) -> None:
    consumer, other = connect(), connect()
    open_channel(consumer, slots=2)
    send(queue, 1)
    consumer.execute(rolled_back.encode())
    open_channel(other)
    send(queue, 2, 3)
    assert queue.execute("SELECT pgmq.close_dead_channels()").fetchone() == (0,)
    assert pushed(consumer) == [1, 3]
    assert pushed(other) == [2]
    # Nothing of it is left when all is closed.
    consumer.execute("SELECT pgmq.close_channel()")
    consumer.execute("SELECT pgmq.close_channel()")
    assert consumer.execute(_LOCKS.encode()).fetchone() == (0,)


def test_channels_whose_opening_is_rolled_back_leave_one_lock_at_most(
    queue: psycopg.Connection, connect: Connect
) -> None:
    consumer = connect()
    for _ in range(3):
        consumer.execute("BEGIN; SELECT pgmq.open_channel('q'); ROLLBACK")
    assert consumer.execute(_LOCKS.encode()).fetchone() == (1,)
    open_channel(consumer)
    assert consumer.execute(_LOCKS.encode()).fetchone() == (1,)
    send(queue, 1)
    assert pushed(consumer) == [1]


def test_what_is_rolled_back_pushes_nothing_and_frees_nothing(
    queue: psycopg.Connection, connect: Connect
) -> None:
    consumer, other = connect(), connect(autocommit=False)
    open_channel(consumer)
    send(queue, 1, 2)
    assert pushed(consumer) == [1]
    for call in ("send('q', '3')", "ack('q', 1, 1)", "nack('q', 1, 1)", "archive('q', 1)"):
        other.execute(f"SELECT pgmq.{call}".encode())
        other.execute("SET CONSTRAINTS ALL IMMEDIATE")
        other.rollback()
        assert pushed(consumer) == []
    filled = "SELECT msg_id, read_ct FROM pgmq.channel_slot"
    assert queue.execute(filled).fetchall() == [(1, 1)]
    consumer.execute("SELECT pgmq.ack('q', 1, 1)")
    assert pushed(consumer) == [2]


@pytest.mark.parametrize("level", list(psycopg.IsolationLevel)[2:])
def test_repeatable_read_neither_fails_nor_breaks_a_slot(
    queue: psycopg.Connection, connect: Connect, level: psycopg.IsolationLevel
) -> None:
    consumer, old = connect(), connect(autocommit=False)
    old.isolation_level = level
    channel = open_channel(consumer, slots=2)
    send(queue, 1, 2)
    assert pushed(consumer) == [1, 2]
    old.execute("SELECT count(*) FROM pgmq.q_q, pgmq.channel_slot")
    consumer.execute("SELECT pgmq.ack('q', 1, 1)")
    send(queue, 3)
    assert pushed(consumer) == [3]
    send(old, 4)
    old.execute("SELECT pgmq.nack('q', 2, 1)")
    old.commit()
    assert pushed(consumer) == []
    # The slot of 2 is free when its lease would have ended; 4 comes with the next commit.
    consumer.execute("SELECT pgmq.ack('q', 3, 1)")
    assert pushed(consumer) == [2]
    assert queue.execute("SELECT in_flight FROM pgmq.list_channels()").fetchall() == [(2,)]
    queue.execute("UPDATE pgmq.channel_slot SET free_at = clock_timestamp() WHERE read_ct = 1")
    queue.execute("SELECT pgmq.close_dead_channels()")
    assert pushed(consumer) == [4]
    assert queue.execute(
        "SELECT count(*) FROM pgmq.channel_slot WHERE channel = %s", (channel,)
    ).fetchone() == (2,)


@pytest.mark.parametrize("call", ["ack('q', 1, 1)", "nack('q', 1, 1)"])
def test_an_old_snapshot_does_not_fail_because_a_slot_has_changed(
    queue: psycopg.Connection, connect: Connect, call: str
) -> None:
    consumer, old = connect(), connect(autocommit=False)
    old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    open_channel(consumer)
    send(queue, 1)
    old.execute("SELECT count(*) FROM pgmq.q_q")
    queue.execute("UPDATE pgmq.channel_slot SET free_at = free_at")
    old.execute(f"SELECT pgmq.{call}".encode())
    old.commit()
    assert queue.execute("SELECT msg_id FROM pgmq.channel_slot").fetchall() == [(1,)]


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_channels_are_opened_and_closed_under_repeatable_read_too(
    queue: psycopg.Connection, connect: Connect, level: str
) -> None:
    consumer, other = connect(), connect()
    consumer.execute(f"SET default_transaction_isolation = '{level}'".encode())
    queue.execute("SELECT pgmq.disable_push('q')")
    send(queue, 1)
    queue.execute("SELECT pgmq.enable_push('q')")
    open_channel(consumer)
    consumer.execute("SELECT pgmq.close_dead_channels()")
    assert pushed(consumer) == []
    other.execute("SELECT pgmq.close_dead_channels()")
    assert pushed(consumer) == [1]
    assert consumer.execute("SELECT pgmq.close_channel()").fetchone() == (1,)


def test_an_acknowledgement_does_not_wait_for_a_slot_that_is_being_looked_at(
    queue: psycopg.Connection, connect: Connect
) -> None:
    consumer, looking = connect(), connect(autocommit=False)
    open_channel(consumer, vt=60)
    send(queue, 1)
    queue.execute("SELECT pgmq.extend('q', 1, 1, 3600)")
    queue.execute("UPDATE pgmq.channel_slot SET free_at = clock_timestamp()")
    send(looking, 2)
    looking.execute("SET CONSTRAINTS ALL IMMEDIATE")
    queue.execute("SELECT pgmq.ack('q', 1, 1)")
    looking.commit()


def test_producers_in_opposite_order_do_not_deadlock(
    queue: psycopg.Connection, connect: Connect
) -> None:
    queue.execute("SELECT pgmq.create('r')")
    consumer = connect()
    for name in ("q", "r"):
        open_channel(consumer, slots=5, queue=name)
    failures: list[psycopg.Error] = []

    def work(me: int, names: str) -> None:
        session = connect(autocommit=False)
        try:
            for number in range(60):
                for name, sends in zip(names, (number % 2, number // 2 % 2), strict=True):
                    if sends:
                        send(session, me, queue=name)
                    else:  # its own, or two acknowledgers could wait for each other's messages
                        session.execute(
                            f"SELECT pgmq.delete('{name}', msg_id) FROM pgmq.q_{name}"
                            f" WHERE message = '{me}' ORDER BY msg_id LIMIT 1".encode()
                        )
                session.commit()
        except psycopg.Error as error:
            failures.append(error)

    threads = [
        threading.Thread(target=work, args=(me, names))
        for me, names in enumerate(("qr", "rq", "qr", "rq"))
    ]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("first", ["sender", "acknowledger"])
def test_a_message_and_a_slot_that_are_committed_at_once_find_each_other(
    queue: psycopg.Connection, connect: Connect, first: str
) -> None:
    consumer = connect()
    open_channel(consumer)
    send(queue, 1)
    calls = ["SELECT pgmq.send('q', '2')", "SELECT pgmq.ack('q', 1, 1)"]
    if first == "acknowledger":
        calls.reverse()
    # What deferred triggers do is done; only the commit is left to do.
    committing = connect(autocommit=False)
    committing.execute(calls[0].encode())
    committing.execute("SET CONSTRAINTS ALL IMMEDIATE")
    timer = threading.Timer(0.03, committing.commit)
    timer.start()
    queue.execute(calls[1].encode())
    timer.join()
    assert pushed(consumer) == [1, 2]


def test_what_is_sent_while_a_transaction_opens_a_channel_is_pushed_when_that_commits(
    queue: psycopg.Connection, connect: Connect
) -> None:
    consumer = connect(autocommit=False)
    send(queue, 1)
    open_channel(consumer, slots=5)
    send(queue, 2)
    assert queue.execute("SELECT sum(read_ct) FROM pgmq.q_q").fetchone() == (0,)  # nor leased
    consumer.commit()
    assert pushed(consumer) == [1, 2]


def test_a_message_and_a_channel_that_are_committed_at_once_find_each_other(
    queue: psycopg.Connection, connect: Connect
) -> None:
    full, consumer, committing = connect(), connect(), connect(autocommit=False)
    open_channel(full)
    send(queue, 1)
    send(committing, 2)
    committing.execute("SET CONSTRAINTS ALL IMMEDIATE")
    timer = threading.Timer(0.03, committing.commit)
    timer.start()
    open_channel(consumer)
    timer.join()
    assert pushed(consumer) == [2]


def test_a_commit_that_hangs_is_not_waited_for(queue: psycopg.Connection, connect: Connect) -> None:
    consumer, hanging = connect(), connect(autocommit=False)
    open_channel(consumer)
    send(queue, 1)
    send(hanging, 2)
    hanging.execute("SET CONSTRAINTS ALL IMMEDIATE")
    send(queue, 3)  # producers do not even wait for each other
    start = time.monotonic()
    queue.execute("SELECT pgmq.ack('q', 1, 1)")
    assert time.monotonic() - start < 1
    assert pushed(consumer) == [1, 3]
    queue.execute("SELECT pgmq.ack('q', 3, 1)")
    hanging.commit()
    assert pushed(consumer) == []
    queue.execute("SELECT pgmq.close_dead_channels()")
    assert pushed(consumer) == [2]


def test_closing_a_channel_waits_for_a_lock_which_a_timeout_ends(
    queue: psycopg.Connection, connect: Connect
) -> None:
    consumer, other = connect(), connect(autocommit=False)
    open_channel(consumer)
    send(queue, 1)
    other.execute("SELECT pgmq.nack('q', 1, 1)")
    consumer.execute("SET lock_timeout = '50ms'")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        consumer.execute("SELECT pgmq.close_channel()")
    other.commit()
    assert consumer.execute("SELECT pgmq.close_channel()").fetchone() == (1,)


def test_closing_a_channel_beside_a_nack_is_a_deadlock_that_is_noticed(
    queue: psycopg.Connection, connect: Connect
) -> None:
    consumer, other = connect(autocommit=False), connect(autocommit=False)
    open_channel(consumer)
    consumer.commit()
    queue.execute("SELECT pgmq.create('r'), pgmq.send('r', '1')")
    send(queue, 1)
    other.execute("SELECT pgmq.nack('q', 1, 1)")
    consumer.execute("SELECT pgmq.delete('r', 1::bigint)")
    failures: list[psycopg.Error] = []

    def delete() -> None:
        try:
            other.execute("SELECT pgmq.delete('r', 1::bigint)")
            other.commit()
        except psycopg.Error as error:
            failures.append(error)
            other.rollback()

    thread = threading.Thread(target=delete)
    thread.start()
    try:
        consumer.execute("SELECT pgmq.close_channel()")
        consumer.commit()
    except psycopg.Error as error:
        failures.append(error)
        consumer.rollback()
    thread.join(20)
    assert not thread.is_alive()
    assert [type(failure) for failure in failures] == [psycopg.errors.DeadlockDetected]


def test_a_full_notify_queue_is_an_error_of_the_sender_and_loses_nothing(
    new_server: Callable[..., embedded.Server],
) -> None:
    try:
        server = new_server(max_notify_queue_pages="64")
    except embedded.EmbeddedError:
        pytest.skip("max_notify_queue_pages is new in Postgres 17")
    with (
        psycopg.connect(server.dsn("pgmq"), autocommit=True) as producer,
        psycopg.connect(server.dsn("pgmq"), autocommit=True) as consumer,
    ):
        producer.execute("SELECT pgmq.create('q')")
        open_channel(consumer, slots=200)
        consumer.execute("BEGIN; SELECT 1")  # so it does not take what comes
        sent = 0

        def send_until_it_fails() -> None:
            nonlocal sent
            while sent < 200:
                producer.execute("SELECT pgmq.send('q', to_jsonb(repeat('x', 7500)))")
                sent += 1

        with pytest.raises(psycopg.OperationalError) as caught:
            send_until_it_fails()
        said = "too many notifications in the NOTIFY queue"
        assert caught.value.diag.message_primary == said
        assert sent > 50
        count = "SELECT count(*), count(*) FILTER (WHERE read_ct = 1) FROM pgmq.q_q"
        assert producer.execute(count).fetchone() == (sent, sent)
        consumer.execute("COMMIT")
        assert len(pushed(consumer)) == sent
