"""The main job on real input: hash every file below a directory, exactly once, despite a kill.

Every file becomes a message. Worker processes lease messages, hash the files, and store the results
and acknowledge in one statement. One worker is killed with SIGKILL while it holds a lease: its
messages come back when the lease runs out, and another worker does them.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import os
import shlex
import signal
import stat
import subprocess
import sys
import sysconfig
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import scalar_row, tuple_row
from psycopg.types.json import Jsonb

from pgmq import __version__, embedded
from pgmq.install import PGMQInstallError, get_embedded_install_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta

__all__ = ["main"]

QUEUE = "demo_files"
STATE = Path(".demo")
BUILD = Path("build")

LEASE = 3  # seconds; a killed worker's messages come back after it
BATCH = 50  # messages leased at once, at most
SEND_BATCH = 1000  # at most
KILL_AT = 0.4  # of the results
MUST_KILL = 500  # files; fewer may be done before a worker can be killed
CHUNK = 1 << 20

SCHEMA = """
DROP SCHEMA IF EXISTS demo CASCADE;
CREATE SCHEMA demo;
-- No key on path: that each file is there exactly once is checked, not enforced.
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

READ = """
SELECT msg_id, read_ct, enqueued_at, last_read_at, message
FROM pgmq.read_with_poll(%s, %s, %s, max_poll_seconds => 1, poll_interval_ms => 20)
"""

# One statement, so one transaction: an acknowledgement that is refused (the lease ran out, and the
# message is another's by now) stores nothing.
STORE = """
WITH acked AS (
    SELECT pgmq.ack(%(queue)s, %(msg_ids)s::bigint[], %(read_cts)s::integer[]) AS msg_id
)
INSERT INTO demo.result (
    path, size, sha256, lines, error, worker, read_ct, enqueued_at, leased_at
)
SELECT
    r.path, r.size, r.sha256, r.lines, r.error, %(worker)s, r.read_ct, r.enqueued_at, r.leased_at
FROM
    unnest(
        %(msg_ids)s::bigint[], %(read_cts)s::integer[], %(enqueued)s::timestamptz[],
        %(leased)s::timestamptz[], %(paths)s::text[], %(sizes)s::bigint[], %(hashes)s::text[],
        %(lines)s::bigint[], %(errors)s::text[]
    ) AS r (msg_id, read_ct, enqueued_at, leased_at, path, size, sha256, lines, error)
INNER JOIN acked USING (msg_id)
"""


# Counted: pgmq.metrics() estimates where vacuum has very many dead rows to remove.
PROGRESS = f"""
    SELECT (SELECT count(*) FROM demo.result), (SELECT count(*) FROM pgmq.q_{QUEUE})
"""


@dataclass(frozen=True, slots=True)
class Digest:
    """What a worker finds out about a file."""

    size: int | None
    sha256: str | None
    lines: int | None
    error: str | None = None


