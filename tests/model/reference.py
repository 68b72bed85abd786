"""What the documentation says a queue is, as a few dictionaries; it knows no SQL.

Time is moved by hand: a message is visible, or hidden for so many hours, and nothing falls due by
itself. Where the documentation leaves something open, the model says what may be: a read that comes
upon dead letters may return less than there is, and upkeep may remove what is old at any time.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime, timedelta

DEFAULT_GROUP = "_default_fifo_group"
# A grouped read looks at so many due messages more than are wanted: it may miss a group behind.
FRONT = 4
HOURS = {
    "0": 0.0,
    "1 microsecond": 0.0,
    "1 hour": 1.0,
    "2 hours": 2.0,
    "3 hours": 3.0,
}

# SQL's null, or a tuple with what the JSON means: JSON has a null of its own.
Json = tuple[Any] | None


def parse(text: str | None) -> Json:
    return None if text is None else (json.loads(text),)


def fields(headers: Json) -> dict[str, Any]:
    """Return the headers that a message has: none, where they are no JSON object."""
    return headers[0] if headers and isinstance(headers[0], dict) else {}


@dataclass
class Policy:
    """The arguments of set_policy; intervals are keys of HOURS."""

    max_receives: int | None = None
    dead_letter_queue: str | None = None
    retry_delay: str | None = None
    retry_delay_max: str | None = None
    message_ttl: str | None = None
    archive_retention: str | None = None
    dedup_window: str | None = None
    max_in_flight: int | None = None
    ack_archives: bool = False
    priorities: bool = False
    rate_limit: int | None = None
    rate_interval: str | None = None
    rate_burst: int | None = None

    @property
    def burst(self) -> int:
        return self.rate_burst or self.rate_limit or 0

    @property
    def spacing(self) -> float:
        """How many hours after each other messages come at the even rate."""
        return HOURS[self.rate_interval or "0"] / (self.rate_limit or 1)

    def allowance(self, used: float) -> float:
        """Return how many messages may come now, when the rate is used up for so many hours."""
        if self.rate_limit is None:
            return math.inf
        return max(0, self.burst - math.ceil(used / self.spacing))

    def opens(self, used: float) -> float:
        """Return in how many hours the rate lets the next message through."""
        return 0 if self.rate_limit is None else used - (self.burst - 1) * self.spacing

    def arguments(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}

    def retry_hours(self, read_ct: int) -> float:
        if self.retry_delay is None:
            return 0
        if self.retry_delay_max is None:
            return HOURS[self.retry_delay]
        doubled: float = HOURS[self.retry_delay] * 2.0 ** (read_ct - 1)
        return min(doubled, HOURS[self.retry_delay_max])


@dataclass
class Message:
    """A message in a queue or an archive."""

    body: Json
    headers: Json
    at: float  # when its transaction began
    hours: float = 0.0
    read_ct: int = 0
    leased: bool = False  # as max_in_flight counts, when it is hidden

    @property
    def visible(self) -> bool:
        return self.hours <= 0

    @property
    def group(self) -> str:
        name = fields(self.headers).get("x-pgmq-group")
        if name is None:
            return DEFAULT_GROUP
        return name if isinstance(name, str) else json.dumps(name)

    @property
    def priority(self) -> int:
        value = fields(self.headers).get("x-pgmq-priority")
        text = value if isinstance(value, str) else json.dumps(value)
        return int(text) if text in tuple("0123456789") else 4

    @property
    def origin(self) -> str | None:
        letter = fields(self.headers).get("x-pgmq-dead-letter")
        name = letter.get("queue") if isinstance(letter, dict) else None
        if name is None:
            return None
        return name.lower() if isinstance(name, str) else json.dumps(name).lower()

    def matches(self, condition: Json) -> bool:
        return condition is None or contains(self.body, condition[0])


@dataclass
class Schedule:
    """A schedule by an interval, and its next tick."""

    name: str
    body: Json
    headers: Json
    every: timedelta
    catch_up: bool
    at: datetime
    paused: bool = False
    last: tuple[datetime, int] | None = None  # the tick that was sent last, and its msg_id

    def due(self, now: datetime) -> list[datetime]:
        """Return the ticks that are to be sent: all of those that were missed, or the last."""
        if self.paused or self.at > now:
            return []
        missed = [self.at + n * self.every for n in range((now - self.at) // self.every + 1)]
        return missed if self.catch_up else missed[-1:]

    def headers_at(self, at: datetime) -> Json:
        text = f"{at:%Y-%m-%dT%H:%M:%S.%f}".rstrip("0").rstrip(".")
        tick = {"name": self.name, "at": f"{text}+00:00"}
        return (fields(self.headers) | {"x-pgmq-schedule": tick},)


def contains(body: Json, wanted: Any) -> bool:
    """Say whether operator @> finds it, as far as the programs' conditions go."""
    if wanted == {}:
        return True  # no condition
    if body is None:
        return False
    (value,) = body
    if isinstance(wanted, dict):
        return isinstance(value, dict) and wanted.items() <= value.items()
    if isinstance(wanted, list):
        return isinstance(value, list) and all(item in value for item in wanted)
    return bool(value == wanted) or (isinstance(value, list) and wanted in value)


