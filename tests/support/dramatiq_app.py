"""A program of dramatiq: `dramatiq dramatiq_app:make_broker` runs its actors."""

from __future__ import annotations

import time
from pathlib import Path

import dramatiq

from pgmq.dramatiq import PGMQBroker


def make_broker(dsn: str | None = None) -> PGMQBroker:
    """Make a broker with its actors; without dsn DATABASE_URL says where."""
    broker = PGMQBroker(dsn, policy_retries=True, vt=1, retry_delay=0)
    dramatiq.set_broker(broker)

    @dramatiq.actor
    def touch(made: str, awaited: str) -> None:
        with Path(made).open("a") as file:
            file.write("begun\n")
        while not Path(awaited).exists():
            time.sleep(0.01)

    @dramatiq.actor
    def fail() -> None:
        raise ValueError("it cannot be done")

    return broker
