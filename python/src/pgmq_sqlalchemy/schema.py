"""What the calls return."""

from __future__ import annotations

from pgmq.messages import Message, QueueMetrics

__all__ = ["Message", "QueueMetrics"]
