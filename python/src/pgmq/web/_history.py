"""The figures of all queues: the newest ones, and those of the last hour in memory."""

from __future__ import annotations

import itertools
import math
import time
from array import array
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from pgmq import _statements as statements
from pgmq.web import _looks as looks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgmq._statements import Known
    from pgmq.messages import QueueMetrics, QueueStats, StreamGroup
    from pgmq.web._database import Database
    from pgmq.web._looks import Server

__all__ = ["POINTS", "STEP", "History", "Past", "Queue", "Series", "Times", "unknown"]

POINTS = 240  # an hour
STEP = 15.0  # seconds
_GAP = 12  # steps
_NEXT = 4  # steps in which the next answer of somebody else comes
_SHORTEST = 20  # points of a plot
_RATES_OVER = 10.0  # seconds: what "now" is for a rate
_NAN = float("nan")


def unknown() -> array[float]:
    """Make the points of an hour of which nothing is known."""
    return array("f", [_NAN]) * POINTS


class Series:
    """The last hour of one figure: a ring of points, of which NaN is not known."""

    __slots__ = ("_points",)

    def __init__(self) -> None:
        self._points = unknown()

    def put(self, step: int, value: float | None) -> None:
        self._points[step % POINTS] = _NAN if value is None else value

    def points(self, step: int, shown: int = POINTS) -> Iterator[float]:
        """Give so many points up to this step, the oldest first."""
        for number in range(step + 1 + POINTS - shown, step + 1 + POINTS):
            yield self._points[number % POINTS]


@dataclass(slots=True)
class Queue:
    """What is known of one queue. None is not known, or not for this role to know."""

    name: str
    known: Known
    length: int | None = None
    visible: int | None = None
    delayed: int | None = None
    in_flight: int | None = None
    oldest: int | None = None  # seconds
    dead_letters: int | None = None
    archived: int | None = None
    sent_total: int | None = None
    removed_total: int | None = None
    sent_rate: float | None = None
    removed_rate: float | None = None
    dead_rate: float | None = None
    consumers: int | None = None  # sessions
    paused: str = ""
    groups: int = 0
    lag: int | None = None  # of the group that is furthest behind
    series: dict[str, Series] = field(default_factory=dict)
    totals: deque[tuple[float, int, int]] = field(default_factory=deque)  # time, sent, removed

    def take(self, metrics: QueueMetrics | None, stats: QueueStats | None, now: float) -> None:
        """Take the newest figures; None where this role sees none."""
        self.length = metrics.queue_length if metrics else None
        self.visible = metrics.queue_visible_length if metrics else None
        self.oldest = metrics.oldest_msg_age_sec if metrics else None
        self.delayed = stats.delayed if stats else None
        self.in_flight = stats.in_flight if stats else None
        self.dead_letters = stats.dead_letters if stats else None
        self.archived = stats.archive_length if stats else None
        self.sent_total = stats.sent_total if stats else None
        self.removed_total = stats.removed_total if stats else None
        self.sent_rate = self.removed_rate = self.dead_rate = None
        if stats:
            self._rate(now, stats.sent_total, stats.removed_total)

    def _rate(self, now: float, sent: int, removed: int) -> None:
        """Make rates of the totals of the last ten seconds."""
        totals = self.totals
        if totals and (totals[-1][1] > sent or totals[-1][2] > removed):
            totals.clear()  # they began anew
        totals.append((now, sent, removed))
        while len(totals) > 2 and totals[1][0] <= now - _RATES_OVER:
            totals.popleft()
        if (seconds := now - totals[0][0]) > 0:
            self.sent_rate = (sent - totals[0][1]) / seconds
            self.removed_rate = (removed - totals[0][2]) / seconds


# What there is a plot of, and the attribute of a queue that it shows.
FIGURES = {
    "sent": "sent_rate",
    "removed": "removed_rate",
    "dead": "dead_rate",
    "length": "length",
    "in_flight": "in_flight",
    "oldest": "oldest",
}


