"""Whoever owns a queue cannot have somebody with more rights run what is in it.

The functions that go through all queues, or follow what others have bound or sent, leave out such
queues. What the owner plants here writes down as whom it ran, in every place that it can change.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from support import server as servers

if TYPE_CHECKING:
    from conftest import Connect, Roles

DENIED = psycopg.errors.InsufficientPrivilege

# Whatever it is called with: it takes the login's rights, if it may.
PLANT = """
CREATE SCHEMA traps;
GRANT USAGE ON SCHEMA traps TO public;
CREATE FUNCTION traps.write() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        EXECUTE 'RESET ROLE';
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
    IF current_setting('transaction_read_only') = 'off' THEN
        INSERT INTO public.ran VALUES (current_user);
    END IF;
END $$;
CREATE FUNCTION traps.note(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN PERFORM traps.write(); RETURN 1; END $$;
CREATE FUNCTION traps.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM traps.note(1); RETURN null; END $$;
"""
FUNCTIONS = """
CREATE OR REPLACE FUNCTION pgmq._advance_{0}(sweep boolean DEFAULT false) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS 'BEGIN PERFORM traps.note(1); RETURN false; END';
CREATE OR REPLACE FUNCTION pgmq._enqueue_{0}(msg jsonb, msg_headers jsonb, visible_at timestamptz)
RETURNS bigint LANGUAGE plpgsql VOLATILE AS 'BEGIN PERFORM traps.note(1); RETURN 1; END';
CREATE OR REPLACE FUNCTION pgmq._sendbatch_{0}(
    msgs jsonb[], msg_headers jsonb[], visible_at timestamptz
) RETURNS SETOF bigint LANGUAGE plpgsql VOLATILE AS 'BEGIN PERFORM traps.note(1); END';
"""
TRIGGERS = """
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON pgmq.q_{0}
FOR EACH ROW EXECUTE FUNCTION traps.note();
CREATE CONSTRAINT TRIGGER late AFTER INSERT OR DELETE ON pgmq.q_{0} INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION traps.note();
CREATE INDEX ON pgmq.q_{0} (traps.note(1));
"""
VIEW = """
ALTER TABLE pgmq.q_{0} RENAME TO hidden;
CREATE VIEW pgmq.q_{0} AS SELECT h.* FROM pgmq.hidden AS h WHERE traps.note(1) = 1;
"""


@pytest.fixture
def owner(db: psycopg.Connection, roles: Roles, connect: Connect) -> str:
    """A role that owns the queue q, and has set its traps outside of it; db has the queue own."""
    role = roles()
    db.execute("GRANT USAGE ON SCHEMA pgmq TO public")
    db.execute("CREATE TABLE ran (by name); GRANT INSERT, SELECT ON ran TO public")
    db.execute("SELECT pgmq.create('own')")
    db.execute(
        sql.SQL(
            "GRANT USAGE, CREATE ON SCHEMA pgmq TO {0}; GRANT INSERT, SELECT ON pgmq.meta TO {0};"
            " GRANT INSERT, SELECT, DELETE ON pgmq.policy, pgmq.partitioning TO {0};"
            " GRANT CREATE ON DATABASE {1} TO {0}"
        ).format(sql.Identifier(role), sql.Identifier(db.info.dbname))
    )
    theirs = connect(user=role)
    theirs.execute("SELECT pgmq.create('q'); SELECT pgmq.send('q', '1')")
    theirs.execute(PLANT.encode())
    theirs.close()
    return role


def _plant(connect: Connect, owner: str, *texts: str) -> None:
    with connect(user=owner) as theirs:
        for text in texts:
            theirs.execute(text.format("q").encode())
        theirs.execute("RESET ROLE")


def _ran(db: psycopg.Connection) -> set[str]:
    return {by for (by,) in db.execute("DELETE FROM ran RETURNING by").fetchall()}


def _warnings(db: psycopg.Connection) -> list[str]:
    seen: list[str] = []
    db.add_notice_handler(lambda notice: seen.append(notice.message_primary or ""))
    return seen


@pytest.mark.parametrize("as_owner", [False, True], ids=["superuser", "after SET ROLE"])
def test_a_superuser_does_not_maintain_what_others_own(
    db: psycopg.Connection, owner: str, connect: Connect, as_owner: bool
) -> None:
    _plant(connect, owner, TRIGGERS, FUNCTIONS)
    _ran(db)
    warnings = _warnings(db)
    if as_owner:
        db.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(owner)))
    db.execute("SELECT pgmq.maintain()")
    with pytest.raises(DENIED) as caught:
        db.execute("SELECT pgmq.maintain('q')")
    db.execute("RESET ROLE")
    left_out = "own, q" if as_owner else "q"
    assert warnings == [f"maintain() leaves out queues of other owners: {left_out}"]
    assert caught.value.diag.message_primary == 'only its owner maintains queue "q"'
    assert owner in (caught.value.diag.message_hint or "")
    assert _ran(db) == set()

    with connect(user=owner) as theirs:
        theirs.execute("SELECT pgmq.maintain()")
        theirs.execute("SELECT pgmq.maintain('q')")
    assert _ran(db) == {owner}


def test_a_member_of_the_owners_role_maintains_unless_it_has_more_power(
    db: psycopg.Connection, owner: str, roles: Roles, connect: Connect
) -> None:
    member, powerful = roles(), roles("LOGIN CREATEROLE")
    db.execute(
        sql.SQL("GRANT {} TO {}, {}").format(
            sql.Identifier(owner), sql.Identifier(member), sql.Identifier(powerful)
        )
    )
    connect(user=member).execute("SELECT pgmq.maintain('q')")
    with pytest.raises(DENIED):
        connect(user=powerful).execute("SELECT pgmq.maintain('q')")
    with pytest.raises(DENIED):
        connect(user=member).execute("SELECT pgmq.maintain('own')")


@pytest.mark.parametrize(
    "left",
    [
        "ALTER TABLE pgmq.q_q OWNER TO {0}",
        "ALTER TABLE pgmq.q_q OWNER TO {0}; ALTER TABLE pgmq.a_q OWNER TO {0}",
    ],
)
def test_what_stays_with_the_former_owner_counts(
    db: psycopg.Connection, owner: str, connect: Connect, left: str
) -> None:
    """ALTER TABLE OWNER leaves the queue's functions behind."""
    _plant(connect, owner, FUNCTIONS)
    db.execute(left.format("postgres").encode())
    with pytest.raises(DENIED):
        db.execute("SELECT pgmq.maintain('q')")
    db.execute("ALTER TABLE pgmq.a_q OWNER TO postgres; SELECT pgmq.recompile_all()")
    db.execute("SELECT pgmq.maintain('q')")
    assert _ran(db) == set()


def test_a_partition_and_a_dead_letter_queue_of_others_count(
    db: psycopg.Connection, owner: str, connect: Connect
) -> None:
    db.execute("SELECT pgmq.create_partitioned('parts', '10', '100'), pgmq.create('works')")
    db.execute("SELECT pgmq.set_policy('works', max_receives => 1, dead_letter_queue => 'dead')")
    db.execute("SELECT pgmq.maintain('parts'), pgmq.maintain('works')")
    name = sql.Identifier(owner)
    db.execute(sql.SQL("ALTER TABLE pgmq.q_parts_p10 OWNER TO {}").format(name))
    db.execute(sql.SQL("ALTER TABLE pgmq.q_dead OWNER TO {}").format(name))
    for queue in ("parts", "works"):
        with pytest.raises(DENIED):
            db.execute("SELECT pgmq.maintain(%s)", [queue])
    with pytest.raises(DENIED, match='dead-letter queue "q" is not safe'):
        db.execute("SELECT pgmq.set_policy('own', max_receives => 1, dead_letter_queue => 'q')")


@pytest.mark.parametrize("trap", [TRIGGERS, VIEW], ids=["index", "view"])
def test_a_superuser_does_not_look_into_what_others_own(
    db: psycopg.Connection, owner: str, roles: Roles, connect: Connect, trap: str
) -> None:
    _plant(connect, owner, trap)
    db.execute("SET pgmq.doctor_patience = '1 h'")
    _ran(db)
    warnings = _warnings(db)
    seen = [row[0] for row in db.execute("SELECT queue_name FROM pgmq.metrics_all()").fetchall()]
    assert (seen, warnings) == (["own"], ["metrics_all() leaves out queues of other owners: q"])
    found = db.execute("SELECT queue_name, finding FROM pgmq.doctor()").fetchall()
    assert ("q", "its messages are not looked at: its owner could use your rights") in found
    assert _ran(db) == set()

    monitor = roles("LOGIN IN ROLE pg_monitor")
    if trap is TRIGGERS:
        with connect(user=monitor) as session:
            rows = session.execute("SELECT queue_name FROM pgmq.metrics_all()").fetchall()
        assert rows == [("own",), ("q",)]
        assert _ran(db) <= {monitor}


def test_a_superuser_sends_nothing_where_others_lead_it(
    db: psycopg.Connection, owner: str, connect: Connect, roles: Roles
) -> None:
    db.execute(
        """
        SELECT pgmq.create_exchange('x'), pgmq.bind('x', 'q', '#'), pgmq.bind('x', 'own', '#');
        SELECT pgmq.bind_topic('a.*', 'q');
        SELECT pgmq.send('own', '1', '{"x-pgmq-dead-letter": {"queue": "q"}}'::jsonb);
        """
    )
    _plant(connect, owner, TRIGGERS, FUNCTIONS)
    _ran(db)
    warnings = _warnings(db)
    for call in (
        "SELECT pgmq.publish('x', 'k', '1')",
        "SELECT pgmq.send_topic('a.b', '1')",
        "SELECT * FROM pgmq.send_batch_topic('a.b', '{1}')",
    ):
        with pytest.raises(DENIED, match='queue "q", which this leads to'):
            db.execute(call.encode())
    assert db.execute("SELECT pgmq.redrive('own')").fetchone() == (0,)
    assert len(warnings) == 1
    assert _ran(db) == set()

    sender = roles()
    db.execute("SELECT pgmq.grant_send('own', %s)", [sender])
    connect(user=owner).execute("SELECT pgmq.grant_send('q', %s)", [sender])
    connect(user=sender).execute("SELECT pgmq.publish('x', 'k', '1')")
    assert _ran(db) == {sender}


def test_a_superuser_recompiles_and_upgrades_what_others_own_and_runs_nothing_of_it(
    db: psycopg.Connection, owner: str, connect: Connect
) -> None:
    _plant(connect, owner, TRIGGERS, FUNCTIONS)
    _ran(db)
    assert db.execute("SELECT pgmq.recompile_all()").fetchone() == (2,)
    with connect(user=owner) as theirs:
        warnings = _warnings(theirs)
        assert theirs.execute("SELECT pgmq.recompile_all()").fetchone() == (1,)
    assert warnings == ["recompile_all() leaves out queues of other owners: own"]
    _ran(db)
    _plant(connect, owner, FUNCTIONS)
    # An older layout: what is missing is built again.
    db.execute("DROP INDEX pgmq.ready_idx_q; DROP SEQUENCE pgmq.ready_mark_q CASCADE")
    _ran(db)
    db.execute((servers.ROOT / "build" / "pgmq.sql").read_bytes())
    assert _ran(db) <= {owner}  # an index is built with the rights of its table's owner
    owners = db.execute(
        "SELECT DISTINCT proowner::regrole::text FROM pg_proc WHERE proname LIKE '%\\_q'"
    ).fetchall()
    assert [each.strip('"') for (each,) in owners] == [owner]
    connect(user=owner).execute("SELECT pgmq.maintain('q')")


def test_a_scheduler_maintains_what_it_was_granted(
    db: psycopg.Connection, owner: str, connect: Connect, roles: Roles
) -> None:
    scheduler = roles()
    db.execute("SELECT pgmq.create('Third One'), pgmq.grant_maintain('third one', %s)", [scheduler])
    with connect(user=owner) as theirs:
        theirs.execute("SELECT pgmq.set_policy('q', message_ttl => '1 s')")
        theirs.execute("UPDATE pgmq.q_q SET enqueued_at = '2001-01-01'")
        theirs.execute("SELECT pgmq.grant_maintain('q', %s)", [scheduler])
    with connect(user=scheduler) as session:
        warnings = _warnings(session)
        assert session.execute("SELECT pgmq.maintain()").fetchone() == (1,)
        assert session.execute("SELECT pgmq.maintain('Third One')").fetchone() == (0,)
        for call in ("maintain('own')", "read('q', 0, 1)", "send('q', '1')", "metrics('q')"):
            with pytest.raises(DENIED):
                session.execute(f"SELECT pgmq.{call}".encode())
    assert warnings == ["maintain() leaves out queues of other owners: own"]
    db.execute("SELECT pgmq.revoke_all('Third One', %s)", [scheduler])
    with pytest.raises(DENIED):
        connect(user=scheduler).execute("SELECT pgmq.maintain('third one')")
    db.execute("SELECT pgmq.drop_queue('q')")
    left = db.execute("SELECT proname FROM pg_proc WHERE proname LIKE '%\\_q'").fetchall()
    assert left == []


def test_a_scheduler_has_nothing_that_could_be_taken(
    db: psycopg.Connection, owner: str, connect: Connect, roles: Roles
) -> None:
    rich, group = roles(), roles("")
    connect(user=owner).execute("SELECT pgmq.grant_maintain('q', %s)", [rich])
    db.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), sql.Identifier(rich)))
    with pytest.raises(DENIED):
        connect(user=rich).execute("SELECT pgmq.maintain('q')")
    with pytest.raises(psycopg.errors.InvalidGrantOperation, match="has rights that an owner"):
        db.execute("SELECT pgmq.grant_maintain('own', %s)", [rich])
    # Nor does an owner come by those who never asked for it.
    _plant(
        connect,
        owner,
        "CREATE OR REPLACE FUNCTION pgmq._scheduled_{0}() RETURNS bigint LANGUAGE plpgsql"
        " SECURITY INVOKER AS 'BEGIN RETURN traps.note(1); END';"
        " GRANT EXECUTE ON FUNCTION pgmq._scheduled_{0}() TO public",
    )
    other = roles()
    db.execute(sql.SQL("GRANT USAGE ON SCHEMA pgmq TO {0}").format(sql.Identifier(other)))
    db.execute(sql.SQL("ALTER TABLE pgmq.q_own OWNER TO {0}").format(sql.Identifier(other)))
    connect(user=other).execute("SELECT pgmq.maintain()")
    db.execute("SELECT pgmq.maintain()")
    assert _ran(db) == set()


