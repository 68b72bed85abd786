"""Values on their way: JSON, what Python cannot hold, which errors pass and when. No I/O here."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import json
import os
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, timezone
from datetime import time as time_of_day
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
from psycopg.adapt import Loader, Transformer
from psycopg.types.datetime import TimestamptzLoader
from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from psycopg import AsyncConnection, AsyncCursor, Connection, Cursor

__all__ = [
    "SETTINGS",
    "SILENCE",
    "SILENCE_STOPPING",
    "UNDECODABLE",
    "ClampedLoader",
    "Dumps",
    "JSONText",
    "Loads",
    "UndecodableJSON",
    "backoff",
    "bounded",
    "cancellations",
    "check_kind",
    "current_loop",
    "current_process",
    "decode_again",
    "decode_by",
    "dumps",
    "escaped",
    "followed",
    "is_from",
    "is_passing",
    "kind",
    "lacks_character",
    "loads",
    "longest_silence",
    "plain",
    "sqlstate",
    "unfinished",
    "without_jsonb",
]

Dumps = Callable[[Any], str | bytes]
Loads = Callable[[Any], Any]  # of str or bytes

# What psycopg can read, and what else a database, a role or the environment may have set.
SETTINGS = {
    "DateStyle": ("ISO", "SET datestyle TO ISO"),
    "IntervalStyle": ("postgres", "SET intervalstyle TO postgres"),
    "client_encoding": ("UTF8", "SET client_encoding TO 'UTF8'"),
}

SILENCE = 60  # seconds until a server that does not answer is taken for dead
SILENCE_STOPPING = 5  # the same, when who has asked is to stop

# What psycopg raises for a value that it cannot decode.
UNDECODABLE = (ValueError, RecursionError, psycopg.DataError)

# Connection lost; serialization or deadlock; out of resources; shut down or cancelled; I/O error.
_PASSING = {"08", "40", "53", "57", "58"}
# A lock, an object in use, a primary that has become a standby: it may be another one next time.
_PASSING_STATES = {"55P03", "55006", "25006", "25P03"}
# A queue that is created anew or restored, an upgrade, a role or a password that is being changed,
# a pooler that lost a prepared statement: who has been served already may be again.
_PASSING_WHEN_SERVED = {"0A", "26", "28", "3D", "3F", "42", "XX"}

# What a server, or PgBouncer, says when it lets nobody in: libpq keeps no code of that. In another
# language it is taken for a server that is away.
_REFUSED = re.compile(
    r'(database|role|user) "[^"]*" does not exist|no such (database|user)|authentication failed'
    r"|no password supplied|no pg_hba\.conf entry|not permitted to log in"
    r"|does not support SSL|certificate"
)

_LAST = datetime.max.replace(tzinfo=timezone.utc)
_FIRST = datetime.min.replace(tzinfo=timezone.utc)


class JSONText(str):
    """JSON that is passed on as it stands: decoding it would change its numbers."""

    __slots__ = ()


class UndecodableJSON(JSONText):
    """JSON that Python cannot decode, as text: it is nested too deep, or has too long a number."""

    __slots__ = ("error",)

    error: Exception


def check_kind(name: str, given: Any, wanted: type, method: str) -> None:
    """Raise a TypeError for a pool or an engine of another kind than a client works with."""
    if given is None or isinstance(given, wanted):
        return
    # What stands in for one in a test is taken.
    library = type(given).__module__.partition(".")[0]
    if not hasattr(given, method) or library == wanted.__module__.partition(".")[0]:
        raise TypeError(
            f"{name} must be a {wanted.__module__.partition('.')[0]} {wanted.__name__},"
            f" not {type(given).__name__}"
        )


def unfinished(function: Callable[..., Any]) -> str | None:
    """Say what a function returns that somebody has yet to run: a generator, a coroutine."""
    while isinstance(function, functools.partial):
        function = function.func
    kinds = [function, type(function).__call__]
    if any(map(inspect.isgeneratorfunction, kinds)) or any(map(inspect.isasyncgenfunction, kinds)):
        return "generator"
    return "coroutine" if any(map(inspect.iscoroutinefunction, kinds)) else None


def is_from(library: str, value: Any) -> bool:
    """Tell whether a value is of a class of a library, or of one derived from it."""
    return any(each.__module__.partition(".")[0] == library for each in type(value).__mro__)


def kind(value: Any) -> str:
    """Name the class of a value."""
    return f"{type(value).__module__}.{type(value).__qualname__}"


def cancellations() -> int:
    """Count how often the current task was asked to end; Python 3.10 does not say."""
    task: Any = asyncio.current_task()
    return task.cancelling() if hasattr(task, "cancelling") else 0


def current_loop() -> Any:
    """Return what the connections of an asynchronous client belong to."""
    return asyncio.get_running_loop()


def current_process() -> Any:
    """Return what the connections of a client belong to: after a fork, two would use them."""
    return os.getpid()


def is_passing(error: psycopg.Error, served: bool = False) -> bool:
    """Tell whether the same call may succeed on another connection, later.

    `served` says that such calls have succeeded before.
    """
    state = error.sqlstate
    if state is None:
        refused = not served and _REFUSED.search(str(error))
        # psycopg's InternalError: the last word of the server and that of a pooler answered BEGIN.
        broken = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError)
        return not refused and isinstance(error, broken)
    if state == "08P01" and "statement pooling" in str(error):
        return False  # PgBouncer's code for everything, but this is its mode
    return (
        state[:2] in _PASSING
        or state in _PASSING_STATES
        or (served and state[:2] in _PASSING_WHEN_SERVED)
    )


def backoff(attempt: int, longest: float = 30.0) -> float:
    """Return for how many seconds to wait before another attempt, at random: not all come at once.

    It is up to 0.1 s for number 0, and twice as long for each one after that.
    """
    return min(longest, 0.1 * 2.0 ** min(attempt, 30)) * random.uniform(0.5, 1.0)  # noqa: S311


def longest_silence(stopping: bool) -> float:
    """Say after how many seconds without a word a server that is asked is taken for dead."""
    return SILENCE_STOPPING if stopping else SILENCE


def followed(gen: Any, note: Callable[[bool], None]) -> Any:
    """Pass on what psycopg waits for, and note each time whether there was something."""
    ready = None
    while True:
        try:
            wanted = gen.send(ready)
        except StopIteration as end:
            return end.value
        ready = yield wanted
        note(bool(ready))


def bounded(gen: Any, pgconn: Any, longest: Callable[[], float]) -> Any:
    """Pass on what psycopg waits for, until the server is silent for longer than so many seconds.

    Then the connection is closed, and an OperationalError raised.
    """
    since = time.monotonic()

    def note(heard: bool) -> None:
        nonlocal since
        now = time.monotonic()
        if heard:
            since = now
        elif now - since > longest():
            pgconn.finish()  # or psycopg would ask the server to cancel, and wait for that
            raise psycopg.OperationalError("the server does not answer")

    return followed(gen, note)


def decode_by(
    decode: Loads | None,
    context: Connection[Any] | AsyncConnection[Any] | Cursor[Any] | AsyncCursor[Any],
) -> None:
    """Have a connection or a cursor decode JSON by a function, or else make it UndecodableJSON."""

    class JSONLoader(Loader):
        def load(self, data: Any) -> Any:
            return loads(bytes(data), decode)

    for name in ("json", "jsonb"):
        context.adapters.register_loader(name, JSONLoader)


def decode_again(
    cursor: Cursor[Any] | AsyncCursor[Any], decode: Loads | None = None
) -> list[tuple[Any, ...]]:
    """Decode all rows of a cursor of which a value could not be decoded.

    JSON becomes UndecodableJSON where need be, and a time that Python's calendar does not reach
    its last or first moment: the other messages must not be lost with one.
    """
    result = cursor.pgresult
    if result is None:
        return []
    decode_by(decode, cursor)
    cursor.adapters.register_loader("timestamptz", ClampedLoader)
    transformer = Transformer(cursor)
    transformer.set_pgresult(result)
    return transformer.load_rows(0, result.ntuples, tuple)


def dumps(value: Any) -> str:
    """Encode a value as JSON, JSONText as it stands.

    Beside what json takes: times, UUIDs and decimal numbers as text, dataclasses and models of
    pydantic as objects, members of an Enum as their value. A TypeError says where in the value
    something else is.
    """
    if isinstance(value, JSONText):
        return value
    try:
        return _encode(value)
    except TypeError as error:
        place = _place(value)
        raise TypeError(f"{error}, at {place}" if place else str(error)) from None


def without_jsonb(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters for any driver: what is Jsonb for psycopg as text."""
    return {name: _without_jsonb(value) for name, value in parameters.items()}


