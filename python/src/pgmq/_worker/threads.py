"""Threads for a worker's calls, which outlast whatever is raised in them, and whenever."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Call", "Threads"]


@dataclass(slots=True, eq=False)
class Call:
    """A call that a thread makes; the event loop awaits `told` until there is an answer."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    told: asyncio.Future[None]
    begun: bool = False
    over: bool = False  # whether the event loop was told
    abandoned: bool = False  # whether nobody waits for it any more
    answer: tuple[Any, BaseException | None] | None = None

    def result(self) -> Any:
        """Return what the function returned, or raise what it raised."""
        value, error = self.answer or (None, RuntimeError("the call has not ended"))
        if error is not None:
            raise error
        return value


class Threads:
    """Make calls in threads; to be used on one event loop.

    Libraries that limit times raise an exception in a thread from outside, perhaps a moment too
    late. concurrent.futures loses the thread then, and the call that it was about to make.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._free: list[_Thread] = []
        self._all: list[_Thread] = []

    def begin(self, function: Callable[..., Any], *arguments: Any) -> Call:
        """Have a thread that has nothing to do, or a new one, make a call."""
        call = Call(function, arguments, self._loop.create_future())
        if not self._free:
            thread = _Thread(f"{self._name}_{len(self._all)}", self._loop, self._free)
            self._all.append(thread)
            self._free.append(thread)
            thread.start()
        thread = self._free.pop()
        thread.call = call
        thread.wake()
        return call

    def close(self) -> None:
        """End the threads, but for those that make a call that nobody waits for."""
        for thread in self._all:
            thread.ended = True
            thread.wake()
        for thread in self._all:
            if not thread.is_abandoned:
                thread.join()

    def abandoned(self) -> int:
        """Count the threads that still make a call that nobody waits for."""
        return sum(thread.is_abandoned for thread in self._all)


class _Thread(threading.Thread):
    """A thread in which an exception may be raised at any moment: what it does can be repeated."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop, free: list[_Thread]) -> None:
        super().__init__(name=name, daemon=True)
        self.call: Call | None = None  # set by the event loop
        self.ended = False
        self._made: Call | None = None  # has an answer that the event loop was not told of
        self._error: BaseException | None = None
        self._loop = loop
        self._free = free
        self._wake = threading.Lock()
        self._wake.acquire()

    @property
    def is_abandoned(self) -> bool:
        call = self.call
        return call is not None and call.abandoned

    def wake(self) -> None:
        if self._wake.locked():
            self._wake.release()

    def run(self) -> None:
        while True:
            try:
                while self._step():
                    pass
            except BaseException as error:  # noqa: BLE001, PERF203
                self._error = error
            else:
                return

    def _step(self) -> bool:
        call = self._made
        if call is not None:
            if self.call is call:
                self.call = None
            # From then on there may be another call.
            if self._loop.is_closed():
                return False
            self._loop.call_soon_threadsafe(self._tell, call)
            self._made = None
            return True
        call = self.call
        if call is None:
            if self.ended:
                return False
            self._wake.acquire()
        elif call.answer is not None:
            self._made = call
        elif call.begun:
            call.answer = None, self._error or RuntimeError("the call was interrupted")
        else:
            call.begun = True
            call.answer = call.function(*call.arguments), None
        return True

    def _tell(self, call: Call) -> None:
        if not call.over:
            call.over = True
            self._free.append(self)
        if not call.told.done():
            call.told.set_result(None)
