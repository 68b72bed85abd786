"""What the admin shows."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.db import models

from pgmq.django.client import Client

if TYPE_CHECKING:
    from pgmq.messages import QueueStats

__all__ = ["Queue"]


class _Nothing(models.Manager):
    """Finds nothing, for dumpdata: loaddata would make rows of the table, and no queues."""

    def get_queryset(self) -> Any:
        return super().get_queryset().none()


class Queue(models.Model):
    """A queue, for reading: a row of pgmq's own table."""

    queue_name = models.CharField(primary_key=True, max_length=47)
    is_partitioned = models.BooleanField()
    is_unlogged = models.BooleanField()
    created_at = models.DateTimeField()

    objects = _Nothing()

    class Meta:
        """Of another's table, which nobody changes here."""

        managed = False
        db_table = '"pgmq"."meta"'
        default_permissions = ("view",)
        ordering = ("queue_name",)

    def __str__(self) -> str:
        return str(self.queue_name)

    @cached_property
    def stats(self) -> QueueStats | None:
        """What is in the queue."""
        return next(iter(Client(self._state.db).queue_stats(self.queue_name)), None)
