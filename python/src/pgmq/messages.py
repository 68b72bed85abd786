"""What the calls return: one dataclass for each kind of row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime, timedelta

    from typing_extensions import Self

__all__ = [
    "BatchTopicResult",
    "Binding",
    "Channel",
    "Finding",
    "Message",
    "NotificationThrottle",
    "Pause",
    "Policy",
    "QueueMessage",
    "QueueMetrics",
    "QueueRecord",
    "QueueStats",
    "RoutingResult",
    "Schedule",
    "SendOnceResult",
    "StreamBatch",
    "StreamGroup",
    "StreamLane",
    "StreamMessage",
    "TopicBinding",
    "WorkerMessage",
]

Row = Sequence[Any] | Mapping[str, Any]


class _Record:
    __slots__ = ()

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Make it of a row: a mapping by the names of the columns, or a sequence in their order."""
        return cls(*_values(cls, row))


def _values(cls: Any, row: Row) -> list[Any]:
    if isinstance(row, Mapping):
        return [row[field.name] for field in fields(cls)]
    return list(row)


@dataclass(frozen=True, slots=True)
class Message(_Record):
    """A message; `msg_id` and `read_ct` together are its lease.

    `vt` is when it is visible again, `last_read_at` is None before the first read. `message` is
    the payload and `headers` are its headers as Python values, None for null.
    """

    msg_id: int
    read_ct: int
    enqueued_at: datetime
    last_read_at: datetime | None
    vt: datetime
    message: Any
    headers: Any

    @classmethod
    def from_row(cls, row: Row, json_parser: Callable[[Any], Any] | None = None) -> Self:
        """Make a message of a row; json_parser decodes message and headers where they are text."""
        values = _values(cls, row)
        if json_parser is not None:
            values[-2:] = [None if text is None else json_parser(text) for text in values[-2:]]
        return cls(*values)


@dataclass(frozen=True, slots=True)
class WorkerMessage(Message):
    """A message as workers hand it to their handlers: it has the name of its queue."""

    queue_name: str


@dataclass(frozen=True, slots=True)
class QueueMessage(_Record):
    """A message that read_any found, and the queue it was found in."""

    queue_name: str
    message: Message


@dataclass(frozen=True, slots=True)
class QueueRecord(_Record):
    """A queue, as list_queues knows it."""

    queue_name: str
    is_partitioned: bool
    is_unlogged: bool
    created_at: datetime

    def __str__(self) -> str:
        return self.queue_name


@dataclass(frozen=True, slots=True)
class QueueMetrics(_Record):
    """What a queue holds; ages are in seconds and None when it is empty."""

    queue_name: str
    queue_length: int
    newest_msg_age_sec: int | None
    oldest_msg_age_sec: int | None
    total_messages: int
    scrape_time: datetime
    queue_visible_length: int


@dataclass(frozen=True, slots=True)
class QueueStats(_Record):
    """In which state the messages of a queue are, and totals that only grow, for rates.

    dead_letters and archive_length are None where there are none, or the caller may not see them.
    """

    queue_name: str
    visible: int
    delayed: int
    in_flight: int
    dead_letters: int | None
    archive_length: int | None
    sent_total: int
    removed_total: int
    counted_since: datetime


@dataclass(frozen=True, slots=True)
class TopicBinding(_Record):
    """A binding of bind_topic."""

    pattern: str
    queue_name: str
    bound_at: datetime
    compiled_regex: str


@dataclass(frozen=True, slots=True)
class RoutingResult(_Record):
    """A binding that a routing key matches."""

    pattern: str
    queue_name: str
    compiled_regex: str


@dataclass(frozen=True, slots=True)
class BatchTopicResult(_Record):
    """One copy that send_batch_topic made."""

    queue_name: str
    msg_id: int


@dataclass(frozen=True, slots=True)
class NotificationThrottle(_Record):
    """A queue whose inserts are announced; 1970 stands for never."""

    queue_name: str
    throttle_interval_ms: int
    last_notified_at: datetime


@dataclass(frozen=True, slots=True)
class Binding(_Record):
    """A binding of an exchange: to a queue or to a channel, the other one is None."""

    exchange_name: str
    queue_name: str | None
    channel: str | None
    pattern: str | None
    kind: str
    bound_at: datetime


