"""What metrics() and queue_stats() say of long queues right after a burst: nearly right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from support.queries import one

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Connect, Roles
    from pgmq import embedded

CREATE = {
    "plain": "create('q')",
    "unlogged": "create_unlogged('q')",
    "by id": "create_partitioned('q', '20000', '1000000')",
    "by time": "create_partitioned('q', '1 day', '5 days')",
}
SEND = "SELECT count(*) FROM pgmq.send_batch('q', array_fill(%s::jsonb, ARRAY[%s]), %s)"
SMALL = '{"a": "a few words of a message"}'
LEASE = "SELECT count(*) FROM pgmq.read('q', 3600, %s)"
DELETE = "DELETE FROM pgmq.q_q WHERE "
# What happens to 60,000 messages, one burst after the other.
BURSTS: dict[str, list[tuple[str, Any]]] = {
    "bulk load": [],
    "some deleted from the front": [(DELETE + "msg_id <= 15000", ())],
    "most deleted from the front": [(DELETE + "msg_id <= 45000", ())],
    "half deleted at random": [(DELETE + "random() < 0.5", ())],
    "all but some in the middle deleted": [(DELETE + "msg_id NOT BETWEEN 20000 AND 34000", ())],
    "all leased": [(LEASE, [60000])],
    "a third leased and acknowledged": [
        (LEASE, [30000]),
        (DELETE + "last_read_at IS NOT NULL AND msg_id <= 20000", ()),
    ],
    "some delayed": [(SEND, [SMALL, 20000, 600])],
    "some large ones": [(SEND, ['{"a": "%s"}' % ("many words " * 300), 2000, 0])],
    "every third deleted": [(DELETE + "msg_id % 3 = 0", ())],
}
TRUTH = """
    SELECT
        count(*) FILTER (WHERE q.vt <= now()),
        count(*) FILTER (WHERE q.vt > now() AND q.last_read_at IS NULL),
        count(*) FILTER (WHERE q.vt > now() AND q.last_read_at IS NOT NULL)
    FROM pgmq.q_q AS q
