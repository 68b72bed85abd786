"""Clients at their edges: odd arguments, connections that die, processes that fork, encodings."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
import warnings
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool, ConnectionPool
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import create_async_engine

import pgmq_sqlalchemy
from pgmq import (
    AsyncPGMQueue,
    PGMQueue,
    SQLAlchemyAsyncPGMQueue,
    SQLAlchemyPGMQueue,
    _async_connect,
    _connect,
)
from pgmq import _wire as wire
from pgmq.worker import AsyncWorker, ProcessWorker, Worker
from support.server import BUILD, url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from pgmq import embedded
    from pgmq.messages import Message
    from support.server import TestServer

CLIENTS = [PGMQueue, SQLAlchemyPGMQueue]
ASYNC_CLIENTS = [AsyncPGMQueue, SQLAlchemyAsyncPGMQueue]


def _end_others(db: psycopg.Connection) -> None:
    """End all other sessions of the database, and wait until their sockets are closed."""
    end = """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE pid <> pg_backend_pid() AND datname = current_database()
    """
    while db.execute(end).fetchall():  # a pool may be opening others
        pass
    time.sleep(0.1)  # out of the list, a process closes its socket


@contextmanager
def _with_pool(dsn: str, pool_size: int) -> Iterator[PGMQueue]:
    """Make a client of somebody's pool."""
    with ConnectionPool(dsn, min_size=1, max_size=pool_size) as pool, PGMQueue(pool=pool) as queue:
        yield queue


@asynccontextmanager
async def _with_asynchronous_pool(dsn: str, pool_size: int) -> AsyncIterator[AsyncPGMQueue]:
    async with (
        AsyncConnectionPool(dsn, min_size=1, max_size=pool_size, open=False) as pool,
        AsyncPGMQueue(pool=pool) as queue,
    ):
        yield queue


# Arguments


@pytest.mark.parametrize("kind", CLIENTS)
def test_one_value_in_the_place_of_a_list_does_not_mean_its_parts(kind: Any, dsn: str) -> None:
    with kind(dsn) as queue:
        queue.create_queue("q")
        queue.send_batch("q", range(12))
        for call in (queue.delete_batch, queue.archive_batch):
            with pytest.raises(TypeError, match="a list is wanted, not '12'"):
                call("q", "12")
        with pytest.raises(TypeError, match="a list is wanted"):
            queue.ack_batch("q", "12", "11")
        with pytest.raises(TypeError, match="a list is wanted"):
            queue.read_any("q")
        for send in (queue.send_batch, queue.send_batch_topic):
            for one in ("hello", {"id": 1}):
                with pytest.raises(TypeError, match="a list is wanted, not "):
                    send("q", one)
        with pytest.raises(TypeError, match="a list is wanted"):
            queue.send_batch("q", [1], {"trace": 1})
        with pytest.raises(TypeError, match="a list is wanted"):
            queue.send_once_batch("q", {"id": 1}, ["key"])
        moved = queue.set_vt("q", "12", 60)  # as pgmq-py takes it
        assert moved.msg_id == 12
        assert queue.set_vt("q", None, 60) is None
        assert len(queue.peek("q", None)) == 11


@pytest.mark.parametrize("kind", CLIENTS)
def test_messages_that_are_not_there_are_an_error_and_iterators_are_taken(
    kind: Any, dsn: str
) -> None:
    with kind(dsn) as queue:
        queue.create_queue("q")
        for call in (queue.send_batch, queue.send_batch_topic):
            with pytest.raises(TypeError):
                call("q", None)
        assert queue.send_batch("q", iter([])) == []
        assert queue.send_batch("q", (n for n in range(2)), [None, {"h": 1}]) == [1, 2]
        assert [m.message for m in queue.set_vt("q", {1, 2}, 0)] == [0, 1]
        assert queue.delete_batch("q", range(1, 3)) == [1, 2]


# Connections


@pytest.mark.parametrize("kind", [*CLIENTS, _with_pool])
def test_idle_connections_that_died_cost_no_call(
    kind: Any, dsn: str, db: psycopg.Connection
) -> None:
    with kind(dsn, pool_size=3) as queue:
        queue.create_queue("q")
        for number in range(1, 4):
            assert queue.send("q", number) == number
            _end_others(db)
        assert len(queue.read_batch("q", batch_size=5)) == 3


