"""What ends a worker: whatever it is, nothing is left leased, and what is done is acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pgmq import AsyncWorker, Hooks, Worker
from pgmq import _wire as wire
from pgmq._worker.serving import Serving
from pgmq.relay import Relay
from support.proxy import Proxy, proxying

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgmq import Message

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def _queue(db: psycopg.Connection) -> None:
    """Make the queue jobs with some messages."""
    db.execute("SELECT pgmq.create('jobs'), pgmq.set_policy('jobs', retry_delay => '0')")
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


@pytest.mark.parametrize("wrong", ["dbname", "user"])
def test_a_worker_whom_the_server_does_not_let_in_says_so_at_once(wrong: str, dsn: str) -> None:
    with pytest.raises(psycopg.OperationalError, match='"nothing like it" does not exist'):
        Worker(make_conninfo(dsn, **{wrong: "nothing like it"}), "jobs", print).run()


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


def test_a_worker_ends_though_what_it_waits_for_loses_a_cancellation(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lose(_: Serving) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.sleep(60)

    monkeypatch.setattr(Serving, "_extend_leases_forever", lose)
    monkeypatch.setattr(wire, "SILENCE_STOPPING", 0.1)
    began = time.monotonic()
    asyncio.run(AsyncWorker(dsn, "jobs", print).run(until_empty=True))
    assert time.monotonic() - began < 50


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


@pytest.fixture
def proxy(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Give a proxy, and make workers impatient."""
    monkeypatch.setattr(wire, "SILENCE", 1)
    monkeypatch.setattr(wire, "SILENCE_STOPPING", 1)
    with proxying(dsn) as proxy:
        yield proxy


def test_a_server_that_answers_no_more_is_left(proxy: Proxy, db: psycopg.Connection) -> None:
    done: list[int] = []

    def handler(message: Message) -> None:
        if message.message == 2 and 2 not in done:
            proxy.freeze()
        done.append(message.message)

    Worker(proxy.dsn, "jobs", handler).run(until_empty=True)
    assert {*done} == {*range(1, 10)}
    assert _left(db) == (0, 0)


def test_a_worker_stops_although_no_server_answers(proxy: Proxy, db: psycopg.Connection) -> None:
    def handler(message: Message) -> None:
        proxy.refuses = True
        proxy.freeze()
        worker.stop()

    worker = Worker(proxy.dsn, "jobs", handler)
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert _left(db) == (9, 1)


def test_a_worker_goes_on_though_the_server_where_it_listens_answers_no_more(
    proxy: Proxy, db: psycopg.Connection, dsn: str
) -> None:
    told, done = threading.Event(), threading.Event()

    class Told(Hooks):
        def on_disconnect(self, queue: str, error: Exception, seconds: float) -> None:
            told.set()

    def handler(message: Message) -> None:
        if message.message in (9, 10):
            done.set()

    worker = Worker(dsn, "jobs", handler, listen_dsn=proxy.dsn, poll_interval=0.2, hooks=Told())
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    assert done.wait(20)
    done.clear()
    proxy.refuses = True
    proxy.freeze()
    assert told.wait(20)
    db.execute("SELECT pgmq.send('jobs', '10')")
    assert done.wait(20)
    worker.stop()
    thread.join(20)
    assert not thread.is_alive()
    assert _left(db) == (0, 0)


@pytest.mark.parametrize("stops", [False, True])
def test_a_relay_leaves_a_server_that_answers_no_more_and_stops_although_none_does(
    stops: bool, proxy: Proxy, db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So does consume, whose session is the same."""
    got: list[str] = []

    class Frozen:
        def close(self) -> None:
            """Be gone."""

        def send(self, messages: Any, progress: Any) -> None:
            if not got:
                proxy.freeze()
            if stops:
                proxy.refuses = True
                relay.stop()
            for message in messages:
                got.append(message.body)
                progress.settled(message)

    monkeypatch.setattr("pgmq.relay.broker", lambda *_: Frozen())
    relay = Relay(proxy.dsn, "jobs", "frozen://")
    thread = threading.Thread(target=relay.run, kwargs={"until_empty": True}, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert sorted(got) == [str(i) for i in range(1, 10)]
    assert _left(db) == ((9, 9) if stops else (0, 0))


@pytest.mark.parametrize("options", [{"pooled": True, "listen": False}, {"transactional": True}])
def test_a_pooler_that_ends_a_connection_when_a_transaction_begins_is_met_again(
    proxy: Proxy,
    db: psycopg.Connection,
    caplog: pytest.LogCaptureFixture,
    options: dict[str, Any],
) -> None:
    """The server's last word, and then PgBouncer's. psycopg has an InternalError for both."""
    fields = [
        b"SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0",
        b"SFATAL\0VFATAL\0C08P01\0Mserver conn crashed?\0\0",
    ]
    refused: list[bool] = []

    def handler(message: Message, *_: Any) -> None:
        if message.message == 1 and not refused:
            refused.append(True)
            answers = (b"E" + (len(each) + 4).to_bytes(4, "big") + each for each in fields)
            proxy.refusals.append(b"".join(answers))

    Worker(proxy.dsn, "jobs", handler, **options).run(until_empty=True)
    assert not proxy.refusals
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    assert _left(db) == (0, 0)
