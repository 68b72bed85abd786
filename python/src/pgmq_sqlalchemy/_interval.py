"""Which intervals of partitions pgmq-sqlalchemy takes."""

from __future__ import annotations

import re

__all__ = ["checked"]

_DURATION = re.compile(
    r"\d+\s+(micro|milli)?seconds?|\d+\s+(minute|hour|day|week|month|year)s?"
    r"|(hour|dai|week|month|year)ly",
    re.IGNORECASE,
)


def checked(interval: int | str) -> str:
    """Return an interval as the server takes it.

    Raises ValueError, in the words of pgmq-sqlalchemy, for what cannot be one.
    """
    text = str(interval).strip()
    if re.fullmatch(r"[+-]?\d+", text):
        if int(text) < 1:
            raise ValueError(f"Numeric partition interval must be positive: {text}")
    elif not _DURATION.fullmatch(text):
        raise ValueError(
            f"Invalid time-based partition interval: {text!r}; an interval is a number of messages"
            " or a duration such as '1 day'"
        )
    return text
