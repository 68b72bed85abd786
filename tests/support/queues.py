"""Queues of every kind, in use; and whether they still are what they were."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from psycopg import sql

from support.queries import ids, one

if TYPE_CHECKING:
    import psycopg

_POLICY = """set_policy({q}, max_receives => 9, dead_letter_queue => 'Dead "Letters"',
    retry_delay => '1 s', retry_delay_max => '1 min', retry_jitter => 0.5, message_ttl => '1 h',
    archive_retention => '1 h', dedup_window => '1 h', max_in_flight => 100,
    ack_archives => true)"""
_EXPIRING = "set_policy({q}, message_ttl => '1 h')"
_PENDING = "set_policy({q}, dedup_scope => 'pending')"
_SHARED = "alter_policy({q}, max_in_flight_per_group => 50)"
_LIMITS = """set_policy(
    {q}, max_in_flight => 100, rate_limit => 1000000, rate_interval => '1 s',
    rate_burst => 2000000)"""
_RANKED = "set_policy({q}, priorities => true, priority_ageing => '1 h')"
_FIFO = "create_fifo_index({q})"
_BY_ID = "create_partitioned({q}, '3', '1000', 1)"
_BY_TIME = "create_partitioned({q}, '1 day', '7 days', 1)"
_SCHEDULE = "schedule({q}, {q}, '@yearly', '0')"
_STREAM = "create_stream({q}, '100', '1000')"
_GROUP = "create_group({q}, 'g', 'earliest')"
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
    "pending": ["create({q})", _PENDING],
    "by_time_pending": [_BY_TIME, _PENDING],
    "full": ["create({q})", "set_policy({q}, max_in_flight => 100)"],
    "fair": ["create({q})", "create_fair_index({q})"],
    "shared": ["create({q})", _SHARED],
    "limited": ["create({q})", _LIMITS],
    "scheduled": ["create({q})", _SCHEDULE],
    "by_id_scheduled": [_BY_ID, _SCHEDULE],
    "ranked": ["create({q})", _RANKED],
    "by_id": [_BY_ID],
    "by_time": [_BY_TIME],
    "by_id_policy": [_BY_ID, _POLICY],
    "by_time_policy": [_BY_TIME, _POLICY],
    "by_id_shared": [_BY_ID, _POLICY, _SHARED],
    "by_id_fifo": [_BY_ID, _FIFO],
    "by_time_fifo": [_BY_TIME, _FIFO],
    "by_id_expiring": [_BY_ID, _EXPIRING],
    "by_id_ranked": [_BY_ID, _RANKED],
    "announced": ["create({q})", "enable_notify_insert({q}, 0)"],
    "woken": ["create({q})", "enable_wakeups({q})"],
    "pushed": ["create({q})", _FIFO, "enable_push({q})"],
    "by_id_pushed": [
        _BY_ID, _FIFO, "enable_notify_insert({q})", "enable_wakeups({q})",
        "enable_push({q})",
    ],
    "stream": [_STREAM, _GROUP],
    'Full "Stream" %I': [
        "create_stream({q})", "set_policy({q}, dedup_window => '1 h')",
        "enable_notify_insert({q}, 0)", "enable_wakeups({q})",
        "create_group({q}, 'g', 'earliest', 4, 2, 'Dead \"Letters\" of streams')",
    ],
}  # fmt: skip


def made(kind: str, queue: str) -> str:
    """Return the SQL that makes a queue of a kind."""
    calls = ", ".join(f"pgmq.{call}" for call in _CALLS[kind])
    return f"SELECT {calls}".replace("{q}", f"'{queue}'")


KINDS = {kind: made(kind, kind) for kind in _CALLS}
# What is newer than 2.0.0.
_NEWER = re.compile("fair_index|_per_group|rate_limit|priorities|schedule|stream|dedup_scope")
OF_2 = [kind for kind, make in KINDS.items() if not _NEWER.search(make)]
# Of a stream, groups read batches; of all others, single messages are leased.
STREAMS = [kind for kind, make in KINDS.items() if "create_stream" in make]
LEASED = [kind for kind in KINDS if kind not in STREAMS]
# Without those that are another one under another name, or have only what others combine: for what
# must be looked at in all that queues can have, but need not be in each queue.
DISTINCT = [
    kind
    for kind in KINDS
    if kind not in {
        "a_name_as_long_as_names_can_be_in_upstreams_pgm", "unlogged", "expiring", "deduplicated",
        "full", "announced", "woken", "by_id_policy", "by_id_fifo", "by_time_fifo",
        "by_id_expiring", "by_id_scheduled",
    }
]  # fmt: skip
# Those that differ in what their tables are; what is enabled for the others can be had by each.
LAYOUTS = ["plain", "by_id", "by_time"]

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
"""
KEYS = "SELECT pgmq.send_once('work', '6', 'key'), pgmq.send_once('fleeting', '6', 'key')"
FILL_STREAMS = "SELECT pgmq.bind('e', 'stream', 'a.#'), pgmq.bind_topic('*.b', 'stream')"
# 1 is archived, 2 leased, 3 back, 4 was never read, 5 is delayed. (Of streams, see _fill_stream.)
BATCH = """
    SELECT pgmq.send_batch(queue_name, '{1,2,3,4}', ARRAY[a, b, a, a])
    FROM unnest(%s::text[]) AS n (queue_name),
        (VALUES ('{"x-pgmq-group": "a"}'::jsonb, '{"x-pgmq-group": "b"}'::jsonb)) AS g (a, b)
"""
USE = (
    "SELECT pgmq.send(queue_name, '5', 3600) FROM unnest(%s::text[]) AS n (queue_name)",
    """
    SELECT pgmq.archive(queue_name, 1::bigint), pgmq.read(queue_name, 3600, 1)
    FROM unnest(%s::text[]) AS n (queue_name)
    """,
    "SELECT pgmq.read(queue_name, 0, 1) FROM unnest(%s::text[]) AS n (queue_name)",
)


