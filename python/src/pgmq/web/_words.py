"""How values are written for people."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgmq.messages import Policy

__all__ = ["FILTERS", "option", "policy"]

_NONE = "\N{EN DASH}"
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def number(value: float | None) -> str:
    """Write a number with thin spaces between thousands."""
    return _NONE if value is None else f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def rate(value: float | None) -> str:
    """Write a number a second."""
    if value is None:
        return _NONE
    if 0 < value < 0.1:
        return f"{value:.2f}" if value >= 0.005 else "<0.01"
    return number(value) if value >= 10 or not value else f"{value:.1f}"


def span(value: float | timedelta | None) -> str:
    """Write seconds in their two largest units."""
    if value is None:
        return _NONE
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if 0 < seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    left = round(seconds)
    parts = []
    for length, unit in _UNITS:
        if left >= length:
            parts.append(f"{left // length} {unit}")
            left %= length
    return " ".join(parts[:2]) or "0 s"


def size(value: float | None) -> str:
    """Write bytes."""
    if value is None:
        return _NONE
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TB"


def moment(value: datetime | None) -> str:
    """Write a time in UTC, to the second."""
    if value is None:
        return _NONE
    if value.year == 9999:
        return "never"
    return f"{value.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S}"


def ago(value: datetime | None) -> str:
    """Write how long ago a time is, or in how long it will be."""
    if value is None:
        return _NONE
    if value.year == 9999:
        return "never"
    seconds = (datetime.now(timezone.utc) - value).total_seconds()
    return f"{span(seconds)} ago" if seconds >= 0 else f"in {span(-seconds)}"


def interval(value: str | None) -> str:
    """Write how far apart partitions are: a time, or so many messages."""
    return f"{number(int(value))} messages" if value and value.isdecimal() else value or ""


def literal(value: str) -> str:
    """Write a text as a literal of SQL."""
    return "'" + value.replace("'", "''") + "'"


def pretty(value: Any) -> str:
    """Write JSON over several lines; what Python cannot decode stays as it is."""
    try:
        return json.dumps(json.loads(value), indent=4, ensure_ascii=False)
    except (ValueError, RecursionError, TypeError):
        return str(value)


FILTERS: dict[str, Callable[..., str]] = {
    "ago": ago,
    "interval": interval,
    "literal": literal,
    "moment": moment,
    "number": number,
    "pretty": pretty,
    "rate": rate,
    "size": size,
    "span": span,
}


def option(value: object) -> str:
    """Write an option of a policy so that it can be changed; what is off is empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, timedelta):
        return f"{value.total_seconds():.15g} seconds"
    return f"{value:g}" if isinstance(value, float) else str(value)


def policy(of: Policy) -> list[str]:
    """Say what a policy does, a sentence for each of its rules."""
    said = []
    if of.max_receives is not None:
        then = f"goes to {of.dead_letter_queue}" if of.dead_letter_queue else "is archived"
        said.append(f"A message that was received {of.max_receives} times {then}.")
    if of.retry_delay is not None:
        most = (
            f", twice as long each time, at most {span(of.retry_delay_max)}"
            if (of.retry_delay_max)
            else ""
        )
        spread = f", spread by {of.retry_jitter:.0%}" if of.retry_jitter else ""
        said.append(f"After a failure a message waits {span(of.retry_delay)}{most}{spread}.")
    if of.message_ttl is not None:
        said.append(f"A message expires {span(of.message_ttl)} after it was sent.")
    if of.archive_retention is not None:
        said.append(f"The archive keeps messages for {span(of.archive_retention)}.")
    if of.dedup_window is not None:
        said.append(f"A dedup key counts for {span(of.dedup_window)}.")
    if of.dedup_scope == "pending":
        said.append("A dedup key counts for as long as its message is in the queue.")
    if of.max_in_flight is not None:
        said.append(f"At most {number(of.max_in_flight)} messages are in flight.")
    if of.max_in_flight_per_group is not None:
        said.append(f"At most {number(of.max_in_flight_per_group)} are in flight of each group.")
    if of.rate_limit is not None:
        burst = f", in bursts of up to {number(of.rate_burst)}" if of.rate_burst else ""
        said.append(
            f"At most {number(of.rate_limit)} messages are read in {span(of.rate_interval)}{burst}."
        )
    if of.priorities:
        ageing = (
            f", and one rank higher after each {span(of.priority_ageing)}"
            if (of.priority_ageing)
            else ""
        )
        said.append(f"Messages come by their priority{ageing}.")
    if of.ack_archives:
        said.append("What is acknowledged is archived.")
    return said
