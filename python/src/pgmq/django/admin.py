"""The queues in Django's admin, for reading."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList

from pgmq.django.client import Client
from pgmq.django.models import Queue

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["QueueAdmin"]


_STATS = ("visible", "delayed", "in_flight", "archive_length", "sent_total", "removed_total")


def _column(name: str) -> Callable[[Any], Any]:
    """Make a column of what queue_stats says."""

    def column(queue: Any) -> Any:
        return getattr(queue.stats, name, None)

    column.__name__ = name
    return column


class _Queues(ChangeList):
    """A page of queues, with what is in them: one statement for all."""

    def get_results(self, request: Any) -> None:
        super().get_results(request)
        stats = {each.queue_name: each for each in Client(self.queryset.db).queue_stats()}
        for queue in self.result_list:
            queue.stats = stats.get(queue.queue_name)


@admin.register(Queue)
class QueueAdmin(admin.ModelAdmin):
    """A list of the queues with their lengths, and a page for each with its policy."""

    _columns = tuple(map(_column, _STATS))
    list_display = ("queue_name", *_columns)
    search_fields = ("queue_name",)
    fields = (
        "queue_name", "created_at", "is_partitioned", "is_unlogged", *_columns, "policy",
    )  # fmt: skip
    readonly_fields = (*_columns, "policy")

    def policy(self, queue: Queue) -> str:
        """Show the options that are on."""
        options = asdict(Client(queue._state.db).get_policy(queue.queue_name))
        return ", ".join(
            f"{name}: {value}"
            for name, value in options.items()
            if name != "queue_name" and value not in (None, False, 0)
        )

    def get_queryset(self, request: Any) -> Any:
        """Find all queues."""
        return self.model._base_manager.order_by("queue_name")

    def get_changelist(self, request: Any, **_: Any) -> type[ChangeList]:
        """Say what a page of the list is made by."""
        return _Queues

    def has_add_permission(self, request: Any) -> bool:
        """Nobody may, and so below: queues are for reading."""
        return False

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        """Nobody may."""
        return False

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        """Nobody may."""
        return False
