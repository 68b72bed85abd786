"""The server crashes under load; the sweep is off."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from support import queries, queues
from support.load import NO_SWEEP, Load

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgmq import embedded

CRASHES = 3


def test_nothing_is_lost_hidden_or_delivered_twice(
    new_server: Callable[..., embedded.Server],
) -> None:
    server = new_server()
    with psycopg.connect(server.dsn("pgmq"), autocommit=True) as db:
        db.execute(NO_SWEEP)
        db.execute("SELECT pgmq.create('q'), pgmq.create('capped')")
        db.execute("SELECT pgmq.create_fifo_index('q')")
        db.execute("SELECT pgmq.set_policy('capped', max_in_flight => 1000000, max_receives => 9)")
        db.execute("SELECT pgmq.maintain()")  # the one sweep of a year
    load = Load(server.dsn("pgmq"), ["q", "capped"])
    for number in range(CRASHES):
        received = load.received.total()
        with load.running():
            time.sleep(0.4)
            server.restart(mode="immediate")
        assert load.received.total() > received, number
        with psycopg.connect(server.dsn("pgmq"), autocommit=True) as db:
            load.check(db)
            live = queries.one(db, "SELECT coalesce(min(msg_id), 0) FROM pgmq.q_q")
            assert queries.one(db, "SELECT last_value FROM pgmq.live_mark_q") <= live
    with psycopg.connect(server.dsn("pgmq"), autocommit=True) as db:
        assert queries.one(db, "SELECT last_value FROM pgmq.ready_mark_q") > 1


def test_an_unlogged_queue_is_usable_and_its_archive_is_kept(
    new_server: Callable[..., embedded.Server],
) -> None:
    server = new_server()
    with psycopg.connect(server.dsn("pgmq"), autocommit=True) as db:
        db.execute(NO_SWEEP)
        db.execute("SELECT pgmq.create_unlogged('q')")
        db.execute("SELECT pgmq.maintain()")
    load = Load(server.dsn("pgmq"), ["q"])
    for _ in range(CRASHES):
        with load.running():
            time.sleep(0.3)
            server.restart(mode="immediate")
        with psycopg.connect(server.dsn("pgmq"), autocommit=True) as db:
            assert queries.ids(db, "SELECT msg_id FROM pgmq.q_q") == []
            archived = {("q", i) for i in queries.ids(db, "SELECT msg_id FROM pgmq.a_q")}
            assert load.archived <= archived
            new = queries.one(db, "SELECT pgmq.send('q', '1')")
            assert ("q", new) > max(archived)
            assert queries.ids(db, "SELECT msg_id FROM pgmq.read('q', 60, 9)") == [new]
            assert queries.one(db, "SELECT pgmq.archive('q', %s::bigint)", new)


def test_every_kind_of_queue_works_afterwards(new_server: Callable[..., embedded.Server]) -> None:
    server = new_server()
    with psycopg.connect(server.dsn("pgmq"), autocommit=True) as db:
        db.execute(NO_SWEEP)
        queues.fill(db)
        db.execute("SELECT pgmq.open_channel('dead')")
        unlogged = "^(channel|look|epoch|q_fleeting|q_unlogged|dedup_fleeting)|_seq$"
        before = queues.contents(db, without=unlogged)
        server.restart(mode="immediate")
    with psycopg.connect(server.dsn("pgmq"), autocommit=True) as db:
        assert queues.contents(db, without=unlogged) == before
        assert queries.ids(db, "SELECT channel FROM pgmq.list_channels()") == []
        queues.works(db, emptied=True)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_stream_waits_for_a_prepared_transaction_across_a_restart(
    new_server: Callable[..., embedded.Server], mode: str
) -> None:
    server = new_server(max_prepared_transactions="2")
    fetch = "SELECT message FROM pgmq.fetch('s', 'g', 0, 9)"
    with (
        psycopg.connect(server.dsn("pgmq"), autocommit=True) as db,
        psycopg.connect(server.dsn("pgmq")) as other,
    ):
        db.execute("SELECT pgmq.create_stream('s')")
        db.execute("SELECT pgmq.create_group('s', 'g', 'earliest')")
        other.execute("SELECT pgmq.send('s', '1')")
        db.execute("SELECT pgmq.send('s', '2')")
        assert queries.ids(db, fetch) == []  # a look says who writes
        other.execute("PREPARE TRANSACTION 'p'")
        other.rollback()
    # Then its virtual id is another one.
    server.restart(mode=mode)
    with psycopg.connect(server.dsn("pgmq"), autocommit=True) as db:
        for _ in range(3):
            db.execute("SELECT pgmq.send('s', '3')")
            assert queries.ids(db, fetch) == []
        db.execute("COMMIT PREPARED 'p'")
        assert queries.ids(db, fetch) == [1, 2, 3, 3, 3]
