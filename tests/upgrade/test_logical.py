"""A queue's tables, replicated logically: rows arrive, sequences and so the marks do not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg

from support import queries
from support.load import NO_SWEEP

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgmq import embedded

ROWS = "SELECT q::text FROM pgmq.q_q AS q UNION ALL SELECT a::text FROM pgmq.a_q AS a ORDER BY 1"


def _until_equal(source: psycopg.Connection, target: psycopg.Connection) -> None:
    end = time.monotonic() + 20
    while queries.ids(source, ROWS) != queries.ids(target, ROWS):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_other_side_takes_over_after_setval_and_maintain(
    new_server: Callable[..., embedded.Server],
) -> None:
    server = new_server(wal_level="logical")
    with (
        psycopg.connect(server.dsn(), autocommit=True) as source,
        psycopg.connect(server.dsn("template1"), autocommit=True) as other,
    ):
        source.execute(NO_SWEEP)
        for session in (source, other):
            session.execute("CREATE EXTENSION pgmq; SELECT pgmq.create('q')")
        # 1 is archived, 2 leased, 3 came back.
        source.execute("SELECT pgmq.send_batch('q', '{1,2,3,4}')")
        source.execute("SELECT pgmq.archive('q', 1::bigint), pgmq.read('q', 3600, 1)")
        source.execute("SELECT pgmq.read('q', 0, 1)")
        # Somebody has looked into the queue before it got what follows.
        other.execute("SELECT pgmq.maintain()")

        source.execute("CREATE PUBLICATION p FOR TABLE pgmq.q_q, pgmq.a_q")
        source.execute("SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
        other.execute(
            f"CREATE SUBSCRIPTION s CONNECTION '{server.dsn()}' PUBLICATION p"
            " WITH (create_slot = false)".encode()  # it would wait for this very server
        )
        _until_equal(source, other)
        # The last message is consumed, and no row has its id any more.
        source.execute("SELECT pgmq.send('q', '5'), pgmq.archive('q', 4::bigint)")
        source.execute("SELECT pgmq.send('q', '6'), pgmq.delete('q', 6::bigint)")
        _until_equal(source, other)

        other.execute("DROP SUBSCRIPTION s")
        # The ids begin anew, though the archive has this one.
        assert queries.one(other, "SELECT pgmq.send('q', '6')") == 1
        assert queries.one(other, "SELECT pgmq.delete('q', 1::bigint)")
        last = queries.one(source, "SELECT total_messages FROM pgmq.metrics('q')")
        other.execute("SELECT setval(pg_get_serial_sequence('pgmq.q_q', 'msg_id'), %s)", (last,))
        other.execute("SELECT pgmq.maintain()")
        assert queries.one(other, "SELECT pgmq.send('q', '7')") == 7
        assert queries.ids(other, "SELECT msg_id FROM pgmq.read('q', 60, 9)") == [3, 5, 7]
        assert queries.one(other, "SELECT pgmq.ack('q', 2, 1)")  # of a lease from over there
