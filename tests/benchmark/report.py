"""Numbers to Markdown, and what is being done to stderr."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmark.driver import Run


def progress(text: str) -> None:
    """Say on stderr what is being done."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


@dataclass(slots=True)
class Series:
    """What one engine did in the rounds of one case."""

    runs: list[Run] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str | None) -> None:
        """Keep a note, once."""
        if text is not None and text not in self.notes:
            self.notes.append(text)

    def add(self, other: Series) -> None:
        """Add another round."""
        self.runs += other.runs
        for text in other.notes:
            self.note(text)

    @property
    def tps(self) -> list[float]:
        """Transactions per second, by round."""
        return [run.tps for run in self.runs]

    @property
    def cpu_us(self) -> list[float]:
        """Backend CPU time per transaction in microseconds, by round; empty if not known."""
        return [run.cpu_us for run in self.runs if run.cpu_us is not None]

    @property
    def wal_bytes(self) -> list[float]:
        """WAL bytes per transaction, by round; empty if not known."""
        return [run.wal_bytes for run in self.runs if run.wal_bytes is not None]

    @property
    def blocks(self) -> list[float]:
        """Blocks touched per transaction, by round; empty if not known."""
        return [run.blocks for run in self.runs if run.blocks is not None]

    @property
    def first_command_ms(self) -> list[float]:
        """Latency of the script's first command, by round; empty if not asked for."""
        return [run.latencies_ms[0] for run in self.runs if run.latencies_ms]

    def as_json(self) -> dict[str, Any]:
        """Return everything."""
        return {"runs": [asdict(run) for run in self.runs], "notes": self.notes}


def number(value: float) -> str:
    """Format with about three significant digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(values: Sequence[float]) -> str:
    """Format the median, with the smallest and the largest."""
    if not values:
        return "-"
    text = number(median(values))
    if len(values) > 1:
        text += f" ({number(min(values))}-{number(max(values))})"
    return text


def middle(values: Sequence[float]) -> str:
    """Format the median alone."""
    return number(median(values)) if values else "-"


def ratio(above: Sequence[float], below: Sequence[float]) -> float | None:
    """Return the median over the rounds of the ratio within each round."""
    pairs = [a / b for a, b in zip(above, below, strict=False) if b]
    return median(pairs) if pairs else None


def times(value: float | None) -> str:
    """Format a ratio."""
    return "-" if value is None else f"{value:.2f}x"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a Markdown table: the first column to the left, the others to the right."""
    lines = [header, [":--", *["--:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def notes(series: dict[str, dict[str, Series]]) -> str:
    """List what went wrong."""
    lines = [
        f"- {case}, {engine}: {text}"
        for case, engines in series.items()
        for engine, one in engines.items()
        for text in one.notes
    ]
    return "\n".join(["", *lines]) if lines else ""
