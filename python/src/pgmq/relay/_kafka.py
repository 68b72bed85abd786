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

# Errors, of librdkafka itself (with _) and of brokers, that are no message's fault, even when
# others of the batch have arrived: an outage may begin in the middle of it.
_OUTAGE = {
    "_ALL_BROKERS_DOWN",
    "_FATAL",
    "_MSG_TIMED_OUT",
    "_PURGE_INFLIGHT",
    "_PURGE_QUEUE",
    "_TIMED_OUT",
    "_TIMED_OUT_QUEUE",
    "_TRANSPORT",
    "CLUSTER_AUTHORIZATION_FAILED",
    "INVALID_PRODUCER_EPOCH",
    "KAFKA_STORAGE_ERROR",
    "LEADER_NOT_AVAILABLE",
    "NETWORK_EXCEPTION",
    "NOT_ENOUGH_REPLICAS",
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
    "NOT_LEADER_FOR_PARTITION",
    "OUT_OF_ORDER_SEQUENCE_NUMBER",
    "REQUEST_TIMED_OUT",
    "UNKNOWN_PRODUCER_ID",
}
_NO_TOPIC = {"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC"}


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

        def delivered(message: Outgoing, error: Any) -> None:
            waiting.discard(message.msg_id)
            if error is None:
                progress.settled(message)
            else:
                failed.append((message, error))

        for message in still_wanted(messages, progress):
            waiting.add(message.msg_id)
            try:
                self._produce(message, delivered)
            except NOT_ENCODABLE as error:
                waiting.discard(message.msg_id)
                progress.settled(message, first_line(error))
            except self._kafka.KafkaException as error:
                delivered(message, error.args[0])
        # The producer gives up what is not confirmed in time.
        deadline = time.monotonic() + self._timeout
        while self._producer.flush(min(self._timeout, STEP)):
            progress.pause()
            if not progress.patient() and time.monotonic() > deadline:
                break
        lost = [problem.str() for message, problem in failed if _is_outage(message, problem)]
        if waiting:
            lost.append("no confirmation")
        if lost:
            # What is still on its way comes to delivered() as purged.
            self.close()
        for message, problem in failed:
            if not _is_outage(message, problem):
                progress.settled(message, problem.str())
        if lost:
            raise BrokerError(lost[0])

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
                    self.close()  # or what is in it would be sent twice
                    raise BrokerError(first_line(error)) from error
                self._producer.poll(0.1)
            else:
                return

    def close(self) -> None:
        if self._producer is not None:
            self._producer.purge()
            self._producer.flush(0)
            self._producer = None


def _is_outage(message: Outgoing, error: Any) -> bool:
    """Tell an outage from a refusal; the topic in the URL is waited for."""
    name = error.name()
    return name in _OUTAGE or (name in _NO_TOPIC and not message.routing_key)
