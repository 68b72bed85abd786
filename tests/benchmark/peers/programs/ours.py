"""pgmq as it is here: AsyncWorker, or Worker with threads."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg_pool import ConnectionPool

import pgmq

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from benchmark.peers.programs.program import QUEUE, SENDERS, Program, main
    from pgmq.messages import Message
else:
    from program import QUEUE, SENDERS, Program, main


class Ours(Program):
    """Workers of this project."""

    async def setup(self) -> None:
        sql = Path(__file__).resolve().parents[4] / "build" / "pgmq.sql"
        with psycopg.connect(autocommit=True) as connection:
            connection.execute(sql.read_bytes())
            connection.execute("SELECT pgmq.create(%s)", [QUEUE])
            connection.execute("SELECT pgmq.enable_wakeups(%s)", [QUEUE])

    async def fill(self, batches: Iterable[list[dict[str, Any]]]) -> None:
        with ConnectionPool(min_size=1) as pool:
            queue = pgmq.PGMQueue(pool=pool, init_extension=False)
            for batch in batches:
                queue.send_batch(QUEUE, batch)

    async def produce(
        self, serve: Callable[[Callable[[dict[str, Any]], Awaitable[object]]], Awaitable[None]]
    ) -> None:
        with ConnectionPool(min_size=1, max_size=SENDERS) as pool:
            queue = pgmq.PGMQueue(pool=pool, init_extension=False)
            await serve(lambda payload: asyncio.to_thread(queue.send, QUEUE, payload))

    async def work(self, ready: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
        settings = dict(self.settings)
        kind = settings.pop("worker")
        await ready()
        if kind == "AsyncWorker":

            async def handle(message: Message) -> None:
                self.record(message.message)

            tasks = pgmq.AsyncWorker("", QUEUE, handle, **settings)
            stopping = asyncio.create_task(self._stop(tasks, stop))
            await tasks.run(signals=False)
        else:
            threads = pgmq.Worker("", QUEUE, lambda m: self.record(m.message), **settings)
            stopping = asyncio.create_task(self._stop(threads, stop))
            await asyncio.to_thread(threads.run, signals=False)
        await stopping

    async def _stop(self, worker: pgmq.AsyncWorker | pgmq.Worker, stop: asyncio.Event) -> None:
        await stop.wait()
        worker.stop()


if __name__ == "__main__":
    main(Ours)
