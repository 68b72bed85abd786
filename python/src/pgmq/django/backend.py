"""The backend: sends Django's tasks as messages, and finds them again with their results.

A task is a message that names its function. What has become of it is where the message is: READY
and RUNNING in the queue, SUCCESSFUL and FAILED in its archive, with the result in a header.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core import checks
from django.db import DEFAULT_DB_ALIAS, connections
from django.utils import timezone
from django.utils.module_loading import import_string

from pgmq import _statements as statements
from pgmq.django._tasks import (
    BaseTaskBackend,
    Task,
    TaskError,
    TaskResult,
    TaskResultDoesNotExist,
    TaskResultStatus,
    normalize_json,
    task_enqueued,
)
from pgmq.django.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgmq.messages import Message

__all__ = ["RESULT", "PGMQBackend"]

RESULT = "django-result"  # the header of a message that has been handled
_UNKNOWN = "unknown"  # the worker of an attempt that left no result

# What results and priorities rest on, and what else a new queue is given.
_NEEDED = {"ack_archives": True, "priorities": True}
_OF_NEW_QUEUES = {
    "max_receives": 5,
    "retry_delay": timedelta(seconds=10),
    "retry_delay_max": timedelta(minutes=10),
    "archive_retention": timedelta(days=14),
}


class PGMQBackend(BaseTaskBackend):
    """A backend of TASKS whose queues are queues of pgmq.

    OPTIONS: `database` is the alias of the database with the queues; `policy` has options of
    alter_policy for them, `worker` arguments of pgmq.Worker.
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        self.client = Client(self.options.get("database", DEFAULT_DB_ALIAS))
        self.queues_in_order = [*dict.fromkeys(params.get("QUEUES") or self.queues)]

    def check(self, **_: Any) -> Iterator[checks.CheckMessage]:
        """Say what is wrong with the settings."""
        if connections[self.client.using].vendor != "postgresql":
            yield checks.Error(f"{self.client.using} is no Postgres database", id="pgmq.E001")
        if not self.queues:
            yield checks.Error(f"QUEUES of TASKS[{self.alias!r}] names no queue", id="pgmq.E002")
        if not apps.is_installed("pgmq.django"):
            yield checks.Error("INSTALLED_APPS lacks pgmq.django", id="pgmq.E003")

    def create_queues(self) -> None:
        """Create the queues that are missing, and see to it that their policies are as needed."""
        there = {queue.queue_name for queue in self.client.list_queues()}
        for queue in self.queues_in_order:
            policy = _NEEDED | self.options.get("policy", {})
            if queue.lower() not in there:
                self.client.create_queue(queue)
                self.client.enable_wakeups(queue)
                policy = _OF_NEW_QUEUES | policy
            had = self.client.get_policy(queue)
            if any(getattr(had, option) != value for option, value in policy.items()):
                self.client.alter_policy(queue, **policy)

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Send a task, as part of the transaction that Django's connection is in."""
        self.validate_task(task)
        delay = task.run_after
        if delay is not None and timezone.is_naive(delay):  # without USE_TZ
            delay = timezone.make_aware(delay)
        message = {
            "task": task.module_path,
            "args": normalize_json(list(args)),
            "kwargs": normalize_json(kwargs),
            "priority": task.priority,
            "run_after": task.run_after,
        }
        headers = {"x-pgmq-priority": _rank(task.priority)} if task.priority else None
        msg_id = self.client.send(task.queue_name, message, headers, delay)
        result = TaskResult(
            task=task,
            id=f"{task.queue_name}:{msg_id}",
            status=TaskResultStatus.READY,
            enqueued_at=timezone.now(),
            started_at=None,
            finished_at=None,
            last_attempted_at=None,
            args=args,
            kwargs=kwargs,
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )
        task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> Any:
        """Find a task by its id, in its queue or in the archive."""
        queue, _, msg_id = str(result_id).rpartition(":")
        found = None
        if queue in self.queues and msg_id.isdecimal() and len(msg_id) < 19:
            table = self.client.run(statements.queue_table(queue, "q"))
            found = self.client.run(statements.find(table, int(msg_id)))
        if found is None:
            raise TaskResultDoesNotExist(result_id)
        status = TaskResultStatus.RUNNING if found.is_leased else TaskResultStatus.READY
        return self.result_of(queue, found.message, status, found.archived_at)

    def result_of(
        self, queue: str, message: Message, status: Any, archived_at: datetime | None = None
    ) -> Any:
        """Say what has become of a task; in the archive, that is in its headers."""
        body, headers = message.message, message.headers or {}
        run_after = body.get("run_after")
        started_at, finished_at = message.last_read_at, archived_at
        worker_ids = [_UNKNOWN] * message.read_ct
        record: dict[str, Any] = {}
        if archived_at is not None:
            record = headers.get(RESULT, {})
            if record.get("msg_id") == message.msg_id:  # else it is from before a requeue
                started_at = datetime.fromisoformat(record["started_at"])
                finished_at = datetime.fromisoformat(record["finished_at"])
                worker_ids[-1:] = [record["worker_id"]]
            else:
                reason = headers.get("x-pgmq-dead-letter", {}).get("reason", "by hand")
                error = headers.get("x-pgmq-error", f"archived without a result: {reason}")
                record = {"status": "FAILED", "errors": [["pgmq.worker.HandlerError", error]]}
            status = TaskResultStatus(record["status"])
        result = TaskResult(
            task=_task(body["task"]).using(
                queue_name=queue,
                backend=self.alias,
                priority=body.get("priority"),
                run_after=run_after and datetime.fromisoformat(run_after),
            ),
            id=f"{queue}:{message.msg_id}",
            status=status,
            enqueued_at=message.enqueued_at,
            started_at=started_at,
            finished_at=finished_at,
            last_attempted_at=started_at,
            args=body.get("args", []),
            kwargs=body.get("kwargs", {}),
            backend=self.alias,
            errors=[
                TaskError(exception_class_path=path, traceback=text)
                for path, text in record.get("errors", [])
            ],
            worker_ids=worker_ids,
        )
        object.__setattr__(result, "_return_value", record.get("return_value"))
        return result


def _task(path: str) -> Any:
    """Import a task, and nothing else."""
    task = import_string(path)
    if not isinstance(task, Task):
        raise TypeError(f"{path} is no task")
    return task


def _rank(priority: int) -> int:
    """Map the priorities of Django, -100 to 100, to those of pgmq, 0 to 9: 0 is 4, as without."""
    return 4 - (-priority // 20) if priority > 0 else 4 + priority // 25
