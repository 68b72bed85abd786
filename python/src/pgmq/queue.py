"""The synchronous client, on psycopg 3."""

# Made of async_queue.py by `make sync`: change that one.

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from psycopg_pool import ConnectionPool, PoolTimeout

from pgmq import _statements as statements
from pgmq import _wire as wire
from pgmq._client import Client, execute
from pgmq._connect import prepare
from pgmq.base import where

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from pgmq._statements import Statement

__all__ = ["PGMQueue"]

C = TypeVar("C", bound=psycopg.Connection[Any])
T = TypeVar("T")


@dataclass(eq=False, repr=False)
class PGMQueue(Client):
    """A client with a pool of connections.

    `pool` is one to use instead of an own one; it is left open. An own pool opens with init() and
    closes with close(), or both with the block of a `with`.

    A client belongs to the process that opened it.

        >>> with PGMQueue(dsn) as client:
        ...     client.version() == pgmq.__version__
        True
    """

    # Any is the None before init(): who uses an open client need not rule that out.
    pool: ConnectionPool[Any] | Any = None

    def __post_init__(self) -> None:
        self._own_pool = self.pool is None
        self._home: Any = None  # where the own pool was opened
        self._reached = False  # whether the own pool's server has been
        self._configure(__name__)
        self.init()

    def init(self) -> None:
        """Open the pool, and create the extension if init_extension says so.

        Nothing is created where pgmq is installed in whatever way.
        """
        wire.check_kind("pool", self.pool, ConnectionPool, "getconn")
        if self.pool is None and self.init_extension:
            self._connect_once()
        try:
            if self.pool is None:
                self._home = wire.current_process()
                self.pool = _Pool(
                    self.config.dsn,
                    min_size=int(self.init_extension),
                    max_size=self.pool_size,
                    open=False,
                    configure=_configure,
                )
                # Nothing may be opened beside, and the pool's tasks must have begun to wait: an
                # event loop that ends meanwhile hangs (wait_for() of Python before 3.12).
                self.pool.open(wait=True)
            if self.init_extension:
                self._init_extensions()
        except BaseException:
            self.close()
            raise

    def _init_extensions(self) -> None:
        # kombu's transport calls it by this name.
        self._run(statements.ensure_extension(), None)

    def _connect_once(self) -> None:
        """Raise the error that connecting raises, if any.

        The pool would try for half a minute, and not say why.
        """
        self._reached = True
        try:
            conn = psycopg.Connection.connect(self.config.dsn)
        except BaseException:
            self._reached = False
            raise
        conn.close()

    def close(self) -> None:
        """Close the client's own pool; init() opens another one."""
        if self._own_pool and self.pool is not None:
            self.pool.close()
            self.pool = None

    def __enter__(self) -> Self:
        self.init()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _where(self) -> str:
        if self._own_pool or self.pool is None:
            return super()._where()
        if callable(self.pool.conninfo) or callable(self.pool.kwargs):
            return "what its pool decides"
        return where(self.pool.conninfo, **(self.pool.kwargs or {}))

    def _opened(self) -> ConnectionPool[Any]:
        if self.pool is None:
            raise RuntimeError("the client is not open: call init() first")
        if self._own_pool and self._home != wire.current_process():
            raise RuntimeError("the client was opened in another process: make one for each")
        return self.pool

    def _run_alone(self, statement: Statement[T]) -> T:
        pool = self._opened()
        if self._own_pool and not self._reached:
            self._connect_once()
        try:
            conn = pool.getconn() if self._own_pool else _taken(pool, pool.getconn)
        except PoolTimeout:
            if self._own_pool:
                self._connect_once()
            raise
        try:
            if conn.autocommit:
                return execute(conn, statement, self.loads)
            try:
                # One statement needs no BEGIN and no COMMIT: two round trips less. Who is
                # interrupted here may have set it.
                conn.set_autocommit(True)
                return execute(conn, statement, self.loads)
            finally:
                if conn.pgconn.transaction_status == TransactionStatus.IDLE:
                    conn.set_autocommit(False)
                else:  # interrupted
                    conn.close()
        finally:
            pool.putconn(conn)


class _Pool(ConnectionPool[Any]):
    """A pool that goes on at once when the server has closed a connection.

    The `check` of psycopg's waits after each such one, twice as long every time.
    """

    def getconn(self, timeout: float | None = None) -> psycopg.Connection[Any]:
        return _taken(self, partial(super().getconn, timeout))


def _taken(pool: ConnectionPool[Any], take: Callable[[], C]) -> C:
    """Take a connection of a pool; those that the server has closed are replaced."""
    for _ in range(pool.max_size):
        conn = take()
        try:
            _check(conn)
        except psycopg.Error:
            conn.close()
            pool.putconn(conn)
        else:
            return conn
    return take()


def _configure(conn: psycopg.Connection[Any]) -> None:
    conn.set_autocommit(True)
    prepare(conn)
    conn.set_autocommit(False)


def _check(conn: psycopg.Connection[Any]) -> None:
    """Raise an error when the server has closed the connection, without asking it."""
    for _ in range(2):  # first comes what it said, and then that it is gone
        conn.pgconn.consume_input()
