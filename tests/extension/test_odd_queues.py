"""What users do to the relations of a queue by hand: owners, sequences, triggers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import errors

from support.queries import ids, one

if TYPE_CHECKING:
    from conftest import Connect, Roles

LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
FAILURES = {
    "assert": "ASSERT false",
    "raise": "RAISE 'no'",
    "cancel": "RAISE 'no' USING ERRCODE = 'query_canceled'",
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("policy", ["archive_retention => '1 ms'", "max_in_flight => 9"])
def test_a_users_trigger_that_fails_leaves_no_lock_behind(
    db: psycopg.Connection, failure: str, policy: str
) -> None:
    db.execute("SELECT pgmq.create('q')")
    db.execute(f"SELECT pgmq.set_policy('q', max_receives => 1, {policy})".encode())
    db.execute(
        f"CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN {FAILURES[failure]}; END $$".encode()
    )
    for number in range(1, 5):
        db.execute("SELECT pgmq.send('q', '1'), pgmq.send('q', '2')")
        db.execute("SELECT pgmq.archive('q', %s::bigint)", [2 * number])
    db.execute("SELECT pgmq.read('q', 0, 9)")
    # Dead letters go to the archive, and old ones leave it.
    db.execute(
        "CREATE TRIGGER t BEFORE INSERT OR DELETE ON pgmq.a_q FOR EACH ROW EXECUTE FUNCTION fail()"
    )
    for _ in range(3):
        try:
            db.execute("SELECT pgmq.read('q', 0, 50)")
        except psycopg.Error as error:
            assert error.sqlstate in {"P0001", "P0004", "57014"}  # noqa: PT017
        assert one(db, LOCKS) == 0


def test_msg_ids_from_a_sequence_that_sessions_cache_are_all_read(
    db: psycopg.Connection, connect: Connect
) -> None:
    """Ids of one session lie behind those of another that were read long ago."""
    db.execute("SELECT pgmq.create('q'), set_config('pgmq.sweep_interval', '1 h', false)")
    db.execute("ALTER SEQUENCE pgmq.q_q_msg_id_seq CACHE 100")
    others = [connect() for _ in range(3)]
    for number in range(200):
        sender = others[number % 3]
        sender.execute("SELECT pgmq.send('q', '1')")
        read = ids(db, "SELECT msg_id FROM pgmq.read('q', 60, 9)")
        if number % 40 == 39:
            # A sweep finds what is behind the marks.
            db.execute("SELECT pgmq.maintain('q')")
            read += ids(db, "SELECT msg_id FROM pgmq.read('q', 60, 99)")
        db.execute("SELECT pgmq.delete('q', %s::bigint[])", [read])
    assert one(db, "SELECT count(*) FROM pgmq.q_q") == 0
    finding = "SELECT finding FROM pgmq._doctor_relations() WHERE queue_name = 'q'"
    assert "drawn 100 at a time" in one(db, finding)
    db.execute("ALTER SEQUENCE pgmq.q_q_msg_id_seq CACHE 1")
    assert one(db, finding) is None


@pytest.mark.parametrize("create", ["create('q')", "create_partitioned('q', '10')"])
def test_a_queue_whose_owner_was_changed_by_hand_is_named_mended_and_dropped(
    db: psycopg.Connection, roles: Roles, create: str
) -> None:
    role, keeper = roles(), roles()
    db.execute(f"GRANT USAGE ON SCHEMA pgmq TO {role}".encode())
    db.execute(f"SELECT pgmq.{create}, pgmq.create('other')".encode())
    db.execute("SELECT pgmq.set_policy('q', dedup_window => '1 hour')")
    db.execute("SELECT pgmq.grant_maintain('q', %s)", [keeper])
    db.execute(
        "CREATE OR REPLACE FUNCTION pgmq._scheduled_q() RETURNS bigint LANGUAGE sql"
        " SECURITY DEFINER AS 'SELECT 666::bigint'"
    )
    db.execute(f"ALTER TABLE pgmq.q_q OWNER TO {role}".encode())
    findings = "SELECT finding FROM pgmq._doctor_compiled() WHERE queue_name = 'q'"
    foreign = one(db, findings)
    assert foreign.startswith("compiled functions do not belong to the owner of the table: ")
    db.execute("SELECT pgmq.recompile_all()")
    assert one(db, findings) is None
    # The archive, and partitions, are still the former owner's.
    damage = "SELECT fix FROM pgmq._doctor_damage() WHERE queue_name = 'q'"
    assert "ALTER TABLE pgmq.a_q OWNER TO" in one(db, damage)
    db.execute(one(db, damage).encode())
    assert one(db, damage) is None
    # What a scheduler calls has the new owner's rights, but not what the old one made of it.
    scheduled = (
        "SELECT proowner::regrole::text || prosrc FROM pg_proc WHERE proname = '_scheduled_q'"
    )
    assert one(db, scheduled) == f"{role}BEGIN RETURN pgmq._maintain('q'); END"
    with db.transaction():
        db.execute(f"SET LOCAL ROLE {keeper}".encode())
        assert one(db, "SELECT has_function_privilege('pgmq._scheduled_q()', 'EXECUTE')")
    assert one(db, "SELECT pgmq.drop_queue('q')") is True
    assert one(db, "SELECT count(*) FROM pg_proc WHERE proname ~ '_q$'") == 0


@pytest.mark.parametrize("may_create", [False, True])
def test_who_was_given_the_tables_may_drop_the_queue_and_learns_what_else_it_takes(
    db: psycopg.Connection, roles: Roles, *, may_create: bool
) -> None:
    role = roles()
    db.execute("SELECT pgmq.create('q'), pgmq.grant_maintain('q', %s)", [roles()])
    db.execute(f"GRANT USAGE {', CREATE' * may_create} ON SCHEMA pgmq TO {role}".encode())
    db.execute(f"GRANT SELECT, INSERT, DELETE ON pgmq.meta TO {role}".encode())
    db.execute(
        f"ALTER TABLE pgmq.q_q OWNER TO {role}; ALTER TABLE pgmq.a_q OWNER TO {role}".encode()
    )
    db.execute(f"SET ROLE {role}".encode())
    for call in ("create_fifo_index('q')", "enable_notify_insert('q')"):
        with pytest.raises(errors.InsufficientPrivilege) as caught:
            db.execute(f"SELECT pgmq.{call}".encode())
        said = (caught.value.diag.message_primary, caught.value.diag.message_hint)
        assert said == (
            (
                'functions of queue "q" do not belong to the owner of its table, but to postgres',
                "A superuser can SELECT pgmq.recompile('q').",
            )
            if may_create
            else (
                "permission denied for schema pgmq",
                f"Its owner can SELECT pgmq.grant_create('{role}').",
            )
        )
    assert one(db, "SELECT pgmq.drop_queue('q')")
    db.execute("RESET ROLE")
    assert one(db, "SELECT count(*) FROM pg_proc WHERE proname ~ '_q$'") == 0
    db.execute("SELECT pgmq.create('q'), pgmq.send('q', '1')")


def test_what_remains_of_a_queue_is_not_what_another_still_has(
    db: psycopg.Connection, roles: Roles
) -> None:
    role = roles()
    db.execute("SELECT pgmq.create('q'), pgmq.create('lost')")
    db.execute(f"GRANT USAGE ON SCHEMA pgmq TO {role}".encode())
    db.execute("DELETE FROM pgmq.meta WHERE queue_name = 'lost'")
    db.execute(f"SET ROLE {role}; SELECT pgmq._drop_remains('q'), pgmq._drop_remains('lost')")
    db.execute("RESET ROLE")
    db.execute("SELECT pgmq.send('q', '1'), pgmq.send('lost', '1')")


def test_a_group_called_as_the_default_one_is_the_default_one(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.create_fifo_index('q')")
    db.execute("""SELECT pgmq.send('q', '1', '{"x-pgmq-group": "_default_fifo_group"}'::jsonb)""")
    db.execute("SELECT pgmq.send('q', '2')")
    assert ids(db, "SELECT msg_id FROM pgmq.read_grouped('q', 60, 1)") == [1]
    assert ids(db, "SELECT msg_id FROM pgmq.read_grouped('q', 60, 1)") == []
    with pytest.raises(errors.UndefinedTable):
        db.execute("SELECT pgmq.read_grouped('_default_fifo_group', 60, 1)")
