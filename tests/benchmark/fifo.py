"""FIFO groups: what a grouped read costs, whatever the number of groups and the state they are in.

Each session here is a psycopg session that calls, deletes what it got, and takes the time of every
call by itself: what matters is the slowest call as much as the usual one, and upstream's calls take
so long on large queues that there are only a few.
"""

from __future__ import annotations

import math
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import tuple_row

from benchmark.cases import Case
from benchmark.driver import WARM_UP, Pgbench, PgbenchError, backend_seconds
from benchmark.report import Series, number, progress, ratio, spread, table, times

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmark.bench import Bench
    from benchmark.engines import Engine

MOST_CALLS = 1000  # of a session
SECONDS, QUICK_SECONDS = 2.0, 0.5  # that a session goes on, but for its last call
TIMEOUT, QUICK_TIMEOUT = 10, 2  # seconds that a call may take
SESSIONS = 4
PROMISED_MS, PROMISED_TIMES = 2.0, 3.0
QUEUE = "bench"
VT = 30


@dataclass(frozen=True, slots=True)
class Call:
    """A function and how many messages it is asked for."""

    function: str
    qty: int

    @property
    def title(self) -> str:
        """Return it as one would say it."""
        return f"{self.function} {self.qty}"


READ_1 = Call("read_grouped", 1)
READ_10 = Call("read_grouped", 10)
CALLS = (READ_1, READ_10, Call("read_grouped_rr", 10), Call("read_grouped_head", 10))


@dataclass(slots=True)
class Samples:
    """What the calls of one kind took, in one session or several."""

    ms: list[float] = field(default_factory=list)  # each read after the warm-up
    delete_ms: list[float] = field(default_factory=list)
    first_ms: list[float] = field(default_factory=list)  # the first read of a session
    calls: int = 0
    empty: int = 0
    messages: int = 0
    groups: int = 0  # different ones, the most of any session
    seconds: list[float] = field(default_factory=list)  # of each session
    cpu_ms: float | None = None  # of the backend, for a read and delete
    blocks: float | None = None  # of the queue's table and indexes, touched by a read and delete
    seq_scans: int = 0
    error: str | None = None

    def add(self, other: Samples) -> None:
        """Add another session's."""
        for name in ("ms", "delete_ms", "first_ms", "seconds"):
            getattr(self, name).extend(getattr(other, name))
        self.calls += other.calls
        self.empty += other.empty
        self.messages += other.messages
        self.groups = max(self.groups, other.groups)
        self.error = self.error or other.error

    @property
    def median(self) -> float | None:
        """The usual call, in milliseconds."""
        return median(self.ms) if self.ms else None

    @property
    def p99(self) -> float | None:
        """The call that one in a hundred exceeds."""
        return sorted(self.ms)[math.ceil(0.99 * len(self.ms)) - 1] if self.ms else None

    def as_json(self) -> dict[str, Any]:
        """Return everything but the single calls."""
        data = asdict(self)
        timed = data.pop("ms")
        delete_ms = data.pop("delete_ms")
        return {
            "timed": len(timed),
            "median_ms": self.median,
            "p99_ms": self.p99,
            "max_ms": max(timed, default=None),
            "delete_median_ms": median(delete_ms) if delete_ms else None,
            **data,
        }


