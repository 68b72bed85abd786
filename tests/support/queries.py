"""What a query returns: its one value, or the first value of each of its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

# Advisory locks of this database, to follow with AND: other tests share the server.
ADVISORY_LOCKS = (
    "FROM pg_locks WHERE locktype = 'advisory' AND database ="
    " (SELECT oid FROM pg_database WHERE datname = current_database())"
)


def one(session: psycopg.Connection, query: str, *arguments: Any) -> Any:
    row = session.execute(query.encode(), arguments or None).fetchone()
    return row[0] if row else None


def ids(session: psycopg.Connection, query: str, *arguments: Any) -> list[Any]:
    return [row[0] for row in session.execute(query.encode(), arguments or None).fetchall()]


def make_upkeep_certain(session: psycopg.Connection) -> None:
    """Let the session's next call do the upkeep that is otherwise left to chance."""
    for seed in range(1000):
        session.execute("SELECT setseed(%s)", [seed / 1000])
        if one(session, "SELECT random()") < 1 / 256:
            session.execute("SELECT setseed(%s)", [seed / 1000])
            return
    raise AssertionError("no seed makes the next random() small")
