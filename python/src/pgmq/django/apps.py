"""The app `pgmq.django`."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.apps import apps as installed
from django.db.models.signals import post_migrate

__all__ = ["PGMQConfig"]


class PGMQConfig(AppConfig):
    """Has the queues of the backends created after each `migrate`."""

    name = "pgmq.django"
    label = "pgmq"
    verbose_name = "pgmq"

    def ready(self) -> None:
        """Listen for the end of migrations."""
        post_migrate.connect(_create_queues, sender=self)


def _create_queues(using: str, apps: Any = installed, **_: Any) -> None:
    from pgmq.django._tasks import task_backends
    from pgmq.django.backend import PGMQBackend

    try:
        apps.get_model("pgmq", "Queue")
    except LookupError:  # as of before the migrations of this app
        return
    for backend in task_backends.all():
        if isinstance(backend, PGMQBackend) and backend.client.using == using:
            backend.create_queues()
