"""OpenTelemetry: spans, links, headers and metrics, as the SDK's exporters in memory see them."""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import subprocess
import sys
import unittest.mock
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import pgmq
import pgmq.otel
import pgmq_sqlalchemy
from pgmq import AsyncPGMQueue, AsyncWorker, PGMQueue, ProcessWorker, Retry, Worker
from pgmq.relay import Relay
from support import server as servers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.once

kombu: Any = importlib.import_module("kombu")

SAMPLE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Telemetry:
    """What was exported so far."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._metrics = InMemoryMetricReader()
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meter_provider = MeterProvider([self._metrics])

    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended since the last time, in the order in which they began."""
        found = sorted(self._spans.get_finished_spans(), key=lambda span: span.start_time or 0)
        self._spans.clear()
        return found

    def metrics(self, name: str) -> dict[str, tuple[float, Mapping[str, Any]]]:
        """The values of a metric, the counts of a histogram, by destination."""
        data = self._metrics.get_metrics_data()
        return {
            str((point.attributes or {}).get("messaging.destination.name")): (
                point.count if hasattr(point, "count") else point.value,
                point.attributes or {},
            )
            for resource in (data.resource_metrics if data else [])
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        }

    def close(self) -> None:
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown()


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    found = Telemetry()
    pgmq.otel.instrument(tracer_provider=found.tracer_provider, meter_provider=found.meter_provider)
    yield found
    pgmq.otel.uninstrument()
    found.close()


@pytest.fixture
def queue(dsn: str) -> Iterator[PGMQueue]:
    with PGMQueue(dsn) as client:
        client.create_queue("orders")
        yield client


async def _post(app: FastAPI, path: str) -> Any:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as browser:
        return (await browser.post(path)).json()


def _trace(span: ReadableSpan) -> str:
    return format(span.context.trace_id, "032x")


