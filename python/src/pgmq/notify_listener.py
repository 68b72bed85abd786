"""Kept for callers of pgmq-py 1.1, under its path: listeners to enable_notify's announcements."""

from __future__ import annotations

from pgmq.async_notify_listener import AsyncNotificationListener
from pgmq.sync_notify_listener import SyncNotificationListener

__all__ = ["AsyncNotificationListener", "SyncNotificationListener"]
