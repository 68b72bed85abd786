"""Messages come oldest first, also while other sessions hold some of them."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

import pytest

from support.queries import ids

if TYPE_CHECKING:
    import psycopg

    from conftest import Connect

KINDS = {
    "plain": "SELECT pgmq.create('Q')",
    "unlogged": "SELECT pgmq.create_unlogged('Q')",
    "groups": "SELECT pgmq.create('Q'), pgmq.create_fifo_index('Q')",
    "policy": "SELECT pgmq.create('Q'), pgmq.set_policy('Q', max_receives => 90)",
    "expiring": "SELECT pgmq.create('Q'), pgmq.set_policy('Q', message_ttl => '1 h')",
    "capped": "SELECT pgmq.create('Q'), pgmq.set_policy('Q', max_in_flight => 900)",
    "ranked": "SELECT pgmq.create('Q'), pgmq.set_policy('Q', priorities => true)",
    "aged": (
        "SELECT pgmq.create_partitioned('Q', '20', '1000'),"
        " pgmq.set_policy('Q', priorities => true, priority_ageing => '1 s')"
    ),
    "by id": "SELECT pgmq.create_partitioned('Q', '20', '1000')",
    "by time": "SELECT pgmq.create_partitioned('Q', '1 hour', '1 day')",
}
CALLS = {
    "read": "SELECT msg_id FROM pgmq.read('Q', 60, %s)",
    "condition": "SELECT msg_id FROM pgmq.read('Q', 60, %s, '{\"a\": 1}')",
    "any": "SELECT msg_id FROM pgmq.read_any('{Q}', 60, %s)",
    "pop": "SELECT msg_id FROM pgmq.pop('Q', %s)",
}
# Of 120 messages, how many are back and how many are held.
SHARES = [(2, 1), (60, 60), (1, 119)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_gets_the_oldest_that_no_other_holds(
    db: psycopg.Connection, connect: Connect, kind: str
) -> None:
    chance = random.Random(kind)
    other = connect()
    db.execute(KINDS[kind].encode())
    for call, (back_count, held_count) in itertools.product(CALLS, SHARES):
        db.execute("SELECT pgmq.purge_queue('Q')")
        sent = ids(
            db,
            "SELECT pgmq.send_batch('Q', array_agg(jsonb_build_object('a', 1, 'n', n)))"
            " FROM generate_series(0, 119) AS n",
        )
        # Some are back, fell due in another order, and lie between those never read.
        back = chance.sample(range(120), back_count)
        for number in back:
            found = ids(
                db,
                "SELECT msg_id FROM pgmq.read('Q', 0, 1, jsonb_build_object('n', %s::integer))",
                number,
            )
            assert found == [sent[number]]
        held = chance.sample(sent, held_count)
        with other.transaction():
            other.execute("SELECT FROM pgmq.q_q WHERE msg_id = ANY (%s) FOR UPDATE", [held])
            left = sorted(set(sent) - set(held))
            while left:
                quantity = chance.choice([1, 1, 3, 10, 100])
                assert ids(db, CALLS[call], quantity) == left[:quantity], call
                left = left[quantity:]
            assert ids(db, CALLS[call], 1) == [], call


def test_more_due_messages_held_than_a_reader_looks_at_hide_no_other(
    db: psycopg.Connection, connect: Connect
) -> None:
    db.execute("SELECT pgmq.create('Q')")
    db.execute("SELECT pgmq.send_batch('Q', array_agg('1'::jsonb)) FROM generate_series(1, 900)")
    ids(db, "SELECT msg_id FROM pgmq.read('Q', 0, 800)")
    other = connect()
    with other.transaction():
        assert len(ids(other, CALLS["read"], 790)) == 790
        assert ids(db, CALLS["read"], 1) == [791]
        assert ids(db, CALLS["read"], 20) == list(range(792, 812))
        assert ids(db, CALLS["pop"], 100) == list(range(812, 901))
        assert ids(db, CALLS["pop"], 1) == []