@dataclass(slots=True)
class Found:
    """The regular files below a directory, and how much was left out."""

    files: dict[bytes, os.stat_result] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Check:
    """A line of the summary; ok is None where there is nothing to check."""

    name: str
    value: str
    ok: bool | None = None


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
    parser.add_argument("--as-worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        if options.as_worker is not None:
            return work(options.as_worker, options.batch, os.environ["PGMQ_DEMO_DSN"])
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


class DemoError(Exception):
    """Raised when the demo cannot run; the message says why."""


# A worker process


def work(number: int, batch: int, dsn: str) -> int:
    """Lease, hash, store and acknowledge, until the process is ended."""
    parent = os.getppid()
    with psycopg.connect(dsn, autocommit=True, application_name=_session(number)) as connection:
        while os.getppid() == parent:
            messages = connection.execute(READ, [QUEUE, LEASE, batch]).fetchall()
            if messages:
                _do(connection, number, messages)
    return 0


def _do(connection: psycopg.Connection, number: int, messages: list[tuple[Any, ...]]) -> None:
    msg_ids, read_cts, enqueued, leased, bodies = map(list, zip(*messages, strict=True))
    renew_at = time.monotonic() + LEASE / 3

    def renew() -> None:
        nonlocal renew_at
        if time.monotonic() >= renew_at:
            connection.execute(
                "SELECT pgmq.extend(%s, %s::bigint[], %s::integer[], %s)",
                [QUEUE, msg_ids, read_cts, LEASE],
            )
            renew_at = time.monotonic() + LEASE / 3

    paths = [_path(body) for body in bodies]
    digests = [digest(path, renew) for path in paths]
    connection.execute(
        STORE,
        {
            "queue": QUEUE,
            "worker": number,
            "msg_ids": msg_ids,
            "read_cts": read_cts,
            "enqueued": enqueued,
            "leased": leased,
            "paths": [_shown(path) for path in paths],
            "sizes": [d.size for d in digests],
            "hashes": [d.sha256 for d in digests],
            "lines": [d.lines for d in digests],
            "errors": [d.error for d in digests],
        },
    )


def digest(path: bytes, tick: Callable[[], None] = lambda: None) -> Digest:
    """Hash a file and count its newlines, calling tick now and then."""
    sha256, lines, size = hashlib.sha256(), 0, 0
    tick()
    try:
        # Without blocking, and no link followed: the path may be another thing than it was.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            while chunk := file.read(CHUNK):
                sha256.update(chunk)
                lines += chunk.count(b"\n")
                size += len(chunk)
                tick()
    except OSError as error:
        return Digest(None, None, None, error.strerror or type(error).__name__)
    return Digest(size, sha256.hexdigest(), lines)


def _message(path: bytes) -> Jsonb:
    """Make a message of a path, which need not be UTF-8."""
    try:
        return Jsonb({"path": path.decode()})
    except UnicodeDecodeError:
        return Jsonb({"path_base64": base64.b64encode(path).decode()})


def _path(message: dict[str, str]) -> bytes:
    if "path" in message:
        return message["path"].encode()
    return base64.b64decode(message["path_base64"])


def _shown(path: bytes) -> str:
    return path.decode(errors="backslashreplace")


# The parent


def run(directory: str, workers: int) -> int:
    """Run the demo, and report."""
    begin = time.monotonic()
    found = find(directory)
    if not found.files:
        raise DemoError(f"no readable regular file below {directory}")
    own, dsn = prepare()
    with psycopg.connect(dsn, autocommit=True, row_factory=tuple_row) as connection:
        # Small batches for few files, so that every worker has its share.
        batch = max(1, min(BATCH, len(found.files) // (20 * workers)))
        with Fleet(dsn, workers, batch) as fleet:
            fleet.wait_until_ready(connection)
            drain(connection, found, fleet)
        checks = examine(connection, found, fleet)
    checks.append(Check("seconds in all", f"{time.monotonic() - begin:.1f}"))
    return report(checks, own, dsn)


def find(directory: str) -> Found:
    """List the regular files below a directory; links, sockets and the like are left out."""
    top = os.fsencode(Path(directory).resolve())
    if not Path(directory).is_dir():
        raise DemoError(f"{directory} is not a directory")
    found = Found()

    def unreadable(_: OSError) -> None:
        found.skipped["unreadable directories"] += 1

    for folder, folders, names in os.walk(top, onerror=unreadable):
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
    named = os.environ.get("PGMQ_DSN")
    own = None
    if named:
        dsn = named
    else:
        own = embedded.server(STATE, extension=BUILD if _in_checkout() else None)
        with psycopg.connect(own.dsn(), autocommit=True) as connection:
            connection.execute("DROP DATABASE IF EXISTS demo WITH (FORCE)")
            connection.execute("CREATE DATABASE demo")
        dsn = own.dsn("demo")
    with psycopg.connect(dsn, autocommit=True, row_factory=scalar_row) as connection:
        # No notices of things that are not there to be dropped.
        connection.execute("SET client_min_messages = warning")
        _install(connection)
        if connection.execute(
            "SELECT 1 FROM pgmq.list_queues() WHERE queue_name = %s", [QUEUE]
        ).fetchone():
            connection.execute("SELECT pgmq.drop_queue(%s)", [QUEUE])
        connection.execute(SCHEMA)
        connection.execute("SELECT pgmq.create(%s)", [QUEUE])
    return own, dsn


def _install(connection: psycopg.Connection[Any]) -> None:
    """Install pgmq where it, or this version of it, is missing."""
    ours = connection.execute("SELECT to_regprocedure('pgmq.ack(text,bigint,integer)')::text")
    if ours.fetchone():
        return
    available = connection.execute(
        "SELECT 1 FROM pg_available_extension_versions WHERE name = 'pgmq' AND version = %s",
        [__version__],
    ).fetchone()
    installed = connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'pgmq'").fetchone()
    if available:
        connection.execute("ALTER EXTENSION pgmq UPDATE" if installed else "CREATE EXTENSION pgmq")
    else:
        connection.execute(get_embedded_install_sql().encode())


def _in_checkout() -> bool:
    """Tell whether we are in the repository's top directory, where `make build` was run."""
    return any(BUILD.glob("*.control"))


class Fleet:
    """The worker processes; one of them is killed while it holds a lease."""

    def __init__(self, dsn: str, workers: int, batch: int) -> None:
        self._dsn = dsn
        self._batch = batch
        self._count = workers
        self._workers: dict[int, subprocess.Popen[bytes]] = {}
        self.killed: int | None = None

    def __enter__(self) -> Fleet:
        for number in range(1, self._count + 1):
            self._workers[number] = self._start(number)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._workers.values():
            process.kill()
        for process in self._workers.values():
            process.wait()

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "pgmq.demo"),
                *("--as-worker", str(number), "--batch", str(self._batch)),
            ],
            env=os.environ | {"PGMQ_DEMO_DSN": self._dsn},
            stdin=subprocess.DEVNULL,
        )

    def check(self) -> None:
        """Raise when a worker has ended by itself."""
        for number, process in self._workers.items():
            if number != self.killed and process.poll() is not None:
                raise DemoError(f"worker {number} ended with exit code {process.returncode}")

    def wait_until_ready(self, connection: psycopg.Connection[Any]) -> None:
        """Wait until every worker looks for messages."""
        names = [_session(number) for number in self._workers]
        while True:
            self.check()
            ready = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = ANY (%s)", [names]
            ).fetchone()
            if ready == (len(names),):
                return
            time.sleep(0.05)

    def try_to_kill(self, connection: psycopg.Connection[Any]) -> None:
        """Kill a worker that has leased messages right now, if there is one.

        That is so when its session idles and the last that it did was to read. All are stopped
        while we look, or they would have gone on meanwhile.
        """
        sessions = {_session(number): number for number in self._workers}
        self._signal(signal.SIGSTOP)
        time.sleep(0.02)  # for what they had sent before to be done
        holding = connection.execute(
            """
            SELECT application_name FROM pg_stat_activity
            WHERE application_name = ANY (%s) AND state = 'idle' AND query LIKE %s
            """,
            [list(sessions), "%pgmq.read_with_poll(%"],
        ).fetchall()
        if holding:
            self.killed = max(sessions[name] for (name,) in holding)
            self._workers[self.killed].kill()
            self._workers[self.killed].wait()
        self._signal(signal.SIGCONT)
        if self.killed and self._count == 1:
            self._workers[2] = self._start(2)

    def _signal(self, number: signal.Signals) -> None:
        for process in self._workers.values():
            process.send_signal(number)