@dataclass(frozen=True, slots=True)
class Channel(_Record):
    """A channel on which messages are pushed."""

    channel: str
    queue_name: str
    maximum_messages: int
    vt: int
    in_flight: int
    pid: int
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class Finding(_Record):
    """What doctor says is wrong, and what to do about it; queue_name is None for the server."""

    severity: str
    queue_name: str | None
    finding: str
    fix: str


@dataclass(frozen=True, slots=True)
class SendOnceResult(_Record):
    """The message that send_once sent, or with is_new false the earlier one of the same key."""

    msg_id: int
    is_new: bool


@dataclass(frozen=True, slots=True)
class Policy(_Record):
    """What set_policy said about a queue; None is off."""

    queue_name: str
    max_receives: int | None
    dead_letter_queue: str | None
    retry_delay: timedelta | None
    retry_delay_max: timedelta | None
    retry_jitter: float
    message_ttl: timedelta | None
    archive_retention: timedelta | None
    dedup_window: timedelta | None
    max_in_flight: int | None
    ack_archives: bool
    rate_limit: int | None
    rate_interval: timedelta | None
    rate_burst: int | None
    max_in_flight_per_group: int | None
    dedup_scope: str | None
    priorities: bool
    priority_ageing: timedelta | None


@dataclass(frozen=True, slots=True)
class Pause(_Record):
    """A queue that is paused: its reads, its sends, or both."""

    queue_name: str
    reads: bool
    sends: bool
    paused_at: datetime


@dataclass(frozen=True, slots=True)
class Schedule(_Record):
    """A schedule: when it sends its next message, and what became of the last one.

    `cron` is as it was given, an interval as text. `errors` is how many attempts have failed since
    the last message, and `last_error` how. While it is paused, `next_at` is None.
    """

    name: str
    queue_name: str
    cron: str
    timezone: str
    catch_up: bool
    next_at: datetime | None
    last_at: datetime | None
    last_msg_id: int | None
    errors: int
    last_error: str | None
    paused_at: datetime | None


@dataclass(frozen=True, slots=True)
class StreamMessage(_Record):
    """A message of a stream; `lane` and `epoch` are the lease of the batch that it came in.

    `delivery_ct` is 1, and one more for each time that a batch with the message has failed.
    `message` and `headers` are as in Message.
    """

    lane: int
    epoch: int
    msg_id: int
    delivery_ct: int
    enqueued_at: datetime
    message: Any
    headers: Any


@dataclass(frozen=True, slots=True)
class StreamBatch:
    """What fetch has leased: messages of one lane in msg_id order, at least one.

    Iterating a batch gives its messages, and len() counts them.
    """

    messages: list[StreamMessage]

    @property
    def lane(self) -> int:
        """The lane of all its messages."""
        return self.messages[0].lane

    @property
    def epoch(self) -> int:
        """The epoch of all its messages."""
        return self.messages[0].epoch

    @property
    def lease(self) -> tuple[int, int]:
        """The lane and the epoch, which commit and the like ask for."""
        return self.lane, self.epoch

    def __iter__(self) -> Iterator[StreamMessage]:
        return iter(self.messages)

    def __len__(self) -> int:
        return len(self.messages)


@dataclass(frozen=True, slots=True)
class StreamGroup(_Record):
    """A group of a stream: how far it has read, and its options; see list_groups in REFERENCE.md.

    Up to `committed` all is committed; `lag` messages are not, and `lag_seconds` is the age of the
    oldest of these, None when there are none. `waits_for` is a transaction that holds back what
    comes after it. `held_bytes` are kept for this group alone, since `held_since`.
    """

    queue_name: str
    group_name: str
    lanes: int
    committed: int
    lag: int
    lag_seconds: int | None
    leased_lanes: int
    failing_lanes: int
    error: str | None
    waits_for: str | None
    max_deliveries: int | None
    dead_letter_queue: str | None
    keep_unread: bool
    held_bytes: int
    held_since: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StreamLane(_Record):
    """A lane of a group: how far it has read, and who has leased what comes next; None is nobody.

    Until `leased_until` nobody else gets the lane: it is leased, or was released with a delay.
    """

    group_name: str
    lane: int
    committed: int
    leased_up_to: int | None
    leased_until: datetime | None
    leased_by: str | None
    failures: int
    error: str | None
    changed_at: datetime
