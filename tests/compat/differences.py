"""Where this project means to differ from upstream, in exactly which way, and why.

Each is run on fresh databases and must have exactly the outcomes written here on both sides, so a
change of either side shows.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from compat.calls import SIX, Q


@dataclasses.dataclass(frozen=True, slots=True)
class Error:
    """An error that a call raises; its message is None where Postgres' versions differ."""

    sqlstate: str
    message: str | None


# A call's rows in their order, or its error.
Expected = list[tuple[Any, ...]] | Error


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """After the steps, each call has the first outcome upstream, and the second one here."""

    reason: str
    calls: dict[str, tuple[Expected, Expected]]
    steps: tuple[str, ...] = ()


def _each(
    calls: list[str], upstream: Expected, ours: Expected
) -> dict[str, tuple[Expected, Expected]]:
    return {f"SELECT pgmq.{call}": (upstream, ours) for call in calls}


def _on(queue: str) -> list[str]:
    return [
        f"send({queue}, '1')",
        f"send({queue}, '1', '{{}}'::jsonb, 0)",
        f"send({queue}, '1', now())",
        f"send_batch({queue}, '{{1}}')",
        f"send_batch({queue}, '{{1}}', 5)",
        f"read({queue}, 0, 1)",
        f"read({queue}, 0, 1, '{{\"a\":1}}')",
        f"read_with_poll({queue}, 0, 1)",
        f"read_grouped({queue}, 0, 1)",
        f"read_grouped_with_poll({queue}, 0, 1)",
        f"read_grouped_rr({queue}, 0, 1)",
        f"read_grouped_rr_with_poll({queue}, 0, 1)",
        f"read_grouped_head({queue}, 0, 1)",
        f"read_grouped_head_with_poll({queue}, 0, 1)",
        f"create_fifo_index({queue})",
        f"pop({queue})",
        f"pop({queue}, 0)",
        f"delete({queue}, 1)",
        f"delete({queue}, '{{}}'::bigint[])",
        f"archive({queue}, 1)",
        f"archive({queue}, '{{1}}'::bigint[])",
        f"set_vt({queue}, 1, 0)",
        f"set_vt({queue}, 1, now())",
        f"set_vt({queue}, '{{1}}'::bigint[], 0)",
        f"set_vt({queue}, '{{1}}'::bigint[], now())",
        f"purge_queue({queue})",
        f"metrics({queue})",
    ]


_NO_VT = Error("23502", 'null value in column "vt" of relation "q_q" violates not-null constraint')
_NO_QUEUE = 'queue "nope" does not exist (relation "pgmq.q_nope" does not exist)'
_LONG = 31 * "ü"

# One clock hour is repeated when daylight saving time ends: this zone's does within half an hour.
_REPEATED_HOUR = (
    "SELECT set_config('TimeZone', 'AAA0BBB,J1,J' || extract(doy FROM d)::integer"
    " - (extract(doy FROM d) > 59 AND extract(day FROM date_trunc('year', d) + interval '59 d')"
    " = 29)::integer || '/' || to_char(d, 'HH24:MI'), false)"
    " FROM (SELECT clock_timestamp() AT TIME ZONE 'UTC' + interval '90 min' AS d) s"
)

_GROUPS = """
    SELECT pgmq.send_batch('q', '{1,2,3,4,5}', ARRAY['{"x-pgmq-group":"a"}', '{"x-pgmq-group":"b"}',
        '{"x-pgmq-group":"b"}', '{"x-pgmq-group":"b"}', NULL]::jsonb[])
"""

