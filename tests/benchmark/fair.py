"""What a read by turns costs, whatever the number of groups and the length of the longest."""

from __future__ import annotations

import json
import time
from statistics import median
from typing import TYPE_CHECKING, Any

import psycopg

from benchmark import report
from benchmark.report import number, progress

if TYPE_CHECKING:
    from benchmark.bench import Bench
    from benchmark.engines import Engine

QUEUE = "bench_fair"
CALLS = 40


def fair(bench: Bench) -> tuple[str, Any]:
    """Measure read_fair, and read under max_in_flight_per_group; upstream has neither."""
    engine = next(engine for engine in bench.two() if engine.name != "upstream")
    rows = bench.plan.fifo_rows
    long = rows * 95 // 100
    shapes = {
        "1 group": "'g'",
        "1,000 groups": "'g' || i % 1000",
        f"{rows // 10:,} groups": f"'g' || i % {rows // 10}",
        f"one of {long:,}, then 1,000 groups": f"CASE WHEN i <= {long} THEN 'long'"
        " ELSE 'g' || i % 1000 END",
    }
    found: dict[str, Any] = {}
    for shape, group in shapes.items():
        found[shape] = {"read_fair": _measured(engine, rows, group, "read_fair")}
        found[shape]["read, at most 5 of a group"] = _measured(engine, rows, group, "read")
        progress(f"{shape}: {json.dumps(found[shape])}")
    engine.run(f"SELECT pgmq.drop_queue('{QUEUE}')")
    table = [
        [shape, call, *(f"{number(ms)} ({pages:,})" for ms, pages in cells)]
        for shape, calls in found.items()
        for call, cells in calls.items()
    ]
    text = (
        f"{rows:,} messages. A call of one session, the median in ms (and pages of one call):\n\n"
    )
    return text + report.table(["queue", "call", "1", "100"], table), found


def _measured(engine: Engine, rows: int, group: str, function: str) -> list[tuple[float, int]]:
    """Return the time and the pages of calls for 1 and for 100 messages."""
    engine.create(QUEUE, autovacuum=False)
    engine.run(f"SELECT pgmq.create_fair_index('{QUEUE}')")
    if function == "read":
        engine.run(f"SELECT pgmq.set_policy('{QUEUE}', max_in_flight_per_group => 5)")
    engine.fill(QUEUE, rows, vt="now()", headers=f"jsonb_build_object('x-pgmq-group', {group})")
    engine.settle(QUEUE)
    engine.checkpoint()
    return timed(engine, QUEUE, function)


def timed(engine: Engine, queue: str, function: str) -> list[tuple[float, int]]:
    """Return the time and the pages of calls for 1 and for 100 messages, which are deleted."""
    cells = []
    with psycopg.connect(engine.conninfo, autocommit=True) as session:
        for quantity in (1, 100):
            query = f"SELECT * FROM pgmq.{function}('{queue}', 3600, {quantity})".encode()
            taken = []
            for _ in range(CALLS + 3):
                begun = time.perf_counter()
                ids = [row[0] for row in session.execute(query).fetchall()]
                taken.append((time.perf_counter() - begun) * 1000)
                session.execute(f"SELECT pgmq.delete('{queue}', %s::bigint[])".encode(), [ids])
            plan = session.execute(b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + query).fetchone()
            assert plan is not None
            node = plan[0][0]["Plan"]
            pages = node["Shared Hit Blocks"] + node["Shared Read Blocks"]
            cells.append((median(taken[3:]), pages))
    return cells