def session(
    conninfo: str,
    call: Call,
    *,
    most: int,
    seconds: float = SECONDS,
    warm_up: int | None = None,
    groups: float = math.inf,
    messages: float = math.inf,
    begin: float = 0.0,
    timeout: int = TIMEOUT,
) -> Samples:
    """Call and delete in a session of its own, until enough calls, time, groups or messages.

    The warm-up, unless it is given, is 50 calls, or half of them if there are fewer than 100.
    """
    samples = Samples()
    seen: set[str] = set()
    read = f"SELECT * FROM pgmq.{call.function}(%s::text, %s::integer, %s::integer)".encode()
    delete = b"SELECT * FROM pgmq.delete(%s::text, %s::bigint[])"
    with psycopg.connect(conninfo, autocommit=True, row_factory=tuple_row) as conn:
        conn.execute(f"SET statement_timeout = '{timeout}s'".encode())
        time.sleep(max(0.0, begin - time.time()))
        cpu = backend_seconds(conn)
        start = time.perf_counter()
        while samples.calls < most and time.perf_counter() < start + seconds:
            at = time.perf_counter()
            try:
                cursor = conn.execute(read, (QUEUE, VT, call.qty), prepare=True)
            except psycopg.errors.QueryCanceled:
                samples.error = f"> {timeout} s"
                break
            except psycopg.Error as error:
                samples.error = str(error).splitlines()[0]
                break
            samples.ms.append(1000 * (time.perf_counter() - at))
            rows = cursor.fetchall()
            samples.calls += 1
            samples.messages += len(rows)
            if rows:
                seen.update(row[-1]["x-pgmq-group"] for row in rows)
                ids = "{" + ",".join(str(row[0]) for row in rows) + "}"
                at = time.perf_counter()
                conn.execute(delete, (QUEUE, ids), prepare=True)
                samples.delete_ms.append(1000 * (time.perf_counter() - at))
            else:
                samples.empty += 1
            if len(seen) >= groups or samples.messages >= messages:
                break
        samples.seconds = [time.perf_counter() - start]
        if cpu is not None and samples.calls:
            samples.cpu_ms = 1000 * ((backend_seconds(conn) or cpu) - cpu) / samples.calls
    samples.groups = len(seen)
    samples.first_ms = samples.ms[:1]
    if warm_up is None:
        warm_up = min(50, len(samples.ms) // 2)
    samples.ms = samples.ms[warm_up:]
    samples.delete_ms = samples.delete_ms[warm_up:]
    return samples


@dataclass(slots=True)
class Book:
    """The samples by state of the queue, engine and call."""

    quick: bool
    states: dict[str, dict[str, dict[str, Samples]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def engines(self, state: str) -> dict[str, dict[str, Samples]]:
        """Return a state's samples, in the order in which the states came up."""
        return self.states.setdefault(state, {})

    def of(self, engine: str, call: Call) -> Iterator[tuple[str, Samples]]:
        """Yield what an engine did in each state."""
        for state, engines in self.states.items():
            if call.title in engines.get(engine, {}):
                yield state, engines[engine][call.title]

    def as_json(self) -> dict[str, Any]:
        """Return everything."""
        return {
            state: {
                engine: {call: samples.as_json() for call, samples in found.items()}
                for engine, found in engines.items()
            }
            for state, engines in self.states.items()
        }


class Meter:
    """Counts the blocks and sequential scans of the queue's table, as the server reports them.

    A session reports at the latest when it ends, so these are exact once it is gone. Blocks are a
    measure of the work that does not depend on how busy the machine is.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        engine.report()
        self.blocks, self.seq_scans = self._now()

    def _now(self) -> tuple[int, int]:
        deadline = time.monotonic() + 2
        others = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
            " AND state <> 'idle in transaction'"  # the one that holds a snapshot
        )
        while self.engine.number(others) and time.monotonic() < deadline:
            time.sleep(0.01)
        relation = f"WHERE relid = 'pgmq.q_{QUEUE}'::regclass"
        return (
            self.engine.number(
                "SELECT heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit"
                f" FROM pg_statio_user_tables {relation}"
            ),
            self.engine.number(f"SELECT seq_scan FROM pg_stat_user_tables {relation}"),
        )

    def read(self, samples: Samples) -> None:
        """Put down what has happened since the start."""
        blocks, seq_scans = self._now()
        samples.blocks = (blocks - self.blocks) / max(1, samples.calls)
        samples.seq_scans = seq_scans - self.seq_scans


def measure(
    book: Book, state: str, engine: Engine, messages: int, calls: Iterable[Call] = CALLS
) -> None:
    """Measure calls on the queue as it stands, each in a session that may use so many messages."""
    if book.quick:
        calls = [call for call in calls if call in (READ_1, READ_10)]
    found = book.engines(state).setdefault(engine.name, {})
    hopeless: set[str] = set()
    for call in calls:
        if call.function in hopeless:
            found[call.title] = Samples(error="not tried")
            continue
        meter = Meter(engine)
        most = min(MOST_CALLS, messages // call.qty)
        samples = session(
            engine.conninfo,
            call,
            most=most,
            seconds=QUICK_SECONDS if book.quick else SECONDS,
            timeout=QUICK_TIMEOUT if book.quick else TIMEOUT,
        )
        meter.read(samples)
        found[call.title] = samples
        if samples.error:
            hopeless.add(call.function)
    progress(
        f"{state}, {engine.name}: "
        + ", ".join(f"{title} {brief(samples)}" for title, samples in found.items())
    )


def brief(samples: Samples) -> str:
    """Format the usual call, or why there is none."""
    usual = samples.median
    if usual is None:
        return samples.error or "-"
    text = f"{number(usual)} ms" + (f" ({len(samples.ms)})" if len(samples.ms) < 100 else "")
    return text if samples.error is None else f"{text}, then {samples.error}"


def new_queue(engine: Engine, *, index: bool = True) -> None:
    """Make the queue, with its FIFO index as long as it is empty: that is how users do it."""
    engine.create(QUEUE, autovacuum=False)
    if index:
        engine.run(f"SELECT pgmq.create_fifo_index('{QUEUE}')")


def fill(engine: Engine, rows: int, group: str, *, vt: str = "now()") -> None:
    """Insert messages whose group is an expression of their number i, the same for each engine."""
    engine.run("SELECT setseed(0.5)")
    engine.fill(QUEUE, rows, vt=vt, headers=f"jsonb_build_object('x-pgmq-group', {group})")


def settle(engine: Engine) -> None:
    """Do what autovacuum would have done after the filling, and a checkpoint."""
    engine.settle(QUEUE)
    engine.checkpoint()


def several(pool: ProcessPoolExecutor, engine: Engine, call: Call, messages: int) -> Samples:
    """Measure some sessions at a time."""
    begin = time.time() + 0.3
    most = messages // call.qty // SESSIONS
    futures = [
        pool.submit(session, engine.conninfo, call, begin=begin, seconds=2.0, most=most)
        for _ in range(SESSIONS)
    ]
    samples = Samples()
    for future in futures:
        samples.add(future.result())
    return samples


def consume(book: Book, state: str, engine: Engine, count: int) -> None:
    """Take messages out and leave their dead rows.

    Upstream would take hours by its grouped reads, so there one DELETE does it: it leaves fewer
    dead rows, since a lease leaves one as well.
    """
    if engine.name == "upstream":
        engine.run(
            f"DELETE FROM pgmq.q_{QUEUE} WHERE msg_id <="
            f" (SELECT msg_id FROM pgmq.q_{QUEUE} ORDER BY msg_id OFFSET {count - 1} LIMIT 1)"
        )
        return
    call = Call("read_grouped", 100)
    done = session(engine.conninfo, call, most=count, messages=count, seconds=60.0)
    book.notes.append(
        f"{state}, {engine.name}: {done.messages:,} messages were consumed by {done.calls:,} calls"
        f" of {call.title} in {done.seconds[0]:.1f} s; a call took {number(done.median or 0)} ms,"
        f" p99 {number(done.p99 or 0)}, most {number(max(done.ms, default=0))}"
    )


def grown(bench: Bench, book: Book, sessions: Book) -> None:
    """Measure queues of few and many groups, then with their dead rows, then under a snapshot."""
    rows = bench.plan.fifo_rows
    share = rows // 32  # there are up to 16 sessions, and two fifths are consumed besides
    shapes = {
        "1 group": "'g'",
        "1,000 groups": "'g' || floor(random() * 1000)",
        f"{rows // 10:,} groups": f"'g' || floor(random() * {rows // 10})",
        "every message its own group": "'g' || i",
    }
    with ProcessPoolExecutor(SESSIONS, multiprocessing.get_context("spawn")) as pool:
        for shape, group in shapes.items():
            for engine in bench.two():
                new_queue(engine)
                fill(engine, rows, group)
                if engine.name != "upstream":
                    measure(book, f"{shape}, never analysed", engine, share, (READ_1, READ_10))
                settle(engine)
                measure(book, shape, engine, share)
                found = sessions.engines(shape).setdefault(engine.name, {})
                for call in (READ_1, READ_10):
                    if book.engines(shape)[engine.name][call.title].error is None:
                        found[call.title] = several(pool, engine, call, share)
                if shape in ("1 group", "1,000 groups") and not bench.plan.quick:
                    used_up(book, shape, engine, rows // 5, share)


def used_up(book: Book, shape: str, engine: Engine, count: int, share: int) -> None:
    """Measure behind the dead rows of consumed messages, that is without a vacuum."""
    state = f"{shape}, {count:,} consumed"
    consume(book, state, engine, count)
    measure(book, state, engine, share)
    state += ", as many again under a held snapshot"
    with psycopg.connect(engine.conninfo) as holder:
        holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        holder.execute("SELECT 1")
        consume(book, state, engine, count)
        measure(book, state, engine, share)


def drained(bench: Bench, book: Book) -> None:
    """Measure an empty queue behind the dead rows of all that was in it, under a snapshot."""
    count = bench.plan.fifo_rows // 5
    state = f"1,000 groups, empty after {count:,} consumed under a held snapshot"
    for engine in bench.two():
        new_queue(engine)
        fill(engine, count, "'g' || floor(random() * 1000)")
        settle(engine)
        with psycopg.connect(engine.conninfo) as holder:
            holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            holder.execute("SELECT 1")
            consume(book, state, engine, count)
            measure(book, state, engine, count)


def hot(bench: Bench, book: Book) -> None:
    """Measure with a group that holds nearly all messages and whose head is in flight."""
    rows = bench.plan.fifo_rows
    many = rows * 95 // 100
    share = (rows - many) // (len(CALLS) + 1)
    other = "'g' || floor(random() * 1000)"
    shapes = {
        "sent before the others": f"CASE WHEN i <= {many} THEN 'hot' ELSE {other} END",
        "mixed": f"CASE WHEN i = 1 OR random() < 0.95 THEN 'hot' ELSE {other} END",
    }
    for shape, group in shapes.items():
        for engine in bench.two():
            new_queue(engine)
            fill(engine, rows, group)
            engine.run(f"SELECT count(*) FROM pgmq.set_vt('{QUEUE}', 1, 3600)")
            settle(engine)
            measure(book, f"a blocked group of {many:,}, {shape}", engine, share)


FREE, EACH = 10, 100


def blocked(bench: Bench, book: Book) -> None:
    """Measure how soon each of a few free groups is served behind very many blocked ones."""
    rows = bench.plan.fifo_rows
    groups = rows // 10
    state = f"{groups:,} blocked groups of 10, then {FREE} free groups of {EACH}"
    for engine in bench.two():
        new_queue(engine)
        # The first of each group is delayed.
        late = f"now() + CASE WHEN i <= {groups} THEN interval '1 hour' ELSE interval '0' END"
        fill(engine, rows, f"'g' || i % {groups}", vt=late)
        settle(engine)
        found = book.engines(state).setdefault(engine.name, {})
        hopeless: set[str] = set()
        for call in CALLS:
            samples = Samples()
            found[call.title] = samples
            if call.function in hopeless:
                samples.error = "not tried"
                continue
            for _ in range(10):
                # A fresh session each time: it knows nothing of where the free ones are.
                engine.run(f"DELETE FROM pgmq.q_{QUEUE} WHERE msg_id > {rows}")
                fill(engine, FREE * EACH, f"'free' || i % {FREE}")
                samples.add(
                    session(
                        engine.conninfo, call, most=100_000, seconds=TIMEOUT, warm_up=1, groups=FREE
                    )
                )
                if samples.error or sum(samples.seconds) > TIMEOUT:
                    break
            if samples.error:
                hopeless.add(call.function)
        progress(
            f"{state}, {engine.name}: "
            + ", ".join(
                f"{title} {s.error or f'{max(s.seconds):.2f} s'}" for title, s in found.items()
            )
        )


def unindexed(bench: Bench, book: Book) -> None:
    """Measure queues whose owner has not called create_fifo_index."""
    rows = bench.plan.fifo_rows
    for count in (rows // 1000, rows // 100, rows // 10, rows):
        for engine in bench.two():
            if count == rows and engine.name == "upstream":
                continue  # as with its index, which it does not use
            new_queue(engine, index=False)
            fill(engine, count, "'g' || floor(random() * 1000)")
            settle(engine)
            measure(book, f"{count:,} messages in 1,000 groups", engine, count // 5)


_HEADERS = "jsonb_build_object('x-pgmq-group', 'g' || {})"
SENDS = {
    Case(
        name="send",
        title="send",
        api=f"""
            \\set g random(0, 999)
            SELECT * FROM pgmq.send('bench', :msg::jsonb, {_HEADERS.format(":g::integer")});
        """,
        by_hand="",
        takes=0,
        net=1,
    ): 4000,
    Case(
        name="send_batch100",
        title="send_batch(100)",
        api=f"""
            \\set g random(0, 999)
            SELECT * FROM pgmq.send_batch('bench', array_fill(:msg::jsonb, ARRAY[100]), ARRAY(
                SELECT {_HEADERS.format("(:g::integer + i) % 1000")}
                FROM generate_series(1, 100) AS i));
        """,
        by_hand="",
        takes=0,
        net=100,
    ): 150,
}


def sends(bench: Bench) -> dict[str, dict[str, Series]]:
    """Measure sending to 1,000 groups with the FIFO index and without, in turn."""
    pgbench = Pgbench(bench.program, bench.server, bench.plan.clients, bench.plan.jobs, WARM_UP)
    results: dict[str, dict[str, Series]] = {}
    for case, transactions in SENDS.items():
        series = results.setdefault(case.title, {})
        for _ in range(bench.plan.fewer):
            for engine in bench.two():
                for index in (False, True):
                    name = f"{engine.name}, index" if index else engine.name
                    one = series.setdefault(name, Series())
                    try:
                        new_queue(engine, index=index)
                        fill(engine, 1000, "'g' || i")
                        settle(engine)
                        run = pgbench.run(
                            engine.conninfo,
                            case.script(engine.name, QUEUE),
                            per_client=transactions,
                        )
                    except (PgbenchError, psycopg.Error) as error:
                        one.note(str(error).splitlines()[0])
                        continue
                    one.note(run.aborted)
                    one.runs.append(run)
        progress(
            f"{case.title}: "
            + ", ".join(f"{name} {number(median(s.tps))}/s" for name, s in series.items() if s.runs)
        )
    return results


def sent(results: dict[str, dict[str, Series]], names: list[str]) -> str:
    """Show what the index costs a send."""
    rows = []
    for title, series in results.items():
        for name in names:
            without, with_index = series[name], series[f"{name}, index"]
            rows.append(
                [
                    title,
                    name,
                    spread(without.tps),
                    spread(with_index.tps),
                    times(ratio(with_index.tps, without.tps)),
                    spread(without.cpu_us),
                    spread(with_index.cpu_us),
                    times(ratio(with_index.cpu_us, without.cpu_us)),
                ]
            )
    heads = ["send", "engine"]
    heads += ["per second", "with the index", "ratio", "CPU us", "with the index", "ratio"]
    text = table(heads, rows)
    for title, series in results.items():
        for name, one in series.items():
            text += "".join(f"\n- {title}, {name}: {note}" for note in one.notes)
    return text


def shown(value: float | None) -> str:
    """Format a number that there may be none of."""
    return "-" if value is None else number(value)


def usual(book: Book, names: list[str]) -> str:
    """Show each call in each state: pgmq's in detail, upstream's beside it."""
    texts = []
    for call in CALLS:
        fastest = min((s.median for _, s in book.of("pgmq", call) if s.median), default=None)
        rows = []
        for state, engines in book.states.items():
            row = [state]
            if not any(call.title in engines.get(name, {}) for name in names):
                continue
            ours = engines.get("pgmq", {}).get(call.title, Samples())
            theirs = engines.get("upstream", {}).get(call.title, Samples())
            if "pgmq" in names:
                row += [
                    brief(ours),
                    shown(ours.p99),
                    shown(max(ours.ms, default=None)),
                    spread(ours.first_ms),
                    shown(median(ours.delete_ms) if ours.delete_ms else None),
                    shown(ours.cpu_ms),
                    shown(ours.blocks if ours.ms else None),
                    times(ours.median / fastest if ours.median and fastest else None),
                ]
            if "upstream" in names:
                row += [brief(theirs), shown(theirs.cpu_ms)]
                row += [shown(theirs.blocks if theirs.ms else None)]
            if len(names) == 2:
                row.append(
                    times(theirs.median / ours.median if theirs.median and ours.median else None)
                )
            rows.append(row)
        heads = ["queue"]
        if "pgmq" in names:
            heads += ["pgmq: median", "p99", "max", "first", "delete"]
            heads += ["CPU", "blocks", "to the fastest"]
        if "upstream" in names:
            heads += ["upstream: median", "CPU", "blocks"]
        if len(names) == 2:
            heads.append("pgmq / upstream")
        texts.append(f"{call.title}:\n\n{table(heads, rows)}")
    return "\n\n".join(texts)


def together(book: Book, names: list[str]) -> str:
    """Show several sessions at a time."""
    rows = [
        [
            state,
            title,
            name,
            number(s.calls / max(s.seconds, default=1.0)),
            number(s.messages / max(s.seconds, default=1.0)),
            f"{s.empty / max(1, s.calls):.1%}",
            brief(s),
            shown(s.p99),
            shown(max(s.ms, default=None)),
        ]
        for state, engines in book.states.items()
        for name in names
        for title, s in engines.get(name, {}).items()
    ]
    heads = ["queue", "call", "engine", "calls/s", "messages/s", "empty", "median", "p99", "max"]
    return table(heads, rows)


def found_in_time(book: Book, names: list[str]) -> str:
    """Show how soon each free group was served, the sessions being fresh ones."""
    rows = []
    for engines in book.states.values():
        for call in CALLS:
            for name in names:
                s = engines.get(name, {}).get(call.title, Samples())
                served = spread([1000 * x for x in s.seconds]) if s.groups >= FREE else "-"
                if s.error:
                    served = s.error
                elif s.groups < FREE:
                    served = f"{s.groups} of {FREE} in {TIMEOUT} s"
                figures = map(shown, (s.median, s.p99, max(s.ms, default=None)))
                first = spread(s.first_ms)
                rows.append([call.title, name, served, str(s.calls), str(s.empty), *figures, first])
    heads = ["call", "engine", "all served after, ms", "calls", "empty"]
    return table([*heads, "median", "p99", "max", "first"], rows)


def promises(book: Book) -> str:
    """List where pgmq takes longer than it should."""
    over_ms, over_times, scans = [], [], []
    for call in CALLS:
        timed = [(state, s, s.median) for state, s in book.of("pgmq", call) if s.median]
        fastest = min((one for _, _, one in timed), default=1.0)
        for state, samples, one in timed:
            title = f"{call.title}, {state}"
            if one > PROMISED_MS:
                over_ms.append(f"{title}: {number(one)} ms")
            if one > PROMISED_TIMES * fastest:
                over_times.append(f"{title}: {number(one / fastest)}x")
            if samples.seq_scans:
                scans.append(f"{title}: {samples.seq_scans}")
        book.notes += [
            f"{call.title}, {state}, pgmq: {samples.error}"
            for state, samples in book.of("pgmq", call)
            if samples.error
        ]
        book.notes += [
            f"{call.title}, {state}, pgmq: {samples.empty:,} of {samples.calls:,} found nothing"
            for state, samples, _ in timed
            if samples.empty and samples.messages
        ]
    found = {
        f"medians over {PROMISED_MS:g} ms": over_ms,
        f"over {PROMISED_TIMES:g} times the fastest of the same call": over_times,
        "sequential scans of the queue": scans,
    }
    lines = [f"{title}: {'; '.join(which) or 'none'}" for title, which in found.items()]
    return "\n".join(f"- {line}" for line in lines + book.notes)


def fifo(bench: Bench) -> tuple[str, Any]:
    """Run everything about FIFO groups."""
    names = [engine.name for engine in bench.two()]
    if not names:
        return "No engine to measure.", {}
    steady, sessions, few, without = (Book(bench.plan.quick) for _ in range(4))
    grown(bench, steady, sessions)
    hot(bench, steady)
    costs: dict[str, dict[str, Series]] = {}
    if not bench.plan.quick:
        drained(bench, steady)
        blocked(bench, few)
        unindexed(bench, without)
        costs = sends(bench)
    for engine in bench.two():
        engine.run(f"SELECT pgmq.drop_queue('{QUEUE}')")
    rows = bench.plan.fifo_rows
    parts = [
        f"{rows:,} messages. A call of one session, then a delete of what it got, in ms:",
        usual(steady, names),
    ]
    if "pgmq" in names:
        parts.append("pgmq:\n\n" + promises(steady))
    parts += [f"{SESSIONS} sessions at a time, ms:", together(sessions, names)]
    if not bench.plan.quick:
        parts += [
            f"{', '.join(few.states)}, ms; each time in a fresh session:",
            found_in_time(few, names),
            "Without create_fifo_index, ms:",
            usual(without, names),
            "What the index costs a send to one of 1,000 groups:",
            sent(costs, names),
        ]
    data = {
        "rows": rows,
        "states": steady.as_json(),
        "notes": steady.notes,
        "sessions": sessions.as_json(),
        "blocked": few.as_json(),
        "unindexed": without.as_json(),
        "sends": {
            title: {name: one.as_json() for name, one in series.items()}
            for title, series in costs.items()
        },
    }
    return "\n\n".join(parts), data
