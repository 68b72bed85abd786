"""What set_policy() promises of one session: dead letters, backoff, expiry, retention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from support.plans import touched
from support.prepared import prepared
from support.queries import ids, make_upkeep_certain, one

if TYPE_CHECKING:
    from conftest import Connect, Roles

READ = "SELECT msg_id FROM pgmq.read('q', %s, %s)"
WAYS_TO_READ = [
    "SELECT msg_id FROM pgmq.read('q', 0, 10)",
    "SELECT msg_id FROM pgmq.read('q', 0, 10, '{\"a\": 1}')",
    "SELECT msg_id FROM pgmq.pop('q', 10)",
    "SELECT msg_id FROM pgmq.read_grouped('q', 0, 10)",
    "SELECT msg_id FROM pgmq.read_grouped_rr('q', 0, 10)",
    "SELECT msg_id FROM pgmq.read_grouped_head('q', 0, 10)",
    "SELECT msg_id FROM pgmq.read_group('q', 'g', 0, 10)",
    "SELECT msg_id FROM pgmq.ack_and_read('q', 0, 10, '{}', '{}')",
]


template = prepared("SELECT pgmq.create('q')", by="queue")


@pytest.fixture
def queue(db: psycopg.Connection) -> psycopg.Connection:
    return db


def _policy(session: psycopg.Connection, options: str) -> None:
    session.execute(f"SELECT pgmq.set_policy('q', {options})".encode())


# Setting it


def test_a_policy_is_set_as_a_whole_and_shown(queue: psycopg.Connection) -> None:
    _policy(queue, "max_receives => 3, dead_letter_queue => 'Dead', retry_delay => '1 min'")
    shown = "SELECT p::text FROM pgmq.get_policy('Q') AS p"
    assert one(queue, shown) == "(q,3,Dead,00:01:00,,0,,,,,f,,,,,,f,)"
    _policy(queue, "ack_archives => true")
    assert one(queue, shown) == "(q,,,,,0,,,,,t,,,,,,f,)"
    _policy(queue, "max_receives => null")
    assert one(queue, shown) == "(q,,,,,0,,,,,f,,,,,,f,)"
    assert one(queue, "SELECT count(*) FROM pgmq.policy") == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("max_receives => 0", "max_receives must be at least 1: 0"),
        ("max_in_flight => -1", "max_in_flight must be at least 1: -1"),
        (
            "priorities => true, max_in_flight_per_group => 2",
            "priorities and max_in_flight_per_group exclude each other: 2",
        ),
        ("message_ttl => '0 s'", "message_ttl must be a positive interval .*: 00:00:00"),
        ("dedup_window => '-1 s'", "dedup_window must be a positive interval .*: -00:00:01"),
        ("archive_retention => '101 years'", "archive_retention must be .* of up to 100 years"),
        ("retry_delay => '1 s', retry_jitter => 1.5", "retry_jitter must be between 0 and 1: 1.5"),
        ("retry_delay => '1 s', retry_jitter => 'NaN'", "retry_jitter must be between 0 and 1"),
        ("retry_jitter => 0.5", "retry_jitter needs a retry_delay: 0.5"),
        ("retry_delay_max => '1 s'", "retry_delay_max needs a retry_delay"),
        ("retry_delay => '2 s', retry_delay_max => '1 s'", "retry_delay_max needs a retry_delay"),
        ("rate_burst => 5", "rate_interval and rate_burst need a rate_limit: null and 5"),
        ("rate_limit => 5, rate_burst => 0", "rate_burst must be at least 1: 0"),
        ("rate_limit => 5, rate_interval => '0'", "rate_interval must be a positive interval"),
        ("dedup_scope => 'for ever'", "dedup_scope must be window or pending: for ever"),
        ("priority_ageing => '1 min'", "priority_ageing needs priorities: 00:01:00"),
        ("dead_letter_queue => 'd'", 'dead_letter_queue "d" would never get a message'),
        (
            "max_receives => 1, dead_letter_queue => 'Q'",
            'dead letters of queue "q" in queue "q" would come back to it',
        ),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(
    queue: psycopg.Connection, options: str, said: str
) -> None:
    _policy(queue, "max_receives => 7")
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=said) as caught:
        _policy(queue, options)
    assert caught.value.diag.message_hint
    assert one(queue, "SELECT max_receives FROM pgmq.get_policy('q')") == 7


def test_alter_changes_what_it_is_given_and_set_says_what_it_takes_away(
    queue: psycopg.Connection,
) -> None:
    said: list[Any] = []
    queue.add_notice_handler(lambda notice: said.append(notice.message_primary))
    stored = "SELECT to_jsonb(p) - 'queue_name' FROM pgmq.get_policy('q') AS p"
    off = one(queue, stored)
    now = dict(off)
    for given, clear in (
        ({"max_receives": 5, "dead_letter_queue": "dead"}, []),
        ({"retry_delay": "00:00:01", "retry_delay_max": "00:01:00", "retry_jitter": 0.5}, []),
        ({"message_ttl": "01:00:00", "archive_retention": "02:00:00"}, []),
        ({"dedup_window": "03:00:00", "max_in_flight": 7, "ack_archives": True}, []),
        ({}, ["message_ttl", "ack_archives"]),
        ({"max_receives": 6}, ["max_receives", "retry_jitter"]),
        ({}, []),
    ):
        options = "".join(f", {name} => '{value}'" for name, value in given.items())
        queue.execute(f"SELECT pgmq.alter_policy('Q'{options}, clear => %s)".encode(), [clear])
        now |= {name: off[name] for name in clear} | given
        assert one(queue, stored) == now
    assert said == []
    _policy(queue, "max_receives => 6, retry_jitter => 0, dedup_window => '3 h'")
    (text,) = said
    assert text.startswith('queue "q" no longer has archive_retention, dead_letter_queue,')
    for options, text in (
        ("clear => '{ttl}'", 'a policy has no option "ttl"'),
        ("clear => '{queue_name}'", 'a policy has no option "queue_name"'),
        ("retry_jitter => 0.1", "retry_jitter needs a retry_delay"),
    ):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match=text):
            queue.execute(f"SELECT pgmq.alter_policy('q', {options})".encode())


@pytest.mark.parametrize(
    "call",
    [
        "SELECT pgmq.set_policy('no')",
        "SELECT pgmq.alter_policy('no')",
        "SELECT pgmq.get_policy('no')",
    ],
)
def test_a_policy_needs_a_queue(db: psycopg.Connection, call: str) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable, match='queue "no" does not exist'):
        db.execute(call.encode())


def test_dead_letter_queues_form_no_circle(queue: psycopg.Connection) -> None:
    _policy(queue, "max_receives => 1, dead_letter_queue => 'd1'")
    queue.execute("SELECT pgmq.set_policy('d1', max_receives => 1, dead_letter_queue => 'd2')")
    with pytest.raises(psycopg.errors.InvalidParameterValue, match='"d2" in queue "q" would come'):
        queue.execute("SELECT pgmq.set_policy('d2', max_receives => 1, dead_letter_queue => 'q')")


def test_a_dead_letter_queue_in_use_is_not_dropped(queue: psycopg.Connection) -> None:
    _policy(queue, "max_receives => 1, dead_letter_queue => 'Dead'")
    with pytest.raises(
        psycopg.errors.DependentObjectsStillExist, match='dead letters of queue "q"'
    ):
        queue.execute("SELECT pgmq.drop_queue('dead')")
    queue.execute("SELECT pgmq.drop_queue('q')")
    assert one(queue, "SELECT pgmq.drop_queue('dead')") is True
    assert one(queue, "SELECT count(*) FROM pgmq.policy") == 0


def test_a_queue_without_a_policy_pays_nothing(queue: psycopg.Connection) -> None:
    def bodies() -> list[Any]:
        return queue.execute(
            "SELECT p.proname, p.prosrc FROM pgmq.template AS t INNER JOIN pg_proc AS p"
            " ON p.proname = format('_%s_q', t.name) WHERE t.plain IS NOT NULL ORDER BY 1"
        ).fetchall()

    before = bodies()
    asks = {"_expires_at(", "_bury_q(", "pgmq._upkeep(", "_retry_after(", "_admit_q("}
    assert not any(word in body for _, body in before for word in asks)
    _policy(
        queue,
        "max_receives => 1, dead_letter_queue => 'd', retry_delay => '1 s', message_ttl => '1 s', "
        "archive_retention => '1 s', max_in_flight => 1, ack_archives => true",
    )
    assert bodies() != before
    _policy(queue, "ack_archives => false")
    assert bodies() == before
    assert one(queue, "SELECT count(*) FROM pg_class WHERE relname = 'in_flight_idx_q'") == 0


# Dead letters


@pytest.mark.parametrize("call", WAYS_TO_READ)
def test_a_message_received_too_often_becomes_a_dead_letter(
    queue: psycopg.Connection, call: str
) -> None:
    _policy(queue, "max_receives => 2, dead_letter_queue => 'dead'")
    queue.execute(
        'SELECT pgmq.send_batch(\'q\', \'{"{\\"a\\": 1}","{\\"a\\": 1}"}\','
        ' ARRAY[\'{"x-pgmq-group": "g"}\', \'{"x-pgmq-group": "g"}\']::jsonb[])'
    )
    queue.execute("SELECT pgmq.nack('q', 1, read_ct, 0) FROM pgmq.read('q', 60, 1)")
    queue.execute("SELECT pgmq.nack('q', 1, read_ct, 0, 'no luck') FROM pgmq.read('q', 60, 1)")
    assert ids(queue, call) == [2]
    letter = queue.execute(
        "SELECT message, headers, read_ct, vt = enqueued_at FROM pgmq.q_dead"
    ).fetchone()
    assert letter is not None
    message, headers, read_ct, ready = letter
    assert (message, read_ct, ready) == ({"a": 1}, 0, True)
    assert headers["x-pgmq-group"] == "g"
    about = headers["x-pgmq-dead-letter"]
    assert about.keys() == {"queue", "msg_id", "read_ct", "reason", "error", "enqueued_at", "at"}
    assert [about[key] for key in ("queue", "msg_id", "read_ct", "reason", "error")] == [
        "q", 1, 2, "max_receives", "no luck",
    ]  # fmt: skip
    assert about["enqueued_at"] < about["at"]


def test_a_dead_letter_without_a_queue_for_it_is_archived(queue: psycopg.Connection) -> None:
    _policy(queue, "max_receives => 1")
    queue.execute("SELECT pgmq.send('q', '1', '[1]'::jsonb); SELECT pgmq.read('q', 0, 1)")
    assert ids(queue, READ, 0, 1) == []
    row = queue.execute("SELECT msg_id, read_ct, message FROM pgmq.a_q").fetchone()
    assert row == (1, 1, 1)
    assert one(queue, "SELECT headers #>> '{x-pgmq-dead-letter,reason}' FROM pgmq.a_q") == (
        "max_receives"
    )


def test_the_last_receipt_is_as_long_as_its_lease(queue: psycopg.Connection) -> None:
    _policy(queue, "max_receives => 1, dead_letter_queue => 'dead'")
    queue.execute("SELECT pgmq.send('q', '1'); SELECT pgmq.read('q', 60, 1)")
    assert ids(queue, READ, 0, 1) == []
    queue.execute("SELECT pgmq.maintain('q')")
    assert one(queue, "SELECT pgmq.ack('q', 1, 1)") is True
    assert one(queue, "SELECT count(*) FROM pgmq.q_dead") == 0


def test_a_reader_gets_past_many_dead_letters_in_bounded_work(queue: psycopg.Connection) -> None:
    queue.execute(
        "SELECT pgmq.send_batch('q', array_agg('1'::jsonb)) FROM generate_series(1, 3000)"
    )
    queue.execute("SELECT count(*) FROM pgmq.read('q', 0, 3000)")
    queue.execute("SELECT pgmq.send('q', '2', 0); SELECT pgmq.set_vt('q', 3001, 0)")
    _policy(queue, "max_receives => 1, dead_letter_queue => 'dead'")
    assert ids(queue, READ, 60, 1) == []
    assert 0 < one(queue, "SELECT count(*) FROM pgmq.q_dead") <= 1200
    assert next(calls for calls in range(1, 10) if ids(queue, READ, 60, 1) == [3001]) <= 3
    assert one(queue, "SELECT count(*) FROM pgmq.q_dead") == 3000


# Backoff


@pytest.mark.parametrize(
    ("options", "delays"),
    [
        ("retry_delay => '10 s'", [10, 10, 10, 10]),
        ("retry_delay => '10 s', retry_delay_max => '60 s'", [10, 20, 40, 60]),
        ("retry_delay => '0'", [0, 0, 0, 0]),
        ("max_receives => 100", [0, 0, 0, 0]),
    ],
)
def test_a_nack_without_a_delay_backs_off(
    queue: psycopg.Connection, options: str, delays: list[int]
) -> None:
    _policy(queue, options)
    queue.execute("SELECT pgmq.send('q', '1')")
    for expected in delays:
        queue.execute("SELECT pgmq.set_vt('q', 1, 0)")
        queue.execute("SELECT pgmq.nack('q', msg_id, read_ct) FROM pgmq.read('q', 99, 1)")
        assert (
            0
            <= expected
            - one(queue, "SELECT extract(epoch FROM vt - clock_timestamp()) FROM pgmq.q_q")
            < (1 if expected else 1e9)
        )


def test_a_delay_that_is_given_is_no_backoff(queue: psycopg.Connection) -> None:
    _policy(queue, "retry_delay => '1 hour'")
    queue.execute("SELECT pgmq.send('q', '1')")
    queue.execute(
        "SELECT pgmq.nack('q', ARRAY[msg_id], ARRAY[read_ct], 0) FROM pgmq.read('q', 9, 1)"
    )
    assert ids(queue, READ, 0, 1) == [1]


def test_jitter_spreads_retries_below_the_delay(queue: psycopg.Connection) -> None:
    _policy(queue, "retry_delay => '100 s', retry_delay_max => '100 s', retry_jitter => 0.5")
    queue.execute("SELECT pgmq.send_batch('q', array_agg('1'::jsonb)) FROM generate_series(1, 200)")
    queue.execute(
        "SELECT pgmq.nack('q', array_agg(msg_id), array_agg(read_ct)) FROM pgmq.read('q', 0, 200)"
    )
    row = queue.execute(
        "SELECT min(s), max(s), avg(s)"
        " FROM (SELECT extract(epoch FROM vt - enqueued_at) AS s FROM pgmq.q_q) AS d"
    ).fetchone()
    assert row is not None
    shortest, longest, mean = map(float, row)
    assert 50 <= shortest < 60
    assert 90 < longest < 101
    assert 68 < mean < 82


def test_a_backoff_never_overflows(queue: psycopg.Connection) -> None:
    _policy(queue, "retry_delay => '100 years', retry_delay_max => '100 years'")
    queue.execute("SELECT pgmq.send('q', '1')")
    queue.execute("UPDATE pgmq.q_q SET read_ct = 2147483600")
    queue.execute("SELECT pgmq.nack('q', msg_id, read_ct) FROM pgmq.read('q', 0, 1)")
    assert one(queue, "SELECT vt > now() + interval '99 years' FROM pgmq.q_q") is True


# Expiry


@pytest.mark.parametrize("call", WAYS_TO_READ)
def test_an_expired_message_is_never_handed_out(queue: psycopg.Connection, call: str) -> None:
    _policy(queue, "message_ttl => '1 hour', dead_letter_queue => 'dead'")
    queue.execute(
        "SELECT pgmq.send_batch('q', array_agg('{\"a\": 1}'::jsonb),"
        ' array_agg(\'{"x-pgmq-group": "g"}\'::jsonb)) FROM generate_series(1, 4)'
    )
    queue.execute(
        "UPDATE pgmq.q_q SET enqueued_at = enqueued_at - interval '1 hour',"
        " vt = vt - interval '1 hour' WHERE msg_id IN (1, 3)"
    )
    assert ids(queue, call) == ([2] if "_head" in call else [2, 4])
    queue.execute("SELECT pgmq.maintain('q')")
    assert ids(
        queue,
        "SELECT (headers #>> '{x-pgmq-dead-letter,msg_id}')::int FROM pgmq.q_dead"
        " WHERE headers #>> '{x-pgmq-dead-letter,reason}' = 'expired' ORDER BY 1",
    ) == [1, 3]


@pytest.mark.parametrize("call", ["read('q', 60, 5)", "pop('q', 5)"])
def test_expired_messages_in_front_do_not_make_every_batch_smaller(
    queue: psycopg.Connection, call: str
) -> None:
    _policy(queue, "message_ttl => '1 hour'")
    queue.execute(
        "SELECT pgmq.send_batch('q', array_agg('1'::jsonb), array_agg(CASE WHEN n <= 4"
        " THEN '{\"x-pgmq-ttl\": 0}'::jsonb END)) FROM generate_series(1, 20) AS n"
    )
    assert ids(queue, f"SELECT msg_id FROM pgmq.{call}") == [5]
    assert ids(queue, f"SELECT msg_id FROM pgmq.{call}") == [6, 7, 8, 9, 10]


def test_an_expired_message_that_was_delayed_is_not_handed_out(queue: psycopg.Connection) -> None:
    _policy(queue, "message_ttl => '1 hour'")
    queue.execute("SELECT pgmq.send('q', '1', 3600)")
    queue.execute(
        "UPDATE pgmq.q_q SET enqueued_at = enqueued_at - interval '1 hour',"
        " vt = vt - interval '1 hour'"
    )
    assert ids(queue, READ, 0, 1) == []
    assert ids(queue, "SELECT msg_id FROM pgmq.a_q") == [1]


@pytest.mark.parametrize(
    ("ttl", "there"),
    [
        ("0", False),
        ("-1e300", False),
        ("1e-400", False),
        ("3600", True),
        ("1e300", True),
        ('"x"', True),
    ],
)
def test_a_header_overrides_the_time_to_live(
    queue: psycopg.Connection, ttl: str, there: bool
) -> None:
    _policy(queue, "message_ttl => '1 day'")
    queue.execute("SELECT pgmq.send('q', '1', %s::jsonb)", [f'{{"x-pgmq-ttl": {ttl}}}'])
    assert ids(queue, READ, 0, 1) == ([1] if there else [])


def test_a_dead_letter_is_not_expired_by_its_old_header(queue: psycopg.Connection) -> None:
    _policy(queue, "message_ttl => '1 day', dead_letter_queue => 'dead'")
    queue.execute("SELECT pgmq.set_policy('dead', message_ttl => '1 day')")
    queue.execute("SELECT pgmq.send('q', '1', '{\"x-pgmq-ttl\": 0}'::jsonb)")
    assert ids(queue, READ, 0, 1) == []
    assert ids(queue, "SELECT msg_id FROM pgmq.read('dead', 0, 1)") == [1]


def test_many_expired_messages_are_passed_in_bounded_work(queue: psycopg.Connection) -> None:
    queue.execute(
        "SELECT pgmq.send_batch('q', array_agg('1'::jsonb)) FROM generate_series(1, 5000)"
    )
    queue.execute("UPDATE pgmq.q_q SET enqueued_at = now() - interval '2 hours', vt = '2020-01-01'")
    _policy(queue, "message_ttl => '1 hour'")
    queue.execute("SELECT pgmq.send('q', '2')")
    assert ids(queue, READ, 60, 1) == []
    assert 0 < one(queue, "SELECT count(*) FROM pgmq.a_q") <= 1200
    assert next(calls for calls in range(1, 10) if ids(queue, READ, 60, 1) == [5001]) <= 5
    assert one(queue, "SELECT count(*) FROM pgmq.a_q") == 5000


# Leases


def test_an_acknowledgement_archives_where_the_policy_says_so(queue: psycopg.Connection) -> None:
    _policy(queue, "ack_archives => true")
    queue.execute("SELECT pgmq.send_batch('q', '{1,2,3,4}'); SELECT pgmq.read('q', 60, 4)")
    assert one(queue, "SELECT pgmq.ack('q', 1, 2)") is False
    assert one(queue, "SELECT pgmq.ack('q', 1, 1)") is True
    assert one(queue, "SELECT pgmq.ack('q', 1, 1)") is False
    assert ids(queue, "SELECT pgmq.ack('q', '{3,2,9}'::bigint[], '{2,1,1}')") == [2]
    queue.execute("SELECT pgmq.ack_and_read('q', 0, 1, '{4}', '{1}')")
    assert ids(queue, "SELECT msg_id FROM pgmq.a_q ORDER BY 1") == [1, 2, 4]
    assert ids(queue, "SELECT msg_id FROM pgmq.q_q") == [3]


@pytest.mark.parametrize(
    "came_back",
    ["SELECT pgmq.set_vt('q', 1, 0)", "SELECT pgmq.nack('q', 1, 1)"],
    ids=["expired", "returned"],
)
def test_a_lease_that_came_back_and_went_out_again_is_stale(
    queue: psycopg.Connection, came_back: str
) -> None:
    _policy(queue, "max_receives => 9, dead_letter_queue => 'dead', ack_archives => true")
    queue.execute("SELECT pgmq.send('q', '1'); SELECT pgmq.read('q', 60, 1)")
    queue.execute(came_back.encode())
    queue.execute("SELECT pgmq.read('q', 60, 1)")
    for call in ("ack('q', 1, 1)", "nack('q', 1, 1)", "extend('q', 1, 1, 9)"):
        assert one(queue, f"SELECT pgmq.{call}") is False
    assert one(queue, "SELECT count(*) FROM pgmq.ack_and_read('q', 60, 1, '{1}', '{1}')") == 0
    assert one(queue, "SELECT pgmq.ack('q', 1, 2)") is True


# Retention and upkeep


def test_old_archived_messages_are_removed_in_bounded_steps(queue: psycopg.Connection) -> None:
    queue.execute("SELECT pgmq.send_batch('q', array_agg('1'::jsonb)) FROM generate_series(1, 500)")
    queue.execute("SELECT pgmq.archive('q', array_agg(n)) FROM generate_series(1, 500) AS n")
    queue.execute("UPDATE pgmq.a_q SET archived_at = now() - interval '1 day' WHERE msg_id <= 450")
    _policy(queue, "archive_retention => '1 hour'")
    left = "SELECT count(*) FROM pgmq.a_q"
    assert touched(queue, "pgmq.a_q", "SELECT pgmq._upkeep('q', 1)") < 500
    make_upkeep_certain(queue)
    queue.execute("SELECT pgmq.pop('q', 32)")
    assert one(queue, left) == 400
    make_upkeep_certain(queue)
    queue.execute("SELECT pgmq.read('q', 0, 32)")
    assert one(queue, left) == 300
    make_upkeep_certain(queue)
    queue.execute("SELECT pgmq.read_grouped('q', 0, 32)")
    assert one(queue, left) == 200
    assert one(queue, "SELECT pgmq.maintain('q')") == 150
    assert one(queue, left) == 50
    assert one(queue, "SELECT pgmq.maintain()") == 0


def test_keys_of_an_earlier_window_are_removed(queue: psycopg.Connection) -> None:
    _policy(queue, "dedup_window => '1 hour'")
    queue.execute(
        "SELECT pgmq.send_once('q', array_agg('1'::jsonb), array_agg(n::text))"
        " FROM generate_series(1, 300) AS n"
    )
    queue.execute(
        "UPDATE pgmq.dedup_q SET sent_at = now() - interval '2 hours' WHERE msg_id <= 250"
    )
    make_upkeep_certain(queue)
    queue.execute("SELECT pgmq.read('q', 0, 32)")
    assert one(queue, "SELECT count(*) FROM pgmq.dedup_q") == 200
    assert one(queue, "SELECT pgmq.maintain('q')") == 150
    assert one(queue, "SELECT min(msg_id) FROM pgmq.dedup_q") == 251


@pytest.mark.parametrize("call", ["read('q', 0, null)", "pop('q', null)"])
def test_a_call_without_a_limit_does_upkeep_as_one_for_many_messages(
    queue: psycopg.Connection, call: str
) -> None:
    _policy(queue, "dedup_window => '1 ms'")
    queue.execute("SELECT pgmq.send_once('q', '1', 'key'), pg_sleep(0.01)")
    make_upkeep_certain(queue)
    queue.execute(f"SELECT pgmq.{call}".encode())
    assert one(queue, "SELECT count(*) FROM pgmq.dedup_q") == 0


def test_upkeep_that_fails_does_not_fail_the_call(queue: psycopg.Connection) -> None:
    _policy(queue, "archive_retention => '1 ms'")
    queue.execute("SELECT pgmq.send_batch('q', '{1,2}'); SELECT pgmq.archive('q', 1)")
    queue.execute("ALTER TABLE pgmq.a_q RENAME TO elsewhere")
    said: list[str] = []
    queue.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
    make_upkeep_certain(queue)
    assert ids(queue, READ, 60, 32) == [2]
    assert said == ['upkeep of queue "q" failed: relation "pgmq.a_q" does not exist']
    with pytest.raises(psycopg.errors.UndefinedTable):
        queue.execute("SELECT pgmq.maintain('q')")
    queue.execute("SELECT pgmq.maintain()")
    assert said[1:] == ['maintenance of queue "q" failed: relation "pgmq.a_q" does not exist']
    assert (
        one(
            queue,
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
        )
        == 0
    )


def test_maintenance_finds_what_no_reader_has_come_to(queue: psycopg.Connection) -> None:
    _policy(queue, "message_ttl => '1 hour', dead_letter_queue => 'dead'")
    queue.execute(
        "SELECT pgmq.send_batch('q', array_agg('1'::jsonb)) FROM generate_series(1, 3000)"
    )
    queue.execute(
        "UPDATE pgmq.q_q SET enqueued_at = now() - interval '2 hours', vt = '2020-01-01'"
        " WHERE msg_id % 500 = 0"
    )
    assert one(queue, "SELECT pgmq.maintain('q')") == 6
    assert one(queue, "SELECT count(*) FROM pgmq.q_dead") == 6


def test_the_owner_of_a_queue_must_have_the_right_to_bury(
    queue: psycopg.Connection, roles: Roles
) -> None:
    role = roles()
    queue.execute(f"SELECT pgmq.create('dead'); ALTER TABLE pgmq.q_q OWNER TO {role}".encode())
    said = f'the owner of queue "q", {role}, may not insert into dead-letter queue "dead"'
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=said):
        _policy(queue, "max_receives => 1, dead_letter_queue => 'dead'")


def test_a_consumer_needs_no_right_to_the_dead_letters(
    queue: psycopg.Connection, connect: Connect
) -> None:
    _policy(
        queue,
        "max_receives => 1, dead_letter_queue => 'dead', archive_retention => '1 ms', "
        "max_in_flight => 5",
    )
    queue.execute("SELECT pgmq.send_batch('q', '{1,2}'); SELECT pgmq.archive('q', 2)")
    queue.execute("SELECT pgmq.read('q', 0, 1)")
    session = connect()
    with session.transaction(force_rollback=True):
        session.execute("CREATE ROLE consumer_of_q; GRANT USAGE ON SCHEMA pgmq TO consumer_of_q")
        session.execute("GRANT SELECT, UPDATE, DELETE ON pgmq.q_q TO consumer_of_q")
        session.execute("SET LOCAL ROLE consumer_of_q")
        make_upkeep_certain(session)
        assert ids(session, READ, 60, 32) == []
        session.execute("RESET ROLE")
        assert one(session, "SELECT count(*) FROM pgmq.q_dead") == 1
        assert one(session, "SELECT count(*) FROM pgmq.a_q") == 0


@pytest.mark.parametrize(
    "refusal",
    [
        "PERFORM pgmq.send('paused', '1')",
        "RAISE SQLSTATE '55006'",
        "RAISE internal_error",
        "ASSERT false",
    ],
)
def test_a_dead_letter_that_is_refused_is_hidden_and_holds_no_read_up(
    queue: psycopg.Connection, refusal: str
) -> None:
    _policy(queue, "max_receives => 1, dead_letter_queue => 'dead'")
    queue.execute(
        f"""
        SELECT pgmq.create('paused'), pgmq.pause('paused', reads => false, sends => true);
        CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN {refusal}; RETURN NEW; END $$;
        CREATE TRIGGER refuse AFTER INSERT ON pgmq.q_dead
        FOR EACH ROW EXECUTE FUNCTION public.refuse()
    """.encode()
    )
    queue.execute("SELECT pgmq.send('q', '1'); SELECT pgmq.read('q', 0, 1)")
    queue.execute("SELECT pgmq.send('q', '2')")
    assert ids(queue, READ, 60, 9) == [2]
    assert one(queue, "SELECT vt > now() + interval '9 minutes' FROM pgmq.q_q WHERE msg_id = 1")


def test_a_read_whose_time_is_up_while_it_moves_a_dead_letter_hides_nothing(
    queue: psycopg.Connection, connect: Connect
) -> None:
    _policy(queue, "max_receives => 1, dead_letter_queue => 'dead'")
    queue.execute("SELECT pgmq.send('q', '1'); SELECT pgmq.read('q', 0, 1)")
    with connect(autocommit=False) as other:
        other.execute("LOCK TABLE pgmq.q_dead")
        for setting, error in (
            ("lock_timeout", psycopg.errors.LockNotAvailable),
            ("statement_timeout", psycopg.errors.QueryCanceled),
        ):
            with queue.transaction(force_rollback=True):
                queue.execute(f"SET LOCAL {setting} = '50 ms'".encode())
                with pytest.raises(error), queue.transaction():
                    queue.execute(READ, [60, 9])
        other.rollback()
    assert ids(queue, READ, 60, 9) == []
    assert one(queue, "SELECT count(*) FROM pgmq.q_dead") == 1


# Each, as a function with a search_path of its own, calls triggers on dead letters.
@pytest.mark.parametrize("call", ["read('q', 60, 9)", "pop('q', 9)", "read_grouped('q', 60, 9)"])
@pytest.mark.parametrize(
    "policy", ["max_receives => 1", "max_receives => 1, max_in_flight => 9", "message_ttl => '1 s'"]
)
def test_a_trigger_that_puts_the_search_path_back_leaves_it_as_it_was(
    db: psycopg.Connection, call: str, policy: str
) -> None:
    db.execute(
        f"""
        SELECT pgmq.create('q'), pgmq.set_policy('q', {policy}, dead_letter_queue => 'dead');
        CREATE FUNCTION public.visit() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
            v_before text := current_setting('search_path');
        BEGIN
            PERFORM set_config('search_path', 'elsewhere', false);
            PERFORM set_config('search_path', v_before, false);
            RETURN new;
        END
        $$;
        CREATE TRIGGER visit AFTER INSERT ON pgmq.q_dead
        FOR EACH ROW EXECUTE FUNCTION public.visit();
        SELECT pgmq.send_batch('q', '{{1,2}}'), pgmq.read('q', 0, 1);
        SET search_path = public, pg_catalog;
        UPDATE pgmq.q_q SET enqueued_at = now() - interval '1 h', vt = now() WHERE msg_id = 1
        """.encode()
    )
    db.execute(f"SELECT pgmq.{call}".encode())
    dead = db.execute("SELECT count(*) FROM pgmq.q_dead").fetchone()
    assert dead is not None
    assert dead[0] > 0
    assert db.execute("SHOW search_path").fetchone() == ("public, pg_catalog",)


def test_a_message_that_will_be_a_dead_letter_tells_when(db: psycopg.Connection) -> None:
    """Or nobody would look at that time, and it would become one much later."""
    db.execute("SELECT pgmq.create('q'), pgmq.create('dead')")
    db.execute("SELECT pgmq.set_policy('q', max_receives => 1, dead_letter_queue => 'dead')")
    db.execute("SELECT pgmq.enable_wakeups('q'), pgmq.send('q', '1')")
    vt = one(db, "SELECT vt FROM pgmq.read('q', 60, 1)")
    assert one(db, "SELECT pgmq.next_visible_at('q')") == vt
    assert one(db, "SELECT pgmq.await('q', 3600)") == vt
    # It is due: now a read has to take it away, and returns nothing.
    db.execute("SELECT pgmq.set_vt('q', 1, 0)")
    assert one(db, "SELECT pgmq.next_visible_at('q')") is None
    assert db.execute("SELECT * FROM pgmq.read('q', 60, 1)").fetchall() == []
    assert one(db, "SELECT message FROM pgmq.q_dead") == 1
