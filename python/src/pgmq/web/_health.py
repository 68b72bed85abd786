"""Health: what doctor finds, and what goes on in the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse

from pgmq.web import _looks as looks
from pgmq.web._console import page

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from pgmq.web._console import Console


@page("/health")
async def health(console: Console, request: Request) -> Response:
    if "anew" in request.query_params:
        console.look(anew=True)
        return RedirectResponse(console.link(request, "/health"), 303)
    async with console.database() as database:
        blocked = await database.run(looks.blocked())
        holders = await database.run(looks.holders())
        sessions = await database.run(looks.sessions())
        dead = await database.run(looks.dead_rows())
    return console.render(
        request,
        "health.html",
        findings=console.look(),
        blocked=blocked,
        holders=holders,
        sessions=sessions,
        dead=dead,
    )
