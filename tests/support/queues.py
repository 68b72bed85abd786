"""Queues of every kind, in use; and whether they still are what they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.queries import ids, one

if TYPE_CHECKING:
    import psycopg

_POLICY = """set_policy({q}, max_receives => 9, dead_letter_queue => 'Dead "Letters"',
    retry_delay => '1 s', retry_delay_max => '1 min', retry_jitter => 0.5, message_ttl => '1 h',
    archive_retention => '1 h', dedup_window => '1 h', max_in_flight => 100,
    ack_archives => true)"""
_EXPIRING = "set_policy({q}, message_ttl => '1 h')"
_FIFO = "create_fifo_index({q})"
_BY_ID = "create_partitioned({q}, '3', '1000', 1)"
_BY_TIME = "create_partitioned({q}, '1 day', '7 days', 1)"
# One of every kind of queue: its name, and the calls that make it. New kinds are added here.
_CALLS = {
    "plain": ["create({q})"],
    'Mixed "Case" %I': ["create({q})"],
    "a_name_as_long_as_names_can_be_in_upstreams_pgm": ["create({q})"],
    "unlogged": ["create_unlogged({q})"],
    "fifo": ["create({q})", _FIFO],
    "policy": ["create({q})", _POLICY],
    "expiring": ["create({q})", _EXPIRING],
    "deduplicated": ["create({q})", "set_policy({q}, dedup_window => '1 h')"],
    "full": ["create({q})", "set_policy({q}, max_in_flight => 100)"],
    "by_id": [_BY_ID],
    "by_time": [_BY_TIME],
    "by_id_policy": [_BY_ID, _POLICY],
    "by_time_policy": [_BY_TIME, _POLICY],
    "by_id_fifo": [_BY_ID, _FIFO],
    "by_time_fifo": [_BY_TIME, _FIFO],
    "by_id_expiring": [_BY_ID, _EXPIRING],
    "announced": ["create({q})", "enable_notify_insert({q}, 0)"],
    "woken": ["create({q})", "enable_wakeups({q})"],
    "pushed": ["create({q})", _FIFO, "enable_push({q})"],
    "by_id_pushed": [
        _BY_ID, _FIFO, "enable_notify_insert({q})", "enable_wakeups({q})",
        "enable_push({q})",
    ],
}  # fmt: skip


def made(kind: str, queue: str) -> str:
    """Return the SQL that makes a queue of a kind."""
    calls = ", ".join(f"pgmq.{call}" for call in _CALLS[kind])
    return f"SELECT {calls}".replace("{q}", f"'{queue}'")


KINDS = {kind: made(kind, kind) for kind in _CALLS}
# Those that differ in their tables; what is enabled for the others can be had by each of these.
LAYOUTS = ["plain"] + [
    kind for kind, calls in _CALLS.items() if len(calls) == 1 and calls != _CALLS["plain"]
]

# Beside one of each kind, what needs a state of its own: a message that was received too often, and
# a queue with a window that a crash empties.
FILL = """
    SELECT pgmq.create('work'), pgmq.create_unlogged('fleeting');
    SELECT pgmq.set_policy(
        'work', max_receives => 1, dead_letter_queue => 'dead', dedup_window => '1 hour',
        max_in_flight => 2, ack_archives => true
    );
    SELECT pgmq.set_policy('fleeting', dedup_window => '1 hour');
    SELECT pgmq.create_exchange('e'), pgmq.bind('e', 'plain', 'a.#');
    SELECT pgmq.bind_channel('e', 'c', '#'), pgmq.bind_topic('a.*', 'Mixed "Case" %I');
    -- 1 is archived, 2 leased, 3 back, 4 was never read, 5 is delayed.
    SELECT pgmq.send_batch(queue_name, '{1,2,3,4}', ARRAY[a, b, a, a])
    FROM pgmq.list_queues(),
        (VALUES ('{"x-pgmq-group": "a"}'::jsonb, '{"x-pgmq-group": "b"}'::jsonb)) AS g (a, b)
    WHERE queue_name !~* 'dead';
    SELECT pgmq.send(queue_name, '5', 3600) FROM pgmq.list_queues() WHERE queue_name !~* 'dead';
    SELECT pgmq.archive(queue_name, 1::bigint), pgmq.read(queue_name, 3600, 1)
    FROM pgmq.list_queues() WHERE queue_name !~* 'dead';
    SELECT pgmq.read(queue_name, 0, 1) FROM pgmq.list_queues() WHERE queue_name !~* 'dead';
    SELECT pgmq.send_once('work', '6', 'key'), pgmq.send_once('fleeting', '6', 'key');
