"""What a database's queues hold, and what a worker does, for Prometheus.

Needs the extra `exporter`, which is prometheus-client. `pgmq exporter` serves a Collector, and
`pgmq metrics --prometheus` prints one. Beside this file are a dashboard for Grafana and rules for
alerts; every metric that they name is one of these.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter as Count
from dataclasses import asdict
from heapq import nlargest
from typing import TYPE_CHECKING, Any

import psycopg
from prometheus_client import REGISTRY, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector as _Collector

from pgmq import _statements as statements
from pgmq import _wire as wire
from pgmq._session import Session
from pgmq.worker import Hooks, Reject, Retry

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from prometheus_client.core import Metric
    from prometheus_client.registry import CollectorRegistry

__all__ = ["Collector", "WorkerMetrics"]

_logger = logging.getLogger("pgmq.exporter")

_LONGEST = 60_000  # milliseconds that a statement may take
_SEVERITIES = ("critical", "warning", "info")
_TYPES = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily}

# Each metric's type, its help, and which figure it is.
_QUEUE = {
    "pgmq_queue_length": ("gauge", "Messages in the queue.", "queue_length"),
    "pgmq_queue_visible_length": ("gauge", "Messages that can be read.", "queue_visible_length"),
    "pgmq_queue_delayed_length": ("gauge", "Messages that wait for their time.", "delayed"),
    "pgmq_queue_in_flight_length": ("gauge", "Messages that are leased.", "in_flight"),
    "pgmq_queue_dead_letters": ("gauge", "Messages in its dead-letter queue.", "dead_letters"),
    "pgmq_archive_length": ("gauge", "Messages in its archive.", "archive_length"),
    "pgmq_default_partition_length": (
        "gauge", "Messages that no partition was there for.", "default_partition_length",
    ),
    "pgmq_oldest_message_age_seconds": ("gauge", "Age of the oldest.", "oldest_msg_age_sec"),
    "pgmq_newest_message_age_seconds": ("gauge", "Age of the newest.", "newest_msg_age_sec"),
    "pgmq_messages_total": ("counter", "Messages sent so far.", "total_messages"),
    "pgmq_messages_removed_total": (
        "counter", "Messages that have left the queue so far.", "removed_total",
    ),
    "pgmq_queue_reads_paused": ("gauge", "1 while reads are paused.", "reads"),
    "pgmq_queue_sends_paused": ("gauge", "1 while sends are paused.", "sends"),
    "pgmq_queue_takes_dead_letters": (
        "gauge", "1 if it is the dead-letter queue of another one.", "takes_dead_letters",
    ),
}  # fmt: skip
_GROUP = {
    "pgmq_group_lag": ("gauge", "Messages that the group has not committed.", "lag"),
    "pgmq_group_lag_seconds": ("gauge", "Age of the oldest of these.", "lag_seconds"),
    "pgmq_group_lanes": ("gauge", "Lanes of the group.", "lanes"),
    "pgmq_group_leased_lanes": ("gauge", "Lanes that somebody reads.", "leased_lanes"),
    "pgmq_group_failing_lanes": ("gauge", "Lanes whose last batch has failed.", "failing_lanes"),
    "pgmq_group_held_bytes": ("gauge", "What is kept for this group alone.", "held_bytes"),
}
_SCHEDULE = {
    "pgmq_schedule_next_timestamp_seconds": ("gauge", "When it sends next.", "next_at"),
    "pgmq_schedule_last_timestamp_seconds": ("gauge", "When it has sent last.", "last_at"),
    "pgmq_schedule_errors": ("gauge", "Failures since its last message.", "errors"),
    "pgmq_schedule_paused": ("gauge", "1 if it is paused, and then it has no next time.", "paused"),
}
Sample = tuple[list[str], dict[str, Any]]


class Collector(_Collector):
    """Asks a database when it is scraped, by one connection, one scrape after the other.

    It has the metrics of the queues named, or of all that the role may see: of the `limit` longest,
    so that what Prometheus must keep is bounded; `pgmq_queues` counts them all. While the database
    cannot be reached, or takes more than a minute for a statement, `pgmq_up` is 0 and all else is
    missing. `doctor` is asked once in
    `doctor_interval` seconds, since it looks into everything.

        >>> registry = CollectorRegistry()
        >>> registry.register(Collector("postgresql:///app"))
        >>> start_http_server(9753, registry=registry)
    """

    def __init__(
        self,
        dsn: str | None = None,
        *,
        queues: Collection[str] = (),
        limit: int = 1000,
        doctor_interval: float = 60.0,
    ) -> None:
        self._dsn = dsn
        self._queues = {name.lower() for name in queues}
        self._limit = limit
        self._doctor_interval = doctor_interval
        self._findings: dict[str, int] = {}
        self._doctor_at = 0.0
        self._session: Session | None = None
        self._served = False
        self._failed_at = 0.0
        self._lock = threading.Lock()

    def describe(self) -> Iterable[Metric]:
        """Give nothing: to be registered, it need not ask the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Measure now; raises psycopg.Error for what waiting does not mend: no pgmq there."""
        begun = time.monotonic()
        found: list[Metric] = []
        with self._lock:
            try:
                # A scrape that waited for one that failed is not to wait once more.
                if self._failed_at < begun:
                    found = self._measure()
                    self._served = True
            except psycopg.Error as error:
                self._leave()
                if not wire.is_passing(error, self._served):
                    raise
                self._failed_at = time.monotonic()
                _logger.warning("Postgres: %s", error)
        up = bool(found)
        yield GaugeMetricFamily("pgmq_up", "1 if the database answered.", value=int(up))
        yield GaugeMetricFamily(
            "pgmq_scrape_duration_seconds",
            "How long it took to ask the database.",
            value=time.monotonic() - begun,
        )
        yield from found

    def close(self) -> None:
        """Close the connection; a scrape after that opens another one."""
        with self._lock:
            self._leave()

    def _leave(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _measure(self) -> list[Metric]:
        if self._session is None:
            self._session = Session(self._dsn, name="pgmq exporter", limit=_LONGEST)
        session = self._session
        measured = session.run(statements.measured())
        wanted = [
            each
            for each in measured
            if not self._queues or each["queue_name"].lower() in self._queues
        ]
        shown = nlargest(self._limit, wanted, key=lambda each: each["queue_length"])
        names = {each["queue_name"] for each in shown}
        stats = {each.queue_name: asdict(each) for each in session.queue_stats()}
        paused = {each.queue_name.lower(): asdict(each) for each in session.list_paused()}
        queues = []
        for each in sorted(shown, key=lambda each: each["queue_name"]):
            name = each["queue_name"]
            figures = {"reads": False, "sends": False} | stats.get(name, {}) | each
            if each["is_stream"]:
                # Which of its messages can be read is a matter of the group.
                for figure in ("queue_visible_length", "delayed", "in_flight"):
                    figures.pop(figure, None)
            queues.append(([name], figures | paused.get(name.lower(), {})))
        groups = [
            ([each.queue_name, each.group_name], asdict(each))
            for each in session.list_groups()
            if each.queue_name in names
        ]
        schedules = [
            ([each.queue_name, each.name], asdict(each) | {"paused": each.paused_at is not None})
            for each in session.list_schedules()
            if each.queue_name in names
        ]
        return [
            GaugeMetricFamily("pgmq_queues", "Queues in the database.", value=len(measured)),
            GaugeMetricFamily(
                "pgmq_queues_omitted", "Queues over the limit.", value=len(wanted) - len(shown)
            ),
            *_families(_QUEUE, ["queue"], queues),
            *_families(_GROUP, ["queue", "group"], groups),
            *_families(_SCHEDULE, ["queue", "schedule"], schedules),
            GaugeMetricFamily(
                "pgmq_oldest_snapshot_age_seconds",
                "For how long a transaction has kept vacuum from what was consumed since.",
                value=session.run(statements.snapshot_age()),
            ),
            self._doctor(session),
        ]

    def _doctor(self, session: Session) -> Metric:
        if not self._findings or time.monotonic() > self._doctor_at + self._doctor_interval:
            found = Count(finding.severity for finding in session.doctor())
            self._findings = {severity: found[severity] for severity in _SEVERITIES}
            self._doctor_at = time.monotonic()
        family = GaugeMetricFamily(
            "pgmq_doctor_findings", "What doctor() has found.", labels=["severity"]
        )
        for severity, count in self._findings.items():
            family.add_metric([severity], count)
        return family


def _families(
    metrics: dict[str, tuple[str, str, str]], labels: Sequence[str], samples: Sequence[Sample]
) -> Iterator[Metric]:
    for name, (kind, text, figure) in metrics.items():
        family = _TYPES[kind](name, text, labels=labels)
        for values, figures in samples:
            value = figures.get(figure)
            if value is not None:
                family.add_metric(values, getattr(value, "timestamp", lambda v=value: v)())
        yield family


class WorkerMetrics(Hooks):
    """Counts what a worker does with messages, and how long its handler takes.

    One of these may serve several workers of a process. Its metrics are in `registry`, by default
    that of prometheus_client, which start_http_server and other exporters serve.

        >>> Worker(dsn, "jobs", handler, hooks=WorkerMetrics()).run()
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._messages = Counter(
            "pgmq_worker_messages_total",
            "Messages by what became of them: done, failed, retried, rejected, lost or dead.",
            ["queue", "outcome"],
            registry=registry,
        )
        self._seconds = Histogram(
            "pgmq_worker_handler_seconds",
            "How long the handler took.",
            ["queue"],
            registry=registry,
        )
        self._disconnects = Counter(
            "pgmq_worker_disconnects_total",
            "Connections that were lost, or not to be had.",
            ["queue"],
            registry=registry,
        )

    def on_done(self, queue: str, message: Any, seconds: float) -> None:
        """Count a message that is done."""
        self._count(queue, "done", seconds)

    def on_error(self, queue: str, message: Any, seconds: float, exception: BaseException) -> None:
        """Count a message that is not."""
        kinds = {Retry: "retried", Reject: "rejected"}
        outcomes = (outcome for kind, outcome in kinds.items() if isinstance(exception, kind))
        self._count(queue, next(outcomes, "failed"), seconds)

    def on_dead_letter(self, queue: str, message: Any, exception: BaseException | None) -> None:
        """Count a message that has failed for the last time, once more."""
        self._messages.labels(queue, "dead").inc()

    def on_lost(self, queue: str, message: Any) -> None:
        """Count a message whose lease was lost."""
        self._messages.labels(queue, "lost").inc()

    def on_disconnect(self, queue: str, error: Exception, seconds: float) -> None:
        """Count a connection."""
        self._disconnects.labels(queue).inc()

    def _count(self, queue: str, outcome: str, seconds: float) -> None:
        self._messages.labels(queue, outcome).inc()
        self._seconds.labels(queue).observe(seconds)
