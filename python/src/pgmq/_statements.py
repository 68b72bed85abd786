"""Every statement: for each call its SQL, its parameters, and what its rows mean. No I/O here.

No other module has SQL that calls pgmq (tests/repo sees to it). Every parameter is written
`%(name)s::type`: psycopg takes it as it stands, and what needs another notation can tell name and
type apart.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeGuard, TypeVar

from psycopg import sql
from psycopg.types.json import Jsonb

from pgmq import _wire as wire
from pgmq.messages import (
    BatchTopicResult,
    Binding,
    Channel,
    Finding,
    Message,
    NotificationThrottle,
    Pause,
    Policy,
    QueueMessage,
    QueueMetrics,
    QueueRecord,
    QueueStats,
    RoutingResult,
    Schedule,
    SendOnceResult,
    StreamBatch,
    StreamGroup,
    StreamLane,
    StreamMessage,
    TopicBinding,
    WorkerMessage,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

Row = tuple[Any, ...]
Seconds = int | timedelta
Delay = Seconds | datetime
Duration = str | timedelta  # as text, what Postgres takes: '1 hour'
Start = str | int | datetime  # of a group: "earliest", "latest", a msg_id, or a time


@dataclass(frozen=True, slots=True)
class Statement(Generic[T]):
    """One call: the SQL, its parameters, and the function that makes the result of its rows."""

    query: str
    parameters: Mapping[str, Any]
    decode: Callable[[list[Row]], T]


# What rows mean


@dataclass(frozen=True, slots=True)
class _Rows(Generic[T]):
    """What a function returns: a value, or columns."""

    decode: Callable[[list[Row]], T]
    columns: str = ""


def _columns(record: Any) -> str:
    return ", ".join(field.name for field in fields(record))


def _many(record: Callable[..., T]) -> _Rows[list[T]]:
    return _Rows(lambda rows: [record(*row) for row in rows], _columns(record))


def _one(record: Callable[..., T]) -> _Rows[T]:
    return _Rows(lambda rows: record(*rows[0]), _columns(record))


MESSAGE = _columns(Message)

_NOTHING: _Rows[None] = _Rows(lambda rows: None)
_VALUE: _Rows[Any] = _Rows(lambda rows: rows[0][0])
_COLUMN: _Rows[Any] = _Rows(lambda rows: [row[0] for row in rows])
_MESSAGES = _many(Message)
_FIRST: _Rows[Message | None] = _Rows(lambda rows: Message(*rows[0]) if rows else None, MESSAGE)
_BATCH: _Rows[StreamBatch | None] = _Rows(
    lambda rows: StreamBatch([StreamMessage(*row) for row in rows]) if rows else None,
    _columns(StreamMessage),
)


# Parameters on their way


def _json(value: Any) -> Jsonb:
    return Jsonb(value, wire.dumps)


def _json_or_null(value: Any) -> Jsonb | None:
    return None if value is None else _json(value)


def as_list(values: Iterable[Any]) -> list[Any]:
    """Take what a list is wanted for; one value is none."""
    # The characters of a text, '12', are meant by nobody, nor the keys of one message.
    if isinstance(values, str | bytes | Mapping):
        raise TypeError(f"a list is wanted, not {reprlib.repr(values)}")
    return list(values)


def duration(value: timedelta) -> str:
    """Write a duration as Postgres reads it; a day need not have 24 hours."""
    return f"{value.days} days {value.seconds}.{value.microseconds:06} seconds"


def _text_or_null(value: Any) -> str | None:
    if isinstance(value, timedelta):
        return duration(value)
    return None if value is None else str(value)


def _seconds(seconds: Any) -> Any:
    # A part of a second more rather than less.
    if isinstance(seconds, timedelta):
        return -(-seconds // timedelta(seconds=1))
    return math.ceil(seconds) if isinstance(seconds, float | Decimal) else seconds


def _moment(moment: datetime | None) -> datetime | None:
    if moment is not None and moment.utcoffset() is None:
        raise ValueError(f"a time needs a time zone: {moment}")
    return moment


def _cron(cron: str | timedelta) -> str:
    return f"{cron.total_seconds():.15g} seconds" if isinstance(cron, timedelta) else cron


def _start(start: Start | None) -> str | None:
    return _text_or_null(_moment(start) if isinstance(start, datetime) else start)


# A parameter of this name and type is converted by this; others are passed on as they are.
_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "archived_ids bigint[]": lambda ids: None if ids is None else as_list(ids),
    "clear text[]": as_list,
    "cron text": _cron,
    "conditional jsonb": lambda value: _json(value or {}),
    "dedup_keys text[]": as_list,
    "delay integer": _seconds,
    "error text": lambda text: None if text is None else wire.plain(text),
    "headers jsonb": _json_or_null,
    "headers jsonb[]": lambda values: (
        None if values is None else [*map(_json_or_null, as_list(values))]
    ),
    "max_poll_seconds integer": _seconds,
    "message jsonb": _json,
    "messages jsonb[]": lambda values: [*map(_json, as_list(values))],
    "msg_ids bigint[]": as_list,
    "new_message jsonb": _json_or_null,
    "partition_interval text": _text_or_null,
    "queue_names text[]": as_list,
    "read_cts integer[]": as_list,
    "retention_interval text": _text_or_null,
    "seconds integer": _seconds,
    "segment_interval text": _text_or_null,
    "since timestamptz": _moment,
    "start text": _start,
    "until timestamptz": _moment,
    "vt integer": _seconds,
}


class Call(Generic[T]):
    """A function with its parameters and their types; called with values, it makes a statement."""

    def __init__(self, call: str, rows: _Rows[T]) -> None:
        function, _, declared = call.removesuffix(")").partition("(")
        parameters = [parameter.split(" ") for parameter in declared.split(", ") if parameter]
        arguments = ", ".join(f"%({name})s::{kind}" for name, kind in parameters)
        columns = f"{rows.columns} FROM " if rows.columns else ""
        self.query = f"SELECT {columns}pgmq.{function}({arguments})"
        self._names = [name for name, _ in parameters]
        self._conversions = [
            (name, _CONVERSIONS[f"{name} {kind}"])
            for name, kind in parameters
            if f"{name} {kind}" in _CONVERSIONS
        ]
        self._decode = rows.decode

    def __call__(self, *values: Any) -> Statement[T]:
        if len(values) != len(self._names):
            raise TypeError(f"{len(values)} values for {self.query}")
        parameters = dict(zip(self._names, values))  # noqa: B905, it costs a third more
        for name, convert in self._conversions:
            parameters[name] = convert(parameters[name])
        return Statement(self.query, parameters, self._decode)


class _Timed(Generic[T]):
    """Two calls in one: the last parameter is a number of seconds, or a time."""

    def __init__(self, call: str, rows: _Rows[T]) -> None:
        self.in_seconds = Call(call.replace("integer|timestamptz", "integer"), rows)
        self.at_a_time = Call(call.replace("integer|timestamptz", "timestamptz"), rows)

    def __call__(self, *values: Any) -> Statement[T]:
        call = self.at_a_time if isinstance(values[-1], datetime) else self.in_seconds
        return call(*values)


def _match(messages: Sequence[Any], headers: Sequence[Any] | None) -> None:
    if headers is not None and len(headers) != len(messages):
        raise ValueError("headers list must match messages list length")


class _Leased(Protocol):
    @property
    def msg_id(self) -> int: ...

    @property
    def read_ct(self) -> int: ...


def leases(messages: Iterable[_Leased]) -> tuple[list[int], list[int]]:
    """Return the msg_ids and the read_cts, as ack_batch and its like want them."""
    messages = list(messages)
    return [each.msg_id for each in messages], [each.read_ct for each in messages]


def encoded(statement: Statement[T], dumps: wire.Dumps) -> Statement[T]:
    """Make a statement whose JSON is encoded by a function; JSONText stays as it stands."""

    def encode(value: Any) -> Any:
        if isinstance(value, list):
            return [encode(each) for each in value]
        if isinstance(value, Jsonb) and not isinstance(value.obj, wire.JSONText):
            return Jsonb(value.obj, dumps)
        return value

    parameters = {name: encode(value) for name, value in statement.parameters.items()}
    return Statement(statement.query, parameters, statement.decode)


# Installing


def ensure_extension() -> Statement[None]:
    # Looks without the lock first, and needs no privilege where pgmq is installed in whatever way.
    return Statement(
        """
        DO $$
        BEGIN
            FOR v_look IN 1..2 LOOP
                IF EXISTS (
                    SELECT FROM pg_class
                    WHERE relname = 'meta' AND relnamespace = to_regnamespace('pgmq')
                ) THEN
                    RETURN;
                END IF;
                PERFORM pg_advisory_xact_lock(hashtextextended('pgmq.create_extension', 0));
            END LOOP;
            CREATE EXTENSION IF NOT EXISTS pgmq;
        END
        $$
        """,
        {},
        _NOTHING.decode,
    )


def ensure_partman() -> Statement[None]:
    return Statement("CREATE EXTENSION IF NOT EXISTS pg_partman", {}, _NOTHING.decode)


@dataclass(frozen=True, slots=True)
class Installation:
    """What there is of pgmq: the extension's version, its schema, and files of our version."""

    extension: str | None
    schema: bool
    available: bool


