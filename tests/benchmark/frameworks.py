"""Frameworks for tasks: the same one on pgmq, on Redis and on RabbitMQ.

Without the other scenarios: PYTHONPATH=python/src:tests python -m benchmark.run --only frameworks
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import make_conninfo

from benchmark.report import progress, spread, table, times
from pgmq import install_pgmq_from_sql
from support.brokers import RabbitMQ, redis

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmark.bench import Bench

FRAMEWORKS = ("taskiq", "dramatiq")
BROKERS = ("pgmq", "redis", "rabbitmq")
TEXT = f"{os.getpid()} {'x' * 100}"


def frameworks(bench: Bench) -> tuple[str, Any]:
    """Send tasks one after another, and then have one worker process run them."""
    count, rounds = (500, 1) if bench.plan.quick else (5000, 3)
    found: dict[str, dict[str, list[float]]] = {}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp")))
        (folder / "rabbitmq").mkdir()
        folder.chmod(0o755)
        node = RabbitMQ(folder / "rabbitmq")
        stack.callback(node.close)
        node.start()
        urls = {
            "pgmq": stack.enter_context(_database(bench.dsn)),
            "redis": stack.enter_context(redis(folder)),
            "rabbitmq": node.url.removesuffix("//") + "/%2F",  # as pika has it
        }
        for turn in range(rounds):
            for framework in FRAMEWORKS:
                for broker in BROKERS:
                    progress(f"{framework} on {broker}, round {turn + 1} of {rounds}")
                    measured = _measure(framework, broker, urls[broker], count)
                    series = found.setdefault(f"{framework} on {broker}", {"send": [], "run": []})
                    for step, seconds in measured.items():
                        series[step].append(count / seconds)
    return _markdown(found, count), found


@contextlib.contextmanager
def _database(dsn: str) -> Iterator[str]:
    name = "pgmq_frameworks"
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        admin.execute(f"CREATE DATABASE {name}".encode())
        own = make_conninfo(dsn, dbname=name)
        install_pgmq_from_sql(dsn=own)
        yield own
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _measure(*arguments: object) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmark.frameworks", *map(str, arguments)],
        check=True, capture_output=True, text=True, timeout=300, env=os.environ,
    )  # fmt: skip
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _markdown(found: dict[str, dict[str, list[float]]], count: int) -> str:
    rows = []
    for name, series in found.items():
        ours = found[f"{name.split()[0]} on pgmq"]
        ratios = (median(ours[step]) / median(series[step]) for step in ("send", "run"))
        rows.append([name, spread(series["send"]), spread(series["run"]), *map(times, ratios)])
    heads = ["", "sent a second", "run a second", "pgmq's by sent", "by run"]
    return f"{count:,} tasks that do nothing:\n\n{table(heads, rows)}"


# What runs in a process of its own


async def _taskiq(broker_name: str, url: str, count: int) -> dict[str, float]:
    from taskiq.api import run_receiver_task

    broker: Any
    if broker_name == "pgmq":
        from pgmq.taskiq import PGMQBroker

        broker = PGMQBroker(url)
    elif broker_name == "redis":
        from taskiq_redis import RedisStreamBroker

        broker = RedisStreamBroker(url)
    else:
        from taskiq_aio_pika import AioPikaBroker

        broker = AioPikaBroker(url, qos=100)
    ran = 0
    done = asyncio.Event()

    @broker.task("note")  # type: ignore[untyped-decorator]
    async def note(number: int, text: str) -> None:
        nonlocal ran
        ran += text == TEXT  # and not what an earlier run has left
        if ran == count:
            done.set()

    broker.is_worker_process = True
    await broker.startup()
    began = time.perf_counter()
    for number in range(count):
        await note.kiq(number, TEXT)
    sent = time.perf_counter()
    receiving = asyncio.create_task(run_receiver_task(broker, max_async_tasks=100))
    await done.wait()
    ended = time.perf_counter()
    await asyncio.sleep(0.5)  # what is to be acknowledged
    receiving.cancel()
    return {"send": sent - began, "run": ended - sent}


def _dramatiq(broker_name: str, url: str, count: int) -> dict[str, float]:
    import dramatiq

    broker: Any
    if broker_name == "pgmq":
        from pgmq.dramatiq import PGMQBroker

        broker = PGMQBroker(url)
    elif broker_name == "redis":
        from dramatiq.brokers.redis import RedisBroker

        broker = RedisBroker(url=url)  # type: ignore[no-untyped-call]
    else:
        from dramatiq.brokers.rabbitmq import RabbitmqBroker

        broker = RabbitmqBroker(url=url)
    dramatiq.set_broker(broker)
    ran = 0
    done, lock = threading.Event(), threading.Lock()

    @dramatiq.actor
    def note(number: int, text: str) -> None:
        nonlocal ran
        with lock:
            ran += text == TEXT
            if ran == count:
                done.set()

    began = time.perf_counter()
    for number in range(count):
        note.send(number, TEXT)
    sent = time.perf_counter()
    worker = dramatiq.Worker(broker, worker_threads=8)
    worker.start()
    done.wait()
    ended = time.perf_counter()
    worker.stop()
    return {"send": sent - began, "run": ended - sent}


def _main(framework: str, broker: str, url: str, count: str) -> None:
    def tell(measured: dict[str, float]) -> None:
        print(json.dumps(measured), flush=True)
        os._exit(0)  # a worker of taskiq on Redis does not end when it is told to

    async def run() -> None:
        tell(await _taskiq(broker, url, int(count)))

    if framework == "taskiq":
        asyncio.run(run())
    else:
        tell(_dramatiq(broker, url, int(count)))


if __name__ == "__main__":
    _main(*sys.argv[1:])
