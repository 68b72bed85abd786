"""pgqueuer: a PgQueuer on asyncpg, in the event loop that its command line uses."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import asyncpg  # type: ignore[import-untyped]
import uvloop  # type: ignore[import-not-found]
from pgqueuer import PgQueuer  # type: ignore[import-not-found]
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver  # type: ignore[import-not-found]
from pgqueuer.queries import Queries  # type: ignore[import-not-found]

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from benchmark.peers.programs.program import QUEUE, SENDERS, Program, main
else:
    from program import QUEUE, SENDERS, Program, main


class Pgqueuer(Program):
    """One entrypoint."""

    async def setup(self) -> None:
        queries = Queries(AsyncpgDriver(await asyncpg.connect()))
        await queries.install()
        await queries.optimize_autovacuum()

    async def fill(self, batches: Iterable[list[dict[str, Any]]]) -> None:
        queries = Queries(AsyncpgDriver(await asyncpg.connect()))
        for batch in batches:
            bodies = [json.dumps(payload).encode() for payload in batch]
            await queries.enqueue([QUEUE] * len(batch), bodies, [0] * len(batch))

    async def produce(
        self, serve: Callable[[Callable[[dict[str, Any]], Awaitable[object]]], Awaitable[None]]
    ) -> None:
        async with asyncpg.create_pool(min_size=1, max_size=SENDERS) as pool:
            queries = Queries(AsyncpgPoolDriver(pool))
            await serve(lambda payload: queries.enqueue(QUEUE, json.dumps(payload).encode()))

    async def work(self, ready: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
        pgq = PgQueuer(AsyncpgDriver(await asyncpg.connect()))

        async def handle(job: Any) -> None:
            self.record(json.loads(job.payload))

        pgq.entrypoint(QUEUE)(handle)
        await ready()
        settings = dict(self.settings)
        timeout = timedelta(seconds=settings.pop("dequeue_timeout_seconds"))
        working = asyncio.create_task(pgq.run(dequeue_timeout=timeout, **settings))
        await asyncio.wait(
            {working, asyncio.create_task(stop.wait())}, return_when=asyncio.FIRST_COMPLETED
        )
        pgq.shutdown.set()
        await working


if __name__ == "__main__":
    main(Pgqueuer, uvloop.run)
