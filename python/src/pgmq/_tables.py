"""What queues hold, for people and for Prometheus."""

from __future__ import annotations

import contextlib
import importlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pgmq.messages import QueueMetrics

__all__ = ["TOP", "CommandError", "Seen", "Table", "compare", "prometheus", "rich"]


class CommandError(Exception):
    """Raised for what a command cannot do; the message says why."""


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


TOP = """
SELECT
    m.queue_name, m.queue_length, m.queue_length - m.queue_visible_length, m.oldest_msg_age_sec,
    m.total_messages, extract(EPOCH FROM m.scrape_time)::float8, p.dead_letter_queue,
    (
        SELECT coalesce(sum(s.n_dead_tup), 0)::bigint
        FROM pg_stat_all_tables AS s
        WHERE s.relid = t.relid OR s.relid IN (SELECT relid FROM pg_partition_tree(t.relid))
    )
FROM
    pgmq.metrics_all() AS m
CROSS JOIN LATERAL pgmq.get_policy(m.queue_name) AS p
CROSS JOIN LATERAL (
    SELECT to_regclass(format('pgmq.%I', pgmq.format_table_name(m.queue_name, 'q'))) AS relid
) AS t
ORDER BY m.queue_name
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """A row of TOP."""

    queue: str
    length: int
    hidden: int
    oldest: int | None
    total: int
    at: float
    dead_letter_queue: str | None
    dead_tuples: int


def compare(seen: list[Seen], before: dict[str, Seen], wanted: Sequence[str]) -> Table:
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
            "queue",
            "messages",
            "in flight",
            "oldest s",
            "sent/s",
            "done/s",
            "dead letters",
            "dead tuples",
        ],
        rows,
    )
