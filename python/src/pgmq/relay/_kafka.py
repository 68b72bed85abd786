"""Kafka, and what speaks its protocol."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pgmq.relay._broker import (
    NOT_ENCODABLE,
    PATIENCE,
    STEP,
    BrokerError,
    RelayError,
    first_line,
    header,
    load,
    still_wanted,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pgmq.relay._broker import Outgoing, Progress

__all__ = ["Kafka"]


class Kafka:
    """Kafka by librdkafka: the group is the key, so that it stays in one partition."""

    def __init__(self, base: str, options: dict[str, str], queue: str, timeout: float) -> None:
        self._kafka = load("confluent_kafka", "kafka")
        self._servers = urlsplit(base).netloc
        if not self._servers:
            raise RelayError("kafka:// needs a server: kafka://HOST:9092")
        self._topic = options.pop("topic", queue)
        self._timeout = timeout
        self._producer: Any = None
        self._config = {
            "client.id": "pgmq-relay",
            "message.timeout.ms": int(PATIENCE * 1000),
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

        for message in still_wanted(messages, progress):
            waiting.add(message.msg_id)
            try:
                self._produce(message, delivered)
            except (*NOT_ENCODABLE, self._kafka.KafkaException) as error:
                waiting.discard(message.msg_id)
                progress.settled(message, first_line(error))
        # The producer gives up what is not confirmed in time.
        deadline = time.monotonic() + self._timeout
        while self._producer.flush(min(self._timeout, STEP)):
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
                    headers=[
                        (key, header(value).encode()) for key, value in message.headers.items()
                    ],
                    timestamp=int(message.enqueued_at.timestamp() * 1000),
                    on_delivery=lambda error, _: delivered(message, error),
                )
            except BufferError as error:  # noqa: PERF203, librdkafka's own queue is full
                if time.monotonic() > deadline:
                    raise BrokerError(first_line(error)) from error
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