def _session(number: int) -> str:
    return f"pgmq demo worker {number}"


def drain(connection: psycopg.Connection[Any], found: Found, fleet: Fleet) -> None:
    """Send a message for each file, and watch until every one is done."""
    paths = list(found.files)
    send = max(1, min(SEND_BATCH, len(paths) // 10))
    sent = done = 0
    with progress(len(paths)) as show:
        while done < len(paths):
            if sent < len(paths):
                batch = paths[sent : sent + send]
                connection.execute(
                    "SELECT pgmq.send_batch(%s, %s)", [QUEUE, [_message(path) for path in batch]]
                )
                sent += len(batch)
            else:
                time.sleep(min(0.2, len(paths) / 50_000))
            [(done, left)] = connection.execute(PROGRESS).fetchall()
            if fleet.killed is None and done >= KILL_AT * len(paths):
                fleet.try_to_kill(connection)
            fleet.check()
            show(done, left, fleet.killed)
            if left == 0 and sent == len(paths):
                # Whatever is not there by now will not come.
                break


@contextlib.contextmanager
def progress(total: int) -> Iterator[Callable[[int, int, int | None], None]]:
    """Give a function that shows how far we are: a bar in a terminal, else a line a second."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    def text(left: int, killed: int | None) -> str:
        return f"{left} in the queue" + (f", worker {killed} killed" if killed else "")

    console = Console()
    if not console.is_terminal:
        next_line = 0.0

        def line(done: int, left: int, killed: int | None) -> None:
            nonlocal next_line
            if time.monotonic() >= next_line or done == total:
                print(f"{done} of {total} done, {text(left, killed)}", flush=True)
                next_line = time.monotonic() + 1

        yield line
        return
    with Progress(
        TextColumn("{task.percentage:3.0f}%"),
        BarColumn(bar_width=None),
        TextColumn("{task.completed} of {task.total} done, {task.fields[text]}"),
        TimeElapsedColumn(),
        console=console,
    ) as bar:
        task = bar.add_task("", total=total, text="")

        def update(done: int, left: int, killed: int | None) -> None:
            bar.update(task, completed=done, text=text(left, killed))

        yield update


def examine(connection: psycopg.Connection[Any], found: Found, fleet: Fleet) -> list[Check]:
    """Compare what is stored with the directory itself, and measure."""
    stored = connection.execute(
        "SELECT path, size, sha256, lines, error FROM demo.result"
    ).fetchall()
    times = Counter(path for path, *_ in stored)
    expected = Counter(map(_shown, found.files))
    missing, extra = expected - times, times - expected

    results = {path: Digest(*rest) for path, *rest in stored}
    same = changed = 0
    wrong = []
    for path, before in found.files.items():
        mine, theirs = digest(path), results.get(_shown(path))
        if mine == theirs:
            same += 1
        elif _changed(path, before):
            changed += 1
        else:
            wrong.append(path)

    [(seconds, total50, total99, lease50, lease99)] = connection.execute(
        """
        SELECT
            extract(EPOCH FROM max(done_at) - min(enqueued_at)),
            percentile_cont(0.5) WITHIN GROUP (ORDER BY done_at - enqueued_at),
            percentile_cont(0.99) WITHIN GROUP (ORDER BY done_at - enqueued_at),
            percentile_cont(0.5) WITHIN GROUP (ORDER BY done_at - leased_at),
            percentile_cont(0.99) WITHIN GROUP (ORDER BY done_at - leased_at)
        FROM demo.result
        """
    ).fetchall()
    [(_, left)] = connection.execute(PROGRESS).fetchall()
    [(redelivered,)] = connection.execute(
        "SELECT count(*) FROM demo.result WHERE read_ct > 1"
    ).fetchall()
    by_worker = connection.execute(
        "SELECT worker, count(*) FROM demo.result GROUP BY worker ORDER BY worker"
    ).fetchall()

    must_kill = len(found.files) >= MUST_KILL
    skipped = ", ".join(f"{count} {what}" for what, count in sorted(found.skipped.items()))
    failed = sum(1 for _, _, _, _, error in stored if error)
    return [
        Check(
            "files found", f"{len(found.files)}" + (f" (left out: {skipped})" if skipped else "")
        ),
        Check("results stored", str(len(stored)), len(stored) == len(found.files)),
        Check(
            "each exactly once",
            "yes"
            if not (missing or extra)
            else f"no: {missing.total()} missing, {extra.total()} too many",
            not (missing or extra),
        ),
        Check(
            "hashed again here",
            f"{same} equal"
            + (f", {changed} changed meanwhile" if changed else "")
            + (f", {len(wrong)} differ, as {_shown(wrong[0])}" if wrong else ""),
            not wrong,
        ),
        *([Check("could not be read", str(failed))] if failed else []),
        Check("left in the queue", str(left), left == 0),
        Check(
            "killed with SIGKILL",
            f"worker {fleet.killed}" if fleet.killed else "none: the queue was drained before",
            bool(fleet.killed) if must_kill else None,
        ),
        Check(
            "redelivered after it",
            f"{redelivered} messages",
            redelivered > 0 if fleet.killed else None,
        ),
        Check("done by worker", ", ".join(f"{worker}: {count}" for worker, count in by_worker)),
        Check("messages/s", f"{len(stored) / max(float(seconds), 0.001):.0f}"),
        Check("latency, sent to acknowledged", _latency(total50, total99)),
        Check("latency, leased to acknowledged", _latency(lease50, lease99)),
    ]


def _changed(path: bytes, before: os.stat_result) -> bool:
    try:
        now = os.lstat(path)
    except OSError:
        return True
    return (now.st_ino, now.st_size, now.st_mtime_ns) != (
        before.st_ino,
        before.st_size,
        before.st_mtime_ns,
    )


def _latency(p50: timedelta, p99: timedelta) -> str:
    return f"p50 {p50.total_seconds() * 1000:.1f} ms, p99 {p99.total_seconds() * 1000:.1f} ms"


def report(checks: list[Check], own: embedded.Server | None, dsn: str) -> int:
    """Print the summary; the exit code is 1 if a check fails."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if console.is_terminal:
        table = Table(show_header=False)
        marks = {True: Text("ok", "green"), False: Text("FAILED", "bold red"), None: Text()}
        for check in checks:
            table.add_row(check.name, Text(check.value), marks[check.ok])
        console.print(table)
    else:
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
    if own:
        print("and end it with:", "make demo-stop" if _in_checkout() else "pgmq demo --stop")
    return 1 if any(check.ok is False for check in checks) else 0


def stop() -> int:
    """Stop the demo's server and remove all that it made."""
    own = embedded.find(STATE)
    if own is None:
        print("The demo's server is not there.")
        return 0
    own.stop(remove=True)
    print("The demo's server is stopped, its data removed.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
