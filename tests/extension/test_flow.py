"""Rate limits and pauses of a queue, as one session sees them."""

from __future__ import annotations

import contextlib
import itertools
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from support.cases import case
from support.queries import ids, one
from support.queues import DISTINCT, KINDS, LAYOUTS, STREAMS, made

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Connect, Roles

WAYS_OUT = [
    "SELECT msg_id FROM pgmq.read('q', 60, %s)",
    "SELECT msg_id FROM pgmq.read('q', 60, %s, '{\"a\": 1}')",
    "SELECT msg_id FROM pgmq.read_any('{q}', 60, %s)",
    "SELECT msg_id FROM pgmq.pop('q', %s)",
    "SELECT msg_id FROM pgmq.ack_and_read('q', 60, %s, '{}', '{}')",
    "SELECT msg_id FROM pgmq.read_with_poll('q', 60, %s, 0)",
    "SELECT msg_id FROM pgmq.read_grouped('q', 60, %s)",
    "SELECT msg_id FROM pgmq.read_grouped_rr('q', 60, %s)",
    "SELECT msg_id FROM pgmq.read_grouped_head('q', 60, %s)",
    "SELECT msg_id FROM pgmq.read_group('q', 'g1', 60, %s)",
]
FAIR = "SELECT msg_id FROM pgmq.read_fair('q', 60, %s)"
READ, POP = WAYS_OUT[0], WAYS_OUT[3]
# Two now, and then one in half an hour.
LIMIT = "rate_limit => 2, rate_interval => '1 hour'"
SEND = """
SELECT pgmq.send_batch(
    'q', array_agg('{"a": 1}'::jsonb), array_agg(jsonb_build_object('x-pgmq-group', 'g' || n))
) FROM generate_series(1, 20) AS n
"""
# The state as if so many hours had passed since.
LATER = "SELECT setval('pgmq.rate_q', last_value - (%s * 3.6e9)::bigint) FROM pgmq.rate_q"
NEXT = "SELECT extract(epoch FROM pgmq.next_visible_at('q') - clock_timestamp())::float8"


def _make(db: psycopg.Connection, options: str = LIMIT, layout: str = "plain") -> None:
    db.execute(made(layout, "q").encode())
    db.execute(f"SELECT pgmq.set_policy('q', {options})".encode())
    db.execute(SEND.encode())


@contextlib.contextmanager
def _made(db: psycopg.Connection, layout: str, options: str = LIMIT) -> Iterator[None]:
    """Make a queue of this layout, and drop it at the end."""
    with case(layout):
        _make(db, options, layout)
        yield
        db.execute("SELECT pgmq.drop_queue('q')")


def test_no_way_out_gives_more_than_the_rate_lets_through(db: psycopg.Connection) -> None:
    for layout in LAYOUTS:
        with _made(db, layout):
            for call in WAYS_OUT:
                with case(call):
                    db.execute("SELECT pgmq.purge_queue('q')")
                    first, second, *_ = ids(db, SEND)
                    if "read_group('" in call:
                        db.execute('UPDATE pgmq.q_q SET headers = \'{"x-pgmq-group": "g1"}\'')
                    assert ids(db, call, 1) == [first]
                    assert ids(db, call, 9) in ([second], [])  # a group may be closed
                    assert ids(db, READ, 9) in ([second], [])
                    assert [ids(db, way, 9) for way in (call, READ, POP)] == [[], [], []]
                    db.execute(LATER, [0.5])
                    assert len(ids(db, READ, 9)) == 1
                    assert ids(db, call, 9) == []
                    db.execute(LATER, [9])


def test_push_channels_get_no_more_either(db: psycopg.Connection, connect: Connect) -> None:
    db.execute("SELECT pgmq.create('q')")
    db.execute(f"SELECT pgmq.set_policy('q', {LIMIT})".encode())
    consumer = connect()
    consumer.execute("SELECT pgmq.open_channel('q', 10)")
    db.execute(SEND.encode())
    assert len(list(consumer.notifies(timeout=0.3))) == 2
    db.execute(LATER, [0.5])
    db.execute("SELECT pgmq.close_dead_channels()")
    assert len(list(consumer.notifies(timeout=0.3))) == 1