"""


def _is_near(found: int, true: int, bound: float = 0.1) -> bool:
    return found == true if true <= 10_000 else abs(found - true) <= bound * true


def _fill(db: psycopg.Connection, kind: str) -> None:
    db.execute(f"SELECT pgmq.{CREATE[kind]}".encode())
    db.execute(SEND, [SMALL, 60000, 0])


@pytest.mark.parametrize("kind", CREATE)
def test_estimates_follow_every_burst_at_once(db: psycopg.Connection, kind: str) -> None:
    # Statistics would be of no use: none is flushed or made within the transaction.
    _fill(db, kind)
    for burst, statements in BURSTS.items():
        db.execute("BEGIN")
        for statement, values in statements:
            db.execute(statement.encode(), values or None)
        true = db.execute(TRUTH).fetchone()
        found = db.execute(
            "SELECT visible, delayed, in_flight FROM pgmq.queue_stats('q')"
        ).fetchone()
        lengths = db.execute(
            "SELECT queue_length, queue_visible_length FROM pgmq.metrics('q')"
        ).fetchone()
        db.execute("ROLLBACK")
        assert true is not None
        assert found is not None
        assert lengths is not None
        assert all(map(_is_near, found, true)), (burst, found, true)
        assert _is_near(lengths[0], sum(true)), (burst, lengths, true)
        assert lengths[1] == found[0], burst


def test_estimates_are_right_after_a_vacuum_and_after_a_crash(
    new_server: Callable[..., embedded.Server],
) -> None:
    server = new_server(autovacuum="off")
    with psycopg.connect(server.dsn("pgmq"), autocommit=True) as db:
        _fill(db, "plain")
        db.execute(DELETE.encode() + b"msg_id % 3 = 0")
        for vacuum in ("", "VACUUM pgmq.q_q", "VACUUM FULL pgmq.q_q"):
            db.execute(vacuum.encode())
            assert _is_near(one(db, "SELECT queue_length FROM pgmq.metrics('q')"), 40000)
    server.restart(mode="immediate")
    with psycopg.connect(server.dsn("pgmq"), autocommit=True) as db:
        assert _is_near(one(db, "SELECT queue_length FROM pgmq.metrics('q')"), 40000)


def test_few_messages_in_a_large_table_are_found(db: psycopg.Connection) -> None:
    _fill(db, "plain")
    db.execute(SEND, [SMALL, 140000, 0])
    for left in (15000, 11000, 9000, 300, 1, 0):
        db.execute(b"DELETE FROM pgmq.q_q WHERE msg_id <= 200000 - %s", [left])
        assert _is_near(one(db, "SELECT queue_length FROM pgmq.metrics('q')"), left)


def test_the_archive_and_dead_letters_are_counted(db: psycopg.Connection) -> None:
    _fill(db, "plain")
    db.execute("SELECT pgmq.set_policy('q', max_receives => 1, dead_letter_queue => 'dead')")
    stats = "SELECT visible, in_flight, dead_letters, archive_length FROM pgmq.queue_stats('q')"
    assert db.execute(stats).fetchone() == (60000, 0, 0, 0)
    db.execute(LEASE, [300])
    db.execute("UPDATE pgmq.q_q SET vt = now() WHERE last_read_at IS NOT NULL")
    # Messages that a read has yet to bury are in no state.
    assert one(db, "SELECT visible FROM pgmq.queue_stats('q')") == pytest.approx(59700, rel=0.02)
    db.execute(LEASE, [100])
    assert one(db, "SELECT dead_letters FROM pgmq.queue_stats('q')") >= 200
    db.execute(
        "SELECT count(*) FROM pgmq.archive("
        "'q', ARRAY(SELECT msg_id FROM pgmq.q_q WHERE msg_id > 20000))"
    )
    assert one(db, "SELECT archive_length FROM pgmq.queue_stats('q')") == pytest.approx(
        40000, rel=0.1
    )


def test_a_long_default_partition_and_a_stream_are_estimated(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create_partitioned('q', '1000', '100000'), pgmq.create_stream('s')")
    db.execute("SELECT setval('pgmq.q_q_msg_id_seq', 500000)")
    db.execute(SEND, [SMALL, 30000, 0])
    assert one(db, "SELECT default_partition_length FROM pgmq.metrics('q')") == pytest.approx(
        one(db, "SELECT count(*) FROM pgmq.q_q WHERE msg_id > 500000"), rel=0.1
    )
    db.execute(SEND.replace("'q'", "'s'").encode(), [SMALL, 30000, 0])
    with db.transaction(force_rollback=True):
        db.execute(SEND.replace("'q'", "'s'").encode(), [SMALL, 30000, 0])
    # Unlike msg_ids, pages tell what was rolled back.
    assert _is_near(one(db, "SELECT queue_length FROM pgmq.metrics('s')"), 30000)
    assert one(db, "SELECT visible FROM pgmq.queue_stats('s')") == one(
        db, "SELECT queue_length FROM pgmq.metrics('s')"
    )


def test_the_cost_does_not_grow_with_the_queue(db: psycopg.Connection) -> None:
    # Rows that an open transaction has counted so far.
    rows = (
        "SELECT (pg_stat_get_xact_tuples_returned(oid) + pg_stat_get_xact_tuples_fetched(oid)"
        " + (SELECT sum(pg_stat_get_xact_tuples_returned(i.indexrelid)) FROM pg_index AS i"
        "    WHERE i.indrelid = c.oid))::integer"
        " FROM pg_class AS c WHERE oid = 'pgmq.q_q'::regclass"
    )
    _fill(db, "plain")
    touched = []
    for _ in range(2):
        db.execute("BEGIN")
        before = one(db, rows)
        db.execute("SELECT pgmq.metrics('q')")
        touched.append(one(db, rows) - before)
        db.execute("COMMIT")
        db.execute(SEND, [SMALL, 120000, 0])
    assert touched[1] < 1.2 * touched[0] + 200
    assert touched[1] < 10_000


def test_totals_of_stats_tell_rates(db: psycopg.Connection, connect: Connect) -> None:
    db.execute("SELECT pgmq.create('q')")
    stats = "SELECT sent_total, removed_total FROM pgmq.queue_stats('q')"
    assert db.execute(stats).fetchone() == (0, 0)
    with connect() as other:
        other.execute(SEND.encode(), [SMALL, 100, 0])
        other.execute("SELECT count(*) FROM pgmq.pop('q', 40)")
        other.execute("SELECT count(*) FROM pgmq.archive('q', ARRAY(SELECT msg_id FROM pgmq.q_q))")
    for _ in range(50):
        if db.execute(stats).fetchone() == (100, 100):
            break
        db.execute("SELECT pg_sleep(0.1), pg_stat_clear_snapshot()")
    assert db.execute(stats).fetchone() == (100, 100)


def test_stats_of_all_queues_are_for_whom_may_see_them(
    db: psycopg.Connection, roles: Roles
) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.create('other')")
    db.execute("SELECT pgmq.set_policy('q', max_receives => 3, dead_letter_queue => 'other')")
    db.execute(SEND, [SMALL, 20000, 0])
    db.execute("SELECT pgmq.archive('q', ARRAY(SELECT msg_id FROM pgmq.q_q LIMIT 30))")
    role = roles("")
    db.execute(f"SELECT pgmq.grant_monitor('q', '{role}')".encode())
    stats = "SELECT queue_name, dead_letters, archive_length FROM pgmq.queue_stats() ORDER BY 1"
    db.execute(f"SET ROLE {role}".encode())
    assert db.execute(stats).fetchall() == [("q", None, 30)]
    assert _is_near(one(db, "SELECT queue_length FROM pgmq.metrics('q')"), 19970)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        db.execute("SELECT pgmq.queue_stats('other')")
    db.execute("SET ROLE pg_monitor")
    assert db.execute(stats).fetchall() == [("other", None, 0), ("q", 0, 30)]
    db.execute("RESET ROLE")
