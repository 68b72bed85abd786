"""Versions of upstream before 1.13 are refused, and say so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from support.server import BUILD, control

if TYPE_CHECKING:
    from support.server import TestServer

# What 1.13 has added.
MAKE_OLDER = "ALTER TYPE pgmq.metrics_result DROP ATTRIBUTE default_partition_length CASCADE"


def test_plain_sql_over_an_older_version_changes_nothing(
    upstream: psycopg.Connection, server: TestServer
) -> None:
    upstream.execute(MAKE_OLDER)
    upstream.execute("SELECT pgmq.create('q'), pgmq.send('q', '1')")
    before = server.dump(upstream.info.dbname)
    with pytest.raises(
        psycopg.errors.ObjectNotInPrerequisiteState, match="is older than 1"
    ) as error:
        upstream.execute((BUILD / "pgmq.sql").read_bytes())
    assert "UPDATE TO '1.13.0'" in str(error.value.diag.message_hint)
    assert server.dump(upstream.info.dbname) == before


def test_an_extension_of_an_older_version_is_updated_by_way_of_1_13(
    server: TestServer, upstream_sql: str
) -> None:
    if server.embedded is None:
        pytest.skip("needs the embedded server, to put upstream's extension into it")
    folder = server.embedded.extension_dir
    (folder / "pgmq--1.12.9.sql").write_text(f"{upstream_sql}\n{MAKE_OLDER};")
    step = folder / "pgmq--1.12.9--1.13.0.sql"
    with (
        server.database() as dbname,
        psycopg.connect(server.dsn(dbname), autocommit=True) as session,
    ):
        session.execute("CREATE EXTENSION pgmq VERSION '1.12.9'")
        session.execute("SELECT pgmq.create('q'), pgmq.send('q', '1')")
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="no update path"):
            session.execute("ALTER EXTENSION pgmq UPDATE")
        try:
            step.write_text(
                "ALTER TYPE pgmq.metrics_result ADD ATTRIBUTE default_partition_length bigint;"
            )
            session.execute("ALTER EXTENSION pgmq UPDATE")
        finally:
            step.unlink()
        version = session.execute("SELECT pgmq.version()").fetchone()
        assert version == (control()["default_version"],)
        assert len(session.execute("SELECT * FROM pgmq.read('q', 60, 9)").fetchall()) == 1
