"""Streams with many sessions: nothing lost, every key in order, nobody waits for another."""

from __future__ import annotations

import collections
import json
import random
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from support.load import SECONDS
from support.queries import ids, one

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from conftest import Connect

GROUPS = {"wide": 4, "narrow": 1, "exact": 3}
KEYS = 5  # of each producer
SEND = "SELECT pgmq.send('s', %s::jsonb, %s::jsonb)"
INSERT = "INSERT INTO pgmq.q_s (message, headers) VALUES (%s, %s)"
FETCH = "SELECT lane, epoch, msg_id, message FROM pgmq.fetch('s', %s, %s, %s)"
COMMIT = "SELECT pgmq.commit('s', %s, %s, %s)"


class Ledger:
    """How many messages of each key were committed, and what each group made of them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.sent: collections.Counter[str] = collections.Counter()
        self.seen = {group: collections.Counter[str]() for group in GROUPS}
        self.done = {group: collections.Counter[str]() for group in GROUPS}
        self.errors: list[str] = []

    def got(self, group: str, messages: list[tuple[str, int]]) -> None:
        """Note a batch: no message of a key may be skipped, none comes after its commit."""
        with self.lock:
            for key, number in messages:
                if number > self.seen[group][key]:
                    self.errors.append(f"{group} {key}: {number} after {self.seen[group][key]}")
                if number < self.done[group][key]:
                    self.errors.append(f"{group} {key}: {number} again after its commit")
                self.seen[group][key] = max(self.seen[group][key], number + 1)

    def committed(self, group: str, messages: list[tuple[str, int]]) -> None:
        """Note what a group has committed: the next of each key."""
        for key, number in messages:
            if number != self.done[group][key]:
                self.errors.append(f"{group} {key}: {number} done after {self.done[group][key]}")
            self.done[group][key] = number + 1


def _append(session: psycopg.Connection, rng: random.Random, key: str, first: int, n: int) -> None:
    for number in range(first, first + n):
        row = [json.dumps([key, number]), json.dumps({"x-pgmq-group": key})]
        if rng.random() < 0.1:
            session.execute("SAVEPOINT one")
            session.execute(SEND, row)
            session.execute("ROLLBACK TO one")
        session.execute(rng.choice([SEND, SEND, INSERT]).encode(), row)
        if rng.random() < 0.1:
            time.sleep(rng.random() * 0.02)


def _produce(connect: Connect, ledger: Ledger, end: float, seed: int) -> None:
    rng = random.Random(seed)
    session, killer = connect(autocommit=False), connect()
    while time.monotonic() < end:
        key, n = f"{seed}-{rng.randrange(KEYS)}", rng.choice([1, 1, 1, 3, 10] * 9 + [200])
        _append(session, rng, key, ledger.sent[key], n)
        if rng.random() < 0.05:
            time.sleep(rng.random() * 0.5)
        fate = rng.random()
        if fate < 0.15:
            session.rollback()
        elif fate < 0.2:
            killer.execute("SELECT pg_terminate_backend(%s, 5000)", [session.info.backend_pid])
            session.close()
            session = connect(autocommit=False)
        elif fate < 0.3:
            name = f"{seed}-{time.monotonic()}"
            session.execute(f"PREPARE TRANSACTION '{name}'".encode())
            session.rollback()
            time.sleep(rng.random() * 0.1)
            verdict = rng.choice(["COMMIT", "ROLLBACK"])
            killer.execute(f"{verdict} PREPARED '{name}'".encode())
            ledger.sent[key] += n if verdict == "COMMIT" else 0
        else:
            session.commit()
            ledger.sent[key] += n


def _consume(
    connect: Connect, ledger: Ledger, group: str, seed: int, produced: threading.Event
) -> None:
    rng, idle = random.Random(f"{group} {seed}"), 0
    session, killer = connect(autocommit=False), connect()
    while idle < 30:
        batch = session.execute(FETCH, [group, 1, rng.choice([1, 20, 200])]).fetchall()
        if batch and rng.random() < 0.05:
            session.rollback()
            continue
        session.commit()
        if not batch:
            idle = idle + 1 if produced.is_set() else 0
            time.sleep(0.05)
            continue
        idle = 0
        messages = [tuple(message) for *_, message in batch]
        ledger.got(group, messages)
        if rng.random() < 0.03:
            time.sleep(rng.random() * 1.2)  # past the lease
        fate = rng.random()
        if fate < 0.03:
            continue  # forgotten
        is_done = one(session, COMMIT, group, *batch[0][:2])
        if fate < 0.08:
            session.rollback()
            continue
        if fate < 0.11:
            killer.execute("SELECT pg_terminate_backend(%s, 5000)", [session.info.backend_pid])
            session.close()
            session = connect(autocommit=False)
            continue
        with ledger.lock:
            session.commit()
            if is_done:
                ledger.committed(group, messages)
        if is_done and rng.random() < 0.1 and one(session, COMMIT, group, *batch[0][:2]):
            ledger.errors.append(f"{group}: committed twice")


def _consume_exactly_once(connect: Connect, seed: int, produced: threading.Event) -> None:
    rng, idle = random.Random(seed), 0
    session, killer = connect(autocommit=False), connect()
    while idle < 30:
        batch = session.execute(FETCH, ["exact", 30, rng.choice([1, 20, 200])]).fetchall()
        for lane, _, msg_id, (key, number) in batch:
            session.execute(
                "INSERT INTO work (lane, msg_id, key, number) VALUES (%s, %s, %s, %s)",
                [lane, msg_id, key, number],
            )
        if batch:
            assert one(session, COMMIT, "exact", *batch[0][:2])
        fate = rng.random()
        if batch and fate < 0.1:
            session.rollback()
        elif batch and fate < 0.15:
            killer.execute("SELECT pg_terminate_backend(%s, 5000)", [session.info.backend_pid])
            session.close()
            session = connect(autocommit=False)
        else:
            session.commit()
            idle = 0 if batch or not produced.is_set() else idle + 1
            time.sleep(0 if batch else 0.05)


def _run(connect: Connect, broken: bool = False) -> Ledger:
    """Let producers and consumers run, and return what was found."""
    session = connect()
    session.execute("SELECT pgmq.create_stream('s', '1000', null)")
    session.execute("CREATE TABLE work (id serial, lane int, msg_id bigint, key text, number int)")
    for group, lanes in GROUPS.items():
        session.execute("SELECT pgmq.create_group('s', %s, 'earliest', %s)", [group, lanes])
    if broken:
        session.execute(
            "CREATE OR REPLACE FUNCTION pgmq._settled(stream regclass, after_id bigint)"
            " RETURNS bigint LANGUAGE sql AS"
            " $$ SELECT 1 + pg_sequence_last_value('pgmq.q_s_msg_id_seq') $$"
        )
    ledger, produced = Ledger(), threading.Event()
    end = time.monotonic() + SECONDS
    failures: list[BaseException] = []

    def run(work: Callable[..., None], *arguments: Any) -> threading.Thread:
        def watched() -> None:
            try:
                work(connect, *arguments)
            except BaseException as error:  # noqa: BLE001 (raised again below)
                failures.append(error)

        thread = threading.Thread(target=watched)
        thread.start()
        return thread

    producers = [run(_produce, ledger, end, seed) for seed in range(5)]
    consumers = [
        run(_consume, ledger, group, seed, produced)
        for group, count in (("wide", 4), ("narrow", 2))
        for seed in range(count)
    ] + [run(_consume_exactly_once, seed, produced) for seed in range(3)]
    for thread in producers:
        thread.join()
    produced.set()
    for thread in consumers:
        thread.join()
    if failures:
        raise failures[0]
    order = "SELECT key, number FROM work ORDER BY id"
    ledger.committed("exact", session.execute(order).fetchall())
    for group in GROUPS:
        if ledger.done[group] != +ledger.sent:
            ledger.errors.append(f"{group}: {ledger.sent - ledger.done[group]} never came")
    assert ids(session, "SELECT lag FROM pgmq.list_groups('s')") == [0, 0, 0] or broken
    return ledger


@pytest.mark.slow
def test_nothing_is_lost_and_keys_stay_in_order(connect: Connect) -> None:
    ledger = _run(connect)
    assert not ledger.errors, ledger.errors[:5]
    assert ledger.sent.total() > 100


@pytest.mark.slow
def test_that_would_be_noticed_if_unsettled_messages_were_handed_out(connect: Connect) -> None:
    assert _run(connect, broken=True).errors
