"""Dumps of queues in use, restored: by psql and by pg_restore, as extension and as plain SQL."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import psycopg
import pytest

from support import queries, queues
from support.server import BUILD
from support.sweeps import sweep_every

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.server import TestServer


@pytest.fixture(params=["extension", "plain SQL"])
def original(request: pytest.FixtureRequest, server: TestServer) -> Iterator[psycopg.Connection]:
    with (
        server.database() as dbname,
        psycopg.connect(server.dsn(dbname), autocommit=True) as session,
    ):
        if request.param == "plain SQL":
            session.execute((BUILD / "pgmq.sql").read_bytes())
        elif server.embedded is None:
            pytest.skip("needs the embedded server, in which pgmq is an extension")
        else:
            session.execute("CREATE EXTENSION pgmq")
        queues.fill(session)
        yield session


@pytest.mark.parametrize("custom", [False, True], ids=["psql", "pg_restore"])
def test_every_kind_of_queue_comes_back(
    custom: bool, original: psycopg.Connection, server: TestServer, tmp_path: Path
) -> None:
    with server.database() as restored:
        if custom:
            _pg_restore(server, original.info.dbname, restored, tmp_path / "dump")
        else:
            dump = server.dump(original.info.dbname)
            done = server.run_psql(restored, "-v", "ON_ERROR_STOP=1", stdin=dump)
            assert done.returncode == 0, done.stdout
        with psycopg.connect(server.dsn(restored), autocommit=True) as copy:
            assert queues.contents(copy) == queues.contents(original)
            queues.works(copy)


def test_maintain_finds_what_was_consumed_while_the_dump_was_taken(
    original: psycopg.Connection, server: TestServer
) -> None:
    """A dump has the rows of its first moment, but the marks, which are sequences, of a later."""
    with psycopg.connect(original.info.dsn) as dumper:
        dumper.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        snapshot = queries.one(dumper, "SELECT pg_export_snapshot()")
        sweep_every(original, "1 year")
        assert queries.ids(original, "SELECT pgmq.delete('plain', '{2,3,4,5}'::bigint[])") == [
            2,
            3,
            4,
            5,
        ]
        original.execute("SELECT pgmq.maintain('plain')")
        dump = server.dump(original.info.dbname, f"--snapshot={snapshot}")
    with server.database() as restored:
        done = server.run_psql(restored, "-v", "ON_ERROR_STOP=1", stdin=dump)
        assert done.returncode == 0, done.stdout
        with psycopg.connect(server.dsn(restored), autocommit=True) as copy:
            copy.execute("SELECT pgmq.maintain()")
            assert queries.ids(copy, "SELECT msg_id FROM pgmq.peek('plain', 9)") == [3, 4]


def _pg_restore(server: TestServer, source: str, target: str, file: Path) -> None:
    for program, *arguments in (
        ["pg_dump", "-Fc", "-f", str(file), "-d", server.dsn(source)],
        ["pg_restore", "--exit-on-error", "-j", "2", "-d", server.dsn(target), str(file)],
    ):
        done = subprocess.run(
            [server.bindir / program, *arguments],
            capture_output=True,
            text=True,
            # The jobs do not wait for each other where an extension's tables have foreign keys.
            env=os.environ | {"PGOPTIONS": "-c session_replication_role=replica"},
        )
        if "transaction_timeout" in done.stderr:
            pytest.skip("pg_restore is newer than the server, which does not know all it sets")
        assert done.returncode == 0, done.stderr
