"""Random programs on queues with every policy: in the end, each message is in exactly one place."""

from __future__ import annotations

import itertools
import json
import random
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from conftest import Connect

READS = [
    "SELECT * FROM pgmq.read('q', 60, %s)",
    "SELECT * FROM pgmq.read('q', 60, %s, '{\"odd\": true}')",
    "SELECT * FROM pgmq.read_grouped('q', 60, %s)",
    "SELECT * FROM pgmq.read_grouped_rr('q', 60, %s)",
    "SELECT * FROM pgmq.read_grouped_head('q', 60, %s)",
    "SELECT * FROM pgmq.ack_and_read('q', 60, %s, null, null)",
]
# What ends a lease, and whether the message is gone then.
ENDS = {
    "SELECT pgmq.ack('q', %(id)s, %(receipt)s)": True,
    "SELECT pgmq.delete('q', %(id)s)": True,
    "SELECT pgmq.archive('q', %(id)s)": False,
    "SELECT pgmq.nack('q', %(id)s, %(receipt)s)": False,
    "SELECT pgmq.nack('q', %(id)s, %(receipt)s, 0, 'no luck')": False,
    "SELECT pgmq.set_vt('q', %(id)s, 0)": False,
    "SELECT pgmq.move('q', %(id)s, 'other')": False,
}


@dataclass
class Ledger:
    """What is known of the messages, by their numbers."""

    numbers: itertools.count[int] = field(default_factory=itertools.count)
    sent: set[int] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)
    unsure: set[int] = field(default_factory=set)
    keys: Counter[str] = field(default_factory=Counter)


def _send(session: psycopg.Connection, chance: random.Random, ledger: Ledger) -> set[int]:
    """Send some messages and return their numbers; of those with a key, if they are the first."""
    numbers = [next(ledger.numbers) for _ in range(chance.randint(1, 4))]
    msgs = [json.dumps({"n": n, "odd": n % 2 == 1}) for n in numbers]
    headers = [
        json.dumps(
            {"x-pgmq-group": chance.choice("abc")}
            | ({"x-pgmq-ttl": 0} if chance.random() < 0.1 else {})
        )
        for _ in numbers
    ]
    if chance.random() < 0.5:
        session.execute("SELECT pgmq.send_batch('q', %s::jsonb[], %s::jsonb[])", [msgs, headers])
        return set(numbers)
    keys = [chance.choice("stuvwxyz") + str(chance.randint(1, 30)) for _ in numbers]
    rows = session.execute(
        "SELECT is_new FROM pgmq.send_once('q', %s::jsonb[], %s::text[], %s::jsonb[])",
        [msgs, keys, headers],
    ).fetchall()
    return {n for n, (is_new,) in zip(numbers, rows, strict=True) if is_new}


def _consume(session: psycopg.Connection, chance: random.Random, acks_remove: bool) -> set[int]:
    """Read some messages, end their leases somehow, and return the numbers of those gone."""
    if chance.random() < 0.1:
        rows = session.execute("SELECT * FROM pgmq.pop('q', 2)").fetchall()
        return {row[5]["n"] for row in rows}
    gone = set()
    call = chance.choice(READS)
    for row in session.execute(call.encode(), [chance.randint(1, 5)]).fetchall():
        end, removes = chance.choice(list(ENDS.items()))
        done = session.execute(end.encode(), {"id": row[0], "receipt": row[1]}).fetchone()
        assert done is not None
        assert done[0] is not False, "the lease was ours"
        if removes and (acks_remove or "ack" not in end):
            gone.add(row[5]["n"])
    return gone


def _work(connect: Connect, seed: int, ledger: Ledger, acks_remove: bool) -> None:
    chance = random.Random(seed)
    session = connect()
    for _ in range(60):
        sent: set[int] = set()
        gone: set[int] = set()
        try:
            session.autocommit = False
            for _ in range(chance.randint(1, 3)):
                what = chance.random()
                if what < 0.35:
                    sent |= _send(session, chance, ledger)
                elif what < 0.9:
                    gone |= _consume(session, chance, acks_remove)
                elif what < 0.95:
                    session.execute("SELECT pgmq.redrive('dead', qty => 5)")
                else:
                    session.execute("SELECT pgmq.maintain('q')")
            if chance.random() < 0.2:
                session.rollback()
                continue
        except (psycopg.OperationalError, psycopg.errors.SerializationFailure):
            # Killed, or a deadlock of keys that two transactions took in different orders.
            if session.closed:
                session = connect()
            else:
                session.rollback()
            continue
        try:
            session.commit()
        except psycopg.OperationalError:
            ledger.unsure |= sent | gone
            session = connect()
        else:
            ledger.sent |= sent
            ledger.gone |= gone


def _kill(connect: Connect, over: threading.Event) -> None:
    session = connect()
    while not over.wait(0.2):
        session.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend' ORDER BY random() LIMIT 1"
        )


@pytest.mark.parametrize("ack_archives", [False, True])
def test_every_message_is_in_exactly_one_place(
    db: psycopg.Connection, connect: Connect, ack_archives: bool
) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.create('other'), pgmq.create_fifo_index('q')")
    db.execute(
        "SELECT pgmq.set_policy('q', max_receives => 3, dead_letter_queue => 'dead',"
        " message_ttl => '1 hour', retry_delay => '1 ms', retry_delay_max => '4 ms',"
        " retry_jitter => 1, dedup_window => '1 hour', max_in_flight => 40, ack_archives => %s)",
        [ack_archives],
    )
    ledger = Ledger()
    over = threading.Event()
    failures: list[BaseException] = []

    def run(seed: int) -> None:
        try:
            _work(connect, seed, ledger, not ack_archives)
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(6)]
    killer = threading.Thread(target=_kill, args=(connect, over))
    for thread in [*threads, killer]:
        thread.start()
    for thread in threads:
        thread.join(100)
    over.set()
    killer.join(10)
    assert not failures

    places = Counter(ledger.gone)
    session = connect()
    for table in ("q_q", "q_dead", "q_other", "a_q"):
        rows: list[Any] = session.execute(
            f"SELECT message->'n' FROM pgmq.{table}".encode()
        ).fetchall()
        places.update(row[0] for row in rows)
    for number in range(next(ledger.numbers)):
        if number in ledger.unsure:
            assert places[number] <= 1
        else:
            assert places[number] == (number in ledger.sent), number
    # It was no empty run.
    assert len(ledger.sent) > 200
    assert len(ledger.gone) > 20 or ack_archives
    assert len(ledger.unsure) < 40
    reasons = session.execute(
        "SELECT DISTINCT headers #>> '{x-pgmq-dead-letter,reason}' FROM pgmq.q_dead ORDER BY 1"
    ).fetchall()
    assert reasons == [("expired",), ("max_receives",)]
    # Each key was stored once.
    assert session.execute(
        "SELECT count(*) - count(DISTINCT headers->>'x-pgmq-dedup-id') FROM ("
        " SELECT headers FROM pgmq.q_q UNION ALL SELECT headers FROM pgmq.q_dead"
        " UNION ALL SELECT headers FROM pgmq.q_other UNION ALL SELECT headers FROM pgmq.a_q) AS m"
        " WHERE headers ? 'x-pgmq-dedup-id'"
    ).fetchone() == (0,)
