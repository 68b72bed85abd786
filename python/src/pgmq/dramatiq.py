"""dramatiq on queues: a broker, and retries by the policies of the queues."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from contextvars import ContextVar
from datetime import datetime, timedelta, timezone
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import dramatiq
from dramatiq.errors import ConnectionClosed, QueueJoinTimeout
from dramatiq.middleware import Middleware, Retries, default_middleware

from pgmq._worker.frameworks import Delivery, deliver, from_json, headers_of, to_json
from pgmq.queue import PGMQueue
from pgmq.worker import AsyncWorker, Reject, Retry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dramatiq import Message, MessageProxy

    from pgmq import messages

__all__ = ["PGMQBroker", "PGMQRetries"]


class PGMQBroker(dramatiq.Broker):
    """A broker whose queues are queues of pgmq; those that are missing are created, with wake-ups.

    `dsn` is a connection string as PGMQueue takes it. Nothing is connected before the first
    message. Keywords that are not named here are those of AsyncWorker: `vt`, `read`,
    `retry_delay`, `listen_dsn` and so on.

    `policy_retries` has PGMQRetries among the default middleware, instead of Retries.

    Options of messages: `group`, `broker_priority`, `dedup_key`, and `ttl` in seconds.
    """

    def __init__(
        self,
        dsn: str | None = None,
        *,
        middleware: list[Middleware] | None = None,
        policy_retries: bool = False,
        **worker: Any,
    ) -> None:
        if middleware is None and policy_retries:
            middleware = [
                PGMQRetries() if kind is Retries else kind() for kind in default_middleware
            ]
        super().__init__(middleware)
        self.queues: set[str] = set()
        self._dsn = dsn
        self._worker = worker
        self._created: set[str] = set()
        self._client: tuple[int, PGMQueue] | None = None  # and the process that it belongs to
        self._lock = threading.Lock()
        self._conn: ContextVar[Any] = ContextVar("conn", default=None)

    @property
    def client(self) -> PGMQueue:
        """A client, of this process, for whatever else there is to do."""
        with self._lock:
            if self._client is None or self._client[0] != os.getpid():
                self._client = os.getpid(), PGMQueue(self._dsn)
            return self._client[1]

    def close(self) -> None:
        """Disconnect the client."""
        with self._lock:
            if self._client is not None and self._client[0] == os.getpid():
                self._client[1].close()
            self._client = None

    @contextlib.contextmanager
    def using(self, conn: Any) -> Iterator[None]:
        """Have the messages of this block sent in a connection's transaction.

        It is whatever `conn` of PGMQueue's methods may be.
        """
        token = self._conn.set(conn)
        try:
            yield
        finally:
            self._conn.reset(token)

    def consume(
        self, queue_name: str, prefetch: int = 1, timeout: int = 30000
    ) -> dramatiq.Consumer:
        """Return a consumer; it has up to `prefetch` messages at a time."""
        self._create(queue_name)
        return _Consumer(queue_name, timeout / 1000, self._dsn, prefetch, self._worker)

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue. It is created when it is used."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Send a message, visible after some milliseconds."""
        queue, conn = message.queue_name, self._conn.get()
        self.declare_queue(queue)
        self._create(queue)
        options = message.options | {"priority": message.options.get("broker_priority")}
        due = delay and datetime.now(timezone.utc) + timedelta(milliseconds=delay)
        self.emit_before("enqueue", message, delay)
        content, headers = to_json(message.encode()), headers_of(options)
        self.client.send(queue, content, headers, due, conn=conn)
        self.emit_after("enqueue", message, delay)
        return message

    def get_declared_queues(self) -> set[str]:
        """Return the names of the queues."""
        return self.queues.copy()

    def flush(self, queue_name: str) -> None:
        """Delete the messages of a queue."""
        self._create(queue_name)
        self.client.purge(queue_name)

    def flush_all(self) -> None:
        """Delete the messages of all queues."""
        for queue in self.queues:
            self.flush(queue)

    def join(self, queue_name: str, *, interval: int = 100, timeout: int | None = None) -> None:
        """Wait until a queue has no messages, of whatever kind; for tests."""
        self._create(queue_name)
        end = None if timeout is None else time.monotonic() + timeout / 1000
        while self.client.metrics(queue_name).queue_length:
            if end is not None and time.monotonic() > end:
                raise QueueJoinTimeout(queue_name)  # type: ignore[no-untyped-call]
            time.sleep(interval / 1000)

    def _create(self, queue: str) -> None:
        if queue not in self._created:
            if queue not in map(str, self.client.list_queues()):
                self.client.create_queue(queue)
                self.client.enable_wakeups(queue)
            self._created.add(queue)


