"""The relay to Kafka: librdkafka's mock, and a broker of another kind that speaks its protocol."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest

from pgmq.relay import Relay
from support.brokers import Tansu
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
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
    running = threading.Thread(target=relay.run, kwargs={"until_empty": True})
    try:
        with caplog.at_level(logging.WARNING, "pgmq.relay"):
            running.start()
            until(lambda: len(db.execute(query).fetchall()) < total - 1000)
            broker.kill()
            until(lambda: "again in" in caplog.text)
        left = {number for (number,) in db.execute(query)}
        assert left
        broker.start()
        running.join(60)
        assert not running.is_alive()
        assert db.execute(query).fetchall() == []
        assert {int(message.value()) for message in _messages(broker.address, "out")} >= left
    finally:
        relay.stop()
        running.join(30)
        broker.kill()
