"""What a session has set changes nothing that pgmq does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import psycopg
import pytest

from support.calls import ON_ONE_QUEUE
from support.queries import one
from support.server import BUILD

if TYPE_CHECKING:
    from conftest import Connect
    from support.server import TestServer

# In what people set for a database, or a framework for its sessions.
SETTINGS = {
    "array_nulls": "off",
    "check_function_bodies": "off",
    "client_min_messages": "debug1",
    "DateStyle": "SQL, DMY",
    "default_transaction_deferrable": "on",
    "enable_indexscan": "off",
    "enable_nestloop": "off",
    "enable_partition_pruning": "off",
    "escape_string_warning": "off",
    "extra_float_digits": "-15",
    "from_collapse_limit": "1",
    "IntervalStyle": "sql_standard",
    "plan_cache_mode": "force_generic_plan",
    "plpgsql.extra_errors": "all",
    "plpgsql.variable_conflict": "use_column",
    "quote_all_identifiers": "on",
    "row_security": "off",
    "search_path": "",
    "standard_conforming_strings": "off",
    "TimeZone": "Asia/Kathmandu",
    "transform_null_equals": "on",
    "work_mem": "64kB",
}


def _outcomes(session: psycopg.Connection) -> dict[str, object]:
    """How many rows each call gives, or its error."""

    def outcome(call: str) -> object:
        try:
            return one(session, f"SELECT count(*) FROM pgmq.{call}")
        except psycopg.Error as error:
            return str(error)

    return {call: outcome(call.strip()) for call in ON_ONE_QUEUE.split(";")}


def test_a_session_may_have_set_anything(db: psycopg.Connection, connect: Connect) -> None:
    wanted = _outcomes(db)
    session = connect()
    for name, value in SETTINGS.items():
        session.execute("SELECT set_config(%s, %s, false)", [name, value])
    assert _outcomes(session) == wanted
    # What it has compiled is what any session would.
    session.execute("SELECT pgmq.create('made'), pgmq.create_partitioned('by time', '1 day', null)")
    session.execute(
        "SELECT pgmq.set_policy('made', max_receives => 3, message_ttl => '1 h',"
        " retry_delay => '90 s', retry_jitter => 0.1), pgmq.create_fifo_index('by time'),"
        " pgmq.schedule('s', 'made', '*/5 9-17 * * mon-fri', '1'), pgmq.pin('made')"
    )
    assert one(db, "SELECT pgmq.send('made', '1')") == 1
    assert db.execute("SELECT * FROM pgmq.doctor() WHERE queue_name <> ''").fetchall() == []


def test_it_is_installed_whatever_is_set(server: TestServer, db: psycopg.Connection) -> None:
    sources = """
        SELECT p.proname, concat(p.proconfig, p.prosrc) FROM pg_proc AS p
        WHERE p.pronamespace = 'pgmq'::regnamespace
        UNION ALL
        SELECT t.name || t.features, concat(t.body, t.plain) FROM pgmq.template AS t
    """
    options = " ".join(
        f"-c {name}={value.replace(' ', chr(92) + ' ')}"
        for name, value in SETTINGS.items()
        if name != "client_min_messages"
    )
    with (
        server.database() as dbname,
        psycopg.connect(server.dsn(dbname), autocommit=True, options=options) as session,
    ):
        session.execute((BUILD / "pgmq.sql").read_bytes())
        installed = session.execute(sources).fetchall()
        said: list[str] = []
        session.add_notice_handler(lambda d: said.append(str(d.message_primary)))
        session.execute((BUILD / "pgmq.sql").read_bytes())
        assert said[-1].endswith(": unchanged")
    assert sorted(installed) == sorted(db.execute(sources).fetchall())


def test_no_text_has_a_backslash_that_a_setting_gives_a_meaning(db: psycopg.Connection) -> None:
    """Where standard_conforming_strings is off, one in a literal is no character of it."""
    found = db.execute(
        """
        SELECT p.oid::regprocedure::text, p.prosrc FROM pg_proc AS p
        WHERE p.pronamespace = 'pgmq'::regnamespace
            AND NOT 'standard_conforming_strings=on' = ANY (coalesce(p.proconfig, '{}'))
        UNION ALL
        SELECT t.name, t.body FROM pgmq.template AS t
        """
    ).fetchall()
    literal = re.compile(r"(E?)'((?:[^']|'')*)'")
    wrong = {
        name: texts
        for name, source in found
        if (
            texts := [
                match[2]
                for match in literal.finditer(re.sub("--.*", "", source))
                if "\\" in match[2] and not match[1]
            ]
        )
    }
    assert wrong == {}


@pytest.mark.parametrize("kind", ["queue", "exchange"])
def test_nothing_is_dropped_by_halves_where_triggers_do_not_fire(
    db: psycopg.Connection, kind: str
) -> None:
    db.execute("SELECT pgmq.create_partitioned('a', '1 day', null), pgmq.create_exchange('a')")
    db.execute("SELECT pgmq.bind('a', 'a', 'key'); SET session_replication_role = replica")
    refused = f'{kind} "a" cannot be dropped while session_replication_role is replica'
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=refused):
        db.execute(f"SELECT pgmq.drop_{kind}('a')".encode())
    db.execute("RESET session_replication_role")
    assert one(db, f"SELECT pgmq.drop_{kind}('a')") is True
    assert one(db, "SELECT count(*) FROM pgmq.list_bindings('a')") == 0
