"""What hosts do to the extension, and what they run it in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from support import queries, queues
from support.server import BUILD, control

if TYPE_CHECKING:
    from conftest import Connect, Roles
    from support.server import TestServer

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

# Supabase replaces drop_queue, since it takes queues for members of the extension that its backups
# have to let go of. What its own does is this, in words of ours.
REPLACE = """
ALTER EXTENSION pgmq DROP FUNCTION pgmq.drop_queue(text);
DROP FUNCTION pgmq.drop_queue(text);
CREATE FUNCTION pgmq.drop_queue(queue_name text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_queue text := pgmq.format_table_name(queue_name, 'q');
    v_archive text := pgmq.format_table_name(queue_name, 'a');
BEGIN
    IF pgmq._belongs_to_pgmq(v_queue) THEN
        EXECUTE format('ALTER EXTENSION pgmq DROP TABLE pgmq.%I', v_queue);
    END IF;
    EXECUTE format('DROP TABLE IF EXISTS pgmq.%I', v_queue);
    EXECUTE format('DROP TABLE IF EXISTS pgmq.%I', v_archive);
    IF pgmq._get_pg_partman_schema() IS NOT NULL THEN
        EXECUTE format(
            'DELETE FROM %I.part_config WHERE parent_table IN ($1, $2)',
            pgmq._get_pg_partman_schema()
        ) USING format('pgmq.%s', v_queue), format('pgmq.%s', v_archive);
    END IF;
    DELETE FROM pgmq.meta AS m WHERE m.queue_name = drop_queue.queue_name;
    RETURN true;
END
$$;
ALTER EXTENSION pgmq ADD FUNCTION pgmq.drop_queue(text);
"""
OBJECTS = """
    SELECT 'relation', relname::text FROM pg_class WHERE relnamespace = 'pgmq'::regnamespace
    UNION ALL
    -- Not what is put aside for the next queue.
    SELECT 'function', proname::text FROM pg_proc
    WHERE pronamespace = 'pgmq'::regnamespace AND proname NOT LIKE 'spare %'
    UNION ALL
    SELECT 'type', typname::text FROM pg_type WHERE typnamespace = 'pgmq'::regnamespace
    UNION ALL
    SELECT 'row', queue_name FROM pgmq.meta
    UNION ALL
    SELECT 'row of policy', queue_name FROM pgmq.policy
    UNION ALL
    SELECT 'row of partitioning', queue_name FROM pgmq.partitioning
    UNION ALL
    SELECT 'row of binding', queue_name FROM pgmq.binding WHERE queue_name IS NOT NULL
"""


@pytest.fixture
def owner(db: psycopg.Connection, roles: Roles) -> str:
    """Give the extension to an ordinary role, and return its name."""
    if db.execute("SELECT FROM pg_extension WHERE extname = 'pgmq'").fetchone() is None:
        pytest.skip("pgmq is not an extension here")
    name = roles()
    db.execute("SET allow_system_table_mods = on")
    db.execute(GIVE.replace("ROLE", name).encode())
    db.execute(f"GRANT USAGE, CREATE ON SCHEMA pgmq TO {name}")
    db.execute("RESET allow_system_table_mods")
    return name


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


def test_every_kind_of_queue_works_for_the_new_owner_also_after_an_upgrade(
    server: TestServer, db: psycopg.Connection, owner: str
) -> None:
    """By an extension's script, and by the plain file."""
    if server.embedded is None:
        pytest.skip("needs the embedded server, to put a script into it")
    db.execute(f"SET SESSION AUTHORIZATION {owner}")
    queues.fill(db)
    plain = (BUILD / "pgmq.sql").read_text()
    version = control()["default_version"]
    script = server.embedded.extension_dir / f"pgmq--{version}--{owner}.sql"
    script.write_text(plain)
    try:
        db.execute(f"ALTER EXTENSION pgmq UPDATE TO '{owner}'")
    finally:
        script.unlink()
    db.execute(plain.encode())
    queues.works(db)
    queues.let_go(db)
    db.execute("SELECT pgmq.drop_queue(queue_name) FROM pgmq.list_queues()")


@pytest.mark.once
@pytest.mark.parametrize("by", ["a host's drop_queue", "hand"])
def test_a_queue_that_is_dropped_by_others_leaves_nothing_behind(
    db: psycopg.Connection, by: str
) -> None:
    """Then a queue of that name is a new one."""
    db.execute(REPLACE.encode() if by != "hand" else b"")
    before = sorted(db.execute(OBJECTS).fetchall())
    queues.fill(db)
    db.execute(f"SELECT pgmq.create('{47 * 'x'}')".encode())
    queues.let_go(db)
    names = queries.ids(db, "SELECT queue_name FROM pgmq.list_queues()")
    for name in names:
        if by == "hand":
            prefixes = ["q"] if name in queues.STREAMS else ["q", "a"]
            tables = [sql.Identifier("pgmq", f"{prefix}_{name.lower()}") for prefix in prefixes]
            db.execute(sql.SQL("DROP TABLE {}").format(sql.SQL(", ").join(tables)))
            db.execute("DELETE FROM pgmq.meta WHERE queue_name = %s", [name])
        else:
            assert queries.one(db, "SELECT pgmq.drop_queue(%s)", name)
    db.execute("SELECT pgmq.drop_exchange('e')")
    assert sorted(db.execute(OBJECTS).fetchall()) == before
    queues.fill(db)
    queues.works(db)


def test_a_consumer_that_enables_what_is_enabled_waits_for_nobody(
    db: psycopg.Connection, connect: Connect, roles: Roles
) -> None:
    """Clients call it when they start; who may not change the queue may do that."""
    db.execute("SELECT pgmq.create('q'), pgmq.enable_notify_insert('q', 100)")
    role = roles()
    db.execute("SELECT pgmq.grant_consume('q', %s)", [role])
    db.execute("GRANT SELECT ON pgmq.meta TO public")
    producer = connect(autocommit=False)
    producer.execute("SELECT pgmq.send('q', '1')")
    consumer = connect()
    consumer.execute(f"SET lock_timeout = '1s'; SET ROLE {role}")
    consumer.execute("SELECT pgmq.enable_notify_insert('q', 100)")
    db.execute("SET lock_timeout = '1s'; SELECT pgmq.enable_notify_insert('Q', 100)")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        db.execute("SELECT pgmq.enable_notify_insert('q', 200)")
    producer.rollback()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        consumer.execute("SELECT pgmq.enable_notify_insert('q', 200)")


def test_a_trigger_that_is_switched_off_or_not_ours_is_made_again(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.enable_notify_insert('q', 0)")
    db.execute('LISTEN "pgmq.q_q.INSERT"')
    for harm in (
        "ALTER TABLE pgmq.q_q DISABLE TRIGGER trigger_notify_queue_insert_listeners",
        "DROP TRIGGER trigger_notify_queue_insert_listeners ON pgmq.q_q",
        "DROP SEQUENCE pgmq.notify_at_q",
    ):
        db.execute(harm.encode())
        db.execute("SELECT pgmq.enable_notify_insert('q', 0); SELECT pgmq.send('q', '1')")
        assert len(list(db.notifies(timeout=1, stop_after=1))) == 1


def test_a_trigger_as_pgmq_1_makes_it_announces_too(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q')")
    db.execute(
        "CREATE CONSTRAINT TRIGGER by_hand AFTER INSERT ON pgmq.q_q DEFERRABLE"
        " FOR EACH ROW EXECUTE FUNCTION pgmq.notify_queue_listeners()"
    )
    db.execute("LISTEN \"pgmq.q_q.INSERT\"; SELECT pgmq.send('q', '1')")
    assert len(list(db.notifies(timeout=1, stop_after=1))) == 1
