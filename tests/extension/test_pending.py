"""dedup_scope pending: a key is taken until its message has left the queue, in whatever way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from support.cases import case
from support.plans import touched
from support.queries import ids, one

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Connect, Roles
    from pgmq import embedded

HEADER = "x-pgmq-dedup-id"
MAKE = {
    "plain": "create('q')",
    "by_id": "create_partitioned('q', '100', '100000', 1)",
    "by_time": "create_partitioned('q', '1 day', '7 days', 1)",
}
PENDING = "SELECT pgmq.alter_policy('q', dedup_scope => 'pending')"
# Every way out of a queue; the message is {id}.
EXITS = {
    "acknowledged": "SELECT pgmq.ack('q', {id}, read_ct) FROM pgmq.read('q', 60, 1)",
    "acknowledged into the archive": "SELECT pgmq.alter_policy('q', ack_archives => true);"
    " SELECT pgmq.ack('q', {id}, read_ct) FROM pgmq.read('q', 60, 1)",
    "acknowledged in a batch": "SELECT pgmq.ack('q', ARRAY[msg_id], ARRAY[read_ct])"
    " FROM pgmq.read('q', 60, 1)",
    "deleted": "SELECT pgmq.delete('q', {id}::bigint)",
    "deleted in a batch": "SELECT pgmq.delete('q', '{{id}}'::bigint[])",
    "popped": "SELECT pgmq.pop('q')",
    "archived": "SELECT pgmq.archive('q', {id}::bigint)",
    "archived in a batch": "SELECT pgmq.archive('q', '{{id}}'::bigint[])",
    "moved": "SELECT pgmq.create('other'); SELECT pgmq.move('q', {id}, 'other')",
    "redriven": "SELECT pgmq.create('other'); SELECT pgmq.redrive('q', 'other')",
    "expired": "SELECT pgmq.alter_policy('q', message_ttl => '1 us'); SELECT pgmq.read('q', 0, 1)",
    "received too often": "SELECT pgmq.alter_policy('q', 1, 'dead');"
    " SELECT pgmq.read('q', 0, 1); SELECT pgmq.read('q', 0, 1)",
    "purged": "SELECT pgmq.purge_queue('q')",
    "removed by SQL": "DELETE FROM pgmq.q_q",
    "truncated": "TRUNCATE pgmq.q_q",
    "truncated, ids begin again": "TRUNCATE pgmq.q_q RESTART IDENTITY; SELECT pgmq.send('q', '0')",
}


def _once(db: psycopg.Connection, key: str) -> tuple[int, bool]:
    rows = db.execute("SELECT * FROM pgmq.send_once('q', '1', %s)", [key]).fetchall()
    assert len(rows) == 1
    return rows[0]


def _rows(db: psycopg.Connection, query: str, *arguments: Any) -> list[Any]:
    return db.execute(query.encode(), arguments).fetchall()


def _make(db: psycopg.Connection, kind: str) -> None:
    """Make q, in place of the q that there may be and of the queues that it was moved to."""
    for queue in ("q", "dead", "other"):
        db.execute("SELECT pgmq.drop_queue(%s)", [queue])
    db.execute(f"SELECT pgmq.{MAKE[kind]}".encode())
    db.execute(PENDING)


def _each_kind(db: psycopg.Connection) -> Iterator[str]:
    """Make q anew, of one kind after the other."""
    for kind in MAKE:
        print("kind", kind)  # which a failure shows, an error of SQL, too
        _make(db, kind)
        yield kind


@pytest.fixture(params=MAKE)
def any_queue(request: pytest.FixtureRequest, db: psycopg.Connection) -> psycopg.Connection:
    _make(db, request.param)
    return db


@pytest.fixture
def queue(db: psycopg.Connection) -> psycopg.Connection:
    db.execute("SELECT pgmq.create('q')")
    db.execute(PENDING)
    return db


@pytest.mark.parametrize("kind", MAKE)
def test_a_key_is_taken_until_its_message_has_left_the_queue(
    db: psycopg.Connection, kind: str
) -> None:
    _make(db, kind)
    for way, statements in EXITS.items():
        with case(way):
            db.execute("SELECT pgmq.set_policy('q'), pgmq.purge_queue('q')")
            db.execute(PENDING)
            msg_id, is_new = _once(db, "a")
            assert is_new
            assert _once(db, "a") == (msg_id, False)
            calls = statements.replace("{id}", str(msg_id)).split(";")
            with db.transaction(force_rollback=True):
                for call in calls:
                    db.execute(call.encode())
                assert _once(db, "a")[1]
            assert _once(db, "a") == (msg_id, False)
            for call in calls:
                db.execute(call.encode())
            again, is_new = _once(db, "a")
            assert is_new
            assert _once(db, "a") == (again, False)
            assert one(db, "SELECT count(*) FROM pgmq.q_q WHERE headers ? %s", HEADER) == 1


def test_it_stays_taken_while_the_message_is_leased_delayed_or_returned(
    db: psycopg.Connection,
) -> None:
    calls = [
        "read('q', 60, 1)",
        "read('q', 0, 1)",
        "set_vt('q', 1, 60)",
        "nack('q', 1, read_ct, 60) FROM pgmq.read('q', 60, 1)",
        "extend('q', 1, read_ct, 60) FROM pgmq.read('q', 60, 1)",
    ]
    for call in calls:
        print(call)
        for kind in _each_kind(db):
            assert _once(db, "a") == (1, True), (call, kind)
            db.execute(f"SELECT pgmq.{call}".encode())
            assert _once(db, "a") == (1, False), (call, kind)


def test_retention_of_partitions_frees_keys(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create_partitioned('q', '2', '2', 1)")
    db.execute(PENDING)
    for key in "abcdefgh":
        assert _once(db, key)[1]
    db.execute("SELECT pgmq.maintain('q')")
    left = ids(db, "SELECT headers ->> %s FROM pgmq.q_q", HEADER)
    assert "h" in left
    assert "a" not in left
    assert [_once(db, key)[1] for key in "abcdefgh"] == [key not in left for key in "abcdefgh"]


def test_a_message_of_a_transaction_that_began_long_ago_holds_its_key(
    db: psycopg.Connection,
) -> None:
    db.execute("SELECT pgmq.create_partitioned('q', '1 day', '7 days', 1)")
    db.execute(PENDING)
    _once(db, "a")
    # As if its transaction had begun then; the mark below which no message is looked for is later.
    with db.transaction():
        for table, vt in (("q_q", ", vt = vt - interval '1 hour'"), ("dedup_q", "")):
            db.execute(
                f"UPDATE pgmq.{table} SET enqueued_at = now() - interval '1 hour'{vt}".encode()
            )
    db.execute(
        "SELECT setval('pgmq.floor_mark_q', pgmq._microseconds(now() - interval '1 minute'))"
    )
    assert one(db, "SELECT q.enqueued_at = d.enqueued_at FROM pgmq.q_q AS q, pgmq.dedup_q AS d")
    assert _once(db, "a") == (1, False)


def test_a_batch_has_each_key_once_and_frees_none_that_is_pending(db: psycopg.Connection) -> None:
    keys = ["z", "known", "gone", "z", "a", "gone"]
    msgs = [Jsonb(n) for n in range(6)]
    call = "SELECT * FROM pgmq.send_once('q', %s::jsonb[], %s)"
    sent = [(3, True), (1, False), (4, True), (3, False), (5, True), (4, False)]
    for kind in _each_kind(db):
        assert _once(db, "known") == (1, True), kind
        assert _once(db, "gone") == (2, True), kind
        db.execute("SELECT pgmq.delete('q', 2::bigint)")
        assert _rows(db, call, msgs, keys) == sent, kind
        assert _rows(db, call, msgs, keys) == [(msg_id, False) for msg_id, _ in sent], kind
        assert ids(db, "SELECT message FROM pgmq.q_q ORDER BY msg_id") == [1, 0, 2, 4], kind


def test_the_header_does_the_same_wherever_headers_are_sent(queue: psycopg.Connection) -> None:
    queue.execute("SELECT pgmq.create_exchange('e')")
    queue.execute("SELECT pgmq.bind('e', 'q', '#'), pgmq.bind_topic('#', 'q')")
    headers = Jsonb({HEADER: "a"})
    sends = [
        "SELECT pgmq.send('q', '1', %s)",
        "SELECT pgmq.send_batch('q', '{1}', ARRAY[%s])",
        "SELECT pgmq.publish('e', 'k', '1', %s)",
        "SELECT pgmq.send_topic('k', '1', %s, 0)",
        "SELECT pgmq.send_batch_topic('k', '{1}', ARRAY[%s])",
    ]
    for call in sends:
        queue.execute(call.encode(), (headers,))
        (msg_id,) = ids(queue, "SELECT msg_id FROM pgmq.q_q")
        for again in sends:
            queue.execute(again.encode(), (headers,))
            assert ids(queue, "SELECT msg_id FROM pgmq.q_q") == [msg_id]
        queue.execute("SELECT pgmq.pop('q')")


def test_with_a_window_a_key_is_taken_until_both_are_over(db: psycopg.Connection) -> None:
    later = "UPDATE pgmq.dedup_q SET sent_at = sent_at - interval '1 hour'"
    for kind in _each_kind(db):
        db.execute("SELECT pgmq.alter_policy('q', dedup_window => '1 hour')")
        assert _once(db, "a") == (1, True), kind
        assert _once(db, "b") == (2, True), kind
        db.execute("SELECT pgmq.delete('q', 1::bigint)")
        assert _once(db, "a") == (1, False), kind
        db.execute(later.encode())
        assert _once(db, "a") == (3, True), kind
        assert _once(db, "b") == (2, False), kind
        db.execute("SELECT pgmq.delete('q', 2::bigint)")
        assert _once(db, "b")[1], kind


def test_the_scope_can_be_changed(queue: psycopg.Connection) -> None:
    assert _once(queue, "a") == (1, True)
    queue.execute("SELECT pgmq.alter_policy('q', clear => '{dedup_scope}')")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="has no dedup_window"):
        _once(queue, "a")
    # A window alone is that of today, whatever the scope is called.
    queue.execute(
        "SELECT pgmq.alter_policy('q', dedup_window => '1 hour', dedup_scope => 'window')"
    )
    assert _once(queue, "b") == (2, True)
    queue.execute("SELECT pgmq.purge_queue('q')")
    assert _once(queue, "b") == (2, False)
    queue.execute(PENDING)
    assert _once(queue, "b") == (2, False)
    assert _once(queue, "c") == (3, True)
    queue.execute("SELECT pgmq.alter_policy('q', clear => '{dedup_window}')")
    assert _once(queue, "b") == (4, True)
    assert _once(queue, "c") == (3, False)
    assert one(queue, "SELECT dedup_scope FROM pgmq.get_policy('q')") == "pending"
    assert _rows(queue, "SELECT * FROM pgmq.doctor() WHERE queue_name = 'q'") == []


def test_messages_from_before_count_for_their_window_alone(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q'); SELECT pgmq.alter_policy('q', dedup_window => '1 hour')")
    assert _once(db, "a") == (1, True)
    db.execute(PENDING)
    assert _once(db, "a") == (1, False)
    db.execute("SELECT pgmq.alter_policy('q', clear => '{dedup_window}')")
    assert _once(db, "a") == (2, True)
    assert _once(db, "a") == (2, False)


def test_a_stream_refuses_it(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create_stream('s')")
    for more in ("", ", dedup_window => '1 hour'"):
        with pytest.raises(
            psycopg.errors.FeatureNotSupported, match='messages never leave stream "s"'
        ):
            db.execute(f"SELECT pgmq.set_policy('s', dedup_scope => 'pending'{more})".encode())


def test_whoever_may_send_needs_no_other_right(any_queue: psycopg.Connection, roles: Roles) -> None:
    role = roles()
    any_queue.execute("SELECT pgmq.grant_send('q', %s)", [role])
    any_queue.execute(f"SET ROLE {role}".encode())
    assert _once(any_queue, "a") == (1, True)
    assert _once(any_queue, "a") == (1, False)
    any_queue.execute("RESET ROLE")
    any_queue.execute("SELECT pgmq.pop('q')")
    any_queue.execute(f"SET ROLE {role}".encode())
    assert _once(any_queue, "a")[1]
    # It learns of no key that it has not got, and can take none without a message.
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        any_queue.execute("SELECT pgmq._pending_q('{1}', ARRAY[now()])")
    any_queue.execute("RESET ROLE")


def test_upkeep_removes_the_keys_whose_messages_are_gone(any_queue: psycopg.Connection) -> None:
    any_queue.execute(
        "SELECT count(*) FROM pgmq.send_once('q', array_fill('1'::jsonb, '{1200}'),"
        " ARRAY(SELECT 'k' || n FROM generate_series(1, 1200) AS n))"
    )
    any_queue.execute("DELETE FROM pgmq.q_q WHERE msg_id % 3 > 0")
    # Not on the back of a call: they are too young, and may come again.
    assert one(any_queue, "SELECT pgmq._forget_q(100000)") == 0
    any_queue.execute("UPDATE pgmq.dedup_q SET sent_at = sent_at - interval '1 hour'")
    any_queue.execute("VACUUM pgmq.dedup_q")
    removed = [one(any_queue, "SELECT pgmq._forget_q(100)") for _ in range(40)]
    assert sum(removed) > 150
    assert max(removed) < 1000
    any_queue.execute("SELECT pgmq.maintain('q')")
    left = "SELECT msg_id FROM pgmq.dedup_q ORDER BY 1"
    assert ids(any_queue, left) == ids(any_queue, "SELECT msg_id FROM pgmq.q_q ORDER BY 1")
    assert not _once(any_queue, "k3")[1]
    assert _once(any_queue, "k4")[1]


def test_keys_do_not_pile_up(queue: psycopg.Connection) -> None:
    """Each message has a key of its own, and leaves."""
    most = 0
    for _ in range(40):
        queue.execute(
            "SELECT count(*) FROM generate_series(1, 250) AS n,"
            " pgmq.send_once('q', '1', gen_random_uuid()::text)"
        )
        queue.execute("DELETE FROM pgmq.q_q")
        queue.execute("UPDATE pgmq.dedup_q SET sent_at = now() - interval '2 minutes'")
        queue.execute("VACUUM pgmq.dedup_q")
        most = max(most, one(queue, "SELECT count(*) FROM pgmq.dedup_q"))
    assert most < 5000


def test_a_crash_empties_the_keys_of_an_unlogged_queue_with_it(
    new_server: Callable[..., embedded.Server],
) -> None:
    server = new_server()
    names = ("kept", "fleeting")
    once = "SELECT is_new FROM pgmq.send_once(%s, '1', 'a')"
    with psycopg.connect(server.dsn("pgmq"), autocommit=True) as session:
        session.execute("SELECT pgmq.create('kept'), pgmq.create_unlogged('fleeting')")
        for name in names:
            session.execute("SELECT pgmq.alter_policy(%s, dedup_scope => 'pending')", [name])
            assert one(session, once, name)
    server.stop(mode="immediate")
    server.start()
    with psycopg.connect(server.dsn("pgmq"), autocommit=True) as session:
        assert [one(session, once, name) for name in names] == [False, True]
        assert [one(session, once, name) for name in names] == [False, False]


def test_a_call_touches_as_many_rows_as_it_has_keys(
    queue: psycopg.Connection, connect: Connect
) -> None:
    for table in ("dedup_q", "q_q"):
        queue.execute(f"ALTER TABLE pgmq.{table} SET (autovacuum_enabled = off)".encode())
    session = connect()
    call = b"SELECT * FROM pgmq.send_once('q', '1', %s)"
    for _ in range(12):  # plans made while both tables are empty
        with session.transaction(force_rollback=True):
            session.execute(call, ("new",))
    queue.execute(
        "SELECT count(*) FROM generate_series(1, 5000) AS i, pgmq.send_once('q', '1', 'k' || i)"
    )
    for key, most in (("k77", 2), ("later", 6)):
        for table in ("dedup_q", "q_q"):
            # One call in 32 does upkeep, too.
            calls = [touched(session, f"pgmq.{table}", call.decode(), key) for _ in range(6)]
            assert min(calls) <= most, (table, calls)
