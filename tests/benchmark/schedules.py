"""Schedules: what one costs the calls of a queue while nothing is due, and with a tick a second."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any

import psycopg

from benchmark import report
from benchmark.report import progress

if TYPE_CHECKING:
    from benchmark.bench import Bench

# Each is a queue, and the cron expression of its schedule.
QUEUES = {
    "no schedule": ("schedules_none", None),
    "a yearly one": ("schedules_one", "@yearly"),
    "one each second": ("schedules_due", "1 second"),
}
CALLS = {
    "send": "SELECT pgmq.send('{0}', '1')",
    "read 1": "SELECT * FROM pgmq.read('{0}', 3600, 1)",
    "read of an empty queue": "SELECT * FROM pgmq.read('{0}_empty', 3600, 1)",
}
ROUNDS = 20
STEP = 100


def schedules(bench: Bench) -> tuple[str, Any]:
    """Measure calls of queues with a schedule and of one without, in turns; upstream has none."""
    engine = next(engine for engine in bench.two() if engine.name != "upstream")
    for queue, cron in QUEUES.values():
        for name in (queue, f"{queue}_empty"):
            engine.create(name, autovacuum=False)
            if cron is not None:
                engine.run(f"SELECT pgmq.schedule('{name}', '{name}', '{cron}', '1')")
        engine.fill(queue, 2 * ROUNDS * STEP)
    taken: dict[tuple[str, str], list[float]] = {}
    with psycopg.connect(engine.conninfo, autocommit=True) as session:
        for done in range(ROUNDS + 1):
            for title, (queue, _) in QUEUES.items():
                for call, text in CALLS.items():
                    query = text.format(queue).encode()
                    for _ in range(STEP):
                        begun = time.perf_counter()
                        session.execute(query)
                        if done:  # the first round plans
                            passed = (time.perf_counter() - begun) * 1e6
                            taken.setdefault((call, title), []).append(passed)
            progress(f"schedules, round {done} of {ROUNDS}")
    medians = {key: median(times) for key, times in taken.items()}
    rows = [[call, *(f"{medians[call, title]:.0f}" for title in QUEUES)] for call in CALLS]
    text = "Median of a call, with its round trip, in microseconds:\n\n"
    text += report.table(["call", *QUEUES], rows)
    return text, {f"{call}, {title}": value for (call, title), value in medians.items()}
