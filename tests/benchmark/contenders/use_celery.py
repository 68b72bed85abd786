"""Celery, at least once, with the prefetching that its guide has for short tasks."""

from __future__ import annotations

import os

from celery import Celery

from benchmark.contenders.job import note
from support.celery_url import celery_url

URL = os.environ["BENCH_URL"]
SETTINGS = (
    {
        "broker_transport": "kombu_pgmq.transport:TransportPGMQ",
        "broker_url": celery_url(URL),
        "broker_transport_options": {"visibility_timeout": 3600, "check_extension": False},
    }
    if os.environ["BENCH_SERVER"] == "postgres"
    else {"broker_url": URL}
)
app = Celery(
    "bench",
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=64,
    broker_connection_retry_on_startup=True,
    **SETTINGS,
)
send = app.task(note, name="note").delay
