"""The calls of a synchronous queue client, whatever carries them to the server."""

# Made of async_operations.py by `make sync`: change that one.

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast, overload

from pgmq import _observing as observing
from pgmq import _statements as statements
from pgmq import _wire as wire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from pgmq._statements import Delay, Duration, Seconds, Start, Statement
    from pgmq.messages import (
        BatchTopicResult,
        Binding,
        Channel,
        Finding,
        Message,
        NotificationThrottle,
        Pause,
        Policy,
        QueueMessage,
        QueueMetrics,
        QueueRecord,
        QueueStats,
        RoutingResult,
        Schedule,
        SendOnceResult,
        StreamBatch,
        StreamGroup,
        StreamLane,
        TopicBinding,
    )

__all__ = ["SyncPGMQueueOperationsMixin"]

C = TypeVar("C")
T = TypeVar("T")


class SyncPGMQueueOperationsMixin(ABC, Generic[C]):
    """Every function of pgmq as a method.

    Each call is one statement and, without `conn`, a transaction of its own. With `conn` it is
    part of that connection's transaction: committing is up to the caller.
    """

    vt: Seconds
    delay: Seconds

    def _run(self, statement: Statement[T], conn: C | None) -> T:
        """Run a statement, while an observer looks on if there is one."""
        observer = observing.observer
        if observer is None:
            return self._perform(statement, conn)
        with observer.calling(statement) as call:
            call.result = result = self._perform(call.statement, conn)
        return result

    @abstractmethod
    def _perform(self, statement: Statement[T], conn: C | None) -> T:
        """Run a statement, on conn or in a transaction of its own."""

    def _returned(
        self, nack: Callable[[str | None], Statement[T]], error: str | None, conn: C | None
    ) -> T:
        try:
            return self._run(nack(error), conn)
        except Exception as problem:
            # In a transaction of the caller nothing can be done any more.
            if conn is not None or error is None or not wire.lacks_character(problem):
                raise
        return self._run(nack(wire.escaped(error)), None)

    def _vt(self, vt: Seconds | None) -> Seconds:
        return self.vt if vt is None else vt

    def _delay(self, delay: Delay | None) -> Delay | None:
        return (self.delay or None) if delay is None else delay

    # Queues

    def create_queue(self, queue: str, unlogged: bool = False, conn: C | None = None) -> None:
        """Create a queue; nothing happens when it is there.

        An unlogged queue is faster, but a crash of the server empties it.
        """
        self._run(statements.create_queue(queue, unlogged), conn)

    def create_partitioned_queue(
        self,
        queue: str,
        partition_interval: int | Duration = 10000,
        retention_interval: int | Duration = 100000,
        conn: C | None = None,
    ) -> None:
        """Create a queue whose table is partitioned, by numbers of messages or by time."""
        self._run(
            statements.create_partitioned_queue(queue, partition_interval, retention_interval),
            conn,
        )

    def convert_archive_partitioned(
        self,
        queue: str,
        partition_interval: int | Duration = 10000,
        retention_interval: int | Duration = 100000,
        leading_partition: int = 10,
        conn: C | None = None,
    ) -> None:
        """Partition the archive of a queue."""
        self._run(
            statements.convert_archive_partitioned(
                queue, partition_interval, retention_interval, leading_partition
            ),
            conn,
        )

    def drop_queue(self, queue: str, conn: C | None = None) -> bool:
        """Drop a queue with its messages and its archive; False when there is none."""
        return self._run(statements.drop_queue(queue), conn)

    def purge(self, queue: str, conn: C | None = None) -> int:
        """Delete every message of a queue and return how many those were."""
        return self._run(statements.purge(queue), conn)

    def detach_archive(self, queue: str, conn: C | None = None) -> None:
        """Do nothing: deprecated, kept for callers of pgmq 1."""
        self._run(statements.detach_archive(queue), conn)

    def list_queues(self, conn: C | None = None) -> list[QueueRecord]:
        """Return all queues."""
        return self._run(statements.list_queues(), conn)

    def validate_queue_name(self, queue_name: str, conn: C | None = None) -> bool:
        """Return True for a name that a queue may have, and raise the server's error for others."""
        return self._run(statements.validate_queue_name(queue_name), conn)

    # Sending

    def send(
        self,
        queue: str,
        message: Any,
        headers: Any = None,
        delay: Delay | None = None,
        tz: Delay | None = None,
        conn: C | None = None,
    ) -> int:
        """Send a message and return its msg_id.

        `message` and `headers` are anything that json.dumps takes, with times, UUIDs, decimal
        numbers, members of an Enum, dataclasses and models of pydantic inside. `delay` is a
        timedelta, a number of seconds, or the time from which the message is visible; `tz` is
        another name for it, and wins. The message is there when the transaction commits.

            >>> msg_id = queue.send("jobs", {"id": 1}, headers={"trace": "abc"})
            >>> (queue.get("jobs", msg_id)).headers
            {'trace': 'abc'}
        """
        delay = self._delay(delay if tz is None else tz)
        return self._run(statements.send(queue, message, headers, delay), conn)

    def send_batch(
        self,
        queue: str,
        messages: Sequence[Any],
        headers: Sequence[Any] | None = None,
        delay: Delay | None = None,
        conn: C | None = None,
    ) -> list[int]:
        """Send messages, each with the headers in the same place, and return their msg_ids.

        Raises ValueError when there are not as many headers as messages.

            >>> len(queue.send_batch("jobs", [{"id": 2}, {"id": 3}], delay=60))
            2
        """
        messages = statements.as_list(messages)
        if not messages:
            return []
        delay = self._delay(delay)
        return self._run(statements.send_batch(queue, messages, headers, delay), conn)

    def send_once(
        self,
        queue: str,
        message: Any,
        dedup_key: str,
        headers: Any = None,
        delay: Seconds = 0,
        conn: C | None = None,
    ) -> SendOnceResult:
        """Send a message unless one of the same key was sent within the queue's dedup_window.

        Returns the msg_id of the first one, and whether this is it. Waits for the transaction of
        another sender with the same key.
        """
        return self._run(statements.send_once(queue, message, dedup_key, headers, delay), conn)

    def send_once_batch(
        self,
        queue: str,
        messages: Sequence[Any],
        dedup_keys: Sequence[str],
        headers: Sequence[Any] | None = None,
        delay: Seconds = 0,
        conn: C | None = None,
    ) -> list[SendOnceResult]:
        """Send messages, each unless one of its key was sent before; see send_once."""
        messages = statements.as_list(messages)
        if not messages:
            return []
        return self._run(
            statements.send_once_batch(queue, messages, dedup_keys, headers, delay), conn
        )

    # Reading

    @overload
    def read(
        self,
        queue: str,
        vt: Seconds | None = None,
        qty: Literal[1] = 1,
        conditional: dict[str, Any] | None = None,
        conn: C | None = None,
    ) -> Message | None: ...

    @overload
    def read(
        self,
        queue: str,
        vt: Seconds | None = None,
        qty: int | None = 1,
        conditional: dict[str, Any] | None = None,
        conn: C | None = None,
    ) -> Message | list[Message] | None: ...

    def read(
        self,
        queue: str,
        vt: Seconds | None = None,
        qty: int | None = 1,
        conditional: dict[str, Any] | None = None,
        conn: C | None = None,
    ) -> Message | list[Message] | None:
        """Lease visible messages for vt seconds: one or None, and a list when qty is not 1.

        `vt` is the client's when it is None, a `qty` of None is no limit. With `conditional` only
        messages that contain that JSON are taken, and finding them takes a search. See read_batch
        for a list of any length.

            >>> message = queue.read("jobs", vt=30)
            >>> message.message, message.read_ct
            ({'id': 1}, 1)
        """
        found = self._run(statements.read(queue, self._vt(vt), qty, conditional), conn)
        return _one_or_all(found, qty)

    def read_batch(
        self,
        queue: str,
        vt: Seconds | None = None,
        batch_size: int | None = 1,
        conn: C | None = None,
    ) -> list[Message]:
        """Lease up to batch_size visible messages for vt seconds, in msg_id order."""
        return self._run(statements.read(queue, self._vt(vt), batch_size), conn)

    def read_with_poll(
        self,
        queue: str,
        vt: Seconds | None = None,
        qty: int | None = 1,
        max_poll_seconds: int | None = 5,
        poll_interval_ms: int | None = 100,
        conditional: dict[str, Any] | None = None,
        conn: C | None = None,
    ) -> list[Message]:
        """Lease visible messages, and look again until max_poll_seconds are over if none are.

        The transaction stays open meanwhile.
        """
        return self._run(
            statements.read_with_poll(
                queue, self._vt(vt), qty, max_poll_seconds, poll_interval_ms, conditional
            ),
            conn,
        )

    def read_grouped(
        self, queue: str, vt: Seconds | None = None, qty: int | None = 1, conn: C | None = None
    ) -> list[Message]:
        """Lease messages of FIFO groups, in msg_id order: the oldest group's first, without gaps.

        A group, the header x-pgmq-group, gives nothing while its first message is in use.
        """
        return self._run(statements.read_grouped(queue, self._vt(vt), qty), conn)

    def read_grouped_rr(
        self, queue: str, vt: Seconds | None = None, qty: int | None = 1, conn: C | None = None
    ) -> list[Message]:
        """Lease messages of FIFO groups in turns: the first of every group, then the second."""
        return self._run(statements.read_grouped_rr(queue, self._vt(vt), qty), conn)

    def read_grouped_head(
        self, queue: str, vt: Seconds | None = None, qty: int | None = 1, conn: C | None = None
    ) -> list[Message]:
        """Lease the first message of each of up to qty free FIFO groups."""
        return self._run(statements.read_grouped_head(queue, self._vt(vt), qty), conn)

    def read_grouped_with_poll(
        self,
        queue: str,
        vt: Seconds | None = None,
        qty: int | None = 1,
        max_poll_seconds: int | None = 5,
        poll_interval_ms: int | None = 100,
        conn: C | None = None,
    ) -> list[Message]:
        """Do as read_grouped, and look again until max_poll_seconds are over if nothing is free."""
        return self._run(
            statements.read_grouped_with_poll(
                queue, self._vt(vt), qty, max_poll_seconds, poll_interval_ms
            ),
            conn,
        )

    def read_grouped_rr_with_poll(
        self,
        queue: str,
        vt: Seconds | None = None,
        qty: int | None = 1,
        max_poll_seconds: int | None = 5,
        poll_interval_ms: int | None = 100,
        conn: C | None = None,
    ) -> list[Message]:
        """Do as read_grouped_rr, and look again until max_poll_seconds are over."""
        return self._run(
            statements.read_grouped_rr_with_poll(
                queue, self._vt(vt), qty, max_poll_seconds, poll_interval_ms
            ),
            conn,
        )

    def read_grouped_head_with_poll(
        self,
        queue: str,
        vt: Seconds | None = None,
        qty: int | None = 1,
        max_poll_seconds: int | None = 5,
        poll_interval_ms: int | None = 100,
        conn: C | None = None,
    ) -> list[Message]:
        """Do as read_grouped_head, and look again until max_poll_seconds are over."""
        return self._run(
            statements.read_grouped_head_with_poll(
                queue, self._vt(vt), qty, max_poll_seconds, poll_interval_ms
            ),
            conn,
        )

    def read_group(
        self,
        queue: str,
        group_name: str | None,
        vt: Seconds | None = None,
        qty: int | None = 1,
        conn: C | None = None,
    ) -> list[Message]:
        """Lease the first messages of one FIFO group; None is the group of those without one."""
        return self._run(statements.read_group(queue, group_name, self._vt(vt), qty), conn)

    def read_fair(
        self, queue: str, vt: Seconds | None = None, qty: int | None = 1, conn: C | None = None
    ) -> list[Message]:
        """Lease messages of groups in turns; needs create_fair_index.

        Others of a group may be leased meanwhile, unlike with read_grouped_rr.
        """
        return self._run(statements.read_fair(queue, self._vt(vt), qty), conn)

    def read_fair_with_poll(
        self,
        queue: str,
        vt: Seconds | None = None,
        qty: int | None = 1,
        max_poll_seconds: int | None = 5,
        poll_interval_ms: int | None = 100,
        conn: C | None = None,
    ) -> list[Message]:
        """Do as read_fair, and look again until max_poll_seconds are over."""
        return self._run(
            statements.read_fair_with_poll(
                queue, self._vt(vt), qty, max_poll_seconds, poll_interval_ms
            ),
            conn,
        )

    def read_any(
        self,
        queue_names: Sequence[str],
        vt: Seconds | None = None,
        qty: int | None = 1,
        conn: C | None = None,
    ) -> list[QueueMessage]:
        """Lease messages of several queues, those of the first one before the others'."""
        return self._run(statements.read_any(queue_names, self._vt(vt), qty), conn)

    @overload
    def pop(self, queue: str, qty: Literal[1] = 1, conn: C | None = None) -> Message | None: ...

    @overload
    def pop(
        self, queue: str, qty: int | None = 1, conn: C | None = None
    ) -> Message | list[Message] | None: ...

    def pop(
        self, queue: str, qty: int | None = 1, conn: C | None = None
    ) -> Message | list[Message] | None:
        """Read and delete at once: one message or None, and a list when qty is not 1."""
        return _one_or_all(self._run(statements.pop(queue, qty), conn), qty)

    def peek(
        self,
        queue: str,
        qty: int | None = 1,
        conditional: dict[str, Any] | None = None,
        conn: C | None = None,
    ) -> list[Message]:
        """Return the messages that a read would lease, without leasing, locking or counting."""
        return self._run(statements.peek(queue, qty, conditional), conn)

    def get(self, queue: str, msg_id: int, conn: C | None = None) -> Message | None:
        """Return one message as it lies in the queue, visible or not; None when it is not there."""
        return self._run(statements.get(queue, msg_id), conn)

    def next_visible_at(self, queue: str, conn: C | None = None) -> datetime | None:
        """Return when the next message is visible; None when the queue is empty.

        A time that is not in the future means that one is visible now.
        """
        return self._run(statements.next_visible_at(queue), conn)

    # Acknowledging

    def delete(self, queue: str, msg_id: int, conn: C | None = None) -> bool:
        """Remove a message, leased or not; False when it is not there."""
        return self._run(statements.delete(queue, msg_id), conn)

    def delete_batch(self, queue: str, msg_ids: Sequence[int], conn: C | None = None) -> list[int]:
        """Remove messages and return the msg_ids of those that were there."""
        return self._run(statements.delete_batch(queue, msg_ids), conn)

    def archive(self, queue: str, msg_id: int, conn: C | None = None) -> bool:
        """Move a message to the queue's archive; False when it is not there."""
        return self._run(statements.archive(queue, msg_id), conn)

    def archive_batch(self, queue: str, msg_ids: Sequence[int], conn: C | None = None) -> list[int]:
        """Move messages to the archive and return the msg_ids of those that were there."""
        return self._run(statements.archive_batch(queue, msg_ids), conn)

    @overload
    def set_vt(
        self, queue: str, msg_id: int, vt: Delay, conn: C | None = None
    ) -> Message | None: ...

    @overload
    def set_vt(
        self, queue: str, msg_id: Sequence[int], vt: Delay, conn: C | None = None
    ) -> list[Message]: ...

    def set_vt(
        self, queue: str, msg_id: int | Sequence[int], vt: Delay, conn: C | None = None
    ) -> Message | list[Message] | None:
        """Make a message, or several, visible vt seconds from now or at a time.

        Returns the message or None, and for several a list of those that are there.
        """
        if statements.is_one(msg_id):
            return self._run(statements.set_vt(queue, msg_id, vt), conn)
        several = cast("Sequence[int]", msg_id)
        return self._run(statements.set_vt_batch(queue, several, vt), conn)

    def ack(self, queue: str, msg_id: int, read_ct: int, conn: C | None = None) -> bool:
        """Acknowledge a message: remove it if its lease is still the caller's.

        False when it was read again meanwhile or is gone: then roll back what was done for it.

            >>> message = queue.read("jobs", vt=30)
            >>> queue.ack("jobs", message.msg_id, message.read_ct)
            True
            >>> queue.ack("jobs", message.msg_id, message.read_ct)
            False
        """
        return self._run(statements.ack(queue, msg_id, read_ct), conn)

    def ack_batch(
        self,
        queue: str,
        msg_ids: Sequence[int],
        read_cts: Sequence[int],
        conn: C | None = None,
    ) -> list[int]:
        """Acknowledge messages, each with its read_ct; return those still the caller's."""
        return self._run(statements.ack_batch(queue, msg_ids, read_cts), conn)

    def nack(
        self,
        queue: str,
        msg_id: int,
        read_ct: int,
        delay: Seconds | None = None,
        error: str | None = None,
        conn: C | None = None,
    ) -> bool:
        """Return a leased message, visible after delay seconds; False for a lost lease.

        Without a delay it is the queue's policy that says when. An error is kept in the header
        x-pgmq-error; without `conn`, characters that the database has not are escaped.
        """
        return self._returned(
            lambda text: statements.nack(queue, msg_id, read_ct, delay, text), error, conn
        )

    def nack_batch(
        self,
        queue: str,
        msg_ids: Sequence[int],
        read_cts: Sequence[int],
        delay: Seconds | None = None,
        error: str | None = None,
        conn: C | None = None,
    ) -> list[int]:
        """Return leased messages; the result are the msg_ids that were still the caller's."""
        return self._returned(
            lambda text: statements.nack_batch(queue, msg_ids, read_cts, delay, text), error, conn
        )

    def extend(
        self,
        queue: str,
        msg_id: int,
        read_ct: int,
        vt: Seconds | None = None,
        conn: C | None = None,
    ) -> bool:
        """Keep a leased message for vt seconds from now; False for a lost lease."""
        return self._run(statements.extend(queue, msg_id, read_ct, self._vt(vt)), conn)

    def extend_batch(
        self,
        queue: str,
        msg_ids: Sequence[int],
        read_cts: Sequence[int],
        vt: Seconds | None = None,
        conn: C | None = None,
    ) -> list[int]:
        """Keep leased messages for vt seconds; return those that were still the caller's."""
        return self._run(statements.extend_batch(queue, msg_ids, read_cts, self._vt(vt)), conn)

    def ack_and_read(
        self,
        queue: str,
        vt: Seconds | None = None,
        qty: int | None = 1,
        msg_ids: Sequence[int] = (),
        read_cts: Sequence[int] = (),
        conn: C | None = None,
    ) -> list[Message]:
        """Acknowledge the last batch and lease the next in one statement.

        A stale lease is passed over without a word.
        """
        return self._run(statements.ack_and_read(queue, self._vt(vt), qty, msg_ids, read_cts), conn)

    def amend(
        self,
        queue: str,
        msg_id: int,
        message: Any = None,
        headers: dict[str, Any] | None = None,
        conn: C | None = None,
    ) -> bool:
        """Replace the payload or headers of a message that nobody has leased; None leaves them.

        False when somebody has it, or it is gone. Its group and its key of deduplication stay.
        """
        return self._run(statements.amend(queue, msg_id, message, headers), conn)

    # Streams

    def create_stream(
        self,
        stream: str,
        segment_interval: int | Duration = "1 day",
        retention_interval: int | Duration | None = "7 days",
        conn: C | None = None,
    ) -> None:
        """Create a stream, which groups of consumers read; nothing happens when it is there.

        The intervals are durations, or numbers of messages: of a segment, which is what retention
        drops at a time, and of what it keeps. None keeps everything. Send to a stream as to a
        queue, but without delays.
        """
        self._run(statements.create_stream(stream, segment_interval, retention_interval), conn)

    def create_group(
        self,
        stream: str,
        group: str,
        start: Start = "latest",
        lanes: int = 1,
        max_deliveries: int | None = None,
        dead_letter_queue: str | None = None,
        keep_unread: bool = True,
        conn: C | None = None,
    ) -> None:
        """Create a group of consumers, which reads a stream once; nothing happens when it is there.

        It begins at "earliest", "latest", a msg_id, or at a time, which needs a time zone (else a
        ValueError is raised). `lanes`, 1 to 64, is how many consumers work at once. A message that
        has failed max_deliveries times goes to the dead-letter queue, which is created if it is
        missing. keep_unread: retention waits for this group. Only the stream's owner may call it.

            >>> queue.create_stream("orders")
            >>> queue.create_group("orders", "billing", "earliest", lanes=4)
            >>> from datetime import datetime, timedelta, timezone
            >>> yesterday = datetime.now(timezone.utc) - timedelta(days=1)
            >>> queue.create_group("orders", "stock", yesterday)
        """
        self._run(
            statements.create_group(
                stream, group, start, lanes, max_deliveries, dead_letter_queue, keep_unread
            ),
            conn,
        )

    def alter_group(
        self,
        stream: str,
        group: str,
        max_deliveries: int | None = None,
        dead_letter_queue: str | None = None,
        keep_unread: bool | None = None,
        clear: Sequence[str] = (),
        conn: C | None = None,
    ) -> None:
        """Change options of a group; what is None stays as it is, `clear` names those to take away.

        These are "max_deliveries" and "dead_letter_queue". Only the stream's owner may call it.
        """
        self._run(
            statements.alter_group(
                stream, group, max_deliveries, dead_letter_queue, keep_unread, clear
            ),
            conn,
        )

    def drop_group(self, stream: str, group: str, conn: C | None = None) -> bool:
        """Drop a group of a stream; False when there is none. Only the stream's owner may."""
        return self._run(statements.drop_group(stream, group), conn)

    def list_groups(self, stream: str | None = None, conn: C | None = None) -> list[StreamGroup]:
        """Return the groups of a stream, or of all, that one may read as or monitor."""
        return self._run(statements.list_groups(stream), conn)

    def list_lanes(self, stream: str, conn: C | None = None) -> list[StreamLane]:
        """Return the lanes of all groups of a stream, and who has leased them."""
        return self._run(statements.list_lanes(stream), conn)

    def seek(self, stream: str, group: str, start: Start, conn: C | None = None) -> int:
        """Have a group read from somewhere else, to replay or to skip; return the msg_id of that.

        `start` is as in create_group. All leases of the group end: commits of batches that were
        fetched before return False. Waits for transactions that read as the group.
        """
        return self._run(statements.seek(stream, group, start), conn)

    def fetch(
        self,
        stream: str,
        group: str,
        vt: Seconds | None = None,
        qty: int = 100,
        conn: C | None = None,
    ) -> StreamBatch | None:
        """Lease the next messages of a lane for vt seconds: a batch of up to qty, or None.

        None: there is nothing new, or every lane is leased. Nobody else gets messages of that lane
        until the batch is committed or released, or the time is up. Commit in the transaction of
        `conn`, and fetch, work and commit happen together or not at all.

        Raises an error for an unknown group, without grant_fetch, and in a REPEATABLE READ or
        SERIALIZABLE transaction.

            >>> queue.create_stream("orders")
            >>> queue.create_group("orders", "billing")
            >>> msg_ids = queue.send_batch("orders", [{"id": 1}, {"id": 2}])
            >>> batch = queue.fetch("orders", "billing", vt=30)
            >>> [message.message for message in batch]
            [{'id': 1}, {'id': 2}]
            >>> queue.commit("orders", "billing", *batch.lease)
            True
        """
        return self._run(statements.fetch(stream, group, self._vt(vt), qty), conn)

    def fetch_with_poll(
        self,
        stream: str,
        group: str,
        vt: Seconds | None = None,
        qty: int = 100,
        max_poll_seconds: int | None = 5,
        poll_interval_ms: int | None = 100,
        conn: C | None = None,
    ) -> StreamBatch | None:
        """Do as fetch, and look again until max_poll_seconds are over if there is nothing.

        The transaction stays open meanwhile.
        """
        return self._run(
            statements.fetch_with_poll(
                stream, group, self._vt(vt), qty, max_poll_seconds, poll_interval_ms
            ),
            conn,
        )

    def commit(
        self,
        stream: str,
        group: str,
        lane: int,
        epoch: int,
        up_to: int | None = None,
        conn: C | None = None,
    ) -> bool:
        """Commit a batch, so that it is not handed out again; False for a lost lease.

        With `up_to` only the messages up to that msg_id are committed, and the lease of the rest
        goes on. When it is False nothing was changed: roll back what was done for the batch. Of a
        transaction of `conn`, committing it is still up to the caller.
        """
        return self._run(statements.commit(stream, group, lane, epoch, up_to), conn)

    def commit_and_fetch(
        self,
        stream: str,
        group: str,
        lane: int | None = None,
        epoch: int | None = None,
        vt: Seconds | None = None,
        qty: int = 100,
        conn: C | None = None,
    ) -> StreamBatch | None:
        """Commit the last batch and lease the next one, of whatever lane, in one statement.

        A lane of None commits nothing, as in the beginning. For a lost lease psycopg's
        ObjectNotInPrerequisiteState is raised, and nothing is leased.
        """
        return self._run(
            statements.commit_and_fetch(stream, group, lane, epoch, self._vt(vt), qty), conn
        )

    def release(
        self,
        stream: str,
        group: str,
        lane: int,
        epoch: int,
        delay: Seconds = 0,
        error: str | None = None,
        conn: C | None = None,
    ) -> bool:
        """Give a batch back, to be handed out after delay seconds; False for a lost lease.

        What was committed of it stays so. With an error it has failed: it comes in smaller pieces,
        and a message that has failed alone max_deliveries times is a dead letter. Without one it
        counts as untouched.
        """
        return self._returned(
            lambda text: statements.release(stream, group, lane, epoch, delay, text), error, conn
        )

    def reject(
        self,
        stream: str,
        group: str,
        lane: int,
        epoch: int,
        msg_id: int,
        error: str | None = None,
        conn: C | None = None,
    ) -> bool:
        """Copy a message of a batch to the group's dead-letter queue, and go on after it.

        What comes before it is committed too, and the lease of the rest goes on. False for a lost
        lease. Raises an error when the group has no dead-letter queue.
        """
        return self._returned(
            lambda text: statements.reject(stream, group, lane, epoch, msg_id, text), error, conn
        )

    def extend_lease(
        self,
        stream: str,
        group: str,
        lane: int,
        epoch: int,
        vt: Seconds | None = None,
        conn: C | None = None,
    ) -> bool:
        """Keep a batch for vt seconds from now; False for a lost lease."""
        return self._run(statements.extend_lease(stream, group, lane, epoch, self._vt(vt)), conn)

    # Policies

    def set_policy(
        self,
        queue: str,
        max_receives: int | None = None,
        dead_letter_queue: str | None = None,
        retry_delay: Duration | None = None,
        retry_delay_max: Duration | None = None,
        retry_jitter: float = 0,
        message_ttl: Duration | None = None,
        archive_retention: Duration | None = None,
        dedup_window: Duration | None = None,
        max_in_flight: int | None = None,
        ack_archives: bool = False,
        rate_limit: int | None = None,
        rate_interval: Duration | None = None,
        rate_burst: int | None = None,
        max_in_flight_per_group: int | None = None,
        dedup_scope: str | None = None,
        priorities: bool = False,
        priority_ageing: Duration | None = None,
        conn: C | None = None,
    ) -> None:
        """Set the whole policy of a queue; what is None is off.

        The dead-letter queue is created if it is missing.

            >>> from datetime import timedelta
            >>> queue.set_policy("jobs", 5, "dead", retry_delay=timedelta(seconds=10))
            >>> (queue.get_policy("jobs")).dead_letter_queue
            'dead'
        """
        self._run(
            statements.set_policy(
                queue,
                max_receives,
                dead_letter_queue,
                retry_delay,
                retry_delay_max,
                retry_jitter,
                message_ttl,
                archive_retention,
                dedup_window,
                max_in_flight,
                ack_archives,
                rate_limit,
                rate_interval,
                rate_burst,
                max_in_flight_per_group,
                dedup_scope,
                priorities,
                priority_ageing,
            ),
            conn,
        )

    def alter_policy(
        self,
        queue: str,
        max_receives: int | None = None,
        dead_letter_queue: str | None = None,
        retry_delay: Duration | None = None,
        retry_delay_max: Duration | None = None,
        retry_jitter: float | None = None,
        message_ttl: Duration | None = None,
        archive_retention: Duration | None = None,
        dedup_window: Duration | None = None,
        max_in_flight: int | None = None,
        ack_archives: bool | None = None,
        rate_limit: int | None = None,
        rate_interval: Duration | None = None,
        rate_burst: int | None = None,
        max_in_flight_per_group: int | None = None,
        dedup_scope: str | None = None,
        priorities: bool | None = None,
        priority_ageing: Duration | None = None,
        clear: Sequence[str] = (),
        conn: C | None = None,
    ) -> None:
        """Change options of a queue's policy; what is None stays as it is.

        `clear` names options to turn off.

            >>> queue.set_policy("jobs", 5, "dead", max_in_flight=10)
            >>> queue.alter_policy("jobs", 3, clear=["max_in_flight"])
            >>> policy = queue.get_policy("jobs")
            >>> policy.max_receives, policy.dead_letter_queue, policy.max_in_flight
            (3, 'dead', None)
        """
        self._run(
            statements.alter_policy(
                queue,
                max_receives,
                dead_letter_queue,
                retry_delay,
                retry_delay_max,
                retry_jitter,
                message_ttl,
                archive_retention,
                dedup_window,
                max_in_flight,
                ack_archives,
                rate_limit,
                rate_interval,
                rate_burst,
                max_in_flight_per_group,
                dedup_scope,
                priorities,
                priority_ageing,
                clear,
            ),
            conn,
        )

    def get_policy(self, queue: str, conn: C | None = None) -> Policy:
        """Return the policy of a queue; of one without, everything is None or off."""
        return self._run(statements.get_policy(queue), conn)

    def pause(
        self, queue: str, reads: bool = True, sends: bool = False, conn: C | None = None
    ) -> None:
        """Have reads of a queue or a stream give nothing, or its sends fail, until resume.

        Leased messages can be acknowledged. Raises psycopg.errors.ObjectNotInPrerequisiteState for
        what is sent while sends are paused.

        Example:
            >>> queue.pause("jobs")
            >>> queue.read("jobs")
            >>> queue.resume("jobs")
            True
        """
        self._run(statements.pause(queue, reads, sends), conn)

    def resume(self, queue: str, conn: C | None = None) -> bool:
        """End the pause of a queue, and wake who waits for it; False when it was not paused."""
        return self._run(statements.resume(queue), conn)

    def list_paused(self, conn: C | None = None) -> list[Pause]:
        """List the queues that are paused."""
        return self._run(statements.list_paused(), conn)

    def redrive(
        self,
        dead_letter_queue: str,
        queue: str | None = None,
        qty: int | None = None,
        conditional: dict[str, Any] | None = None,
        rate: float | None = None,
        conn: C | None = None,
    ) -> int:
        """Put dead letters back, oldest first, into the queue they came from, and count them.

        `queue` names another one instead; a `qty` of None is all. With `conditional`, only those
        that contain it go. With a `rate`, so many become visible a second in each queue.
        """
        return self._run(statements.redrive(dead_letter_queue, queue, qty, conditional, rate), conn)

    def requeue(
        self,
        queue: str,
        msg_ids: Sequence[int] | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        qty: int | None = None,
        conditional: dict[str, Any] | None = None,
        rate: float | None = None,
        keep: bool = False,
        conn: C | None = None,
    ) -> int:
        """Take messages out of the archive, send them again as new ones, and count them.

        Those with the `msg_ids`, or archived from `since` on and before `until` (with a time zone,
        else a ValueError is raised); one of the three must be given. With `keep`, the archive keeps
        them. `qty`, `conditional` and `rate` are as for redrive.

            >>> queue.archive("jobs", queue.send("jobs", {"id": 1}))
            True
            >>> from datetime import datetime, timedelta, timezone
            >>> an_hour_ago = datetime.now(timezone.utc) - timedelta(hours=1)
            >>> queue.requeue("jobs", since=an_hour_ago, rate=10)
            1
        """
        return self._run(
            statements.requeue(queue, msg_ids, since, until, qty, conditional, rate, keep), conn
        )

    def move(self, queue: str, msg_id: int, to_queue: str, conn: C | None = None) -> int | None:
        """Move a message to another queue and return its msg_id there; None when it is gone."""
        return self._run(statements.move(queue, msg_id, to_queue), conn)

    def maintain(self, queue: str | None = None, conn: C | None = None) -> int:
        """Do the upkeep of a queue, or of all; return how many messages and keys it took away."""
        return self._run(statements.maintain(queue), conn)

    # Schedules

    def schedule(
        self,
        name: str,
        queue: str,
        cron: str | timedelta,
        message: Any,
        headers: Any = None,
        timezone: str = "UTC",
        catch_up: bool = False,
        conn: C | None = None,
    ) -> datetime:
        """Send a message to a queue again and again, and return the first time.

        `cron` has five fields, for the clocks of `timezone`, or is an interval. A schedule of the
        same name is replaced. Calls of the queue send what is due: see schedules.md. Of missed
        messages the last is sent, with catch_up all. Only the queue's owner may call this.

            >>> cron = "30 9 * * mon-fri"
            >>> first = queue.schedule("report", "jobs", cron, 1, timezone="Europe/Berlin")
            >>> from datetime import timedelta
            >>> first = queue.schedule("beat", "jobs", timedelta(seconds=30), "beat")
            >>> queue.unschedule("beat")
            True
        """
        return self._run(
            statements.schedule(name, queue, cron, message, headers, timezone, catch_up), conn
        )

    def unschedule(self, name: str, conn: C | None = None) -> bool:
        """End a schedule; False when there is none of this name. Only the queue's owner may."""
        return self._run(statements.unschedule(name), conn)

    def list_schedules(self, queue: str | None = None, conn: C | None = None) -> list[Schedule]:
        """Return the schedules of a queue, or of all."""
        return self._run(statements.list_schedules(queue), conn)

    def run_schedule(self, name: str, conn: C | None = None) -> int:
        """Send the message of a schedule now, beside those that are due, and return its id."""
        return self._run(statements.run_schedule(name), conn)

    def pause_schedule(self, name: str, conn: C | None = None) -> bool:
        """Have a schedule send nothing until it is resumed; False if it was paused before.

        Declaring it again keeps the pause. `list_schedules` shows it in `paused_at`.
        """
        return self._run(statements.pause_schedule(name), conn)

    def resume_schedule(self, name: str, conn: C | None = None) -> bool:
        """End the pause of a schedule; False if it was not paused.

        What was due during the pause counts as missed: the last is sent, or with `catch_up` all.
        """
        return self._run(statements.resume_schedule(name), conn)

    # FIFO groups

    def create_fair_index(self, queue: str, conn: C | None = None) -> None:
        """Index a queue by group, for read_fair; blocks its senders meanwhile."""
        self._run(statements.create_fair_index(queue), conn)

    def create_fifo_index(self, queue: str, conn: C | None = None) -> None:
        """Index a queue by FIFO group; blocks its senders meanwhile."""
        self._run(statements.create_fifo_index(queue), conn)

    def create_fifo_indexes_all(self, conn: C | None = None) -> None:
        """Index every queue by FIFO group."""
        self._run(statements.create_fifo_indexes_all(), conn)

    # Topics

    def validate_routing_key(self, routing_key: str, conn: C | None = None) -> bool:
        """Return whether send_topic takes a routing key."""
        return self._run(statements.validate_routing_key(routing_key), conn)

    def validate_topic_pattern(self, pattern: str, conn: C | None = None) -> bool:
        """Return whether bind_topic takes a pattern."""
        return self._run(statements.validate_topic_pattern(pattern), conn)

    def bind_topic(self, pattern: str, queue_name: str, conn: C | None = None) -> None:
        """Have send_topic send to a queue what has a routing key that matches the pattern."""
        self._run(statements.bind_topic(pattern, queue_name), conn)

    def unbind_topic(self, pattern: str, queue_name: str, conn: C | None = None) -> bool:
        """Undo bind_topic; False when there was no such binding."""
        return self._run(statements.unbind_topic(pattern, queue_name), conn)

    def list_topic_bindings(
        self, queue_name: str | None = None, conn: C | None = None
    ) -> list[TopicBinding]:
        """Return the bindings of bind_topic, of one queue or of all, the latest first."""
        return self._run(statements.list_topic_bindings(queue_name), conn)

    def test_routing(self, routing_key: str, conn: C | None = None) -> list[RoutingResult]:
        """Return the bindings that a routing key matches, without sending anything."""
        return self._run(statements.test_routing(routing_key), conn)

    def send_topic(
        self,
        routing_key: str,
        message: Any,
        headers: Any = None,
        delay: Seconds | None = None,
        conn: C | None = None,
    ) -> int:
        """Send a message to every queue with a matching binding and return their number."""
        return self._run(statements.send_topic(routing_key, message, headers, delay), conn)

    def send_batch_topic(
        self,
        routing_key: str,
        messages: Sequence[Any],
        headers: Sequence[Any] | None = None,
        delay: Delay | None = None,
        conn: C | None = None,
    ) -> list[BatchTopicResult]:
        """Send messages to every queue with a matching binding and return the copies."""
        messages = statements.as_list(messages)
        if not messages:
            return []
        return self._run(statements.send_batch_topic(routing_key, messages, headers, delay), conn)

    # Exchanges

    def create_exchange(self, exchange_name: str, conn: C | None = None) -> None:
        """Create an exchange; nothing happens when it is there."""
        self._run(statements.create_exchange(exchange_name), conn)

    def drop_exchange(self, exchange_name: str, conn: C | None = None) -> bool:
        """Drop an exchange with its bindings; False when there is none."""
        return self._run(statements.drop_exchange(exchange_name), conn)

    def bind(
        self,
        exchange_name: str,
        queue_name: str,
        pattern: str | None,
        kind: str = "topic",
        conn: C | None = None,
    ) -> None:
        """Have an exchange send to a queue what is published with a matching routing key.

        `kind` is topic, regex, direct or fanout, whose pattern is None.
        """
        self._run(statements.bind(exchange_name, queue_name, pattern, kind), conn)

    def unbind(
        self,
        exchange_name: str,
        queue_name: str,
        pattern: str | None,
        kind: str = "topic",
        conn: C | None = None,
    ) -> bool:
        """Undo bind with the same arguments; False when there was no such binding."""
        return self._run(statements.unbind(exchange_name, queue_name, pattern, kind), conn)

    def bind_channel(
        self,
        exchange_name: str,
        channel: str,
        pattern: str | None,
        kind: str = "topic",
        conn: C | None = None,
    ) -> None:
        """Have an exchange announce on a NOTIFY channel what is published with a matching key."""
        self._run(statements.bind_channel(exchange_name, channel, pattern, kind), conn)

    def unbind_channel(
        self,
        exchange_name: str,
        channel: str,
        pattern: str | None,
        kind: str = "topic",
        conn: C | None = None,
    ) -> bool:
        """Undo bind_channel with the same arguments; False when there was no such binding."""
        return self._run(statements.unbind_channel(exchange_name, channel, pattern, kind), conn)

    def list_bindings(
        self, exchange_name: str | None = None, conn: C | None = None
    ) -> list[Binding]:
        """Return the bindings of an exchange, or of all."""
        return self._run(statements.list_bindings(exchange_name), conn)

    def publish(
        self,
        exchange_name: str,
        routing_key: str,
        message: Any,
        headers: Any = None,
        delay: Seconds = 0,
        conn: C | None = None,
    ) -> int:
        """Send a message to every queue and channel of an exchange that a routing key matches.

        Returns their number, which may be 0.

            >>> queue.create_exchange("events")
            >>> queue.bind("events", "jobs", "order.#")
            >>> queue.publish("events", "order.paid", {"id": 4})
            1
        """
        return self._run(
            statements.publish(exchange_name, routing_key, message, headers, delay), conn
        )

    # Waking consumers

    def enable_notify(
        self, queue: str, throttle_interval_ms: int = 250, conn: C | None = None
    ) -> None:
        """Have inserts announced on the channel that notify_listener listens to.

        None is announced within so many milliseconds after another; 0 is no throttle.
        """
        self._run(statements.enable_notify(queue, throttle_interval_ms), conn)

    def disable_notify(self, queue: str, conn: C | None = None) -> None:
        """Undo enable_notify."""
        self._run(statements.disable_notify(queue), conn)

    def update_notify(self, queue: str, throttle_interval_ms: int, conn: C | None = None) -> None:
        """Change the interval of enable_notify, which must have been called."""
        self._run(statements.update_notify(queue, throttle_interval_ms), conn)

    def list_notify_throttles(self, conn: C | None = None) -> list[NotificationThrottle]:
        """Return the queues that enable_notify was called for."""
        return self._run(statements.list_notify_throttles(), conn)

    def enable_wakeups(self, queue: str, conn: C | None = None) -> None:
        """Let consumers wait for a queue by await_."""
        self._run(statements.enable_wakeups(queue), conn)

    def disable_wakeups(self, queue: str, conn: C | None = None) -> None:
        """Undo enable_wakeups."""
        self._run(statements.disable_wakeups(queue), conn)

    def await_(self, queue: str, seconds: int = 5, *, conn: C) -> datetime:
        """Have the session of conn told of messages, and return when to look again at the latest.

        For a consumer that found a queue empty. Then commit, look once more, and only then wait
        for a notification of conn or for that time.
        """
        return self._run(statements.await_(queue, seconds), conn)

    # Push consumers

    def enable_push(self, queue: str, conn: C | None = None) -> None:
        """Prepare a queue for open_channel."""
        self._run(statements.enable_push(queue), conn)

    def disable_push(self, queue: str, conn: C | None = None) -> None:
        """Undo enable_push."""
        self._run(statements.disable_push(queue), conn)

    def open_channel(
        self, queue: str, maximum_messages: int = 1, vt: Seconds | None = None, *, conn: C
    ) -> str:
        """Have messages of a queue pushed to the session of conn; return the channel's name.

        They come as notifications of conn, leased for vt seconds, up to maximum_messages at a time.
        """
        return self._run(statements.open_channel(queue, maximum_messages, self._vt(vt)), conn)

    def close_channel(self, channel: str | None = None, *, conn: C) -> int:
        """Close a channel that the session of conn has opened, or all of them; count them."""
        return self._run(statements.close_channel(channel), conn)

    def close_dead_channels(self, conn: C | None = None) -> int:
        """Close the channels whose sessions are gone, push what is visible, and count them."""
        return self._run(statements.close_dead_channels(), conn)

    def list_channels(self, conn: C | None = None) -> list[Channel]:
        """Return the channels on which messages are pushed."""
        return self._run(statements.list_channels(), conn)

    # Privileges

    def grant_send(self, queue: str, role: str, conn: C | None = None) -> None:
        """Let a role send to a queue; it sees no messages."""
        self._run(statements.grant_send(queue, role), conn)

    def grant_consume(self, queue: str, role: str, conn: C | None = None) -> None:
        """Let a role read a queue and acknowledge its messages."""
        self._run(statements.grant_consume(queue, role), conn)

    def grant_requeue(self, queue: str, role: str, conn: C | None = None) -> None:
        """Let a role look into the archive of a queue, and requeue its messages."""
        self._run(statements.grant_requeue(queue, role), conn)

    def grant_fetch(self, stream: str, group: str, role: str, conn: C | None = None) -> None:
        """Let a role read a stream as one group: fetch, commit, release, reject, extend, seek."""
        self._run(statements.grant_fetch(stream, group, role), conn)

    def grant_monitor(self, queue: str, role: str, conn: C | None = None) -> None:
        """Let a role see the metrics of a queue, and no message."""
        self._run(statements.grant_monitor(queue, role), conn)

    def grant_maintain(self, queue: str, role: str, conn: C | None = None) -> None:
        """Let a scheduler's role maintain a queue."""
        self._run(statements.grant_maintain(queue, role), conn)

    def grant_create(self, role: str, conn: C | None = None) -> None:
        """Let a role create queues, which are then its own."""
        self._run(statements.grant_create(role), conn)

    def revoke_all(self, queue: str | None, role: str, conn: C | None = None) -> None:
        """Take every right to a queue (None: all that pgmq granted) from a role."""
        self._run(statements.revoke_all(queue, role), conn)

    # Metrics, and running it

    def metrics(self, queue: str, conn: C | None = None) -> QueueMetrics:
        """Return what a queue holds: exact up to 10,000 messages, estimated beyond."""
        return self._run(statements.metrics(queue), conn)

    def metrics_all(self, conn: C | None = None) -> list[QueueMetrics]:
        """Return the metrics of every queue."""
        return self._run(statements.metrics_all(), conn)

    def queue_stats(self, queue: str | None = None, conn: C | None = None) -> list[QueueStats]:
        """Return in which state the messages of a queue (None: of each) are, and totals."""
        return self._run(statements.queue_stats(queue), conn)

    def version(self, conn: C | None = None) -> str:
        """Return the version of pgmq that is installed in the database."""
        return self._run(statements.version(), conn)

    def recompile(self, queue: str, conn: C | None = None) -> bool:
        """See to it that a queue has today's functions; True when one was replaced."""
        return self._run(statements.recompile(queue), conn)

    def recompile_all(self, conn: C | None = None) -> int:
        """Create the functions of every queue anew and return the number of queues."""
        return self._run(statements.recompile_all(), conn)

    def pin(self, queue: str, conn: C | None = None) -> None:
        """Make single calls of a busy queue cheaper, for up to 32 that stay; for pgmq's owner."""
        self._run(statements.pin(queue), conn)

    def unpin(self, queue: str, conn: C | None = None) -> bool:
        """Undo pin; False for a queue that is not pinned."""
        return self._run(statements.unpin(queue), conn)

    def doctor(self, conn: C | None = None) -> list[Finding]:
        """Return what is wrong, or will be, and what to do about it; for a member of pg_monitor."""
        return self._run(statements.doctor(), conn)


def _one_or_all(found: list[Message], qty: int | None) -> Message | list[Message] | None:
    if qty != 1:
        return found
    return found[0] if found else None
