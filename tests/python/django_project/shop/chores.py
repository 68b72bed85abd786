from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import django

from pgmq import Retry
from shop.models import Order

if django.VERSION >= (6, 0):
    from django.tasks import task
else:
    from django_tasks import task


@task
def add(a: int, b: int) -> int:
    return a + b


@task(priority=40, queue_name="mail")
async def mail(to: str) -> list[str]:
    order = await Order.objects.acreate(number=len(to))
    return [to, str(order)]


@task(takes_context=True)
def attempts(context: Any) -> list[Any]:
    return [context.attempt, context.task_result.worker_ids]


@task
def place(number: int, error: str = "") -> None:
    Order.objects.create(number=number)
    if error:
        raise ValueError(error)


@task
def give(value: str) -> str:
    return value.replace("NUL", "\0")


@task(takes_context=True)
def try_again(context: Any) -> int:
    if context.attempt == 1:
        raise Retry("not yet", delay=0)
    return int(context.attempt)


@task(takes_context=True)
def die(context: Any, times: int) -> int:
    if context.attempt <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return int(context.attempt)


@task
def wait_for(begun: str, go: str) -> None:
    Path(begun).touch()
    while not Path(go).exists():
        time.sleep(0.02)
