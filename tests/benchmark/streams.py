"""Streams beside queues, upstream and PgQ: CPU of the server, the way of a message, many groups."""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import psycopg

from benchmark import report, waking
from benchmark.cases import MESSAGE
from benchmark.driver import PgbenchError, backend_seconds
from benchmark.report import number, progress, spread, times
from benchmark.streams_many import many

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmark.bench import Bench
    from benchmark.engines import Engine

    Rounds = dict[str, list[float]]  # by what was done: a figure of each round

MESSAGES, QUICK_MESSAGES = 20_000, 5_000  # of a round
BATCHES, QUICK_BATCHES = 60_000, 2_000  # of one message, under a held snapshot
COPIES, QUICK_COPIES = 20_000, 2_000  # messages to three readers
WARM = 6  # calls before what is measured: by then there are all plans
KEYS = 100


class Log(Protocol):
    """What messages are appended to and taken from, whatever it is."""

    title: str
    engine: Engine
    batches: bool  # whether what is taken at once was divided when it was sent

    def create(self) -> None:
        """Make it anew, empty."""

    def send(self, session: psycopg.Connection, size: int) -> None:
        """Append so many messages in one call."""

    def take(self, session: psycopg.Connection, size: int) -> int:
        """Take so many messages for good, and return how many there were."""
        ...


def _batch(size: int, keyed: bool = False) -> str:
    """Return the arguments of send_batch for so many messages."""
    values = f"array_fill('{MESSAGE}'::jsonb, ARRAY[{size}])"
    if keyed:
        key = f"jsonb_build_object('x-pgmq-group', mod(i, {KEYS}))"
        values += f", ARRAY(SELECT {key} FROM generate_series(1, {size}) AS i)"
    return values


def _call(session: psycopg.Connection, sql: str, *values: Any) -> list[Any]:
    return session.execute(sql.encode(), values, prepare=True).fetchall()


class Queue:
    """A queue, of this project or of upstream: read and delete."""

    batches = False

    def __init__(self, engine: Engine, title: str, name: str = "bench") -> None:
        self.engine, self.title, self.name = engine, title, name

    def create(self) -> None:
        self.engine.create(self.name, autovacuum=False)

    def send(self, session: psycopg.Connection, size: int) -> None:
        _call(session, f"SELECT count(*) FROM pgmq.send_batch('{self.name}', {_batch(size)})")

    def take(self, session: psycopg.Connection, size: int) -> int:
        rows = _call(session, f"SELECT * FROM pgmq.read('{self.name}', 30, %s)", size)
        ids = [row[0] for row in rows]
        _call(session, f"SELECT pgmq.delete('{self.name}', %s::bigint[])", ids)
        return len(ids)


class Stream:
    """A stream and a group of it: fetch and commit."""

    batches = False

    def __init__(self, engine: Engine, title: str, lanes: int = 1) -> None:
        self.engine, self.title, self.lanes = engine, title, lanes

    def create(self) -> None:
        if self.engine.number("SELECT count(*) FROM pgmq.meta WHERE queue_name = 'stream'"):
            self.engine.run("SELECT pgmq.drop_queue('stream')")
        self.engine.run("SELECT pgmq.create_stream('stream')")
        self.engine.run(f"SELECT pgmq.create_group('stream', 'group', 'earliest', {self.lanes})")

    def send(self, session: psycopg.Connection, size: int) -> None:
        values = _batch(size, self.lanes > 1)
        _call(session, f"SELECT count(*) FROM pgmq.send_batch('stream', {values})")

    def take(self, session: psycopg.Connection, size: int) -> int:
        rows = _call(session, "SELECT * FROM pgmq.fetch('stream', 'group', 30, %s)", size)
        if rows:
            _call(session, "SELECT pgmq.commit('stream', 'group', %s, %s)", *rows[0][:2])
        return len(rows)


class PgQ:
    """PgQ, with a tick by hand after each batch; its ticker would do that in the background."""

    title = "PgQ 3.5"
    batches = True

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def create(self) -> None:
        if self.engine.number("SELECT count(*) FROM pgq.queue"):
            self.engine.run("SELECT pgq.drop_queue('bench', true)")
        self.engine.run("SELECT pgq.create_queue('bench')")
        self.engine.run("SELECT pgq.register_consumer('bench', 'group')")

    def send(self, session: psycopg.Connection, size: int) -> None:
        _call(
            session,
            f"SELECT count(pgq.insert_event('bench', 'type', '{MESSAGE}'))"
            f" FROM generate_series(1, {size})",
        )

    def tick(self, session: psycopg.Connection) -> None:
        """End a batch."""
        _call(session, "SELECT pgq.force_tick('bench')")
        _call(session, "SELECT pgq.ticker('bench')")

    def take(self, session: psycopg.Connection, size: int) -> int:
        del size
        [(batch,)] = _call(session, "SELECT pgq.next_batch('bench', 'group')")
        if batch is None:
            return 0
        rows = _call(session, "SELECT * FROM pgq.get_batch_events(%s)", batch)
        _call(session, "SELECT pgq.finish_batch(%s)", batch)
        return len(rows)


