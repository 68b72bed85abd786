"""Where pg_partman is installed: version 4 itself, and a stand-in for what pgmq calls of 5."""

from __future__ import annotations

import psycopg
import pytest

from support.cases import case
from support.partman import install
from support.queries import ids

# Both set the search_path of the session, and at the end what it was before.
FIVE = """
CREATE SCHEMA partman;
SET allow_system_table_mods = on;
INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
VALUES (4000000000, 'pg_partman', 10, 'partman'::regnamespace, false, '5.1.0');
RESET allow_system_table_mods;
CREATE TABLE partman.part_config (
    parent_table text PRIMARY KEY, control text, partition_interval text, premake integer,
    retention text, retention_keep_table boolean, retention_keep_index boolean,
    infinite_time_partitions boolean, automatic_maintenance text, template_table text
);
CREATE FUNCTION partman.create_parent(
    p_parent_table text, p_control text, p_interval text, p_type text, p_premake integer
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_old_search_path text := current_setting('search_path');
BEGIN
    IF p_type <> 'range' OR p_control <> 'msg_id' AND p_interval::interval IS NULL THEN
        RAISE EXCEPTION '% is not a valid partitioning type', p_type;
    END IF;
    PERFORM set_config('search_path', 'partman,pg_temp,' || v_old_search_path, false);
    EXECUTE format('CREATE TABLE %s_default PARTITION OF %1$s DEFAULT', p_parent_table);
    INSERT INTO part_config (parent_table, control, partition_interval, premake)
    VALUES (p_parent_table, p_control, p_interval, p_premake);
    PERFORM set_config('search_path', v_old_search_path, false);
    RETURN true;
END
$$;
CREATE FUNCTION partman.partition_data_id(
    p_parent_table text, p_batch_count integer DEFAULT 1, p_analyze boolean DEFAULT true
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_old_search_path text := current_setting('search_path');
    v_count bigint;
BEGIN
    PERFORM set_config('search_path', 'partman,pg_temp,' || v_old_search_path, false);
    EXECUTE format('CREATE TABLE %s_p0 (LIKE %1$s)', p_parent_table);
    EXECUTE format(
        'WITH d AS (DELETE FROM %1$s_default RETURNING *) INSERT INTO %1$s_p0 SELECT * FROM d',
        p_parent_table
    );
    GET DIAGNOSTICS v_count = ROW_COUNT;
    EXECUTE format(
        'ALTER TABLE %1$s ATTACH PARTITION %1$s_p0 FOR VALUES FROM (0) TO (1000)', p_parent_table
    );
    PERFORM set_config('search_path', v_old_search_path, false);
    RETURN v_count;
END
$$;
"""


@pytest.fixture(params=["4", "5"])
def partman(request: pytest.FixtureRequest, db: psycopg.Connection) -> psycopg.Connection:
    if request.param == "5":
        db.execute(FIVE.encode())
        return db
    install(db)
    return db


CALLS = [
    "SELECT pgmq.create_partitioned('q', '10', '30', 2)",
    "SELECT pgmq.create('c'), pgmq.convert_archive_partitioned('c', '10', '30', 2)",
    "SELECT pgmq.send_batch('q', array_fill('1'::jsonb, '{95}'))",
    "SELECT pgmq.maintain('q')",
    "SELECT pgmq.send_batch('q', array_fill('1'::jsonb, '{95}'))",
    "SELECT pgmq.maintain()",
    "SELECT pgmq.drop_queue('q'), pgmq.drop_queue('c')",
]


def test_the_search_path_of_the_session_stays(partman: psycopg.Connection) -> None:
    for path, in_transaction in (
        (None, False), ("public, pg_catalog", True), ('"$user", x', False), ("", True),
    ):  # fmt: skip
        if path is not None:
            partman.execute("SELECT set_config('search_path', %s, false)", (path,))
        before = ids(partman, "SHOW search_path")
        for call in CALLS:
            with case(path, in_transaction, call):
                if in_transaction:
                    with partman.transaction():
                        partman.execute(call.encode())
                        assert ids(partman, "SHOW search_path") == before
                else:
                    partman.execute(call.encode())
                assert ids(partman, "SHOW search_path") == before
        partman.execute("DROP TABLE pgmq.a_c_old; DELETE FROM partman.part_config")
    partman.execute("RESET search_path")


def test_maintain_empties_the_default_partition(partman: psycopg.Connection) -> None:
    """Or pg_partman would make no more partitions after a burst beyond those it has."""
    partman.execute("SELECT pgmq.create_partitioned('q', '10', '1000', 2), pgmq.enable_push('q')")
    partman.execute("SELECT pgmq.send_batch('q', array_fill('1'::jsonb, '{95}'))")
    if ids(partman, "SELECT extversion < '5' FROM pg_extension WHERE extname = 'pg_partman'")[0]:
        with pytest.raises(psycopg.Error, match="default partition"):
            partman.execute("SELECT partman.run_maintenance('pgmq.q_q')")
    assert ids(partman, "SELECT default_partition_length > 0 FROM pgmq.metrics('q')") == [True]
    assert ids(partman, "SELECT pgmq.maintain('q')")[0] > 0
    assert ids(partman, "SELECT default_partition_length FROM pgmq.metrics('q')") == [0]
    assert ids(partman, "SELECT pgmq.maintain('q')") == [0]
    assert ids(partman, "SELECT msg_id FROM pgmq.read('q', 60, 99)") == list(range(1, 96))
    if ids(partman, "SELECT extversion < '5' FROM pg_extension WHERE extname = 'pg_partman'")[0]:
        partman.execute("SELECT partman.run_maintenance('pgmq.q_q')")
        assert ids(partman, "SELECT to_regclass('pgmq.q_q_p110') IS NOT NULL") == [True]


WORDS = {
    "yearly": "1 year",
    "quarterly": "3 months",
    "monthly": "1 month",
    "weekly": "7 days",
    "daily": "1 day",
    "hourly": "1 hour",
    "half-hour": "30 minutes",
    "quarter-hour": "15 minutes",
}


def test_the_words_of_version_4_are_taken(partman: psycopg.Connection) -> None:
    query = "SELECT DISTINCT partition_interval::interval FROM %s.%s"
    for word, interval in WORDS.items():
        with case(word), partman.transaction(force_rollback=True):
            partman.execute("SELECT pgmq.create_partitioned('q', %s, '10 years')", (word,))
            partman.execute(
                "SELECT pgmq.create('c'), pgmq.convert_archive_partitioned('c', %s)", (word,)
            )
            expected = ids(partman, "SELECT %s::interval", interval)
            for schema, table in (("pgmq", "partitioning"), ("partman", "part_config")):
                assert ids(partman, query % (schema, table)) == expected
            assert ids(partman, "SELECT pgmq.send('q', '1')") == [1]
            assert ids(partman, "SELECT msg_id FROM pgmq.read('q', 60, 1)") == [1]