class PGMQRetries(Middleware):
    """Retries by the policy of the queue, which says when, how often, and what then.

    It takes the place of Retries. What is in `throws` of an actor goes to the archive at once.
    """

    @property
    def actor_options(self) -> set[str]:
        """The options that actors may have."""
        return {"throws"}

    def after_process_message(
        self,
        broker: dramatiq.Broker,
        message: Any,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        """Have a message that failed returned to its queue."""
        if exception is None:
            return
        message.fail()
        options = broker.get_actor(message.actor_name).options
        throws = message.options.get("throws") or options.get("throws") or ()
        if not isinstance(exception, throws):
            delay = (
                getattr(exception, "delay", None) if isinstance(exception, dramatiq.Retry) else None
            )
            message.refusal = Retry(exception, delay=None if delay is None else delay / 1000)


class _MessageProxy(dramatiq.MessageProxy):
    """A message of a queue; `refusal` is what becomes of it when it has failed."""

    def __init__(self, delivery: Delivery[Message[Any]]) -> None:
        super().__init__(delivery.content)
        self.delivery = delivery
        self.refusal: BaseException | None = None


class _Consumer(dramatiq.Consumer):
    """The messages that an AsyncWorker has leased, in a thread of its own."""

    def __init__(
        self, queue: str, timeout: float, dsn: str | None, prefetch: int, options: dict[str, Any]
    ) -> None:
        self._timeout = timeout
        self._received: SimpleQueue[Delivery[Message[Any]]] = SimpleQueue()
        self._in_hand: WeakSet[Delivery[Message[Any]]] = WeakSet()
        self._error: BaseException | None = None
        self._worker = AsyncWorker(dsn, queue, self._handle, concurrency=prefetch, **options)
        self._thread = threading.Thread(target=self._run, name=f"pgmq {queue}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            asyncio.run(self._worker.run(signals=False))
        except BaseException as error:  # noqa: BLE001, __next__ raises it
            self._error = error

    async def _handle(self, message: messages.Message) -> None:
        try:
            content = dramatiq.Message.decode(from_json(message.message))
        except Exception as error:
            raise Reject(error) from error
        await deliver(content, self._hand_over)

    def _hand_over(self, delivery: Delivery[Message[Any]]) -> None:
        self._in_hand.add(delivery)
        self._received.put(delivery)

    def __next__(self) -> MessageProxy | None:
        try:
            return _MessageProxy(self._received.get(timeout=self._timeout))
        except Empty:
            if not self._thread.is_alive():
                raise ConnectionClosed(self._error) from self._error  # type: ignore[no-untyped-call]
            return None

    def ack(self, message: Any) -> None:
        message.delivery.ack()

    def nack(self, message: Any) -> None:
        error = message._exception or "dramatiq has rejected it"
        message.delivery.fail(message.refusal or Reject(error))

    def requeue(self, messages: Iterable[Any]) -> None:
        # It is called before close(): what is returned is not to be read here again.
        self._worker.stop()
        for message in messages:
            message.delivery.give_back()

    def close(self) -> None:
        self._worker.stop()
        for delivery in list(self._in_hand):
            delivery.give_back()
        self._thread.join()
