"""What can be called for one queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg

# What is done to one queue, in this order.
ON_ONE_QUEUE = """
    create('q'); set_policy('q', max_receives => 3, dead_letter_queue => 'd'); read('q', 0, 1);
    alter_policy('q', max_in_flight => 5, dedup_window => '1 hour'); send('q', '{}'); pop('q');
    create_fifo_index('q'); create_fair_index('q'); enable_notify_insert('q', 0);
    update_notify_insert('q', 20); disable_notify_insert('q'); enable_wakeups('q');
    enable_push('q'); disable_push('q'); pause('q'); resume('q'); grant_send('q', 'pg_monitor');
    schedule('s', 'q', '@hourly', '{}'); unschedule('s'); bind_topic('a', 'q');
    unbind_topic('a', 'q'); pin('q'); unpin('q'); recompile('q'); get_policy('q'); redrive('q');
    metrics('q'); next_visible_at('q'); purge_queue('q'); maintain('q'); drop_queue('q');
    create_partitioned('p', '1000', null); maintain('p'); drop_queue('p');
    create_stream('s'); create_group('s', 'g'); fetch('s', 'g', 30, 1); maintain('s');
    list_groups('s'); drop_group('s', 'g'); drop_queue('s')
"""

# What the public functions are given, by the argument's name, or else by its type.
VALUES = """
    queue_name: 'q'; stream_name: 'q'; table_name: 'q'; dead_letter_queue: 'q'; group_name: 'g';
    role_name: 'a_role'; exchange_name: 'x'; pattern: 'a'; name: 's'; cron: '@hourly';
    to_queue: 'other'; prefix: 'q'; dedup_key: 'k'; delay integer: 0; throttle_interval_ms: 1000;
    max_poll_seconds: 0; start text: 'earliest'; read_ct: 1; read_cts: '{1}'; text: '1'; integer: 1;
    bigint: 1; bigint[]: '{1}'; text[]: '{a}'; jsonb: '{}'; jsonb[]: '{"{}"}'; boolean: true;
    interval: '1 day'; timestamp with time zone: now()
"""


def naming_a_queue(session: psycopg.Connection) -> list[str]:
    """Return a call of every public function that names a queue: of the queue q."""
    values = dict(each.strip().split(": ", 1) for each in VALUES.split(";"))
    found: dict[str, list[str]] = {}
    rows = session.execute(
        "SELECT p.oid::regprocedure::text, p.proname, a.name, format_type(a.type, null)"
        " FROM pg_proc AS p CROSS JOIN LATERAL unnest("
        "     p.proargnames[:p.pronargs], p.proargtypes::oid[]"
        " ) WITH ORDINALITY AS a (name, type, place)"
        " WHERE p.pronamespace = 'pgmq'::regnamespace AND p.proname !~ '^_'"
        " AND p.proargnames[:p.pronargs]"
        " && '{queue_name,stream_name,table_name,dead_letter_queue}'"
        " AND (a.place <= p.pronargs - p.pronargdefaults"
        " OR a.place = 1 OR a.name IN ('msg_ids', 'max_poll_seconds', 'throttle_interval_ms'))"
        " ORDER BY 1, a.place"
    )
    for function, name, argument, kind in rows:
        ways = [f"{argument} {kind}", argument, kind]
        value = next(values[way] for way in ways if way in values)
        call = found.setdefault(function, [name])
        call.append(f"{argument} => {value}::{kind}")
    return [f"SELECT pgmq.{name}({', '.join(rest)})" for name, *rest in found.values()]