def test_a_burst_comes_at_once_and_fills_up_again_evenly(db: psycopg.Connection) -> None:
    _make(db, "rate_limit => 60, rate_interval => '1 hour', rate_burst => 3")
    assert ids(db, READ, 9) == [1, 2, 3]
    for hours, found in ((1 / 60, [4]), (2 / 60, [5, 6]), (5, [7, 8, 9])):
        db.execute(LATER, [hours])
        assert ids(db, READ, 9) == found
        assert ids(db, READ, 9) == []


def test_a_rate_is_by_the_second_and_a_burst_as_large_unless_said(db: psycopg.Connection) -> None:
    _make(db, "rate_limit => 5")
    assert ids(db, READ, 9) == [1, 2, 3, 4, 5]
    assert 0.05 < one(db, NEXT) <= 0.2
    db.execute(LATER, [1 / 3600])
    assert ids(db, READ, 9) == [6, 7, 8, 9, 10]


def test_only_what_is_handed_out_counts(db: psycopg.Connection) -> None:
    _make(db, LIMIT + ", max_receives => 1, dead_letter_queue => 'dead'")
    db.execute("UPDATE pgmq.q_q SET read_ct = 1 WHERE msg_id < 10")  # dead letters
    assert ids(db, WAYS_OUT[1].replace('"a": 1', '"a": 2'), 9) == []
    assert ids(db, "SELECT msg_id FROM pgmq.read_group('q', 'none', 60, %s)", 9) == []
    assert ids(db, READ, 9) == [10, 11]
    assert one(db, "SELECT count(*) FROM pgmq.q_dead") == 9


def test_a_read_that_is_rolled_back_has_used_its_share(db: psycopg.Connection) -> None:
    _make(db)
    with db.transaction(force_rollback=True):
        assert ids(db, READ, 1) == [1]
    assert ids(db, READ, 9) == [1]
    assert ids(db, READ, 9) == []


def test_a_message_that_comes_back_counts_again(db: psycopg.Connection) -> None:
    _make(db)
    assert ids(db, READ, 1) == [1]
    db.execute("SELECT pgmq.nack('q', 1, 1, 0)")
    assert ids(db, READ, 1) == [1]
    db.execute("SELECT pgmq.nack('q', 1, 2, 0)")
    assert ids(db, READ, 1) == []


def test_the_next_message_is_known_by_its_vt_and_by_the_rate(db: psycopg.Connection) -> None:
    _make(db)
    assert one(db, NEXT) <= 0
    ids(db, READ, 1)
    assert one(db, NEXT) <= 0
    ids(db, READ, 1)
    assert 1790 < one(db, NEXT) <= 1800
    db.execute("SELECT pgmq.purge_queue('q')")
    assert one(db, NEXT) is None
    db.execute("SELECT pgmq.send('q', '1', 3000)")
    assert 2990 < one(db, NEXT) <= 3000


def test_a_state_ahead_of_the_clock_is_cut_to_a_burst_and_not_forgotten(
    db: psycopg.Connection,
) -> None:
    # One in half a second: a slow machine must not take as long from one call to the next.
    _make(db, "rate_limit => 2, rate_burst => 20")
    db.execute("SELECT setval('pgmq.rate_q', 9000000000000000)")  # the clock was set back
    assert ids(db, READ, 9) == []
    assert 0 < one(db, NEXT) <= 0.5
    time.sleep(1.05)
    assert len(ids(db, POP, 1)) == 1


def test_a_lower_rate_does_not_wait_for_what_was_allowed_before(db: psycopg.Connection) -> None:
    _make(db, "rate_limit => 1, rate_interval => '30 days'")
    assert ids(db, READ, 9) == [1]
    db.execute("SELECT pgmq.alter_policy('q', rate_limit => 100, rate_interval => '1 second')")
    ids(db, READ, 9)
    assert one(db, NEXT) <= 0.01