@dataclass
class Queue:
    """A queue with its archive, its policy and the keys that were sent."""

    name: str
    messages: dict[int, Message] = field(default_factory=dict)
    archive: dict[int, Message] = field(default_factory=dict)
    keys: dict[str, int] = field(default_factory=dict)
    unsure_keys: set[str] = field(default_factory=set)
    past_keys: dict[str, int] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    paused: bool = False  # its reads
    closed: bool = False  # and its sends

    def expired(self, message: Message) -> bool:
        """Say whether it has expired, or will have when it is visible."""
        if self.policy.message_ttl is None:
            return False
        headers = fields(message.headers)
        ttl = headers.get("x-pgmq-ttl")
        hours = HOURS[self.policy.message_ttl]
        number = isinstance(ttl, int | float) and not isinstance(ttl, bool)
        if number and "x-pgmq-dead-letter" not in headers:
            hours = float(ttl or 0) / 3600
        return hours <= message.hours

    def doomed(self) -> set[int]:
        """Return what will not be handed out, once it is visible."""
        limit = self.policy.max_receives
        return {
            msg_id
            for msg_id, message in self.messages.items()
            if self.expired(message) or (limit is not None and message.read_ct >= limit)
        }

    def dead(self) -> set[int]:
        """Return what is visible and must not be handed out."""
        return {msg_id for msg_id in self.doomed() if self.messages[msg_id].visible}

    def visible(self, condition: Json = None) -> list[int]:
        """Return what a read may return, in that order."""
        ids = [
            msg_id
            for msg_id, message in sorted(self.messages.items())
            if message.visible and message.matches(condition)
        ]
        if self.policy.priorities:
            ids.sort(key=lambda msg_id: -self.messages[msg_id].priority)
        return ids

    def room(self) -> float:
        """Return how many leases max_in_flight leaves room for; none while reads are paused."""
        if self.paused:
            return 0
        if self.policy.max_in_flight is None:
            return float("inf")
        leased = sum(m.leased and not m.visible for m in self.messages.values())
        return max(0, self.policy.max_in_flight - leased)

    def prefixes(self, without: set[int]) -> list[list[int]]:
        """Each group's messages up to the first that is not visible, oldest group first."""
        groups: dict[str, list[int]] = {}
        for msg_id in sorted(self.messages.keys() - without):
            groups.setdefault(self.messages[msg_id].group, []).append(msg_id)
        prefixes = (
            list(itertools.takewhile(lambda msg_id: self.messages[msg_id].visible, ids))
            for ids in groups.values()
        )
        return [prefix for prefix in prefixes if prefix]

    def leases(self, ids: Iterable[int | None], receipts: Iterable[int | None]) -> list[int]:
        """Of these pairs, the messages whose leases they are, each once."""
        return sorted(
            {
                msg_id
                for msg_id, read_ct in zip(ids, receipts, strict=True)
                if msg_id in self.messages
                and read_ct is not None
                and read_ct > 0
                and self.messages[msg_id].read_ct == read_ct
            }
        )

    def known(self, ids: Iterable[int | None]) -> list[int]:
        return sorted({msg_id for msg_id in ids if msg_id in self.messages})


