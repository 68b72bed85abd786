"""The commands to try pgmq out: bench, demo."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from typing import TYPE_CHECKING

from pgmq._signals import on_signal
from pgmq._statements import leases
from pgmq._wire import JSONText
from pgmq.cli._declare import JSON, arg, at_least, command, session_of
from pgmq.cli._output import rich, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgmq.cli._declare import Options


@command(
    arg("--messages", type=at_least(100), default=2000, metavar="N", help="default: 2000"),
    arg("--size", type=at_least(1), default=100, metavar="BYTES", help="default: 100"),
    JSON,
)
def bench(options: Options) -> None:
    """Measure sending and consuming from here.

    Uses one connection and a queue of its own, which it drops again. Says how many messages a
    second, and how long a call took: the median and the 99th percentile. The figures are those of
    this server, this network and one client; `make bench` in pgmq's source compares with others.

    Example: pgmq bench --messages 10000 --size 1000
    """
    queue, count = f"bench_{os.getpid()}", options.messages
    body = JSONText(json.dumps("x" * max(0, options.size - 2)))

    def drop() -> None:
        # On a connection of its own: an interrupt may leave the other in the middle of a command.
        with session_of(options) as other:
            other.drop_queue(queue)

    with on_signal(_interrupt), session_of(options) as session, contextlib.ExitStack() as stack:
        stack.callback(drop)  # first: an interrupt may come when the queue is there
        session.create_queue(queue)

        def measure(name: str, call: Callable[[], int]) -> None:
            taken: list[float] = []
            done = 0
            while done < count:
                begin = time.perf_counter()
                done += call()
                taken.append(time.perf_counter() - begin)
            rate, taken = done / sum(taken), sorted(1000 * seconds for seconds in taken)
            median, slow = taken[len(taken) // 2], taken[int(0.99 * (len(taken) - 1))]
            text = f"{name:20} {rate:9,.0f} messages/s, a call {median:.2f} ms, p99 {slow:.2f} ms"
            say(options, text, call=name, rate=rate, median_ms=median, p99_ms=slow)
            sys.stdout.flush()

        def consume(qty: int) -> int:
            found = session.read_batch(queue, 30, qty)
            return len(session.ack_batch(queue, *leases(found)))

        measure("send", lambda: int(bool(session.send(queue, body))))
        measure("read and ack", lambda: consume(1))
        measure("send_batch of 100", lambda: len(session.send_batch(queue, [body] * 100)))
        measure("read and ack of 100", lambda: consume(100))


@command(
    arg("--dir", metavar="DIR", help="default: Python's standard library"),
    arg("--workers", type=at_least(1), metavar="N", help="default: 4"),
    arg("--stop", action="store_true", help="stop the demo's server and remove it"),
)
def demo(options: Options) -> int:
    """See it at work on your files.

    Hashes all files below a directory by four processes, of which one is killed. Without --dsn on
    a server of its own, in .demo, which needs the extra demo.

    Example: pgmq demo --dir /usr/share/doc
    """
    from pgmq import demo

    rich("console", "demo")
    words = ["--stop"] if options.stop else []
    words += ["--dir", options.dir] if options.dir else []
    words += ["--workers", str(options.workers)] if options.workers else []
    if options.dsn:
        os.environ["PGMQ_DSN"] = options.dsn
    return demo.main(words)


def _interrupt() -> None:
    raise KeyboardInterrupt
