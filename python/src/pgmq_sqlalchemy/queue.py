"""The client: an engine, or a maker of sessions, and the operations as methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.orm import Session, sessionmaker

from pgmq_sqlalchemy._async_queue import AsyncMethods
from pgmq_sqlalchemy._queue import Methods
from pgmq_sqlalchemy.operation import PGMQOperation

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

__all__ = ["PGMQueue"]


class PGMQueue(Methods, AsyncMethods):
    """A client: every method under its name, and as NAME_async where the engine is asynchronous.

    `session_maker` wins over `engine`, and that over `dsn`, a SQLAlchemy URL. Without `session` a
    call is a transaction of its own; with it, it is part of that one, and commits it unless
    `commit` is False. A synchronous client creates the extension unless pgmq is installed.
    """

    def __init__(
        self,
        dsn: str | None = None,
        engine: Engine | AsyncEngine | None = None,
        session_maker: sessionmaker[Any] | async_sessionmaker[Any] | None = None,
    ) -> None:
        if session_maker is None:
            if engine is None:
                if dsn is None:
                    raise ValueError("Must provide either dsn, engine, or session_maker")
                engine = _engine(dsn)
            session_maker = _session_maker(engine)
        self.session_maker = session_maker
        self.engine = engine if engine is not None else session_maker.kw["bind"]
        self.is_async = not issubclass(session_maker.class_, Session)
        self.delay = 0
        self.vt = 30
        if not self.is_async:
            with session_maker() as session:
                PGMQOperation.check_pgmq_ext(session=session)


def _engine(dsn: str) -> Engine | AsyncEngine:
    url = make_url(dsn)
    if "+" not in url.drivername:
        url = url.set(drivername="postgresql+psycopg")
    if not url.get_dialect().is_async:
        return create_engine(url)
    from sqlalchemy.ext.asyncio import create_async_engine

    return create_async_engine(url)


def _session_maker(engine: Engine | AsyncEngine) -> sessionmaker[Any] | async_sessionmaker[Any]:
    if isinstance(engine, Engine):
        return sessionmaker(engine)
    from sqlalchemy.ext.asyncio import async_sessionmaker

    return async_sessionmaker(engine)