def test_the_upkeep_of_partitions_at_the_commit_is_done_with_no_more_than_the_owners_rights(
    db: psycopg.Connection, connect: Connect, roles: Roles
) -> None:
    owner = roles()
    db.execute("SELECT pgmq.grant_create(%s)", [owner])
    session = connect(user=owner)
    session.execute(
        "SELECT pgmq.create_partitioned('parts', '1 second', '1 hour', 1);"
        "CREATE TEMP TABLE ran (role text);"
        "CREATE OR REPLACE FUNCTION pgmq._keep_parts() RETURNS void LANGUAGE sql VOLATILE"
        " AS 'INSERT INTO pg_temp.ran VALUES (current_user)'"
    )
    ran: list[str] = []
    deadline = time.monotonic() + 20
    while not ran and time.monotonic() < deadline:
        session.execute("SELECT pgmq.send('parts', '1'), pgmq.read('parts', 0, 1)")
        ran = [role for (role,) in session.execute("SELECT role FROM ran")]
    assert ran == [owner]


def test_whoever_reads_through_a_function_of_another_role_needs_no_right_at_the_commit(
    db: psycopg.Connection, connect: Connect, roles: Roles
) -> None:
    db.execute("SELECT pgmq.create_partitioned('parts', '1 second', '1 hour', 1)")
    db.execute(
        "CREATE FUNCTION public.use() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS"
        " $$ SELECT pgmq.send('parts', '1'); SELECT count(*) FROM pgmq.read('parts', 0, 1) $$"
    )
    session = connect(user=roles())
    due = "SELECT last_value FROM pgmq.tend_due_parts"
    before = db.execute(due).fetchone()
    deadline = time.monotonic() + 20
    while db.execute(due).fetchone() == before:  # until its calls have looked
        assert time.monotonic() < deadline
        session.execute("SELECT public.use()")
