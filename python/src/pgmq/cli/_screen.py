"""A screen in the terminal: the keys that are pressed, and tables that fit."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from typing import TYPE_CHECKING, Any

from pgmq._signals import on_signal
from pgmq.cli._output import Table, rich

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["Screen", "keys"]

# Cells under these headings, when there is something in them.
_STYLES = {"dead letters": "red", "failing": "red", "paused": "yellow"}


@contextlib.contextmanager
def keys(*, terminal: bool) -> Iterator[Callable[[float], str]]:
    """Give a function that waits so many seconds for keys, and returns them; none is "".

    A signal that ends the program is a q, and a new size of the terminal a space.
    """
    with contextlib.ExitStack() as stack:
        signals, write = os.pipe()
        stack.callback(os.close, signals)
        stack.callback(os.close, write)
        os.set_blocking(write, False)
        files = [signals]

        def press(key: bytes) -> None:
            with contextlib.suppress(BlockingIOError):
                os.write(write, key)

        stack.enter_context(on_signal(lambda: press(b"q")))
        if terminal and sys.stdin.isatty():
            import termios
            import tty

            before = termios.tcgetattr(sys.stdin)
            stack.callback(termios.tcsetattr, sys.stdin, termios.TCSADRAIN, before)
            tty.setcbreak(sys.stdin)
            resized = signal.signal(signal.SIGWINCH, lambda *_: press(b" "))
            stack.callback(signal.signal, signal.SIGWINCH, resized)
            files.append(sys.stdin.fileno())

        def wait(seconds: float) -> str:
            pressed = b""
            for file in select.select(files, [], [], seconds)[0]:
                # At the end of a terminal, nobody is there any more.
                found = os.read(file, 100) or b"q"
                pressed += b" " if found.startswith(b"\x1b") else found  # an arrow, or the like
            return pressed.decode(errors="replace")

        yield wait


class Screen:
    """What a live display of rich shows: a line, and tables that fit."""

    def __init__(self, *, whole: bool) -> None:
        self._whole = whole  # of the terminal, which is restored in the end
        self._live = rich("live").Live(screen=whole, auto_refresh=False)

    def __enter__(self) -> Screen:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def height(self) -> int | None:
        """Return how many lines there are; None is any number."""
        return self._live.console.size.height if self._whole else None

    def show(self, line: str, tables: Sequence[Table]) -> None:
        """Show them instead of what was shown before."""
        text = rich("text").Text
        width = self._live.console.size.width
        parts = [text(line, no_wrap=True, overflow="ellipsis", style="dim")]
        for number, table in enumerate(tables):
            parts += [*([text("")] if number else []), _drawn(table.fitted(width))]
        self._live.update(rich("console").Group(*parts), refresh=True)


def _drawn(table: Table) -> Any:
    """Draw a table as Table.plain() does, in colours."""
    drawn = rich("table").Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for number, column in enumerate(table.columns):
        drawn.add_column(column, justify="left" if number < table.texts else "right", no_wrap=True)
    text = rich("text").Text
    for row in table.cells():
        styles = [
            _STYLES.get(column, "") if cell not in {"", "0"} else ""
            for column, cell in zip(table.columns, row, strict=True)
        ]
        drawn.add_row(*map(text, row, styles))
    return drawn
