"""OpenTelemetry: spans and metrics of clients, workers and relays, and the trace in the headers.

Names are those of the semantic conventions for messaging. Needs the extra otel, and an SDK to send
anything anywhere.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar

from opentelemetry import metrics, propagate, trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.metrics import Observation
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from pgmq import _observing as observing
from pgmq import _statements as statements
from pgmq._observing import Call
from pgmq._session import StoppedError
from pgmq._worker.outcome import Retry, text_of
from pgmq.messages import QueueMessage, StreamBatch, StreamMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from opentelemetry.metrics import CallbackOptions, Histogram, MeterProvider
    from opentelemetry.trace import Span, TracerProvider

    from pgmq._statements import Statement
    from pgmq.sync_operations import SyncPGMQueueOperationsMixin

__all__ = ["instrument", "uninstrument", "watch"]

T = TypeVar("T")
Attributes = dict[str, Any]

_SETTLING = {"ack", "archive", "commit", "delete", "nack", "reject", "release"}
_RECEIVING = {"ack_and_read", "commit_and_fetch", "pop"}
_DESTINATIONS = ("queue", "stream_name", "exchange_name")
# Seconds; as the conventions have them.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

_LENGTHS = {
    "pgmq.queue.length": "queue_length",
    "pgmq.queue.visible": "queue_visible_length",
    "pgmq.queue.oldest_age": "oldest_msg_age_sec",
}
_LAGS = {"pgmq.group.lag": "lag", "pgmq.group.lag_age": "lag_seconds"}


def instrument(
    *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
) -> None:
    """Have what pgmq does in this process traced and measured, by the global providers or these."""
    observing.observer = _Observer(tracer_provider, meter_provider)


def uninstrument() -> None:
    """Undo instrument()."""
    observing.observer = None


def watch(
    client: SyncPGMQueueOperationsMixin[Any],
    *queues: str,
    meter_provider: MeterProvider | None = None,
) -> None:
    """Measure how long queues are (all of them, if none is named), and how far groups are behind.

    The client is asked each time that metrics are collected, in the thread that collects them.
    """
    meter = metrics.get_meter("pgmq", version("pgmq"), meter_provider)

    def lengths() -> list[Any]:
        return [*map(client.metrics, queues)] if queues else client.metrics_all()

    def groups() -> list[Any]:
        return [each for each in client.list_groups() if not queues or each.queue_name in queues]

    for rows, gauges in ((_Rows(lengths), _LENGTHS), (_Rows(groups), _LAGS)):
        for name, field in gauges.items():
            unit = "s" if name.endswith("age") else "{message}"
            meter.create_observable_gauge(name, [functools.partial(rows.observe, field)], unit)


class _Rows:
    """Rows that several gauges look at; asked for again when a gauge comes a second time."""

    def __init__(self, ask: Callable[[], list[Any]]) -> None:
        self._ask = ask
        self._rows: list[Any] = []
        self._seen: set[str] = set()

    def observe(self, field: str, _: CallbackOptions) -> Iterator[Observation]:
        """Observe a field of each row."""
        if not self._seen or field in self._seen:
            self._seen.clear()
            self._rows = self._ask()
        self._seen.add(field)
        for row in self._rows:
            attributes = _attributes(row.queue_name, getattr(row, "group_name", None))
            yield Observation(getattr(row, field) or 0, attributes)


class _Observer:
    """Makes a span, and measures, for each call of a client and of a handler."""

    def __init__(
        self, tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None
    ) -> None:
        self._tracer = trace.get_tracer("pgmq", version("pgmq"), tracer_provider)
        meter = metrics.get_meter("pgmq", version("pgmq"), meter_provider)
        self._calls, self._handlers = (
            meter.create_histogram(name, "s", explicit_bucket_boundaries_advisory=_BUCKETS)
            for name in ("messaging.client.operation.duration", "messaging.process.duration")
        )
        self._sent, self._consumed, self._failed, self._dead = (
            meter.create_counter(name, "{message}")
            for name in (
                "messaging.client.sent.messages",
                "messaging.client.consumed.messages",
                "pgmq.failed.messages",
                "pgmq.dead.messages",
            )
        )

    def calling(self, statement: Statement[T]) -> contextlib.AbstractContextManager[Call[T]]:
        call = Call(statement)
        operation = _operation(statement.query)
        if operation is None or statement.parameters.get("msg_ids") == []:
            return contextlib.nullcontext(call)
        name, kind = operation
        attributes = _attributes(*_destination(statement.parameters), _operations(name, kind))
        stand_around = {"send": self._sending, "receive": self._receiving, "settle": self._settling}
        return stand_around[kind](call, attributes)

    @contextlib.contextmanager
    def _sending(self, call: Call[T], attributes: Attributes) -> Iterator[Call[T]]:
        parameters = call.statement.parameters
        messages = parameters.get("messages")
        details = {} if messages is None else {"messaging.batch.message_count": len(messages)}
        if "routing_key" in parameters:  # there may be too many for the names of spans
            details["pgmq.routing_key"] = parameters["routing_key"]
        try:
            with self._span(SpanKind.PRODUCER, self._calls, attributes, details) as span:
                call.statement = statements.with_headers(call.statement, _inject)
                yield call
                if messages is None and "queue" in parameters:
                    msg_id = getattr(call.result, "msg_id", call.result)
                    span.set_attribute("messaging.message.id", str(msg_id))
        finally:
            self._sent.add(1 if messages is None else len(messages), attributes)

    @contextlib.contextmanager
    def _receiving(self, call: Call[T], attributes: Attributes) -> Iterator[Call[T]]:
        began, started = time.time_ns(), time.perf_counter()
        failure: BaseException | None = None
        try:
            yield call
        except BaseException as error:
            failure, attributes["error.type"] = error, _name(error)
            raise
        finally:
            messages = _messages(call.result)
            self._calls.record(time.perf_counter() - started, attributes)
            self._consumed.add(len(messages), attributes)
            # A look at an empty queue is not worth a span, and its links are known only now.
            if messages or failure is not None:
                span = self._tracer.start_span(
                    _title(attributes),
                    kind=SpanKind.CLIENT,
                    attributes=attributes | _details(messages),
                    links=_links(messages),
                    start_time=began,
                )
                if failure is not None:
                    _fail(span, failure)
                span.end()

    @contextlib.contextmanager
    def _settling(self, call: Call[T], attributes: Attributes) -> Iterator[Call[T]]:
        parameters = call.statement.parameters
        details: Attributes = {}
        if "msg_ids" in parameters:
            details["messaging.batch.message_count"] = len(parameters["msg_ids"])
        elif "msg_id" in parameters:
            details["messaging.message.id"] = str(parameters["msg_id"])
        with self._span(SpanKind.CLIENT, self._calls, attributes, details):
            yield call

    @contextlib.contextmanager
    def handling(self, queue: str, group: str | None, messages: Any) -> Iterator[None]:
        batch = isinstance(messages, list)
        messages = messages if batch else [messages]
        attributes = _attributes(queue, group, _operations("process", "process"))
        details, links = _details(messages, batch=batch), _links(messages)
        # A message by itself is handled in the trace that it was sent in.
        token = attach(Context() if batch else _context(messages[0]))
        try:
            with self._span(SpanKind.CONSUMER, self._handlers, attributes, details, links):
                yield
        finally:
            detach(token)
            if "error.type" in attributes:
                self._failed.add(len(messages), attributes)

    def received(self, queue: str, group: str | None, messages: Sequence[Any]) -> None:
        operation = _operations("read" if group is None else "fetch", "receive")
        self._consumed.add(len(messages), _attributes(queue, group, operation))

    def dead(self, queue: str) -> None:
        self._dead.add(1, _attributes(queue))

    @contextlib.contextmanager
    def _span(
        self,
        kind: SpanKind,
        duration: Histogram,
        attributes: Attributes,
        details: Attributes,
        links: Sequence[Link] = (),
    ) -> Iterator[Span]:
        """Make a span, and measure how long it takes; adds an error to the attributes."""
        started = time.perf_counter()
        try:
            with self._tracer.start_as_current_span(
                _title(attributes),
                kind=kind,
                attributes=attributes | details,
                links=links,
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                try:
                    yield span
                except BaseException as error:
                    if not isinstance(error, Retry | StoppedError):  # which are raised on purpose
                        attributes["error.type"] = _name(error)
                        _fail(span, error)
                    raise
        finally:
            duration.record(time.perf_counter() - started, attributes)


@functools.cache
def _operation(query: str) -> tuple[str, str] | None:
    """Say which function of pgmq a statement calls, and of what type that is, if of any."""
    found = re.match(r"SELECT .*?\bpgmq\.(\w+)\(", query)
    name = found[1] if found else ""
    if name.startswith("send") or name == "publish":
        return name, "send"
    if name.startswith(("read", "fetch")) or name in _RECEIVING:
        return name, "receive"
    return (name, "settle") if name in _SETTLING else None


def _destination(parameters: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Say what a call is about: a queue, a stream and its group, an exchange."""
    found = (parameters[name] for name in _DESTINATIONS if name in parameters)
    group = parameters.get("group_name") if "stream_name" in parameters else None
    return next(found, None), group


