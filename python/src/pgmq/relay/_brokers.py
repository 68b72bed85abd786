"""The brokers that a relay can send to, by URL."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from pgmq.relay._broker import RelayError
from pgmq.relay._kafka import Kafka
from pgmq.relay._kombu import kombu_broker
from pgmq.relay._nats import Nats

if TYPE_CHECKING:
    from pgmq.relay._broker import Broker

__all__ = ["broker"]


def broker(url: str, queue: str, timeout: float, longest: float) -> Broker:
    """Make the broker that a URL names; timeout is for connecting and for each confirmation.

    What takes longer is given up to `longest` seconds.
    """
    base, _, query = url.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    scheme = urlsplit(base).scheme
    if not scheme:
        raise RelayError("the URL has no scheme such as amqp://, redis://, kafka:// or nats://")
    if scheme == "kafka":
        return Kafka(base, options, queue, timeout)
    if scheme in {"nats", "tls"}:
        return Nats(base, options, queue, timeout)
    return kombu_broker(base, options, queue, timeout, longest)
