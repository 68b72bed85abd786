"""The asynchronous client, on psycopg 3."""

from __future__ import annotations

import asyncio  # sync: -
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from pgmq import _statements as statements
from pgmq import _wire as wire
from pgmq._async_client import AsyncClient, execute
from pgmq._async_connect import prepare
from pgmq.base import where

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from typing_extensions import Self

    from pgmq._statements import Statement

__all__ = ["PGMQueue"]

C = TypeVar("C", bound=psycopg.AsyncConnection[Any])
T = TypeVar("T")


@dataclass(eq=False, repr=False)
class PGMQueue(AsyncClient):
    """A client with a pool of connections.

    `pool` is one to use instead of an own one; it is left open. An own pool opens with init() and
    closes with close(), or both with the block of an `async with`.

    A client belongs to the event loop and the process that opened it.

        >>> async with AsyncPGMQueue(dsn) as client:
        ...     await client.version() == pgmq.__version__
        True
    """

    # Any is the None before init(): who uses an open client need not rule that out.
    pool: AsyncConnectionPool[Any] | Any = None

    def __post_init__(self) -> None:
        self._own_pool = self.pool is None
        self._home: Any = None  # where the own pool was opened
        self._reached = False  # whether the own pool's server has been
        self._configure(__name__)
        # The pool needs a running event loop: see init().  # sync: self.init()

    async def init(self) -> None:
        """Open the pool, and create the extension if init_extension says so.

        Nothing is created where pgmq is installed in whatever way.
        """
        wire.check_kind("pool", self.pool, AsyncConnectionPool, "getconn")
        if self.pool is None and self.init_extension:
            await self._connect_once()
        try:
            if self.pool is None:
                self._home = wire.current_loop()
                self.pool = _Pool(
                    self.config.dsn,
                    min_size=int(self.init_extension),
                    max_size=self.pool_size,
                    open=False,
                    configure=_configure,
                )
                # Nothing may be opened beside, and the pool's tasks must have begun to wait: an
                # event loop that ends meanwhile hangs (wait_for() of Python before 3.12).
                await self.pool.open(wait=True)
                await asyncio.sleep(0.01)  # sync: -
            if self.init_extension:
                await self._init_extensions()
        except BaseException:
            await self.close()
            raise

    async def _init_extensions(self) -> None:
        # kombu's transport calls it by this name.
        await self._run(statements.ensure_extension(), None)

    async def _connect_once(self) -> None:
        """Raise the error that connecting raises, if any.

        The pool would try for half a minute, and not say why.
        """
        self._reached = True
        try:
            conn = await psycopg.AsyncConnection.connect(self.config.dsn)
        except BaseException:
            self._reached = False
            raise
        await conn.close()

    async def close(self) -> None:
        """Close the client's own pool; init() opens another one."""
        if self._own_pool and self.pool is not None:
            await self.pool.close()
            self.pool = None

    async def __aenter__(self) -> Self:
        await self.init()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _where(self) -> str:
        if self._own_pool or self.pool is None:
            return super()._where()
        if callable(self.pool.conninfo) or callable(self.pool.kwargs):
            return "what its pool decides"
        return where(self.pool.conninfo, **(self.pool.kwargs or {}))

    def _opened(self) -> AsyncConnectionPool[Any]:
        if self.pool is None:
            raise RuntimeError("the client is not open: call init() first")
        if self._own_pool and self._home != wire.current_loop():
            raise RuntimeError(
                "the client was opened in another event loop or process: make one for each"
            )
        return self.pool

    async def _run_alone(self, statement: Statement[T]) -> T:
        pool = self._opened()
        if self._own_pool and not self._reached:
            await self._connect_once()
        cancelled = wire.cancellations()  # sync: -
        try:
            conn = await (pool.getconn() if self._own_pool else _taken(pool, pool.getconn))
        except PoolTimeout:
            if self._own_pool:
                await self._connect_once()
            raise
        try:
            if wire.cancellations() > cancelled:  # sync: -
                # While it waited, the pool can lose that, and the task would never end.  # sync: -
                raise asyncio.CancelledError  # sync: -
            if conn.autocommit:
                return await execute(conn, statement, self.loads)
            try:
                # One statement needs no BEGIN and no COMMIT: two round trips less. Who is
                # interrupted here may have set it.
                await conn.set_autocommit(True)
                return await execute(conn, statement, self.loads)
            finally:
                if conn.pgconn.transaction_status == TransactionStatus.IDLE:
                    await conn.set_autocommit(False)
                else:  # interrupted
                    await conn.close()
        finally:
            await pool.putconn(conn)


class _Pool(AsyncConnectionPool[Any]):
    """A pool that goes on at once when the server has closed a connection.

    The `check` of psycopg's waits after each such one, twice as long every time.
    """

    async def getconn(self, timeout: float | None = None) -> psycopg.AsyncConnection[Any]:
        return await _taken(self, partial(super().getconn, timeout))


async def _taken(pool: AsyncConnectionPool[Any], take: Callable[[], Awaitable[C]]) -> C:
    """Take a connection of a pool; those that the server has closed are replaced."""
    for _ in range(pool.max_size):
        conn = await take()
        try:
            await _check(conn)
        except psycopg.Error:
            await conn.close()
            await pool.putconn(conn)
        else:
            return conn
    return await take()


async def _configure(conn: psycopg.AsyncConnection[Any]) -> None:
    await conn.set_autocommit(True)
    await prepare(conn)
    await conn.set_autocommit(False)


async def _check(conn: psycopg.AsyncConnection[Any]) -> None:
    """Raise an error when the server has closed the connection, without asking it."""
    for _ in range(2):  # first comes what it said, and then that it is gone
        conn.pgconn.consume_input()
