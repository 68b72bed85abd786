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
from support.waiting import Waiting, hold_snapshot, never_wait

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from conftest import Connect

GROUPS = {"wide": 4, "narrow": 1, "exact": 3}
KEYS = 5  # of each producer
SEND = "SELECT pgmq.send('s', %s::jsonb, %s::jsonb)"
INSERT = "INSERT INTO pgmq.q_s (message, headers) VALUES (%s, %s)"
FETCH = "SELECT lane, epoch, msg_id, message FROM pgmq.fetch('s', %s, %s, %s)"
COMMIT = "SELECT pgmq.commit('s', %s, %s, %s, %s)"


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
        is_done = one(session, COMMIT, group, *batch[0][:2], None)
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
        if is_done and rng.random() < 0.1 and one(session, COMMIT, group, *batch[0][:2], None):
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
            assert one(session, COMMIT, "exact", *batch[0][:2], None)
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


def _maintain(connect: Connect, produced: threading.Event) -> None:
    session = connect()
    while not produced.wait(0.3):
        session.execute("SELECT pgmq.maintain('s')")


def _run(connect: Connect, segments: str, broken: bool = False) -> Ledger:
    """Let producers and consumers run, and return what was found."""
    session = connect()
    session.execute(f"SELECT pgmq.create_stream('s', {segments})".encode())
    session.execute("CREATE TABLE work (id serial, lane int, msg_id bigint, key text, number int)")
    for group, lanes in GROUPS.items():
        session.execute("SELECT pgmq.create_group('s', %s, 'earliest', %s)", [group, lanes])
    if broken:
        session.execute(
            "CREATE OR REPLACE FUNCTION"
            " pgmq._settled(stream regclass, after_id bigint, wanted integer DEFAULT null)"
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
    consumers.append(run(_maintain, produced))
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
@pytest.mark.parametrize("segments", ["'100', '100'", "'1 second', '1 second'"])
def test_nothing_is_lost_and_keys_stay_in_order(connect: Connect, segments: str) -> None:
    ledger = _run(connect, segments)
    assert not ledger.errors, ledger.errors[:5]
    assert ledger.sent.total() > 100
    # Segments come and go, at the latest now that nobody writes.
    session, deadline = connect(), time.monotonic() + 20
    while one(session, "SELECT dropped_messages FROM pgmq.partitioning") == 0:
        assert time.monotonic() < deadline
        session.execute("SELECT pgmq.maintain('s')")
        time.sleep(0.1)


@pytest.mark.slow
def test_that_would_be_noticed_if_unsettled_messages_were_handed_out(connect: Connect) -> None:
    assert _run(connect, "'1000'", broken=True).errors


@pytest.fixture
def stream(db: psycopg.Connection) -> psycopg.Connection:
    """Make the stream s with the group g of two lanes; calls that would wait fail instead."""
    db.execute("SELECT pgmq.create_stream('s'), pgmq.create_group('s', 'g', 'earliest', 2)")
    never_wait(db)
    return db


def _batch(session: psycopg.Connection, vt: int = 60, qty: int = 100) -> list[Any]:
    return session.execute(FETCH, ["g", vt, qty]).fetchall()


def _all(session: psycopg.Connection) -> list[int]:
    """Fetch and commit what there is, and return the msg_ids."""
    found: list[int] = []
    while batch := _batch(session):
        found += [msg_id for _, _, msg_id, _ in batch]
        assert one(session, COMMIT, "g", *batch[0][:2], None)
    return sorted(found)


@pytest.mark.parametrize("prepared", [False, True])
def test_an_open_producer_holds_back_what_comes_after_it(
    stream: psycopg.Connection, other: psycopg.Connection, prepared: bool
) -> None:
    stream.execute("SELECT pgmq.send_batch('s', '{1,2,3}')")
    other.autocommit = False
    other.execute("SELECT pgmq.send('s', '4')")
    stream.execute("SELECT pgmq.send_batch('s', '{5,6,7}')")
    assert _all(stream) == [1, 2, 3]
    # Looks that others have taken meanwhile show nothing else, nor does a time that passes.
    stream.execute("SELECT pgmq.send_batch('s', '{8,9}')")
    time.sleep(0.1)
    assert _all(stream) == []
    if prepared:
        other.execute("PREPARE TRANSACTION 'p'")
        other.rollback()
        assert _all(stream) == []
        stream.execute("COMMIT PREPARED 'p'")
    else:
        holder = one(stream, "SELECT holder FROM pgmq._open_writer('pgmq.q_s', '1 s')")
        assert holder is None or str(other.info.backend_pid) in holder
        other.commit()
    assert _all(stream) == [4, 5, 6, 7, 8, 9]


def test_a_fetch_waits_for_a_commit_that_is_under_way(
    stream: psycopg.Connection, connect: Connect
) -> None:
    slow = connect(autocommit=False)
    for number in range(20):
        slow.execute("SELECT pgmq.send('s', %s::text::jsonb)", [number])
        ending = threading.Timer(0.003, slow.commit)
        ending.start()
        found = _all(stream)
        ending.join()
        if found:
            return
    raise AssertionError("no fetch has waited some milliseconds for a commit")


def test_a_transaction_keeps_its_lane_and_nobody_waits(
    stream: psycopg.Connection, other: psycopg.Connection, connect: Connect
) -> None:
    stream.execute("SELECT pgmq.send_batch('s', '{1,2,3,4}')")
    late = _batch(stream, vt=0)
    with other.transaction():
        first = _batch(other)
        second = _batch(stream)
        assert {first[0][0], second[0][0]} == {0, 1}
        assert _batch(stream) == []
        # The lease of one of them has ended, so its lane was handed out again.
        assert not one(stream, COMMIT, "g", *late[0][:2], None)
        if second[0][0] == late[0][0]:
            assert one(stream, COMMIT, "g", *second[0][:2], None)
        assert one(other, COMMIT, "g", *first[0][:2], None)
        stream.execute("SELECT pgmq.send('s', '5')")
    # Seek waits for who is reading, and ends all leases.
    reader = connect(autocommit=False)
    stream.execute("SELECT pgmq.seek('s', 'g', 'earliest')")
    batch = _batch(reader)
    seeking = Waiting(connect(), "SELECT pgmq.seek('s', 'g', 'earliest')").until_it_waits(stream)
    reader.commit()
    assert seeking.result() == [(1,)]
    assert not one(reader, COMMIT, "g", *batch[0][:2], None)
    reader.commit()
    assert _all(stream) == [1, 2, 3, 4, 5]


AN_HOUR_AGO = "UPDATE pgmq.lane_s SET changed_at = changed_at - interval '1 hour'"


@pytest.mark.parametrize("group", ["g", "narrow"])
def test_who_finds_nothing_keeps_no_lane(
    stream: psycopg.Connection, connect: Connect, group: str
) -> None:
    stream.execute("SELECT pgmq.create_group('s', 'narrow', 'earliest')")
    stream.execute(AN_HOUR_AGO)
    with stream.transaction(force_rollback=True):
        stream.execute("SELECT pgmq.send_batch('s', '{1,2,3,4,5}')")
    reader = connect(autocommit=False)
    assert reader.execute(FETCH, [group, 60, 9]).fetchall() == []
    stream.execute("SELECT pgmq.send('s', '6')")
    assert [row[2] for row in stream.execute(FETCH, [group, 60, 9])] == [6]
    reader.rollback()


def test_a_transaction_keeps_no_lane_but_that_of_its_batch(
    stream: psycopg.Connection, connect: Connect
) -> None:
    stream.execute("SELECT pgmq.create_group('s', 'many', 'earliest', 64)")
    send = "SELECT pgmq.send('s', '1', jsonb_build_object('x-pgmq-group', i))"
    stream.execute(f"{send} FROM generate_series(1, 300) AS n, (VALUES (1)) AS k (i)".encode())
    stream.execute(AN_HOUR_AGO)
    reader = connect(autocommit=False)
    (lane,) = {row[0] for row in reader.execute(FETCH, ["many", 60, 10])}
    stream.execute(f"{send} FROM generate_series(2, 300) AS i".encode())
    lanes = {lane}
    while rows := stream.execute(FETCH, ["many", 60, 1]).fetchall():
        lanes.add(rows[0][0])
    assert lanes == set(
        ids(stream, "SELECT pgmq._lane_of(key_hash, msg_id, 64) FROM pgmq.q_s ORDER BY 1")
    )
    reader.rollback()


def test_upkeep_passes_over_what_comes_before_the_next_message_of_a_lane(
    stream: psycopg.Connection, other: psycopg.Connection
) -> None:
    """Without a key, the lane of a message is that of its msg_id."""
    send = "SELECT pgmq.send('s', '1')"
    committed = "SELECT committed FROM pgmq.list_lanes('s') ORDER BY lane"

    def keep() -> list[int]:
        stream.execute(AN_HOUR_AGO)
        stream.execute("SELECT pgmq._keep_s()")
        return ids(stream, committed)

    stream.execute(send)
    with stream.transaction(force_rollback=True):
        stream.execute(send)
    stream.execute(send)
    with stream.transaction():
        stream.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert keep() == [0, 0]
    assert keep() == [3, 0]
    other.autocommit = False
    other.execute(send)
    stream.execute(send)
    assert keep() == [3, 0]
    other.rollback()
    assert keep() == [5, 0]
    assert _all(stream) == [1, 3, 5]


def test_a_segment_ends_with_what_is_sent_while_its_end_is_waited_for(
    stream: psycopg.Connection, connect: Connect
) -> None:
    """Else retention would take it for read before it is."""
    stream.execute("SELECT pgmq.create_stream('t', '1 day')")
    sender, upkeep = connect(autocommit=False), connect()
    send, maintain = "SELECT pgmq.send('t', '1')", "SELECT pgmq.maintain('t')"
    ended = "SELECT last_id FROM pgmq.stream_segment WHERE queue_name = 't' AND ended_at <= now()"
    for session in (sender, upkeep):
        session.execute(send)  # once, so that nothing is to be compiled
        session.commit()
    upkeep.execute(maintain)
    for _ in range(50):
        stream.execute(
            "UPDATE pgmq.stream_segment SET began_at = now() - interval '2 days'"
            " WHERE queue_name = 't' AND ended_at IS NULL"
        )
        # It is not waited for who has been at it for some time.
        sender.execute(send)
        waiting = Waiting(upkeep, maintain)
        time.sleep(0.02)
        last = one(sender, send)
        sender.commit()
        waiting.result()
        if found := ids(stream, ended):
            assert found == [last]
            return
    raise AssertionError("the segment has not ended")


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
@pytest.mark.parametrize(
    "call", ["pgmq.seek('c', 'g', 'earliest')", "pgmq.create_group('c', 'new', 'earliest')"]
)
def test_retention_keeps_what_a_group_goes_back_to_meanwhile(
    stream: psycopg.Connection, connect: Connect, call: str, level: str
) -> None:
    stream.execute("SELECT pgmq.create_stream('c', '100', '200')")
    stream.execute("SELECT pgmq.create_group('c', 'g', 'earliest')")
    numbers = "FROM generate_series(1, 450) AS i"
    stream.execute(f"SELECT pgmq.send_batch('c', array_agg(to_jsonb(i))) {numbers}".encode())
    with stream.transaction():
        # Segments are not dropped as part of this.
        stream.execute("SELECT setval('pgmq.tend_due_c', pgmq._microseconds(now()) + 30000000)")
        for _ in range(5):
            lane, epoch = stream.execute(
                "SELECT lane, epoch FROM pgmq.fetch('c', 'g', 9, 100)"
            ).fetchall()[0]
            one(stream, "SELECT pgmq.commit('c', 'g', %s, %s)", lane, epoch)
    oldest = "SELECT min(msg_id) FROM pgmq.q_c"
    assert one(stream, oldest) == 1
    group, late = connect(autocommit=False), connect()
    late.execute(f"BEGIN ISOLATION LEVEL {level}".encode())
    late.execute("SELECT count(*) FROM pgmq.stream_group")
    group.execute(f"SELECT {call}".encode())
    upkeep = Waiting(late, "SELECT pgmq.maintain('c')")
    if level == "read committed":
        upkeep.until_it_waits(stream)
    group.commit()
    upkeep.result()
    late.commit()
    assert one(stream, oldest) == 1
    stream.execute("SELECT pgmq.drop_group('c', 'new'), pgmq.seek('c', 'g', 'latest')")
    stream.execute("SELECT pgmq.maintain('c')")
    assert one(stream, oldest) > 1


def test_nothing_is_left_of_a_group_that_is_dropped_while_it_reads(
    stream: psycopg.Connection, connect: Connect
) -> None:
    stream.execute("SELECT pgmq.create_group('s', 'wide', 'earliest', 4)")
    stream.execute(
        "SELECT pgmq.send_batch('s', array_agg(to_jsonb(i))) FROM generate_series(1, 9) i"
    )
    reader = connect(autocommit=False)
    assert reader.execute(FETCH.encode(), ["wide", 60, 9]).fetchall()
    dropping = Waiting(connect(), "SELECT pgmq.drop_group('s', 'wide')").until_it_waits(stream)
    reader.commit()
    dropping.result()
    assert one(stream, "SELECT count(*) FROM pgmq.lane_s WHERE group_name = 'wide'") == 0


def test_a_group_that_begins_beside_producers_misses_nothing_later(
    stream: psycopg.Connection, other: psycopg.Connection
) -> None:
    other.autocommit = False
    stream.execute("SELECT pgmq.send('s', '1')")
    before = one(stream, "SELECT clock_timestamp()::text")
    other.execute("SELECT pgmq.send('s', '2')")
    stream.execute("SELECT pgmq.send('s', '3')")
    for group, start in (("time", before), ("new", "latest"), ("old", "earliest")):
        stream.execute("SELECT pgmq.create_group('s', %s, %s)", [group, start])
    other.commit()
    stream.execute("SELECT pgmq.send('s', '4')")
    for group, expected in (("time", [2, 3, 4]), ("new", [2, 3, 4]), ("old", [1, 2, 3, 4])):
        assert ids(stream, "SELECT msg_id FROM pgmq.fetch('s', %s, 60, 9)", group) == expected


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_an_old_snapshot_sends_and_begins_a_group_whoever_looks_meanwhile(
    stream: psycopg.Connection, other: psycopg.Connection, level: str
) -> None:
    newest = "SELECT max(epoch) FROM pgmq.look"
    stream.execute("SELECT pgmq.send('s', '1')")
    assert _all(stream) == [1]
    other.autocommit = False
    other.execute(f"SET TRANSACTION ISOLATION LEVEL {level}".encode())
    before = one(other, newest)
    stream.execute("SELECT pgmq.send('s', '2')")
    while one(stream, newest) == before:
        _all(stream)
    other.execute("SELECT pgmq.create_group('s', 'h', 'latest')")
    other.execute("SELECT pgmq.send('s', to_jsonb(i)) FROM generate_series(3, 1000) AS i")
    other.commit()
    assert _all(stream) == list(range(3, 1001))
    assert ids(stream, "SELECT msg_id FROM pgmq.fetch('s', 'h', 60, 1)") == [3]


def test_an_old_snapshot_makes_no_call_look_at_more_rows(
    stream: psycopg.Connection, connect: Connect
) -> None:
    hold_snapshot(connect)
    stream.execute("SELECT pgmq.create_group('s', 'one', 'earliest')")
    stream.execute(
        "SELECT pgmq.send_batch('s', array_agg(to_jsonb(i))) FROM generate_series(1, 2000) AS i"
    )

    def read(turns: int) -> int:
        """Return how many rows of lanes are read by so many fetches and commits."""
        count = (
            "SELECT idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'lane_s_default'"
        )
        with stream.transaction():
            before = one(stream, count)
            for _ in range(turns):
                (row,) = stream.execute(FETCH, ["one", 60, 1]).fetchall()
                assert one(stream, COMMIT, "one", *row[:2], None)
            return int(one(stream, count) - before)

    first = read(20)
    for _ in range(20):
        read(20)
    assert read(20) <= first


def test_segments_end_while_a_producer_stays_open_later_and_nobody_waits(
    stream: psycopg.Connection, other: psycopg.Connection
) -> None:
    other.autocommit = False
    other.execute("SELECT pgmq.send('s', '1')")
    stream.execute("UPDATE pgmq.stream_segment SET began_at = now() - '2 days'::interval")
    for _ in range(3):
        stream.execute("SELECT pgmq.maintain('s')")
        assert ids(stream, "SELECT * FROM pgmq.send('s', '2')")[0] < 100
    other.commit()
    stream.execute("SELECT pgmq.maintain('s')")
    assert ids(stream, "SELECT * FROM pgmq.send('s', '3')") == [1_000_000_000]
    assert _all(stream) == [1, 2, 3, 4, 1_000_000_000]
