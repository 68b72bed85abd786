"""Groups that take turns, and their limits of leases, in one session."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.types.json import Jsonb

from support.cases import case
from support.queries import ids, one
from support.waiting import hold_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from conftest import Connect, Roles

FAIR = "SELECT msg_id FROM pgmq.read_fair('q', 3600, %s)"
READ = "SELECT msg_id FROM pgmq.read('q', 3600, %s)"
GROUPS = "SELECT headers ->> 'x-pgmq-group' FROM pgmq.read_fair('q', 3600, %s)"

CREATED = {
    "plain": "create('q')",
    "by id": "create_partitioned('q', '100000', '1000000', 1)",
    "by time": "create_partitioned('q', '1 day', '7 days', 1)",
}


# Ways to have a savepoint around a lease, around its end, or both.
SAVEPOINTS = {
    "open": "SAVEPOINT s; {lease}; {end}",
    "open, ended in another": "SAVEPOINT s; {lease}; SAVEPOINT t; {end}",
    "released": "SAVEPOINT s; {lease}; RELEASE s; {end}",
    "released after the end": "SAVEPOINT s; {lease}; {end}; RELEASE s",
    "rolled back": "SAVEPOINT s; {lease}; ROLLBACK TO s",
    "released, the end rolled back":
        "SAVEPOINT s; {lease}; RELEASE s; SAVEPOINT t; {end}; ROLLBACK TO t; {end}",
    "one within another": "SAVEPOINT s; SAVEPOINT t; {lease}; RELEASE t; {end}; RELEASE s",
    "one after another": "SAVEPOINT s; {lease}; RELEASE s; SAVEPOINT t; {end}; RELEASE t",
    "the outer one rolled back":
        "SAVEPOINT s; SAVEPOINT t; {lease}; RELEASE t; {end}; ROLLBACK TO s",
    "PL/pgSQL": "DO $$ BEGIN PERFORM 1 FROM ({lease}) AS l; EXCEPTION WHEN OTHERS THEN RAISE;"
        " END $$; {end}",
    "PL/pgSQL, failed": "DO $$ BEGIN PERFORM 1 FROM ({lease}) AS l; RAISE 'no';"
        " EXCEPTION WHEN OTHERS THEN NULL; END $$",
}  # fmt: skip


@contextlib.contextmanager
def _queue(db: psycopg.Connection, kind: str) -> Iterator[None]:
    """Make a queue of this kind whose groups can take turns, and drop it at the end."""
    with case(kind):
        db.execute(f"SELECT pgmq.{CREATED[kind]}".encode())
        db.execute("SELECT pgmq.create_fair_index('q')")
        yield
        db.execute("SELECT pgmq.drop_queue('q')")


@contextlib.contextmanager
def _limited(db: psycopg.Connection, kind: str) -> Iterator[None]:
    """Make one whose groups have two leases each at most."""
    with _queue(db, kind):
        db.execute("SELECT pgmq.set_policy('q', max_in_flight_per_group => 2)")
        yield


def _send(session: psycopg.Connection, groups: Iterable[str | None]) -> list[int]:
    headers = [None if g is None else Jsonb({"x-pgmq-group": g}) for g in groups]
    rows = session.execute(
        "SELECT * FROM pgmq.send_batch('q', %s::jsonb[], %s::jsonb[])",
        ([Jsonb(1)] * len(headers), headers),
    ).fetchall()
    return [row[0] for row in rows]


def test_groups_take_turns_whatever_their_backlog(db: psycopg.Connection) -> None:
    for kind in CREATED:
        with _queue(db, kind):
            _send(db, ["a"] * 300 + ["b"] * 3 + [None] * 3)
            turns = [ids(db, GROUPS, 1)[0] for _ in range(9)]
            assert Counter(turns) == {"a": 3, "b": 3, None: 3}
            assert turns[:3] == turns[3:6] == turns[6:]
            assert ids(db, GROUPS, 4) == ["a"] * 4
            assert ids(db, FAIR, None) == list(range(8, 301))
            assert ids(db, FAIR, None) == []


def test_a_late_group_is_served_within_one_round(db: psycopg.Connection) -> None:
    for kind in CREATED:
        with _queue(db, kind):
            _send(db, [f"g{n % 20}" for n in range(400)])
            ids(db, FAIR, 7)
            for name in ("x", "y", "z"):
                _send(db, [name])
                assert name in [ids(db, GROUPS, 1)[0] for _ in range(21)]
            _send(db, ["w"])
            assert "w" in ids(db, GROUPS, 21)


def test_a_batch_is_rounds_of_the_groups_oldest_messages(db: psycopg.Connection) -> None:
    for kind in CREATED:
        with _queue(db, kind):
            _send(db, ["a", "a", "a", "b", "b", "c", "a"])
            found = ids(db, FAIR, 5)
            assert sorted(found) == [1, 2, 4, 5, 6]
            assert set(found[:3]) == {1, 4, 6}
            assert ids(db, FAIR, 9) == [3, 7]


def test_a_leased_message_does_not_hold_back_its_group(db: psycopg.Connection) -> None:
    for kind in CREATED:
        with _queue(db, kind):
            _send(db, ["a"] * 5)
            assert ids(db, FAIR, 2) == [1, 2]
            db.execute("SELECT pgmq.set_vt('q', 3, 60)")
            assert ids(db, FAIR, 1) == [4]
            db.execute("SELECT pgmq.set_vt('q', 1, 0)")
            assert ids(db, FAIR, 2) == [1, 5]


def test_returned_messages_and_leases_that_end_take_part(db: psycopg.Connection) -> None:
    """By the few that are due, and, where they are very many, by the index of groups."""
    for kind in CREATED:
        with _queue(db, kind):
            for many in (3, 300):
                sent = _send(db, ["a"] * many + ["b"])
                assert len(ids(db, "SELECT msg_id FROM pgmq.read('q', 0, NULL)")) == many + 1
                assert sent[-1] in ids(db, FAIR, 1) + ids(db, FAIR, 1)
                assert sorted(ids(db, FAIR, None)) == sent[1:-1]
                db.execute("SELECT pgmq.nack('q', %s, 2, 0)", (sent[-1],))
                assert ids(db, FAIR, None) == [sent[-1]]


def test_many_closed_groups_cost_little_and_hide_nothing(db: psycopg.Connection) -> None:
    """Groups with a lease or a delay are stepped over only where very many messages are due."""
    for kind in CREATED:
        with _queue(db, kind):
            sent = _send(db, [f"g{n}" for n in range(3000)])
            assert len(ids(db, FAIR, None)) == 3000
            late = _send(db, ["late"] * 60 + ["later"])
            assert set(ids(db, GROUPS, 2)) == {"late", "later"}
            db.execute("SELECT pgmq.set_vt('q', %s::bigint[], 0)", (late,))
            found: list[int] = []
            for _ in range(8):
                found += ids(db, FAIR, 1)
            assert late[-1] in found
            assert len(found) == 8
            assert not set(found) & set(sent)


def test_what_must_not_be_handed_out_is_moved_away(db: psycopg.Connection) -> None:
    for kind in CREATED:
        with _queue(db, kind):
            db.execute(
                "SELECT pgmq.alter_policy('q', max_receives => 1, dead_letter_queue => %s,"
                " message_ttl => '1 h')",
                (f"dead {kind}",),
            )
            _send(db, ["a"] * 20 + ["b"])
            db.execute("SELECT pgmq.set_vt('q', m.msg_id, 0) FROM pgmq.read('q', 60, 10) AS m")
            # Fewer come while some are moved away, as in any read.
            found = [msg_id for _ in range(3) for msg_id in ids(db, FAIR, 2)]
            assert 21 in found
            assert set(found) <= {*range(11, 16), 21}
            assert one(db, f'SELECT count(*) FROM pgmq."q_dead {kind}"') == 10
            _send(db, ["c"])
            db.execute(
                "UPDATE pgmq.q_q SET enqueued_at = now() - interval '2 h', vt = now() - interval"
                " '2 h' WHERE read_ct = 0 AND msg_id < 22"
            )
            assert ids(db, FAIR, 5) == [22]


def test_a_queue_without_the_index_says_what_it_needs(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.create_fifo_index('q')")
    for poll in ("", "_with_poll"):
        with pytest.raises(
            psycopg.errors.ObjectNotInPrerequisiteState,
            match='queue "q" has no index by which groups take turns',
        ) as raised:
            db.execute(f"SELECT * FROM pgmq.read_fair{poll}('q', 60, 1)".encode())
        assert raised.value.diag.message_hint == "Its owner can SELECT pgmq.create_fair_index('q')."


def test_a_wrong_call_is_an_error_even_when_the_queue_is_empty(db: psycopg.Connection) -> None:
    for kind in CREATED:
        with _queue(db, kind):
            for call, error, message in [
                ("'q', 60, -1", psycopg.errors.InvalidRowCountInLimitClause, "qty .* negative: -1"),
                ("'q', NULL, 1", psycopg.errors.NullValueNotAllowed, "vt must not be null"),
                ("'nope', 60, 1", psycopg.errors.UndefinedTable, 'queue "nope" does not exist'),
            ]:
                with pytest.raises(error, match=message):
                    db.execute(f"SELECT * FROM pgmq.read_fair({call})".encode())
            assert ids(db, FAIR, 0) == []
            assert ids(db, "SELECT msg_id FROM pgmq.read_fair_with_poll('q', 60, 1, 0)") == []


def test_streams_are_read_by_groups_of_their_own(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create_stream('s')")
    for call in ("create_fair_index('s')", "read_fair('s', 60, 1)"):
        with pytest.raises(
            psycopg.errors.FeatureNotSupported, match='stream "s" is read by groups'
        ):
            db.execute(f"SELECT * FROM pgmq.{call}".encode())


def test_a_consumer_with_one_grant_reads_in_turn_and_a_stranger_moves_no_turn(
    db: psycopg.Connection, connect: Connect, roles: Roles
) -> None:
    for kind in CREATED:
        with _queue(db, kind):
            consumer, stranger = roles(), roles()
            db.execute("SELECT pgmq.grant_consume('q', %s)", (consumer,))
            db.execute(f"GRANT USAGE ON SCHEMA pgmq TO {stranger}".encode())
            _send(db, ["a", "b", "a", "b"])
            db.execute(f"SET ROLE {consumer}".encode())
            assert {*ids(db, FAIR, 1), *ids(db, FAIR, 1)} == {1, 2}
            turn = one(db, "SELECT last_value FROM pgmq.turn_q")
            other = connect(user=stranger)
            other.execute("SELECT pgmq._turn_q(1)")
            with pytest.raises(
                psycopg.errors.InsufficientPrivilege, match="permission denied"
            ) as raised:
                ids(other, FAIR, 1)
            assert "grant_consume" in str(raised.value.diag.message_hint)
            assert one(db, "SELECT last_value FROM pgmq.turn_q") == turn
            db.execute("RESET ROLE")


def test_no_read_leases_more_of_a_group_than_its_limit(db: psycopg.Connection) -> None:
    for kind in CREATED:
        with _limited(db, kind):
            db.execute("SELECT pgmq.create_fifo_index('q')")
            for call in [
                "read('q', 60, 5)",
                "read('q', 60, 5, '1')",
                "read_any('{q}', 60, 5)",
                "read_fair('q', 60, 5)",
                "read_fair_with_poll('q', 60, 5)",
                "read_group('q', 'a', 60, 5)",
                "read_grouped('q', 60, 5)",
                "read_grouped_rr('q', 60, 5)",
                "ack_and_read('q', 60, 5, '{}', '{}')",
            ]:
                sent = _send(db, ["a"] * 4)
                query = f"SELECT msg_id FROM pgmq.{call}"
                assert ids(db, query) == sent[:2], call
                if "poll" not in call:
                    assert ids(db, query) == [], call
                db.execute("SELECT pgmq.purge_queue('q')")


def test_a_read_passes_over_full_groups_however_many_messages_they_have(
    db: psycopg.Connection,
) -> None:
    for kind in CREATED:
        with _limited(db, kind):
            _send(db, ["a"] * 2000)
            others = _send(db, ["b", "b", "b", "c"])
            assert ids(db, READ, 1) == [1]
            assert ids(db, READ, 5) == [2, *others[:2], others[3]]
            assert ids(db, READ, 5) == ids(db, FAIR, 5) == []
            db.execute("SELECT pgmq.delete('q', %s)", (others[0],))
            assert ids(db, READ, 5) == [others[2]]
            assert ids(db, "SELECT msg_id FROM pgmq.pop('q', 2)") == [3, 4]  # which leases nothing


def test_whatever_ends_a_lease_makes_room(db: psycopg.Connection) -> None:
    ends = [
        "SELECT pgmq.ack('q', 2, 1)",
        "SELECT pgmq.delete('q', 2)",
        "SELECT pgmq.archive('q', 2)",
        "SELECT pgmq.nack('q', 2, 1, 60)",
        "SELECT pgmq.set_vt('q', 2, 0)",
        "DELETE FROM pgmq.q_q WHERE msg_id = 2",
    ]
    for kind in CREATED:
        with _limited(db, kind):
            for freed in ends:
                with case(freed):  # a group each, and those before are full again
                    sent = _send(db, [freed] * 5)
                    assert ids(db, FAIR, 5) == sent[:2]
                    db.execute(freed.replace("2", str(sent[1]), 1).encode())
                    assert ids(db, READ, 5) in ([sent[2]], [sent[1]])
                    assert ids(db, READ, 5) == []


def test_what_is_delayed_is_not_in_flight(db: psycopg.Connection) -> None:
    for kind in CREATED:
        with _limited(db, kind):
            db.execute(
                "SELECT pgmq.send_batch('q', array_fill('1'::jsonb, ARRAY[9]),"
                ' array_fill(\'{"x-pgmq-group": "a"}\'::jsonb, ARRAY[9]), 60)'
            )
            sent = _send(db, ["a"] * 3)
            assert ids(db, FAIR, 9) == sent[:2]


def test_both_limits_hold_at_once_and_the_limit_can_go(db: psycopg.Connection) -> None:
    for kind in CREATED:
        with _limited(db, kind):
            db.execute("SELECT pgmq.alter_policy('q', max_in_flight => 3)")
            _send(db, ["a", "a", "a", "b", "b", "b"])
            assert ids(db, READ, 9) == [1, 2, 4]
            assert ids(db, FAIR, 9) == []
            db.execute("SELECT pgmq.delete('q', 1)")
            assert len(ids(db, FAIR, 9)) == 1
            db.execute("SELECT pgmq.alter_policy('q', clear => '{max_in_flight}')")
            assert len(ids(db, FAIR, 9)) == 1
            db.execute("SELECT pgmq.alter_policy('q', clear => '{max_in_flight_per_group}')")
            assert len(ids(db, FAIR, 9)) == 1


def test_a_call_leases_a_thousand_messages_at_most(db: psycopg.Connection) -> None:
    for kind in CREATED:
        with _limited(db, kind):
            _send(db, [f"g{n}" for n in range(1100)])
            with db.transaction():
                assert len(ids(db, READ, None)) == 1000
                assert ids(db, FAIR, 10) == []
            assert len(ids(db, FAIR, None)) == 100


def test_a_read_without_a_limit_takes_what_very_many_groups_have(db: psycopg.Connection) -> None:
    """More groups than are looked at in one step, so that the front of the queue is next."""
    with _queue(db, "plain"):
        db.execute(
            "INSERT INTO pgmq.q_q (vt, headers) SELECT now(), jsonb_build_object('x-pgmq-group', i)"
            " FROM generate_series(1, 11500) AS i"
        )
        assert one(db, "SELECT count(*) FROM pgmq.read_fair('q', 60, null)") == 11500


def test_the_work_of_a_call_depends_on_nothing_but_what_it_hands_out(
    db: psycopg.Connection, connect: Connect
) -> None:
    def fill(rows: int, group: str) -> None:
        db.execute(
            "INSERT INTO pgmq.q_q (enqueued_at, vt, message, headers) SELECT now(), now(), '1',"
            f" jsonb_build_object('x-pgmq-group', {group}) FROM generate_series(1, {rows}) AS i"
        )

    def buffers(quantity: int) -> int:
        plan = one(
            db,
            "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)"
            f" SELECT * FROM pgmq.read_fair('q', 60, {quantity})",
        )[0]["Plan"]
        return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])

    def least(quantity: int) -> int:
        return min(buffers(quantity) for _ in range(5))

    for kind in CREATED:
        with _queue(db, kind):
            fill(100, "i % 10")
            few = least(1)
            fill(50_000, "'hot'")
            fill(20_000, "i % 5000")
            db.execute("ANALYZE pgmq.q_q")
            assert least(1) < 4 * few
            # Consumed messages in front of a long group, which a snapshot keeps.
            with hold_snapshot(connect):
                db.execute("DELETE FROM pgmq.q_q WHERE msg_id <= 40000")
                db.execute("SELECT pgmq.maintain('q')")
                assert least(1) < 4 * few


def test_what_a_transaction_has_leased_and_returned_it_may_have_again(
    db: psycopg.Connection,
) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.create_fair_index('q'), pgmq.send('q', '1')")
    with db.transaction():
        for _ in range(3):
            assert ids(db, "SELECT msg_id FROM pgmq.read_fair('q', 60, 2)") == [1]
            db.execute("SELECT pgmq.set_vt('q', 1, 0)")


def test_what_was_leased_in_a_savepoint_and_returned_the_transaction_may_have_again(
    db: psycopg.Connection,
) -> None:
    ends = ("SELECT pgmq.set_vt('q', 1, 0)", "SELECT pgmq.nack('q', 1, 1, 0)")
    for kind in CREATED:
        with _queue(db, kind):
            _send(db, ["a"])
            for limited, read in ((False, FAIR), (True, READ)):
                if limited:
                    db.execute("SELECT pgmq.set_policy('q', max_in_flight_per_group => 9)")
                for (way, program), end in itertools.product(SAVEPOINTS.items(), ends):
                    with case(way, end, read), db.transaction(force_rollback=True):
                        lease = f"SELECT {read.rpartition('FROM ')[2] % 2}"
                        db.execute(program.format(lease=lease, end=end).encode())
                        assert ids(db, read, 2) == [1]
