"""The client: an engine, or a maker of sessions, and the operations as methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.orm import Session, sessionmaker

from pgmq import _sqlalchemy as rendering
from pgmq_sqlalchemy._async_queue import AsyncMethods
from pgmq_sqlalchemy._queue import Methods

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

__all__ = ["PGMQueue"]


class PGMQueue(Methods, AsyncMethods):
    """A client: every method under its name, and as NAME_async where the engine is asynchronous.

    `session_maker` wins over `engine`, and that over `dsn`, a SQLAlchemy URL. Without `session` a
    call is a transaction of its own; with it, it is part of that one, and commits it unless
    `commit` is False. The first call of its own creates the extension unless pgmq is installed.
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
        self._checked = False


def _engine(dsn: str) -> Engine | AsyncEngine:
    url = make_url(dsn)
    if "+" not in url.drivername:
        url = url.set(drivername="postgresql+psycopg")
    engine: Engine | AsyncEngine
    if url.get_dialect().is_async:
        from sqlalchemy.ext.asyncio import create_async_engine

        engine = create_async_engine(url)
    else:
        engine = create_engine(url)
    rendering.watch(engine)
    return engine


def _session_maker(engine: Engine | AsyncEngine) -> sessionmaker[Any] | async_sessionmaker[Any]:
    if isinstance(engine, Engine):
        return sessionmaker(engine)
    from sqlalchemy.ext.asyncio import async_sessionmaker

    return async_sessionmaker(engine)
