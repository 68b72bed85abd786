"""taskiq on a queue: its own worker, killed and stopped, and what a broker adds to it."""

from __future__ import annotations

import asyncio
import gc
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from taskiq import TaskiqMessage, TaskiqMiddleware
from taskiq.api import run_receiver_task
from taskiq.scheduler.scheduled_task import CronSpec
from taskiq.serializers import PickleSerializer

from pgmq.taskiq import PGMQBroker, PGMQScheduleSource
from support.frameworks import go_through
from support.server import url
from support.taskiq_app import make_broker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from pgmq import embedded


pytestmark = pytest.mark.once


def _send(dsn: str, name: str, *arguments: str) -> None:
    async def main() -> None:
        broker = make_broker(dsn)
        await broker.startup()
        task = broker.find_task(name)
        assert task is not None
        await task.kiq(*arguments)
        await broker.shutdown()

    asyncio.run(main())


def test_a_worker_that_is_killed_sees_the_server_restart_and_is_stopped(
    new_server: Callable[..., embedded.Server], tmp_path: Path
) -> None:
    arguments = ["taskiq", "worker", "taskiq_app:make_broker", "--workers", "1"]
    unknown = {"task_id": "1", "task_name": "x", "labels": {}, "args": [], "kwargs": {}}
    server = new_server()
    dead, archive = go_through(server, tmp_path, "taskiq", arguments, _send, unknown)
    assert sorted(dead.values()) == [
        "LookupError: there is no task x",
        "ValueError: it cannot be done",
    ]
    assert [*archive] == ['{"no": "task"}']
    assert archive['{"no": "task"}'].startswith("ValidationError: 5 validation errors for Taskiq")


@asynccontextmanager
async def _receiving(broker: PGMQBroker) -> AsyncIterator[None]:
    """Have the broker's tasks run here."""
    await broker.startup()
    receiving = asyncio.create_task(run_receiver_task(broker, max_async_tasks=1))
    yield
    receiving.cancel()
    with suppress(asyncio.CancelledError):
        await receiving
    await broker.shutdown()


def test_tasks_join_the_transaction_of_their_caller(db: psycopg.Connection, dsn: str) -> None:
    async def main() -> None:
        broker = make_broker(dsn)
        add = broker.find_task("add")
        assert add is not None
        await broker.startup()
        engine = create_async_engine(url(dsn))
        async with (
            await psycopg.AsyncConnection.connect(dsn) as conn,
            AsyncSession(engine) as session,
        ):
            for connection in (conn, session):
                with broker.using(connection):
                    await add.kiq(1, 2)
                await connection.rollback()
                with broker.using(connection):
                    await add.kiq(3, 4)
                await connection.commit()
        await engine.dispose()
        await broker.shutdown()

    asyncio.run(main())
    kicked = db.execute("SELECT message -> 'args' FROM pgmq.q_taskiq").fetchall()
    assert kicked == [([3, 4],)] * 2


def test_labels_say_when_in_which_order_and_once(db: psycopg.Connection, dsn: str) -> None:
    async def main() -> None:
        broker = make_broker(dsn)
        add = broker.find_task("add")
        assert add is not None
        await broker.startup()
        await broker.client.set_policy("taskiq", dedup_window=timedelta(hours=1), priorities=True)
        for _ in range(2):
            await (
                add.kicker()
                .with_labels(delay=59.5, group="g", priority=9, dedup_key="k", ttl=90)
                .kiq(1, 2)
            )
        await broker.shutdown()

    asyncio.run(main())
    assert db.execute(
        "SELECT headers, round(extract(epoch FROM vt - enqueued_at)) FROM pgmq.q_taskiq"
    ).fetchall() == [
        (
            {
                "x-pgmq-group": "g",
                "x-pgmq-priority": 9,
                "x-pgmq-dedup-id": "k",
                "x-pgmq-ttl": 90,
            },
            60,
        )
    ]


def test_whatever_a_serializer_makes_arrives(dsn: str) -> None:
    """What jsonb does not take is stored in base64."""
    values: list[Any] = ["\0", "\ud800", 10**30, {"a": [None, "\u2603"]}, 1.5]

    async def main() -> None:
        broker = PGMQBroker(dsn, vt=5)
        echoed: list[Any] = []
        done = asyncio.Event()

        @broker.task("echo")
        async def echo(value: Any) -> None:
            echoed.append(value)
            if len(echoed) == len(values) + 1:
                done.set()

        async with _receiving(broker):
            for value in values:
                await echo.kiq(value)
            while len(echoed) < len(values):
                await asyncio.sleep(0.01)
            broker.with_serializer(PickleSerializer())
            await echo.kiq("pickled")
            await asyncio.wait_for(done.wait(), 10)
        assert echoed == [*values, "pickled"]

    asyncio.run(main())


