"""A queue is what pgmq.meta lists, whatever else bears a name that would be its."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import errors

from support.queries import ids, one
from support.server import BUILD, WITH_LETTERS

if TYPE_CHECKING:
    from conftest import Roles
    from support.server import TestServer

# 50 bytes: what belongs to the queue is named by its md5.
LONG = "ü" * 25


def test_a_queue_can_have_the_name_of_a_type_of_the_extension(db: psycopg.Connection) -> None:
    for name in ("record", "Records"):
        db.execute("SELECT pgmq.create(%s)", [name])
        assert one(db, "SELECT pgmq.send(%s, '1')", name) == 1
        assert one(db, "SELECT msg_id FROM pgmq.read(%s, 0, 1)", name) == 1
    assert one(db, "SELECT ARRAY[m]::pgmq.message_record[] FROM pgmq.get('record', 1) AS m")
    db.execute("SELECT pgmq.drop_queue('record')")
    db.execute("SELECT pgmq.create('record')")


@pytest.mark.parametrize("interval", ["10", "1 day"])
def test_a_partition_is_no_queue(db: psycopg.Connection, interval: str) -> None:
    db.execute("SELECT pgmq.create_partitioned('px', %s, null)", [interval])
    db.execute("SELECT pgmq.send('px', '1'), pgmq.send('px', '2')")
    partitions = [
        row[0].removeprefix("q_")
        for row in db.execute(
            "SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = 'pgmq.q_px'::regclass"
        )
    ]
    for name in [*partitions, partitions[0].upper()]:
        assert one(db, "SELECT pgmq.drop_queue(%s)", name) is False
        for call in (
            "SELECT * FROM pgmq.read(%s, 0, 1)",
            "SELECT pgmq.send(%s, '1')",
            "SELECT pgmq.purge_queue(%s)",
            "SELECT pgmq.metrics(%s)",
            "SELECT pgmq.set_policy(%s)",
            "SELECT pgmq.maintain(%s)",
            "SELECT pgmq.enable_wakeups(%s)",
            "SELECT pgmq.enable_push(%s)",
            "SELECT pgmq.create_fifo_index(%s)",
            "SELECT pgmq.grant_send(%s, current_user)",
        ):
            with pytest.raises(errors.UndefinedTable):
                db.execute(call.encode(), [name])
        for call in ("pgmq.create(%s)", "pgmq.create_unlogged(%s)", "pgmq.create_partitioned(%s)"):
            with pytest.raises(errors.DuplicateTable, match="not") as raised:
                db.execute(f"SELECT {call}".encode(), [name])
            assert raised.value.diag.message_primary
    assert one(db, "SELECT count(*) FROM pgmq.read('px', 0, 9)") == 2


def test_an_archive_that_was_put_aside_is_no_queues(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('conv'), pgmq.send('conv', '1'), pgmq.archive('conv', 1)")
    db.execute("SELECT pgmq.convert_archive_partitioned('conv')")
    with pytest.raises(errors.DuplicateTable, match=r"pgmq.a_conv_old exists"):
        db.execute("SELECT pgmq.create('conv_old')")
    assert one(db, "SELECT pgmq.drop_queue('conv_old')") is False
    db.execute("SELECT pgmq.drop_queue('conv')")
    assert one(db, "SELECT count(*) FROM pgmq.a_conv_old") == 1


@pytest.mark.parametrize(
    "taken",
    [
        "TABLE pgmq.q_refused (msg_id bigint)",
        "VIEW pgmq.q_refused AS SELECT 1 AS msg_id",
        "SEQUENCE pgmq.q_refused",
        "MATERIALIZED VIEW pgmq.a_refused AS SELECT 1 AS msg_id",
        "TABLE pgmq.a_refused (LIKE pgmq.a_plain)",
        "TABLE pgmq.a_refused () INHERITS (pgmq.a_plain)",
        "TABLE pgmq.dedup_refused (msg_id bigint)",
        "TABLE pgmq.ready_mark_refused (msg_id bigint)",
        "SEQUENCE pgmq.sweep_due_refused",
        "INDEX ready_idx_refused ON pgmq.q_plain (msg_id)",
    ],
)
def test_a_name_that_is_taken_is_refused_and_nothing_is_changed(
    db: psycopg.Connection, taken: str
) -> None:
    db.execute("SELECT pgmq.create('plain')")
    db.execute(f"CREATE {taken}".encode())
    objects = (
        "SELECT array_agg(oid ORDER BY oid) FROM (SELECT oid FROM pg_class"
        " UNION ALL SELECT oid FROM pg_proc UNION ALL SELECT oid FROM pg_type) AS o"
    )
    before = one(db, objects)
    for create in (
        *("create('refused')", "create_unlogged('refused')", "create_partitioned('Refused')"),
    ):
        with pytest.raises((errors.DuplicateTable, errors.DuplicateObject)):
            db.execute(f"SELECT pgmq.{create}".encode())
        assert one(db, objects) == before
    assert one(db, "SELECT pgmq.drop_queue('refused')") is False
    assert one(db, objects) == before


def test_a_queue_named_as_the_functions_of_another_are_is_refused(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create(%s), pgmq.send(%s, '1')", [LONG, LONG])
    md5 = one(db, "SELECT md5(%s)", LONG)
    with pytest.raises(errors.DuplicateObject, match="would share its functions"):
        db.execute("SELECT pgmq.create(%s)", [md5])
    assert one(db, "SELECT pgmq.drop_queue(%s)", md5) is False
    assert one(db, "SELECT msg_id FROM pgmq.read(%s, 0, 1)", LONG) == 1
    db.execute("SELECT pgmq.drop_queue(%s), pgmq.create(%s)", [LONG, md5])
    with pytest.raises(errors.DuplicateObject):
        db.execute("SELECT pgmq.create(%s)", [LONG])


@pytest.mark.parametrize("create", ["create('q')", "create_partitioned('q')"])
def test_a_table_of_a_queue_that_is_not_listed_is_taken_over_by_create_alone(
    db: psycopg.Connection, create: str
) -> None:
    """It may come from a dump without the row in pgmq.meta, and without functions."""
    db.execute(f"SELECT pgmq.{create}, pgmq.send('q', '1'), pgmq.send('q', '2')".encode())
    db.execute("SELECT pgmq.archive('q', 2::bigint)")
    db.execute("DELETE FROM pgmq.meta; SELECT pgmq._drop_functions('q')")
    with pytest.raises(errors.UndefinedTable, match="only its table is there") as caught:
        db.execute("SELECT pgmq.read('q', 0, 9)")
    hint = caught.value.diag.message_hint or ""
    assert hint.startswith(f"SELECT pgmq.{create.rstrip(')')}")
    db.execute(f"SELECT pgmq.{create}".encode())
    assert one(db, "SELECT msg_id FROM pgmq.read('q', 0, 9)") == 1
    assert one(db, "SELECT count(*) FROM pgmq.a_q") == 1
    assert one(db, "SELECT pgmq.drop_queue('q')") is True


# What makes a queue of each kind.
MAKERS = {
    "a plain queue": "create('q')",
    "an unlogged queue": "create_unlogged('q')",
    "a queue partitioned by msg_id": "create_partitioned('q', '10', '100')",
    "a queue partitioned by time": "create_partitioned('q', '1 day', '7 days')",
    "a stream": "create_stream('q')",
}


@pytest.mark.parametrize("kind", MAKERS)
def test_what_drop_extension_leaves_is_taken_over_as_what_it_is(
    db: psycopg.Connection, server: TestServer, kind: str
) -> None:
    if server.embedded is None:
        pytest.skip("needs the embedded server, in which pgmq is an extension")
    db.execute(f"SELECT pgmq.{MAKERS[kind]}; SELECT pgmq.send('q', '1')".encode())
    if kind == "a stream":
        db.execute("SELECT pgmq.create_group('q', 'g', 'earliest')")
    db.execute("SET client_min_messages = error; DROP EXTENSION pgmq CASCADE; RESET ALL")
    db.execute("CREATE EXTENSION pgmq")
    maker = MAKERS[kind].partition("(")[0]
    finding = f"pgmq.q_q looks like the table of {kind} that pgmq.meta does not know"
    fix = one(db, "SELECT fix FROM pgmq.doctor() WHERE finding = %s", finding)
    assert fix.replace('"', "").startswith(f"SELECT pgmq.{maker}('q'")
    for other, call in MAKERS.items():
        if other == kind:
            continue
        text = f'queue "q" cannot be created: pgmq.q_q is the table of {kind}'
        with pytest.raises(errors.DuplicateTable, match=text) as refused:
            db.execute(f"SELECT pgmq.{call}".encode())
        assert (
            (refused.value.diag.message_hint or "")
            .replace('"', "")
            .startswith(f"pgmq.{maker}('q', ...) takes it over.")
        )
    db.execute(f"SELECT pgmq.{MAKERS[kind]}".encode())
    if kind == "a stream":
        db.execute("SELECT pgmq.create_group('q', 'g', 'earliest')")
        assert ids(db, "SELECT msg_id FROM pgmq.fetch('q', 'g', 60, 9)") == [1]
    else:
        assert ids(db, "SELECT msg_id FROM pgmq.read('q', 60, 9)") == [1]
    assert one(db, "SELECT pgmq.send('q', '2')") == 2
    assert ids(db, "SELECT finding FROM pgmq.doctor() WHERE queue_name = 'q'") == []


def test_a_queue_that_is_no_longer_listed_can_be_dropped(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q'); DELETE FROM pgmq.meta")
    assert one(db, "SELECT pgmq.drop_queue('q')") is True
    assert one(db, "SELECT count(*) FROM pg_class WHERE relname ~ '_q$'") == 0
    assert one(db, "SELECT count(*) FROM pg_proc WHERE proname ~ '_q$'") == 0
    assert one(db, "SELECT pgmq.drop_queue('q')") is False


def test_what_a_queue_that_was_renamed_by_hand_keeps_is_named_until_it_is_dropped(
    db: psycopg.Connection,
) -> None:
    db.execute(
        """
        SELECT pgmq.create('old'), pgmq.send('old', '1');
        ALTER TABLE pgmq.q_old RENAME TO q_new; ALTER TABLE pgmq.a_old RENAME TO a_new;
        UPDATE pgmq.meta SET queue_name = 'new'
        """
    )
    db.execute("SELECT pgmq.read('new', 0, 1), pgmq.archive('new', 1::bigint)")
    hint = re.compile("It is of pgmq.[qa]_new, .* by hand: (DROP (INDEX|SEQUENCE) [a-z._]+_old), ")
    for _ in range(6):
        with pytest.raises(errors.DuplicateTable) as caught:
            db.execute("SELECT pgmq.create('old')")
        found = hint.match(caught.value.diag.message_hint or "")
        assert found, caught.value.diag.message_hint
        db.execute(found[1].encode())
    db.execute("SELECT pgmq.create('old')")
    db.execute("SELECT pgmq.send('old', '1'), pgmq.send('new', '1')")


def test_the_first_call_to_a_queue_that_was_just_created_does_not_compile_it(
    db: psycopg.Connection,
) -> None:
    """The session has looked for its functions before, and found none."""
    with pytest.raises(errors.UndefinedTable):
        db.execute("SELECT pgmq.send('q', '1')")
    with psycopg.connect(db.info.dsn, autocommit=True) as other:
        other.execute("SELECT pgmq.create('q')")
    written = "SELECT max(xmin::text::bigint) FROM pg_proc WHERE proname = '_enqueue_q'"
    before = one(db, written)
    assert one(db, "SELECT pgmq.send('Q', '1')") == 1
    assert one(db, written) == before


def test_a_call_never_reaches_the_queue_that_a_long_name_begins_as(db: psycopg.Connection) -> None:
    """Postgres cuts off what is too long, at a character: here _archivemany_, and 47 bytes."""
    short = 43 * "a" + "\N{LARGE RED CIRCLE}"
    long = short + "\N{LARGE RED CIRCLE}"
    for name in (short, long):
        db.execute("SELECT pgmq.create(%s)", [name])
    db.execute("SELECT pgmq.send(%s, '1')", [short])
    assert ids(db, "SELECT pgmq.archive(%s, ARRAY[1])", long) == []
    assert one(db, "SELECT msg_id FROM pgmq.read(%s, 0, 1)", short) == 1


@pytest.mark.parametrize("create", ["create(%s)", "create_partitioned(%s)"])
def test_the_longest_name_there_can_be_is_that_of_a_queue(
    db: psycopg.Connection, create: str
) -> None:
    """With an ending, as upstream's indexes have, it is cut off to that of the table."""
    name = 30 * "ü" + "x"
    db.execute(f"SELECT pgmq.{create}".encode(), [name])
    assert one(db, "SELECT pgmq.send(%s, '1')", name) == 1
    assert one(db, "SELECT msg_id FROM pgmq.read(%s, 0, 1)", name) == 1
    with pytest.raises(errors.NameTooLong, match="too long in bytes: 62, maximum is 61"):
        db.execute(f"SELECT pgmq.{create}".encode(), [name + "x"])


