"""What is done with all messages that a filter finds: in batches, at a rate, beside the pages."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import psycopg

from pgmq import _statements as statements
from pgmq.web import _looks as looks
from pgmq.web._security import RefusedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from pgmq.web._database import Database
    from pgmq.web._looks import Wanted

    Connect = Callable[[], AbstractAsyncContextManager[Database]]

__all__ = ["Sweep"]

_BATCH = 500  # messages of a transaction


@dataclass(slots=True)
class Sweep:
    """Goes through the messages that were there when it began, a transaction for each batch."""

    user: str | None
    queue: str
    archive: bool
    what: str  # is done, in words
    wanted: Wanted
    last: int  # msg_id: those that come later are left alone
    rate: float | None  # messages a second
    each: Callable[[Database, list[tuple[int, int]]], Awaitable[int]]  # by msg_id and read_ct
    at: int = 0  # msg_id up to which it has looked
    done: int = 0
    number: int = 0
    task: asyncio.Task[None] | None = None

    async def run(self, connect: Connect) -> str:
        """Do it all, and say how that ended."""
        began = time.monotonic()
        try:
            while self.at < self.last:
                await self._batch(connect)
                if self.rate:
                    ahead = self.done / self.rate - (time.monotonic() - began)
                    await asyncio.sleep(max(ahead, 0))
        except asyncio.CancelledError:
            return "until it was stopped"
        except (psycopg.Error, RefusedError) as error:
            return f"and then it failed: {error}"
        return "all that the filter found"

    async def _batch(self, connect: Connect) -> None:
        most = _BATCH if self.rate is None else min(max(int(self.rate), 1), _BATCH)
        wanted = replace(self.wanted, after=self.at, until=self.last)
        async with connect() as database:
            if not (there := await database.run(statements.known(self.queue))):
                raise RefusedError(404, f'there is no queue "{self.queue}"')
            known = there[0]
            at = await database.run(looks.looked_at(known, wanted, archive=self.archive))
            wanted = replace(wanted, until=self.last if at is None else at)
            found = await database.run(looks.found(known, wanted, archive=self.archive, most=most))
            done = await self.each(database, found) if found else 0
        # Only what is committed counts.
        self.done += done
        self.at = found[-1][0] if len(found) == most else wanted.until or self.last