def _attributes(
    destination: str | None, group: str | None = None, more: Mapping[str, str] | None = None
) -> Attributes:
    attributes: Attributes = {"messaging.system": "pgmq", **(more or {})}
    if destination is not None:
        attributes["messaging.destination.name"] = destination
    if group is not None:
        attributes["messaging.consumer.group.name"] = group
    return attributes


def _operations(name: str, kind: str) -> Attributes:
    return {"messaging.operation.name": name, "messaging.operation.type": kind}


def _title(attributes: Attributes) -> str:
    destination = attributes.get("messaging.destination.name", "")
    return f"{attributes['messaging.operation.name']} {destination}".rstrip()


def _details(messages: list[Any], *, batch: bool = True) -> Attributes:
    """Say of messages what belongs on a span, and not on a measurement."""
    details: Attributes = {"messaging.batch.message_count": len(messages)} if batch else {}
    if len(messages) == 1:
        details["messaging.message.id"] = str(messages[0].msg_id)
        if isinstance(messages[0], StreamMessage):
            details["messaging.destination.partition.id"] = str(messages[0].lane)
    return details


def _messages(result: Any) -> list[Any]:
    """Return the messages of whatever a call that reads returns."""
    if isinstance(result, StreamBatch):
        return result.messages
    return [each.message if isinstance(each, QueueMessage) else each for each in result or ()]


