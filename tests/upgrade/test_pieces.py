"""The plain file: one statement, all or nothing, which prints one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from support.server import BUILD, control
from upgrade.test_older import MAKE_OLDER

if TYPE_CHECKING:
    from support.server import TestServer

VERSION = control()["default_version"]
PLAIN = BUILD / "pgmq.sql"


def _run(server: TestServer, dbname: str, *options: str) -> tuple[int, str]:
    done = server.run_psql(dbname, *options, "-f", PLAIN)
    return done.returncode, done.stdout.partition("pgmq.sql")[2].partition(": ")[2]


def test_one_line_says_what_was_done(server: TestServer, upstream: psycopg.Connection) -> None:
    documented = ("-v", "ON_ERROR_STOP=1", "-1")
    installed = f"INFO:  pgmq {VERSION}: installed\n"
    unchanged = f"INFO:  pgmq {VERSION}: unchanged\n"
    with server.database() as dbname:
        for options, said in (documented, installed), (documented, unchanged), ((), unchanged):
            assert _run(server, dbname, *options) == (0, said)
        server.run_psql(dbname, "-c", "ALTER FUNCTION pgmq.doctor() COST 77")
        assert _run(server, dbname) == (0, f"INFO:  pgmq {VERSION}: installed again\n")
    upstream.execute("SELECT pgmq.create('q'), pgmq.send('q', '1')")
    said = f"INFO:  pgmq {VERSION}: upgraded from 1.13\n"
    assert _run(server, upstream.info.dbname) == (0, said)
    assert upstream.execute("SELECT message FROM pgmq.read('q', 60, 9)").fetchall() == [(1,)]


def test_what_fails_changes_nothing_though_the_program_goes_on(
    upstream: psycopg.Connection, server: TestServer
) -> None:
    upstream.execute("SELECT pgmq.create('q'), pgmq.send('q', '1')")
    # In the way of what comes late.
    upstream.execute("CREATE FUNCTION pgmq.version() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    dbname = upstream.info.dbname
    before = server.dump(dbname)
    for options in ([], ["-1"]):
        _, said = _run(server, dbname, "-At", *options, "-c", "SET work_mem = '5MB'")
        assert said.startswith("ERROR:  cannot change return type")
        assert server.dump(dbname) == before
    upstream.execute("DROP FUNCTION pgmq.version()")
    upstream.execute(MAKE_OLDER)
    before = server.dump(dbname)
    with upstream.transaction(), pytest.raises(psycopg.Error, match="older") as error:
        upstream.execute(PLAIN.read_bytes())
    assert error.value.diag.message_detail == "Nothing has changed."
    assert str(error.value.diag.context).count("\n") == 0
    assert server.dump(dbname) == before
    assert upstream.execute("SHOW search_path").fetchone() == ('"$user", public',)
    assert upstream.execute("SHOW client_min_messages").fetchone() == ("notice",)


def test_running_the_text_over_its_own_tables_locks_nobody_out(db: psycopg.Connection) -> None:
    """As the next version does, which finds most of them as they have to be."""
    db.execute("SELECT pgmq.create('q'), pgmq.create_stream('s'), pgmq.bind_topic('x.#', 'q')")
    db.execute("DELETE FROM pgmq.installation")  # so that it looks at everything
    with db.transaction():
        db.execute(PLAIN.read_bytes())
        locked = db.execute(
            "SELECT c.relname, l.mode FROM pg_locks AS l"
            " INNER JOIN pg_class AS c ON c.oid = l.relation AND c.relkind IN ('r', 'p', 'i', 'S')"
            " WHERE l.pid = pg_backend_pid() AND c.relnamespace = 'pgmq'::regnamespace"
            "    AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',"
            "        'AccessExclusiveLock')"
        ).fetchall()
    assert locked == []
