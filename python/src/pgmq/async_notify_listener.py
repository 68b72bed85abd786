"""As in pgmq-py 1.1: the asynchronous listener to enable_notify's announcements."""

from __future__ import annotations

import inspect  # sync: -
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from pgmq import _statements as statements
from pgmq._async_client import execute

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["AsyncNotificationListener"]

_GLANCE = 0.2  # seconds between looks at whether to stop


class AsyncNotificationListener:
    """Calls a function when something was inserted into a queue; enable_notify comes first."""

    def __init__(self, queue_client: Any) -> None:
        self.queue_client = queue_client
        self.dsn: str = queue_client.config.dsn
        self._stopped = threading.Event()

    async def listen(
        self,
        queue_name: str,
        callback: Callable[[dict[str, Any]], Awaitable[None] | None],
        timeout: float | None = None,
    ) -> None:
        """Listen on a connection of its own until stop() is called or timeout seconds are over.

        The callback gets the notification's payload, which is JSON; {"event": "insert",
        "payload_empty": True} for none, as pgmq's own are. Its exceptions end the listening.
        """
        end = None if timeout is None else time.monotonic() + timeout
        try:
            async with await psycopg.AsyncConnection.connect(self.dsn, autocommit=True) as conn:
                # Which letters have a lower case is a matter of the database.
                table = await execute(conn, statements.queue_table(queue_name, "q"), None)
                channel = sql.Identifier(f"pgmq.{table}.INSERT")
                await conn.execute(sql.SQL("LISTEN {}").format(channel))
                while not self._stopped.is_set():
                    glance = _GLANCE if end is None else min(_GLANCE, end - time.monotonic())
                    if glance <= 0:
                        return
                    async for notification in conn.notifies(timeout=glance):
                        argument = _decode(notification.payload)
                        done = callback(argument)  # sync: callback(argument)
                        if inspect.isawaitable(done):  # sync: -
                            await done  # sync: -
                        if self._stopped.is_set():
                            return
        finally:
            # Not at the beginning: who calls stop() before listen() has got so far means it, too.
            self._stopped.clear()

    def stop(self) -> None:
        """Have listen() return, within a moment; any thread may call it."""
        self._stopped.set()


def _decode(text: str) -> Any:
    """Decode what a notification carries."""
    if not text:
        return {"event": "insert", "payload_empty": True}
    try:
        return json.loads(text)
    except ValueError as error:
        return {"event": "insert", "raw_payload": text, "parse_error": str(error)}
