"""A program such as users write, for mypy and pyright (`make lint`); nobody runs it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

import pgmq
from pgmq import (
    AsyncPGMQueue,
    AsyncWorker,
    Hooks,
    Message,
    PGMQueue,
    Policy,
    Reject,
    Retry,
    SQLAlchemyAsyncPGMQueue,
    SQLAlchemyPGMQueue,
    StreamMessage,
    Worker,
    async_transaction,
    transaction,
)
from pgmq.relay import Relay


def clients(dsn: str) -> None:
    with PGMQueue(dsn, pool_size=2, dumps=None) as queue:
        queue.create_queue("jobs")
        msg_id: int = queue.send("jobs", {"id": 1}, delay=timedelta(seconds=1))
        ids: list[int] = queue.send_batch("jobs", [1, 2], delay=datetime.now(timezone.utc))
        message: Message | None = queue.read("jobs", vt=30)
        messages: list[Message] = queue.read_batch("jobs", batch_size=10)
        if message is not None:
            done: bool = queue.ack("jobs", message.msg_id, message.read_ct)
            body: Any = message.message
            print(done, body, message.vt.isoformat())
        gone: bool = queue.delete("jobs", msg_id)
        all_gone: list[int] = queue.delete_batch("jobs", ids)
        queue.set_policy("jobs", 5, "dead", retry_delay="10 seconds", message_ttl=timedelta(days=1))
        policy: Policy = queue.get_policy("jobs")
        queue.send("jobs", 1, conn=dsn)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        print(messages, gone, all_gone, policy.max_receives, queue.metrics("jobs").queue_length)
        while batch := queue.fetch("events", "audit", qty=10):
            for each in batch:
                one: StreamMessage = each
                print(one.message)
            queue.commit("events", "audit", *batch.lease)


def joined(queue: PGMQueue, dsn: str) -> None:
    with psycopg.connect(dsn) as conn, conn.cursor() as cursor:
        queue.send("jobs", 1, conn=conn)
        queue.send("jobs", 1, conn=cursor)
    with queue.pool.connection() as conn:
        queue.send("jobs", 1, conn=conn)
    with (
        Session(create_engine("postgresql+psycopg://")) as session,
        SQLAlchemyPGMQueue(dsn) as other,
    ):
        queue.send("jobs", 1, conn=session)
        queue.send("jobs", 1, conn=session.connection())
        other.send("jobs", 1, conn=session)


@transaction
def order(queue: PGMQueue, number: int, conn: psycopg.Connection[Any] | None = None) -> int:
    return queue.send("jobs", number, conn=conn)


@async_transaction
async def async_order(queue: AsyncPGMQueue, number: int, conn: Any = None) -> int:
    return await queue.send("jobs", number, conn=conn)


async def waiting(dsn: str) -> None:
    async with AsyncPGMQueue(dsn) as queue, AsyncSession(create_async_engine(dsn)) as session:
        msg_id: int = await queue.send("jobs", {"id": 1}, conn=session)
        message: Message | None = await queue.read("jobs")
        messages: list[Message] = await queue.read_batch("jobs", batch_size=5)
        print(msg_id, message, messages, await async_order(queue, 1))
        async with SQLAlchemyAsyncPGMQueue(dsn) as other:
            await other.send("jobs", 1, conn=session)
            async with other.engine.begin() as conn:
                await other.send("jobs", 1, conn=conn)
            await queue.send("jobs", 1, conn=await session.connection())


def handle(message: Message) -> None:
    if message.read_ct > 3:
        raise Reject("no use")
    raise Retry(delay=5)


async def async_handle(message: Message) -> None:
    await asyncio.sleep(message.read_ct)


def in_transaction(message: Message, conn: psycopg.Connection[Any]) -> None:
    conn.execute("SELECT 1")


def workers(dsn: str) -> None:
    hooks = Hooks()
    Worker(dsn, "jobs", handle, concurrency=4, hooks=hooks).run(until_empty=True)
    Worker(dsn, ["a", "b"], in_transaction, transactional=True).run()
    asyncio.run(AsyncWorker(None, {"a": 1, "b": 2}, async_handle, timeout=1.5).run())
    Relay(dsn, "jobs", "amqp://localhost?queue=jobs").run()
    print(pgmq.__version__, order(PGMQueue(dsn), 1))
