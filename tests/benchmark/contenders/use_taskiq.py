"""taskiq, on Redis by its streams, since its lists do not acknowledge."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from benchmark.contenders.job import note


def _broker(server: str, url: str) -> Any:
    if server == "postgres":
        from pgmq.taskiq import PGMQBroker

        return PGMQBroker(url)
    if server == "redis":
        from taskiq_redis import RedisStreamBroker

        return RedisStreamBroker(url)
    from taskiq_aio_pika import AioPikaBroker

    return AioPikaBroker(url, qos=100)


broker = _broker(os.environ["BENCH_SERVER"], os.environ["BENCH_URL"])
_loop = asyncio.new_event_loop()


async def _note(number: int, sent: float, text: str) -> None:
    note(number, sent, text)


_task = broker.task("note")(_note)


def setup() -> None:
    """Connect."""
    _loop.run_until_complete(broker.startup())


def send(*job: object) -> None:
    """Send a job."""
    _loop.run_until_complete(_task.kiq(*job))
