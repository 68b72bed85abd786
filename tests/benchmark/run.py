"""Measure pgmq beside upstream pgmq 1.13 and SQL written by hand; see README.md in this folder."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import math
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

import psycopg

from benchmark import (
    cases,
    fifo,
    partitions,
    policy,
    push,
    python_client,
    report,
    routing,
    waking,
)
from benchmark.cluster import open_cluster
from benchmark.driver import SHORT_WARM_UP, WARM_UP, Bucket, Pgbench, PgbenchError, Server
from benchmark.engines import NAMES, ROOT, Engine, open_engines
from benchmark.report import Series, progress, spread, times

if TYPE_CHECKING:
    from benchmark.cases import Case

SLACK = 1000  # messages that stay in a queue, so that clients never wait for each other's last
MOST_MESSAGES = 600_000  # in one round
SHOWN = (
    "server_version", "shared_buffers", "fsync", "synchronous_commit", "autovacuum", "jit",
    "max_wal_size",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often."""

    rounds: int
    seconds: float  # of one round of the slowest engine
    snapshot_seconds: int
    bucket: int
    clients: int
    jobs: int
    fifo_rows: int

    @property
    def fewer(self) -> int:
        """The number of rounds where each takes longer."""
        return max(1, self.rounds - 1)


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything a scenario needs."""

    engines: list[Engine]
    server: Server
    program: str
    plan: Plan
    cases: tuple[Case, ...]

    def pgbench(self, clients: int | None = None, warm_up: int = SHORT_WARM_UP) -> Pgbench:
        """Return the driver, for the usual number of clients or another."""
        number = clients or self.plan.clients
        return Pgbench(self.program, self.server, number, self.plan.jobs, warm_up)

    def two(self) -> list[Engine]:
        """Return the engines that are queues, not limits."""
        return [e for e in self.engines if e.name != "by_hand"]


def prepare(engine: Engine, case: Case, transactions: int, clients: int) -> int:
    """Make a fresh queue with what the case will take, the same way for each engine."""
    waiting = transactions * case.takes + max(SLACK, 2 * clients * case.takes)
    engine.checkpoint()
    engine.create("bench", autovacuum=False)
    engine.fill("bench", waiting)
    engine.settle("bench")
    return waiting


def one_round(engine: Engine, case: Case, pgbench: Pgbench, per_client: int) -> Series:
    """Measure one engine once, on a fresh queue."""
    transactions = (per_client + 2 * pgbench.warm_up) * pgbench.clients
    waiting = prepare(engine, case, transactions, pgbench.clients)
    return measure(engine, case, pgbench, per_client, "bench", {"waiting": str(waiting)})


def measure(
    engine: Engine,
    case: Case,
    pgbench: Pgbench,
    per_client: int,
    queue: str,
    variables: dict[str, str] | None = None,
) -> Series:
    """Run a case, and check that it did what was asked; what found nothing does not count."""
    before = engine.count(queue, case.counted)
    run = pgbench.run(
        engine.conninfo,
        case.script(engine.name, queue),
        per_client=per_client,
        variables=variables,
        per_command=True,
    )
    grown = engine.count(queue, case.counted) - before
    held = 2 * pgbench.clients * case.held  # of the warm-up and of the run itself
    missing = grown - case.net * run.transactions - held
    part = 1 - missing / (run.transactions * case.unit)
    series = Series([run.useful(part)])
    series.note(run.aborted)
    if missing:
        text = "found too little, and is not counted" if missing > 0 else "too many"
        series.note(f"{abs(1 - part):.1%} of what was asked for: {text}")
    return series


def calibrate(engine: Engine, case: Case, pgbench: Pgbench, seconds: float) -> int:
    """Find out how many transactions a client does in the time given."""
    per_client = max(10, 2 * pgbench.warm_up)
    while True:
        tps = one_round(engine, case, pgbench, per_client).runs[0].tps
        wanted = math.ceil(tps * seconds / pgbench.clients)
        if per_client / max(wanted, 1) > 0.05:
            break
        per_client = max(per_client + 1, wanted // 10)
    most = MOST_MESSAGES // case.unit // pgbench.clients
    return max(5, min(wanted, most))


def compare(
    bench: Bench, case: Case, clients: int, rounds: int, seconds: float
) -> dict[str, Series]:
    """Measure the engines in turn, each with as many transactions as the first does in the time."""
    warm_up = SHORT_WARM_UP if case.unit > 1 else WARM_UP if clients <= 8 else WARM_UP // 3
    pgbench = bench.pgbench(clients, warm_up)
    series = {engine.name: Series() for engine in bench.engines}
    per_client: int | None = None
    for number in range(rounds):
        for engine in bench.engines:
            one = series[engine.name]
            if one.notes and not one.runs:
                continue  # does not work at all
            try:
                if per_client is None:
                    per_client = calibrate(engine, case, pgbench, seconds)
                one.add(one_round(engine, case, pgbench, per_client))
            except (PgbenchError, psycopg.Error) as error:
                one.note(str(error).splitlines()[0])
        progress(
            f"{case.title}, {clients} clients, round {number + 1} of {rounds}: "
            + ", ".join(f"{name} {s.tps[-1]:,.0f}/s" for name, s in series.items() if s.runs)
        )
    return series


def comparison(results: dict[str, dict[str, Series]], names: list[str]) -> str:
    """Show rates, CPU times and ratios."""
    faster = [
        (a, b) for a, b in (("pgmq", "upstream"), ("pgmq", "by_hand"), ("by_hand", "upstream"))
        if a in names and b in names
    ]  # fmt: skip
    rates, cpus = [], []
    for title, series in results.items():
        rates.append(
            [title, *(spread(series[n].tps) for n in names)]
            + [times(report.ratio(series[a].tps, series[b].tps)) for a, b in faster]
        )
        cpus.append(
            [title, *(spread(series[n].cpu_us) for n in names)]
            + [times(report.ratio(series[b].cpu_us, series[a].cpu_us)) for a, b in faster]
        )
    heads = [*names, *(f"{a} / {b}" for a, b in faster)]
    text = "Transactions per second, median (min-max), and median of each round's ratio:\n\n"
    text += report.table(["case", *heads], rates)
    if any(s.cpu_us for series in results.values() for s in series.values()):
        text += "\n\nBackend CPU time per transaction, us; the ratios are of speed, as above:\n\n"
        text += report.table(["case", *heads], cpus)
    return text + report.notes(results)


def as_json(results: dict[str, dict[str, Series]]) -> dict[str, Any]:
    """Return the runs of each case and engine."""
    return {
        title: {name: one.as_json() for name, one in series.items()}
        for title, series in results.items()
    }


def calls(bench: Bench) -> tuple[str, Any]:
    """Run every case on a queue that holds nothing else."""
    plan = bench.plan
    results = {
        c.title: compare(bench, c, plan.clients, plan.rounds, plan.seconds) for c in bench.cases
    }
    return comparison(results, [e.name for e in bench.engines]), as_json(results)


def clients(bench: Bench) -> tuple[str, Any]:
    """Run the cycle with many clients."""
    # Longer, since there are fewer transactions of each.
    seconds = max(1.5, 2 * bench.plan.seconds)
    results = {
        f"{cases.CYCLE.title}, 64 clients": compare(
            bench, cases.CYCLE, 64, bench.plan.fewer, seconds
        )
    }
    return comparison(results, [e.name for e in bench.engines]), as_json(results)


AHEAD = 200_000
DUE = 100_000
STATES = {
    "small": "nothing else in the queue",
    "delayed": f"{AHEAD:,} delayed by an hour ahead",
    "in_flight": f"{AHEAD:,} in flight ahead",
    "due": f"{DUE:,} just fallen due ahead",
}


def put_ahead(engine: Engine, state: str) -> None:
    """Bring a new queue into a state, in the ways users do."""
    queue = f"bench_{state}"
    engine.create(queue, autovacuum=False)
    if state == "delayed":
        engine.fill(queue, AHEAD, vt="now() + interval '1 hour'")
    elif state == "due":
        engine.fill(queue, DUE, vt="now() + interval '2 seconds'")
    elif state == "in_flight":
        engine.fill(queue, AHEAD)
        engine.settle(queue)
        for _ in range(AHEAD // 10_000):
            engine.run(f"SELECT count(*) FROM pgmq.read('{queue}', 3600, 10000)")
    engine.settle(queue)


def backlog(bench: Bench) -> tuple[str, Any]:
    """Run read + delete behind messages that are not to be read now, or all due at once."""
    case, pgbench = cases.READ_DELETE, bench.pgbench()
    results: dict[str, dict[str, Series]] = {
        state: {engine.name: Series() for engine in bench.two()} for state in STATES
    }
    counts: dict[tuple[str, str], int] = {}
    for engine in bench.two():
        for state in STATES:
            put_ahead(engine, state)
    time.sleep(2)  # until they have fallen due

    def measure_state(engine: Engine, state: str, per_client: int) -> Series:
        queue = f"bench_{state}"
        taken = (per_client + 2 * pgbench.warm_up) * pgbench.clients + SLACK
        # Those fallen due are there already, and come first; in every other state these are read.
        if state != "due" or engine.count(queue) < taken:
            engine.fill(queue, taken)
        engine.settle(queue)
        engine.checkpoint()
        return measure(engine, case, pgbench, per_client, queue)

    for number in range(bench.plan.fewer):
        for state, described in STATES.items():
            for engine in bench.two():
                one = results[state][engine.name]
                try:
                    key = (state, engine.name)
                    if key not in counts:
                        # Each engine in each state does what it can in the time: they differ a
                        # hundredfold, and each is compared with itself.
                        tps = measure_state(engine, state, 5).runs[0].tps
                        tps = measure_state(engine, state, max(5, int(tps / 20))).runs[0].tps
                        most = DUE // (bench.plan.fewer + 1) // pgbench.clients
                        wanted = int(tps * bench.plan.seconds / pgbench.clients)
                        counts[key] = max(5, min(wanted, most))
                    one.add(measure_state(engine, state, counts[key]))
                except (PgbenchError, psycopg.Error) as error:
                    one.note(str(error).splitlines()[0])
            progress(
                f"{described}, round {number + 1} of {bench.plan.fewer}: "
                + ", ".join(
                    f"{name} {s.tps[-1]:,.0f}/s" for name, s in results[state].items() if s.runs
                )
            )
    names = [e.name for e in bench.two()]
    rows = []
    for state, series in results.items():
        row = [STATES[state]]
        for name in names:
            one, small = series[name], results["small"][name]
            row += [
                spread(one.tps),
                spread(one.cpu_us),
                times(report.ratio(one.cpu_us, small.cpu_us)),
                spread([1000 * ms for ms in one.first_command_ms]),
                times(report.ratio(one.first_command_ms, small.first_command_ms)),
            ]
        rows.append(row)
    heads = [
        f"{name}: {what}"
        for name in names
        for what in ("per second", "CPU us", "to small", "read's latency us", "to small")
    ]
    text = "Read 1 + delete; the ratios say how many times the cost on the small queue it is:\n\n"
    text += report.table(["queue", *heads], rows)
    titled = {STATES[state]: series for state, series in results.items()}
    for engine in bench.two():
        for state in STATES:
            if engine.name != "by_hand":
                engine.run(f"SELECT pgmq.drop_queue('bench_{state}')")
    return text + report.notes(titled), as_json(titled)


def snapshot(bench: Bench) -> tuple[str, Any]:
    """Run the cycle while another session holds a snapshot, so that vacuum can remove nothing."""
    pgbench, plan = bench.pgbench(), bench.plan
    results: dict[str, list[Bucket]] = {}
    found_notes = []
    for engine in bench.two():
        engine.create("bench", autovacuum=True)
        engine.fill("bench", SLACK)
        engine.settle("bench")
        engine.checkpoint()
        with psycopg.connect(engine.conninfo) as holder:
            holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            holder.execute("SELECT 1")
            try:
                results[engine.name], aborted = pgbench.watch(
                    engine.conninfo,
                    cases.CYCLE.script(engine.name, "bench"),
                    seconds=plan.snapshot_seconds,
                    bucket=plan.bucket,
                )
            except PgbenchError as error:
                results[engine.name], aborted = [], str(error)
        if aborted:
            found_notes.append(f"- {engine.name}: {aborted}")
        progress(
            f"snapshot held for {plan.snapshot_seconds} s, {engine.name}: "
            + ", ".join(f"{b.tps:,.0f}" for b in results[engine.name])
        )
    names = list(results)
    rows = []
    for i in range(max(map(len, results.values()), default=0)):
        row = [f"{plan.bucket * i}-{plan.bucket * (i + 1)} s"]
        for name in names:
            here = results[name][i : i + 1]
            row += [spread([b.tps for b in here])]
            row += [spread([b.cpu_us for b in here if b.cpu_us is not None])]
        rows.append(row)
    row = ["**last / first**"]
    for name in names:
        ends = results[name][:1] + results[name][-1:]
        if len(ends) < 2:
            row += ["-", "-"]
            continue
        row.append(times(ends[1].tps / ends[0].tps if ends[0].tps else None))
        first, last = ends[0].cpu_us, ends[1].cpu_us
        row.append(times(last / first if first and last else None))
    rows.append(row)
    heads = [f"{name}: {what}" for name in names for what in ("per second", "CPU us")]
    text = f"Send + read + delete while a snapshot is held for {plan.snapshot_seconds} s:\n\n"
    text += report.table(["time", *heads], rows)
    if found_notes:
        text += "\n\n" + "\n".join(found_notes)
    data = {
        name: [{"seconds": b.seconds, "tps": b.tps, "cpu_us": b.cpu_us} for b in buckets]
        for name, buckets in results.items()
    }
    return text, data


SCENARIOS = {
    "calls": ("The calls", calls),
    "backlog": ("Behind a backlog", backlog),
    "snapshot": ("Under a held snapshot", snapshot),
    "clients": ("Many clients", clients),
    "fifo": ("FIFO groups", fifo.fifo),
    "routing": ("Routing", routing.routing),
    "partitions": ("Partitions", partitions.partitions),
    "waking": ("Waking consumers", waking.waking),
    "push": ("Push delivery", push.push),
    "policy": ("Policies", policy.policy),
    "python": ("The Python client", python_client.python),
}


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
        epilog="Environment: PG_BINDIR, the programs of a Postgres to start privately"
        " (default: the embedded server).",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="everything in about 6 minutes")
    add(
        "--only", type=listed(tuple(SCENARIOS)), default=tuple(SCENARIOS), metavar="A,B",
        help=f"scenarios, of {', '.join(SCENARIOS)} (default: all)",
    )  # fmt: skip
    add(
        "--engines", type=listed(NAMES), default=NAMES, metavar="A,B",
        help=f"engines, of {', '.join(NAMES)} (default: all)",
    )  # fmt: skip
    names = tuple(case.name for case in cases.CALLS)
    add("--cases", type=listed(names), default=names, metavar="A,B",
        help=f"cases of the scenario calls, of {', '.join(names)} (default: all)")  # fmt: skip
    add("--dsn", help="a server to use instead of a private one (makes and drops databases there)")
    add("--pgbench", help="the pgbench to use (default: the server's, else the one in PATH)")
    add("--sync", choices=("on", "off"), default="off",
        help="synchronous_commit; off (default) measures the CPU rather than the disk")  # fmt: skip
    add("--clients", type=int, default=4, help="pgbench clients (default: 4)")
    add("--jobs", type=int, default=2, help="pgbench threads (default: 2)")
    add("--rounds", type=int, help="rounds of each engine (5; 3), one less in backlog and clients")
    add("--seconds", type=float, help="length of a round of the slowest engine, about (3; 0.4)")
    add("--snapshot-seconds", type=int, help="how long the snapshot is held (60; 15)")
    add("--fifo-rows", type=int, help="messages of the FIFO queues (1,000,000; 100,000)")
    add("--pgmq-sql", type=Path, default=ROOT / "build" / "pgmq.sql",
        help="this project's SQL (default: build/pgmq.sql)")  # fmt: skip
    add("--cache", type=Path, default=ROOT / ".venv" / "cache",
        help="where upstream's wheel is kept (default: .venv/cache, as the tests)")  # fmt: skip
    add("--json", type=Path, help="write all numbers to this file too")
    return parser.parse_args()


def main() -> None:
    """Run the scenarios asked for."""
    args = arguments()
    if "pgmq" in args.engines and not args.pgmq_sql.exists():
        raise SystemExit(f"{args.pgmq_sql} does not exist: run `make build` first")
    quick = args.quick
    plan = Plan(
        rounds=args.rounds or (3 if quick else 5),
        seconds=args.seconds or (0.4 if quick else 3.0),
        snapshot_seconds=args.snapshot_seconds or (15 if quick else 60),
        bucket=5,
        clients=args.clients,
        jobs=args.jobs,
        fifo_rows=args.fifo_rows or (100_000 if quick else 1_000_000),
    )
    bindir = os.environ.get("PG_BINDIR")
    started = time.monotonic()
    with (
        open_cluster(args.dsn, Path(bindir) if bindir else None, args.pgbench) as cluster,
        open_engines(
            args.engines, cluster.dsn,
            pgmq_sql=args.pgmq_sql, cache=args.cache, sync=args.sync == "on",
        ) as engines,
    ):  # fmt: skip
        server = Server(engines[0].conn)
        settings = {name: engines[0].conn.execute(
            "SELECT current_setting(%s)", [name]).fetchone() for name in SHOWN}  # fmt: skip
        shown = {name: str(row[0]) for name, row in settings.items() if row is not None}
        about = {
            "date": dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
            "server": shown,
            "private_server": cluster.private,
            "clients": plan.clients,
            "jobs": plan.jobs,
            "rounds": plan.rounds,
            "seconds": plan.seconds,
            "cores": os.cpu_count(),
            "load_before": os.getloadavg()[0],
        }
        print(f"{plan.rounds} rounds, pgbench -M prepared -c {plan.clients} -j {plan.jobs}; "
              f"{about['cores']} cores, load before {about['load_before']:.1f}")  # fmt: skip
        print("; ".join(f"{k} {v}" for k, v in shown.items()))
        if server.postmaster is None:
            print("The server is not local: no CPU times.")
        chosen = tuple(c for c in cases.CALLS if c.name in args.cases)
        bench = Bench(engines, server, cluster.pgbench, plan, chosen)
        data: dict[str, Any] = {}
        for name in args.only:
            heading, scenario = SCENARIOS[name]
            text, data[name] = scenario(bench)
            print(f"\n## {heading}\n\n{text}", flush=True)
        print(f"\nTook {time.monotonic() - started:.0f} s.")
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({"about": about, **data}, indent=1) + "\n")


if __name__ == "__main__":
    main()
