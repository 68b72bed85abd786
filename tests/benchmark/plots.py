"""Draws what a run found, as SVG: python tests/benchmark/plots.py results.json FOLDER."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Each colour stands for one thing, so that the dark mode can have another for it.
INK, FAINT, PAPER = "#1f2328", "#d1d9e0", "#ffffff"
OURS, OTHER, LIMIT = "#0969da", "#9aa4ae", "#c9d1d8"
DARK = {
    INK: "#e6edf3", FAINT: "#3d444d", PAPER: "#0d1117", OURS: "#4493f8", OTHER: "#7d8590",
    LIMIT: "#4b535d",
}  # fmt: skip
COLOURS = {"upstream": OTHER, "pgmq": OURS, "by_hand": LIMIT}
LABELS = {"upstream": "pgmq 1.13", "pgmq": "this pgmq", "by_hand": "SQL by hand"}
STYLE = {
    "svg.hashsalt": "pgmq",  # the same data give the same file
    "hatch.linewidth": 0.6,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.facecolor": PAPER,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "grid.color": FAINT,
    "hatch.color": PAPER,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


class Bar(NamedTuple):
    """A bar, and what stands at its end; without a value it goes on for ever."""

    value: float | None
    text: str
    colour: str


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _bar(value: float | None, colour: str, name: str = "") -> Bar:
    """Make a bar that says its value, and whose it is."""
    return Bar(value, "" if value is None else f"{_short(value)}  {name}".rstrip(), colour)


def _bars(axes: Axes, rows: Mapping[str, Sequence[Bar]], *, log: bool = False) -> None:
    """Draw horizontal bars, from top to bottom, with nothing else to be read than their texts."""
    known = [bar.value for bars in rows.values() for bar in bars if bar.value is not None]
    if log:
        axes.set_xscale("log")
        # The smallest is still to be seen, and there is room for the text of the largest.
        ends = min(known) / 3, max(known) * (max(known) / min(known)) ** 0.35
    else:
        ends = 0.0, 1.3 * max(known)
    endless = ends[0] + 0.8 * (ends[1] - ends[0]) if not log else ends[1] / 3
    places = []
    for number, bars in enumerate(rows.values()):
        height = 0.84 / len(bars)
        places.append(number + 0.42 - height / 2)
        for place, bar in enumerate(bars):
            y = number + place * height
            width = endless if bar.value is None else bar.value
            hatch = "////" if bar.value is None else None
            axes.barh(y, width - ends[0], 0.9 * height, ends[0], color=bar.colour, hatch=hatch)
            axes.annotate(
                bar.text, (width, y), (3, 0), textcoords="offset points", va="center", fontsize=8
            )
    axes.set_yticks(places, list(rows))
    axes.tick_params(axis="both", which="both", length=0)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.set_xlim(ends)
    axes.margins(y=0.01)
    axes.invert_yaxis()


def _line(axes: Axes, points: Sequence[tuple[float, float]], name: str) -> None:
    """Draw a line with its name over its end."""
    axes.plot(*zip(*points, strict=True), color=COLOURS[name], marker=".", linewidth=1.6)
    axes.annotate(
        LABELS[name], points[-1], (0, 7), textcoords="offset points", ha="right", fontsize=8,
        weight="bold" if name == "pgmq" else "normal",
    )  # fmt: skip


def _tps(one: dict[str, Any], key: str = "tps") -> float | None:
    runs = [run[key] for run in one["runs"] if run[key] is not None]
    return median(runs) if runs else None


def _calls(axes: Axes, data: dict[str, Any], chosen: Sequence[str] = ()) -> None:
    def rates(engines: dict[str, Any], name: str) -> list[float]:
        return [run["tps"] for run in engines.get(name, {"runs": []})["runs"]]

    rows: dict[str, list[Bar]] = {}
    for title, engines in data.items():
        upstream = rates(engines, "upstream")
        if not upstream or (chosen and title not in chosen):
            continue
        rows[title.partition(" (")[0]] = [
            _bar(
                median(rate / base for rate, base in zip(found, upstream, strict=False)),
                COLOURS[name],
                "" if rows else LABELS[name],  # who is who is said once
            )
            for name in ("pgmq", "by_hand")
            if (found := rates(engines, name))
        ]
    _bars(axes, rows)
    axes.axvline(1, color=INK, linewidth=0.8)
    axes.set_title("Calls a second, pgmq 1.13 = 1 (the line)")


def _some_calls(axes: Axes, data: dict[str, Any]) -> None:
    few = ("send", "send_batch of 100", "read 1 + delete", "read 100 + delete", "pop 100",
           "read 1 + archive", "send + read + delete")  # fmt: skip
    _calls(axes, data, few)


def _backlog(axes: Axes, data: dict[str, Any]) -> None:
    def milliseconds(engines: dict[str, Any], name: str) -> float:
        return median(float(run["latencies_ms"][0]) for run in engines[name]["runs"])

    empty, *others = data
    largest = max(int(title.partition(" ")[0].replace(",", "")) for title in others)
    rows = {"nothing else": data[empty]}
    for title in others:
        size, _, kind = title.partition(" ")
        if int(size.replace(",", "")) == largest:
            rows[kind] = data[title]
    _bars(
        axes,
        {
            kind: [
                _bar(milliseconds(engines, name), COLOURS[name], "" if number else LABELS[name])
                for name in ("pgmq", "upstream")
                if engines.get(name, {}).get("runs")
            ]
            for number, (kind, engines) in enumerate(rows.items())
        },
        log=True,
    )
    axes.set_title(f"A read behind {largest:,}, ms (logarithmic)")


def _snapshot(axes: Axes, data: dict[str, Any]) -> None:
    turn = data["turn_seconds"] * len(data["engines"])
    for name, phases in data["engines"].items():
        rates = [b["tps"] for phase in phases.values() for b in phase]
        seconds = [i * turn for i in range(len(rates))]
        axes.plot(seconds, rates, color=COLOURS[name], marker=".", linewidth=1.6)
        held = len(phases["held"])
        ends = held * turn, (held + len(phases["ended"])) * turn
        last = median(rates[held - max(1, 120 // turn) : held])
        axes.annotate(
            f"{LABELS[name]}: {last:,.0f} at the end", (seconds[held // 2], max(rates[5:held])),
            (0, 6), textcoords="offset points", ha="center", fontsize=8,
            weight="bold" if name == "pgmq" else "normal",
        )  # fmt: skip
    for at, text, side in zip(ends, ("snapshot ends", "vacuum"), ("right", "left"), strict=True):
        axes.axvline(at - turn / 2, color=INK, linewidth=0.8, linestyle=":")
        axes.annotate(text, (at - turn / 2, 1.01), xycoords=("data", "axes fraction"),
                      fontsize=7, ha=side)  # fmt: skip
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("seconds since another session took a snapshot")
    axes.grid(axis="y", linewidth=0.5)
    axes.set_title("send + read + delete a second, under a held snapshot", pad=15)


def _clients(axes: Axes, data: dict[str, Any]) -> None:
    numbers = [int(title.split()[0]) for title in data]
    for name in ("upstream", "pgmq", "by_hand"):
        line = [
            (number, tps)
            for number, engines in zip(numbers, data.values(), strict=True)
            if (tps := _tps(engines.get(name, {"runs": []})))
        ]
        if line:
            _line(axes, line, name)
    axes.set_xscale("log", base=2)
    axes.set_xticks(numbers, list(map(str, numbers)))
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("clients")
    axes.grid(axis="y", linewidth=0.5)
    axes.set_title("send + read + delete a second, from one client to many")


def _waking(axes: Axes, data: dict[str, Any]) -> None:
    rows: dict[str, list[Bar]] = {}
    for way, ms in data["milliseconds"].items():
        if not ms:
            continue
        engine, _, how = way.partition(": ")
        ordered = sorted(ms)
        figures = {"median": median(ordered), "p99": ordered[int(0.99 * (len(ordered) - 1))]}
        rows[f"{LABELS.get(engine, engine)}, {how}"] = [
            _bar(value, COLOURS.get(engine, OTHER), name if not rows else "")
            for name, value in figures.items()
        ]
    _bars(axes, rows, log=True)
    axes.set_title("From commit to a client that has read it, ms (logarithmic): median and p99")


def _fifo(axes: Axes, data: dict[str, Any]) -> None:
    rows: dict[str, list[Bar]] = {}
    for title, engines in data["states"].items():
        if "upstream" not in engines or "never" in title:
            continue
        bars = []
        for name in ("pgmq", "upstream"):
            found = engines[name].get("read_grouped 1", {})
            bar = _bar(found.get("median_ms"), COLOURS[name], "" if rows else LABELS[name])
            bars.append(bar._replace(text=bar.text or found.get("error") or "not tried"))
        head, comma, rest = title.partition(", ")
        rows[f"{head},\n{rest}" if comma else head] = bars
    _bars(axes, rows, log=True)
    axes.set_title("read_grouped of one message, median ms (logarithmic)", x=-0.3)


def _peers(axes: Axes, data: dict[str, Any]) -> None:
    rates = {engine: median(one["rate"]) for engine, one in data["drain"].items() if one["rate"]}
    names = {"pgmq": "pgmq, AsyncWorker", "pgmq threads": "pgmq, Worker (threads)",
             "upstream pgmq": "pgmq 1.13"}  # fmt: skip
    _bars(
        axes,
        {
            names.get(engine, engine): [_bar(rate, OURS if engine.startswith("pgmq") else OTHER)]
            for engine, rate in sorted(rates.items(), key=lambda item: -item[1])
        },
    )
    axes.set_title("Workers of queues in Postgres: jobs a second")


def _frameworks(axes: Axes, data: dict[str, Any]) -> None:
    rows = {}
    for name, one in data.items():
        workers, server = median(one["workers_us"]), median(one["server_us"])
        colour = OURS if "pgmq" in name or name.endswith("Worker") else OTHER
        text = f"{_short(workers)} + {_short(server)}"
        rows[name] = [Bar(workers + server, text, colour)]
    _bars(axes, rows, log=True)
    axes.set_title("CPU for a job, us (logarithmic): workers + server")


def _streams(axes: Axes, data: dict[str, Any]) -> None:
    rows: dict[str, list[Bar]] = {}
    for what in ("send_batch of 100", "take 100", "take 1,000"):
        rows[what] = [
            _bar(median(rounds[what]), OTHER if "pg" in name.lower() else OURS, name)
            for name, rounds in data["costs"].items()
            if rounds.get(what)
        ]
    _bars(axes, rows)
    axes.set_title("CPU of the server for a message, us; PgQ without its tick")


Plot = dict[str, "Callable[[Axes, dict[str, Any]], None]"]
PLOTS: Plot = {
    "calls": _calls,
    "backlog": _backlog,
    "snapshot": _snapshot,
    "clients": _clients,
    "waking": _waking,
    "fifo": _fifo,
    "peers": _peers,
    "streams": _streams,
    "frameworks": _frameworks,
}
# At a glance, in one picture.
PANELS: Plot = {
    "calls": _some_calls, "backlog": _backlog, "snapshot": _snapshot, "peers": _peers,
}  # fmt: skip
TALL = {"calls": 7.5, "fifo": 6.0, "frameworks": 4.6}


def draw(data: dict[str, Any], folder: Path) -> list[str]:
    """Draw what there is data for; returns the files' names."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams.update(STYLE)
    from matplotlib import pyplot as plt

    drawn: list[str] = []

    def save(figure: Figure, name: str) -> None:
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
        (folder / name).write_text(_with_dark_mode(text.getvalue()))
        plt.close(figure)
        drawn.append(name)

    for name, plot in PLOTS.items():
        if data.get(name):
            figure, axes = plt.subplots(figsize=(8, TALL.get(name, 3.6)), layout="constrained")
            plot(axes, data[name])
            save(figure, f"{name}.svg")
    if all(data.get(name) for name in PANELS):
        figure, grid = plt.subplots(2, 2, figsize=(10.5, 6.2), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
        for axes, (name, plot) in zip(grid.flat, PANELS.items(), strict=True):
            plot(axes, data[name])
        save(figure, "panels.svg")
    return drawn


def _with_dark_mode(svg: str) -> str:
    rules = "".join(
        f'[style*="{what}: {light}"]{{{what}:{dark}!important}}'
        for light, dark in DARK.items()
        for what in ("fill", "stroke")
    )
    start, tag, rest = svg.partition("<defs>")
    return f"{start}<style>@media (prefers-color-scheme: dark){{{rules}}}</style>\n {tag}{rest}"


def main(arguments: Iterable[str]) -> None:
    """Draw a run's results again."""
    results, folder = map(Path, arguments)
    print(*draw(json.loads(results.read_text()), folder), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
