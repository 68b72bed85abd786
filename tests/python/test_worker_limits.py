"""What takes too long: a call of a handler, and the calls that a stopped worker waits for."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import pgmq.worker
from pgmq import AsyncWorker, Hooks, ProcessWorker, Worker
from pgmq._worker import engine
from pgmq.worker import HandlerError
from support import handlers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgmq import StreamMessage, WorkerMessage

pytestmark = pytest.mark.once

Kind = type[AsyncWorker | Worker]


@pytest.fixture(autouse=True)
def _queue(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('jobs'), pgmq.set_policy('jobs', retry_delay => '0')")
    db.execute("CREATE TABLE effect (msg_id bigint)")
    db.execute("""SELECT pgmq.send('jobs', m) FROM unnest('{1,"\\"hang\\"",3}'::jsonb[]) AS m""")


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Set when the threads that hang may go on."""
    event = threading.Event()
    yield event
    event.set()


def _run(worker: AsyncWorker | Worker, **options: Any) -> None:
    result = worker.run(**options)
    if result is not None:
        asyncio.run(result)


class Errors(Hooks):
    """Keeps what handlers raised."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def on_error(
        self, queue: str, message: WorkerMessage, seconds: float, exception: BaseException
    ) -> None:
        assert seconds >= 0.4
        self.errors.append(str(exception))


@pytest.mark.parametrize("transactional", [False, True])
@pytest.mark.parametrize("kind", [AsyncWorker, Worker, ProcessWorker])
def test_a_call_that_takes_too_long_fails_its_message_and_no_other(
    kind: Kind, transactional: bool, db: psycopg.Connection, dsn: str, over: threading.Event
) -> None:
    """What it does afterwards is ignored; what it did in its transaction is rolled back."""
    headers = []
    results = []

    def hang(message: WorkerMessage, connection: Any = None) -> None:
        headers.append(message.headers)
        if connection is not None:
            handlers.record(message, connection)
        if message.message == "hang" and message.read_ct == 1:
            try:
                if connection is not None:
                    connection.execute("SELECT pg_sleep(600)")
                over.wait(600)
            except psycopg.Error as error:
                results.append(type(error))

    async def hang_asynchronously(message: WorkerMessage, connection: Any = None) -> None:
        headers.append(message.headers)
        if connection is not None:
            await connection.execute("INSERT INTO effect VALUES (%s)", [message.msg_id])
        if message.message == "hang" and message.read_ct == 1:
            await asyncio.sleep(600)

    handler = {
        AsyncWorker: hang_asynchronously, Worker: hang, ProcessWorker: handlers.hang_first,
    }[kind]  # fmt: skip
    seen = Errors()
    worker = kind(dsn, "jobs", handler, timeout=0.5, transactional=transactional, hooks=seen)
    started = time.monotonic()
    _run(worker, until_empty=True)
    assert time.monotonic() - started < 15
    (error,) = seen.errors
    how = {AsyncWorker: "was cancelled", Worker: "was abandoned", ProcessWorker: "was killed"}
    assert "timeout" in error
    assert how[kind] in error
    if kind is not ProcessWorker:
        assert [each for each in headers if each] == [{"x-pgmq-error": f"HandlerError: {error}"}]
    if kind is Worker and transactional:
        (result,) = results  # its statement was canceled, or the connection shut before that
        assert issubclass(result, psycopg.OperationalError)
    over.set()
    time.sleep(0.2 if kind is Worker else 0)  # its thread ends
    assert db.execute("SELECT count(*) FROM pgmq.q_jobs").fetchone() == (0,)
    effects = [(1,), (2,), (3,)] if transactional else []
    assert db.execute("SELECT msg_id FROM effect ORDER BY 1").fetchall() == effects


def test_what_a_handler_raises_in_time_is_its_own(dsn: str) -> None:
    """Not even SystemExit ends the event loop."""

    async def leave(message: WorkerMessage) -> None:
        if message.read_ct == 1:
            raise SystemExit(3)
        assert message.headers == {"x-pgmq-error": "SystemExit: 3"}

    _run(AsyncWorker(dsn, "jobs", leave, timeout=5), until_empty=True)


def test_a_worker_of_which_too_many_threads_hang_ends(
    db: psycopg.Connection, dsn: str, over: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pgmq.worker, "_MOST_ABANDONED", 1)
    worker = Worker(dsn, "jobs", lambda _: over.wait(600), timeout=0.2)
    with pytest.raises(HandlerError, match="2 calls that were abandoned still run"):
        worker.run()
    assert db.execute("SELECT count(*) FROM pgmq.q_jobs WHERE vt <= now()").fetchone() == (3,)


@pytest.mark.parametrize("transactional", [False, True])
@pytest.mark.parametrize("kind", [AsyncWorker, Worker, ProcessWorker])
def test_a_stopped_worker_waits_no_longer_than_it_was_told_to(
    kind: Kind,
    transactional: bool,
    db: psycopg.Connection,
    dsn: str,
    over: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(engine, "_SAY", 0.2)
    monkeypatch.setattr(logging.getLogger("pgmq"), "propagate", False)
    monkeypatch.setattr(logging.getLogger("pgmq"), "handlers", [caplog.handler])

    def hang(message: WorkerMessage, connection: Any = None) -> None:
        over.wait(600)

    async def hang_asynchronously(message: WorkerMessage, connection: Any = None) -> None:
        await asyncio.sleep(600)

    handler = {
        AsyncWorker: hang_asynchronously, Worker: hang, ProcessWorker: handlers.hang_first,
    }[kind]  # fmt: skip
    db.execute("SELECT pgmq.delete('jobs', 1), pgmq.delete('jobs', 3)")
    worker = kind(dsn, "jobs", handler, drain_timeout=0.5, transactional=transactional)

    def stop() -> None:
        end = time.monotonic() + 20
        while not any(each.seconds for each in worker._in_slots) and time.monotonic() < end:
            time.sleep(0.01)
        worker.stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    started = time.monotonic()
    _run(worker)
    stopper.join()
    assert time.monotonic() - started < 15
    assert "worker waits for message 2 of queue jobs, whose handler has run for 0." in caplog.text
    assert "worker waits no longer for message 2 of queue jobs" in caplog.text
    assert db.execute(
        "SELECT read_ct, headers FROM pgmq.q_jobs WHERE vt <= clock_timestamp()"
    ).fetchall() == [(1, None)]


@pytest.mark.parametrize("kind", [AsyncWorker, Worker])
def test_of_a_stream_the_message_fails_as_well(
    kind: Kind, db: psycopg.Connection, dsn: str, over: threading.Event
) -> None:
    db.execute("SELECT pgmq.create_stream('s'), pgmq.create_group('s', 'g', 'earliest')")
    db.execute("SELECT pgmq.send('s', to_jsonb(i)) FROM generate_series(1, 3) AS i")
    handled = []

    def handler(message: StreamMessage) -> None:
        if message.message == 2 and message.delivery_ct == 1:
            over.wait(600)
        handled.append(message.message)

    async def asynchronous(message: StreamMessage, connection: Any) -> None:
        if message.message == 2 and message.delivery_ct == 1:
            await asyncio.sleep(600)
        handled.append(message.message)

    transactional = kind is AsyncWorker
    worker = kind(
        dsn, "s", asynchronous if transactional else handler,
        group="g", timeout=0.5, retry_delay=0, transactional=transactional,
    )  # fmt: skip
    _run(worker, until_empty=True)
    assert handled == [1, 2, 3]


def test_limits_that_cannot_be_kept_are_refused() -> None:
    with pytest.raises(ValueError, match="timeout must be more than 0"):
        Worker("", "jobs", print, timeout=0)
    with pytest.raises(ValueError, match="drain_timeout must not be negative"):
        Worker("", "jobs", print, drain_timeout=-1)
    with pytest.raises(ValueError, match="needs AsyncWorker"):
        Worker("", "jobs", print, timeout=1, group="g", transactional=True)
