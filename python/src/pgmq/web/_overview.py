"""The overview: every queue and stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgmq.web._console import page

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from pgmq.web._console import Console
    from pgmq.web._history import Queue

_PAGE = 100
# Each column: its title, and the attribute that it shows and is sorted by.
COLUMNS = {
    "queue": "name",
    "kind": "kind",
    "length": "length",
    "visible": "visible",
    "delayed": "delayed",
    "in flight": "in_flight",
    "oldest": "oldest",
    "in /s": "sent_rate",
    "out /s": "removed_rate",
    "dead": "dead_letters",
    "lag": "lag",
    "sessions": "consumers",
}


@page("/")
async def overview(console: Console, request: Request) -> Response:
    query = request.query_params
    wanted = query.get("search", "").lower()
    sort = query.get("sort", "queue")
    sort = sort if sort in COLUMNS else "queue"
    down = query.get("order") == "down"
    found = [each for name, each in console.history.queues.items() if wanted in name.lower()]
    found = _sorted(found, COLUMNS[sort], down)
    number = query.get("page", "1")
    last = max(1, -(-len(found) // _PAGE))
    at = min(max(int(number) if number.isdecimal() and len(number) < 9 else 1, 1), last)
    shown = found[(at - 1) * _PAGE : at * _PAGE]
    return console.render(
        request,
        "overview.html",
        columns=COLUMNS,
        queues=shown,
        times=await console.times([each.name for each in shown], ("sent", "removed")),
        count=len(found),
        search=query.get("search", ""),
        sort=sort,
        down=down,
        page=at,
        pages=last,
        hidden=sum(each.length is None for each in found),
    )


def _sorted(queues: list[Queue], attribute: str, down: bool) -> list[Queue]:
    """Sort by a column, what is not known last, and what is equal by name."""

    def value(queue: Queue) -> str | float | None:
        of: str | float | None = getattr(queue.known if attribute == "kind" else queue, attribute)
        return of.lower() if isinstance(of, str) else of

    by_name = sorted(queues, key=lambda queue: queue.name.lower())
    there = [queue for queue in by_name if value(queue) is not None]
    there.sort(key=value, reverse=down)  # type: ignore[arg-type]
    return there + [queue for queue in by_name if value(queue) is None]
