"""The command that serves the console: web."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pgmq.cli._declare import arg, at_least, command
from pgmq.cli._output import CommandError

if TYPE_CHECKING:
    from pgmq.cli._declare import Options

_EVERY = {"0.0.0.0", "::", ""}  # noqa: S104


@command(
    arg("--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1)"),
    arg("--port", type=at_least(0), default=8080, help="default: 8080"),
    arg("--read-only", action="store_true", help="only look"),
    arg(
        "--token",
        default=os.environ.get("PGMQ_WEB_TOKEN", ""),
        help="what the page asks for before it shows anything (default: PGMQ_WEB_TOKEN)",
    ),
    arg(
        "--user-header",
        metavar="NAME",
        help="let in whom a reverse proxy names in this header; nobody but the proxy may reach us",
    ),
    arg(
        "--name",
        action="append",
        dest="names",
        default=[],
        help="a host name that browsers use for the console; may be repeated",
    ),
    arg(
        "--prometheus",
        metavar="URL",
        default=os.environ.get("PGMQ_WEB_PROMETHEUS", ""),
        help="a Prometheus that scrapes pgmq exporter (default: PGMQ_WEB_PROMETHEUS)",
    ),
    arg(
        "--prometheus-match",
        metavar="LABELS",
        default="",
        help="which exporter and workers there are of this database, as in 'database=\"app\"'",
    ),
    arg("--root-path", default="", metavar="PATH", help="where a reverse proxy has the console"),
)
def web(options: Options) -> None:
    """Serve the console: a page that shows queues, and does what its role may.

    Needs the extra "web". Other machines can reach it only with --host, which needs --token or
    --user-header.

    Example: pgmq web
    Example: pgmq web --prometheus http://127.0.0.1:9090
    Example: PGMQ_WEB_TOKEN=secret pgmq web --host 0.0.0.0 --read-only
    """
    try:
        import uvicorn

        from pgmq.web import LOOPBACK, application
    except ImportError as error:
        raise CommandError("the console needs the extra web: pip install 'pgmq[web]'") from error
    is_open = options.host not in {"127.0.0.1", "localhost", "::1"}
    if is_open and not (options.token or options.user_header):
        raise CommandError(f"--host {options.host} needs --token, or --user-header")
    hosts = {*LOOPBACK, *options.names}
    if is_open:
        hosts.add("*" if options.host in _EVERY and not options.names else options.host)
    header = options.user_header
    try:
        app = application(
            options.dsn,
            read_only=options.read_only,
            token=options.token or None,
            authorize=(lambda request: request.headers.get(header) or None) if header else None,
            hosts=hosts,
            prometheus=options.prometheus or None,
            prometheus_match=options.prometheus_match,
        )
    except ValueError as error:
        raise CommandError(str(error)) from error
    # Addresses of pages are not logged: they have names of queues in them.
    config = uvicorn.Config(
        app, options.host, options.port, root_path=options.root_path, access_log=False,
        log_level="warning", server_header=False,
    )  # fmt: skip
    server = uvicorn.Server(config)
    print(f"http://{options.host}:{options.port}{options.root_path}/  (Ctrl-C ends it)", flush=True)
    server.run()
