"""How far a slot is with what it was given, and when that takes too long."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg

from pgmq._worker.outcome import RETURNED, HandlerError, Outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable

__all__ = ["Progress", "cut_off", "limited"]


@dataclass(slots=True, eq=False)
class Progress:
    """Messages that are handled one after another; a thread writes, and the event loop reads."""

    messages: list[Any] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    abandoned: bool = False  # nobody waits for it, or asks for the outcomes
    at: list[Any] = field(default_factory=list)  # the messages that the handler has now
    connection: psycopg.Connection[Any] | None = None  # that it has
    _since: float | None = None

    def begin(self, messages: list[Any], connection: Any = None) -> None:
        """Note that the handler is called."""
        self.at, self.connection, self._since = messages, connection, time.monotonic()

    def end(self) -> None:
        """Note that the handler has ended."""
        self._since, self.connection = None, None

    @property
    def seconds(self) -> float:
        """Say for how long the handler has run; 0 while it does not."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    def abandon(self, outcome: Outcome) -> None:
        """Leave it to itself, with this outcome for what the handler has."""
        self.abandoned = True
        done = self.outcomes[:]
        left = [outcome] * len(self.at) + [RETURNED] * len(self.messages)
        self.outcomes = (done + left)[: len(self.messages)]


async def limited(awaitable: Awaitable[Any], seconds: float | None) -> Any:
    """Await what a handler returned; when it takes longer, cancel it and raise a HandlerError."""
    if seconds is None:
        return await awaitable
    task = asyncio.ensure_future(_result(awaitable))
    is_late = True
    try:
        is_late = not (await asyncio.wait([task], timeout=seconds))[0]
    finally:
        if is_late:
            task.cancel()
            await asyncio.wait([task])
    value, error = (None, None) if is_late and task.cancelled() else task.result()
    if is_late:
        raise HandlerError(f"timeout: the handler was cancelled after {seconds:g} s") from error
    if error is not None:
        raise error
    return value


async def _result(awaitable: Awaitable[Any]) -> tuple[Any, BaseException | None]:
    # What a task raises that is no Exception, such as SystemExit, would end the event loop.
    try:
        return await awaitable, None
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001
        return None, error


def cut_off(connection: psycopg.Connection[Any]) -> None:
    """Have a transaction rolled back whose connection a thread still uses."""
    with contextlib.suppress(psycopg.Error):
        connection.cancel_safe(timeout=5)
    with (
        contextlib.suppress(OSError, psycopg.OperationalError),
        socket.socket(fileno=os.dup(connection.pgconn.socket)) as copy,
    ):
        copy.shutdown(socket.SHUT_RDWR)
