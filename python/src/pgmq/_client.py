"""What the synchronous clients share: how values travel, whose transaction a call is part of."""

# Made of _async_client.py by `make sync`: change that one.

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.pq import PipelineStatus
from psycopg.rows import tuple_row

from pgmq import _django as django
from pgmq import _statements as statements
from pgmq import _wire as wire
from pgmq.base import BaseQueue, ClientFields
from pgmq.sync_operations import SyncPGMQueueOperationsMixin

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session, scoped_session

    from pgmq._statements import Statement
    from pgmq._wire import Dumps, Loads

    Conn = (
        psycopg.Connection[Any]
        | psycopg.Cursor[Any]
        | Connection
        | Session
        | scoped_session[Any]
        | django.Connection
    )

__all__ = ["Client", "execute"]

T = TypeVar("T")


@dataclass(eq=False, repr=False)
class Client(ClientFields, BaseQueue, SyncPGMQueueOperationsMixin["Conn"]):
    """A client whose calls are transactions of their own, or part of the one of their `conn`.

    `dumps` encodes messages and headers instead of json.dumps, and `loads` decodes them.
    """

    dumps: Dumps | None = None
    loads: Loads | None = None

    @abstractmethod
    def _run_alone(self, statement: Statement[T]) -> T:
        """Run a statement in a transaction of its own."""

    def _perform(self, statement: Statement[T], conn: Conn | None) -> T:
        if self.dumps is not None:
            statement = statements.encoded(statement, self.dumps)
        if conn is None:
            return self._run_alone(statement)
        joined = _join(conn)
        if isinstance(joined, psycopg.Connection):
            return execute(joined, statement, self.loads)
        if isinstance(joined, django.Transaction):
            return joined.execute(statement, self.loads)
        from pgmq import _sqlalchemy as rendering

        text, parameters = rendering.render(statement, self.loads)
        return rendering.decode(statement, joined.execute(text, parameters))


def execute(conn: psycopg.Connection[Any], statement: Statement[T], loads: Loads | None) -> T:
    """Run a statement on a connection of psycopg."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        if loads is not None:
            wire.decode_by(loads, cursor)
        cursor.execute(statement.query, statement.parameters)
        # Asking for its description would cost more than for its rownumber.
        if cursor.rownumber is None and conn.pgconn.pipeline_status == PipelineStatus.OFF:
            return statement.decode([])
        # In a pipeline, the result is waited for only now. If none comes, the error is that of the
        # server, and a result without rows is a ProgrammingError.
        try:
            rows = cursor.fetchall()
        except (*wire.UNDECODABLE, psycopg.ProgrammingError):
            if cursor.pgresult is None:
                raise
            rows = wire.decode_again(cursor, loads)
        return statement.decode(rows)


def _join(conn: Any) -> Any:
    """Return the connection whose transaction a call is to be part of."""
    if isinstance(conn, psycopg.Connection):
        return conn
    if isinstance(conn, psycopg.Cursor):
        return conn.connection
    if wire.is_from("sqlalchemy", conn):
        from sqlalchemy import Connection
        from sqlalchemy.orm import Session, scoped_session

        if isinstance(conn, Connection):
            return conn
        if isinstance(conn, Session | scoped_session):
            return conn.connection()
    if hasattr(conn, "settings_dict"):
        return django.Transaction(conn)
    kinds = "a synchronous connection, cursor or session of psycopg or SQLAlchemy"
    kinds += ", or Django's connection"
    raise TypeError(f"conn must be {kinds}, not {wire.kind(conn)}")
