"""Runs pgbench, and finds out how much CPU time the server spent on it."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from benchmark.cases import VARIABLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import psycopg

# After five executions Postgres considers a generic plan for a prepared statement.
SHORT_WARM_UP = 6
# pgmq moves its marks in one of 64 reads or so, which needs plans as well.
WARM_UP = 200
TICK = os.sysconf("SC_CLK_TCK")


class PgbenchError(Exception):
    """pgbench failed before it measured anything."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a server has done so far, or between two such figures."""

    wal_bytes: int
    blocks: int

    def __sub__(self, before: Work) -> Work:
        return Work(self.wal_bytes - before.wal_bytes, self.blocks - before.blocks)


@dataclass(frozen=True, slots=True)
class Run:
    """The outcome of one measured run of pgbench."""

    transactions: int  # all that were done, with the warm-up's
    tps: float
    cpu_us: float | None  # backend CPU per transaction, in microseconds
    latencies_ms: tuple[float, ...]  # of each command of the script, where asked for
    aborted: str | None  # a client gave up
    wal_bytes: float | None = None  # written for a transaction, full pages included
    blocks: float | None = None  # of the queue's relations, found in shared buffers or read

    def worked(self, work: Work) -> Run:
        """Return the figures with what all transactions have written and touched."""
        number = max(1, self.transactions)
        return replace(self, wal_bytes=work.wal_bytes / number, blocks=work.blocks / number)

    def useful(self, part: float) -> Run:
        """Return the figures for the transactions that did something."""
        part = max(part, 1e-6)

        def each(value: float | None) -> float | None:
            return None if value is None else value / part

        return replace(
            self,
            tps=self.tps * part,
            cpu_us=each(self.cpu_us),
            wal_bytes=each(self.wal_bytes),
            blocks=each(self.blocks),
        )


@dataclass(frozen=True, slots=True)
class Bucket:
    """A few seconds in a longer run."""

    seconds: float  # since the start, at its end
    tps: float
    cpu_us: float | None


class Server:
    """Reads the CPU time of a local server's backends from /proc.

    Linux adds the user and system time of a process to `cutime` and `cstime` of its parent when
    the parent reaps it. So the difference of the postmaster's two numbers between an instant before
    pgbench connects and one after its backends are gone is exactly what these backends (and the
    parallel workers they started) used over their whole life: no sampling, and none of the
    uncertainty of matching two samples with transaction counts. What sessions cost besides their
    transactions (fork, authentication, filling caches, the first plans) is measured by a short run
    just before, and subtracted together with its transactions.
    An autovacuum worker that ends within a run is counted too; where runs are short, autovacuum is
    off for the tables measured. Other sessions' ends would count as well: use an idle server.
    """

    def __init__(self, conn: psycopg.Connection) -> None:
        stat = _local_stat(conn)
        self.postmaster = None if stat is None else int(stat[1])

    def reaped_seconds(self) -> float:
        """Return the CPU time of all children that have ended."""
        assert self.postmaster is not None
        stat = _stat(self.postmaster)
        if stat is None:
            raise PgbenchError("the server is gone")
        return (int(stat[13]) + int(stat[14])) / TICK

    def children(self) -> set[int]:
        """Return the server's processes, but for autovacuum's."""
        found = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                stat = _stat(int(entry.name))
                if (
                    stat is not None
                    and int(stat[1]) == self.postmaster
                    and b"autovacuum" not in _command(int(entry.name))
                ):
                    found.add(int(entry.name))
        return found

    def wait_for_only(self, pids: set[int]) -> None:
        """Wait until no other process is left than these."""
        deadline = time.monotonic() + 5
        while self.children() - pids and time.monotonic() < deadline:
            time.sleep(0.005)


def backend_seconds(conn: psycopg.Connection) -> float | None:
    """Return the CPU time that a session has taken so far, if its server is local."""
    stat = _local_stat(conn)
    if stat is None:
        return None
    with contextlib.suppress(OSError):  # to the nanosecond, where the kernel counts that
        return int(Path(f"/proc/{conn.info.backend_pid}/schedstat").read_text().split()[0]) / 1e9
    return (int(stat[11]) + int(stat[12])) / TICK


def _local_stat(conn: psycopg.Connection) -> list[str] | None:
    host = conn.info.host
    local = not host or host.startswith("/") or host in ("localhost", "127.0.0.1", "::1")
    # Not seen when the server runs in a container, whose pids are others here.
    pid = conn.info.backend_pid
    return _stat(pid) if local and b"postgres" in _command(pid) else None


def _stat(pid: int) -> list[str] | None:
    # The fields after the command's name, which may contain spaces: state, ppid, ...
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def spent_seconds(pids: set[int]) -> float:
    stats = [_stat(pid) for pid in pids]
    return sum(int(s[11]) + int(s[12]) for s in stats if s is not None) / TICK


def tree_seconds(roots: Iterable[int]) -> float:
    """Return what processes and all that descend from them have taken, with those that ended."""
    found = {int(entry.name): _stat(int(entry.name)) for entry in Path("/proc").glob("[0-9]*")}
    stats = {pid: stat for pid, stat in found.items() if stat is not None}
    tree = set(roots)
    while more := {pid for pid, stat in stats.items() if int(stat[1]) in tree} - tree:
        tree |= more
    return sum(sum(map(int, stats[pid][11:15])) for pid in tree if pid in stats) / TICK


