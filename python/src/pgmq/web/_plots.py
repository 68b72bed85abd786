"""Plots as SVG. They are made of numbers alone, and take their colours from the style sheet."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from markupsafe import Markup

from pgmq.web._words import number, rate, span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pgmq.web._history import Times

    Points = list[float] | None  # None is not kept

__all__ = ["plot", "spark"]

_SPARK = (96, 20, 48)  # width, height, points
_PLOT = (480, 110)
_WRITE: dict[str, Callable[[float | None], str]] = {"rate": rate, "span": span, "number": number}


def spark(series: Sequence[Points], times: Times) -> Markup:
    """Draw what came in and went out as small lines, on one scale."""
    width, height, count = _SPARK
    together = -(-times.shown // count)
    lines = [
        [_mean(points[number : number + together]) for number in range(0, len(points), together)]
        for points in series
        if points
    ]
    top = _top(lines)
    return Markup(
        '<svg class="spark" viewBox="0 0 {width} {height}" width="{width}"'
        ' height="{height}" role="img" aria-label="{title}">{paths}</svg>'
    ).format(
        width=width,
        height=height,
        title=f"in and out, the last {span(times.long)}",
        paths=Markup("").join(
            Markup('<path class="line s{}" d="{}"/>').format(number, path)
            for number, line in enumerate(lines)
            for path in _paths(line, top, width, height)
        ),
    )


def plot(lines: Sequence[tuple[str, Points]], times: Times, unit: str = "number") -> Markup:
    """Draw figures on one scale, with a legend; unit: number, rate or span."""
    width, height = _PLOT
    drawn = [(name, points) for name, points in lines if points]
    top = _top([points for _, points in drawn])
    write = _WRITE[unit]
    words = ", ".join(
        f"{name}: now {write(_last(points))}, at most {write(_most(points))}"
        for name, points in drawn
    )
    svg = Markup(
        '<svg class="plot" viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img"'
        ' aria-label="The last {long}. {words}"><path class="grid" d="{grid}"/>{paths}</svg>'
    ).format(
        width=width,
        height=height,
        words=words,
        long=span(times.long),
        grid="".join(f"M0 {y}H{width}" for y in (1, height // 2, height - 1)),
        paths=Markup("").join(
            Markup('<path class="line s{}" d="{}"/>').format(number, path)
            for number, (_, points) in enumerate(drawn)
            for path in _paths(points, top, width, height - 2)
        ),
    )
    legend = Markup("").join(
        Markup('<li class="s{}">{} <b>{}</b></li>').format(number, name, write(_last(points)))
        for number, (name, points) in enumerate(drawn)
    )
    return Markup(
        '<figure>{}<div class="axis"><span>{} ago</span><span>at most {}</span>'
        '<span>now</span></div><figcaption><ul class="legend">{}</ul></figcaption></figure>'
    ).format(svg, span(times.long), write(top if drawn else None), legend)


def _known(points: Iterable[float]) -> list[float]:
    return [point for point in points if not math.isnan(point)]


def _mean(points: Iterable[float]) -> float:
    known = _known(points)
    return sum(known) / len(known) if known else math.nan


def _last(points: Sequence[float]) -> float | None:
    return None if not points or math.isnan(points[-1]) else points[-1]


def _most(points: Iterable[float]) -> float | None:
    return max(_known(points), default=None)


def _top(lines: Iterable[Iterable[float]]) -> float:
    return max((point for line in lines for point in _known(line)), default=0.0)


def _paths(points: Sequence[float], top: float, width: int, height: int) -> Iterable[str]:
    """Draw a line, interrupted where nothing is known; a single point is a short dash."""
    path, pen = [], "M"
    for place, point in enumerate(points):
        if math.isnan(point):
            pen = "M"
            continue
        x = place * width / (len(points) - 1)
        y = height - (height - 2) * (point / top if top else 0) - 1
        path.append(f"{pen}{x:.0f} {y:.1f}")
        if pen == "M":
            path.append("h-.01")
        pen = "L"
    if path:
        yield "".join(path)
