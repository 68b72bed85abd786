"""Push delivery: how soon, how much beside pulling, and what it costs those who send."""

from __future__ import annotations

import json
import statistics
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg

from benchmark import report
from benchmark.report import Series, number, progress, spread, times

if TYPE_CHECKING:
    from benchmark.bench import Bench
    from benchmark.engines import Engine

BACKLOG = 5_000
SLOTS = 10
RATE = 100
SEND = "SELECT pgmq.send('{}', :msg::jsonb);\n"
# Each is a queue; what is done to it before its sends are measured.
SENDERS = {
    "plain": "SELECT 1",
    "enabled, no channel": "SELECT pgmq.enable_push('push_none')",
    "all slots filled": f"SELECT pgmq.open_channel('push_full', {SLOTS}, 36000)",
}
QUEUES = dict(zip(SENDERS, ("push_plain", "push_none", "push_full"), strict=True))


def _session(conninfo: str) -> psycopg.Connection:
    session = psycopg.connect(conninfo, autocommit=True, prepare_threshold=0)
    session.execute("SET synchronous_commit = off")
    return session


def _take_pushed(conninfo: str) -> tuple[int, float]:
    """Acknowledge what is pushed until nothing more comes; say how many and when the last."""
    session = _session(conninfo)
    session.execute("SELECT pgmq.open_channel('push_q', %s, 600)", (SLOTS,))
    done, last = 0, time.time()
    while notes := list(session.notifies(timeout=1, stop_after=1)):
        for note in notes:
            payload = json.loads(note.payload)
            lease = (payload["msg_id"], payload["read_ct"])
            session.execute("SELECT pgmq.ack('push_q', %s::bigint, %s)", lease)
            done += 1
        last = time.time()
    return done, last


def _take_read(conninfo: str) -> tuple[int, float]:
    """Do the same by reading one message after the other."""
    session = _session(conninfo)
    done, last = 0, time.time()
    while row := session.execute(
        "SELECT msg_id, read_ct FROM pgmq.read('push_q', 600, 1)"
    ).fetchone():
        session.execute("SELECT pgmq.ack('push_q', %s::bigint, %s)", row)
        done += 1
        last = time.time()
    return done, last


def _drain(engine: Engine, consumers: int, pushed: bool) -> float:
    """Return the messages per second with which a backlog goes."""
    engine.create("push_q", autovacuum=False)
    if pushed:
        engine.run("SELECT pgmq.enable_push('push_q')")
    engine.run(
        "INSERT INTO pgmq.q_push_q (vt, message) SELECT now(), to_jsonb(i)"
        f" FROM generate_series(1, {BACKLOG}) AS i"
    )
    engine.settle("push_q")
    with ProcessPoolExecutor(consumers) as pool:
        start = time.time()
        take = _take_pushed if pushed else _take_read
        results = list(pool.map(take, [engine.conninfo] * consumers))
    assert sum(done for done, _ in results) == BACKLOG
    return BACKLOG / (max(last for _, last in results) - start)


def _latencies(engine: Engine, seconds: float) -> list[float]:
    """Return the milliseconds from before a send to when the consumer has it."""
    engine.create("push_q", autovacuum=False)
    consumer, producer = _session(engine.conninfo), _session(engine.conninfo)
    consumer.execute("SELECT pgmq.open_channel('push_q', %s, 600)", (SLOTS,))
    count = int(RATE * seconds)

    def produce() -> None:
        start = time.monotonic()
        for n in range(count):
            time.sleep(max(0.0, start + n / RATE - time.monotonic()))
            producer.execute(
                "SELECT pgmq.send('push_q', to_jsonb(%s::float8))", (time.monotonic(),)
            )

    thread = threading.Thread(target=produce)
    thread.start()
    found: list[float] = []
    while len(found) < count:
        for note in list(consumer.notifies(timeout=1, stop_after=1)):
            payload = json.loads(note.payload)
            found.append(1000 * (time.monotonic() - payload["message"]))
            consumer.execute(
                "SELECT pgmq.ack('push_q', %s::bigint, %s)", (payload["msg_id"], payload["read_ct"])
            )
    thread.join()
    return sorted(found)


def _sends(bench: Bench, engine: Engine) -> dict[str, Series]:
    """Measure sends to queues that push, and to one that does not, in turns."""
    pgbench = bench.pgbench()
    results = {title: Series() for title in SENDERS}
    count = 0
    for _ in range(bench.plan.fewer):
        for title, queue in QUEUES.items():
            engine.create(queue, autovacuum=False)
            with _session(engine.conninfo) as consumer:
                consumer.execute(SENDERS[title].encode())
                for _ in range(SLOTS):
                    consumer.execute("SELECT pgmq.send(%s, '1')", (queue,))
                script = SEND.format(queue)
                if not count:
                    first = pgbench.run(engine.conninfo, script, per_client=500)
                    count = int(first.tps * bench.plan.seconds / pgbench.clients)
                run = pgbench.run(engine.conninfo, script, per_client=count)
                results[title].add(Series([run]))
    return results


def push(bench: Bench) -> tuple[str, Any]:
    """Measure push delivery; upstream has none."""
    engine = next(engine for engine in bench.two() if engine.name != "upstream")
    found = _latencies(engine, 4 * bench.plan.seconds)
    latency = {
        "p50": statistics.median(found),
        "p99": found[int(len(found) * 0.99)],
        "max": found[-1],
    }
    progress(f"latency {latency}")
    drained: dict[str, list[float]] = {}
    for _ in range(bench.plan.fewer):
        for consumers in (1, 4):
            for pushed in (False, True):
                how = "push, ack" if pushed else "read 1, ack"
                key = f"{consumers} consumer{'s'[: consumers - 1]}: {how}"
                drained.setdefault(key, []).append(_drain(engine, consumers, pushed))
                progress(f"{key}: {drained[key][-1]:,.0f}/s")
    sends = _sends(bench, engine)
    text = f"From before a send to having it, ms, at {RATE} messages per second:\n\n"
    text += report.table(list(latency), [[number(ms) for ms in latency.values()]])
    text += f"\n\nA backlog of {BACKLOG:,}; a channel has {SLOTS} slots:\n\n"
    text += report.table(["", "per second"], [[key, spread(v)] for key, v in drained.items()])
    plain = sends["plain"]
    rows = [
        [key, spread(s.tps), spread(s.cpu_us), times(report.ratio(s.cpu_us, plain.cpu_us))]
        for key, s in sends.items()
    ]
    text += "\n\nA send; the ratio says how many times the CPU of a plain queue:\n\n"
    text += report.table(["to a queue", "per second", "CPU us", "to plain"], rows)
    return text, {
        "latency_ms": latency,
        "backlog_per_second": drained,
        "sends": {key: s.as_json() for key, s in sends.items()},
    }
