"""Workers at their edges: what is no handler, any exception, ended transactions, other sessions."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pgmq import (
    AsyncWorker,
    Hooks,
    PGMQueue,
    ProcessWorker,
    Reject,
    SQLAlchemyPGMQueue,
    Worker,
)
from pgmq._wire import UndecodableJSON
from pgmq._worker import engine, inhand
from support import handlers
from support.server import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Connect, Roles
    from pgmq import Message
    from support.server import TestServer

pytestmark = pytest.mark.once


class Errors(Hooks):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.done: list[Any] = []
        self.lost: list[Any] = []
        self.pauses: list[float] = []

    def on_done(self, queue: str, message: Message, seconds: float) -> None:
        self.done.append(message.message)

    def on_error(
        self, queue: str, message: Message, seconds: float, exception: BaseException
    ) -> None:
        self.errors.append(f"{type(exception).__name__}: {exception}")

    def on_lost(self, queue: str, message: Message) -> None:
        self.lost.append(message.message)

    def on_disconnect(self, queue: str, error: Exception, seconds: float) -> None:
        self.pauses.append(seconds)


@pytest.fixture(autouse=True)
def _queue(request: pytest.FixtureRequest) -> None:
    """Make the queue jobs, which gives a message one chance, and a table of effects."""
    if "db" in request.fixturenames:
        db = request.getfixturevalue("db")
        db.execute("SELECT pgmq.create('jobs'), pgmq.set_policy('jobs', retry_delay => '0')")
        db.execute(
            "SELECT pgmq.set_policy('jobs', max_receives => 1, dead_letter_queue => 'dead',"
            " retry_delay => '0')"
        )
        db.execute("CREATE TABLE effect (msg_id bigint)")


@pytest.fixture
def queue(dsn: str) -> Iterator[PGMQueue]:
    """A client."""
    with PGMQueue(dsn) as client:
        yield client


def _run(kind: type[AsyncWorker | Worker], *arguments: Any, **options: Any) -> None:
    worker = kind(*arguments, **options)
    result = worker.run(until_empty=True)
    if result is not None:
        asyncio.run(result)


def _column(db: psycopg.Connection, query: str) -> list[Any]:
    return [row[0] for row in db.execute(query.encode()).fetchall()]


def _dead(db: psycopg.Connection) -> list[Any]:
    return _column(
        db, "SELECT headers -> 'x-pgmq-error' FROM pgmq.read('dead', 60, 100) ORDER BY message"
    )


async def _coroutine(message: Message) -> None:
    """Do nothing."""


def _generator(message: Message) -> Any:
    yield message


async def _async_generator(message: Message) -> Any:
    yield message


class _Callable:
    async def __call__(self, message: Message) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("kind", "handler"),
    [
        (Worker, _coroutine),
        (Worker, functools.partial(functools.partial(_coroutine), 1)),
        (Worker, _Callable()),
        (Worker, _Callable().__call__),
        (Worker, _generator),
        (Worker, _async_generator),
        (Worker, "print"),
        (ProcessWorker, _coroutine),
        (AsyncWorker, _generator),
        (AsyncWorker, functools.partial(_async_generator)),
    ],
)
def test_a_handler_that_would_do_nothing_is_refused(
    kind: type[AsyncWorker | Worker], handler: Any
) -> None:
    with pytest.raises(TypeError, match="handler"):
        kind("", "jobs", handler)


@pytest.mark.parametrize("kind", [Worker, AsyncWorker])
@pytest.mark.parametrize(
    "returned", [_coroutine, _generator, _async_generator], ids=lambda f: f.__name__
)
def test_what_a_handler_returns_and_nobody_runs_is_a_failure(
    kind: type[AsyncWorker | Worker],
    returned: Callable[[Any], Any],
    db: psycopg.Connection,
    dsn: str,
) -> None:
    db.execute("SELECT pgmq.send('jobs', '1')")
    _run(kind, dsn, "jobs", lambda message: returned(message))  # noqa: PLW0108
    dead = _dead(db)
    if kind is AsyncWorker and returned is _coroutine:
        assert dead == []
    else:
        assert "returned a" in dead[0]


def test_a_plain_function_is_a_handler_of_an_async_worker(db: psycopg.Connection, dsn: str) -> None:
    db.execute("SELECT pgmq.send('jobs', '1')")
    got: list[Any] = []
    _run(AsyncWorker, dsn, "jobs", got.append)
    assert [message.message for message in got] == [1]


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("transactional", [False, True])
@pytest.mark.parametrize("kind", [Worker, AsyncWorker])
def test_whatever_a_handler_raises_is_a_failure_of_its_message(
    kind: type[AsyncWorker | Worker],
    transactional: bool,
    batch: bool,
    db: psycopg.Connection,
    dsn: str,
) -> None:
    leaves = ("exit", "interrupt", "panic")
    db.execute(
        "SELECT pgmq.send('jobs', jsonb_build_object('leave', l)) FROM unnest(%s::text[]) AS l",
        [list(leaves)],
    )

    def handler(messages: Any, *_: Any) -> None:
        handlers.leave(messages[0] if batch else messages)

    _run(
        kind, dsn, "jobs", handler, transactional=transactional, batch=batch, batch_size=1,
    )  # fmt: skip
    # The oldest cannot be shown.
    assert _dead(db) == ["SystemExit: ", "KeyboardInterrupt: ", "PanicError"]


def test_an_exception_that_cannot_be_logged_ends_no_worker(
    db: psycopg.Connection, dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    class HiddenError(Exception):
        @property
        def __cause__(self) -> BaseException:  # type: ignore[override]
            raise SystemExit

    def handler(message: Message) -> None:
        raise HiddenError("secret")

    db.execute("SELECT pgmq.send('jobs', '1')")
    _run(Worker, dsn, "jobs", handler)
    assert _dead(db) == ["HiddenError: secret"]
    assert "failed: HiddenError: secret" in caplog.text


def test_an_exception_that_a_thread_gets_too_late_costs_no_message(
    db: psycopg.Connection, dsn: str
) -> None:
    """What limits the time of a call may raise it in the thread when the call has returned."""

    class LateError(BaseException):
        pass

    def handler(message: Message) -> None:
        threads.append(threading.get_ident())

    threads: list[int] = []
    seen = Errors()
    worker = Worker(dsn, "jobs", handler, hooks=seen, poll_interval=0.2)
    thread, raised = _beside(worker)
    for number in range(3):
        db.execute("SELECT pgmq.send('jobs', to_jsonb(%s::integer))", [number])
        _until(lambda n=number: len(seen.done) > n)  # type: ignore[misc]
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(threads[-1]), ctypes.py_object(LateError)
        )
    worker.stop()
    thread.join(10)
    assert (thread.is_alive(), raised, seen.errors) == (False, [], [])


def test_a_process_that_ends_costs_its_own_message_a_receive(
    db: psycopg.Connection, dsn: str
) -> None:
    """The others go on, are handled once, and do not become dead letters."""
    db.execute(
        "SELECT pgmq.set_policy('jobs', max_receives => 2, dead_letter_queue => 'dead',"
        " retry_delay => '0')"
    )
    db.execute(
        "SELECT pgmq.send('jobs', jsonb_build_object('leave', l))"
        " FROM unnest('{wait,end,wait,wait,exit}'::text[]) AS l"
    )
    seen = Errors()
    _run(ProcessWorker, dsn, "jobs", handlers.leave, concurrency=3, hooks=seen)
    assert sorted(m["leave"] for m in seen.done) == ["end", "wait", "wait", "wait"]
    assert [e for e in seen.errors if "exit code 3" in e] == [
        "HandlerError: the handler's process has died: exit code 3"
    ]
    assert len(seen.errors) == 3  # and twice sys.exit()
    assert _dead(db) == ["SystemExit: "]


@pytest.mark.parametrize(
    ("statements", "error", "effects"),
    [
        (["ROLLBACK"], "ended the transaction", []),
        (["COMMIT"], "ended the transaction", [1]),
        (["ROLLBACK", "BEGIN"], "ended the transaction", []),
        (["COMMIT AND CHAIN"], "ended the transaction", [1]),
        (["SELECT 1 / 0"], "error had broken it", []),
        (["SAVEPOINT a", "ROLLBACK TO a"], None, [1]),
    ],
)
@pytest.mark.parametrize("kind", [Worker, AsyncWorker])
def test_a_message_is_acknowledged_with_the_work_or_not_at_all(
    kind: type[AsyncWorker | Worker],
    statements: list[str],
    error: str | None,
    effects: list[int],
    db: psycopg.Connection,
    dsn: str,
) -> None:
    db.execute("SELECT pgmq.send('jobs', '1')")

    def work(message: Message, connection: psycopg.Connection) -> None:
        handlers.record(message, connection)
        with contextlib.suppress(psycopg.errors.DivisionByZero):
            for statement in statements:
                connection.execute(statement.encode())

    async def work_async(message: Message, connection: psycopg.AsyncConnection) -> None:
        await connection.execute("INSERT INTO effect VALUES (%s)", [message.msg_id])
        with contextlib.suppress(psycopg.errors.DivisionByZero):
            for statement in statements:
                await connection.execute(statement.encode())

    handler = work if kind is Worker else work_async
    _run(kind, dsn, "jobs", handler, transactional=True)
    assert _column(db, "SELECT msg_id FROM effect") == effects
    dead = _dead(db)
    assert (error in dead[0]) if error else dead == []


def test_what_python_cannot_decode_is_that_messages_failure(
    db: psycopg.Connection, dsn: str, queue: PGMQueue
) -> None:
    bad = ["1e5000", "[" * 5000 + "]" * 5000]
    for text in (bad[0], "1", bad[1], "2"):
        db.execute("SELECT pgmq.send('jobs', %s::jsonb)", [text])
    db.execute("SELECT pgmq.send('jobs', '3', %s::jsonb)", ['{"a": 1e5000}'])
    peeked = [message.message for message in queue.peek("jobs", qty=5)]
    assert [type(value) for value in peeked] == [
        UndecodableJSON, int, UndecodableJSON, int, int,
    ]  # fmt: skip
    assert queue.send("dead", peeked[2])
    assert _column(db, "SELECT message::text FROM pgmq.pop('dead')") == [bad[1]]

    seen = Errors()
    _run(Worker, dsn, "jobs", lambda message: None, hooks=seen)
    assert seen.done == [1, 2]
    assert len(seen.errors) == 3
    assert all("cannot decode" in error for error in _dead(db))


def test_of_large_messages_few_are_read_ahead(
    db: psycopg.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []

    class Reads(Hooks):
        def on_read(self, queue: str, messages: Any) -> None:
            reads.append(len(messages))

    monkeypatch.setattr(inhand, "_AHEAD_BYTES", 4000)
    db.execute("SELECT pgmq.send('jobs', to_jsonb(repeat('x', 990))) FROM generate_series(1, 20)")
    _run(Worker, dsn, "jobs", lambda message: None, hooks=Reads())
    assert sum(reads) == 20
    assert max(reads) <= 1 + 4


def test_times_that_python_has_not_are_its_last_and_first(
    db: psycopg.Connection, queue: PGMQueue
) -> None:
    for moment in ("infinity", "20000-01-01"):
        msg_id = queue.send("jobs", 1)
        db.execute("UPDATE pgmq.q_jobs SET vt = %s::timestamptz", [moment])
        message = queue.get("jobs", msg_id)
        assert message is not None
        assert message.vt.year == 9999
        queue.delete("jobs", msg_id)


@pytest.mark.parametrize("kind", ["German style", "French style", "old characters"])
def test_the_worker_and_the_client_set_what_they_rely_on(
    kind: str, db: psycopg.Connection, dsn: str
) -> None:
    setting = {
        "German style": "datestyle TO 'German'",
        "French style": "intervalstyle TO 'sql_standard'",
        "old characters": "client_encoding TO 'latin1'",
    }[kind]
    db.execute(f"ALTER DATABASE {db.info.dbname} SET {setting}".encode())
    db.execute("SELECT pgmq.send('jobs', '\"\u2713\"'::jsonb, 0)")
    db.execute("SELECT pgmq.set_policy('jobs', retry_delay => '90 s')")
    got: list[Any] = []
    _run(Worker, dsn, "jobs", lambda message: got.append(message.message))
    assert got == ["\u2713"]
    with PGMQueue(dsn, init_extension=False) as client:
        client.send("jobs", "\u2713")
        assert client.get_policy("jobs").retry_delay.total_seconds() == 90  # type: ignore[union-attr]
        assert client.read("jobs").message == "\u2713"  # type: ignore[union-attr]


def test_a_message_that_never_falls_due_does_not_end_a_worker(
    db: psycopg.Connection, dsn: str
) -> None:
    db.execute("SELECT pgmq.send('jobs', '1', 'infinity'::timestamptz)")
    worker = Worker(dsn, "jobs", lambda message: None)
    thread = threading.Thread(target=worker.run, kwargs={"signals": False})
    thread.start()
    time.sleep(0.5)
    assert thread.is_alive()
    worker.stop()
    thread.join(10)
    assert not thread.is_alive()


def _beside(worker: AsyncWorker | Worker) -> tuple[threading.Thread, list[BaseException]]:
    raised: list[BaseException] = []

    def run() -> None:
        try:
            result = worker.run(signals=False)
            if result is not None:
                asyncio.run(result)
        except BaseException as error:  # noqa: BLE001
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, raised


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "waited for too long"
        time.sleep(0.01)


@pytest.mark.parametrize("change", ["read-only", "dropped"])
def test_a_worker_outlasts_what_passes(change: str, db: psycopg.Connection, dsn: str) -> None:
    seen = Errors()
    worker = Worker(
        dsn, "jobs", lambda message: None, hooks=seen, reconnect_interval=0.3, poll_interval=0.2
    )
    thread, raised = _beside(worker)
    db.execute("SELECT pgmq.send('jobs', '1')")
    _until(lambda: seen.done == [1])
    name = db.info.dbname
    if change == "read-only":
        db.execute(f"ALTER DATABASE {name} SET default_transaction_read_only TO on".encode())
        db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE 'pgmq worker%'"
        )
    else:
        db.execute("SELECT pgmq.drop_queue('jobs')")
    time.sleep(1)
    assert raised == []
    if change == "read-only":
        db.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only".encode())
        db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE 'pgmq worker%'"
        )
    else:
        db.execute("SELECT pgmq.create('jobs'), pgmq.set_policy('jobs', retry_delay => '0')")
    db.execute("SELECT pgmq.send('jobs', '2')")
    _until(lambda: seen.done == [1, 2])
    worker.stop()
    thread.join(10)
    assert (thread.is_alive(), raised) == (False, [])


@pytest.mark.parametrize("transactional", [False, True])
def test_a_message_that_another_session_has_locked_stops_no_other(
    transactional: bool,
    db: psycopg.Connection,
    connect: Connect,
    dsn: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither reading, nor the leases of the rest, nor stop()."""
    monkeypatch.setattr(engine, "LOCKED", 0.3)
    monkeypatch.setattr(inhand, "LOCKED", 0.3)
    db.execute("SELECT pgmq.set_policy('jobs')")
    db.execute("SELECT pgmq.send_batch('jobs', '{1,2,3}')")
    other = connect(autocommit=False)
    begun, ended = threading.Event(), threading.Event()

    def handler(message: Message, *_: Any) -> None:
        if message.message == 1:
            begun.set()
            ended.wait(20)
        if message.message == 2:
            time.sleep(1.5)

    seen = Errors()
    worker = Worker(
        dsn, "jobs", handler, vt=1, concurrency=3, transactional=transactional, hooks=seen
    )
    thread, raised = _beside(worker)
    assert begun.wait(20)
    other.execute("SELECT FROM pgmq.q_jobs WHERE msg_id = 1 FOR UPDATE")
    ended.set()
    db.execute("SELECT pgmq.send('jobs', '4')")
    _until(lambda: {2, 3, 4} <= set(seen.done))
    assert seen.done.count(2) == 1
    db.execute("SELECT pgmq.send('jobs', '5')")
    _until(lambda: 5 in seen.done)
    if not transactional:  # there the handler's own connection waits for the lock
        worker.stop()
        thread.join(15)
        assert not thread.is_alive()
    other.rollback()
    worker.stop()
    thread.join(15)
    assert (thread.is_alive(), raised) == (False, [])


