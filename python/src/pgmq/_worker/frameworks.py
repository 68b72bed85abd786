"""What adapters to frameworks share: messages that a framework handles, and their JSON."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pgmq._wire import JSONText
from pgmq._worker.outcome import HandlerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Delivery", "deliver", "from_json", "headers_of", "to_json"]

T = TypeVar("T")

# Options of a task that are headers of its message. Frameworks may have made texts of them.
_HEADERS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "group": ("x-pgmq-group", str),
    "priority": ("x-pgmq-priority", int),
    "dedup_key": ("x-pgmq-dedup-id", str),
    "ttl": ("x-pgmq-ttl", int),
}


class Delivery(Generic[T]):
    """What a framework gets of an AsyncWorker; its methods may be called from any thread.

    The message stays leased until one of them is called. One that is forgotten is returned.
    """

    def __init__(self, content: T) -> None:
        self.content = content
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()

    def ack(self) -> None:
        """Have the message acknowledged."""
        self._end(lambda ended: ended.set_result(None))

    def fail(self, error: BaseException) -> None:
        """Have the worker do what it does when a handler raises this; see Retry and Reject."""
        self._end(lambda ended: ended.set_exception(error))

    def give_back(self) -> None:
        """Have the message returned as not begun; the worker has been stopped."""
        self._end(lambda ended: ended.cancel())

    def _end(self, end: Callable[[asyncio.Future[None]], object]) -> None:
        ended = self._ended  # without the delivery: __del__ may call this

        def unless_ended() -> None:
            if not ended.done():
                end(ended)

        with contextlib.suppress(RuntimeError):  # the loop is closed, and the lease will end
            self._loop.call_soon_threadsafe(unless_ended)

    def __del__(self) -> None:
        self.fail(HandlerError("the message was neither acknowledged nor refused"))


async def deliver(content: T, hand_over: Callable[[Delivery[T]], object]) -> None:
    """Be the handler of an AsyncWorker: hand a delivery over, and wait for its end."""
    delivery = Delivery(content)
    ended = delivery._ended
    hand_over(delivery)
    del delivery  # or it could not be dropped
    await ended


def headers_of(options: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the headers that options of a task ask for."""
    return {
        header: convert(options[name])
        for name, (header, convert) in _HEADERS.items()
        if options.get(name) is not None
    } or None


def to_json(content: bytes) -> Any:
    """Make JSON of what a serializer made: JSON as it is, all else as a string in base64."""
    try:
        text = json.dumps(json.loads(content), ensure_ascii=False, allow_nan=False)
        text.encode()  # Postgres takes no lone surrogates, and no NUL
        if r"\u0000" not in text:
            return JSONText(text)
    except ValueError:
        pass
    return base64.b64encode(content).decode()


def from_json(value: Any) -> bytes:
    """Do the reverse."""
    if isinstance(value, str):
        return base64.b64decode(value, validate=True)
    return json.dumps(value).encode()