def test_a_message_that_is_dropped_is_returned(
    db: psycopg.Connection, dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As where a middleware raises. taskiq forgets a message when the next one comes."""
    caplog.set_level("CRITICAL", "asyncio")  # a traceback that is kept keeps the message

    class Broken(TaskiqMiddleware):
        def pre_execute(self, message: TaskiqMessage) -> TaskiqMessage:
            raise ZeroDivisionError

    broker = make_broker(dsn, vt=30).with_middlewares(Broken())  # no lease ends on a busy machine
    task = broker.find_task("fail")
    assert task is not None

    async def main() -> None:
        async with _receiving(broker):
            await broker.client.set_policy("taskiq", max_receives=1)
            await task.kiq()
            await task.kiq()
            while (await broker.client.metrics("taskiq")).queue_length == 2:
                gc.collect()
                await asyncio.sleep(0.01)

    asyncio.run(main())
    assert db.execute("SELECT headers ->> 'x-pgmq-error' FROM pgmq.a_taskiq").fetchall() == [
        ("HandlerError: the message was neither acknowledged nor refused",)
    ]


def test_who_has_lost_a_lease_acknowledges_nothing(db: psycopg.Connection, dsn: str) -> None:
    async def main() -> None:
        broker = make_broker(dsn)
        task = broker.find_task("fail")
        assert task is not None
        await broker.startup()
        await task.kiq()
        async for received in broker.listen():
            await broker.client.set_vt("taskiq", 1, 0)
            await broker.client.read("taskiq")
            received.ack()
            break
        await broker.shutdown()

    asyncio.run(main())
    assert db.execute("SELECT read_ct FROM pgmq.q_taskiq").fetchall() == [(2,)]


def test_schedules_are_in_the_database(db: psycopg.Connection, dsn: str) -> None:
    async def main() -> None:
        broker = make_broker(dsn)
        add = broker.find_task("add")
        assert add is not None
        await broker.startup()
        source = PGMQScheduleSource(broker)
        assert await source.get_schedules() == []
        cron = CronSpec(hours=9, minutes=30, offset="Europe/Berlin")
        await add.kicker().with_schedule_id("daily").schedule_by_cron(source, cron, 1, 2)
        often = await add.schedule_by_interval(source, timedelta(minutes=5), 3, 4)
        known = await broker.client.list_schedules("taskiq")
        assert {(each.name, each.cron, each.timezone) for each in known} == {
            ("daily", "30 9 * * *", "Europe/Berlin"),
            (often.schedule_id, "300 seconds", "UTC"),
        }
        await often.unschedule()
        later = datetime.now(timezone.utc) + timedelta(hours=1)
        once = await add.schedule_by_time(source, later, 5, 6)
        [message] = db.execute("SELECT message, vt FROM pgmq.q_taskiq").fetchall()
        assert (message[0]["args"], message[1]) == ([5, 6], later)
        await once.unschedule()
        assert (await broker.client.metrics("taskiq")).queue_length == 0
        with pytest.raises(ValueError, match="cron_offset must be the name of a time zone"):
            await add.schedule_by_cron(source, CronSpec(offset=timedelta(hours=1)), 1, 2)

        add.labels["schedule"] = [{"cron": "@daily"}, {"interval": 60, "args": [1, 2]}]
        await source.declare()
        del add.labels["schedule"][1:]
        await source.declare()
        names = [each.name for each in await broker.client.list_schedules("taskiq")]
        assert names == ["daily", "taskiq/add/0"]

        # Every message of a schedule is a task of its own.
        for _ in range(2):
            await broker.client.run_schedule("daily")
        ids = set()
        async for received in broker.listen():
            task = broker.formatter.loads(received.data)
            ids.add((task.task_id, task.labels["schedule_id"]))
            received.ack()
            if len(ids) == 2:
                break
        assert ids == {("taskiq-2", "daily"), ("taskiq-3", "daily")}
        await broker.shutdown()

    asyncio.run(main())
    assert db.execute("SELECT count(*) FROM pgmq.q_taskiq").fetchone() == (0,)
