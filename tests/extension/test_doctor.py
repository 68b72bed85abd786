"""What doctor() finds: each finding is provoked, and gone once its fix was run."""

from __future__ import annotations

import contextlib
import re
import struct
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from support import partman
from support.prepared import prepared

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Connect, Roles
    from pgmq import embedded
    from support.server import TestServer

Finding = tuple[str, str | None, str, str]


NO_AUTOVACUUM = "autovacuum is off: nothing is vacuumed"


def _findings(db: psycopg.Connection, about: str = "") -> list[Finding]:
    """Those that say this; but not that the tests' server has autovacuum off."""
    rows = db.execute("SELECT severity, queue_name, finding, fix FROM pgmq.doctor()").fetchall()
    return [row for row in rows if about in row[2] and (about or row[2] != NO_AUTOVACUUM)]


def _wait(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# The upkeep of p is for the test to ask for.
LATER = "SELECT setval('pgmq.tend_due_p', pgmq._microseconds(now() + interval '50 s'))"
# A healthy queue with a bit of everything.
HEALTHY = f"""
    SELECT pgmq.create('q'), pgmq.create_unlogged('U');
    SELECT pgmq.set_policy(
        'q', max_receives => 5, dead_letter_queue => 'dead', dedup_window => '1 h',
        max_in_flight => 5
    );
    SELECT pgmq.create_fifo_index('q');
    SELECT pgmq.enable_notify_insert('q'), pgmq.enable_wakeups('q'), pgmq.enable_push('q');
    SELECT pgmq.send_batch('q', array_agg('1'::jsonb)) FROM generate_series(1, 1000);
    SELECT pgmq.archive('q', msg_id) FROM pgmq.read('q', 0, 3);
    SELECT pgmq.create_partitioned('p', '10', '100', 3);
    SELECT pgmq.create_partitioned('t', '1 day', null);
    {LATER};
    SELECT pgmq.send_batch('p', array_fill('1'::jsonb, ARRAY[30])), pgmq.send('t', '1');
    SELECT pgmq.archive('p', msg_id) FROM pgmq.read('p', 0, 3);
"""
template = prepared(HEALTHY, by="queue")


@pytest.fixture
def queue(db: psycopg.Connection) -> psycopg.Connection:
    """A healthy queue in a database whose server is well."""
    db.execute(LATER)
    return db


def test_a_healthy_database_has_no_findings(queue: psycopg.Connection) -> None:
    assert _findings(queue) == []
    queue.execute("SET ROLE pg_monitor")
    assert _findings(queue) == []


# What is done to the queue; what is found (severity, queue, a part of the text); whether the fix is
# one to be run as it stands.
PROVOKED = {
    "no table": (
        "DROP TABLE pgmq.q_q",
        "critical",
        "q",
        "the table of the queue is missing",
        False,
    ),
    "no archive": ("DROP TABLE pgmq.a_q", "critical", "q", "the archive is missing", True),
    "no index": (
        "DROP INDEX pgmq.ready_idx_q",
        "critical",
        "q",
        "the index of ready messages is missing",
        True,
    ),
    "no other index": (
        "DROP INDEX pgmq.parked_idx_q",
        "critical",
        "q",
        "the index of parked messages is missing",
        True,
    ),
    "no mark": (
        "DROP SEQUENCE pgmq.ready_mark_q",
        "critical",
        "q",
        "the low-water mark of ready messages",
        True,
    ),
    "no other mark": (
        "DROP SEQUENCE pgmq.parked_mark_q",
        "critical",
        "q",
        "the low-water mark of parked messages",
        True,
    ),
    "no keys": (
        "DROP TABLE pgmq.dedup_q",
        "critical",
        "q",
        "the table of deduplication keys",
        True,
    ),
    "no leases": ("DROP INDEX pgmq.in_flight_idx_q", "critical", "q", "the index of leases", True),
    "not in meta": (
        """DELETE FROM pgmq.meta WHERE queue_name = 'U'""",
        "warning",
        None,
        "pgmq.q_u looks like the table of an unlogged queue that pgmq.meta does not know",
        False,
    ),
    "invalid index": (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'pgmq.fifo_idx_q'::regclass",
        "critical",
        "q",
        "index pgmq.fifo_idx_q is not valid",
        True,
    ),
    "invalid index of a partition": (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'pgmq.q_p_p10_vt_idx'::regclass",
        "critical",
        "p",
        "index pgmq.q_p_p10_vt_idx is not valid",
        True,
    ),
    "left by a reindex": (
        """
        CREATE INDEX ready_idx_q_ccnew ON pgmq.q_q (msg_id);
        UPDATE pg_index SET indisvalid = false
        WHERE indexrelid = 'pgmq.ready_idx_q_ccnew'::regclass
        """,
        "critical",
        "q",
        "index pgmq.ready_idx_q_ccnew is not valid",
        True,
    ),
    "index of another table": (
        "DROP INDEX pgmq.ready_idx_q; CREATE INDEX ready_idx_q ON pgmq.q_dead (msg_id)",
        "critical",
        "q",
        "pgmq.ready_idx_q is not the index of ready messages: that is missing",
        True,
    ),
    "mark of another table": (
        "ALTER SEQUENCE pgmq.ready_mark_q OWNED BY pgmq.q_dead.vt",
        "critical",
        "q",
        "pgmq.ready_mark_q is not the low-water mark of ready messages",
        True,
    ),
    "no primary key": (
        "ALTER TABLE pgmq.q_q DROP CONSTRAINT q_q_pkey",
        "critical",
        "q",
        "pgmq.q_q has no primary key",
        True,
    ),
    "no primary key of an archive": (
        "ALTER TABLE pgmq.a_dead DROP CONSTRAINT a_dead_pkey",
        "critical",
        "dead",
        "pgmq.a_dead has no primary key",
        True,
    ),
    "no column": (
        "ALTER TABLE pgmq.q_dead DROP COLUMN message",
        "critical",
        "dead",
        "pgmq.q_dead is not a table, or has not the columns, of a queue",
        False,
    ),
    "ids again": (
        "SELECT setval('pgmq.q_q_msg_id_seq', 5)",
        "critical",
        "q",
        "msg_ids begin again: the next one is 6, but there is a message 1000",
        True,
    ),
    "disabled triggers": (
        "ALTER TABLE pgmq.q_q DISABLE TRIGGER USER",
        "critical",
        "q",
        "triggers are disabled, and do not announce, wake or push: pgmq_push_removed",
        True,
    ),
    "lost trigger": (
        "DROP TRIGGER pgmq_wake_returned ON pgmq.q_q",
        "critical",
        "q",
        "wakeups are enabled, but have lost a trigger",
        True,
    ),
    "other lost trigger": (
        "DROP TRIGGER pgmq_push_slot ON pgmq.q_q",
        "critical",
        "q",
        "pushes are enabled, but have lost a trigger",
        True,
    ),
    "archive of another role": (
        "ALTER TABLE pgmq.a_q OWNER TO pg_monitor",
        "warning",
        "q",
        "so that calls fail: pgmq.a_q",
        True,
    ),
    "unlogged by hand": (
        "ALTER TABLE pgmq.q_dead SET UNLOGGED",
        "warning",
        "dead",
        "pgmq.q_dead is unlogged, which pgmq.meta does not say",
        False,
    ),
    "stream not in meta": (
        "SELECT pgmq.create_stream('s'); DELETE FROM pgmq.meta WHERE queue_name = 's'",
        "warning",
        None,
        "pgmq.q_s looks like the table of a stream that pgmq.meta does not know",
        False,
    ),
    "no mark of partitions": (
        "DROP SEQUENCE pgmq.floor_mark_p",
        "critical",
        "p",
        "the mark of the first partition is missing",
        True,
    ),
    "default partition": (
        """
        INSERT INTO pgmq.q_p (msg_id, vt) VALUES (40, now()), (55, now());
        SELECT setval('pgmq.q_p_msg_id_seq', 55)
        """,
        "warning",
        "p",
        "pgmq.q_p_default has 2 messages",
        True,
    ),
    "dropped unread": (
        """
        INSERT INTO pgmq.q_p (msg_id, vt) VALUES (130, now());
        SELECT setval('pgmq.q_p_msg_id_seq', 130);
        SELECT pgmq.read('p', 60, 2);
        SELECT pgmq.maintain('p')
        """,
        "warning",
        "p",
        "retention has dropped 26 messages, 24 of them never read, the last 20",
        False,
    ),
    "archive": (
        "UPDATE pg_class SET reltuples = 2e6 WHERE oid = 'pgmq.a_q'::regclass",
        "info",
        "q",
        "the archive holds 2000000 rows",
        False,
    ),
    "never vacuumed": (
        "ALTER TABLE pgmq.q_q SET (autovacuum_enabled = off)",
        "critical",
        "q",
        "autovacuum is switched off for pgmq.q_q",
        True,
    ),
    "vacuumed too late": (
        "UPDATE pg_class SET reltuples = 1e8 WHERE oid = 'pgmq.q_q'::regclass",
        "info",
        "q",
        "autovacuum waits until 20000050 rows of pgmq.q_q are dead",
        True,
    ),
    "missing functions": (
        "DROP FUNCTION pgmq._remove_q, pgmq._consume_q",
        "critical",
        "q",
        "compiled functions are missing: consume, remove",
        True,
    ),
    "replaced function": (
        """
        CREATE OR REPLACE FUNCTION pgmq._remove_q(id bigint) RETURNS boolean LANGUAGE plpgsql
        AS 'BEGIN RETURN false; END'
        """,
        "warning",
        "q",
        "not those of the templates and the policy: remove",
        True,
    ),
    "newer template": (
        "UPDATE pgmq.template SET body = replace(body, 'BEGIN', 'BEGIN ') WHERE name = 'consume'",
        "warning",
        "q",
        "not those of the templates and the policy: consume",
        True,
    ),
    "policy changed by hand": (
        "UPDATE pgmq.policy SET max_receives = 6",
        "warning",
        "q",
        "not those of the templates and the policy: bury",
        True,
    ),
    "owner": (
        "ALTER FUNCTION pgmq._bury_q OWNER TO pg_monitor",
        "warning",
        "q",
        "do not belong to the owner of the table: bury",
        True,
    ),
    "narrow grants": (
        """
        REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA pgmq FROM public;
        GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pgmq TO pg_monitor;
        GRANT EXECUTE ON FUNCTION pgmq.send(text, jsonb) TO pg_signal_backend
        """,
        "critical",
        None,
        "pg_signal_backend may execute functions of pgmq, but not internal ones",
        True,
    ),
    "mark": (
        """
        SELECT setval(pg_get_serial_sequence('pgmq.q_q', 'msg_id'), 200000);
        TRUNCATE pgmq.q_q;
        SELECT pgmq.send('q', '1')
        """,
        "warning",
        "q",
        "reads pass over 200000 consumed messages",
        False,
    ),
    "dead letters": (
        "SELECT pgmq.send_batch('dead', array_agg('1'::jsonb)) FROM generate_series(1, 100)",
        "info",
        "dead",
        "at least 100 dead letters of q, the oldest of 20",
        False,
    ),
}


@pytest.mark.parametrize("what", PROVOKED)
def test_each_is_found_and_fixed(queue: psycopg.Connection, what: str) -> None:
    provocation, severity, name, text, whole = PROVOKED[what]
    queue.execute(provocation.encode())
    found = _findings(queue, text)
    assert [row[:2] for row in found if row[1] == name] == [(severity, name)]
    queue.execute("SET ROLE pg_monitor")
    assert _findings(queue, text) == found
    queue.execute("RESET ROLE")
    if whole:
        queue.execute(found[0][3].encode())
        assert _findings(queue) == []


def test_a_lost_identity_is_mended_by_its_fixes(queue: psycopg.Connection) -> None:
    queue.execute("ALTER TABLE pgmq.q_q ALTER msg_id DROP IDENTITY")
    (finding,) = _findings(queue, "pgmq.q_q draws no msg_ids: nothing can be sent")
    assert finding[:2] == ("critical", "q")
    queue.execute(finding[3].partition("; and")[0].encode())
    (finding,) = _findings(queue, "msg_ids begin again: the next one is 1, ")
    queue.execute(finding[3].encode())
    assert _findings(queue) == []
    assert queue.execute("SELECT pgmq.send('q', '1')").fetchone() == (1001,)


def test_a_table_that_was_swapped_is_mended_by_the_fixes(queue: psycopg.Connection) -> None:
    queue.execute(
        """
        CREATE TABLE pgmq.new (LIKE pgmq.q_q INCLUDING ALL);
        ALTER TABLE pgmq.q_q RENAME TO q_q_old;
        ALTER TABLE pgmq.new RENAME TO q_q
        """
    )
    (finding,) = _findings(queue, "pgmq.q_q_old looks like the table of a plain queue")
    assert finding[3] == "Do not drop it as long as it has sequences of a queue: see there."
    for finding in _findings(queue):
        if finding[0] == "critical":
            queue.execute(finding[3].encode())
    (finding,) = _findings(queue)
    assert finding[3] == "SELECT pgmq.\"create\"('q_old') to use it, or DROP TABLE pgmq.q_q_old"
    queue.execute("DROP TABLE pgmq.q_q_old")
    assert _findings(queue) == []
    assert queue.execute("SELECT pgmq.send('q', '1')").fetchone() == (1,)


def test_a_part_that_fails_leaves_the_others_their_findings(queue: psycopg.Connection) -> None:
    queue.execute("DROP SEQUENCE pgmq.parked_mark_q")
    queue.execute("ALTER FUNCTION pgmq._doctor_paused() RENAME TO _doctor_gone")
    (finding,) = _findings(queue, "paused: not looked at, function pgmq._doctor_paused() does not")
    assert finding[0] == "critical"
    assert len(_findings(queue, "the low-water mark of parked messages is missing")) == 1


def test_a_mark_that_lags_is_moved_by_its_fix(queue: psycopg.Connection) -> None:
    queue.execute(PROVOKED["mark"][0].encode())
    (finding,) = _findings(queue, "low-water mark lags")
    assert finding[3].startswith("SELECT pgmq.maintain('q')")
    queue.execute("SELECT pgmq.maintain('q')")
    assert _findings(queue) == []


@pytest.mark.parametrize("kept_by", ["pgmq", "pg_partman"])
def test_what_is_in_the_default_partition_of_an_archive_is_found(
    db: psycopg.Connection, kept_by: str
) -> None:
    if kept_by == "pg_partman":
        partman.install(db)
    db.execute("SELECT pgmq.create_partitioned('q', '10', '1000', 1)")
    assert _findings(db) == []
    db.execute("INSERT INTO pgmq.a_q (msg_id, vt) VALUES (123, now())")
    (found,) = _findings(db)
    assert found[:3] == ("warning", "q", "pgmq.a_q_default has 1 messages")
    db.execute("SET ROLE pg_monitor")
    _wait(lambda: _findings(db) == [found])  # from the statistics
    db.execute("RESET ROLE")
    db.execute(found[3].partition(";")[0].encode())
    assert _findings(db) == []


def test_who_lacks_the_rights_is_told_so(queue: psycopg.Connection, roles: Roles) -> None:
    role = roles()
    queue.execute(f"GRANT USAGE ON SCHEMA pgmq TO {role}; SET ROLE {role}".encode())
    assert {(row[0], row[3]) for row in _findings(queue)} == {
        ("info", "Call it as a member of pg_monitor.")
    }


def test_a_session_that_holds_the_horizon_is_named(
    queue: psycopg.Connection, connect: Connect
) -> None:
    holder = connect(autocommit=False, application_name="forgotten")
    holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    holder.execute("SELECT 1")
    assert _findings(queue, "held by") == []
    queue.execute("SET pgmq.doctor_patience = '0'")
    (finding,) = _findings(queue, f"process {holder.info.backend_pid} ")
    assert finding[:2] == ("warning", None)
    assert '"forgotten", idle in transaction)' in finding[2]
    assert re.search(r"since \d{4}-\d\d-\d\d ", finding[2])
    queue.execute(finding[3].encode())
    _wait(lambda: not _findings(queue, f"process {holder.info.backend_pid} "))


def test_a_channel_without_a_session_is_found(queue: psycopg.Connection, connect: Connect) -> None:
    consumer = connect()
    consumer.execute("SELECT pgmq.open_channel('q', 3)")
    assert _findings(queue) == []
    consumer.close()
    _wait(lambda: _findings(queue))
    ((severity, name, finding, fix),) = _findings(queue)
    assert (severity, name) == ("warning", "q")
    assert "3 slots" in finding
    queue.execute(fix.encode())
    assert _findings(queue) == []


def test_dead_rows_and_empty_pages_are_counted(queue: psycopg.Connection) -> None:
    queue.execute(
        "SELECT pgmq.create('big'); ALTER TABLE pgmq.q_big SET (autovacuum_enabled = off)"
    )
    queue.execute(
        """
        SELECT pgmq.send_batch('big', array_agg(to_jsonb(repeat('x', 500))))
        FROM generate_series(1, 150000)
        """
    )
    queue.execute("DELETE FROM pgmq.q_big WHERE msg_id < 150000; ANALYZE pgmq.q_big")
    _wait(lambda: _findings(queue, "149999 dead rows beside 1 live ones in pgmq.q_big ("))
    queue.execute("VACUUM (TRUNCATE off, INDEX_CLEANUP on) pgmq.q_big")
    _wait(lambda: _findings(queue, "pgmq.q_big has less than one live row per page"))
    assert _findings(queue, "dead rows") == []


def _say_that_a_standby_needs(xmin: int, dsn: str, slot: str) -> psycopg.Connection:
    """Stream like a standby that sends what hot_standby_feedback sends."""
    standby = psycopg.connect(f"{dsn} replication=true application_name=standby", autocommit=True)
    standby.pgconn.send_query(f"START_REPLICATION {slot} PHYSICAL 0/1000000".encode())
    assert standby.pgconn.get_result() is not None
    standby.pgconn.put_copy_data(struct.pack("!cQIIII", b"h", 0, xmin, 0, 0, 0))
    standby.pgconn.flush()
    return standby


def test_a_standby_that_holds_the_horizon_is_named(
    new_server: Callable[..., embedded.Server],
) -> None:
    dsn = new_server(max_wal_senders="3", wal_level="replica", max_replication_slots="2").dsn(
        "pgmq"
    )
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute("SET pgmq.doctor_patience = '0'")
        db.execute("SELECT pg_create_physical_replication_slot('standby', true)")
        (xmin,) = db.execute("SELECT pg_current_xact_id()::text::integer").fetchone() or (0,)

        standby = _say_that_a_standby_needs(xmin, dsn, "")
        _wait(lambda: _findings(db, 'transactions ago: held by standby "standby" (feedback of'))
        standby.close()
        _wait(lambda: not _findings(db, "held by"))

        standby = _say_that_a_standby_needs(xmin, dsn, "SLOT standby")
        _wait(lambda: _findings(db, 'held by replication slot "standby" (active)'))
        standby.close()
        _wait(lambda: _findings(db, 'held by replication slot "standby" (not in use)'))
        (finding,) = _findings(db, "held by")
        assert finding[3].endswith("SELECT pg_drop_replication_slot('standby')")


def test_a_server_that_cannot_clean_up_is_described(
    new_server: Callable[..., embedded.Server],
) -> None:
    server = new_server(
        max_prepared_transactions="2",
        autovacuum="off",
        autovacuum_naptime="10min",
        autovacuum_vacuum_cost_delay="50ms",
    )
    with psycopg.connect(server.dsn("pgmq"), autocommit=True) as db:
        db.execute("SELECT pgmq.create('q')")
        assert [(row[0], row[2]) for row in _findings(db, "autovacuum")] == [
            ("critical", NO_AUTOVACUUM),
            ("warning", "autovacuum looks at a database only every 600 s (autovacuum_naptime)"),
            (
                "warning",
                "autovacuum dirties no more than 200 pages a second, which busy queues exceed",
            ),
        ]
        db.execute("BEGIN; SELECT pgmq.send('q', '1'); PREPARE TRANSACTION 'forgotten one'")
        db.execute("SET pgmq.doctor_patience = '0'")
        (finding,) = _findings(db, 'held by prepared transaction "forgotten one"')
        assert finding[3].startswith("ROLLBACK PREPARED 'forgotten one'")
        db.execute("ROLLBACK PREPARED 'forgotten one'")
        assert _findings(db, "prepared") == []


def test_who_keeps_the_queue_of_notifications_full_is_named(
    new_server: Callable[..., embedded.Server], server: TestServer
) -> None:
    can_be_small = server.major >= 17
    small = {"max_notify_queue_pages": "64"} if can_be_small else {}
    dsn = new_server(**small).dsn("pgmq")
    with (
        psycopg.connect(dsn, autocommit=True) as db,
        contextlib.closing(psycopg.connect(dsn, application_name="deaf")) as listener,
    ):
        if not can_be_small:  # 8 GB: the others' is said to be as full
            (source,) = db.execute(
                "SELECT pg_get_functiondef('pgmq._doctor_notifications'::regproc)"
            ).fetchone() or ("",)
            db.execute(source.replace("pg_notification_queue_usage()", "(SELECT 0.7)").encode())
        listener.execute("LISTEN c")
        listener.commit()
        listener.execute("SELECT 1")
        for _ in range(45):
            db.execute("SELECT pg_notify('c', repeat('x', 7000))")
        (finding,) = _findings(db, "notifications")
        assert finding[:2] == ("warning", None)
        assert re.search(r"is [67]\d % full", finding[2])
        assert (
            f'process {listener.info.backend_pid} (user "postgres", application "deaf"'
            in (finding[2])
        )
        if can_be_small:
            db.execute(finding[3].encode())
            for _ in range(10):
                db.execute("SELECT pg_notify('c', repeat('x', 7000))")
            assert _findings(db, "notifications") == []


def test_what_holds_a_stream_back_and_what_its_groups_hold_back(
    db: psycopg.Connection, connect: Connect
) -> None:
    db.execute(
        "SELECT pgmq.create_stream('s'), pgmq.create_group('s', 'g', 'earliest'),"
        " pgmq.create_stream('n', '100', '200'), pgmq.create_group('n', 'lazy', 'earliest')"
    )
    db.execute("SELECT pgmq.send_batch('n', array_fill('1'::jsonb, ARRAY[450]))")
    db.execute("SELECT pgmq.maintain('n')")
    assert re.fullmatch(
        r'group "lazy" keeps \d+ kB that retention would have dropped, since \d{4}-.*',
        _findings(db, "would have dropped")[0][2],
    )
    writer = connect(autocommit=False)
    writer.execute("SELECT pgmq.send('s', '1')")
    db.execute("SELECT pgmq.send('s', '2')")
    time.sleep(1.1)
    assert _findings(db, "cannot be read") == []
    db.execute("SET pgmq.doctor_patience = '1 s'")
    ((*_, finding, fix),) = _findings(db, "cannot be read")
    assert f"process {writer.info.backend_pid} " in finding
    assert fix == f"SELECT pg_terminate_backend({writer.info.backend_pid})"
    writer.commit()
    for _ in range(6):
        assert len(db.execute("SELECT * FROM pgmq.fetch('s', 'g', 0, 9)").fetchall()) == 2
    ((*_, finding, fix),) = _findings(db, "fails again and again in 1 of its 1 lanes: the lease")
    for cure in (
        fix.partition("or ")[2],
        "SELECT pgmq.alter_group('n', 'lazy', keep_unread => false)",
    ):
        db.execute(cure.encode())
    assert _findings(db, "cannot be read") == _findings(db, "group ") == []
