"""What every worker does as long as its connections do; what that is about, its loop says."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from pgmq._worker.waking import Announcements

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

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
        *,
        slots: int,
        poll_interval: float,
        transactional: bool,
    ) -> None:
        self._queues = queues
        self._vt = vt
        self._reports = reports
        self._connect = connect
        self._slots = slots
        self._poll_interval = poll_interval
        self._transactional = transactional
        self._announcements: Announcements
        self.running: set[asyncio.Task[None]] = set()
        self.stopping = False  # begin nothing more, and return when nothing is in hand
        self.served = False  # whether the server has done what the worker needs
        self.attempts = 0  # to connect, since it did
        self._may_have_messages = True  # whether the queue is worth a look
        self._drained = False  # whether the last read found all there was
        self.something_happened = asyncio.Event()
        self._found_empty = asyncio.Event()
        self._background_error: BaseException | None = None

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

    async def serve(self, connection: Connection, listener: Connection, until_empty: bool) -> None:
        """Work as long as the connections do."""
        self._background_error = None
        self._look_again()
        self._announcements = Announcements(
            self._queues, self._poll_interval, listener, timed=self.timed
        )
        await self._announcements.subscribe(lenient=self.served and len(self._queues) > 1)
        await self._extend_leases(connection)  # others may have what is in hand since
        background = [
            asyncio.create_task(self._in_background(self._extend_leases_forever)),
            asyncio.create_task(self._in_background(self._wake_when_due)),
        ]
        try:
            while True:
                self.something_happened.clear()
                if self._background_error is not None:
                    raise self._background_error
                again = await self._step(connection)
                self.attempts = 0
                self.served = True
                busy = self._is_busy()
                if not busy and (self.stopping or (until_empty and self._drained)):
                    return
                if until_empty and not busy:
                    self._look_again()
                elif not again:
                    with contextlib.suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(
                            self.something_happened.wait(), self._seconds_until_due()
                        )
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)

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
        try:
            while True:
                await asyncio.sleep(self._vt / 3)
                if self._has_leases():
                    connection = connection or await self._connect()
                    await self._extend_leases(connection)
        finally:
            if connection is not None:
                await connection.close()

    async def _wake_when_due(self) -> None:
        """Say when to look again, whenever the queue was found empty."""
        announcements = self._announcements
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
