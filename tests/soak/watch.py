"""How large sessions, tables, indexes and catalogs are; and what is too large."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from support.queries import one

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soak.client import Paused
    from soak.ground import Ground

MB = 1 << 20
# However old a session is, it has the plans of some dozen queues, and what is left of what it has
# used and was dropped: Postgres keeps what it knows of a function, or of a function as a trigger,
# as long as the session lives. A queue leaves 280 kB, over all kinds of queues. A partition of a
# queue with push leaves 200 kB; there is a new one of "by_time" every 5 seconds.
MOST_OF_SESSION, MOST_OF_DROPPED = 96 * MB, MB // 2
MOST_OF_SECOND = MB // 4 / 5
# Of a queue's table with its indexes: so much in any case, and for each message that it has had at
# a time. Updates and held snapshots leave several versions of a message until vacuum can go by.
LEAST_OF_TABLE, MOST_OF_MESSAGE = 4 * MB, 8 << 10
# A partition that had any message has a page or two of itself and of each index. "by_time" keeps
# 120 of them, 5 seconds each.
MOST_OF_PARTITION, MOST_PARTITIONS = 96 << 10, 200
MOST_OF_CATALOGS = 96 * MB

SIZES = """
    SELECT
        (SELECT sum(pg_table_size(oid)) FROM pg_class
            WHERE relnamespace = 'pgmq'::regnamespace AND relkind = 'r'),
        (SELECT sum(pg_relation_size(oid)) FROM pg_class
            WHERE relnamespace = 'pgmq'::regnamespace AND relkind = 'i'),
        (SELECT sum(pg_total_relation_size(oid)) FROM pg_class
            WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r'),
        (SELECT count(*) FROM pg_class WHERE relnamespace = 'pgmq'::regnamespace)
"""
TABLES = """
    SELECT c.relname, sum(pg_total_relation_size(t.relid))::bigint, count(*)
    FROM pg_class AS c, pg_partition_tree(c.oid) AS t
    WHERE c.relnamespace = 'pgmq'::regnamespace AND c.relname ~ '^q_' AND NOT c.relispartition
        AND c.relkind IN ('r', 'p')
    GROUP BY 1
"""


@dataclass(frozen=True)
class Sample:
    """What was measured at a pause."""

    at: float
    tables: int
    indexes: int
    catalogs: int
    relations: int
    messages: int
    session_age: float  # of the session that was the oldest
    session_memory: int  # of that which had most, without what is shared
    contexts: int


@dataclass
class Watch:
    """All samples, and the most messages that each table was seen with."""

    samples: list[Sample] = field(default_factory=list)
    most: dict[str, int] = field(default_factory=dict)

    def look(
        self, ground: Ground, sessions: list[Paused], counts: dict[str, int], at: float, now: float
    ) -> Iterator[str]:
        """Measure, and say what is too large."""
        with ground.connect() as db:
            tables, indexes, catalogs, relations = db.execute(SIZES).fetchone() or (0, 0, 0, 0)
            of_each = db.execute(TABLES).fetchall()
            messages = one(db, "SELECT sum(queue_length) FROM pgmq.metrics_all()")
        memory = {paused.pid: _memory(paused.pid) for paused in sessions}
        allowed = {
            paused.pid: MOST_OF_SESSION
            + MOST_OF_DROPPED * paused.dropped
            + MOST_OF_SECOND * (now - paused.since)
            for paused in sessions
        }
        self.samples.append(
            Sample(
                at, int(tables), int(indexes), int(catalogs), relations, int(messages or 0),
                max((now - paused.since for paused in sessions), default=0),
                max(memory.values(), default=0),
                max((paused.context_bytes for paused in sessions), default=0),
            )
        )  # fmt: skip
        for pid, size in memory.items():
            if size > allowed[pid]:
                yield f"session {pid} has {size / MB:.0f} MB, more than {allowed[pid] / MB:.0f}"
        for table, size, parts in of_each:
            most = self.most[table] = max(self.most.get(table, 0), counts.get(table, 0))
            bound = LEAST_OF_TABLE + MOST_OF_MESSAGE * most + MOST_OF_PARTITION * (parts - 1)
            if table in counts and size > bound:
                yield f"{table} has {size / MB:.1f} MB, and had {most} messages at most"
            if parts > MOST_PARTITIONS:
                yield f"{table} has {parts} tables"
        if catalogs > MOST_OF_CATALOGS:
            yield f"the catalogs have {catalogs / MB:.0f} MB"


def _memory(pid: int) -> int:
    """The memory of a process that it does not share with others, where /proc tells it."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) << 10
    return 0
