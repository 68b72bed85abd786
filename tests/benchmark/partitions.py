"""Partitions: whether a read and a delete cost the same however many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmark import report
from benchmark.bench import in_turns
from benchmark.report import spread, times

if TYPE_CHECKING:
    from benchmark.bench import Bench

READ_DELETE = """\
SELECT * FROM pgmq.read('{0}', 30, 1) \\aset
SELECT pgmq.delete('{0}', :msg_id::bigint);
"""


def _create(queue: str, interval: str, number: int) -> tuple[str, str]:
    interval = interval.replace("number", str(number))
    return queue, f"create_partitioned('{queue}', ({interval})::text, null, {number})"


# Each is a queue and how it is made: a partition is for more than a round takes, or all of them are
# filled by it.
QUEUES = {
    "not partitioned": ("parts_none", "create('parts_none')"),
    **{
        title.format(number): _create(f"parts_{kind}_{number}", interval, number)
        for title, kind, interval in (
            ("by msg_id, {} partitions ahead", "ids", "10000000"),
            ("by time, {} partitions ahead", "times", "interval '1 day'"),
            ("by msg_id, {} partitions full", "full", "waiting / number"),
        )
        for number in (4, 50)
    },
}


def partitions(bench: Bench) -> tuple[str, Any]:
    """Read 1 + delete, in turns, on queues with few and with many partitions."""
    engine = next(e for e in bench.engines if e.name == "pgmq")

    def prepare(title: str, waiting: int) -> None:
        queue, create = QUEUES[title]
        if "full" in queue:
            waiting = max(waiting, 100_000)
        if engine.number(f"SELECT count(*) FROM pgmq.meta WHERE queue_name = '{queue}'"):
            engine.run(f"SELECT pgmq.drop_queue('{queue}')")
        engine.run("SELECT pgmq." + create.replace("waiting", str(waiting)))
        engine.fill(queue, waiting)

    queues = {title: queue for title, (queue, _) in QUEUES.items()}
    results = in_turns(bench, engine, READ_DELETE, queues, prepare)
    rows = []
    for title, one in results.items():
        few = results[title.replace(" 50 ", " 4 ")]
        rows.append(
            [
                title,
                spread(one.tps),
                spread(one.cpu_us),
                times(report.ratio(one.cpu_us, few.cpu_us)),
            ]
        )
    heads = ["queue", "per second", "CPU us", "CPU, to 4 partitions"]
    text = "Read 1 + delete:\n\n" + report.table(heads, rows)
    text += report.notes({"read 1 + delete": results})
    return text, {title: one.as_json() for title, one in results.items()}