def installation(version: str) -> Statement[Installation]:
    return Statement(
        """
        SELECT
            (SELECT extversion FROM pg_extension WHERE extname = 'pgmq'),
            to_regnamespace('pgmq') IS NOT NULL,
            EXISTS (
                SELECT FROM pg_available_extension_versions
                WHERE name = 'pgmq' AND version = %(version)s::text
            )
        """,
        {"version": version},
        lambda rows: Installation(*rows[0]),
    )


# Queues

_create = Call[None]("create(queue text)", _NOTHING)
_create_unlogged = Call[None]("create_unlogged(queue text)", _NOTHING)
create_partitioned_queue = Call[None](
    "create_partitioned(queue text, partition_interval text, retention_interval text)", _NOTHING
)
convert_archive_partitioned = Call[None](
    "convert_archive_partitioned(queue text, partition_interval text, retention_interval text,"
    " leading_partition integer)",
    _NOTHING,
)
drop_queue = Call[bool]("drop_queue(queue text)", _VALUE)
purge = Call[int]("purge_queue(queue text)", _VALUE)
detach_archive = Call[None]("detach_archive(queue text)", _NOTHING)
list_queues = Call[list[QueueRecord]]("list_queues()", _many(QueueRecord))
validate_queue_name = Call[bool]("validate_queue_name(queue_name text)", _Rows(lambda rows: True))
queue_table = Call[str]("format_table_name(queue text, prefix text)", _VALUE)