def test_a_limit_that_is_turned_off_is_none(db: psycopg.Connection) -> None:
    for layout in LAYOUTS:
        with _made(db, layout):
            ids(db, READ, 2)
            db.execute("SELECT pgmq.alter_policy('q', clear => '{rate_limit,rate_interval}')")
            assert ids(db, READ, 2) == [3, 4]
            assert ids(db, WAYS_OUT[1], 2) == [5, 6]
            assert ids(db, WAYS_OUT[6], 2) == [7, 8]
            assert ids(db, POP, 2) == [9, 10]
            assert one(db, NEXT) <= 0
            db.execute(f"SELECT pgmq.alter_policy('q', {LIMIT})".encode())
            assert [ids(db, READ, 9), one(db, NEXT) > 1700] == [[], True]


def test_leases_and_the_rate_are_limited_together(db: psycopg.Connection) -> None:
    limits = "rate_limit => 4, rate_interval => '1 hour', max_in_flight => 3"
    for layout in LAYOUTS:
        with _made(db, layout, limits):
            assert ids(db, READ, 9) == [1, 2, 3]
            assert ids(db, WAYS_OUT[6], 9) == []
            db.execute("SELECT pgmq.ack('q', '{1,2,3}'::bigint[], '{1,1,1}')")
            assert ids(db, READ, 1) == [4]
            assert ids(db, READ, 9) == []
            db.execute(LATER, [0.25])
            db.execute("SELECT pgmq.read('q', 60, 1), pgmq.set_vt('q', 4, 3600)")
            db.execute(LATER, [1])
            assert len(ids(db, READ, 9)) == 1  # two are leased
            assert len(ids(db, POP, 9)) == 3  # which leases nothing


def test_groups_are_limited_beside_the_rate(db: psycopg.Connection) -> None:
    limits = "rate_limit => 6, rate_interval => '1 hour', max_in_flight_per_group => 1"
    for layout in LAYOUTS:
        with _made(db, layout, limits):
            db.execute(
                'UPDATE pgmq.q_q SET headers = \'{"x-pgmq-group": "big"}\' WHERE msg_id < 18'
            )
            assert ids(db, READ, 2) == [1, 18]
            assert ids(db, FAIR, 9) in ([19, 20], [20, 19])
            assert ids(db, POP, 1) == [2]  # which leases nothing
            assert ids(db, READ, 9) == []
            db.execute("SELECT pgmq.ack('q', 1, 1)")
            assert ids(db, READ, 9) == [3]
            assert ids(db, POP, 9) == []
            db.execute("SELECT pgmq.alter_policy('q', max_in_flight => 4)")
            db.execute(LATER, [1])
            assert ids(db, READ, 9) == []
            db.execute("SELECT pgmq.ack('q', '{3,18}'::bigint[], '{1,1}')")
            assert ids(db, FAIR, 9) == [4]
            assert ids(db, POP, 2) == [5, 6]


def test_numbers_that_are_too_large_are_errors_and_others_work(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q')")
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="in more than 100 years: 2"):
        db.execute(
            "SELECT pgmq.set_policy('q', 3, rate_limit => 1, rate_burst => 2,"
            " rate_interval => '100 years')"
        )
    for options in (
        "rate_limit => 1, rate_interval => '100 years'",
        "rate_limit => 2147483647, rate_interval => '1 microsecond'",
        "rate_limit => 2147483647, rate_interval => '100 years'",
        "rate_limit => 1, rate_interval => '1 microsecond', rate_burst => 2147483647",
    ):
        db.execute(f"SELECT pgmq.set_policy('q', {options})".encode())
        db.execute("SELECT setval('pgmq.rate_q', 1), pgmq.send('q', '1')")
        assert len(ids(db, READ, 1)) == 1, options
        db.execute("SELECT pgmq.next_visible_at('q')")


def test_streams_have_no_rate(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create_stream('s')")
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="has no policy but dedup_window"):
        db.execute("SELECT pgmq.set_policy('s', rate_limit => 1)")


