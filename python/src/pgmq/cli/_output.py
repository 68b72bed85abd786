"""What commands print: messages, tables, what was done, and what is wrong."""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import psycopg

from pgmq._wire import JSONText
from pgmq.cli._hints import spoken

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from pgmq.cli._declare import Options
    from pgmq.messages import Message, Pause

__all__ = [
    "CommandError",
    "Table",
    "asks",
    "confirm",
    "explain",
    "line_of",
    "local",
    "pauses",
    "print_json",
    "require_all",
    "rich",
    "say",
]


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
    return message, spoken(diagnostic.message_hint or "")


def asks(options: Options) -> bool:
    """Tell whether somebody sits there who can be asked."""
    return not options.yes and sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str) -> None:
    """Ask; whatever is no yes ends the command."""
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        print(file=sys.stderr)
    if answer.strip().lower() not in {"y", "yes"}:
        raise CommandError("nothing is done")


def say(options: Options, text: object, **values: Any) -> None:
    """Print a line that says what was done; with --json, an object."""
    print(json.dumps(values, default=str) if options.json else text)


def require_all(
    wanted: Iterable[Any], found: Iterable[Any], otherwise: str = "not in the queue"
) -> None:
    """Raise a CommandError that names what is wanted and not found."""
    if missing := sorted(set(wanted) - set(found)):
        raise CommandError(f"{otherwise}: {', '.join(map(str, missing))}")


def print_json(records: Iterable[Any]) -> None:
    """Print an array of dataclasses."""
    print(json.dumps([asdict(record) for record in records], default=str))


def local(moment: datetime) -> str:
    """Write a time as clocks here show it."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


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


_SHORT_NAME = 16  # characters that are left of a name, before columns are left out


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under their headings: texts come first and stand to the left, numbers to the right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    texts: int = 1

    def cells(self) -> list[list[str]]:
        """Give what to print; None is empty."""
        return [["" if cell is None else str(cell) for cell in row] for row in self.rows]

    def widths(self) -> list[int]:
        """Give what each column needs."""
        lines = [list(self.columns), *self.cells()]
        return [max(map(len, column)) for column in zip(*lines, strict=True)]

    def drawn(self) -> Any:
        """Make a table of rich."""
        table = rich("table").Table(box=rich("box").SIMPLE_HEAD)
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="left" if number < self.texts else "right")
        for row in self.cells():
            table.add_row(*map(rich("text").Text, row))
        return table

    def plain(self) -> str:
        """Write it in columns."""
        widths = self.widths()
        return "\n".join(
            "  ".join(
                cell.ljust(width) if number < self.texts else cell.rjust(width)
                for number, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in [list(self.columns), *self.cells()]
        )

    def fitted(self, width: int) -> Table:
        """Make it fit: leave out empty columns, shorten names, leave out the last columns."""
        cells, widths = self.cells(), self.widths()
        kept = list(range(1, len(widths)))

        def room() -> int:
            return width - sum(widths[number] + 2 for number in kept)

        filled = {number: any(row[number] for row in cells) for number in kept}
        for number in sorted(kept, key=lambda number: (filled[number], -number)):
            if room() >= min(widths[0], _SHORT_NAME if filled[number] else widths[0]):
                break
            kept.remove(number)
        rows = [
            (name if len(name) <= room() else f"{name[: room() - 1]}…", *(row[n] for n in kept))
            for row in cells
            for name in row[:1]
        ]
        return Table([self.columns[0], *(self.columns[n] for n in kept)], rows, self.texts)

    def show(self) -> None:
        """Print it: drawn in a terminal where rich is there and has the room, else plain."""
        if sys.stdout.isatty():
            with contextlib.suppress(CommandError):
                console = rich("console").Console()
                if sum(width + 3 for width in self.widths()) < console.width:
                    console.print(self.drawn())
                    return
        print(self.plain())


def pauses(found: Iterable[Pause]) -> dict[str, str]:
    """Say by queue what is paused; the names are in lower case."""
    return {
        pause.queue_name.lower(): " and ".join(
            name for name in ("reads", "sends") if getattr(pause, name)
        )
        for pause in found
    }
