"""What a worker does as long as its connections do: read, hand out, acknowledge, wait."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import TYPE_CHECKING

import psycopg

from pgmq import _statements as statements
from pgmq._retrying import last_receipt
from pgmq._worker.leases import GONE
from pgmq._worker.outcome import RETURNED, Outcome, failure, undecoded
from pgmq._worker.serving import Serving
from pgmq._worker.waking import SOON

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from pgmq._worker.connection import Connection
    from pgmq._worker.hooks import Reports
    from pgmq._worker.inhand import InHand
    from pgmq._worker.leases import Leases
    from pgmq.messages import Policy, WorkerMessage

__all__ = ["WorkLoop"]


class WorkLoop(Serving):
    """Reads messages, has them handled in slots, and tells the server what became of them."""

    def __init__(
        self,
        in_hand: InHand,
        leases: Leases,
        reports: Reports,
        perform: Callable[[list[WorkerMessage]], Awaitable[list[Outcome]]],
        connect: Callable[[], Awaitable[Connection]],
        listen: Callable[[Connection], AbstractAsyncContextManager[Connection]],
        *,
        slots: int,
        poll_interval: float,
        reconnect_interval: float,
        transactional: bool,
    ) -> None:
        super().__init__(
            leases.queues, leases.vt, reports, connect, listen,
            slots=slots, poll_interval=poll_interval, reconnect_interval=reconnect_interval,
            transactional=transactional,
        )  # fmt: skip
        self.in_hand = in_hand
        self._leases = leases
        self._perform = perform

    def _is_busy(self) -> bool:
        return bool(self.in_hand)

    def _has_leases(self) -> bool:
        return bool(self.in_hand.held)

    def _seconds_until_due(self) -> float | None:
        return self.in_hand.seconds_until_due()

    async def _step(self, connection: Connection) -> bool:
        if self.stopping:
            for message in self.in_hand.unbegun():
                self._settle(message, RETURNED)
        await self._refuse(connection)
        again = await self._acknowledge_and_read_if_due(connection)
        self._hand_out()
        if self.stopping:
            for message in self.in_hand.give_up_locked():
                self._reports.lost(message)
        return again

    # Reading and acknowledging

    async def _acknowledge_and_read_if_due(self, connection: Connection) -> bool:
        """Acknowledge what is done and read, as far as it is time to; say whether to go on."""
        self.in_hand.retry_locked(self.stopping)
        quantity = 0
        if self._may_have_messages and not self.stopping:
            quantity = self.in_hand.how_many_to_read()
        if not quantity and not self.in_hand.is_time_to_acknowledge():
            return False
        done = self.in_hand.take_done()
        if quantity:
            # From here on, whoever wants another look says so again.
            self._may_have_messages, self._drained = False, True
        try:
            messages = await self._acknowledge_and_read(connection, done, quantity)
        except BaseException:
            self.in_hand.put_back_done(done)
            raise
        if self._leases.grouped and done:
            self._look_again()  # at the next ones of their groups
        if not quantity:
            return self._may_have_messages
        if messages:
            self.in_hand.hold(messages, connection.received)
            self._reports.read(messages)
            self.in_hand.queue_up([each for each in messages if self._is_decoded(each)])
        if len(messages) == quantity or (self._leases.grouped and messages):
            self._look_again()
        else:
            self._found_empty.set()
        return self._may_have_messages

    async def _acknowledge_and_read(
        self, connection: Connection, done: list[WorkerMessage], quantity: int
    ) -> list[WorkerMessage]:
        if done and quantity and not self._leases.grouped and not self._leases.several:
            with contextlib.suppress(psycopg.errors.LockNotAvailable):
                return await self._leases.acknowledge_and_read(connection, done, quantity)
        if done:
            lost, locked = await self._leases.acknowledge(connection, done)
            self.in_hand.add_locked(locked)
            for message in lost:
                self._reports.lost(message)
        if not quantity:
            return []
        try:
            return await self._leases.read(connection, quantity)
        except psycopg.errors.LockNotAvailable:
            # The whole table is locked.
            asyncio.get_running_loop().call_later(SOON, self._wake)
            return []

    def _is_decoded(self, message: WorkerMessage) -> bool:
        """Settle what Python could not decode: no handler can have that."""
        outcome = undecoded(message)
        if outcome is not None:
            self._settle(message, outcome)
        return outcome is None

    async def _refuse(self, connection: Connection) -> None:
        """Return or reject what was not done."""
        refused: dict[str, list[tuple[WorkerMessage, Outcome]]] = {}
        for pair in self.in_hand.refused:
            refused.setdefault(pair[0].queue_name, []).append(pair)
        self.in_hand.refused = []
        try:
            for queue in [*refused]:
                try:
                    await self._refuse_to(connection, queue, refused[queue])
                except GONE:
                    if not self._leases.several:
                        raise
                del refused[queue]
        except BaseException:
            # Returning twice does no harm either.
            left = [pair for pairs in refused.values() for pair in pairs]
            self.in_hand.refused = left + self.in_hand.refused
            raise

    async def _refuse_to(
        self, connection: Connection, queue: str, refused: list[tuple[WorkerMessage, Outcome]]
    ) -> None:
        failed = [pair for pair in refused if pair[1].kind in ("retry", "failed")]
        policy = await self._leases.policy(connection, queue) if failed else None
        # Whoever has them locked decides; their leases end.
        locked = await self._leases.refuse(connection, queue, refused, policy)
        for message in locked:
            self._reports.lost(message)
        if policy is not None:
            self._report_failed(queue, failed, locked, policy)
        self._look_again()
        if self._announcements is None or queue not in self._announcements.arming:
            # Whoever waits has not reckoned with these; where they are announced it is told.
            due = (await connection.run(statements.due({queue: None}))).seconds
            if due is not None:
                asyncio.get_running_loop().call_later(max(due, 0.0), self._wake)

    def _report_failed(
        self,
        queue: str,
        failed: list[tuple[WorkerMessage, Outcome]],
        locked: list[WorkerMessage],
        policy: Policy,
    ) -> None:
        if policy.retry_delay is None:
            self._reports.no_retry_delay(queue)
        for message, outcome in failed:
            end = last_receipt(policy, message.read_ct)
            if end is not None and message not in locked:
                self._reports.dead_letter(message, outcome, end)

    # Handling

    def _hand_out(self) -> None:
        """Give units to the slots that are free."""
        while self.in_hand.buffer and len(self.running) < self._slots:
            unit = self.in_hand.buffer.popleft()
            task = asyncio.create_task(self._handle(unit))
            self.running.add(task)
            task.add_done_callback(functools.partial(self._end_of, unit))

    def _end_of(self, unit: list[WorkerMessage], task: asyncio.Task[None]) -> None:
        self.running.discard(task)
        for message in unit:
            if self.in_hand.holds(message):  # it was cancelled before it began
                self._settle(message, RETURNED)
        self.something_happened.set()

    async def _handle(self, unit: list[WorkerMessage]) -> None:
        try:
            outcomes = await self._perform(unit)
        except asyncio.CancelledError:
            outcomes = [RETURNED] * len(unit)
        except BaseException as error:  # noqa: BLE001, that of a thread
            outcomes = [failure(error)] * len(unit)
        self.in_hand.note_pace(unit, outcomes)
        for message, outcome in zip(unit, outcomes, strict=True):
            self._settle(message, outcome)

    def _settle(self, message: WorkerMessage, outcome: Outcome) -> None:
        """Note what became of a message."""
        self.in_hand.let_go(message)
        if outcome.kind != "done":
            # Also what is lost: of a batch only some may be.
            self.in_hand.refused.append((message, outcome))
        elif not self._transactional:
            self.in_hand.add_done(message)
        elif self._leases.grouped:
            self._look_again()
        if outcome.kind == "lost":
            self._reports.lost(message)
        self._reports.outcome(message, outcome)

    async def _extend_leases(self, connection: Connection) -> None:
        held = list(self.in_hand.held.values())
        if not held:
            return
        for message in await self._leases.extend(connection, held):
            if self.in_hand.drop_lost(message, keep_begun=self._transactional):
                self.something_happened.set()
                self._reports.lost(message)
