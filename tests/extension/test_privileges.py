"""What grant_send, grant_consume and grant_monitor give, and what they do not."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from pgmq import _statements as statements
from support import partman
from support import server as servers
from support.calls import ON_ONE_QUEUE
from support.prepared import prepared
from support.queries import make_upkeep_certain
from support.queues import DISTINCT, KINDS, LAYOUTS, made

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Connect, Roles

DENIED = psycopg.errors.InsufficientPrivilege

# Every way to send, to the queue q of the fixture below.
SENDING = (
    "SELECT * FROM pgmq.send('q', '1')",
    "SELECT * FROM pgmq.send('q', '1', '{}'::jsonb, 5)",
    "SELECT * FROM pgmq.send('q', '1', '{\"x-pgmq-dedup-id\": \"b\"}'::jsonb)",
    "SELECT * FROM pgmq.send_batch('q', '{1,2}', ARRAY['{}', null]::jsonb[], 1)",
    "SELECT * FROM pgmq.send_once('q', '1', 'a')",
    "SELECT * FROM pgmq.send_once('q', '{1,2}'::jsonb[], '{a,c}'::text[])",
    "SELECT pgmq.publish('x', 'key', '1')",
)
# Every way to get at messages and to change something about them.
CONSUMING = (
    "SELECT * FROM pgmq.read('q', 0, 1)",
    "SELECT * FROM pgmq.read('q', 0, 1, '1')",
    "SELECT * FROM pgmq.read_with_poll('q', 0, 1, 0)",
    "SELECT * FROM pgmq.read_any('{q}', 0, 1)",
    "SELECT * FROM pgmq.read_grouped('q', 0, 2)",
    "SELECT * FROM pgmq.read_grouped_rr('q', 0, 2)",
    "SELECT * FROM pgmq.read_grouped_head('q', 0, 2)",
    "SELECT * FROM pgmq.read_group('q', 'g', 0, 2)",
    "SELECT * FROM pgmq.peek('q', 5)",
    "SELECT * FROM pgmq.get('q', 1)",
    "SELECT * FROM pgmq.set_vt('q', 1, 0)",
    "SELECT pgmq.amend('q', 1, headers => '{}')",
    "SELECT pgmq.nack('q', 1, 1, error => 'x')",
    "SELECT pgmq.extend('q', 1, 1, 1)",
    "SELECT pgmq.ack('q', 1, 1)",
    "SELECT * FROM pgmq.ack('q', '{1}'::bigint[], '{1}'::integer[])",
    "SELECT * FROM pgmq.ack_and_read('q', 0, 1, '{1}', '{1}')",
    "SELECT pgmq.delete('q', 1)",
    "SELECT * FROM pgmq.delete('q', '{1}'::bigint[])",
    "SELECT pgmq.archive('q', 1)",
    "SELECT * FROM pgmq.archive('q', '{1}'::bigint[])",
    "SELECT * FROM pgmq.pop('q', 1)",
    "SELECT pgmq.next_visible_at('q')",
)
METRICS = ("SELECT * FROM pgmq.metrics('q')",)
PAYLOADS = (
    "SELECT message FROM pgmq.q_q",
    "SELECT headers FROM pgmq.q_q",
    "SELECT message FROM pgmq.a_q",
)
OWNING = (
    "SELECT pgmq.purge_queue('q')",
    "SELECT pgmq.drop_queue('q')",
    "SELECT pgmq.set_policy('q')",
    "SELECT pgmq.create_fifo_index('q')",
    "SELECT pgmq.enable_notify_insert('q', 7)",
    "SELECT pgmq.disable_wakeups('q')",
    "SELECT pgmq.disable_push('q')",
    "SELECT pgmq.create('other')",
    "SELECT pgmq.bind('x', 'q', '#')",
    "SELECT pgmq.grant_send('q', current_user::text)",
    "TRUNCATE pgmq.q_q",
    "UPDATE pgmq.q_q SET message = '2'",
)


# Everything that takes part in sending and reading, and three messages.
FILL = """;
    SELECT pgmq.create('dead');
    SELECT pgmq.set_policy(
        'q', max_receives => 100, dead_letter_queue => 'dead', message_ttl => '1 h',
        archive_retention => '1 h', dedup_window => '1 h', max_in_flight => 100
    );
    SELECT pgmq.create_fifo_index('q');
    SELECT pgmq.enable_notify_insert('q');
    SELECT pgmq.enable_wakeups('q');
    SELECT pgmq.enable_push('q');
    SELECT pgmq.create_exchange('x');
    SELECT pgmq.bind('x', 'q', 'key');
    SELECT pgmq.send_batch('q', '{1,2,3}');