def create_queue(queue: str, unlogged: bool) -> Statement[None]:
    return _create_unlogged(queue) if unlogged else _create(queue)


# Sending

_send_now = Call[int]("send(queue text, message jsonb)", _VALUE)
_send = _Timed[int](
    "send(queue text, message jsonb, headers jsonb, delay integer|timestamptz)", _VALUE
)
_send_batch = _Timed[list[int]](
    "send_batch(queue text, messages jsonb[], headers jsonb[], delay integer|timestamptz)", _COLUMN
)
send_once = Call[SendOnceResult](
    "send_once(queue text, message jsonb, dedup_key text, headers jsonb, delay integer)",
    _one(SendOnceResult),
)
_send_once_batch = Call[list[SendOnceResult]](
    "send_once(queue text, messages jsonb[], dedup_keys text[], headers jsonb[], delay integer)",
    _many(SendOnceResult),
)


def send(queue: str, message: Any, headers: Any, delay: Delay | None) -> Statement[int]:
    if headers is None and delay is None:
        return _send_now(queue, message)
    return _send(queue, message, headers, delay or 0)


def send_batch(
    queue: str, messages: Sequence[Any], headers: Sequence[Any] | None, delay: Delay | None
) -> Statement[list[int]]:
    _match(messages, headers)
    return _send_batch(queue, messages, headers, delay or 0)


def send_once_batch(
    queue: str,
    messages: Sequence[Any],
    dedup_keys: Sequence[str],
    headers: Sequence[Any] | None,
    delay: Seconds,
) -> Statement[list[SendOnceResult]]:
    _match(messages, headers)
    return _send_once_batch(queue, messages, dedup_keys, headers, delay)


def with_headers(statement: Statement[T], change: Callable[[Any], Any]) -> Statement[T]:
    """Make a statement that sends what another one does, with headers that are changed."""
    query = statement.query
    if query == _send_now.query:
        query = _send.in_seconds.query
    parameters = {"headers": None, "delay": 0, **statement.parameters}

    def changed(headers: Jsonb | None) -> Jsonb | None:
        value = change(None if headers is None else headers.obj)
        return _json_or_null(value) if headers is None else Jsonb(value, headers.dumps)

    headers = parameters["headers"]
    if "messages" in parameters:
        each = headers or [None] * len(parameters["messages"])
        parameters["headers"] = [changed(one) for one in each]
    else:
        parameters["headers"] = changed(headers)
    return Statement(query, parameters, statement.decode)


# Reading

_POLL = "max_poll_seconds integer, poll_interval_ms integer"

_read = Call[list[Message]](
    "read(queue text, vt integer, qty integer, conditional jsonb)", _MESSAGES
)
read_with_poll = Call[list[Message]](
    f"read_with_poll(queue text, vt integer, qty integer, {_POLL}, conditional jsonb)", _MESSAGES
)
read_grouped = Call[list[Message]]("read_grouped(queue text, vt integer, qty integer)", _MESSAGES)
read_grouped_rr = Call[list[Message]](
    "read_grouped_rr(queue text, vt integer, qty integer)", _MESSAGES
)
read_grouped_head = Call[list[Message]](
    "read_grouped_head(queue text, vt integer, qty integer)", _MESSAGES
)
read_fair = Call[list[Message]]("read_fair(queue text, vt integer, qty integer)", _MESSAGES)
read_fair_with_poll = Call[list[Message]](
    f"read_fair_with_poll(queue text, vt integer, qty integer, {_POLL})", _MESSAGES
)
read_grouped_with_poll = Call[list[Message]](
    f"read_grouped_with_poll(queue text, vt integer, qty integer, {_POLL})", _MESSAGES
)
read_grouped_rr_with_poll = Call[list[Message]](
    f"read_grouped_rr_with_poll(queue text, vt integer, qty integer, {_POLL})", _MESSAGES
)
read_grouped_head_with_poll = Call[list[Message]](
    f"read_grouped_head_with_poll(queue text, vt integer, qty integer, {_POLL})", _MESSAGES
)
read_group = Call[list[Message]](
    "read_group(queue text, group_name text, vt integer, qty integer)", _MESSAGES
)
read_any = Call[list[QueueMessage]](
    "read_any(queue_names text[], vt integer, qty integer)",
    _Rows(
        lambda rows: [QueueMessage(row[0], Message(*row[1:])) for row in rows],
        f"queue_name, {MESSAGE}",
    ),
)
read_any_for_worker = Call[list[WorkerMessage]](
    "read_any(queue_names text[], vt integer, qty integer)", _many(WorkerMessage)
)
pop = Call[list[Message]]("pop(queue text, qty integer)", _MESSAGES)
peek = Call[list[Message]]("peek(queue text, qty integer, conditional jsonb)", _MESSAGES)
get = Call[Message | None]("get(queue text, msg_id bigint)", _FIRST)
next_visible_at = Call[datetime | None]("next_visible_at(queue text)", _VALUE)


