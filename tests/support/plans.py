"""How many rows a statement looks at, which tells an index scan of little from one of much."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg


def touched(session: psycopg.Connection, table: str, call: str, *arguments: object) -> int:
    """Count the rows and index entries of a table that a call looks at; it is rolled back."""
    with session.transaction(force_rollback=True):
        before = _counted(session, table)
        session.execute(call.encode(), arguments)
        return _counted(session, table) - before


def _counted(session: psycopg.Connection, table: str) -> int:
    row = session.execute(
        """
        SELECT pg_stat_get_xact_tuples_fetched(c.oid) + pg_stat_get_xact_tuples_returned(c.oid)
            + (SELECT sum(pg_stat_get_xact_tuples_returned(i.indexrelid)) FROM pg_index AS i
               WHERE i.indrelid = c.oid)
        FROM pg_class AS c WHERE c.oid = %s::regclass
        """,
        [table],
    ).fetchone()
    assert row is not None
    return int(row[0])
