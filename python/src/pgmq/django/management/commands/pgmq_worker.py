"""`manage.py pgmq_worker`."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

import psycopg
from django.core.management.base import BaseCommand, CommandError

from pgmq.django._tasks import task_backends
from pgmq.django.backend import PGMQBackend
from pgmq.django.client import dsn
from pgmq.django.runner import Runner
from pgmq.worker import Worker

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """Runs tasks until SIGTERM or SIGINT, or with --batch until none is left."""

    help = "Run the tasks of a backend's queues."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name the options as other workers of Django's tasks do."""
        parser.add_argument("--backend", default="default", help="a name in TASKS (default)")
        parser.add_argument(
            "--queue-name",
            action="append",
            dest="queues",
            metavar="QUEUE",
            help="a queue of the backend, may be repeated, the most urgent first; else QUEUES",
        )
        parser.add_argument(
            "--concurrency", type=int, default=1, help="tasks at a time, in threads (1)"
        )
        parser.add_argument(
            "--batch", action="store_true", help="run what is there, and end when none is left"
        )
        parser.add_argument(
            "--worker-id", help="what results say of who ran a task (host and process)"
        )

    def handle(self, **options: Any) -> None:
        """Run a worker."""
        backend = task_backends[options["backend"]]
        if not isinstance(backend, PGMQBackend):
            raise CommandError(f"TASKS[{options['backend']!r}] is no PGMQBackend")
        queues = options["queues"] or backend.queues_in_order
        if unknown := {*queues} - backend.queues:
            raise CommandError(f"no queue of that backend: {', '.join(sorted(unknown))}")
        worker_id = options["worker_id"] or f"{socket.gethostname()}:{os.getpid()}"
        runner = Runner(backend, worker_id)
        settings = {"concurrency": options["concurrency"]} | backend.options.get("worker", {})
        # A batch of one: what a worker dies of takes no tries of tasks that wait behind it.
        settings |= {"transactional": True, "batch": True, "batch_size": 1}
        limits = {
            # The transaction of the worker is idle while the task runs.
            "idle_in_transaction_session_timeout": "0",
            # It must see what extends the lease meanwhile.
            "default_transaction_isolation": "read committed",
        }
        if settings.get("pooled", "listen_dsn" in settings):  # a pooler takes none
            limits = {}
        worker = Worker(dsn(backend.client.using, **limits), queues, runner, **settings)
        if not options["batch"]:
            self.stdout.write(f"Worker {worker_id} runs the tasks of {', '.join(queues)}")
        try:
            worker.run(until_empty=options["batch"])
        except psycopg.ProgrammingError as error:
            raise CommandError(f"{error}\nIs `manage.py migrate` to be run first?") from error
        finally:
            runner.close()
