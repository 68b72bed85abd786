"""What a relay has in hand: messages of a queue, or a batch that a group of a stream has leased."""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from typing import TYPE_CHECKING, Protocol

from psycopg.errors import LockNotAvailable, ObjectNotInPrerequisiteState

from pgmq._statements import leases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pgmq._session import Session
    from pgmq.messages import Message, StreamMessage
    from pgmq.relay._broker import Outgoing

__all__ = ["GroupLease", "Leases", "QueueLeases"]

_LONGEST_REFUSAL = 60.0  # seconds until a refused message is tried again, at most
_LOCKED = 2.0  # seconds until a message that somebody else has locked is tried again

_logger = logging.getLogger(__name__)


class Leases(Protocol):
    """Where messages come from, and who is told what became of them."""

    in_hand: dict[int, Outgoing]  # by msg_id; what is not settled

    def check(self) -> None:
        """Raise what would keep messages from being acknowledged: a right, an older pgmq."""

    def read(self) -> Sequence[Message | StreamMessage]:
        """Lease messages."""
        ...

    def hold(self, messages: Iterable[Outgoing]) -> None:
        """Have in hand what was read."""

    def keep(self) -> None:
        """Extend the leases of all in hand."""

    def settle(self, settled: Sequence[tuple[Outgoing, str | None]]) -> None:
        """Acknowledge what has arrived, and return what was refused, with the reason."""

    def give_back(self) -> None:
        """Return what is in hand, for others."""

    def end(self) -> None:
        """Do what could wait until now."""


class QueueLeases:
    """Messages of a queue, each with a lease of its own."""

    def __init__(self, session: Session, queue: str, batch: int, vt: int) -> None:
        self.in_hand: dict[int, Outgoing] = {}
        self._session = session
        self._queue = queue
        self._batch = batch
        self._vt = vt
        self._locked: list[Outgoing] = []  # arrived, and to be acknowledged when that is possible
        self._locked_at = 0.0

    def check(self) -> None:
        self._session.check(self._queue)

    def read(self) -> list[Message]:
        """Lease what may be on its way at the same time.

        That is what has no group, and of each group the first message: the next one follows when
        this one can no longer be refused.
        """
        ungrouped = self._session.read_group(self._queue, None, self._vt, self._batch)
        return ungrouped + self._session.read_grouped_head(self._queue, self._vt, self._batch)

    def hold(self, messages: Iterable[Outgoing]) -> None:
        self.in_hand = {message.msg_id: message for message in messages}

    def keep(self) -> None:
        kept, locked = self._unless_locked(
            list(self.in_hand.values()),
            lambda ids, cts: self._session.extend_batch(self._queue, ids, cts, self._vt),
        )
        # Somebody else may be sending what is lost.
        ours = {*kept, *(message.msg_id for message in locked)}
        self.in_hand = {key: each for key, each in self.in_hand.items() if key in ours}

    def settle(self, settled: Sequence[tuple[Outgoing, str | None]]) -> None:
        taken = [message for message, reason in settled if reason is None]
        if time.monotonic() - self._locked_at > _LOCKED:
            taken, self._locked, self._locked_at = self._locked + taken, [], time.monotonic()
        if taken:
            acked, locked = self._unless_locked(
                taken, lambda ids, cts: self._session.ack_batch(self._queue, ids, cts)
            )
            self._locked += locked
            if lost := len(taken) - len(acked) - len(locked):
                _logger.warning("%d leases were lost: expect duplicates", lost)
        for message, reason in settled:
            self.in_hand.pop(message.msg_id, None)
            if reason is not None:
                self._return(message, reason)

    def _return(self, message: Outgoing, reason: str) -> None:
        # If it is locked, its lease has to end.
        with contextlib.suppress(LockNotAvailable), self._session.impatient():
            self._session.nack(
                self._queue, message.msg_id, message.read_ct, _delay(message.read_ct), reason
            )

    def give_back(self) -> None:
        if self.in_hand:
            self._unless_locked(
                list(self.in_hand.values()),
                lambda ids, cts: self._session.nack_batch(self._queue, ids, cts, 0),
            )
            self.in_hand.clear()

    def end(self) -> None:
        self._locked_at = 0.0
        self.settle([])

    def _unless_locked(
        self, messages: list[Outgoing], call: Callable[[list[int], list[int]], list[int]]
    ) -> tuple[list[int], list[Outgoing]]:
        """Call for messages, but for those that another session has locked; return these too."""
        try:
            with self._session.impatient():
                return call(*leases(messages)), []
        except LockNotAvailable:
            free = self._session.unlocked(self._queue, leases(messages)[0])
            locked = [message for message in messages if message.msg_id not in free]
            if len(locked) == len(messages) or not locked:
                return [], messages  # or it was just let go of, or the table is locked
            others = [message for message in messages if message.msg_id in free]
            done, more = self._unless_locked(others, call)
            return done, locked + more