def fill(session: psycopg.Connection) -> None:
    """Make a queue of every kind, and use it."""
    fill_of_2(session)
    fill_newer(session)


def fill_of_2(session: psycopg.Connection) -> None:
    """Make and use what 2.0.0 has, too."""
    for kind in OF_2:
        session.execute(KINDS[kind].encode())
    session.execute(FILL.encode())
    _use(session, [*OF_2, "work", "fleeting"])
    session.execute(KEYS)


def fill_newer(session: psycopg.Connection) -> None:
    """Make and use what 2.0.0 has not."""
    newer = [kind for kind in KINDS if kind not in OF_2]
    for kind in newer:
        session.execute(KINDS[kind].encode())
    session.execute(FILL_STREAMS)
    _use(session, [kind for kind in newer if kind not in STREAMS])
    for stream in STREAMS:
        _fill_stream(session, stream)
    session.execute("SELECT pgmq.create('paused'), pgmq.send('paused', '1')")
    session.execute("SELECT pgmq.pause('paused', sends => true)")
    # The marks are moved as far as they may be.
    for queue in ids(session, "SELECT queue_name FROM pgmq.list_queues()"):
        if queue != "work":  # whose dead letter waits for a read
            session.execute("SELECT pgmq.maintain(%s)", [queue])
    assert one(session, "SELECT last_value FROM pgmq.ready_mark_plain") == 4


def _use(session: psycopg.Connection, names: list[str]) -> None:
    for query in (BATCH, *USE):
        session.execute(query.encode(), [names])


def _fill_stream(session: psycopg.Connection, stream: str) -> None:
    """1 and 2 are committed, 3 and 4 leased: 2 is of another key, and perhaps of another lane."""
    session.execute(BATCH.encode(), [[stream]])
    while batch := _fetch(session, stream):
        for row in batch:
            if row[2] <= 2:
                assert one(session, "SELECT pgmq.commit(%s, 'g', %s, %s, %s)", stream, *row)
    session.execute("SELECT pgmq.send(%s, '5')", [stream])


def _fetch(session: psycopg.Connection, stream: str, qty: int = 9) -> list[tuple[int, int, int]]:
    """Lease the next batch of group g: rows of lane, epoch and msg_id."""
    query = "SELECT lane, epoch, msg_id FROM pgmq.fetch(%s, 'g', 3600, %s)"
    return session.execute(query, [stream, qty]).fetchall()