"""
template = prepared({layout: made(layout, "q") + FILL for layout in LAYOUTS}, by="queue")


@pytest.fixture(params=LAYOUTS)
def queue(db: psycopg.Connection) -> psycopg.Connection:
    return db


@contextlib.contextmanager
def _session_of(session: psycopg.Connection, role: str) -> Iterator[None]:
    """Be logged in as a role, whatever its name."""
    session.execute(sql.SQL("SET SESSION AUTHORIZATION {}").format(sql.Identifier(role)))
    try:
        yield
    finally:
        session.execute("RESET SESSION AUTHORIZATION")


@contextlib.contextmanager
def _as(db: psycopg.Connection, role: str) -> Iterator[None]:
    db.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
    try:
        yield
    finally:
        db.execute("RESET ROLE")


def _denied(db: psycopg.Connection, *calls: str) -> None:
    for call in calls:
        with contextlib.suppress(DENIED):
            db.execute(call.encode())
            pytest.fail(f"was allowed: {call}")


def _allowed(db: psycopg.Connection, *calls: str) -> None:
    for call in calls:
        db.execute(call.encode())


def test_a_sender_sends_and_sees_nothing(queue: psycopg.Connection, roles: Roles) -> None:
    role = roles()
    queue.execute("SELECT pgmq.grant_send('q', %s)", (role,))
    with _as(queue, role):
        _allowed(queue, *SENDING)
        _denied(queue, *CONSUMING, *METRICS, *PAYLOADS, *OWNING)


def test_a_consumer_consumes_and_no_more(queue: psycopg.Connection, roles: Roles) -> None:
    role = roles()
    queue.execute("SELECT pgmq.grant_consume('q', %s)", (role,))
    with _as(queue, role):
        _allowed(queue, *CONSUMING, *METRICS, "SELECT pgmq.await('q', 1)")
        _denied(queue, *SENDING, *OWNING, "SELECT message FROM pgmq.a_q")


def test_a_consumer_needs_no_right_to_dead_letters_and_old_archive(
    queue: psycopg.Connection, roles: Roles
) -> None:
    role = roles()
    queue.execute("SELECT pgmq.grant_consume('q', %s)", (role,))
    queue.execute("UPDATE pgmq.q_q SET read_ct = 100 WHERE msg_id = 1; SELECT pgmq.archive('q', 2)")
    queue.execute("UPDATE pgmq.a_q SET archived_at = now() - interval '2 h'")
    with _as(queue, role):
        make_upkeep_certain(queue)
        queue.execute("SELECT * FROM pgmq.read('q', 0, 100)")
        _denied(queue, "SELECT * FROM pgmq.peek('dead')")
    assert queue.execute("SELECT message FROM pgmq.q_dead").fetchall() == [(1,)]
    assert queue.execute("SELECT message FROM pgmq.a_q").fetchall() == []


def test_who_consumes_and_sends_may_redrive_and_move(
    queue: psycopg.Connection, roles: Roles
) -> None:
    role = roles()
    queue.execute("SELECT pgmq.grant_consume('q', %s), pgmq.grant_send('dead', %s)", (role, role))
    with _as(queue, role):
        moved = queue.execute("SELECT pgmq.move('q', 1, 'dead')").fetchone()
        redriven = queue.execute("SELECT pgmq.redrive('q', 'dead')").fetchone()
        _denied(queue, "SELECT pgmq.move('dead', 1, 'q')", "SELECT pgmq.redrive('dead', 'q')")
    assert (moved, redriven) == ((1,), (2,))


def test_a_monitor_sees_metrics_and_no_payload(queue: psycopg.Connection, roles: Roles) -> None:
    role = roles()
    queue.execute("SELECT pgmq.grant_monitor('q', %s)", (role,))
    with _as(queue, role):
        _allowed(queue, *METRICS)
        row = queue.execute("SELECT queue_length FROM pgmq.metrics('q')").fetchone()
        _denied(queue, *(call for call in CONSUMING if "next_visible_at" not in call))
        _denied(queue, *SENDING, *PAYLOADS, *OWNING)
    assert row == (3,)


def test_everybody_else_may_nothing(queue: psycopg.Connection, roles: Roles) -> None:
    outsider, elsewhere = roles(), roles()
    queue.execute(
        "SELECT pgmq.grant_consume('dead', %s), pgmq.grant_send('dead', %s)", (elsewhere, elsewhere)
    )
    for role in (outsider, elsewhere):
        with _as(queue, role):
            _denied(queue, *SENDING, *CONSUMING, *METRICS, *PAYLOADS, *OWNING)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("policy", ["", ", dedup_window => '1 h', max_in_flight => 9"])
def test_a_refused_call_says_which_grant_it_needs(
    db: psycopg.Connection, roles: Roles, connect: Connect, layout: str, policy: str
) -> None:
    role = roles()
    db.execute(made(layout, "q").encode())
    db.execute(f"SELECT pgmq.set_policy('q'{policy})".encode())
    db.execute("SELECT pgmq.create('other'), pgmq.grant_send('other', %s)", (role,))
    session = connect(user=role)
    calls = [(call, "grant_send") for call in SENDING[:4]]
    calls += [(call, "grant_consume") for call in CONSUMING if "next_visible" not in call]
    calls += [(call, "grant_monitor") for call in METRICS]
    calls += [("SELECT pgmq.redrive('q', 'other')", "grant_consume")]
    for call, grant in calls:
        if "pgmq.get(" in call:
            continue
        with pytest.raises(DENIED) as caught:
            session.execute(call.encode())
        shown = caught.value.diag
        assert shown.message_primary == "permission denied for table q_q", call
        assert shown.message_hint == f"Its owner can SELECT pgmq.{grant}('q', '{role}').", call


def test_roles_have_any_name(db: psycopg.Connection, roles: Roles) -> None:
    """Those of clouds are people's addresses, or have hyphens: names that need quotes."""
    known = [roles(), roles()]
    owner, consumer = (f"{role} \"Ö\" 'x'@y-z" for role in known)

    def rename(old: str, new: str) -> None:
        words = sql.SQL("ALTER ROLE {} RENAME TO {}")
        db.execute(words.format(sql.Identifier(old), sql.Identifier(new)))

    rename(known[0], owner)
    rename(known[1], consumer)
    kinds = {kind: KINDS[kind] for kind in DISTINCT}
    try:
        db.execute("SELECT pgmq.grant_create(%s)", [owner])
        db.execute(sql.SQL("GRANT USAGE ON SCHEMA pgmq TO {}").format(sql.Identifier(consumer)))
        with _session_of(db, owner):
            for statement in kinds.values():
                db.execute(statement.encode())
            for queue, statement in kinds.items():
                if "create_stream" in statement:
                    db.execute("SELECT pgmq.grant_fetch(%s, 'g', %s)", [queue, consumer])
                else:
                    db.execute("SELECT pgmq.grant_consume(%s, %s)", [queue, consumer])
                db.execute("SELECT pgmq.grant_send(%s, %s)", [queue, consumer])
        with _session_of(db, consumer):
            for queue, statement in kinds.items():
                db.execute("SELECT pgmq.send(%s, '1')", [queue])
                read = "fetch(%s, 'g', 9, 9)" if "create_stream" in statement else "read(%s, 9, 9)"
                assert db.execute(f"SELECT * FROM pgmq.{read}".encode(), [queue]).fetchone(), queue
        with _session_of(db, owner):
            db.execute("SELECT pgmq.recompile_all()")
            for queue in kinds:
                db.execute("SELECT pgmq.revoke_all(%s, %s)", [queue, consumer])
                db.execute("SELECT pgmq.maintain(%s)", [queue])
                db.execute("SELECT pgmq.drop_queue(%s)", [queue])
    finally:
        rename(owner, known[0])
        rename(consumer, known[1])


