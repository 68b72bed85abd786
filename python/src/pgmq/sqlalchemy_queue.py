"""The synchronous client, on SQLAlchemy 2 and any driver that it has for Postgres."""

# Made of sqlalchemy_async_queue.py by `make sync`: change that one.

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from pgmq import _sqlalchemy as rendering
from pgmq import _statements as statements
from pgmq import _wire as wire
from pgmq._client import Client

if TYPE_CHECKING:
    from typing_extensions import Self

    from pgmq._statements import Statement

__all__ = ["PGMQueue"]

T = TypeVar("T")


@dataclass(eq=False, repr=False)
class PGMQueue(Client):
    """A client of a SQLAlchemy engine.

    `engine` is one to use instead of an own one; it is left open.
    """

    # Any is the None before init(): who uses an open client need not rule that out.
    engine: Engine | Any = None

    def __post_init__(self) -> None:
        self._own_engine = self.engine is None
        self._configure(__name__)
        self.init()

    def init(self) -> None:
        """Make the engine, and create the extension if init_extension says so.

        Nothing is created where pgmq is installed in whatever way.
        """
        wire.check_kind("engine", self.engine, Engine, "connect")
        if self.engine is None:
            self.engine = create_engine(
                rendering.URL,
                connect_args=rendering.connect_args(self.config.dsn),
                pool_size=self.pool_size,
                max_overflow=20,
            )
            rendering.watch(self.engine)
        if self.init_extension:
            self._init_extensions()

    def _init_extensions(self) -> None:
        # kombu's transport calls it by this name.
        self._run(statements.ensure_extension(), None)

    def close(self) -> None:
        """Close the connections of the client's own engine; init() makes another one."""
        if self._own_engine and self.engine is not None:
            self.engine.dispose()
            self.engine = None

    def dispose(self) -> None:
        """Do as close()."""
        self.close()

    def session(self) -> Session:
        """Return a new ORM session of the engine."""
        return Session(self._opened())

    def __enter__(self) -> Self:
        self.init()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _where(self) -> str:
        if self._own_engine or self.engine is None:
            return super()._where()
        return self.engine.url.render_as_string()

    def _opened(self) -> Engine:
        if self.engine is None:
            raise RuntimeError("the client is not open: call init() first")
        return self.engine

    def _run_alone(self, statement: Statement[T]) -> T:
        text, parameters = rendering.render(statement, self.loads)
        # One statement needs no BEGIN and no COMMIT: two round trips less.
        with self._opened().connect() as own:
            try:
                own.execution_options(isolation_level="AUTOCOMMIT")
            except BaseException:
                # Interrupted, it may have set that, and the pool does not know.
                own.invalidate()
                raise
            return rendering.decode(statement, own.execute(text, parameters))
