"""The synchronous operations."""

# Made of _async_operation.py by `make sync`: change that one.

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pgmq import _observing as observing
from pgmq import _sqlalchemy as rendering
from pgmq import _statements as statements
from pgmq_sqlalchemy._interval import checked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from pgmq._statements import Statement
    from pgmq.messages import Message, QueueMetrics

__all__ = ["Operation"]

T = TypeVar("T")


class Operation:
    """Calls in the transaction of a session, which is committed unless commit is False."""

    @staticmethod
    def check_pgmq_ext(*, session: Session, commit: bool = True) -> None:
        """Create the extension unless pgmq is installed."""
        _run(session, commit, statements.ensure_extension())

    @staticmethod
    def check_pg_partman_ext(*, session: Session, commit: bool = True) -> None:
        """Create the extension pg_partman unless it is there."""
        _run(session, commit, statements.ensure_partman())

    @staticmethod
    def create_queue(
        queue_name: str, unlogged: bool = False, *, session: Session, commit: bool = True
    ) -> None:
        """Create a queue; nothing happens when it is there."""
        _run(session, commit, statements.create_queue(queue_name, unlogged))

    @staticmethod
    def create_partitioned_queue(
        queue_name: str,
        partition_interval: int | str,
        retention_interval: int | str,
        *,
        session: Session,
        commit: bool = True,
    ) -> None:
        """Create a queue whose table is partitioned, by numbers of messages or by time.

        Raises ValueError for what is no such number and no duration.
        """
        statement = statements.create_partitioned_queue(
            queue_name, checked(partition_interval), checked(retention_interval)
        )
        _run(session, commit, statement)

    @staticmethod
    def validate_queue_name(queue_name: str, *, session: Session, commit: bool = True) -> None:
        """Raise the server's error unless a queue may have the name."""
        _run(session, commit, statements.validate_queue_name(queue_name))

    @staticmethod
    def drop_queue(
        queue: str, partitioned: bool = False, *, session: Session, commit: bool = True
    ) -> bool:
        """Drop a queue; False when there is none. `partitioned` means nothing any more."""
        return _run(session, commit, statements.drop_queue(queue))

    @staticmethod
    def list_queues(*, session: Session, commit: bool = True) -> list[str]:
        """Return the names of all queues."""
        queues = _run(session, commit, statements.list_queues())
        return [queue.queue_name for queue in queues]

    @staticmethod
    def send(
        queue_name: str,
        message: Any,
        delay: int = 0,
        *,
        session: Session,
        commit: bool = True,
    ) -> int:
        """Send a message, visible after delay seconds, and return its msg_id."""
        return _run(session, commit, statements.send(queue_name, message, None, delay))

    @staticmethod
    def send_batch(
        queue_name: str,
        messages: Sequence[Any],
        delay: int = 0,
        *,
        session: Session,
        commit: bool = True,
    ) -> list[int]:
        """Send messages, visible after delay seconds, and return their msg_ids."""
        statement = statements.send_batch(queue_name, messages, None, delay)
        return _run(session, commit, statement)

    @staticmethod
    def read(queue_name: str, vt: int, *, session: Session, commit: bool = True) -> Message | None:
        """Lease a message for vt seconds; None when nothing is visible."""
        found = _run(session, commit, statements.read(queue_name, vt, 1))
        return found[0] if found else None

    @staticmethod
    def read_batch(
        queue_name: str,
        vt: int,
        batch_size: int = 1,
        *,
        session: Session,
        commit: bool = True,
    ) -> list[Message] | None:
        """Lease up to batch_size messages for vt seconds; None when nothing is visible."""
        return _run(session, commit, statements.read(queue_name, vt, batch_size)) or None

    @staticmethod
    def read_with_poll(
        queue_name: str,
        vt: int,
        qty: int = 1,
        max_poll_seconds: int = 5,
        poll_interval_ms: int = 100,
        *,
        session: Session,
        commit: bool = True,
    ) -> list[Message] | None:
        """Do as read_batch, and look again until max_poll_seconds are over."""
        statement = statements.read_with_poll(
            queue_name, vt, qty, max_poll_seconds, poll_interval_ms, None
        )
        return _run(session, commit, statement) or None

    @staticmethod
    def set_vt(
        queue_name: str, msg_id: int, vt: int, *, session: Session, commit: bool = True
    ) -> Message | None:
        """Make a message visible vt seconds from now; None when it is not there."""
        return _run(session, commit, statements.set_vt(queue_name, msg_id, vt))

    @staticmethod
    def pop(queue_name: str, *, session: Session, commit: bool = True) -> Message | None:
        """Read and delete a message at once; None when nothing is visible."""
        found = _run(session, commit, statements.pop(queue_name, 1))
        return found[0] if found else None

    @staticmethod
    def delete(queue_name: str, msg_id: int, *, session: Session, commit: bool = True) -> bool:
        """Remove a message; False when it is not there."""
        return _run(session, commit, statements.delete(queue_name, msg_id))

    @staticmethod
    def delete_batch(
        queue_name: str, msg_ids: Sequence[int], *, session: Session, commit: bool = True
    ) -> list[int]:
        """Remove messages and return the msg_ids of those that were there."""
        return _run(session, commit, statements.delete_batch(queue_name, msg_ids))

    @staticmethod
    def archive(queue_name: str, msg_id: int, *, session: Session, commit: bool = True) -> bool:
        """Move a message to the archive; False when it is not there."""
        return _run(session, commit, statements.archive(queue_name, msg_id))

    @staticmethod
    def archive_batch(
        queue_name: str, msg_ids: Sequence[int], *, session: Session, commit: bool = True
    ) -> list[int]:
        """Move messages to the archive and return the msg_ids of those that were there."""
        return _run(session, commit, statements.archive_batch(queue_name, msg_ids))

    @staticmethod
    def purge(queue_name: str, *, session: Session, commit: bool = True) -> int:
        """Delete every message of a queue and return how many those were."""
        return _run(session, commit, statements.purge(queue_name))

    @staticmethod
    def metrics(queue_name: str, *, session: Session, commit: bool = True) -> QueueMetrics | None:
        """Return what a queue holds."""
        return _run(session, commit, statements.metrics(queue_name))

    @staticmethod
    def metrics_all(*, session: Session, commit: bool = True) -> list[QueueMetrics] | None:
        """Return the metrics of every queue; None when there is none."""
        return _run(session, commit, statements.metrics_all()) or None


def _run(session: Session, commit: bool, statement: Statement[T]) -> T:
    with observing.calling(statement) as call:
        text, parameters = rendering.render(call.statement)
        rows = session.execute(text, parameters)
        call.result = result = rendering.decode(statement, rows)
    if commit:
        session.commit()
    return result