def test_an_error_that_the_database_cannot_hold_is_stored_readably(
    server: TestServer, db: psycopg.Connection, dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="pgmq.worker")  # xdist cannot pass that text on
    name = f"{db.info.dbname}_latin1"
    db.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'".encode())
    try:
        latin = server.dsn(name)
        with psycopg.connect(latin, autocommit=True) as old:
            old.execute("CREATE EXTENSION pgmq")
            old.execute("SELECT pgmq.create('jobs'), pgmq.set_policy('jobs', retry_delay => '0')")
            old.execute("SELECT pgmq.set_policy('jobs', retry_delay => '0', max_receives => 1)")
            old.execute("SELECT pgmq.send('jobs', '1')")

            def handler(message: Message) -> None:
                raise ValueError("\u2713 \ud800 \0")

            _run(Worker, latin, "jobs", handler)
            stored = (
                "SELECT headers ->> 'x-pgmq-error' FROM pgmq.a_jobs ORDER BY msg_id DESC LIMIT 1"
            )
            assert _column(old, stored)[0].startswith("ValueError: \\u2713 \\ud800 ")

            text = "\u2713 \ud800"
            with PGMQueue(latin) as client, SQLAlchemyPGMQueue(latin) as other:
                for each in (client, other):
                    each.purge("jobs")
                    msg_id = each.send("jobs", 1)
                    each.read("jobs")
                    assert each.nack("jobs", msg_id, 1, error=text)
                    each.read("jobs")  # is archived
                    assert _column(old, stored) == ["\\u2713 \\ud800"]
                    msg_id = each.send("jobs", 1)
                    each.read("jobs")
                    assert each.nack_batch("jobs", [msg_id], [1], error=text) == [msg_id]
                    msg_id = each.send("jobs", 1)
                    assert not each.nack("jobs", msg_id, 2, error=text)
                with client.pool.connection() as conn, pytest.raises(psycopg.DataError):
                    client.nack("jobs", msg_id, 0, error=text, conn=conn)
    finally:
        db.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_a_worker_inside_an_event_loop_says_what_to_do(db: psycopg.Connection, dsn: str) -> None:
    async def notebook() -> None:
        Worker(dsn, "jobs", print).run(until_empty=True)

    with pytest.raises(RuntimeError, match="AsyncWorker"):
        asyncio.run(notebook())


