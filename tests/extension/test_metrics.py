"""What metrics() says of long queues, with statistics and without."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from support.waiting import hold_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Connect
    from pgmq import embedded

CREATE = {
    "plain": "create('q')",
    "unlogged": "create_unlogged('q')",
    "by id": "create_partitioned('q', '5000', '1000000')",
    "by time": "create_partitioned('q', '1 day', '5 days')",
}
BATCH = "SELECT count(*) FROM pgmq.send_batch('q', array_fill('{\"a\": 1}'::jsonb, ARRAY[%s]), %s)"


def _lengths(db: psycopg.Connection) -> tuple[int, int]:
    row = db.execute("SELECT queue_length, queue_visible_length FROM pgmq.metrics('q')").fetchone()
    assert row is not None
    return row


def _lost(db: psycopg.Connection) -> list[Any]:
    return db.execute(
        "SELECT fix FROM pgmq.doctor() WHERE queue_name = 'q' AND finding ~ 'statistics'"
    ).fetchall()


def _forget(db: psycopg.Connection, connect: Connect) -> None:
    """Have the counters lost as a crash does, and one row counted since."""
    _settle(db)
    db.execute("SELECT pg_stat_reset()")
    _settle(db)
    with connect() as other:
        other.execute("SELECT pgmq.send('q', '1')")
    _settle(db)


def _settle(db: psycopg.Connection) -> None:
    """Have what happened counted; before Postgres 15 another process does that by and by."""
    if db.info.server_version >= 150000:
        db.execute("SELECT pg_stat_force_next_flush()")
        time.sleep(0.1)
    else:
        time.sleep(1.2)


@pytest.mark.parametrize("kind", CREATE)
def test_lost_statistics_are_replaced_by_an_estimate_until_analyze(
    db: psycopg.Connection, connect: Connect, kind: str
) -> None:
    db.execute(f"SELECT pgmq.{CREATE[kind]}".encode())
    db.execute("ALTER TABLE pgmq.q_q SET (autovacuum_enabled = off)" if "by" not in kind else "")
    db.execute(BATCH, (30_000, 0))
    db.execute("SELECT count(*) FROM pgmq.pop('q', 2000)")
    _forget(db, connect)
    length, visible = _lengths(db)
    assert 27_000 < length < 29_000
    assert visible == length
    assert len(_lost(db)) == 1
    db.execute(_lost(db)[0][0])
    _settle(db)
    assert _lost(db) == []
    assert 27_000 < _lengths(db)[0] < 29_000


def test_so_are_those_of_messages_that_wait(db: psycopg.Connection, connect: Connect) -> None:
    db.execute("SELECT pgmq.create('q')")
    db.execute(BATCH, (30_000, 3600))
    _forget(db, connect)
    length, visible = _lengths(db)
    assert 15_000 < length <= 30_001
    assert 1 <= visible <= length


@pytest.mark.parametrize("kind", CREATE)
def test_what_a_held_snapshot_keeps_from_vacuum_does_not_distort_metrics(
    db: psycopg.Connection, connect: Connect, kind: str
) -> None:
    db.execute(f"SELECT pgmq.{CREATE[kind]}".encode())
    hold_snapshot(connect)
    db.execute(BATCH, (20_000, 0))
    consume = "SELECT pgmq.delete('q', ARRAY(SELECT msg_id FROM pgmq.read('q', 3600, 20000)))"
    db.execute(consume)
    for sent, delay, leased in ((500, 0, 300), (2, 7200, 0), (8_000, 0, 0)):
        db.execute(BATCH, (sent, delay))
        db.execute("SELECT count(*) FROM pgmq.read('q', 3600, %s)", [leased])
        _settle(db)
        db.execute("VACUUM pgmq.q_q")
        found = db.execute(
            """
            SELECT
                m.queue_length = (SELECT count(*) FROM pgmq.q_q),
                abs(m.queue_visible_length - (
                    SELECT count(*) FROM pgmq.q_q AS q WHERE q.vt <= clock_timestamp()
                )) < 20,
                m.oldest_msg_age_sec BETWEEN 0 AND 60, m.newest_msg_age_sec BETWEEN 0 AND 60
            FROM pgmq.metrics('q') AS m
            """
        ).fetchone()
        assert found == (True, True, True, True)


def test_a_crash_does_not_make_a_long_queue_a_short_one(
    new_server: Callable[..., embedded.Server],
) -> None:
    server = new_server(autovacuum="off")
    with psycopg.connect(server.dsn("pgmq"), autocommit=True) as db:
        db.execute("SELECT pgmq.create('q')")
        db.execute(BATCH, (40_000, 0))
        assert _lost(db) == []
    server.restart(mode="immediate")
    with psycopg.connect(server.dsn("pgmq"), autocommit=True) as db:
        # A crash also skips some ids.
        assert 40_000 <= _lengths(db)[0] <= 40_040
        db.execute("SELECT pgmq.send('q', '1')")
        _settle(db)
        assert 40_001 <= _lengths(db)[0] <= 40_040
        assert len(_lost(db)) == 1


@pytest.mark.parametrize("kind", CREATE)
@pytest.mark.parametrize("sent", [0, 3, 8000])
def test_metrics_are_the_same_for_one_queue_and_for_all(
    db: psycopg.Connection, kind: str, sent: int
) -> None:
    db.execute(f"SELECT pgmq.{CREATE[kind]}".encode())
    for number, delay in ((sent, 0), (sent // 3, 3600)):
        if number:
            db.execute(BATCH, (number, delay))
    db.execute("SELECT count(*) FROM pgmq.read('q', 3600, %s)", [sent // 2])
    with db.transaction():
        rows = db.execute("SELECT * FROM pgmq.metrics('q')").fetchall()
        assert db.execute("SELECT * FROM pgmq.metrics_all()").fetchall() == rows
    assert rows[0][1] == rows[0][4] == sent + sent // 3
    assert rows[0][6] == sent - sent // 2
    assert rows[0][7] == (0 if "by" in kind else None)
    assert [age is not None for age in rows[0][2:4]] == [sent > 0] * 2


# What is done to the queue q, which holds so many messages; whether it can still be measured.
DAMAGED = {
    "no identity": ("ALTER TABLE pgmq.q_q ALTER msg_id DROP IDENTITY", 3, True),
    "no identity of a long one": ("ALTER TABLE pgmq.q_q ALTER msg_id DROP IDENTITY", 12_000, True),
    "no column": ("ALTER TABLE pgmq.q_q RENAME vt TO visible_at", 3, False),
    "no mark": ("DROP SEQUENCE pgmq.ready_mark_q", 12_000, False),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_queue_hides_no_other_one(db: psycopg.Connection, what: str) -> None:
    damage, sent, is_measured = DAMAGED[what]
    db.execute("SELECT pgmq.create('q'), pgmq.create('sound'), pgmq.send('sound', '1')")
    db.execute(BATCH, (sent, 0))
    db.execute(damage.encode())
    warnings: list[str | None] = []
    db.add_notice_handler(lambda warning: warnings.append(warning.message_primary))
    wanted = [("q", sent, 0), ("sound", 1, 1)] if is_measured else [("sound", 1, 1)]
    for call in (
        "SELECT queue_name, queue_length, total_messages FROM pgmq.metrics_all()",
        "SELECT queue_name, visible, sent_total FROM pgmq.queue_stats()",
    ):
        assert db.execute(call.encode()).fetchall() == wanted
    assert all((text or "").startswith('queue "q" cannot be measured: ') for text in warnings)
    assert len(warnings) == (0 if is_measured else 2)
    assert db.execute(
        "SELECT queue_name FROM pgmq.doctor() WHERE severity = 'critical' AND queue_name <> ''"
    ).fetchone() == ("q",)
    db.execute("SELECT pgmq.metrics('sound')")
    if is_measured:
        assert db.execute("SELECT pgmq.metrics('q')").fetchone()
    else:
        with pytest.raises((psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedTable)):
            db.execute("SELECT pgmq.queue_stats('q')")
