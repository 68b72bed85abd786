"""procrastinate: a worker with asynchronous tasks."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import procrastinate  # type: ignore[import-not-found]

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from benchmark.peers.programs.program import QUEUE, SENDERS, Program, main
else:
    from program import QUEUE, SENDERS, Program, main


class Procrastinate(Program):
    """An app with one task."""

    def _app(self, connections: int) -> Any:
        connector = procrastinate.PsycopgConnector(min_size=1, max_size=connections)
        app = procrastinate.App(connector=connector)

        async def handle(payload: dict[str, Any]) -> None:
            self.record(payload)

        self.task = app.task(handle, name="job", queue=QUEUE)
        return app

    async def setup(self) -> None:
        async with self._app(1).open_async() as app:
            await app.schema_manager.apply_schema_async()

    async def fill(self, batches: Iterable[list[dict[str, Any]]]) -> None:
        async with self._app(1).open_async():
            for batch in batches:
                await self.task.batch_defer_async(*({"payload": payload} for payload in batch))

    async def produce(
        self, serve: Callable[[Callable[[dict[str, Any]], Awaitable[object]]], Awaitable[None]]
    ) -> None:
        async with self._app(SENDERS).open_async():
            await serve(lambda payload: self.task.defer_async(payload=payload))

    async def work(self, ready: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
        settings = dict(self.settings)
        async with self._app(settings.pop("connections")).open_async() as app:
            await ready()
            working = asyncio.create_task(
                app.run_worker_async(queues=[QUEUE], install_signal_handlers=False, **settings)
            )
            await asyncio.wait(
                {working, asyncio.create_task(stop.wait())}, return_when=asyncio.FIRST_COMPLETED
            )
            working.cancel()  # which lets the jobs that run finish
            with contextlib.suppress(asyncio.CancelledError):
                await working


if __name__ == "__main__":
    main(Procrastinate)
