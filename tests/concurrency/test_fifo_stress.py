"""FIFO groups under fire: readers of every kind, rollbacks, expiry, meddling, killed sessions.

Everything that happened is written by the transaction that did it, so that what a rollback or a
kill undoes is undone in the books too. Each group has one producer, so that the order of its
msg_ids is the order of its commits.
"""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Connect

SECONDS = 3.5
BACKLOG = 300
BOOKS = """
    CREATE TABLE sent (msg_id bigint PRIMARY KEY);
    CREATE TABLE leased (
        msg_id bigint, read_ct integer, since timestamptz, until timestamptz,
        PRIMARY KEY (msg_id, read_ct)
    );
    CREATE TABLE released (msg_id bigint, at timestamptz);
    CREATE TABLE done (place bigint GENERATED ALWAYS AS IDENTITY, msg_id bigint PRIMARY KEY,
        name text);
"""
SEND = """
    WITH s AS (
        SELECT * FROM pgmq.send('q', '1', jsonb_build_object('x-pgmq-group', %s::text))
            AS s (msg_id)
    )
    INSERT INTO sent SELECT msg_id FROM s
"""
READS = {
    "read_grouped": "SELECT * FROM pgmq.read_grouped('q', %(vt)s, %(qty)s)",
    "read_grouped_rr": "SELECT * FROM pgmq.read_grouped_rr('q', %(vt)s, %(qty)s)",
    "read_grouped_head": "SELECT * FROM pgmq.read_grouped_head('q', %(vt)s, %(qty)s)",
    "read_group": "SELECT * FROM pgmq.read_group('q', %(name)s, %(vt)s, %(qty)s)",
}
LEASE = """
    WITH r AS MATERIALIZED ({}),
    booked AS (INSERT INTO leased SELECT msg_id, read_ct, last_read_at, vt FROM r)
    SELECT msg_id, read_ct, headers ->> 'x-pgmq-group' FROM r
"""
# What is alive of a batch's groups before it, and not in it.
PASSED_OVER = """
    SELECT b.msg_id, e.msg_id, e.vt FROM pgmq.q_q AS b
    INNER JOIN pgmq.q_q AS e ON b.headers = e.headers AND e.msg_id < b.msg_id
    WHERE b.msg_id = ANY (%(ids)s) AND e.msg_id <> ALL (%(ids)s)
"""
ACK = """
    INSERT INTO done (msg_id, name)
    SELECT %s, %s WHERE pgmq.ack('q', %s, %s) RETURNING msg_id
"""
NACK = """
    INSERT INTO released SELECT %(id)s, clock_timestamp()
    WHERE pgmq.nack('q', %(id)s, %(read_ct)s, 0)
"""
SET_VT = "INSERT INTO released SELECT msg_id, vt FROM pgmq.set_vt('q', %(id)s, 0)"
MEDDLE = """
    INSERT INTO released SELECT msg_id, vt FROM pgmq.set_vt('q', ARRAY(
        SELECT msg_id FROM pgmq.q_q ORDER BY random() LIMIT 10
    ), 0)
"""
LEASED_TWICE = """
    SELECT l.* FROM (
        SELECT *, lead(since) OVER (PARTITION BY msg_id ORDER BY read_ct) AS next FROM leased
    ) AS l
    WHERE l.next < l.until AND NOT EXISTS (
        SELECT FROM released AS r WHERE r.msg_id = l.msg_id AND r.at BETWEEN l.since AND l.next
    )
"""
OUT_OF_ORDER = """
    SELECT d.* FROM (
        SELECT *, lag(msg_id) OVER (PARTITION BY name ORDER BY place) AS previous FROM done
    ) AS d
    WHERE d.previous > d.msg_id
"""

Lease = tuple[int, int, str]


class Run:
    """What the threads of one run share."""

    def __init__(self, connect: Connect, seed: int) -> None:
        self.connect = connect
        self.seed = seed
        self.end = time.monotonic() + SECONDS
        self.pids: dict[int, int] = {}
        self.wrong: list[object] = []
        self.interrupted = 0

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.end or bool(self.wrong)

    def guarded(self, work: Callable[..., None], number: int) -> threading.Thread:
        """Make a thread in which an error ends the run and is reported."""

        def target() -> None:
            try:
                work(self, number, random.Random(self.seed + number))
            except Exception as error:  # noqa: BLE001
                self.wrong.append(error)

        return threading.Thread(target=target)


def _produce(run: Run, number: int, rng: random.Random) -> None:
    session = run.connect(autocommit=False)
    generation = 0
    while not run.over:
        row = session.execute("SELECT count(*) FROM pgmq.q_q").fetchone()
        session.rollback()
        if row is None or row[0] > BACKLOG:
            time.sleep(0.01)
            continue
        generation += rng.random() < 0.05
        # Groups come and go; the first is always there, and busy.
        names = [f"{number}", f"{number}", *(f"{number}-{generation + n}" for n in range(8))]
        for _ in range(rng.randint(1, 6)):
            session.execute(SEND, (rng.choice(names),))
        if rng.random() < 0.05:
            time.sleep(0.1)
        if rng.random() < 0.1:
            session.rollback()
        else:
            session.commit()


