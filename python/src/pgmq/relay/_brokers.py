"""The brokers that a relay can send to: RabbitMQ, whatever else kombu speaks, and Kafka."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

__all__ = ["Broker", "BrokerError", "Outgoing", "Progress", "RefusedError", "RelayError", "broker"]

_logger = logging.getLogger(__name__)

# What a driver raises before it sends anything, for a header that the protocol cannot carry.
_NOT_ENCODABLE = (TypeError, ValueError, OverflowError, struct.error)
_PIECE = 65536  # bytes that are written at a time
_STEP = 0.5  # seconds without a word to the relay
_PATIENCE = 15.0  # seconds to wait for a confirmation, at least: sending again makes a copy
_LONGEST_PATIENCE = 600.0
_WRITTEN = 3.0  # seconds until RabbitMQ has on disk that a new queue is there


class RelayError(Exception):
    """Raised for what waiting cannot mend: an unknown broker, an option it does not have."""


class BrokerError(Exception):
    """Raised when the broker cannot be reached, or its answer does not come."""


class RefusedError(Exception):
    """Raised when the broker refused one of several messages without saying which."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way out."""

    msg_id: int
    read_ct: int
    message_id: str
    body: str
    headers: Mapping[str, Any]
    group: str | None
    routing_key: str | None
    enqueued_at: datetime


class Progress(Protocol):
    """Who has messages sent."""

    def wanted(self, message: Outgoing) -> bool:
        """Say whether a message is still to be sent."""

    def settled(self, message: Outgoing, reason: str | None = None) -> None:
        """Hear that a message has arrived, or why it was refused."""

    def pause(self) -> None:
        """Be given a moment, to keep what is in hand."""

    def patient(self) -> bool:
        """Say whether there is time to wait for a broker that is slow."""


class Broker(Protocol):
    """Where messages go."""

    def __str__(self) -> str:
        """Name it, without a password."""
        ...

    def connect(self) -> None:
        """Open a connection unless there is one; raises BrokerError."""

    def send(self, messages: Sequence[Outgoing], progress: Progress) -> None:
        """Send, and return when all are settled.

        Raises BrokerError when it is not known what arrived of those that are not, RefusedError
        when one of several was refused: then each has to be sent by itself.
        """

    def close(self) -> None:
        """Close the connection, whatever state it is in."""


def broker(url: str, queue: str, timeout: float, longest: float) -> Broker:
    """Make the broker that a URL names; timeout is for connecting and for each confirmation.

    What takes longer is given up to `longest` seconds.
    """
    base, _, query = url.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    scheme = urlsplit(base).scheme.partition("+")[0]
    if not scheme:
        raise RelayError("the URL has no scheme such as amqp://, redis:// or kafka://")
    if scheme == "kafka":
        return _Kafka(base, options, queue, timeout)
    kombu = _load("kombu", "relay")
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