def read(
    queue: str, vt: Seconds, qty: int | None, conditional: Any = None
) -> Statement[list[Message]]:
    return _read(queue, vt, qty, conditional)


def for_worker(statement: Statement[list[Message]], queue: str) -> Statement[list[WorkerMessage]]:
    """Have a read return messages that know their queue."""
    return Statement(
        statement.query,
        statement.parameters,
        lambda rows: [WorkerMessage(*(*row, queue)) for row in rows],
    )


# Acknowledging

delete = Call[bool]("delete(queue text, msg_id bigint)", _VALUE)
delete_batch = Call[list[int]]("delete(queue text, msg_ids bigint[])", _COLUMN)
archive = Call[bool]("archive(queue text, msg_id bigint)", _VALUE)
archive_batch = Call[list[int]]("archive(queue text, msg_ids bigint[])", _COLUMN)
set_vt = _Timed[Message | None]("set_vt(queue text, msg_id bigint, vt integer|timestamptz)", _FIRST)
set_vt_batch = _Timed[list[Message]](
    "set_vt(queue text, msg_ids bigint[], vt integer|timestamptz)", _MESSAGES
)
ack = Call[bool]("ack(queue text, msg_id bigint, read_ct integer)", _VALUE)
ack_batch = Call[list[int]]("ack(queue text, msg_ids bigint[], read_cts integer[])", _COLUMN)
nack = Call[bool](
    "nack(queue text, msg_id bigint, read_ct integer, delay integer, error text)", _VALUE
)
nack_batch = Call[list[int]](
    "nack(queue text, msg_ids bigint[], read_cts integer[], delay integer, error text)", _COLUMN
)
extend = Call[bool]("extend(queue text, msg_id bigint, read_ct integer, vt integer)", _VALUE)
extend_batch = Call[list[int]](
    "extend(queue text, msg_ids bigint[], read_cts integer[], vt integer)", _COLUMN
)
ack_and_read = Call[list[Message]](
    "ack_and_read(queue text, vt integer, qty integer, msg_ids bigint[], read_cts integer[])",
    _MESSAGES,
)
amend = Call[bool]("amend(queue text, msg_id bigint, new_message jsonb, headers jsonb)", _VALUE)


def is_one(msg_id: object) -> TypeGuard[int]:
    # NumPy's integers are no int; pgmq-py takes None, which no message has, and a text.
    return isinstance(msg_id, str) or not isinstance(msg_id, Iterable)


# Streams

_LEASE = "stream_name text, group_name text, lane integer, epoch bigint"

create_stream = Call[None](
    "create_stream(stream_name text, segment_interval text, retention_interval text)", _NOTHING
)
create_group = Call[None](
    "create_group(stream_name text, group_name text, start text, lanes integer,"
    " max_deliveries integer, dead_letter_queue text, keep_unread boolean)",
    _NOTHING,
)
alter_group = Call[None](
    "alter_group(stream_name text, group_name text, max_deliveries integer,"
    " dead_letter_queue text, keep_unread boolean, clear text[])",
    _NOTHING,
)
drop_group = Call[bool]("drop_group(stream_name text, group_name text)", _VALUE)
list_groups = Call[list[StreamGroup]]("list_groups(stream_name text)", _many(StreamGroup))
list_lanes = Call[list[StreamLane]]("list_lanes(stream_name text)", _many(StreamLane))
seek = Call[int]("seek(stream_name text, group_name text, start text)", _VALUE)
fetch = Call[StreamBatch | None](
    "fetch(stream_name text, group_name text, vt integer, qty integer)", _BATCH
)
fetch_with_poll = Call[StreamBatch | None](
    f"fetch_with_poll(stream_name text, group_name text, vt integer, qty integer, {_POLL})", _BATCH
)
commit = Call[bool](f"commit({_LEASE}, up_to bigint)", _VALUE)
commit_and_fetch = Call[StreamBatch | None](
    f"commit_and_fetch({_LEASE}, vt integer, qty integer)", _BATCH
)
release = Call[bool](f"release({_LEASE}, delay integer, error text)", _VALUE)
reject = Call[bool](f"reject({_LEASE}, msg_id bigint, error text)", _VALUE)
extend_lease = Call[bool](f"extend_lease({_LEASE}, vt integer)", _VALUE)


# Policies

