"""Notifications of inserts with two and more sessions: who waits, and who is announced."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import psycopg
import pytest

from support import server as servers
from support.prepared import prepared

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Connect, Roles
    from pgmq import embedded

LONG = 3_600_000
SEND = "SELECT pgmq.send('q', '1')"
LISTEN = 'LISTEN "pgmq.q_q.INSERT"'


template = prepared(
    "SELECT pgmq.create('q'), pgmq.create('r');"
    f"SELECT pgmq.enable_notify_insert(name, {LONG}) FROM unnest('{{q,r}}'::text[]) AS n (name)",
    by="listener",
)


@pytest.fixture
def listener(db: psycopg.Connection) -> psycopg.Connection:
    """A session that listens to two queues, of which nothing has been announced yet."""
    db.execute(f'{LISTEN}; LISTEN "pgmq.q_r.INSERT"'.encode())
    return db


@pytest.fixture
def producer(listener: psycopg.Connection, connect: Connect) -> Callable[[], psycopg.Connection]:
    """Open a session in which a call that would wait fails instead."""

    def open_one() -> psycopg.Connection:
        session = connect()
        session.execute("SET lock_timeout = '1s'")
        return session

    assert listener.info.status == psycopg.pq.ConnStatus.OK
    return open_one


def _throttle(session: psycopg.Connection, milliseconds: int) -> None:
    for queue in "qr":
        session.execute("SELECT pgmq.enable_notify_insert(%s, %s)", (queue, milliseconds))


def _heard(session: psycopg.Connection) -> list[str]:
    """Say on which queues something was announced until now."""
    session.execute("SELECT 1")  # what was committed before is delivered by its end
    notes = session.notifies(timeout=0)
    return [note.channel.removeprefix("pgmq.q_").removesuffix(".INSERT") for note in notes]


def _keeps_its_place(session: psycopg.Connection, keeps: bool) -> None:
    """Give the last announcement a time by which it keeps its place for 10 s, or not any more."""
    time = "last_value >> 32 << 32" if keeps else "((last_value >> 22) - 1000 | 1) << 22"
    session.execute(
        f"SELECT setval('pgmq.notify_at_q', last_value & 4194303 | ({time}))"
        " FROM pgmq.notify_at_q".encode()
    )


def test_an_open_transaction_of_one_producer_delays_no_other(
    listener: psycopg.Connection, producer: Callable[[], psycopg.Connection]
) -> None:
    first, second, third = producer(), producer(), producer()
    with first.transaction():
        first.execute(SEND)
        with second.transaction():
            second.execute(SEND)
            third.execute(SEND)
        # An announcement that is not committed silences nobody.
        assert _heard(listener) == ["q", "q"]
    assert _heard(listener) == ["q"]
    third.execute(SEND)
    assert _heard(listener) == []


def test_producers_that_send_to_two_queues_in_opposite_order_do_not_deadlock(
    listener: psycopg.Connection, producer: Callable[[], psycopg.Connection]
) -> None:
    one, two = producer(), producer()
    with one.transaction(), two.transaction():
        one.execute("SELECT pgmq.send('q', '1')")
        two.execute("SELECT pgmq.send('r', '1')")
        one.execute("SELECT pgmq.send('r', '1')")
        two.execute("SELECT pgmq.send('q', '1')")
    assert set(_heard(listener)) == {"q", "r"}


@pytest.mark.parametrize(
    "level", [psycopg.IsolationLevel.REPEATABLE_READ, psycopg.IsolationLevel.SERIALIZABLE]
)
def test_producers_in_a_stricter_isolation_level_do_not_fail_for_each_other(
    listener: psycopg.Connection,
    producer: Callable[[], psycopg.Connection],
    level: psycopg.IsolationLevel,
) -> None:
    one, two = producer(), producer()
    one.isolation_level = two.isolation_level = level
    with one.transaction(), two.transaction():
        for session in (one, two):
            session.execute("SELECT 1")
        one.execute(SEND)
        two.execute(SEND)
        listener.execute(SEND)  # committed since their snapshots
        one.execute(SEND)
    assert "q" in _heard(listener)
    assert listener.execute("SELECT count(*) FROM pgmq.q_q").fetchone() == (4,)


def test_senders_that_overlap_do_not_undo_the_throttle(
    listener: psycopg.Connection, producer: Callable[[], psycopg.Connection]
) -> None:
    one, two, three = producer(), producer(), producer()
    with two.transaction():
        with one.transaction():
            one.execute(SEND)
            _keeps_its_place(listener, True)
            two.execute(SEND)  # the first may be rolled back yet
        assert _heard(listener) == ["q"]
        three.execute(SEND)
        assert _heard(listener) == []
    assert _heard(listener) == ["q"]


def test_a_sender_whose_transaction_stays_open_undoes_the_throttle_for_moments_only(
    listener: psycopg.Connection, producer: Callable[[], psycopg.Connection]
) -> None:
    one, two, three = producer(), producer(), producer()
    with one.transaction():
        one.execute(SEND)
        _keeps_its_place(listener, True)
        for _ in range(2):
            two.execute(SEND)
            assert _heard(listener) == ["q"]
        _keeps_its_place(listener, False)
        with two.transaction(force_rollback=True):
            two.execute(SEND)
        # That has taken the place, and was rolled back.
        for heard in (["q"], [], []):
            three.execute(SEND)
            assert _heard(listener) == heard
    assert _heard(listener) == ["q"]
    three.execute(SEND)
    assert _heard(listener) == []


def test_a_sender_that_is_rolled_back_silences_nobody(
    listener: psycopg.Connection, producer: Callable[[], psycopg.Connection]
) -> None:
    one, two = producer(), producer()
    with one.transaction(force_rollback=True):
        one.execute(SEND)
    assert _heard(listener) == []
    two.execute(SEND)
    assert _heard(listener) == ["q"]


@pytest.mark.parametrize("then", ["in the transaction", "in a savepoint"])
def test_a_send_rolled_back_to_a_savepoint_does_not_silence_the_rest_of_its_transaction(
    listener: psycopg.Connection, producer: Callable[[], psycopg.Connection], then: str
) -> None:
    one = producer()
    with one.transaction():
        with one.transaction(force_rollback=True):
            one.execute(SEND)
            _keeps_its_place(listener, True)
        if then == "in a savepoint":
            with one.transaction():
                one.execute(SEND)
        else:
            one.execute(SEND)
    assert _heard(listener) == ["q"]
    # That is known to be committed.
    producer().execute(SEND)
    assert _heard(listener) == []


@pytest.mark.parametrize("block", ["savepoint", "exception"])
def test_a_send_rolled_back_to_a_savepoint_silences_nobody(
    listener: psycopg.Connection, producer: Callable[[], psycopg.Connection], block: str
) -> None:
    one, two = producer(), producer()
    with one.transaction():
        one.execute("CREATE TEMP TABLE written ON COMMIT DROP AS SELECT 1")
        if block == "savepoint":
            with one.transaction(force_rollback=True):
                one.execute(SEND)
        else:
            one.execute(
                "DO $$ BEGIN PERFORM pgmq.send('q', '1'); RAISE division_by_zero;"
                " EXCEPTION WHEN division_by_zero THEN END $$"
            )
    two.execute(SEND)
    assert _heard(listener) == ["q"]
    two.execute(SEND)
    assert _heard(listener) == []


def test_a_send_within_savepoints_that_are_kept_is_an_announcement_like_another(
    listener: psycopg.Connection, producer: Callable[[], psycopg.Connection]
) -> None:
    one, two = producer(), producer()
    with one.transaction(), one.transaction(), one.transaction():
        one.execute(SEND)
    assert _heard(listener) == ["q"]
    two.execute(SEND)
    assert _heard(listener) == []


@pytest.mark.parametrize("prepared", [False, True], ids=["without a lock", "with a lock"])
def test_whoever_may_not_send_silences_nobody(
    listener: psycopg.Connection,
    producer: Callable[[], psycopg.Connection],
    roles: Roles,
    prepared: bool,
) -> None:
    role = roles()
    listener.execute(f"GRANT USAGE ON SCHEMA pgmq TO {role}".encode())
    one = producer()
    one.execute(f"SET ROLE {role}".encode())
    with one.transaction():
        if prepared:  # nobody asks for the right to insert before EXECUTE
            one.execute("PREPARE p AS INSERT INTO pgmq.q_q (vt) VALUES (now())")
        one.execute("SELECT pg_current_xact_id()")
        with one.transaction(force_rollback=True):
            one.execute(f"SELECT pgmq._announce_q({LONG})".encode())
    one.execute(f"SELECT pgmq._announce_q({LONG})".encode())
    one.close()
    _heard(listener)
    producer().execute(SEND)
    assert _heard(listener) == ["q"]


def test_a_transaction_id_of_another_cluster_is_not_asked_for(
    listener: psycopg.Connection, producer: Callable[[], psycopg.Connection]
) -> None:
    # As restored into a cluster that has had fewer transactions.
    listener.execute(SEND)
    assert _heard(listener) == ["q"]
    listener.execute(
        """
        SELECT setval('pgmq.notify_at_q', last_value >> 22 << 22
            | (pg_current_xact_id()::text::bigint - 2000000) & 4194303)
        FROM pgmq.notify_at_q
        """
    )
    assert listener.execute("SELECT pg_current_xact_id()::text::bigint < 2000000").fetchone() == (
        True,
    )
    one = producer()
    one.execute(SEND)
    assert _heard(listener) == ["q"]
    one.execute(SEND)
    assert _heard(listener) == []


def test_within_the_throttle_one_is_announced_and_the_first_after_a_quiet_spell_again(
    listener: psycopg.Connection, producer: Callable[[], psycopg.Connection]
) -> None:
    one, two = producer(), producer()
    for session in (one, two, one):
        session.execute(SEND)
    assert _heard(listener) == ["q"]
    # An hour passes.
    listener.execute(
        "SELECT setval('pgmq.notify_at_q', last_value - (3600000::bigint << 22))"
        " FROM pgmq.notify_at_q"
    )
    for session in (two, one):
        session.execute(SEND)
    assert _heard(listener) == ["q"]


def test_a_clock_that_was_ahead_silences_nobody(
    listener: psycopg.Connection, producer: Callable[[], psycopg.Connection]
) -> None:
    producer().execute(SEND)
    assert _heard(listener) == ["q"]
    listener.execute(
        "SELECT setval('pgmq.notify_at_q', last_value + (60000::bigint << 22))"
        " FROM pgmq.notify_at_q"
    )
    producer().execute(SEND)
    assert _heard(listener) == ["q"]


@pytest.mark.parametrize("throttle", [0, LONG])
def test_a_batch_is_one_notification_and_no_message_none(
    listener: psycopg.Connection, producer: Callable[[], psycopg.Connection], throttle: int
) -> None:
    _throttle(listener, throttle)
    one = producer()
    one.execute("INSERT INTO pgmq.q_q (vt) SELECT now() FROM generate_series(1, 0)")
    assert _heard(listener) == []
    one.execute("SELECT pgmq.send_batch('q', array_agg('1'::jsonb)) FROM generate_series(1, 1000)")
    assert _heard(listener) == ["q"]


def test_what_happens_to_messages_that_are_there_is_not_announced(
    listener: psycopg.Connection, producer: Callable[[], psycopg.Connection]
) -> None:
    _throttle(listener, 0)
    one = producer()
    one.execute("SELECT pgmq.send_batch('q', '{1,2,3}')")
    assert _heard(listener) == ["q"]
    one.execute("SELECT pgmq.read('q', 60, 3)")
    one.execute("SELECT pgmq.nack('q', 1, 1)")
    one.execute("SELECT pgmq.ack('q', 2, 1)")
    one.execute("SELECT pgmq.archive('q', 3::bigint)")
    assert _heard(listener) == []


def test_a_role_with_no_more_than_upstreams_grants_announces(
    listener: psycopg.Connection, producer: Callable[[], psycopg.Connection], roles: Roles
) -> None:
    role = roles()
    listener.execute(
        f"GRANT USAGE ON SCHEMA pgmq TO {role};GRANT SELECT, INSERT ON pgmq.q_q TO {role}".encode()
    )
    one = producer()
    one.execute(f"SET ROLE {role}".encode())
    for heard in (["q"], []):
        one.execute(SEND)
        assert _heard(listener) == heard


@pytest.mark.parametrize(
    "change",
    [
        "SELECT pgmq.enable_notify_insert('q', 0)",
        "SELECT pgmq.update_notify_insert('q', 0)",
        "SELECT pgmq.disable_notify_insert('q')",
        "SELECT pgmq.enable_wakeups('q')",
        "SELECT pgmq.disable_wakeups('q')",
    ],
)
def test_a_change_waits_for_a_producer_that_goes_on_meanwhile(
    listener: psycopg.Connection,
    producer: Callable[[], psycopg.Connection],
    connect: Connect,
    change: str,
) -> None:
    """As there is no other lock that both want, they cannot deadlock."""
    if "disable_wakeups" in change:
        listener.execute("SELECT pgmq.enable_wakeups('q')")
    one, owner = producer(), connect()
    owner.execute("SET lock_timeout = '5s'")
    one.execute("BEGIN")
    one.execute(SEND)
    thread = threading.Thread(target=owner.execute, args=(change.encode(),), daemon=True)
    thread.start()
    while not listener.execute(
        "SELECT 1 FROM pg_locks WHERE pid = %s AND NOT granted", (owner.info.backend_pid,)
    ).fetchone():
        pass
    for call in (SEND, "SELECT pgmq.read('q', 0, 5)", "SELECT pgmq.pop('q', 5)"):
        one.execute(call.encode())
    one.execute("COMMIT")
    thread.join(10)
    assert not thread.is_alive()
    one.execute(SEND)
    assert listener.execute("SELECT count(*) FROM pgmq.q_q").fetchone() == (1,)


def test_enabling_and_disabling_go_on_beside_running_producers(
    listener: psycopg.Connection, connect: Connect
) -> None:
    stop = threading.Event()
    failures: list[psycopg.Error] = []
    sent: list[int] = []

    def produce(queues: str) -> None:
        session = connect()
        done = 0
        try:
            while not stop.is_set():
                with session.transaction():
                    for queue in queues:
                        session.execute("SELECT pgmq.send(%s, '1')", (queue,))
                done += 2
        except psycopg.Error as error:
            failures.append(error)
        sent.append(done)

    threads = [threading.Thread(target=produce, args=(queues,)) for queues in ("qr", "rq")]
    for thread in threads:
        thread.start()
    for number in range(20):
        for queue in "qr":
            listener.execute("SELECT pgmq.enable_notify_insert(%s, %s)", (queue, number))
            listener.execute("SELECT pgmq.enable_wakeups(%s)", (queue,))
            listener.execute("SELECT pgmq.disable_notify_insert(%s)", (queue,))
            listener.execute("SELECT pgmq.disable_wakeups(%s)", (queue,))
    stop.set()
    for thread in threads:
        thread.join()
    # What a session has planned or locked while a trigger goes is Postgres' to sort out.
    assert failures == []
    assert min(sent) > 0
    arrived = "SELECT (SELECT count(*) FROM pgmq.q_q) + (SELECT count(*) FROM pgmq.q_r)"
    assert listener.execute(arrived.encode()).fetchone() == (sum(sent),)


def test_a_crash_loses_no_settings(new_server: Callable[..., embedded.Server]) -> None:
    server = new_server()
    with psycopg.connect(server.dsn(), autocommit=True) as session:
        session.execute((servers.BUILD / "pgmq.sql").read_bytes())
        session.execute("SELECT pgmq.create('q'), pgmq.create_unlogged('Fleeting')")
        session.execute(
            "SELECT pgmq.enable_notify_insert('q', 5), pgmq.enable_notify_insert('Fleeting', 0)"
        )
        session.execute("SELECT pgmq.enable_wakeups('q'), pgmq.enable_wakeups('Fleeting')")
        session.execute("SELECT pgmq.send('q', '1'), pgmq.send('Fleeting', '1')")
    server.restart(mode="immediate")
    with psycopg.connect(server.dsn(), autocommit=True) as session:
        settings = (
            "SELECT queue_name, throttle_interval_ms FROM pgmq.list_notify_insert_throttles()"
        )
        assert session.execute(settings.encode()).fetchall() == [("Fleeting", 0), ("q", 5)]
        session.execute('LISTEN "pgmq.q_fleeting.INSERT"')
        session.execute("SELECT pgmq.await('Fleeting'), pgmq.await('q')")
        session.execute("SELECT pgmq.send('Fleeting', '1'), pgmq.send('q', '1')")
        assert {note.channel for note in session.notifies(timeout=5, stop_after=3)} == {
            "pgmq.q_fleeting.INSERT",
            "pgmq.q_fleeting.READY",
            "pgmq.q_q.READY",
        }
