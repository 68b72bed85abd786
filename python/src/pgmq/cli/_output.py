"""What commands print: messages, tables, metrics for Prometheus, and what is wrong."""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import psycopg

from pgmq._wire import JSONText

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pgmq._statements import Seen
    from pgmq.messages import Message, QueueMetrics, StreamGroup

__all__ = ["CommandError", "Table", "compare", "explain", "lags", "line_of", "prometheus", "rich"]


class CommandError(Exception):
    """Raised for what a command cannot do; the message says why."""


def explain(error: psycopg.Error) -> tuple[str, str | None]:
    diagnostic = error.diag
    message = diagnostic.message_primary or str(error).strip() or type(error).__name__
    if diagnostic.message_detail and isinstance(error, psycopg.DataError):
        message = f"{message}: {diagnostic.message_detail}"
    if isinstance(error, psycopg.errors.InvalidSchemaName) and '"pgmq"' in message:
        return "pgmq is not installed in this database", "Run pgmq install."
    if isinstance(error, psycopg.errors.UndefinedFunction) and "function pgmq." in message:
        name = message.partition("function ")[2].partition("(")[0]
        return (
            f"the pgmq of this database has no function {name}",
            "pgmq install brings it up to date.",
        )
    return message, diagnostic.message_hint


def line_of(message: Message) -> str:
    """Write a message as one line of JSON, its own JSON as it stands."""
    values = {field.name: getattr(message, field.name) for field in fields(message)}
    texts = (
        f'"{name}": {value if isinstance(value, JSONText) else json.dumps(value, default=str)}'
        for name, value in values.items()
    )
    return "{" + ", ".join(texts) + "}"


def rich(module: str, extra: str = "cli") -> Any:
    """Import a module of rich."""
    try:
        return importlib.import_module(f"rich.{module}")
    except ImportError as error:
        raise CommandError(f"rich is missing: pip install 'pgmq[{extra}]'") from error


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under their headings, the first column to the left and others to the right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def texts(self) -> list[list[str]]:
        """Give the cells; None is empty."""
        return [["" if cell is None else str(cell) for cell in row] for row in self.rows]

    def drawn(self) -> Any:
        """Make a table of rich."""
        table = rich("table").Table(box=rich("box").SIMPLE_HEAD)
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="right" if number else "left")
        for row in self.texts():
            table.add_row(*map(rich("text").Text, row))
        return table

    def plain(self) -> str:
        """Write it in columns."""
        lines = [list(self.columns), *self.texts()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if number else cell.ljust(width)
                for number, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )

    def show(self) -> None:
        """Print it: drawn in a terminal where rich is there, else plain."""
        if sys.stdout.isatty():
            with contextlib.suppress(CommandError):
                rich("console").Console().print(self.drawn())
                return
        print(self.plain())


_PROMETHEUS = {
    "pgmq_queue_length": ("gauge", "Messages in the queue.", "queue_length"),
    "pgmq_queue_visible_length": ("gauge", "Messages that can be read.", "queue_visible_length"),
    "pgmq_oldest_message_age_seconds": ("gauge", "Age of the oldest.", "oldest_msg_age_sec"),
    "pgmq_newest_message_age_seconds": ("gauge", "Age of the newest.", "newest_msg_age_sec"),
    "pgmq_messages_total": ("counter", "Messages sent so far.", "total_messages"),
}


def prometheus(found: Iterable[QueueMetrics]) -> str:
    """Write metrics in Prometheus' text format."""
    lines = []
    found = list(found)
    for name, (kind, text, field) in _PROMETHEUS.items():
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
        for metrics in found:
            value = getattr(metrics, field)
            if value is not None:
                queue = metrics.queue_name.replace("\\", r"\\").replace('"', r"\"")
                lines.append(f'{name}{{queue="{queue.replace(chr(10), chr(92) + "n")}"}} {value}')
    return "\n".join(lines) + "\n"


def compare(seen: list[Seen], before: dict[str, Seen], wanted: Sequence[str]) -> Table:
    """Make a table of what was seen, with what has changed since."""
    lengths = {each.queue: each.length for each in seen}
    rows = []
    for now in seen:
        if wanted and now.queue not in wanted:
            continue
        sent = done = None
        if (was := before.get(now.queue)) and now.at > was.at:
            seconds = now.at - was.at
            sent = f"{max(0, now.total - was.total) / seconds:.1f}"
            done = f"{max(0, now.total - was.total - now.length + was.length) / seconds:.1f}"
        dead = lengths.get(now.dead_letter_queue) if now.dead_letter_queue else None
        rows.append(
            [now.queue, now.length, now.hidden, now.oldest, sent, done, dead, now.dead_tuples]
        )
    return Table(
        [
            "queue", "messages", "in flight", "oldest s", "sent/s", "done/s", "dead letters",
            "dead tuples",
        ],
        rows,
    )  # fmt: skip


def lags(found: Iterable[StreamGroup], wanted: Sequence[str]) -> Table:
    """Make a table of how far behind the groups of streams are."""
    return Table(
        ["group", "lag", "oldest s", "lanes", "leased", "failing", "held bytes"],
        [
            (f"{group.queue_name}/{group.group_name}", group.lag, group.lag_seconds, group.lanes,
             group.leased_lanes, group.failing_lanes, group.held_bytes)
            for group in found
            if not wanted or group.queue_name in wanted
        ],
    )  # fmt: skip