def test_metrics_all_has_the_queues_that_one_may_look_at(
    queue: psycopg.Connection, roles: Roles
) -> None:
    role = roles()
    queue.execute("SELECT pgmq.grant_monitor('q', %s)", (role,))
    queue.execute(f'GRANT SELECT ON pgmq.meta TO "{role}"'.encode())
    with _as(queue, role):
        rows = queue.execute("SELECT queue_name FROM pgmq.metrics_all()").fetchall()
    assert rows == [("q",)]


def test_revoke_all_takes_back_what_was_granted(queue: psycopg.Connection, roles: Roles) -> None:
    role = roles()
    queue.execute("SELECT pgmq.grant_send('dead', %s)", (role,))
    for grant in ("send", "consume", "monitor"):
        queue.execute(f"SELECT pgmq.grant_{grant}('q', %s)".encode(), (role,))
    queue.execute("SELECT pgmq.revoke_all('q', %s)", (role,))
    with _as(queue, role):
        _denied(queue, *SENDING, *CONSUMING, *METRICS, *PAYLOADS, *OWNING)
        _allowed(queue, "SELECT pgmq.send('dead', '1')")


def test_a_consumer_has_what_a_worker_and_the_command_line_ask_for(
    db: psycopg.Connection, roles: Roles
) -> None:
    consumer, monitor = roles(), roles()
    db.execute("SELECT pgmq.create('q'), pgmq.create('other')")
    db.execute(
        "SELECT pgmq.grant_consume('q', %s), pgmq.grant_monitor('q', %s)", (consumer, monitor)
    )
    for role in (consumer, monitor):
        with _as(db, role):
            listed = db.execute("SELECT queue_name FROM pgmq.list_queues()").fetchall()
            seen = db.execute("SELECT queue_name FROM pgmq.metrics_all()").fetchall()
            _allowed(
                db,
                "SELECT pgmq.get_policy('other')",
                "SELECT * FROM pgmq.list_notify_insert_throttles()",
                "SELECT * FROM pgmq.list_topic_bindings()",
                statements.top().query,
            )
        assert (sorted(listed), seen) == ([("other",), ("q",)], [("q",)])


