"""The main job on real input: hash every file below a directory, exactly once, despite a kill.

Every file becomes a message. Four processes, each with a Worker, hash the files; the handler
stores the results in the transaction that acknowledges the messages. One process is killed with
SIGKILL while it holds a lease: its messages come back when the lease runs out, and another one does
them.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import functools
import hashlib
import importlib.util
import multiprocessing
import os
import shlex
import signal
import stat
import sys
import sysconfig
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import make_conninfo

from pgmq import embedded
from pgmq._session import Session
from pgmq.base import find_server
from pgmq.install import PGMQInstallError, install_or_update
from pgmq.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta
    from multiprocessing.context import SpawnProcess

    from pgmq.messages import Message

__all__ = ["main"]

QUEUE = "demo_files"
# What is left behind to look at.
ORDERS, REFUSED, EVENTS = "demo_orders", "demo_orders_refused", "demo_events"
SHOP = "demo_shop"  # an exchange
STATE = Path(".demo")
BUILD = Path("build")

LEASE = 3  # seconds; a killed worker's messages come back after it
BATCH = 50  # messages leased at once, at most
SEND_BATCH = 1000  # at most
KILL_AT = 0.4  # of the results
MUST_KILL = 500  # files; fewer may be done before a worker can be killed
CHUNK = 1 << 20

_context = multiprocessing.get_context("spawn")

# No key on path: that each file is there exactly once is checked, not enforced.
SCHEMA = """
    DROP SCHEMA IF EXISTS demo CASCADE;
    CREATE SCHEMA demo;
    CREATE TABLE demo.result (
        path text NOT NULL,
        size bigint,
        sha256 text,
        lines bigint,
        error text,
        worker integer NOT NULL,
        read_ct integer NOT NULL,
        enqueued_at timestamptz NOT NULL,
        leased_at timestamptz NOT NULL,
        done_at timestamptz NOT NULL DEFAULT clock_timestamp()
    );
"""
STORE = "INSERT INTO demo.result VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
# Counted: pgmq.metrics() estimates where vacuum has very many dead rows to remove.
PROGRESS = f"""
    SELECT (SELECT count(*) FROM demo.result), (SELECT count(*) FROM pgmq.q_{QUEUE})
"""
TIMES = """
    SELECT
        extract(EPOCH FROM max(done_at) - min(enqueued_at)),
        percentile_cont(0.5) WITHIN GROUP (ORDER BY done_at - enqueued_at),
        percentile_cont(0.99) WITHIN GROUP (ORDER BY done_at - enqueued_at),
        percentile_cont(0.5) WITHIN GROUP (ORDER BY done_at - leased_at),
        percentile_cont(0.99) WITHIN GROUP (ORDER BY done_at - leased_at)
    FROM demo.result