def _lease(
    run: Run, session: psycopg.Connection[Any], rng: random.Random, end: bool = False
) -> list[Lease]:
    """Lease in some way, and check that nothing of the groups was passed over."""
    read = READS["read_grouped" if end else rng.choice(list(READS))]
    # Producers have the numbers from 0.
    name = rng.choice(["0", "1", "2", f"{rng.randrange(3)}-{rng.randrange(20)}"])
    qty = None if end else rng.choice([1, 2, 5, 30, 30, None])
    arguments = {"vt": rng.choice([1, 1, 2]), "qty": qty, "name": name}
    leases: list[Lease] = session.execute(LEASE.format(read).encode(), arguments).fetchall()
    ids = [msg_id for msg_id, _, _ in leases]
    passed_over = session.execute(PASSED_OVER, {"ids": ids}).fetchall()
    if passed_over:
        run.wrong.append(f"{read} {arguments} returned {ids}: passed over {passed_over}")
    for group in {name for _, _, name in leases}:
        of_group = [msg_id for msg_id, _, name in leases if name == group]
        if of_group != sorted(of_group):
            run.wrong.append(f"{read} {arguments} returned {of_group}")
    return leases


def _process(
    session: psycopg.Connection[Any],
    rng: random.Random,
    leases: list[Lease],
    separately: bool = False,
    thorough: bool = False,
) -> None:
    """Acknowledge messages in their order; a group stops at the first that fails."""
    stopped = set()
    for msg_id, read_ct, name in leases:
        if name in stopped:
            continue
        chance = 0 if thorough else rng.random()
        if chance < 0.8:
            if not session.execute(ACK, (msg_id, name, msg_id, read_ct)).fetchone():
                stopped.add(name)
        else:
            stopped.add(name)
            if chance < 0.97:
                release = rng.choice([NACK, SET_VT]).encode()
                session.execute(release, {"id": msg_id, "read_ct": read_ct})
            # else it expires
        if separately:
            session.commit()


def _consume(run: Run, number: int, rng: random.Random) -> None:
    session: psycopg.Connection[Any] | None = None
    while not run.over:
        try:
            if session is None:
                session = run.connect(autocommit=False)
                if number % 3 == 0:
                    session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                run.pids[number] = session.info.backend_pid
            session.rollback()  # what could not be serialized
            leases = _lease(run, session, rng)
            if rng.random() < 0.1:
                time.sleep(0.05)
            if rng.random() < 0.05:
                session.rollback()
                continue
            if rng.random() < 0.7:
                session.commit()
                _process(session, rng, leases, separately=True)
            else:
                _process(session, rng, leases)
                session.commit()
        except psycopg.errors.SerializationFailure:
            pass
        except psycopg.OperationalError:
            run.interrupted += 1
            session = None


def _meddle(run: Run, number: int, rng: random.Random) -> None:
    """Make messages visible, whoever has them, and hold them for a while."""
    session = run.connect(autocommit=False)
    while not run.over:
        session.execute(MEDDLE)
        time.sleep(rng.choice([0.0, 0.01, 0.05]))
        if rng.random() < 0.5:
            session.rollback()
        else:
            session.commit()
        time.sleep(0.02)


def _kill(run: Run, number: int, rng: random.Random) -> None:
    session = run.connect()
    while not run.over:
        time.sleep(0.2)
        victim = rng.choice(list(run.pids.values()) or [0])
        session.execute("SELECT pg_terminate_backend(%s)", (victim,))


@pytest.mark.parametrize("index", [True, False], ids=["with the index", "without the index"])
def test_every_group_is_consumed_in_order_and_to_its_end(
    db: psycopg.Connection, connect: Connect, index: bool
) -> None:
    db.execute("SELECT pgmq.create('q')")
    if index:
        db.execute("SELECT pgmq.create_fifo_index('q')")
    db.execute(BOOKS)
    run = Run(connect, seed=random.randrange(2**32))
    print("seed", run.seed)
    work = [_produce] * 3 + [_consume] * 8 + [_meddle, _kill]
    threads = [run.guarded(kind, number) for number, kind in enumerate(work)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run.wrong == []

    # Nobody is left, so whatever is left must come, and the longest lease is two seconds.
    deadline = time.monotonic() + 4
    rng = random.Random(run.seed)
    while db.execute("SELECT 1 FROM pgmq.q_q LIMIT 1").fetchone() and time.monotonic() < deadline:
        _process(db, rng, _lease(run, db, rng, end=True), thorough=True)
        time.sleep(0.02)
    assert run.wrong == []
    assert db.execute("SELECT msg_id, vt, headers FROM pgmq.q_q").fetchall() == []
    assert db.execute("TABLE sent EXCEPT SELECT msg_id FROM done").fetchall() == []
    assert db.execute(OUT_OF_ORDER).fetchall() == []
    assert db.execute(LEASED_TWICE).fetchall() == []
    # That it showed something:
    row = db.execute("SELECT count(*) FROM done").fetchone()
    assert row is not None
    assert row[0] > 200
    assert run.interrupted > 3