class GroupLease:
    """A batch of one lane of a group: committed up to the first message that is not settled."""

    def __init__(self, session: Session, stream: str, group: str, batch: int, vt: int) -> None:
        self.in_hand: dict[int, Outgoing] = {}
        self._session = session
        self._where = stream, group
        self._batch = batch
        self._vt = vt
        self._lease = 0, 0  # lane and epoch
        self._left: list[int] = []  # what is not committed of the batch, in its order
        self._arrived: set[int] = set()  # of that
        self._refused: dict[int, tuple[Outgoing, str]] = {}
        # By lane: the refused message that holds it up, and what came after it and has arrived.
        self._ahead: dict[int, tuple[int, set[int]]] = {}

    def check(self) -> None:
        # No lease is like this one, and that is found out last.
        self._session.commit(*self._where, 0, 0)

    def read(self) -> Sequence[StreamMessage]:
        batch = self._session.fetch(*self._where, self._vt, self._batch)
        if batch is None:
            return ()
        self._lease = batch.lease
        self._left = [message.msg_id for message in batch]
        self._refused.clear()
        # Unless the group was moved meanwhile, what has arrived is not sent again.
        held_up, arrived = self._ahead.pop(batch.lane, (0, set()))
        first = batch.messages[0]
        is_again = first.msg_id == held_up and first.delivery_ct > 1
        self._arrived = arrived if is_again else set()
        return batch.messages

    def hold(self, messages: Iterable[Outgoing]) -> None:
        self.in_hand = {
            message.msg_id: message for message in messages if message.msg_id not in self._arrived
        }

    def keep(self) -> None:
        if not self._session.extend_lease(*self._where, *self._lease, self._vt):
            self._lose()

    def settle(self, settled: Sequence[tuple[Outgoing, str | None]]) -> None:
        for message, reason in settled:
            if self.in_hand.pop(message.msg_id, None) is None:
                continue  # lost meanwhile
            if reason is None:
                self._arrived.add(message.msg_id)
            else:
                self._refused[message.msg_id] = message, reason
        while self._left:
            arrived = list(itertools.takewhile(self._arrived.__contains__, self._left))
            if arrived:
                del self._left[: len(arrived)]
                up_to = arrived[-1] if self._left else None
                if not self._session.commit(*self._where, *self._lease, up_to):
                    self._lose()
            if not self._left or self._left[0] not in self._refused:
                return
            self._refuse(*self._refused[self._left[0]])

    def _refuse(self, message: Outgoing, reason: str) -> None:
        try:
            if not self._session.reject(*self._where, *self._lease, message.msg_id, reason):
                self._lose()
            del self._left[:1]
        except ObjectNotInPrerequisiteState:  # the group has no dead-letter queue
            self._ahead[self._lease[0]] = message.msg_id, self._arrived
            self._session.release(*self._where, *self._lease, _delay(message.read_ct), reason)
            self._drop()

    def _lose(self) -> None:
        _logger.warning("the lease of lane %d was lost: expect duplicates", self._lease[0])
        self._drop()

    def _drop(self) -> None:
        self.in_hand = {}
        self._left = []

    def give_back(self) -> None:
        if self._left:
            self._session.release(*self._where, *self._lease)
            self._drop()

    def end(self) -> None:
        """Nothing is left to do."""


def _delay(attempt: int) -> int:
    return int(min(_LONGEST_REFUSAL, 2.0 ** min(attempt - 1, 30)))