"""


def fill(session: psycopg.Connection) -> None:
    """Make a queue of every kind, and use it."""
    for make in KINDS.values():
        session.execute(make.encode())
    session.execute(FILL.encode())
    # The marks are moved as far as they may be.
    for queue in ids(session, "SELECT queue_name FROM pgmq.list_queues()"):
        if queue != "work":  # whose dead letter waits for a read
            session.execute("SELECT pgmq.maintain(%s)", [queue])
    assert one(session, "SELECT last_value FROM pgmq.ready_mark_plain") == 4


def let_go(session: psycopg.Connection) -> None:
    """Have no queue take the dead letters of another, so that they can be dropped in any order."""
    session.execute(
        "SELECT pgmq.set_policy(p.queue_name) FROM pgmq.policy AS p"
        " WHERE p.dead_letter_queue IS NOT NULL"
    )


def contents(session: psycopg.Connection, *, without: str = "-") -> dict[str, Any]:
    """Every row of every table, but of what a dump cannot keep; and of every sequence the value."""
    relations = session.execute(
        """
        SELECT c.oid::regclass::text,
            CASE c.relkind WHEN 'S' THEN '(t.last_value, t.is_called)' ELSE 't' END
        FROM pg_class AS c
        WHERE c.relnamespace = 'pgmq'::regnamespace AND c.relkind IN ('r', 'S')
            AND c.relname !~ '^(installation$|look)' AND c.relname !~ %s ORDER BY c.relname
        """,
        [without],
    ).fetchall()
    return {
        name: ids(session, f"SELECT {row}::text FROM {name} AS t ORDER BY 1")
        for name, row in relations
    }


def works(session: psycopg.Connection, *, emptied: bool = False) -> None:
    """Use everything once; emptied says that a crash has emptied what is unlogged."""
    for queue, make in KINDS.items():
        left = [] if emptied and "unlogged" in make else [3, 4]
        assert ids(session, "SELECT msg_id FROM pgmq.peek(%s, 9)", queue) == left, queue
        new = one(session, "SELECT pgmq.send(%s, '7')", queue)
        assert new >= 6, queue
        if "fifo" in make:
            # 2 is leased, 4 is of the group of 3, and 5 is delayed with its group.
            call = "SELECT msg_id FROM pgmq.read_grouped(%s, 60, %s)"
            assert ids(session, call, queue, 1) == [3], queue
            assert ids(session, call, queue, 9) == [], queue
            left = [4]
        kept = left != []
        found = ids(session, "SELECT msg_id FROM pgmq.read(%s, 60, 9)", queue)
        assert found == [*left, new], queue
        assert one(session, "SELECT pgmq.ack(%s, 2, 1)", queue) == kept, queue
        assert one(session, "SELECT pgmq.archive(%s, 5::bigint)", queue) == kept, queue

    # 3 was received too often; of two leases, one is taken.
    for key, is_new in (("key", False), ("new", True)):
        assert one(session, "SELECT is_new FROM pgmq.send_once('work', '6', %s)", key) == is_new
    assert ids(session, "SELECT msg_id FROM pgmq.read('work', 60, 9)") == [4]
    assert one(session, "SELECT message FROM pgmq.read('dead', 60, 1)") == 3
    assert one(session, "SELECT pgmq.ack('work', 4, 1)")
    assert ids(session, "SELECT msg_id FROM pgmq.a_work ORDER BY 1") == [1, 4]

    key_is_new = one(session, "SELECT is_new FROM pgmq.send_once('fleeting', '6', 'key')")
    assert key_is_new == emptied
    found = ids(session, "SELECT msg_id FROM pgmq.read('fleeting', 60, 9)")
    assert found[-1] > 6 if emptied else found == [3, 4, 6]
    assert len(found) == (1 if emptied else 3)
    assert one(session, "SELECT pgmq.archive('fleeting', %s::bigint)", found[-1])
    assert ids(session, "SELECT msg_id FROM pgmq.a_fleeting ORDER BY 1") == [1, found[-1]]

    channel = one(session, "SELECT pgmq.open_channel('pushed')")
    session.execute('LISTEN c; LISTEN "pgmq.q_announced.INSERT"; LISTEN "pgmq.q_woken.READY"')
    one(session, "SELECT pgmq.await('woken')")
    group = '{"x-pgmq-group": "c"}'
    for queue in ("announced", "woken", "pushed"):
        session.execute("SELECT pgmq.send(%s, '8', %s::jsonb)", [queue, group])
    assert one(session, "SELECT pgmq.publish('e', 'a.b', '1')") == 2
    assert one(session, "SELECT pgmq.send_topic('a.b', '1')") == 1
    heard = {note.channel for note in session.notifies(timeout=1, stop_after=4)}
    assert heard == {channel, "c", "pgmq.q_announced.INSERT", "pgmq.q_woken.READY"}
    session.execute("SELECT pgmq.close_channel()")