def test_a_role_that_may_create_queues_does_with_its_own_what_owners_can(
    db: psycopg.Connection, roles: Roles, connect: Connect
) -> None:
    app, user = roles(), roles()
    db.execute("SELECT pgmq.create('others'), pgmq.grant_create(%s)", (app,))
    db.execute(f'GRANT USAGE ON SCHEMA pgmq TO "{user}"'.encode())
    session = connect(user=app)
    for layout in LAYOUTS:
        _allowed(
            session,
            made(layout, "Mine 2"),
            "SELECT pgmq.create_fifo_index('mine 2')",
            """
            SELECT pgmq.set_policy(
                'mine 2', max_receives => 1, dead_letter_queue => 'dead', dedup_window => '1 h',
                archive_retention => '1 h', max_in_flight => 5
            )
            """,
            "SELECT pgmq.enable_notify_insert('mine 2'), pgmq.enable_wakeups('mine 2')",
            "SELECT pgmq.create_exchange('x'), pgmq.bind('x', 'mine 2', '#')",
            "SELECT pgmq.bind_topic('a.*', 'mine 2')",
            "SELECT pgmq.publish('x', 'k', '1'), pgmq.send_topic('a.b', '1')",
            "SELECT pgmq.send_batch('mine 2', array_fill('1'::jsonb, ARRAY[60]))",
            "SELECT pgmq.send_once('mine 2', '1', 'key')",
            "SELECT pgmq.read('mine 2', 0, 4) FROM generate_series(1, 9)",
            "SELECT pgmq.maintain(), pgmq.maintain('mine 2'), pgmq.redrive('dead')",
            "SELECT * FROM pgmq.doctor()",
        )
        for grant in ("send", "consume", "monitor", "maintain"):
            session.execute(f"SELECT pgmq.grant_{grant}('mine 2', %s)".encode(), (user,))
        session.execute("SELECT pgmq.revoke_all('mine 2', %s)", (user,))
        _allowed(
            session,
            "SELECT pgmq.disable_notify_insert('mine 2'), pgmq.disable_wakeups('mine 2')",
            "SELECT pgmq.purge_queue('mine 2'), pgmq.recompile_all(), pgmq.set_policy('mine 2')",
            "SELECT pgmq.unbind('x', 'mine 2', '#'), pgmq.unbind_topic('a.*', 'mine 2')",
            "SELECT pgmq.drop_exchange('x'), pgmq.drop_queue('mine 2'), pgmq.drop_queue('dead')",
        )
    _allowed(
        session,
        "SELECT pgmq.create('c')",
        "SELECT pgmq.convert_archive_partitioned('c'), pgmq.drop_queue('c')",
        "DROP TABLE pgmq.a_c_old",
    )
    _denied(
        session,
        "SELECT pgmq.send('others', '1')",
        "SELECT pgmq.drop_queue('others')",
        "SELECT pgmq.set_policy('others', max_receives => 1)",
        "SELECT pgmq.grant_create(current_user::text)",
    )


HIDE = "REVOKE ALL ON ALL TABLES IN SCHEMA pgmq FROM public"


def test_who_was_granted_a_queue_needs_nothing_that_public_may_see(
    queue: psycopg.Connection, roles: Roles
) -> None:
    user = roles()
    for grant in ("send", "consume"):
        queue.execute(f"SELECT pgmq.grant_{grant}('q', %s)".encode(), (user,))
    queue.execute(HIDE)
    with _as(queue, user):
        _allowed(queue, *SENDING, *CONSUMING, *METRICS)
    with _as(queue, "pg_monitor"):
        _allowed(queue, "SELECT * FROM pgmq.metrics_all()", "SELECT * FROM pgmq.list_queues()")
        _allowed(queue, *METRICS, "SELECT pgmq.get_policy('q')")
        found = queue.execute("SELECT finding FROM pgmq.doctor()").fetchall()
    assert [row for row in found if "not looked at" in row[0]] == []


def test_who_may_create_queues_needs_nothing_that_public_may_see(
    db: psycopg.Connection, roles: Roles, connect: Connect
) -> None:
    app, reader = roles(), roles()
    db.execute(HIDE)
    db.execute("SELECT pgmq.grant_create(%s)", (app,))
    session = connect(user=app)
    for call in ON_ONE_QUEUE.split(";"):
        if "pin(" not in call:  # which is for the owner of pgmq
            _allowed(session, f"SELECT pgmq.{call.strip()}")
    session.execute("SELECT pgmq.create_stream('s'), pgmq.create_group('s', 'g')")
    db.execute(f'GRANT USAGE ON SCHEMA pgmq TO "{reader}"'.encode())
    session.execute("SELECT pgmq.grant_fetch('s', 'g', %s)", (reader,))
    session.execute("SELECT pgmq.send('s', '1')")
    with _as(db, reader):
        _allowed(
            db,
            "SELECT pgmq.commit('s', 'g', lane, epoch) FROM pgmq.fetch('s', 'g', 30, 1)",
            "SELECT pgmq.seek('s', 'g', 'earliest')",
            "SELECT pgmq.release('s', 'g', lane, epoch, error => 'x')"
            " FROM pgmq.fetch('s', 'g', 30, 1)",
            "SELECT * FROM pgmq.fetch('s', 'g', 30, 2)",
            "SELECT pgmq.list_groups('s'), pgmq.list_lanes('s'), pgmq.metrics('s')",
        )