def test_a_consumer_needs_no_other_right(
    db: psycopg.Connection, connect: Connect, roles: Roles
) -> None:
    db.execute(
        "CREATE FUNCTION take() RETURNS SETOF bigint LANGUAGE sql SECURITY DEFINER"
        " AS $$ SELECT msg_id FROM pgmq.read('q', 60, 1) $$"
    )
    for layout in LAYOUTS:
        with _made(db, layout, LIMIT + ", max_in_flight => 10"):
            role = roles()
            db.execute("SELECT pgmq.grant_consume('q', %s)", [role])
            consumer = connect(user=role)
            assert ids(consumer, READ, 1) == [1]
            assert ids(consumer, POP, 9) == [2]
            assert ids(consumer, POP, 9) == []
            assert one(consumer, NEXT) > 1700
            # A function that reads for others: its owner may, the session's role may not.
            db.execute(LATER, [1])
            other = connect(user=roles())
            assert ids(other, "SELECT take()") == [3]
            assert ids(other, "SELECT take()") == [4]
            assert ids(other, "SELECT take()") == []


def test_doctor_misses_the_state_and_brings_it_back(db: psycopg.Connection) -> None:
    _make(db)
    db.execute("DROP SEQUENCE pgmq.rate_q")
    finding, fix = db.execute(
        "SELECT finding, fix FROM pgmq.doctor() WHERE queue_name = 'q'"
    ).fetchall()[0]
    assert finding == "the time up to which the rate is used up is missing"
    db.execute(fix.encode())
    assert ids(db, READ, 9) == [1, 2]
    assert ids(db, READ, 9) == []


# Pauses

WAYS_IN = [
    "SELECT pgmq.send('q', '1')",
    "SELECT pgmq.send('q', '1', '{\"x-pgmq-dedup-id\": \"a\"}'::jsonb)",
    "SELECT pgmq.send_batch('q', '{1,2}')",
    "SELECT pgmq.send_batch('q', '{1}', '{\"{\\\"x-pgmq-dedup-id\\\": 1}\"}'::jsonb[])",
    "SELECT pgmq.send_once('q', '1', 'key')",
    "SELECT pgmq.send_once('q', '{1}'::jsonb[], '{b}'::text[])",
    "SELECT pgmq.send_topic('a.b', '1')",
    "SELECT pgmq.send_batch_topic('a.b', '{1}')",
    "SELECT pgmq.publish('e', 'a.b', '1')",
    "SELECT pgmq.move('other', 1, 'q')",
    "SELECT pgmq.redrive('other', 'q')",
    "SELECT pgmq.redrive('other')",
    "SELECT pgmq.requeue('q', '{9}')",
]
PAUSED = 'queue "q" is paused: nothing can be sent to it'
BODIES = "SELECT proname, prosrc FROM pg_proc WHERE proname LIKE %s ORDER BY 1"


def test_no_way_out_gives_anything_while_reads_are_paused(db: psycopg.Connection) -> None:
    limits = ["max_receives => null", "max_in_flight => 50", LIMIT]
    for options, layout in itertools.product(limits, LAYOUTS):
        with case(options), _made(db, layout, options):
            db.execute("SELECT pgmq.create_fair_index('q'), pgmq.create_fifo_index('q')")
            before = db.execute(BODIES, ["%\\_q"]).fetchall()
            assert ids(db, READ, 1) == [1]
            db.execute("SELECT pgmq.pause('q')")
            for call in [*WAYS_OUT, FAIR]:
                assert ids(db, call, 9) == [], call
            assert one(db, NEXT) is None
            # What concerns messages that are there already goes on, and so do sends.
            assert one(db, "SELECT pgmq.extend('q', 1, 1, 60)")
            assert one(db, "SELECT pgmq.ack('q', 1, 1)")
            assert one(db, "SELECT pgmq.archive('q', 2)")
            assert one(db, "SELECT pgmq.delete('q', 3)")
            assert ids(db, "SELECT msg_id FROM pgmq.peek('q', 1)") == [4]
            assert one(db, "SELECT pgmq.send('q', '1')") == 21
            db.execute("SELECT pgmq.alter_policy('q', retry_delay => '1 s')")  # compiles it anew
            assert ids(db, READ, 9) == []
            db.execute("SELECT pgmq.alter_policy('q', clear => '{retry_delay}')")
            assert one(db, "SELECT pgmq.resume('q')")
            assert ids(db, READ, 1) == [4]
            after: dict[str, str] = dict(db.execute(BODIES, ["%\\_q"]).fetchall())
            assert [row for row in before if after[row[0]] != row[1]] == []


