"""The statements compiled into a queue: their plans, and how many rows they touch."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from support.plans import touched
from support.queries import ids, one
from support.queues import DISTINCT, LEASED, STREAMS, made
from support.sweeps import let_look, stop_sweeps
from support.waiting import hold_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from conftest import Connect

CALLS = {
    "send": "SELECT pgmq.send('q', '1')",
    "send_batch": "SELECT pgmq.send_batch('q', '{1,2}')",
    "read": "SELECT * FROM pgmq.read('q', 30, 2)",
    "read with a condition": """SELECT * FROM pgmq.read('q', 30, 2, '{"a": 1}')""",
    "pop": "SELECT * FROM pgmq.pop('q')",
    "peek": "SELECT * FROM pgmq.peek('q', 5)",
    "next_visible_at": "SELECT pgmq.next_visible_at('q')",
    "set_vt": "SELECT * FROM pgmq.set_vt('q', 1, 0)",
    "read what is due": "SELECT * FROM pgmq.read('q', 30, 2)",
    "delete": "SELECT pgmq.delete('q', 1::bigint)",
    "delete many": "SELECT pgmq.delete('q', '{1,2}'::bigint[])",
    "archive": "SELECT pgmq.archive('q', 3::bigint)",
    "archive many": "SELECT pgmq.archive('q', '{4,5}'::bigint[])",
    "ack": "SELECT pgmq.ack('q', 6, 1)",
    "ack many": "SELECT pgmq.ack('q', '{7,8}'::bigint[], '{1,1}'::integer[])",
    "nack": "SELECT pgmq.nack('q', 9, 1, 10)",
    "extend": "SELECT pgmq.extend('q', 9, 1, 10)",
    "ack_and_read": "SELECT * FROM pgmq.ack_and_read('q', 30, 2, '{9}', '{1}')",
    "advance": "SELECT pgmq._advance_q()",
    # Its order of locks is that of the primary key.
    "purge": "SELECT pgmq.purge_queue('q')",
}
GROUPED = {
    "read_grouped": "SELECT * FROM pgmq.read_grouped('q', 30, 2)",
    "read_grouped_rr": "SELECT * FROM pgmq.read_grouped_rr('q', 30, 2)",
    "read_grouped_head": "SELECT * FROM pgmq.read_grouped_head('q', 30, 2)",
    "read_group": "SELECT * FROM pgmq.read_group('q', 'g', 30, 2)",
}
ONCE = {
    "send_once": "SELECT * FROM pgmq.send_once('q', '1', 'a')",
    "send_once of many": "SELECT * FROM pgmq.send_once('q', '{1,2}'::jsonb[], '{b,c}'::text[])",
}
STREAMED = {
    "send": "SELECT pgmq.send('q', '1')",
    "send_batch": "SELECT pgmq.send_batch('q', '{1,2}')",
    "fetch": "SELECT * FROM pgmq.fetch('q', 'g', 0, 2)",
    "fetch and commit": """
        SELECT pgmq.commit('q', 'g', lane, epoch) FROM pgmq.fetch('q', 'g', 9, 2) LIMIT 1
    """,
    "peek": "SELECT * FROM pgmq.peek('q', 5)",
    "get": "SELECT * FROM pgmq.get('q', 5)",
    "list_groups": "SELECT * FROM pgmq.list_groups('q')",
    "seek": "SELECT pgmq.seek('q', 'g', 'earliest')",
}
FILL = (
    "INSERT INTO pgmq.q_q (enqueued_at, vt, message)"
    " SELECT now(), now() + make_interval(secs => %s), '1' FROM generate_series(1, %s)"
)


def _never_analysed_and_empty(db: psycopg.Connection) -> None:
    pass


def _never_analysed_and_large(db: psycopg.Connection) -> None:
    db.execute(FILL, (0, 20_000))
    db.execute(FILL, (3600, 20_000))


def _analysed_while_empty_then_large(db: psycopg.Connection) -> None:
    db.execute("VACUUM ANALYZE pgmq.q_q")
    _never_analysed_and_large(db)


def _analysed_and_large(db: psycopg.Connection) -> None:
    _never_analysed_and_large(db)
    db.execute("VACUUM ANALYZE pgmq.q_q")


@pytest.mark.parametrize(
    "state",
    [
        _never_analysed_and_empty,
        _never_analysed_and_large,
        _analysed_while_empty_then_large,
        _analysed_and_large,
    ],
    ids=lambda state: state.__name__.strip("_"),
)
def test_every_compiled_statement_uses_an_index(
    db: psycopg.Connection, connect: Connect, state: Callable[[psycopg.Connection], None]
) -> None:
    db.execute("SELECT pgmq.create('q')")
    db.execute("ALTER TABLE pgmq.q_q SET (autovacuum_enabled = off)")
    state(db)
    _look_at_plans(db, connect(), CALLS)


@pytest.mark.parametrize(
    "kind", [kind for kind in DISTINCT if kind in LEASED and made(kind, "q") != made("plain", "q")]
)
def test_every_kind_of_queue_uses_its_indexes(
    db: psycopg.Connection, connect: Connect, kind: str
) -> None:
    make = made(kind, "q")
    db.execute(make.encode())
    db.execute(FILL, (0, 50))
    calls = CALLS | (GROUPED if "fifo" in make else {}) | (ONCE if "dedup" in make else {})
    _look_at_plans(db, connect(), calls)


@pytest.mark.parametrize("kind", STREAMS)
def test_a_stream_uses_its_indexes(db: psycopg.Connection, connect: Connect, kind: str) -> None:
    db.execute(made(kind, "q").encode())
    db.execute("SELECT pgmq.send_batch('q', array_fill('1'::jsonb, ARRAY[250]))")
    db.execute("SELECT pgmq.maintain('q')")
    _look_at_plans(db, connect(), STREAMED)


def _look_at_plans(
    db: psycopg.Connection, session: psycopg.Connection, calls: dict[str, str]
) -> None:
    tables = set(ids(db, "SELECT relid::oid::text FROM pg_partition_tree('pgmq.q_q')"))
    tables.add(one(db, "SELECT 'pgmq.q_q'::regclass::oid::text"))
    bad = r"\{SEQSCAN|\{HASHJOIN|\{MERGEJOIN"
    if len(tables) == 1:  # a partitioned queue's plans are made anew, for what the tables hold now
        bad += r"|\{BITMAPHEAPSCAN"
    plans: list[str] = []
    session.add_notice_handler(lambda notice: plans.append(notice.message_detail or ""))
    session.execute("SET debug_print_plan = on; SET client_min_messages = log")
    seen = 0
    for name, call in calls.items():
        plans.clear()
        for time in range(7):  # a custom plan would turn into a generic one after five
            if time in {1, 5}:
                session.execute(f"SET debug_print_plan = {'off' if time == 1 else 'on'}")
            session.execute(call.encode())
        for plan in plans:
            if tables.isdisjoint(re.findall(r":relid (\d+)", plan)):
                continue
            seen += 1
            found = re.search(bad, plan)
            assert not found, f"{name}: {found}"
    assert seen >= len(calls)


def _advance(session: psycopg.Connection) -> None:
    let_look(session)
    session.execute("SELECT pgmq._advance_q()")


@pytest.fixture
def queue(db: psycopg.Connection) -> psycopg.Connection:
    db.execute("SELECT pgmq.create('q')")
    db.execute("ALTER TABLE pgmq.q_q SET (autovacuum_enabled = off)")
    # A sweep looks at everything, by design and seldom.
    stop_sweeps(db, "q")
    return db


READS = [
    "SELECT * FROM pgmq.read('q', 30, 1)",
    "SELECT * FROM pgmq.pop('q')",
    "SELECT * FROM pgmq.peek('q')",
    "SELECT pgmq.next_visible_at('q')",
]
FEW = 12


# touched() rolls back, so that each call finds the same.
def test_a_call_touches_no_delayed_message(queue: psycopg.Connection) -> None:
    queue.execute(FILL, (3600, 100_000))
    queue.execute(FILL, (0, 10))
    for call in READS:
        assert touched(queue, "pgmq.q_q", call) <= FEW, call


def test_a_call_touches_no_message_in_flight(queue: psycopg.Connection) -> None:
    queue.execute(FILL, (0, 100_000))
    queue.execute("SELECT count(*) FROM pgmq.read('q', 3600, 100000)")
    queue.execute(FILL, (0, 10))
    _advance(queue)
    for call in READS:
        assert touched(queue, "pgmq.q_q", call) <= FEW, call


def test_a_call_touches_no_dead_entry_while_a_snapshot_keeps_vacuum_away(
    queue: psycopg.Connection, connect: Connect
) -> None:
    hold_snapshot(connect)
    queue.execute(FILL, (0, 100_000))
    for _ in range(50):
        queue.execute("SELECT pgmq.delete('q', ARRAY(SELECT msg_id FROM pgmq.read('q', 0, 2000)))")
    queue.execute("VACUUM pgmq.q_q")
    queue.execute(FILL, (0, 10))
    _advance(queue)
    for call in READS:
        assert touched(queue, "pgmq.q_q", call) <= FEW, call


def test_who_waits_touches_no_dead_entry_of_a_lease_that_would_end_later(
    queue: psycopg.Connection, connect: Connect
) -> None:
    hold_snapshot(connect)
    queue.execute("SELECT pgmq.enable_wakeups('q')")
    queue.execute(FILL, (0, 60_000))
    queue.execute("SELECT pgmq.delete('q', ARRAY(SELECT msg_id FROM pgmq.read('q', 3600, 60000)))")
    queue.execute("VACUUM pgmq.q_q")
    _advance(queue)
    for call in ("SELECT pgmq.next_visible_at('q')", "SELECT pgmq.await('q', 5)"):
        assert touched(queue, "pgmq.q_q", call) <= FEW
    ahead = "SELECT pgmq.next_visible_at('q') - clock_timestamp() BETWEEN %s AND %s"
    assert queue.execute(ahead, ("0.1 s", "15 min")).fetchone() == (True,)
    queue.execute("SELECT pgmq.send('q', '1', 3)")
    assert queue.execute(ahead, ("0.1 s", "3 s")).fetchone() == (True,)
    row = queue.execute("SELECT pgmq.next_visible_at('q') = (SELECT vt FROM pgmq.q_q)").fetchone()
    assert row == (True,)


def test_metrics_touch_few_dead_entries_of_leases_that_would_end_later(
    queue: psycopg.Connection, connect: Connect
) -> None:
    hold_snapshot(connect)
    queue.execute(FILL, (0, 60_000))
    queue.execute("SELECT pgmq.delete('q', ARRAY(SELECT msg_id FROM pgmq.read('q', 3600, 60000)))")
    queue.execute("VACUUM pgmq.q_q")
    _advance(queue)
    assert touched(queue, "pgmq.q_q", "SELECT * FROM pgmq.metrics('q')") <= 2 * 10_001 + FEW


def test_a_call_that_finds_many_due_looks_at_a_bounded_number(queue: psycopg.Connection) -> None:
    queue.execute(FILL, (0, 100_000))
    queue.execute("SELECT count(*) FROM pgmq.read('q', 0, 100000)")
    _advance(queue)
    assert touched(queue, "pgmq.q_q", "SELECT * FROM pgmq.read('q', 30, 1)") <= 3 * 200 + FEW


@pytest.mark.parametrize("kind", ["plain", "by_id", "by_time"])
@pytest.mark.parametrize("policy", ["", "max_receives => 9"], ids=["no policy", "max_receives"])
@pytest.mark.parametrize("call", ["read('q', 30, 2)", "pop('q', 2)"])
def test_what_is_due_is_taken_by_statements_that_are_planned_already(
    db: psycopg.Connection, kind: str, policy: str, call: str
) -> None:
    """The functions that all queues share plan theirs on each call."""
    db.execute(made(kind, "q").encode())
    if policy:
        db.execute(f"SELECT pgmq.set_policy('q', {policy})".encode())
    db.execute("SELECT pgmq.send_batch('q', '{1,2,3,4}')")
    db.execute("SELECT pgmq.read('q', 0, 4)")
    db.execute("SET track_functions = 'pl'")
    called = """
        SELECT funcname FROM pg_stat_xact_user_functions
        WHERE schemaname = 'pgmq' AND funcname IN ('_choose_q', '_lease', '_remove', '_claim')
    """
    with db.transaction():
        assert ids(db, f"SELECT msg_id FROM pgmq.{call}") == [1, 2]
        assert ids(db, called) == ["_choose_q"]


def test_a_batch_touches_as_many_rows_as_it_returns(queue: psycopg.Connection) -> None:
    queue.execute(FILL, (0, 50_000))
    rows = touched(queue, "pgmq.q_q", "SELECT * FROM pgmq.read('q', 30, 100)")
    # Each is met in the ready index and in the primary key: an entry and a row each time.
    assert rows <= 4 * 100 + FEW


def test_metrics_of_a_large_queue_look_at_a_bounded_number(queue: psycopg.Connection) -> None:
    queue.execute(FILL, (0, 100_000))
    queue.execute(FILL, (3600, 100_000))
    queue.execute("ANALYZE pgmq.q_q")
    assert touched(queue, "pgmq.q_q", "SELECT * FROM pgmq.metrics('q')") <= 4 * 10_001 + FEW


@pytest.mark.parametrize("group", ["1", "i % 1000", "i", "CASE WHEN i % 20 > 0 THEN 0 ELSE i END"])
def test_a_grouped_read_touches_the_front_however_long_the_queue_and_the_groups(
    queue: psycopg.Connection, group: str
) -> None:
    queue.execute("SELECT pgmq.create_fifo_index('q')")
    queue.execute(
        f"""
        INSERT INTO pgmq.q_q (vt, headers)
        SELECT now(), jsonb_build_object('x-pgmq-group', ({group})::text)
        FROM generate_series(1, 50000) AS i
        """.encode()
    )
    queue.execute("SELECT * FROM pgmq.read_group('q', '0', 60, 1)")  # may close the largest group
    # Of up to 30 messages at the front and 40 groups: an entry and a row each, and of the batch.
    for call in (
        "SELECT * FROM pgmq.read_grouped('q', 30, 1)",
        "SELECT * FROM pgmq.read_grouped('q', 30, 10)",
        "SELECT * FROM pgmq.read_grouped_rr('q', 30, 10)",
        "SELECT * FROM pgmq.read_grouped_head('q', 30, 10)",
        "SELECT * FROM pgmq.read_group('q', '0', 30, 10)",
    ):
        assert touched(queue, "pgmq.q_q", call) <= 2 * (30 + 2 * 40 + 3 * 10) + FEW, call