def test_grants_by_hand_do_as_upstream_where_public_may_see_nothing(
    db: psycopg.Connection, roles: Roles, connect: Connect
) -> None:
    role = roles()
    db.execute("SELECT pgmq.create('q'), pgmq.bind_topic('a.*', 'q')")
    db.execute(HIDE)
    db.execute(
        f'''
        GRANT USAGE, CREATE ON SCHEMA pgmq TO "{role}";
        GRANT ALL ON pgmq.q_q, pgmq.a_q, pgmq.meta, pgmq.topic_bindings TO "{role}";
        GRANT ALL ON ALL SEQUENCES IN SCHEMA pgmq TO "{role}"
        '''.encode()
    )
    _allowed(
        connect(user=role),
        "SELECT pgmq.send_topic('a.b', '1'), pgmq.send_batch_topic('a.b', '{1}')",
        "SELECT * FROM pgmq.metrics('q')",
        "SELECT * FROM pgmq.metrics_all()",
        *CONSUMING,
        "SELECT pgmq.purge_queue('q')",
        "SELECT pgmq.create('c'), pgmq.create_unlogged('u')",
        "SELECT pgmq.create_fifo_index('c'), pgmq.enable_notify_insert('c')",
        "SELECT pgmq.drop_queue('c'), pgmq.drop_queue('u')",
    )


def test_a_few_functions_can_be_granted_where_public_may_execute_none(
    queue: psycopg.Connection, roles: Roles
) -> None:
    role = roles()
    queue.execute("SELECT pgmq.grant_maintain('q', %s)", (roles(),))
    queue.execute(
        f'''
        REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA pgmq FROM public;
        GRANT USAGE ON SCHEMA pgmq TO "{role}";
        GRANT SELECT, INSERT, UPDATE, DELETE ON pgmq.q_q TO "{role}";
        GRANT EXECUTE ON FUNCTION pgmq.send(text, jsonb, integer),
            pgmq.read(text, integer, integer, jsonb), pgmq.delete(text, bigint) TO "{role}"
        '''.encode()
    )
    granted = (
        "SELECT pgmq.send('q', '1', 0)",
        "SELECT pgmq.read('q', 0, 9)",
        "SELECT pgmq.delete('Q', 1)",
    )
    with _as(queue, role):
        _denied(queue, *granted)
    queue.execute("SELECT pgmq._open_internal()")
    with _as(queue, role):
        _allowed(queue, *granted)
        _denied(queue, "SELECT pgmq.pop('q')", "SELECT pgmq._scheduled_q()")


