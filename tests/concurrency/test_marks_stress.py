"""The rule by which a low-water mark moves, under fire and without its safety net, the sweep."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

from sweeps import stop_sweeps

if TYPE_CHECKING:
    import psycopg

    from conftest import Connect

SECONDS = 8


class Ledger:
    """What was committed and what was processed, by msg_id."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.sent: set[int] = set()
        self.done: set[int] = set()
        self.unordered: list[list[int]] = []


def _produce(
    session: psycopg.Connection, ledger: Ledger, end: float, seed: int, slow: bool
) -> None:
    rng = random.Random(seed)
    while time.monotonic() < end:
        ids: list[int] = []
        for _ in range(rng.choice([1, 1, 3])):
            row = session.execute("SELECT * FROM pgmq.send('q', '1')").fetchone()
            assert row is not None
            ids.append(row[0])
            if slow:
                time.sleep(rng.random() * 0.4)
        if slow:
            time.sleep(rng.choice([0.05, 0.3, 1.0]))
        if rng.random() < 0.2:
            session.rollback()
            continue
        session.commit()
        with ledger.lock:
            ledger.sent.update(ids)
        if not slow:
            time.sleep(0.002)


def _consume(
    session: psycopg.Connection, ledger: Ledger, end: float, seed: int, in_transaction: bool
) -> None:
    rng = random.Random(seed)
    while True:
        finished = time.monotonic() >= end
        if in_transaction:
            session.execute("BEGIN")
        leases = session.execute(
            "SELECT msg_id, read_ct FROM pgmq.read('q', %s, %s)", (1, rng.choice([1, 1, 5, 20]))
        ).fetchall()
        ids = [msg_id for msg_id, _ in leases]
        if ids != sorted(ids):
            ledger.unordered.append(ids)
        if in_transaction:
            time.sleep(rng.random() * 0.2)
            if rng.random() < 0.3:
                session.execute("ROLLBACK")
                continue
        acknowledged: list[int] = []
        for msg_id, read_ct in leases:
            chance = rng.random()
            if chance < 0.75 or finished:
                row = session.execute("SELECT pgmq.ack('q', %s, %s)", (msg_id, read_ct)).fetchone()
                if row == (True,):
                    acknowledged.append(msg_id)
            elif chance < 0.95:
                session.execute("SELECT pgmq.nack('q', %s, %s)", (msg_id, read_ct))
            # else it expires
        if in_transaction:
            session.execute("COMMIT")
        with ledger.lock:
            ledger.done.update(acknowledged)
        if not leases:
            if time.monotonic() > end + 3:  # every lease has expired by then
                return
            time.sleep(0.02)


def test_no_message_is_stranded_below_a_mark_while_the_sweep_is_off(
    db: psycopg.Connection, connect: Connect
) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    db.execute("SELECT pgmq.create('q')")
    stop_sweeps(db, "q")
    ledger = Ledger()
    end = time.monotonic() + SECONDS
    threads = [
        threading.Thread(
            target=_produce, args=(connect(autocommit=False), ledger, end, seed + n, slow)
        )
        for n, slow in enumerate([False, False, True, True, True, True])
    ]
    for n, in_transaction in enumerate([False, False, False, True, True]):
        session = connect()
        threads.append(
            threading.Thread(
                target=_consume, args=(session, ledger, end, seed + 100 + n, in_transaction)
            )
        )
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ledger.unordered == []
    assert len(ledger.sent) > 500
    stranded = db.execute("SELECT msg_id, vt FROM pgmq.q_q ORDER BY msg_id").fetchall()
    assert stranded == []
    assert ledger.sent <= ledger.done
    mark = db.execute("SELECT pg_sequence_last_value('pgmq.ready_mark_q')").fetchone()
    assert mark is not None
    assert mark[0] > max(ledger.sent) / 2  # the marks did move, or this test showed nothing
