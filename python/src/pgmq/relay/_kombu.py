"""RabbitMQ, and whatever else kombu speaks: Redis, SQS and others."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from pgmq.relay._broker import (
    LONGEST_PATIENCE,
    NOT_ENCODABLE,
    PATIENCE,
    STEP,
    BrokerError,
    RefusedError,
    RelayError,
    first_line,
    load,
    still_wanted,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pgmq.relay._broker import Broker, Outgoing, Progress

__all__ = ["kombu_broker"]

_logger = logging.getLogger(__name__)

_PIECE = 65536  # bytes that are written at a time
_WRITTEN = 3.0  # seconds until RabbitMQ has on disk that a new queue is there


def kombu_broker(
    base: str, options: dict[str, str], queue: str, timeout: float, longest: float
) -> Broker:
    """Make the broker that a URL of kombu's names."""
    scheme = urlsplit(base).scheme.partition("+")[0]
    kombu = load("kombu", "relay")
    ours = {name: options.pop(name, "") for name in ("exchange", "routing_key", "queue")}
    if ours["queue"] and (ours["exchange"] or ours["routing_key"]):
        raise RelayError("queue is for messages without exchange and routing_key")
    target = _Target(ours["exchange"], ours["routing_key"] or ours["queue"] or queue)
    tls = {name: options.pop(name) for name in list(options) if name.startswith("ssl_")}
    try:
        connection = kombu.Connection(
            f"{base}?{urlencode(tls)}" if tls else base, connect_timeout=timeout, heartbeat=0
        )
        # Imports the driver.
        driver = connection.transport.driver_type
    except (KeyError, ValueError, ImportError) as error:
        raise RelayError(f"no broker for {scheme}://: {error}") from error
    if driver == "amqp":
        if options:
            raise RelayError(f"{scheme}:// has no option {', '.join(options)}")
        declared = ours["queue"] or ("" if ours["exchange"] or ours["routing_key"] else queue)
        return _RabbitMQ(connection, target, declared, timeout)
    if ours["exchange"]:
        raise RelayError(f"{scheme}:// has no exchanges: name a queue")
    connection.transport_options = {name: _value(text) for name, text in options.items()}
    return _Kombu(connection, target, timeout, longest)


@dataclass(frozen=True, slots=True)
class _Target:
    exchange: str
    routing_key: str