def streams(bench: Bench) -> tuple[str, Any]:
    """Measure streams, in turns with what does the same by other means."""
    parts: dict[str, Callable[[Bench], tuple[str, Any]]] = {
        "costs": _costs,
        "latency": _latency,
        "lag": _lag,
        "copies": _copies,
        "snapshot": _snapshot,
        "many": many,
    }
    found = {}
    for name, part in parts.items():
        found[name] = part(bench)
        progress(f"streams: {name} measured")
    return (
        "\n\n".join(text for text, _ in found.values()),
        {name: data for name, (_, data) in found.items()},
    )


def _ours(bench: Bench) -> Engine:
    return next(engine for engine in bench.engines if engine.name == "pgmq")


@contextlib.contextmanager
def _pgq(bench: Bench) -> Iterator[list[PgQ]]:
    """Give PgQ in a database of its own, if the server has it."""
    engine = bench.engines[0]
    if not engine.number("SELECT count(*) FROM pg_available_extensions WHERE name = 'pgq'"):
        yield []
        return
    with replace(engine, name="pgq", script="CREATE EXTENSION pgq").fresh() as own:
        yield [PgQ(own)]


def _spent(session: psycopg.Connection) -> float:
    seconds = backend_seconds(session)
    if seconds is None:
        raise PgbenchError("the server is not local: no CPU times")
    return seconds * 1e6


def _costs(bench: Bench) -> tuple[str, Any]:
    """Send, and take in batches of 100 and 1,000, one session each."""
    ours = _ours(bench)
    count = QUICK_MESSAGES if bench.plan.quick else MESSAGES
    found: dict[str, Rounds] = {}
    with _pgq(bench) as pgq:
        logs: list[Log] = [
            Queue(engine, "pgmq 1.13" if engine.name == "upstream" else "a queue")
            for engine in bench.two()
        ]
        logs += [Stream(ours, "a stream"), *pgq]
        wide = [Stream(ours, "a stream, 4 lanes", 4), Stream(ours, "a stream, 8 lanes", 8)]
        for done in range(bench.plan.rounds):
            for size in (100, 1000):
                for log in [*logs, *(wide if size == 1000 else [])]:
                    _cost(log, size, count, found.setdefault(log.title, {}))
            progress(
                f"streams, round {done + 1} of {bench.plan.rounds}: "
                + ", ".join(
                    f"{title} {rounds['take 1,000'][-1]:.2f} us" for title, rounds in found.items()
                )
            )
    base = found.get("pgmq 1.13") or found["a queue"]
    rows = []
    for title, rounds in found.items():
        row = [title]
        for what in ("send_batch of 100", "take 100", "take 1,000"):
            values = rounds.get(what, [])
            row += [spread(values), times(report.ratio(base[what], values))]
        rows.append([*row, *(spread(rounds.get(f"tick {n}", [])) for n in ("100", "1,000"))])
    heads = [
        "", "send_batch of 100", "to 1.13", "take 100", "to 1.13", "take 1,000", "to 1.13",
        "tick, 100", "tick, 1,000",
    ]  # fmt: skip
    text = "CPU of the server for a message, us, one session; to take is read + delete, fetch +"
    text += " commit, or next_batch + get_batch_events + finish_batch; with lanes all messages have"
    text += f" one of {KEYS} keys. PgQ needs a tick for each batch, by its ticker:\n\n"
    return text + report.table(heads, rows), found


def _cost(log: Log, size: int, count: int, rounds: Rounds) -> None:
    calls = count * getattr(log, "lanes", 1) // size  # as many to each lane
    title = f"{size:,}"
    log.create()
    log.engine.checkpoint()
    with psycopg.connect(log.engine.conninfo, autocommit=True) as session:
        ticks = 0.0
        sent = 0.0
        for place in range(WARM + calls):
            before = _spent(session)
            log.send(session, size)
            between = _spent(session)
            if isinstance(log, PgQ):
                log.tick(session)
            if place >= WARM:
                sent += between - before
                ticks += _spent(session) - between
    if size == 100 and getattr(log, "lanes", 1) == 1:
        rounds.setdefault("send_batch of 100", []).append(sent / calls / size)
    if isinstance(log, PgQ):
        rounds.setdefault(f"tick {title}", []).append(ticks / calls / size)
    log.engine.run("VACUUM (ANALYZE)")
    with psycopg.connect(log.engine.conninfo, autocommit=True) as session:
        for _ in range(WARM):
            log.take(session, size)
        before, got = _spent(session), 0
        while taken := log.take(session, size):
            got += taken
        spent = _spent(session) - before
    assert got, f"{log.title}: nothing was taken"
    rounds.setdefault(f"take {title}", []).append(spent / got)


