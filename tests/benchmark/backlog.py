"""Cost against backlog: a read and its delete, with more and more messages ahead of them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from benchmark import cases, report
from benchmark.bench import SLACK, Bench, as_json, measure
from benchmark.driver import PgbenchError
from benchmark.report import Series, progress, spread, times

if TYPE_CHECKING:
    from benchmark.bench import Results
    from benchmark.driver import Pgbench
    from benchmark.engines import Engine

CASE = cases.read_delete(1)
EMPTY = "nothing else in the queue"
SIZES = (1_000, 10_000, 100_000, 1_000_000)


@dataclass(frozen=True, slots=True)
class Kind:
    """In what state the messages are that lie ahead."""

    name: str
    title: str
    vt: str = "now()"
    leased: bool = False
    wait: float = 0  # seconds until they are what their title says

    @property
    def queue(self) -> str:
        """The queue they are in."""
        return f"bench_{self.name}"

    @property
    def readable(self) -> bool:
        """Say whether these are the messages that are read."""
        return not self.leased and "hour" not in self.vt

    def grow(self, engine: Engine, more: int) -> None:
        """Put more messages ahead, in the ways users do."""
        if not self.readable:  # what is left of the last round would be ahead of them
            engine.run(f"DELETE FROM pgmq.q_{self.queue} WHERE vt <= now()")
        engine.fill(self.queue, more, vt=self.vt)
        engine.settle(self.queue)
        if self.leased:
            engine.run(f"SELECT count(*) FROM pgmq.read('{self.queue}', 36000, {more})")
            engine.settle(self.queue)


KINDS = (
    Kind("visible", "visible"),
    Kind("delayed", "delayed by ten hours", vt="now() + interval '10 hours'"),
    Kind("in_flight", "in flight", leased=True),
    Kind("due", "fallen due at once", vt="now() + interval '2 seconds'", wait=2.5),
)


def _measure(engine: Engine, kind: Kind, pgbench: Pgbench, per_client: int) -> Series:
    taken = (per_client + 2 * pgbench.warm_up) * pgbench.clients + SLACK
    if not kind.readable or engine.count(kind.queue) < taken or kind.name == "visible":
        engine.fill(kind.queue, taken)
    engine.settle(kind.queue)
    engine.checkpoint()
    return measure(engine, CASE, pgbench, per_client, kind.queue)


def _rounds(bench: Bench, kind: Kind, title: str) -> dict[str, Series]:
    pgbench, plan = bench.pgbench(clients=1), bench.plan
    series = {engine.name: Series() for engine in bench.two()}
    counts: dict[str, int] = {}
    for number in range(plan.fewer):
        for engine in bench.two():
            one = series[engine.name]
            try:
                if engine.name not in counts:
                    # Each engine does what it can in the time, since they differ a thousandfold,
                    # and each is compared with itself.
                    tps = _measure(engine, kind, pgbench, 5).runs[0].tps
                    counts[engine.name] = max(5, min(int(tps * plan.seconds), 10_000))
                one.add(_measure(engine, kind, pgbench, counts[engine.name]))
            except (PgbenchError, psycopg.Error) as error:
                one.note(str(error).splitlines()[0])
        progress(
            f"behind {title}, round {number + 1} of {plan.fewer}: "
            + ", ".join(f"{name} {s.tps[-1]:,.0f}/s" for name, s in series.items() if s.runs)
        )
    return series


def backlog(bench: Bench) -> tuple[str, Any]:
    """Run read + delete by one client behind other messages."""
    results: Results = {}
    for kind in KINDS:
        for engine in bench.two():
            engine.create(kind.queue, autovacuum=False)
        if not results:
            results[EMPTY] = _rounds(bench, kind, EMPTY)
        before = 0
        sizes = SIZES[1:] if bench.plan.quick else SIZES
        for size in (s for s in sizes if s <= bench.plan.backlog_rows):
            for engine in bench.two():
                kind.grow(engine, size - before)
            time.sleep(kind.wait)
            before = size
            title = f"{size:,} {kind.title}"
            results[title] = _rounds(bench, kind, title)
        for engine in bench.two():
            engine.run(f"SELECT pgmq.drop_queue('{kind.queue}')")
    return _shown(results, [e.name for e in bench.two()]), as_json(results)


def _shown(results: Results, names: list[str]) -> str:
    rows = []
    for title, series in results.items():
        row = [title]
        for name in names:
            one, empty = series[name], results[EMPTY][name]
            row += [
                spread(one.tps),
                spread(one.cpu_us),
                spread([1000 * ms for ms in one.first_command_ms]),
                times(report.ratio(one.first_command_ms, empty.first_command_ms)),
                report.middle(one.blocks),
            ]
        rows.append(row)
    heads = [
        f"{name}: {what}"
        for name in names
        for what in ("per second", "CPU us", "the read's latency us", "to none", "buffers")
    ]
    text = "Read 1 + delete by one client; the ratios say how many times as long a read takes:\n\n"
    return text + report.table(["ahead", *heads], rows) + report.notes(results)
