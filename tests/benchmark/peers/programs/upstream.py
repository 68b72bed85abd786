"""pgmq 1.13 with pgmq-py: the loop that its documentation suggests, woken by its notifications.

The package is called pgmq like ours, and is another one: it runs in an environment of its own.
"""

from __future__ import annotations

import asyncio
import importlib.resources
import threading
from typing import TYPE_CHECKING, Any

import psycopg

import pgmq
from pgmq.notify_listener import SyncNotificationListener

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from benchmark.peers.programs.program import QUEUE, Program, main
else:
    from program import QUEUE, Program, main


class Upstream(Program):
    """Threads that read, handle and delete."""

    async def setup(self) -> None:
        sql = importlib.resources.files("pgmq") / "sql" / "pgmq.sql"
        with psycopg.connect(autocommit=True) as connection:
            connection.execute(sql.read_bytes())
        queue = self._queue()
        queue.create_queue(QUEUE)
        queue.enable_notify(QUEUE, self.settings["throttle_interval_ms"])

    def _queue(self) -> Any:
        return pgmq.PGMQueue(init_extension=False)

    async def fill(self, batches: Iterable[list[dict[str, Any]]]) -> None:
        queue = self._queue()
        for batch in batches:
            queue.send_batch(QUEUE, batch)

    async def produce(
        self, serve: Callable[[Callable[[dict[str, Any]], Awaitable[object]]], Awaitable[None]]
    ) -> None:
        queue = self._queue()
        await serve(lambda payload: asyncio.to_thread(queue.send, QUEUE, payload))

    async def work(self, ready: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
        queue = self._queue()
        await ready()
        stopped = threading.Event()
        woken = [threading.Event() for _ in range(self.settings["threads"])]

        def wake(_: Any) -> None:
            for event in woken:
                event.set()

        listener = SyncNotificationListener(queue)
        threading.Thread(target=listener.listen, args=(QUEUE, wake), daemon=True).start()
        threads = [asyncio.to_thread(self._loop, queue, event, stopped) for event in woken]
        working: asyncio.Future[Any] = asyncio.gather(*threads)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopped.set()
        wake(None)
        await working

    def _loop(self, queue: Any, woken: threading.Event, stopped: threading.Event) -> None:
        vt, batch = self.settings["vt"], self.settings["batch_size"]
        while not stopped.is_set():
            woken.clear()
            while messages := queue.read_batch(QUEUE, vt=vt, batch_size=batch):
                for message in messages:
                    self.record(message.message)
                queue.delete_batch(QUEUE, [message.msg_id for message in messages])
                if stopped.is_set():
                    return
            woken.wait(self.settings["poll_seconds"])


if __name__ == "__main__":
    main(Upstream)
