"""Draws what a run found, as SVG: python tests/benchmark/plots.py results.json FOLDER."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from matplotlib.axes import Axes

COLOURS = {"upstream": "#9a9a9a", "pgmq": "#1f6feb", "by_hand": "#d29922"}
LABELS = {"upstream": "pgmq 1.13", "pgmq": "this pgmq", "by_hand": "hand-written SQL"}
OTHERS = ("#2da44e", "#bf3989", "#8250df", "#cf222e", "#57606a", "#0a7ea4")


def _tps(one: dict[str, Any], key: str = "tps") -> float | None:
    runs = [run[key] for run in one["runs"] if run[key] is not None]
    return median(runs) if runs else None


def _bars(
    axes: Axes, groups: list[str], bars: dict[str, list[float | None]], colours: dict[str, str]
) -> None:
    """Draw horizontal bars, a group of them for each title, from top to bottom."""
    height = 0.8 / len(bars)
    for number, (name, values) in enumerate(bars.items()):
        places = [i + number * height for i in range(len(groups))]
        shown = [value or 0 for value in values]
        axes.barh(places, shown, height, label=LABELS.get(name, name), color=colours[name])
    axes.set_yticks([i + 0.4 - height / 2 for i in range(len(groups))], groups, fontsize=8)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=8)


def _calls(axes: Axes, data: dict[str, Any]) -> None:
    titles = [t for t, engines in data.items() if engines.get("upstream", {}).get("runs")]
    bars: dict[str, list[float | None]] = {}
    for name in ("upstream", "pgmq", "by_hand"):
        found = []
        for title in titles:
            here, upstream = (
                _tps(data[title].get(name, {"runs": []})),
                _tps(data[title]["upstream"]),
            )
            found.append(here / upstream if here and upstream else None)
        bars[name] = found
    _bars(axes, titles, bars, COLOURS)
    axes.set_xlabel("transactions per second, pgmq 1.13 = 1")


def _backlog(axes: Axes, data: dict[str, Any]) -> None:
    styles = ("-", "--", ":", "-.")
    empty, *others = data.items()
    kinds: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for title, engines in others:
        size, _, kind = title.partition(" ")
        kinds.setdefault(kind, []).append((int(size.replace(",", "")), engines))
    for style, (kind, points) in zip(styles, kinds.items(), strict=False):
        for name in ("upstream", "pgmq"):
            line = [
                (size, median(run["latencies_ms"][0] for run in engines[name]["runs"]))
                for size, engines in [(100, empty[1]), *points]
                if engines.get(name, {}).get("runs")
            ]
            axes.plot(
                *zip(*line, strict=True), style, color=COLOURS[name], marker=".",
                label=f"{LABELS[name]}: {kind}",
            )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("messages ahead (leftmost: none)")
    axes.set_ylabel("a read of one message, ms")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)


def _snapshot(axes: Axes, data: dict[str, Any]) -> None:
    turn = data["turn_seconds"] * len(data["engines"])
    for name, phases in data["engines"].items():
        rates = [b["tps"] for phase in phases.values() for b in phase]
        axes.plot(
            [i * turn for i in range(len(rates))], rates, color=COLOURS[name], marker=".",
            label=LABELS[name],
        )  # fmt: skip
    held = len(next(iter(data["engines"].values()))["held"]) * turn
    ended = len(next(iter(data["engines"].values()))["ended"]) * turn
    for at, text in ((held, "snapshot ends"), (held + ended, "vacuum")):
        axes.axvline(at - turn / 2, color="#57606a", linewidth=0.8)
        axes.text(at - turn / 2, axes.get_ylim()[1], text, fontsize=7, rotation=90, va="top")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds measured, in turns, since another session took its snapshot")
    axes.set_ylabel("send + read + delete per second")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _clients(axes: Axes, data: dict[str, Any]) -> None:
    for name in ("upstream", "pgmq", "by_hand"):
        line = [
            (int(title.split()[0]), _tps(engines[name]))
            for title, engines in data.items()
            if engines.get(name, {}).get("runs")
        ]
        if line:
            axes.plot(*zip(*line, strict=True), color=COLOURS[name], marker=".", label=LABELS[name])
    axes.set_xscale("log", base=2)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("clients")
    axes.set_ylabel("send + read + delete per second")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _waking(axes: Axes, data: dict[str, Any]) -> None:
    ways = {way: sorted(ms) for way, ms in data["milliseconds"].items() if ms}
    bars = {
        "median": [median(ms) for ms in ways.values()],
        "p99": [ms[int(0.99 * (len(ms) - 1))] for ms in ways.values()],
        "largest": [ms[-1] for ms in ways.values()],
    }
    _bars(axes, list(ways), bars, dict(zip(bars, OTHERS, strict=False)))
    axes.set_xscale("log")
    axes.set_xlabel("from commit to a client that has read it, ms")


def _fifo(axes: Axes, data: dict[str, Any]) -> None:
    states = {
        title: engines
        for title, engines in data["states"].items()
        if "upstream" in engines and "never" not in title
    }
    call = "read_grouped 1"
    bars: dict[str, list[float | None]] = {
        name: [engines.get(name, {}).get(call, {}).get("median_ms") for engines in states.values()]
        for name in ("upstream", "pgmq")
    }
    _bars(axes, list(states), bars, COLOURS)
    axes.set_xscale("log")
    axes.set_xlabel("read_grouped 1, median ms; no bar: did not return in time, or not tried")


def _peers(axes: Axes, data: dict[str, Any]) -> None:
    rates = {engine: median(one["rate"]) for engine, one in data["drain"].items() if one["rate"]}
    rates = dict(sorted(rates.items(), key=lambda item: -item[1]))
    _bars(axes, list(rates), {"jobs a second": list(rates.values())}, {"jobs a second": OTHERS[0]})
    axes.set_xlabel("a backlog drained by the engine's worker, jobs per second")


def _streams(axes: Axes, data: dict[str, Any]) -> None:
    whats = ["send_batch of 100", "take 100", "take 1,000"]
    bars: dict[str, list[float | None]] = {
        name: [median(rounds[what]) if rounds.get(what) else None for what in whats]
        for name, rounds in data["costs"].items()
    }
    known = {"pgmq 1.13": "upstream", "a queue": "by_hand", "a stream": "pgmq"}
    others = iter(OTHERS)
    colours = {name: COLOURS[known[name]] if name in known else next(others) for name in bars}
    _bars(axes, whats, bars, colours)
    axes.set_xlabel("CPU of the server for a message, us; PgQ without its tick")


PLOTS: dict[str, tuple[str, Callable[[Axes, dict[str, Any]], None]]] = {
    "calls": ("Calls beside pgmq 1.13 and hand-written SQL", _calls),
    "backlog": ("A read behind a backlog", _backlog),
    "snapshot": ("A long transaction", _snapshot),
    "clients": ("From one client to 128", _clients),
    "waking": ("Commit to receipt", _waking),
    "fifo": ("FIFO groups", _fifo),
    "peers": ("Workers of several queues", _peers),
    "streams": ("Streams beside queues", _streams),
}


def draw(data: dict[str, Any], folder: Path) -> list[str]:
    """Draw what there is data for; returns the files' names."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "pgmq"  # the same data give the same file
    from matplotlib import pyplot as plt

    drawn: list[str] = []
    for name, (title, plot) in PLOTS.items():
        if not data.get(name):
            continue
        tall = 0.42 * len(data[name]) if plot is _calls else 4.2
        figure, axes = plt.subplots(figsize=(8, max(4.2, tall)), layout="constrained")
        plot(axes, data[name])
        axes.set_title(title, fontsize=10)
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        drawn.append(f"{name}.svg")
        plt.close(figure)
    return drawn


def main(arguments: Iterable[str]) -> None:
    """Draw a run's results again."""
    results, folder = map(Path, arguments)
    print(*draw(json.loads(results.read_text()), folder), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