def _consume(conninfo: str, count: int, seconds: float, waits: bool) -> list[tuple[int, float]]:
    """Take messages of a stream as they come, and return when each was here; give up at the end."""
    got: list[tuple[int, float]] = []
    with psycopg.connect(conninfo, autocommit=True) as session:
        if waits:
            session.execute('LISTEN "pgmq.q_stream.READY"')
        end = time.monotonic() + seconds
        awaited = False
        while len(got) < count and time.monotonic() < end:
            rows = _call(
                session,
                "SELECT lane, epoch, msg_id, extract(epoch FROM enqueued_at)::float8"
                " FROM pgmq.fetch('stream', 'group', 30, 1000)",
            )
            now, clock = time.monotonic(), time.time()
            if rows:
                _call(session, "SELECT pgmq.commit('stream', 'group', %s, %s)", *rows[0][:2])
                got += [(row[2], now if waits else clock - row[3]) for row in rows]
                awaited = False
            elif waits and not awaited:
                session.execute("SELECT pgmq.await('stream')")
                awaited = True
            elif waits:
                for _ in session.notifies(timeout=0.1, stop_after=1):
                    pass
                awaited = False
    return got


def _latency(bench: Bench) -> tuple[str, Any]:
    """Send 100 messages a second, and have a group wait for them by await, or a queue's reader."""
    seconds = 2 if bench.plan.quick else 20
    stream = Stream(_ours(bench), "a stream")
    found: dict[str, list[float]] = {"a queue": [], "a stream": []}
    for _ in range(1 if bench.plan.quick else 2):
        found["a queue"] += waking.on_the_way(stream.engine, "await", seconds)
        stream.create()
        stream.engine.run("SELECT pgmq.enable_wakeups('stream')")
        count = waking.PER_SECOND * seconds
        with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
            consumer = pool.submit(_consume, stream.engine.conninfo, count, seconds + 10, True)
            time.sleep(1)  # until it listens
            sent = pool.submit(waking.produce, stream.engine.conninfo, count, "stream").result()
            got = dict(consumer.result())
        found["a stream"] += [
            round(1000 * (got[msg_id] - sent[msg_id]), 3) for msg_id in sent if msg_id in got
        ]
    rows = [[name, str(len(one)), *waking.quantiles(one)] for name, one in found.items()]
    text = f"From the commit to who waits by await, {waking.PER_SECOND} a second, ms:\n\n"
    return text + report.table(["", "messages", "median", "p99", "largest"], rows), found


def _lag(bench: Bench) -> tuple[str, Any]:
    """Send with four clients as fast as they can, and take what comes with one."""
    stream = Stream(_ours(bench), "a stream")
    seconds = 3 if bench.plan.quick else 10
    found: dict[str, Any] = {}
    for title, size in (("send", 1), ("send_batch of 10", 10)):
        stream.create()
        script = "SELECT pgmq.send('stream', :msg::jsonb);\n"
        if size > 1:
            script = f"SELECT count(*) FROM pgmq.send_batch('stream', {_batch(size)});\n"
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            consumer = pool.submit(
                _consume, stream.engine.conninfo, 1_000_000_000, seconds + 5, False
            )
            time.sleep(1)
            buckets, aborted = bench.pgbench(4).watch(
                stream.engine.conninfo, script, seconds=seconds, bucket=seconds
            )
            lags = [1000 * lag for _, lag in consumer.result()]
        assert aborted is None, aborted
        found[title] = {"per_second": size * buckets[0].tps, "lag_ms": waking.quantiles(lags)}
    rows = [[title, number(one["per_second"]), *one["lag_ms"]] for title, one in found.items()]
    text = "Four clients send as fast as they can, one takes 1,000 at a time; from the sender's"
    text += " BEGIN to the consumer, ms:\n\n"
    heads = ["", "messages per second", "median", "p99", "largest"]
    return text + report.table(heads, rows), found


