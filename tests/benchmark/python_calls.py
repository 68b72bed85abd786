"""What each client runs; see python_client.py. The same code for both, but for the workers.

Reads lines of [call, count] from standard input, and answers each with the seconds it took.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from psycopg_pool import ConnectionPool

import pgmq

if TYPE_CHECKING:
    from collections.abc import Callable

MESSAGE = {"order_id": 12345, "customer": "c-0042", "total": "99.90", "items": [1, 2, 3]}


def handle(message: Any, connection: Any = None) -> None:
    """Do as little as a handler can."""


def send(queue: Any, count: int) -> None:
    for _ in range(count):
        queue.send("bench", MESSAGE)


def send_batch(queue: Any, count: int) -> None:
    batch = [MESSAGE] * 100
    for _ in range(count):
        queue.send_batch("bench", batch)


def read_delete(queue: Any, count: int) -> None:
    for _ in range(count):
        message = queue.read("bench", vt=30)
        queue.delete("bench", message.msg_id)


def loop(queue: Any, count: int) -> None:
    while messages := queue.read_batch("bench", vt=30, batch_size=100):
        for message in messages:
            handle(message)
            queue.delete("bench", message.msg_id)


def loop_batch(queue: Any, count: int) -> None:
    while messages := queue.read_batch("bench", vt=30, batch_size=100):
        for message in messages:
            handle(message)
        queue.delete_batch("bench", [message.msg_id for message in messages])


def _worker(**settings: Any) -> Callable[[Any, int], None]:
    def run(queue: Any, count: int) -> None:
        pgmq.Worker(sys.argv[1], "bench", handle, **settings).run(until_empty=True)

    return run


CALLS: dict[str, Callable[[Any, int], None]] = {
    "send": send,
    "send_batch": send_batch,
    "read_delete": read_delete,
    "loop": loop,
    "loop_batch": loop_batch,
    "worker": _worker(),
    "worker_threads": _worker(concurrency=4),
    "worker_transactional": _worker(transactional=True),
}


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    names = ("pgmq", "psycopg", "psycopg-pool")
    print(", ".join(f"{name} {version(name)}" for name in names), flush=True)
    with ConnectionPool(sys.argv[1], min_size=1, max_size=10, open=True) as pool:
        queue = pgmq.PGMQueue(pool=pool, init_extension=False)
        for line in sys.stdin:
            call, count = json.loads(line)
            started, cpu = time.perf_counter(), _cpu()
            CALLS[call](queue, count)
            seconds = time.perf_counter() - started
            print(json.dumps({"seconds": seconds, "cpu": _cpu() - cpu}), flush=True)


if __name__ == "__main__":
    main()
