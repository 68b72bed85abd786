"""What a worker reports: to its log, and to hooks that an application may override."""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING, Any

from pgmq import _observing as observing
from pgmq.messages import StreamMessage, WorkerMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pgmq._worker.outcome import Outcome

    AnyMessage = WorkerMessage | StreamMessage

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
        """Hear what the handler raised, Retry and Reject too.

        Of a ProcessWorker all else is a HandlerError, with the traceback for its text.
        """

    def on_dead_letter(self, queue: str, message: Any, exception: BaseException | None) -> None:
        """Hear that a message of a queue failed when it was received for the last time.

        The next read moves it to the queue's dead-letter queue, or to the archive.
        """

    def on_lost(self, queue: str, message: Any) -> None:
        """Hear that the lease of a message was lost: somebody else has it, or it is gone."""

    def on_disconnect(self, queue: str, error: Exception, seconds: float) -> None:
        """Hear that a connection was lost, or not to be had; the next attempt is in seconds."""


class Reports:
    """Logs what happens and calls the hooks; what these raise goes to `fail`."""

    def __init__(
        self,
        queue: str,
        group: str | None,
        hooks: Hooks,
        fail: Callable[[BaseException], None],
    ) -> None:
        self._queue = queue  # of a worker of several: their names
        self._group = group
        self._hooks = hooks
        self._fail = fail
        self._said_no_retry_delay: set[str] = set()

    def _tell(self, what: Callable[..., None], *arguments: Any) -> None:
        # Whatever comes of that, no message must be forgotten.
        try:
            what(*arguments)
        except BaseException as error:  # noqa: BLE001
            self._fail(error)

    def read(self, messages: Sequence[AnyMessage]) -> None:
        """Report what was leased."""
        for queue, run in itertools.groupby(messages, self._queue_of):
            those = [*run]
            if observing.observer is not None:
                self._tell(observing.observer.received, queue, self._group, those)
            self._tell(self._hooks.on_read, queue, those)

    def outcome(self, message: AnyMessage, outcome: Outcome) -> None:
        """Report what a call of the handler ended with."""
        if outcome.kind == "done":
            self._tell(self._done, message, outcome)
        elif outcome.exception is not None:
            self._tell(self._error, message, outcome, outcome.exception)

    def lost(self, message: AnyMessage) -> None:
        """Report that the lease of a message was lost."""
        self._tell(self._lost, message)

    def dead_letter(self, message: WorkerMessage, outcome: Outcome, end: str) -> None:
        """Report that a message has failed for the last time, and where it goes."""
        if observing.observer is not None:
            self._tell(observing.observer.dead, message.queue_name)
        self._tell(self._dead_letter, message, outcome, end)

    def still_runs(self, what: str, messages: Sequence[AnyMessage], seconds: float) -> None:
        """Report what a worker that is stopped waits for, or no longer."""
        for message in messages:
            extra = self._extra(message, "running", seconds)
            text = "worker %s message %s of queue %s, whose handler has run for %.1f s"
            log.warning(text, what, message.msg_id, extra["queue"], seconds, extra=extra)

    def no_retry_delay(self, queue: str) -> None:
        """Report, once, that the worker says when what failed is tried again."""
        if queue not in self._said_no_retry_delay:
            self._said_no_retry_delay.add(queue)
            log.warning(
                "queue %s has no retry_delay: this worker's is used, doubled with each receipt up"
                " to 5 minutes; alter_policy sets one, and max_receives ends it",
                queue,
                extra={"queue": queue},
            )

    def disconnected(self, text: str, error: Exception, seconds: float, attempt: int) -> None:
        """Report that there is no connection, and in how many seconds the next attempt is."""
        self._tell(self._disconnected, text, error, seconds, attempt)

    def _done(self, message: AnyMessage, outcome: Outcome) -> None:
        if log.isEnabledFor(logging.DEBUG):
            extra = self._extra(message, outcome.kind, outcome.seconds)
            log.debug("message %s of queue %s: done", message.msg_id, extra["queue"], extra=extra)
        self._hooks.on_done(self._queue_of(message), message, outcome.seconds)

    def _error(self, message: AnyMessage, outcome: Outcome, exception: BaseException) -> None:
        try:
            self._log_error(message, outcome, exception)
        except BaseException:  # noqa: BLE001, perhaps of an exception that cannot be shown
            self._log_error(message, outcome, None)
        self._hooks.on_error(self._queue_of(message), message, outcome.seconds, exception)

    def _log_error(
        self, message: AnyMessage, outcome: Outcome, exception: BaseException | None
    ) -> None:
        failed = outcome.kind == "failed"
        log.log(
            logging.ERROR if failed else logging.INFO,
            "message %s of queue %s: %s: %s",
            message.msg_id,
            self._queue_of(message),
            outcome.kind,
            outcome.error,
            extra=self._extra(message, outcome.kind, outcome.seconds),
            exc_info=exception if failed else None,
        )

    def _dead_letter(self, message: WorkerMessage, outcome: Outcome, end: str) -> None:
        log.error(
            "message %s of queue %s: %s",
            message.msg_id,
            self._queue_of(message),
            end,
            extra=self._extra(message, "dead", outcome.seconds),
        )
        self._hooks.on_dead_letter(message.queue_name, message, outcome.exception)

    def _lost(self, message: AnyMessage) -> None:
        extra = self._extra(message, "lost", 0.0)
        text = "message %s of queue %s: lease lost"
        log.warning(text, message.msg_id, extra["queue"], extra=extra)
        self._hooks.on_lost(extra["queue"], message)

    def _disconnected(self, text: str, error: Exception, seconds: float, attempt: int) -> None:
        extra = {"queue": self._queue, "attempt": attempt, "seconds": seconds}
        log.warning("worker of queue %s: %s: %s", self._queue, text, error, extra=extra)
        self._hooks.on_disconnect(self._queue, error, seconds)

    def _extra(self, message: AnyMessage, kind: str, seconds: float) -> dict[str, Any]:
        return {
            "queue": self._queue_of(message),
            "msg_id": message.msg_id,
            "read_ct": message.read_ct
            if isinstance(message, WorkerMessage)
            else message.delivery_ct,
            "outcome": kind,
            "seconds": seconds,
        }

    def _queue_of(self, message: AnyMessage) -> str:
        return message.queue_name if isinstance(message, WorkerMessage) else self._queue
