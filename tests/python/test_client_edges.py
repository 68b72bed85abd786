"""Clients at their edges: odd arguments, connections that die, processes that fork, encodings."""

from __future__ import annotations

import asyncio
import os
import time
import warnings
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import create_async_engine

import pgmq_sqlalchemy
from pgmq import AsyncPGMQueue, PGMQueue, SQLAlchemyAsyncPGMQueue, SQLAlchemyPGMQueue
from server import url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import psycopg

    from pgmq import embedded

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


# Arguments


@pytest.mark.parametrize("kind", CLIENTS)
def test_a_text_in_the_place_of_ids_does_not_mean_its_characters(kind: Any, dsn: str) -> None:
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


@pytest.mark.parametrize("kind", CLIENTS)
def test_idle_connections_that_died_cost_no_call(
    kind: Any, dsn: str, db: psycopg.Connection
) -> None:
    with kind(dsn, pool_size=3) as queue:
        queue.create_queue("q")
        for number in range(1, 4):
            assert queue.send("q", number) == number
            _end_others(db)
        assert len(queue.read_batch("q", batch_size=5)) == 3


@pytest.mark.parametrize("kind", ASYNC_CLIENTS)
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
            idle = "SELECT state FROM pg_stat_activity WHERE query LIKE '%pgmq.send%' AND pid <> "
            states = {row[0] for row in db.execute(idle + "pg_backend_pid()").fetchall()}
            assert states <= {"idle"}
            assert (await queue.read_batch("q", batch_size=99))[-1].message == "last"

    with PGMQueue(dsn) as client:
        client.create_queue("none")
    asyncio.run(main())
