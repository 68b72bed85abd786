"""As in pgmq-py 1.1: decorators that run a function in a transaction of a queue client."""

from __future__ import annotations

import contextlib
import functools
import inspect
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from pgmq import _wire as wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = [
    "async_transaction",
    "sqlalchemy_async_transaction",
    "sqlalchemy_transaction",
    "transaction",
]

P = ParamSpec("P")
R = TypeVar("R")


def transaction(func: Callable[P, R]) -> Callable[P, R]:
    """Run a function in a transaction: commit when it returns, roll back when it raises.

    It is called with a client, or what else has a `pool`, and takes the connection as `conn`.
    When it is called with a `conn`, it runs in that connection's transaction.

        >>> @transaction
        ... def order(client, item, conn=None):
        ...     client.send("jobs", {"item": item}, conn=conn)
        ...     raise ValueError("sold out")
        >>> before = queue.metrics("jobs").queue_length
        >>> order(queue, "pen")
        Traceback (most recent call last):
        ValueError: sold out
        >>> queue.metrics("jobs").queue_length == before
        True
    """
    return _decorate(func, "pool", _begin)


def async_transaction(func: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Run a coroutine function in a transaction; see transaction."""
    return _decorate_async(func, "pool", _begin_async)


def sqlalchemy_transaction(func: Callable[P, R]) -> Callable[P, R]:
    """Run a function in a transaction of a SQLAlchemy client; see transaction."""
    return _decorate(func, "engine", lambda engine: engine.begin())


def sqlalchemy_async_transaction(func: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Run a coroutine function in a transaction of a SQLAlchemy client; see transaction."""
    return _decorate_async(func, "engine", lambda engine: engine.begin())


@contextlib.contextmanager
def _begin(pool: Any) -> Any:
    with pool.connection() as conn, conn.transaction():
        yield conn


@contextlib.asynccontextmanager
async def _begin_async(pool: Any) -> Any:
    async with pool.connection() as conn, conn.transaction():
        yield conn


def _decorate(func: Callable[P, R], attribute: str, begin: Callable[[Any], Any]) -> Callable[P, R]:
    _refuse(func, "generator", "coroutine")
    signature = inspect.signature(func)

    @functools.wraps(func)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        if _has_conn(signature, args, kwargs):
            return func(*args, **kwargs)
        with begin(_find(func, attribute, args, kwargs)) as conn:
            return func(*args, **{**kwargs, "conn": conn})

    return wrapper


def _decorate_async(
    func: Callable[P, Awaitable[R]], attribute: str, begin: Callable[[Any], Any]
) -> Callable[P, Awaitable[R]]:
    _refuse(func, "generator")
    signature = inspect.signature(func)

    @functools.wraps(func)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        if _has_conn(signature, args, kwargs):
            return await func(*args, **kwargs)
        async with begin(_find(func, attribute, args, kwargs)) as conn:
            return await func(*args, **{**kwargs, "conn": conn})

    return wrapper


def _refuse(func: Any, *kinds: str) -> None:
    # It would run when the transaction has ended, on a connection that others use by then.
    if (kind := wire.unfinished(func)) in kinds:
        raise TypeError(f"the function of a transaction must not be a {kind} function")


def _has_conn(signature: inspect.Signature, args: Any, kwargs: Any) -> bool:
    given = signature.bind_partial(*args, **kwargs).arguments
    return (given | kwargs).get("conn") is not None


def _find(func: Any, attribute: str, args: Any, kwargs: Any) -> Any:
    for argument in (*args, *kwargs.values()):
        if hasattr(argument, attribute):
            found = getattr(argument, attribute)
            if found is None:
                raise RuntimeError("the client is not open: call init() first")
            return found
    raise TypeError(f"{func.__name__}() needs a queue client among its arguments")
