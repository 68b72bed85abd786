"""Many groups on a stream, and many streams: what they cost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg

from benchmark import report
from benchmark.cases import MESSAGE
from benchmark.driver import backend_seconds
from benchmark.report import number, progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.bench import Bench
    from benchmark.engines import Engine

GROUPS, QUICK_GROUPS = 1000, 50
STREAMS, QUICK_STREAMS = 2000, 40
USED = 50  # streams that a session has used
MEMORY = """
    SELECT sum(CASE name WHEN 'CacheMemoryContext' THEN used_bytes ELSE total_bytes END) / 1000
    FROM pg_backend_memory_contexts
"""
CATALOGS = """
    SELECT sum(pg_total_relation_size(oid)) / 1000 FROM pg_class
    WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r'
"""


class Timer:
    """A session, and how long its calls take."""

    def __init__(self, engine: Engine) -> None:
        self.conn = psycopg.connect(engine.conninfo, autocommit=True)

    def call(self, sql: str, *values: Any) -> list[Any]:
        """Run a statement."""
        return self.conn.execute(sql.encode(), values, prepare=True).fetchall()

    def cpu(self, work: Callable[[], Any]) -> float:
        """Do something, and return the CPU that it took, in ms."""
        before = backend_seconds(self.conn) or 0.0
        work()
        return 1e3 * ((backend_seconds(self.conn) or 0.0) - before)

    def rounds(self, group: str, count: int) -> float:
        """Return the CPU of a fetch of 100 and its commit, in us."""

        def work() -> None:
            for _ in range(count):
                fetch = "SELECT lane, epoch FROM pgmq.fetch('stream', %s, 30, 100)"
                [*_, (lane, epoch)] = self.call(fetch, group)
                self.call("SELECT pgmq.commit('stream', %s, %s, %s)", group, lane, epoch)

        return 1e3 * self.cpu(work) / count


def many(bench: Bench) -> tuple[str, Any]:
    """Make very many groups on a stream, and very many streams."""
    with next(e for e in bench.engines if e.name == "pgmq").fresh() as engine:
        groups = _groups(engine, QUICK_GROUPS if bench.plan.quick else GROUPS)
    with next(e for e in bench.engines if e.name == "pgmq").fresh() as engine:
        streams = _streams(engine, QUICK_STREAMS if bench.plan.quick else STREAMS)
    tables = [
        report.table(["", ""], [[title, number(value)] for title, value in one.items()])
        for one in (groups, streams)
    ]
    text = "Many groups on a stream, many streams; times are CPU of the session:\n\n"
    return text + "\n\n".join(tables), {"groups": groups, "streams": streams}


def _groups(engine: Engine, size: int) -> dict[str, float]:
    timer = Timer(engine)
    timer.call("SELECT pgmq.create_stream('stream')")
    timer.call("SELECT pgmq.create_group('stream', 'first', 'earliest')")
    batch = f"array_fill('{MESSAGE}'::jsonb, ARRAY[100])"
    for _ in range(120):
        timer.call(f"SELECT count(*) FROM pgmq.send_batch('stream', {batch})")
    engine.run("VACUUM (ANALYZE)")
    timer.rounds("first", 10)
    found = {"fetch of 100 + commit, one group, us": timer.rounds("first", 100)}
    create = "SELECT count(pgmq.create_group('stream', 'group' || i, 'earliest'))"
    found[f"create_group, each of {size:,}, ms"] = (
        timer.cpu(lambda: timer.call(f"{create} FROM generate_series(1, {size}) AS i")) / size
    )
    timer.call("SELECT pgmq.seek('stream', 'first', 'earliest')")
    timer.rounds("first", 10)
    found[f"fetch of 100 + commit, {size:,} groups, us"] = timer.rounds("first", 100)
    each = [timer.rounds(f"group{place}", 10) for place in range(1, size + 1, max(1, size // 100))]
    found["the same, 10 times by each of a hundred groups, us"] = sum(each) / len(each)
    found[f"list_groups, {size:,} groups, ms"] = timer.cpu(
        lambda: timer.call("SELECT * FROM pgmq.list_groups('stream')")
    )
    found["maintain, ms"] = timer.cpu(lambda: timer.call("SELECT pgmq.maintain('stream')"))
    found["doctor, ms"] = timer.cpu(lambda: timer.call("SELECT * FROM pgmq.doctor()"))
    found["bytes of lanes for a group"] = (
        engine.number("SELECT pg_total_relation_size('pgmq.lane_stream')") / size
    )
    timer.conn.close()
    progress(f"streams: {size} groups")
    return found


def _streams(engine: Engine, size: int) -> dict[str, float]:
    timer = Timer(engine)
    [(before,)] = timer.call(CATALOGS)
    created = []
    for place in range(size):
        create = f"SELECT pgmq.create_stream('s{place}'), pgmq.create_group('s{place}', 'g')"
        created.append(timer.cpu(lambda sql=create: timer.conn.execute(sql.encode())))  # type: ignore[misc]
    part = max(1, size // 20)
    [(after,)] = timer.call(CATALOGS)
    found = {
        f"create_stream + create_group, the first {part}, ms": sum(created[:part]) / part,
        f"... the last {part} of {size:,}, ms": sum(created[-part:]) / part,
        "catalogs for a stream, kB": float(after - before) / size,
        "relations of a stream": engine.number(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'pgmq'::regnamespace"
        )
        / size,
    }
    timer.conn.close()
    progress(f"streams: {size} of them made")
    engine.run("ANALYZE")
    timer = Timer(engine)
    for title, call in {
        "list_groups()": "SELECT count(*) FROM pgmq.list_groups()",
        "metrics_all()": "SELECT count(*) FROM pgmq.metrics_all()",
        "doctor()": "SELECT count(*) FROM pgmq.doctor()",
    }.items():
        found[f"{title} with {size:,}, s"] = timer.cpu(lambda sql=call: timer.call(sql)) / 1e3  # type: ignore[misc]
    maintained = [
        timer.cpu(lambda name=f"s{place}": timer.call("SELECT pgmq.maintain(%s)", name))  # type: ignore[misc]
        for place in range(0, size, part)
    ]
    found["maintain of one, ms"] = sum(maintained) / len(maintained)
    timer.conn.close()
    timer = Timer(engine)
    found["memory of a session for a stream it uses, kB"] = _memory(timer, min(USED, size))
    timer.conn.close()
    return found


def _memory(timer: Timer, used: int) -> float:
    """Return what a session grows by for a stream that it sends to, fetches from and commits."""
    warm = 5
    before = 0.0
    for place in range(used):
        if place == warm:
            [(value,)] = timer.call(MEMORY)
            before = float(value)
        for _ in range(8):
            timer.conn.execute(f"SELECT pgmq.send('s{place}', '1')".encode())
            fetch = f"SELECT lane, epoch FROM pgmq.fetch('s{place}', 'g', 30, 10)"
            [(lane, epoch)] = timer.conn.execute(fetch.encode()).fetchall()
            commit = f"SELECT pgmq.commit('s{place}', 'g', {lane}, {epoch})"
            timer.conn.execute(commit.encode())
    time.sleep(0)
    [(after,)] = timer.call(MEMORY)
    return (float(after) - before) / (used - warm)
