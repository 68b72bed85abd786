"""A program of Celery: `celery -A celery_app worker` runs its tasks."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from celery import Celery

from support.celery_url import celery_url

app = Celery(
    "shop",
    broker_transport="kombu_pgmq.transport:TransportPGMQ",
    broker_url=celery_url(os.environ["DATABASE_URL"]),
    broker_transport_options={"visibility_timeout": 2},
    task_acks_late=True,
    worker_prefetch_multiplier=1,
)


@app.task(name="touch")  # type: ignore[untyped-decorator]
def touch(made: str, awaited: str) -> None:
    """Make a file, and wait for another."""
    with Path(made).open("a") as file:
        file.write("begun\n")
    while not Path(awaited).exists():
        time.sleep(0.01)


@app.task(name="fail", bind=True, max_retries=1)  # type: ignore[untyped-decorator]
def fail(self: Any, made: str) -> None:
    """Fail once."""
    with Path(made).open("a") as file:
        file.write(f"{time.time()}\n")
    if not self.request.retries:
        raise self.retry(countdown=1)
