"""Workers: AsyncWorker in tasks, Worker in threads, ProcessWorker in processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, UserDict, defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgmq import AsyncWorker, Hooks, ProcessWorker, Reject, Retry, Worker
from pgmq import _statements as statements
from support import handlers
from support.server import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pgmq import Message, embedded
    from support.server import TestServer

pytestmark = pytest.mark.once

READS = ("read_grouped", "read_grouped_rr", "read_grouped_head")


@pytest.fixture(autouse=True)
def _queue(request: pytest.FixtureRequest) -> None:
    """Make the queue jobs, and a table of effects."""
    if "db" in request.fixturenames:
        _prepare(request.getfixturevalue("db"))


def _prepare(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('jobs'), pgmq.set_policy('jobs', retry_delay => '0')")
    db.execute("CREATE TABLE effect (msg_id bigint)")


def _send(db: psycopg.Connection, count: int, first: int = 1, queue: str = "jobs") -> None:
    db.execute(
        "SELECT count(*) FROM pgmq.send_batch(%s, ARRAY("
        "SELECT to_jsonb(i) FROM generate_series(%s::int, %s::int) AS i))",
        [queue, first, first + count - 1],
    )


def _count(db: psycopg.Connection, table: str = "pgmq.q_jobs") -> int:
    row = db.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    assert row is not None
    return int(row[0])


@contextlib.contextmanager
def _running(worker: Worker) -> Iterator[Future[None]]:
    """Run a worker beside the test, stop it at the end, and raise what it raises."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(worker.run)
        try:
            yield future
        finally:
            worker.stop()
        future.result(20)


def _until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited for too long"
        time.sleep(0.005)


class Seen(Hooks):
    """Keeps what it hears, and ends a worker that fails again and again."""

    def __init__(self) -> None:
        self.reads: list[int] = []
        self.done: list[Any] = []
        self.errors: list[BaseException] = []
        self.lost: list[Any] = []
        self.dead: list[Any] = []
        self.disconnects = 0

    def on_read(self, queue: str, messages: Sequence[Message]) -> None:
        self.reads.append(len(messages))

    def on_done(self, queue: str, message: Message, seconds: float) -> None:
        self.done.append(message.message)

    def on_error(
        self, queue: str, message: Message, seconds: float, exception: BaseException
    ) -> None:
        self.errors.append(exception)
        assert len(self.errors) < 500

    def on_lost(self, queue: str, message: Message) -> None:
        self.lost.append(message.message)

    def on_dead_letter(self, queue: str, message: Message, exception: BaseException | None) -> None:
        self.dead.append((message.msg_id, message.read_ct, str(exception)))

    def on_disconnect(self, queue: str, error: Exception, seconds: float) -> None:
        self.disconnects += 1


@pytest.mark.parametrize("kind", [AsyncWorker, Worker, ProcessWorker])
def test_every_message_is_handled_and_acknowledged(
    kind: type[AsyncWorker | Worker], db: psycopg.Connection, dsn: str, tmp_path: Path
) -> None:
    seen = Seen()
    db.execute(
        "SELECT pgmq.send('jobs', jsonb_build_object('touch', %s::text || i))"
        " FROM generate_series(1, 60) AS i",
        [f"{tmp_path}/"],
    )
    if kind is AsyncWorker:
        handler = handlers.asynchronous(handlers.touch)
        worker = AsyncWorker(dsn, "jobs", handler, concurrency=3, hooks=seen)
        asyncio.run(worker.run(until_empty=True))
    else:
        kind(dsn, "jobs", handlers.touch, concurrency=3, hooks=seen).run(until_empty=True)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        str(i): "1\n" for i in range(1, 61)
    }
    assert _count(db) == 0
    assert _count(db, "pgmq.a_jobs") == 0
    assert (len(seen.done), sum(seen.reads), seen.errors) == (60, 60, [])
    assert seen.reads[0] == 3  # no more than it can begin, until it knows how long they take