def _without_jsonb(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_jsonb(item) for item in value]
    if not isinstance(value, Jsonb):
        return value
    text = (value.dumps or dumps)(value.obj)
    return text if isinstance(text, str) else text.decode()


def plain(text: str) -> str:
    """Make a text that Postgres can store: without NUL and halves of surrogate pairs."""
    clean = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return clean.encode(errors="backslashreplace").decode()


def escaped(text: str) -> str:
    """Make a text that a database with any encoding can store."""
    return text.encode("ascii", "backslashreplace").decode().replace("\0", "\\x00")


def lacks_character(error: BaseException) -> bool:
    """Tell whether a text has characters that the database, or the connection, has not."""
    original = getattr(error, "orig", None) or error.__cause__
    return sqlstate(error) == "22P05" or any(
        isinstance(each, UnicodeEncodeError) for each in (error, original)
    )


def sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE of an error of psycopg, psycopg2, SQLAlchemy or Django."""
    for each in (error, getattr(error, "orig", None), error.__cause__):
        if state := getattr(each, "sqlstate", None) or getattr(each, "pgcode", None):
            return str(state)
    return None


def _plain(value: Any) -> Any:
    if isinstance(value, date | time_of_day):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, UUID | Decimal):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if hasattr(type(value), "model_dump"):  # of pydantic
        return value.model_dump(mode="json")
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


_encode = json.JSONEncoder(default=_plain, allow_nan=False).encode


def _place(value: Any) -> str:
    """Say where in a value the first thing is that cannot be encoded: ['items'][2]."""
    parts: Any = ()
    with contextlib.suppress(TypeError):
        value = value if isinstance(value, dict | list | tuple) else _plain(value)
    if isinstance(value, dict | list | tuple):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in parts:
        try:
            _encode(item)
        except TypeError:  # noqa: PERF203
            return f"[{key!r}]{_place(item)}"
    return ""


def loads(text: str | bytes, decode: Loads | None = None) -> Any:
    """Decode JSON, or else return it as UndecodableJSON."""
    try:
        return (decode or json.loads)(text)
    except Exception as error:  # noqa: BLE001 a function of the user may raise anything
        undecodable = UndecodableJSON(text.decode() if isinstance(text, bytes) else text)
        undecodable.error = error
        return undecodable


class ClampedLoader(TimestamptzLoader):
    """Loads times, also those beyond the years 1 to 9999 and the infinite ones."""

    def load(self, data: Any) -> datetime:
        try:
            return super().load(data)
        except psycopg.DataError:
            text = bytes(data)
            return _FIRST if text.startswith(b"-") or text.endswith(b"BC") else _LAST
