"""When a worker looks again at a queue that it found empty."""

from __future__ import annotations

import math
import random
import time
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from pgmq import _statements as statements

if TYPE_CHECKING:
    from pgmq._worker.connection import Connection

__all__ = ["SOON", "Announcements"]

SOON = 0.1  # seconds, when there is something that cannot be had


class Announcements:
    """What a queue announces on a connection, and when to look although it says nothing.

    A queue with wake-ups announces what commits while it is armed. One with NOTIFY leaves out what
    comes within its throttle. Any other one has to be looked at.
    """

    def __init__(
        self, queue: str, poll_interval: float, listener: Connection, *, timed: bool = True
    ) -> None:
        self._queue = queue
        self._timed = timed  # whether its messages fall due
        self._poll_interval = poll_interval
        self._listener = listener
        self.arms = False  # whether the queue has wake-ups
        self._throttle: float | None = None  # in seconds, where it has NOTIFY
        self._arm_for = math.ceil(1.25 * poll_interval)  # seconds
        self._armed_until = 0.0
        # Transactions from this one on began when the queue was armed. Earlier ones may have found
        # it unarmed, and commit without a word.
        self._horizon = math.inf
        self._due = statements.Due(None, oldest=0, next=0)  # as the last look had it
        self._notified = False  # since the last look

    async def subscribe(self) -> None:
        """Find out how the queue announces messages, and listen."""
        try:
            await self._listener.run(statements.await_(self._queue, self._arm_for))
        except psycopg.errors.ObjectNotInPrerequisiteState:
            pass
        else:
            self.arms = True
            return
        for throttle in await self._listener.run(statements.list_notify_throttles()):
            if throttle.queue_name.lower() == self._queue.lower():
                table = await self._listener.run(statements.queue_table(self._queue, "q"))
                channel = sql.Identifier(f"pgmq.{table}.INSERT")
                await self._listener.execute(sql.SQL("LISTEN {}").format(channel))
                self._throttle = throttle.throttle_interval_ms / 1000
                return

    @property
    def expected(self) -> bool:
        """Whether the queue announces anything."""
        return self.arms or self._throttle is not None

    async def hear(self) -> bool:
        """Wait a moment for an announcement.

        The server keeps what is not fetched, and everything announced after it.
        """
        heard = await self._listener.is_notified(SOON)
        self._notified = self._notified or heard
        return heard

    async def arm_if_due(self) -> bool:
        """Ask when the next message is visible; True: look again, since the queue is armed now.

        What was committed before that is not announced.
        """
        now = time.monotonic()
        if now >= self._armed_until:
            self._horizon = math.inf
        half_over = now > self._armed_until - self._arm_for / 2
        arm = self.arms and (half_over or self._due.oldest < self._horizon)
        self._due = await self._listener.run(
            statements.due(self._queue, self._arm_for if arm else None)
            if arm or self._timed
            else statements.nothing_due()
        )
        if self._horizon == math.inf and now < self._armed_until:
            self._horizon = self._due.next
        if arm:
            self._armed_until = now + self._arm_for
        return arm

    def next_look(self) -> float:
        """Say in how many seconds to look again at the latest."""
        seconds = self._poll_interval * random.uniform(0.75, 1.25)  # noqa: S311
        if self.arms:
            seconds = min(seconds, max(0.0, self._armed_until - time.monotonic()))
        due = self._due.seconds
        if due is not None:
            # What is visible and was not found, another has for a moment.
            seconds = min(seconds, due if self.arms and due > 0 else max(due, SOON))
        if self._notified and self._throttle is not None:
            # What the throttle has left out since.
            seconds = min(seconds, max(self._throttle, SOON))
        return seconds

    async def wait(self, seconds: float) -> None:
        """Wait for an announcement for so long."""
        self._notified = await self._listener.is_notified(seconds)
