"""Run a program for each message of a stream: what `pgmq consume --group` does."""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg
from psycopg.errors import LockNotAvailable

from pgmq._session import StoppedError
from pgmq.cli._consumer import RETRY_DELAY, Runner
from pgmq.messages import StreamMessage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgmq._session import Session

__all__ = ["GroupConsumer"]

_BATCH = 100  # messages that are leased at once

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class GroupConsumer(Runner[StreamMessage]):
    """Consumes a stream as a group, one lane at a time, and commits each message."""

    group: str
    _extended: float = field(init=False, default=0.0)

    def _check(self, session: Session) -> None:
        session.check_group(self.queues[0], self.group)

    def _read(self, session: Session) -> list[StreamMessage]:
        self._extended = time.monotonic()
        batch = session.fetch(self.queues[0], self.group, self.vt, _BATCH)
        return batch.messages if batch else []

    def _handle(self, session: Session, messages: Sequence[StreamMessage]) -> None:
        for message in messages:
            lease = message.lane, message.epoch
            if self._stop.is_set():
                session.release(self.queues[0], self.group, *lease)
                return
            if time.monotonic() - self._extended > self.vt / 3:
                self._extend(session, message)
            try:
                error = self._run(session, message)
            except BaseException:
                with contextlib.suppress(psycopg.Error, StoppedError):
                    session.release(self.queues[0], self.group, *lease)
                raise
            if error is None:
                kept = session.commit(self.queues[0], self.group, *lease, message.msg_id)
            else:
                _logger.warning("message %s: %s", message.msg_id, error)
                delay = RETRY_DELAY if self.retry_delay is None else self.retry_delay
                kept = session.release(self.queues[0], self.group, *lease, delay, error)
            if not kept:
                _logger.warning(
                    "message %s: the lease of lane %s was lost, and messages may be handled twice",
                    message.msg_id,
                    message.lane,
                )
            if error is not None or not kept:
                return

    def _extend(self, session: Session, message: StreamMessage) -> None:
        # As long as the program runs, whatever comes.
        with contextlib.suppress(StoppedError, LockNotAvailable), session.impatient():
            session.extend_lease(self.queues[0], self.group, message.lane, message.epoch, self.vt)
            self._extended = time.monotonic()

    def _variables(self, message: StreamMessage) -> dict[str, str]:
        return {
            "PGMQ_QUEUE": self.queues[0],
            "PGMQ_GROUP": self.group,
            "PGMQ_LANE": str(message.lane),
            "PGMQ_READ_CT": str(message.delivery_ct),
        }
