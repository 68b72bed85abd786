"""Sessions of grouped reads, and what their calls took.

Each session here is a psycopg session that calls, deletes what it got, and takes the time of every
call by itself: what matters is the slowest call as much as the usual one, and upstream's calls take
so long on large queues that there are only a few.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import tuple_row

from benchmark.driver import backend_seconds
from benchmark.report import number, progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmark.engines import Engine

MOST_CALLS = 1000  # of a session
SECONDS, QUICK_SECONDS = 2.0, 0.5  # that a session goes on, but for its last call
TIMEOUT, QUICK_TIMEOUT = 10, 2  # seconds that a call may take
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