def _fetch_all(session: psycopg.Connection, stream: str) -> list[int]:
    """Lease what there is of all lanes that are free, and return the msg_ids."""
    found: list[int] = []
    while batch := _fetch(session, stream):
        found += [msg_id for *_, msg_id in batch]
    return found


def let_go(session: psycopg.Connection) -> None:
    """Have no queue take the dead letters of another, so that they can be dropped in any order."""
    session.execute(
        "SELECT pgmq.set_policy(p.queue_name) FROM pgmq.policy AS p"
        " WHERE p.dead_letter_queue IS NOT NULL"
    )
    session.execute(
        "SELECT pgmq.alter_group(queue_name, group_name,"
        " clear => '{max_deliveries,dead_letter_queue}') FROM pgmq.list_groups()"
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


def _reads_on(session: psycopg.Connection, stream: str) -> None:
    """Read on from what fill() has committed of a stream, neither earlier nor later."""
    assert ids(session, "SELECT msg_id FROM pgmq.peek(%s, 9)", stream) == [1, 2, 3, 4, 5]
    lane, epoch = session.execute(
        "SELECT lane, epoch FROM pgmq._lanes(%s) WHERE leased = 4 AND done IN (1, 2)", [stream]
    ).fetchall()[0]
    new = one(session, "SELECT pgmq.send(%s, '7')", stream)
    assert new >= 6
    others = _fetch_all(session, stream)  # of lanes that are not leased still
    assert one(session, "SELECT pgmq.commit(%s, 'g', %s, %s, 3)", stream, lane, epoch)
    assert one(session, "SELECT pgmq.release(%s, 'g', %s, %s)", stream, lane, epoch)
    batch = _fetch(session, stream)
    assert sorted(others + [row[2] for row in batch]) == [4, 5, new], stream
    dead = one(session, "SELECT dead_letter_queue FROM pgmq.list_groups(%s)", stream)
    if dead is not None:
        for _ in range(2):
            fail = "SELECT pgmq.release(%s, 'g', %s, %s, error => 'boom')"
            assert one(session, fail, stream, *batch[0][:2])
            batch = _fetch(session, stream)
        assert one(session, "SELECT message FROM pgmq.read(%s, 60, 1)", dead) == 4
    assert one(session, "SELECT pgmq.seek(%s, 'g', 'earliest')", stream) == 1
    assert sorted(_fetch_all(session, stream)) == [1, 2, 3, 4, 5, new], stream


def works(session: psycopg.Connection, *, emptied: bool = False) -> None:
    """Use everything once; emptied says that a crash has emptied what is unlogged."""
    for stream in STREAMS:
        _reads_on(session, stream)
    for queue in LEASED:
        make = KINDS[queue]
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

    paused = "SELECT msg_id FROM pgmq.read('paused', 60, 1)"
    assert ids(session, paused) == []
    assert one(session, "SELECT pgmq.resume('paused')")
    assert ids(session, paused) == [1]

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
    full = STREAMS[-1]
    channels = {
        *("c", "pgmq.q_announced.INSERT", "pgmq.q_woken.READY"),
        *(f"pgmq.q_{full.lower()}.{event}" for event in ("INSERT", "READY")),
    }
    for name in channels:
        session.execute(sql.SQL("LISTEN {}").format(sql.Identifier(name)))
    one(session, "SELECT pgmq.await('woken')")
    one(session, "SELECT pgmq.await(%s)", full)
    group = '{"x-pgmq-group": "c"}'
    for queue in ("announced", "woken", "pushed", full):
        session.execute("SELECT pgmq.send(%s, '8', %s::jsonb)", [queue, group])
    assert one(session, "SELECT pgmq.publish('e', 'a.b', '1')") == 3
    assert one(session, "SELECT pgmq.send_topic('a.b', '1')") == 2
    heard = {note.channel for note in session.notifies(timeout=1, stop_after=6)}
    assert heard == {channel, *channels}
    session.execute("SELECT pgmq.close_channel()")