def test_an_exception_returns_the_message_with_the_error(
    db: psycopg.Connection,
    dsn: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A report with such a character could not be sent between pytest-xdist's processes.
    logger = logging.getLogger("pgmq")
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    seen, headers = Seen(), []

    def handler(message: Message) -> None:
        if message.read_ct == 1:
            raise ValueError("no \0 and no \udc80")  # what jsonb does not take
        headers.append(message.headers)

    db.execute("SELECT pgmq.send('jobs', '1', '{\"trace\": 7}'::jsonb)")
    Worker(dsn, "jobs", handler, hooks=seen).run(until_empty=True)
    assert headers == [{"trace": 7, "x-pgmq-error": "ValueError: no \ufffd and no \\udc80"}]
    assert _count(db) == 0
    assert [type(error) for error in seen.errors] == [ValueError]
    (record,) = (r for r in caplog.records if r.levelno == logging.ERROR)
    assert (record.__dict__["queue"], record.__dict__["read_ct"]) == ("jobs", 1)
    assert record.exc_info is not None


def test_a_handler_can_ask_for_a_later_retry_and_reject_for_good(
    db: psycopg.Connection, dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(message: Message) -> None:
        raise Retry("busy", delay=59.5) if message.message == 1 else Reject("nonsense")

    _send(db, 2)
    Worker(dsn, "jobs", handler, hooks=Seen()).run(until_empty=True)
    assert db.execute(
        "SELECT message, round(extract(epoch FROM vt - now()) / 10) * 10,"
        " headers ->> 'x-pgmq-error' FROM pgmq.q_jobs"
    ).fetchall() == [(1, 60, "busy")]
    assert db.execute("SELECT message, headers ->> 'x-pgmq-error' FROM pgmq.a_jobs").fetchall() == [
        (2, "nonsense")
    ]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    with pytest.raises(ValueError, match="delay must be between"):
        Retry(delay=-1)


def test_the_policy_of_the_queue_says_when_a_failure_is_final(
    db: psycopg.Connection, dsn: str
) -> None:
    def handler(message: Message) -> None:
        raise ValueError("poison")

    db.execute(
        "SELECT pgmq.set_policy('jobs', max_receives => 3, dead_letter_queue => 'dead',"
        " retry_delay => '0')"
    )
    _send(db, 1)
    seen = Seen()
    Worker(dsn, "jobs", handler, hooks=seen).run(until_empty=True)
    assert len(seen.errors) == 3
    assert seen.dead == [(1, 3, "poison")]
    assert db.execute(
        "SELECT message, headers #>> '{x-pgmq-dead-letter,error}' FROM pgmq.q_dead"
    ).fetchall() == [(1, "ValueError: poison")]


def test_a_worker_backs_off_where_the_queue_does_not_say(
    db: psycopg.Connection, dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(message: Message) -> None:
        raise ValueError("poison")

    db.execute("SELECT pgmq.set_policy('jobs')")
    _send(db, 3)
    # As if received so often before.
    db.execute("UPDATE pgmq.q_jobs SET read_ct = (ARRAY[0, 4, 100])[msg_id]")
    Worker(dsn, "jobs", handler).run(until_empty=True)
    delays = db.execute(
        "SELECT extract(epoch FROM vt - clock_timestamp())::integer FROM pgmq.q_jobs"
        " ORDER BY msg_id"
    ).fetchall()
    for (delay,), longest in zip(delays, (1, 16, 300), strict=True):
        assert longest * 0.85 - 5 <= delay <= longest
    said = [record for record in caplog.records if "has no retry_delay" in record.message]
    assert len(said) == 1

    seen = Seen()
    db.execute("SELECT pgmq.set_vt('jobs', 1::bigint, 0), pgmq.alter_policy('jobs', 5)")
    Worker(dsn, "jobs", handler, hooks=seen, retry_delay=0).run(until_empty=True)
    assert seen.dead == [(1, 5, "poison")]  # again and again at once


@pytest.mark.parametrize("transactional", [False, True])
def test_a_batch_is_acknowledged_or_returned_together(
    transactional: bool, db: psycopg.Connection, dsn: str
) -> None:
    sizes: list[int] = []

    def handler(messages: list[Message], connection: psycopg.Connection[Any] | None = None) -> None:
        sizes.append(len(messages))
        if connection is not None:
            for message in messages:
                handlers.record(message, connection)
        if len(sizes) == 1:
            raise ValueError

    _send(db, 25)
    worker = Worker(dsn, "jobs", handler, batch=True, batch_size=10, transactional=transactional)
    worker.run(until_empty=True)
    assert sizes == [10, 10, 10, 5]
    assert _count(db) == 0
    assert _count(db, "effect") == (25 if transactional else 0)


def test_a_lease_is_extended_while_the_handler_runs(db: psycopg.Connection, dsn: str) -> None:
    stolen: list[Any] = []

    def handler(message: Message) -> None:
        until = "SELECT clock_timestamp() > %s::timestamptz + interval '0.1 s'"
        _until(lambda: db.execute(until, [message.vt]).fetchone() == (True,))
        stolen.extend(db.execute("SELECT pgmq.read('jobs', 30, 1)"))

    _send(db, 1)
    Worker(dsn, "jobs", handler, vt=1).run(until_empty=True)
    assert stolen == []
    assert _count(db) == 0


def test_what_somebody_else_has_meanwhile_is_not_begun(db: psycopg.Connection, dsn: str) -> None:
    seen = Seen()

    def handler(message: Message) -> None:
        if message.message == 2:  # when it is known that handling is quick, and more are in hand
            _until(lambda: seen.reads[-1] > 1)
            db.execute("SELECT count(*) FROM pgmq.set_vt('jobs', ARRAY[5, 6], 0)")
            assert len(db.execute("SELECT pgmq.read('jobs', 60, 2)").fetchall()) == 2
            _until(lambda: len(seen.lost) == 2)

    _send(db, 10)
    worker = Worker(dsn, "jobs", handler, vt=1, hooks=seen)
    worker.run(until_empty=True)
    assert sorted(seen.lost) == [5, 6]
    assert sorted(seen.done) == [1, 2, 3, 4, 7, 8, 9, 10]
    assert db.execute("SELECT msg_id, read_ct FROM pgmq.q_jobs").fetchall() == [(5, 2), (6, 2)]


@pytest.mark.parametrize("kind", [AsyncWorker, Worker])
def test_a_refused_acknowledgement_rolls_the_handlers_work_back(
    kind: type[AsyncWorker | Worker], db: psycopg.Connection, dsn: str
) -> None:
    seen = Seen()

    def steal(message: Message) -> None:
        if message.read_ct == 1:
            db.execute("SELECT count(*) FROM pgmq.set_vt('jobs', 1, 0)")
            assert db.execute("SELECT msg_id, read_ct FROM pgmq.read('jobs', 1, 1)").fetchall() == [
                (1, 2)
            ]

    def handler(message: Message, connection: psycopg.Connection[Any]) -> None:
        handlers.record(message, connection)
        steal(message)
        if message.read_ct == 3:
            raise ValueError  # this is rolled back as well

    async def async_handler(message: Message, connection: psycopg.AsyncConnection[Any]) -> None:
        await connection.execute("INSERT INTO effect VALUES (%s)", [message.msg_id])
        steal(message)
        if message.read_ct == 3:
            raise ValueError

    async def work(worker: AsyncWorker) -> None:
        task = asyncio.create_task(worker.run())
        while not seen.done:
            await asyncio.sleep(0.01)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    _send(db, 1)
    if kind is AsyncWorker:
        asyncio.run(work(AsyncWorker(dsn, "jobs", async_handler, transactional=True, hooks=seen)))
    else:
        with _running(Worker(dsn, "jobs", handler, transactional=True, hooks=seen)):
            _until(lambda: bool(seen.done))
    assert seen.lost == [1]
    assert db.execute("SELECT msg_id FROM effect").fetchall() == [(1,)]
    assert _count(db) == 0


@pytest.mark.parametrize("read", READS)
def test_groups_are_handled_in_order(read: Any, db: psycopg.Connection, dsn: str) -> None:
    busy: Counter[str] = Counter()
    order: defaultdict[str, list[int]] = defaultdict(list)
    overlaps: list[str] = []

    def handler(message: Message) -> None:
        group = message.headers["x-pgmq-group"]
        busy[group] += 1
        try:
            if busy[group] > 1:
                overlaps.append(group)
            time.sleep(0.0005)
            if message.read_ct == 1 and message.msg_id % 7 == 0:
                raise ValueError
            order[group].append(message.msg_id)
        finally:
            busy[group] -= 1

    db.execute("SELECT pgmq.create_fifo_index('jobs')")
    db.execute(
        "SELECT count(*) FROM generate_series(1, 200) AS i, pgmq.send('jobs', to_jsonb(i),"
        " jsonb_build_object('x-pgmq-group', (i * i % 11)::text))"
    )
    worker = Worker(dsn, "jobs", handler, read=read, concurrency=4, batch_size=20)
    worker.run(until_empty=True)
    assert overlaps == []
    assert sum(map(len, order.values())) == 200
    assert all(done == sorted(done) for done in order.values())
    assert _count(db) == 0


@pytest.mark.parametrize("loads", [None, partial(json.loads, object_hook=UserDict)])
def test_a_batch_is_of_one_group_whatever_headers_are_decoded_to(
    loads: Any, db: psycopg.Connection, dsn: str
) -> None:
    batches: list[list[str]] = []

    def handler(messages: list[Message]) -> None:
        batches.append([message.headers["x-pgmq-group"] for message in messages])

    db.execute("SELECT pgmq.create_fifo_index('jobs')")
    db.execute(
        "SELECT pgmq.send('jobs', '{}', jsonb_build_object('x-pgmq-group', (i % 3)::text))"
        " FROM generate_series(1, 9) AS i"
    )
    Worker(dsn, "jobs", handler, read="read_grouped_rr", batch=True, loads=loads).run(
        until_empty=True
    )
    assert sorted(batches) == [["0"] * 3, ["1"] * 3, ["2"] * 3]


@pytest.mark.parametrize("announce", ["enable_wakeups('jobs')", "enable_notify_insert('jobs', 50)"])
def test_a_waiting_worker_is_woken(announce: str, db: psycopg.Connection, dsn: str) -> None:
    seen = Seen()
    db.execute(f"SELECT pgmq.{announce}".encode())
    # One that missed a single announcement would wait for half a minute at least.
    with _running(Worker(dsn, "jobs", lambda message: None, hooks=seen, poll_interval=60)):
        for number in range(20):
            _send(db, 1, number)
            _until(lambda n=number: len(seen.done) > n, 5)  # type: ignore[misc]
    assert seen.done == list(range(20))


@pytest.mark.parametrize("announce", ["enable_wakeups('jobs')", "enable_notify_insert('jobs', 50)"])
def test_a_worker_rests_while_its_queue_is_paused_and_goes_on_at_once(
    announce: str, db: psycopg.Connection, dsn: str
) -> None:
    seen = Seen()
    db.execute(f"SELECT pgmq.{announce}, pgmq.pause('jobs')".encode())
    _send(db, 3)
    with _running(Worker(dsn, "jobs", lambda message: None, hooks=seen, poll_interval=60)):
        for expected in (3, 6):
            time.sleep(0.5)
            assert len(seen.done) == expected - 3
            db.execute("SELECT pgmq.resume('jobs')")
            _until(lambda n=expected: len(seen.done) == n, 5)  # type: ignore[misc]
            db.execute("SELECT pgmq.pause('jobs')")
            _send(db, 3)
        assert len(seen.done) == 6


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """Keep for how many seconds a worker armed its queue; None: it only asked when to look."""
    asked: list[int | None] = []
    original = statements.due

    def due(queues: dict[str, int | None]) -> Any:
        asked.append(queues["jobs"])
        return original(queues)

    monkeypatch.setattr(statements, "due", due)
    return asked


def test_a_worker_arms_its_queue_now_and_then_not_for_every_message(
    db: psycopg.Connection, dsn: str, asked: list[int | None]
) -> None:
    seen = Seen()
    db.execute("SELECT pgmq.enable_wakeups('jobs')")
    with _running(Worker(dsn, "jobs", lambda message: None, hooks=seen, poll_interval=4)):
        # At first others may be about to commit what they have not announced.
        while asked[-10:] != [None] * 10:
            assert len(asked) < 1000
            number = len(seen.done)
            _send(db, 1, number)
            _until(lambda n=number: len(seen.done) > n, 5)  # type: ignore[misc]
        db.execute("SELECT pgmq.send('jobs', '0', 1)")
        _until(lambda: len(seen.done) > number + 1, 2.9)  # none of its intervals is that short
        _until(lambda: asked[-1] == 5)


def test_a_worker_does_not_miss_what_was_sent_before_it_armed_the_queue(
    db: psycopg.Connection, dsn: str, asked: list[int | None]
) -> None:
    seen = Seen()
    db.execute("SELECT pgmq.enable_wakeups('jobs')")
    with psycopg.connect(dsn) as other:
        other.execute("SELECT pgmq.send('jobs', '0')")  # finds nobody waiting: no announcement
        with _running(Worker(dsn, "jobs", lambda message: None, hooks=seen, poll_interval=60)):
            for number in range(1, 10):
                _send(db, 1, number)
                _until(lambda n=number: len(seen.done) == n, 5)  # type: ignore[misc]
            _until(lambda: len(asked) > 10)  # it looks every tenth of a second
            assert None not in asked
            other.commit()
            _until(lambda: len(seen.done) == 10, 5)


def test_a_worker_goes_on_when_its_queue_has_no_wakeups_any_more(
    db: psycopg.Connection, dsn: str, asked: list[int | None]
) -> None:
    seen = Seen()
    db.execute("SELECT pgmq.enable_wakeups('jobs')")
    with _running(Worker(dsn, "jobs", lambda message: None, hooks=seen, poll_interval=0.2)):
        _until(lambda: 1 in asked)
        db.execute("SELECT pgmq.disable_wakeups('jobs')")
        looks = len(asked)
        _until(lambda: len(asked) > looks + 8)  # longer than it was armed for
        assert asked[-3:] == [None] * 3
        _send(db, 1)
        _until(lambda: seen.done == [1])


def test_without_announcements_a_worker_looks_when_a_message_falls_due(
    db: psycopg.Connection, dsn: str
) -> None:
    seen = Seen()

    waiting = (
        "pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND state = 'idle' AND query LIKE '%next_visible_at%'"
    )

    def handler(message: Message) -> None:
        if message.read_ct == 1:
            _until(lambda: _count(db, waiting) == 1)  # until the lease ends, as far as it knows
            raise Retry(delay=1)

    db.execute("SELECT pgmq.send('jobs', '1', 1)")
    worker = Worker(dsn, "jobs", handler, hooks=seen, poll_interval=60, concurrency=2)
    with _running(worker):
        _until(lambda: seen.done == [1], 10)


@pytest.mark.parametrize("announce", ["wakeups", "notify_insert"])
def test_a_worker_that_is_busy_fetches_its_notifications(
    announce: str, db: psycopg.Connection, dsn: str
) -> None:
    fetched: list[bool] = []

    def handler(message: Message) -> None:
        if message.read_ct > 1:
            return  # it has failed
        # Others are waiting, say; more than the buffers of a socket hold.
        for number in range(300):
            db.execute(f"NOTIFY \"pgmq.q_jobs.{channel}\", '{number:7000}'".encode())
        usage = "SELECT pg_notification_queue_usage() = 0"
        _until(lambda: db.execute(usage).fetchone() == (True,))
        fetched.append(True)

    db.execute(f"SELECT pgmq.enable_{announce}('jobs')".encode())
    channel = "READY" if announce == "wakeups" else "INSERT"
    _send(db, 1)
    Worker(dsn, "jobs", handler).run(until_empty=True)
    assert fetched == [True]


def test_only_the_workers_own_connections_do_not_wait_for_the_disk(
    db: psycopg.Connection, dsn: str
) -> None:
    db.execute("CREATE TABLE told (what text, setting text)")
    db.execute(
        "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO told"
        " VALUES (TG_OP, current_setting('synchronous_commit')); RETURN null; END $$"
    )
    db.execute(
        "CREATE TRIGGER tell AFTER UPDATE OR DELETE ON pgmq.q_jobs"
        " FOR EACH STATEMENT EXECUTE FUNCTION tell()"
    )
    told = "SELECT DISTINCT what, setting FROM told ORDER BY what"
    _send(db, 1)
    Worker(dsn, "jobs", handlers.record, transactional=True).run(until_empty=True)
    assert db.execute(told).fetchall() == [("DELETE", "on"), ("UPDATE", "off")]
    db.execute("TRUNCATE told")
    _send(db, 1)
    Worker(dsn, "jobs", lambda message: None).run(until_empty=True)
    assert db.execute(told).fetchall() == [("DELETE", "off"), ("UPDATE", "off")]
    db.execute("TRUNCATE told")
    _send(db, 1)
    Worker(dsn, "jobs", lambda message: None, synchronous_commit=True).run(until_empty=True)
    assert db.execute(told).fetchall() == [("DELETE", "on"), ("UPDATE", "on")]


@pytest.mark.parametrize("kind", ["AsyncWorker", "Worker", "ProcessWorker"])
def test_sigterm_finishes_what_runs_and_returns_the_rest(
    kind: str, db: psycopg.Connection, dsn: str, tmp_path: Path
) -> None:
    db.execute(
        "SELECT pgmq.send('jobs', jsonb_build_object('touch', %s::text || i,"
        " 'wait', CASE i WHEN 3 THEN %s END)) FROM generate_series(1, 20) AS i",
        [f"{tmp_path}/", f"{tmp_path}/go"],
    )
    child = subprocess.Popen(
        [sys.executable, ROOT / "tests" / "support" / "handlers.py", kind, dsn],
        start_new_session=True,
    )
    try:
        _until((tmp_path / "3").exists)
        _until(lambda: _leased(db) > 1)
        # As a service manager does: to the processes that handle as well.
        os.killpg(child.pid, signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.3)
        (tmp_path / "go").touch()
        assert child.wait(10) == 0
    finally:
        child.kill()
        child.wait()
    assert {file.name for file in tmp_path.iterdir()} == {"1", "2", "3", "go"}
    assert _count(db) == 17
    assert _leased(db) == 0
    assert db.execute("SELECT count(*) > 0 FROM pgmq.q_jobs WHERE read_ct > 0").fetchone() == (
        True,
    )


def _leased(db: psycopg.Connection) -> int:
    return _count(db, "pgmq.q_jobs WHERE vt > clock_timestamp()")


def test_a_cancelled_worker_returns_what_it_has(db: psycopg.Connection, dsn: str) -> None:
    async def main() -> None:
        begun = asyncio.Event()

        async def handler(message: Message) -> None:
            begun.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(AsyncWorker(dsn, "jobs", handler, concurrency=2).run())
        await begun.wait()
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=10)
        assert done
        assert task.cancelled()

    _send(db, 3)
    asyncio.run(main())
    assert (_count(db), _leased(db)) == (3, 0)


def test_what_a_handler_raises_comes_from_its_process_as_text(
    db: psycopg.Connection, dsn: str, tmp_path: Path
) -> None:
    seen = Seen()
    made = tmp_path / "made"
    db.execute("SELECT pgmq.send('jobs', jsonb_build_object('touch', %s::text))", [str(made)])
    ProcessWorker(dsn, "jobs", handlers.fail_first, hooks=seen).run(until_empty=True)
    assert made.read_text() == "2\n"
    (error,) = seen.errors
    assert type(error).__name__ == "HandlerError"
    assert "in fail_first" in str(error)
    assert "UnpicklableError" in str(error)


def test_a_process_that_dies_in_a_call_is_replaced(
    db: psycopg.Connection, dsn: str, tmp_path: Path
) -> None:
    seen = Seen()
    made = tmp_path / "made"
    db.execute("SELECT pgmq.send('jobs', jsonb_build_object('touch', %s::text))", [str(made)])
    ProcessWorker(dsn, "jobs", handlers.die_first, hooks=seen).run(until_empty=True)
    assert made.read_text() == "2\n"
    assert [type(error).__name__ for error in seen.errors] == ["HandlerError"]


def test_processes_end_with_a_worker_that_is_killed(
    db: psycopg.Connection, dsn: str, tmp_path: Path
) -> None:
    db.execute(
        "SELECT pgmq.send('jobs', jsonb_build_object('touch', %s::text, 'wait', %s::text))",
        [str(tmp_path / "made"), str(tmp_path / "never")],
    )
    child = subprocess.Popen(
        [sys.executable, ROOT / "tests" / "support" / "handlers.py", "ProcessWorker", dsn],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    _until((tmp_path / "made").exists)
    child.kill()
    child.wait()
    assert child.stdout is not None
    with child.stdout as output:
        os.set_blocking(output.fileno(), False)
        _until(lambda: output.read() == b"")  # None: whoever is left has it open


def test_what_cannot_be_helped_is_raised(db: psycopg.Connection, dsn: str) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable):
        Worker(dsn, "nothing", handlers.touch).run()
    with pytest.raises(ValueError, match="concurrency must be at least 1: 0"):
        Worker(dsn, "jobs", handlers.touch, concurrency=0)
    with pytest.raises(ValueError, match="read must be one of"):
        Worker(dsn, "jobs", handlers.touch, read="pop")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="poll_interval must be"):
        Worker(dsn, "jobs", handlers.touch, poll_interval=0)
    with pytest.raises((AttributeError, TypeError), match="pickle"):
        ProcessWorker(dsn, "jobs", lambda message: None).run()
    worker = Worker(dsn, "jobs", handlers.touch)
    worker.run(until_empty=True)
    with pytest.raises(RuntimeError, match="runs once"):
        worker.run()


def test_what_a_hook_raises_ends_the_worker(db: psycopg.Connection, dsn: str) -> None:
    class Broken(Hooks):
        def on_done(self, queue: str, message: Message, seconds: float) -> None:
            raise ZeroDivisionError

    _send(db, 1)
    with pytest.raises(ZeroDivisionError):
        Worker(dsn, "jobs", lambda message: None, hooks=Broken()).run()


def _terminate(db: psycopg.Connection) -> int:
    return _count(
        db,
        "pg_stat_activity, pg_terminate_backend(pid) WHERE datname = current_database()"
        " AND application_name = 'pgmq worker jobs'",
    )


@pytest.mark.parametrize("transactional", [False, True])
def test_nothing_is_lost_while_its_backends_are_terminated(
    transactional: bool, db: psycopg.Connection, dsn: str
) -> None:
    seen = Seen()
    handler = handlers.record if transactional else lambda message: None
    rng = random.Random(1)
    worker = Worker(
        dsn, "jobs", handler, vt=1, concurrency=3, transactional=transactional,
        hooks=seen, reconnect_interval=0.2, batch_size=10,
    )  # fmt: skip
    _send(db, 1000)
    terminated = 0
    with _running(worker):
        for number in range(20):
            _until(lambda n=number: len(seen.done) > 20 * n)  # type: ignore[misc]
            terminated += _terminate(db)
            time.sleep(rng.random() / 20)
        _until(lambda: _count(db) == 0)
    assert terminated > 10
    assert seen.disconnects > 5
    assert set(seen.done) == set(range(1, 1001))
    if transactional:
        assert db.execute("SELECT count(*), count(DISTINCT msg_id) FROM effect").fetchone() == (
            1000, 1000,
        )  # fmt: skip


def test_nothing_is_lost_though_the_server_restarts_and_crashes(
    new_server: Callable[..., embedded.Server],
) -> None:
    server = new_server()
    dsn, seen, others = server.dsn("pgmq"), Seen(), Seen()
    with psycopg.connect(dsn, autocommit=True) as db:
        _prepare(db)
        db.execute("SELECT pgmq.create('others')")
        _send(db, 1000)
        _send(db, 3000, queue="others")

    async def other(message: Message) -> None:
        await asyncio.sleep(0.002)

    exactly_once = Worker(
        dsn, "jobs", handlers.record, vt=1, concurrency=3, transactional=True,
        reconnect_interval=0.2, hooks=seen,
    )  # fmt: skip
    at_least_once = AsyncWorker(
        dsn, "others", other, vt=1, concurrency=3, reconnect_interval=0.2, hooks=others
    )

    with ThreadPoolExecutor(1) as pool, _running(exactly_once):
        future = pool.submit(lambda: asyncio.run(at_least_once.run()))
        try:
            for number, mode in enumerate(("fast", "immediate"), 1):
                _until(lambda n=number: min(len(seen.done), len(others.done)) > 200 * n)  # type: ignore[misc]
                server.restart(mode=mode)
            with psycopg.connect(dsn, autocommit=True) as db:
                _until(lambda: not _count(db) and not _count(db, "pgmq.q_others"))
        finally:
            at_least_once.stop()
        future.result(10)
    with psycopg.connect(dsn, autocommit=True) as db:
        effects = db.execute("SELECT count(*), count(DISTINCT msg_id) FROM effect").fetchone()
    assert effects == (1000, 1000)
    assert set(others.done) == set(range(1, 3001))
    assert min(seen.disconnects, others.disconnects) >= 2


@pytest.mark.parametrize("fails", [False, True])
def test_what_did_not_get_through_is_repeated(
    fails: bool, db: psycopg.Connection, dsn: str
) -> None:
    seen = Seen()

    def handler(message: Message) -> None:
        if message.read_ct == 1:
            _terminate(db)
            if fails:
                raise Retry

    with (
        _running(Worker(dsn, "jobs", handler, hooks=seen)),
        psycopg.connect(dsn, autocommit=True) as other,
    ):
        _send(other, 1)
        _until(lambda: _count(other) == 0, 10)  # long before the lease ends
    assert (seen.done, len(seen.errors)) == ([1], int(fails))
    assert seen.disconnects


def test_a_connection_that_broke_while_nobody_used_it_fails_no_message(
    db: psycopg.Connection, dsn: str
) -> None:
    seen = Seen()
    worker = Worker(
        dsn, "jobs", handlers.record, transactional=True, hooks=seen, reconnect_interval=0.2
    )
    with _running(worker):
        _send(db, 1)
        _until(lambda: len(seen.done) == 1)
        assert _terminate(db) == 3
        _send(db, 1, 2)
        _until(lambda: len(seen.done) == 2)
    assert seen.errors == []


def test_workers_of_one_queue_share_it(
    server: TestServer, db: psycopg.Connection, dsn: str
) -> None:
    by: Counter[str] = Counter()
    barrier = threading.Barrier(2)

    def handler(name: str) -> Callable[[Message], None]:
        def handle(message: Message) -> None:
            if not by[name]:
                barrier.wait(10)  # both have one: neither has taken all
            by[name] += 1

        return handle

    _send(db, 400)
    with ThreadPoolExecutor(2) as pool:
        for done in [
            pool.submit(Worker(dsn, "jobs", handler(name)).run, until_empty=True) for name in "ab"
        ]:
            done.result(20)
    assert by.total() == 400
    assert min(by.values()) > 0
