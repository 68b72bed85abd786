"""What a handler's call can end with. No I/O here."""

from __future__ import annotations

import math
import os
import traceback
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from pgmq import _wire as wire

if TYPE_CHECKING:
    import psycopg

    from pgmq.messages import Message, StreamMessage

__all__ = [
    "RETURNED",
    "HandlerError",
    "LeaseLostError",
    "NoConnectionError",
    "Outcome",
    "Reject",
    "Retry",
    "end_process",
    "failure",
    "storable_on",
    "undecoded",
    "unrejected",
]

_LONGEST_ERROR = 2000  # characters
_LONGEST_DELAY = 2**31 - 1  # seconds

Kind = Literal["done", "retry", "failed", "rejected", "returned", "lost"]


class Retry(Exception):  # noqa: N818, it asks for something
    """Raise it in a handler to be given the message again.

    `delay` is in seconds, None leaves it to the queue's policy, or a group's worker. A reason is
    kept in the header x-pgmq-error. Of a stream, it makes it a failure that counts.

        >>> def handler(message):
        ...     if message.read_ct == 1:
        ...         raise Retry("the other side is busy", delay=0)
        ...     print(message.headers)
        >>> Worker(dsn, "jobs", handler).run(until_empty=True)
        {'x-pgmq-error': 'the other side is busy'}
    """

    def __init__(self, reason: object = None, *, delay: float | None = None) -> None:
        if delay is not None and not 0 <= delay <= _LONGEST_DELAY:
            raise ValueError(f"delay must be between 0 and {_LONGEST_DELAY} seconds: {delay}")
        super().__init__(*([] if reason is None else [reason]))
        self.reason: str | None = None if reason is None else text_of(reason)
        self.delay: int | None = None if delay is None else math.ceil(delay)


class Reject(Exception):  # noqa: N818, so does it
    """Raise it in a handler to never be given the message again.

    It goes to the queue's archive, with the reason in the header x-pgmq-error; of a stream, to the
    group's dead-letter queue.

        >>> def handler(message):
        ...     raise Reject("not a picture")
        >>> Worker(dsn, "jobs", handler).run(until_empty=True)
        >>> queue.peek("jobs")
        []
    """

    def __init__(self, reason: object = "rejected") -> None:
        super().__init__(reason)
        self.reason: str = text_of(reason)


class NoConnectionError(Exception):
    """Says that there is no connection for a transactional handler: it was not called."""


class LeaseLostError(Exception):
    """Rolls a handler's transaction back: the message was handed to somebody else meanwhile."""


class HandlerError(Exception):
    """Says what was wrong with a handler's call.

    Of a handler in another process, the traceback of what it raised.
    """


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message, after so many seconds in the handler.

    Of kind retry and failed: visible again after delay seconds (None: the queue's policy), with
    the error in its headers. Rejected: archived. Returned: never begun. Lost: the lease was.
    """

    kind: Kind
    seconds: float = 0.0
    delay: int | None = None
    error: str | None = None
    exception: BaseException | None = None

    def portable(self) -> Outcome:
        """Make it fit for another process: not every exception can be pickled, or unpickled."""
        if self.exception is None:
            return self
        if isinstance(self.exception, Retry):
            return replace(self, exception=Retry(self.error, delay=self.delay))
        if isinstance(self.exception, Reject):
            return replace(self, exception=Reject(self.error))
        try:
            text = "".join(traceback.format_exception(self.exception))
        except BaseException:  # noqa: BLE001, of an exception that cannot be shown
            text = self.error or text_of(self.exception)
        return replace(self, exception=HandlerError(text))


RETURNED = Outcome("returned", delay=0)


def failure(exception: BaseException, seconds: float = 0.0) -> Outcome:
    """Say what an exception means."""
    if isinstance(exception, LeaseLostError):
        return Outcome("lost", seconds)
    if isinstance(exception, Retry):
        return Outcome("retry", seconds, exception.delay, storable(exception.reason), exception)
    if isinstance(exception, Reject):
        return Outcome("rejected", seconds, 0, storable(exception.reason), exception)
    return Outcome("failed", seconds, None, storable(text_of(exception)), exception)


def undecoded(message: Message | StreamMessage) -> Outcome | None:
    """Say what becomes of a message that Python could not decode; None for any other one."""
    for value in (message.message, message.headers):
        if isinstance(value, wire.UndecodableJSON):
            return failure(HandlerError(f"Python cannot decode the message: {value.error}"))
    return None


def end_process(error: BaseException | None) -> NoReturn:
    """End a process that a handler has forked, as the interpreter would."""
    code: object = None
    if isinstance(error, SystemExit):
        code = error.code
    elif error is not None:
        traceback.print_exception(error)
        code = 1
    os._exit(code if isinstance(code, int) else int(code is not None))


def text_of(reason: object) -> str:
    """Say what a reason is: an exception with its class, also one that has no text to show."""
    if isinstance(reason, str):
        return reason
    name = type(reason).__name__
    try:
        return f"{name}: {reason}" if isinstance(reason, BaseException) else str(reason)
    except BaseException:  # noqa: BLE001, anything can be raised there
        return name


def storable(text: str | None) -> str | None:
    """Make a text that jsonb takes, and not too long."""
    return None if text is None else wire.plain(text[:_LONGEST_ERROR])


def storable_on(connection: psycopg.BaseConnection[Any], text: str | None) -> str | None:
    """Make a text of characters that the database has."""
    if text is None or connection.info.parameter_status("server_encoding") == "UTF8":
        return text
    return wire.escaped(text)


def unrejected(error: str | None, problem: psycopg.Error) -> Outcome:
    """Say what becomes of a message that was to be rejected, which the group cannot do."""
    why = problem.diag.message_primary or str(problem)
    return replace(failure(problem), error=f"{error}; it cannot be rejected: {why}")