def test_no_way_in_is_open_while_sends_are_paused(db: psycopg.Connection) -> None:
    dead = '{"x-pgmq-dead-letter": {"queue": "q"}}'
    db.execute("SELECT pgmq.create_exchange('e')")
    for call in WAYS_IN:
        with case(call):
            db.execute("SELECT pgmq.create('q'), pgmq.set_policy('q', dedup_window => '1 h')")
            db.execute("SELECT pgmq.bind_topic('a.*', 'q'), pgmq.bind('e', 'q', 'a.#')")
            db.execute("INSERT INTO pgmq.a_q (msg_id, vt, message) VALUES (9, now(), '1')")
            db.execute("SELECT pgmq.create('other'), pgmq.send('other', '1', %s::jsonb)", [dead])
            db.execute("SELECT pgmq.pause('q', reads => false, sends => true)")
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=PAUSED):
                db.execute(call.encode())
            assert ids(db, "SELECT msg_id FROM pgmq.peek('q', 9)") == []
            db.execute("SELECT pgmq.resume('q')")
            db.execute(call.encode())
            assert ids(db, READ, 1) == [1]
            db.execute("SELECT pgmq.drop_queue('q'), pgmq.drop_queue('other')")


def test_dead_letters_and_rows_that_are_inserted_come_in_all_the_same(
    db: psycopg.Connection,
) -> None:
    db.execute("SELECT pgmq.create('work'), pgmq.create('q'), pgmq.create_stream('log')")
    db.execute("SELECT pgmq.set_policy('work', max_receives => 1, dead_letter_queue => 'q')")
    db.execute("SELECT pgmq.create_group('log', 'g', 'earliest', 1, 1, 'q')")
    db.execute("SELECT pgmq.pause('q', sends => true)")
    db.execute("SELECT pgmq.send('work', '1'), pgmq.send('log', '2')")
    assert ids(db, "SELECT msg_id FROM pgmq.read('work', 0, 1)") == [1]
    assert ids(db, "SELECT msg_id FROM pgmq.read('work', 0, 1)") == []
    db.execute(
        "SELECT pgmq.reject('log', 'g', lane, epoch, msg_id) FROM pgmq.fetch('log', 'g', 60, 1)"
    )
    db.execute("INSERT INTO pgmq.q_q (vt, message) VALUES (now(), '3')")
    assert ids(db, READ, 9) == []
    db.execute("SELECT pgmq.resume('q')")
    assert ids(db, "SELECT message FROM pgmq.read('q', 60, 9)") == [1, 2, 3]


def test_every_kind_of_queue_is_paused_and_resumed(db: psycopg.Connection) -> None:
    reads = {
        kind: "SELECT msg_id FROM pgmq.fetch(%s, 'g', 60, 9)"
        if kind in STREAMS
        else "SELECT msg_id FROM pgmq.read(%s, 60, 9)"
        for kind in DISTINCT
    }
    send = "SELECT pgmq.send(%s, '1')"
    differences = "SELECT to_jsonb(d) FROM pgmq._differences() AS d"
    sent = {}
    for kind, read in reads.items():
        with case(kind):
            db.execute(KINDS[kind].encode())
            sent[kind] = one(db, send, kind)
            db.execute("SELECT pgmq.pause(%s, sends => true)", [kind])
            with pytest.raises(
                psycopg.errors.ObjectNotInPrerequisiteState, match="nothing can be sent"
            ):
                one(db, send, kind)
            assert ids(db, read, kind) == []
    assert ids(db, differences) == []
    for kind, read in reads.items():
        with case(kind):
            db.execute("SELECT pgmq.pause(%s, reads => false, sends => true)", [kind])
            assert ids(db, read, kind) == [sent[kind]]
            db.execute("SELECT pgmq.resume(%s)", [kind])
    assert ids(db, differences) == []
    for kind in DISTINCT:
        with case(kind):
            assert one(db, send, kind) > sent[kind]