def test_a_role_whose_rights_were_all_taken_can_be_dropped(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.create_partitioned('p'), pgmq.create('r')")
    role = f"{db.info.dbname}_gone"
    db.execute(f'CREATE ROLE "{role}"'.encode())
    for grant in ("send", "consume", "monitor", "maintain"):
        db.execute(
            f"SELECT pgmq.grant_{grant}(n, %s) FROM unnest('{{q,p,r}}'::text[]) AS n".encode(),
            (role,),
        )
    for queue in ("q", "p", "r"):
        assert db.execute(
            "SELECT has_schema_privilege(%s, 'pgmq', 'USAGE')", (role,)
        ).fetchone() == (True,)
        db.execute("SELECT pgmq.revoke_all(%s, %s)", (queue, role))
    db.execute(f'DROP ROLE "{role}"; CREATE ROLE "{role}"'.encode())
    db.execute("SELECT pgmq.grant_create(%s), pgmq.grant_maintain('p', %s)", (role, role))
    db.execute("SELECT pgmq.grant_consume('p', %s)", (role,))
    db.execute(f'GRANT SELECT ON pgmq.ready_mark_q, pgmq.channel TO "{role}"'.encode())
    db.execute(f'GRANT USAGE ON TYPE pgmq.message_record TO "{role}"'.encode())
    db.execute("SELECT pgmq.revoke_all(%s)", (role,))
    db.execute(f'DROP ROLE "{role}"'.encode())
    with pytest.raises(psycopg.errors.UndefinedObject):
        db.execute("SELECT pgmq.revoke_all(%s)", (role,))


@pytest.fixture
def warnings(db: psycopg.Connection) -> list[str | None]:
    """Collect the warnings that come."""
    found: list[str | None] = []
    db.add_notice_handler(
        lambda said: found.append(said.message_primary) if said.severity == "WARNING" else None
    )
    return found


def test_a_role_that_postgres_has_keeps_the_schema(
    db: psycopg.Connection, warnings: list[str | None]
) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.create('r')")
    db.execute("SELECT pgmq.grant_monitor('q', 'pg_monitor'), pgmq.revoke_all('q', 'pg_monitor')")
    with _as(db, "pg_monitor"):
        rows = db.execute("SELECT queue_name FROM pgmq.metrics_all()").fetchall()
    assert rows == [("r",)]
    with pytest.raises(psycopg.errors.FeatureNotSupported, match='what role "pg_monitor" may do'):
        db.execute("SELECT pgmq.revoke_all('pg_monitor')")
    assert warnings == []


def test_who_was_given_the_schema_takes_back_what_it_has_given_of_it(
    db: psycopg.Connection, roles: Roles, warnings: list[str | None]
) -> None:
    app, shop = roles(), roles()
    db.execute(
        f"""
        GRANT ALL ON SCHEMA pgmq TO {app} WITH GRANT OPTION;
        GRANT INSERT, DELETE ON pgmq.meta TO {app};
        SET ROLE {app};
        SELECT pgmq.create('q'), pgmq.grant_send('q', '{shop}'), pgmq.revoke_all('q', '{shop}')
        """.encode()
    )
    usage = "SELECT has_schema_privilege(%s, 'pgmq', 'USAGE')"
    assert db.execute(usage, [shop]).fetchone() == (False,)
    db.execute("SELECT pgmq.grant_send('q', %s)", [shop])
    db.execute("RESET ROLE")
    db.execute("SELECT pgmq.revoke_all(%s)", [shop])  # not what another role has given
    kept = "keeps rights that others have given to it, or that it has passed on: "
    assert warnings == [f'role "{shop}" {kept}schema pgmq']
    with _as(db, app):
        db.execute("SELECT pgmq.revoke_all(%s)", [shop])
    assert len(warnings) == 1
    db.execute(f"DROP ROLE {shop}".encode())


def test_rights_that_were_passed_on_are_named(
    db: psycopg.Connection, roles: Roles, warnings: list[str | None]
) -> None:
    app, other = roles(), roles()
    db.execute("SELECT pgmq.create('q'), pgmq.grant_send('q', %s)", [app])
    db.execute(
        f"""
        GRANT USAGE ON SCHEMA pgmq TO {app}, {other};
        GRANT SELECT ON pgmq.q_q TO {app} WITH GRANT OPTION;
        SET ROLE {app};
        GRANT SELECT ON pgmq.q_q TO {other};
        RESET ROLE
        """.encode()
    )
    kept = "keeps rights that others have given to it, or that it has passed on: table pgmq.q_q"
    for arguments, role in (("'q', ", app), ("", app), ("'q', ", other), ("", other)):
        db.execute(f"SELECT pgmq.revoke_all({arguments}'{role}')".encode())
        assert warnings == [f'role "{role}" {kept}']
        warnings.clear()
    db.execute(
        f"""
        GRANT USAGE ON SCHEMA pgmq TO {app};
        SET ROLE {app};
        REVOKE SELECT ON pgmq.q_q FROM {other};
        RESET ROLE
        """.encode()
    )
    db.execute("SELECT pgmq.revoke_all('q', %s)", [app])
    assert warnings == []
    db.execute(f"DROP ROLE {app}, {other}".encode())


def test_default_privileges_are_taken_too(
    db: psycopg.Connection, roles: Roles, warnings: list[str | None]
) -> None:
    role = roles()
    db.execute(
        f"""
        ALTER DEFAULT PRIVILEGES IN SCHEMA pgmq GRANT SELECT ON TABLES TO {role};
        ALTER DEFAULT PRIVILEGES IN SCHEMA pgmq GRANT ALL ON SEQUENCES TO {role};
        ALTER DEFAULT PRIVILEGES IN SCHEMA pgmq GRANT ALL ON ROUTINES TO {role};
        ALTER DEFAULT PRIVILEGES IN SCHEMA pgmq GRANT ALL ON TYPES TO {role};
        """.encode()
    )
    db.execute("SELECT pgmq.create('q'), pgmq.revoke_all('q', %s)", [role])
    db.execute("SELECT pgmq.revoke_all(%s)", [role])
    assert warnings == []
    db.execute(f"DROP ROLE {role}".encode())


def test_an_owner_keeps_what_its_queues_need(
    db: psycopg.Connection, roles: Roles, warnings: list[str | None]
) -> None:
    owner, reader = roles(), roles()
    db.execute("SELECT pgmq.create('other'), pgmq.grant_create(%s)", [owner])
    db.execute("SELECT pgmq.grant_send('other', %s)", [owner])
    db.execute(f"GRANT USAGE ON SCHEMA pgmq TO {reader}".encode())
    with _as(db, owner):
        db.execute("SELECT pgmq.create('w'), pgmq.create('v'), pgmq.schedule('s', 'w', '1 s', '1')")
        db.execute("SELECT pgmq.grant_send('w', %s), pgmq.grant_consume('w', %s)", [reader] * 2)
        db.execute("SELECT pgmq.revoke_all('w', %s)", [owner])
    db.execute("SELECT pgmq.revoke_all(%s)", [owner])
    assert warnings == [
        f'role "{owner}" keeps its rights to queue "w", which it owns',
        f'role "{owner}" owns queues, and keeps the rights that these need: v, w',
    ]
    with _as(db, reader):
        _allowed(db, "SELECT pgmq.send('w', '1')", "SELECT pgmq.read('w', 1, 1)")
    with _as(db, owner):
        _denied(db, "SELECT pgmq.send('other', '1')")
        _allowed(
            db,
            "SELECT pgmq.send('w', '1')",
            "SELECT pgmq.set_policy('w', max_receives => 3)",
            "SELECT pgmq.purge_queue('w')",
            "SELECT pgmq.drop_queue('w'), pgmq.drop_queue('v')",
        )


@pytest.mark.parametrize("kept_by", ["pgmq", "pg_partman"])
def test_partitions_made_later_need_no_grant_and_give_no_other_way_in(
    db: psycopg.Connection, roles: Roles, kept_by: str
) -> None:
    if kept_by == "pg_partman":
        partman.install(db)
    sender, consumer, monitor = roles(), roles(), roles()
    db.execute("SELECT pgmq.create_partitioned('q', '10', '1000', 1)")
    for grant, role in (("send", sender), ("consume", consumer), ("monitor", monitor)):
        db.execute(f"SELECT pgmq.grant_{grant}('q', %s)".encode(), (role,))
    children = """
        SELECT i.inhrelid::regclass::text FROM pg_inherits AS i
        WHERE i.inhparent IN ('pgmq.q_q'::regclass, 'pgmq.a_q'::regclass)
    """
    before = {row[0] for row in db.execute(children.encode()).fetchall()}
    batch = "SELECT pgmq.send_batch('q', array_fill('1'::jsonb, ARRAY[19]))"
    with _as(db, sender):
        _allowed(db, batch)
    if kept_by == "pgmq":
        db.execute("SELECT setval('pgmq.tend_due_q', 0)")
        with _as(db, consumer):  # its transaction makes them
            _allowed(db, "SELECT pgmq.read('q', 0, 32)")
    else:
        db.execute("SELECT partman.run_maintenance('pgmq.q_q')")
    later = {row[0] for row in db.execute(children.encode()).fetchall()} - before
    assert later

    with _as(db, sender):
        _allowed(db, batch)
        _denied(db, *METRICS, "SELECT pgmq.read('q', 0, 1)")
    with _as(db, consumer):
        _allowed(db, *METRICS)
        for call in (
            "SELECT msg_id FROM pgmq.read('q', 0, 99)",
            "SELECT pgmq.archive('q', ARRAY[1, 25, 38])",
            "SELECT pgmq.ack('q', ARRAY[2, 26, 37], ARRAY[9, 1, 1])",
            "SELECT pgmq.delete('q', 28)",
            "SELECT msg_id FROM pgmq.set_vt('q', 29, 0)",
            "SELECT msg_id FROM pgmq.pop('q', 40)",
        ):
            assert db.execute(call.encode()).rowcount > 0
    with _as(db, monitor):
        _allowed(db, *METRICS)
    for role in (sender, consumer, monitor, "pg_monitor"):
        for child in before | later:
            rights = db.execute(
                """
                SELECT has_any_column_privilege(%(role)s, %(child)s, 'SELECT, INSERT, UPDATE')
                    OR has_table_privilege(%(role)s, %(child)s, 'DELETE, TRUNCATE')
                """,
                {"role": role, "child": child},
            ).fetchone()
            assert rights == (False,), (role, child)
    db.execute("SELECT pgmq.revoke_all('q', %s)", (consumer,))
    with _as(db, consumer):
        _denied(db, *METRICS, "SELECT pgmq.read('q', 0, 1)", "SELECT pgmq.pop('q', 1)")


def test_granting_is_for_the_owner(db: psycopg.Connection, roles: Roles) -> None:
    owner, other, stranger = roles(), roles(), roles()
    db.execute("SELECT pgmq.create('q')")
    db.execute(
        sql.SQL(
            "GRANT USAGE ON SCHEMA pgmq TO {0}, {1}; ALTER TABLE pgmq.q_q OWNER TO {0};"
        ).format(sql.Identifier(owner), sql.Identifier(other))
        + sql.SQL("ALTER TABLE pgmq.a_q OWNER TO {}").format(sql.Identifier(owner))
    )
    for function in ("grant_send", "grant_consume", "grant_requeue", "grant_monitor", "revoke_all"):
        call = f"SELECT pgmq.{function}('q', %s)".encode()
        with _as(db, owner):
            db.execute(call, (other,))
        with _as(db, other), pytest.raises(DENIED) as caught:
            db.execute(call, (other,))
        assert (
            caught.value.diag.message_primary
            == 'only the owner of queue "q" decides who may use it'
        )
    with _as(db, owner), pytest.raises(DENIED, match="only the owner of schema pgmq decides"):
        db.execute("SELECT pgmq.grant_create(%s)", (other,))
    with _as(db, owner), pytest.raises(DENIED) as caught:
        db.execute("SELECT pgmq.grant_send('q', %s)", (stranger,))
    assert caught.value.diag.message_primary == f'role "{stranger}" may not use the schema pgmq'


@pytest.mark.parametrize("function", ["grant_send", "grant_consume", "grant_monitor", "revoke_all"])
@pytest.mark.parametrize("role", ["no such role", "public", ""])
def test_an_unknown_role_is_an_error(db: psycopg.Connection, function: str, role: str) -> None:
    db.execute("SELECT pgmq.create('q')")
    with pytest.raises(psycopg.errors.UndefinedObject, match=f'role "{role}" does not exist'):
        db.execute(f"SELECT pgmq.{function}('q', %s)".encode(), (role,))


def test_names_that_need_quotes_and_a_queue_in_any_case(
    db: psycopg.Connection, roles: Roles
) -> None:
    role = roles()
    db.execute("""SELECT pgmq.create('My "q" %I')""")
    db.execute("""SELECT pgmq.grant_send('MY "Q" %%I', %s)""", (role,))
    with _as(db, role):
        _allowed(db, """SELECT pgmq.send('my "q" %I', '1')""")


def test_row_security_decides_what_a_role_reads(db: psycopg.Connection, roles: Roles) -> None:
    """As a web API does it: one login, which becomes one of several roles."""
    login, tenant = roles("NOINHERIT"), roles()
    db.execute(
        sql.SQL(
            """
            SELECT pgmq.create('q');
            SELECT pgmq.grant_send('q', {name}), pgmq.grant_consume('q', {name});
            GRANT {role} TO {login};
            ALTER TABLE pgmq.q_q ENABLE ROW LEVEL SECURITY;
            CREATE POLICY own ON pgmq.q_q TO {role}
            USING (message ->> 'tenant' = current_setting('app.tenant'));
            """
        ).format(name=tenant, role=sql.Identifier(tenant), login=sql.Identifier(login))
    )
    db.execute("SELECT pgmq.send('q', '{\"tenant\": \"b\"}') FROM generate_series(1, 10)")
    db.execute(sql.SQL("SET SESSION AUTHORIZATION {}").format(sql.Identifier(login)))
    try:
        with _as(db, tenant):
            db.execute("SET app.tenant = 'a'")
            db.execute("SELECT pgmq.send('q', '{\"tenant\": \"a\"}')")
            with pytest.raises(DENIED, match="row-level security"):
                db.execute("SELECT pgmq.send('q', '{\"tenant\": \"b\"}')")
            read = "SELECT message ->> 'tenant' FROM pgmq.read('q', 0, 100)"
            assert db.execute(read.encode()).fetchall() == [("a",)]
            deleted = db.execute(
                "SELECT pgmq.delete('q', msg_id::bigint) FROM generate_series(1, 10) AS msg_id"
            )
            assert {row[0] for row in deleted.fetchall()} == {False}
            db.execute("SET app.tenant = 'b'")
            assert len(db.execute(read.encode()).fetchall()) == 10
        _denied(db, *CONSUMING, *PAYLOADS)
    finally:
        db.execute("RESET SESSION AUTHORIZATION")


def test_forced_row_security_hides_no_message_behind_a_mark(
    db: psycopg.Connection, roles: Roles
) -> None:
    """The marks are moved with the owner's rights, who then sees as little as any."""
    owner, reader = roles(), roles()
    db.execute("SELECT pgmq.create('q')")
    db.execute("SELECT pgmq.grant_consume('q', %s)", (reader,))
    db.execute("SELECT pgmq.send_batch('q', '{1,2,3}')")
    db.execute(
        sql.SQL(
            """
            GRANT USAGE, CREATE ON SCHEMA pgmq TO {owner};
            ALTER TABLE pgmq.q_q OWNER TO {owner};
            SELECT pgmq.recompile_all();
            ALTER TABLE pgmq.q_q ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
            CREATE POLICY all_of_it ON pgmq.q_q TO {reader} USING (true);
            """
        ).format(owner=sql.Identifier(owner), reader=sql.Identifier(reader))
    )
    with _as(db, reader):
        db.execute("SELECT pgmq._advance_q()")
        assert len(db.execute("SELECT * FROM pgmq.read('q', 0, 10)").fetchall()) == 3


def test_pg_monitor_loses_what_upstream_gave_it(
    server: servers.TestServer, upstream_template: str
) -> None:
    """Of queues that there are, and by default of those to come."""
    with (
        server.database(upstream_template) as dbname,
        psycopg.connect(server.dsn(dbname), autocommit=True) as db,
    ):
        db.execute("SELECT pgmq.create('old')")
        db.execute((servers.ROOT / "build" / "pgmq.sql").read_bytes())
        db.execute("SELECT pgmq.create('new'); CREATE TABLE pgmq.mine ()")
        with _as(db, "pg_monitor"):
            for queue in ("old", "new"):
                _allowed(db, f"SELECT * FROM pgmq.metrics('{queue}')")
                _denied(
                    db,
                    f"SELECT message FROM pgmq.q_{queue}",
                    f"SELECT message FROM pgmq.a_{queue}",
                )
            _denied(db, "SELECT * FROM pgmq.mine")


def test_no_trigger_of_a_queues_owner_runs_with_the_rights_of_the_extensions(
    db: psycopg.Connection, roles: Roles, connect: Connect
) -> None:
    owner = roles()
    db.execute("SELECT pgmq.create('q'); SELECT pgmq.enable_push('q'); CREATE TABLE ran (by name)")
    consumer = connect()
    consumer.execute("SELECT pgmq.open_channel('q')")
    name = sql.Identifier(owner)
    db.execute(
        sql.SQL(
            """
            GRANT USAGE ON SCHEMA pgmq TO {0};
            ALTER TABLE pgmq.q_q OWNER TO {0};
            CREATE FUNCTION escalate() RETURNS trigger LANGUAGE plpgsql
            AS 'BEGIN INSERT INTO public.ran VALUES (current_user); RETURN null; END';
            GRANT INSERT ON ran TO {0};
            SET ROLE {0};
            CREATE TRIGGER escalate AFTER UPDATE ON pgmq.q_q EXECUTE FUNCTION escalate();
            SELECT pgmq.send('q', '1');
            SELECT pgmq.close_dead_channels();
            RESET ROLE;
            """
        ).format(name)
    )
    consumer.execute("SELECT pgmq.close_channel()")
    with pytest.raises(DENIED) as caught:
        connect(user=owner).execute("SELECT pgmq.open_channel('q')")
    assert (caught.value.diag.message_primary or "").startswith('queue "q" cannot be pushed')
    assert db.execute("SELECT * FROM ran").fetchall() == []