class History:
    """All queues, as they were seen last."""

    def __init__(self) -> None:
        self.queues: dict[str, Queue] = {}
        self.groups: list[StreamGroup] = []
        self.server: Server | None = None
        self.at: datetime | None = None  # when they were seen
        self.took = 0.0  # seconds
        self.error: tuple[str, str | None] | None = None  # why they were not seen since
        self.step = 0
        self.first = 0  # step

    @property
    def shown(self) -> int:
        """How many points a plot shows: those of an hour, or since the first figures."""
        return min(max(self.step - self.first + 1, _SHORTEST), POINTS)

    @property
    def is_standby(self) -> bool:
        return self.server is not None and self.server.is_standby

    def fail(self, message: str, hint: str | None) -> None:
        """Note why there are no new figures."""
        self.error = (message, hint)

    async def sample(self, database: Database) -> None:
        """Take the figures of now: each call is one for all queues."""
        began = time.monotonic()
        server = await database.run(looks.server())
        known = await database.run(statements.known())
        metrics = {each.queue_name: each for each in await database.metrics_all()}
        stats = {each.queue_name: each for each in await database.queue_stats()}
        paused = {each.queue_name.lower(): each for each in await database.list_paused()}
        groups = await database.list_groups()
        consumers = await database.run(looks.consumers())
        self.server = server
        self.take(began, known, metrics, stats, groups)
        for name, queue in self.queues.items():
            queue.consumers = consumers[name.lower()]
            pause = paused.get(name.lower())
            queue.paused = " and ".join(
                what for what in ("reads", "sends") if pause and getattr(pause, what)
            )
        self.at = datetime.now(timezone.utc)
        self.took = time.monotonic() - began
        self.error = None

    def take(
        self,
        now: float,
        known: list[Known],
        metrics: dict[str, QueueMetrics],
        stats: dict[str, QueueStats],
        groups: list[StreamGroup],
    ) -> None:
        """Take what was read at a time (of time.monotonic), in seconds."""
        step = int(now / STEP)
        self.first = self.first or step
        before = self.queues
        self.queues = {}
        for each in known:
            name = each.queue_name
            queue = before.get(name) or Queue(name, each)
            if queue.known.created_at != each.created_at:  # another one of this name
                queue = Queue(name, each)
            queue.known = each
            queue.take(metrics.get(name), stats.get(name), now)
            queue.groups, queue.lag = 0, None
            self.queues[name] = queue
        for group in groups:
            if found := self.queues.get(group.queue_name):
                found.groups += 1
                found.lag = max(found.lag or 0, group.lag)
        for queue in self.queues.values():
            dead = self.queues.get(queue.known.dead_letter_queue or "")
            queue.dead_rate = dead.sent_rate if dead else None
            for figure, attribute in FIGURES.items():
                value = getattr(queue, attribute)
                if figure not in queue.series:
                    if value is None:
                        continue
                    queue.series[figure] = Series()
                # Where figures are taken rarely, they count for the time before; else nobody knows.
                before_now = value if step - self.step <= _GAP else None
                for missed in range(max(self.step + 1, step - POINTS), step):
                    queue.series[figure].put(missed, before_now)
                queue.series[figure].put(step, value)
        self.step = step
        self.groups = groups


@dataclass(frozen=True, slots=True)
class Past:
    """The hour up to a step, as somebody else has kept it: the points by queue and figure."""

    step: int = 0
    lines: dict[tuple[str, str], array[float]] = field(default_factory=dict)
    source: str = ""  # whose figures these are
    problem: str = ""  # why some are not there, in words
    at: float = field(default_factory=time.monotonic)


class Times:
    """The hour of a page's plots: what is known of the past, and where it has nothing, our own."""

    def __init__(self, history: History, past: Past) -> None:
        self._queues = history.queues
        self._step = history.step
        self._past = past
        self.source, self.problem = past.source, past.problem
        older = [POINTS - _first(points) for points in past.lines.values()]
        newer = self._step - past.step
        self.shown = min(max(history.shown, max(older) + newer if older else 0), POINTS)

    @property
    def long(self) -> float:
        """How many seconds the plots show."""
        return self.shown * STEP

    def line(self, queue: Queue, figure: str) -> list[float] | None:
        """Give the points of a figure, the oldest first; None if nobody keeps it."""
        # The role that Prometheus' figures are taken by may see more than ours.
        of = self._queues.get(queue.known.dead_letter_queue or "") if figure == "dead" else queue
        if of is None or of.length is None:
            return None
        there = self._past.lines.get((of.name, "sent" if figure == "dead" else figure))
        own = queue.series.get(figure)
        if own is None and there is None:
            return None
        ours = own.points(self._step, self.shown) if own else itertools.repeat(_NAN)
        steps = range(self._step + 1 - self.shown, self._step + 1)
        return [self._point(step, there, point) for step, point in zip(steps, ours, strict=False)]

    def _point(self, step: int, there: array[float] | None, ours: float) -> float:
        """Choose one: our own is newer, and what nobody else has."""
        number = step - self._past.step + POINTS - 1
        if there is None or number < 0 or (number >= POINTS - 1 and not math.isnan(ours)):
            return ours
        # Of what we do not keep ourselves, the last one stands until the next answer.
        point = there[min(number, POINTS - 1)] if number < POINTS + _NEXT else _NAN
        return ours if math.isnan(point) else point


def _first(points: array[float]) -> int:
    """Find the first that is known."""
    return next((number for number, each in enumerate(points) if not math.isnan(each)), POINTS)
