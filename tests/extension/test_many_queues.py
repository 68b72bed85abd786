"""More queues than the server has locks for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import errors

from support.calls import ON_ONE_QUEUE
from support.queries import one
from support.server import BUILD
from upgrade import older

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgmq import embedded

# As extension/docs/operations.md has it.
EACH = """
DO $$
DECLARE
    v_name text;
BEGIN
    FOR v_name IN SELECT queue_name FROM pgmq.list_queues() LOOP
        PERFORM pgmq.CALL(v_name);
        COMMIT;
    END LOOP;
END
$$
"""
QUEUES = 145


def test_nothing_that_looks_at_all_queues_runs_out_of_locks(
    new_server: Callable[..., embedded.Server],
) -> None:
    server = new_server(
        max_locks_per_transaction="22", max_connections="6", max_prepared_transactions="0"
    )
    text = (BUILD / "pgmq.sql").read_text().encode()
    with psycopg.connect(server.dsn(), autocommit=True) as db:
        db.execute("SET max_stack_depth = '2MB'")
        db.execute(text)
        for number in range(QUEUES):
            db.execute("SELECT pgmq.create(%s)", [f"q{number}"])
        db.execute("BEGIN")
        assert one(db, "SELECT count(*) FROM pgmq.metrics_all()") == QUEUES
        assert one(db, "SELECT count(*) FROM pgmq.doctor() WHERE queue_name <> ''") == 0
        assert one(db, "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid()") < 40
        # What is as it should be is neither replaced nor locked.
        written = "SELECT max(xmin::text::bigint) FROM pg_proc WHERE proname ~ '_q1$'"
        before = one(db, written)
        assert one(db, "SELECT pgmq.recompile_all()") == QUEUES
        assert one(db, "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid()") < 40
        db.execute("COMMIT")
        assert one(db, written) == before

        db.execute(
            "UPDATE pgmq.template SET"
            " body = replace(body, 'BEGIN', 'BEGIN '), plain = replace(plain, 'BEGIN', 'BEGIN ')"
        )
        with pytest.raises(
            errors.ConfigurationLimitExceeded, match=f"takes {QUEUES} locks"
        ) as raised:
            db.execute("SELECT pgmq.recompile_all()")
        assert "pgmq.recompile()" in str(raised.value.diag.message_hint)
        db.execute(EACH.replace("CALL", "recompile"))
        assert one(db, written) > before
        assert one(db, "SELECT count(*) FROM pgmq.doctor() WHERE queue_name <> ''") == 0
        db.execute(EACH.replace("CALL", "maintain"))
        said: list[str] = []
        db.add_notice_handler(lambda d: said.append(f"{d.message_primary} {d.message_hint}"))
        assert one(db, "SELECT pgmq.maintain()") == 0
        assert re.search("leaves out all queues but [0-9]+9,.* commit after each", said[-1])
        assert one(db, "SELECT pgmq.recompile_all()") == QUEUES

    # Others' plans are looked through at every drop: this session has none.
    with psycopg.connect(server.dsn(), autocommit=True) as db:
        refused = r'queue "q\d+" cannot be dropped: out of shared memory'
        with pytest.raises(errors.OutOfMemory, match=refused) as dropped:
            db.execute("SELECT pgmq.drop_queue(queue_name) FROM pgmq.list_queues()")
        assert "Commit after each queue" in str(dropped.value.diag.message_hint)
        db.execute(EACH.replace("CALL", "drop_queue"))
        assert one(db, "SELECT count(*) FROM pgmq.list_queues()") == 0


@pytest.mark.parametrize(("version", "locks"), [("1.13", 720), ("2.0.0", 1200)])
def test_an_upgrade_says_beforehand_how_many_locks_it_takes(
    version: str, locks: int, new_server: Callable[..., embedded.Server], upstream_sql: str
) -> None:
    settings = {"max_connections": "12", "max_prepared_transactions": "0"}
    server = new_server(max_locks_per_transaction="10", **settings)
    text = (BUILD / "pgmq.sql").read_bytes()
    with psycopg.connect(server.dsn(), autocommit=True) as db:
        db.execute((older.sql_of_2() if version == "2.0.0" else upstream_sql).encode())
        for number in range(60):
            db.execute("SELECT pgmq.create(%s)", [f"q{number}"])
        with pytest.raises(
            errors.ConfigurationLimitExceeded, match=f"60 queues here takes about {locks}"
        ) as raised:
            db.execute(text)
        found = re.search(r"max_locks_per_transaction = (\d+)", str(raised.value.diag.message_hint))
        assert found
        db.execute(f"ALTER SYSTEM SET max_locks_per_transaction = {found[1]}".encode())
    server.restart()
    with psycopg.connect(server.dsn(), autocommit=True) as db:
        db.execute(text)
        assert one(db, "SELECT count(*) FROM pgmq.metrics_all()") == 60
        db.execute(EACH.replace("CALL", "maintain"))  # what it has left to do in small steps
        assert one(db, "SELECT count(*) FROM pgmq.doctor() WHERE queue_name <> ''") == 0


LISTS = ("meta", "policy", "paused", "partitioning", "stream_group", "topic_bindings")


def test_what_one_queue_costs_does_not_grow_with_their_number(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('first')")
    scanned = "SELECT pg_stat_get_xact_tuples_returned('pg_catalog.pg_class'::regclass)"
    with db.transaction():
        before = one(db, scanned)
        assert one(db, "SELECT count(*) FROM pgmq.metrics_all()") == 1
        assert one(db, scanned) - before < 100

    # As many rows as with thousands of queues; those of functions are there anyway.
    fake = {
        "meta (is_partitioned, is_unlogged, queue_name)": "false, false",
        "policy (retry_jitter, ack_archives, dead_letter_queue, queue_name)": "0, false, n",
        "paused (reads, sends, paused_at, queue_name)": "true, true, now()",
        "partitioning (is_archive, partition_interval, premake, queue_name)": "false, '1 day', 4",
        "stream_group (group_name, lanes, keep_unread, queue_name)": "'g', 1, false",
        "topic_bindings (pattern, queue_name)": "'x'",
    }
    for table, values in fake.items():
        db.execute(
            f"INSERT INTO pgmq.{table} SELECT {values}, n"
            " FROM (SELECT 'other' || g FROM generate_series(1, 3000) AS g) AS s (n)".encode()
        )
    # By scans of the table, and by its indexes.
    read = """
        SELECT t.name, pg_stat_get_xact_tuples_returned(r), pg_stat_get_xact_tuples_fetched(r)
        FROM unnest(%s::text[]) AS t (name)
        CROSS JOIN to_regclass(t.name) AS r
    """
    tables = [f"pgmq.{name}" for name in LISTS]
    tables += ["pg_catalog.pg_proc", "pg_catalog.pg_class", "pg_catalog.pg_trigger"]
    too_many = []
    for call in ON_ONE_QUEUE.split(";"):
        with db.transaction():
            before = db.execute(read, [tables]).fetchall()
            db.execute(f"SELECT pgmq.{call.strip()}".encode())
            after = db.execute(read, [tables]).fetchall()
        for (name, *old), (_, *new) in zip(before, after, strict=True):
            scanned, found = (n - o for n, o in zip(new, old, strict=True))
            if scanned > 300 or found > 1000:
                too_many.append((call.strip(), name, scanned, found))
    assert too_many == []
