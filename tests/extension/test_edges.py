"""Rows and numbers that must not stop a queue, slow it down or be counted as what they are not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from support.prepared import prepared
from support.queries import ids, one

if TYPE_CHECKING:
    from conftest import Connect

READ = "SELECT msg_id FROM pgmq.read('q', 0, %s)"
NO_OBJECTS = ["null", "1", "true", '"x-pgmq-dead-letter"', "[]", '["x-pgmq-ttl", {"a": 1}]']


template = prepared("SELECT pgmq.create('q')", by="queue")


@pytest.fixture
def queue(db: psycopg.Connection) -> psycopg.Connection:
    return db


@pytest.mark.parametrize("headers", NO_OBJECTS)
def test_headers_that_are_no_object_count_as_none(queue: psycopg.Connection, headers: str) -> None:
    queue.execute(
        "SELECT pgmq.set_policy('q', max_receives => 1, dead_letter_queue => 'dead',"
        " message_ttl => '1 h', dedup_window => '1 h')"
    )
    queue.execute("SELECT pgmq.send('q', '1', %s::jsonb)", [headers])
    assert ids(queue, "SELECT msg_id FROM pgmq.read_grouped('q', 60, 1)") == [1]
    assert one(queue, "SELECT pgmq.nack('q', 1, 1, 0, 'broken')")
    assert one(queue, "SELECT headers FROM pgmq.q_q") == {"x-pgmq-error": "broken"}
    assert ids(queue, READ, 1) == []
    dead = one(queue, "SELECT headers -> 'x-pgmq-dead-letter' FROM pgmq.q_dead")
    assert (dead["queue"], dead["error"]) == ("q", "broken")
    assert one(queue, "SELECT pgmq.redrive('dead')") == 1
    assert one(queue, "SELECT headers IS NULL FROM pgmq.q_q")

    # Dead without an error.
    queue.execute("SELECT pgmq.purge_queue('q')")
    queue.execute("SELECT pgmq.send('q', '1', %s::jsonb)", [headers])
    ids(queue, READ, 1)
    assert ids(queue, READ, 1) == []
    assert one(queue, "SELECT headers ->> 'x-pgmq-dead-letter' IS NOT NULL FROM pgmq.q_dead")
    assert one(queue, "SELECT pgmq.redrive('dead')") == 1


@pytest.mark.parametrize(
    "call",
    [
        READ,
        "SELECT msg_id FROM pgmq.read('q', 0, %s, '1')",
        "SELECT msg_id FROM pgmq.read_grouped('q', 0, %s)",
        "SELECT msg_id FROM pgmq.read_grouped_head('q', 0, %s)",
        "SELECT msg_id FROM pgmq.read_any('{q}', 0, %s)",
        "SELECT msg_id FROM pgmq.pop('q', %s)",
    ],
)
@pytest.mark.parametrize("policy", ["", "max_in_flight => 9", "message_ttl => '1 h'"])
def test_a_message_that_was_read_as_often_as_can_be_counted_is_read_again(
    queue: psycopg.Connection, call: str, policy: str
) -> None:
    if policy:
        queue.execute(f"SELECT pgmq.set_policy('q', {policy})".encode())
    queue.execute("SELECT pgmq.send('q', '1'), pgmq.read('q', 0, 1)")
    queue.execute("UPDATE pgmq.q_q SET read_ct = 2147483646")
    if "pop" not in call:
        for _ in range(3):
            assert ids(queue, call, 1) == [1]
        assert one(queue, "SELECT pgmq.nack('q', 1, 2147483647, 0)")
    assert ids(queue, call, 1) == [1]


def test_whoever_looks_leaves_out_what_no_read_returns(queue: psycopg.Connection) -> None:
    queue.execute("SELECT pgmq.set_policy('q', max_receives => 1, message_ttl => '1 h')")
    queue.execute("SELECT pgmq.send_batch('q', array_agg('1'::jsonb)) FROM generate_series(1, 700)")
    queue.execute("SELECT pgmq.send('q', '2'), count(*) FROM pgmq.read('q', 0, 500)")
    queue.execute(
        "UPDATE pgmq.q_q SET vt = vt - interval '2 h', enqueued_at = enqueued_at - interval '2 h'"
        " WHERE msg_id BETWEEN 501 AND 700"
    )
    assert ids(queue, "SELECT msg_id FROM pgmq.peek('q', 9)") == [701]
    assert ids(queue, "SELECT msg_id FROM pgmq.peek('q', 9, '1')") == []
    assert one(queue, "SELECT queue_visible_length FROM pgmq.metrics('q')") == 1
    assert one(queue, "SELECT queue_length FROM pgmq.metrics('q')") == 701
    visible = "SELECT pgmq.next_visible_at('q') <= now()"
    assert one(queue, visible) is True
    assert ids(queue, READ, 9) == [701]
    assert one(queue, visible) is None
    queue.execute("SELECT pgmq.send('q', '1', 60), pgmq.send('q', '1', 7200)")
    assert one(queue, visible) is False
    queue.execute("UPDATE pgmq.q_q SET read_ct = 1 WHERE vt < now() + interval '1 h'")
    assert one(queue, visible) is False  # the read that finds it due takes it away
    assert one(queue, "SELECT queue_visible_length FROM pgmq.metrics('q')") == 0
    assert ids(queue, "SELECT msg_id FROM pgmq.peek('q', 9)") == []
    # More than are passed: a read must clear them away.
    queue.execute("SELECT pgmq.purge_queue('q')")
    queue.execute(
        "SELECT pgmq.send_batch('q', array_agg('1'::jsonb)) FROM generate_series(1, 1200)"
    )
    assert len(ids(queue, READ, 1200)) == 1200
    assert one(queue, visible) is True
    assert ids(queue, READ, 1) == []
    assert one(queue, visible) is None


@pytest.mark.parametrize(
    "retry_jitter", ["0.5::float8", "0.5::float4", "0.5", "1", "'0.5'", "null"]
)
def test_the_jitter_is_bound_as_any_number(queue: psycopg.Connection, retry_jitter: str) -> None:
    queue.execute(
        "SELECT pgmq.set_policy(queue_name => 'q', retry_delay => '1 s',"
        f" retry_jitter => {retry_jitter})".encode()
    )
    found = one(queue, "SELECT (pgmq.get_policy('q')).retry_jitter")
    assert found == {"1": 1, "null": 0}.get(retry_jitter, 0.5)


def test_a_dead_letter_whose_place_in_the_archive_is_taken_stops_no_read(
    queue: psycopg.Connection,
) -> None:
    queue.execute("SELECT pgmq.set_policy('q', max_receives => 1, max_in_flight => 2)")
    queue.execute("SELECT pgmq.send_batch('q', '{1,2,3,4}')")
    ids(queue, READ, 2)
    queue.execute("INSERT INTO pgmq.a_q (msg_id, vt, message) VALUES (2, now(), '\"old\"')")
    assert ids(queue, "SELECT msg_id FROM pgmq.read('q', 60, 1)") == [3]
    assert ids(queue, "SELECT msg_id FROM pgmq.read('q', 60, 9)") == [4]
    assert ids(queue, "SELECT message FROM pgmq.a_q ORDER BY msg_id") == [1, "old"]
    found = queue.execute(
        "SELECT severity, finding, fix FROM pgmq.doctor() WHERE finding ~ 'archive'"
    ).fetchall()
    assert [row[0] for row in found] == ["critical"]
    assert "1 message" in found[0][1]
    assert "msg_id 2" in found[0][1]

    # Nothing was lost, and once the place is free the next read goes on.
    queue.execute("DELETE FROM pgmq.a_q WHERE msg_id = 2")
    assert one(queue, "SELECT count(*) FROM pgmq.set_vt('q', 2, 0)") == 1
    queue.execute("SELECT pgmq.ack('q', '{3,4}'::bigint[], '{1,1}')")
    assert ids(queue, READ, 1) == []
    assert ids(queue, "SELECT message FROM pgmq.a_q ORDER BY msg_id") == [1, 2]
    assert ids(queue, "SELECT finding FROM pgmq.doctor() WHERE finding ~ 'archive'") == []


@pytest.mark.parametrize(
    "call",
    [
        "SELECT pgmq.archive('q', 2)",
        "SELECT pgmq.archive('q', ARRAY[1, 2, 3])",
        "SELECT pgmq.ack('q', 2, 1)",
        "SELECT pgmq.ack('q', '{1,2,3}'::bigint[], '{1,1,1}')",
    ],
)
def test_a_message_whose_place_in_the_archive_is_taken_stays(
    queue: psycopg.Connection, call: str
) -> None:
    queue.execute("SELECT pgmq.set_policy('q', ack_archives => true)")
    queue.execute("SELECT pgmq.send_batch('q', '{1,2,3}')")
    ids(queue, "SELECT msg_id FROM pgmq.read('q', 60, 3)")
    queue.execute("INSERT INTO pgmq.a_q (msg_id, vt, message) VALUES (2, now(), '\"old\"')")
    with pytest.raises(psycopg.errors.UniqueViolation, match="a_q_pkey"):
        queue.execute(call.encode())
    assert one(queue, "SELECT count(*) FROM pgmq.q_q") == 3
    assert ids(queue, "SELECT message FROM pgmq.a_q") == ["old"]
    queue.execute("UPDATE pgmq.a_q SET msg_id = -2")
    queue.execute(call.encode())
    assert one(queue, "SELECT count(*) FROM pgmq.a_q") in (2, 4)


@pytest.mark.parametrize("call", [READ, "SELECT msg_id FROM pgmq.pop('q', %s)"])
def test_a_dead_letter_queue_that_refuses_messages_stops_no_read(
    queue: psycopg.Connection, call: str
) -> None:
    queue.execute("SELECT pgmq.set_policy('q', max_receives => 1, dead_letter_queue => 'dead')")
    queue.execute("SELECT pgmq.send_batch('q', '{1,2}')")
    ids(queue, READ, 1)
    queue.execute("ALTER TABLE pgmq.q_dead ADD CHECK (message <> '1')")
    assert ids(queue, call, 9) == [2]
    assert ids(queue, "SELECT msg_id FROM pgmq.q_q WHERE msg_id = 1 AND vt > now()") == [1]


@pytest.mark.parametrize("size", [1, 10, 100, 1000])
def test_old_keys_and_archived_messages_do_not_pile_up(
    queue: psycopg.Connection, size: int
) -> None:
    queue.execute(
        "SELECT pgmq.set_policy('q', dedup_window => '1 ms', archive_retention => '1 ms',"
        " ack_archives => true)"
    )
    most = 0
    for call in range(max(12000 // size // 10, 12)):
        queue.execute(
            "SELECT pgmq.send_batch('q', array_agg('1'::jsonb),"
            " array_agg(jsonb_build_object('x-pgmq-dedup-id', format('%%s %%s', %s::text, n))))"
            " FROM generate_series(1, %s) AS n",
            [str(call), size],
        )
        queue.execute(
            "SELECT pgmq.ack('q', array_agg(msg_id), array_agg(read_ct))"
            " FROM pgmq.read('q', 60, %s)",
            [size],
        )
        left = one(queue, "SELECT count(*) FROM pgmq.dedup_q")
        most = max(most, left, one(queue, "SELECT count(*) FROM pgmq.a_q"))
    assert most <= 3 * size + 600


def _seconds(session: psycopg.Connection, query: str, *arguments: Any) -> float:
    begun = time.monotonic()
    session.execute(query.encode(), arguments)
    return time.monotonic() - begun


@pytest.mark.once
@pytest.mark.parametrize(
    ("call", "groups"),
    [
        ("read", None),
        ("read_grouped", 40000),
        ("read_grouped", 4),
    ],
)
def test_a_great_array_costs_no_more_while_another_session_holds_a_message(
    queue: psycopg.Connection, connect: Connect, call: str, groups: int | None
) -> None:
    queue.execute(
        "INSERT INTO pgmq.q_q (vt, message, headers)"
        " SELECT now(), '1', jsonb_build_object('x-pgmq-group', n %% %s)"
        " FROM generate_series(1, 40000) AS n",
        [groups or 1],
    )
    queue.execute("SELECT pgmq.create_fifo_index('q')")
    ids(queue, READ, 40000)
    query = f"SELECT count(*) FROM pgmq.{call}('q', 0, 40000)"
    queue.execute("VACUUM pgmq.q_q")
    alone = _seconds(queue, query)
    other = connect()
    with other.transaction():
        other.execute("SELECT FROM pgmq.q_q WHERE msg_id = 20000 FOR UPDATE")
        assert _seconds(queue, query) < 4 * alone + 1


def test_a_great_batch_with_keys_takes_time_in_proportion(queue: psycopg.Connection) -> None:
    queue.execute("SELECT pgmq.set_policy('q', dedup_window => '1 h')")
    query = (
        "SELECT count(*) FROM pgmq.send_batch('q',"
        " (SELECT array_agg('1'::jsonb) FROM generate_series(1, %(n)s)),"
        " (SELECT array_agg(jsonb_build_object('x-pgmq-dedup-id', n)) FROM"
        " generate_series(1, %(n)s) AS n))"
    )
    queue.execute(query, {"n": 50000})
    queue.execute("SET statement_timeout = '10s'")
    assert queue.execute(query, {"n": 50000}).fetchone() == (50000,)


def test_a_message_that_never_falls_due_is_the_next_one_all_the_same(
    db: psycopg.Connection,
) -> None:
    """Without a time to live it does not expire either, not even then."""
    db.execute("SELECT pgmq.create('q'), pgmq.set_policy('q', max_receives => 2)")
    db.execute("SELECT pgmq.send('q', '1', 'infinity'::timestamptz)")
    assert db.execute("SELECT pgmq.next_visible_at('q')::text").fetchone() == ("infinity",)
