"""The commands that look: metrics, top, doctor."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from dataclasses import asdict
from typing import TYPE_CHECKING

from pgmq import _statements as statements
from pgmq._signals import on_signal
from pgmq.cli._declare import ANY_QUEUES, arg, at_least, command, seconds, session_of
from pgmq.cli._output import Table, compare, lags, prometheus, rich

if TYPE_CHECKING:
    from pgmq.cli._declare import Options


@command(
    ANY_QUEUES,
    arg("--json", action="store_true", help="print JSON"),
    arg("--prometheus", action="store_true", help="print Prometheus' text format"),
)
def metrics(options: Options) -> None:
    """Print what queues hold.

    Lengths are exact up to 10,000 messages and estimated beyond; ages are in seconds.

    Example: pgmq metrics orders
    Example: pgmq metrics --prometheus > /var/lib/node_exporter/pgmq.prom
    """
    with session_of(options) as session:
        found = (
            [session.metrics(queue) for queue in options.queues]
            if options.queues
            else session.metrics_all()
        )
    if options.json:
        print(json.dumps([asdict(metrics) for metrics in found], default=str))
    elif options.prometheus:
        print(prometheus(found), end="")
    else:
        Table(
            ["queue", "messages", "visible", "oldest s", "newest s", "sent in all"],
            [
                (m.queue_name, m.queue_length, m.queue_visible_length, m.oldest_msg_age_sec,
                 m.newest_msg_age_sec, m.total_messages)
                for m in found
            ],
        ).show()  # fmt: skip


@command(
    ANY_QUEUES,
    arg("--interval", type=seconds, default=2.0, metavar="SECONDS", help="default: 2"),
    arg("--count", type=at_least(1), metavar="N", help="end after so many tables"),
)
def top(options: Options) -> None:
    """Watch queues.

    "in flight" is what is leased or delayed, "dead letters" the length of the queue's dead-letter
    queue, "dead tuples" what vacuum has not removed from its table. Rates are those since the last
    table. Groups that read streams are in a table of their own: "lag" is how many messages a group
    has not committed. Where the output is no terminal, tables follow each other.

    Example: pgmq top --interval 5
    """
    stop = threading.Event()
    with on_signal(stop.set), contextlib.ExitStack() as stack:
        # First of all, lest the server be asked for what cannot be shown.
        live = None
        if sys.stdout.isatty():
            live = stack.enter_context(
                rich("live").Live(screen=options.count is None, auto_refresh=False)
            )
        session = stack.enter_context(session_of(options))
        before: dict[str, statements.Seen] = {}
        left = options.count
        while not stop.is_set():
            seen = session.run(statements.top())
            if not before:
                names = {each.queue for each in seen}
                for queue in [name for name in options.queues if name not in names]:
                    session.metrics(queue)  # which says what is wrong with it
            tables = [compare(seen, before, options.queues)]
            groups = lags(session.list_groups(), options.queues)
            if groups.rows:
                tables.append(groups)
            if live:
                drawn = [table.drawn() for table in tables]
                live.update(rich("console").Group(*drawn), refresh=True)
            else:
                print("\n\n".join(table.plain() for table in tables), flush=True)
            before = {each.queue: each for each in seen}
            if left is not None:
                left -= 1
                if not left:
                    break
            stop.wait(options.interval)


@command()
def doctor(options: Options) -> int:
    """Look for what is wrong.

    Says what to do about it. The exit code is 1 when there is something.

    Example: pgmq doctor
    """
    with session_of(options) as session:
        findings = session.doctor()
    for found in findings:
        where = f"{found.queue_name}: " if found.queue_name else ""
        print(f"{found.severity}: {where}{found.finding}")
        if found.fix:
            print(f"  {found.fix}")
    return int(bool(findings))
