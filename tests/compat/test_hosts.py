"""What hosts do to the extension, and what they run it in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import kinds
from server import BUILD, control

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from server import TestServer

# Supabase gives every member of an extension to a role of its own, in this order and by these
# commands; an array type follows its element, and a row type its table.
GIVE = """
DO $$
DECLARE
    v_extension oid := (SELECT oid FROM pg_extension WHERE extname = 'pgmq');
    v_member record;
BEGIN
    SET LOCAL search_path = '';
    UPDATE pg_extension SET extowner = 'ROLE'::regrole WHERE oid = v_extension;
    FOR v_member IN
        SELECT
            replace(d.classid::regclass::text, 'pg_catalog.', '') AS catalog, d.objid,
            (
                SELECT c.relname FROM pg_class AS c
                WHERE c.reltype = d.objid AND c.relkind IN ('r', 'p')
            ) AS row_of
        FROM pg_depend AS d
        WHERE d.refobjid = v_extension
    LOOP
        IF v_member.catalog = 'pg_class' THEN
            EXECUTE format('ALTER TABLE %s OWNER TO ROLE', v_member.objid::regclass);
        ELSIF v_member.catalog = 'pg_proc' THEN
            EXECUTE format(
                'ALTER FUNCTION %s(%s) OWNER TO ROLE', v_member.objid::regproc,
                pg_get_function_identity_arguments(v_member.objid)
            );
        ELSIF v_member.catalog = 'pg_type' AND v_member.row_of IS NOT NULL THEN
            EXECUTE format('ALTER TABLE pgmq.%I OWNER TO ROLE', v_member.row_of);
        ELSIF v_member.catalog = 'pg_type' AND v_member.objid::regtype::text NOT LIKE '%[]' THEN
            EXECUTE format('ALTER TYPE %s OWNER TO ROLE', v_member.objid::regtype);
        ELSIF v_member.catalog <> 'pg_type' THEN
            RAISE EXCEPTION 'a member in %', v_member.catalog;
        END IF;
    END LOOP;
END
$$
"""


@pytest.fixture
def owner(server: TestServer, db: psycopg.Connection) -> Iterator[str]:
    """Give the extension to an ordinary role, and return its name."""
    if db.execute("SELECT FROM pg_extension WHERE extname = 'pgmq'").fetchone() is None:
        pytest.skip("pgmq is not an extension here")
    name = f"{server.prefix}_owner_{os.getpid()}"
    db.execute(f"CREATE ROLE {name}")
    try:
        db.execute("SET allow_system_table_mods = on")
        db.execute(GIVE.replace("ROLE", name).encode())
        db.execute(f"GRANT USAGE, CREATE ON SCHEMA pgmq TO {name}")
        db.execute("RESET allow_system_table_mods")
        yield name
    finally:
        db.execute("RESET SESSION AUTHORIZATION")
        db.execute(f"REASSIGN OWNED BY {name} TO CURRENT_USER; DROP OWNED BY {name}")
        db.execute(f"DROP ROLE {name}")


def test_every_member_can_be_given_to_another_role(db: psycopg.Connection, owner: str) -> None:
    others = db.execute(
        """
        SELECT o.type, o.identity
        FROM pg_depend AS d
        CROSS JOIN pg_identify_object(d.classid, d.objid, 0) AS o
        LEFT JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
        LEFT JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
        LEFT JOIN pg_type AS t ON d.classid = 'pg_type'::regclass AND t.oid = d.objid
        WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pgmq')
            AND coalesce(c.relowner, p.proowner, t.typowner) IS DISTINCT FROM %s::regrole
        """,
        [owner],
    ).fetchall()
    assert others == []


def test_every_kind_of_queue_works_for_the_new_owner(db: psycopg.Connection, owner: str) -> None:
    db.execute(f"SET SESSION AUTHORIZATION {owner}")
    kinds.fill(db)
    kinds.works(db)
    db.execute(
        "SELECT pgmq.set_policy('work'); SELECT pgmq.drop_queue(queue_name) FROM pgmq.list_queues()"
    )


def test_the_new_owner_can_upgrade(server: TestServer, db: psycopg.Connection, owner: str) -> None:
    """By an extension's script, and by the plain file."""
    if server.embedded is None:
        pytest.skip("needs the embedded server, to put a script into it")
    db.execute(f"SET SESSION AUTHORIZATION {owner}")
    kinds.fill(db)
    plain = (BUILD / "pgmq.sql").read_text()
    version = control()["default_version"]
    script = server.embedded.extension_dir / f"pgmq--{version}--{owner}.sql"
    script.write_text(plain)
    try:
        db.execute(f"ALTER EXTENSION pgmq UPDATE TO '{owner}'")
    finally:
        script.unlink()
    db.execute(plain.encode())
    kinds.works(db)