set_policy = Call[None](
    "set_policy(queue text, max_receives integer, dead_letter_queue text, retry_delay interval,"
    " retry_delay_max interval, retry_jitter real, message_ttl interval,"
    " archive_retention interval, dedup_window interval, max_in_flight integer,"
    " ack_archives boolean, rate_limit integer, rate_interval interval, rate_burst integer,"
    " max_in_flight_per_group integer, dedup_scope text, priorities boolean,"
    " priority_ageing interval)",
    _NOTHING,
)
alter_policy = Call[None](
    "alter_policy(queue text, max_receives integer, dead_letter_queue text, retry_delay interval,"
    " retry_delay_max interval, retry_jitter real, message_ttl interval,"
    " archive_retention interval, dedup_window interval, max_in_flight integer,"
    " ack_archives boolean, rate_limit integer, rate_interval interval, rate_burst integer,"
    " max_in_flight_per_group integer, dedup_scope text, priorities boolean,"
    " priority_ageing interval, clear text[])",
    _NOTHING,
)
get_policy = Call[Policy]("get_policy(queue text)", _one(Policy))
pause = Call[None]("pause(queue text, reads boolean, sends boolean)", _NOTHING)
resume = Call[bool]("resume(queue text)", _VALUE)
list_paused = Call[list[Pause]]("list_paused()", _many(Pause))
schedule = Call[datetime](
    "schedule(name text, queue text, cron text, message jsonb, headers jsonb, timezone text,"
    " catch_up boolean)",
    _VALUE,
)
unschedule = Call[bool]("unschedule(name text)", _VALUE)
list_schedules = Call[list[Schedule]]("list_schedules(queue text)", _many(Schedule))
run_schedule = Call[int]("run_schedule(name text)", _VALUE)
pause_schedule = Call[bool]("pause_schedule(name text)", _VALUE)
resume_schedule = Call[bool]("resume_schedule(name text)", _VALUE)
redrive = Call[int](
    "redrive(dead_letter_queue text, queue text, qty integer, conditional jsonb, rate float8)",
    _VALUE,
)
requeue = Call[int](
    "requeue(queue text, archived_ids bigint[], since timestamptz, until timestamptz, qty integer,"
    " conditional jsonb, rate float8, keep boolean)",
    _VALUE,
)
move = Call[int | None]("move(queue text, msg_id bigint, to_queue text)", _VALUE)
maintain = Call[int]("maintain(queue text)", _VALUE)


# FIFO groups

create_fair_index = Call[None]("create_fair_index(queue text)", _NOTHING)
create_fifo_index = Call[None]("create_fifo_index(queue text)", _NOTHING)
create_fifo_indexes_all = Call[None]("create_fifo_indexes_all()", _NOTHING)


# Topics

validate_routing_key = Call[bool]("_is_routing_key(routing_key text)", _VALUE)
validate_topic_pattern = Call[bool]("_is_topic_pattern(pattern text)", _VALUE)
bind_topic = Call[None]("bind_topic(pattern text, queue_name text)", _NOTHING)
unbind_topic = Call[bool]("unbind_topic(pattern text, queue_name text)", _VALUE)
_all_topic_bindings = Call[list[TopicBinding]]("list_topic_bindings()", _many(TopicBinding))
_topic_bindings = Call[list[TopicBinding]](
    "list_topic_bindings(queue_name text)", _many(TopicBinding)
)
test_routing = Call[list[RoutingResult]]("test_routing(routing_key text)", _many(RoutingResult))
_send_topic = Call[int](
    "send_topic(routing_key text, message jsonb, headers jsonb, delay integer)", _VALUE
)
_send_batch_topic = _Timed[list[BatchTopicResult]](
    "send_batch_topic(routing_key text, messages jsonb[], headers jsonb[],"
    " delay integer|timestamptz)",
    _many(BatchTopicResult),
)


def list_topic_bindings(queue_name: str | None) -> Statement[list[TopicBinding]]:
    return _all_topic_bindings() if queue_name is None else _topic_bindings(queue_name)


def send_topic(
    routing_key: str, message: Any, headers: Any, delay: Seconds | None
) -> Statement[int]:
    return _send_topic(routing_key, message, headers, delay or 0)


def send_batch_topic(
    routing_key: str, messages: Sequence[Any], headers: Sequence[Any] | None, delay: Delay | None
) -> Statement[list[BatchTopicResult]]:
    _match(messages, headers)
    return _send_batch_topic(routing_key, messages, headers, delay or 0)


# Exchanges

create_exchange = Call[None]("create_exchange(exchange_name text)", _NOTHING)
drop_exchange = Call[bool]("drop_exchange(exchange_name text)", _VALUE)
bind = Call[None]("bind(exchange_name text, queue_name text, pattern text, kind text)", _NOTHING)
unbind = Call[bool]("unbind(exchange_name text, queue_name text, pattern text, kind text)", _VALUE)
bind_channel = Call[None](
    "bind_channel(exchange_name text, channel text, pattern text, kind text)", _NOTHING
)
unbind_channel = Call[bool](
    "unbind_channel(exchange_name text, channel text, pattern text, kind text)", _VALUE
)
list_bindings = Call[list[Binding]]("list_bindings(exchange_name text)", _many(Binding))
publish = Call[int](
    "publish(exchange_name text, routing_key text, message jsonb, headers jsonb, delay integer)",
    _VALUE,
)


# Waking consumers

