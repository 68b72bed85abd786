"""The rule by which a low-water mark moves, under fire and without its safety net, the sweep."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from support.load import SECONDS
from support.sweeps import stop_sweeps, sweep_every

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Connect, Roles

MODES = ["kept", "short", "reset", "ranked"]
SEND = "SELECT pgmq.send('q', '1', jsonb_build_object('x-pgmq-priority', %s::integer))"
FORGED = "SET pgmq.sweep_interval = '1 year'"
HIDING = [
    "SELECT pgmq._advance_q()",
    "SELECT pgmq._advance_q(true)",
    "SELECT pgmq._look_at('pgmq.q_q')",
]


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
            row = session.execute(SEND, [rng.randrange(10)]).fetchone()
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
    connect: Callable[[], psycopg.Connection],
    ledger: Ledger,
    end: float,
    seed: int,
    in_transaction: bool,
    mode: str,
) -> None:
    rng = random.Random(seed)
    session = connect()
    session.prepare_threshold = None
    for calls in itertools.count():
        if mode == "short" and calls % 10 == 9:
            session.close()
            session = connect()
        elif mode == "reset":
            session.execute("DISCARD ALL")
        finished = time.monotonic() >= end
        if in_transaction:
            session.execute("BEGIN")
        leases = session.execute(
            "SELECT msg_id, read_ct FROM pgmq.read('q', %s, %s)", (1, rng.choice([1, 1, 5, 20]))
        ).fetchall()
        ids = [msg_id for msg_id, _ in leases]
        if ids != sorted(ids) and mode != "ranked":
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
                session.close()
                return
            time.sleep(0.02)


def _hide(connect: Callable[[], psycopg.Connection], end: float, seed: int) -> None:
    """Try all that a role may call which has no more than USAGE on the schema."""
    rng = random.Random(seed)
    while time.monotonic() < end:
        with contextlib.closing(connect()) as session, contextlib.suppress(psycopg.Error):
            session.execute(f"SET statement_timeout = {rng.choice([1, 3, 100])}".encode())
            session.execute(FORGED)
            isolation = rng.choice(["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
            access = rng.choice(["READ WRITE", "READ WRITE", "READ ONLY"])
            session.execute(f"BEGIN ISOLATION LEVEL {isolation} {access}".encode())
            for _ in range(rng.choice([1, 3, 20])):
                with contextlib.suppress(psycopg.errors.QueryCanceled), session.transaction():
                    session.execute(rng.choice(HIDING).encode())
                time.sleep(rng.choice([0.01, 0.01, 0.3]))
            session.execute(rng.choice([b"COMMIT", b"ROLLBACK"]))


@pytest.fixture
def nobody(
    db: psycopg.Connection, connect: Connect, roles: Roles
) -> Callable[[], psycopg.Connection]:
    """Connect as a role that may use the schema and nothing else."""
    role = roles()
    db.execute(f"GRANT USAGE ON SCHEMA pgmq TO {role}".encode())
    return lambda: connect(user=role)


@pytest.mark.parametrize("mode", MODES)
def test_no_message_is_stranded_below_a_mark_while_the_sweep_is_off(
    db: psycopg.Connection,
    connect: Connect,
    dsn: str,
    nobody: Callable[[], psycopg.Connection],
    mode: str,
) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    db.execute("SELECT pgmq.create('q')")
    if mode == "ranked":
        db.execute("SELECT pgmq.set_policy('q', priorities => true)")
    stop_sweeps(db, "q")
    ledger = Ledger()
    end = time.monotonic() + SECONDS
    threads = [
        threading.Thread(
            target=_produce, args=(connect(autocommit=False), ledger, end, seed + n, slow)
        )
        for n, slow in enumerate([False, False, True, True, True, True])
    ]
    threads += [
        threading.Thread(
            target=_consume,
            args=(
                lambda: psycopg.connect(dsn, autocommit=True),
                ledger,
                end,
                seed + 100 + n,
                in_transaction,
                mode,
            ),
        )
        for n, in_transaction in enumerate([False, False, False, True, True])
    ]
    threads.append(threading.Thread(target=_hide, args=(nobody, end, seed)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ledger.unordered == []
    assert len(ledger.sent) > 300
    stranded = db.execute("SELECT msg_id, vt FROM pgmq.q_q ORDER BY msg_id").fetchall()
    assert stranded == []
    assert ledger.sent <= ledger.done
    marks = ["ready_mark_q"]
    if mode == "ranked":
        marks += [f"ready{priority}_mark_q" for priority in range(10)]
    for name in marks:
        mark = db.execute("SELECT pg_sequence_last_value(%s)", [f"pgmq.{name}"]).fetchone()
        assert mark is not None
        assert mark[0] > max(ledger.sent) / 2  # the marks did move, or this test showed nothing
    looks = db.execute("SELECT count(*) FROM pgmq.look").fetchone()
    assert looks is not None
    assert 0 < looks[0] < 100


def test_nobody_keeps_others_from_finding_a_straggler(
    db: psycopg.Connection, nobody: Callable[[], psycopg.Connection]
) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    db.execute("SELECT pgmq.create('q')")
    sweep_every(db, "0.5 s")
    db.execute("SELECT pgmq.send_batch('q', array_agg('1'::jsonb)) FROM generate_series(1, 99)")
    db.execute("SELECT pgmq.pop('q', 99)")
    end = time.monotonic() + SECONDS
    threads = [
        threading.Thread(target=_hide, args=(nobody, end, seed + number)) for number in range(3)
    ]
    for thread in threads:
        thread.start()
    late: list[float] = []
    while time.monotonic() < end:
        db.execute("SELECT pgmq._advance_q()")
        db.execute("INSERT INTO pgmq.q_q (msg_id, vt) OVERRIDING SYSTEM VALUE VALUES (7, now())")
        since = time.monotonic()
        while not db.execute("SELECT pgmq.pop('q')").fetchall():
            time.sleep(0.02)
            assert time.monotonic() < since + 10
        late.append(time.monotonic() - since)
    for thread in threads:
        thread.join()
    print("late", len(late), max(late))
    assert max(late) < 2
