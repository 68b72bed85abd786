"""The command that watches: top."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from pgmq import _statements as statements
from pgmq.cli._declare import ANY_QUEUES, JSON, arg, at_least, command, seconds, session_of
from pgmq.cli._output import Table, pauses
from pgmq.cli._screen import Screen, keys

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pgmq._session import Session
    from pgmq._statements import Seen
    from pgmq.cli._declare import Options
    from pgmq.messages import StreamGroup

__all__ = ["Line", "View", "compare"]


@dataclass(frozen=True, slots=True)
class Line:
    """A queue, and what has come and gone in a second since it was seen before."""

    queue: str
    messages: int
    in_flight: int
    oldest: int | None
    sent: float | None
    done: float | None
    dead_letters: int | None
    dead_tuples: int
    paused: str | None
    dead_letter_queue: str | None


# The columns by which lines can be sorted, the more important ones first.
_COLUMNS = {
    "queue": "queue",
    "messages": "messages",
    "in_flight": "in flight",
    "oldest": "oldest s",
    "sent": "sent/s",
    "done": "done/s",
    "dead_letters": "dead letters",
    "paused": "paused",
    "dead_tuples": "dead tuples",
}


@dataclass(slots=True)
class View:
    """In which order the lines are shown: numbers from the highest on, names from A on."""

    sort: str = "queue"
    reverse: bool = False

    def press(self, key: str) -> None:
        """Do what a key says."""
        if key == "s":
            names = list(_COLUMNS)
            self.sort = names[(names.index(self.sort) + 1) % len(names)]
        elif key == "r":
            self.reverse = not self.reverse

    def line(self) -> str:
        """Say what is shown, and what keys do."""
        order = f"{_COLUMNS[self.sort]}{', reversed' if self.reverse else ''}"
        return f"{time.strftime('%X')}  by {order}  (s: sort, r: reverse, q: quit)"

    def table(self, lines: Sequence[Line], height: int | None = None) -> Table:
        """Make a table, of at most so many lines, and with totals."""
        known = [line for line in lines if getattr(line, self.sort) is not None]
        shown = sorted(
            known,
            key=lambda line: getattr(line, self.sort),
            reverse=self.reverse == (self.sort == "queue"),
        ) + [line for line in lines if getattr(line, self.sort) is None]
        if len(lines) > 1:
            rest = 0 if height is None else max(0, len(shown) - max(height - 2, 1))
            shown = [*shown[: len(shown) - rest], _total(lines, rest)]
        return Table(list(_COLUMNS.values()), [_cells(line) for line in shown])


def _cells(line: Line) -> list[object]:
    values = (getattr(line, name) for name in _COLUMNS)
    return [f"{value:.1f}" if isinstance(value, float) else value for value in values]


def _total(lines: Sequence[Line], hidden: int) -> Line:
    def total(name: str) -> float | None:
        values = [value for line in lines if (value := getattr(line, name)) is not None]
        return sum(values) if values else None

    # Several queues may have the same.
    letters = {line.dead_letter_queue: line.dead_letters or 0 for line in lines}
    return Line(
        queue=f"all {len(lines)}" + (f", {hidden} not shown" if hidden else ""),
        messages=sum(line.messages for line in lines),
        in_flight=sum(line.in_flight for line in lines),
        oldest=max((line.oldest for line in lines if line.oldest is not None), default=None),
        sent=total("sent"),
        done=total("done"),
        dead_letters=sum(letters.values()) if any(letters) else None,
        dead_tuples=sum(line.dead_tuples for line in lines),
        paused=None,
        dead_letter_queue=None,
    )


def compare(
    seen: Sequence[Seen],
    before: Mapping[str, Seen],
    lengths: Mapping[str, int],
    paused: Mapping[str, str],
) -> list[Line]:
    """Say what was seen, and what has changed since; `lengths` are those of all queues."""
    lines = []
    for now in seen:
        sent = done = None
        if (was := before.get(now.queue)) and now.at > was.at:
            span = now.at - was.at
            sent = max(0, now.total - was.total) / span
            done = max(0, now.total - was.total - now.length + was.length) / span
        dead = lengths.get(now.dead_letter_queue) if now.dead_letter_queue else None
        lines.append(
            Line(
                now.queue, now.length, now.hidden, now.oldest, sent, done, dead, now.dead_tuples,
                paused.get(now.queue.lower()), now.dead_letter_queue,
            )
        )  # fmt: skip
    return lines


def _lags(groups: Sequence[StreamGroup]) -> Table:
    return Table(
        ["group", "lag", "oldest s", "lanes", "leased", "failing", "held bytes"],
        [
            (f"{group.queue_name}/{group.group_name}", group.lag, group.lag_seconds, group.lanes,
             group.leased_lanes, group.failing_lanes, group.held_bytes)
            for group in groups
        ],
    )  # fmt: skip


@command(
    ANY_QUEUES,
    arg("--interval", type=seconds, default=2.0, metavar="SECONDS", help="default: 2"),
    arg("--count", type=at_least(1), metavar="N", help="end after so many tables"),
    arg("--sort", choices=[name.replace("_", "-") for name in _COLUMNS], default="queue",
        metavar="COLUMN", help="queue, messages, in-flight, oldest, sent, done, dead-letters,"
        " paused or dead-tuples (default: queue)"),
    arg("--reverse", action="store_true", help="the other way round"),
    JSON,
)  # fmt: skip
def top(options: Options) -> None:
    """Watch queues.

    "in flight" is what is leased or delayed, "dead letters" the length of the queue's dead-letter
    queue, "dead tuples" what vacuum has not removed from its table, "paused" what is: reads,
    sends, or both. Rates are those since the last table. Groups that read streams are in a table of
    their own: "lag" is how many messages a group has not committed.

    In a terminal, s sorts by the next column, r reverses the order, and q ends it. Columns for
    which there is no room are left out, those without anything in them first. With NO_COLOR in the
    environment there are no colours. Where the output is no terminal, tables follow each other.

    Example: pgmq top --interval 5
    Example: pgmq top --count 1 --sort messages
    """
    view = View(options.sort.replace("-", "_"), options.reverse)
    terminal = sys.stdout.isatty() and not options.json
    with contextlib.ExitStack() as stack:
        # First of all, lest the server be asked for what cannot be shown.
        whole = options.count is None
        screen = stack.enter_context(Screen(whole=whole)) if terminal else None
        wait = stack.enter_context(keys(terminal=terminal and whole))
        session = stack.enter_context(session_of(options))
        before: dict[str, Seen] = {}
        left = options.count
        while True:
            seen = session.run(statements.top())
            if not before:
                _check(session, options.queues, seen)
            lines = compare(
                [each for each in seen if _is_wanted(options, each.queue)],
                before,
                {each.queue: each.length for each in seen},
                pauses(session.list_paused()),
            )
            groups = [
                each for each in session.list_groups() if _is_wanted(options, each.queue_name)
            ]
            before = {each.queue: each for each in seen}
            _show(options, view, screen, lines, groups)
            if left is not None:
                left -= 1
                if not left:
                    return
            end = time.monotonic() + options.interval
            while pressed := wait(max(0, end - time.monotonic())):
                if "q" in pressed:
                    return
                for key in pressed:
                    view.press(key)
                _show(options, view, screen, lines, groups)


def _is_wanted(options: Options, queue: str) -> bool:
    return not options.queues or queue.lower() in map(str.lower, options.queues)


def _check(session: Session, queues: Sequence[str], seen: Sequence[Seen]) -> None:
    names = {each.queue.lower() for each in seen}
    for queue in queues:
        if queue.lower() not in names:
            session.metrics(queue)  # which says what is wrong with it


def _show(
    options: Options,
    view: View,
    screen: Screen | None,
    lines: Sequence[Line],
    groups: Sequence[StreamGroup],
) -> None:
    if options.json:
        found = {"queues": [*map(asdict, lines)], "groups": [*map(asdict, groups)]}
        print(json.dumps(found, default=str), flush=True)
        return
    height = screen.height() if screen else None
    if height is not None:
        # Beside the first line, groups have up to a third, with an empty line and their headings.
        groups = groups[: max(1, height // 3)]
        height -= 1 + (len(groups) + 2 if groups else 0)
    tables = [view.table(lines, height), *([_lags(groups)] if groups else [])]
    if screen:
        screen.show(view.line(), tables)
    else:
        print("\n\n".join(table.plain() for table in tables), flush=True)
