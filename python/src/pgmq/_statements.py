"""The statements: for each call its SQL, its parameters, and what its rows mean. No I/O here.

Every parameter is written `%(name)s::type`: psycopg takes it as it stands, and what needs another
notation can tell name and type apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeGuard, TypeVar

from psycopg.types.json import Jsonb

from pgmq import _wire as wire
from pgmq.messages import (
    BatchTopicResult,
    Binding,
    Channel,
    Finding,
    Message,
    NotificationThrottle,
    Policy,
    QueueMessage,
    QueueMetrics,
    QueueRecord,
    RoutingResult,
    SendOnceResult,
    TopicBinding,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta

T = TypeVar("T")
R = TypeVar("R")

Row = tuple[Any, ...]
Delay = int | datetime


@dataclass(frozen=True, slots=True)
class Statement(Generic[T]):
    """One call: the SQL, its parameters, and the function that makes the result of its rows."""

    query: str
    parameters: Mapping[str, Any]
    decode: Callable[[list[Row]], T]


# Columns, in the order of the fields of the class.

MESSAGE = "msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers"
METRICS = (
    "queue_name, queue_length, newest_msg_age_sec, oldest_msg_age_sec, total_messages, "
    "scrape_time, queue_visible_length"
)
BINDING = "exchange_name, queue_name, channel, pattern, kind, bound_at"
CHANNEL = "channel, queue_name, maximum_messages, vt, in_flight, pid, opened_at"
FINDING = "severity, queue_name, finding, fix"
POLICY = (
    "queue_name, max_receives, dead_letter_queue, retry_delay, retry_delay_max, retry_jitter, "
    "message_ttl, archive_retention, dedup_window, max_in_flight, ack_archives"
)


# What rows mean.


def _nothing(rows: list[Row]) -> None:
    return None


def _value(rows: list[Row]) -> Any:
    return rows[0][0]


def _column(rows: list[Row]) -> list[Any]:
    return [row[0] for row in rows]


def _many(cls: Callable[..., R]) -> Callable[[list[Row]], list[R]]:
    return lambda rows: [cls(*row) for row in rows]


def _one(cls: Callable[..., R]) -> Callable[[list[Row]], R]:
    return lambda rows: cls(*rows[0])


_messages = _many(Message)


def _first(rows: list[Row]) -> Message | None:
    return Message(*rows[0]) if rows else None


def _json(value: Any) -> Jsonb:
    return Jsonb(value, wire.dumps)


def _headers(value: Any) -> Jsonb | None:
    return None if value is None else _json(value)


def _jsons(values: Sequence[Any] | None) -> list[Jsonb | None] | None:
    return None if values is None else [_headers(value) for value in values]


def _error(text: str | None) -> str | None:
    return None if text is None else wire.plain(text)


def _type(delay: Delay | None) -> str:
    return "timestamptz" if isinstance(delay, datetime) else "integer"


def _list(values: Iterable[Any]) -> list[Any]:
    # The characters of a text, '12', are meant by nobody.
    if isinstance(values, str | bytes):
        raise TypeError(f"a list is wanted, not {values!r}")
    return list(values)


def _match(messages: Sequence[Any], headers: Sequence[Any] | None) -> None:
    if headers is not None and len(headers) != len(messages):
        raise ValueError("headers list must match messages list length")


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
        _nothing,
    )


def ensure_partman() -> Statement[None]:
    return Statement("CREATE EXTENSION IF NOT EXISTS pg_partman", {}, _nothing)


# Queues


def create_queue(queue: str, unlogged: bool) -> Statement[None]:
    query = (
        "SELECT pgmq.create_unlogged(%(queue)s::text)"
        if unlogged
        else "SELECT pgmq.create(%(queue)s::text)"
    )
    return Statement(query, {"queue": queue}, _nothing)


def create_partitioned_queue(
    queue: str, partition_interval: int | str, retention_interval: int | str
) -> Statement[None]:
    return Statement(
        "SELECT pgmq.create_partitioned("
        "%(queue)s::text, %(partition_interval)s::text, %(retention_interval)s::text)",
        {
            "queue": queue,
            "partition_interval": str(partition_interval),
            "retention_interval": str(retention_interval),
        },
        _nothing,
    )


def convert_archive_partitioned(
    queue: str,
    partition_interval: int | str,
    retention_interval: int | str,
    leading_partition: int,
) -> Statement[None]:
    return Statement(
        "SELECT pgmq.convert_archive_partitioned(%(queue)s::text, %(partition_interval)s::text,"
        " %(retention_interval)s::text, %(leading_partition)s::integer)",
        {
            "queue": queue,
            "partition_interval": str(partition_interval),
            "retention_interval": str(retention_interval),
            "leading_partition": leading_partition,
        },
        _nothing,
    )


def drop_queue(queue: str) -> Statement[bool]:
    return Statement("SELECT pgmq.drop_queue(%(queue)s::text)", {"queue": queue}, _value)


def purge(queue: str) -> Statement[int]:
    return Statement("SELECT pgmq.purge_queue(%(queue)s::text)", {"queue": queue}, _value)


def detach_archive(queue: str) -> Statement[None]:
    return Statement("SELECT pgmq.detach_archive(%(queue)s::text)", {"queue": queue}, _nothing)


def list_queues() -> Statement[list[QueueRecord]]:
    return Statement(
        "SELECT queue_name, is_partitioned, is_unlogged, created_at FROM pgmq.list_queues()",
        {},
        _many(QueueRecord),
    )


def validate_queue_name(queue_name: str) -> Statement[bool]:
    return Statement(
        "SELECT pgmq.validate_queue_name(%(queue_name)s::text)",
        {"queue_name": queue_name},
        lambda rows: True,
    )


# Sending


def send(queue: str, message: Any, headers: Any, delay: Delay | None) -> Statement[int]:
    if headers is None and delay is None:
        return Statement(
            "SELECT pgmq.send(%(queue)s::text, %(message)s::jsonb)",
            {"queue": queue, "message": _json(message)},
            _value,
        )
    return Statement(
        "SELECT pgmq.send(%(queue)s::text, %(message)s::jsonb, %(headers)s::jsonb,"
        f" %(delay)s::{_type(delay)})",
        {
            "queue": queue,
            "message": _json(message),
            "headers": _headers(headers),
            "delay": 0 if delay is None else delay,
        },
        _value,
    )


def send_batch(
    queue: str, messages: Sequence[Any], headers: Sequence[Any] | None, delay: Delay | None
) -> Statement[list[int]]:
    _match(messages, headers)
    return Statement(
        "SELECT pgmq.send_batch(%(queue)s::text, %(messages)s::jsonb[], %(headers)s::jsonb[],"
        f" %(delay)s::{_type(delay)})",
        {
            "queue": queue,
            "messages": [_json(message) for message in messages],
            "headers": _jsons(headers),
            "delay": 0 if delay is None else delay,
        },
        _column,
    )


def send_once(
    queue: str, message: Any, dedup_key: str, headers: Any, delay: int
) -> Statement[SendOnceResult]:
    return Statement(
        "SELECT msg_id, is_new FROM pgmq.send_once(%(queue)s::text, %(message)s::jsonb,"
        " %(dedup_key)s::text, %(headers)s::jsonb, %(delay)s::integer)",
        {
            "queue": queue,
            "message": _json(message),
            "dedup_key": dedup_key,
            "headers": _headers(headers),
            "delay": delay,
        },
        _one(SendOnceResult),
    )


def send_once_batch(
    queue: str,
    messages: Sequence[Any],
    dedup_keys: Sequence[str],
    headers: Sequence[Any] | None,
    delay: int,
) -> Statement[list[SendOnceResult]]:
    _match(messages, headers)
    return Statement(
        "SELECT msg_id, is_new FROM pgmq.send_once(%(queue)s::text, %(messages)s::jsonb[],"
        " %(dedup_keys)s::text[], %(headers)s::jsonb[], %(delay)s::integer)",
        {
            "queue": queue,
            "messages": [_json(message) for message in messages],
            "dedup_keys": _list(dedup_keys),
            "headers": _jsons(headers),
            "delay": delay,
        },
        _many(SendOnceResult),
    )


# Reading


def read(queue: str, vt: int, qty: int | None, conditional: Any = None) -> Statement[list[Message]]:
    return Statement(
        f"SELECT {MESSAGE} FROM pgmq.read(%(queue)s::text, %(vt)s::integer, %(qty)s::integer,"
        " %(conditional)s::jsonb)",
        {"queue": queue, "vt": vt, "qty": qty, "conditional": _json(conditional or {})},
        _messages,
    )


def read_with_poll(
    queue: str,
    vt: int,
    qty: int | None,
    max_poll_seconds: int | None,
    poll_interval_ms: int | None,
    conditional: Any,
) -> Statement[list[Message]]:
    return Statement(
        f"SELECT {MESSAGE} FROM pgmq.read_with_poll(%(queue)s::text, %(vt)s::integer,"
        " %(qty)s::integer, %(max_poll_seconds)s::integer, %(poll_interval_ms)s::integer,"
        " %(conditional)s::jsonb)",
        {
            "queue": queue,
            "vt": vt,
            "qty": qty,
            "max_poll_seconds": max_poll_seconds,
            "poll_interval_ms": poll_interval_ms,
            "conditional": _json(conditional or {}),
        },
        _messages,
    )


def _grouped(function: str, queue: str, vt: int, qty: int | None) -> Statement[list[Message]]:
    return Statement(
        f"SELECT {MESSAGE} FROM pgmq.{function}("
        "%(queue)s::text, %(vt)s::integer, %(qty)s::integer)",
        {"queue": queue, "vt": vt, "qty": qty},
        _messages,
    )


def _grouped_with_poll(
    function: str,
    queue: str,
    vt: int,
    qty: int | None,
    max_poll_seconds: int | None,
    poll_interval_ms: int | None,
) -> Statement[list[Message]]:
    return Statement(
        f"SELECT {MESSAGE} FROM pgmq.{function}(%(queue)s::text, %(vt)s::integer,"
        " %(qty)s::integer, %(max_poll_seconds)s::integer, %(poll_interval_ms)s::integer)",
        {
            "queue": queue,
            "vt": vt,
            "qty": qty,
            "max_poll_seconds": max_poll_seconds,
            "poll_interval_ms": poll_interval_ms,
        },
        _messages,
    )


def read_grouped(queue: str, vt: int, qty: int | None) -> Statement[list[Message]]:
    return _grouped("read_grouped", queue, vt, qty)


def read_grouped_rr(queue: str, vt: int, qty: int | None) -> Statement[list[Message]]:
    return _grouped("read_grouped_rr", queue, vt, qty)


def read_grouped_head(queue: str, vt: int, qty: int | None) -> Statement[list[Message]]:
    return _grouped("read_grouped_head", queue, vt, qty)


def read_grouped_with_poll(
    queue: str, vt: int, qty: int | None, max_poll_seconds: int | None, poll_interval_ms: int | None
) -> Statement[list[Message]]:
    return _grouped_with_poll(
        "read_grouped_with_poll", queue, vt, qty, max_poll_seconds, poll_interval_ms
    )


def read_grouped_rr_with_poll(
    queue: str, vt: int, qty: int | None, max_poll_seconds: int | None, poll_interval_ms: int | None
) -> Statement[list[Message]]:
    return _grouped_with_poll(
        "read_grouped_rr_with_poll", queue, vt, qty, max_poll_seconds, poll_interval_ms
    )


def read_grouped_head_with_poll(
    queue: str, vt: int, qty: int | None, max_poll_seconds: int | None, poll_interval_ms: int | None
) -> Statement[list[Message]]:
    return _grouped_with_poll(
        "read_grouped_head_with_poll", queue, vt, qty, max_poll_seconds, poll_interval_ms
    )


def read_group(
    queue: str, group_name: str | None, vt: int, qty: int | None
) -> Statement[list[Message]]:
    return Statement(
        f"SELECT {MESSAGE} FROM pgmq.read_group(%(queue)s::text, %(group_name)s::text,"
        " %(vt)s::integer, %(qty)s::integer)",
        {"queue": queue, "group_name": group_name, "vt": vt, "qty": qty},
        _messages,
    )


def read_any(queue_names: Sequence[str], vt: int, qty: int | None) -> Statement[list[QueueMessage]]:
    return Statement(
        f"SELECT queue_name, {MESSAGE} FROM pgmq.read_any("
        "%(queue_names)s::text[], %(vt)s::integer, %(qty)s::integer)",
        {"queue_names": _list(queue_names), "vt": vt, "qty": qty},
        lambda rows: [QueueMessage(row[0], Message(*row[1:])) for row in rows],
    )


def pop(queue: str, qty: int | None) -> Statement[list[Message]]:
    return Statement(
        f"SELECT {MESSAGE} FROM pgmq.pop(%(queue)s::text, %(qty)s::integer)",
        {"queue": queue, "qty": qty},
        _messages,
    )


def peek(queue: str, qty: int | None, conditional: Any) -> Statement[list[Message]]:
    return Statement(
        f"SELECT {MESSAGE} FROM pgmq.peek("
        "%(queue)s::text, %(qty)s::integer, %(conditional)s::jsonb)",
        {"queue": queue, "qty": qty, "conditional": _json(conditional or {})},
        _messages,
    )


def get(queue: str, msg_id: int) -> Statement[Message | None]:
    return Statement(
        f"SELECT {MESSAGE} FROM pgmq.get(%(queue)s::text, %(msg_id)s::bigint)",
        {"queue": queue, "msg_id": msg_id},
        _first,
    )


def next_visible_at(queue: str) -> Statement[datetime | None]:
    return Statement("SELECT pgmq.next_visible_at(%(queue)s::text)", {"queue": queue}, _value)


# Acknowledging


def delete(queue: str, msg_id: int) -> Statement[bool]:
    return Statement(
        "SELECT pgmq.delete(%(queue)s::text, %(msg_id)s::bigint)",
        {"queue": queue, "msg_id": msg_id},
        _value,
    )


def delete_batch(queue: str, msg_ids: Sequence[int]) -> Statement[list[int]]:
    return Statement(
        "SELECT pgmq.delete(%(queue)s::text, %(msg_ids)s::bigint[])",
        {"queue": queue, "msg_ids": _list(msg_ids)},
        _column,
    )


def archive(queue: str, msg_id: int) -> Statement[bool]:
    return Statement(
        "SELECT pgmq.archive(%(queue)s::text, %(msg_id)s::bigint)",
        {"queue": queue, "msg_id": msg_id},
        _value,
    )


def archive_batch(queue: str, msg_ids: Sequence[int]) -> Statement[list[int]]:
    return Statement(
        "SELECT pgmq.archive(%(queue)s::text, %(msg_ids)s::bigint[])",
        {"queue": queue, "msg_ids": _list(msg_ids)},
        _column,
    )


def is_one(msg_id: object) -> TypeGuard[int]:
    # NumPy's integers are no int; pgmq-py takes None, which no message has, and a text.
    return isinstance(msg_id, str) or not isinstance(msg_id, Iterable)


def set_vt(queue: str, msg_id: int, vt: Delay) -> Statement[Message | None]:
    return Statement(
        f"SELECT {MESSAGE} FROM pgmq.set_vt("
        f"%(queue)s::text, %(msg_id)s::bigint, %(vt)s::{_type(vt)})",
        {"queue": queue, "msg_id": msg_id, "vt": vt},
        _first,
    )


def set_vt_batch(queue: str, msg_ids: Sequence[int], vt: Delay) -> Statement[list[Message]]:
    return Statement(
        f"SELECT {MESSAGE} FROM pgmq.set_vt("
        f"%(queue)s::text, %(msg_ids)s::bigint[], %(vt)s::{_type(vt)})",
        {"queue": queue, "msg_ids": _list(msg_ids), "vt": vt},
        _messages,
    )


def ack(queue: str, msg_id: int, read_ct: int) -> Statement[bool]:
    return Statement(
        "SELECT pgmq.ack(%(queue)s::text, %(msg_id)s::bigint, %(read_ct)s::integer)",
        {"queue": queue, "msg_id": msg_id, "read_ct": read_ct},
        _value,
    )


def ack_batch(queue: str, msg_ids: Sequence[int], read_cts: Sequence[int]) -> Statement[list[int]]:
    return Statement(
        "SELECT pgmq.ack(%(queue)s::text, %(msg_ids)s::bigint[], %(read_cts)s::integer[])",
        {"queue": queue, "msg_ids": _list(msg_ids), "read_cts": _list(read_cts)},
        _column,
    )


def nack(
    queue: str, msg_id: int, read_ct: int, delay: int | None, error: str | None
) -> Statement[bool]:
    return Statement(
        "SELECT pgmq.nack(%(queue)s::text, %(msg_id)s::bigint, %(read_ct)s::integer,"
        " %(delay)s::integer, %(error)s::text)",
        {
            "queue": queue,
            "msg_id": msg_id,
            "read_ct": read_ct,
            "delay": delay,
            "error": _error(error),
        },
        _value,
    )


def nack_batch(
    queue: str,
    msg_ids: Sequence[int],
    read_cts: Sequence[int],
    delay: int | None,
    error: str | None,
) -> Statement[list[int]]:
    return Statement(
        "SELECT pgmq.nack(%(queue)s::text, %(msg_ids)s::bigint[], %(read_cts)s::integer[],"
        " %(delay)s::integer, %(error)s::text)",
        {
            "queue": queue,
            "msg_ids": _list(msg_ids),
            "read_cts": _list(read_cts),
            "delay": delay,
            "error": _error(error),
        },
        _column,
    )


def extend(queue: str, msg_id: int, read_ct: int, vt: int) -> Statement[bool]:
    return Statement(
        "SELECT pgmq.extend("
        "%(queue)s::text, %(msg_id)s::bigint, %(read_ct)s::integer, %(vt)s::integer)",
        {"queue": queue, "msg_id": msg_id, "read_ct": read_ct, "vt": vt},
        _value,
    )


def extend_batch(
    queue: str, msg_ids: Sequence[int], read_cts: Sequence[int], vt: int
) -> Statement[list[int]]:
    return Statement(
        "SELECT pgmq.extend("
        "%(queue)s::text, %(msg_ids)s::bigint[], %(read_cts)s::integer[], %(vt)s::integer)",
        {"queue": queue, "msg_ids": _list(msg_ids), "read_cts": _list(read_cts), "vt": vt},
        _column,
    )


def ack_and_read(
    queue: str, vt: int, qty: int | None, msg_ids: Sequence[int], read_cts: Sequence[int]
) -> Statement[list[Message]]:
    return Statement(
        f"SELECT {MESSAGE} FROM pgmq.ack_and_read(%(queue)s::text, %(vt)s::integer,"
        " %(qty)s::integer, %(msg_ids)s::bigint[], %(read_cts)s::integer[])",
        {
            "queue": queue,
            "vt": vt,
            "qty": qty,
            "msg_ids": _list(msg_ids),
            "read_cts": _list(read_cts),
        },
        _messages,
    )


# Policies


def set_policy(
    queue: str,
    max_receives: int | None,
    dead_letter_queue: str | None,
    retry_delay: timedelta | None,
    retry_delay_max: timedelta | None,
    retry_jitter: float,
    message_ttl: timedelta | None,
    archive_retention: timedelta | None,
    dedup_window: timedelta | None,
    max_in_flight: int | None,
    ack_archives: bool,
) -> Statement[None]:
    return Statement(
        "SELECT pgmq.set_policy(queue_name => %(queue)s::text,"
        " max_receives => %(max_receives)s::integer,"
        " dead_letter_queue => %(dead_letter_queue)s::text,"
        " retry_delay => %(retry_delay)s::interval,"
        " retry_delay_max => %(retry_delay_max)s::interval,"
        " retry_jitter => %(retry_jitter)s::real,"
        " message_ttl => %(message_ttl)s::interval,"
        " archive_retention => %(archive_retention)s::interval,"
        " dedup_window => %(dedup_window)s::interval,"
        " max_in_flight => %(max_in_flight)s::integer,"
        " ack_archives => %(ack_archives)s::boolean)",
        {
            "queue": queue,
            "max_receives": max_receives,
            "dead_letter_queue": dead_letter_queue,
            "retry_delay": retry_delay,
            "retry_delay_max": retry_delay_max,
            "retry_jitter": retry_jitter,
            "message_ttl": message_ttl,
            "archive_retention": archive_retention,
            "dedup_window": dedup_window,
            "max_in_flight": max_in_flight,
            "ack_archives": ack_archives,
        },
        _nothing,
    )


def get_policy(queue: str) -> Statement[Policy]:
    return Statement(
        f"SELECT {POLICY} FROM pgmq.get_policy(%(queue)s::text)",
        {"queue": queue},
        _one(Policy),
    )


def redrive(dead_letter_queue: str, queue: str | None, qty: int | None) -> Statement[int]:
    return Statement(
        "SELECT pgmq.redrive(%(dead_letter_queue)s::text, %(queue)s::text, %(qty)s::integer)",
        {"dead_letter_queue": dead_letter_queue, "queue": queue, "qty": qty},
        _value,
    )


def move(queue: str, msg_id: int, to_queue: str) -> Statement[int | None]:
    return Statement(
        "SELECT pgmq.move(%(queue)s::text, %(msg_id)s::bigint, %(to_queue)s::text)",
        {"queue": queue, "msg_id": msg_id, "to_queue": to_queue},
        _value,
    )


def maintain(queue: str | None) -> Statement[int]:
    return Statement("SELECT pgmq.maintain(%(queue)s::text)", {"queue": queue}, _value)


# FIFO groups


def create_fifo_index(queue: str) -> Statement[None]:
    return Statement("SELECT pgmq.create_fifo_index(%(queue)s::text)", {"queue": queue}, _nothing)


def create_fifo_indexes_all() -> Statement[None]:
    return Statement("SELECT pgmq.create_fifo_indexes_all()", {}, _nothing)


# Topics


def validate_routing_key(routing_key: str) -> Statement[bool]:
    return Statement(
        "SELECT pgmq.validate_routing_key(%(routing_key)s::text)",
        {"routing_key": routing_key},
        _value,
    )


def validate_topic_pattern(pattern: str) -> Statement[bool]:
    return Statement(
        "SELECT pgmq.validate_topic_pattern(%(pattern)s::text)", {"pattern": pattern}, _value
    )


def bind_topic(pattern: str, queue_name: str) -> Statement[None]:
    return Statement(
        "SELECT pgmq.bind_topic(%(pattern)s::text, %(queue_name)s::text)",
        {"pattern": pattern, "queue_name": queue_name},
        _nothing,
    )


def unbind_topic(pattern: str, queue_name: str) -> Statement[bool]:
    return Statement(
        "SELECT pgmq.unbind_topic(%(pattern)s::text, %(queue_name)s::text)",
        {"pattern": pattern, "queue_name": queue_name},
        _value,
    )


def list_topic_bindings(queue_name: str | None) -> Statement[list[TopicBinding]]:
    columns = "pattern, queue_name, bound_at, compiled_regex"
    if queue_name is None:
        return Statement(
            f"SELECT {columns} FROM pgmq.list_topic_bindings()", {}, _many(TopicBinding)
        )
    return Statement(
        f"SELECT {columns} FROM pgmq.list_topic_bindings(%(queue_name)s::text)",
        {"queue_name": queue_name},
        _many(TopicBinding),
    )


def test_routing(routing_key: str) -> Statement[list[RoutingResult]]:
    return Statement(
        "SELECT pattern, queue_name, compiled_regex FROM pgmq.test_routing(%(routing_key)s::text)",
        {"routing_key": routing_key},
        _many(RoutingResult),
    )


def send_topic(routing_key: str, message: Any, headers: Any, delay: int | None) -> Statement[int]:
    return Statement(
        "SELECT pgmq.send_topic(%(routing_key)s::text, %(message)s::jsonb, %(headers)s::jsonb,"
        " %(delay)s::integer)",
        {
            "routing_key": routing_key,
            "message": _json(message),
            "headers": _headers(headers),
            "delay": 0 if delay is None else delay,
        },
        _value,
    )


def send_batch_topic(
    routing_key: str, messages: Sequence[Any], headers: Sequence[Any] | None, delay: Delay | None
) -> Statement[list[BatchTopicResult]]:
    _match(messages, headers)
    return Statement(
        "SELECT queue_name, msg_id FROM pgmq.send_batch_topic(%(routing_key)s::text,"
        f" %(messages)s::jsonb[], %(headers)s::jsonb[], %(delay)s::{_type(delay)})",
        {
            "routing_key": routing_key,
            "messages": [_json(message) for message in messages],
            "headers": _jsons(headers),
            "delay": 0 if delay is None else delay,
        },
        _many(BatchTopicResult),
    )


# Exchanges


def create_exchange(exchange_name: str) -> Statement[None]:
    return Statement(
        "SELECT pgmq.create_exchange(%(exchange_name)s::text)",
        {"exchange_name": exchange_name},
        _nothing,
    )


def drop_exchange(exchange_name: str) -> Statement[bool]:
    return Statement(
        "SELECT pgmq.drop_exchange(%(exchange_name)s::text)",
        {"exchange_name": exchange_name},
        _value,
    )


def bind(exchange_name: str, queue_name: str, pattern: str | None, kind: str) -> Statement[None]:
    return Statement(
        "SELECT pgmq.bind(%(exchange_name)s::text, %(queue_name)s::text, %(pattern)s::text,"
        " %(kind)s::text)",
        {
            "exchange_name": exchange_name,
            "queue_name": queue_name,
            "pattern": pattern,
            "kind": kind,
        },
        _nothing,
    )


def unbind(exchange_name: str, queue_name: str, pattern: str | None, kind: str) -> Statement[bool]:
    return Statement(
        "SELECT pgmq.unbind(%(exchange_name)s::text, %(queue_name)s::text, %(pattern)s::text,"
        " %(kind)s::text)",
        {
            "exchange_name": exchange_name,
            "queue_name": queue_name,
            "pattern": pattern,
            "kind": kind,
        },
        _value,
    )


def bind_channel(
    exchange_name: str, channel: str, pattern: str | None, kind: str
) -> Statement[None]:
    return Statement(
        "SELECT pgmq.bind_channel(%(exchange_name)s::text, %(channel)s::text, %(pattern)s::text,"
        " %(kind)s::text)",
        {"exchange_name": exchange_name, "channel": channel, "pattern": pattern, "kind": kind},
        _nothing,
    )


def unbind_channel(
    exchange_name: str, channel: str, pattern: str | None, kind: str
) -> Statement[bool]:
    return Statement(
        "SELECT pgmq.unbind_channel(%(exchange_name)s::text, %(channel)s::text,"
        " %(pattern)s::text, %(kind)s::text)",
        {"exchange_name": exchange_name, "channel": channel, "pattern": pattern, "kind": kind},
        _value,
    )


def list_bindings(exchange_name: str | None) -> Statement[list[Binding]]:
    return Statement(
        f"SELECT {BINDING} FROM pgmq.list_bindings(%(exchange_name)s::text)",
        {"exchange_name": exchange_name},
        _many(Binding),
    )


def publish(
    exchange_name: str, routing_key: str, message: Any, headers: Any, delay: int
) -> Statement[int]:
    return Statement(
        "SELECT pgmq.publish(%(exchange_name)s::text, %(routing_key)s::text, %(message)s::jsonb,"
        " %(headers)s::jsonb, %(delay)s::integer)",
        {
            "exchange_name": exchange_name,
            "routing_key": routing_key,
            "message": _json(message),
            "headers": _headers(headers),
            "delay": delay,
        },
        _value,
    )


# Waking consumers


def enable_notify(queue: str, throttle_interval_ms: int) -> Statement[None]:
    return Statement(
        "SELECT pgmq.enable_notify_insert(%(queue)s::text, %(throttle_interval_ms)s::integer)",
        {"queue": queue, "throttle_interval_ms": throttle_interval_ms},
        _nothing,
    )


def update_notify(queue: str, throttle_interval_ms: int) -> Statement[None]:
    return Statement(
        "SELECT pgmq.update_notify_insert(%(queue)s::text, %(throttle_interval_ms)s::integer)",
        {"queue": queue, "throttle_interval_ms": throttle_interval_ms},
        _nothing,
    )


def disable_notify(queue: str) -> Statement[None]:
    return Statement(
        "SELECT pgmq.disable_notify_insert(%(queue)s::text)", {"queue": queue}, _nothing
    )


def list_notify_throttles() -> Statement[list[NotificationThrottle]]:
    return Statement(
        "SELECT queue_name, throttle_interval_ms, last_notified_at"
        " FROM pgmq.list_notify_insert_throttles()",
        {},
        _many(NotificationThrottle),
    )


def enable_wakeups(queue: str) -> Statement[None]:
    return Statement("SELECT pgmq.enable_wakeups(%(queue)s::text)", {"queue": queue}, _nothing)


def disable_wakeups(queue: str) -> Statement[None]:
    return Statement("SELECT pgmq.disable_wakeups(%(queue)s::text)", {"queue": queue}, _nothing)


def await_(queue: str, seconds: int) -> Statement[datetime]:
    return Statement(
        "SELECT pgmq.await(%(queue)s::text, %(seconds)s::integer)",
        {"queue": queue, "seconds": seconds},
        _value,
    )


# Push consumers


def enable_push(queue: str) -> Statement[None]:
    return Statement("SELECT pgmq.enable_push(%(queue)s::text)", {"queue": queue}, _nothing)


def disable_push(queue: str) -> Statement[None]:
    return Statement("SELECT pgmq.disable_push(%(queue)s::text)", {"queue": queue}, _nothing)


def open_channel(queue: str, maximum_messages: int, vt: int) -> Statement[str]:
    return Statement(
        "SELECT pgmq.open_channel(%(queue)s::text, %(maximum_messages)s::integer, %(vt)s::integer)",
        {"queue": queue, "maximum_messages": maximum_messages, "vt": vt},
        _value,
    )


def close_channel(channel: str | None) -> Statement[int]:
    return Statement("SELECT pgmq.close_channel(%(channel)s::text)", {"channel": channel}, _value)


def close_dead_channels() -> Statement[int]:
    return Statement("SELECT pgmq.close_dead_channels()", {}, _value)


def list_channels() -> Statement[list[Channel]]:
    return Statement(f"SELECT {CHANNEL} FROM pgmq.list_channels()", {}, _many(Channel))


# Privileges


def grant_send(queue: str, role: str) -> Statement[None]:
    return Statement(
        "SELECT pgmq.grant_send(%(queue)s::text, %(role)s::text)",
        {"queue": queue, "role": role},
        _nothing,
    )


def grant_consume(queue: str, role: str) -> Statement[None]:
    return Statement(
        "SELECT pgmq.grant_consume(%(queue)s::text, %(role)s::text)",
        {"queue": queue, "role": role},
        _nothing,
    )


def grant_monitor(queue: str, role: str) -> Statement[None]:
    return Statement(
        "SELECT pgmq.grant_monitor(%(queue)s::text, %(role)s::text)",
        {"queue": queue, "role": role},
        _nothing,
    )


def grant_maintain(queue: str, role: str) -> Statement[None]:
    return Statement(
        "SELECT pgmq.grant_maintain(%(queue)s::text, %(role)s::text)",
        {"queue": queue, "role": role},
        _nothing,
    )


def grant_create(role: str) -> Statement[None]:
    return Statement("SELECT pgmq.grant_create(%(role)s::text)", {"role": role}, _nothing)


def revoke_all(queue: str | None, role: str) -> Statement[None]:
    if queue is None:
        return Statement("SELECT pgmq.revoke_all(%(role)s::text)", {"role": role}, _nothing)
    return Statement(
        "SELECT pgmq.revoke_all(%(queue)s::text, %(role)s::text)",
        {"queue": queue, "role": role},
        _nothing,
    )


# Metrics, and running it


def metrics(queue: str) -> Statement[QueueMetrics]:
    return Statement(
        f"SELECT {METRICS} FROM pgmq.metrics(%(queue)s::text)",
        {"queue": queue},
        _one(QueueMetrics),
    )


def metrics_all() -> Statement[list[QueueMetrics]]:
    return Statement(f"SELECT {METRICS} FROM pgmq.metrics_all()", {}, _many(QueueMetrics))


def version() -> Statement[str]:
    return Statement("SELECT pgmq.version()", {}, _value)


def recompile(queue: str) -> Statement[bool]:
    return Statement("SELECT pgmq.recompile(%(queue)s::text)", {"queue": queue}, _value)


def recompile_all() -> Statement[int]:
    return Statement("SELECT pgmq.recompile_all()", {}, _value)


def doctor() -> Statement[list[Finding]]:
    return Statement(f"SELECT {FINDING} FROM pgmq.doctor()", {}, _many(Finding))
