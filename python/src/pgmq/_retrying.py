"""When a failed message is tried again, and when not. No I/O here."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgmq.messages import Policy

__all__ = ["last_receipt", "retry_delay"]

_LONGEST = 300  # seconds
_JITTER = (1.0, 0.95, 0.9, 0.85)  # few values: what comes back at the same time goes back together


def retry_delay(policy: Policy, read_ct: int, first: int) -> int | None:
    """Return in how many seconds a message is tried again; None: as the queue's policy says.

    That is `first` after the first receipt, and twice as much after each one more, up to 5 minutes,
    or to `first` where that is longer. It is shortened at random by up to 15 percent: not all that
    failed come back at once.
    """
    if policy.retry_delay is not None:
        return None
    seconds = min(first * 2.0 ** min(read_ct - 1, 30), max(first, _LONGEST))
    return max(round(seconds * random.choice(_JITTER)), min(first, 1))  # noqa: S311


def last_receipt(policy: Policy, read_ct: int) -> str | None:
    """Say what becomes of a message that has been received as often as it may be; else None."""
    if policy.max_receives is None or read_ct < policy.max_receives:
        return None
    target = policy.dead_letter_queue
    place = "the archive" if target is None else f"dead-letter queue {target}"
    return f"received {read_ct} times, goes to {place}"
