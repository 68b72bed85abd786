"""The asynchronous client, on SQLAlchemy 2 and any driver that it has for Postgres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    create_async_engine,
)

from pgmq import _sqlalchemy as rendering
from pgmq import _statements as statements
from pgmq import _wire as wire
from pgmq.async_operations import AsyncPGMQueueOperationsMixin
from pgmq.base import BaseQueue, ClientFields

if TYPE_CHECKING:
    from typing_extensions import Self

    from pgmq._statements import Statement

__all__ = ["PGMQueue"]

T = TypeVar("T")


@dataclass(eq=False)
class PGMQueue(
    ClientFields, BaseQueue, AsyncPGMQueueOperationsMixin[AsyncConnection | AsyncSession]
):
    """A client of a SQLAlchemy engine.

    `engine` is one to use instead of an own one; it is left open. `conn` of a call is a connection
    or an ORM session: the call is then part of its transaction.
    """

    engine: AsyncEngine | None = None

    def __post_init__(self) -> None:
        self._own_engine = self.engine is None
        self._configure(__name__)
        # What init() does needs a running event loop.  # sync: self.init()

    async def init(self) -> None:
        """Make the engine, and create the extension if init_extension says so.

        Nothing is created where pgmq is installed in whatever way.
        """
        wire.check_kind("engine", self.engine, AsyncEngine, "connect")
        if self.engine is None:
            self.engine = create_async_engine(
                rendering.URL,
                connect_args=rendering.connect_args(self.config.dsn),
                pool_size=self.pool_size,
                max_overflow=20,
            )
            rendering.watch(self.engine)
        if self.init_extension:
            await self._init_extensions()

    async def _init_extensions(self) -> None:
        # kombu's transport calls it by this name.
        await self._run(statements.ensure_extension(), None)

    async def close(self) -> None:
        """Close the connections of the client's own engine; init() makes another one."""
        if self._own_engine and self.engine is not None:
            await self.engine.dispose()
            self.engine = None

    async def dispose(self) -> None:
        """Do as close()."""
        await self.close()

    def session(self) -> AsyncSession:
        """Return a new ORM session of the engine."""
        return AsyncSession(self._opened())

    async def __aenter__(self) -> Self:
        await self.init()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _opened(self) -> AsyncEngine:
        if self.engine is None:
            raise RuntimeError("the client is not open: call init() first")
        return self.engine

    async def _run(self, statement: Statement[T], conn: AsyncConnection | AsyncSession | None) -> T:
        text, parameters = rendering.render(statement)
        if conn is not None:
            return rendering.decode(statement, await conn.execute(text, parameters))
        # One statement needs no BEGIN and no COMMIT: two round trips less.
        async with self._opened().connect() as own:
            await own.execution_options(isolation_level="AUTOCOMMIT")
            return rendering.decode(statement, await own.execute(text, parameters))

    async def _holds(
        self, statement: Statement[bool], conn: AsyncConnection | AsyncSession | None
    ) -> bool:
        try:
            if conn is None:
                return await self._run(statement, None)
            # The error must not take the caller's transaction with it.
            async with conn.begin_nested():
                return await self._run(statement, conn)
        except DBAPIError as error:
            if rendering.is_raised(error):
                return False
            raise
