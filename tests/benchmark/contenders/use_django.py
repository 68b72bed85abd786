"""Django's tasks, whose results are kept."""

from __future__ import annotations

import django
from django.conf import settings
from django.core.management import call_command

from benchmark.contenders import job

if not settings.configured:
    django.setup()

from django_tasks import task  # there must be settings


@task()  # type: ignore[untyped-decorator]
def note(number: int, sent: float, text: str) -> None:
    """Be a job."""
    job.note(number, sent, text)


send = note.enqueue


def setup() -> None:
    """Make the tables and queues."""
    if not settings.URL.startswith("redis"):
        call_command("migrate", verbosity=0)
