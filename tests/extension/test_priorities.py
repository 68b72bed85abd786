"""Queues with priorities: in which order messages are read, and what that touches."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest

from support.plans import touched
from support.queries import ids, one
from support.sweeps import let_look, stop_sweeps, sweep_every
from support.waiting import hold_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from conftest import Connect, Roles

SEND = "SELECT pgmq.send('q', '{\"a\": 1}', jsonb_build_object('x-pgmq-priority', %s::integer))"
READS = {
    "read": "SELECT msg_id FROM pgmq.read('q', 30, {})",
    "conditional": """SELECT msg_id FROM pgmq.read('q', 30, {}, '{{"a": 1}}')""",
    "pop": "SELECT msg_id FROM pgmq.pop('q', {})",
    "peek": "SELECT msg_id FROM pgmq.peek('q', {})",
    "read_any": "SELECT msg_id FROM pgmq.read_any('{{q}}', 30, {})",
    "polled": "SELECT msg_id FROM pgmq.read_with_poll('q', 30, {})",
}
KINDS = {
    "plain": "SELECT pgmq.create('q')",
    "unlogged": "SELECT pgmq.create_unlogged('q')",
    "by_id": "SELECT pgmq.create_partitioned('q', '3', '1000', 1)",
    "by_time": "SELECT pgmq.create_partitioned('q', '1 day', '7 days', 1)",
}
TURN_ON = "SELECT pgmq.alter_policy('q', priorities => true)"


def _each_kind(db: psycopg.Connection) -> Iterator[str]:
    """Make queue q anew, with priorities, of each kind."""
    for kind, make in KINDS.items():
        db.execute("SELECT pgmq.drop_queue('q')")
        db.execute(make.encode())
        db.execute(TURN_ON)
        yield kind


def _make(db: psycopg.Connection) -> None:
    """Make the plain queue q anew, with priorities."""
    db.execute("SELECT pgmq.drop_queue('q')")
    db.execute("SELECT pgmq.create('q')")
    db.execute("ALTER TABLE pgmq.q_q SET (autovacuum_enabled = off)")
    db.execute(TURN_ON)


@pytest.fixture
def queue(db: psycopg.Connection) -> psycopg.Connection:
    """A session to a database with the plain queue q, which has priorities."""
    _make(db)
    return db


def _send(session: psycopg.Connection, *priorities: int) -> list[int]:
    return [one(session, SEND, priority) for priority in priorities]


def test_the_highest_come_first_and_the_oldest_of_these(db: psycopg.Connection) -> None:
    for name, read in READS.items():
        rest = [2, 4, 6, 3, 7, 1, 5] if name == "peek" else [1, 5]
        for kind in _each_kind(db):
            _send(db, 0, 9, 4, 9, 0, 7, 3)
            assert ids(db, read.format(5)) == [2, 4, 6, 3, 7], (name, kind)
            assert ids(db, read.format("null")) == rest, (name, kind)


NO_PRIORITIES = [
    "null", '{"x": 9}', '{"x-pgmq-priority": 10}', '{"x-pgmq-priority": -1}', "[9]", "9", '"9"',
    *(f'{{"x-pgmq-priority": {value}}}' for value in ("null", "true", "[9]", '"high"', '""')),
    '{"x-pgmq-priority": "9\\n"}', '{"x-pgmq-priority": 8.5}', '{"x-pgmq-priority": 1e100}',
]  # fmt: skip


def test_what_is_no_priority_counts_as_four(db: psycopg.Connection) -> None:
    for headers in NO_PRIORITIES:
        _make(db)
        _send(db, 3, 4)
        assert one(db, "SELECT pgmq.send('q', '1', %s::jsonb)", headers) == 3, headers
        _send(db, 4, 5)
        assert ids(db, READS["read"].format(9)) == [5, 2, 3, 4, 1], headers


def test_a_digit_in_quotes_is_a_priority(queue: psycopg.Connection) -> None:
    _send(queue, 8)
    queue.execute("""SELECT pgmq.send('q', '1', '{"x-pgmq-priority": "9"}'::jsonb)""")
    assert ids(queue, READS["read"].format(9)) == [2, 1]


def test_what_is_due_is_merged_with_what_is_ready(db: psycopg.Connection) -> None:
    for kind in _each_kind(db):
        _send(db, 5, 2)
        db.execute("SELECT pgmq.read('q', 0, 9)")
        _send(db, 2, 5, 9)
        assert ids(db, READS["read"].format(9)) == [5, 1, 4, 2, 3], kind


def test_a_message_that_is_given_back_is_the_next_of_its_priority(
    queue: psycopg.Connection,
) -> None:
    _send(queue, *[1] * 1000)
    queue.execute("SELECT pgmq.read('q', 0, 1000)")  # all are due, and fell due before it
    _send(queue, 8)
    assert ids(queue, READS["read"].format(1)) == [1001]
    assert one(queue, "SELECT pgmq.nack('q', 1001, 1, 0)")
    assert ids(queue, READS["read"].format(2)) == [1001, 1]


def test_grouped_reads_do_not_ask_for_priorities(queue: psycopg.Connection) -> None:
    queue.execute("SELECT pgmq.create_fifo_index('q')")
    for priority in (1, 9):
        queue.execute(
            "SELECT pgmq.send('q', '1', jsonb_build_object('x-pgmq-group', 'g',"
            " 'x-pgmq-priority', %s::integer))",
            (priority,),
        )
    assert ids(queue, "SELECT msg_id FROM pgmq.read_grouped('q', 0, 9)") == [1, 2]
    assert ids(queue, "SELECT msg_id FROM pgmq.read_group('q', 'g', 0, 9)") == [1, 2]


def test_push_delivers_the_highest_first(queue: psycopg.Connection) -> None:
    queue.execute("SELECT pgmq.enable_push('q')")
    _send(queue, 1, 9, 5)
    queue.execute("SELECT pgmq.open_channel('q', 2)")
    found = ids(queue, "SELECT msg_id FROM pgmq.q_q WHERE vt > clock_timestamp() ORDER BY msg_id")
    assert found == [2, 3]


def test_dead_letters_of_a_high_priority_hold_nothing_up(queue: psycopg.Connection) -> None:
    queue.execute("SELECT pgmq.alter_policy('q', max_receives => 1, dead_letter_queue => 'dead')")
    _send(queue, *[9] * 150)
    queue.execute("SELECT pgmq.read('q', 0, 1000)")
    _send(queue, 1)
    assert ids(queue, READS["read"].format(1)) == [151]
    assert one(queue, "SELECT count(*) FROM pgmq.q_dead") == 150
    # They keep their priority.
    queue.execute("SELECT pgmq.redrive('dead', 'q', 1)")
    _send(queue, 8)
    assert ids(queue, READS["read"].format(1)) == [152]


def test_at_most_as_many_are_leased_as_max_in_flight_says(queue: psycopg.Connection) -> None:
    queue.execute("SELECT pgmq.alter_policy('q', max_in_flight => 2)")
    _send(queue, 1, 2, 3)
    assert ids(queue, READS["read"].format(9)) == [3, 2]
    assert ids(queue, READS["read"].format(9)) == []


def test_a_rate_and_a_limit_let_the_highest_through(db: psycopg.Connection) -> None:
    for kind in _each_kind(db):
        db.execute(
            "SELECT pgmq.alter_policy("
            "'q', rate_limit => 4, rate_interval => '1 day', max_in_flight => 3)"
        )
        _send(db, 1, 2, 3, 4, 5)
        assert ids(db, READS["pop"].format(2)) == [5, 4], kind
        assert ids(db, READS["conditional"].format(1)) == [3], kind
        assert ids(db, READS["read"].format(9)) == [2], kind
        assert ids(db, READS["pop"].format(9)) == [], kind


def test_fair_reads_go_by_turns_and_do_not_ask_for_priorities(queue: psycopg.Connection) -> None:
    queue.execute("SELECT pgmq.create_fair_index('q')")
    for group, priority in (("a", 1), ("a", 9), ("b", 0)):
        queue.execute(
            "SELECT pgmq.send('q', '1', jsonb_build_object('x-pgmq-group', %s::text,"
            " 'x-pgmq-priority', %s::integer))",
            (group, priority),
        )
    assert sorted(ids(queue, "SELECT msg_id FROM pgmq.read_fair('q', 0, 2)")) == [1, 3]
    assert ids(queue, READS["peek"].format(3)) == [2, 1, 3]


def test_messages_that_are_inserted_by_hand_have_priorities(db: psycopg.Connection) -> None:
    for kind in _each_kind(db):
        _send(db, 5)
        db.execute(
            "INSERT INTO pgmq.q_q (enqueued_at, vt, message, headers)"
            " SELECT now(), now(), '1', h::jsonb FROM unnest(ARRAY["
            'null, \'{"x-pgmq-priority": 6}\', \'{"x-pgmq-priority": "x"}\']) AS h'
        )
        assert ids(db, READS["read"].format(9)) == [3, 1, 2, 4], kind


def test_an_old_snapshot_reads_by_priority_too(db: psycopg.Connection) -> None:
    for level in ("REPEATABLE READ", "SERIALIZABLE"):
        for kind in _each_kind(db):
            _send(db, 1, 9, 5)
            with db.transaction():
                db.execute(f"SET TRANSACTION ISOLATION LEVEL {level}".encode())
                assert ids(db, READS["read"].format(1)) == [2], (level, kind)
                assert ids(db, READS["pop"].format(1)) == [3], (level, kind)
            assert ids(db, READS["read"].format(9)) == [1], (level, kind)


def test_a_consumer_with_one_grant_reads_by_priority(
    db: psycopg.Connection, connect: Connect, roles: Roles
) -> None:
    role = roles()
    for kind in _each_kind(db):
        db.execute(f"SELECT pgmq.grant_consume('q', '{role}')".encode())
        for name, read in READS.items():
            _send(db, 1, 9, 5)
            first, *_, last = sorted(ids(db, "SELECT msg_id FROM pgmq.q_q"))
            with connect(user=role) as consumer:
                found = ids(consumer, read.format(3))
            assert found == [first + 1, last, first], (kind, name)
            db.execute("SELECT pgmq.purge_queue('q')")


def test_priorities_are_off_at_once_though_their_indexes_are_left(
    queue: psycopg.Connection,
) -> None:
    _send(queue, 1, 9, 5)
    queue.execute("SELECT pgmq.set_policy('q', max_in_flight => 3)")  # which builds an index
    assert one(queue, "SELECT pgmq._has_ranks('q')")
    for read in READS.values():
        with queue.transaction(force_rollback=True):
            assert ids(queue, read.format(2)) == [1, 2]
    queue.execute("SELECT pgmq.set_policy('q')")
    assert not one(queue, "SELECT pgmq._has_ranks('q')")


# With an hour a step, what is sent now with priority 5 comes before what was sent less than an hour
# ago with priority 6, two hours ago with priority 7, and so on.
def test_each_step_of_priority_is_a_head_start(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q')")
    db.execute("SELECT pgmq.set_policy('q', priorities => true, priority_ageing => '1 h')")
    db.execute(
        """
        INSERT INTO pgmq.q_q (enqueued_at, vt, message, headers)
        SELECT t.at, t.at, '{"a": 1}', jsonb_build_object('x-pgmq-priority', m.priority)
        FROM (VALUES
            (1, 0, interval '8 h 59 min'), (2, 1, '8 h 1 min'), (3, 9, '0'), (4, 8, '30 min'),
            (5, 0, '9 h 10 min'), (6, 9, '20 min')
        ) AS m (number, priority, age), LATERAL (SELECT now() - m.age) AS t (at)
        ORDER BY m.number
        """
    )
    # Head starts of 8:59, 9:01, 9:00, 8:30, 9:10, 9:20.
    order = [6, 5, 2, 3, 1, 4]
    for read in READS.values():
        with db.transaction(force_rollback=True):
            assert ids(db, read.format(3)) == order[:3]
            assert ids(db, read.format("null"))[-3:] == order[3:]


def test_a_backlog_is_read_by_priority_once_that_is_turned_on_and_no_longer_when_it_is_off(
    db: psycopg.Connection,
) -> None:
    db.execute("SELECT pgmq.create('q')")
    _send(db, 1, 9, 5)
    db.execute("SELECT pgmq.read('q', 0, 1)")
    db.execute(TURN_ON)
    for read in READS.values():
        with db.transaction(force_rollback=True):
            assert ids(db, read.format(9)) == [2, 3, 1]
    indexes = "SELECT count(*) FROM pg_class WHERE relname ~ '_rank_idx_q$'"
    assert one(db, indexes) == 2
    db.execute("SELECT pgmq.maintain('q'), pgmq.set_policy('q')")
    assert one(db, indexes) == 0
    for read in READS.values():
        with db.transaction(force_rollback=True):
            assert ids(db, read.format(9)) == [1, 2, 3]
    # What has changed in the meantime is found by marks that begin anew.
    _send(db, *[4] * 100)
    db.execute(TURN_ON)
    let_look(db)
    db.execute("SELECT pgmq.maintain('q')")
    db.execute("SELECT pgmq.set_policy('q')")
    db.execute("""UPDATE pgmq.q_q SET headers = '{"x-pgmq-priority": 9}' WHERE msg_id = 3""")
    stop_sweeps(db, "q")
    db.execute(TURN_ON)
    assert ids(db, READS["read"].format(3)) == [2, 3, 4]


def test_a_priority_that_is_changed_by_hand_is_found_by_a_sweep(queue: psycopg.Connection) -> None:
    sweep_every(queue, "0.1 s")
    _send(queue, *[1] * 10, *[9] * 200)
    queue.execute("SELECT count(*) FROM pgmq.pop('q', 200)")
    let_look(queue)
    queue.execute("SELECT pgmq.maintain('q')")
    assert one(queue, "SELECT last_value FROM pgmq.ready9_mark_q") == 211
    queue.execute("""UPDATE pgmq.q_q SET headers = '{"x-pgmq-priority": 9}' WHERE msg_id = 5""")
    queue.execute("SELECT pgmq.maintain('q')")
    assert ids(queue, READS["read"].format(2)) == [5, 1]


def test_a_priority_that_is_amended_holds_at_once(queue: psycopg.Connection) -> None:
    stop_sweeps(queue, "q")
    _send(queue, *[1] * 10, *[9] * 200)
    queue.execute("SELECT count(*) FROM pgmq.pop('q', 200)")
    let_look(queue)
    queue.execute("SELECT pgmq.maintain('q')")
    assert one(queue, "SELECT last_value FROM pgmq.ready9_mark_q") == 211
    amend = "SELECT pgmq.amend('q', 5, headers => '{\"x-pgmq-priority\": 9}')"
    assert one(queue, amend)
    assert ids(queue, READS["read"].format(2)) == [5, 1]


FILL = """
    INSERT INTO pgmq.q_q (enqueued_at, vt, message, headers)
    SELECT now(), now(), '1', jsonb_build_object('x-pgmq-priority', {})
    FROM generate_series(1, {}) AS i
