"""Runs tasks: the handler of the worker."""

from __future__ import annotations

import logging
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.db import close_old_connections, connections, reset_queries
from django.utils import timezone

from pgmq import _statements as statements
from pgmq import _wire as wire
from pgmq._worker.outcome import storable_on
from pgmq.django._tasks import (
    TaskContext,
    TaskError,
    TaskResultStatus,
    normalize_json,
    task_finished,
    task_started,
)
from pgmq.django.backend import RESULT
from pgmq.worker import Retry

if TYPE_CHECKING:
    import psycopg

    from pgmq.django.backend import PGMQBackend
    from pgmq.messages import WorkerMessage

__all__ = ["Runner"]

log = logging.getLogger("pgmq.django")


class Runner:
    """Runs tasks for a transactional worker.

    A task works on Django's connections. On that of the worker, its result and its acknowledgement
    are one transaction.
    """

    def __init__(self, backend: PGMQBackend, worker_id: str) -> None:
        self._backend = backend
        self._worker_id = worker_id
        self._opened: set[Any] = set()  # connections of Django, in the worker's threads

    def __call__(self, batch: list[WorkerMessage], connection: psycopg.Connection[Any]) -> None:
        """Run a task between what Django does at the beginning and at the end of a request."""
        reset_queries()
        close_old_connections()
        try:
            for message in batch:
                self._run(message, connection)
        finally:
            close_old_connections()
            self._opened.update(connections.all(initialized_only=True))

    def close(self) -> None:
        """Close the connections that the tasks have left open, when no task runs."""
        for connection in self._opened:
            connection.inc_thread_sharing()
            connection.close()

    def _run(self, message: WorkerMessage, connection: psycopg.Connection[Any]) -> None:
        queue, msg_id = message.queue_name, message.msg_id
        try:
            result = self._backend.result_of(queue, message, TaskResultStatus.RUNNING)
        except Exception as error:
            # Another worker may know it already, or still.
            log.exception("message %s of queue %s is no task", msg_id, queue)
            raise Retry(error) from error
        now = timezone.now()
        result = replace(result, started_at=now, last_attempted_at=now)
        result.worker_ids[-1] = self._worker_id
        task_started.send_robust(type(self._backend), task_result=result)
        context = [TaskContext(task_result=result)] if result.task.takes_context else []
        try:
            value = normalize_json(result.task.call(*context, *result.args, **result.kwargs))
            result = _ended(result, TaskResultStatus.SUCCESSFUL, value)
            with connection.transaction():  # Postgres may refuse what is JSON for Python
                self._keep(message, connection, result)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | Retry):
                raise
            if connection.closed:  # so nobody can be told
                log.exception("the result of message %s of queue %s is lost", msg_id, queue)
                raise Retry(error, delay=0) from error
            text = wire.plain("".join(traceback.format_exception(error)))
            failed = TaskError(
                exception_class_path=f"{type(error).__module__}.{type(error).__qualname__}",
                traceback=storable_on(connection, text),
            )
            result = _ended(result, TaskResultStatus.FAILED, None, failed)
            self._keep(message, connection, result)

    def _keep(
        self, message: WorkerMessage, connection: psycopg.Connection[Any], result: Any
    ) -> None:
        """Keep a result in the headers; if the lease is lost, the worker will see that too."""
        record = {
            "msg_id": message.msg_id,
            "status": result.status,
            "return_value": result._return_value,
            "errors": [[error.exception_class_path, error.traceback] for error in result.errors],
            "started_at": result.started_at,
            "finished_at": result.finished_at,
            "worker_id": self._worker_id,
        }
        headers = (message.headers or {}) | {RESULT: record}
        statement = statements.amend_leased(
            message.queue_name, message.msg_id, message.read_ct, headers
        )
        cursor = connection.execute(statement.query, statement.parameters)
        if statement.decode(cursor.fetchall()):
            task_finished.send_robust(type(self._backend), task_result=result)


def _ended(result: Any, status: Any, value: Any, *errors: Any) -> Any:
    ended = replace(result, status=status, finished_at=timezone.now(), errors=[*errors])
    object.__setattr__(ended, "_return_value", value)
    return ended
