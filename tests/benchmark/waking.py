"""Waking consumers: what a send costs that is announced, and how long a message is on its way."""

from __future__ import annotations

import json
import multiprocessing
import statistics
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg

from benchmark import report
from benchmark.cases import MESSAGE, SEND
from benchmark.driver import PgbenchError
from benchmark.report import Series, progress, spread, times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmark.bench import Bench
    from benchmark.engines import Engine

PER_SECOND = 100
OFF = "not announced"
SENDING = {
    OFF: "disable_notify_insert('bench')",
    "throttle 250 ms": "enable_notify_insert('bench', 250)",
    "throttle 0": "enable_notify_insert('bench', 0)",
}
WAKEUPS = {
    "wake-ups, nobody waits": "enable_wakeups('bench')",
    "wake-ups, somebody waits": "await('bench', 3600)",
}


def waking(bench: Bench) -> tuple[str, Any]:
    """Send with and without announcements; then slowly, and measure the way of each message."""
    engines = bench.two()
    rates = {engine.name: _sending(bench, engine) for engine in engines}
    rows = [
        [
            f"{name}: {mode}",
            spread(one.tps),
            spread(one.cpu_us),
            times(report.ratio(one.tps, modes[OFF].tps)),
            times(report.ratio(modes[OFF].cpu_us, one.cpu_us)),
        ]
        for name, modes in rates.items()
        for mode, one in modes.items()
    ]
    heads = ["send", "per second", "CPU us", "to not announced", "by CPU"]
    text = "One message a transaction, while a session listens; the ratios are of speed:\n\n"
    text += report.table(heads, rows) + report.notes(rates)
    seconds = 2 if bench.plan.quick else 20
    ways = {f"{e.name}: {how}": on_the_way(e, how, seconds) for e in engines for how in _ways(e)}
    text += f"\n\nFrom the commit to a client that has it, {PER_SECOND} a second, ms; 1.13's"
    text += " read_with_poll asks every 100 ms:\n\n"
    text += report.table(
        ["woken by", "messages", "median", "p99", "largest"],
        [[how, str(len(one)), *quantiles(one)] for how, one in ways.items()],
    )
    data = {
        name: {mode: one.as_json() for mode, one in modes.items()} for name, modes in rates.items()
    }
    return text, {"sending": data, "milliseconds": ways}


def _sending(bench: Bench, engine: Engine) -> dict[str, Series]:
    modes = SENDING | (WAKEUPS if engine.name == "pgmq" else {})
    pgbench = bench.pgbench()
    results = {mode: Series() for mode in modes}
    per_client = 0
    with psycopg.connect(engine.conninfo, autocommit=True) as listener:
        listener.execute('LISTEN "pgmq.q_bench.INSERT"; LISTEN "pgmq.q_bench.READY"')
        ended = threading.Event()
        thread = threading.Thread(target=_hear, args=(listener, ended))
        thread.start()
        try:
            for number in range(bench.plan.rounds):
                for mode, call in modes.items():
                    engine.create("bench", autovacuum=False)
                    if mode in WAKEUPS:
                        engine.run("SELECT pgmq.enable_wakeups('bench')")
                    engine.run(f"SELECT pgmq.{call}")
                    engine.checkpoint()
                    script = SEND.script(engine.name, "bench")
                    try:
                        if not per_client:
                            run = pgbench.run(engine.conninfo, script, per_client=500)
                            per_client = max(5, int(run.tps * bench.plan.seconds / pgbench.clients))
                        run = pgbench.run(engine.conninfo, script, per_client=per_client)
                        results[mode].add(Series([run]))
                        results[mode].note(run.aborted)
                    except PgbenchError as error:
                        results[mode].note(str(error).splitlines()[0])
                progress(
                    f"{engine.name}, round {number + 1} of {bench.plan.rounds}: "
                    + ", ".join(f"{mode} {s.tps[-1]:,.0f}/s" for mode, s in results.items())
                )
        finally:
            ended.set()
            thread.join()
    return results


def _hear(listener: psycopg.Connection, ended: threading.Event) -> None:
    while not ended.is_set():
        for _ in listener.notifies(timeout=0.2):
            pass


