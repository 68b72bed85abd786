"""Kombu's own transport for pgmq, which uses our package by the name of pgmq-py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

pytestmark = pytest.mark.once

kombu = pytest.importorskip("kombu")
pytest.importorskip("kombu.transport.pgmq")

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def connection(dsn: str) -> Iterator[Any]:
    """A connection of kombu."""
    options = {"conn_string": dsn, "wait_time_seconds": 0, "polling_interval": 0.05}
    # By its name: to import kombu-pgmq, as the tests of Celery do, gives "pgmq" to that.
    transport = "kombu.transport.pgmq:Transport"
    with kombu.Connection(transport=transport, transport_options=options) as connection:
        yield connection


@pytest.mark.parametrize(
    ("kind", "key", "patterns", "arrives"),
    [
        ("direct", "paid", ["paid", "sent"], ["first"]),
        ("topic", "order.paid", ["order.*", "*.sent"], ["first"]),
        ("fanout", "", ["", ""], ["first", "second"]),
    ],
)
def test_kombu_delivers_by_every_kind_of_exchange(
    kind: str, key: str, patterns: list[str], arrives: list[str], connection: Any
) -> None:
    exchange = kombu.Exchange("shop", kind)
    queues = [
        kombu.Queue(name, exchange, routing_key=pattern)
        for name, pattern in zip(("first", "second"), patterns, strict=True)
    ]
    got: list[tuple[str, Any]] = []

    def receive(body: Any, message: Any) -> None:
        got.append((message.delivery_info["routing_key"], body))
        message.ack()

    with connection.Producer() as producer, connection.Consumer(queues, callbacks=[receive]):
        producer.publish(
            {"order": 7}, exchange=exchange, routing_key=key, headers={"a": "b"}, declare=queues
        )
        while len(got) < len(arrives):
            connection.drain_events(timeout=20)
    assert [body for _, body in got] == [{"order": 7}] * len(arrives)
    simple = connection.SimpleQueue("alone")
    simple.put("x")
    message = simple.get(timeout=20)
    assert message.payload == "x"
    message.ack()
    assert simple.qsize() == 0
    simple.close()
