"""The web console: an ASGI application that shows queues, and does what its role may."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

try:
    from starlette.applications import Starlette
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles
except ImportError as error:
    raise ImportError("the console needs Starlette: pip install 'pgmq[web]'") from error

# Each registers its pages.
from pgmq.web import _actions, _health, _messages, _overview, _queue, _routing, _schedules
from pgmq.web._console import Console, pages
from pgmq.web._prometheus import Prometheus
from pgmq.web._security import LOOPBACK, Security

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from pgmq.web._security import Authorize

__all__ = ["LOOPBACK", "application"]
_PAGES = (_actions, _health, _messages, _overview, _queue, _routing, _schedules)


def application(
    dsn: str | None = None,
    *,
    read_only: bool = False,
    token: str | None = None,
    authorize: Authorize | None = None,
    hosts: Collection[str] = LOOPBACK,
    prometheus: str | None = None,
    prometheus_match: str = "",
) -> Starlette:
    """Make the console: an application to serve, or to mount into another one under a path.

    It connects as the role that the connection string names, and may do what this role may. With
    `read_only` it only looks.

    `hosts` are the names that a browser may call it by; `*` stands for every name. For others than
    this machine's own, either a `token` must be given, which a page asks for, or `authorize`: it
    is called with each request, and returns the user's name, or None to refuse.

    `prometheus` is the address of a Prometheus that scrapes `pgmq exporter`: plots have the hour
    from there. `prometheus_match` are the labels that this database's exporter and workers have,
    as in `database="app"`, where it scrapes those of others, too.
    """
    if not (token or authorize or set(hosts) <= set(LOOPBACK)):
        raise ValueError("a console that other machines reach needs a token, or authorize")
    past = Prometheus(prometheus, prometheus_match) if prometheus else None
    console = Console(dsn, read_only=read_only, prometheus=past)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        console.start()
        try:
            yield
        finally:
            await console.stop()

    app = Starlette(
        routes=[
            *(
                Route(path, console.endpoint(page), methods=methods)
                for path, methods, page in pages
            ),
            Mount("/static", StaticFiles(packages=[("pgmq.web", "static")]), name="static"),
        ],
        lifespan=lifespan,
    )
    app.add_middleware(
        Security,
        login=lambda request, wrong: console.render(request, "login.html", 401, wrong=wrong),
        token=token,
        authorize=authorize,
        hosts=hosts,
    )
    return app
