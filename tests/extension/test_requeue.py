"""requeue: archived messages in the queue again, for every kind of queue and archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from support.queries import ids, one
from support.queues import DISTINCT, KINDS, LEASED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Roles

HEADER = "x-pgmq-requeued"
ALL = "SELECT pgmq.requeue(%s, since => '-infinity'"  # to follow with more, and a bracket


def _archived(db: psycopg.Connection, queue: str) -> list[int]:
    name = one(db, "SELECT pgmq.format_table_name(%s, 'a')", queue)
    return ids(db, f'SELECT msg_id FROM pgmq."{name.replace(chr(34), chr(34) * 2)}" ORDER BY 1')


def _fill(db: psycopg.Connection, queue: str = "q", count: int = 5) -> None:
    """Archive messages in the order of falling msg_ids, an hour after each other, the last now."""
    db.execute(
        "SELECT pgmq.send_batch(%s, ARRAY(SELECT jsonb_build_object('n', n, 'odd', n %% 2 = 1)"
        " FROM generate_series(1, %s) AS n))",
        [queue, count],
    )
    name = one(db, "SELECT pgmq.format_table_name(%s, 'a')", queue)
    name = name.replace('"', '""').replace("%", "%%")
    for msg_id in range(count, 0, -1):
        assert one(db, "SELECT pgmq.archive(%s, %s::bigint)", queue, msg_id)
        db.execute(
            f"UPDATE pgmq.\"{name}\" SET archived_at = now() - %s * interval '1 hour'"
            " WHERE msg_id = %s".encode(),
            [msg_id - 1, msg_id],
        )


def _waiting(db: psycopg.Connection, queue: str = "q") -> list[Any]:
    return ids(db, "SELECT (message -> 'n')::integer FROM pgmq.peek(%s, 99)", queue)


def _each_kind(db: psycopg.Connection) -> Iterator[str]:
    """Make a queue of each kind, one after the other, and fill its archive."""
    for queue in (kind for kind in DISTINCT if kind in LEASED):
        print("kind", queue)  # which a failure shows, an error of SQL, too
        db.execute(KINDS[queue].encode())
        if "archive_retention" in KINDS[queue]:
            db.execute("SELECT pgmq.alter_policy(%s, clear => '{archive_retention}')", [queue])
        _fill(db, queue)
        yield queue


@pytest.fixture
def plain(db: psycopg.Connection) -> psycopg.Connection:
    db.execute("SELECT pgmq.create('q')")
    _fill(db)
    return db


def test_messages_by_id_start_anew_in_their_order(db: psycopg.Connection) -> None:
    call = "SELECT pgmq.requeue(%s, %s::bigint[])"
    for queue in _each_kind(db):
        assert one(db, call, queue, [4, 2, 2, 77, None]) == 2, queue
        assert _archived(db, queue) == [1, 3, 5], queue
        rows = db.execute(
            "SELECT msg_id, read_ct, last_read_at, message -> 'n', vt <= enqueued_at,"
            " enqueued_at > now() - interval '1 minute', headers -> %s -> 'msg_id',"
            " (headers -> %s ->> 'archived_at')::timestamptz < now()"
            " FROM pgmq.peek(%s, 9)",
            [HEADER, HEADER, queue],
        ).fetchall()
        anew = [(6, 0, None, 2, True, True, 2, True), (7, 0, None, 4, True, True, 4, True)]
        assert rows == anew, queue
        assert one(db, call, queue, [4, 2]) == 0, queue
        assert one(db, call, queue, []) == 0, queue
        assert ids(db, "SELECT msg_id FROM pgmq.read(%s, 60, 9)", queue) == [6, 7], queue


def test_a_range_is_taken_as_it_was_archived_and_sent_as_it_was_first(
    db: psycopg.Connection,
) -> None:
    since = "SELECT pgmq.requeue(%s, since => now() - interval '150 minutes', until => "
    for queue in _each_kind(db):
        assert one(db, since + "now() - interval '30 minutes', qty => 1)", queue) == 1, queue
        assert _waiting(db, queue) == [3], queue
        assert one(db, since + "now() - interval '30 minutes')", queue) == 1, queue
        assert _waiting(db, queue) == [3, 2], queue
        assert one(db, f"{ALL}, qty => 0)", queue) == 0, queue
        assert one(db, f"{ALL}, qty => 2)", queue) == 2, queue
        assert _waiting(db, queue) == [3, 2, 4, 5], queue
        assert one(db, f"{ALL})", queue) == 1, queue
        assert _archived(db, queue) == [], queue


def test_an_archive_can_keep_what_is_sent_again(db: psycopg.Connection) -> None:
    keep = "SELECT pgmq.requeue(%s, {}, keep => true)"
    for queue in _each_kind(db):
        assert one(db, keep.format("'{1,3}'::bigint[]"), queue) == 2, queue
        assert one(db, keep.format("since => now() - interval '1 day'"), queue) == 5, queue
        assert _archived(db, queue) == [1, 2, 3, 4, 5], queue
        assert _waiting(db, queue) == [1, 3, 1, 2, 3, 4, 5], queue
        # And takes these in turn.
        for msg_id in ids(db, "SELECT msg_id FROM pgmq.read(%s, 60, 99)", queue):
            assert one(db, "SELECT pgmq.archive(%s, %s::bigint)", queue, msg_id), queue
        assert len(_archived(db, queue)) == 12, queue
        assert one(db, f"{ALL})", queue) == 12, queue


def test_with_a_condition_only_what_contains_it(db: psycopg.Connection) -> None:
    odd = "conditional => '{\"odd\": true}'"
    for queue in _each_kind(db):
        assert one(db, f"{ALL}, qty => 2, {odd})", queue) == 2, queue
        assert _waiting(db, queue) == [3, 5], queue
        assert one(db, f"SELECT pgmq.requeue(%s, ARRAY[1, 2], {odd})", queue) == 1, queue
        assert _archived(db, queue) == [2, 4], queue


def test_a_rate_spreads_them_over_time(db: psycopg.Connection) -> None:
    for queue in _each_kind(db):
        assert one(db, f"{ALL}, rate => 0.1)", queue) == 5, queue
        assert _waiting(db, queue) == [1], queue
        waits = ids(
            db,
            "SELECT round(extract(epoch FROM vt - enqueued_at) / 10)::integer"
            " FROM generate_series(6, 10) AS i, pgmq.get(%s, i)",
            queue,
        )
        assert waits == [0, 1, 2, 3, 4], queue


def test_a_partitioned_archive_is_as_good(db: psycopg.Connection) -> None:
    some = "SELECT pgmq.requeue(%s, since => now() - interval '150 minutes')"
    for queue, interval, retention in (("by_id", "2", "100000"), ("by_time", "1 day", "1 year")):
        print(queue)
        db.execute("SELECT pgmq.create(%s)", [queue])
        _fill(db, queue)
        convert = "SELECT pgmq.convert_archive_partitioned(%s, %s, %s)"
        db.execute(convert, [queue, interval, retention])
        db.execute(f"INSERT INTO pgmq.a_{queue} SELECT * FROM pgmq.a_{queue}_old".encode())
        assert one(db, "SELECT pgmq.requeue(%s, ARRAY[2, 4])", queue) == 2, queue
        assert one(db, some, queue) == 2, queue
        assert _waiting(db, queue) == [2, 4, 1, 3], queue
        assert _archived(db, queue) == [5], queue


def test_a_dead_letter_in_the_archive_is_none_any_more(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.set_policy('q', 1, message_ttl => '1 hour')")
    db.execute("SELECT pgmq.send('q', '1', '{\"trace\": 7}'::jsonb)")
    db.execute("SELECT pgmq.nack('q', msg_id, 1, 0, 'oops') FROM pgmq.read('q', 60, 1)")
    assert ids(db, "SELECT msg_id FROM pgmq.read('q', 60, 1)") == []
    assert ids(db, "SELECT headers ? 'x-pgmq-dead-letter' FROM pgmq.a_q") == [True]
    assert one(db, "SELECT pgmq.requeue('q', ARRAY[1])") == 1
    (headers,) = ids(db, "SELECT headers FROM pgmq.read('q', 60, 1)")
    assert headers.keys() == {"trace", HEADER}


def test_keys_of_deduplication_neither_hinder_nor_are_taken(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.set_policy('q', dedup_scope => 'pending')")
    once = "SELECT is_new FROM pgmq.send_once('q', '1', 'a')"
    assert one(db, once)
    db.execute("SELECT pgmq.archive('q', 1::bigint)")
    assert one(db, once)
    assert one(db, "SELECT pgmq.requeue('q', ARRAY[1])") == 1
    assert ids(db, "SELECT msg_id FROM pgmq.pop('q', 9)") == [2, 3]
    assert one(db, once)


def test_rights_are_those_to_the_tables(plain: psycopg.Connection, roles: Roles) -> None:
    role = roles()
    plain.execute("SELECT pgmq.grant_send('q', %s)", [role])
    calls = ["requeue('q', ARRAY[1])", "requeue('q', since => '-infinity', qty => 1)"]

    def refused(call: str, table: str) -> None:
        plain.execute(f"SET ROLE {role}".encode())
        with pytest.raises(
            psycopg.errors.InsufficientPrivilege, match=f"permission denied for table {table}"
        ):
            plain.execute(f"SELECT pgmq.{call}".encode())
        plain.execute("RESET ROLE")

    for call in calls:
        refused(call, "a_q")
    plain.execute(f"GRANT SELECT ON pgmq.a_q TO {role}".encode())
    for call in calls:
        refused(call, "a_q")
        plain.execute(f"SET ROLE {role}".encode())
        assert one(plain, f"SELECT pgmq.{call[:-1]}, keep => true)") == 1
        plain.execute("RESET ROLE")
    plain.execute(f"GRANT UPDATE, DELETE ON pgmq.a_q TO {role}".encode())
    plain.execute(f"SET ROLE {role}".encode())
    for call in calls:
        assert one(plain, f"SELECT pgmq.{call}") == 1
    plain.execute("RESET ROLE")
    plain.execute(f"REVOKE INSERT ON pgmq.q_q FROM {role}".encode())
    for call in calls:
        refused(call, "q_q")


def test_grant_requeue_gives_what_it_takes_and_nothing_of_the_queue(
    plain: psycopg.Connection, roles: Roles
) -> None:
    role = roles()
    plain.execute("SELECT pgmq.grant_send('q', %s)", [role])
    calls = ["ARRAY[1], keep => true", "ARRAY[1]", "since => '-infinity'"]
    for call in calls:
        plain.execute(f"SET ROLE {role}".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
            plain.execute(f"SELECT pgmq.requeue('q', {call})".encode())
        plain.execute("RESET ROLE")
        assert caught.value.diag.message_primary == "permission denied for table a_q"
        assert caught.value.diag.message_hint == (
            f"Its owner can SELECT pgmq.grant_requeue('q', '{role}')."
        )
    plain.execute("SELECT pgmq.grant_requeue('q', %s)", [role])
    plain.execute(f"SET ROLE {role}".encode())
    for call in calls:
        assert one(plain, f"SELECT pgmq.requeue('q', {call})") > 0, call
    for call in ("SELECT message FROM pgmq.q_q", "SELECT pgmq.read('q', 0, 1)"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            plain.execute(call.encode())
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        plain.execute("UPDATE pgmq.a_q SET message = '0'")
    plain.execute("RESET ROLE")
    plain.execute("SELECT pgmq.revoke_all('q', %s)", [role])
    assert not one(plain, "SELECT has_any_column_privilege(%s, 'pgmq.a_q', 'SELECT')", role)


def test_what_makes_no_sense_is_a_clear_error(plain: psycopg.Connection) -> None:
    def refused(call: str, error: str, text: str) -> None:
        with pytest.raises(getattr(psycopg.errors, error), match=text):
            plain.execute(f"SELECT pgmq.{call}".encode())

    plain.execute("SELECT pgmq.create_stream('s')")
    for call, error, text in (
        ("requeue('s', ARRAY[1])", "FeatureNotSupported", 'stream "s" has no archive'),
        ("requeue('x', ARRAY[1])", "UndefinedTable", 'queue "x" does not exist'),
        ("requeue('q')", "NullValueNotAllowed", "neither msg_ids nor a time says what of queue"),
        ("requeue('q', '{}', qty => -1)", "InvalidRowCountInLimitClause", "qty must not be neg"),
    ):
        refused(call, error, text)


def test_a_call_looks_at_what_it_takes(plain: psycopg.Connection) -> None:
    plain.execute(
        "INSERT INTO pgmq.a_q (msg_id, vt, archived_at) SELECT n, now(),"
        " now() - n * interval '1 minute' FROM generate_series(100, 20000) AS n"
    )
    plain.execute("ANALYZE pgmq.a_q")
    for call in ("ARRAY[200, 300]", "since => '-infinity', qty => 3"):
        with plain.transaction(force_rollback=True):
            looked_at = (
                "SELECT pg_stat_get_xact_tuples_fetched('pgmq.a_q'::regclass)"
                " + pg_stat_get_xact_tuples_returned('pgmq.a_q'::regclass)"
            )
            before = one(plain, looked_at)
            assert one(plain, f"SELECT pgmq.requeue('q', {call})") > 1
            assert one(plain, looked_at) - before < 20
