"""What ends a worker: whatever it is, nothing is left leased, and what is done is acknowledged."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from pgmq import AsyncWorker, Hooks, Worker

if TYPE_CHECKING:
    import psycopg

    from pgmq import Message


@pytest.fixture(autouse=True)
def _queue(db: psycopg.Connection) -> None:
    """Make the queue jobs with some messages."""
    db.execute("SELECT pgmq.create('jobs')")
    db.execute("SELECT pgmq.send('jobs', to_jsonb(i)) FROM generate_series(1, 9) AS i")


def _left(db: psycopg.Connection) -> tuple[int, int]:
    """Count the messages, and the leased ones."""
    row = db.execute(
        "SELECT count(*), count(*) FILTER (WHERE vt > clock_timestamp()) FROM pgmq.q_jobs"
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def _run(worker: AsyncWorker | Worker) -> None:
    result = worker.run()
    if result is not None:
        asyncio.run(result)


@pytest.mark.parametrize("transactional", [False, True])
def test_sys_exit_in_a_task_of_a_handler(
    transactional: bool, db: psycopg.Connection, dsn: str
) -> None:
    """It ends the event loop, as always; the calls that run are cancelled and returned."""
    tasks: list[asyncio.Task[None]] = []

    async def leave() -> None:
        await asyncio.sleep(0.1)
        sys.exit(3)

    async def handler(message: Message, *_: Any) -> None:
        if message.message == 3:
            tasks.append(asyncio.create_task(leave()))
        if message.message > 2:
            await asyncio.Event().wait()

    worker = AsyncWorker(dsn, "jobs", handler, concurrency=2, transactional=transactional)
    with pytest.raises(SystemExit) as exit_:
        _run(worker)
    assert exit_.value.code == 3
    assert isinstance(tasks[0].exception(), SystemExit)
    assert _left(db) == (7, 0)
    [(errors,)] = db.execute("SELECT count(headers) FROM pgmq.q_jobs").fetchall()
    assert errors == 0  # it is not the messages' fault


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit, asyncio.CancelledError])
@pytest.mark.parametrize(
    ("kind", "hook"),
    [
        (Worker, "on_read"),
        (Worker, "on_done"),
        (Worker, "on_error"),
        (Worker, "on_lost"),
        (AsyncWorker, "on_done"),
        (AsyncWorker, "on_error"),
    ],
)
def test_a_hook_that_raises(
    kind: type[AsyncWorker | Worker],
    hook: str,
    error: type[BaseException],
    db: psycopg.Connection,
    dsn: str,
) -> None:
    """What is done is acknowledged all the same."""
    hooks, told = Hooks(), threading.Event()
    done: list[int] = []

    def fail(*_: Any) -> None:
        told.set()
        raise error

    def handler(message: Message) -> None:
        if message.message == 2 and hook == "on_lost":
            db.execute("SELECT pgmq.delete('jobs', 2)")
            assert told.wait(20)
        if message.message == 2:
            raise ValueError
        done.append(message.message)

    setattr(hooks, hook, fail)
    with pytest.raises(error):
        _run(kind(dsn, "jobs", handler, vt=1, hooks=hooks))
    left = 9 - len(done) - (hook == "on_lost")
    assert left > 0
    assert _left(db) == (left, 0)


def test_a_log_that_cannot_be_written(db: psycopg.Connection, dsn: str) -> None:
    class Full(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno == logging.ERROR:
                raise OSError("no space left on device")

    logger, full = logging.getLogger("pgmq.worker"), Full()
    logger.addHandler(full)
    try:
        with pytest.raises(OSError, match="no space"):
            _run(Worker(dsn, "jobs", lambda message: 1 / 0))
    finally:
        logger.removeHandler(full)
    assert _left(db) == (9, 0)
