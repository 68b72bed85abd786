"""What the programs of the Python engines share: being told what to do, and saying what they did.

A program is started as one of four: `setup`, `fill COUNT`, `produce` or `work`, and finds the
database by libpq's environment variables. `produce` answers each line [rate, seconds, first id].
`work` begins at the line `go`, says now and then how many jobs it has begun, and ends at `stop`
with the id of each, when its handler began, and when it was sent. common.mjs does the same.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

QUEUE = "jobs"
SENDERS = 4  # calls that a producer has under way at most; also its connections
BATCH = 1000
PADDING = "x" * 150
PROGRESS = 0.02  # seconds


def job(number: int) -> dict[str, Any]:
    """Make a payload of about 200 bytes."""
    return {"id": number, "sent": time.time(), "padding": PADDING}


class Program(ABC):
    """What one engine does."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.begun: list[tuple[int, float, float]] = []

    def record(self, payload: dict[str, Any]) -> None:
        """Note that a handler has begun: all that a job does."""
        self.begun.append((payload["id"], time.time(), payload["sent"]))

    @abstractmethod
    async def setup(self) -> None:
        """Install the engine into an empty database, and make a queue."""

    @abstractmethod
    async def fill(self, batches: Iterable[list[dict[str, Any]]]) -> None:
        """Enqueue many jobs at once, as the engine does it."""

    @abstractmethod
    async def produce(
        self, serve: Callable[[Callable[[dict[str, Any]], Awaitable[object]]], Awaitable[None]]
    ) -> None:
        """Connect, and serve with a function that enqueues one job."""

    @abstractmethod
    async def work(self, ready: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
        """Connect, await ready, and handle jobs until told to stop; then acknowledge the rest."""


async def _line() -> str:
    line: str = await asyncio.to_thread(sys.stdin.readline)
    return line.strip()


def _say(what: object) -> None:
    print(json.dumps(what), flush=True)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def _serve_producer(send: Callable[[dict[str, Any]], Awaitable[object]]) -> None:
    await send(job(-1))  # connections and plans
    _say("ready")
    while line := await _line():
        rate, seconds, first = json.loads(line)
        _say(await _at_rate(send, rate, seconds, first))


async def _at_rate(
    send: Callable[[dict[str, Any]], Awaitable[object]], rate: float, seconds: float, first: int
) -> dict[str, float]:
    """Enqueue at a fixed rate, whatever the time a call takes, while senders are free."""
    free = asyncio.Semaphore(SENDERS)
    sending: set[asyncio.Task[None]] = set()

    async def one(number: int) -> None:
        try:
            await send(job(number))
        finally:
            free.release()

    begun, cpu = time.monotonic(), _cpu()
    sent = 0
    for sent in range(1, int(rate * seconds) + 1):
        await asyncio.sleep(max(0.0, begun + (sent - 1) / rate - time.monotonic()))
        await free.acquire()
        task = asyncio.create_task(one(first + sent - 1))
        sending.add(task)
        task.add_done_callback(sending.discard)
        if time.monotonic() - begun > 1.2 * seconds:
            break
    await asyncio.gather(*sending)
    return {"sent": sent, "seconds": time.monotonic() - begun, "cpu": _cpu() - cpu}


async def _work(program: Program) -> None:
    cpu = _cpu()
    going, stop = asyncio.Event(), asyncio.Event()

    async def ready() -> None:
        nonlocal cpu
        _say("ready")
        assert await _line() == "go"
        cpu = _cpu()
        going.set()

    async def report() -> None:
        said = 0
        while True:
            await asyncio.sleep(PROGRESS)
            if len(program.begun) != said:
                said = len(program.begun)
                _say(said)

    reports = asyncio.create_task(report())
    work = asyncio.create_task(program.work(ready, stop))
    await asyncio.wait(
        {work, asyncio.create_task(going.wait())}, return_when=asyncio.FIRST_COMPLETED
    )
    if not work.done():
        await _line()
    stop.set()
    await work
    reports.cancel()
    _say({"cpu": _cpu() - cpu, "begun": program.begun})


async def _main(program: Program) -> None:
    command = sys.argv[1]
    if command == "setup":
        await program.setup()
    elif command == "fill":
        count = int(sys.argv[3])
        await program.fill(
            [job(n) for n in range(first, min(first + BATCH, count))]
            for first in range(0, count, BATCH)
        )
    elif command == "produce":
        await program.produce(_serve_producer)
    else:
        await _work(program)


def main(kind: type[Program], run: Callable[[Any], object] = asyncio.run) -> None:
    """Do what the command line says: COMMAND SETTINGS [COUNT]."""
    run(_main(kind(json.loads(sys.argv[2]))))