def test_a_pinned_queue_is_paused(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.pin('q'), pgmq.send('q', '1')")
    assert ids(db, READ, 0) == []
    db.execute("SELECT pgmq.pause('q', sends => true)")
    assert [ids(db, READ, 1), ids(db, POP, 1)] == [[], []]
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=PAUSED):
        db.execute("SELECT pgmq.send('q', '1')")
    db.execute("SELECT pgmq.resume('q')")
    assert ids(db, POP, 1) == [1]


def test_a_pause_is_set_anew_and_shown(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('Queue'), pgmq.create('b')")
    shown = "SELECT concat(queue_name, ' ', reads, ' ', sends) FROM pgmq.list_paused()"
    since = "SELECT min(paused_at) FROM pgmq.list_paused()"
    assert ids(db, shown) == []
    assert not one(db, "SELECT pgmq.resume('queue')")
    db.execute("SELECT pgmq.pause('queue')")
    assert ids(db, shown) == ["Queue t f"]
    first = one(db, since)
    db.execute("SELECT pgmq.pause('QUEUE', false, true)")
    assert ids(db, shown) == ["Queue f t"]
    assert one(db, since) == first
    db.execute("SELECT pgmq.pause('b', sends => true)")
    found = db.execute(
        "SELECT severity, queue_name, regexp_replace(finding, ' since .*', ''), fix"
        " FROM pgmq.doctor() WHERE finding LIKE '%paused%' ORDER BY 2"
    ).fetchall()
    assert found == [
        ("info", "Queue", "sends paused", "SELECT pgmq.resume('Queue')"),
        ("info", "b", "reads and sends paused", "SELECT pgmq.resume('b')"),
    ]
    db.execute("SELECT pgmq.drop_queue('b'), pgmq.create('b')")
    assert ids(db, shown) == ["Queue f t"]
    assert one(db, "SELECT pgmq.send('b', '1')") == 1
    assert one(db, found[0][3])
    assert ids(db, shown) == []


def test_a_pause_of_nothing_or_of_no_queue_is_an_error(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q')")
    for arguments, said in (
        ("false", "false and false"),
        ("null", "null and false"),
        ("true, null", "true and null"),
    ):
        with pytest.raises(psycopg.errors.InvalidParameterValue) as caught:
            db.execute(f"SELECT pgmq.pause('q', {arguments})".encode())
        assert f"a pause is of reads, of sends, or of both: {said}" in str(caught.value)
    for call in ("pause", "resume"):
        with pytest.raises(psycopg.errors.UndefinedTable):
            db.execute(f"SELECT pgmq.{call}('none')".encode())


def test_only_the_owner_may_pause_or_resume(
    db: psycopg.Connection, connect: Connect, roles: Roles
) -> None:
    owner, other = roles(), roles()
    for role in (owner, other):
        db.execute("SELECT pgmq.grant_create(%s)", [role])
    mine, session = connect(user=owner), connect(user=other)
    mine.execute("SELECT pgmq.create('q'), pgmq.pause('q', sends => true)")
    for call in ("pause('q')", "resume('q')"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="may pause or resume it"):
            session.execute(f"SELECT pgmq.{call}".encode())
    # Whoever has one grant alone learns what is up.
    mine.execute("SELECT pgmq.grant_send('q', %s)", [other])
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=PAUSED):
        session.execute("SELECT pgmq.send('q', '1')")
    mine.execute("SELECT pgmq.revoke_all('q', %s), pgmq.grant_consume('q', %s)", [other, other])
    assert ids(session, READ, 1) == []
    assert one(session, NEXT) is None
    assert ids(session, "SELECT queue_name FROM pgmq.list_paused()") == ["q"]
    assert one(mine, "SELECT pgmq.resume('q')")


def test_who_awaits_a_paused_queue_waits_the_whole_time(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.create_stream('s')")
    db.execute("SELECT pgmq.create_group('s', 'g', 'earliest')")
    for queue in ("q", "s"):
        db.execute(
            "SELECT pgmq.enable_wakeups(%s), pgmq.send(%s, '1'), pgmq.pause(%s)", [queue] * 3
        )
        assert one(db, "SELECT pgmq.await(%s, 60) > clock_timestamp() + interval '55 s'", queue)