# How a consumer learns of a message: from 1.13's notification, from one that is sent only while
# somebody waits, from a channel that the message itself comes through, or by asking every 100 ms.
SETUP = {
    "LISTEN": "enable_notify_insert('bench', 0)",
    "await": "enable_wakeups('bench')",
    "push": "enable_push('bench')",
    "poll": None,
}
IN_BOTH = ("LISTEN", "poll")


def _ways(engine: Engine) -> tuple[str, ...]:
    return tuple(SETUP) if engine.name == "pgmq" else IN_BOTH


def on_the_way(engine: Engine, how: str, seconds: int) -> list[float]:
    """Return the milliseconds of each message, the producer and the consumer being processes."""
    engine.create("bench", autovacuum=True)
    if SETUP[how] is not None:
        engine.run(f"SELECT pgmq.{SETUP[how]}")
    count = PER_SECOND * seconds
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        consumer = pool.submit(consume, engine.conninfo, how, count)
        time.sleep(1)  # until it listens
        sent = pool.submit(produce, engine.conninfo, count).result()
        got = consumer.result()
    progress(f"{engine.name}, {how}: {len(got)} of {count} arrived")
    return [round(1000 * (got[msg_id] - sent[msg_id]), 3) for msg_id in sent if msg_id in got]


def produce(conninfo: str, count: int, queue: str = "bench") -> dict[int, float]:
    """Send so many messages, and return when each was committed."""
    sent = {}
    with psycopg.connect(conninfo) as session:
        start = time.monotonic()
        for number in range(count):
            time.sleep(max(0.0, start + number / PER_SECOND - time.monotonic()))
            row = session.execute("SELECT pgmq.send(%s, %s::jsonb)", (queue, MESSAGE)).fetchone()
            assert row is not None
            session.commit()
            sent[row[0]] = time.monotonic()
    return sent


def consume(conninfo: str, how: str, count: int) -> dict[int, float]:
    """Read so many messages as they come, and return when each was here; give up after a while."""
    got: dict[int, float] = {}
    take = {"LISTEN": _listen, "await": _await, "push": _pushed, "poll": _poll}[how]
    with psycopg.connect(conninfo, autocommit=True) as session:
        end = time.monotonic() + 10 + count / PER_SECOND
        for one in take(session):
            got.update(one)
            if len(got) >= count or time.monotonic() > end:
                break
    return got


def _read(session: psycopg.Connection, call: str = "read('bench', 30, 10)") -> dict[int, float]:
    rows = session.execute(f"SELECT msg_id FROM pgmq.{call}".encode()).fetchall()
    now = time.monotonic()
    if rows:
        ids = [row[0] for row in rows]
        session.execute("SELECT pgmq.delete('bench', %s::bigint[])", (ids,))
    return {row[0]: now for row in rows}


def _hearken(session: psycopg.Connection) -> None:
    for _ in session.notifies(timeout=0.1, stop_after=1):
        pass


def _listen(session: psycopg.Connection) -> Iterator[dict[int, float]]:
    session.execute('LISTEN "pgmq.q_bench.INSERT"')
    while True:
        while one := _read(session):
            yield one
        _hearken(session)
        yield {}


def _await(session: psycopg.Connection) -> Iterator[dict[int, float]]:
    session.execute('LISTEN "pgmq.q_bench.READY"')
    while True:
        while one := _read(session):
            yield one
        session.execute("SELECT pgmq.await('bench')")
        one = _read(session)
        yield one
        if not one:
            _hearken(session)


def _pushed(session: psycopg.Connection) -> Iterator[dict[int, float]]:
    session.execute("SELECT pgmq.open_channel('bench', 10, 600)")
    while True:
        notes = list(session.notifies(timeout=0.1, stop_after=1))
        now = time.monotonic()
        found = [json.loads(note.payload) for note in notes]
        for one in found:
            lease = (one["msg_id"], one["read_ct"])
            session.execute("SELECT pgmq.ack('bench', %s::bigint, %s)", lease)
        yield {one["msg_id"]: now for one in found}


def _poll(session: psycopg.Connection) -> Iterator[dict[int, float]]:
    while True:
        yield _read(session, "read_with_poll('bench', 30, 10, 1, 100)")


def quantiles(values: list[float]) -> tuple[str, str, str]:
    """Format the median, p99 and the largest."""
    if len(values) < 2:
        return ("-", "-", "-")
    percent = statistics.quantiles(values, n=100)
    return (report.number(percent[49]), report.number(percent[98]), report.number(max(values)))
