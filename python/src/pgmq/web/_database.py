"""One connection to the server, which shows what is going on or changes it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.rows import tuple_row
from psycopg.types.json import set_json_loads

from pgmq import _wire as wire
from pgmq._async_connect import prepare
from pgmq.async_operations import AsyncPGMQueueOperationsMixin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pgmq._statements import Statement

__all__ = ["Database"]

T = TypeVar("T")

_SECONDS = 10  # that a statement may take
_LIMITS = "SELECT set_config('statement_timeout', %s, true), set_config('lock_timeout', '2s', true)"


class _Connection(psycopg.AsyncConnection[Any]):
    """A connection that leaves a server which does not even say that a statement took too long."""

    seconds = _SECONDS

    async def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        return await super().wait(
            wire.bounded(gen, self.pgconn, self._longest_silence), *arguments, **options
        )

    def _longest_silence(self) -> float:
        return self.seconds + wire.SILENCE_STOPPING


class Database(AsyncPGMQueueOperationsMixin[psycopg.AsyncConnection[Any]]):
    """Every call of pgmq, and other statements, on one connection; JSON stays text."""

    vt = 30
    delay = 0

    def __init__(self, connection: _Connection) -> None:
        self.connection = connection

    @classmethod
    async def connect(cls, dsn: str) -> Database:
        connection = await _Connection.connect(
            dsn, autocommit=True, row_factory=tuple_row, prepare_threshold=None
        )
        await prepare(connection)
        set_json_loads(lambda text: wire.JSONText(_text(text)), connection)
        connection.adapters.register_loader("timestamptz", wire.ClampedLoader)
        return cls(connection)

    async def run(self, statement: Statement[T]) -> T:
        return await self._run(statement, None)

    async def _perform(
        self, statement: Statement[T], conn: psycopg.AsyncConnection[Any] | None
    ) -> T:
        cursor = await self.connection.execute(statement.query.encode(), statement.parameters)
        return statement.decode(await cursor.fetchall() if cursor.description else [])

    @contextlib.asynccontextmanager
    async def transaction(
        self, *, write: bool = False, undo: bool = False, seconds: int = _SECONDS
    ) -> AsyncIterator[None]:
        """Begin a transaction, in which no statement takes longer than so many seconds."""
        self.connection.seconds = seconds
        await self.connection.set_read_only(None if write else True)
        async with self.connection.transaction(force_rollback=undo):
            await self.connection.execute(_LIMITS.encode(), [f"{seconds}s"])
            yield


def _text(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode()
