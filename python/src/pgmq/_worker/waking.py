"""When a worker looks again at queues that it found empty."""

from __future__ import annotations

import math
import random
import time
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from pgmq import _statements as statements
from pgmq._worker.leases import GONE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgmq._worker.connection import Connection

__all__ = ["SOON", "Announcements"]

_ASIDE = 10.0  # seconds until a queue that is gone is looked for
SOON = 0.1  # seconds, when there is something that cannot be had


class Announcements:
    """What queues announce on a connection, and when to look although they say nothing.

    A queue with wake-ups announces what commits while it is armed. One with NOTIFY leaves out what
    comes within its throttle. Any other one has to be looked at.
    """

    def __init__(
        self,
        queues: Sequence[str],
        poll_interval: float,
        listener: Connection,
        *,
        timed: bool = True,
    ) -> None:
        self._queues = queues
        self._gone: list[str] = []  # of these, those that cannot be listened to
        self._gone_since = 0.0
        self._timed = timed  # whether its messages fall due
        self._poll_interval = poll_interval
        self._listener = listener
        self.arming: set[str] = set()  # the queues that have wake-ups
        self._throttle: float | None = None  # in seconds, of those that have NOTIFY
        self._arm_for = math.ceil(1.25 * poll_interval)  # seconds
        self._armed_until = 0.0
        # Transactions from this one on began when the queues were armed. Earlier ones may have
        # found them unarmed, and commit without a word.
        self._horizon = math.inf
        self._due = statements.Due(None, oldest=0, next=0)  # as the last look had it
        self._notified = False  # since the last look

    async def subscribe(self, *, lenient: bool = False) -> None:
        """Find out how each queue announces messages, and listen; lenient: to those there are."""
        self.arming, self._throttle, self._gone = set(), None, []
        for queue in self._queues:
            try:
                await self._subscribe_to(queue)
            except GONE:  # noqa: PERF203
                if not lenient:
                    raise
                self._gone.append(queue)
                self._gone_since = time.monotonic()

    async def _subscribe_to(self, queue: str) -> None:
        if self._listener.polls:
            await self._listener.run(statements.due({queue: None} if self._timed else {}))
            return
        try:
            await self._listener.run(statements.await_(queue, self._arm_for))
        except psycopg.errors.ObjectNotInPrerequisiteState:
            pass
        else:
            self.arming.add(queue)
            return
        for throttle in await self._listener.run(statements.list_notify_throttles()):
            if throttle.queue_name.lower() == queue.lower():
                table = await self._listener.run(statements.queue_table(queue, "q"))
                channel = sql.Identifier(f"pgmq.{table}.INSERT")
                await self._listener.execute(sql.SQL("LISTEN {}").format(channel))
                seconds = throttle.throttle_interval_ms / 1000
                self._throttle = max(seconds, self._throttle or 0.0)
                return

    @property
    def _all_arm(self) -> bool:
        return len(self.arming) == len(self._queues)

    @property
    def expected(self) -> bool:
        """Whether anything is announced."""
        return bool(self.arming) or self._throttle is not None

    async def hear(self) -> bool:
        """Wait a moment for an announcement.

        The server keeps what is not fetched, and everything announced after it.
        """
        heard = await self._listener.is_notified(SOON)
        self._notified = self._notified or heard
        return heard

    async def arm_if_due(self) -> bool:
        """Ask when the next message is visible; True: look again, since queues are armed now.

        What was committed before that is not announced.
        """
        now = time.monotonic()
        if self._gone and now >= self._gone_since + _ASIDE:
            return await self._subscribe_again()
        if now >= self._armed_until:
            self._horizon = math.inf
        half_over = now > self._armed_until - self._arm_for / 2
        arm = bool(self.arming) and (half_over or self._due.oldest < self._horizon)
        seconds = self._arm_for if arm else None
        look_at = self._queues if self._timed else self.arming if arm else ()
        queues = {
            each: seconds if each in self.arming else None
            for each in look_at
            if each not in self._gone
        }
        try:
            self._due = await self._listener.run(
                statements.due(queues) if queues else statements.nothing_due()
            )
        except GONE:
            if len(self._queues) == 1:
                raise
            return await self._subscribe_again()
        except psycopg.errors.ObjectNotInPrerequisiteState:  # it has no wake-ups any more
            return await self._subscribe_again()
        if self._horizon == math.inf and now < self._armed_until:
            self._horizon = self._due.next
        if arm:
            self._armed_until = now + self._arm_for
        return arm

    async def _subscribe_again(self) -> bool:
        """Listen to the queues that there are now."""
        await self.subscribe(lenient=True)
        self._armed_until = 0.0
        return True

    def next_look(self) -> float:
        """Say in how many seconds to look again at the latest."""
        seconds = self._poll_interval * random.uniform(0.75, 1.25)  # noqa: S311
        if self.arming:
            seconds = min(seconds, max(0.0, self._armed_until - time.monotonic()))
        due = self._due.seconds
        if due is not None:
            # What is visible and was not found, another has for a moment.
            seconds = min(seconds, due if self._all_arm and due > 0 else max(due, SOON))
        if self._notified and self._throttle is not None:
            # What the throttle has left out since.
            seconds = min(seconds, max(self._throttle, SOON))
        return seconds

    async def wait(self, seconds: float) -> None:
        """Wait for an announcement for so long."""
        self._notified = await self._listener.is_notified(seconds)
