"""The relay to Kafka: librdkafka's mock, and a broker of another kind that speaks its protocol."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest

from pgmq.relay import Relay
from support.brokers import Tansu, free_ports
from support.relays import running
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import psycopg

pytestmark = pytest.mark.once

kafka: Any = pytest.importorskip(
    "confluent_kafka", reason="confluent-kafka is missing: pip install 'pgmq[kafka]'"
)


@contextlib.contextmanager
def _mock(folder: Path) -> Iterator[str]:
    producer = kafka.Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1})
    [address] = producer.list_topics().brokers.values()
    yield f"{address.host}:{address.port}"


@contextlib.contextmanager
def _tansu(folder: Path) -> Iterator[str]:
    broker = Tansu(folder)
    broker.start()
    try:
        yield broker.address
    finally:
        broker.kill()


def _messages(address: str, topic: str) -> list[Any]:
    """Return all that is in a topic, partition by partition."""
    consumer = kafka.Consumer(
        {"bootstrap.servers": address, "group.id": "test", "enable.partition.eof": True}
    )
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    found: list[Any] = []
    for number in partitions:
        consumer.assign([kafka.TopicPartition(topic, number, 0)])
        while (message := consumer.poll(10)) is not None and message.error() is None:
            found.append(message)
        assert message is not None
        assert message.error().code() == kafka.KafkaError._PARTITION_EOF
    consumer.close()
    return found


@pytest.mark.parametrize("broker", [_mock, _tansu])
def test_kafka_has_a_group_in_its_order_under_its_key(
    db: psycopg.Connection, dsn: str, tmp_path: Path, broker: Any
) -> None:
    db.execute("SELECT pgmq.create('orders')")
    for number in range(20):
        db.execute(
            "SELECT pgmq.send('orders', %s::text::jsonb, %s::jsonb)",
            [str(number), json.dumps({"x-pgmq-group": f"g{number % 2}", "n": number})],
        )
    with broker(tmp_path) as address:
        assert Relay(dsn, "orders", f"kafka://{address}/?topic=out").run(until_empty=True) == 20
        got = _messages(address, "out")
    assert db.execute("SELECT count(*) FROM pgmq.q_orders").fetchone() == (0,)
    for group in (0, 1):
        values = [int(m.value()) for m in got if m.key() == f"g{group}".encode()]
        assert values == list(range(group, 20, 2))
    assert dict(got[0].headers())["x-pgmq-message-id"].startswith(b"orders/")


def test_a_kafka_that_is_killed_under_load_gets_what_it_has_not_confirmed_when_it_is_back(
    db: psycopg.Connection, dsn: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The broker keeps all in memory, so that what it has confirmed is gone with it."""
    total = 20_000
    db.execute("SELECT pgmq.create('orders')")
    db.execute(
        "SELECT pgmq.send_batch('orders', ARRAY(SELECT to_jsonb(n) FROM generate_series(1, %s) n))",
        [total],
    )
    query = "SELECT message FROM pgmq.q_orders"
    broker = Tansu(tmp_path)
    broker.start()
    # It gives up soon what is not confirmed.
    url = f"kafka://{broker.address}/?topic=out&message.timeout.ms=2000"
    relay = Relay(dsn, "orders", url)
    thread = threading.Thread(target=relay.run, kwargs={"until_empty": True})
    try:
        with caplog.at_level(logging.WARNING, "pgmq.relay"):
            thread.start()
            until(lambda: len(db.execute(query).fetchall()) < total - 1000)
            broker.kill()
            until(lambda: "again in" in caplog.text)
        left = {number for (number,) in db.execute(query)}
        assert left
        broker.start()
        thread.join(60)
        assert not thread.is_alive()
        assert db.execute(query).fetchall() == []
        assert {int(message.value()) for message in _messages(broker.address, "out")} >= left
    finally:
        relay.stop()
        thread.join(30)
        broker.kill()


