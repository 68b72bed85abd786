"""A database has one schema, whichever way it came to this version."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psycopg
import pytest

from support.server import BUILD
from upgrade import older, schemas

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.server import TestServer

# What upstream has too, made before an upgrade ...
OLD = """
    SELECT pgmq.create(name) FROM unnest(ARRAY['plain', 'Mixed Case', 'groups', 'work', 'pushed',
        'a_name_as_long_as_names_can_be_in_upstreams_pgm', 'dead']) AS n (name);
    SELECT pgmq.create_unlogged('fleeting'), pgmq.create_fifo_index('groups');
    SELECT pgmq.enable_notify_insert('plain', 0), pgmq.enable_notify_insert('Mixed Case');
    SELECT pgmq.bind_topic('a.*', 'plain');
    SELECT pgmq.send(queue_name, '1') FROM pgmq.list_queues();
    CREATE VIEW public.messages AS SELECT message FROM pgmq.q_plain;
    GRANT SELECT, INSERT ON pgmq.q_plain, pgmq.a_work TO pg_signal_backend;
    GRANT USAGE ON SEQUENCE pgmq.q_plain_msg_id_seq TO pg_signal_backend;
"""
PARTITIONED = """
    SELECT pgmq.create_partitioned('by_id', '100', '1000'),
        pgmq.create_partitioned('By Time', '1 day', '5 days')
"""
# ... and what only this version has.
NEW = """
    SELECT pgmq.set_policy(
        'work', max_receives => 1, dead_letter_queue => 'dead', dedup_window => '1 hour',
        max_in_flight => 2, ack_archives => true
    ), pgmq.set_policy('fleeting', dedup_window => '1 hour');
    SELECT pgmq.enable_wakeups('Mixed Case'), pgmq.enable_push('pushed');
    SELECT pgmq.create_exchange('e'), pgmq.bind('e', 'plain', 'a.#');
"""


@contextlib.contextmanager
def _database(server: TestServer) -> Iterator[psycopg.Connection]:
    with (
        server.database() as dbname,
        psycopg.connect(server.dsn(dbname), autocommit=True) as session,
    ):
        # Upstream has no partitioned queues without it.
        with contextlib.suppress(psycopg.errors.UndefinedFile, psycopg.errors.FeatureNotSupported):
            session.execute("CREATE SCHEMA partman; CREATE EXTENSION pg_partman SCHEMA partman")
        yield session


def _fill(session: psycopg.Connection) -> None:
    session.execute(OLD)
    if session.execute("SELECT to_regnamespace('partman')").fetchone() != (None,):
        session.execute(PARTITIONED)


@pytest.fixture(scope="module")
def fresh(server: TestServer) -> Iterator[str]:
    with _database(server) as session:
        session.execute((BUILD / "pgmq.sql").read_bytes())
        _fill(session)
        session.execute(NEW)
        yield schemas.schema_of(server, session)


@pytest.mark.parametrize("version", [*older.VERSIONS, older.BY_FILE[0], "extension", "file"])
def test_the_schema_is_that_of_a_new_database_and_restored_as_such(
    version: str, fresh: str, server: TestServer, upstream_sql: str
) -> None:
    with _database(server) as session:
        if version == "extension":
            if server.embedded is None:
                pytest.skip("needs the embedded server, in which pgmq is an extension")
            session.execute("CREATE EXTENSION pgmq")
            _fill(session)
        elif version == "file":
            session.execute((BUILD / "pgmq.sql").read_bytes())
            _fill(session)
        else:
            upgrade = older.install(server, session, upstream_sql, version)
            _fill(session)
            session.execute(upgrade.encode())
        session.execute(NEW)
        dump = server.dump(session.info.dbname)
        schemas.equal(schemas.schema_of(server, session), fresh)
    with server.database() as dbname:
        done = server.run_psql(dbname, "-v", "ON_ERROR_STOP=1", stdin=dump)
        assert done.returncode == 0, done.stdout
        with psycopg.connect(server.dsn(dbname), autocommit=True) as copy:
            if version in older.BY_FILE:  # as documented: the dump lacks the grant on the schema
                copy.execute((BUILD / "pgmq.sql").read_bytes())
            schemas.equal(schemas.schema_of(server, copy), fresh)
            copy.execute("SELECT pgmq.maintain()")
            unseen = """
                SELECT m.queue_name
                FROM pgmq.meta AS m
                CROSS JOIN pgmq._queue_table(m.queue_name) AS q (relation)
                WHERE NOT has_column_privilege('pg_monitor', q.relation, 'ctid', 'SELECT')
            """
            assert copy.execute(unseen).fetchall() == []
