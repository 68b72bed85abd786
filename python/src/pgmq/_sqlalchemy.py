"""The statements as SQLAlchemy wants them, for every driver. No I/O here."""

from __future__ import annotations

import functools
import os
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import TextClause, event, text
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.types import UserDefinedType

from pgmq import _wire as wire
from pgmq._statements import duration

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

    from pgmq._statements import Statement
    from pgmq._wire import Loads

T = TypeVar("T")

URL = "postgresql+psycopg://"

_PARAMETER = re.compile(r"%\((\w+)\)s::(\w+(?:\[\])?)")


class _JSON(UserDefinedType[Any]):
    """JSON that arrives as text; it is decoded by `loads`, or what the engine has, or json."""

    cache_ok = True

    def __init__(self, loads: Loads | None) -> None:
        self.loads = loads

    def result_processor(self, dialect: Any, coltype: object) -> Any:
        decode = self.loads or getattr(dialect, "_json_deserializer", None)
        return lambda value: None if value is None else wire.loads(value, decode)


@functools.lru_cache(1000)
def _text(query: str, loads: Loads | None) -> TextClause:
    # Drivers differ in whether jsonb arrives decoded; and what Python cannot decode must not cost
    # the other messages.
    query = query.replace(
        " message, headers FROM ", " message::text AS message, headers::text AS headers FROM "
    )
    # asyncpg would want a timedelta for an interval, and never a text; a time without a zone it
    # would take for one of the client's zone, not of the session's.
    for kind in ("interval", "timestamptz"):
        query = query.replace(f")s::{kind}", f")s::text::{kind}")
    clause = text(_PARAMETER.sub(r"CAST(:\1 AS \2)", query))
    if "message::text" not in query:
        return clause
    return clause.columns(message=_JSON(loads), headers=_JSON(loads))  # type: ignore[return-value]


def watch(engine: Engine | AsyncEngine) -> None:
    """Have an engine replace connections that the server has closed, or another process opened.

    Like the pools of psycopg, without asking the server; other drivers do not say what is closed.
    With psycopg, connections are also given what those of the other clients are given.
    """
    engine = getattr(engine, "sync_engine", engine)

    @event.listens_for(engine, "connect")
    def connect(connection: Any, record: Any) -> None:
        record.info["process"] = os.getpid()
        if hasattr(record.driver_connection, "pgconn"):
            _prepare(connection, record.driver_connection)

    @event.listens_for(engine, "checkout")
    def checkout(connection: Any, record: Any, proxy: Any) -> None:
        if record.info["process"] != os.getpid():
            # After a fork: the parent still uses it.
            record.dbapi_connection = proxy.dbapi_connection = None
            raise DisconnectionError("the connection is of another process")
        pgconn = getattr(record.driver_connection, "pgconn", None)
        if pgconn is not None:
            try:
                for _ in range(2):  # first comes what the server said, and then that it is gone
                    pgconn.consume_input()
            except psycopg.Error as error:
                raise DisconnectionError(str(error)) from error


def _prepare(connection: Any, driver: Any) -> None:
    # As pgmq._connect does.
    cursor = connection.cursor()
    for name, (wanted, command) in wire.SETTINGS.items():
        if not (driver.info.parameter_status(name) or wanted).startswith(wanted):
            cursor.execute(command)
    cursor.execute("SELECT pg_backend_pid()")
    if cursor.fetchone() != (driver.info.backend_pid,):
        driver.prepare_threshold = None
    cursor.close()
    connection.commit()


def connect_args(dsn: str) -> dict[str, Any]:
    """Return what psycopg gets to connect with; SQLAlchemy's first query needs the encoding."""
    return {"client_encoding": "UTF8"} | conninfo_to_dict(dsn)


def render(
    statement: Statement[Any], loads: Loads | None = None
) -> tuple[TextClause, dict[str, Any]]:
    """Return the clause and its parameters."""
    parameters = wire.without_jsonb(statement.parameters)
    for name, value in parameters.items():
        if isinstance(value, timedelta):
            parameters[name] = duration(value)
        elif isinstance(value, datetime):
            parameters[name] = value.isoformat()
    return _text(statement.query, loads), parameters


def decode(statement: Statement[T], result: Any) -> T:
    """Return what the rows of a result mean."""
    return statement.decode([tuple(row) for row in result] if result.returns_rows else [])
