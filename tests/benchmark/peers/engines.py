"""The engines that are compared: what they are, and with which settings and why, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

PROCESSES = 2
SLOTS = 4  # jobs that a process works on at a time, where the engine has such a number

Kind = Literal["ours", "python", "node"]

# What is installed beside; package.json has the versions of the others.
PYTHON_PACKAGES = {
    "pgmq": "1.1.4",  # its SQL is pgmq 1.13.0
    "procrastinate": "3.10.0",
    "pgqueuer": "1.6.0",
    "asyncpg": "0.32.0",
    "uvloop": "0.23.0",
    "psycopg": "3.3.9",
    "psycopg-binary": "3.3.9",
}
NODE_PACKAGES = ("pg-boss", "graphile-worker", "pg")


@dataclass(frozen=True, slots=True)
class Engine:
    """A queue to compare."""

    name: str
    kind: Kind
    program: str
    packages: tuple[str, ...]
    unfinished: str  # counts the jobs that are not acknowledged
    settings: dict[str, Any]  # what its program is given
    reasons: dict[str, str] = field(default_factory=dict)


_PGMQ = "SELECT count(*) FROM pgmq.q_jobs"

ENGINES = (
    Engine(
        "pgmq",
        "ours",
        "ours.py",
        ("pgmq",),
        _PGMQ,
        {"worker": "AsyncWorker", "concurrency": SLOTS, "synchronous_commit": True},
        {
            "worker": "tasks, as the asynchronous handlers of the others; all else by default",
            "synchronous_commit": "as the server has it, like everybody's; the default is off",
            "queue": "enable_wakeups: a NOTIFY while a worker waits",
        },
    ),
    Engine(
        "pgmq threads",
        "ours",
        "ours.py",
        ("pgmq",),
        _PGMQ,
        {"worker": "Worker", "concurrency": SLOTS, "synchronous_commit": True},
        {"worker": "the same with a synchronous handler"},
    ),
    Engine(
        "upstream pgmq",
        "python",
        "upstream.py",
        ("pgmq", "psycopg"),
        _PGMQ,
        {"threads": SLOTS, "vt": 30, "batch_size": 100, "poll_seconds": 1.0,
         "throttle_interval_ms": 0},
        {
            "threads": "it has no worker: each thread reads a batch, handles it, deletes it",
            "batch_size": "one read_batch and one delete_batch for 100: what it has for throughput",
            "throttle_interval_ms": "the default of 250 would be the latency",
            "poll_seconds": "only if a notification is lost",
        },
    ),
    Engine(
        "procrastinate",
        "python",
        "use_procrastinate.py",
        ("procrastinate", "psycopg"),
        "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')",
        {"concurrency": SLOTS, "delete_jobs": "successful", "connections": SLOTS + 2},
        {
            "delete_jobs": "as all others but pg-boss; the default keeps the rows, for ever",
            "connections": "one for LISTEN, one to fetch, one for each that finishes",
            "listen_notify": "on by default",
        },
    ),
    Engine(
        "pgqueuer",
        "python",
        "use_pgqueuer.py",
        ("pgqueuer", "asyncpg", "uvloop"),
        "SELECT count(*) FROM pgqueuer",
        {"batch_size": 100, "dequeue_timeout_seconds": 30},
        {
            "batch_size": "the guide to tuning says more than 10 where jobs are short; also how"
            " many are acknowledged at once",
            "max_concurrent_tasks": "none, the default: it must be at least twice the batch",
            "tables": "durable, with the autovacuum settings that the guide asks for",
            "driver": "asyncpg: one connection for the worker, a pool for the producer",
        },
    ),
    Engine(
        "pg-boss",
        "node",
        "use_pg_boss.mjs",
        ("pg-boss", "pg"),
        "SELECT count(*) FROM pgboss.job WHERE name = 'jobs' AND state < 'completed'",
        {"localConcurrency": SLOTS, "batchSize": 100, "burstWhenBatchFull": True,
         "pollingIntervalSeconds": 0.5, "notifyPollingIntervalSeconds": 0.5, "max": 10},
        {
            "localConcurrency": "workers of a process",
            "batchSize": "fetched, handled and completed together",
            "burstWhenBatchFull": "else it waits for the next poll after a full batch too",
            "pollingIntervalSeconds": "the least it allows; the defaults are 2 and 30",
            "notify": "on, for the queue and the instance; completed jobs are kept, as it does",
        },
    ),
    Engine(
        "graphile-worker",
        "node",
        "use_graphile_worker.mjs",
        ("graphile-worker", "pg"),
        "SELECT count(*) FROM graphile_worker._private_jobs",
        {"concurrentJobs": SLOTS, "maxPoolSize": 10, "localQueue": {"size": 500},
         "completeJobBatchDelay": 0, "failJobBatchDelay": 0},
        {
            "localQueue": "with the delays of 0 what its own performance test uses",
            "notifications": "always on",
        },
    ),
)  # fmt: skip
NAMES = tuple(engine.name for engine in ENGINES)