def _load(module: str, extra: str) -> Any:
    """Import a driver; Any, since not all are typed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise RelayError(f"{module} is missing: pip install 'pgmq[{extra}]'") from error


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
        self._unreachable = _load("kombu.exceptions", "relay").OperationalError
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
            raise BrokerError(_reason(error)) from error

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
                raise BrokerError(_reason(error)) from error

    def _open(self) -> None:
        self._producer = self._connection.Producer()
        # A store without the queue would be no error to Redis, but is one to SQS.
        self._connection.SimpleQueue(self._target.routing_key).close()

    def send(self, messages: Sequence[Outgoing], progress: Progress) -> None:
        self.connect()
        for message in messages:
            progress.pause()
            if not progress.wanted(message):
                continue
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
                    progress.settled(message, f"{_reason(error)}, for as long as the lease allows")
                except Exception as error:
                    if _is_full(error):
                        raise BrokerError(_reason(error)) from error
                    progress.settled(message, _reason(error))
                else:
                    progress.settled(message)

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
        self._patience = _PATIENCE
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
            except _load("amqp", "relay").NotFound:
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

    def send(self, messages: Sequence[Outgoing], progress: Progress) -> None:
        amqp = _load("amqp", "relay")
        self.connect()
        self._await_queue(progress)
        self._returned.clear()
        self._progress = progress
        with self._errors():
            try:
                with self._gathered():
                    for message in messages:
                        progress.pause()
                        if progress.wanted(message):
                            self._send(message)
                        if self._blocked is not None:
                            self._await(progress)
                self._await(progress)
            except amqp.AMQPError as error:
                # The channel or the connection is closed, and with it what was known about others.
                self.close()
                if isinstance(error, amqp.ChannelError) or error.reply_code in _OF_A_MESSAGE:
                    if len(messages) > 1:
                        raise RefusedError from error
                    progress.settled(messages[0], _reason(error))
                    return
                raise BrokerError(_reason(error)) from error
            except AttributeError as error:
                # py-amqp raises it too when the connection is gone.
                self.close()
                raise BrokerError(_reason(error)) from error

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
            self._drain(_STEP)
            progress.pause()
            patient = progress.patient()
            waited = time.monotonic() - begin
            if len(self._open_tags) < number:
                # As long as one that is twice as slow would take.
                self._patience = max(_PATIENCE, min(2 * waited, _LONGEST_PATIENCE))
                begin = time.monotonic()
            elif self._blocked and patient:
                begin = time.monotonic()
            elif waited > (self._patience if patient else self._timeout):
                self._patience = min(2 * self._patience, _LONGEST_PATIENCE)
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
        except (_load("amqp", "relay").FrameSyntaxError, *_NOT_ENCODABLE) as error:
            # Nothing was sent, so the number was not used.
            del self._open_tags[self._tag]
            self._tag -= 1
            self._progress.settled(message, _reason(error))

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
            if message:
                self._progress.settled(message, reason or self._returned.get(message.message_id))

    def _on_return(self, error: Any, exchange: str, routing_key: str, message: Any) -> None:
        # Comes before the acknowledgement of the same message.
        self._returned[message.properties["message_id"]] = (
            f"no queue for routing key {routing_key!r} at exchange {exchange!r}"
        )


class _Kafka:
    """Kafka by librdkafka: the group is the key, so that it stays in one partition."""

    def __init__(self, base: str, options: dict[str, str], queue: str, timeout: float) -> None:
        self._kafka = _load("confluent_kafka", "kafka")
        self._servers = urlsplit(base).netloc
        if not self._servers:
            raise RelayError("kafka:// needs a server: kafka://HOST:9092")
        self._topic = options.pop("topic", queue)
        self._timeout = timeout
        self._producer: Any = None
        self._config = {
            "client.id": "pgmq-relay",
            "message.timeout.ms": int(_PATIENCE * 1000),
            **options,
            "bootstrap.servers": self._servers,
            "enable.idempotence": True,  # with it acks=all, and no order is lost in retries
        }
        try:
            self._kafka.Producer(self._config)
        except self._kafka.KafkaException as error:
            raise RelayError(f"Kafka: {error.args[0].str()}") from error

    def __str__(self) -> str:
        return f"kafka://{self._servers}/{self._topic}"

    def connect(self) -> None:
        if self._producer is not None:
            return
        producer = self._kafka.Producer(self._config)
        try:
            producer.list_topics(timeout=self._timeout)
        except self._kafka.KafkaException as error:
            raise BrokerError(error.args[0].str()) from error
        self._producer = producer

    def send(self, messages: Sequence[Outgoing], progress: Progress) -> None:
        self.connect()
        waiting: set[int] = set()
        failed: list[tuple[Outgoing, Any]] = []
        arrived = False

        def delivered(message: Outgoing, error: Any) -> None:
            nonlocal arrived
            waiting.discard(message.msg_id)
            if error is None:
                arrived = True
                progress.settled(message)
            else:
                failed.append((message, error))

        for message in messages:
            progress.pause()
            if not progress.wanted(message):
                continue
            waiting.add(message.msg_id)
            try:
                self._produce(message, delivered)
            except (*_NOT_ENCODABLE, self._kafka.KafkaException) as error:
                waiting.discard(message.msg_id)
                progress.settled(message, _reason(error))
        # The producer gives up what is not confirmed in time.
        deadline = time.monotonic() + self._timeout
        while self._producer.flush(min(self._timeout, _STEP)):
            progress.pause()
            if not progress.patient() and time.monotonic() > deadline:
                break
        # What one topic or partition cannot take must not keep the others waiting.
        lost = [error for _, error in failed if self._unreachable(error, arrived)]
        if waiting or lost:
            self.close()
        for message, problem in failed:
            if problem not in lost:
                progress.settled(message, problem.str())
        if waiting or lost:
            raise BrokerError(lost[0].str() if lost else "no confirmation")

    def _produce(self, message: Outgoing, delivered: Callable[[Outgoing, Any], None]) -> None:
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                self._producer.produce(
                    message.routing_key or self._topic,
                    message.body.encode(),
                    message.group,
                    headers=[(key, _header(value)) for key, value in message.headers.items()],
                    timestamp=int(message.enqueued_at.timestamp() * 1000),
                    on_delivery=lambda error, _: delivered(message, error),
                )
            except BufferError as error:  # noqa: PERF203, librdkafka's own queue is full
                if time.monotonic() > deadline:
                    raise BrokerError(_reason(error)) from error
                self._producer.poll(0.1)
            else:
                return

    def _unreachable(self, error: Any, arrived: bool) -> bool:
        """Tell an outage from what is wrong with one message, or with where it goes."""
        codes = self._kafka.KafkaError
        if error.fatal():
            return True
        if arrived or error.code() in (codes.UNKNOWN_TOPIC_OR_PART, codes.MSG_SIZE_TOO_LARGE):
            return False
        local = (codes._MSG_TIMED_OUT, codes._TIMED_OUT, codes._TRANSPORT, codes._ALL_BROKERS_DOWN)
        return bool(error.code() in local or error.retriable())

    def close(self) -> None:
        if self._producer is not None:
            self._producer.purge()
            self._producer.flush(0)
            self._producer = None


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


def _header(value: Any) -> bytes:
    return (value if isinstance(value, str) else json.dumps(value)).encode()


def _reason(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
