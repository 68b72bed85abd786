"""Partitioned queues, whose partitions pgmq keeps itself (tests/compat has those of pg_partman)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from support import queries
from support.sweeps import let_look, stop_sweeps

if TYPE_CHECKING:
    from conftest import Connect, Roles

# By msg_id and by time. There are 10 msg_ids to a partition.
KINDS = {"ids": "'10', '30', 2", "times": "'1 day', '3 days', 2"}
EACH_KIND = pytest.mark.parametrize("queue", KINDS, indirect=True)


def _send(session: psycopg.Connection, count: int) -> None:
    session.execute(
        "SELECT pgmq.send_batch('q', array_agg(to_jsonb(i))) FROM generate_series(1, %s) AS i",
        (count,),
    )


def _children(session: psycopg.Connection, table: str) -> list[str]:
    """Return the names of a table's partitions, the default one left out, in order."""
    return queries.ids(
        session,
        "SELECT (partition::text::regclass)::text FROM pgmq._partitions(%s) ORDER BY first_key",
        table,
    )


def _let_be(session: psycopg.Connection) -> None:
    """No call does any upkeep of partitions for a while."""
    session.execute(
        "SELECT setval('pgmq.tend_due_q', pgmq._microseconds(now() + interval '50 seconds'))"
    )


@pytest.fixture
def queue(request: pytest.FixtureRequest, db: psycopg.Connection) -> psycopg.Connection:
    db.execute("SET timezone = 'Asia/Tokyo'")
    db.execute(f"SELECT pgmq.create_partitioned('q', {KINDS[request.param]})".encode())
    _let_be(db)
    return db


@pytest.fixture
def ids(db: psycopg.Connection) -> psycopg.Connection:
    db.execute(f"SELECT pgmq.create_partitioned('q', {KINDS['ids']})".encode())
    _let_be(db)
    return db


# Creating


