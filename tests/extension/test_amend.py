"""amend: replacing payload and headers of what waits, for every kind of queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from support.queries import ids, one
from support.queues import DISTINCT, KINDS, LEASED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Roles

ROW = (
    "SELECT msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers FROM pgmq.get(%s, %s)"
)


def _amend(db: psycopg.Connection, queue: str, msg_id: int = 1, **new: Any) -> bool:
    names = "".join(f", {name} => %s" for name in new)
    values = [value if value is None else Jsonb(value) for value in new.values()]
    result = one(db, f"SELECT pgmq.amend(%s, %s{names})", queue, msg_id, *values)
    assert isinstance(result, bool)
    return result


def _row(db: psycopg.Connection, queue: str, msg_id: int = 1) -> tuple[Any, ...]:
    (row,) = db.execute(ROW.encode(), [queue, msg_id]).fetchall()
    return row


def _each_kind(db: psycopg.Connection) -> Iterator[str]:
    """Make a queue of each kind, one after the other."""
    for queue in (kind for kind in DISTINCT if kind in LEASED):
        print("kind", queue)  # which a failure shows, an error of SQL, too
        db.execute(KINDS[queue].encode())
        yield queue


def _refused(db: psycopg.Connection, queue: str, msg_id: int, header: str, value: Any) -> None:
    with pytest.raises(
        psycopg.errors.InvalidParameterValue,
        match=f"header {header} of message {msg_id} cannot be changed",
    ):
        _amend(db, queue, msg_id, headers={header: value})


@pytest.fixture
def plain(db: psycopg.Connection) -> psycopg.Connection:
    db.execute("SELECT pgmq.create('q')")
    return db


def test_what_waits_is_replaced_and_nothing_else_of_it_changes(db: psycopg.Connection) -> None:
    for queue in _each_kind(db):
        db.execute("SELECT pgmq.send(%s, '1', '{\"a\": 1}'::jsonb)", [queue])
        db.execute("SELECT pgmq.send(%s, '2', '{\"a\": 2}'::jsonb, 3600)", [queue])
        for msg_id in (1, 2):
            *before, message, headers = _row(db, queue, msg_id)
            assert _amend(db, queue, msg_id), queue
            assert _row(db, queue, msg_id) == (*before, message, headers), queue
            assert _amend(db, queue, msg_id, msg={"new": msg_id}), queue
            assert _row(db, queue, msg_id) == (*before, {"new": msg_id}, headers), queue
            assert _amend(db, queue, msg_id, headers={"b": 3}), queue
            assert _row(db, queue, msg_id) == (*before, {"new": msg_id}, {"b": 3}), queue
            assert _amend(db, queue, msg_id, msg=None, headers={}), queue
            assert _row(db, queue, msg_id) == (*before, {"new": msg_id}, {}), queue
        assert not _amend(db, queue, 3, msg=1), queue
        found = ids(db, "SELECT message FROM pgmq.read(%s, 60, 9)", queue)
        assert found == [{"new": 1}], queue


def test_a_message_that_somebody_has_stays_as_it_is(db: psycopg.Connection) -> None:
    for queue in _each_kind(db):
        db.execute("SELECT pgmq.send(%s, '1')", [queue])
        assert one(db, "SELECT msg_id FROM pgmq.read(%s, 3600, 1)", queue) == 1, queue
        assert not _amend(db, queue, msg=2), queue
        assert one(db, "SELECT pgmq.extend(%s, 1, 1, 7200)", queue), queue
        assert not _amend(db, queue, headers={"b": 1}), queue
        # Kept from others, but for how long nobody knows: it may still be worked on.
        assert one(db, "SELECT msg_id FROM pgmq.set_vt(%s, 1, 600)", queue) == 1, queue
        assert not _amend(db, queue, msg=2), queue
        assert one(db, "SELECT pgmq.nack(%s, 1, 1, 600, 'oops')", queue), queue
        assert _amend(db, queue, msg="returned, and hidden"), queue
        assert one(db, "SELECT msg_id FROM pgmq.set_vt(%s, 1, 0)", queue) == 1, queue
        assert _amend(db, queue, msg="visible again"), queue
        read = ids(db, "SELECT message FROM pgmq.read(%s, 0, 1)", queue)
        assert read == ["visible again"], queue
        assert _amend(db, queue, msg="its lease is over"), queue
        popped = ids(db, "SELECT message FROM pgmq.pop(%s)", queue)
        assert popped == ["its lease is over"], queue
        assert not _amend(db, queue, msg=2), queue


def test_another_priority_parks_the_message_without_hiding_it(db: psycopg.Connection) -> None:
    """So that it is found, whichever mark has passed its place: what is parked is behind none."""
    for queue in _each_kind(db):
        db.execute("SELECT pgmq.send(%s, '1'), pgmq.send(%s, '2', 3600)", [queue, queue])
        db.execute("SELECT pgmq.maintain(%s)", [queue])
        for headers in ({"x-pgmq-priority": 9}, {}):
            before, delayed = _row(db, queue)[4], _row(db, queue, 2)[4]
            assert _amend(db, queue, headers=headers), queue
            assert _amend(db, queue, 2, headers=headers), queue
            row = _row(db, queue)
            assert row[4] > row[2], queue
            assert row[4] > before, queue
            assert one(db, "SELECT %s <= clock_timestamp()", row[4]), queue
            assert _row(db, queue, 2)[4] == delayed, queue
        before = _row(db, queue)[4]
        assert _amend(db, queue, headers={"other": 1}), queue
        assert _row(db, queue)[4] == before, queue
        assert ids(db, "SELECT msg_id FROM pgmq.read(%s, 60, 9)", queue) == [1], queue


def test_the_group_of_a_message_stays_and_cannot_be_changed(db: psycopg.Connection) -> None:
    """The order of a group, and its limit, rest on the groups that messages were sent with."""
    send = "SELECT pgmq.send(%s, '0', %s)"
    for queue in _each_kind(db):
        db.execute(send, [queue, Jsonb({"x-pgmq-group": "a", "old": 1})])
        db.execute(send, [queue, Jsonb({"old": 1})])
        for headers in ({"new": 1}, {"new": 1, "x-pgmq-group": "a"}):
            assert _amend(db, queue, headers=headers), queue
            assert _row(db, queue)[6] == {"new": 1, "x-pgmq-group": "a"}, queue
        assert _amend(db, queue, 2, headers={"new": 1}), queue
        assert _row(db, queue, 2)[6] == {"new": 1}, queue
        for msg_id, group in ((1, "b"), (1, None), (2, "b")):
            _refused(db, queue, msg_id, "x-pgmq-group", group)


def test_a_ttl_holds_from_then_on(plain: psycopg.Connection) -> None:
    plain.execute(
        "SELECT pgmq.set_policy('q', message_ttl => '1 day', dead_letter_queue => 'dead')"
    )
    plain.execute("SELECT pgmq.send('q', '1'), pgmq.send('q', '2')")
    assert _amend(plain, "q", headers={"x-pgmq-ttl": 0})
    assert ids(plain, "SELECT message FROM pgmq.read('q', 60, 9)") == [2]
    assert ids(plain, "SELECT message FROM pgmq.peek('dead', 9)") == [1]


def test_the_key_of_deduplication_stays_and_cannot_be_changed(plain: psycopg.Connection) -> None:
    plain.execute("SELECT pgmq.set_policy('q', dedup_scope => 'pending')")
    plain.execute("SELECT pgmq.send_once('q', '1', 'key'), pgmq.send('q', '2')")
    assert _amend(plain, "q", headers={"b": 1})
    assert _row(plain, "q")[6] == {"b": 1, "x-pgmq-dedup-id": "key"}
    assert _amend(plain, "q", headers={"b": 2, "x-pgmq-dedup-id": "key"})
    assert _row(plain, "q")[6] == {"b": 2, "x-pgmq-dedup-id": "key"}
    for msg_id, key in ((1, "other"), (1, None), (2, "new")):
        _refused(plain, "q", msg_id, "x-pgmq-dedup-id", key)
    assert one(plain, "SELECT is_new FROM pgmq.send_once('q', '1', 'key')") is False


def test_a_dead_letter_can_be_mended_and_still_goes_back(plain: psycopg.Connection) -> None:
    plain.execute("SELECT pgmq.set_policy('q', 1, 'dead')")
    plain.execute("SELECT pgmq.send('q', '\"bad\"', '{\"a\": 1}'::jsonb), pgmq.read('q', 0, 1)")
    assert ids(plain, "SELECT msg_id FROM pgmq.read('q', 0, 1)") == []
    assert _amend(plain, "dead", msg="good", headers={"a": 2})
    assert one(plain, "SELECT pgmq.redrive('dead')") == 1
    rows = plain.execute("SELECT message, headers FROM pgmq.peek('q', 9)").fetchall()
    assert rows == [("good", {"a": 2})]


def test_headers_must_be_an_object(plain: psycopg.Connection) -> None:
    def refused(headers: str) -> None:
        with pytest.raises(
            psycopg.errors.InvalidParameterValue, match="new headers must be a JSON object, not"
        ):
            plain.execute("SELECT pgmq.amend('q', 1, headers => %s::jsonb)", [headers])

    plain.execute("SELECT pgmq.send('q', '1')")
    for value in ("[1]", '"x"', "1", "null"):
        refused(value)
        # A payload may be anything.
        assert one(plain, "SELECT pgmq.amend('q', 1, %s)", value), value


def test_streams_and_unknown_queues_are_errors(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create_stream('s'), pgmq.send('s', '1')")
    with pytest.raises(psycopg.errors.FeatureNotSupported, match='of stream "s" never change'):
        _amend(db, "s", msg=2)
    with pytest.raises(psycopg.errors.UndefinedTable, match='queue "x" does not exist'):
        _amend(db, "x", msg=2)


def test_it_takes_the_right_to_update_what_changes(plain: psycopg.Connection, roles: Roles) -> None:
    plain.execute("SELECT pgmq.send('q', '1')")
    role = roles()
    plain.execute("SELECT pgmq.grant_send('q', %s)", [role])
    plain.execute(f"SET ROLE {role}".encode())
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
        _amend(plain, "q", msg=2)
    assert "grant_consume" in str(caught.value.diag.message_hint)
    plain.execute("RESET ROLE")
    plain.execute("SELECT pgmq.grant_consume('q', %s)", [role])
    plain.execute(f"SET ROLE {role}".encode())
    assert _amend(plain, "q", headers={"a": 1})
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        _amend(plain, "q", msg=2)
    plain.execute("RESET ROLE")
    plain.execute(f"GRANT UPDATE (message) ON pgmq.q_q TO {role}".encode())
    plain.execute(f"SET ROLE {role}".encode())
    assert _amend(plain, "q", msg=2)
    plain.execute("RESET ROLE")
    assert _row(plain, "q")[5:] == (2, {"a": 1})
