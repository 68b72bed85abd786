"""What the scenarios share: how long to measure, a fresh queue for each round, engines in turn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from benchmark import report
from benchmark.cases import MESSAGE
from benchmark.driver import SHORT_WARM_UP, WARM_UP, Pgbench, PgbenchError, Server
from benchmark.report import Series, progress, spread, times

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.cases import Case
    from benchmark.engines import Engine

SLACK = 1000  # messages that stay in a queue, so that clients never wait for each other's last
# What a round may take, so that filling the queue does not take longer than the round.
MOST_MESSAGES = 300_000
MOST_BYTES = 100_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often."""

    quick: bool
    rounds: int
    seconds: float  # of one round of the slowest engine
    snapshot_seconds: int
    clients: int
    jobs: int
    fifo_rows: int
    backlog_rows: int

    @property
    def fewer(self) -> int:
        """The number of rounds where there is much to measure."""
        return max(2, self.rounds - 2)


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything a scenario needs."""

    dsn: str
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


@dataclass(frozen=True, slots=True)
class Trial:
    """A case, and under which circumstances it is measured."""

    case: Case
    clients: int
    rounds: int
    seconds: float
    message: str = MESSAGE

    def compare(self, bench: Bench, engines: list[Engine] | None = None) -> dict[str, Series]:
        """Measure the engines in turn, each with as many transactions as the first in the time."""
        engines = engines or bench.engines
        short = self.case.unit > 1 or self.message != MESSAGE
        warm_up = SHORT_WARM_UP if short else WARM_UP if self.clients <= 8 else WARM_UP // 3
        pgbench = bench.pgbench(self.clients, warm_up)
        series = {engine.name: Series() for engine in engines}
        per_client: int | None = None
        for number in range(self.rounds):
            for engine in engines:
                one = series[engine.name]
                if one.notes and not one.runs:
                    continue  # does not work at all
                try:
                    if per_client is None:
                        per_client = self._calibrate(engine, pgbench)
                    one.add(self._round(engine, pgbench, per_client))
                except (PgbenchError, psycopg.Error) as error:
                    one.note(str(error).splitlines()[0])
            progress(
                f"{self.case.title}, {self.clients} clients, {len(self.message)} bytes, "
                f"round {number + 1} of {self.rounds}: "
                + ", ".join(f"{name} {s.tps[-1]:,.0f}/s" for name, s in series.items() if s.runs)
            )
        return series

    def _calibrate(self, engine: Engine, pgbench: Pgbench) -> int:
        """Find out how many transactions a client does in the time given."""
        per_client = max(10, 2 * pgbench.warm_up)
        while True:
            tps = self._round(engine, pgbench, per_client).runs[0].tps
            wanted = math.ceil(tps * self.seconds / pgbench.clients)
            if per_client / max(wanted, 1) > 0.05:
                break
            per_client = max(per_client + 1, wanted // 10)
        messages = min(MOST_MESSAGES, MOST_BYTES // len(self.message))
        return max(5, min(wanted, messages // self.case.unit // pgbench.clients))

    def _round(self, engine: Engine, pgbench: Pgbench, per_client: int) -> Series:
        """Measure one engine once, on a fresh queue, made in the same way for each engine."""
        transactions = (per_client + 2 * pgbench.warm_up) * pgbench.clients
        takes = self.case.takes
        waiting = transactions * takes + max(SLACK, 2 * pgbench.clients * takes)
        engine.checkpoint()
        engine.create("bench", autovacuum=False)
        engine.fill("bench", waiting, message=self.message)
        engine.settle("bench")
        variables = {"waiting": str(waiting), "msg": self.message}
        return measure(engine, self.case, pgbench, per_client, "bench", variables)


def measure(
    engine: Engine,
    case: Case,
    pgbench: Pgbench,
    per_client: int,
    queue: str,
    variables: dict[str, str] | None = None,
) -> Series:
    """Run a case, and check that it did what was asked; what found nothing does not count."""
    before, work = engine.count(queue, case.counted), engine.work(queue)
    run = pgbench.run(
        engine.conninfo,
        case.script(engine.name, queue),
        per_client=per_client,
        variables=variables,
        per_command=True,
    )
    run = run.worked(engine.work(queue) - work)
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


def in_turns(
    bench: Bench,
    engine: Engine,
    script: str,
    queues: dict[str, str],
    prepare: Callable[[str, int], None],
) -> dict[str, Series]:
    """Run a script that takes one message at a time on several queues of an engine, by title.

    {0} in it stands for the queue, which prepare() makes with so many messages.
    """
    pgbench = bench.pgbench()
    results = {title: Series() for title in queues}
    count = 0
    for done in range(bench.plan.rounds + 1):
        # In turns, and each as often the first: the machine changes meanwhile.
        for title in sorted(queues, reverse=done % 2 > 0):
            queue, series = queues[title], results[title]
            per_client = count or 500
            engine.checkpoint()
            prepare(title, (per_client + 3 * pgbench.warm_up) * pgbench.clients)
            engine.settle(queue)
            waiting = engine.count(queue)
            run = pgbench.run(engine.conninfo, script.format(queue), per_client=per_client)
            if not done:  # only to find out how many there are in the time
                count = int(run.tps * bench.plan.seconds / pgbench.clients)
                continue
            series.add(Series([run]))
            series.note(run.aborted)
            if engine.count(queue) != waiting - run.transactions:
                series.note("not every call found a message")
        if done:
            progress(
                f"in turns, round {done} of {bench.plan.rounds}: "
                + ", ".join(f"{title} {s.tps[-1]:,.0f}/s" for title, s in results.items())
            )
    return results


Results = dict[str, dict[str, Series]]  # by case and engine


def ratios(results: Results, names: list[str], title: str, by: Callable[[Series], Any]) -> str:
    """Show a figure of each engine, and how many times as fast as others it is."""
    pairs = [
        (a, b) for a, b in (("pgmq", "upstream"), ("pgmq", "by_hand"), ("by_hand", "upstream"))
        if a in names and b in names
    ]  # fmt: skip
    rows = []
    for case, series in results.items():
        values = {name: by(series[name]) for name in names}
        # Of rates the larger is better, of costs the smaller.
        compared = [
            report.ratio(values[a], values[b])
            if title.startswith("Transactions")
            else report.ratio(values[b], values[a])
            for a, b in pairs
        ]
        rows.append([case, *(spread(values[name]) for name in names), *map(times, compared)])
    heads = ["case", *names, *(f"{a} / {b}" for a, b in pairs)]
    return f"{title}:\n\n{report.table(heads, rows)}"


def comparison(results: Results, names: list[str]) -> str:
    """Show rates, CPU times, what they write and touch, and ratios."""
    parts = [
        ratios(
            results, names,
            "Transactions per second, median (min-max), and median of each round's ratio",
            lambda s: s.tps,
        )
    ]  # fmt: skip
    if any(s.cpu_us for series in results.values() for s in series.values()):
        title = "Backend CPU time per transaction, us; the ratios are of speed, as above"
        parts.append(ratios(results, names, title, lambda s: s.cpu_us))
    rows = []
    for case, series in results.items():
        row = [case]
        for name in names:
            row += [report.middle(series[name].wal_bytes)]
            row += [report.middle(series[name].blocks)]
        rows.append(row)
    heads = ["case", *(f"{name}: {what}" for name in names for what in ("WAL bytes", "buffers"))]
    parts.append("Per transaction, median; buffers of the queue's tables, indexes and sequences:")
    parts.append(report.table(heads, rows))
    return "\n\n".join(parts) + report.notes(results)


def as_json(results: Results) -> dict[str, Any]:
    """Return the runs of each case and engine."""
    return {
        title: {name: one.as_json() for name, one in series.items()}
        for title, series in results.items()
    }