def test_a_queue_by_ids_has_partitions_for_the_first_ones(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create_partitioned('Q')")
    names = [f"_p{i}" for i in range(0, 50_000, 10_000)]
    assert _children(db, "pgmq.q_q") == [f"pgmq.q_q{name}" for name in names]
    assert _children(db, "pgmq.a_q") == [f"pgmq.a_q{name}" for name in names]
    defaults = "SELECT pgmq._default_partition(%s)::text"
    assert queries.one(db, defaults, "pgmq.q_q") == "pgmq.q_q_default"
    assert queries.one(db, defaults, "pgmq.a_q") == "pgmq.a_q_default"
    assert queries.one(db, "SELECT is_partitioned FROM pgmq.list_queues()") is True


@pytest.mark.parametrize(
    ("interval", "unit", "pattern"),
    [
        ("1 day", "day", "YYYY_MM_DD"),
        ("1 month", "month", "YYYY_MM"),
        ("1 year", "year", "YYYY"),
        ("6 hours", "hour", "YYYY_MM_DD_HH24MI"),
    ],
)
def test_a_queue_by_time_has_partitions_around_now(
    db: psycopg.Connection, interval: str, unit: str, pattern: str
) -> None:
    db.execute("SET timezone = 'Asia/Tokyo'")
    db.execute("SELECT pgmq.create_partitioned('q', %s, '10 years', 2)", (interval,))
    db.execute("SET timezone = 'UTC'")
    base = (
        "date_bin('6 hours', now(), date_trunc('day', now()))"
        if unit == "hour"
        else f"date_trunc('{unit}', now())"
    )
    expected = f"""
        SELECT to_char({base} + n * %s::interval, '"pgmq.q_q_p"{pattern}')
        FROM generate_series(-2, 2) AS n
    """
    assert _children(db, "pgmq.q_q") == queries.ids(db, expected, interval)
    db.execute("SELECT pgmq.send('q', '1')")
    assert queries.one(db, "SELECT default_partition_length FROM pgmq.metrics('q')") == 0


@pytest.mark.parametrize(
    ("arguments", "state", "said"),
    [
        ("'q', '10', '30', 0", "P0001", "premake must be at least 1, got 0"),
        ("'q', '10', '30', 1001", "22023", "premake must be at most 1000: 1001"),
        ("'q', '101 years'", "22023", "partition_interval is too long: 101 years"),
        ("'q', '10', '30', null", "22004", "premake must not be null"),
        ("'q', null", "22004", "partition_interval must not be null"),
        ("'q', '0'", "22023", "partition_interval must be positive: 0"),
        ("'q', '-5'", "22023", "partition_interval must be positive: -5"),
        ("'q', 'abc'", "22023", "partition_interval is neither a duration nor a number of msg_ids"),
        ("'q', '0.5 s', '1 day'", "22023", "must be at least a second"),
        ("'q', '1 month 1 day', '1 day'", "22023", "months without days: 1 month 1 day"),
        ("'q', '10', '1 day'", "22023", "must be a number of them: 1 day"),
        ("'q', '10', '-1'", "22023", "must be a number of them: -1"),
        ("'q', '1 day', '-1 day'", "22023", "retention_interval must not be negative: -1 day"),
        ("null", "22004", "queue name must not be null"),
        ("'plain'", "42P07", 'queue "plain" exists and is not partitioned'),
        ("repeat('x', 48)", "P0001", "queue name is too long"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    db: psycopg.Connection, arguments: str, state: str, said: str
) -> None:
    db.execute("SELECT pgmq.create('plain')")
    with pytest.raises(psycopg.Error) as caught:
        db.execute(f"SELECT pgmq.create_partitioned({arguments})".encode())
    assert (caught.value.sqlstate, said in str(caught.value)) == (state, True)
    assert queries.ids(db, "SELECT queue_name FROM pgmq.list_queues()") == ["plain"]
    assert queries.one(db, "SELECT count(*) FROM pgmq.partitioning") == 0


def test_creating_a_queue_that_is_there_changes_nothing(ids: psycopg.Connection) -> None:
    before = queries.ids(ids, "SELECT t::text FROM pgmq.partitioning AS t ORDER BY 1")
    ids.execute("SELECT pgmq.create_partitioned('q', '5', '5')")
    ids.execute("SELECT pgmq.create('q')")
    assert queries.ids(ids, "SELECT t::text FROM pgmq.partitioning AS t ORDER BY 1") == before


def test_long_names_that_begin_alike_share_no_partition(db: psycopg.Connection) -> None:
    for end in "xy":
        db.execute("SELECT pgmq.create_partitioned(repeat('a', 46) || %s, '1 s', '1 h')", (end,))
    names = queries.ids(db, "SELECT relname FROM pg_class WHERE relkind = 'r' AND relispartition")
    assert len(names) == 2 * 2 * 10
    assert all(len(name) <= 63 for name in names)


# Working on it


@EACH_KIND
def test_every_call_works_over_several_partitions(queue: psycopg.Connection) -> None:
    if queries.one(queue, "SELECT pgmq._partition_column('pgmq.q_q')") == "msg_id":
        _send(queue, 45)
    else:
        queue.execute(
            """
            INSERT INTO pgmq.q_q (enqueued_at, vt)
            SELECT t, t FROM (
                SELECT now() - interval '1 day' * ((50 - i) / 10 + i % 2) AS t
                FROM generate_series(1, 45) AS i ORDER BY i
            ) AS x
            """
        )
        # Nobody who sends makes a message that old.
        queue.execute("SELECT setval('pgmq.sweep_due_q', 0)")
        queue.execute("SELECT pgmq._advance_q()")
    used = queries.one(queue, "SELECT count(DISTINCT tableoid) FROM pgmq.q_q")
    assert used >= 4
    # By time, msg_ids that follow one another are not in the same partitions.
    assert queries.ids(queue, "SELECT msg_id FROM pgmq.peek('q', 45)") == list(range(1, 46))
    assert queries.ids(queue, "SELECT msg_id FROM pgmq.read('q', 60, 30)") == list(range(1, 31))
    assert queries.ids(queue, "SELECT msg_id FROM pgmq.set_vt('q', 3, 0)") == [3]
    nack = "SELECT pgmq.nack('q', '{15,25}'::bigint[], '{1,1}'::integer[], 0)"
    assert sorted(queries.ids(queue, nack)) == [15, 25]
    # Due and ready ones together.
    assert queries.ids(queue, "SELECT msg_id FROM pgmq.read('q', 60, 5)") == [3, 15, 25, 31, 32]
    assert queries.ids(queue, "SELECT pgmq.ack('q', 1, 2)") == [False]
    assert queries.ids(queue, "SELECT pgmq.ack('q', 1, 1)") == [True]
    acks = "SELECT pgmq.ack('q', '{2,12,22}'::bigint[], '{1,1,9}'::integer[])"
    assert sorted(queries.ids(queue, acks)) == [2, 12]
    extend = "SELECT pgmq.extend('q', '{22,31}'::bigint[], '{1,1}'::integer[], 90)"
    assert sorted(queries.ids(queue, extend)) == [22, 31]
    assert sorted(queries.ids(queue, "SELECT pgmq.delete('q', '{4,14,99}'::bigint[])")) == [4, 14]
    assert queries.ids(queue, "SELECT pgmq.delete('q', 5), pgmq.delete('q', 5)") == [True]
    assert sorted(queries.ids(queue, "SELECT pgmq.archive('q', '{6,16}'::bigint[])")) == [6, 16]
    assert queries.ids(queue, "SELECT pgmq.archive('q', 7)") == [True]
    assert queries.ids(queue, "SELECT msg_id FROM pgmq.a_q ORDER BY 1") == [6, 7, 16]
    assert queries.ids(queue, "SELECT msg_id FROM pgmq.pop('q', 4)") == [33, 34, 35, 36]
    assert queries.ids(queue, "SELECT queue_length FROM pgmq.metrics('q')") == [45 - 3 - 3 - 3 - 4]
    queue.execute("SELECT pgmq.send('q', '1', 3600)")
    assert queries.ids(queue, "SELECT msg_id FROM pgmq.get('q', 46)") == [46]
    assert queries.ids(queue, "SELECT msg_id FROM pgmq.read('q', 60, 99)") == list(range(37, 46))
    left = queries.one(queue, "SELECT count(*) FROM pgmq.q_q")
    assert queries.one(queue, "SELECT pgmq.purge_queue('q')") == left


@EACH_KIND
def test_policies_and_groups_are_kept(queue: psycopg.Connection) -> None:
    queue.execute("SELECT pgmq.create_fifo_index('q')")
    queue.execute(
        "SELECT pgmq.set_policy('q', max_receives => 1, dead_letter_queue => 'dead',"
        " message_ttl => '1 h', dedup_window => '1 h', max_in_flight => 2,"
        " archive_retention => '1 h')"
    )
    once = "SELECT msg_id || ' ' || is_new FROM pgmq.send_once('q', '1', 'k')"
    assert [queries.one(queue, once), queries.one(queue, once)] == ["1 true", "1 false"]
    queue.execute(
        """
        SELECT pgmq.send('q', '2', jsonb_build_object('x-pgmq-group', i % 2), 0)
        FROM generate_series(1, 24) AS i
        """
    )
    first = queries.ids(queue, "SELECT msg_id FROM pgmq.read_grouped_rr('q', 60, 10)")
    assert first == [1, 2]  # max_in_flight
    queue.execute("SELECT pgmq.ack('q', 1, 1)")
    # 3 is of the other group than 2; 4 and so on wait for it.
    assert queries.ids(queue, "SELECT msg_id FROM pgmq.read_grouped('q', 60, 1)") == [3]
    queue.execute("SELECT pgmq.nack('q', '{2,3}'::bigint[], '{1,1}'::integer[], 0)")
    assert queries.ids(queue, "SELECT msg_id FROM pgmq.read_grouped_head('q', 60, 2)") == [4, 5]
    letters = "SELECT (headers #>> '{x-pgmq-dead-letter,msg_id}')::int FROM pgmq.q_dead ORDER BY 1"
    assert queries.ids(queue, letters) == [2, 3]
    assert queries.one(queue, "SELECT pgmq.redrive('dead')") == 2
    queue.execute("INSERT INTO pgmq.a_q (msg_id, vt, archived_at) VALUES (1, now(), '2020-01-01')")
    queue.execute("SELECT pgmq.maintain('q')")
    assert queries.one(queue, "SELECT count(*) FROM pgmq.a_q") == 0


@pytest.mark.parametrize("name", ["q", "Mixed Case"])
@pytest.mark.parametrize("kind", KINDS)
def test_consumers_are_woken(
    db: psycopg.Connection, connect: Connect, name: str, kind: str
) -> None:
    db.execute(f"SELECT pgmq.create_partitioned('{name}', {KINDS[kind]})".encode())
    db.execute("SELECT pgmq.enable_notify_insert(%s, 0), pgmq.enable_wakeups(%s)", (name, name))
    table = f"pgmq.q_{name.lower()}"
    session = connect()
    session.execute(f'LISTEN "{table}.INSERT"'.encode())
    session.execute("SELECT pgmq.await(%s, 60)", (name,))

    def heard() -> list[str]:
        return [n.channel for n in session.notifies(timeout=0.2)]

    # Partitions that are added have the triggers too.
    db.execute(
        "INSERT INTO pgmq.partitioning (queue_name, is_archive, partition_interval, premake)"
        " VALUES (%s, false, '1', 1) ON CONFLICT DO NOTHING",
        (name,),
    )
    db.execute("SELECT pgmq.send(%s, '1') FROM generate_series(1, 15)", (name,))
    assert set(heard()) == {f"{table}.INSERT", f"{table}.READY"}
    db.execute("SELECT pgmq.read(%s, 60, 15)", (name,))
    db.execute("SELECT pgmq.nack(%s, 12, 1)", (name,))
    assert heard() == [f"{table}.READY"]


@EACH_KIND
def test_a_message_is_pushed_from_any_partition(
    queue: psycopg.Connection, connect: Connect
) -> None:
    session = connect()
    channel = queries.one(session, "SELECT pgmq.open_channel('q', 2)")
    _send(queue, 12)
    assert len(list(session.notifies(timeout=0.2, stop_after=2))) == 2
    queue.execute("SELECT pgmq.maintain('q')")
    queue.execute("SELECT pgmq.ack('q', 1, 1)")
    pushed = list(session.notifies(timeout=0.2))
    assert [n.channel for n in pushed] == [channel]
    assert '"msg_id": 3' in pushed[0].payload


def test_whoever_monitors_sees_an_estimate_of_a_large_queue(db: psycopg.Connection) -> None:
    """Partitions without rows, and those of which no statistics are known, included."""
    db.execute("SELECT pgmq.create_partitioned('q', '4000', null, 5)")
    _let_be(db)
    _send(db, 12_000)
    _send(db, 16_000)
    db.execute("SET ROLE pg_monitor")
    row = db.execute(
        "SELECT queue_length, default_partition_length FROM pgmq.metrics('q')"
    ).fetchone()
    db.execute("RESET ROLE")
    assert row is not None
    assert row[0] == pytest.approx(28_000, rel=0.1)
    assert row[1] == 4_001


# Only live partitions


@pytest.mark.parametrize("kind", KINDS)
def test_reads_and_deletes_touch_only_partitions_with_messages(
    db: psycopg.Connection, connect: Connect, kind: str
) -> None:
    interval = KINDS[kind].split(",")[0]
    keep = "'1000'" if kind == "ids" else "'1000 days'"
    db.execute(f"SELECT pgmq.create_partitioned('q', {interval}, {keep}, 12)".encode())
    _send(db, 95)
    db.execute("SELECT pgmq.pop('q', 82)")
    let_look(db)
    db.execute("SELECT pgmq._advance_q()")
    db.execute("UPDATE pgmq.q_q SET read_ct = 1 WHERE msg_id IN (85, 87)")
    stop_sweeps(db, "q")
    session = connect(autocommit=False)
    for call in (
        "SELECT msg_id FROM pgmq.read('q', 60, 1)",
        "SELECT msg_id FROM pgmq.read('q', 60, 1, '{}')",
        "SELECT pgmq.delete('q', 84)",
        "SELECT pgmq.ack('q', 85, 1)",
        "SELECT pgmq.archive('q', 86)",
        "SELECT pgmq.nack('q', 85, 1)",
        "SELECT pgmq.ack('q', '{85,87}'::bigint[], '{1,1}')",
        "SELECT pgmq.archive('q', '{85,87}'::bigint[])",
        "SELECT pgmq.set_vt('q', '{85,87}'::bigint[], 60)",
        "SELECT pgmq.next_visible_at('q')",
        "SELECT pgmq.peek('q')",
        "SELECT pgmq.read_grouped('q', 60, 2)",
        "SELECT pgmq.pop('q', 1)",
    ):
        session.execute(call.encode())
        touched = queries.ids(
            session,
            """
            SELECT DISTINCT l.relation::regclass::text FROM pg_locks AS l
            JOIN pg_inherits AS i ON i.inhrelid = l.relation
            WHERE l.pid = pg_backend_pid() AND i.inhparent = 'pgmq.q_q'::regclass
            """,
        )
        session.rollback()
        if kind == "ids":
            assert set(touched) <= {"pgmq.q_q_p80", "pgmq.q_q_p90"}, call
        else:
            # Midnight may have been within the last five minutes.
            assert len(touched) <= 2, call
            assert "pgmq.q_q_default" not in touched, call


# Each returns one row for the message {0}, the only one there is; those that need a lease have it.
SEEN = (
    "SELECT msg_id FROM pgmq.read('q', 60, 1)",
    "SELECT msg_id FROM pgmq.read('q', 60, 1, '1')",
    "SELECT msg_id FROM pgmq.read_grouped('q', 60, 1)",
    "SELECT msg_id FROM pgmq.read_grouped_rr('q', 60, 1)",
    "SELECT msg_id FROM pgmq.read_grouped_head('q', 60, 1)",
    "SELECT msg_id FROM pgmq.read_group('q', '_default_fifo_group', 60, 1)",
    "SELECT msg_id FROM pgmq.pop('q')",
    "SELECT msg_id FROM pgmq.peek('q')",
    "SELECT msg_id FROM pgmq.get('q', {0})",
    "SELECT {0} WHERE pgmq.next_visible_at('q') <= clock_timestamp()",
    "SELECT {0} WHERE pgmq.redrive('q', 'other') = 1",
    "SELECT msg_id FROM pgmq.set_vt('q', {0}, 5)",
    "SELECT {0} WHERE pgmq.delete('q', {0}::bigint)",
    "SELECT pgmq.delete('q', ARRAY[{0}]::bigint[])",
    "SELECT {0} WHERE pgmq.archive('q', {0}::bigint)",
    "SELECT pgmq.archive('q', ARRAY[{0}]::bigint[])",
)
LEASED = (
    "SELECT {0} WHERE pgmq.ack('q', {0}, 1)",
    "SELECT pgmq.ack('q', ARRAY[{0}]::bigint[], '{{1}}')",
    "SELECT {0} WHERE pgmq.nack('q', {0}, 1)",
    "SELECT {0} WHERE pgmq.extend('q', {0}, 1, 5)",
)
SETUPS = {
    "plain": "SELECT 1",
    "groups and policy": "SELECT pgmq.create_fifo_index('q'),"
    " pgmq.set_policy('q', max_receives => 9, message_ttl => '1 h')",
    "in flight": "SELECT pgmq.set_policy('q', max_in_flight => 9)",
}


@EACH_KIND
@pytest.mark.parametrize("setup", SETUPS)
def test_no_plan_outlives_the_marks_it_was_made_with(
    queue: psycopg.Connection, connect: Connect, setup: str
) -> None:
    """What was planned for the marks of then leaves out what comes later."""
    queue.execute("SELECT pgmq.create('other')")
    queue.execute(SETUPS[setup].encode())
    session = connect()
    # A plan may be kept from the sixth call on.
    for _ in range(8):
        for call in SEEN + LEASED:
            msg_id = queries.one(queue, "SELECT pgmq.send('q', '1')")
            if call in LEASED:
                queue.execute("SELECT pgmq.read('q', 60, 1)")
            assert queries.ids(session, call.format(msg_id)) == [msg_id], call
            queue.execute("DELETE FROM pgmq.q_q")
            let_look(queue)
            queue.execute("SELECT pgmq._advance_q()")


@EACH_KIND
def test_what_lies_outside_the_marks_is_found_by_a_sweep(queue: psycopg.Connection) -> None:
    _send(queue, 3)
    queue.execute("SELECT pgmq.pop('q', 3)")
    let_look(queue)
    queue.execute("SELECT pgmq._advance_q()")
    # Before the first one and after the last one, whichever column counts.
    queue.execute(
        """
        INSERT INTO pgmq.q_q (msg_id, enqueued_at, vt)
        VALUES (-5, now() - interval '1 year', now() - interval '1 year'),
            (70000, now() + interval '1 year', now() + interval '1 second')
        """
    )
    queue.execute("SELECT setval('pgmq.sweep_due_q', 0)")
    assert queries.ids(queue, "SELECT msg_id FROM pgmq.read('q', 60, 5)") == [-5, 70000]
    assert sorted(queries.ids(queue, "SELECT pgmq.delete('q', '{-5,70000}'::bigint[])")) == [
        -5,
        70000,
    ]


BY_ID = (
    *SEEN[SEEN.index("SELECT msg_id FROM pgmq.set_vt('q', {0}, 5)") :],
    "SELECT {0} WHERE pgmq.amend('q', {0}, '2')",
)


@pytest.fixture
def times(db: psycopg.Connection) -> psycopg.Connection:
    db.execute("SELECT pgmq.create_partitioned('q', '1 hour', '10 days', 2)")
    _let_be(db)
    stop_sweeps(db, "q")
    return db


def _sent(session: psycopg.Connection, ago: str, leased: bool) -> int:
    """Send a message that is of a time ago, or ahead: the clock was set back since."""
    msg_id: int = queries.one(session, "SELECT pgmq.send('q', '1')")
    if leased:
        session.execute("SELECT pgmq.read('q', 60, 1)")
    session.execute(
        "UPDATE pgmq.q_q SET enqueued_at = now() - %(ago)s::interval,"
        " vt = CASE WHEN %(leased)s THEN now() + '3 days' ELSE now() - %(ago)s::interval END"
        " WHERE msg_id = %(id)s",
        {"ago": ago, "leased": leased, "id": msg_id},
    )
    return msg_id


@pytest.mark.parametrize("ago", ["1 hour", "-1 hour", "2 days", "-2 days"])
def test_calls_by_id_find_what_lies_outside_the_marks(times: psycopg.Connection, ago: str) -> None:
    for policy in ("null", "'1 day'"):
        times.execute(f"SELECT pgmq.set_policy('q', archive_retention => {policy})".encode())
        for call in BY_ID + LEASED:
            msg_id = _sent(times, ago, call in LEASED)
            assert queries.ids(times, call.format(msg_id)) == [msg_id], call
            assert queries.ids(times, call.format(msg_id + 1)) == [], call
            times.execute("DELETE FROM pgmq.q_q")


@pytest.mark.parametrize(
    "call",
    [
        "pgmq.ack('q', %(ids)s::bigint[], '{1,1,1}')",
        "pgmq.nack('q', %(ids)s::bigint[], '{1,1,1}')",
        "pgmq.extend('q', %(ids)s::bigint[], '{1,1,1}', 60)",
        "(pgmq.set_vt('q', %(ids)s::bigint[], 60)).msg_id",
        "pgmq.delete('q', %(ids)s::bigint[])",
        "pgmq.archive('q', %(ids)s::bigint[])",
    ],
)
def test_what_lies_inside_and_outside_the_marks_is_found_once(
    times: psycopg.Connection, call: str
) -> None:
    ids = [_sent(times, ago, leased=True) for ago in ("0 s", "2 days", "-2 days")]
    found = times.execute(f"SELECT {call}".encode(), {"ids": ids}).fetchall()
    assert sorted(row[0] for row in found) == ids


@pytest.mark.parametrize("index", [False, True])
def test_a_group_keeps_its_order_while_the_clock_is_set_back_by_seconds(
    times: psycopg.Connection, index: bool
) -> None:
    if index:
        times.execute("SELECT pgmq.create_fifo_index('q')")
    first = _sent(times, "-50 s", leased=False)
    times.execute("SELECT pgmq.send('q', '2')")
    read = "SELECT msg_id FROM pgmq.read_grouped('q', 3600, 1)"
    assert queries.ids(times, read) == [first]
    assert queries.ids(times, read) == []


# Upkeep


def test_a_burst_beyond_the_partitions_loses_nothing(ids: psycopg.Connection) -> None:
    ids.execute("UPDATE pgmq.partitioning SET retention_interval = null")
    _send(ids, 40)
    assert queries.one(ids, "SELECT default_partition_length FROM pgmq.metrics('q')") == 11
    ids.execute("SELECT pgmq.read('q', 3600, 35)")
    before = queries.ids(ids, "SELECT q::text FROM pgmq.q_q AS q ORDER BY msg_id")
    assert queries.one(ids, "SELECT pgmq.maintain('q')") == 11
    assert queries.ids(ids, "SELECT q::text FROM pgmq.q_q AS q ORDER BY msg_id") == before
    assert queries.one(ids, "SELECT default_partition_length FROM pgmq.metrics('q')") == 0
    assert _children(ids, "pgmq.q_q") == [f"pgmq.q_q_p{i}" for i in range(0, 70, 10)]
    assert queries.ids(ids, "SELECT pgmq.ack('q', 35, 1)") == [True]
    assert queries.ids(ids, "SELECT msg_id FROM pgmq.read('q', 60, 9)") == [36, 37, 38, 39, 40]


def test_reads_keep_the_partitions(ids: psycopg.Connection) -> None:
    _send(ids, 100)
    # What is less than 100 - 30, and no more, is gone; two partitions are ahead.
    expected = [f"pgmq.q_q_p{i}" for i in range(70, 130, 10)]
    for _ in range(50):
        # A read of this many always does a step, unless autovacuum is in the way.
        ids.execute("SELECT setval('pgmq.tend_due_q', 0)")
        ids.execute("SELECT pgmq.read('q', 0, 32)")
        if _children(ids, "pgmq.q_q") == expected:
            break
    assert _children(ids, "pgmq.q_q") == expected
    assert queries.ids(ids, "SELECT msg_id FROM pgmq.q_q ORDER BY 1") == list(range(70, 101))
    counted = "SELECT dropped_messages, dropped_at <= clock_timestamp()"
    row = ids.execute(f"{counted} FROM pgmq.partitioning WHERE NOT is_archive".encode()).fetchone()
    assert row == (69, True)


def test_an_upkeep_that_fails_or_is_cancelled_fails_no_transaction(
    ids: psycopg.Connection,
) -> None:
    warnings: list[str | None] = []
    ids.add_notice_handler(lambda notice: warnings.append(notice.message_primary))
    _send(ids, 35)
    ids.execute(
        "CREATE FUNCTION fail() RETURNS event_trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_cancel_backend(pg_backend_pid()), pg_sleep(60); END $$;"
        "CREATE EVENT TRIGGER fail ON ddl_command_start EXECUTE FUNCTION fail()"
    )
    ids.execute("SELECT setval('pgmq.tend_due_q', 0)")
    assert len(queries.ids(ids, "SELECT msg_id FROM pgmq.read('q', 60, 32)")) == 32
    ids.execute("DROP EVENT TRIGGER fail")
    assert warnings == [
        'upkeep of the partitions of queue "q" failed: canceling statement due to user request'
    ]
    assert queries.ids(ids, "SELECT msg_id FROM pgmq.read('q', 60, 32)") == [33, 34, 35]
    assert queries.one(ids, "SELECT default_partition_length FROM pgmq.metrics('q')") == 6


def test_retention_drops_partitions_and_counts_what_they_held(ids: psycopg.Connection) -> None:
    ids.execute("SELECT pgmq.read('q', 60, 1)")
    _send(ids, 20)
    ids.execute("SELECT pgmq.read('q', 60, 4)")
    ids.execute("SELECT pgmq.delete('q', 1), pgmq.archive('q', 2)")
    _send(ids, 20)
    ids.execute("SELECT pgmq.maintain('q')")
    # 40 - 30: all of the first partition is smaller.
    assert _children(ids, "pgmq.q_q")[0] == "pgmq.q_q_p10"
    query = "SELECT dropped_messages || ' ' || dropped_unread FROM pgmq.partitioning"
    assert queries.one(ids, f"{query} WHERE NOT is_archive") == "7 5"
    # The archive's greatest msg_id is another.
    assert queries.ids(ids, "SELECT msg_id FROM pgmq.a_q") == [2]
    ids.execute("UPDATE pgmq.partitioning SET retention_interval = null")
    _send(ids, 100)
    ids.execute("SELECT pgmq.maintain()")
    assert _children(ids, "pgmq.q_q")[0] == "pgmq.q_q_p10"


def test_retention_by_time(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create_partitioned('q', '1 day', '36 hours', 4)")
    db.execute(
        """
        INSERT INTO pgmq.q_q (enqueued_at, vt)
        SELECT t, t FROM generate_series(-3, 0) AS d,
            LATERAL (SELECT date_trunc('day', now(), 'UTC') + d * interval '1 day' AS t) AS x
        """
    )
    db.execute("SELECT pgmq.maintain('q')")
    # What ended less than 36 hours ago is kept.
    kept = queries.one(db, "SELECT count(*) FROM pgmq.q_q")
    assert kept == queries.one(
        db,
        "SELECT CASE WHEN now() - date_trunc('day', now(), 'UTC') < '12 h' THEN 3 ELSE 2 END",
    )
    dropped = "SELECT dropped_unread FROM pgmq.partitioning WHERE NOT is_archive"
    assert queries.one(db, dropped) == 4 - kept


def test_a_gap_of_time_is_not_filled(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create_partitioned('q', '1 day', null, 1)")
    for name in _children(db, "pgmq.q_q"):
        db.execute(f"DROP TABLE {name}".encode())
    db.execute(
        "CREATE TABLE pgmq.old PARTITION OF pgmq.q_q FOR VALUES FROM ('2000-01-01 03:00+00')"
        " TO ('2000-01-02 03:00+00')"
    )
    # Not by send, which looks after partitions now and then.
    db.execute("INSERT INTO pgmq.q_q (vt) VALUES (now())")
    db.execute("INSERT INTO pgmq.q_q (enqueued_at, vt) VALUES ('2001-02-03', now())")
    assert queries.one(db, "SELECT pgmq.maintain('q')") == 2
    children = _children(db, "pgmq.q_q")
    # On the grid of those that are there.
    assert children[:2] == ["pgmq.old", "pgmq.q_q_p2001_02_02"]
    assert len(children) == 4


# Ending


@EACH_KIND
def test_dropping_a_queue_leaves_nothing(queue: psycopg.Connection) -> None:
    _send(queue, 50)
    queue.execute("SELECT pgmq.maintain('q')")
    assert queries.one(queue, "SELECT pgmq.drop_queue('q')") is True
    left = """
        SELECT relname FROM pg_class
        WHERE relnamespace = 'pgmq'::regnamespace AND relname ~ '(^|_)q(_|$)'
        UNION ALL
        SELECT proname FROM pg_proc
        WHERE pronamespace = 'pgmq'::regnamespace AND proname ~ '^_[a-z]+_q$'
    """
    assert queries.ids(queue, left) == []
    assert queries.one(queue, "SELECT count(*) FROM pgmq.partitioning") == 0
    queue.execute("SELECT pgmq.create('q'), pgmq.send('q', '1')")
    assert queries.ids(queue, "SELECT msg_id FROM pgmq.read('q', 0, 1)") == [1]


def test_an_archive_is_converted(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q')")
    _send(db, 40)
    db.execute("SELECT pgmq.archive('q', 1)")
    db.execute("SELECT pgmq.convert_archive_partitioned('q', '10', '20', 2)")
    assert queries.ids(db, "SELECT msg_id FROM pgmq.a_q_old") == [1]
    db.execute("SELECT pgmq.archive('q', ARRAY[2, 33, 40])")
    assert queries.one(db, "SELECT count(*) FROM pgmq.a_q_default") == 2
    db.execute("SELECT pgmq.maintain()")
    assert queries.ids(db, "SELECT msg_id FROM pgmq.a_q ORDER BY 1") == [33, 40]
    assert _children(db, "pgmq.a_q") == [f"pgmq.a_q_p{i}" for i in range(20, 70, 10)]
    notices: list[str | None] = []
    db.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    db.execute("SELECT pgmq.convert_archive_partitioned('q')")
    assert notices == ["Table a_qs is already partitioned"]
    db.execute("SELECT pgmq.drop_queue('q'), pgmq.create('q')")
    assert queries.ids(db, "SELECT msg_id FROM pgmq.a_q_old") == [1]


def test_whoever_has_a_right_to_an_archive_keeps_it_when_it_is_converted(
    db: psycopg.Connection, roles: Roles
) -> None:
    role = roles()
    db.execute("SELECT pgmq.create('q'), pgmq.grant_consume('q', %s)", (role,))
    db.execute("SELECT pgmq.grant_requeue('q', %s)", (role,))
    db.execute(
        f"""
        ALTER TABLE pgmq.a_q ADD COLUMN mine text;
        GRANT SELECT (mine), UPDATE (vt) ON pgmq.a_q TO {role} WITH GRANT OPTION;
        GRANT SELECT, INSERT ON pgmq.a_q TO public;
        GRANT DELETE ON pgmq.a_q TO {role} WITH GRANT OPTION;
        """.encode()
    )
    grants = """
        SELECT s.name, g::text
        FROM (
            SELECT '', relacl FROM pg_class WHERE oid = %(a)s::regclass
            UNION ALL
            SELECT attname, attacl FROM pg_attribute
            WHERE attrelid = %(a)s::regclass AND attname <> 'mine'
        ) AS s (name, acl), aclexplode(s.acl) AS g
        ORDER BY 1, 2
    """
    _send(db, 4)
    db.execute("SELECT pgmq.archive('q', 1)")
    before = db.execute(grants, {"a": "pgmq.a_q"}).fetchall()
    db.execute("SELECT pgmq.convert_archive_partitioned('q')")
    assert db.execute(grants, {"a": "pgmq.a_q"}).fetchall() == before
    db.execute(f"SET ROLE {role}".encode())
    assert queries.ids(db, "SELECT pgmq.archive('q', ARRAY[2, 3])") == [2, 3]
    assert queries.one(db, "SELECT pgmq.requeue('q', ARRAY[2])") == 1


def test_archives_that_are_put_aside_have_indexes_of_their_own(db: psycopg.Connection) -> None:
    # What follows archived_at_idx_ leaves no room for _old; the names differ behind it, or nowhere.
    for name in ("x" * 46 + "a", "x" * 46 + "b", "ü" * 23 + "a"):
        db.execute("SELECT pgmq.create(%s)", (name,))
        db.execute("SELECT pgmq.convert_archive_partitioned(%s)", (name,))
    aside = "SELECT indexdef FROM pg_indexes WHERE tablename ~ '^a_.*_old$'"
    assert len([made for made in queries.ids(db, aside) if "(archived_at)" in made]) == 3


@pytest.mark.parametrize(
    ("word", "interval", "start"),
    [
        ("yearly", "1 year", "year"),
        ("quarterly", "3 months", "quarter"),
        ("monthly", "1 month", "month"),
        ("weekly", "7 days", "week"),
        ("daily", "1 day", "day"),
        ("hourly", "1 hour", "hour"),
        ("half-hour", "30 minutes", "hour"),
        ("quarter-hour", "15 minutes", "hour"),
    ],
)
def test_intervals_have_names(db: psycopg.Connection, word: str, interval: str, start: str) -> None:
    db.execute("SET timezone = 'UTC'")
    db.execute("SELECT pgmq.create_partitioned('q', %s, '10 years', 9)", (word,))
    db.execute("SELECT pgmq.create('c')")
    db.execute("SELECT pgmq.convert_archive_partitioned('c', %s, '10 years', 9)", (word,))
    for table in ("pgmq.q_q", "pgmq.a_q", "pgmq.a_c"):
        starts = queries.ids(
            db,
            "SELECT to_timestamp(first_key / 1000000) FROM pgmq._partitions(%s) ORDER BY 1",
            table,
        )
        assert queries.one(db, "SELECT %s + %s::interval", starts[0], interval) == starts[1]
        assert any(queries.one(db, "SELECT date_trunc(%s, %s)", start, t) == t for t in starts[:4])
    assert queries.ids(db, "SELECT DISTINCT partition_interval FROM pgmq.partitioning") == [
        interval
    ]
    assert queries.one(db, "SELECT pgmq.send('q', '1')") == 1
    assert queries.ids(db, "SELECT msg_id FROM pgmq.read('q', 60, 1)") == [1]


def test_an_archive_whose_name_leaves_no_room_for_another_is_not_converted(
    db: psycopg.Connection,
) -> None:
    """The archive as it was keeps its rows under its name and _old."""
    name = 29 * "ö"
    db.execute("SELECT pgmq.create(%s)", (name,))
    with pytest.raises(psycopg.Error, match="too long in bytes to rename its archive: 58"):
        db.execute("SELECT pgmq.convert_archive_partitioned(%s)", (name,))
    assert queries.one(db, "SELECT to_regclass(%s) IS NOT NULL", f'pgmq."a_{name}"')


def test_the_archive_of_an_unknown_queue_cannot_be_converted(db: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable, match='queue "nosuch" does not exist'):
        db.execute("SELECT pgmq.convert_archive_partitioned('nosuch')")