def test_a_reason_may_be_an_exception(db: psycopg.Connection, dsn: str) -> None:
    db.execute("SELECT pgmq.send('jobs', '1')")

    def handler(message: Message) -> None:
        raise Reject(ValueError("no stock"))

    _run(Worker, dsn, "jobs", handler)
    assert _column(db, "SELECT headers ->> 'x-pgmq-error' FROM pgmq.a_jobs") == [
        "ValueError: no stock"
    ]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("kind", [Worker, AsyncWorker, ProcessWorker])
def test_a_process_that_a_handler_forks_does_not_come_back(
    kind: type[AsyncWorker | Worker],
    db: psycopg.Connection,
    dsn: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It answers for no message, and gets its own signals, which stop no worker."""
    pids = tmp_path / "pids"
    forks = {"return": 0, "raise": 1, "exit": 3, "wait": -signal.SIGTERM}
    if kind is ProcessWorker:
        forks["orphan"] = 0
    for fork, status in forks.items():
        db.execute(
            "SELECT pgmq.send('jobs', jsonb_build_object('fork', %s::text, 'status', %s::integer,"
            " 'pids', %s::text))",
            [fork, status, str(pids)],
        )
    seen = Errors()
    try:
        _run(kind, dsn, "jobs", handlers.fork, hooks=seen)
    finally:
        for pid in pids.read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    assert [m["fork"] for m in seen.done] == ["return", "raise", "exit", "wait"]
    died = ["HandlerError: the handler's process has died: exit code 4"]
    assert seen.errors == (died if kind is ProcessWorker else [])
    assert "in the other process" in capfd.readouterr().err


def test_a_signal_stops_all_workers_of_an_event_loop(db: psycopg.Connection, dsn: str) -> None:
    db.execute("SELECT pgmq.create('other')")
    before = signal.getsignal(signal.SIGTERM)

    async def main() -> None:
        reading = asyncio.Event()

        class Ready(Hooks):
            def on_read(self, queue: str, messages: Any) -> None:
                reading.set()

        workers = [
            AsyncWorker(dsn, queue, _coroutine, hooks=Ready()) for queue in ("other", "jobs")
        ]
        running = [asyncio.create_task(worker.run()) for worker in workers]
        db.execute("SELECT pgmq.send('jobs', '1')")
        await reading.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(asyncio.gather(*running), 20)

    asyncio.run(main())
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("kind", [Worker, AsyncWorker, ProcessWorker])
def test_that_there_is_no_connection_for_a_handler_is_no_failure_of_its_message(
    kind: type[AsyncWorker | Worker], db: psycopg.Connection, dsn: str, roles: Roles
) -> None:
    """The message waits, and is not handed out again and again until it is a dead letter."""
    role = roles("LOGIN CONNECTION LIMIT 2")  # for the worker's own
    db.execute("SELECT pgmq.grant_consume('jobs', %s)", [role])
    db.execute(f"GRANT INSERT ON effect TO {role}".encode())
    db.execute("SELECT pgmq.send('jobs', '1')")
    handler: Any = handlers.record
    if kind is AsyncWorker:

        async def handler(message: Message, connection: psycopg.AsyncConnection) -> None:
            await connection.execute("INSERT INTO effect VALUES (%s)", [message.msg_id])

    seen = Errors()
    worker = kind(make_conninfo(dsn, user=role), "jobs", handler, transactional=True, hooks=seen)
    allow = threading.Timer(0.7, db.execute, [f"ALTER ROLE {role} CONNECTION LIMIT 9".encode()])
    allow.start()
    result = worker.run(until_empty=True)
    if result is not None:
        asyncio.run(result)
    allow.join()
    assert (seen.done, seen.errors) == ([1], [])
    assert _column(db, "SELECT msg_id FROM effect") == [1]


def _limit(db: psycopg.Connection, role: str, connections: int) -> None:
    """Have a role lose its connections, and get no more than so many."""
    db.execute(f"ALTER ROLE {role} CONNECTION LIMIT {connections}".encode())
    db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [role])


@pytest.mark.parametrize(
    ("kind", "queues", "options"),
    [
        (Worker, "jobs", {}),
        (AsyncWorker, ["more", "jobs"], {}),
        (Worker, "events", {"group": "g"}),
    ],
)
def test_with_one_connection_a_worker_keeps_what_it_has_and_goes_on(
    kind: type[AsyncWorker | Worker],
    queues: str | list[str],
    options: dict[str, Any],
    db: psycopg.Connection,
    dsn: str,
    roles: Roles,
) -> None:
    """At the start it needs one more, to listen."""
    role = roles()
    db.execute("SELECT pgmq.set_policy('jobs')")  # who reads it gets it
    db.execute("SELECT pgmq.create('more'), pgmq.create_stream('events')")
    db.execute("SELECT pgmq.create_group('events', 'g')")
    db.execute("SELECT pgmq.grant_consume(q, %s) FROM unnest('{jobs,more}'::text[]) AS q", [role])
    db.execute("SELECT pgmq.grant_fetch('events', 'g', %s)", [role])
    queue = "events" if options else "jobs"
    read = "pgmq.fetch('events', 'g', 30, 1)" if options else "pgmq.read('jobs', 30, 1)"
    sessions = f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}'"
    vt, begun, go, seen = 5, threading.Event(), threading.Event(), Errors()

    def handle(message: Message) -> None:
        begun.set()
        assert message.message != "long" or go.wait(60)

    async def handle_asynchronously(message: Message) -> None:
        await asyncio.to_thread(handle, message)

    worker = kind(
        make_conninfo(dsn, user=role), queues,
        handle if kind is Worker else handle_asynchronously, vt=vt, hooks=seen,
        concurrency=2, poll_interval=0.2, reconnect_interval=0.5, **options,
    )  # fmt: skip
    _limit(db, role, 1)
    thread, raised = _beside(worker)
    try:
        db.execute("SELECT pgmq.send(%s, '\"long\"')", [queue])
        _until(lambda: len(seen.pauses) > 3)
        assert not begun.is_set()
        _limit(db, role, -1)
        assert begun.wait(20)
        _limit(db, role, 1)
        end = time.monotonic() + vt + 1
        while time.monotonic() < end:
            assert _column(db, f"SELECT count(*) FROM {read}") == [0]
            time.sleep(0.1)
        go.set()
        _until(lambda: seen.done == ["long"])
        db.execute("SELECT pgmq.send(%s, '\"short\"')", [queue])
        _until(lambda: seen.done == ["long", "short"])
        if queue == "jobs":
            _until(lambda: _column(db, "SELECT count(*) FROM pgmq.q_jobs") == [0])
        db.execute(f"ALTER ROLE {role} CONNECTION LIMIT -1".encode())
        _until(lambda: _column(db, sessions)[0] > 1)
    finally:
        go.set()
        worker.stop()
        thread.join(20)
    assert (thread.is_alive(), raised, seen.lost) == (False, [], [])


def test_a_worker_that_has_messages_does_not_wait_until_their_leases_end_to_connect(
    db: psycopg.Connection, dsn: str, roles: Roles
) -> None:
    role = roles()
    db.execute("SELECT pgmq.grant_consume('jobs', %s), pgmq.send('jobs', '1')", [role])
    begun, go, seen = threading.Event(), threading.Event(), Errors()

    def handler(message: Message) -> None:
        begun.set()
        assert go.wait(60)

    worker = Worker(make_conninfo(dsn, user=role), "jobs", handler, vt=1, hooks=seen)
    thread, _ = _beside(worker)
    try:
        assert begun.wait(20)
        _limit(db, role, 0)
        _until(lambda: len(seen.pauses) > 8)
        _limit(db, role, -1)
        go.set()
        _until(lambda: _column(db, "SELECT count(*) FROM pgmq.q_jobs") == [0])
    finally:
        go.set()
        worker.stop()
        thread.join(20)
    assert max(seen.pauses) <= 1 / 3


@pytest.mark.parametrize("kind", ["Worker", "ProcessWorker"])
def test_a_second_ctrl_c_gives_no_message_back_that_is_still_handled(
    kind: str, db: psycopg.Connection, dsn: str, tmp_path: Path
) -> None:
    """Threads are waited for; processes are killed."""
    db.execute("SELECT pgmq.set_policy('jobs')")
    db.execute(
        "SELECT pgmq.send('jobs', jsonb_build_object('touch', %s::text, 'wait', %s::text))",
        [str(tmp_path / "made"), str(tmp_path / "go")],
    )
    child = subprocess.Popen(
        [sys.executable, ROOT / "tests" / "support" / "handlers.py", kind, dsn],
        stderr=subprocess.PIPE,
    )
    try:
        _until((tmp_path / "made").exists)
        child.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.3)
        child.send_signal(signal.SIGINT)
        if kind == "Worker":
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(0.5)
            leased = "SELECT count(*) FROM pgmq.q_jobs WHERE vt > clock_timestamp()"
            assert _column(db, leased) == [1]
            (tmp_path / "go").touch()
        _, errors = child.communicate(timeout=10)
    finally:
        child.kill()
        child.wait()
    assert b"KeyboardInterrupt" in errors
    left = _column(db, "SELECT vt <= clock_timestamp() FROM pgmq.q_jobs")
    assert left == ([] if kind == "Worker" else [True])
