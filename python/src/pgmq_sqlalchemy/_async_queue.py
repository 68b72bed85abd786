"""The asynchronous methods of PGMQueue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pgmq_sqlalchemy._async_operation import AsyncOperation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from pgmq.messages import Message, QueueMetrics

__all__ = ["AsyncMethods"]

T = TypeVar("T")


class AsyncMethods:
    """The operations, in a session's transaction or in one of their own."""

    session_maker: Any
    vt: int
    _checked: bool  # whether pgmq is installed

    async def _call_async(
        self,
        session: AsyncSession | None,
        commit: bool,
        operation: Callable[..., Awaitable[T]],
        *args: Any,
    ) -> T:
        """Call an operation in a session, or in one of its own."""
        if session is not None:
            return await operation(*args, session=session, commit=commit)
        async with self.session_maker() as own:
            if not self._checked:
                await AsyncOperation.check_pgmq_ext_async(session=own)
                self._checked = True
            return await operation(*args, session=own, commit=commit)

    async def create_queue_async(
        self,
        queue_name: str,
        unlogged: bool = False,
        *,
        session: AsyncSession | None = None,
        commit: bool = True,
    ) -> None:
        """Create a queue; nothing happens when it is there."""
        await self._call_async(
            session, commit, AsyncOperation.create_queue_async, queue_name, unlogged
        )

    async def create_partitioned_queue_async(
        self,
        queue_name: str,
        partition_interval: int | str = 10000,
        retention_interval: int | str = 100000,
        *,
        session: AsyncSession | None = None,
        commit: bool = True,
    ) -> None:
        """Create a queue whose table is partitioned, by numbers of messages or by time."""
        await self._call_async(
            session,
            commit,
            AsyncOperation.create_partitioned_queue_async,
            queue_name,
            partition_interval,
            retention_interval,
        )

    async def validate_queue_name_async(
        self, queue_name: str, *, session: AsyncSession | None = None, commit: bool = True
    ) -> None:
        """Raise the server's error unless a queue may have the name."""
        await self._call_async(
            session, commit, AsyncOperation.validate_queue_name_async, queue_name
        )

    async def drop_queue_async(
        self,
        queue: str,
        partitioned: bool = False,
        *,
        session: AsyncSession | None = None,
        commit: bool = True,
    ) -> bool:
        """Drop a queue; False when there is none. `partitioned` means nothing any more."""
        return await self._call_async(
            session, commit, AsyncOperation.drop_queue_async, queue, partitioned
        )

    async def list_queues_async(
        self, *, session: AsyncSession | None = None, commit: bool = True
    ) -> list[str]:
        """Return the names of all queues."""
        return await self._call_async(session, commit, AsyncOperation.list_queues_async)

    async def send_async(
        self,
        queue_name: str,
        message: Any,
        delay: int = 0,
        *,
        session: AsyncSession | None = None,
        commit: bool = True,
    ) -> int:
        """Send a message, visible after delay seconds, and return its msg_id."""
        return await self._call_async(
            session, commit, AsyncOperation.send_async, queue_name, message, delay
        )

    async def send_batch_async(
        self,
        queue_name: str,
        messages: Sequence[Any],
        delay: int = 0,
        *,
        session: AsyncSession | None = None,
        commit: bool = True,
    ) -> list[int]:
        """Send messages, visible after delay seconds, and return their msg_ids."""
        return await self._call_async(
            session, commit, AsyncOperation.send_batch_async, queue_name, messages, delay
        )

    async def read_async(
        self,
        queue_name: str,
        vt: int | None = None,
        *,
        session: AsyncSession | None = None,
        commit: bool = True,
    ) -> Message | None:
        """Lease a message for vt seconds; None when nothing is visible."""
        return await self._call_async(
            session, commit, AsyncOperation.read_async, queue_name, self.vt if vt is None else vt
        )

    async def read_batch_async(
        self,
        queue_name: str,
        batch_size: int = 1,
        vt: int | None = None,
        *,
        session: AsyncSession | None = None,
        commit: bool = True,
    ) -> list[Message] | None:
        """Lease up to batch_size messages for vt seconds; None when nothing is visible."""
        return await self._call_async(
            session,
            commit,
            AsyncOperation.read_batch_async,
            queue_name,
            self.vt if vt is None else vt,
            batch_size,
        )

    async def read_with_poll_async(
        self,
        queue_name: str,
        vt: int | None = None,
        qty: int = 1,
        max_poll_seconds: int = 5,
        poll_interval_ms: int = 100,
        *,
        session: AsyncSession | None = None,
        commit: bool = True,
    ) -> list[Message] | None:
        """Do as read_batch, and look again until max_poll_seconds are over."""
        return await self._call_async(
            session,
            commit,
            AsyncOperation.read_with_poll_async,
            queue_name,
            self.vt if vt is None else vt,
            qty,
            max_poll_seconds,
            poll_interval_ms,
        )

    async def set_vt_async(
        self,
        queue_name: str,
        msg_id: int,
        vt: int,
        *,
        session: AsyncSession | None = None,
        commit: bool = True,
    ) -> Message | None:
        """Make a message visible vt seconds from now; None when it is not there."""
        return await self._call_async(
            session, commit, AsyncOperation.set_vt_async, queue_name, msg_id, vt
        )

    async def pop_async(
        self, queue_name: str, *, session: AsyncSession | None = None, commit: bool = True
    ) -> Message | None:
        """Read and delete a message at once; None when nothing is visible."""
        return await self._call_async(session, commit, AsyncOperation.pop_async, queue_name)

    async def delete_async(
        self,
        queue_name: str,
        msg_id: int,
        *,
        session: AsyncSession | None = None,
        commit: bool = True,
    ) -> bool:
        """Remove a message; False when it is not there."""
        return await self._call_async(
            session, commit, AsyncOperation.delete_async, queue_name, msg_id
        )

    async def delete_batch_async(
        self,
        queue_name: str,
        msg_ids: Sequence[int],
        *,
        session: AsyncSession | None = None,
        commit: bool = True,
    ) -> list[int]:
        """Remove messages and return the msg_ids of those that were there."""
        return await self._call_async(
            session, commit, AsyncOperation.delete_batch_async, queue_name, msg_ids
        )

    async def archive_async(
        self,
        queue_name: str,
        msg_id: int,
        *,
        session: AsyncSession | None = None,
        commit: bool = True,
    ) -> bool:
        """Move a message to the archive; False when it is not there."""
        return await self._call_async(
            session, commit, AsyncOperation.archive_async, queue_name, msg_id
        )

    async def archive_batch_async(
        self,
        queue_name: str,
        msg_ids: Sequence[int],
        *,
        session: AsyncSession | None = None,
        commit: bool = True,
    ) -> list[int]:
        """Move messages to the archive and return the msg_ids of those that were there."""
        return await self._call_async(
            session, commit, AsyncOperation.archive_batch_async, queue_name, msg_ids
        )

    async def purge_async(
        self, queue_name: str, *, session: AsyncSession | None = None, commit: bool = True
    ) -> int:
        """Delete every message of a queue and return how many those were."""
        return await self._call_async(session, commit, AsyncOperation.purge_async, queue_name)

    async def metrics_async(
        self, queue_name: str, *, session: AsyncSession | None = None, commit: bool = True
    ) -> QueueMetrics | None:
        """Return what a queue holds."""
        return await self._call_async(session, commit, AsyncOperation.metrics_async, queue_name)

    async def metrics_all_async(
        self, *, session: AsyncSession | None = None, commit: bool = True
    ) -> list[QueueMetrics] | None:
        """Return the metrics of every queue; None when there is none."""
        return await self._call_async(session, commit, AsyncOperation.metrics_all_async)