def _parent(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def _linked(span: ReadableSpan) -> list[int]:
    return [link.context.span_id for link in span.links]


def test_a_request_is_one_trace_through_the_queue_into_the_database_calls_of_the_handler(
    dsn: str, queue: PGMQueue, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = FastAPI()

    @app.post("/orders")
    async def order() -> int:
        async with AsyncPGMQueue(dsn, init_extension=False) as client:
            return await client.send("orders", {"order": 7}, {"tenant": "a"})

    def book(message: pgmq.Message) -> None:
        assert message.headers.keys() == {"tenant", "traceparent"}
        with psycopg.connect(dsn) as connection:
            connection.execute("SELECT 'booked'")

    FastAPIInstrumentor.instrument_app(app, tracer_provider=telemetry.tracer_provider)
    for kind in (psycopg.Connection, psycopg.AsyncConnection):
        # Uninstrumenting leaves a method behind that makes no subclass.
        monkeypatch.setattr(kind, "connect", kind.__dict__["connect"])
    PsycopgInstrumentor().instrument(tracer_provider=telemetry.tracer_provider)
    try:
        assert asyncio.run(_post(app, "/orders")) == 1
        Worker(dsn, "orders", book).run(until_empty=True)
    finally:
        PsycopgInstrumentor().uninstrument()
        FastAPIInstrumentor.uninstrument_app(app)
    spans = telemetry.spans()
    trace = {_trace(span) for span in spans if span.name == "POST /orders"}
    path = [
        span
        for span in spans
        if {_trace(span)} == trace and span.kind is not SpanKind.INTERNAL
        if "pg_backend_pid" not in str(span.attributes)
    ]
    request, send, insert, process, select = path
    assert [(span.name, span.kind) for span in path] == [
        ("POST /orders", SpanKind.SERVER),
        ("send orders", SpanKind.PRODUCER),
        ("SELECT", SpanKind.CLIENT),
        ("process orders", SpanKind.CONSUMER),
        ("SELECT", SpanKind.CLIENT),
    ]
    assert [*map(_parent, path)] == [
        None,
        request.context.span_id,
        send.context.span_id,
        send.context.span_id,
        process.context.span_id,
    ]
    assert "pgmq.send" in str(insert.attributes)
    assert "booked" in str(select.attributes)
    assert _linked(process) == [send.context.span_id]
    assert dict(process.attributes or {}) == {
        "messaging.system": "pgmq",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "orders",
        "messaging.message.id": "1",
    }


def test_a_batch_has_a_trace_of_its_own_with_a_link_to_each_message(
    dsn: str, queue: PGMQueue, telemetry: Telemetry
) -> None:
    queue.send_batch("orders", [1, 2], [{"n": 1}, None])
    queue.send("orders", 3)

    async def book(messages: list[pgmq.Message]) -> None:
        assert [message.message for message in messages] == [1, 2, 3]

    asyncio.run(AsyncWorker(dsn, "orders", book, batch=True).run(until_empty=True))
    batch, single, process = telemetry.spans()
    assert (batch.name, batch.attributes or {}) == (
        "send_batch orders",
        {
            "messaging.system": "pgmq",
            "messaging.operation.name": "send_batch",
            "messaging.operation.type": "send",
            "messaging.destination.name": "orders",
            "messaging.batch.message_count": 2,
        },
    )
    assert process.parent is None
    assert _trace(process) not in {_trace(batch), _trace(single)}
    sent = batch.context.span_id
    assert _linked(process) == [sent, sent, single.context.span_id]
    assert (process.attributes or {})["messaging.batch.message_count"] == 3
    assert telemetry.metrics("messaging.client.sent.messages").keys() == {"orders"}
    assert telemetry.metrics("messaging.client.consumed.messages")["orders"][0] == 3
    assert telemetry.metrics("messaging.process.duration")["orders"][0] == 1


def test_a_handler_that_fails_says_so_in_its_span_and_is_counted(
    dsn: str, queue: PGMQueue, telemetry: Telemetry
) -> None:
    queue.set_policy("orders", max_receives=1, retry_delay=timedelta(0))
    for number in range(2):
        queue.send("orders", number)

    def book(message: pgmq.Message) -> None:
        if message.message:
            raise Retry("not yet")
        raise LookupError("no such order")

    telemetry.spans()
    Worker(dsn, "orders", book).run(until_empty=True)
    failed, retried = telemetry.spans()
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.status.description == "LookupError: no such order"
    assert (failed.attributes or {})["error.type"] == "LookupError"
    assert [event.name for event in failed.events] == ["exception"]
    assert retried.status.status_code is StatusCode.UNSET
    assert "error.type" not in (retried.attributes or {})
    assert telemetry.metrics("pgmq.failed.messages")["orders"][0] == 1
    assert telemetry.metrics("pgmq.dead.messages")["orders"][0] == 2


def test_every_client_traces_what_it_sends_reads_and_settles(
    dsn: str, queue: PGMQueue, telemetry: Telemetry
) -> None:
    url = servers.url(dsn)
    synchronous: list[Any] = [
        PGMQueue(dsn, init_extension=False),
        pgmq.SQLAlchemyPGMQueue(url, init_extension=False),
    ]
    for client in synchronous:
        with client:
            client.send("orders", 1)
            message = client.read("orders")
            client.ack("orders", message.msg_id, message.read_ct)
            assert client.read("orders") is None

    async def use(client: Any) -> None:
        async with client:
            await client.send("orders", 1)
            message = await client.read("orders")
            await client.ack("orders", message.msg_id, message.read_ct)
            assert await client.read("orders") is None

    theirs = pgmq_sqlalchemy.PGMQueue(dsn=url)
    theirs.send("orders", 1)
    message = theirs.read("orders")
    assert message is not None
    theirs.delete("orders", message.msg_id)
    assert theirs.read("orders") is None
    theirs.engine.dispose()

    asyncio.run(use(AsyncPGMQueue(dsn, init_extension=False)))
    asyncio.run(use(pgmq.SQLAlchemyAsyncPGMQueue(url, init_extension=False)))
    spans = telemetry.spans()
    assert len(spans) == 15  # and none for a look at an empty queue
    for send, read, ack in zip(spans[::3], spans[1::3], spans[2::3], strict=True):
        assert [(span.name, span.kind) for span in (send, read, ack)] == [
            ("send orders", SpanKind.PRODUCER),
            ("read orders", SpanKind.CLIENT),
            (ack.name, SpanKind.CLIENT),
        ]
        assert _linked(read) == [send.context.span_id]
        assert ack.name in ("ack orders", "delete orders")
        ids = {(span.attributes or {})["messaging.message.id"] for span in (send, read, ack)}
        assert len(ids) == 1
    with pytest.raises(psycopg.errors.UndefinedTable):
        queue.send("nowhere", 1)
    [failed] = telemetry.spans()
    assert failed.status.status_code is StatusCode.ERROR
    assert (failed.attributes or {})["error.type"] == "psycopg.errors.UndefinedTable"
    with pytest.raises(psycopg.errors.UndefinedTable):
        queue.read("nowhere")
    [failed] = telemetry.spans()
    assert (failed.name, failed.status.status_code) == ("read nowhere", StatusCode.ERROR)
    durations = telemetry.metrics("messaging.client.operation.duration")
    assert durations["nowhere"][1]["error.type"] == "psycopg.errors.UndefinedTable"
    pgmq.otel.uninstrument()
    queue.send("orders", 1)
    assert telemetry.spans() == []


def test_headers_keep_what_they_have(queue: PGMQueue, telemetry: Telemetry) -> None:
    queue.set_policy("orders", dedup_window=timedelta(hours=1))
    queue.send("orders", 0, {"traceparent": SAMPLE, "x-pgmq-group": "a"})
    queue.send("orders", 1, ["no", "object"])
    queue.send_once("orders", 2, "key", {"x-pgmq-group": "b"})
    queue.create_exchange("shop")
    queue.bind("shop", "orders", "#")
    queue.publish("shop", "order.paid", 3)
    queue.bind_topic("#", "orders")
    queue.send_topic("order.paid", 4, {"n": 4})
    messages = queue.read_batch("orders", 30, 10)
    *sent, read = telemetry.spans()
    assert [span.name for span in sent] == [
        "send orders",
        "send orders",
        "send_once orders",
        "publish shop",
        "send_topic",
    ]
    assert (sent[-1].attributes or {})["pgmq.routing_key"] == "order.paid"
    # The trace that a message was given is its own; a list has no place for one.
    assert [format(link.context.trace_id, "032x") for link in read.links] == [
        SAMPLE[3:35],
        *map(_trace, sent[2:]),
    ]
    given, odd, *others = (message.headers for message in messages)
    assert (given, odd) == ({"traceparent": SAMPLE, "x-pgmq-group": "a"}, ["no", "object"])
    assert [{"x-pgmq-group", "n"} & each.keys() for each in others] == [
        {"x-pgmq-group"},
        set(),
        {"n"},
    ]
    assert all("traceparent" in each for each in others)


def test_a_group_of_a_stream_is_named_with_its_lane(
    dsn: str, queue: PGMQueue, telemetry: Telemetry
) -> None:
    queue.create_stream("events")
    queue.create_group("events", "billing", "earliest", lanes=1)
    queue.send("events", 1)
    batch = queue.fetch("events", "billing")
    assert batch is not None
    queue.commit("events", "billing", *batch.lease)
    queue.send("events", 2)
    Worker(dsn, "events", lambda message: None, group="billing").run(until_empty=True)
    send, fetch, commit, _, process = telemetry.spans()
    assert _linked(fetch) == [send.context.span_id]
    attributes = fetch.attributes or {}
    assert attributes["messaging.consumer.group.name"] == "billing"
    assert attributes["messaging.destination.partition.id"] == "0"
    assert commit.name == "commit events"
    attributes = process.attributes or {}
    assert attributes["messaging.consumer.group.name"] == "billing"
    assert attributes["messaging.destination.partition.id"] == "0"


def test_a_process_of_a_worker_goes_on_with_the_trace(
    dsn: str, queue: PGMQueue, telemetry: Telemetry, tmp_path: Path
) -> None:
    from support.traced import note_trace

    pgmq.otel.instrument(tracer_provider=telemetry.tracer_provider)
    queue.send("orders", {"file": str(tmp_path / "trace")})
    ProcessWorker(dsn, "orders", note_trace).run(until_empty=True)
    [send] = telemetry.spans()  # those of the process are its own to export
    assert (tmp_path / "trace").read_text() == _trace(send)


def test_a_relay_passes_the_trace_on_and_links_what_it_forwards(
    dsn: str, queue: PGMQueue, telemetry: Telemetry
) -> None:
    queue.create_fifo_index("orders")
    queue.send("orders", {"order": 7})
    assert Relay(dsn, "orders", "memory://?queue=traced").run(until_empty=True) == 1
    send, *of_relay = telemetry.spans()
    with kombu.Connection("memory://") as broker:
        message = broker.SimpleQueue("traced").get(timeout=1)
    assert message.headers["traceparent"].split("-")[1] == _trace(send)
    assert [span.name for span in of_relay] == [
        "read_group orders",
        "process orders",
        "ack orders",
    ]
    assert _linked(of_relay[1]) == [send.context.span_id]


def test_queues_and_groups_are_measured_when_metrics_are_collected(
    queue: PGMQueue, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = unittest.mock.Mock(wraps=queue.metrics_all)
    monkeypatch.setattr(queue, "metrics_all", asked)
    queue.create_stream("events")
    queue.create_group("events", "billing", "earliest")
    queue.send_batch("events", [1, 2])
    pgmq.otel.watch(queue, meter_provider=telemetry.meter_provider)
    assert telemetry.metrics("pgmq.queue.length")["orders"][0] == 0
    queue.send("orders", 1)
    assert telemetry.metrics("pgmq.queue.length")["orders"][0] == 1
    assert telemetry.metrics("pgmq.queue.oldest_age")["orders"][0] == 0
    lag, attributes = telemetry.metrics("pgmq.group.lag")["events"]
    assert lag == 2
    assert attributes["messaging.consumer.group.name"] == "billing"
    assert asked.call_count == 4  # once a collection


def test_the_instrumentor_of_the_command_line_switches_it_on_and_off(
    queue: PGMQueue, telemetry: Telemetry
) -> None:
    pgmq.otel.uninstrument()
    [point] = importlib.metadata.entry_points(group="opentelemetry_instrumentor", name="pgmq")
    instrumentor = point.load()()
    instrumentor.instrument(tracer_provider=telemetry.tracer_provider)
    queue.send("orders", 1)
    instrumentor.uninstrument()
    queue.send("orders", 1)
    assert [span.name for span in telemetry.spans()] == ["send orders"]


def test_nothing_is_imported_for_those_who_do_not_ask() -> None:
    check = "import sys, pgmq.cli, pgmq.relay, pgmq; print('opentelemetry' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"
