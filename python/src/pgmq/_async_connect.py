"""What every connection that the package opens is given first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgmq import _wire as wire

if TYPE_CHECKING:
    import psycopg

__all__ = ["prepare"]


async def prepare(conn: psycopg.AsyncConnection[Any]) -> None:
    """Set what is relied on, where it is not so by itself; the connection must be in autocommit.

    Through a pooler no statement is prepared: the next one may run in another session. (PgBouncer
    1.21 and later keep track of them, if told to.) Such a pooler is known by the pid that it makes
    up for a client, to cancel queries with.

    A connection that this fails on, or is cancelled, is closed: nobody has it yet.
    """
    try:
        await _prepare(conn)
    except BaseException:
        await conn.close()
        raise


async def _prepare(conn: psycopg.AsyncConnection[Any]) -> None:
    for name, (wanted, command) in wire.SETTINGS.items():
        if not (conn.info.parameter_status(name) or wanted).startswith(wanted):
            await conn.execute(command)
    if conn.prepare_threshold is not None:
        cursor = await conn.execute("SELECT pg_backend_pid()")
        [(pid,)] = await cursor.fetchall()
        if pid != conn.info.backend_pid:
            conn.prepare_threshold = None
