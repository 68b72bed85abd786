"""What a worker of a group has in hand: the lanes that it has leased. No I/O here."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pgmq._worker.outcome import RETURNED, undecoded

if TYPE_CHECKING:
    from pgmq._wire import Loads
    from pgmq._worker.outcome import Outcome
    from pgmq.messages import StreamBatch, StreamMessage

__all__ = ["Lanes", "Lease", "Reader"]

_UNIT = 0.005  # seconds of work that are handed to a slot at once, where calls are short
_PROGRESS = 1.0  # seconds until what is done of a batch is committed


@dataclass(frozen=True, slots=True)
class Reader:
    """As what a worker reads a stream: the group, and how much, for how long, and when again."""

    group: str
    vt: int  # seconds
    quantity: int
    retry_delay: int  # seconds
    loads: Loads | None = None

    def how_to_release(self, end: Outcome) -> tuple[int, str | None]:
        """Say after how many seconds a lane is handed out again, and with which error, if any."""
        return self.retry_delay if end.delay is None else end.delay, end.error


@dataclass(slots=True, eq=False)
class Lease:
    """A batch, and how far it is; the numbers count its messages from the first one."""

    batch: StreamBatch
    handed: int = 0  # a slot has, or has had
    done: int = 0  # are done, or rejected
    committed: int = 0
    rejected: list[tuple[StreamMessage, str | None]] = field(default_factory=list)
    end: Outcome = RETURNED  # what became of the first that is not done
    has_failed: bool = False  # what comes after what is done has another turn
    is_over: bool = False  # no slot goes on with it
    is_lost: bool = False
    is_ending: bool = False  # the server has been asked to end it
    is_unheard: bool = False  # nobody knows whether the last call for it got through
    tries: int = 0  # to settle it
    committed_at: float = field(default_factory=time.monotonic)

    @property
    def is_done(self) -> bool:
        """Whether all of it is done."""
        return self.done == len(self.batch)

    @property
    def messages_left(self) -> list[StreamMessage]:
        """What is not committed."""
        return self.batch.messages[self.committed :]

    def up_to(self) -> int:
        """Return the msg_id of the last one that is done."""
        return self.batch.messages[self.done - 1].msg_id

    def seconds_until_commit(self) -> float | None:
        """Say how long what is done may wait for a commit before the end; None while nothing is."""
        if self.done == self.committed or self.is_over or self.is_lost:
            return None
        return max(0.0, self.committed_at + _PROGRESS - time.monotonic())

    def note(self, unit: list[StreamMessage], outcomes: list[Outcome]) -> None:
        """Note what became of the messages that were handed out, up to the first that failed."""
        for message, outcome in zip(unit, outcomes, strict=True):
            if self.has_failed:
                return
            if outcome.kind == "rejected":
                self.rejected.append((message, outcome.error))
            elif outcome.kind != "done":
                self.fail(self.done, outcome)
                return
            self.done += 1

    def note_commit(self, committed: int) -> None:
        """Note how much is committed, or that it was tried."""
        self.committed = committed
        self.committed_at = time.monotonic()

    def fail(self, done: int, outcome: Outcome) -> None:
        """Go no further than so many messages, for this reason."""
        self.done, self.end = done, outcome
        self.has_failed = True

    def fail_to_reject(self, outcome: Outcome) -> None:
        """Take what was to be rejected for failed."""
        message, _ = self.rejected[0]
        self.rejected.clear()
        self.fail(self.batch.messages.index(message), outcome)


class Lanes:
    """The leases of a worker, by lane and epoch."""

    def __init__(self, *, in_batches: bool) -> None:
        self._in_batches = in_batches
        self.held: dict[tuple[int, int], Lease] = {}
        self._pace: float | None = None  # seconds that a message takes

    def __bool__(self) -> bool:
        return bool(self.held)

    def hold(self, batch: StreamBatch) -> Lease:
        """Take what was fetched."""
        lease = self.held[batch.lease] = Lease(batch)
        return lease

    def holds(self, message: StreamMessage) -> bool:
        """Tell whether a message is still ours, as far as we know."""
        lease = self.held.get((message.lane, message.epoch))
        return lease is not None and not lease.is_lost

    def drop(self, lease: Lease) -> None:
        """Let a lease go."""
        self.held.pop(lease.batch.lease, None)

    def forget(self) -> None:
        """Let all of them go."""
        self.held.clear()

    def over(self) -> list[Lease]:
        """Return what no slot goes on with."""
        return [lease for lease in self.held.values() if lease.is_over]

    def due(self) -> list[Lease]:
        """Return what has waited long enough for a commit of what is done."""
        return [lease for lease in self.held.values() if lease.seconds_until_commit() == 0]

    def seconds_until_due(self) -> float | None:
        """Say when there is something to commit; None when there is not."""
        waits = [lease.seconds_until_commit() for lease in self.held.values()]
        return min((seconds for seconds in waits if seconds is not None), default=None)

    def next_unit(self, lease: Lease) -> list[StreamMessage]:
        """Hand out what a slot handles next: a whole batch, or some milliseconds of work.

        What Python could not decode comes by itself, for its failure must not be another's.
        """
        if lease.is_lost or lease.has_failed:
            return []
        size = len(lease.batch)
        if not self._in_batches:
            size = max(1, int(_UNIT / self._pace) if self._pace else 1)
        unit = lease.batch.messages[lease.handed : lease.handed + size]
        if not self._in_batches:
            broken = [n for n, message in enumerate(unit) if undecoded(message)]
            if broken:
                unit = unit[: max(1, broken[0])]
        lease.handed += len(unit)
        return unit

    def note(self, lease: Lease, unit: list[StreamMessage], outcomes: list[Outcome]) -> None:
        """Note what became of a unit, and learn how long messages take."""
        timed = outcomes[:1] if self._in_batches else outcomes
        seconds = sum(outcome.seconds for outcome in timed) / len(unit)
        self._pace = seconds if self._pace is None else 0.7 * self._pace + 0.3 * seconds
        self._pace = max(self._pace, 1e-6)
        lease.note(unit, outcomes)