class _Kombu:
    """What kombu makes of a store: Redis, SQS and others; each message waits for its answer."""

    def __init__(self, connection: Any, target: _Target, timeout: float, longest: float) -> None:
        connection.transport_options = self._options(timeout) | connection.transport_options
        self._template = connection
        self._target = target
        self._timeout = timeout
        self._longest = longest
        self._usual = connection.transport_options.get("socket_timeout")
        self._unreachable = load("kombu.exceptions", "relay").OperationalError
        self._connection: Any = None
        self._producer: Any = None

    def __str__(self) -> str:
        return str(self._template.as_uri())

    def _options(self, timeout: float) -> dict[str, Any]:
        # For Redis; others leave them alone.
        return {"socket_timeout": timeout, "socket_connect_timeout": timeout}

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (*self._template.connection_errors, self._unreachable, OSError) as error:
            self.close()
            raise BrokerError(first_line(error)) from error

    def connect(self) -> None:
        if self._connection is not None:
            return
        with self._errors():
            self._connection = self._template.clone()
            try:
                # The other hosts of the URL at once, and no retries: the relay does those.
                self._connection.ensure_connection(
                    max_retries=max(1, len(self._connection.alt)), interval_start=0, interval_step=0
                )
                self._open()
            except self._template.channel_errors as error:
                self.close()
                raise BrokerError(first_line(error)) from error

    def _open(self) -> None:
        self._producer = self._connection.Producer()
        # A store without the queue would be no error to Redis, but is one to SQS.
        self._connection.SimpleQueue(self._target.routing_key).close()

    def send(self, messages: Sequence[Outgoing], progress: Progress) -> None:
        self.connect()
        for message in still_wanted(messages, progress):
            with self._errors():
                try:
                    self._publish(message)
                except self._template.connection_errors as error:
                    # Redis has a TimeoutError of its own.
                    if type(error).__name__ != "TimeoutError" or self._be_patient():
                        raise
                    # If it is there and has no time for this one alone, it is no outage.
                    self.close()
                    self.connect()
                    slow = f"{first_line(error)}, for as long as the lease allows"
                    progress.settled(message, slow)
                except Exception as error:
                    if _is_full(error):
                        raise BrokerError(first_line(error)) from error
                    progress.settled(message, first_line(error))
                else:
                    progress.settled(message)
                    # Or the next timeout, for whatever reason, would refuse a message.
                    self._template.transport_options["socket_timeout"] = self._usual

    def _be_patient(self) -> bool:
        """Leave more time for the next answer: what is large takes longer, and again is a copy.

        False when it is as much as may be.
        """
        options = self._template.transport_options
        before = options["socket_timeout"]
        options["socket_timeout"] = max(before, min(2 * before, self._longest))
        return bool(options["socket_timeout"] > before)

    def _publish(self, message: Outgoing) -> None:
        self._producer.publish(
            message.body,
            exchange=self._target.exchange,
            routing_key=message.routing_key or self._target.routing_key,
            headers=dict(message.headers),
            message_id=message.message_id,
            timestamp=int(message.enqueued_at.timestamp()),
            content_type="application/json",
            content_encoding="utf-8",
            delivery_mode="persistent",
            mandatory=True,
        )

    def close(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            # Closing what is broken says so once more.
            with contextlib.suppress(Exception):
                connection.close()


# Reply codes of closed connections that the frames of a message were the reason for: frame error,
# syntax error, command invalid, unexpected frame, not implemented.
_OF_A_MESSAGE = {501, 502, 503, 505, 540}


class _RabbitMQ(_Kombu):
    """AMQP 0-9-1 with publisher confirms: a batch is sent, then its confirmations are awaited."""

    def __init__(self, connection: Any, target: _Target, declared: str, timeout: float) -> None:
        super().__init__(connection, target, timeout, timeout)
        self._declared = declared
        self._patience = PATIENCE
        self._blocked: str | None = None
        self._written_at = 0.0  # when the queue that was made here is on RabbitMQ's disk

    def _options(self, timeout: float) -> dict[str, Any]:
        return {
            "read_timeout": timeout,
            "write_timeout": timeout,
            "on_blocked": self._on_blocked,
            "on_unblocked": self._on_unblocked,
        }

    def _open(self) -> None:
        self._blocked = None
        channel = self._connection.default_channel
        if self._target.exchange:
            channel.exchange_declare(self._target.exchange, "", passive=True)
        elif self._declared:
            # One that is there stays as it is, a quorum queue for example.
            try:
                channel.queue_declare(self._declared, passive=True)
            except load("amqp", "relay").NotFound:
                channel = self._connection.channel()
                channel.queue_declare(self._declared, durable=True, auto_delete=False)
                self._written_at = time.monotonic() + _WRITTEN
        channel.confirm_select()
        channel.events["basic_ack"].add(self._on_ack)
        channel.events["basic_nack"].add(self._on_nack)
        channel.events["basic_return"].add(self._on_return)
        self._producer = self._connection.Producer(channel)
        self._tag = 0
        self._open_tags: dict[int, Outgoing] = {}
        self._returned: dict[str, str] = {}
        self._homeless: set[str] = set()  # by message_id: what the declared queue was not there for

    def send(self, messages: Sequence[Outgoing], progress: Progress) -> None:
        amqp = load("amqp", "relay")
        self.connect()
        self._await_queue(progress)
        self._returned.clear()
        self._homeless.clear()
        self._progress = progress
        with self._errors():
            try:
                with self._gathered():
                    for message in still_wanted(messages, progress):
                        self._send(message)
                        if self._blocked is not None:
                            self._await(progress)
                self._await(progress)
                if self._homeless:
                    raise ConnectionError(f"queue {self._declared!r} is gone")
            except amqp.AMQPError as error:
                # The channel or the connection is closed, and with it what was known about others.
                self.close()
                if isinstance(error, amqp.ChannelError) or error.reply_code in _OF_A_MESSAGE:
                    if len(messages) > 1:
                        raise RefusedError from error
                    progress.settled(messages[0], first_line(error))
                    return
                raise BrokerError(first_line(error)) from error
            except AttributeError as error:
                # py-amqp raises it too when the connection is gone.
                self.close()
                raise BrokerError(first_line(error)) from error

    @contextlib.contextmanager
    def _gathered(self) -> Iterator[None]:
        """Write in large pieces: a system call for each message costs as much as all the rest.

        What the broker says is not heard meanwhile. A broker that is blocked has each message
        written, and waited for.
        """
        transport = self._connection.connection.transport
        if self._blocked is not None or not hasattr(transport, "_write"):
            yield
            return
        write, piece = transport._write, bytearray()

        def gather(part: bytes) -> None:
            nonlocal piece
            piece += part
            if len(piece) > _PIECE:
                full, piece = piece, bytearray()
                write(full)

        transport._write = gather
        try:
            yield
        finally:
            transport._write = write
        write(piece)

    def _await_queue(self, progress: Progress) -> None:
        """Wait until a queue that was made here outlives a crash of the broker.

        Mnesia, where RabbitMQ notes its queues, may keep the last word of a transaction in memory
        for two seconds after it is over. A broker that is killed before that comes back without the
        queue, a quorum queue too, and without the messages in it that were confirmed.
        """
        while time.monotonic() < self._written_at and progress.patient():
            time.sleep(0.1)
            progress.pause()

    def _await(self, progress: Progress) -> None:
        """Wait for confirmations, as long as they come, or the broker says that it is blocked."""
        begin = time.monotonic()
        while self._open_tags:
            number = len(self._open_tags)
            self._drain(STEP)
            progress.pause()
            patient = progress.patient()
            waited = time.monotonic() - begin
            if len(self._open_tags) < number:
                # As long as one that is twice as slow would take.
                self._patience = max(PATIENCE, min(2 * waited, LONGEST_PATIENCE))
                begin = time.monotonic()
            elif self._blocked and patient:
                begin = time.monotonic()
            elif waited > (self._patience if patient else self._timeout):
                self._patience = min(2 * self._patience, LONGEST_PATIENCE)
                raise TimeoutError(self._blocked or "no confirmation")

    def _drain(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            self._connection.drain_events(timeout=seconds)

    def _on_blocked(self, reason: str) -> None:
        """Hear that the broker has no memory or disk left, and reads no more for now.

        What is sent stays in buffers: sent again on another connection, it would arrive twice.
        """
        self._blocked = f"it takes no messages: {reason}"
        _logger.warning("%s: %s", self, self._blocked)

    def _on_unblocked(self) -> None:
        self._blocked = None

    def _send(self, message: Outgoing) -> None:
        self._tag += 1
        self._open_tags[self._tag] = message
        try:
            self._check_size(message)
            self._publish(message)
        except (load("amqp", "relay").FrameSyntaxError, *NOT_ENCODABLE) as error:
            # Nothing was sent, so the number was not used.
            del self._open_tags[self._tag]
            self._tag -= 1
            self._progress.settled(message, first_line(error))

    def _check_size(self, message: Outgoing) -> None:
        """Refuse headers that do not fit into a frame: the broker would close the connection."""
        size = len(json.dumps(dict(message.headers), ensure_ascii=False).encode())
        largest = self._connection.connection.frame_max or size
        # What else a frame holds, and AMQP's encoding may be a bit longer than JSON.
        if size > largest - 1024:
            raise ValueError(f"headers of {size} bytes do not fit into a frame of {largest}")

    def _on_ack(self, tag: int, multiple: bool) -> None:
        self._settle(tag, multiple, None)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        self._settle(tag, multiple, "the broker did not take it (basic.nack)")

    def _settle(self, tag: int, multiple: bool, reason: str | None) -> None:
        tags = [each for each in self._open_tags if each <= tag] if multiple else [tag]
        for each in tags:
            message = self._open_tags.pop(each, None)
            if message and message.message_id not in self._homeless:
                self._progress.settled(message, reason or self._returned.get(message.message_id))

    def _on_return(self, error: Any, exchange: str, routing_key: str, message: Any) -> None:
        # Comes before the acknowledgement of the same message.
        message_id = message.properties["message_id"]
        if self._declared and (exchange, routing_key) == ("", self._declared):
            # Deleted, or its node is down: another connection declares it, or waits for it.
            self._homeless.add(message_id)
        else:
            self._returned[message_id] = (
                f"no queue for routing key {routing_key!r} at exchange {exchange!r}"
            )


def _is_full(error: Exception) -> bool:
    """Tell whether Redis has an error that concerns all messages: no memory, a replica, and so on.

    These have a code in capitals, which the driver makes a class of where it knows it.
    """
    if not type(error).__module__.startswith("redis."):
        return False
    kind, code = type(error).__name__, str(error).partition(" ")[0]
    if kind == "ResponseError":
        return code.isupper() and code not in {"ERR", "WRONGTYPE", "NOPERM"}
    return kind in {"OutOfMemoryError", "ReadOnlyError", "ClusterDownError", "MasterDownError"}


def _value(text: str) -> Any:
    """Read an option of a URL: kombu wants its numbers as numbers."""
    with contextlib.suppress(ValueError):
        value = json.loads(text)
        if isinstance(value, int | float):  # true and false, too
            return value
    return text
