"""The command for Prometheus."""

from __future__ import annotations

import importlib
import threading
from importlib import resources
from typing import TYPE_CHECKING, Any

from pgmq._signals import on_signal
from pgmq.cli._declare import arg, at_least, command, session_of
from pgmq.cli._output import CommandError

if TYPE_CHECKING:
    from pgmq.cli._declare import Options

_FILES = {"dashboard": "dashboard.json", "rules": "rules.yml"}


def prometheus(module: str) -> Any:
    """Import what needs prometheus-client."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise CommandError(
            "prometheus-client is missing: install the extra, pgmq[exporter]"
        ) from error


@command(
    arg("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)"),
    arg("--port", type=at_least(0), default=9753, metavar="N", help="default: 9753"),
    arg(
        "--limit",
        type=at_least(1),
        default=1000,
        metavar="N",
        help="only the N longest queues, which bounds what Prometheus keeps (default: 1000)",
    ),
    arg("--print", choices=_FILES, help="print Grafana's dashboard, or Prometheus' rules, and end"),
)
def exporter(options: Options) -> None:
    """Serve what queues, streams and schedules hold to Prometheus, until SIGTERM or SIGINT.

    A role with what grant_monitor gives, or a member of pg_monitor, sees enough. There is no
    password: whoever reaches the port can read the names of queues and how much is in them.

    Example: pgmq exporter --port 9753
    Example: pgmq exporter --print rules > pgmq.rules.yml
    """
    if options.print:
        file = resources.files("pgmq") / "exporter" / _FILES[options.print]
        print(file.read_text(encoding="utf-8"), end="")
        return
    client = prometheus("prometheus_client")
    collector = prometheus("pgmq.exporter").Collector(options.dsn, limit=options.limit)
    session_of(options).close()  # what is wrong with the address is better said now
    registry = client.CollectorRegistry()
    registry.register(collector)
    stop = threading.Event()
    with on_signal(stop.set):
        server, thread = client.start_http_server(options.port, options.host, registry)
        print(f"http://{options.host}:{server.server_port}/metrics", flush=True)
        stop.wait()
        server.shutdown()
        thread.join()
    collector.close()
