"""Jobs that do nothing, by frameworks for tasks on pgmq, on Redis and on RabbitMQ, and by workers.

Without the other scenarios: PYTHONPATH=python/src:tests python -m benchmark.run --only frameworks
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import make_conninfo

from benchmark.contenders.job import BEGUN, GATE, RECORD, WAITING, Begun
from benchmark.driver import tree_seconds
from benchmark.report import middle, progress, spread, table
from pgmq import install_pgmq_from_sql
from support.brokers import RabbitMQ, redis
from support.server import ROOT
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmark.bench import Bench

    _Program = subprocess.Popen[str]

PROCESSES = 2
SENT = 3_000  # one after another, at most
RATE = 100  # a second
DRAIN_SECONDS = 15.0  # and no longer


@dataclass(frozen=True, slots=True)
class Contender:
    """A way to have jobs done: modules of contenders/ send them, a command runs them."""

    name: str
    server: str  # postgres, redis or rabbitmq
    module: str
    worker: str  # arguments of python -m; {url} is the server's
    processes: int = 1  # of this command, if it makes no more by itself
    backend: str = ""  # of Django's tasks
    jobs: int = SENT  # of the backlog: some seconds; what is more than SENT, is sent in batches


def _on_each(name: str, module: str, worker: str) -> list[Contender]:
    labels = {"postgres": "pgmq", "redis": "Redis", "rabbitmq": "RabbitMQ"}
    return [Contender(f"{name}, {label}", s, module, worker) for s, label in labels.items()]


CONTENDERS = (
    *(
        Contender(
            name, "postgres", "use_pgmq", f"benchmark.contenders.use_pgmq {name}", PROCESSES,
            jobs=100_000,
        )
        for name in ("AsyncWorker", "Worker")
    ),
    *_on_each(
        "Celery",
        "use_celery",
        f"celery -A benchmark.contenders.use_celery worker --concurrency {PROCESSES}"
        " --loglevel error --without-gossip --without-mingle --without-heartbeat",
    ),
    *_on_each(
        "dramatiq",
        "use_dramatiq",
        f"dramatiq benchmark.contenders.use_dramatiq --processes {PROCESSES} --threads 8",
    ),
    *_on_each(
        "taskiq",
        "use_taskiq",
        f"taskiq worker benchmark.contenders.use_taskiq:broker --workers {PROCESSES}"
        " --max-async-tasks 100 --log-level ERROR",
    ),
    Contender(
        "RQ, Redis", "redis", "use_rq", "rq.cli worker --quiet --url {url} jobs", PROCESSES,
        jobs=300,
    ),
    Contender(
        "RQ without fork, Redis", "redis", "use_rq",
        "rq.cli worker --quiet --url {url} --worker-class rq.worker.SimpleWorker jobs", PROCESSES,
        jobs=1_000,
    ),
    Contender(
        "Django tasks, pgmq", "postgres", "use_django", "django pgmq_worker", PROCESSES,
        backend="pgmq.django.PGMQBackend", jobs=1_000,
    ),
    Contender(
        "Django tasks, database", "postgres", "use_django",
        "django db_worker --no-startup-delay", PROCESSES,
        backend="django_tasks_db.DatabaseBackend", jobs=1_000,
    ),
    Contender(
        "Django tasks, RQ", "redis", "use_django",
        "django rqworker default --verbosity 0 --job-class django_tasks_rq.Job", PROCESSES,
        backend="django_tasks_rq.RQBackend", jobs=300,
    ),
)  # fmt: skip


def frameworks(bench: Bench) -> tuple[str, Any]:
    """Have each contender send jobs, work off a backlog, and serve a steady rate, in turns."""
    part, seconds = (10, 2) if bench.plan.quick else (1, 10)
    rounds = max(1, bench.plan.rounds - 2)
    found: dict[str, dict[str, list[Any]]] = {}
    failed: dict[str, str] = {}
    for turn in range(rounds):
        for contender in CONTENDERS:
            progress(f"{contender.name}, round {turn + 1} of {rounds}")
            try:
                measured = _measure(bench, contender, contender.jobs // part, seconds)
            except (AssertionError, ValueError, OSError) as error:
                failed[contender.name] = f"{type(error).__name__}: {error}"
                progress(failed[contender.name])
                continue
            for key, value in measured.items():
                found.setdefault(contender.name, {}).setdefault(key, []).append(value)
    texts = (f"{name} has failed: {why}" for name, why in failed.items())
    return "\n\n".join([_markdown(found), *texts]), found


@contextlib.contextmanager
def _database(bench: Bench) -> Iterator[tuple[str, int]]:
    assert bench.server.postmaster is not None, "the server must be on this machine"
    name = "pgmq_frameworks"
    with psycopg.connect(bench.dsn, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        admin.execute(f"CREATE DATABASE {name}".encode())
        admin.execute(f"ALTER DATABASE {name} SET synchronous_commit = off".encode())
        own = make_conninfo(bench.dsn, dbname=name)
        install_pgmq_from_sql(dsn=own)
        yield own, bench.server.postmaster
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@contextlib.contextmanager
def _rabbitmq(folder: Path) -> Iterator[tuple[str, int]]:
    node = RabbitMQ(folder)
    try:
        node.start()
        yield node.url.removesuffix("//") + "/%2F", node.pid  # as pika has it
    finally:
        node.close()


@contextlib.contextmanager
def _server(bench: Bench, kind: str, folder: Path) -> Iterator[tuple[str, int]]:
    """Have an empty server; yields its URL, and the process that all of it descend from."""
    if kind == "postgres":
        server = _database(bench)
    elif kind == "redis":
        server = redis(folder)
    else:
        (folder / "rabbitmq").mkdir()
        server = _rabbitmq(folder / "rabbitmq")
    with server as known:
        yield known


@contextlib.contextmanager
def _program(command: list[str], environment: dict[str, str], errors: Path) -> Iterator[_Program]:
    """Run a program of Python, and have it end."""
    with (
        errors.open("a") as said,
        subprocess.Popen(
            [sys.executable, "-m", *command],
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if "produce" in command[0] else subprocess.DEVNULL,
            stderr=said,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
        finally:
            with contextlib.suppress(ProcessLookupError):  # also what it has left behind
                os.killpg(process.pid, signal.SIGKILL)


def _ask(producer: _Program, first: int, count: int, rate: float | None) -> dict[str, float]:
    """Have jobs sent; returns the seconds that it took."""
    assert producer.stdin is not None
    assert producer.stdout is not None
    print(json.dumps([first, count, rate]), file=producer.stdin, flush=True)
    answer: dict[str, float] = json.loads(producer.stdout.readline())
    return answer


def _measure(bench: Bench, contender: Contender, jobs: int, seconds: int) -> dict[str, Any]:
    """Measure sending, a backlog, and a steady rate."""
    count = min(jobs, SENT)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp")))
        folder.chmod(0o755)
        url, server = stack.enter_context(_server(bench, contender.server, folder))
        environment = {
            "BENCH_FOLDER": str(folder),
            "BENCH_SERVER": contender.server,
            "BENCH_URL": url,
            "PYTHONPATH": os.pathsep.join(str(ROOT / path) for path in ("tests", "python/src")),
        }
        if contender.backend:  # Celery would look at these settings, too
            environment["BENCH_BACKEND"] = contender.backend
            environment["DJANGO_SETTINGS_MODULE"] = "benchmark.contenders.django_settings"

        def run(command: str) -> _Program:
            program = _program(command.format(url=url).split(), environment, folder / "said")
            return stack.enter_context(program)

        try:
            producer = run(f"benchmark.contenders.produce {contender.module}")
            _ask(producer, -1, 1, 0)  # connections and plans
            sending = _ask(producer, 0, count, 0)
            if jobs > count:
                _ask(producer, count, jobs - count, None)
            workers = [run(contender.worker).pid for _ in range(contender.processes)]
            drained = _drain(folder, 1 + jobs, [[server], workers])
            _ask(producer, jobs, RATE * seconds, RATE)
            _wait(folder, 1 + jobs + RATE * seconds, 3)
        except (AssertionError, ValueError):
            progress((folder / "said").read_text()[-2000:])
            raise
        begun = _begun(folder)
    late = sorted(1000 * (one.at - one.sent) for one in begun if one.number >= jobs)
    return {
        "sent": count / sending["seconds"],
        "send_us": 1e6 * sending["cpu"] / count,
        **drained,
        "p50": late[len(late) // 2] if late else None,
        "p99": late[int(0.99 * len(late))] if late else None,
        "in_time": len(late) / (RATE * seconds),
        "twice": len(begun) - len({one.number for one in begun}),
        "load": os.getloadavg()[0],
    }


def _drain(folder: Path, jobs: int, trees: list[list[int]]) -> dict[str, float]:
    """Have the workers begin at once; returns how many jobs a second, and the CPU time of each."""
    waiting = folder / WAITING
    until(lambda: waiting.exists() and len(set(waiting.read_text().split())) == PROCESSES)
    before = [tree_seconds(tree) for tree in trees]
    opened = time.time()
    (folder / GATE).touch()
    _wait(folder, jobs, DRAIN_SECONDS)
    server, workers = (tree_seconds(tree) - past for tree, past in zip(trees, before, strict=True))
    begun = _begun(folder)
    rate = len(begun) / (begun[-1].at - opened)
    _wait(folder, jobs, 3 * DRAIN_SECONDS)  # nothing is to be in the way of what comes next
    return {
        "rate": rate,
        "server_us": 1e6 * server / len(begun),
        "workers_us": 1e6 * workers / len(begun),
    }


def _wait(folder: Path, jobs: int, seconds: float) -> None:
    """Wait until so many jobs have begun, or the time is over."""
    file, deadline = folder / BEGUN, time.monotonic() + seconds
    while file.stat().st_size < jobs * RECORD.size and time.monotonic() < deadline:
        time.sleep(0.005)


def _begun(folder: Path) -> list[Begun]:
    return list(map(Begun._make, RECORD.iter_unpack((folder / BEGUN).read_bytes())))


def _markdown(found: dict[str, dict[str, list[Any]]]) -> str:
    rows = [
        [
            name,
            spread(one["rate"]),
            *(middle(one[key]) for key in ("server_us", "workers_us", "sent", "send_us")),
            *(middle(list(filter(None, one[key]))) for key in ("p50", "p99")),
            _remarks(one),
        ]
        for name, one in found.items()
    ]
    heads = [
        "", "jobs a second", "server CPU us", "workers CPU us", "sent a second", "sender CPU us",
        f"{RATE} a second: p50 ms", "p99 ms", "",
    ]  # fmt: skip
    loads = [load for one in found.values() for load in one["load"]]
    text = f"Jobs that do nothing, {PROCESSES} processes of workers; the load meanwhile was"
    text += f" {min(loads):.1f} to {max(loads):.1f}:"
    return f"{text}\n\n{table(heads, rows)}"


def _remarks(one: dict[str, list[Any]]) -> str:
    texts = []
    if min(one["in_time"]) < 1:
        texts.append(f"of {RATE} a second {100 * min(one['in_time']):.0f}% in time")
    if any(one["twice"]):
        texts.append(f"{sum(one['twice'])} twice")
    return "; ".join(texts)
