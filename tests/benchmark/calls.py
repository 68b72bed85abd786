"""The calls themselves: quantities, payloads, commits that wait for the disk, many clients."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmark import cases, report
from benchmark.bench import Bench, Trial, as_json, comparison
from benchmark.report import Series, spread

if TYPE_CHECKING:
    from benchmark.bench import Results

SIZES = (2_000, 50_000)  # bytes; `calls` has 100
CLIENTS = (1, 2, 4, 8, 16, 32, 64, 128)
FEW_CLIENTS = (1, 64)


def _shown(bench: Bench, results: Results) -> tuple[str, Any]:
    return comparison(results, [e.name for e in bench.engines]), as_json(results)


def calls(bench: Bench) -> tuple[str, Any]:
    """Run every case on a queue that holds nothing else."""
    plan = bench.plan
    return _shown(
        bench,
        {
            case.title: Trial(
                case, plan.clients, plan.rounds if case in cases.CORE else plan.fewer, plan.seconds
            ).compare(bench)
            for case in bench.cases
        },
    )


def payloads(bench: Bench) -> tuple[str, Any]:
    """Run some cases with larger messages."""
    plan = bench.plan
    some = (cases.SEND, cases.send_batch(10), cases.read_delete(1), cases.read_delete(10))
    return _shown(
        bench,
        {
            f"{case.title}, {size // 1000} kB": Trial(
                case, plan.clients, plan.fewer, plan.seconds, cases.payload(size)
            ).compare(bench)
            for size in SIZES
            for case in some
        },
    )


def durable(bench: Bench) -> tuple[str, Any]:
    """Run some cases with commits that wait for the disk."""
    plan = bench.plan
    on = [
        replace(e, conninfo=e.conninfo.replace("synchronous_commit=off", "synchronous_commit=on"))
        for e in bench.engines
    ]
    some = (cases.SEND, cases.send_batch(100), cases.read_delete(1), cases.CYCLE)
    return _shown(
        bench,
        {
            case.title: Trial(case, plan.clients, plan.fewer, plan.seconds).compare(bench, on)
            for case in some
        },
    )


def clients(bench: Bench) -> tuple[str, Any]:
    """Run the cycle with more and more clients."""
    plan = bench.plan
    return _shown(
        bench,
        {
            f"{number} client{'s'[: number - 1]}": Trial(
                cases.CYCLE, number, plan.fewer, plan.seconds
            ).compare(bench)
            for number in (FEW_CLIENTS if plan.quick else CLIENTS)
        },
    )


def layers(bench: Bench) -> tuple[str, Any]:
    """Measure by hand, by a queue's own function, and by the public one."""
    plan = bench.plan
    engine = next(e for e in bench.engines if e.name == "pgmq")
    engine.run(
        "CREATE OR REPLACE FUNCTION pgmq.empty_function() RETURNS void LANGUAGE plpgsql"
        " AS 'BEGIN END'"
    )
    results: Results = {
        title: {case.title: Series() for case in some} for title, some in cases.LAYERS.items()
    }
    for _ in range(plan.fewer):
        for title, some in cases.LAYERS.items():
            for case in some:
                one = Trial(case, plan.clients, 1, plan.seconds).compare(bench, [engine])
                results[title][case.title].add(one[engine.name])
    engine.run("DROP FUNCTION pgmq.empty_function()")
    names = ("by hand", "compiled", "public")
    rows = []
    for title, series in results.items():
        found = [series.get(name, Series()) for name in names]
        rows.append([title, *(spread(s.tps) for s in found), *(spread(s.cpu_us) for s in found)])
    heads = ["", *names, *(f"{name}: CPU us" for name in names)]
    text = "Transactions per second, and CPU time for one; *compiled* is the queue's own function,"
    text += " called directly, *public* the one that finds it by the queue's name:\n\n"
    return text + report.table(heads, rows) + report.notes(results), as_json(results)