"""
MIXES = {
    "one priority": "4",
    "ten, as many of each": "i % 10",
    "one message of a high one": "CASE WHEN i = 25000 THEN 9 ELSE 0 END",
    "none of the highest": "i % 4",
}
# 21 messages at most are looked at, in the index, the table, and once more to lock them.
FEW = 4 * 21 + 12
CALLS = [READS[name].format(1) for name in ("read", "conditional", "pop", "peek")]


@pytest.mark.parametrize("ageing", ["null", "'1 h'"])
def test_a_read_touches_few_messages_whatever_waits(db: psycopg.Connection, ageing: str) -> None:
    few = FEW if ageing == "null" else FEW + 10 * 42
    for mix, priority in MIXES.items():
        _make(db)
        db.execute(f"SELECT pgmq.alter_policy('q', priority_ageing => {ageing})".encode())
        stop_sweeps(db, "q")
        db.execute(FILL.format(priority, 50_000).encode())
        db.execute("UPDATE pgmq.q_q SET message = '{\"a\": 1}'")
        db.execute("VACUUM ANALYZE pgmq.q_q")
        for call in CALLS:
            assert touched(db, "pgmq.q_q", call) <= few, (mix, call)


def test_a_read_touches_no_dead_entry_while_a_snapshot_keeps_vacuum_away(
    db: psycopg.Connection, connect: Connect
) -> None:
    moved = "UPDATE pgmq.q_q SET vt = clock_timestamp() WHERE pgmq._priority(headers) = %s"
    deleted = "DELETE FROM pgmq.q_q WHERE pgmq._priority(headers) = %s"
    for gone, waiting in product((0, 4, 9), repeat=2):
        _make(db)
        stop_sweeps(db, "q")
        if gone != waiting:
            db.execute(FILL.format(waiting, 100).encode())
        with hold_snapshot(connect):
            db.execute(FILL.format(gone, 20_000).encode())
            db.execute(moved.encode(), (gone,))
            db.execute(deleted.encode(), (gone,))
            if gone == waiting:
                db.execute(FILL.format(waiting, 100).encode())
            db.execute("VACUUM pgmq.q_q")
            let_look(db)
            db.execute("SELECT pgmq._advance_q()")
            for name in ("read", "pop", "peek"):
                found = touched(db, "pgmq.q_q", READS[name].format(1))
                assert found <= FEW, (gone, waiting, name)


def test_a_read_touches_no_dead_entry_of_what_was_due_before_others_of_a_lower_priority(
    queue: psycopg.Connection, connect: Connect
) -> None:
    stop_sweeps(queue, "q")
    queue.execute(FILL.format(1, 100).encode())
    queue.execute("SELECT count(*) FROM pgmq.read('q', 0, 100)")
    hold_snapshot(connect)
    for _ in range(5):
        queue.execute(FILL.format(9, 2_000).encode())
        queue.execute("SELECT count(*) FROM pgmq.read('q', 0, 2000)")
        queue.execute("SELECT count(*) FROM pgmq.pop('q', 2000)")
    queue.execute("VACUUM pgmq.q_q")
    # As if they had been moved a second ago.
    queue.execute("SELECT setval(m.parked_mark, 0) FROM pgmq._priority_marks('q') AS m")
    let_look(queue)
    queue.execute("SELECT pgmq._advance_q()")
    for name in ("read", "pop", "peek"):  # 100 are due
        assert touched(queue, "pgmq.q_q", READS[name].format(1)) <= FEW + 2 * 100, name
