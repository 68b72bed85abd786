"""taskiq on a queue: a broker, retries by the queue's policy, and schedules in the database."""

from __future__ import annotations

import asyncio
import contextlib
import math
from contextvars import ContextVar
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from taskiq import AckableMessage, AsyncBroker, BrokerMessage, ScheduleSource, TaskiqMiddleware
from taskiq.exceptions import NoResultError, TaskRejectedError
from taskiq.message import TaskiqMessage
from taskiq.scheduler.scheduled_task import ScheduledTask

from pgmq._retrying import last_receipt
from pgmq._worker.frameworks import Delivery, deliver, from_json, headers_of, to_json
from pgmq.async_queue import PGMQueue
from pgmq.worker import AsyncWorker, Reject, Retry

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from taskiq import TaskiqResult

    from pgmq.messages import Message

__all__ = ["PGMQBroker", "PGMQRetryMiddleware", "PGMQScheduleSource"]

# Labels by which a message in hand is known.
_MSG_ID, _READ_CT = "pgmq_msg_id", "pgmq_read_ct"
# How the schedule_id of a task for one time begins; the msg_id follows.
_ONCE = "pgmq_msg_id:"


class PGMQBroker(AsyncBroker):
    """A broker whose tasks are messages of a queue.

    `dsn` is a connection string as PGMQueue takes it. A queue that is missing is created, with
    wake-ups. `max_async_tasks` is how many tasks a worker process leases at once; taskiq's option
    of this name should not be smaller. Keywords that are not named here are those of AsyncWorker:
    `vt`, `read`, `retry_delay`, `listen_dsn` and so on.

    Labels: `delay` in seconds, `group`, `priority`, `dedup_key`, and `ttl` in seconds.

    `client` is an asynchronous client for whatever else there is to do; it opens with startup().
    """

    def __init__(
        self,
        dsn: str | None = None,
        queue: str = "taskiq",
        *,
        max_async_tasks: int = 100,
        **worker: Any,
    ) -> None:
        super().__init__()
        self.queue = queue
        self.client = PGMQueue(dsn)
        self._dsn = dsn
        self._options = worker | {"concurrency": max_async_tasks}
        self._in_hand: WeakValueDictionary[tuple[Any, Any], Delivery[bytes]] = WeakValueDictionary()
        self._workers: dict[asyncio.Task[None], AsyncWorker] = {}
        self._conn: ContextVar[Any] = ContextVar("conn", default=None)

    async def startup(self) -> None:
        """Connect, and create the queue if it is missing."""
        await self.client.init()
        if self.queue not in map(str, await self.client.list_queues()):
            await self.client.create_queue(self.queue)
            await self.client.enable_wakeups(self.queue)
        await super().startup()

    async def shutdown(self) -> None:
        """Return what nobody handles any more, and disconnect."""
        await super().shutdown()
        for worker in self._workers.values():
            worker.stop()
        for delivery in self._in_hand.values():
            delivery.give_back()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._workers.clear()
        await self.client.close()

    @contextlib.contextmanager
    def using(self, conn: Any) -> Iterator[None]:
        """Have the tasks of this block sent in a connection's transaction.

        It is whatever `conn` of the asynchronous client's methods may be.
        """
        token = self._conn.set(conn)
        try:
            yield
        finally:
            self._conn.reset(token)

    async def kick(self, message: BrokerMessage) -> None:
        """Send a task."""
        labels, conn = message.labels, self._conn.get()
        headers, content = headers_of(labels), to_json(message.message)
        delay = math.ceil(float(labels.get("delay") or 0))
        await self.client.send(self.queue, content, headers, delay, conn=conn)

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        """Yield tasks; those in hand stay leased until they are acknowledged, or shutdown()."""
        received: asyncio.Queue[Delivery[bytes] | None] = asyncio.Queue()

        async def handle(message: Message) -> None:
            def hand_over(delivery: Delivery[bytes]) -> None:
                self._in_hand[message.msg_id, message.read_ct] = delivery
                received.put_nowait(delivery)

            await deliver(self._to_taskiq(message), hand_over)

        worker = AsyncWorker(self._dsn, self.queue, handle, **self._options)
        run = asyncio.create_task(worker.run(signals=False))
        run.add_done_callback(lambda _: received.put_nowait(None))
        self._workers[run] = worker
        try:
            while (delivery := await received.get()) is not None:
                yield AckableMessage(data=delivery.content, ack=delivery.ack)
                del delivery
            await run  # raises
        finally:
            # It goes on until what is in hand has ended; shutdown() waits for it.
            worker.stop()
            while not received.empty():
                if (delivery := received.get_nowait()) is not None:
                    delivery.give_back()

    def fail(self, message: TaskiqMessage, error: BaseException) -> None:
        """Have a message that is in hand returned with an error; see Retry and Reject."""
        delivery = self._in_hand.get((message.labels.get(_MSG_ID), message.labels.get(_READ_CT)))
        if delivery is not None:
            delivery.fail(error)

    def _to_taskiq(self, message: Message) -> bytes:
        """Make what taskiq decodes. It acknowledges what it cannot handle, so that is seen here."""
        try:
            task = self.formatter.loads(from_json(message.message))
        except Exception as error:
            raise Reject(error) from error
        if self.find_task(task.task_name) is None:
            # A newer version of the program may know it.
            raise LookupError(f"there is no task {task.task_name}")
        task.labels |= {_MSG_ID: message.msg_id, _READ_CT: message.read_ct}
        # The messages of a schedule are all the same.
        task.task_id = task.task_id or f"{self.queue}-{message.msg_id}"
        return self.formatter.dumps(task).message


