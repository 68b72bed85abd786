"""What the asynchronous clients share: how values travel, whose transaction a call is part of."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.pq import PipelineStatus
from psycopg.rows import tuple_row

from pgmq import _statements as statements
from pgmq import _wire as wire

# Django's connections are synchronous.  # sync: from pgmq import _django as django
from pgmq.async_operations import AsyncPGMQueueOperationsMixin
from pgmq.base import BaseQueue, ClientFields

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session

    from pgmq._statements import Statement
    from pgmq._wire import Dumps, Loads

    Conn = (
        psycopg.AsyncConnection[Any]
        | psycopg.AsyncCursor[Any]
        | AsyncConnection
        | AsyncSession
        | async_scoped_session[Any]  # sync: | scoped_session[Any] | django.Connection
    )

__all__ = ["AsyncClient", "execute"]

T = TypeVar("T")


@dataclass(eq=False, repr=False)
class AsyncClient(ClientFields, BaseQueue, AsyncPGMQueueOperationsMixin["Conn"]):
    """A client whose calls are transactions of their own, or part of the one of their `conn`.

    `dumps` encodes messages and headers instead of json.dumps, and `loads` decodes them.
    """

    dumps: Dumps | None = None
    loads: Loads | None = None

    @abstractmethod
    async def _run_alone(self, statement: Statement[T]) -> T:
        """Run a statement in a transaction of its own."""

    async def _perform(self, statement: Statement[T], conn: Conn | None) -> T:
        if self.dumps is not None:
            statement = statements.encoded(statement, self.dumps)
        if conn is None:
            return await self._run_alone(statement)
        joined = await _join(conn)
        if isinstance(joined, psycopg.AsyncConnection):
            return await execute(joined, statement, self.loads)
        #  # sync: if isinstance(joined, django.Transaction):
        #  # sync:     return joined.execute(statement, self.loads)
        from pgmq import _sqlalchemy as rendering

        text, parameters = rendering.render(statement, self.loads)
        return rendering.decode(statement, await joined.execute(text, parameters))


async def execute(
    conn: psycopg.AsyncConnection[Any], statement: Statement[T], loads: Loads | None
) -> T:
    """Run a statement on a connection of psycopg."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        if loads is not None:
            wire.decode_by(loads, cursor)
        await cursor.execute(statement.query, statement.parameters)
        # Asking for its description would cost more than for its rownumber.
        if cursor.rownumber is None and conn.pgconn.pipeline_status == PipelineStatus.OFF:
            return statement.decode([])
        # In a pipeline, the result is waited for only now. If none comes, the error is that of the
        # server, and a result without rows is a ProgrammingError.
        try:
            rows = await cursor.fetchall()
        except (*wire.UNDECODABLE, psycopg.ProgrammingError):
            if cursor.pgresult is None:
                raise
            rows = wire.decode_again(cursor, loads)
        return statement.decode(rows)


async def _join(conn: Any) -> Any:
    """Return the connection whose transaction a call is to be part of."""
    if isinstance(conn, psycopg.AsyncConnection):
        return conn
    if isinstance(conn, psycopg.AsyncCursor):
        return conn.connection
    if wire.is_from("sqlalchemy", conn):
        from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session

        if isinstance(conn, AsyncConnection):
            return conn
        if isinstance(conn, AsyncSession | async_scoped_session):
            return await conn.connection()
    #  # sync: if hasattr(conn, "settings_dict"):
    #  # sync:     return django.Transaction(conn)
    kinds = "an asynchronous connection, cursor or session of psycopg or SQLAlchemy"
    #  # sync: kinds += ", or Django's connection"
    raise TypeError(f"conn must be {kinds}, not {wire.kind(conn)}")