def test_many_connections_that_died_cost_no_time(dsn: str, db: psycopg.Connection) -> None:
    with PGMQueue(dsn, pool_size=8) as queue:
        pool = queue.pool
        assert pool is not None
        taken = [pool.getconn() for _ in range(8)]
        for conn in taken:
            pool.putconn(conn)
        _end_others(db)
        started = time.monotonic()
        queue.create_queue("q")
        assert time.monotonic() - started < 5  # it was half a minute, and then an error


def test_a_connection_that_is_lost_before_anybody_has_it_is_closed(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "SETTINGS", {"server_version": ("none", "SELECT 1/0")})
    lost = psycopg.connect(dsn, autocommit=True)
    with pytest.raises(psycopg.errors.DivisionByZero):
        _connect.prepare(lost)
    assert lost.closed

    async def main() -> None:
        lost = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
        with pytest.raises(psycopg.errors.DivisionByZero):
            await _async_connect.prepare(lost)
        assert lost.closed

    asyncio.run(main())


@pytest.mark.parametrize("kind", [*ASYNC_CLIENTS, _with_asynchronous_pool])
def test_idle_connections_that_died_cost_no_awaited_call(
    kind: Any, dsn: str, db: psycopg.Connection
) -> None:
    async def main() -> None:
        async with kind(dsn, pool_size=3) as queue:
            await queue.create_queue("q")
            for number in range(1, 4):
                assert await queue.send("q", number) == number
                _end_others(db)
            await asyncio.gather(*(queue.send("q", n) for n in range(3)))
            _end_others(db)
            assert len(await queue.read_batch("q", batch_size=9)) == 6

    asyncio.run(main())


def test_idle_connections_that_died_cost_pgmq_sqlalchemy_no_call(
    dsn: str, db: psycopg.Connection
) -> None:
    queue = pgmq_sqlalchemy.PGMQueue(url(dsn))
    queue.create_queue("q")
    _end_others(db)
    assert queue.send("q", 1) == 1
    queue.engine.dispose()


