"""Schedules in several sessions: each tick is sent once, whoever finds it; nobody is held up."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from support.queries import ids, one
from support.queues import KINDS, STREAMS
from support.waiting import Waiting

if TYPE_CHECKING:
    from conftest import Connect

DUE = """
    UPDATE pgmq.schedule SET tick_at = now() - interval '1 s', next_at = now() - interval '1 s';
    SELECT setval(format('pgmq.%I', pgmq._relation_name('tick_due', queue_name)), 0)
    FROM pgmq.schedule
"""
READ = "SELECT message FROM pgmq.read('q', 30, 5)"
SENT = "SELECT headers #>> '{x-pgmq-schedule,at}' FROM pgmq.q_q ORDER BY 1"
LEVELS = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]


@pytest.fixture
def queue(db: psycopg.Connection) -> psycopg.Connection:
    db.execute("SELECT pgmq.create('q'), pgmq.schedule('s', 'q', '1 hour', '1')")
    return db


def _isolated(connect: Connect, level: str) -> psycopg.Connection:
    session = connect(autocommit=False)
    session.execute(f"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {level}".encode())
    session.commit()
    return session


@pytest.mark.parametrize("level", LEVELS[:2])
def test_whoever_races_each_tick_is_sent_once(
    db: psycopg.Connection, connect: Connect, level: str
) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.schedule('s', 'q', '1 s', '1', catch_up => true)")
    db.execute("SELECT pgmq.schedule('t', 'q', '2 s', '2', catch_up => true)")
    # As if nobody had called for an hour.
    db.execute(
        "UPDATE pgmq.schedule SET anchor = anchor - interval '1 hour',"
        " tick_at = tick_at - interval '1 hour', next_at = next_at - interval '1 hour'"
    )
    calls = [
        "SELECT pgmq.pop('q', 3)", "SELECT pgmq.send('q', '0')", "SELECT pgmq.read('q', 0, 2)",
        "SELECT pgmq.maintain('q')",
    ]  # fmt: skip
    db.execute("CREATE TABLE sent (name text, at timestamptz, UNIQUE (name, at))")
    db.execute(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO public.sent SELECT s ->> 'name', (s ->> 'at')::timestamptz"
        " FROM (SELECT new.headers -> 'x-pgmq-schedule' AS s) AS h WHERE s IS NOT NULL;"
        " RETURN new; END $$; CREATE TRIGGER note BEFORE INSERT ON pgmq.q_q"
        " FOR EACH ROW EXECUTE FUNCTION note()"
    )
    failed: list[psycopg.Error] = []
    until = time.monotonic() + 2

    def work(number: int) -> None:
        session = _isolated(connect, level)
        calling = number
        while time.monotonic() < until:
            # Leave the tick to others, too, by setting the time of the next look back.
            session.execute(b"SELECT setval('pgmq.tick_due_q', 0)")
            try:
                session.execute(calls[calling % len(calls)].encode())
            except psycopg.errors.SerializationFailure:
                session.rollback()  # of the call itself
            except psycopg.Error as error:
                failed.append(error)
                return
            if calling % 7:
                session.commit()
            else:
                session.rollback()
            calling += 1

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    db.execute("SELECT pgmq.maintain('q')")
    # The UNIQUE constraint would have been an error of a schedule.
    assert ids(db, "SELECT errors FROM pgmq.list_schedules()") == [0, 0]
    for name, step in (("s", 1), ("t", 2)):
        found = db.execute(
            "SELECT count(*), extract(epoch FROM max(at) - min(at))::int FROM sent WHERE name = %s",
            [name],
        ).fetchone()
        assert found is not None
        count, seconds = found
        assert count == seconds / step + 1
        assert count >= 3600 / step


def test_a_tick_of_a_transaction_that_rolls_back_is_sent_by_the_next_call(
    queue: psycopg.Connection, connect: Connect
) -> None:
    first = connect(autocommit=False)
    queue.execute(DUE)
    assert ids(first, READ) == [1]
    # Until that ends nobody else sends it, nor waits for it.
    queue.execute("SELECT setval('pgmq.tick_due_q', 0)")
    assert ids(queue, READ) == []
    first.rollback()
    time.sleep(0.15)  # by then the next call looks again
    assert ids(queue, READ) == [1]
    assert len(ids(queue, SENT)) == 1


def test_a_schedule_that_a_transaction_has_not_sent_is_left_to_others(
    db: psycopg.Connection, connect: Connect
) -> None:
    db.execute("SELECT pgmq.create('q')")
    for name in "abc":
        db.execute(
            "SELECT pgmq.schedule(%s, 'q', '1 s', to_jsonb(%s::text), catch_up => true)",
            [name, name],
        )
    db.execute(
        "UPDATE pgmq.schedule SET anchor = anchor - interval '1 h',"
        " tick_at = tick_at - interval '1 h', next_at = next_at - interval '1 h'"
    )
    sessions = [connect(autocommit=False) for _ in "abc"]
    sent = []
    for session in sessions:
        session.execute("SELECT setval('pgmq.tick_due_q', 0)")
        session.execute(READ)
        sent += ids(session, "SELECT name FROM pgmq.list_schedules() WHERE last_msg_id IS NOT NULL")
    assert sorted(sent) == ["a", "b", "c"]


def test_sending_much_puts_off_the_next_look_again_and_again(
    db: psycopg.Connection,
) -> None:
    # Else a send that takes long would look itself, and lock what it leaves to others.
    db.execute("SELECT pgmq.create('q'), pgmq.schedule('s', 'q', '1 s', '1', catch_up => true)")
    db.execute("UPDATE pgmq.schedule SET tick_at = now() - interval '9 s', next_at = now()")
    db.execute("SELECT setval('pgmq.tick_due_q', 0)")
    db.execute(
        "CREATE TABLE looks (at bigint);"
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO public.looks SELECT last_value FROM pgmq.tick_due_q; RETURN new; END $$;"
        "CREATE TRIGGER note BEFORE INSERT ON pgmq.q_q FOR EACH ROW EXECUTE FUNCTION note()"
    )
    assert len(ids(db, READ)) == 5
    assert one(db, "SELECT count(DISTINCT at) > 5 FROM looks")


@pytest.mark.parametrize("level", LEVELS)
def test_an_old_snapshot_sends_no_tick_again(
    queue: psycopg.Connection, connect: Connect, level: str
) -> None:
    old = _isolated(connect, level)
    queue.execute(DUE)
    one(old, "SELECT count(*) FROM pgmq.schedule")
    notices: list[str] = []
    old.add_notice_handler(lambda note: notices.append(str(note.message_primary)))
    assert ids(queue, READ) == [1]
    queue.execute("SELECT setval('pgmq.tick_due_q', 0)")
    # The message is there for those who can see it, and leased.
    assert ids(old, READ) == []
    assert one(old, "SELECT pgmq.send('q', '0')") == 2
    old.commit()
    assert notices == []
    assert len(ids(queue, SENT + " NULLS FIRST")) == 2
    assert one(queue, "SELECT errors FROM pgmq.list_schedules()") == 0


@pytest.mark.parametrize("level", LEVELS)
def test_who_sends_under_which_isolation_level(
    queue: psycopg.Connection, connect: Connect, level: str
) -> None:
    session = _isolated(connect, level)
    queue.execute(DUE)
    assert ids(session, READ) == ([] if level == "SERIALIZABLE" else [1])
    session.commit()
    assert ids(queue, READ) == ([1] if level == "SERIALIZABLE" else [])


def test_a_call_does_not_wait_long_for_what_its_message_needs(
    queue: psycopg.Connection, connect: Connect
) -> None:
    queue.execute("SELECT pgmq.set_policy('q', dedup_window => '1 h')")
    queue.execute("SELECT pgmq.schedule('s', 'q', '1 hour', '1', '{\"x-pgmq-dedup-id\": \"k\"}')")
    other = connect(autocommit=False)
    other.execute("SELECT pgmq.send_once('q', '2', 'k')")
    queue.execute(DUE)
    began = time.monotonic()
    assert ids(queue, READ) == []
    assert time.monotonic() - began < 3
    errors, error = queue.execute(
        "SELECT errors, last_error FROM pgmq.list_schedules()"
    ).fetchall()[0]
    assert errors == 1
    assert "lock timeout" in error
    other.rollback()
    queue.execute(DUE)
    assert ids(queue, READ) == [1]
    assert one(queue, "SELECT errors FROM pgmq.list_schedules()") == 0


def _slow_down(queue: psycopg.Connection) -> None:
    queue.execute(
        "CREATE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(5); RETURN new; END $$;"
        "CREATE TRIGGER nap BEFORE INSERT ON pgmq.q_q FOR EACH ROW EXECUTE FUNCTION nap()"
    )


def test_a_cancelled_call_leaves_the_tick_to_the_next_one(
    queue: psycopg.Connection, connect: Connect
) -> None:
    _slow_down(queue)
    queue.execute(DUE)
    session = connect()
    session.execute("SET statement_timeout = '300ms'")
    with pytest.raises(psycopg.errors.QueryCanceled):
        session.execute(READ)
    queue.execute("DROP TRIGGER nap ON pgmq.q_q")
    time.sleep(0.15)
    assert ids(queue, READ) == [1]


def test_a_session_that_is_killed_while_it_sends_keeps_the_tick_for_a_second_at_most(
    queue: psycopg.Connection, connect: Connect
) -> None:
    _slow_down(queue)
    queue.execute(DUE)
    session = connect()
    pid = session.info.backend_pid

    def read() -> None:
        with contextlib.suppress(psycopg.OperationalError):
            session.execute(READ)

    call = threading.Thread(target=read)
    call.start()
    naps = "SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = %s"
    while not one(queue, naps, pid):
        pass
    queue.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    call.join()
    ahead = "SELECT last_value - pgmq._microseconds(clock_timestamp()) FROM pgmq.tick_due_q"
    assert one(queue, ahead) <= 1_000_000
    queue.execute("DROP TRIGGER nap ON pgmq.q_q")
    queue.execute("SELECT setval('pgmq.tick_due_q', pgmq._microseconds(clock_timestamp()))")
    assert ids(queue, READ) == [1]


def test_to_end_or_replace_a_schedule_waits_for_who_is_sending(
    queue: psycopg.Connection, connect: Connect
) -> None:
    for call in ("pgmq.unschedule('s')", "pgmq.schedule('s', 'q', '2 hours', '2')"):
        sender, owner = connect(autocommit=False), connect()
        queue.execute("SELECT pgmq.schedule('s', 'q', '1 hour', '1')")
        queue.execute(DUE)
        assert ids(sender, READ) == [1]
        thread = threading.Thread(target=owner.execute, args=[f"SELECT {call}".encode()])
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        sender.commit()
        thread.join()
    # The new one has its own time.
    assert one(queue, "SELECT next_at > now() + interval '1 hour' FROM pgmq.list_schedules()")
    assert ids(queue, READ) == []


@pytest.mark.parametrize("then", ["commit", "rollback"])
def test_a_pause_waits_for_who_is_sending_and_nobody_waits_for_a_pause(
    queue: psycopg.Connection, connect: Connect, then: str
) -> None:
    sender, owner = connect(autocommit=False), connect(autocommit=False)
    queue.execute(DUE)
    assert ids(sender, READ) == [1]
    call = Waiting(owner, "SELECT pgmq.pause_schedule('s')").until_it_waits(queue)
    getattr(sender, then)()
    assert call.result() == [(True,)]
    # Not committed yet, it is left alone; the tick of a sender that rolled back was missed.
    queue.execute("SELECT setval('pgmq.tick_due_q', 0)")
    sent = [1] if then == "commit" else []
    assert ids(queue, "SELECT message FROM pgmq.q_q") == sent
    assert ids(queue, READ) == []
    owner.commit()
    queue.execute("SELECT setval('pgmq.tick_due_q', 0)")
    assert ids(queue, READ) == []
    assert one(queue, "SELECT pgmq.resume_schedule('s')")
    queue.execute("SELECT setval('pgmq.tick_due_q', 0)")
    assert ids(queue, READ) == ([] if sent else [1])
    assert len(ids(queue, SENT)) == 1


@pytest.mark.parametrize("then", ["commit", "rollback"])
def test_two_sessions_give_one_name_to_schedules_of_two_queues(
    db: psycopg.Connection, connect: Connect, then: str
) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.create('r')")
    other = connect(autocommit=False)
    other.execute("SELECT pgmq.schedule('s', 'q', '1 hour', '1')")
    call = Waiting(connect(), "SELECT pgmq.schedule('s', 'r', '1 hour', '1')").until_it_waits(db)
    getattr(other, then)()
    assert call.result()
    assert ids(db, "SELECT queue_name FROM pgmq.list_schedules()") == ["r"]


def test_a_queue_is_dropped_and_made_beside_calls_that_send_what_is_due(
    db: psycopg.Connection, connect: Connect
) -> None:
    until = time.monotonic() + 2
    failed: list[psycopg.Error] = []

    def work() -> None:
        session = connect()
        while time.monotonic() < until:
            for call in ("read('q', 0, 1)", "send('q', '0')", "read_grouped('q', 0, 1)"):
                try:
                    session.execute(f"SELECT pgmq.{call}".encode())
                except psycopg.errors.UndefinedTable:  # noqa: PERF203 - each call may be too late
                    pass
                except psycopg.Error as error:
                    failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    while time.monotonic() < until:
        db.execute("SELECT pgmq.create('q')")
        db.execute("SELECT pgmq.schedule('s', 'q', '1 s', '1', catch_up => true)")
        db.execute("UPDATE pgmq.schedule SET tick_at = now(), next_at = now()")
        time.sleep(0.05)
        db.execute("SELECT pgmq.drop_queue('q')")
    for thread in threads:
        thread.join()
    assert [f"{error} {error.diag.context}" for error in failed] == []
    assert ids(db, "SELECT name FROM pgmq.list_schedules()") == []


@pytest.mark.parametrize("kind", ["woken", *STREAMS[-1:]])
def test_a_waiting_consumer_gets_the_message_at_its_time(
    db: psycopg.Connection, connect: Connect, kind: str
) -> None:
    db.execute(KINDS[kind].encode())
    db.execute("SELECT pgmq.schedule('s', %s, '1 s', '1')", [kind])
    session = connect()
    read = "SELECT headers FROM pgmq.read(%s, 30, 5)"
    if kind in STREAMS:
        read = "SELECT headers FROM pgmq.fetch(%s, 'g', 30, 5)"
    late: list[float] = []
    end = time.time() + 10
    while len(late) < 3 and time.time() < end:
        found = ids(session, read, kind)
        now = one(session, "SELECT extract(epoch FROM clock_timestamp())::float8")
        late += [
            now - one(
                session, "SELECT extract(epoch FROM %s::timestamptz)::float8",
                headers["x-pgmq-schedule"]["at"],
            )
            for headers in found
        ]  # fmt: skip
        if found:
            if kind in STREAMS:
                session.execute(
                    "SELECT pgmq.commit(%s, 'g', l.lane, l.epoch)"
                    " FROM pgmq._lanes(%s) AS l WHERE l.leased > l.done",
                    [kind, kind],
                )
            continue
        wait = one(
            session,
            "SELECT extract(epoch FROM pgmq.await(%s, 5) - clock_timestamp())::float8", kind,
        )  # fmt: skip
        if ids(session, "SELECT 1 FROM pgmq.peek(%s, 1)", kind) and kind not in STREAMS:
            continue
        list(session.notifies(timeout=max(wait, 0), stop_after=1))
    assert len(late) == 3
    assert min(late) >= 0
    assert min(late) < 0.2  # far less than a poll's or a sweep's interval, on whatever machine
    assert sorted(late)[1] < 0.5  # on a busy machine
