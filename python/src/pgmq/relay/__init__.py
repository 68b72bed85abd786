"""The way out to another broker: forward a queue, the transactional outbox, message by message.

At least once, and in the order of each group. The message itself decides when it is forwarded: it
is sent by the transaction that makes it true, and acknowledged when the broker has confirmed it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from psycopg.errors import LockNotAvailable

from pgmq._session import Session, StoppedError
from pgmq._statements import leases
from pgmq._wire import backoff
from pgmq.relay._brokers import BrokerError, Outgoing, RefusedError, RelayError, broker

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgmq.messages import Message

__all__ = ["Relay", "RelayError"]

GROUP = "x-pgmq-group"
ROUTING_KEY = "x-pgmq-routing-key"
MESSAGE_ID = "x-pgmq-message-id"
_LONGEST_REFUSAL = 60.0  # seconds until a refused message is tried again, at most
_LOCKED = 2.0  # seconds until a message that somebody else has locked is tried again

_logger = logging.getLogger(__name__)


class Relay:
    """Forwards a queue to the broker that a URL names, until stop() is called.

    `batch` messages are leased at a time, for `vt` seconds; the leases are extended while the
    broker is not to be had, so that an outage costs no receipt. Where the queue has no wake-ups,
    an empty one is looked at every `poll` seconds.

    >>> relay = Relay(dsn, "orders", "memory://?queue=orders")
    >>> relay.run(until_empty=True)
    2
    """

    def __init__(
        self,
        dsn: str,
        queue: str,
        url: str,
        *,
        batch: int = 100,
        vt: int = 30,
        poll: float = 1.0,
    ) -> None:
        self._dsn = dsn
        self._queue = queue
        self._batch = batch
        self._vt = vt
        self._poll = poll
        self._stop = threading.Event()
        # A send that takes its whole time must not outlive the lease.
        self._broker = broker(url, queue, min(5.0, vt / 6))
        self._session: Session
        self._in_hand: dict[int, Outgoing] = {}
        self._settled: list[tuple[Outgoing, str | None]] = []
        self._locked: list[Outgoing] = []  # arrived, and to be acknowledged when that is possible
        self._locked_at = 0.0
        self._leased_at = 0.0
        self._forwarded = 0

    def stop(self) -> None:
        """Have run() finish what is in hand, give the rest back, and return."""
        self._stop.set()

    def run(self, *, until_empty: bool = False) -> int:
        """Forward messages, and return how many; with until_empty, until none is to be had.

        Comes back to Postgres and to the broker by itself, after 0.1 s to 30 s. Raises psycopg's
        errors when Postgres is not there at the start, or refuses what is asked of it.
        """
        _logger.info("from queue %s to %s", self._queue, self._broker)
        try:
            with Session(self._dsn, name="pgmq relay", stop=self._stop) as self._session:
                self._session.check(self._queue)
                while not self._stop.is_set():
                    self._flush()
                    messages = (
                        self._read()
                        if until_empty
                        else self._session.next_batch(self._queue, self._read, self._poll)
                    )
                    if messages:
                        self._forward(messages)
                    elif until_empty:
                        break
                self._locked_at = 0.0
                self._flush()
        except StoppedError:
            pass
        finally:
            self._broker.close()
            _logger.info("forwarded %d messages", self._forwarded)
        return self._forwarded

    def _read(self) -> list[Message]:
        """Lease what may be on its way at the same time.

        That is what has no group, and of each group the first message: the next one follows when
        this one can no longer be refused.
        """
        self._leased_at = time.monotonic()
        ungrouped = self._session.read_group(self._queue, None, self._vt, self._batch)
        return ungrouped + self._session.read_grouped_head(self._queue, self._vt, self._batch)

    def _forward(self, messages: list[Message]) -> None:
        self._in_hand = {}
        for message in messages:
            outgoing, reason = self._outgoing(message)
            self._in_hand[message.msg_id] = outgoing
            if reason is not None:
                self.settled(outgoing, reason)
        try:
            self._send(list(self._in_hand.values()))
        finally:
            if self._stop.is_set():
                self._give_back()

    def _send(self, messages: list[Outgoing]) -> None:
        """Send until the broker has taken or refused every message."""
        attempt = 0
        while messages := self._left(messages):
            try:
                self._broker.send(messages, self)
            except RefusedError:
                for message in self._left(messages):
                    self._send([message])
            except BrokerError as error:
                self._flush()
                attempt += 1
                delay = backoff(attempt, min(30.0, self._vt / 3))
                _logger.warning("%s: %s; again in %.1f s", self._broker, error, delay)
                if self._stop.wait(delay):
                    raise StoppedError from error
                continue
            self._flush()
            if attempt:
                _logger.info("%s is back", self._broker)
            return

    def _left(self, messages: list[Outgoing]) -> list[Outgoing]:
        self._flush()
        self._keep()
        return [message for message in messages if self.wanted(message)]

    # What the broker says (its Progress)

    def wanted(self, message: Outgoing) -> bool:
        """Say whether a message is still ours to send."""
        return message.msg_id in self._in_hand and not self._stop.is_set()

    def patient(self) -> bool:
        """Say whether there is time to wait for a broker that is slow."""
        return not self._stop.is_set()

    def settled(self, message: Outgoing, reason: str | None = None) -> None:
        """Note that a message has arrived, or why it was refused."""
        self._settled.append((message, reason))

    def pause(self) -> None:
        """Acknowledge what has arrived, and keep the rest, when it is time to."""
        if time.monotonic() - self._leased_at > self._vt / 6:
            self._flush()
            self._keep()

    def _keep(self) -> None:
        """Extend the leases of all in hand when it is time to."""
        now = time.monotonic()
        if self._in_hand and now - self._leased_at > self._vt / 6:
            kept, locked = self._unless_locked(
                list(self._in_hand.values()),
                lambda ids, cts: self._session.extend_batch(self._queue, ids, cts, self._vt),
            )
            self._leased_at = now
            # Somebody else may be sending what is lost.
            ours = {*kept, *(message.msg_id for message in locked)}
            self._in_hand = {key: each for key, each in self._in_hand.items() if key in ours}

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

    def _flush(self) -> None:
        """Acknowledge what the broker has taken, and return what it has refused."""
        settled, self._settled = self._settled, []
        taken = [message for message, reason in settled if reason is None]
        self._forwarded += len(taken)
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
            self._in_hand.pop(message.msg_id, None)
            if reason is not None:
                self._return(message, reason)

    def _return(self, message: Outgoing, reason: str) -> None:
        delay = min(_LONGEST_REFUSAL, 2.0 ** min(message.read_ct - 1, 30))
        _logger.warning("%s refused %s: %s", self._broker, message.message_id, reason)
        # If it is locked, its lease has to end.
        with contextlib.suppress(LockNotAvailable), self._session.impatient():
            self._session.nack(self._queue, message.msg_id, message.read_ct, int(delay), reason)

    def _give_back(self) -> None:
        if self._in_hand:
            self._unless_locked(
                list(self._in_hand.values()),
                lambda ids, cts: self._session.nack_batch(self._queue, ids, cts, 0),
            )
            self._in_hand.clear()

    def _outgoing(self, message: Message) -> tuple[Outgoing, str | None]:
        """Make a message ready to be sent, or say why it cannot be."""
        reason = None
        headers: Any = None
        try:
            headers = json.loads(message.headers or "null")
        except (ValueError, RecursionError) as error:
            reason = f"Python cannot decode the headers: {error}"
        headers = headers if isinstance(headers, dict) else {}
        message_id = f"{self._queue}/{message.msg_id}"
        outgoing = Outgoing(
            message.msg_id,
            message.read_ct,
            message_id,
            message.message or "null",
            headers | {MESSAGE_ID: message_id},
            _word(headers.get(GROUP)),
            _word(headers.get(ROUTING_KEY)),
            message.enqueued_at,
        )
        return outgoing, reason


def _word(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)
