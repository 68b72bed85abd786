"""A long transaction: the rate while another session holds a snapshot, and afterwards."""

from __future__ import annotations

import contextlib
from statistics import median
from typing import TYPE_CHECKING, Any

import psycopg

from benchmark import cases, report
from benchmark.bench import SLACK, Bench
from benchmark.driver import PgbenchError
from benchmark.report import number, progress, times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmark.driver import Bucket
    from benchmark.engines import Engine

HELD, ENDED, VACUUMED = "held", "ended", "vacuumed"
JOBS = 10  # a connection
AFTERWARDS, QUICK_AFTERWARDS = 3, 1  # turns after the snapshot's end, and after vacuum


@contextlib.contextmanager
def _snapshot(engine: Engine) -> Iterator[None]:
    with psycopg.connect(engine.conninfo) as holder:
        holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        holder.execute("SELECT 1")
        yield


def snapshot(bench: Bench) -> tuple[str, Any]:
    """Run the cycle, so many seconds each engine in turn, in three phases.

    Each database's snapshot is held throughout the first phase, during the other's turns too.
    """
    turn = 5 if bench.plan.quick else 10
    turns = bench.plan.snapshot_seconds // (turn * len(bench.two()))
    found: dict[str, dict[str, list[Bucket]]] = {
        engine.name: {HELD: [], ENDED: [], VACUUMED: []} for engine in bench.two()
    }
    notes: list[str] = []

    def go(phase: str, turns: int) -> None:
        for done in range(turns):
            for engine in bench.two():
                try:
                    buckets, aborted = bench.pgbench().watch(
                        engine.conninfo,
                        cases.CYCLE.script(engine.name, "bench"),
                        seconds=turn,
                        bucket=turn,
                    )
                except PgbenchError as error:
                    buckets, aborted = [], str(error)
                found[engine.name][phase] += buckets
                if aborted:
                    notes.append(f"- {engine.name}, {phase}: {aborted}")
            progress(
                f"snapshot {phase}, turn {done + 1} of {turns}: "
                + ", ".join(f"{n} {p[phase][-1].tps:,.0f}/s" for n, p in found.items() if p[phase])
            )

    with contextlib.ExitStack() as stack:
        for engine in bench.two():
            engine.create("bench", autovacuum=True)
            engine.fill("bench", SLACK)
            engine.settle("bench")
            engine.checkpoint()
            stack.enter_context(_snapshot(engine))
        go(HELD, turns)
    afterwards = QUICK_AFTERWARDS if bench.plan.quick else AFTERWARDS
    go(ENDED, afterwards)
    for engine in bench.two():
        engine.run("VACUUM pgmq.q_bench")
    go(VACUUMED, afterwards)
    data = {
        name: {
            phase: [{"tps": b.tps, "cpu_us": b.cpu_us} for b in buckets]
            for phase, buckets in phases.items()
        }
        for name, phases in found.items()
    }
    about = {"held_seconds": turns * turn * len(found), "turn_seconds": turn}
    return _shown(found, about, notes), {**about, "engines": data}


def _shown(
    found: dict[str, dict[str, list[Bucket]]], about: dict[str, int], notes: list[str]
) -> str:
    heads = [f"{name}: {what}" for name in found for what in ("per second", "CPU us")]
    held = [phases[HELD] for phases in found.values()]
    fifth = max(1, max(map(len, held)) // 5)

    def row(title: str, phase: str, first: int, last: int) -> list[str]:
        cells = [title]
        for phases in found.values():
            part = phases[phase][first:last]
            cpu = [b.cpu_us for b in part if b.cpu_us is not None]
            cells.append(number(median(b.tps for b in part)) if part else "-")
            cells.append(number(median(cpu)) if cpu else "-")
        return cells

    seconds = about["turn_seconds"] * len(found)
    rows = [
        row(f"held, {i * seconds}-{(i + fifth) * seconds} s", HELD, i, i + fifth)
        for i in range(0, max(map(len, held)), fifth)
    ]
    rows.append(row("after its end", ENDED, 0, AFTERWARDS))
    rows.append(row("after vacuum", VACUUMED, 0, AFTERWARDS))
    ends = ["**held: last / first turn**"]
    for buckets in held:
        ends.append(times(buckets[-1].tps / buckets[0].tps if buckets else None))
        cpus = [b.cpu_us for b in buckets if b.cpu_us]
        ends.append(times(cpus[-1] / cpus[0] if cpus else None))
    rows.append(ends)
    text = (
        f"Send + read + delete while a snapshot is held for {about['held_seconds']} s in all, the"
        f" engines in turns of {about['turn_seconds']} s; medians of the turns:\n\n"
    )
    text += report.table(["time", *heads], rows)
    return text + ("\n\n" + "\n".join(notes) if notes else "")


def connections(bench: Bench) -> tuple[str, Any]:
    """Run the cycle under a held snapshot, by three ways of using connections, in turns."""
    turn = 5 if bench.plan.quick else 10
    cycle = cases.CYCLE.script("pgmq", "bench")
    reset = "\n".join(f"{line}\nRESET ALL;" for line in cycle.strip().split("\n"))
    ways: dict[str, tuple[str, tuple[str, ...], int]] = {
        "kept": (cycle, (), 1),
        "RESET ALL after each call": (reset, (), 1),
        f"a connection for every {JOBS} jobs": (cycle * JOBS, ("-C",), JOBS),
    }
    found: dict[str, list[float]] = {way: [] for way in ways}
    engine = next(engine for engine in bench.engines if engine.name == "pgmq")
    for place in range(len(ways)):
        engine.create(f"bench{place}", autovacuum=True)
        engine.fill(f"bench{place}", SLACK)
        engine.settle(f"bench{place}")
    with _snapshot(engine):
        for _ in range(max(3, bench.plan.snapshot_seconds // (turn * len(ways)))):
            for place, (way, (script, options, jobs)) in enumerate(ways.items()):
                buckets, aborted = bench.pgbench().watch(
                    engine.conninfo,
                    script.replace("bench", f"bench{place}"),
                    seconds=turn,
                    bucket=turn,
                    options=options,
                )
                if aborted:
                    raise PgbenchError(f"{way}: {aborted}")
                found[way].append(jobs * buckets[0].tps)
            progress(
                "connections: "
                + ", ".join(f"{way} {rates[-1]:,.0f}/s" for way, rates in found.items())
            )
    rows = [
        [
            way,
            number(rates[0]),
            number(median(rates)),
            number(rates[-1]),
            times(rates[-1] / rates[0]),
        ]
        for way, rates in found.items()
    ]
    text = (
        f"Send + read + delete by {bench.plan.clients} clients under a held snapshot, cycles a"
        f" second, in turns of {turn} s:\n\n"
    )
    text += report.table(["connections", "first turn", "median", "last turn", "last / first"], rows)
    return text, {"turn_seconds": turn, "rates": found}
