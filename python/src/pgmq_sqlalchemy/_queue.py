"""The synchronous methods of PGMQueue."""

# Made of _async_queue.py by `make sync`: change that one.

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pgmq_sqlalchemy._operation import Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.orm import Session

    from pgmq.messages import Message, QueueMetrics

__all__ = ["Methods"]

T = TypeVar("T")


class Methods:
    """The operations, in a session's transaction or in one of their own."""

    session_maker: Any
    vt: int
    _checked: bool  # whether pgmq is installed

    def _call(
        self,
        session: Session | None,
        commit: bool,
        operation: Callable[..., T],
        *args: Any,
    ) -> T:
        """Call an operation in a session, or in one of its own."""
        if session is not None:
            return operation(*args, session=session, commit=commit)
        with self.session_maker() as own:
            if not self._checked:
                Operation.check_pgmq_ext(session=own)
                self._checked = True
            return operation(*args, session=own, commit=commit)

    def create_queue(
        self,
        queue_name: str,
        unlogged: bool = False,
        *,
        session: Session | None = None,
        commit: bool = True,
    ) -> None:
        """Create a queue; nothing happens when it is there."""
        self._call(session, commit, Operation.create_queue, queue_name, unlogged)

    def create_partitioned_queue(
        self,
        queue_name: str,
        partition_interval: int | str = 10000,
        retention_interval: int | str = 100000,
        *,
        session: Session | None = None,
        commit: bool = True,
    ) -> None:
        """Create a queue whose table is partitioned, by numbers of messages or by time."""
        self._call(
            session,
            commit,
            Operation.create_partitioned_queue,
            queue_name,
            partition_interval,
            retention_interval,
        )

    def validate_queue_name(
        self, queue_name: str, *, session: Session | None = None, commit: bool = True
    ) -> None:
        """Raise the server's error unless a queue may have the name."""
        self._call(session, commit, Operation.validate_queue_name, queue_name)

    def drop_queue(
        self,
        queue: str,
        partitioned: bool = False,
        *,
        session: Session | None = None,
        commit: bool = True,
    ) -> bool:
        """Drop a queue; False when there is none. `partitioned` means nothing any more."""
        return self._call(session, commit, Operation.drop_queue, queue, partitioned)

    def list_queues(self, *, session: Session | None = None, commit: bool = True) -> list[str]:
        """Return the names of all queues."""
        return self._call(session, commit, Operation.list_queues)

    def send(
        self,
        queue_name: str,
        message: Any,
        delay: int = 0,
        *,
        session: Session | None = None,
        commit: bool = True,
    ) -> int:
        """Send a message, visible after delay seconds, and return its msg_id."""
        return self._call(session, commit, Operation.send, queue_name, message, delay)

    def send_batch(
        self,
        queue_name: str,
        messages: Sequence[Any],
        delay: int = 0,
        *,
        session: Session | None = None,
        commit: bool = True,
    ) -> list[int]:
        """Send messages, visible after delay seconds, and return their msg_ids."""
        return self._call(session, commit, Operation.send_batch, queue_name, messages, delay)

    def read(
        self,
        queue_name: str,
        vt: int | None = None,
        *,
        session: Session | None = None,
        commit: bool = True,
    ) -> Message | None:
        """Lease a message for vt seconds; None when nothing is visible."""
        return self._call(
            session, commit, Operation.read, queue_name, self.vt if vt is None else vt
        )

    def read_batch(
        self,
        queue_name: str,
        batch_size: int = 1,
        vt: int | None = None,
        *,
        session: Session | None = None,
        commit: bool = True,
    ) -> list[Message] | None:
        """Lease up to batch_size messages for vt seconds; None when nothing is visible."""
        return self._call(
            session,
            commit,
            Operation.read_batch,
            queue_name,
            self.vt if vt is None else vt,
            batch_size,
        )

    def read_with_poll(
        self,
        queue_name: str,
        vt: int | None = None,
        qty: int = 1,
        max_poll_seconds: int = 5,
        poll_interval_ms: int = 100,
        *,
        session: Session | None = None,
        commit: bool = True,
    ) -> list[Message] | None:
        """Do as read_batch, and look again until max_poll_seconds are over."""
        return self._call(
            session,
            commit,
            Operation.read_with_poll,
            queue_name,
            self.vt if vt is None else vt,
            qty,
            max_poll_seconds,
            poll_interval_ms,
        )

    def set_vt(
        self,
        queue_name: str,
        msg_id: int,
        vt: int,
        *,
        session: Session | None = None,
        commit: bool = True,
    ) -> Message | None:
        """Make a message visible vt seconds from now; None when it is not there."""
        return self._call(session, commit, Operation.set_vt, queue_name, msg_id, vt)

    def pop(
        self, queue_name: str, *, session: Session | None = None, commit: bool = True
    ) -> Message | None:
        """Read and delete a message at once; None when nothing is visible."""
        return self._call(session, commit, Operation.pop, queue_name)

    def delete(
        self,
        queue_name: str,
        msg_id: int,
        *,
        session: Session | None = None,
        commit: bool = True,
    ) -> bool:
        """Remove a message; False when it is not there."""
        return self._call(session, commit, Operation.delete, queue_name, msg_id)

    def delete_batch(
        self,
        queue_name: str,
        msg_ids: Sequence[int],
        *,
        session: Session | None = None,
        commit: bool = True,
    ) -> list[int]:
        """Remove messages and return the msg_ids of those that were there."""
        return self._call(session, commit, Operation.delete_batch, queue_name, msg_ids)

    def archive(
        self,
        queue_name: str,
        msg_id: int,
        *,
        session: Session | None = None,
        commit: bool = True,
    ) -> bool:
        """Move a message to the archive; False when it is not there."""
        return self._call(session, commit, Operation.archive, queue_name, msg_id)

    def archive_batch(
        self,
        queue_name: str,
        msg_ids: Sequence[int],
        *,
        session: Session | None = None,
        commit: bool = True,
    ) -> list[int]:
        """Move messages to the archive and return the msg_ids of those that were there."""
        return self._call(session, commit, Operation.archive_batch, queue_name, msg_ids)

    def purge(self, queue_name: str, *, session: Session | None = None, commit: bool = True) -> int:
        """Delete every message of a queue and return how many those were."""
        return self._call(session, commit, Operation.purge, queue_name)

    def metrics(
        self, queue_name: str, *, session: Session | None = None, commit: bool = True
    ) -> QueueMetrics | None:
        """Return what a queue holds."""
        return self._call(session, commit, Operation.metrics, queue_name)

    def metrics_all(
        self, *, session: Session | None = None, commit: bool = True
    ) -> list[QueueMetrics] | None:
        """Return the metrics of every queue; None when there is none."""
        return self._call(session, commit, Operation.metrics_all)
