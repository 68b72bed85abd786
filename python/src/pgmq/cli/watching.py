"""The commands that look: metrics, stats, doctor."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from pgmq.cli._declare import ANY_QUEUES, JSON, arg, command, session_of
from pgmq.cli._hints import spoken
from pgmq.cli._output import Table, local, pauses, print_json
from pgmq.cli.exporting import prometheus

if TYPE_CHECKING:
    from pgmq._session import Session
    from pgmq.cli._declare import Options
    from pgmq.messages import QueueStats


@command(
    ANY_QUEUES,
    JSON,
    arg("--prometheus", action="store_true", help="print Prometheus' text format"),
)
def metrics(options: Options) -> None:
    """Print what queues hold.

    Lengths are exact up to 10,000 messages and estimated beyond; ages are in seconds. "paused" is
    what is: reads, sends, or both. --prometheus prints what `pgmq exporter` serves.

    Example: pgmq metrics orders
    Example: pgmq metrics --prometheus > /var/lib/node_exporter/pgmq.prom
    """
    if options.prometheus:
        _print_for_prometheus(options)
        return
    with session_of(options) as session:
        found = (
            [session.metrics(queue) for queue in options.queues]
            if options.queues
            else session.metrics_all()
        )
        paused = pauses(session.list_paused())
    if options.json:
        values = [{**asdict(m), "paused": paused.get(m.queue_name.lower())} for m in found]
        print(json.dumps(values, default=str))
        return
    Table(
        ["queue", "messages", "visible", "oldest s", "newest s", "sent in all", "paused"],
        [
            (m.queue_name, m.queue_length, m.queue_visible_length, m.oldest_msg_age_sec,
             m.newest_msg_age_sec, m.total_messages, paused.get(m.queue_name.lower()))
            for m in found
        ],
    ).show()  # fmt: skip


@command(ANY_QUEUES, JSON)
def stats(options: Options) -> None:
    """Print the states of messages, and how many came and went.

    "dead letters" is the length of the queue's dead-letter queue, and "archived" that of its
    archive. "sent" and "removed" only grow: two calls tell the rates between them. "removed" counts
    since the time in the last column.

    Example: pgmq stats orders
    """
    with session_of(options) as session:
        found = _stats(session, options)
    if options.json:
        print_json(found)
        return
    Table(
        ["queue", "visible", "delayed", "in flight", "dead letters", "archived", "sent",
         "removed", "since"],
        [
            (each.queue_name, each.visible, each.delayed, each.in_flight, each.dead_letters,
             each.archive_length, each.sent_total, each.removed_total,
             local(each.counted_since))
            for each in found
        ],
    ).show()  # fmt: skip


def _print_for_prometheus(options: Options) -> None:
    client = prometheus("prometheus_client")
    with session_of(options) as session:
        for queue in options.queues:
            session.metrics(queue)  # which says what is wrong with it
    collector = prometheus("pgmq.exporter").Collector(options.dsn, queues=options.queues)
    with contextlib.closing(collector):
        registry = client.CollectorRegistry()
        registry.register(collector)
        print(client.generate_latest(registry).decode(), end="")


def _stats(session: Session, options: Options) -> list[QueueStats]:
    return [each for queue in options.queues or [None] for each in session.queue_stats(queue)]


@command(JSON)
def doctor(options: Options) -> int:
    """Look for what is wrong.

    Says what to do about it. The exit code is 1 when there is something.

    Example: pgmq doctor
    """
    with session_of(options) as session:
        findings = session.doctor()
    if options.json:
        print_json(findings)
        return int(bool(findings))
    for found in findings:
        where = f"{found.queue_name}: " if found.queue_name else ""
        print(f"{found.severity}: {where}{found.finding}")
        if found.fix:
            print(f"  {spoken(found.fix)}")
    return int(bool(findings))