"""


class DemoError(Exception):
    """Raised when the demo cannot run; the message says why."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code is 1 if a check fails, 2 if the demo cannot run."""
    parser = argparse.ArgumentParser(prog="python -m pgmq.demo", description=__doc__)
    parser.add_argument(
        "--dir",
        default=sysconfig.get_path("stdlib"),
        help="hash every file below this directory (default: Python's standard library)",
    )
    parser.add_argument("--workers", type=int, default=4, help="worker processes (default: 4)")
    parser.add_argument("--stop", action="store_true", help="stop the server and remove its data")
    options = parser.parse_args(arguments)
    try:
        if options.stop:
            return stop()
        if options.workers < 1:
            parser.error("--workers must be at least 1")
        return run(options.dir, options.workers)
    except KeyboardInterrupt:
        return 130
    except (embedded.EmbeddedError, PGMQInstallError, psycopg.Error, OSError, DemoError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2


# A worker


def work(number: int, batch: int, dsn: str) -> None:
    """Hash files, until the demo has ended."""
    worker = Worker(
        make_conninfo(dsn, application_name=_session(number)),
        QUEUE,
        functools.partial(handle, number),
        transactional=True,
        batch=True,
        batch_size=batch,
        vt=LEASE,
    )

    def follow() -> None:
        if demo := multiprocessing.parent_process():
            demo.join()
            worker.stop()

    threading.Thread(target=follow, daemon=True).start()
    worker.run()


def handle(number: int, messages: list[Message], connection: psycopg.Connection[Any]) -> None:
    """Hash the files of messages, and store the results with their acknowledgement."""
    rows = []
    for message in messages:
        path = _path(message.message)
        found = digest(path)
        rows.append(
            (_shown(path), found.size, found.sha256, found.lines, found.error, number,
             message.read_ct, message.enqueued_at, message.last_read_at)
        )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.executemany(STORE, rows)


@dataclass(frozen=True, slots=True)
class Digest:
    """What a worker finds out about a file."""

    size: int | None
    sha256: str | None
    lines: int | None
    error: str | None = None


def digest(path: bytes) -> Digest:
    """Hash a file and count its newlines."""
    sha256, lines, size = hashlib.sha256(), 0, 0
    try:
        # Without blocking, and no link followed: the path may be another thing than it was.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            while chunk := file.read(CHUNK):
                sha256.update(chunk)
                lines += chunk.count(b"\n")
                size += len(chunk)
    except OSError as error:
        return Digest(None, None, None, error.strerror or type(error).__name__)
    return Digest(size, sha256.hexdigest(), lines)


def _message(path: bytes) -> dict[str, str]:
    """Make a message of a path, which need not be UTF-8."""
    try:
        return {"path": path.decode()}
    except UnicodeDecodeError:
        return {"path_base64": base64.b64encode(path).decode()}


def _path(message: dict[str, str]) -> bytes:
    if "path" in message:
        return message["path"].encode()
    return base64.b64decode(message["path_base64"])


def _shown(path: bytes) -> str:
    return path.decode(errors="backslashreplace")


def _session(number: int) -> str:
    return f"pgmq demo worker {number}"


# The demo itself


def run(directory: str, workers: int) -> int:
    """Run the demo, and report."""
    begin = time.monotonic()
    found = find(directory)
    if not found.files:
        raise DemoError(f"no readable regular file below {directory}")
    own, dsn = prepare()
    with Session(dsn, name="pgmq demo") as session:
        # Small batches for few files, so that every worker has its share.
        batch = max(1, min(BATCH, len(found.files) // (20 * workers)))
        with Fleet(dsn, workers, batch) as fleet:
            fleet.wait_until_ready(session.connection)
            drain(session, found, fleet)
        checks = examine(session.connection, found, fleet)
        furnish(session)
    checks.append(Check("seconds in all", f"{time.monotonic() - begin:.1f}"))
    return report(checks, own, dsn)


@dataclass(slots=True)
class Found:
    """The regular files below a directory, and how much was left out."""

    files: dict[bytes, os.stat_result] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)


def find(directory: str) -> Found:
    """List the regular files below a directory; links, sockets and the like are left out."""
    if not Path(directory).is_dir():
        raise DemoError(f"{directory} is not a directory")
    found = Found()

    def unreadable(_: OSError) -> None:
        found.skipped["unreadable directories"] += 1

    for folder, folders, names in os.walk(
        os.fsencode(Path(directory).resolve()), onerror=unreadable
    ):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)  # noqa: PTH118 (bytes)
            try:
                state = os.lstat(path)
            except OSError:
                found.skipped["vanished"] += 1
                continue
            if not stat.S_ISREG(state.st_mode):
                found.skipped["links and special files"] += 1
            elif not os.access(path, os.R_OK):
                found.skipped["unreadable files"] += 1
            else:
                found.files[path] = state
    return found


def prepare() -> tuple[embedded.Server | None, str]:
    """Start the server, or use PGMQ_DSN's; install pgmq, an empty queue and the schema demo."""
    own, dsn = None, make_conninfo("", **find_server()) if os.environ.get("PGMQ_DSN") else ""
    if not dsn:
        own = embedded.server(STATE, extension=BUILD if _in_checkout() else None)
        with psycopg.connect(own.dsn(), autocommit=True) as connection:
            connection.execute("DROP DATABASE IF EXISTS demo WITH (FORCE)")
            connection.execute("CREATE DATABASE demo")
        dsn = own.dsn("demo")
    with Session(dsn, name="pgmq demo") as session:
        install_or_update(session.connection)
        # No notices of what is not there to be dropped.
        session.connection.execute("SET client_min_messages = warning")
        session.connection.execute(SCHEMA)
        for queue in (QUEUE, ORDERS, REFUSED, EVENTS):
            session.drop_queue(queue)
        session.drop_exchange(SHOP)
        session.create_queue(QUEUE)
        session.enable_wakeups(QUEUE)
    return own, dsn


def _in_checkout() -> bool:
    """Tell whether we are in the repository's top directory, where `make build` was run."""
    return any(BUILD.glob("*.control"))


class Fleet:
    """The worker processes; one of them is killed while it holds a lease."""

    def __init__(self, dsn: str, workers: int, batch: int) -> None:
        self._arguments = batch, dsn
        self._count = workers
        self._workers: dict[int, SpawnProcess] = {}
        self.killed: int | None = None

    def __enter__(self) -> Fleet:
        for number in range(1, self._count + 1):
            self._start(number)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._workers.values():
            process.kill()
            process.join()

    def _start(self, number: int) -> None:
        process = _context.Process(target=work, args=(number, *self._arguments), daemon=True)
        process.start()
        self._workers[number] = process

    def check(self) -> None:
        """Raise when a worker has ended by itself."""
        for number, process in self._workers.items():
            if number != self.killed and process.exitcode is not None:
                raise DemoError(f"worker {number} ended with exit code {process.exitcode}")

    def wait_until_ready(self, connection: psycopg.Connection[Any]) -> None:
        """Wait until every worker is connected."""
        ready: set[str] = set()
        while len(ready) < len(self._workers):
            self.check()
            time.sleep(0.05)
            ready = self._sessions(connection, "true")

    def try_to_kill(self, connection: psycopg.Connection[Any]) -> None:
        """Kill a worker that has leased messages right now, if there is one.

        It has while its handler's transaction is open. All are stopped while we look, or they
        would have gone on meanwhile.
        """
        self._signal(signal.SIGSTOP)
        time.sleep(0.02)  # for what they had sent before to be done
        holding = self._sessions(connection, "state = 'idle in transaction'")
        for number in reversed(self._workers):
            if _session(number) in holding:
                self.killed = number
                self._workers[number].kill()
                self._workers[number].join()
                break
        self._signal(signal.SIGCONT)
        if self.killed and self._count == 1:
            self._start(2)

    def _sessions(self, connection: psycopg.Connection[Any], condition: str) -> set[str]:
        names = [_session(number) for number in self._workers]
        query = f"SELECT application_name FROM pg_stat_activity WHERE {condition}"
        rows = connection.execute(f"{query} AND application_name = ANY (%s)".encode(), [names])
        return {name for (name,) in rows}

    def _signal(self, number: signal.Signals) -> None:
        for process in self._workers.values():
            if process.pid and process.is_alive():
                os.kill(process.pid, number)


def drain(session: Session, found: Found, fleet: Fleet) -> None:
    """Send a message for each file, and watch until every one is done."""
    paths = list(found.files)
    send = max(1, min(SEND_BATCH, len(paths) // 10))
    sent = done = 0
    left = 1
    with progress(len(paths)) as show:
        # Whatever is not there when the queue is empty will not come.
        while sent < len(paths) or (left and done < len(paths)):
            batch = paths[sent : sent + send]
            session.send_batch(QUEUE, [_message(path) for path in batch])
            sent += len(batch)
            if not batch:
                time.sleep(min(0.2, len(paths) / 50_000))
            [(done, left)] = session.connection.execute(PROGRESS.encode()).fetchall()
            if fleet.killed is None and done >= KILL_AT * len(paths):
                fleet.try_to_kill(session.connection)
            fleet.check()
            show(
                done, f"{left} in the queue{f', worker {fleet.killed} killed' * bool(fleet.killed)}"
            )


@contextlib.contextmanager
def progress(total: int) -> Iterator[Callable[[int, str], None]]:
    """Give a function that shows how far we are: a bar in a terminal, else a line a second."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console()
    next_line = 0.0

    def line(done: int, text: str) -> None:
        nonlocal next_line
        if time.monotonic() >= next_line or done == total:
            print(f"{done} of {total} done, {text}", flush=True)
            next_line = time.monotonic() + 1

    if not console.is_terminal:
        yield line
        return
    columns = (
        "{task.percentage:3.0f}%",
        "{task.completed} of {task.total} done, {task.fields[text]}",
    )
    with Progress(
        TextColumn(columns[0]), BarColumn(None), TextColumn(columns[1]), TimeElapsedColumn(),
        console=console,
    ) as bar:  # fmt: skip
        task = bar.add_task("", total=total, text="")
        yield lambda done, text: bar.update(task, completed=done, text=text)


def stop() -> int:
    """Stop the demo's server and remove all that it made."""
    own = embedded.find(STATE)
    if own is None:
        print("The demo's server is not there.")
        return 0
    own.stop(remove=True)
    print("The demo's server is stopped, its data removed.")
    return 0


def furnish(session: Session) -> None:
    """Leave something of everything: failures, dead letters, leases, a schedule, bindings."""
    session.create_queue(REFUSED)
    session.create_queue(ORDERS)
    session.alter_policy(
        ORDERS, max_receives=2, dead_letter_queue=REFUSED, retry_delay="10 minutes"
    )
    orders = session.send_batch(ORDERS, [{"order": number} for number in range(1, 21)])
    for delay in (0, 0, None):
        # The first one fails twice. The next read takes it away, and the second one fails once.
        if message := session.read(ORDERS):
            session.nack(ORDERS, message.msg_id, message.read_ct, delay, "the card was refused")
    session.read_batch(ORDERS, vt=3600, batch_size=5)
    session.ack(ORDERS, orders[2], 1)
    session.schedule("demo_orders_report", ORDERS, "*/5 * * * *", {"report": "of five minutes"})

    session.create_stream(EVENTS)
    session.create_group(EVENTS, "billing", "earliest")
    session.create_group(EVENTS, "search", "earliest", lanes=4)
    session.send_batch(
        EVENTS,
        [{"order": number % 20 + 1, "event": "paid"} for number in range(500)],
        [{"x-pgmq-group": str(number % 20 + 1)} for number in range(500)],
    )
    session.create_exchange(SHOP)
    for queue, pattern in ((ORDERS, "order.placed"), (EVENTS, "order.*"), (EVENTS, "stock.#")):
        session.bind(SHOP, queue, pattern)
    if batch := session.fetch(EVENTS, "billing", qty=200):
        session.commit(EVENTS, "billing", *batch.lease)


# What it proves


@dataclass(frozen=True, slots=True)
class Check:
    """A line of the summary; ok is None where there is nothing to check."""

    name: str
    value: str
    ok: bool | None = None


def examine(connection: psycopg.Connection[Any], found: Found, fleet: Fleet) -> list[Check]:
    """Compare what is stored with the directory itself, and measure."""
    return [
        *check_results(connection, found),
        *check_delivery(connection, fleet, must_kill=len(found.files) >= MUST_KILL),
        *measure(connection),
    ]


def check_results(connection: psycopg.Connection[Any], found: Found) -> list[Check]:
    """Check that each file is there once, with what it holds."""
    query = "SELECT path, size, sha256, lines, error FROM demo.result"
    stored = connection.execute(query).fetchall()
    times, expected = Counter(path for path, *_ in stored), Counter(map(_shown, found.files))
    missing, extra = expected - times, times - expected
    once = "yes"
    if missing or extra:
        once = f"no: {missing.total()} missing, {extra.total()} too many"

    results = {path: Digest(*rest) for path, *rest in stored}
    differ = [path for path in found.files if digest(path) != results.get(_shown(path))]
    wrong = [path for path in differ if not _changed(path, found.files[path])]
    hashed = f"{len(found.files) - len(differ)} equal"
    if len(wrong) < len(differ):
        hashed += f", {len(differ) - len(wrong)} changed meanwhile"
    if wrong:
        hashed += f", {len(wrong)} differ, as {_shown(wrong[0])}"

    skipped = ", ".join(f"{count} {what}" for what, count in sorted(found.skipped.items()))
    checks = [
        Check("files found", f"{len(found.files)}" + (f" (left out: {skipped})" * bool(skipped))),
        Check("results stored", str(len(stored)), len(stored) == len(found.files)),
        Check("each exactly once", once, not (missing or extra)),
        Check("hashed again here", hashed, not wrong),
    ]
    failed = sum(1 for *_, error in stored if error)
    return [*checks, Check("could not be read", str(failed))] if failed else checks


def check_delivery(
    connection: psycopg.Connection[Any], fleet: Fleet, *, must_kill: bool
) -> list[Check]:
    """Check that the queue is empty, and that what a killed worker had came back."""
    [(_, left)] = connection.execute(PROGRESS.encode()).fetchall()
    workers = connection.execute(
        "SELECT worker, count(*), count(*) FILTER (WHERE read_ct > 1) FROM demo.result"
        " GROUP BY worker ORDER BY worker"
    ).fetchall()
    again = sum(count for _, _, count in workers)
    killed = f"worker {fleet.killed}" if fleet.killed else "none: the queue was drained before"
    return [
        Check("left in the queue", str(left), left == 0),
        Check("killed with SIGKILL", killed, bool(fleet.killed) if must_kill else None),
        Check("redelivered after it", f"{again} messages", again > 0 if fleet.killed else None),
        Check("done by worker", ", ".join(f"{worker}: {count}" for worker, count, _ in workers)),
    ]


def measure(connection: psycopg.Connection[Any]) -> list[Check]:
    """Say how fast it was."""
    [(seconds, total50, total99, lease50, lease99)] = connection.execute(TIMES).fetchall()
    [(done, _)] = connection.execute(PROGRESS.encode()).fetchall()
    return [
        Check("messages/s", f"{done / max(float(seconds), 0.001):.0f}"),
        Check("latency, sent to acknowledged", _latency(total50, total99)),
        Check("latency, leased to acknowledged", _latency(lease50, lease99)),
    ]


def _changed(path: bytes, before: os.stat_result) -> bool:
    try:
        now = os.lstat(path)
    except OSError:
        return True
    return any(
        getattr(now, name) != getattr(before, name) for name in ("st_ino", "st_size", "st_mtime_ns")
    )


def _latency(p50: timedelta, p99: timedelta) -> str:
    return f"p50 {p50.total_seconds() * 1000:.1f} ms, p99 {p99.total_seconds() * 1000:.1f} ms"


def report(checks: list[Check], own: embedded.Server | None, dsn: str) -> int:
    """Print the summary; the exit code is 1 if a check fails."""
    words = {True: " - ok", False: " - FAILED", None: ""}
    for check in checks:
        print(f"{check.name + ':':33} {check.value}{words[check.ok]}")
    if own:
        print("The server is still running. Look around with")
        print(f"  {shlex.quote(str(own.psql))} {shlex.quote(dsn)}")
    else:
        # Not the string itself, which may hold a password.
        print('Look around with\n  psql "$PGMQ_DSN"')
    print("  SELECT * FROM demo.result WHERE read_ct > 1;")
    print(f"  SELECT * FROM pgmq.metrics('{QUEUE}');")
    if importlib.util.find_spec("starlette"):
        shown = shlex.quote(dsn) if own else '"$PGMQ_DSN"'
        print(f"or in a browser:\n  {shlex.quote(sys.executable)} -m pgmq web --dsn {shown}")
    if own:
        print("and end it with:", "make demo-stop" if _in_checkout() else "pgmq demo --stop")
    return 1 if any(check.ok is False for check in checks) else 0


if __name__ == "__main__":
    sys.exit(main())