def _stream(db: psycopg.Connection, headers: str = "{}") -> None:
    """Send 1, 2, 3 and 4 to a stream whose group has dead letters."""
    db.execute("SELECT pgmq.create_stream('orders')")
    db.execute("SELECT pgmq.create_group('orders', 'out', 'earliest', dead_letter_queue => 'dead')")
    db.execute(
        "SELECT pgmq.send_batch('orders', '{1,2,3,4}', array_fill(%s::text::jsonb, '{4}'))",
        [headers],
    )


def _dead(db: psycopg.Connection) -> list[Any]:
    return db.execute(
        "SELECT message, headers ->> 'x-pgmq-error' FROM pgmq.q_dead ORDER BY msg_id"
    ).fetchall()


def _fake(monkeypatch: pytest.MonkeyPatch, answer: Callable[[str], str | None]) -> list[str]:
    """Have a producer that answers each message with an error's name or None; list messages."""
    produced = []

    class Producer:
        """Its own queue is full at first."""

        def __init__(self, _: Any) -> None:
            self._answers: list[Callable[[], None]] = []
            self._full = True

        def list_topics(self, timeout: float) -> None:
            """Be there."""

        def produce(self, _: str, body: bytes, __: Any, on_delivery: Any, **___: Any) -> None:
            if self._full:
                raise BufferError("Local: Queue full")
            produced.append(body.decode())
            name = answer(produced[-1])
            error = name and kafka.KafkaError(getattr(kafka.KafkaError, name))
            if name in {"MSG_SIZE_TOO_LARGE", "_FATAL"}:
                raise kafka.KafkaException(error)
            self._answers.append(lambda: on_delivery(error, None))

        def poll(self, _: float) -> None:
            self._full = False

        def flush(self, _: float) -> int:
            for each in self._answers:
                each()
            self._answers = []
            return 0

        def purge(self) -> None:
            """Have nothing."""

    monkeypatch.setattr(kafka, "Producer", Producer)
    return produced


@pytest.mark.parametrize("name", ["UNKNOWN_TOPIC_OR_PART", "MSG_SIZE_TOO_LARGE"])
def test_what_kafka_does_not_take_of_one_message_keeps_no_other_waiting(
    name: str, db: psycopg.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fake(monkeypatch, lambda body: None if int(body) % 2 else name)
    _stream(db, '{"x-pgmq-routing-key": "other"}')
    assert Relay(dsn, "orders", "kafka://x:1", group="out").run(until_empty=True) == 2
    reason = kafka.KafkaError(getattr(kafka.KafkaError, name)).str()
    assert _dead(db) == [(2, reason), (4, reason)]


@pytest.mark.parametrize(
    "name", ["_MSG_TIMED_OUT", "NOT_ENOUGH_REPLICAS", "_FATAL", "UNKNOWN_TOPIC_OR_PART"]
)
def test_an_outage_in_the_middle_of_a_batch_refuses_nothing(
    name: str, db: psycopg.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = {"2", "4"}

    def answer(body: str) -> str | None:
        if body not in lost:
            return None
        lost.remove(body)
        return name

    produced = _fake(monkeypatch, answer)
    _stream(db)
    assert Relay(dsn, "orders", "kafka://x:1", group="out").run(until_empty=True) == 4
    assert produced == ["1", "2", "3", "4", "2", "4"]
    assert _dead(db) == []


def test_stop_while_kafka_is_away_gives_back_what_is_in_hand_and_refuses_nothing(
    db: psycopg.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    produced = threading.Event()

    class Producer(kafka.Producer):  # type: ignore[misc]
        """Kafka was there when it was asked for topics."""

        def list_topics(self, timeout: float) -> None:
            """Be there."""

        def produce(self, *args: Any, **options: Any) -> None:
            super().produce(*args, **options)
            produced.set()

    monkeypatch.setattr(kafka, "Producer", Producer)
    _stream(db)
    [port] = free_ports(1)
    with running(Relay(dsn, "orders", f"kafka://127.0.0.1:{port}", group="out", vt=2)):
        assert produced.wait(30)
    assert _dead(db) == []
    lane = "SELECT committed, leased_up_to, failures, error FROM pgmq.list_lanes('orders')"
    assert db.execute(lane).fetchall() == [(0, None, 0, None)]
