"""What brokers have in common: messages on their way out, errors, and what is said of both."""

from __future__ import annotations

import importlib
import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

__all__ = [
    "LONGEST_PATIENCE",
    "NOT_ENCODABLE",
    "PATIENCE",
    "STEP",
    "Broker",
    "BrokerError",
    "Outgoing",
    "Progress",
    "RefusedError",
    "RelayError",
    "first_line",
    "header",
    "load",
    "still_wanted",
]

# What a driver raises before it sends anything, for a header that the protocol cannot carry.
NOT_ENCODABLE = (TypeError, ValueError, OverflowError, struct.error)
STEP = 0.5  # seconds without a word to the relay
PATIENCE = 15.0  # seconds to wait for a confirmation, at least: sending again makes a copy
LONGEST_PATIENCE = 600.0


class RelayError(Exception):
    """Raised for what waiting cannot mend: an unknown broker, an option it does not have."""


class BrokerError(Exception):
    """Raised when the broker cannot be reached, or its answer does not come."""


class RefusedError(Exception):
    """Raised when the broker refused one of several messages without saying which."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way out."""

    msg_id: int
    read_ct: int
    message_id: str
    body: str
    headers: Mapping[str, Any]
    group: str | None
    routing_key: str | None
    enqueued_at: datetime


class Progress(Protocol):
    """Who has messages sent."""

    def wanted(self, message: Outgoing) -> bool:
        """Say whether a message is still to be sent."""

    def settled(self, message: Outgoing, reason: str | None = None) -> None:
        """Hear that a message has arrived, or why it was refused."""

    def pause(self) -> None:
        """Be given a moment, to keep what is in hand."""

    def patient(self) -> bool:
        """Say whether there is time to wait for a broker that is slow."""


class Broker(Protocol):
    """Where messages go."""

    def __str__(self) -> str:
        """Name it, without a password."""
        ...

    def connect(self) -> None:
        """Open a connection unless there is one; raises BrokerError."""

    def send(self, messages: Sequence[Outgoing], progress: Progress) -> None:
        """Send, and return when all are settled.

        Raises BrokerError when it is not known what arrived of those that are not, RefusedError
        when one of several was refused: then each has to be sent by itself.
        """

    def close(self) -> None:
        """Close the connection, whatever state it is in."""


def still_wanted(messages: Iterable[Outgoing], progress: Progress) -> Iterator[Outgoing]:
    """Yield what is to be sent, with a moment for the relay before each."""
    for message in messages:
        progress.pause()
        if progress.wanted(message):
            yield message


def load(module: str, extra: str) -> Any:
    """Import a driver; Any, since not all are typed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise RelayError(f"{module} is missing: pip install 'pgmq[{extra}]'") from error


def header(value: Any) -> str:
    """Return a header's value as text: what is none as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