@dataclass(frozen=True, slots=True)
class Pgbench:
    """How pgbench is run: everything but the script."""

    program: str
    server: Server
    clients: int
    jobs: int
    warm_up: int = SHORT_WARM_UP  # transactions of each client

    def run(
        self,
        conninfo: str,
        script: str,
        *,
        per_client: int,
        variables: Mapping[str, str] | None = None,
        per_command: bool = False,
    ) -> Run:
        """Measure a number of transactions for each client.

        Of time and CPU, what a run of the warm-up alone takes is subtracted, so that the rate is
        that of sessions which have been there for a while, however short the run.
        """
        with tempfile.TemporaryDirectory(prefix="pgmq-bench-") as folder:
            command, env = self._command(folder, conninfo, script, variables or {})
            if per_command:
                command.insert(1, "-r")
            warm_cpu, warm = self._once(command, env, self.warm_up)
            cpu, run = self._once(command, env, self.warm_up + per_client)
        cpu_us = None
        done = run.transactions - warm.transactions
        seconds = run.transactions / run.tps - warm.transactions / warm.tps
        if done > 0 and seconds > 0:
            run = replace(run, tps=done / seconds)
            if cpu is not None and warm_cpu is not None:
                cpu_us = max(cpu - warm_cpu, 0.0) * 1e6 / done
        return replace(
            run,
            transactions=run.transactions + warm.transactions,
            cpu_us=cpu_us,
            aborted=run.aborted or warm.aborted,
        )

    def watch(
        self,
        conninfo: str,
        script: str,
        *,
        seconds: int,
        bucket: int,
        options: tuple[str, ...] = (),
    ) -> tuple[list[Bucket], str | None]:
        """Run for a time and return the rate in each bucket, and why a client gave up, if so.

        CPU time is sampled when pgbench reports a bucket. Both its rate and the CPU used per second
        between two reports are rates, so that a report read a few milliseconds late does no harm.
        """
        buckets: list[Bucket] = []
        before = self.server.children() if self.server.postmaster else set()
        with (
            tempfile.TemporaryDirectory(prefix="pgmq-bench-") as folder,
            tempfile.TemporaryFile("w+") as output,
        ):
            command, env = self._command(folder, conninfo, script, {})
            # One second more than asked for: the last report would otherwise be missing.
            command[1:1] = ["-P", str(bucket), "-T", str(seconds + 1), *options]
            process = subprocess.Popen(
                command, env=env, stdout=output, stderr=subprocess.PIPE, text=True
            )
            assert process.stderr is not None
            pids: set[int] = set()
            clock, spent = time.monotonic(), 0.0
            errors = []
            for line in process.stderr:
                match = re.match(r"progress: ([\d.]+) s, ([\d.]+) tps", line)
                if match is None:
                    errors.append(line.strip())
                    continue
                now, cpu, tps = time.monotonic(), None, float(match[2])
                if self.server.postmaster:
                    pids = pids or self.server.children() - before
                    spent_now = spent_seconds(pids)
                    if tps > 0:
                        cpu = (spent_now - spent) / (now - clock) * 1e6 / tps
                    spent = spent_now
                clock = now
                if float(match[1]) <= seconds + 0.5:
                    buckets.append(Bucket(float(match[1]), tps, cpu))
            status = process.wait()
        if self.server.postmaster:
            self.server.wait_for_only(before)
        aborted = None
        if status != 0:
            aborted = next((e for e in errors if "error" in e or "abort" in e), "pgbench failed")
            if not buckets:
                raise PgbenchError(aborted)
        return buckets, aborted

    def _command(
        self, folder: str, conninfo: str, script: str, variables: Mapping[str, str]
    ) -> tuple[list[str], dict[str, str]]:
        file = Path(folder, "script.sql")
        file.write_text(script)
        parameters = conninfo_to_dict(conninfo)
        env = dict(os.environ)
        if password := parameters.pop("password", None):
            env["PGPASSWORD"] = str(password)  # not on the command line
        command = [self.program, "-M", "prepared", "-n", "-f", str(file)]
        command += ["-c", str(self.clients), "-j", str(min(self.jobs, self.clients))]
        for name, value in {**VARIABLES, **variables}.items():
            command += ["-D", f"{name}={value}"]
        return [*command, make_conninfo("", **parameters)], env

    def _once(
        self, command: list[str], env: dict[str, str], per_client: int
    ) -> tuple[float | None, Run]:
        before: set[int] = set()
        cpu = None
        if self.server.postmaster:
            before = self.server.children()
            cpu = -self.server.reaped_seconds()
        done = subprocess.run(
            [command[0], "-t", str(per_client), *command[1:]],
            env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if cpu is not None:
            self.server.wait_for_only(before)
            cpu += self.server.reaped_seconds()
        aborted = None
        if done.returncode != 0:
            errors = [
                line
                for line in done.stderr.splitlines()
                if re.search(r"error|fatal|aborted", line, re.IGNORECASE)
            ]
            aborted = errors[0] if errors else f"pgbench ended with {done.returncode}"
        processed = re.search(r"actually processed: (\d+)", done.stdout)
        tps = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
        if processed is None or tps is None:
            raise PgbenchError(aborted or "pgbench printed no result")
        latencies = re.findall(
            r"^ +([\d.]+) ", done.stdout.partition("statement latencies")[2], re.MULTILINE
        )
        return cpu, Run(
            int(processed[1]), float(tps[1]), None, tuple(map(float, latencies)), aborted
        )