class PGMQRetryMiddleware(TaskiqMiddleware):
    """Has failed tasks return to the queue, whose policy says when, how often, and what then.

    The label `retry_on_error=False` excepts a task. No result is kept of an attempt that another
    one follows. What `Context.reject()` refuses goes to the archive.
    """

    broker: PGMQBroker

    async def startup(self) -> None:
        """Ask for the policy, which says what the last attempt is."""
        self._policy = await self.broker.client.get_policy(self.broker.queue)

    def on_error(
        self, message: TaskiqMessage, result: TaskiqResult[Any], exception: BaseException
    ) -> None:
        """Return the message."""
        if isinstance(exception, TaskRejectedError):
            self.broker.fail(message, Reject(exception))
        wanted = str(message.labels.get("retry_on_error", True)).lower() == "true"
        if isinstance(exception, NoResultError | TaskRejectedError) or not wanted:
            return
        self.broker.fail(message, Retry(exception))
        if last_receipt(self._policy, int(message.labels[_READ_CT])) is None:
            result.error = NoResultError()


class PGMQScheduleSource(ScheduleSource):
    """Schedules in the database, which sends what is due by itself: no scheduler need run.

    Their names are the schedule_ids, which are unique in the database. A task for one time is a
    delayed message, whatever schedule_id it was to have.
    """

    def __init__(self, broker: PGMQBroker) -> None:
        self.broker = broker

    async def get_schedules(self) -> list[ScheduledTask]:
        """Return nothing: a scheduler of taskiq has nothing to send. See client.list_schedules."""
        return []

    async def add_schedule(self, schedule: ScheduledTask) -> None:
        """Begin a schedule, or replace the one of its schedule_id."""
        client, queue = self.broker.client, self.broker.queue
        labels = schedule.labels | {"schedule_id": schedule.schedule_id}
        message = self.broker.formatter.dumps(
            TaskiqMessage(
                task_id=schedule.task_id or "",
                task_name=schedule.task_name,
                labels=labels,
                args=schedule.args,
                kwargs=schedule.kwargs,
            )
        )
        content, headers = to_json(message.message), headers_of(labels)
        if schedule.time is not None:
            msg_id = await client.send(queue, content, headers, schedule.time)
            schedule.schedule_id = f"{_ONCE}{msg_id}"
            return
        if isinstance(schedule.interval, int):
            schedule.interval = timedelta(seconds=schedule.interval)
        timezone = schedule.cron_offset or "UTC"
        if isinstance(timezone, timedelta):
            raise ValueError(f"cron_offset must be the name of a time zone: {timezone}")
        await client.schedule(
            schedule.schedule_id,
            queue,
            schedule.interval or schedule.cron or "",
            content,
            headers,
            timezone,
        )

    async def delete_schedule(self, schedule_id: str) -> None:
        """End a schedule, or delete the message of a task for one time."""
        if schedule_id.startswith(_ONCE):
            msg_id = int(schedule_id.removeprefix(_ONCE))
            await self.broker.client.delete(self.broker.queue, msg_id)
        else:
            await self.broker.client.unschedule(schedule_id)

    async def declare(self) -> None:
        """Begin the schedules that tasks have in their label `schedule`, as deployment does.

        Those of an earlier call that are in no label any more end.
        """
        prefix = f"{self.broker.queue}/"
        declared = set()
        for task in self.broker.get_all_tasks().values():
            labels = dict(task.labels)
            for number, schedule in enumerate(labels.pop("schedule", [])):
                if schedule.get("time") is not None:
                    raise ValueError(f"a schedule in a label has no time: {task.task_name}")
                given = {"args": [], "kwargs": {}} | schedule
                given["labels"] = labels | schedule.get("labels", {})
                given["schedule_id"] = f"{prefix}{task.task_name}/{number}"
                declared.add(given["schedule_id"])
                await self.add_schedule(ScheduledTask(task_name=task.task_name, **given))
        for known in await self.broker.client.list_schedules(self.broker.queue):
            if known.name.startswith(prefix) and known.name not in declared:
                await self.broker.client.unschedule(known.name)
