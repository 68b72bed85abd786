"""A program of taskiq: `taskiq worker taskiq_app:make_broker` runs its tasks."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pgmq.taskiq import PGMQBroker, PGMQRetryMiddleware


def make_broker(dsn: str | None = None, vt: int = 1) -> PGMQBroker:
    """Make a broker with its tasks; without dsn DATABASE_URL says where."""
    broker = PGMQBroker(dsn, vt=vt, retry_delay=0).with_middlewares(PGMQRetryMiddleware())

    @broker.task("touch")
    async def touch(made: str, awaited: str) -> None:
        with Path(made).open("a") as file:
            file.write("begun\n")
        while not Path(awaited).exists():
            await asyncio.sleep(0.01)

    @broker.task("fail")
    def fail() -> None:
        raise ValueError("it cannot be done")

    @broker.task("add")
    async def add(a: int, b: int) -> int:
        return a + b

    return broker
