"""What a read costs in a queue with priorities, whatever waits there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from benchmark import report
from benchmark.fair import timed
from benchmark.report import number, progress

if TYPE_CHECKING:
    from benchmark.bench import Bench
    from benchmark.engines import Engine

QUEUE = "bench_priorities"
WAYS = {
    "without priorities": None,
    "priorities": "priorities => true",
    "priorities, ageing": "priorities => true, priority_ageing => '1 hour'",
}


def priorities(bench: Bench) -> tuple[str, Any]:
    """Measure read of queues with priorities, and of one without; upstream has none."""
    engine = next(engine for engine in bench.two() if engine.name != "upstream")
    rows = bench.plan.fifo_rows
    shapes = {
        "ten, as many of each": ("i % 10", "now()"),
        "all of priority 4": ("4", "now()"),
        "one of 9, behind all others of 0": (f"CASE WHEN i = {rows} THEN 9 ELSE 0 END", "now()"),
        "three quarters delayed, the rest of 0": (
            "CASE WHEN i % 4 = 0 THEN 0 ELSE i % 10 END",
            "now() + CASE WHEN i % 4 = 0 THEN interval '0' ELSE interval '1 day' END",
        ),
    }
    found: dict[str, Any] = {}
    for shape, (priority, vt) in shapes.items():
        found[shape] = {way: _measured(engine, rows, priority, vt, way) for way in WAYS}
        progress(f"{shape}: {json.dumps(found[shape])}")
    engine.run(f"SELECT pgmq.drop_queue('{QUEUE}')")
    table = [
        [shape, way, *(f"{number(ms)} ({pages:,})" for ms, pages in cells)]
        for shape, ways in found.items()
        for way, cells in ways.items()
    ]
    text = (
        f"{rows:,} messages. A read of one session, the median in ms (and pages of one read):\n\n"
    )
    return text + report.table(["what waits", "queue", "1", "100"], table), found


def _measured(
    engine: Engine, rows: int, priority: str, vt: str, way: str
) -> list[tuple[float, int]]:
    engine.create(QUEUE, autovacuum=False)
    headers = f"jsonb_build_object('x-pgmq-priority', {priority})"
    engine.fill(QUEUE, rows, vt=vt, headers=headers)
    if WAYS[way]:
        engine.run(f"SELECT pgmq.set_policy('{QUEUE}', {WAYS[way]})")
    engine.settle(QUEUE)
    engine.checkpoint()
    return timed(engine, QUEUE, "read")