def _copies(bench: Bench) -> tuple[str, Any]:
    """Have three readers get each message: groups of a stream, or queues by send_batch_topic."""
    count = QUICK_COPIES if bench.plan.quick else COPIES
    found: dict[str, dict[str, list[float]]] = {}
    for _ in range(bench.plan.fewer):
        for engine in bench.two():
            title = "1.13: three queues" if engine.name == "upstream" else "three queues"
            readers: list[Any] = [Queue(engine, "", f"copy{place}") for place in range(3)]
            for reader in readers:
                reader.create()
                engine.run(f"SELECT pgmq.bind_topic('key', '{reader.name}')")
            send = f"SELECT count(*) FROM pgmq.send_batch_topic('key', {_batch(100)})"
            tables = [f"q_copy{place}" for place in range(3)]
            _copied(engine, send, [r.take for r in readers], tables, count, found, title)
        stream = Stream(_ours(bench), "three groups of a stream")
        stream.create()
        for group in ("second", "third"):
            stream.engine.run(f"SELECT pgmq.create_group('stream', '{group}', 'earliest')")
        takes = [_group_take(group) for group in ("group", "second", "third")]
        send = f"SELECT count(*) FROM pgmq.send_batch('stream', {_batch(100)})"
        _copied(stream.engine, send, takes, ["q_stream"], count, found, stream.title)
    kinds = ("CPU us", "WAL bytes", "bytes on disk")
    rows = [[title, *(spread(one[kind]) for kind in kinds)] for title, one in found.items()]
    text = "Each message to three readers, sent by 100 and taken by 100: what sending and taking it"
    text += " three times costs in all, and what it takes on disk when it is sent:\n\n"
    return text + report.table(["", *kinds], rows), found


def _group_take(group: str) -> Callable[[psycopg.Connection, int], int]:
    def take(session: psycopg.Connection, size: int) -> int:
        rows = _call(session, f"SELECT * FROM pgmq.fetch('stream', '{group}', 30, %s)", size)
        if rows:
            _call(session, f"SELECT pgmq.commit('stream', '{group}', %s, %s)", *rows[0][:2])
        return len(rows)

    return take


def _copied(
    engine: Engine,
    send: str,
    takes: list[Callable[[psycopg.Connection, int], int]],
    tables: list[str],
    count: int,
    found: dict[str, dict[str, list[float]]],
    title: str,
) -> None:
    engine.checkpoint()
    position = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"
    wal = engine.number(position)
    with psycopg.connect(engine.conninfo, autocommit=True) as session:
        spent = _spent(session)
        for _ in range(count // 100):
            _call(session, send)
        sizes = "SELECT sum(pg_total_relation_size(t.relid)) FROM"
        trees = " UNION ALL ".join(
            f"SELECT relid FROM pg_partition_tree('pgmq.{table}')"
            f" UNION ALL SELECT 'pgmq.{table}'::regclass WHERE NOT EXISTS"
            f" (SELECT FROM pg_partition_tree('pgmq.{table}'))"
            for table in tables
        )
        spent_sending = _spent(session) - spent
        disk = engine.number(f"{sizes} ({trees}) AS t")
        spent = _spent(session)
        for take in takes:
            got = 0
            while taken := take(session, 100):
                got += taken
            assert got == count, f"{title}: {got} of {count}"
        spent = spent_sending + _spent(session) - spent
    one = found.setdefault(title, {"CPU us": [], "WAL bytes": [], "bytes on disk": []})
    one["CPU us"].append(spent / count)
    one["WAL bytes"].append((engine.number(position) - wal) / count)
    one["bytes on disk"].append(disk / count)


def _snapshot(bench: Bench) -> tuple[str, Any]:
    """Take one message at a time, very often, while another session holds a snapshot."""
    count = QUICK_BATCHES if bench.plan.quick else BATCHES
    stream = Stream(_ours(bench), "a stream")
    stream.create()
    with psycopg.connect(stream.engine.conninfo) as holder:
        holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        holder.execute("SELECT 1")
        with psycopg.connect(stream.engine.conninfo, autocommit=True) as session:
            for _ in range(count // 100 + 1):
                stream.send(session, 100)
            for _ in range(WARM):
                stream.take(session, 1)
            parts = []
            for _ in range(6):
                before = _spent(session)
                for _ in range(count // 6):
                    assert stream.take(session, 1) == 1
                parts.append((_spent(session) - before) / (count // 6))
    text = f"{count:,} batches of one message while another session holds a snapshot; CPU for a"
    text += " fetch and a commit, us, by sixths:\n\n"
    heads = ["", "first", "second", "third", "fourth", "fifth", "last"]
    return text + report.table(heads, [["us", *map(number, parts)]]), parts
