"""Topics as pgmq 1.13 has them; what they do is compared with upstream in tests/compat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import psycopg

    from conftest import Connect

FILL = """
    INSERT INTO pgmq.topic_bindings (pattern, queue_name)
    SELECT replace(%s, '$', i::text), 'r' FROM generate_series(1, 10000) AS i
"""


def _touched(session: psycopg.Connection) -> int:
    """Count the index entries and rows of bindings that sending looks at."""
    with session.transaction(force_rollback=True):
        before = _counted(session)
        assert session.execute("SELECT pgmq.send_topic('a.b.c', '1')").fetchone() == (1,)
        return _counted(session) - before


def _counted(session: psycopg.Connection) -> int:
    row = session.execute(
        """
        SELECT pg_stat_get_xact_tuples_fetched(c.oid) + pg_stat_get_xact_tuples_returned(c.oid)
            + (SELECT sum(pg_stat_get_xact_tuples_returned(i.indexrelid)) FROM pg_index AS i
               WHERE i.indrelid = c.oid)
        FROM pg_class AS c WHERE c.oid = 'pgmq.topic_bindings'::regclass
        """
    ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("pattern", ["a.b.x$", "x$.#", "#.x$", "*.*.x$", "*x$", "a.b.c$", "$a.b.c"])
def test_sending_looks_at_no_binding_that_begins_or_ends_otherwise(
    db: psycopg.Connection, connect: Connect, pattern: str
) -> None:
    db.execute("ALTER TABLE pgmq.topic_bindings SET (autovacuum_enabled = off)")
    db.execute("SELECT pgmq.create('q'), pgmq.create('r')")
    for matching in ("a.b.c", "a.#", "*.b.*", "#.c"):
        db.execute("SELECT pgmq.bind_topic(%s, 'q')", (matching,))
    db.execute("VACUUM ANALYZE pgmq.topic_bindings")
    session = connect()
    few = _touched(session)  # and the plan, made while the table was small
    db.execute(FILL, (pattern,))
    for sender in (session, connect()):
        assert _touched(sender) <= few + 10
