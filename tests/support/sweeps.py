"""When the low-water marks of a test's queue move, and how often its database is swept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

if TYPE_CHECKING:
    import psycopg


def sweep_every(session: psycopg.Connection, interval: str) -> None:
    """Set the interval of sweeps for this database, from the next sweep on."""
    session.execute(
        sql.SQL("ALTER DATABASE {} SET pgmq.sweep_interval = {}").format(
            sql.Identifier(session.info.dbname), interval
        )
    )


def stop_sweeps(session: psycopg.Connection, *queues: str) -> None:
    """Have no sweep for a year; the first one is due at once in a new queue."""
    sweep_every(session, "1 year")
    for queue in queues:
        session.execute(
            "SELECT setval(format('pgmq.%%I', 'sweep_due_' || %s),"
            " pgmq._microseconds(now() + interval '6 months'))",
            (queue,),
        )


def let_look(session: psycopg.Connection, queue: str = "q") -> None:
    """Have the next call that may move the marks do so, as if none had done so for a while."""
    # In a transaction of its own.
    session.execute("UPDATE pgmq.look SET next_at = null")
    session.execute(
        "SELECT setval(m.name, least("
        " coalesce(pg_sequence_last_value(m.name), 0),"
        " pgmq._microseconds(clock_timestamp() - interval '2 s')))"
        " FROM (SELECT format('pgmq.%%I', 'parked_mark_' || %s::text)::regclass AS name) AS m",
        (queue,),
    )
