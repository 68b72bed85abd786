"""What signals do while a program runs: stop it, or something else of ours."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["on_signal", "stopped_by_signals"]


@contextlib.contextmanager
def on_signal(
    action: Callable[[], None], hang_up: Callable[[], None] | None = None
) -> Iterator[None]:
    """Have SIGTERM, SIGINT and SIGHUP do something else than to end the program."""
    before = {}
    actions = {signal.SIGTERM: action, signal.SIGINT: action, signal.SIGHUP: hang_up or action}
    try:
        for number in actions:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it, and & in a script
                before[number] = signal.signal(
                    number, lambda got, _: actions[signal.Signals(got)]()
                )
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# What stops the workers of the main thread, and what signals did before.
_stops: list[Callable[[], None]] = []
_before: dict[int, Any] = {}


@contextlib.contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Have the first SIGTERM or SIGINT call stop(), and the second do what it did before.

    For an asyncio program; several in one event loop are stopped by the same signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # signal.signal() would not do: a signal that a handler's thread gets does not wake the loop.
    loop = asyncio.get_running_loop()

    def restore() -> None:
        while _before:
            number, action = _before.popitem()
            loop.remove_signal_handler(number)
            signal.signal(number, action or signal.SIG_DFL)

    def stop_all() -> None:
        restore()
        for each in _stops:
            each()

    _stops.append(stop)
    if not _before:
        for number in (signal.SIGTERM, signal.SIGINT):
            _before[number] = signal.getsignal(number)
            loop.add_signal_handler(number, stop_all)
    try:
        yield
    finally:
        _stops.remove(stop)
        if not _stops:
            restore()


def _after_fork() -> None:
    """Have signals do in a process that a handler forks what they did before.

    Else it would ignore them, and pass them on to the loop of the worker, which would stop.
    """
    if _before:
        signal.set_wakeup_fd(-1)
    while _before:
        number, action = _before.popitem()
        signal.signal(number, action or signal.SIG_DFL)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