def check_read(queue: Queue, found: list[int], wanted: float, condition: Json) -> set[int]:
    """Check what a read or pop returned; return the dead letters that must be gone after it."""
    visible, dead = queue.visible(condition), queue.dead()
    size = len(visible) if wanted > len(visible) else int(wanted)
    live = [msg_id for msg_id in visible if msg_id not in dead]
    in_front = dead.intersection(visible[:size])
    if in_front:
        # It may come back with less, but not empty-handed.
        size = min(size, max(len(found), 1))
    assert found == live[:size], f"must have returned {live[:size]}"
    return in_front


ORDERS: dict[str, Callable[[list[list[int]]], list[int]]] = {
    "read_grouped": lambda prefixes: list(itertools.chain(*prefixes)),
    "read_grouped_head": lambda prefixes: [prefix[0] for prefix in prefixes],
    "read_grouped_rr": lambda prefixes: [
        msg_id for round_ in itertools.zip_longest(*prefixes) for msg_id in round_ if msg_id
    ],
}


def check_grouped(
    queue: Queue, call: str, found: list[int], wanted: float, group: str | None
) -> None:
    """Check what a grouped read returned."""
    dead = queue.dead()
    prefixes = queue.prefixes(without=dead)
    if call == "read_group":
        name = DEFAULT_GROUP if group is None else group
        prefixes = [p for p in prefixes if queue.messages[p[0]].group == name]
    order = ORDERS.get(call, ORDERS["read_grouped"])(prefixes)
    size = len(order) if wanted > len(order) else int(wanted)
    expected = order[:size] if call == "read_grouped_rr" else sorted(order[:size])
    if found != expected and (dead or len(queue.visible()) > wanted + FRONT):
        # Fewer or other groups, but no gap within one.
        free = {id_ for p in prefixes for id_ in itertools.takewhile(found.__contains__, p)}
        assert free.issuperset(found), f"passed over one: {prefixes}"
        assert len(found) <= size
        assert bool(found) == bool(expected), f"must have returned some of {expected}"
        assert call == "read_grouped_rr" or found == sorted(found)
        return
    assert found == expected, f"must have returned {expected}"


def check_fair(queue: Queue, found: list[int], wanted: float) -> None:
    """Check that groups took turns, one message of each a round.

    Which message of a group depends on when those fell due that were read or delayed before. A
    message that is moved away may take its group's turn.
    """
    dead = queue.dead()
    lost = Counter(queue.messages[msg_id].group for msg_id in dead)
    left: dict[str, list[int]] = {}
    for msg_id in sorted(set(queue.visible()) - dead):
        left.setdefault(queue.messages[msg_id].group, []).append(msg_id)
    size = sum(map(len, left.values()))
    size = size if wanted > size else int(wanted)
    assert len(found) == size or (dead and bool(found) == bool(size) and len(found) < size)
    served = dict.fromkeys(left, 0)
    for msg_id in found:
        group = queue.messages[msg_id].group
        assert msg_id in left[group], f"{msg_id} is not in {left[group]}"
        behind = [name for name in left if served[name] + lost[name] < served[group] and left[name]]
        assert not behind, f"{msg_id} comes before the turn of {behind}"
        left[group].remove(msg_id)
        served[group] += 1


def moved(message: Message, at: float, revived: bool) -> Message:
    """Return a message as move, or redrive, puts it into another queue."""
    headers = message.headers
    if revived and headers and isinstance(headers[0], dict):
        rest = {
            name: value
            for name, value in headers[0].items()
            if name not in ("x-pgmq-dead-letter", "x-pgmq-error")
        }
        headers = (rest,) if rest else None
    hours = message.hours if message.read_ct == 0 else 0.0
    return replace(message, headers=headers, at=at, hours=hours, read_ct=0, leased=False)


def check_dead_letter(queue: Queue, msg_id: int, was: Message, headers: Json) -> None:
    """Check that the headers of a dead letter say what it was."""
    limit = queue.policy.max_receives
    expected = fields(was.headers)
    found = dict(fields(headers))
    letter = found.pop("x-pgmq-dead-letter")
    assert found == {k: v for k, v in expected.items() if k != "x-pgmq-dead-letter"}
    assert letter["queue"].lower() == queue.name.lower()
    assert (letter["msg_id"], letter["read_ct"]) == (msg_id, was.read_ct)
    assert letter["reason"] == ("expired" if queue.expired(was) else "max_receives")
    assert queue.expired(was) or (limit is not None and was.read_ct >= limit)
    assert letter["error"] == expected.get("x-pgmq-error")
