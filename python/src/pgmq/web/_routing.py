"""What leads to which queue: exchanges, topics, and what is bound to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgmq.web import _map
from pgmq.web._console import page

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from pgmq.web._console import Console


@page("/routing")
async def routing(console: Console, request: Request) -> Response:
    async with console.database() as database:
        ways = _map.ways(await database.list_bindings(), await database.list_topic_bindings())
    return console.render(
        request,
        "routing.html",
        ways=ways,
        picture=_map.draw(
            ways[: _map.MOST], lambda queue: console.link(request, "/queue", queue=queue)
        ),
        most=_map.MOST,
    )