def _inject(headers: Any) -> Any:
    """Add the current trace to headers, unless they have one: then that is the message's."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    if headers is None:
        return carrier or None
    if isinstance(headers, Mapping) and not carrier.keys() & headers.keys():
        return {**headers, **carrier}
    return headers


def _context(message: Any) -> Context:
    """Return the context that a message was sent in."""
    headers = message.headers
    if isinstance(headers, str):  # of a relay, which passes JSON on as it stands
        with contextlib.suppress(ValueError, RecursionError):
            headers = json.loads(headers)
    if not isinstance(headers, Mapping):
        return Context()
    carrier = {name: value for name, value in headers.items() if isinstance(value, str)}
    return propagate.extract(carrier, Context())


def _links(messages: Iterable[Any]) -> list[Link]:
    found = [
        (trace.get_current_span(_context(message)).get_span_context(), str(message.msg_id))
        for message in messages
    ]
    return [
        Link(context, {"messaging.message.id": msg_id})
        for context, msg_id in found
        if context.is_valid
    ]


def _name(error: BaseException) -> str:
    kind = type(error)
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )


def _fail(span: Span, error: BaseException) -> None:
    span.set_attribute("error.type", _name(error))
    with contextlib.suppress(Exception):  # of one that cannot be shown
        span.record_exception(error)
    span.set_status(Status(StatusCode.ERROR, text_of(error)))
