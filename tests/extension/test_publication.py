"""Every kind of operation under a publication FOR ALL TABLES, which needs replica identities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from support.queries import one
from support.queues import fill, let_go, works
from support.server import BUILD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgmq import embedded


@pytest.fixture
def published(new_server: Callable[..., embedded.Server]) -> Iterator[psycopg.Connection]:
    server = new_server(wal_level="logical")
    with psycopg.connect(server.dsn("pgmq"), autocommit=True) as session:
        yield session


def test_everything_works_under_a_publication_for_all_tables(
    published: psycopg.Connection,
) -> None:
    db = published
    db.execute("SELECT pgmq.create_partitioned('before', '2'), pgmq.create('conv')")
    db.execute("CREATE PUBLICATION everything FOR ALL TABLES")
    fill(db)
    works(db)
    db.execute(
        "SELECT pgmq.create_partitioned('ids', '2'), pgmq.convert_archive_partitioned('conv')"
    )
    db.execute("SELECT pgmq.create_partitioned('times', '1 day')")
    for queue in ("before", "ids", "times", "conv"):
        for number in range(9):
            db.execute("SELECT pgmq.send(%s, '1')", [queue])
            db.execute("SELECT pgmq.maintain(%s)", [queue])
            assert one(db, "SELECT count(*) FROM pgmq.read(%s, 60, 1)", queue) == 1
            call = ("delete", "archive", "ack", "nack")[number % 4]
            more = "" if number % 4 < 2 else ", 1"
            db.execute(f"SELECT pgmq.{call}(%s, %s::bigint{more})".encode(), [queue, number + 1])
        db.execute("SELECT pgmq.bind('e', %s, 'b'), pgmq.bind_topic('b', %s)", [queue, queue])
        db.execute("SELECT pgmq.unbind('e', %s, 'b'), pgmq.unbind_topic('b', %s)", [queue, queue])
        db.execute("SELECT pgmq.bind('e', %s, 'b'), pgmq.bind_topic('b', %s)", [queue, queue])
        db.execute(f"UPDATE pgmq.a_{queue} SET headers = '{{}}'".encode())
        db.execute(f"DELETE FROM pgmq.a_{queue}".encode())
        db.execute("SELECT pgmq.pop(%s), pgmq.purge_queue(%s)", [queue, queue])
    db.execute("SELECT pgmq.unbind_channel('e', 'c', '#'), pgmq.drop_exchange('e')")
    db.execute("SELECT pgmq.maintain()")
    let_go(db)
    db.execute("SELECT pgmq.drop_queue(queue_name) FROM pgmq.list_queues()")
    assert one(db, "SELECT count(*) FROM pgmq.meta") == 0


def test_what_has_no_identity_gets_one_by_an_upgrade(published: psycopg.Connection) -> None:
    db = published
    db.execute("SELECT pgmq.create_partitioned('ids', '2')")
    without = """
        SELECT count(*) FROM pg_class AS c
        WHERE c.relnamespace = 'pgmq'::regnamespace AND c.relkind IN ('r', 'p')
            AND c.relpersistence = 'p' AND c.relreplident = 'd'
            AND NOT EXISTS (
                SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary
            )
    """
    assert one(db, without) == 0
    db.execute(
        """
        DO $$
        DECLARE v_table regclass;
        BEGIN
            FOR v_table IN SELECT c.oid FROM pg_class AS c WHERE c.relreplident IN ('f', 'i')
                AND c.relnamespace = 'pgmq'::regnamespace LOOP
                EXECUTE format('ALTER TABLE %s REPLICA IDENTITY DEFAULT', v_table);
            END LOOP;
        END
        $$
        """
    )
    assert one(db, without) > 3
    db.execute((BUILD / "pgmq.sql").read_text().encode())
    assert one(db, without) == 0
