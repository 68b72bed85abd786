"""Partitioned queues side by side with upstream, where pg_partman is installed to keep them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psycopg
import pytest

from compat.both import Both, equal
from support import partman
from support.server import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support import server as servers

CREATE = [
    "SELECT pgmq.create_partitioned('q')",
    "SELECT pgmq.create_partitioned('q', '10', '30', 2)",
    "SELECT pgmq.create_partitioned('Mixed Case', '100', null)",
    "SELECT pgmq.create_partitioned('q', '1 day', '5 days')",
    "SELECT pgmq.create_partitioned('q', '1 month', '1 year', 1)",
]
TABLES = """
    SELECT parent.relname::text, c.relname::text, pg_get_expr(c.relpartbound, c.oid)
    FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhrelid
    JOIN pg_class parent ON parent.oid = i.inhparent
    WHERE parent.relkind = 'p'
"""
SETTINGS = "SELECT to_jsonb(p) - 'template_table' FROM partman.part_config p"
COLUMNS = """
    SELECT c.relname::text, pg_get_partkeydef(c.oid), a.attname::text, a.attnotnull,
           a.attidentity::text, format_type(a.atttypid, a.atttypmod),
           pg_get_expr(d.adbin, a.attrelid)
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relkind = 'p'
"""
META = "SELECT queue_name, is_partitioned, is_unlogged FROM pgmq.meta"


@pytest.fixture(scope="module")
def pair(server: servers.TestServer, template: str, upstream_template: str) -> Iterator[Both]:
    with contextlib.ExitStack() as stack:
        sessions = []
        for name in (upstream_template, template):
            dsn = server.dsn(stack.enter_context(server.database(name)))
            sessions.append(stack.enter_context(psycopg.connect(dsn, autocommit=True)))
            partman.install(sessions[-1])
        yield Both(*sessions)


@pytest.fixture
def both(pair: Both) -> Both:
    pair.reset()
    # Upstream forgets to tell it when an archive that was converted is dropped.
    for side in (pair.upstream, pair.ours):
        side.connection.execute("DELETE FROM partman.part_config")
    return pair


@pytest.mark.parametrize("create", CREATE)
def test_the_tables_and_what_pg_partman_knows_of_them_are_upstreams(
    both: Both, create: str
) -> None:
    for query in (create, TABLES, SETTINGS, COLUMNS, META):
        theirs, ours = both.run(query)
        assert theirs.error is None
        assert equal(theirs, ours), query


@pytest.mark.parametrize("interval", ["'100', '1000'", "'1 day', '5 days'", "'1 month', null"])
def test_an_archive_is_converted_as_upstream_does(both: Both, interval: str) -> None:
    for query in (
        "SELECT pgmq.create('q')",
        "SELECT pgmq.send('q', '1'), pgmq.archive('q', 1)",
        # Upstream takes no notice of the number of partitions: it is always four.
        f"SELECT pgmq.convert_archive_partitioned('q', {interval}, 4)",
        TABLES,
        SETTINGS,
        META,
        "SELECT msg_id FROM pgmq.a_q_old",
        "SELECT msg_id FROM pgmq.a_q",
        "SELECT pgmq.send('q', '1'), pgmq.archive('q', 2)",
        "SELECT tableoid::regclass::text, msg_id FROM pgmq.a_q WHERE msg_id = 2"
        if "month" not in interval
        else "SELECT 1",
        f"SELECT pgmq.convert_archive_partitioned('q', {interval})",
    ):
        theirs, ours = both.run(query)
        assert theirs.error is None
        assert equal(theirs, ours), query


def test_pg_partman_keeps_the_queue_as_it_keeps_upstreams(both: Both) -> None:
    script = [
        "SELECT pgmq.create_partitioned('q', '10', '30', 2)",
        *["SELECT pgmq.send_batch('q', array_fill('1'::jsonb, ARRAY[9]))"] * 2,
        "SELECT partman.run_maintenance('pgmq.q_q')",
        *["SELECT pgmq.send_batch('q', array_fill('1'::jsonb, ARRAY[9]))"] * 4,
        "SELECT partman.partition_data_id('pgmq.q_q', 10)",
        "SELECT partman.run_maintenance('pgmq.q_q')",
        "SELECT msg_id, tableoid::regclass::text FROM pgmq.q_q",
        TABLES,
        "SELECT queue_length, default_partition_length FROM pgmq.metrics('q')",
        "SELECT count(*) FROM pgmq.read('q', 60, 99)",
        "SELECT pgmq.drop_queue('q')",
        SETTINGS,
    ]
    for query in script:
        theirs, ours = both.run(query)
        assert theirs.error is None
        assert equal(theirs, ours), query


def test_what_we_would_drop_is_what_pg_partman_drops(both: Both) -> None:
    ours = both.ours
    for last in (59, 60, 61, 70, 89):
        kept = []
        for keeper in ("pg_partman", "pgmq"):
            both.reset()
            ours.run("SELECT pgmq.create_partitioned('q', '10', '30', 9)")
            if keeper == "pgmq":
                ours.run("DELETE FROM partman.part_config")
            ours.run(f"SELECT pgmq.send_batch('q', array_fill('1'::jsonb, ARRAY[{last}]))")
            ours.run("SELECT partman.run_maintenance('pgmq.q_q')")
            assert ours.run("SELECT pgmq.maintain('q')").error is None
            kept.append(ours.run("SELECT min(first_key) FROM pgmq._partitions('pgmq.q_q')").rows)
        assert kept[0] == kept[1], last


def test_nothing_of_pg_partman_is_left_behind_a_queue(both: Both) -> None:
    ours = both.ours
    ours.run("SELECT pgmq.create_partitioned('Mixed Case'), pgmq.create('c')")
    ours.run("SELECT pgmq.convert_archive_partitioned('c')")
    assert len(ours.run("SELECT 1 FROM partman.part_config").rows) == 3
    assert ours.run("SELECT pgmq.drop_queue('mixed case'), pgmq.drop_queue('c')").error is None
    assert ours.run("SELECT 1 FROM partman.part_config").rows == ()
    templates = "SELECT 1 FROM pg_class WHERE relname ~ '^template_pgmq_._(mixed case|c)$'"
    assert ours.run(templates).rows == ()


def test_a_later_major_version_is_called_by_its_documentation(both: Both) -> None:
    # create_parent() of 5.x has the same parameters by name; its type of partitioning is range.
    steps = [
        "BEGIN",
        "SET LOCAL allow_system_table_mods = on",
        "UPDATE pg_extension SET extversion = '5.2.4' WHERE extname = 'pg_partman'",
        "SELECT pgmq.create_partitioned('q')",
    ]
    for step in steps:
        last = both.ours.run(step)
    assert last.error is not None
    assert "range is not a valid" in last.error[1]
    both.ours.run("ROLLBACK")


@pytest.mark.parametrize("remains", [True, False], ids=["kept by pg_partman", "left alone"])
def test_upstreams_partitioned_queues_are_adopted(
    upstream: psycopg.Connection, remains: bool
) -> None:
    partman.install(upstream)
    upstream.execute(
        """
        SELECT pgmq.create_partitioned('ids', '10', '30', 2);
        SELECT pgmq.create_partitioned('Times', '1 day', '5 days', 3);
        SELECT pgmq.create('plain');
        SELECT pgmq.convert_archive_partitioned('plain', '1 month', '1 year');
        SELECT pgmq.send('ids', to_jsonb(i)) FROM generate_series(1, 35) AS i;
        SELECT pgmq.send('Times', '1') FROM generate_series(1, 20) AS i;
        SELECT pgmq.read('ids', 3600, 3);
        """
    )
    if not remains:
        upstream.execute("DROP EXTENSION pg_partman CASCADE")
    upstream.execute((ROOT / "build" / "pgmq.sql").read_text().encode())
    settings = (
        "SELECT partition_interval || ' ' || coalesce(retention_interval, '')"
        " FROM pgmq.partitioning"
    )
    kept = ["1 day", "1 day", "1 mon", "10", "10"]
    retentions = ["5 days", "5 days", "1 year", "30", "30"] if remains else [""] * 5
    assert sorted(row[0] for row in upstream.execute(settings.encode())) == sorted(
        f"{interval} {retention}" for interval, retention in zip(kept, retentions, strict=True)
    )
    got = upstream.execute("SELECT msg_id FROM pgmq.read('ids', 0, 99)").fetchall()
    assert [row[0] for row in got] == list(range(4, 36))
    assert upstream.execute("SELECT pgmq.ack('ids', 2, 1)").fetchone() == (True,)
    got = upstream.execute("SELECT msg_id FROM pgmq.pop('times', 99)").fetchall()
    assert [row[0] for row in got] == list(range(1, 21))
    upstream.execute("SELECT pgmq.maintain('ids')")
    left = upstream.execute("SELECT count(*) FROM pgmq.q_ids_default").fetchone()
    assert left == (0,)
    upstream.execute("SELECT pgmq.drop_queue(queue_name::text) FROM pgmq.meta")
    tables = "SELECT FROM pg_class WHERE relkind = 'p'"
    assert upstream.execute(tables.encode()).fetchall() == []
