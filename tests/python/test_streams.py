"""Streams in Python: the clients' calls, and workers that consume as a group."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row, tuple_row
from psycopg_pool import ConnectionPool

from pgmq import (
    AsyncPGMQueue,
    AsyncWorker,
    Hooks,
    PGMQueue,
    ProcessWorker,
    Reject,
    Retry,
    StreamBatch,
    StreamMessage,
    Worker,
)
from pgmq._worker.lanes import Lanes
from pgmq._worker.outcome import Outcome
from pgmq.sqlalchemy_queue import PGMQueue as SQLAlchemyQueue
from support import handlers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from conftest import Connect, Roles


@pytest.fixture
def queue(dsn: str) -> Iterator[PGMQueue]:
    """A client with the stream s, whose group g has one lane and a dead-letter queue."""
    with PGMQueue(dsn) as client:
        client.create_stream("s")
        client.create_group("s", "g", "earliest", dead_letter_queue="dead")
        yield client


def bodies(batch: StreamBatch | None) -> list[Any]:
    return [message.message for message in batch] if batch else []


# Clients


def test_a_batch_knows_its_lease_and_is_committed_by_it(queue: PGMQueue) -> None:
    assert queue.fetch("s", "g") is None
    queue.send_batch("s", ["a", "b", "c"], [{"n": 1}, None, None])
    batch = queue.fetch("s", "g", vt=30, qty=2)
    assert batch
    assert (len(batch), bodies(batch), batch.lease) == (2, ["a", "b"], (batch.lane, batch.epoch))
    first, second = batch
    assert (first.lane, first.epoch, first.msg_id, first.delivery_ct, first.headers) == (
        batch.lane, batch.epoch, 1, 1, {"n": 1},
    )  # fmt: skip
    assert second.headers is None
    (lane,) = queue.list_lanes("s")
    assert (lane.leased_up_to, lane.committed) == (2, 0)
    assert queue.commit("s", "g", *batch.lease, up_to=1)
    assert queue.extend_lease("s", "g", *batch.lease)
    after = queue.commit_and_fetch("s", "g", *batch.lease, qty=5)
    assert bodies(after) == ["c"]
    assert after
    assert not queue.commit("s", "g", *batch.lease)
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="is lost"):
        queue.commit_and_fetch("s", "g", *batch.lease)
    assert queue.release("s", "g", *after.lease, error="not\0yet")
    again = queue.fetch_with_poll("s", "g", max_poll_seconds=1)
    assert again
    assert again.messages[0].delivery_ct == 2
    assert queue.list_groups("s")[0].error == "not\N{REPLACEMENT CHARACTER}yet"
    assert queue.reject("s", "g", *again.lease, 3, error="never")
    letter = queue.read("dead")
    assert letter
    assert (letter.message, letter.headers["x-pgmq-error"]) == ("c", "never")
    (group,) = queue.list_groups()
    assert (group.queue_name, group.group_name, group.lag, group.lag_seconds) == ("s", "g", 0, None)


def test_a_group_starts_at_a_word_an_id_or_a_time_with_its_zone(queue: PGMQueue) -> None:
    queue.send_batch("s", [1, 2, 3])
    now = datetime.now(timezone.utc)
    zone = timezone(timedelta(hours=-7))
    starts: dict[Any, int] = {
        "earliest": 1, "latest": 4, 3: 3, now - timedelta(hours=1): 1,
        (now - timedelta(minutes=1)).astimezone(zone): 1,
        (now + timedelta(hours=1)).astimezone(zone): 4,
    }  # fmt: skip
    assert {start: queue.seek("s", "g", start) for start in starts} == starts
    with pytest.raises(ValueError, match="needs a time zone"):
        queue.seek("s", "g", datetime.now())
    with pytest.raises(psycopg.errors.NullValueNotAllowed):
        queue.seek("s", "g", None)  # type: ignore[arg-type]


def test_groups_are_altered_granted_and_dropped(
    queue: PGMQueue, roles: Roles, connect: Connect
) -> None:
    queue.create_stream("kept", 1000, None)
    queue.create_group("s", "other", lanes=3, keep_unread=False)
    queue.alter_group("s", "g", max_deliveries=3)
    with pytest.raises(TypeError, match="a list is wanted"):
        queue.alter_group("s", "g", clear="max_deliveries")
    queue.alter_group("s", "other", 5, "letters", True)
    queue.alter_group("s", "other", clear=["max_deliveries"])
    assert [
        (each.group_name, each.lanes, each.max_deliveries, each.dead_letter_queue, each.keep_unread)
        for each in queue.list_groups("s")
    ] == [("g", 1, 3, "dead", True), ("other", 3, None, "letters", True)]
    role = roles()
    queue.grant_fetch("s", "other", role)
    conn = connect(user=role)
    assert queue.fetch("s", "other", conn=conn) is None
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        queue.fetch("s", "g", conn=conn)
    assert [queue.drop_group("s", "other") for _ in range(2)] == [True, False]


def test_fetch_work_and_commit_are_one_transaction(queue: PGMQueue, db: psycopg.Connection) -> None:
    queue.send_batch("s", [1, 2])
    db.execute("CREATE TABLE done (n integer)")
    assert queue.pool

    def work(fails: bool) -> None:
        assert isinstance(queue.pool, ConnectionPool)
        with queue.pool.connection() as conn:
            batch = queue.fetch("s", "g", conn=conn)
            assert batch
            conn.cursor().executemany("INSERT INTO done VALUES (%s)", [[n] for n in bodies(batch)])
            assert queue.commit("s", "g", *batch.lease, conn=conn)
            if fails:
                raise RuntimeError("too late")

    with pytest.raises(RuntimeError, match="too late"):
        work(True)
    assert db.execute("SELECT FROM done").fetchall() == []
    work(False)
    assert db.execute("SELECT n FROM done").fetchall() == [(1,), (2,)]
    assert queue.fetch("s", "g") is None


def test_the_other_clients_do_the_same(queue: PGMQueue, dsn: str) -> None:
    queue.send_batch("s", [{"a": 1}, 2], [{"b": None}, None])

    async def consume() -> list[Any]:
        async with AsyncPGMQueue(dsn) as client:
            batch = await client.fetch("s", "g", qty=1)
            assert batch
            assert await client.commit("s", "g", *batch.lease)
            return [bodies(batch), batch.messages[0].headers]

    assert asyncio.run(consume()) == [[{"a": 1}], {"b": None}]
    with SQLAlchemyQueue(dsn) as client:
        batch = client.fetch("s", "g")
        assert bodies(batch) == [2]
        assert batch
        with client.session() as session:
            assert client.commit("s", "g", *batch.lease, conn=session)
        assert client.commit("s", "g", *batch.lease)  # the session did not commit


# Workers


class Heard(Hooks):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.read: list[int] = []
        self.done: list[Any] = []
        self.errors: list[str] = []
        self.lost: list[Any] = []
        self.disconnects = 0

    def on_disconnect(self, queue: str, error: Exception, seconds: float) -> None:
        self.disconnects += 1

    def on_read(self, queue: str, messages: Sequence[StreamMessage]) -> None:
        self.read.append(len(messages))

    def on_done(self, queue: str, message: StreamMessage, seconds: float) -> None:
        self.done.append(message.message)

    def on_error(
        self, queue: str, message: StreamMessage, seconds: float, exception: BaseException
    ) -> None:
        self.errors.append(f"{message.message} {message.delivery_ct} {exception}")
        assert len(self.errors) < 100

    def on_lost(self, queue: str, message: StreamMessage) -> None:
        self.lost.append(message.message)


@contextlib.contextmanager
def running(*workers: Worker) -> Iterator[None]:
    """Run workers beside the test, stop them at the end, and raise what they raise."""
    with ThreadPoolExecutor(len(workers)) as pool:
        futures = [pool.submit(worker.run) for worker in workers]
        try:
            yield
        finally:
            for worker in workers:
                worker.stop()
        for future in futures:
            future.result(20)


def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "waited for too long"
        time.sleep(0.01)


def committed(client: PGMQueue, group: str = "g") -> list[int]:
    return [lane.committed for lane in client.list_lanes("s") if lane.group_name == group]


def store(message: StreamMessage, connection: psycopg.Connection[Any]) -> None:
    """What a transactional handler does; it fails for the text "bad"."""
    connection.execute("INSERT INTO effect VALUES (%s)", [str(message.message)])
    if message.message == "bad":
        raise ValueError("bad")
    if message.message == "no":
        raise Reject("no")


@pytest.fixture
def effects(db: psycopg.Connection) -> Callable[[], list[str]]:
    """Make a table of effects; gives what is in it, in the order of arrival."""
    db.execute("CREATE TABLE effect (what text, n integer GENERATED ALWAYS AS IDENTITY)")
    return lambda: [what for (what,) in db.execute("SELECT what FROM effect ORDER BY n")]


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("transactional", [False, True])
@pytest.mark.parametrize("kind", [AsyncWorker, Worker, ProcessWorker])
def test_a_worker_handles_all_in_order_and_commits(
    kind: Any,
    transactional: bool,
    batch: bool,
    queue: PGMQueue,
    dsn: str,
    tmp_path: Path,
    effects: Callable[[], list[str]],
) -> None:
    heard = Heard()
    options: dict[str, Any] = {
        "group": "g", "batch": batch, "batch_size": 7, "hooks": heard,
        "transactional": transactional,
    }  # fmt: skip
    if kind is ProcessWorker and transactional:
        with pytest.raises(ValueError, match="cannot be transactional"):
            kind(dsn, "s", handlers.effect, **options)
        return
    queue.send_batch("s", [{"file": str(tmp_path / "f"), "n": n} for n in range(30)])
    if kind is AsyncWorker:
        append = handlers.asynchronous(handlers.append)
        handler = handlers.effect_asynchronous if transactional else append
        asyncio.run(kind(dsn, "s", handler, **options).run(until_empty=True))
    else:
        handler = handlers.effect if transactional else handlers.append
        kind(dsn, "s", handler, **options).run(until_empty=True)
    found = effects() if transactional else (tmp_path / "f").read_text().split()
    assert found == [str(n) for n in range(30)]
    assert (committed(queue), sum(heard.read), len(heard.done)) == ([30], 30, 30)


@pytest.mark.parametrize("transactional", [False, True])
def test_a_poison_message_becomes_a_dead_letter_and_the_rest_is_done_once(
    transactional: bool, queue: PGMQueue, dsn: str, effects: Callable[[], list[str]]
) -> None:
    queue.alter_group("s", "g", max_deliveries=3)
    queue.send_batch("s", [1, 2, "bad", 4, "no", 6])
    heard = Heard()

    def handle(message: StreamMessage) -> None:
        with psycopg.connect(dsn) as connection:
            store(message, connection)

    Worker(
        dsn, "s", store if transactional else handle,
        group="g", transactional=transactional, retry_delay=0, hooks=heard,
    ).run(until_empty=True)  # fmt: skip
    assert effects() == ["1", "2", "4", "6"]
    assert heard.errors == ["bad 1 bad", "bad 2 bad", "bad 3 bad", "no 3 no"]
    letters = queue.read_batch("dead", batch_size=9)
    assert [
        (each.message, each.headers["x-pgmq-error"], each.headers["x-pgmq-dead-letter"]["group"])
        for each in letters
    ] == [("bad", "ValueError: bad", "g"), ("no", "no", "g")]
    assert committed(queue) == [6]


def test_what_a_group_cannot_reject_it_retries(queue: PGMQueue, dsn: str) -> None:
    queue.create_group("s", "poor", "earliest")
    queue.send("s", 1)

    def handler(message: StreamMessage, *_: Any) -> None:
        if message.delivery_ct < 3:
            raise Reject("no")

    for transactional in (False, True):
        queue.seek("s", "poor", "earliest")
        Worker(dsn, "s", handler, group="poor", retry_delay=0, transactional=transactional).run(
            until_empty=True
        )
        assert committed(queue, "poor") == [1]


def test_what_is_handled_after_a_message_that_could_not_be_rejected_is_not_committed() -> None:
    now = datetime.now(timezone.utc)
    batch = StreamBatch([StreamMessage(0, 7, n, 1, now, n, None) for n in range(1, 6)])
    lanes = Lanes(in_batches=False)
    lease = lanes.hold(batch)
    first = lanes.next_unit(lease)
    lanes.note(lease, first, [Outcome("done", 0.001)])
    unit = lanes.next_unit(lease)
    assert [message.msg_id for message in unit] == [2, 3, 4, 5]
    lease.note(unit[:2], [Outcome("rejected"), Outcome("done")])
    assert lease.done == 3
    lease.fail_to_reject(Outcome("failed", error="no"))
    lease.note(unit[2:], [Outcome("done"), Outcome("done")])
    assert (lease.done, lease.up_to(), lease.end.error, lease.is_done) == (1, 1, "no", False)
    assert lanes.next_unit(lease) == []


def test_a_retry_without_a_reason_does_not_count_and_comes_when_it_says(
    queue: PGMQueue, dsn: str
) -> None:
    queue.send_batch("s", [1, 2])
    came: list[Any] = []

    def handler(message: StreamMessage) -> None:
        came.append((message.message, message.delivery_ct))
        if message.message == 2 and len(came) < 4:
            raise Retry(delay=0)
        if message.message == 2:
            raise Retry("later", delay=3000)

    Worker(dsn, "s", handler, group="g").run(until_empty=True)
    assert came == [(1, 1), (2, 1), (2, 1), (2, 1)]
    (lane,) = queue.list_lanes("s")
    assert (lane.committed, lane.failures, lane.error) == (1, 1, "later")
    assert lane.leased_until
    assert lane.leased_until > datetime.now(timezone.utc) + timedelta(seconds=2000)


def test_two_workers_share_lanes_and_keep_each_key_in_order(queue: PGMQueue, dsn: str) -> None:
    queue.create_group("s", "wide", "earliest", lanes=4)
    keys = [f"k{n}" for n in range(12)]
    came: dict[str, list[int]] = defaultdict(list)
    who: dict[str, set[int]] = defaultdict(set)

    def handler_of(number: int) -> Callable[[StreamMessage], None]:
        def handler(message: StreamMessage) -> None:
            key = message.headers["x-pgmq-group"]
            came[key].append(message.message)
            who[key].add(number)
            time.sleep(0.001)

        return handler

    heard = Heard()
    workers = [
        Worker(
            dsn,
            "s",
            handler_of(n),
            group="wide",
            concurrency=2,
            batch_size=5,
            poll_interval=0.1,
            hooks=heard,
        )
        for n in range(2)
    ]
    with running(*workers):
        for first in range(0, 100, 10):
            for key in keys:
                headers = [{"x-pgmq-group": key}] * 10
                queue.send_batch("s", list(range(first, first + 10)), headers)
        until(lambda: sum(map(len, came.values())) >= 1200)
    assert {key: came[key] for key in keys} == {key: list(range(100)) for key in keys}
    assert set.union(*who.values()) == {0, 1}
    assert queue.list_groups("s")[1].lag == 0
    assert heard.disconnects == 0


@pytest.mark.parametrize("transactional", [False, True])
def test_stop_commits_what_is_done_and_releases_the_rest_untouched(
    transactional: bool, queue: PGMQueue, dsn: str
) -> None:
    queue.send_batch("s", list(range(1, 10)))
    begun = threading.Event()
    go = threading.Event()

    def handler(message: StreamMessage, *_: Any) -> None:
        if message.message == 4:
            begun.set()
            assert go.wait(20)

    worker = Worker(dsn, "s", handler, group="g", transactional=transactional)
    with running(worker):
        assert begun.wait(20)
        worker.stop()
        go.set()
    (lane,) = queue.list_lanes("s")
    assert (lane.committed, lane.leased_up_to, lane.failures) == (4, None, 0)
    batch = queue.fetch("s", "g")
    assert bodies(batch) == [5, 6, 7, 8, 9]


def test_a_batch_that_takes_long_is_committed_as_far_as_it_is(queue: PGMQueue, dsn: str) -> None:
    queue.send_batch("s", list(range(1, 10)))
    go = threading.Event()

    def handler(message: StreamMessage) -> None:
        time.sleep(0.3)
        assert message.message < 6 or go.wait(20)

    with running(Worker(dsn, "s", handler, group="g", vt=3)):
        until(lambda: 3 <= committed(queue)[0] < 6)
        # The lease goes on, longer than it was asked for.
        until(lambda: committed(queue) == [5])
        time.sleep(3)
        assert queue.fetch("s", "g") is None
        go.set()
    assert committed(queue)[0] >= 6


def test_a_lost_lease_stops_the_batch_and_nothing_of_it_is_committed(
    queue: PGMQueue, dsn: str
) -> None:
    queue.send_batch("s", list(range(1, 10)))
    heard, came = Heard(), []
    begun, go = threading.Event(), threading.Event()

    def handler(message: StreamMessage) -> None:
        came.append(message.message)
        if came == [1, 2]:
            begun.set()
            assert go.wait(20)

    with running(Worker(dsn, "s", handler, group="g", vt=1, hooks=heard, poll_interval=0.1)):
        assert begun.wait(20)
        queue.seek("s", "g", 8)
        time.sleep(0.7)  # a heartbeat
        go.set()
        until(lambda: committed(queue) == [9])
    assert came == [1, 2, 8, 9]
    assert heard.lost == list(range(1, 10))


@pytest.mark.parametrize("transactional", [False, True])
def test_a_worker_that_is_killed_loses_nothing_and_repeats_nothing_committed(
    transactional: bool,
    queue: PGMQueue,
    dsn: str,
    db: psycopg.Connection,
    effects: Callable[[], list[str]],
) -> None:
    queue.send_batch("s", list(range(1, 201)))
    arguments = [str(int(transactional)), dsn]
    for _ in range(4):
        process = subprocess.Popen([sys.executable, handlers.__file__, "group", *arguments])
        before = len(effects())
        until(functools.partial(lambda least: len(effects()) > least, before + 10))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        until(
            lambda: (
                not db.execute(
                    "SELECT FROM pg_stat_activity WHERE application_name LIKE 'pgmq worker%%'"
                ).fetchall()
            )
        )
        at = committed(queue)[0]
        if transactional:
            assert effects() == [str(n) for n in range(1, at + 1)]
        else:
            # As if vt were over.
            queue.seek("s", "g", at + 1)
            db.execute("INSERT INTO effect VALUES (%s)", [f"from {at + 1}"])
    Worker(dsn, "s", handlers.effect, group="g", transactional=True).run(until_empty=True)
    runs = [list(map(int, run.split())) for run in " ".join(effects()).split("from ")]
    if transactional:
        assert runs == [list(range(1, 201))]
    else:
        # Each begins where the one before had committed, or earlier than that one got.
        runs[1:] = [run[1:] for run in runs[1:] if run[0] == run[1]]
        assert len(runs) == 5
        assert all(run == list(range(run[0], run[0] + len(run))) for run in runs)
        assert all(after[0] <= before[-1] + 1 for before, after in itertools.pairwise(runs))
        assert (runs[0][0], runs[-1][-1]) == (1, 200)


@pytest.mark.parametrize("kind", [AsyncWorker, Worker])
def test_all_is_done_once_in_order_though_connections_are_cut_and_handlers_fail(
    kind: Any, queue: PGMQueue, dsn: str, db: psycopg.Connection, effects: Callable[[], list[str]]
) -> None:
    queue.create_group("s", "wide", "earliest", lanes=3)
    rng = random.Random(1)
    heard = Heard()

    def handler(message: StreamMessage, connection: psycopg.Connection[Any]) -> None:
        handlers.effect(message, connection)
        if rng.random() < 0.02:
            raise ValueError("by chance")

    async def asynchronous(
        message: StreamMessage, connection: psycopg.AsyncConnection[Any]
    ) -> None:
        await handlers.effect_asynchronous(message, connection)
        if rng.random() < 0.02:
            raise ValueError("by chance")

    worker = kind(
        dsn, "s", handler if kind is Worker else asynchronous, group="wide", transactional=True,
        concurrency=2, batch_size=10, retry_delay=0, poll_interval=0.2, reconnect_interval=0.2,
        hooks=heard,
    )  # fmt: skip
    for n in range(200):
        queue.send_batch("s", [f"{n}{k}" for k in "abc"], [{"x-pgmq-group": k} for k in "abc"])

    def run() -> None:
        if kind is Worker:
            worker.run(signals=False)
        else:
            asyncio.run(worker.run(signals=False))

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run)
        while queue.list_groups("s")[1].lag and not future.done():
            time.sleep(rng.random() / 5)
            db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name LIKE 'pgmq worker%%' AND pid %% 2 = %s",
                [rng.randrange(2)],
            )
        worker.stop()
        future.result(20)
    assert heard.errors
    found = effects()
    for key in "abc":
        assert [what for what in found if what[-1] == key] == [f"{n}{key}" for n in range(200)]


def test_a_transaction_that_the_handler_ends_or_breaks_commits_nothing(
    queue: PGMQueue, dsn: str, effects: Callable[[], list[str]], db: psycopg.Connection
) -> None:
    db.execute("ALTER TABLE effect ADD UNIQUE (what) DEFERRABLE INITIALLY DEFERRED")
    queue.alter_group("s", "g", max_deliveries=2)
    queue.send_batch("s", ["rollback", "error", "twice", 4])
    times: list[Any] = []

    def handler(message: StreamMessage, connection: psycopg.Connection[Any]) -> None:
        times.append(message.message)
        store(message, connection)
        if message.message == "rollback" and times == ["rollback"]:
            connection.execute("ROLLBACK")
        if message.message == "error":
            with contextlib.suppress(psycopg.Error):
                connection.execute("SELECT 1 / 0")
        if message.message == "twice":
            store(message, connection)

    heard = Heard()
    Worker(dsn, "s", handler, group="g", transactional=True, retry_delay=0, hooks=heard).run(
        until_empty=True
    )
    assert effects() == ["rollback", "4"]
    assert [each.message for each in queue.read_batch("dead", batch_size=5)] == ["error", "twice"]
    assert "ended the transaction" in heard.errors[0]
    assert committed(queue) == [4]


@pytest.mark.parametrize("group", [None, "g"])
@pytest.mark.parametrize(
    ("kind", "cursors"), [(Worker, psycopg.RawCursor), (AsyncWorker, psycopg.AsyncRawCursor)]
)
def test_what_a_handler_sets_for_rows_and_cursors_is_over_with_its_call(
    kind: Any, cursors: Any, group: str | None, queue: PGMQueue, dsn: str
) -> None:
    name = "s" if group else "dead"
    queue.send_batch(name, [1, 2])
    found = []

    def handler(message: Any, connection: Any) -> None:
        found.append((message.message, connection.row_factory))
        connection.row_factory, connection.cursor_factory = dict_row, cursors

    heard = Heard()
    worker = kind(
        dsn, name, handler, group=group, batch_size=1, transactional=True, retry_delay=60,
        hooks=heard,
    )  # fmt: skip
    running = worker.run(until_empty=True)
    if kind is AsyncWorker:
        asyncio.run(running)
    assert heard.errors == []
    assert found == [(1, tuple_row), (2, tuple_row)]
    assert heard.done == [1, 2]


@pytest.mark.parametrize("transactional", [False, True])
def test_a_waiting_worker_is_woken_by_a_send_and_by_itself_after_a_failure(
    transactional: bool, queue: PGMQueue, dsn: str
) -> None:
    queue.enable_wakeups("s")
    done = threading.Event()

    def handler(message: StreamMessage, *_: Any) -> None:
        if message.delivery_ct == 1:
            raise ValueError("the first time")
        done.set()

    worker = Worker(
        dsn, "s", handler, group="g", poll_interval=600, transactional=transactional
    )  # fmt: skip
    with running(worker):
        time.sleep(0.5)
        queue.send("s", 1)
        assert done.wait(10)


@pytest.mark.parametrize("transactional", [False, True])
def test_a_role_with_grant_fetch_alone_consumes_whatever_isolation_is_its_default(
    transactional: bool, queue: PGMQueue, dsn: str, roles: Roles, db: psycopg.Connection
) -> None:
    role = roles()
    db.execute(f"ALTER ROLE {role} SET default_transaction_isolation TO serializable")
    queue.grant_fetch("s", "g", role)
    queue.alter_group("s", "g", max_deliveries=2)
    queue.send_batch("s", [1, "bad", "no", 4])
    came: list[Any] = []

    def handler(message: StreamMessage, *_: Any) -> None:
        if message.message == "bad":
            raise ValueError
        if message.message == "no":
            raise Reject
        came.append(message.message)

    Worker(
        make_conninfo(dsn, user=role), "s", handler,
        group="g", transactional=transactional, retry_delay=0,
    ).run(until_empty=True)  # fmt: skip
    assert came == [1, 4]
    assert [each.message for each in queue.read_batch("dead", batch_size=3)] == ["bad", "no"]


def test_what_a_group_cannot_read_is_raised_at_the_start(
    queue: PGMQueue, dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    queue.create_queue("q")
    for stream, group, error in (
        ("s", "none", psycopg.errors.UndefinedObject),
        ("q", "g", psycopg.errors.Error),
        ("none", "g", psycopg.errors.Error),
    ):
        for transactional in (False, True):
            worker = Worker(dsn, stream, lambda *_: None, group=group, transactional=transactional)
            with pytest.raises(error):
                worker.run(until_empty=True)
    with pytest.raises(ValueError, match="read by its groups"):
        Worker(dsn, "s", print, group="g", read="read_grouped")
