"""Producers and consumers on a server that goes away, and what may not be lost by that."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter
from typing import TYPE_CHECKING

import psycopg

from support import queries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# How long a stress test goes on; longer in the matrix.
SECONDS = float(os.environ.get("PGMQ_STRESS_SECONDS") or 3)

# The sweep would make up for a wrong mark.
NO_SWEEP = "ALTER ROLE ALL SET pgmq.sweep_interval = '1 year'"


class Load:
    """Producers and consumers of the queues; what they know to be committed."""

    def __init__(self, dsn: str, queues: list[str]) -> None:
        self.dsn = dsn
        self.queues = queues
        self.sent: set[tuple[str, int]] = set()
        self.received: Counter[tuple[str, int]] = Counter()
        self.archived: set[tuple[str, int]] = set()
        self.stopped = threading.Event()

    def _produce(self) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as session:
            while not self.stopped.is_set():
                for queue in self.queues:
                    call = "SELECT pgmq.send_batch(%s, '{1,2,3}', 0)"
                    new = queries.ids(session, call, queue)
                    self.sent.update((queue, msg_id) for msg_id in new)

    def _consume(self) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as session:
            while not self.stopped.is_set():
                for queue in self.queues:
                    call = "SELECT msg_id FROM pgmq.read(%s, 3600, 2)"
                    for msg_id in queries.ids(session, call, queue):
                        self.received[queue, msg_id] += 1
                        if msg_id % 4:
                            queries.one(
                                session, "SELECT pgmq.archive(%s, %s::bigint)", queue, msg_id
                            )
                            self.archived.add((queue, msg_id))

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run until the server goes away, which the body sees to."""

        def run(work: Callable[[], None]) -> None:
            with contextlib.suppress(psycopg.OperationalError):
                work()

        self.stopped.clear()
        threads = [
            threading.Thread(target=run, args=(work,))
            for work in (self._produce, self._consume, self._consume)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stopped.set()
            for thread in threads:
                thread.join()

    def drain(self, session: psycopg.Connection) -> None:
        """Receive all that is visible, and look past the marks whether that was all."""
        for queue in self.queues:
            while found := queries.ids(
                session, "SELECT msg_id FROM pgmq.read(%s, 3600, 99)", queue
            ):
                self.received.update((queue, msg_id) for msg_id in found)
            table = queries.one(session, "SELECT format('pgmq.%%I', 'q_' || %s)", queue)
            left = f"SELECT count(*) FROM {table} WHERE vt <= clock_timestamp()"
            assert queries.one(session, left) == 0

    def check(self, session: psycopg.Connection) -> None:
        """Nothing that was sent is lost, nothing leased was received by another."""
        self.drain(session)
        kept = {
            (queue, msg_id)
            for queue in self.queues
            for prefix in "qa"
            for msg_id in queries.ids(session, f"SELECT msg_id FROM pgmq.{prefix}_{queue}")
        }
        assert self.sent <= kept
        assert self.received.total() == len(self.received)
