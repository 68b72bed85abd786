"""The one list of what a queue consists of, beside what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.cases import case
from support.queries import ids, one
from support.queues import KINDS, STREAMS

if TYPE_CHECKING:
    import psycopg

# What is in the schema and no member of the extension: relations of queues, without partitions and
# what Postgres makes with a table.
THERE = """
    SELECT c.relname::text FROM pg_class AS c
    LEFT JOIN pg_index AS i ON i.indexrelid = c.oid
    WHERE c.relnamespace = 'pgmq'::regnamespace AND c.relkind IN ('r', 'p', 'i', 'I', 'S')
        AND NOT c.relispartition
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = coalesce(i.indrelid, c.oid)
                AND (d.deptype = 'e' OR c.relkind = 'S' AND d.deptype = 'i')
        )
        AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = c.oid)
    ORDER BY 1
"""
LISTED = """
    SELECT r.name FROM pgmq.meta AS m CROSS JOIN pgmq._relations(m.queue_name) AS r
    WHERE to_regclass(format('pgmq.%I', r.name)) IS NOT NULL ORDER BY 1
"""


def test_it_has_every_relation_of_a_queue(db: psycopg.Connection) -> None:
    for kind, make in KINDS.items():
        with case(kind):
            db.execute(make.encode())
            there = ids(db, THERE)
            assert ids(db, LISTED) == there
            assert len(there) >= (4 if kind in STREAMS else 8)
            assert ids(db, "SELECT finding FROM pgmq.doctor() WHERE finding ~ 'missing'") == []
            db.execute("SELECT pgmq.drop_queue(%s)", [kind])
            db.execute("SELECT pgmq.drop_queue(queue_name) FROM pgmq.list_queues()")
            assert ids(db, THERE) == []


def test_it_has_what_a_partitioned_archive_adds(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q'); SELECT pgmq.convert_archive_partitioned('q')")
    db.execute("DROP TABLE pgmq.a_q_old")
    assert ids(db, LISTED) == ids(db, THERE)
    assert "archived_id_idx_q" in ids(db, LISTED)


@pytest.mark.parametrize(
    "kind", ['Mixed "Case" %I', "by_time_policy", "by_id_fifo", "by_id_pushed", *STREAMS]
)
def test_doctor_finds_each_that_is_missing_and_makes_it_again(
    db: psycopg.Connection, kind: str
) -> None:
    db.execute(KINDS[kind].encode())
    relations = db.execute(
        """
        SELECT r.kind, format('pgmq.%%I', r.name), r.title FROM pgmq._relations(%s) AS r
        WHERE to_regclass(format('pgmq.%%I', r.name)) IS NOT NULL
            -- Without these it has not the feature, or is none; create() makes a plain archive.
            AND r.role NOT IN ('queue', 'fifo_idx', 'notify_at', 'armed_until')
            AND NOT (r.role = 'archive' AND %s ~ '^by_')
        """,
        [kind, kind],
    ).fetchall()
    assert len(relations) >= (3 if kind in STREAMS else 7)
    for type_, name, title in relations:
        db.execute(f"DROP {type_} {name}".encode())
        found = ids(
            db, "SELECT fix FROM pgmq.doctor() WHERE finding = %s", f"the {title} is missing"
        )
        assert len(found) == 1, name
        db.execute(found[0].encode())
        assert one(db, "SELECT to_regclass(%s) IS NOT NULL", name), name
    assert ids(db, "SELECT finding FROM pgmq.doctor() WHERE finding ~ 'missing'") == []
