"""How often a test's database is swept: a matter of the database, which no session can set."""

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
