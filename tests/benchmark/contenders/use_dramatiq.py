"""dramatiq, as it is."""

from __future__ import annotations

import os
from typing import Any

import dramatiq

from benchmark.contenders.job import note


def _broker(server: str, url: str) -> Any:
    if server == "postgres":
        from pgmq.dramatiq import PGMQBroker

        return PGMQBroker(url)
    if server == "redis":
        from dramatiq.brokers.redis import RedisBroker

        return RedisBroker(url=url)  # type: ignore[no-untyped-call]
    from dramatiq.brokers.rabbitmq import RabbitmqBroker

    return RabbitmqBroker(url=url)


dramatiq.set_broker(_broker(os.environ["BENCH_SERVER"], os.environ["BENCH_URL"]))
send = dramatiq.actor(note).send
