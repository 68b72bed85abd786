"""What leads to which queue, as a picture: exchanges and topics, patterns, queues and channels."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pgmq.messages import Binding, TopicBinding

__all__ = ["MOST", "Way", "draw", "ways"]

MOST = 150  # ways in a picture
_ROW, _HIGH = 36, 28  # from one box to the next, and how high a box is
_COLUMNS = ((0, 220), (300, 260), (640, 240))  # where they are, and how wide
_WIDTH = 880
_LETTER = 7.9  # how wide one is, about


@dataclass(frozen=True, slots=True, order=True)
class Way:
    """A binding: where messages come from, by which pattern, and where they go."""

    source: str  # an exchange; empty for send_topic
    kind: str
    pattern: str
    target: str
    is_queue: bool  # or a channel

    @property
    def origin(self) -> str:
        return f"exchange {self.source}" if self.source else "send_topic"

    @property
    def condition(self) -> str:
        return f"{self.kind}: {self.pattern}" if self.pattern else self.kind


def ways(bindings: Iterable[Binding], topics: Iterable[TopicBinding]) -> list[Way]:
    """Give what is bound to exchanges and to topics, in order."""
    found = [
        Way(each.exchange_name, each.kind, each.pattern or "", queue or each.channel or "",
            queue is not None)
        for each in bindings
        for queue in [each.queue_name]
    ]  # fmt: skip
    found += [Way("", "topic", each.pattern, each.queue_name, True) for each in topics]
    return sorted(found)


def draw(found: Sequence[Way], link: Callable[[str], str]) -> Markup:
    """Draw ways as boxes in three columns with lines between them; link gives a queue's page."""
    rules = list(dict.fromkeys((each.source, each.condition) for each in found))
    # Whatever has several lines stands in the middle of where they come from.
    place = {rule: float(number) for number, rule in enumerate(rules)}
    sources = {
        each.origin: fmean(place[rule] for rule in rules if rule[0] == each.source)
        for each in found
    }
    wanted = {
        each: fmean(
            place[way.source, way.condition] for way in found if (way.target, way.is_queue) == each
        )
        for each in {(way.target, way.is_queue) for way in found}
    }
    targets = {
        each: float(number)
        for number, each in enumerate(sorted(wanted, key=lambda each: (wanted[each], each)))
    }
    # The shorter column is centred beside the longer one.
    rows = max(len(rules), len(targets))
    down = {"rules": (rows - len(rules)) / 2, "targets": (rows - len(targets)) / 2}

    lines, boxes = [], []
    for origin, at in sources.items():
        boxes.append(_box(0, at + down["rules"], origin, "source"))
    for rule, at in place.items():
        origin = f"exchange {rule[0]}" if rule[0] else "send_topic"
        boxes.append(_box(1, at + down["rules"], rule[1], "rule"))
        lines.append(_line(0, sources[origin] + down["rules"], at + down["rules"]))
    for (name, is_queue), at in targets.items():
        box = _box(2, at + down["targets"], name if is_queue else f"channel {name}", "target")
        if is_queue:
            box = Markup('<a href="{}" tabindex="-1">{}</a>').format(link(name), box)
        boxes.append(box)
    for way in found:
        since = place[way.source, way.condition] + down["rules"]
        until = targets[way.target, way.is_queue] + down["targets"]
        lines.append(_line(1, since, until))
    return Markup(
        '<svg class="map" viewBox="0 0 {width} {height}" role="img"'
        ' aria-label="{count} bindings, which the table lists">{lines}{boxes}</svg>'
    ).format(
        width=_WIDTH,
        height=rows * _ROW,
        count=len(found),
        lines=Markup("").join(lines),
        boxes=Markup("").join(boxes),
    )


def _box(column: int, row: float, text: str, kind: str) -> Markup:
    x, wide = _COLUMNS[column]
    y = row * _ROW + (_ROW - _HIGH) / 2
    most = int((wide - 20) / _LETTER)
    return Markup(
        '<g class="{kind}"><title>{whole}</title>'
        '<rect x="{x}.5" y="{y:.1f}" width="{wide}" height="{high}" rx="6"/>'
        '<text x="{left}" y="{base:.1f}">{text}</text></g>'
    ).format(
        kind=kind,
        whole=text,
        x=x,
        y=y,
        wide=wide - 1,
        high=_HIGH,
        left=x + 10,
        base=y + _HIGH / 2 + 5,
        text=text if len(text) <= most else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}",
    )


def _line(column: int, since: float, until: float) -> Markup:
    """Draw from a row of a column to one of the next column."""
    x, wide = _COLUMNS[column]
    left, right = x + wide, _COLUMNS[column + 1][0]
    middle = (left + right) / 2
    y, to = (since + 0.5) * _ROW, (until + 0.5) * _ROW
    return Markup('<path d="M{} {:.1f}C{} {:.1f} {} {:.1f} {} {:.1f}"/>').format(
        left, y, middle, y, middle, to, right, to
    )
