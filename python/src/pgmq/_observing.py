"""Where somebody may look on while clients and workers do what they do: pgmq.otel."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from pgmq._statements import Statement

__all__ = ["Call", "Observer", "calling", "handling"]

T = TypeVar("T")


@dataclass(slots=True)
class Call(Generic[T]):
    """A call of a client: its statement, which an observer may replace, and then its result."""

    statement: Statement[T]
    result: T | None = None


class Observer(Protocol):
    """Who looks on. What its methods raise is raised by what it looks at."""

    def calling(self, statement: Statement[T]) -> AbstractContextManager[Call[T]]:
        """Stand around the call of a client."""

    def handling(
        self, queue: str, group: str | None, messages: Any
    ) -> AbstractContextManager[object]:
        """Stand around the call of a handler, with a message or a list of them."""

    def received(self, queue: str, group: str | None, messages: Sequence[Any]) -> None:
        """Hear what a worker has leased."""

    def dead(self, queue: str) -> None:
        """Hear that a worker's message has failed for the last time."""


observer: Observer | None = None


def calling(statement: Statement[T]) -> AbstractContextManager[Call[T]]:
    """Have the observer, if there is one, stand around the call of a client."""
    if observer is None:
        return contextlib.nullcontext(Call(statement))
    return observer.calling(statement)


def handling(queue: str, group: str | None, messages: Any) -> AbstractContextManager[object]:
    """Have the observer, if there is one, stand around the call of a handler."""
    if observer is None:
        return contextlib.nullcontext()
    return observer.handling(queue, group, messages)
