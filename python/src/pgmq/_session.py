"""One connection that a program keeps: the command line's and the relay's."""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import tuple_row
from psycopg.types.json import set_json_loads

from pgmq import _statements as statements
from pgmq import _wire as wire
from pgmq._connect import prepare
from pgmq._wire import JSONText
from pgmq.base import find_server, lasting
from pgmq.sync_operations import SyncPGMQueueOperationsMixin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pgmq._statements import Statement

__all__ = ["Session", "StoppedError"]

T = TypeVar("T")

_STEP = 0.25  # seconds for which a wait does not look at stop
_LOCKED = 1000  # milliseconds to wait for a lock, at most

_logger = logging.getLogger(__name__)


class StoppedError(Exception):
    """Raised when stop was set while a server could not be reached, or a message was locked."""


class _Connection(psycopg.Connection[Any]):
    """A connection that leaves a silent server, where it is said after how many seconds."""

    longest: Callable[[], float] | None = None

    def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        """Wait for the server."""
        if self.longest is not None:
            gen = wire.bounded(gen, self.pgconn, self.longest)
        return super().wait(gen, *arguments, **options)


class Session(SyncPGMQueueOperationsMixin[psycopg.Connection[Any]]):
    """Every call as a transaction of its own, on one connection.

    JSON comes as JSONText, and is taken as such too. With `stop` the session is for good: a
    connection that breaks is opened anew, and the call repeated, until stop is set, which raises
    StoppedError. The first connection must succeed. A call that waits for a lock is repeated too.

    With `limit` a call that takes more milliseconds fails, and also where the server is silent
    about that.
    """

    def __init__(
        self,
        dsn: str | None = None,
        *,
        name: str,
        stop: threading.Event | None = None,
        limit: int | None = None,
    ) -> None:
        self.vt = 30
        self.delay = 0
        server = find_server(dsn)
        self._dsn = make_conninfo("", **(lasting(server) if stop or limit else server))
        self._name = name
        self._for_good = stop is not None
        limits = {"lock_timeout": stop and _LOCKED, "statement_timeout": limit}
        self._limits = {name: each for name, each in limits.items() if each}
        self._served = False  # whether a call has succeeded
        self._pooled = False  # whether settings would be those of other clients too
        self._impatient = False  # whether a lock is an error
        self._stop = stop or threading.Event()
        self._connection: psycopg.Connection[Any] | None = self._connect()

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The connection, opened anew if need be."""
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
        return self._connection

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connect(self) -> psycopg.Connection[Any]:
        connection = _Connection.connect(
            self._dsn,
            autocommit=True,
            row_factory=tuple_row,
            fallback_application_name=self._name,
        )
        if self._limits:
            connection.longest = self._longest_silence
        prepare(connection)
        set_json_loads(_text, connection)
        connection.adapters.register_loader("timestamptz", wire.ClampedLoader)
        connection.add_notice_handler(_notice)
        self._pooled = connection.prepare_threshold is None
        try:
            if not self._pooled:
                for setting, milliseconds in self._limits.items():
                    connection.execute(f"SET {setting} = {milliseconds}".encode())
        except BaseException:
            connection.close()
            raise
        return connection

    def _longest_silence(self) -> float:
        if limit := self._limits.get("statement_timeout"):
            # First the server is to end the call, which would else go on there.
            return limit / 1000 + wire.SILENCE_STOPPING
        return wire.longest_silence(self._stop.is_set())

    def run(self, statement: Statement[T]) -> T:
        """Run a statement that is no method of a client."""
        return self._run(statement, None)

    def _perform(self, statement: Statement[T], conn: psycopg.Connection[Any] | None) -> T:
        if not self._for_good:
            return self._execute(statement)
        for attempt in itertools.count(1):
            try:
                result = self._execute(statement)
            except psycopg.Error as error:  # noqa: PERF203
                locked = isinstance(error, psycopg.errors.LockNotAvailable)
                if not wire.is_passing(error, self._served) or (locked and self._impatient):
                    raise
                if not locked:
                    self.close()
                delay = wire.backoff(attempt)
                _logger.warning("Postgres: %s; again in %.1f s", _first_line(error), delay)
                if self._stop.wait(delay):
                    raise StoppedError(f"stopped, and gave up: {_first_line(error)}") from error
            else:
                self._served = True
                return result
        raise AssertionError

    def _execute(self, statement: Statement[T]) -> T:
        with contextlib.ExitStack() as stack:
            if self._pooled and (self._impatient or not self._for_good) and self._limits:
                stack.enter_context(self.connection.transaction())
                for setting, milliseconds in self._limits.items():
                    limit = statements.limit(setting, milliseconds)
                    self.connection.execute(limit.query, limit.parameters)
            cursor = stack.enter_context(self.connection.cursor())
            cursor.execute(statement.query, statement.parameters)
            return statement.decode(cursor.fetchall() if cursor.description else [])

    @contextlib.contextmanager
    def impatient(self) -> Iterator[None]:
        """Have LockNotAvailable raised by a call that waits for somebody else's lock."""
        self._impatient = True
        try:
            yield
        finally:
            self._impatient = False

    def unlocked(self, queue: str, msg_ids: list[int]) -> set[int]:
        """Return which messages nobody else has locked; what is gone is locked by nobody."""
        table = self.run(statements.queue_table(queue, "q"))
        free = self.run(statements.there(table, msg_ids, free=True))
        return set(msg_ids) - (self.run(statements.there(table, msg_ids)) - free)

    def check(self, queue: str) -> None:
        """Raise what would keep messages from being acknowledged: a right, an older pgmq."""
        calls: list[Callable[..., Any]] = [self.ack_batch, self.nack_batch, self.extend_batch]
        for call in calls:
            call(queue, [], [])
            self._served = False

    def check_group(self, stream: str, group: str) -> None:
        """Raise what would keep a group from consuming: it is not there, or a right is."""
        self.run(statements.may_consume(stream, group))
        self._served = False

    def next_batch(
        self, queues: Sequence[str], read: Callable[[], Sequence[T]], poll: float
    ) -> Sequence[T]:
        """Read; when that gives nothing, wait until there may be something, or stop is set.

        That is until a queue wakes its consumers, or where one does not for `poll` seconds; so
        through a pooler, where notifications come to whoever has the server's session just then.
        """
        if found := read():
            return found
        if self._pooled:
            self._wait(poll)
            return []
        dues = []
        for queue in queues:
            with contextlib.suppress(psycopg.errors.ObjectNotInPrerequisiteState):
                due = self.run(statements.due({queue: 5})).seconds
                dues.append(time.monotonic() + (poll if due is None else due))
        if dues and (found := read()):
            return found
        now = time.monotonic()
        waits = [due - now for due in dues]
        self._wait(min(waits if len(waits) == len(queues) else [*waits, poll]))
        return []

    def _wait(self, seconds: float) -> None:
        """Wait for a notification, for some seconds, or until stop is set."""
        end = time.monotonic() + max(seconds, 0.05)
        try:
            while (left := end - time.monotonic()) > 0 and not self._stop.is_set():
                if next(self.connection.notifies(timeout=min(left, _STEP), stop_after=1), None):
                    return
        except psycopg.Error as error:
            if not wire.is_passing(error, self._served):
                raise
            # The next call connects anew.
            self.close()


def _text(value: str | bytes) -> JSONText:
    return JSONText(value.decode() if isinstance(value, bytes) else value)


def _notice(diagnostic: psycopg.errors.Diagnostic) -> None:
    _logger.info("%s: %s", diagnostic.severity, diagnostic.message_primary)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
