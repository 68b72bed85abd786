"""The asynchronous operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pgmq import _observing as observing
from pgmq import _sqlalchemy as rendering
from pgmq import _statements as statements
from pgmq_sqlalchemy._interval import checked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from pgmq._statements import Statement
    from pgmq.messages import Message, QueueMetrics

__all__ = ["AsyncOperation"]

T = TypeVar("T")


class AsyncOperation:
    """Calls in the transaction of a session, which is committed unless commit is False."""

    @staticmethod
    async def check_pgmq_ext_async(*, session: AsyncSession, commit: bool = True) -> None:
        """Create the extension unless pgmq is installed."""
        await _run(session, commit, statements.ensure_extension())

    @staticmethod
    async def check_pg_partman_ext_async(*, session: AsyncSession, commit: bool = True) -> None:
        """Create the extension pg_partman unless it is there."""
        await _run(session, commit, statements.ensure_partman())

    @staticmethod
    async def create_queue_async(
        queue_name: str, unlogged: bool = False, *, session: AsyncSession, commit: bool = True
    ) -> None:
        """Create a queue; nothing happens when it is there."""
        await _run(session, commit, statements.create_queue(queue_name, unlogged))

    @staticmethod
    async def create_partitioned_queue_async(
        queue_name: str,
        partition_interval: int | str,
        retention_interval: int | str,
        *,
        session: AsyncSession,
        commit: bool = True,
    ) -> None:
        """Create a queue whose table is partitioned, by numbers of messages or by time.

        Raises ValueError for what is no such number and no duration.
        """
        statement = statements.create_partitioned_queue(
            queue_name, checked(partition_interval), checked(retention_interval)
        )
        await _run(session, commit, statement)

    @staticmethod
    async def validate_queue_name_async(
        queue_name: str, *, session: AsyncSession, commit: bool = True
    ) -> None:
        """Raise the server's error unless a queue may have the name."""
        await _run(session, commit, statements.validate_queue_name(queue_name))

    @staticmethod
    async def drop_queue_async(
        queue: str, partitioned: bool = False, *, session: AsyncSession, commit: bool = True
    ) -> bool:
        """Drop a queue; False when there is none. `partitioned` means nothing any more."""
        return await _run(session, commit, statements.drop_queue(queue))

    @staticmethod
    async def list_queues_async(*, session: AsyncSession, commit: bool = True) -> list[str]:
        """Return the names of all queues."""
        queues = await _run(session, commit, statements.list_queues())
        return [queue.queue_name for queue in queues]

    @staticmethod
    async def send_async(
        queue_name: str,
        message: Any,
        delay: int = 0,
        *,
        session: AsyncSession,
        commit: bool = True,
    ) -> int:
        """Send a message, visible after delay seconds, and return its msg_id."""
        return await _run(session, commit, statements.send(queue_name, message, None, delay))

    @staticmethod
    async def send_batch_async(
        queue_name: str,
        messages: Sequence[Any],
        delay: int = 0,
        *,
        session: AsyncSession,
        commit: bool = True,
    ) -> list[int]:
        """Send messages, visible after delay seconds, and return their msg_ids."""
        statement = statements.send_batch(queue_name, messages, None, delay)
        return await _run(session, commit, statement)

    @staticmethod
    async def read_async(
        queue_name: str, vt: int, *, session: AsyncSession, commit: bool = True
    ) -> Message | None:
        """Lease a message for vt seconds; None when nothing is visible."""
        found = await _run(session, commit, statements.read(queue_name, vt, 1))
        return found[0] if found else None

    @staticmethod
    async def read_batch_async(
        queue_name: str,
        vt: int,
        batch_size: int = 1,
        *,
        session: AsyncSession,
        commit: bool = True,
    ) -> list[Message] | None:
        """Lease up to batch_size messages for vt seconds; None when nothing is visible."""
        return await _run(session, commit, statements.read(queue_name, vt, batch_size)) or None

    @staticmethod
    async def read_with_poll_async(
        queue_name: str,
        vt: int,
        qty: int = 1,
        max_poll_seconds: int = 5,
        poll_interval_ms: int = 100,
        *,
        session: AsyncSession,
        commit: bool = True,
    ) -> list[Message] | None:
        """Do as read_batch, and look again until max_poll_seconds are over."""
        statement = statements.read_with_poll(
            queue_name, vt, qty, max_poll_seconds, poll_interval_ms, None
        )
        return await _run(session, commit, statement) or None

    @staticmethod
    async def set_vt_async(
        queue_name: str, msg_id: int, vt: int, *, session: AsyncSession, commit: bool = True
    ) -> Message | None:
        """Make a message visible vt seconds from now; None when it is not there."""
        return await _run(session, commit, statements.set_vt(queue_name, msg_id, vt))

    @staticmethod
    async def pop_async(
        queue_name: str, *, session: AsyncSession, commit: bool = True
    ) -> Message | None:
        """Read and delete a message at once; None when nothing is visible."""
        found = await _run(session, commit, statements.pop(queue_name, 1))
        return found[0] if found else None

    @staticmethod
    async def delete_async(
        queue_name: str, msg_id: int, *, session: AsyncSession, commit: bool = True
    ) -> bool:
        """Remove a message; False when it is not there."""
        return await _run(session, commit, statements.delete(queue_name, msg_id))

    @staticmethod
    async def delete_batch_async(
        queue_name: str, msg_ids: Sequence[int], *, session: AsyncSession, commit: bool = True
    ) -> list[int]:
        """Remove messages and return the msg_ids of those that were there."""
        return await _run(session, commit, statements.delete_batch(queue_name, msg_ids))

    @staticmethod
    async def archive_async(
        queue_name: str, msg_id: int, *, session: AsyncSession, commit: bool = True
    ) -> bool:
        """Move a message to the archive; False when it is not there."""
        return await _run(session, commit, statements.archive(queue_name, msg_id))

    @staticmethod
    async def archive_batch_async(
        queue_name: str, msg_ids: Sequence[int], *, session: AsyncSession, commit: bool = True
    ) -> list[int]:
        """Move messages to the archive and return the msg_ids of those that were there."""
        return await _run(session, commit, statements.archive_batch(queue_name, msg_ids))

    @staticmethod
    async def purge_async(queue_name: str, *, session: AsyncSession, commit: bool = True) -> int:
        """Delete every message of a queue and return how many those were."""
        return await _run(session, commit, statements.purge(queue_name))

    @staticmethod
    async def metrics_async(
        queue_name: str, *, session: AsyncSession, commit: bool = True
    ) -> QueueMetrics | None:
        """Return what a queue holds."""
        return await _run(session, commit, statements.metrics(queue_name))

    @staticmethod
    async def metrics_all_async(
        *, session: AsyncSession, commit: bool = True
    ) -> list[QueueMetrics] | None:
        """Return the metrics of every queue; None when there is none."""
        return await _run(session, commit, statements.metrics_all()) or None


async def _run(session: AsyncSession, commit: bool, statement: Statement[T]) -> T:
    with observing.calling(statement) as call:
        text, parameters = rendering.render(call.statement)
        rows = await session.execute(text, parameters)
        call.result = result = rendering.decode(statement, rows)
    if commit:
        await session.commit()
    return result
