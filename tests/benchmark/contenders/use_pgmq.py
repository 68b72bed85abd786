"""The workers of this project: python -m benchmark.contenders.use_pgmq AsyncWorker."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import pgmq
from benchmark.contenders.job import note

if TYPE_CHECKING:
    from pgmq.messages import Message

QUEUE = "jobs"
URL = os.environ["BENCH_URL"]
_client = pgmq.PGMQueue(URL)


def setup() -> None:
    """Make the queue."""
    _client.create_queue(QUEUE)
    _client.enable_wakeups(QUEUE)


def send(*job: object) -> None:
    """Send a job."""
    _client.send(QUEUE, {"job": job})


def send_many(jobs: list[tuple[int, float, str]]) -> None:
    """Send many jobs, a thousand at a time."""
    for first in range(0, len(jobs), 1000):
        _client.send_batch(QUEUE, [{"job": job} for job in jobs[first : first + 1000]])


def handle(message: Message) -> None:
    """Be a job."""
    note(*message.message["job"])


async def handle_async(message: Message) -> None:
    """Be a job."""
    note(*message.message["job"])


if __name__ == "__main__":
    if sys.argv[1] == "AsyncWorker":
        asyncio.run(pgmq.AsyncWorker(URL, QUEUE, handle_async, concurrency=4).run())
    else:
        pgmq.Worker(URL, QUEUE, handle, concurrency=4).run()
