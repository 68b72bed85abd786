"""Messages that turn up behind a low-water mark: each is delivered within the documented bound."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from support.prepared import prepared
from support.sweeps import let_look, stop_sweeps, sweep_every
from support.waiting import hold_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Connect
    from pgmq import embedded
    from support.server import TestServer

BOUND = 1.5
INTERVAL = "0.5 s"
FILL = "SELECT pgmq.send_batch('q', array_agg('1'::jsonb)) FROM generate_series(1, 200)"
SWEEP_IS_DUE = "SELECT setval('pgmq.sweep_due_q', 0)"
DRAIN = "SELECT pgmq.delete('q', msg_id) FROM pgmq.read('q', 60, 50)"


template = prepared("SELECT pgmq.create('q')", by="queue")


@pytest.fixture
def queue(db: psycopg.Connection) -> psycopg.Connection:
    """A queue of which 200 messages have been consumed, so that its marks have moved."""
    sweep_every(db, INTERVAL)
    db.execute(FILL)
    _drain(db)
    assert _mark(db) > 150
    return db


def _drain(session: psycopg.Connection) -> None:
    while session.execute(DRAIN).fetchall():
        pass
    _advance(session)


def _advance(session: psycopg.Connection) -> None:
    let_look(session)
    session.execute("SELECT pgmq._advance_q()")


def _mark(session: psycopg.Connection, name: str = "ready_mark_q") -> int:
    row = session.execute("SELECT pgmq._id_mark(%s)", (f"pgmq.{name}",)).fetchone()
    assert row is not None
    return int(row[0])


def _moment(session: psycopg.Connection) -> int:
    row = session.execute("SELECT pgmq._microseconds(now()) / 15625 & 8191").fetchone()
    assert row is not None
    return int(row[0])


def _delivered(
    session: psycopg.Connection,
    quantity: int = 1,
    read: str = "read('q', 60, 1)",
    within: float = BOUND,
) -> list[int]:
    """Poll as a consumer does, for as long as the documented bound allows."""
    end = time.monotonic() + within
    ids: list[int] = []
    over = False
    while len(ids) < quantity and not over:
        over = time.monotonic() >= end  # a slow machine may spend all of it in one call
        rows = session.execute(f"SELECT msg_id FROM pgmq.{read}".encode()).fetchall()
        ids += [row[0] for row in rows]
        if not rows:
            time.sleep(0.02)
    return ids


def test_a_message_whose_id_was_drawn_long_before_it_commits(
    queue: psycopg.Connection, connect: Connect
) -> None:
    slow = connect()
    slow.execute("BEGIN")
    row = slow.execute("SELECT * FROM pgmq.send('q', '\"late\"')").fetchone()
    assert row is not None
    late = row[0]
    # While the interval lasts, the mark waits for the slow transaction.
    queue.execute(FILL)
    _drain(queue)
    assert _mark(queue) <= late
    # A forgotten transaction stops the mark for no longer than that.
    time.sleep(0.6)
    _drain(queue)
    assert _mark(queue) > late
    slow.execute("COMMIT")
    assert _delivered(queue) == [late]


def test_a_message_that_commits_in_time_is_delivered_at_once(
    queue: psycopg.Connection, connect: Connect
) -> None:
    stop_sweeps(queue, "q")
    slow = connect()
    slow.execute("BEGIN")
    row = slow.execute("SELECT * FROM pgmq.send('q', '\"late\"')").fetchone()
    assert row is not None
    queue.execute(FILL)
    _drain(queue)
    slow.execute("COMMIT")
    assert queue.execute("SELECT msg_id FROM pgmq.read('q', 60, 1)").fetchone() == row


@pytest.fixture
def grouped(queue: psycopg.Connection) -> psycopg.Connection:
    """The same, and the mark below which no message of any group is alive has moved too."""
    queue.execute("SELECT pgmq.create_fifo_index('q')")
    _advance(queue)
    assert _mark(queue, "live_mark_q") > 150
    return queue


def test_a_message_that_commits_after_any_time_keeps_its_place_in_its_group(
    grouped: psycopg.Connection, connect: Connect
) -> None:
    slow = connect()
    with slow.transaction():
        slow.execute("SELECT pgmq.send('q', '\"late\"')")
        grouped.execute(FILL)
        _drain(grouped)
        time.sleep(0.6)
        _drain(grouped)
        assert _mark(grouped) > 201  # a plain read does not wait that long
        grouped.execute("SELECT pgmq.send('q', '1')")
    rows = grouped.execute("SELECT msg_id FROM pgmq.read_grouped('q', 60, 9)").fetchall()
    assert rows == [(201,), (402,)]


@pytest.mark.parametrize("read", ["read_grouped('q', 60, 1)", "read_group('q', null, 60, 1)"])
def test_a_row_inserted_by_hand_with_an_old_id_into_a_group(
    grouped: psycopg.Connection, read: str
) -> None:
    grouped.execute("INSERT INTO pgmq.q_q (msg_id, vt) OVERRIDING SYSTEM VALUE VALUES (7, now())")
    assert _delivered(grouped, read=read) == [7]


def test_a_row_inserted_by_hand_with_an_old_id(queue: psycopg.Connection) -> None:
    queue.execute(
        "INSERT INTO pgmq.q_q (msg_id, vt, message) OVERRIDING SYSTEM VALUE"
        " VALUES (7, now(), '1'), (-7, now(), '2')"
    )
    assert _delivered(queue, 2) == [-7, 7]


def test_a_row_whose_vt_was_updated_by_hand(queue: psycopg.Connection) -> None:
    queue.execute("SELECT pgmq.send('q', '1', 3600)")
    queue.execute("UPDATE pgmq.q_q SET vt = now() - interval '1 day'")
    assert _delivered(queue) == [201]


@pytest.mark.parametrize(
    "read",
    ["read('q', 60, 1)", "pop('q')", "read_grouped('q', 60, 1)", "read_group('q', null, 60, 1)"],
)
def test_a_sweep_whose_time_lies_far_ahead_is_due(grouped: psycopg.Connection, read: str) -> None:
    """The next call finds a straggler then, whatever chance says."""
    grouped.execute("INSERT INTO pgmq.q_q (msg_id, vt) OVERRIDING SYSTEM VALUE VALUES (7, now())")
    # As a clock that was an hour ahead has left it.
    grouped.execute(
        "SELECT setval('pgmq.sweep_due_q', pgmq._microseconds(now() + interval '1 hour'))"
    )
    assert _delivered(grouped, read=read, within=0) == [7]


def test_a_sweep_is_not_due_before_an_interval_that_is_long_is_over(
    queue: psycopg.Connection,
) -> None:
    due = "SELECT pgmq._is_sweep_due('pgmq.parked_mark_q', 'pgmq.sweep_due_q')"
    stop_sweeps(queue, "q")
    assert queue.execute(due).fetchone() == (False,)
    # An interval that is made shorter counts at once.
    sweep_every(queue, INTERVAL)
    assert queue.execute(due).fetchone() == (True,)


def test_a_poll_is_the_sweep_when_one_is_due(queue: psycopg.Connection) -> None:
    queue.execute("INSERT INTO pgmq.q_q (msg_id, vt) OVERRIDING SYSTEM VALUE VALUES (7, now())")
    queue.execute(SWEEP_IS_DUE)
    assert queue.execute("SELECT msg_id FROM pgmq.read('q', 60, 1)").fetchall() == [(7,)]


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ"])
def test_the_sweep_also_runs_in_transactions_that_have_written(
    queue: psycopg.Connection, isolation: str
) -> None:
    queue.execute("INSERT INTO pgmq.q_q (msg_id, vt) OVERRIDING SYSTEM VALUE VALUES (7, now())")
    queue.execute("CREATE TABLE business (id integer)")
    queue.execute(SWEEP_IS_DUE)
    queue.execute(f"BEGIN ISOLATION LEVEL {isolation}")
    queue.execute("INSERT INTO business VALUES (1)")
    assert queue.execute("SELECT msg_id FROM pgmq.read('q', 60, 1)").fetchall() == [(7,)]
    queue.execute("COMMIT")


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_an_old_snapshot_does_not_take_the_turn_to_sweep(
    queue: psycopg.Connection, connect: Connect, isolation: str
) -> None:
    sweep_every(queue, "1 hour")
    other = connect()
    other.execute(f"BEGIN ISOLATION LEVEL {isolation}")
    other.execute("SELECT 1")
    queue.execute("INSERT INTO pgmq.q_q (msg_id, vt) OVERRIDING SYSTEM VALUE VALUES (7, now())")
    time.sleep(1.1)
    # Not begun, and under way: when to go on, of ready messages and of parked ones.
    for due in (0, -(1 << 61 | _moment(queue) << 48 | 1), -(2 << 61 | _moment(queue) << 48 | 1)):
        let_look(queue)
        queue.execute("SELECT setval('pgmq.sweep_due_q', %s)", (due,))
        other.execute("SELECT pgmq._advance_q(), pgmq._advance_q(true), pgmq.read('q', 60, 1)")
    queue.execute(SWEEP_IS_DUE)
    assert queue.execute("SELECT msg_id FROM pgmq.read('q', 60, 1)").fetchall() == [(7,)]
    other.execute("ROLLBACK")


def test_sessions_under_repeatable_read_find_a_straggler_by_themselves(
    queue: psycopg.Connection, connect: Connect
) -> None:
    queue.execute("INSERT INTO pgmq.q_q (msg_id, vt) OVERRIDING SYSTEM VALUE VALUES (7, now())")
    session = connect(options="-c default_transaction_isolation=repeatable\\ read")
    assert _delivered(session) == [7]


def test_the_marks_move_for_short_connections_while_others_always_write(
    queue: psycopg.Connection, connect: Connect
) -> None:
    stop_sweeps(queue, "q")
    writers = [connect(), connect()]
    writers[0].execute("BEGIN; SELECT pgmq.send('q', '1')")
    before = _mark(queue)
    queue.execute(FILL)
    for turn in range(40):
        writers[(turn + 1) % 2].execute("BEGIN; SELECT pgmq.send('q', '1')")
        writers[turn % 2].execute("COMMIT")
        time.sleep(0.03)  # between two looks
        session = connect()
        session.execute("SELECT pgmq.pop('q', 20)")
        _advance(session)
        session.close()
    assert _mark(queue) > before + 150


def test_a_look_in_a_transaction_that_stays_open_stops_nobody(
    queue: psycopg.Connection, connect: Connect
) -> None:
    stop_sweeps(queue, "q")
    queue.execute("DELETE FROM pgmq.look")
    writer, open_one = connect(), connect()
    writer.execute("BEGIN; SELECT pgmq.send('q', '1')")
    open_one.execute("BEGIN; SELECT pgmq._look_at('pgmq.q_q')")
    _advance(queue)
    writer.execute("COMMIT; BEGIN; SELECT pgmq.send('q', '1')")
    queue.execute("SELECT pgmq.pop('q', 9)")
    before = _mark(queue)
    _advance(queue)
    assert _mark(queue) > before
    assert queue.execute("SELECT count(*) FROM pgmq.look").fetchone() == (1,)


def test_no_setting_of_a_session_or_role_changes_when_sweeps_are_due(
    queue: psycopg.Connection, connect: Connect
) -> None:
    before = queue.execute("SELECT pgmq._sweep_interval()").fetchone()
    assert before == (500_000,)
    session = connect(options="-c pgmq.sweep_interval=1year")
    assert session.execute("SELECT pgmq._sweep_interval()").fetchone() == before
    sweep_every(queue, "no interval")
    assert session.execute("SELECT pgmq._sweep_interval()").fetchone() == (10_000_000,)


def test_a_sweep_over_very_many_consumed_messages_is_spread(
    queue: psycopg.Connection, connect: Connect
) -> None:
    queue.execute("ALTER TABLE pgmq.q_q SET (autovacuum_enabled = off)")
    hold_snapshot(connect)
    queue.execute(
        "SELECT pgmq.send_batch('q', array_agg('1'::jsonb)) FROM generate_series(1, 100000)"
    )
    queue.execute("SELECT count(*) FROM pgmq.pop('q', 100000)")
    _advance(queue)
    queue.execute("INSERT INTO pgmq.q_q (msg_id, vt) OVERRIDING SYSTEM VALUE VALUES (7, now())")
    queue.execute(SWEEP_IS_DUE)
    queue.execute("SELECT pgmq._advance_q()")
    row = queue.execute("SELECT last_value FROM pgmq.sweep_due_q").fetchone()
    assert row is not None
    assert row[0] < 0  # a place: there is more to do
    # At most a fiftieth of the time is spent so: how long that takes, the machine says.
    assert _delivered(queue, within=30) == [7]


def test_a_transaction_that_has_leased_does_not_move_the_marks_past_its_leases(
    queue: psycopg.Connection,
) -> None:
    stop_sweeps(queue, "q")
    queue.execute(FILL)
    with queue.transaction(force_rollback=True):
        for _ in range(40):
            queue.execute("SELECT count(*) FROM pgmq.read('q', 60, 5)")
    rows = queue.execute("SELECT msg_id FROM pgmq.read('q', 60, 200)").fetchall()
    assert len(rows) == 200


@pytest.mark.parametrize(
    "emptied",
    ["TRUNCATE pgmq.q_q", "TRUNCATE pgmq.q_q RESTART IDENTITY", "SELECT pgmq.purge_queue('q')"],
)
def test_a_queue_that_was_emptied_delivers_at_once(queue: psycopg.Connection, emptied: str) -> None:
    stop_sweeps(queue, "q")
    queue.execute("SELECT pgmq.send_batch('q', '{1,2,3}')")
    queue.execute(emptied)
    ids = queue.execute("SELECT * FROM pgmq.send_batch('q', '{1,2,3}')").fetchall()
    assert queue.execute("SELECT msg_id FROM pgmq.read('q', 60, 9)").fetchall() == ids


def test_ids_that_begin_again_by_hand(queue: psycopg.Connection) -> None:
    queue.execute("ALTER TABLE pgmq.q_q ALTER COLUMN msg_id RESTART")
    queue.execute("SELECT pgmq.send_batch('q', '{1,2}')")
    assert _delivered(queue, 2) == [1, 2]


def test_a_clock_that_was_set_back_hands_nothing_out_twice(queue: psycopg.Connection) -> None:
    # As if it had been enqueued by a clock an hour ahead.
    queue.execute(
        "INSERT INTO pgmq.q_q (enqueued_at, vt)"
        " VALUES (now() + interval '1 hour', now() + interval '1 hour')"
    )
    assert _delivered(queue) == [201]
    assert queue.execute("SELECT msg_id FROM pgmq.read('q', 60, 1)").fetchall() == []


def test_a_restored_dump_whose_marks_are_newer_than_its_rows(
    queue: psycopg.Connection, server: TestServer, database: str
) -> None:
    queue.execute("SELECT pgmq.send_batch('q', '{1,2,3}')")
    dump = server.dump(database)
    # pg_dump reads sequences outside its snapshot: as if the messages had been consumed meanwhile.
    with server.database() as restored:
        done = server.run_psql(restored, "-v", "ON_ERROR_STOP=1", stdin=dump)
        assert done.returncode == 0, done.stdout
        with psycopg.connect(server.dsn(restored), autocommit=True) as session:
            session.execute(
                "SELECT setval('pgmq.ready_mark_q', 204), setval('pgmq.sweep_due_q', 0)"
            )
            sweep_every(session, INTERVAL)
            assert _delivered(session, 3) == [201, 202, 203]


def test_an_unlogged_queue_after_a_crash_is_empty_and_its_ids_go_on(
    new_server: Callable[..., embedded.Server],
) -> None:
    server = new_server()
    with psycopg.connect(server.dsn("pgmq"), autocommit=True) as session:
        session.execute("SELECT pgmq.create_unlogged('q')")
        session.execute(FILL)
        _drain(session)
        session.execute("SELECT pgmq.send_batch('q', '{1,2}')")
        session.execute("SELECT pgmq.archive('q', msg_id) FROM pgmq.read('q', 60, 1)")
        session.execute("CHECKPOINT")
    server.restart(mode="immediate")
    with psycopg.connect(server.dsn("pgmq"), autocommit=True) as session:
        archived = session.execute("SELECT msg_id FROM pgmq.a_q").fetchall()
        assert archived == [(201,)]
        assert session.execute("SELECT count(*) FROM pgmq.q_q").fetchone() == (0,)
        row = session.execute("SELECT * FROM pgmq.send('q', '3')").fetchone()
        assert row is not None
        assert row[0] > 201
        assert session.execute("SELECT msg_id FROM pgmq.read('q', 60, 5)").fetchall() == [row]
        assert session.execute("SELECT pgmq.archive('q', %s::bigint)", row).fetchone() == (True,)


def test_a_queue_after_a_crash_delivers_what_was_acknowledged_to_its_sender(
    new_server: Callable[..., embedded.Server],
) -> None:
    server = new_server(fsync="on")
    with psycopg.connect(server.dsn("pgmq"), autocommit=True) as session:
        session.execute("SELECT pgmq.create('q')")
        session.execute(FILL)
        _drain(session)
        sent = session.execute("SELECT * FROM pgmq.send_batch('q', '{1,2,3}')").fetchall()
    server.restart(mode="immediate")
    with psycopg.connect(server.dsn("pgmq"), autocommit=True) as session:
        assert session.execute("SELECT msg_id FROM pgmq.read('q', 60, 9)").fetchall() == sent