enable_notify = Call[None](
    "enable_notify_insert(queue text, throttle_interval_ms integer)", _NOTHING
)
update_notify = Call[None](
    "update_notify_insert(queue text, throttle_interval_ms integer)", _NOTHING
)
disable_notify = Call[None]("disable_notify_insert(queue text)", _NOTHING)
list_notify_throttles = Call[list[NotificationThrottle]](
    "list_notify_insert_throttles()", _many(NotificationThrottle)
)
enable_wakeups = Call[None]("enable_wakeups(queue text)", _NOTHING)
disable_wakeups = Call[None]("disable_wakeups(queue text)", _NOTHING)
await_ = Call[datetime]("await(queue text, seconds integer)", _VALUE)


# Push consumers

enable_push = Call[None]("enable_push(queue text)", _NOTHING)
disable_push = Call[None]("disable_push(queue text)", _NOTHING)
open_channel = Call[str]("open_channel(queue text, maximum_messages integer, vt integer)", _VALUE)
close_channel = Call[int]("close_channel(channel text)", _VALUE)
close_dead_channels = Call[int]("close_dead_channels()", _VALUE)
list_channels = Call[list[Channel]]("list_channels()", _many(Channel))


# Privileges

grant_send = Call[None]("grant_send(queue text, role text)", _NOTHING)
grant_consume = Call[None]("grant_consume(queue text, role text)", _NOTHING)
grant_requeue = Call[None]("grant_requeue(queue text, role text)", _NOTHING)
grant_fetch = Call[None]("grant_fetch(stream_name text, group_name text, role_name text)", _NOTHING)
grant_monitor = Call[None]("grant_monitor(queue text, role text)", _NOTHING)
grant_maintain = Call[None]("grant_maintain(queue text, role text)", _NOTHING)
grant_create = Call[None]("grant_create(role text)", _NOTHING)
_revoke_all = Call[None]("revoke_all(queue text, role text)", _NOTHING)
_revoke_everything = Call[None]("revoke_all(role text)", _NOTHING)


def revoke_all(queue: str | None, role: str) -> Statement[None]:
    return _revoke_everything(role) if queue is None else _revoke_all(queue, role)


# Metrics, and running it

metrics = Call[QueueMetrics]("metrics(queue text)", _one(QueueMetrics))
metrics_all = Call[list[QueueMetrics]]("metrics_all()", _many(QueueMetrics))
queue_stats = Call[list[QueueStats]]("queue_stats(queue text)", _many(QueueStats))
version = Call[str]("version()", _VALUE)
recompile = Call[bool]("recompile(queue text)", _VALUE)
recompile_all = Call[int]("recompile_all()", _VALUE)
pin = Call[None]("pin(queue text)", _NOTHING)
unpin = Call[bool]("unpin(queue text)", _VALUE)
doctor = Call[list[Finding]]("doctor()", _many(Finding))


# What only workers and the command line ask for


@dataclass(frozen=True, slots=True)
class Due:
    """In how many seconds to look again; the transactions that ran when this was asked."""

    seconds: float | None
    oldest: int
    next: int


def due(queues: Mapping[str, int | None]) -> Statement[Due]:
    """Ask when to look again, as a distance: the clocks of two machines may differ.

    A queue with a number is armed for so many seconds, as await_ does.
    """
    return _due(
        Statement(
            "SELECT min(nullif(CASE WHEN q.seconds IS NULL THEN pgmq.next_visible_at(q.name)"
            " ELSE pgmq.await(q.name, q.seconds) END, 'infinity'))"
            " FROM unnest(%(names)s::text[], %(seconds)s::integer[]) AS q (name, seconds)",
            {"names": [*queues], "seconds": [*queues.values()]},
            _VALUE.decode,
        )
    )


def nothing_due() -> Statement[Due]:
    """Ask as due does, of a stream, where nothing falls due."""
    return _due(Statement("SELECT NULL::timestamptz", {}, _NOTHING.decode))


def _due(asked: Statement[Any]) -> Statement[Due]:
    # Infinity, when nothing but that is left, has no distance on Postgres before 17.
    return Statement(
        "SELECT extract(epoch FROM"
        f" nullif(({asked.query}), 'infinity') - clock_timestamp())::float8,"
        " pg_snapshot_xmin(pg_current_snapshot())::text::bigint,"
        " pg_snapshot_xmax(pg_current_snapshot())::text::bigint",
        asked.parameters,
        lambda rows: Due(*rows[0]),
    )


def ack_in_transaction(
    queue: str, msg_ids: list[int], read_cts: list[int]
) -> Statement[tuple[str, int]]:
    """Acknowledge messages; says when the transaction began, and how many those were."""
    acked = ack_batch(queue, msg_ids, read_cts)
    return Statement(
        f"SELECT now()::text, cardinality(ARRAY({acked.query}))",
        acked.parameters,
        lambda rows: (rows[0][0], rows[0][1]),
    )


def may_consume(stream: str, group: str) -> Statement[bool]:
    """Raise the error that consuming a stream as a group would raise; changes nothing."""
    return commit(stream, group, 0, None, None)


def archive_leased(
    queue: str, msg_ids: list[int], read_cts: list[int], error: str | None
) -> Statement[list[int]]:
    """Archive leased messages, with the error in their headers; gives those that were."""
    # nack() says which leases are still ours, locks these messages, and keeps the error.
    returned = nack_batch(queue, msg_ids, read_cts, 0, error)
    return Statement(
        f"SELECT pgmq.archive(%(queue)s::text, ARRAY({returned.query}))",
        returned.parameters,
        _COLUMN.decode,
    )


