"""The asynchronous client, on SQLAlchemy 2 and any driver that it has for Postgres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from pgmq import _sqlalchemy as rendering
from pgmq import _statements as statements
from pgmq import _wire as wire
from pgmq._async_client import AsyncClient

if TYPE_CHECKING:
    from typing_extensions import Self

    from pgmq._statements import Statement

__all__ = ["PGMQueue"]

T = TypeVar("T")


@dataclass(eq=False, repr=False)
class PGMQueue(AsyncClient):
    """A client of a SQLAlchemy engine.

    `engine` is one to use instead of an own one; it is left open.
    """

    # Any is the None before init(): who uses an open client need not rule that out.
    engine: AsyncEngine | Any = None

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

    def _where(self) -> str:
        if self._own_engine or self.engine is None:
            return super()._where()
        return self.engine.url.render_as_string()

    def _opened(self) -> AsyncEngine:
        if self.engine is None:
            raise RuntimeError("the client is not open: call init() first")
        return self.engine

    async def _run_alone(self, statement: Statement[T]) -> T:
        text, parameters = rendering.render(statement, self.loads)
        # One statement needs no BEGIN and no COMMIT: two round trips less.
        async with self._opened().connect() as own:
            try:
                await own.execution_options(isolation_level="AUTOCOMMIT")
            except BaseException:
                # Interrupted, it may have set that, and the pool does not know.
                await own.invalidate()
                raise
            return rendering.decode(statement, await own.execute(text, parameters))