# In lower case the first has more bytes, too many for the names of functions, the second less.
@pytest.mark.parametrize("letter", ["\N{LATIN CAPITAL LETTER A WITH STROKE}", "\N{KELVIN SIGN}"])
def test_a_name_is_that_of_one_queue_in_any_case_whatever_its_bytes(
    server: TestServer, roles: Roles, letter: str
) -> None:
    name, role = 20 * letter, roles()
    lower = name.lower()
    with (
        server.database(options=WITH_LETTERS) as dbname,
        psycopg.connect(server.dsn(dbname), autocommit=True) as session,
    ):
        session.execute((BUILD / "pgmq.sql").read_bytes())
        assert one(session, "SELECT lower(%s)", name) == lower
        session.execute("SELECT pgmq.create(%s), pgmq.grant_send(%s, %s)", [name, lower, role])
        session.execute(f"SET ROLE {role}".encode())
        for number, written in enumerate((name, lower), 1):
            assert one(session, "SELECT pgmq.send(%s, '1')", written) == number
        session.execute("RESET ROLE")
        session.execute("SELECT pgmq.pause(%s)", [lower])
        assert ids(session, "SELECT msg_id FROM pgmq.read(%s, 0, 9)", name) == []
        assert one(session, "SELECT pgmq.drop_queue(%s)", lower) is True
        assert ids(session, "SELECT proname FROM pg_proc WHERE proname ~ '^_enqueue_'") == []
