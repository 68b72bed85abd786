"""Listeners to enable_notify's announcements."""

from __future__ import annotations

from pgmq.async_notify_listener import AsyncNotificationListener
from pgmq.sync_notify_listener import SyncNotificationListener

__all__ = ["AsyncNotificationListener", "SyncNotificationListener"]