def amend_leased(queue: str, msg_id: int, read_ct: int, headers: Any) -> Statement[bool]:
    """Replace the headers of a leased message; acknowledge it in the same transaction.

    Else it is visible again. False when the lease is no longer ours.
    """
    # Of two functions that stand beside each other, nobody knows which is called first.
    returned = nack(queue, msg_id, read_ct, 0, None)
    amended = amend(queue, msg_id, None, headers)
    return Statement(
        f"SELECT CASE WHEN ({returned.query}) THEN ({amended.query}) ELSE false END",
        {**returned.parameters, **amended.parameters},
        _VALUE.decode,
    )


@dataclass(frozen=True, slots=True)
class Found:
    """A message where it is: in its queue, perhaps leased, or in the archive."""

    message: Message
    is_leased: bool
    archived_at: datetime | None


def find(table: str, msg_id: int) -> Statement[Found | None]:
    """Find a message in its queue, whose table queue_table has named, or in the archive."""
    query = sql.SQL(
        f"""
        SELECT {MESSAGE}, last_read_at IS NOT NULL AND vt > clock_timestamp(), NULL::timestamptz
        FROM pgmq.{{}}
        WHERE msg_id = %(msg_id)s::bigint
        UNION ALL
        SELECT {MESSAGE}, false, archived_at
        FROM pgmq.{{}}
        WHERE msg_id = %(msg_id)s::bigint
        """
    ).format(*(sql.Identifier(f"{prefix}{table[1:]}") for prefix in "qa"))
    return Statement(
        query.as_string(),
        {"msg_id": msg_id},
        lambda rows: Found(Message(*rows[0][:-2]), *rows[0][-2:]) if rows else None,
    )


def limit(setting: str, milliseconds: int) -> Statement[None]:
    """Have what takes longer fail, until the transaction ends: lock_timeout, statement_timeout."""
    return Statement(
        "SELECT set_config(%(setting)s::text, %(milliseconds)s::text, true)",
        {"setting": setting, "milliseconds": str(milliseconds)},
        _NOTHING.decode,
    )


def quoted(*names: str) -> sql.Composable:
    """Quote a name for a query with parameters, in which a % would begin one."""
    return sql.SQL(sql.Identifier(*names).as_string().replace("%", "%%"))


def there(table: str, msg_ids: list[int], *, free: bool = False) -> Statement[set[int]]:
    """Ask which messages are in a queue's table; free: lock and name those that nobody else has."""
    query = sql.SQL("SELECT q.msg_id FROM pgmq.{} AS q WHERE q.msg_id = ANY (%(ids)s)").format(
        quoted(table)
    )
    if free:
        query += sql.SQL(" ORDER BY q.msg_id FOR UPDATE SKIP LOCKED")
    return Statement(query.as_string(), {"ids": msg_ids}, lambda rows: {row[0] for row in rows})


# Of a queue m: its table, and whether it is that of a stream.
_TABLE = "to_regclass(concat('pgmq.', quote_ident(pgmq.format_table_name(m.queue_name, 'q'))))"
_IS_STREAM = f"""EXISTS (
    SELECT FROM pg_attribute AS a WHERE a.attrelid = {_TABLE} AND a.attname = 'key_hash'
)"""


@dataclass(frozen=True, slots=True)
class Listed:
    """A queue as `pgmq list` shows it."""

    queue_name: str
    kind: str
    owner: str | None
    created_at: datetime


