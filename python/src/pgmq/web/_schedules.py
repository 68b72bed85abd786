"""The schedules of all queues, and the groups of all streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgmq import _statements as statements
from pgmq.web._console import page

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from pgmq.web._console import Console


@page("/schedules")
async def schedules(console: Console, request: Request) -> Response:
    async with console.database() as database:
        found = await database.list_schedules()
        owned = {each.queue_name for each in await database.run(statements.known()) if each.owned}
    return console.render(request, "schedules.html", schedules=found, owned=owned)


@page("/streams")
async def streams(console: Console, request: Request) -> Response:
    async with console.database() as database:
        groups = await database.list_groups()
    return console.render(request, "streams.html", groups=groups)


@page("/done")
async def done(console: Console, request: Request) -> Response:
    return console.render(
        request,
        "done.html",
        entries=[*reversed(console.journal)],
        sweeps=[*console.sweeps.values()],
    )
