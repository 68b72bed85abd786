"""Routing: what one message to three queues costs with more and more bindings that do not match."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from benchmark import report
from benchmark.driver import PgbenchError
from benchmark.report import Series, progress, spread, times

if TYPE_CHECKING:
    from benchmark.bench import Bench
    from benchmark.driver import Pgbench
    from benchmark.engines import Engine

KEY = "orders.eu.created"
MATCHING = {"routing_a": "orders.*.created", "routing_b": "orders.#", "routing_c": KEY}
# A fifth of each shape, $ being a number: all but the last have something of the key in them.
OTHERS = ("orders.eu$.created", "orders.*.x$", "#.y$", "*.*.z$.#", "w$.#")
SIZES = (3, 100, 10_000)


@dataclass(frozen=True, slots=True)
class Target:
    """One way to route, on one engine."""

    engine: Engine
    title: str
    script: str
    table: str  # that the bindings are in
    columns: str
    values: str

    def bind(self, size: int) -> None:
        """Bind the three queues, and fill up with bindings that do not match."""
        others = ", ".join(f"replace('{shape}', '$', i::text)" for shape in OTHERS)
        self.engine.run(f"TRUNCATE {self.table}")
        rows = [f"SELECT '{pattern}', '{queue}'" for queue, pattern in MATCHING.items()]
        rows.append(
            f"SELECT (ARRAY[{others}])[i % {len(OTHERS)} + 1], 'routing_other'"
            f" FROM generate_series(1, {size - len(MATCHING)}) AS i"
        )
        self.engine.run(
            f"INSERT INTO {self.table} ({self.columns}) SELECT {self.values}"
            f" FROM ({' UNION ALL '.join(rows)}) AS r (pattern, queue_name)"
        )
        self.engine.run(f"VACUUM (ANALYZE) {self.table}")
        for queue in MATCHING:
            self.engine.run(f"TRUNCATE pgmq.q_{queue}")
        self.engine.checkpoint()

    def sent(self) -> int:
        """Count what has arrived."""
        return sum(self.engine.count(queue) for queue in MATCHING)

    def measure(self, pgbench: Pgbench, per_client: int) -> Series:
        """Measure once; every transaction must have reached all three queues."""
        before = self.sent()
        run = pgbench.run(self.engine.conninfo, self.script, per_client=per_client)
        series = Series([run])
        series.note(run.aborted)
        if self.sent() - before != len(MATCHING) * run.transactions:
            series.note("not every message reached its queues")
        return series

    def attempt(
        self, pgbench: Pgbench, size: int, seconds: float, counts: dict[tuple[str, int], int]
    ) -> Series:
        """Measure one round: as many transactions as took the time when they were first counted."""
        try:
            self.bind(size)
            key = (self.title, size)
            if key not in counts:
                tps = self.measure(pgbench, 5).runs[0].tps
                counts[key] = max(5, int(tps * seconds / pgbench.clients))
            return self.measure(pgbench, counts[key])
        except (PgbenchError, psycopg.Error) as error:
            return Series(notes=[str(error).splitlines()[0]])


def _targets(engine: Engine) -> list[Target]:
    for queue in (*MATCHING, "routing_other"):
        engine.create(queue, autovacuum=False)
    topic = Target(
        engine,
        f"{engine.name}: send_topic",
        f"SELECT pgmq.send_topic('{KEY}', :msg::jsonb);\n",
        "pgmq.topic_bindings",
        "pattern, queue_name",
        "r.pattern, r.queue_name",
    )
    if engine.name == "upstream":
        return [topic]
    engine.run("SELECT pgmq.create_exchange('bench')")
    publish = Target(
        engine,
        f"{engine.name}: publish",
        f"SELECT pgmq.publish('bench', '{KEY}', :msg::jsonb);\n",
        "pgmq.binding",
        "exchange_name, kind, pattern, queue_name",
        "'bench', 'topic', r.pattern, r.queue_name",
    )
    return [topic, publish]


def routing(bench: Bench) -> tuple[str, Any]:
    """Send a message to three queues by send_topic and by publish, with 3 to 10,000 bindings."""
    pgbench = bench.pgbench()
    targets = [target for engine in bench.two() for target in _targets(engine)]
    results = {
        f"{size:,} bindings": {target.title: Series() for target in targets} for size in SIZES
    }
    # Each does what it can in the time: they differ several hundredfold.
    counts: dict[tuple[str, int], int] = {}
    for number in range(bench.plan.fewer):
        for size, series in zip(SIZES, results.values(), strict=True):
            for target in targets:
                series[target.title].add(target.attempt(pgbench, size, bench.plan.seconds, counts))
            progress(
                f"{size:,} bindings, round {number + 1} of {bench.plan.fewer}: "
                + ", ".join(f"{name} {s.tps[-1]:,.0f}/s" for name, s in series.items() if s.runs)
            )
    few = next(iter(results.values()))
    rows = []
    for title, series in results.items():
        row = [title]
        for name, one in series.items():
            row += [spread(one.tps), spread(one.cpu_us)]
            row.append(times(report.ratio(one.cpu_us, few[name].cpu_us)))
        rows.append(row)
    heads = [
        f"{target.title}: {what}"
        for target in targets
        for what in ("per second", "CPU us", "to 3 bindings")
    ]
    text = "One message to three queues; the ratio says how many times the CPU of 3 bindings:\n\n"
    text += report.table(["of which 3 match", *heads], rows) + report.notes(results)
    return text, {
        title: {name: one.as_json() for name, one in series.items()}
        for title, series in results.items()
    }