def test_a_process_that_forks_leaves_the_connections_of_sqlalchemy_to_its_parent(
    dsn: str,
) -> None:
    queues: list[Any] = [SQLAlchemyPGMQueue(dsn), pgmq_sqlalchemy.PGMQueue(url(dsn))]
    queues[0].create_queue("q")
    queues[1].send("q", 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Python 3.12: there are threads
        child = os.fork()
    if not child:
        status = 1
        try:
            for queue in queues:
                queue.send("q", 2)
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    for queue in queues:
        queue.send("q", 3)
        queue.engine.dispose()
    with PGMQueue(dsn) as client:
        assert sorted(message.message for message in client.peek("q", None)) == [1, 2, 2, 3, 3]


def test_pgmq_sqlalchemy_connects_at_the_first_call() -> None:
    """As the original does: a program may be imported before its server is there."""
    queue = pgmq_sqlalchemy.PGMQueue("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(OperationalError):
        queue.list_queues()


def test_a_server_that_restarts_between_calls_is_found_again(
    new_server: Callable[..., embedded.Server],
) -> None:
    server = new_server()
    dsn = server.dsn()
    with PGMQueue(dsn) as queue, SQLAlchemyPGMQueue(dsn) as other:
        queue.create_queue("q")
        queue.send("q", 1)
        other.send("q", 2)
        for mode in ("fast", "immediate"):
            server.restart(mode=mode)
            queue.send("q", 3)
            other.send("q", 4)
        assert [message.message for message in queue.peek("q", None)] == [1, 2, 3, 4, 3, 4]


@asynccontextmanager
async def _open(kind: Any, dsn: str, driver: str | None) -> AsyncIterator[Any]:
    if driver is None:
        async with kind(dsn, pool_size=1) as queue:
            yield queue
        return
    engine = create_async_engine(url(dsn, driver), pool_size=1, max_overflow=0)
    async with kind(engine=engine) as queue:
        yield queue
    await engine.dispose()


@pytest.mark.parametrize(
    ("kind", "driver"),
    [(AsyncPGMQueue, None), *((SQLAlchemyAsyncPGMQueue, name) for name in ("psycopg", "asyncpg"))],
)
def test_calls_that_are_cancelled_anywhere_give_their_connection_back(
    kind: Any, driver: str | None, dsn: str, db: psycopg.Connection
) -> None:
    async def main() -> None:
        async with _open(kind, dsn, driver) as queue:
            await queue.create_queue("q")
            started = time.monotonic()
            await queue.send("q", 0)
            usual = time.monotonic() - started
            for step in range(60):
                call = asyncio.create_task(queue.send("q", step))
                await asyncio.sleep(usual * step / 40)
                call.cancel()
                if step % 2:  # once more, while it is being cancelled
                    await asyncio.sleep(0)
                    call.cancel()
                await asyncio.gather(call, return_exceptions=True)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(queue.read_with_poll("none", max_poll_seconds=60), 0.2)
            assert await asyncio.wait_for(queue.send("q", "last"), 10)
            # No transaction is open, and nothing is committed in part.
            idle = (
                "SELECT state FROM pg_stat_activity WHERE query LIKE '%pgmq.send%'"
                " AND datname = current_database() AND pid <> "
            )
            states = {row[0] for row in db.execute(idle + "pg_backend_pid()").fetchall()}
            assert states <= {"idle"}
            assert (await queue.read_batch("q", batch_size=99))[-1].message == "last"

    with PGMQueue(dsn) as client:
        client.create_queue("none")
    asyncio.run(main())


@pytest.mark.parametrize(
    ("kind", "driver"),
    [
        *((kind, None) for kind in (AsyncPGMQueue, _with_asynchronous_pool)),
        *((SQLAlchemyAsyncPGMQueue, name) for name in ("psycopg", "asyncpg")),
    ],
)
def test_a_call_that_is_cancelled_leaves_no_connection_in_autocommit(
    kind: Any, driver: str | None, dsn: str
) -> None:
    async def undone(queue: Any) -> None:
        begin = queue.engine.begin if hasattr(queue, "engine") else queue.pool.connection
        async with begin() as conn:
            await queue.send("q", "undone", conn=conn)
            raise ZeroDivisionError

    async def main() -> None:
        async with _open(kind, dsn, driver) as queue:
            await queue.create_queue("q")
            for turns in range(8):
                time.sleep(0.006)  # for so long psycopg lets nobody else have a turn
                call = asyncio.create_task(queue.send("q", "alone"))
                for _ in range(turns):
                    await asyncio.sleep(0)
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)
                with pytest.raises(ZeroDivisionError):
                    await undone(queue)
            assert "undone" not in [each.message for each in await queue.peek("q", None)]

    asyncio.run(main())


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python does not say what was cancelled")
def test_a_cancellation_that_the_pool_loses_is_not_lost(dsn: str) -> None:
    """As psycopg_pool 3.3 may, when a connection comes at that moment."""

    class Pool(AsyncConnectionPool[Any]):
        async def getconn(self, timeout: float | None = None) -> Any:
            conn = await super().getconn(timeout)
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.2)
            return conn

    async def main() -> None:
        async with Pool(dsn, min_size=1, max_size=1, open=False) as pool:
            queue = AsyncPGMQueue(pool=pool)
            await queue.init()
            await queue.create_queue("q")
            call = asyncio.create_task(queue.send("q", 1))
            await asyncio.sleep(0.1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert await queue.peek("q", None) == []

            async def tidy_up() -> int:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    return await queue.send("q", 2)  # what is meant to be done after all
                return 0

            task = asyncio.create_task(tidy_up())
            await asyncio.sleep(0)
            task.cancel()
            assert await task == 1

    asyncio.run(main())


# Encodings and settings of a database


@contextmanager
def _database(server: TestServer, db: psycopg.Connection, options: str) -> Iterator[str]:
    """Give the connection string of a database with pgmq, made by `options`."""
    name = f"{db.info.dbname}_other"
    db.execute(f"CREATE DATABASE {name} TEMPLATE template0 {options}".encode())
    try:
        with psycopg.connect(server.dsn(name), autocommit=True) as conn:
            conn.execute((BUILD / "pgmq.sql").read_bytes())
        yield server.dsn(name)
    finally:
        db.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


class _Awaited:
    """An asynchronous client, whose calls are awaited on the spot."""

    def __init__(self, queue: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._queue = queue
        self._loop.run_until_complete(queue.init())

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._queue, name)
        return lambda *args, **kwargs: self._loop.run_until_complete(method(*args, **kwargs))

    def end(self) -> None:
        self.close()
        self._loop.close()


def _fail(message: Message) -> None:
    raise ValueError(TEXT)


async def _fail_later(message: Message) -> None:
    raise ValueError(TEXT)


TEXT = "na\u00efve \u20ac \u4e2d \ud800 \0 end"


@pytest.mark.parametrize(
    ("encoding", "stored"),
    [
        ("LATIN1", r"na\xefve \u20ac \u4e2d \ud800 \x00 end"),
        ("SQL_ASCII", "na\u00efve \u20ac \u4e2d \\ud800 \ufffd end"),
    ],
)
def test_every_client_and_worker_stores_an_error_that_the_database_cannot_hold(
    encoding: str,
    stored: str,
    server: TestServer,
    db: psycopg.Connection,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL, logger="pgmq.worker")  # xdist cannot pass that text on
    with _database(server, db, f"ENCODING '{encoding}' LOCALE 'C'") as dsn, PGMQueue(dsn) as first:
        first.create_queue("q")
        engine = create_async_engine(url(dsn, "asyncpg"))
        sqlalchemy = SQLAlchemyPGMQueue(dsn)
        awaited = [
            _Awaited(AsyncPGMQueue(dsn)),
            _Awaited(SQLAlchemyAsyncPGMQueue(dsn)),
            _Awaited(SQLAlchemyAsyncPGMQueue(engine=engine)),
        ]
        every: list[Any] = [first, sqlalchemy, *awaited]
        for queue in every:
            for call in ("nack", "nack_batch"):
                first.purge("q")
                first.send("q", 1)
                message = queue.read("q")
                lease = (message.msg_id, message.read_ct)
                if call == "nack":
                    assert queue.nack("q", *lease, error=TEXT)
                else:
                    assert queue.nack_batch("q", [lease[0]], [lease[1]], error=TEXT)
                (message,) = queue.peek("q", None)
                assert message.headers == {"x-pgmq-error": stored}, (queue, call)
        awaited[-1]._loop.run_until_complete(engine.dispose())
        for queue in awaited:
            queue.end()
        sqlalchemy.dispose()

        first.create_queue("dead")
        first.set_policy("q", 1, "dead", retry_delay=timedelta(0))
        for kind, handler in ((Worker, _fail), (AsyncWorker, _fail_later), (ProcessWorker, _fail)):
            first.purge("q")
            first.purge("dead")
            first.send("q", 1)
            worker: Any = kind(dsn, "q", handler)
            if kind is AsyncWorker:
                asyncio.run(worker.run(until_empty=True))
            else:
                worker.run(until_empty=True)
            (message,) = first.peek("dead", None)
            text = message.headers["x-pgmq-error"]
            # A worker has made it plain already.
            expected = stored.replace(r"\x00", r"\ufffd")
            assert text == f"ValueError: {expected}", kind


def test_clients_of_sqlalchemy_work_whatever_a_database_has_set(
    server: TestServer, db: psycopg.Connection
) -> None:
    with _database(server, db, "") as dsn:
        name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
        for setting in ("datestyle = 'German'", "intervalstyle = 'iso_8601'"):
            db.execute(f"ALTER DATABASE {name} SET {setting}".encode())
        with SQLAlchemyPGMQueue(dsn) as queue:
            queue.create_queue("q")
            queue.set_policy("q", retry_delay=timedelta(seconds=5))
            queue.send("q", 1)
            message = queue.read("q")
            assert message is not None
            assert message.read_ct == 1
            assert queue.get_policy("q").retry_delay == timedelta(seconds=5)
        other = pgmq_sqlalchemy.PGMQueue(url(dsn))
        other.send("q", 2)
        sent = other.pop("q")
        assert sent is not None
        assert sent.message == 2
        other.engine.dispose()
