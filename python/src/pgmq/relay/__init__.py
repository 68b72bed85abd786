"""The way out to another broker: forward a queue, the transactional outbox, message by message.

At least once, and in the order of each group. The message itself decides when it is forwarded: it
is sent by the transaction that makes it true, and acknowledged when the broker has confirmed it.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from pgmq import _observing as observing
from pgmq._session import Session, StoppedError
from pgmq._wire import backoff
from pgmq.messages import Message
from pgmq.relay._broker import BrokerError, Outgoing, RefusedError, RelayError
from pgmq.relay._brokers import broker
from pgmq.relay._leases import GroupLease, QueueLeases

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgmq.messages import StreamMessage
    from pgmq.relay._leases import Leases

__all__ = ["Relay", "RelayError"]

GROUP = "x-pgmq-group"
ROUTING_KEY = "x-pgmq-routing-key"
MESSAGE_ID = "x-pgmq-message-id"

_logger = logging.getLogger(__name__)


class Relay:
    """Forwards a queue to the broker that a URL names, until stop() is called.

    `batch` messages are leased at a time, for `vt` seconds; the leases are extended while the
    broker is not to be had, so that an outage costs no receipt. Where the queue has no wake-ups,
    an empty one is looked at every `poll` seconds. With `group` the queue is a stream, forwarded as
    this group, 1,000 messages of a lane at a time, unless `batch` says otherwise.

    >>> relay = Relay(dsn, "orders", "memory://?queue=orders")
    >>> relay.run(until_empty=True)
    2
    """

    def __init__(
        self,
        dsn: str | None,
        queue: str,
        url: str,
        *,
        group: str | None = None,
        batch: int | None = None,
        vt: int = 30,
        poll: float = 1.0,
    ) -> None:
        self._dsn = dsn
        self._queue = queue
        self._group = group
        self._batch = batch or (100 if group is None else 1000)
        self._vt = vt
        self._poll = poll
        self._stop = threading.Event()
        # A send that takes its whole time must not outlive the lease.
        self._broker = broker(url, queue, min(5.0, vt / 6), 2 * vt / 3)
        self._leases: Leases
        self._settled: list[tuple[Outgoing, str | None]] = []
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
            with Session(self._dsn, name="pgmq relay", stop=self._stop) as session:
                self._leases = (
                    QueueLeases(session, self._queue, self._batch, self._vt)
                    if self._group is None
                    else GroupLease(session, self._queue, self._group, self._batch, self._vt)
                )
                self._leases.check()
                while not self._stop.is_set():
                    self._flush()
                    messages = (
                        self._read()
                        if until_empty
                        else session.next_batch([self._queue], self._read, self._poll)
                    )
                    if messages:
                        self._forward(messages)
                    elif until_empty:
                        break
                self._flush()
                self._leases.end()
        except StoppedError:
            pass
        finally:
            self._broker.close()
            _logger.info("forwarded %d messages", self._forwarded)
        return self._forwarded

    def _read(self) -> Sequence[Message | StreamMessage]:
        self._leased_at = time.monotonic()
        return self._leases.read()

    def _forward(self, messages: Sequence[Message | StreamMessage]) -> None:
        ready = [self._outgoing(message) for message in messages]
        self._leases.hold(outgoing for outgoing, _ in ready)
        for outgoing, reason in ready:
            if reason is not None:
                self.settled(outgoing, reason)
        try:
            with observing.handling(self._queue, self._group, messages):
                self._send(list(self._leases.in_hand.values()))
        finally:
            if self._stop.is_set():
                self._leases.give_back()

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
        return message.msg_id in self._leases.in_hand and not self._stop.is_set()

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
        if self._leases.in_hand and now - self._leased_at > self._vt / 6:
            self._leases.keep()
            self._leased_at = now

    def _flush(self) -> None:
        """Acknowledge what the broker has taken, and return what it has refused."""
        settled, self._settled = self._settled, []
        for message, reason in settled:
            if reason is None:
                self._forwarded += 1
            else:
                _logger.warning("%s refused %s: %s", self._broker, message.message_id, reason)
        self._leases.settle(settled)

    def _outgoing(self, message: Message | StreamMessage) -> tuple[Outgoing, str | None]:
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
            message.read_ct if isinstance(message, Message) else message.delivery_ct,
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
