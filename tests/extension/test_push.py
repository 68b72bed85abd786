"""Push delivery in one session or a few that take turns: slots, payloads, channels, rights."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import psycopg
import pytest

from support.prepared import prepared
from support.push import open_channel, payloads, pushed, send

if TYPE_CHECKING:
    from conftest import Connect, Roles

DONE = {
    "ack": "SELECT pgmq.ack('q', %s, %s)",
    "ack of a batch": "SELECT pgmq.ack('q', ARRAY[%s]::bigint[], ARRAY[%s])",
    "ack and read": "SELECT pgmq.ack_and_read('q', 1, 0, ARRAY[%s]::bigint[], ARRAY[%s])",
    "nack": "SELECT pgmq.nack('q', %s, %s, 600)",
    "nack with an error": "SELECT pgmq.nack('q', %s, %s, 600, 'no disk')",
    "nack of a batch": "SELECT pgmq.nack('q', ARRAY[%s]::bigint[], ARRAY[%s], 600)",
    "delete": "SELECT pgmq.delete('q', %s::bigint), %s",
    "archive": "SELECT pgmq.archive('q', %s::bigint), %s",
    "DELETE": "DELETE FROM pgmq.q_q WHERE msg_id = %s AND read_ct = %s",
}
HINTS = {
    "maximum_messages": "It is how many messages may be out unacknowledged at a time.",
    "vt": "It is how many seconds there are to acknowledge a message.",
}


def _ack(session: psycopg.Connection, msg_id: int, read_ct: int = 1) -> None:
    assert session.execute("SELECT pgmq.ack('q', %s, %s)", (msg_id, read_ct)).fetchone() == (True,)


def _expire(session: psycopg.Connection, *msg_ids: int) -> None:
    """Let leases end without anybody's doing: neither the queue's triggers nor a vt waited for."""
    session.execute("SET session_replication_role = replica")
    session.execute(
        "UPDATE pgmq.channel_slot SET free_at = clock_timestamp() WHERE msg_id = ANY (%s)",
        (list(msg_ids),),
    )
    session.execute("SELECT pgmq.set_vt('q', %s::bigint[], 0)", (list(msg_ids),))
    session.execute("RESET session_replication_role")


def _in_flight(session: psycopg.Connection) -> dict[str, int]:
    rows = session.execute("SELECT channel, in_flight FROM pgmq.list_channels()").fetchall()
    return dict(rows)


template = prepared("SELECT pgmq.create('q'), pgmq.enable_push('q')", by="queue")


@pytest.fixture
def queue(db: psycopg.Connection) -> psycopg.Connection:
    return db


@pytest.mark.parametrize("done", DONE)
def test_whatever_ends_a_lease_pushes_the_next_message(
    queue: psycopg.Connection, connect: Connect, done: str
) -> None:
    consumer = connect()
    open_channel(consumer, slots=2)
    send(queue, 1, 2, 3, 4)
    assert pushed(consumer) == [1, 2]
    queue.execute(DONE[done].encode(), (1, 1))
    assert pushed(consumer) == [3]
    consumer.execute(DONE[done].encode(), (3, 1))
    assert pushed(consumer) == [4]
    assert set(_in_flight(queue).values()) == {2}


@pytest.mark.parametrize(
    "returned",
    [
        "SELECT pgmq.nack('q', 1, 1)",
        "SELECT pgmq.nack('q', ARRAY[1]::bigint[], ARRAY[1])",
        "SELECT pgmq.extend('q', 1, 1, 0)",
        "SELECT pgmq.set_vt('q', 1, 0)",
    ],
)
def test_what_is_returned_at_once_is_pushed_again(
    queue: psycopg.Connection, connect: Connect, returned: str
) -> None:
    consumer = connect()
    open_channel(consumer)
    send(queue, 1, 2)
    assert pushed(consumer) == [1]
    queue.execute(returned.encode())
    assert [(p["message"], p["read_ct"]) for p in payloads(consumer)] == [(1, 2)]


def test_a_lease_that_ended_leaves_its_slot_to_the_next_message(
    queue: psycopg.Connection, connect: Connect
) -> None:
    consumer = connect()
    open_channel(consumer)
    send(queue, 1, 2)
    assert pushed(consumer) == [1]
    _expire(queue, 1)
    assert list(_in_flight(queue).values()) == [0]
    send(queue, 3)
    assert [(p["message"], p["read_ct"]) for p in payloads(consumer)] == [(1, 2)]
    # The first lease is stale; the second one's slot is not freed by it.
    assert queue.execute("SELECT pgmq.ack('q', 1, 1)").fetchone() == (False,)
    assert pushed(consumer) == []
    _ack(consumer, 1, 2)
    assert pushed(consumer) == [2]


def test_an_extended_lease_keeps_its_slot(queue: psycopg.Connection, connect: Connect) -> None:
    consumer = connect()
    open_channel(consumer, vt=1)
    send(queue, 1)
    assert pushed(consumer) == [1]
    consumer.execute("SELECT pgmq.extend('q', 1, 1, 3600)")
    queue.execute("UPDATE pgmq.channel_slot SET free_at = clock_timestamp()")
    send(queue, 2)
    assert pushed(consumer) == []
    # The slot is looked at again in a vt, however long the extension is.
    row = queue.execute(
        "SELECT free_at BETWEEN clock_timestamp() AND clock_timestamp() + interval '1 second'"
        " FROM pgmq.channel_slot"
    ).fetchone()
    assert row == (True,)
    _ack(consumer, 1)
    assert pushed(consumer) == [2]


def test_a_session_can_have_channels_of_several_queues_and_several_of_one(
    queue: psycopg.Connection, connect: Connect
) -> None:
    queue.execute("SELECT pgmq.create('r')")
    consumer = connect()
    channels = [open_channel(consumer), open_channel(consumer), open_channel(consumer, queue="r")]
    send(queue, 1, 2, 3)
    send(queue, 4, 5, queue="r")
    consumer.execute("SELECT 1")
    notes = [(n.channel, json.loads(n.payload)) for n in consumer.notifies(timeout=0)]
    assert [(c, p["queue_name"], p["message"]) for c, p in notes] == [
        (channels[0], "q", 1),
        (channels[1], "q", 2),
        (channels[2], "r", 4),
    ]
    assert consumer.execute("SELECT pgmq.close_channel(%s)", (channels[0],)).fetchone() == (1,)
    assert _in_flight(queue) == {channels[1]: 1, channels[2]: 1}
    assert consumer.execute("SELECT pgmq.close_channel()").fetchone() == (2,)
    assert consumer.execute("SELECT pgmq.close_channel()").fetchone() == (0,)
    row = consumer.execute(
        """
        SELECT ARRAY(SELECT pg_listening_channels()), (
            SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
        )
        """
    ).fetchone()
    assert row == ([], 0)


def test_sessions_with_room_take_turns(queue: psycopg.Connection, connect: Connect) -> None:
    consumers = [connect() for _ in range(3)]
    for consumer in consumers:
        open_channel(consumer, slots=4)
    send(queue, *range(6))
    assert [pushed(consumer) for consumer in consumers] == [[0, 3], [1, 4], [2, 5]]
    # Whoever has had nothing to do for longest comes first.
    queue.execute("SELECT pgmq.purge_queue('q')")
    send(queue, *range(6, 15))
    assert sorted(len(pushed(consumer)) for consumer in consumers) == [3, 3, 3]


def test_never_two_messages_of_a_fifo_group_are_out(
    queue: psycopg.Connection, connect: Connect
) -> None:
    queue.execute("SELECT pgmq.create_fifo_index('q')")
    consumers = [connect(), connect()]
    for consumer in consumers:
        open_channel(consumer, slots=2)
    for message, group in ((1, "a"), (2, "a"), (3, "b"), (4, "a")):
        queue.execute(
            "SELECT pgmq.send('q', %s::text::jsonb, jsonb_build_object('x-pgmq-group', %s::text))",
            (message, group),
        )
    assert sorted(pushed(*consumers)) == [1, 3]
    queue.execute("SELECT pgmq.nack('q', 1, 1, 0)")
    assert pushed(*consumers) == [1]
    _ack(queue, 1, 2)
    assert pushed(*consumers) == [2]
    _ack(queue, 2)
    assert pushed(*consumers) == [4]


@pytest.mark.parametrize("call", ["delete('q', 1::bigint)", "archive('q', 1::bigint)"])
def test_a_fifo_group_whose_delayed_head_is_removed_is_pushed(
    queue: psycopg.Connection, connect: Connect, call: str
) -> None:
    queue.execute("SELECT pgmq.create_fifo_index('q')")
    consumer = connect()
    open_channel(consumer, slots=5)
    for message, delay in ((1, 3600), (2, 0)):
        queue.execute(
            "SELECT pgmq.send('q', %s::text::jsonb, '{\"x-pgmq-group\": \"g\"}', %s)",
            (message, delay),
        )
    assert pushed(consumer) == []
    queue.execute(f"SELECT pgmq.{call}".encode())
    assert pushed(consumer) == [2]


def test_pull_consumers_work_beside(queue: psycopg.Connection, connect: Connect) -> None:
    consumer = connect()
    open_channel(consumer)
    send(queue, 1, 2, 3)
    read = "SELECT message FROM pgmq.read('q', 600, 1)"
    assert queue.execute(read).fetchall() == [(2,)]
    _ack(queue, 2)
    assert pushed(consumer) == [1]
    # A returned message that a reader takes is the reader's: its slot goes to the next.
    queue.execute("BEGIN; SELECT pgmq.nack('q', 1, 1, 0); SELECT pgmq.delete('q', 3)")
    assert queue.execute(read).fetchall() == [(1,)]
    queue.execute("COMMIT")
    send(queue, 4, 5)
    assert pushed(consumer) == [4]
    _ack(queue, 1, 2)
    assert pushed(consumer) == []
    assert queue.execute("SELECT message FROM pgmq.pop('q')").fetchall() == [(5,)]


def test_a_payload_is_the_message_as_it_lies_in_the_queue(
    queue: psycopg.Connection, connect: Connect
) -> None:
    consumer = connect()
    open_channel(consumer, vt=100)
    queue.execute("""SELECT pgmq.send('q', '{"a": "ü"}', '{"h": [1]}'::jsonb)""")
    (payload,) = payloads(consumer)
    row = queue.execute(
        """
        SELECT to_jsonb(m) - 'last_read_at' || '{"queue_name": "q"}',
            m.vt - m.last_read_at BETWEEN interval '99 seconds' AND interval '101 seconds'
        FROM pgmq.get('q', 1) AS m
        """
    ).fetchone()
    assert row == (payload, True)


@pytest.mark.parametrize(
    ("message", "headers", "left_out"),
    [(7990, 0, "message"), (0, 7990, "headers"), (7990, 7990, "both"), (4100, 4100, "message")],
)
def test_what_does_not_fit_is_left_out_at_the_byte(
    queue: psycopg.Connection, connect: Connect, message: int, headers: int, left_out: str
) -> None:
    consumer = connect()
    open_channel(consumer)
    send = (
        "SELECT pgmq.send('q', to_jsonb(repeat('x', %s)), jsonb_build_object('h', repeat('y', %s)))"
    )
    queue.execute(send, (message, headers))
    (payload,) = payloads(consumer)
    assert payload.get("message_omitted") == (True if left_out != "headers" else None)
    assert payload.get("headers_omitted") == (True if left_out in ("headers", "both") else None)
    assert ("message" in payload, "headers" in payload) == (
        left_out == "headers",
        left_out == "message",
    )


def test_a_payload_of_7999_bytes_is_whole_and_one_of_8000_is_not(
    queue: psycopg.Connection, connect: Connect
) -> None:
    consumer = connect()
    open_channel(consumer)
    send(queue, 1)
    consumer.execute("SELECT 1")
    (note,) = consumer.notifies(timeout=0)
    _ack(queue, 1)
    size = len(note.payload.encode()) - len("1")
    # Times are written with six digits, less their last zeros: so the border has some width.
    for length, whole in ((7999 - size - 20, True), (8000 - size + 20, False)):
        queue.execute("SELECT pgmq.send('q', to_jsonb(repeat('ü', %s)))", (length // 2,))
        (payload,) = payloads(consumer)
        assert ("message" in payload) is whole
        queue.execute("SELECT pgmq.delete('q', %s::bigint)", (payload["msg_id"],))
    for length, whole in ((7999, True), (8000, False)):
        row = queue.execute(
            "SELECT octet_length(pgmq._payload('{}', to_jsonb(repeat('x', %s)), null))",
            (length - len('{"headers": null, "message": ""}'),),
        ).fetchone()
        assert row is not None
        assert (row[0] == 7999) is whole


def test_closing_a_channel_hands_what_it_had_to_others(
    queue: psycopg.Connection, connect: Connect
) -> None:
    first, second = connect(), connect()
    channel = open_channel(first, slots=2)
    send(queue, 1, 2, 3)
    assert pushed(first) == [1, 2]
    open_channel(second, slots=2)
    assert pushed(second) == [3]
    assert first.execute("SELECT pgmq.close_channel(%s)", (channel,)).fetchone() == (1,)
    assert pushed(second) == [1]
    _ack(second, 3)
    assert pushed(second) == [2]
    send(queue, 4)
    assert pushed(first) == []


def test_list_channels_says_who_has_how_many(
    queue: psycopg.Connection, connect: Connect, roles: Roles
) -> None:
    consumer = connect()
    channel = open_channel(consumer, slots=3, vt=60)
    send(queue, 1, 2)
    assert queue.execute(
        "SELECT channel, queue_name, maximum_messages, vt, in_flight, pid FROM pgmq.list_channels()"
    ).fetchall() == [(channel, "q", 3, 60, 2, consumer.info.backend_pid)]
    # Whoever knows the name of a channel can listen to it.
    nobody = roles()
    queue.execute(f"GRANT USAGE ON SCHEMA pgmq TO {nobody}; SET ROLE {nobody}".encode())
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        queue.execute("SELECT * FROM pgmq.list_channels()")


def test_what_fell_due_is_pushed_by_the_next_commit_or_by_close_dead_channels(
    queue: psycopg.Connection, connect: Connect
) -> None:
    consumer = connect()
    open_channel(consumer, slots=10)
    for call in ("SELECT pgmq.send('q', '0')", "SELECT pgmq.close_dead_channels()"):
        queue.execute("SELECT pgmq.send('q', '7', 600)")
        assert pushed(consumer) == []
        queue.execute("SET session_replication_role = replica")
        queue.execute("SELECT pgmq.set_vt('q', m.msg_id, 0) FROM pgmq.q_q AS m WHERE message = '7'")
        queue.execute("RESET session_replication_role")
        assert pushed(consumer) == []
        queue.execute(call.encode())
        assert 7 in pushed(consumer)
        queue.execute("SELECT pgmq.purge_queue('q')")


def test_a_session_that_discards_all_has_closed_its_channels(
    queue: psycopg.Connection, connect: Connect
) -> None:
    consumer, other = connect(), connect()
    open_channel(consumer, slots=2)
    send(queue, 1)
    assert pushed(consumer) == [1]
    consumer.execute("DISCARD ALL")
    open_channel(other, slots=3)
    send(consumer, 2, 3)  # its own commit, too, finds that nobody listens
    assert sorted(pushed(other)) == [1, 2, 3]
    assert len(_in_flight(queue)) == 1


def test_a_transaction_that_opens_a_channel_can_use_it(
    queue: psycopg.Connection, connect: Connect
) -> None:
    consumer = connect(autocommit=False)
    open_channel(consumer)
    send(consumer, 1, 2)
    consumer.execute("SET CONSTRAINTS ALL IMMEDIATE")
    _ack(consumer, 1)
    consumer.commit()
    assert sorted(pushed(consumer)) == [1, 2]
    consumer.commit()


def test_each_statement_pushes_when_constraints_are_immediate(
    queue: psycopg.Connection, connect: Connect
) -> None:
    consumer = connect()
    open_channel(consumer, slots=5)
    with queue.transaction():
        queue.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for message in (1, 2, 3):
            send(queue, message)
    assert pushed(consumer) == [1, 2, 3]


def test_opening_and_resuming_push_when_constraints_are_immediate_too(
    queue: psycopg.Connection, connect: Connect
) -> None:
    consumer = connect()
    send(queue, 1)
    with consumer.transaction():
        consumer.execute("SET CONSTRAINTS ALL IMMEDIATE")
        open_channel(consumer, slots=5)
    assert pushed(consumer) == [1]
    queue.execute("SELECT pgmq.pause('q')")
    send(queue, 2)
    with queue.transaction():
        queue.execute("SET CONSTRAINTS ALL IMMEDIATE")
        queue.execute("SELECT pgmq.resume('q')")
    assert pushed(consumer) == [2]


def test_a_rolled_back_savepoint_frees_and_pushes_nothing(
    queue: psycopg.Connection, connect: Connect
) -> None:
    consumer = connect()
    open_channel(consumer)
    send(queue, 1, 2)
    assert pushed(consumer) == [1]
    with queue.transaction():
        queue.execute("SAVEPOINT s; SELECT pgmq.nack('q', 1, 1); ROLLBACK TO s")
        queue.execute("SAVEPOINT s; SELECT pgmq.ack('q', 1, 1); ROLLBACK TO s")
    assert pushed(consumer) == []
    _ack(queue, 1)
    assert pushed(consumer) == [2]


def test_a_queue_with_channels_can_be_dropped_and_created_again(
    queue: psycopg.Connection, connect: Connect
) -> None:
    consumer = connect()
    open_channel(consumer)
    send(queue, 1)
    queue.execute("SELECT pgmq.drop_queue('q')")
    assert _in_flight(queue) == {}
    queue.execute("SELECT pgmq.create('q')")
    send(queue, 2)
    assert pushed(consumer) == [1]
    open_channel(consumer)
    assert pushed(consumer) == [2]


def test_a_transaction_that_has_sent_cannot_drop_the_queue(queue: psycopg.Connection) -> None:
    queue.execute("BEGIN")
    send(queue, 1)
    with pytest.raises(psycopg.errors.ObjectInUse):
        queue.execute("SELECT pgmq.drop_queue('q')")


@pytest.mark.parametrize("name", ["Mixed Case", 'so "quoted" %I', "x-y.z", "long" * 11])
def test_names_are_taken_as_they_are(db: psycopg.Connection, connect: Connect, name: str) -> None:
    db.execute("SELECT pgmq.create(%s)", (name,))
    consumer = connect()
    open_channel(consumer, queue=name.upper())
    send(db, 1, 2, queue=name)
    (payload,) = payloads(consumer)
    assert payload["queue_name"] == name
    consumer.execute("SELECT pgmq.ack(%s, 1, 1)", (name.lower(),))
    assert pushed(consumer) == [2]


def test_enabling_and_disabling(db: psycopg.Connection, connect: Connect) -> None:
    db.execute("SELECT pgmq.create('q')")
    triggers = "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'pgmq.q_q'::regclass"
    for _ in range(2):
        db.execute("SELECT pgmq.enable_push('Q')")
        assert db.execute(triggers).fetchone() == (4,)
    consumer = connect()
    open_channel(consumer)
    for _ in range(2):
        db.execute("SELECT pgmq.disable_push('Q')")
        assert db.execute(triggers).fetchone() == (0,)
    send(db, 1)
    db.execute("SELECT pgmq.close_dead_channels()")
    assert pushed(consumer) == []
    db.execute("SELECT pgmq.enable_push('q'), pgmq.close_dead_channels()")
    assert pushed(consumer) == [1]


@pytest.mark.parametrize("value", [0, -1, 1001, None])
def test_maximum_messages_is_checked(queue: psycopg.Connection, value: int | None) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue) as caught:
        queue.execute("SELECT pgmq.open_channel('q', %s)", (value,))
    said = f"maximum_messages must be between 1 and 1000: {'null' if value is None else value}"
    assert caught.value.diag.message_primary == said
    assert caught.value.diag.message_hint == HINTS["maximum_messages"]


@pytest.mark.parametrize("value", [0, None])
def test_vt_is_checked(queue: psycopg.Connection, value: int | None) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue) as caught:
        queue.execute("SELECT pgmq.open_channel('q', 1, %s)", (value,))
    assert caught.value.diag.message_primary == (
        f"vt must be at least 1: {'null' if value is None else value}"
    )
    assert caught.value.diag.message_hint == HINTS["vt"]


@pytest.mark.parametrize("function", ["open_channel", "enable_push", "disable_push"])
def test_an_unknown_queue_is_an_error(db: psycopg.Connection, function: str) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable) as caught:
        db.execute(f"SELECT pgmq.{function}('nope')".encode())
    assert (caught.value.diag.message_primary or "").startswith('queue "nope" does not exist')
    assert caught.value.diag.message_hint


def test_the_channel_of_another_session_cannot_be_closed(
    queue: psycopg.Connection, connect: Connect
) -> None:
    channel = open_channel(connect())
    with pytest.raises(psycopg.errors.ObjectInUse) as caught:
        queue.execute("SELECT pgmq.close_channel(%s)", (channel,))
    assert caught.value.diag.message_primary == f'channel "{channel}" was opened by another session'
    assert caught.value.diag.message_hint == (
        "It is closed when that session ends; pg_terminate_backend ends it."
    )
    assert queue.execute("SELECT pgmq.close_channel('nope')").fetchone() == (0,)


def test_producers_and_consumers_need_no_more_rights_than_for_pulling(
    queue: psycopg.Connection, connect: Connect, roles: Roles
) -> None:
    sender, reader = roles(), roles()
    queue.execute(
        f"""
        GRANT USAGE ON SCHEMA pgmq TO {sender}, {reader};
        GRANT INSERT ON pgmq.q_q TO {sender};
        GRANT SELECT (msg_id) ON pgmq.q_q TO {sender};
        GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA pgmq TO {sender}, {reader};
        """.encode()
    )
    producer, consumer = connect(user=sender), connect(user=reader)
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
        open_channel(consumer)
    assert caught.value.diag.message_primary == 'permission denied for queue "q"'
    assert caught.value.diag.message_hint == f"{reader} needs SELECT and UPDATE on pgmq.q_q."
    queue.execute(f"GRANT SELECT, UPDATE, DELETE ON pgmq.q_q TO {reader}".encode())
    open_channel(consumer)
    send(producer, 1, 2)
    assert pushed(consumer) == [1]
    _ack(consumer, 1)
    assert pushed(consumer) == [2]
    for call in ("UPDATE pgmq.channel_slot SET msg_id = null", "DELETE FROM pgmq.channel"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            consumer.execute(call.encode())
    queue.execute("SELECT pgmq.disable_push('q')")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        open_channel(consumer)


def test_a_message_sent_while_a_commit_pushes_is_pushed_too(
    queue: psycopg.Connection, connect: Connect
) -> None:
    consumer = connect()
    open_channel(consumer, slots=10)
    queue.execute(
        """
        CREATE TABLE orders (id integer);
        CREATE FUNCTION announce() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pgmq.send('q', to_jsonb(new.id)); RETURN null; END
        $$;
        CREATE CONSTRAINT TRIGGER announce AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION announce();
        """
    )
    with queue.transaction():
        send(queue, 1)
        queue.execute("INSERT INTO orders VALUES (2), (3)")
    assert pushed(consumer) == [1, 2, 3]


@pytest.mark.parametrize("filled", [False, True], ids=["room", "no room at first"])
def test_each_round_of_a_statement_pushes(
    queue: psycopg.Connection, connect: Connect, filled: bool
) -> None:
    consumer = connect()
    open_channel(consumer, slots=1 if filled else 5)
    if filled:
        send(queue, 0)
        assert pushed(consumer) == [0]
    queue.execute(
        """
        DO $$ BEGIN
            SET CONSTRAINTS ALL IMMEDIATE;
            PERFORM pgmq.send('q', '1');
            SET CONSTRAINTS ALL DEFERRED;
            SET CONSTRAINTS ALL IMMEDIATE;
            PERFORM pgmq.delete('q', 1::bigint) FROM pgmq.q_q WHERE message = '0';
            PERFORM pgmq.send('q', '2');
        END $$
        """
    )
    assert pushed(consumer) == ([1] if filled else [1, 2])


def test_a_slot_that_is_freed_after_a_look_in_vain_is_filled(
    queue: psycopg.Connection, connect: Connect
) -> None:
    consumer = connect()
    open_channel(consumer, slots=2)
    send(queue, 1, 2)
    assert pushed(consumer) == [1, 2]
    with queue.transaction():
        send(queue, 3, 4)
        queue.execute("SELECT pgmq.delete('q', ARRAY[1, 2]::bigint[])")
    assert pushed(consumer) == [3, 4]


def test_what_a_savepoint_takes_back_is_pushed_by_the_commit(
    queue: psycopg.Connection, connect: Connect
) -> None:
    consumer = connect()
    open_channel(consumer, slots=2)
    with queue.transaction():
        send(queue, 1)
        with queue.transaction(force_rollback=True):
            queue.execute("SET CONSTRAINTS ALL IMMEDIATE")
        queue.execute("SET CONSTRAINTS ALL DEFERRED")
    assert pushed(consumer) == [1]


def test_no_setting_of_a_caller_stops_a_push(queue: psycopg.Connection, connect: Connect) -> None:
    consumer = connect()
    open_channel(consumer)
    look = "pgmq._look('q', true)::text"
    with queue.transaction():
        queue.execute(
            f"SELECT pgmq.send('q', '1'), set_config('pgmq.push_look', {look}, true)".encode()
        )
    assert pushed(consumer) == [1]
    # An extended lease fills its slot.
    queue.execute("SELECT pgmq.extend('q', 1, 1, 1200)")
    send(queue, 2)
    assert pushed(consumer) == []
    queue.execute("SELECT pgmq.nack('q', 1, 1, 600)")
    assert pushed(consumer) == [2]


def test_behind_very_many_closed_groups_every_send_is_pushed(
    queue: psycopg.Connection, connect: Connect
) -> None:
    queue.execute("SELECT pgmq.create_fifo_index('q')")
    queue.execute(
        """
        SELECT pgmq.send_batch(
            'q', array_agg('0'::jsonb), array_agg(jsonb_build_object('x-pgmq-group', g::text))
        )
        FROM generate_series(1, 3000) AS g, generate_series(1, 2)
        """
    )
    queue.execute("SELECT count(*) FROM pgmq.read_grouped_head('q', 600, 3000)")
    consumer = connect()
    open_channel(consumer, slots=100)
    for message in range(1, 21):
        queue.execute(
            "SELECT pgmq.send('q', %s::text::jsonb, jsonb_build_object('x-pgmq-group', %s::text))",
            (message, f"new {message}"),
        )
    assert pushed(consumer) == list(range(1, 21))


def test_a_trigger_on_another_table_frees_no_slot(
    queue: psycopg.Connection, connect: Connect
) -> None:
    consumer = connect()
    open_channel(consumer)
    send(queue, 1)
    assert pushed(consumer) == [1]
    queue.execute("SELECT pgmq.create('mine'), pgmq.send('mine', '1'), pgmq.read('mine', 0, 1)")
    queue.execute(
        "CREATE TRIGGER t AFTER UPDATE ON pgmq.q_mine FOR EACH ROW"
        " EXECUTE FUNCTION pgmq._free_slot_at_once('q');"
        "CREATE CONSTRAINT TRIGGER u AFTER DELETE ON pgmq.q_mine DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION pgmq._push_at_commit('q')"
    )
    send(queue, 2)
    queue.execute("SELECT pgmq.nack('mine', 1, 1)")
    queue.execute("SELECT pgmq.delete('mine', 1::bigint)")
    assert pushed(consumer) == []
    assert list(_in_flight(queue).values()) == [1]


def test_a_clock_that_is_set_back_fills_no_slot(
    queue: psycopg.Connection, connect: Connect
) -> None:
    consumer = connect()
    open_channel(consumer)
    send(queue, 1)
    _ack(queue, 1)
    row = queue.execute(
        "SELECT free_at < now() - interval '900 years' FROM pgmq.channel_slot"
    ).fetchone()
    assert row == (True,)


def test_a_silent_channel_is_tried_ever_more_seldom_and_doctor_says_so(
    queue: psycopg.Connection, connect: Connect
) -> None:
    silent, consumer = connect(), connect()
    channel = open_channel(silent, slots=3, vt=100)
    silent.execute("UNLISTEN *")
    send(queue, 1, 2, 3)

    def vt_later() -> None:
        queue.execute("SET session_replication_role = replica")
        queue.execute(
            """
            UPDATE pgmq.channel_slot SET free_at = free_at - interval '101 seconds'
            WHERE free_at > now();
            UPDATE pgmq.channel SET silent_since = silent_since - interval '101 seconds';
            UPDATE pgmq.q_q SET vt = vt - interval '101 seconds' WHERE read_ct > 0;
            """
        )
        queue.execute("RESET session_replication_role")
        queue.execute("SELECT pgmq.close_dead_channels()")

    received = "SELECT sum(read_ct) FROM pgmq.q_q"
    totals = []
    for _ in range(30):
        vt_later()
        row = queue.execute(received).fetchone()
        assert row is not None
        totals.append(row[0] - 3)
    # One at a time, and at last one in nine vt.
    assert totals[0] == 1
    assert 5 <= totals[-1] <= 8
    findings = queue.execute("SELECT finding, fix FROM pgmq.doctor()").fetchall()
    pid = silent.info.backend_pid
    assert [pid for finding, fix in findings if f"process {pid} does not listen" in finding] == [
        pid
    ]

    # Another channel has them all the time.
    open_channel(consumer, slots=3)
    assert len(pushed(consumer)) >= 2

    # An answer, and all of its slots are as before.
    silent.execute(f'LISTEN "{channel}"'.encode())
    for _ in range(12):
        vt_later()
        told = payloads(silent)
        if told:
            break
    queue.execute("SELECT pgmq.ack('q', %s, %s)", (told[-1]["msg_id"], told[-1]["read_ct"]))
    consumer.execute("SELECT pgmq.close_channel()")
    send(queue, 4, 5, 6)
    queue.execute("SELECT pgmq.close_dead_channels()")
    assert _in_flight(queue) == {channel: 3}


@pytest.fixture
def stranger(queue: psycopg.Connection, connect: Connect, roles: Roles) -> psycopg.Connection:
    """A session of a role with USAGE alone, in a transaction that it leaves open."""
    role = roles()
    queue.execute(f"GRANT USAGE ON SCHEMA pgmq TO {role}".encode())
    return connect(user=role, autocommit=False)


def test_whoever_may_not_read_closes_locks_and_pushes_nothing(
    queue: psycopg.Connection, connect: Connect, stranger: psycopg.Connection
) -> None:
    victim, consumer = connect(), connect()
    open_channel(victim)
    send(queue, 1)
    victim.close()
    queue.execute("SET session_replication_role = replica")
    send(queue, 2)
    queue.execute("RESET session_replication_role")
    for call in (
        "SELECT pgmq.close_dead_channels()",
        "SELECT pgmq._push('q', null, true)",
        "SELECT pgmq._close_lost('q')",
        "SELECT pgmq._open_channel('q', 1, 1)",
    ):
        stranger.execute("SAVEPOINT s")
        try:
            assert stranger.execute(call.encode()).fetchone() == (0,)
        except psycopg.errors.InsufficientPrivilege:
            stranger.execute("ROLLBACK TO s")
    open_channel(consumer, slots=2)
    assert 2 in pushed(consumer)
    assert len(_in_flight(queue)) <= 2


@pytest.mark.parametrize(("slots", "vt"), [(1_000_000, 1), (0, 1), (None, 1), (1, 0), (1, None)])
def test_what_open_channel_checks_is_checked_behind_it_too(
    queue: psycopg.Connection, slots: int | None, vt: int | None
) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        queue.execute("SELECT pgmq._open_channel('q', %s, %s)", (slots, vt))


def test_a_session_has_the_rights_of_the_role_that_it_has_set(
    queue: psycopg.Connection, connect: Connect, roles: Roles
) -> None:
    pool, app = roles("LOGIN NOINHERIT"), roles("NOLOGIN")
    queue.execute(f"GRANT {app} TO {pool}; GRANT USAGE ON SCHEMA pgmq TO {pool}, {app}".encode())
    queue.execute("SELECT pgmq.grant_consume('q', %s)", (app,))
    session = connect(user=pool)
    session.execute(f"SET ROLE {app}".encode())
    open_channel(session)
    send(queue, 1)
    assert pushed(session) == [1]


@pytest.mark.parametrize(
    "lost",
    [
        "SELECT pgmq.revoke_all('q', '{role}')",
        "REVOKE SELECT ON pgmq.q_q FROM {role}",
        "REVOKE UPDATE ON pgmq.q_q FROM {role}",
        "ALTER TABLE pgmq.q_q ENABLE ROW LEVEL SECURITY",
        "SELECT pgmq.revoke_all('{role}'); DROP ROLE {role}",
    ],
)
def test_a_role_that_loses_its_rights_loses_its_channels(
    queue: psycopg.Connection, connect: Connect, roles: Roles, lost: str
) -> None:
    role = roles()
    queue.execute(f"SELECT pgmq.grant_consume('q', '{role}')".encode())
    consumer, other = connect(user=role), connect()
    open_channel(consumer, slots=100)
    queue.execute("SELECT pgmq.send_batch('q', ARRAY['1', '2']::jsonb[])")
    assert pushed(consumer) == [1, 2]
    queue.execute(lost.format(role=role).encode())
    send(queue, 3)
    assert pushed(consumer) == []
    assert _in_flight(queue) == {}
    open_channel(other, slots=3)
    assert pushed(other) == [1, 2, 3]


def test_a_channel_that_2_0_0_opened_goes_on(queue: psycopg.Connection, connect: Connect) -> None:
    consumer = connect()
    open_channel(consumer)
    queue.execute("UPDATE pgmq.channel SET opened_by = null")
    send(queue, 1)
    assert pushed(consumer) == [1]


def test_nothing_is_pushed_past_row_level_security(
    queue: psycopg.Connection, connect: Connect, roles: Roles
) -> None:
    tenant, owner, exempt = roles(), roles(), roles("LOGIN BYPASSRLS")
    for role in (tenant, exempt):
        queue.execute("SELECT pgmq.grant_consume('q', %s)", (role,))
    queue.execute(
        f"""
        GRANT USAGE ON SCHEMA pgmq TO {owner};
        ALTER TABLE pgmq.q_q ENABLE ROW LEVEL SECURITY;
        CREATE POLICY own ON pgmq.q_q TO {tenant} USING (message = '1');
        """.encode()
    )
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
        open_channel(connect(user=tenant))
    assert caught.value.diag.message_primary == (
        f'queue "q" cannot be pushed to {tenant}: it has row-level security'
    )
    assert caught.value.diag.message_hint == (
        "Messages are pushed past the policies. Use read, which goes by them."
    )
    # Policies are for neither superusers, nor these, nor the owner's members unless it is FORCEd.
    boss = queue.execute("SELECT relowner::regrole FROM pg_class WHERE relname = 'q_q'").fetchone()
    assert boss is not None
    consumers = [connect(), connect(user=exempt), connect(user=owner)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
        open_channel(consumers[2])
    queue.execute(f"GRANT {boss[0]} TO {owner}".encode())
    for consumer in consumers:
        open_channel(consumer)
    send(queue, 1, 2, 3)
    assert [pushed(consumer) for consumer in consumers] == [[1], [2], [3]]
    queue.execute("ALTER TABLE pgmq.q_q FORCE ROW LEVEL SECURITY")
    for msg_id in (1, 2, 3):
        _ack(queue, msg_id)
    send(queue, 4, 5, 6)
    assert sorted(pushed(*consumers[:2])) == [4, 5]
    assert pushed(consumers[2]) == []
