"""What every worker does as long as its connections do; what that is about, its loop says."""

from __future__ import annotations

import asyncio
import contextlib
import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import psycopg

from pgmq import _wire as wire
from pgmq._worker.waking import Announcements

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from contextlib import AbstractAsyncContextManager

    from pgmq._worker.connection import Connection
    from pgmq._worker.hooks import Reports

__all__ = ["Serving"]


class Serving(ABC):
    """Steps, as often as something happens; extends leases; looks again when it is time to.

    What is in hand outlasts the connections: serve() may be called again with others.
    """

    timed = True  # whether messages fall due at a time

    def __init__(
        self,
        queues: Sequence[str],
        vt: int,
        reports: Reports,
        connect: Callable[[], Awaitable[Connection]],
        listen: Callable[[Connection], AbstractAsyncContextManager[Connection]],
        *,
        slots: int,
        poll_interval: float,
        reconnect_interval: float,
        transactional: bool,
    ) -> None:
        self._queues = queues
        self._vt = vt
        self._reports = reports
        self._connect = connect
        self._listen = listen
        self._slots = slots
        self._poll_interval = poll_interval
        self._reconnect_interval = reconnect_interval
        self._transactional = transactional
        self._announcements: Announcements | None = None  # as long as there is a listener
        self.running: set[asyncio.Task[None]] = set()
        self.stopping = False  # begin nothing more, and return when nothing is in hand
        self.served = False  # whether the server has done what the worker needs
        self.attempts = 0  # to connect, since it did
        self._may_have_messages = True  # whether the queue is worth a look
        self._drained = False  # whether the last read found all there was
        self.something_happened = asyncio.Event()
        self._found_empty = asyncio.Event()
        self._background_error: BaseException | None = None
        self._must_extend = False  # whether the connection that reads is to extend the leases

    @abstractmethod
    async def _step(self, connection: Connection) -> bool:
        """Do what there is to do now; say whether there is more."""

    @abstractmethod
    async def _extend_leases(self, connection: Connection) -> None:
        """Keep the leases of what is in hand, and find out which of them are lost."""

    @abstractmethod
    def _is_busy(self) -> bool:
        """Say whether something is in hand."""

    @abstractmethod
    def _has_leases(self) -> bool:
        """Say whether something in hand has a lease that ends."""

    @abstractmethod
    def _seconds_until_due(self) -> float | None:
        """Say for how long there is nothing to do unless something happens."""

    async def serve(self, connection: Connection, until_empty: bool) -> None:
        """Work as long as the connection does.

        Others listen and extend leases. At the start it must be possible to listen; later the work
        goes on without them.
        """
        self._background_error = None
        self._must_extend = False
        self._announcements = None
        self._look_again()
        self.something_happened.clear()
        await self._extend_leases(connection)  # others may have what is in hand since
        background = [
            asyncio.create_task(self._in_background(self._extend_leases_forever)),
            asyncio.create_task(self._in_background(lambda: self._listen_forever(connection))),
        ]
        try:
            if not self.served and not self.stopping:
                await self.something_happened.wait()  # it listens, or cannot
            while True:
                self.something_happened.clear()
                if self._background_error is not None:
                    raise self._background_error
                if self._must_extend:
                    self._must_extend = False
                    await self._extend_leases(connection)
                again = await self._step(connection)
                self.attempts = 0
                self.served = True
                busy = self._is_busy()
                if not busy and (self.stopping or (until_empty and self._drained)):
                    return
                if until_empty and not busy:
                    self._look_again()
                elif not again:
                    await self._rest()
        finally:
            # Some versions of psycopg lose a cancellation that comes together with an answer.
            left = set(background)
            while left:
                for task in left:
                    task.cancel()
                _, left = await asyncio.wait(left, timeout=wire.SILENCE_STOPPING)
            await asyncio.gather(*background, return_exceptions=True)

    async def _rest(self) -> None:
        """Wait until something happens, or something is due."""
        seconds = self._seconds_until_due()
        if self._announcements is None:  # nobody says when to look
            self._may_have_messages = True
            seconds = min(self._poll_interval, math.inf if seconds is None else seconds)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.something_happened.wait(), seconds)

    # In the background

    async def _in_background(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        # The main part raises the error when it gets there: it is never interrupted in a read,
        # whose messages would be leased to nobody.
        try:
            await work()
        except BaseException as error:  # noqa: BLE001
            self._background_error = error
            self.something_happened.set()

    async def _extend_leases_forever(self) -> None:
        """Keep the leases of what is in hand, on a connection that does nothing else."""
        connection: Connection | None = None
        attempts = 0
        try:
            while True:
                await asyncio.sleep(self._vt / 3)
                if not self._has_leases():
                    continue
                try:
                    connection = connection or await self._connect()
                except psycopg.Error as error:
                    attempts += 1
                    text = "no connection to extend leases"
                    self._do_without(text, error, self._vt / 3, attempts)
                else:
                    await self._extend_leases(connection)
        finally:
            if connection is not None:
                await connection.close()

    async def _listen_forever(self, connection: Connection) -> None:
        """Say when to look again, as long as somebody can listen; else try that again."""
        attempts = 0
        while True:
            try:
                async with self._listen(connection) as listener:
                    announcements = Announcements(
                        self._queues, self._poll_interval, listener, timed=self.timed
                    )
                    await announcements.subscribe(lenient=self.served and len(self._queues) > 1)
                    self._announcements, attempts = announcements, 0
                    self._wake()  # what came before that is not announced
                    await self._wake_when_due(announcements)
            except psycopg.Error as error:  # noqa: PERF203
                self._announcements = None
                seconds = wire.backoff(attempts, self._reconnect_interval)
                attempts += 1
                text = "no connection to wait for messages"
                self._do_without(text, error, seconds, attempts)
                await asyncio.sleep(seconds)

    def _do_without(self, text: str, error: psycopg.Error, seconds: float, attempt: int) -> None:
        """Let the connection that reads do what another one cannot, or raise the error."""
        if not self.served or not wire.is_passing(error, self.served):
            raise error
        self._reports.disconnected(text, error, seconds, attempt)
        self._must_extend = True  # which also shows whether that connection is lost as well
        self._wake()

    async def _wake_when_due(self, announcements: Announcements) -> None:
        """Say when to look again, whenever the queue was found empty."""
        while True:
            while announcements.expected and not self._found_empty.is_set():
                if await announcements.hear():
                    self._wake()
            await self._found_empty.wait()
            self._found_empty.clear()
            if await announcements.arm_if_due():
                self._wake()
            await announcements.wait(announcements.next_look())
            self._found_empty.clear()  # by a look before this
            self._wake()

    def _wake(self) -> None:
        self._may_have_messages = True
        self.something_happened.set()

    def _look_again(self) -> None:
        self._may_have_messages, self._drained = True, False
