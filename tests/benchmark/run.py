"""Measure pgmq beside upstream pgmq 1.13 and SQL written by hand; see README.md in this folder."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmark import (
    backlog,
    calls,
    cases,
    fair,
    fifo,
    frameworks,
    many,
    partitions,
    peers,
    plots,
    policy,
    priorities,
    push,
    python_client,
    routing,
    schedules,
    snapshot,
    streams,
    waking,
)
from benchmark.bench import Bench, Plan
from benchmark.cluster import open_cluster
from benchmark.driver import Server
from benchmark.engines import NAMES, ROOT, open_engines
from benchmark.page import Page, machine

SHOWN = (
    "server_version", "shared_buffers", "fsync", "synchronous_commit", "autovacuum", "jit",
    "max_wal_size",
)  # fmt: skip


def end_to_end(bench: Bench) -> tuple[str, Any]:
    """Drain a backlog and serve a steady rate with the workers of several queues."""
    quick = bench.plan.quick
    found = peers.measure(bench.dsn, quick=quick, rounds=1 if quick else 2)
    return peers.markdown(found), found


SCENARIOS = {
    "calls": ("The calls", calls.calls),
    "payloads": ("Larger messages", calls.payloads),
    "durable": ("Commits that wait for the disk", calls.durable),
    "layers": ("Where the time of a call goes", calls.layers),
    "clients": ("From one client to many", calls.clients),
    "backlog": ("Behind a backlog", backlog.backlog),
    "snapshot": ("Under a held snapshot", snapshot.snapshot),
    "connections": ("Under a held snapshot, by ways of connecting", snapshot.connections),
    "fifo": ("FIFO groups", fifo.fifo),
    "routing": ("Routing", routing.routing),
    "partitions": ("Partitions", partitions.partitions),
    "many": ("Many queues", many.many),
    "waking": ("Waking consumers", waking.waking),
    "push": ("Push delivery", push.push),
    "policy": ("Policies", policy.policy),
    "fair": ("Groups in turn", fair.fair),
    "priorities": ("Priorities within a queue", priorities.priorities),
    "schedules": ("Schedules", schedules.schedules),
    "streams": ("Streams", streams.streams),
    "python": ("The Python client", python_client.python),
    "peers": ("Workers, beside other queues in Postgres", end_to_end),
    "frameworks": ("Frameworks for tasks, on pgmq, Redis and RabbitMQ", frameworks.frameworks),
}
# What there is time for within an hour, and within five minutes.
PROOF = (
    "calls", "payloads", "durable", "layers", "clients", "backlog", "snapshot", "fifo", "many",
    "waking", "streams", "python", "peers",
)  # fmt: skip
QUICK = ("calls", "clients", "backlog", "snapshot", "fifo", "many", "waking", "peers")


def listed(known: tuple[str, ...]) -> Any:
    """Make argparse take a comma-separated list of known names."""

    def parse(text: str) -> tuple[str, ...]:
        names = tuple(filter(None, text.split(",")))
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name}: not one of {', '.join(known)}")
        return tuple(name for name in known if name in names)

    return parse


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Measure pgmq beside upstream pgmq 1.13 and SQL written by hand.",
        epilog="Environment: PGMQ_DSN, as --dsn; PG_BINDIR, the programs of a Postgres to start"
        " privately (default: the embedded server).",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help=f"in 5 minutes: {', '.join(QUICK)}, fewer rounds")
    add(
        "--only", type=listed(tuple(SCENARIOS)), metavar="A,B",
        help=f"scenarios, of {', '.join(SCENARIOS)} (default: {', '.join(PROOF)})",
    )  # fmt: skip
    add(
        "--engines", type=listed(NAMES), default=NAMES, metavar="A,B",
        help=f"engines, of {', '.join(NAMES)} (default: all)",
    )  # fmt: skip
    names = tuple(case.name for case in cases.CALLS)
    add("--cases", type=listed(names), metavar="A,B",
        help=f"cases of the scenario calls, of {', '.join(names)} (default: all)")  # fmt: skip
    add(
        "--dsn", default=os.environ.get("PGMQ_DSN"),
        help="a server to use instead of a private one (makes and drops databases there)",
    )  # fmt: skip
    add("--pgbench", help="the pgbench to use (default: the server's, else the one in PATH)")
    add("--clients", type=int, default=4, help="pgbench clients (default: 4)")
    add("--jobs", type=int, default=2, help="pgbench threads (default: 2)")
    add("--rounds", type=int, help="rounds of each engine (4; 2), two less in long scenarios")
    add("--seconds", type=float, help="length of a round of the slowest engine, about (0.8; 0.3)")
    add("--snapshot-seconds", type=int, help="how long the snapshot is held (600; 60)")
    add("--fifo-rows", type=int, help="messages of the FIFO queues (1,000,000; 20,000)")
    add("--backlog-rows", type=int, help="messages ahead of a read, at most (1,000,000; 100,000)")
    add("--pgmq-sql", type=Path, default=ROOT / "build" / "pgmq.sql",
        help="this project's SQL (default: build/pgmq.sql)")  # fmt: skip
    add("--cache", type=Path, default=ROOT / ".venv" / "cache",
        help="where upstream's wheel is kept (default: .venv/cache, as the tests)")  # fmt: skip
    add(
        "--out", type=Path, default=ROOT / "build" / "benchmark",
        help="where the report, the numbers and the plots go (default: build/benchmark)",
    )  # fmt: skip
    return parser.parse_args()


def main() -> None:
    """Run the scenarios asked for."""
    args = arguments()
    if "pgmq" in args.engines and not args.pgmq_sql.exists():
        raise SystemExit(f"{args.pgmq_sql} does not exist: run `make build` first")
    quick = args.quick
    plan = Plan(
        quick=quick,
        rounds=args.rounds or (2 if quick else 4),
        seconds=args.seconds or (0.3 if quick else 0.8),
        snapshot_seconds=args.snapshot_seconds or (60 if quick else 600),
        clients=args.clients,
        jobs=args.jobs,
        fifo_rows=args.fifo_rows or (20_000 if quick else 1_000_000),
        backlog_rows=args.backlog_rows or (100_000 if quick else 1_000_000),
    )
    bindir = os.environ.get("PG_BINDIR")
    with (
        open_cluster(args.dsn, Path(bindir) if bindir else None, args.pgbench) as cluster,
        open_engines(
            args.engines, cluster.dsn, pgmq_sql=args.pgmq_sql, cache=args.cache
        ) as engines,
    ):
        server = Server(engines[0].conn)
        shown = {name: engines[0].setting(name) for name in SHOWN}
        known = cases.CORE if quick else cases.CALLS
        chosen = tuple(c for c in cases.CALLS if c.name in args.cases) if args.cases else known
        page = Page(
            {
                "date": dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
                "quick": quick,
                "machine": machine(),
                "server": shown,
                "private_server": cluster.private,
                "cpu_times": server.postmaster is not None,
                "clients": plan.clients,
                "jobs": plan.jobs,
                "rounds": plan.rounds,
                "seconds": plan.seconds,
                "load_before": round(os.getloadavg()[0], 2),
            }
        )
        bench = Bench(cluster.dsn, engines, server, cluster.pgbench, plan, chosen)
        for name in args.only or (QUICK if quick else PROOF):
            page.add(name, *SCENARIOS[name], bench)
            page.write(args.out)  # what there is, should a later scenario be interrupted
    drawn = plots.draw(page.data, args.out)
    print(f"\nWritten to {args.out}: report.md, results.json{''.join(', ' + d for d in drawn)}")
    if page.failed:
        raise SystemExit(f"failed: {', '.join(page.failed)}")


if __name__ == "__main__":
    main()
