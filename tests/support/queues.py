"""Queues of every kind, in use; and whether they still are what they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.queries import ids, one

if TYPE_CHECKING:
    import psycopg

# One of every kind of queue: its name, and what makes it. New kinds are added here.
_POLICY = """max_receives => 9, dead_letter_queue => 'Dead "Letters"', retry_delay => '1 s',
    retry_delay_max => '1 min', retry_jitter => 0.5, message_ttl => '1 h',
    archive_retention => '1 h', dedup_window => '1 h', max_in_flight => 100, ack_archives => true"""
KINDS = {
    "plain": "SELECT pgmq.create('plain')",
    'Mixed "Case" %I': """SELECT pgmq.create('Mixed "Case" %I')""",
    "unlogged": "SELECT pgmq.create_unlogged('unlogged')",
    "fifo": "SELECT pgmq.create('fifo'), pgmq.create_fifo_index('fifo')",
    "policy": f"SELECT pgmq.create('policy'), pgmq.set_policy('policy', {_POLICY})",
    "expiring": "SELECT pgmq.create('expiring'), pgmq.set_policy('expiring', message_ttl => '1 h')",
    "deduplicated": "SELECT pgmq.create('deduplicated'),"
    " pgmq.set_policy('deduplicated', dedup_window => '1 h')",
    "full": "SELECT pgmq.create('full'), pgmq.set_policy('full', max_in_flight => 100)",
    "by_id": "SELECT pgmq.create_partitioned('by_id')",
    "by_time": "SELECT pgmq.create_partitioned('by_time', '1 day', '7 days')",
    "by_id_policy": "SELECT pgmq.create_partitioned('by_id_policy'),"
    f" pgmq.set_policy('by_id_policy', {_POLICY})",
    "by_time_policy": "SELECT pgmq.create_partitioned('by_time_policy', '1 day', '7 days'),"
    f" pgmq.set_policy('by_time_policy', {_POLICY})",
    "by_id_fifo": "SELECT pgmq.create_partitioned('by_id_fifo'),"
    " pgmq.create_fifo_index('by_id_fifo')",
    "by_time_fifo": "SELECT pgmq.create_partitioned('by_time_fifo', '1 day', '7 days'),"
    " pgmq.create_fifo_index('by_time_fifo')",
    "by_id_expiring": "SELECT pgmq.create_partitioned('by_id_expiring'),"
    " pgmq.set_policy('by_id_expiring', message_ttl => '1 h')",
    "announced": "SELECT pgmq.create('announced'), pgmq.enable_notify_insert('announced')",
    "woken": "SELECT pgmq.create('woken'), pgmq.enable_wakeups('woken')",
    "pushed": "SELECT pgmq.create('pushed'), pgmq.create_fifo_index('pushed'),"
    " pgmq.enable_push('pushed')",
    "by_id_pushed": "SELECT pgmq.create_partitioned('by_id_pushed'),"
    " pgmq.create_fifo_index('by_id_pushed'), pgmq.enable_notify_insert('by_id_pushed'),"
    " pgmq.enable_wakeups('by_id_pushed'), pgmq.enable_push('by_id_pushed')",
}

LOGGED = ["plain", "Mixed Case", "groups", "work", "pushed"]
QUEUES = [*LOGGED, "fleeting"]
FILL = """
    SELECT pgmq.create(name) FROM unnest(ARRAY['plain', 'Mixed Case', 'groups', 'work', 'pushed'])
        AS n (name);
    SELECT pgmq.create_unlogged('fleeting'), pgmq.create_fifo_index('groups');
    SELECT pgmq.set_policy(
        'work', max_receives => 1, dead_letter_queue => 'dead', dedup_window => '1 hour',
        max_in_flight => 2, ack_archives => true
    );
    SELECT pgmq.set_policy('fleeting', dedup_window => '1 hour');
    SELECT pgmq.enable_notify_insert('plain', 0), pgmq.enable_wakeups('Mixed Case');
    SELECT pgmq.enable_push('pushed'), pgmq.create_exchange('e');
    SELECT pgmq.bind('e', 'plain', 'a.#'), pgmq.bind_channel('e', 'c', '#');
    SELECT pgmq.bind_topic('a.*', 'mixed case');
    -- 1 is archived, 2 leased, 3 back, 4 was never read, 5 is delayed.
    SELECT pgmq.send_batch(queue_name, '{1,2,3,4}', ARRAY[a, b, a, a])
    FROM pgmq.list_queues(),
        (VALUES ('{"x-pgmq-group": "a"}'::jsonb, '{"x-pgmq-group": "b"}'::jsonb)) AS g (a, b)
    WHERE queue_name <> 'dead';
    SELECT pgmq.send(queue_name, '5', 3600) FROM pgmq.list_queues() WHERE queue_name <> 'dead';
    SELECT pgmq.archive(queue_name, 1::bigint), pgmq.read(queue_name, 3600, 1)
    FROM pgmq.list_queues() WHERE queue_name <> 'dead';
    SELECT pgmq.read(queue_name, 0, 1) FROM pgmq.list_queues() WHERE queue_name <> 'dead';
    SELECT pgmq.send_once('work', '6', 'key'), pgmq.send_once('fleeting', '6', 'key');
"""


def fill(session: psycopg.Connection) -> None:
    session.execute(FILL.encode())
    # The marks are moved as far as they may be.
    for queue in ids(session, "SELECT queue_name FROM pgmq.list_queues()"):
        if queue != "work":  # whose dead letter waits for a read
            session.execute("SELECT pgmq.maintain(%s)", [queue])
    assert one(session, "SELECT last_value FROM pgmq.ready_mark_plain") == 4


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
    for queue in ("plain", "Mixed Case", "pushed"):
        assert ids(session, "SELECT msg_id FROM pgmq.peek(%s, 9)", queue) == [3, 4]
        new = one(session, "SELECT pgmq.send(%s, '7')", queue)
        assert new >= 6
        assert ids(session, "SELECT msg_id FROM pgmq.read(%s, 60, 9)", queue) == [3, 4, new]
        assert one(session, "SELECT pgmq.ack(%s, 2, 1)", queue)
        assert one(session, "SELECT pgmq.archive(%s, 5::bigint)", queue)

    # 2 is leased and all of its group.
    assert ids(session, "SELECT msg_id FROM pgmq.read_grouped('groups', 60, 1)") == [3]
    assert ids(session, "SELECT msg_id FROM pgmq.read_grouped('groups', 60, 9)") == []

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
    session.execute('LISTEN c; LISTEN "pgmq.q_plain.INSERT"; LISTEN "pgmq.q_mixed case.READY"')
    one(session, "SELECT pgmq.await('Mixed Case')")
    session.execute("SELECT pgmq.send('pushed', '8')")
    assert one(session, "SELECT pgmq.publish('e', 'a.b', '1')") == 2
    assert one(session, "SELECT pgmq.send_topic('a.b', '1')") == 1
    heard = {note.channel for note in session.notifies(timeout=1, stop_after=4)}
    assert heard == {channel, "c", "pgmq.q_plain.INSERT", "pgmq.q_mixed case.READY"}
    session.execute("SELECT pgmq.close_channel()")