_REFUSE = (
    "CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    """
    CREATE TRIGGER refuse BEFORE INSERT ON pgmq.q_q
    FOR EACH ROW EXECUTE FUNCTION pg_temp.refuse()
    """,
)

_LIST = "pgmq.list_notify_insert_throttles()"
_THROTTLES = f"SELECT queue_name, throttle_interval_ms FROM {_LIST}"

DIFFERENCES: dict[str, Difference] = {
    "a missing queue is called a queue": Difference(
        "a caller knows queues, not tables; upstream's words follow, for who looks for them",
        _each(
            _on("'nope'"),
            Error("42P01", 'relation "pgmq.q_nope" does not exist'),
            Error("42P01", _NO_QUEUE),
        ),
    ),
    "a queue name that is NULL is called that": Difference(
        "upstream's message is about its own SQL",
        _each(
            [
                *_on("NULL"),
                "disable_notify_insert(NULL)",
                "create(NULL)",
                "create_non_partitioned(NULL)",
                "create_unlogged(NULL)",
            ],
            Error("22004", "null values cannot be formatted as an SQL identifier"),
            Error("22004", "queue name must not be null"),
        ),
    ),
    "a delay that is NULL is an error about the delay, and uses up no id": Difference(
        "upstream's message is about its table, and shows the row",
        {
            **_each(
                [
                    "send('q', '1', NULL::integer)",
                    "send('q', '1', NULL::timestamptz)",
                    "send('q', '1', '{}'::jsonb, NULL::integer)",
                    "send('q', '1', '{}'::jsonb, NULL::timestamptz)",
                    "send_batch('q', '{1}', NULL::integer)",
                    "send_batch('q', '{1}', NULL::timestamptz)",
                    "send_batch('q', '{1}', '{1}'::jsonb[], NULL::integer)",
                    "send_batch('q', '{1}', '{1}'::jsonb[], NULL::timestamptz)",
                ],
                _NO_VT,
                Error("22004", "delay must not be null"),
            ),
            "SELECT pgmq.send('q', '1')": ([(9,)], [(1,)]),
        },
        steps=(Q,),
    ),
    "a vt that is NULL is an error about the vt": Difference(
        "upstream's message is about its table, and shows the row",
        _each(
            [
                "read('q', NULL, 1)",
                "read_with_poll('q', NULL, 1)",
                "read_grouped('q', NULL, 1)",
                "read_grouped_rr('q', NULL, 1)",
                "read_grouped_head('q', NULL, 1)",
                "set_vt('q', 1, NULL::integer)",
                "set_vt('q', 1, NULL::timestamptz)",
                "set_vt('q', '{1}'::bigint[], NULL::integer)",
                "set_vt('q', '{1}'::bigint[], NULL::timestamptz)",
            ],
            _NO_VT,
            Error("22004", "vt must not be null"),
        ),
        steps=(Q, SIX),
    ),
    "a vt that is NULL is an error even when there is no message": Difference(
        "a wrong call should not fail only on the day that a message is there",
        _each(
            [
                "read('q', NULL, 1)",
                "read_grouped('q', NULL, 1)",
                "read_grouped_rr('q', NULL, 1)",
                "read_grouped_head('q', NULL, 1)",
                "set_vt('q', 1, NULL::integer)",
            ],
            [],
            Error("22004", "vt must not be null"),
        ),
        steps=(Q,),
    ),
    "a qty that is negative is an error about the qty": Difference(
        "upstream's message is about its own SQL",
        _each(
            [
                "read('q', 0, -1)",
                "read_with_poll('q', 0, -1)",
                "read_grouped('q', 0, -1)",
                "read_grouped_head('q', 0, -1)",
                "pop('q', -1)",
            ],
            Error("2201W", "LIMIT must not be negative"),
            Error("2201W", "qty must not be negative: -1"),
        ),
        steps=(Q, SIX),
    ),
    "a qty that is negative is an error for read_grouped_rr too": Difference(
        "upstream returns nothing, as if the queue were empty",
        _each(
            ["read_grouped_rr('q', 0, -1)", "read_grouped_rr_with_poll('q', 0, -1, 1)"],
            [],
            Error("2201W", "qty must not be negative: -1"),
        ),
        steps=(Q, SIX),
    ),
    "a qty that is NULL is no limit for read_grouped and read_grouped_rr": Difference(
        "upstream returns nothing, as if the queue were empty; its other reads return all",
        {
            "SELECT array_agg(msg_id) FROM pgmq.read_grouped('q', 0, NULL)": (
                [(None,)],
                [([1, 2, 3, 4, 5],)],
            ),
            "SELECT array_agg(msg_id) FROM pgmq.read_grouped_rr('q', 0, NULL)": (
                [(None,)],
                [([1, 2, 5, 3, 4],)],
            ),
        },
        steps=(Q, _GROUPS),
    ),
    "what follows a gap in a group is not handed out": Difference(
        "upstream skips a delayed or leased message in the middle of a group: it breaks the order",
        {
            "SELECT msg_id FROM pgmq.read_grouped('q', 0, 10)": (
                [(1,), (2,), (3,), (4,), (5,)],
                [(1,), (2,), (3,), (4,), (5,)],
            ),
            "SELECT msg_id FROM pgmq.set_vt('q', 3, 3600)": ([(3,)], [(3,)]),
            "SELECT array_agg(msg_id) FROM pgmq.read_grouped('q', 0, 10)": (
                [([1, 2, 4, 5],)],
                [([1, 2, 5],)],
            ),
            "SELECT array_agg(msg_id) FROM pgmq.read_grouped_rr('q', 0, 10)": (
                [([1, 2, 5, 4],)],
                [([1, 2, 5],)],
            ),
        },
        steps=(Q, _GROUPS),
    ),
    "a grouped read takes no advisory lock": Difference(
        "upstream's are of the whole database, by group: an equal name in another queue is blocked",
        {
            "SELECT count(*) FROM pgmq.read_grouped_rr('q', 60, 1)": ([(1,)], [(1,)]),
            "SELECT count(*) > 0 FROM pg_locks"
            " WHERE locktype = 'advisory' AND pid = pg_backend_pid()": ([(True,)], [(False,)]),
        },
        steps=(Q, _GROUPS, "BEGIN"),
    ),
    "create_fifo_index makes another index": Difference(
        "upstream's GIN index on headers is not one that finds a group's next message",
        {
            "SELECT indexname FROM pg_indexes WHERE tablename = 'q_q' AND indexname ~ 'fifo'": (
                [("q_q_fifo_idx",)],
                [("fifo_idx_q",)],
            ),
        },
        steps=(Q, "SELECT pgmq.create_fifo_index('q')"),
    ),
    "a batch comes in msg_id order": Difference(
        "upstream returns rows as its join finds them; first in, first out is what a queue is for",
        {
            "SELECT msg_id FROM pgmq.read('q', 0, 6)": (
                [(2,), (3,), (4,), (5,), (6,), (1,)],
                [(1,), (2,), (3,), (4,), (5,), (6,)],
            ),
        },
        steps=(Q, SIX, "SELECT pgmq.set_vt('q', 1, 0)"),
    ),
    "a negative vt makes a message visible now, not in the past": Difference(
        "a vt behind the clock would be behind what readers have seen already",
        {
            "SELECT vt < last_read_at - interval '9 s' FROM pgmq.read('q', -10, 1)": (
                [(True,)],
                [(False,)],
            ),
            "SELECT vt < now() - interval '9 s' FROM pgmq.read_grouped('q', -10, 1)": (
                [(True,)],
                [(False,)],
            ),
            "SELECT vt < now() - interval '9 s' FROM pgmq.set_vt('q', 1, -10)": (
                [(True,)],
                [(False,)],
            ),
            "SELECT vt < now() - interval '9 s' FROM pgmq.set_vt('q', '{1}'::bigint[], -10)": (
                [(True,)],
                [(False,)],
            ),
            "SELECT vt < now() - interval '9 s'"
            " FROM pgmq.set_vt('q', 1, '2000-01-01'::timestamptz)": (
                [(True,)],
                [(False,)],
            ),
            "SELECT vt < now() - interval '9 s'"
            " FROM pgmq.set_vt('q', '{1}'::bigint[], '-infinity'::timestamptz)": (
                [(True,)],
                [(False,)],
            ),
            "SELECT msg_id, read_ct FROM pgmq.read('q', 0, 1) WHERE vt <= clock_timestamp()": (
                [(1, 3)],
                [(1, 3)],
            ),
        },
        steps=(Q, SIX),
    ),
    "a name that differs only in case is refused": Difference(
        "both names would share one table: reading, purging or dropping one would hit the other",
        {
            "SELECT pgmq.create('Q')": (
                [("",)],
                Error("42P07", 'queue "Q" would share its table with queue "q"'),
            ),
            "SELECT pgmq.create_unlogged('Q')": (
                [("",)],
                Error("42P07", 'queue "Q" would share its table with queue "q"'),
            ),
            "SELECT queue_name FROM pgmq.list_queues()": ([("q",), ("Q",)], [("q",)]),
        },
        steps=(Q,),
    ),
    "a name that is cut because it has too many bytes is refused": Difference(
        "every longer name that begins alike would share its table",
        {
            f"SELECT pgmq.create('{_LONG}')": (
                [("",)],
                Error("42622", f'queue name "{_LONG}" is too long in bytes: 62, maximum is 61'),
            ),
            f"SELECT pgmq.create('{_LONG}x')": (
                [("",)],
                Error("42622", f'queue name "{_LONG}x" is too long in bytes: 63, maximum is 61'),
            ),
            "SELECT count(*) FROM pgmq.list_queues()": ([(2,)], [(0,)]),
        },
    ),
    "metrics work for a long name whose sequence has a shorter one": Difference(
        "upstream guesses the sequence's name, which Postgres shortens",
        {
            f"SELECT total_messages FROM pgmq.metrics('{26 * 'ü'}')": (
                Error("42P01", f'relation "pgmq.q_{26 * "ü"}_msg_id_s" does not exist'),
                [(1,)],
            ),
        },
        steps=(f"SELECT pgmq.create('{26 * 'ü'}')", f"SELECT pgmq.send('{26 * 'ü'}', '1')"),
    ),
    "drop_queue drops the queue whatever the case of the name": Difference(
        "upstream drops the tables and leaves the queue's name behind, on which metrics_all fails",
        {
            "SELECT pgmq.drop_queue('mixed')": ([(True,)], [(True,)]),
            "SELECT queue_name FROM pgmq.list_queues()": ([("Mixed",)], []),
            "SELECT queue_name FROM pgmq.metrics_all()": (
                Error("42P01", 'relation "pgmq.q_mixed" does not exist'),
                [],
            ),
        },
        steps=("SELECT pgmq.create('Mixed')",),
    ),
    "a dropped table does not break metrics_all, and drop_queue removes what is left": Difference(
        "one broken queue hides all others, and upstream offers no way to get rid of it",
        {
            "SELECT queue_name, queue_length FROM pgmq.metrics_all()": (
                Error("42P01", 'relation "pgmq.q_gone" does not exist'),
                [("q", 6)],
            ),
            "SELECT pgmq.drop_queue('gone')": ([(False,)], [(True,)]),
            "SELECT queue_name FROM pgmq.list_queues() ORDER BY 1": ([("gone",), ("q",)], [("q",)]),
            "SELECT to_regclass('pgmq.a_gone')::text": ([("pgmq.a_gone",)], [(None,)]),
        },
        steps=(Q, SIX, "SELECT pgmq.create('gone')", "DROP TABLE pgmq.q_gone"),
    ),
    "purge_queue needs DELETE as well as TRUNCATE": Difference(
        "upstream truncates, which stops every reader; the right to truncate is still asked for",
        {
            "SELECT pgmq.purge_queue('q')": (
                [(6,)],
                Error("42501", "permission denied for table q_q"),
            ),
        },
        steps=(
            Q,
            SIX,
            "BEGIN",
            "CREATE ROLE compat_purger",
            "GRANT USAGE ON SCHEMA pgmq TO compat_purger",
            "GRANT SELECT, TRUNCATE ON pgmq.q_q TO compat_purger",
            "SET LOCAL ROLE compat_purger",
        ),
    ),
    "pg_monitor sees metrics but no message": Difference(
        "monitoring needs no payloads, which may be confidential",
        {
            "SELECT total_messages FROM pgmq.metrics('q')": ([(6,)], [(6,)]),
            "SELECT count(msg_id) FROM pgmq.q_q": ([(6,)], [(6,)]),
            "SELECT message FROM pgmq.q_q LIMIT 1": (
                [(1,)],
                Error("42501", "permission denied for table q_q"),
            ),
            "SELECT message FROM pgmq.a_q": (
                [],
                Error("42501", "permission denied for table a_q"),
            ),
        },
        steps=(Q, SIX, "SET ROLE pg_monitor"),
    ),
    "a superuser looks into, and routes to, no queue of an owner who is none": Difference(
        "what an owner puts into a queue's triggers and indexes runs with the rights of its users",
        {
            "SELECT count(*) FROM pgmq.metrics_all()": ([(1,)], [(0,)]),
            "SELECT pgmq.send_topic('a.b', '1')": (
                [(1,)],
                Error(
                    "42501",
                    'queue "q", which this leads to, is not safe for a superuser to send to',
                ),
            ),
        },
        steps=(Q, "SELECT pgmq.bind_topic('a.#', 'q')", "ALTER TABLE pgmq.q_q OWNER TO pg_monitor"),
    ),
    "a poll of null seconds ends": Difference(
        "upstream compares the time with null, so it never does",
        {
            "SELECT * FROM pgmq.read_with_poll('q', 0, 1, NULL, 100)": (
                Error("57014", "canceling statement due to statement timeout"),
                [],
            ),
        },
        steps=(Q, "SET statement_timeout = '10s'"),
    ),
    "a poll ends in time in the hour that is repeated when daylight saving time ends": Difference(
        "upstream keeps the deadline as a local time, which is ambiguous in that hour",
        {
            "SELECT * FROM pgmq.read_with_poll('q', 0, 1, 1, 100)": (
                Error("57014", "canceling statement due to statement timeout"),
                [],
            ),
        },
        steps=(Q, _REPEATED_HOUR, "SET statement_timeout = '2s'"),
    ),
    "a poll of no seconds looks once": Difference(
        "upstream does not look at all, so it hides every mistake too",
        {
            "SELECT msg_id FROM pgmq.read_with_poll('q', 0, 2, 0)": ([], [(1,), (2,)]),
            "SELECT msg_id FROM pgmq.read_with_poll('q', 0, 2, -1)": ([], [(1,), (2,)]),
            "SELECT msg_id FROM pgmq.read_grouped_with_poll('q', 0, 2, 0)": ([], [(1,), (2,)]),
            "SELECT msg_id FROM pgmq.read_grouped_rr_with_poll('q', 0, 2, 0)": ([], [(1,), (2,)]),
            "SELECT msg_id FROM pgmq.read_grouped_head_with_poll('q', 0, 2, 0)": ([], [(1,)]),
            "SELECT msg_id FROM pgmq.read_with_poll('nope', 0, 1, 0)": (
                [],
                Error("42P01", _NO_QUEUE),
            ),
        },
        steps=(Q, SIX),
    ),
    "a poll ends when its time is up": Difference(
        "upstream always sleeps for the whole interval before it looks at the time again",
        {
            "SELECT * FROM pgmq.read_with_poll('q', 0, 1, 1, 60000)": (
                Error("57014", "canceling statement due to statement timeout"),
                [],
            ),
        },
        steps=(Q, "SET statement_timeout = '2s'"),
    ),
    "metrics call visible what read would return": Difference(
        "upstream compares with the beginning of the transaction, before which nothing was sent",
        {
            "SELECT queue_length, queue_visible_length FROM pgmq.metrics('q')": (
                [(6, 0)],
                [(6, 6)],
            ),
            "SELECT count(*) FROM pgmq.read('q', 0, 10)": ([(6,)], [(6,)]),
        },
        steps=(Q, "BEGIN", SIX),
    ),
    "each message of an array of arrays has its own headers": Difference(
        "upstream compares the lengths of the first dimension only",
        {
            "SELECT * FROM pgmq.send_batch('q', '{{1,2},{3,4}}', '{5,6,7,8}'::jsonb[])": (
                Error("P0001", "headers array length (4) must match msgs array length (2)"),
                [(1,), (2,), (3,), (4,)],
            ),
            "SELECT count(*) FROM pgmq.send_batch('q', '{{1,2},{3,4}}', '{5,6}'::jsonb[])": (
                [(4,)],
                Error("P0001", "headers array length (2) must match msgs array length (4)"),
            ),
        },
        steps=(Q,),
    ),
    "send of a message that a user's trigger refuses returns one row, a null": Difference(
        "send returns one row always: it saves a scan of the function's result on every call",
        {
            "SELECT pgmq.send('q', '1')": ([], [(None,)]),
            "SELECT pgmq.send('q', '1', '{}'::jsonb, 0)": ([], [(None,)]),
            "SELECT pgmq.send_batch('q', '{1,2}')": ([], []),
            "SELECT * FROM pgmq.read('q', 0, 10)": ([], []),
        },
        steps=(Q, "BEGIN", *_REFUSE),
    ),
    "a name whose table exists as something else is a clear error": Difference(
        "upstream fails in the middle, on an index",
        {
            "SELECT pgmq.create('q_msg_id_seq')": (
                Error("42809", None),
                Error(
                    "42P07",
                    'queue "q_msg_id_seq" cannot be created: pgmq.q_q_msg_id_seq exists'
                    " and is not the table of a queue",
                ),
            ),
        },
        steps=(Q,),
    ),
    "the names of queues and the bindings are for whoever may use the schema": Difference(
        "a monitor, or who publishes, needs them, and they are no secret: the messages are",
        {
            "SELECT queue_name FROM pgmq.list_queues()": (
                Error("42501", "permission denied for table meta"),
                [("q",)],
            ),
            "SELECT * FROM pgmq.metrics_all()": (
                Error("42501", "permission denied for table meta"),
                [],
            ),
            "SELECT pgmq.send_topic('a', '1')": (
                Error("42501", "permission denied for table topic_bindings"),
                [(1,)],
            ),
        },
        steps=(
            Q,
            "SELECT pgmq.bind_topic('#', 'q')",
            "GRANT USAGE ON SCHEMA pgmq TO pg_read_all_settings",
            "GRANT INSERT, SELECT (msg_id) ON pgmq.q_q TO pg_read_all_settings",
            "SET ROLE pg_read_all_settings",
        ),
    ),
    "a superuser's session does not look into queues of others on its own account": Difference(
        "what the owner of a queue put there would run, and could reset the role",
        {"SELECT queue_name FROM pgmq.metrics_all()": ([("q",)], [])},
        steps=(
            "GRANT USAGE, CREATE ON SCHEMA pgmq TO pg_read_all_settings",
            "GRANT SELECT, INSERT ON pgmq.meta TO pg_read_all_settings",
            "SET ROLE pg_read_all_settings",
            Q,
        ),
    ),
    "an archive of no queue is not converted": Difference(
        "upstream says so in a notice",
        {
            "SELECT pgmq.convert_archive_partitioned('missing')": (
                [("",)],
                Error(
                    "42P01",
                    'queue "missing" does not exist (relation "pgmq.q_missing" does not exist)',
                ),
            ),
        },
    ),
    "a delay that is NULL is an error about the delay, also where nothing is bound": Difference(
        "upstream's message is about a queue's table, and none when no queue is bound",
        {
            **_each(
                [
                    "send_topic('a', '1', NULL::integer)",
                    "send_topic('a', '1', '{}'::jsonb, NULL)",
                    "send_batch_topic('a', '{1}', NULL::integer)",
                    "send_batch_topic('a', '{1}', NULL::timestamptz)",
                    "send_batch_topic('a', '{1}', '{1}'::jsonb[], NULL::integer)",
                    "send_batch_topic('a', '{1}', '{1}'::jsonb[], NULL::timestamptz)",
                ],
                _NO_VT,
                Error("22004", "delay must not be null"),
            ),
            "SELECT pgmq.send_topic('b', '1', NULL::integer)": (
                [(0,)],
                Error("22004", "delay must not be null"),
            ),
            "SELECT pgmq.send('q', '1')": ([(7,)], [(1,)]),
        },
        steps=(Q, "SELECT pgmq.bind_topic('a', 'q')"),
    ),
    "a binding that is written by hand may be of a queue that is not there": Difference(
        "pg_restore -j fills the tables of an extension in any order: no foreign key may refuse it",
        {
            "INSERT INTO pgmq.topic_bindings (pattern, queue_name) VALUES ('a', 'nope')": (
                Error("23503", None),
                [],
            ),
            "DELETE FROM pgmq.topic_bindings RETURNING queue_name": ([], [("nope",)]),
        },
    ),
    "topics find a queue whatever the case of its name": Difference(
        "to upstream's other functions the names are one queue",
        {
            "SELECT pgmq.bind_topic('a', 'mixed')": (
                Error(
                    "P0001",
                    'Queue "mixed" does not exist. Create the queue first using pgmq.create()',
                ),
                [("",)],
            ),
            "SELECT pgmq.bind_topic('a', 'Mixed')": ([("",)], [("",)]),
            "SELECT queue_name FROM pgmq.list_topic_bindings('mixed')": ([], [("Mixed",)]),
            "SELECT queue_name FROM pgmq.list_topic_bindings()": ([("Mixed",)], [("Mixed",)]),
            "SELECT pgmq.send_topic('a', '1')": ([(1,)], [(1,)]),
            "SELECT pgmq.unbind_topic('a', 'MIXED')": ([(False,)], [(True,)]),
        },
        steps=("SELECT pgmq.create('Mixed')",),
    ),
    "a throttle of NULL is an error about the throttle": Difference(
        "upstream's message is about a column of its table of settings",
        _each(
            ["enable_notify_insert('q', NULL)", "update_notify_insert('q', NULL)"],
            Error("23502", None),
            Error("22004", "throttle_interval_ms must not be null"),
        ),
        steps=(Q, "SELECT pgmq.enable_notify_insert('q')"),
    ),
    "notifications find a queue whatever the case of its name": Difference(
        "to upstream's other functions the names are one queue",
        {
            "SELECT pgmq.enable_notify_insert('mixed', 5)": (Error("23503", None), [("",)]),
            "SELECT pgmq.update_notify_insert('MIXED', 6)": (
                Error(
                    "P0001",
                    'Queue "MIXED" does not exist. Create the queue first using pgmq.create()',
                ),
                [("",)],
            ),
            f"{_THROTTLES} -- 1": ([("Mixed", 250)], [("Mixed", 6)]),
            "SELECT pgmq.disable_notify_insert('mixed')": ([("",)], [("",)]),
            f"{_THROTTLES} -- 2": ([("Mixed", 250)], []),
        },
        steps=("SELECT pgmq.create('Mixed')", "SELECT pgmq.enable_notify_insert('Mixed')"),
    ),
    "a queue with upper-case letters is announced": Difference(
        "upstream takes the name of the table for that of the queue, and finds no settings",
        {
            "SELECT pgmq.send('Mixed', '1')": ([(1,)], [(1,)]),
            f"SELECT last_notified_at > now() - interval '1 minute' FROM {_LIST}": (
                [(False,)],
                [(True,)],
            ),
        },
        steps=("SELECT pgmq.create('Mixed')", "SELECT pgmq.enable_notify_insert('Mixed')"),
    ),
    "a queue whose name makes too long a channel is not announced": Difference(
        "upstream announces it, and no message can be sent from then on",
        {
            f"SELECT pgmq.enable_notify_insert('{30 * 'ü'}')": (
                [("",)],
                Error(
                    "42622",
                    f'queue name "{30 * "ü"}" is too long in bytes for a channel: 60,'
                    " maximum is 49",
                ),
            ),
            f"SELECT pgmq.send('{30 * 'ü'}', '1')": (
                Error("22023", "channel name too long"),
                [(1,)],
            ),
        },
        steps=(f"SELECT pgmq.create('{30 * 'ü'}')",),
    ),
    "the settings of notifications are not a table that can be emptied at once": Difference(
        "they are in triggers; a row that is inserted, changed or deleted changes these",
        {
            "INSERT INTO pgmq.notify_insert_throttle VALUES ('q', 9)": ([], []),
            f"{_THROTTLES}": ([("q", 9)], [("q", 9)]),
            "TRUNCATE pgmq.notify_insert_throttle": (
                [],
                Error("42809", '"notify_insert_throttle" is not a table'),
            ),
        },
        steps=(Q,),
    ),
    "a grant of a few functions needs one of the internal functions, too": Difference(
        "upstream's functions call few others; pgmq._open_internal() opens ours again",
        {
            "SELECT pgmq.delete('q', 1)": (
                [(True,)],
                Error("42501", "permission denied for function _pinned"),
            ),
        },
        steps=(
            Q,
            SIX,
            "BEGIN",
            "REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA pgmq FROM public",
            "CREATE ROLE compat_deleter",
            "GRANT USAGE ON SCHEMA pgmq TO compat_deleter",
            "GRANT SELECT, DELETE ON pgmq.q_q TO compat_deleter",
            """
            GRANT EXECUTE ON FUNCTION pgmq.delete(text, bigint), pgmq.format_table_name(text, text)
            TO compat_deleter
            """,
            "SET LOCAL ROLE compat_deleter",
        ),
    ),
    "a grant of columns must have enqueued_at, too": Difference(
        "a message that is not delayed has vt = enqueued_at, so a send writes both",
        {
            "SELECT pgmq.send('q', '1')": (
                [(1,)],
                Error("42501", "permission denied for table q_q"),
            ),
        },
        steps=(
            Q,
            "BEGIN",
            "CREATE ROLE compat_sender",
            "GRANT USAGE ON SCHEMA pgmq TO compat_sender",
            "GRANT INSERT (vt, message, headers), SELECT (msg_id) ON pgmq.q_q TO compat_sender",
            "SET LOCAL ROLE compat_sender",
        ),
    ),
    "some functions run with the rights of their owner": Difference(
        "marks, keys, dead letters and pushes need more rights than callers should have",
        {
            "SELECT bool_or(prosecdef) FROM pg_proc WHERE pronamespace = 'pgmq'::regnamespace": (
                [(False,)],
                [(True,)],
            ),
        },
        steps=(Q,),
    ),
    "purge_queue fires no triggers of TRUNCATE": Difference(
        "it deletes, so that readers and producers need not wait",
        {
            "SELECT pgmq.purge_queue('q')": (Error("P0001", "truncated"), [(6,)]),
        },
        steps=(
            Q,
            SIX,
            """
            CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql
            AS 'BEGIN RAISE EXCEPTION ''truncated''; END'
            """,
            "CREATE TRIGGER refuse BEFORE TRUNCATE ON pgmq.q_q EXECUTE FUNCTION pg_temp.refuse()",
            "BEGIN",
        ),
    ),
    "a send that was replaced is not what the other overloads call": Difference(
        "each calls the queue's function itself, which is quicker",
        {"SELECT pgmq.send('q', '1')": ([(666,)], [(1,)])},
        steps=(
            Q,
            "BEGIN",
            """
            CREATE OR REPLACE FUNCTION pgmq.send(
                queue_name text, msg jsonb, headers jsonb, delay timestamptz
            ) RETURNS SETOF bigint LANGUAGE sql AS 'SELECT 666::bigint'
            """,
        ),
    ),
    "the settings of notifications are where a crash cannot lose them": Difference(
        "upstream's are in an unlogged table that producers update; here they are in triggers",
        {
            "SELECT relkind, relpersistence FROM pg_class"
            " WHERE oid = 'pgmq.notify_insert_throttle'::regclass": ([("r", "u")], [("v", "p")]),
        },
    ),
}