def listed() -> Statement[list[Listed]]:
    return Statement(
        f"""
        SELECT
            m.queue_name,
            CASE
                WHEN {_IS_STREAM} THEN 'stream'
                WHEN m.is_partitioned THEN 'partitioned'
                WHEN m.is_unlogged THEN 'unlogged'
                ELSE 'queue'
            END,
            pg_get_userbyid(c.relowner),
            m.created_at
        FROM
            pgmq.list_queues() AS m
        LEFT JOIN pg_class AS c ON c.oid = {_TABLE}
        ORDER BY m.queue_name
        """,
        {},
        lambda rows: [Listed(*row) for row in rows],
    )


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange as `pgmq exchange list` shows it."""

    exchange_name: str
    bindings: int
    created_at: datetime


def exchanges() -> Statement[list[Exchange]]:
    return Statement(
        """
        SELECT e.exchange_name, count(b.exchange_name), e.created_at
        FROM pgmq.exchange AS e
        LEFT JOIN pgmq.binding AS b USING (exchange_name)
        GROUP BY e.exchange_name
        ORDER BY e.exchange_name
        """,
        {},
        lambda rows: [Exchange(*row) for row in rows],
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """A queue as `pgmq top` sees it."""

    queue: str
    length: int
    hidden: int
    oldest: int | None
    total: int
    at: float
    dead_letter_queue: str | None
    dead_tuples: int


def measured() -> Statement[list[dict[str, Any]]]:
    """Ask metrics_all, with all its columns; and which queues are streams, or for dead letters."""
    return Statement(
        f"""
        SELECT (
            to_jsonb(m) - 'scrape_time' || jsonb_build_object(
                'is_stream', {_IS_STREAM},
                'takes_dead_letters', (
                    EXISTS (
                        SELECT FROM pgmq.policy AS p
                        WHERE lower(p.dead_letter_queue) = lower(m.queue_name)
                    ) OR EXISTS (
                        SELECT FROM pgmq.stream_group AS g
                        WHERE lower(g.dead_letter_queue) = lower(m.queue_name)
                    )
                )::integer
            )
        )::text
        FROM pgmq.metrics_all() AS m
        """,
        {},
        lambda rows: [json.loads(found) for (found,) in rows],
    )


def snapshot_age() -> Statement[float]:
    """Ask for how many seconds a transaction has kept vacuum from what was consumed since."""
    return Statement(
        """
        SELECT
            coalesce(extract(EPOCH FROM clock_timestamp() - least(
                (
                    SELECT min(a.xact_start) FROM pg_stat_activity AS a
                    WHERE
                        a.datname = current_database() AND a.pid <> pg_backend_pid()
                        AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
                ),
                (
                    SELECT min(p.prepared) FROM pg_prepared_xacts AS p
                    WHERE p.database = current_database()
                )
            )), 0)::float8
        """,
        {},
        lambda rows: float(rows[0][0]),
    )


def top() -> Statement[list[Seen]]:
    return Statement(
        f"""
        SELECT
            m.queue_name, m.queue_length, m.queue_length - m.queue_visible_length,
            m.oldest_msg_age_sec, m.total_messages, extract(EPOCH FROM m.scrape_time)::float8,
            p.dead_letter_queue,
            (
                SELECT coalesce(sum(s.n_dead_tup), 0)::bigint
                FROM pg_stat_all_tables AS s
                WHERE
                    s.relid = t.relid
                    OR s.relid IN (SELECT relid FROM pg_partition_tree(t.relid))
            )
        FROM
            pgmq.metrics_all() AS m
        CROSS JOIN LATERAL pgmq.get_policy(m.queue_name) AS p
        CROSS JOIN LATERAL (
            SELECT {_TABLE} AS relid
        ) AS t
        ORDER BY m.queue_name
        """,
        {},
        lambda rows: [Seen(*row) for row in rows],
    )


# What only the console asks for


@dataclass(frozen=True, slots=True)
class Known:
    """A queue or stream: its tables, and what the caller may do with it.

    `partition_interval` and `retention_interval` are those of its partitions or segments.
    """

    queue_name: str
    table: str
    archive: str
    kind: str
    created_at: datetime
    partition_interval: str | None
    retention_interval: str | None
    dead_letter_queue: str | None
    owner: str
    owned: bool
    readable: bool
    archive_readable: bool
    sendable: bool
    changeable: bool
    deletable: bool

    @property
    def is_stream(self) -> bool:
        """Whether groups read it."""
        return self.kind == "stream"


def known(queue: str | None = None) -> Statement[list[Known]]:
    """Ask what a queue is, or what all are; one whose table was dropped by hand is left out."""
    return Statement(
        """
        SELECT
            m.queue_name::text, q.relname::text, a.relname::text,
            CASE
                WHEN EXISTS (
                    SELECT FROM pgmq.stream_segment AS s WHERE s.queue_name = m.queue_name
                ) THEN 'stream'
                WHEN m.is_unlogged THEN 'unlogged'
                WHEN m.is_partitioned THEN 'partitioned'
                ELSE 'plain'
            END,
            m.created_at, p.partition_interval, p.retention_interval, o.dead_letter_queue,
            pg_get_userbyid(q.relowner)::text, pg_has_role(q.relowner, 'USAGE'),
            has_column_privilege(q.oid, 'message', 'SELECT'),
            coalesce(has_column_privilege(a.oid, 'message', 'SELECT'), false),
            has_table_privilege(q.oid, 'INSERT'), has_table_privilege(q.oid, 'UPDATE'),
            has_table_privilege(q.oid, 'DELETE')
        FROM pgmq.meta AS m
        INNER JOIN pg_class AS q
            ON q.relname = lower('q_' || m.queue_name)::name
            AND q.relnamespace = 'pgmq'::regnamespace
        LEFT JOIN pg_class AS a
            ON a.relname = lower('a_' || m.queue_name)::name
            AND a.relnamespace = 'pgmq'::regnamespace
        LEFT JOIN pgmq.partitioning AS p ON p.queue_name = m.queue_name AND NOT p.is_archive
        LEFT JOIN pgmq.policy AS o ON o.queue_name = m.queue_name
        WHERE %(queue)s::text IS NULL OR lower(m.queue_name) = lower(%(queue)s::text)
        ORDER BY m.queue_name
        """,
        {"queue": queue},
        lambda rows: [Known(*row) for row in rows],
    )


# set_vt, without the messages themselves, which may be long.
postpone = Call[list[int]](
    "set_vt(queue text, msg_ids bigint[], vt integer)",
    _Rows(lambda rows: [row[0] for row in rows], "msg_id"),
)
