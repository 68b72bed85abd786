"""What a worker reports: to its log, and to hooks that an application may override."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from pgmq.messages import Message, StreamMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pgmq._worker.outcome import Outcome

    AnyMessage = Message | StreamMessage

__all__ = ["Hooks", "Reports", "log"]

log = logging.getLogger("pgmq.worker")


class Hooks:
    """What a worker reports, for metrics: override what you need.

    The methods are called on the worker's event loop, between other things: they should be quick,
    and what they raise ends the worker, as stop() does: run() raises it when nothing is in hand any
    more. seconds are those that the handler took (of a whole batch, where it takes batches). The
    messages of a stream are StreamMessages.

        >>> class Count(Hooks):
        ...     done = 0
        ...
        ...     def on_done(self, queue, message, seconds):
        ...         self.done += 1
        >>> hooks = Count()
        >>> Worker(dsn, "jobs", lambda message: None, hooks=hooks).run(until_empty=True)
        >>> hooks.done
        1
    """

    def on_read(self, queue: str, messages: Sequence[Any]) -> None:
        """Hear what was leased."""

    def on_done(self, queue: str, message: Any, seconds: float) -> None:
        """Hear that the handler is done with a message; transactional: and it is committed."""

    def on_error(self, queue: str, message: Any, seconds: float, exception: BaseException) -> None:
        """Hear what the handler raised, Retry and Reject too; HandlerError in a ProcessWorker."""

    def on_lost(self, queue: str, message: Any) -> None:
        """Hear that the lease of a message was lost: somebody else has it, or it is gone."""

    def on_disconnect(self, queue: str, error: Exception, seconds: float) -> None:
        """Hear that a connection was lost, or not to be had; the next attempt is in seconds."""


class Reports:
    """Logs what happens and calls the hooks; what these raise goes to `fail`."""

    def __init__(self, queue: str, hooks: Hooks, fail: Callable[[BaseException], None]) -> None:
        self._queue = queue
        self._hooks = hooks
        self._fail = fail

    def _tell(self, what: Callable[..., None], *arguments: Any) -> None:
        # Whatever comes of that, no message must be forgotten.
        try:
            what(*arguments)
        except BaseException as error:  # noqa: BLE001
            self._fail(error)

    def read(self, messages: Sequence[AnyMessage]) -> None:
        """Report what was leased."""
        self._tell(self._hooks.on_read, self._queue, messages)

    def outcome(self, message: AnyMessage, outcome: Outcome) -> None:
        """Report what a call of the handler ended with."""
        if outcome.kind == "done":
            self._tell(self._done, message, outcome)
        elif outcome.exception is not None:
            self._tell(self._error, message, outcome, outcome.exception)

    def lost(self, message: AnyMessage) -> None:
        """Report that the lease of a message was lost."""
        self._tell(self._lost, message)

    def disconnected(self, text: str, error: Exception, seconds: float, attempt: int) -> None:
        """Report that there is no connection, and in how many seconds the next attempt is."""
        self._tell(self._disconnected, text, error, seconds, attempt)

    def _done(self, message: AnyMessage, outcome: Outcome) -> None:
        if log.isEnabledFor(logging.DEBUG):
            extra = self._extra(message, outcome.kind, outcome.seconds)
            log.debug("message %s of queue %s: done", message.msg_id, self._queue, extra=extra)
        self._hooks.on_done(self._queue, message, outcome.seconds)

    def _error(self, message: AnyMessage, outcome: Outcome, exception: BaseException) -> None:
        try:
            self._log_error(message, outcome, exception)
        except BaseException:  # noqa: BLE001, perhaps of an exception that cannot be shown
            self._log_error(message, outcome, None)
        self._hooks.on_error(self._queue, message, outcome.seconds, exception)

    def _log_error(
        self, message: AnyMessage, outcome: Outcome, exception: BaseException | None
    ) -> None:
        failed = outcome.kind == "failed"
        log.log(
            logging.ERROR if failed else logging.INFO,
            "message %s of queue %s: %s: %s",
            message.msg_id,
            self._queue,
            outcome.kind,
            outcome.error,
            extra=self._extra(message, outcome.kind, outcome.seconds),
            exc_info=exception if failed else None,
        )

    def _lost(self, message: AnyMessage) -> None:
        extra = self._extra(message, "lost", 0.0)
        log.warning("message %s of queue %s: lease lost", message.msg_id, self._queue, extra=extra)
        self._hooks.on_lost(self._queue, message)

    def _disconnected(self, text: str, error: Exception, seconds: float, attempt: int) -> None:
        extra = {"queue": self._queue, "attempt": attempt, "seconds": seconds}
        log.warning("worker of queue %s: %s: %s", self._queue, text, error, extra=extra)
        self._hooks.on_disconnect(self._queue, error, seconds)

    def _extra(self, message: AnyMessage, kind: str, seconds: float) -> dict[str, Any]:
        return {
            "queue": self._queue,
            "msg_id": message.msg_id,
            "read_ct": message.read_ct if isinstance(message, Message) else message.delivery_ct,
            "outcome": kind,
            "seconds": seconds,
        }
