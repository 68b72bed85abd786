"""What a worker has in hand: where each leased message is on its way. No I/O here."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections import deque
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pgmq._worker.outcome import Outcome
    from pgmq.messages import WorkerMessage

__all__ = ["LOCKED", "InHand"]

LOCKED = 1.0  # seconds to wait for a lock, at most, and until what was locked is tried again
_AHEAD = 0.5  # seconds of work that may wait in the worker, where others cannot have it
_AHEAD_OF_OTHERS = 0.1  # the same, where a message of another queue may be more urgent
_AHEAD_BYTES = 32 << 20  # of JSON that may wait there
_UNIT = 0.005  # seconds of work that are handed to a slot at once, where calls are short
_LINGER = 0.05  # seconds that an acknowledgement may wait for others to go with it
_LAST_TRIES = 3  # to acknowledge what somebody else has locked, when the worker is stopped


class InHand:
    """The leased messages of a worker.

    A message waits in the buffer, in a unit that one slot handles, one after another. It is held
    there and while it is handled, then done or refused, and goes when the server was told.
    """

    def __init__(
        self,
        batch_size: int,
        concurrency: int,
        *,
        in_batches: bool,
        grouped: bool,
        ranks: Mapping[str, int] | None = None,
        headers_of: Callable[[WorkerMessage], Any] = attrgetter("headers"),
    ) -> None:
        """Begin with nothing; of several queues, `ranks` say which one's messages come first."""
        self._batch_size = batch_size
        self._concurrency = concurrency
        self._in_batches = in_batches
        self._grouped = grouped
        self._ranks = ranks or {}
        self._headers_of = headers_of
        self._ahead = _AHEAD_OF_OTHERS if ranks else _AHEAD
        self.buffer: deque[list[WorkerMessage]] = deque()
        self.held: dict[tuple[str, int], WorkerMessage] = {}
        self.refused: list[tuple[WorkerMessage, Outcome]] = []
        self._done: list[WorkerMessage] = []
        self._done_since = 0.0
        self._locked: list[WorkerMessage] = []  # done, but somebody else has locked them
        self._locked_since = 0.0
        self._locked_tries = 0  # since the worker was stopped
        self._pace: float | None = None  # seconds that a message takes
        self._size = 1.0  # bytes that a message has
        self._again = False  # whether the last ones read were in hand before, and did not come back

    def __bool__(self) -> bool:
        return bool(self.held or self._done or self.refused or self._locked)

    def holds(self, message: WorkerMessage) -> bool:
        """Tell whether a message waits to be handled or is being handled, and is still ours."""
        return self.held.get(_key(message)) is message

    def forget(self) -> None:
        """Forget everything."""
        self.held.clear()
        self._done, self.refused, self._locked = [], [], []

    # On the way in

    def how_many_to_read(self) -> int:
        """Say how many to read now; 0 while there are enough."""
        if self._in_batches:
            most = least = self._batch_size
            ahead = 0
        else:
            # As many as are handled soon: others may be free now. Two batches, so that one can be
            # read while the other is handled.
            # None ahead of those that come again: the next may be what a worker died of. If each
            # crash counted receipts of messages that nobody began, they would be dead letters.
            sure = None if self._again else self._pace
            waiting = 0.0 if sure is None else self._ahead * self._concurrency / sure
            ahead = int(min(2 * self._batch_size, waiting, _AHEAD_BYTES / self._size))
            least, most = max(1, ahead // 2), self._batch_size
        at_work = self._concurrency * (self._batch_size if self._in_batches else 1)
        room = at_work + ahead - len(self.held)
        return min(room, most) if room >= least else 0

    def hold(self, messages: list[WorkerMessage], size: int) -> None:
        """Take what was read, of so many bytes."""
        self.held.update((_key(message), message) for message in messages)
        self._size = max(1.0, size / len(messages))
        self._again = any(m.read_ct > 1 and not self._has_error(m) for m in messages)

    def queue_up(self, messages: list[WorkerMessage]) -> None:
        """Put what is held into the buffer."""
        self.buffer.extend(self._units(messages))
        if self._ranks:
            self.buffer = deque(sorted(self.buffer, key=lambda unit: self._ranks[_queue(unit[0])]))

    def _units(self, messages: list[WorkerMessage]) -> list[list[WorkerMessage]]:
        """Divide messages into what one slot handles one after another."""
        if self._grouped:
            groups: dict[str, list[WorkerMessage]] = {}
            for message in messages:
                groups.setdefault(self._group(message), []).append(message)
            return list(groups.values())
        if self._in_batches:
            size = self._batch_size
        else:
            share = math.ceil(len(messages) / self._concurrency)
            size = max(1, min(share, int(_UNIT / self._pace) if self._pace else 1))
        return [
            those[i : i + size]
            for those in ([*run] for _, run in itertools.groupby(messages, _queue))
            for i in range(0, len(those), size)
        ]

    def _has_error(self, message: WorkerMessage) -> bool:
        headers = self._headers_of(message)
        return isinstance(headers, dict) and "x-pgmq-error" in headers

    def _group(self, message: WorkerMessage) -> str:
        headers = self._headers_of(message)
        name = headers.get("x-pgmq-group") if isinstance(headers, dict) else None
        return name if isinstance(name, str) else json.dumps(name)

    def unbegun(self) -> Iterator[WorkerMessage]:
        """Empty the buffer."""
        while self.buffer:
            yield from self.buffer.popleft()

    # On the way out

    def note_pace(self, unit: list[WorkerMessage], outcomes: list[Outcome]) -> None:
        """Learn how long messages take."""
        timed = outcomes[:1] if self._in_batches else outcomes
        seconds = sum(outcome.seconds for outcome in timed) / len(unit)
        self._pace = seconds if self._pace is None else 0.7 * self._pace + 0.3 * seconds
        self._pace = max(self._pace, 1e-6)

    def let_go(self, message: WorkerMessage) -> None:
        """Hold a message no longer."""
        if self.holds(message):
            del self.held[_key(message)]

    def add_done(self, message: WorkerMessage) -> None:
        """Take a message that is to be acknowledged."""
        if not self._done:
            self._done_since = time.monotonic()
        self._done.append(message)

    def add_locked(self, messages: list[WorkerMessage]) -> None:
        """Take messages that are to be acknowledged when nobody else has locked them."""
        if messages and not self._locked:
            self._locked_since = time.monotonic()
        self._locked += messages

    def retry_locked(self, stopped: bool) -> None:
        """Try again what was locked, when it is time to."""
        now = time.monotonic()
        if self._locked and now - self._locked_since >= LOCKED:
            self._done, self._locked = self._locked + self._done, []
            self._done_since = now - _LINGER
            self._locked_tries += stopped

    def give_up_locked(self) -> list[WorkerMessage]:
        """Let go of what is handled and stays locked, when that was tried often enough."""
        if self._locked_tries < _LAST_TRIES:
            return []
        locked, self._locked = self._locked, []
        return locked

    def is_time_to_acknowledge(self) -> bool:
        """Tell whether acknowledgements have waited long enough for others to go with them."""
        lingered = time.monotonic() - self._done_since >= _LINGER
        return bool(self._done) and (lingered or not self.held)

    def take_done(self) -> list[WorkerMessage]:
        """Hand out what is to be acknowledged."""
        done, self._done = self._done, []
        return done

    def put_back_done(self, done: list[WorkerMessage]) -> None:
        """Take it back: acknowledging twice does no harm."""
        self._done = done + self._done

    def seconds_until_due(self) -> float | None:
        """Say how long acknowledgements may wait; None when there are none."""
        ends = []
        if self._done:
            ends.append(self._done_since + _LINGER)
        if self._locked:
            ends.append(self._locked_since + LOCKED)
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    def drop_lost(self, message: WorkerMessage, *, keep_begun: bool) -> bool:
        """Drop a message whose lease could not be extended; False when there is nothing to drop.

        keep_begun: what is being handled stays. It may just be committed, and otherwise its
        acknowledgement is refused.
        """
        if not self.holds(message):
            return False
        for unit in self.buffer:
            if message in unit:
                unit.remove(message)
                if not unit:
                    self.buffer.remove(unit)
                break
        else:
            if keep_begun:
                return False
        del self.held[_key(message)]
        return True


def _queue(message: WorkerMessage) -> str:
    return message.queue_name


def _key(message: WorkerMessage) -> tuple[str, int]:
    return message.queue_name, message.msg_id
