"""Workers of several queues: in order of priority, by weight, and what one queue does to others."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgmq import AsyncWorker, Hooks, ProcessWorker, Worker
from pgmq._worker import leases, waking
from pgmq._worker.leases import Leases
from support import handlers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Connect
    from pgmq import WorkerMessage

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def _queues(db: psycopg.Connection) -> None:
    for queue in ("high", "low"):
        db.execute("SELECT pgmq.create(%s)", [queue])


def _send(db: psycopg.Connection, queue: str, count: int = 1) -> None:
    db.execute(
        "SELECT pgmq.send(%s, to_jsonb(i)) FROM generate_series(1, %s::int) AS i", [queue, count]
    )


def _until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited for too long"
        time.sleep(0.005)


@contextlib.contextmanager
def _running(worker: Worker) -> Iterator[None]:
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(worker.run)
        try:
            yield
        finally:
            worker.stop()
        future.result(20)


class Seen(Hooks):
    """Keeps of which queue things were."""

    def __init__(self) -> None:
        self.done: list[tuple[str, Any]] = []
        self.failed: Counter[str] = Counter()
        self.dead: list[str] = []

    def has(self, count: int) -> bool:
        return len(self.done) == count

    def on_done(self, queue: str, message: WorkerMessage, seconds: float) -> None:
        assert queue == message.queue_name
        self.done.append((queue, message.message))

    def on_error(
        self, queue: str, message: WorkerMessage, seconds: float, exception: BaseException
    ) -> None:
        assert queue == message.queue_name
        self.failed[queue] += 1

    def on_dead_letter(
        self, queue: str, message: WorkerMessage, exception: BaseException | None
    ) -> None:
        self.dead.append(queue)


def test_a_queue_waits_for_those_before_it_also_where_its_messages_are_in_hand(
    db: psycopg.Connection, dsn: str
) -> None:
    order: list[str] = []

    def handler(message: WorkerMessage) -> None:
        order.append(message.queue_name)
        if order.count("low") == 10 and order.count("high") == 20:
            with psycopg.connect(dsn) as connection:
                _send(connection, "high")
        time.sleep(0.01)

    _send(db, "low", 60)
    _send(db, "high", 20)
    Worker(dsn, ["high", "low"], handler).run(until_empty=True)
    assert order[:20] == ["high"] * 20
    assert len(order) == 81
    assert order[20:].index("high") < 30  # not behind all that was read before


def test_with_weights_each_queue_comes_first_as_often_as_its_share(
    db: psycopg.Connection, dsn: str
) -> None:
    asked = Leases(["a", "b", "c"], [6.0, 3.0, 1.0], 30, "read", 1)
    firsts = Counter(asked._in_turn()[0] for _ in range(5000))
    assert [round(firsts[queue] / 500) for queue in "abc"] == [6, 3, 1]
    _send(db, "high", 300)
    _send(db, "low", 300)
    seen = Seen()
    Worker(dsn, {"high": 3, "low": 1}, lambda _: None, batch_size=3, hooks=seen).run(
        until_empty=True
    )
    assert Counter(seen.done).total() == 600
    assert 0.55 < Counter(queue for queue, _ in seen.done[:300])["high"] / 300 < 0.95


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("kind", [AsyncWorker, Worker])
def test_what_is_done_is_acknowledged_to_its_queue_with_what_it_did(
    kind: type[AsyncWorker | Worker], batch: bool, db: psycopg.Connection, dsn: str
) -> None:
    """A handler for each queue; the msg_ids are the same in both."""
    db.execute("CREATE TABLE effect (n text)")
    seen = Seen()

    def of_high(given: Any, connection: Any) -> Any:
        messages = given if batch else [given]
        assert {message.queue_name for message in messages} == {"high"}
        return connection.execute(
            "INSERT INTO effect SELECT unnest(%s::text[])", [[str(m.message) for m in messages]]
        )

    def of_low(given: Any, connection: Any) -> Any:
        raise ValueError("not today")

    db.execute("SELECT pgmq.set_policy('low', max_receives => 2, retry_delay => '0')")
    _send(db, "high", 7)
    _send(db, "low", 4)
    worker = kind(
        dsn, ["low", "high"], {"high": of_high, "low": of_low},
        transactional=True, batch=batch, batch_size=5, concurrency=2, hooks=seen,
    )  # fmt: skip
    result = worker.run(until_empty=True)
    if result is not None:
        asyncio.run(result)
    assert db.execute("SELECT n::int FROM effect ORDER BY 1").fetchall() == [
        (n,) for n in range(1, 8)
    ]
    assert (sorted(seen.done), seen.failed, seen.dead) == (
        [("high", n) for n in range(1, 8)],
        {"low": 8},
        ["low"] * 4,
    )
    assert db.execute("SELECT count(*) FROM pgmq.q_low UNION ALL SELECT count(*) FROM pgmq.q_high"
                      ).fetchall() == [(0,), (0,)]  # fmt: skip
    assert db.execute("SELECT count(*) FROM pgmq.a_low").fetchone() == (4,)


def test_a_process_knows_the_queue_of_a_message(
    db: psycopg.Connection, dsn: str, tmp_path: Path
) -> None:
    for queue in ("high", "low"):
        body = f'{{"touch": "{tmp_path}/{queue}"}}'
        db.execute("SELECT pgmq.send(%s, %s::jsonb)", [queue, body])
    worker = ProcessWorker(
        dsn, ["high", "low"], {"high": handlers.touch, "low": handlers.fail_first}
    )
    worker.run(until_empty=True)
    assert {file.name for file in tmp_path.iterdir()} == {"high"}
    assert db.execute(
        "SELECT read_ct, headers ->> 'x-pgmq-error' LIKE '%%Unpicklable%%' FROM pgmq.q_low"
    ).fetchall() == [(1, True)]


def test_a_message_in_any_queue_wakes_the_worker(db: psycopg.Connection, dsn: str) -> None:
    db.execute("SELECT pgmq.create('third'), pgmq.enable_wakeups('high')")
    db.execute("SELECT pgmq.enable_wakeups('low'), pgmq.enable_notify_insert('third', 0)")
    seen = Seen()
    worker = Worker(dsn, ["high", "low", "third"], lambda _: None, hooks=seen, poll_interval=60)
    with _running(worker):
        for n, queue in enumerate(["low", "high", "third", "low"], 1):
            time.sleep(0.3)  # it waits
            started = time.monotonic()
            _send(db, queue)
            _until(functools.partial(seen.has, n), 5)
            assert time.monotonic() - started < 2
        # Paused, it gives nothing, and the others go on.
        db.execute("SELECT pgmq.pause('high')")
        _send(db, "high")
        _send(db, "low")
        _until(lambda: len(seen.done) == 5)
        db.execute("SELECT pgmq.resume('high')")
        _until(lambda: len(seen.done) == 6)


def test_a_queue_that_is_gone_or_locked_holds_up_no_other_one(
    db: psycopg.Connection,
    dsn: str,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(leases, "_ASIDE", 0.5)
    monkeypatch.setattr(waking, "_ASIDE", 0.5)
    monkeypatch.setattr(logging.getLogger("pgmq"), "propagate", False)
    monkeypatch.setattr(logging.getLogger("pgmq"), "handlers", [caplog.handler])
    caplog.set_level(logging.INFO, "pgmq")
    db.execute("SELECT pgmq.enable_wakeups('low')")
    begun, end = threading.Event(), threading.Event()

    def handler(message: WorkerMessage) -> None:
        if message.message == "wait":
            begun.set()
            end.wait(20)

    seen = Seen()
    worker = Worker(dsn, ["high", "low"], handler, hooks=seen, poll_interval=0.3, concurrency=2)
    with _running(worker):
        db.execute("""SELECT pgmq.send('high', '"wait"')""")
        assert begun.wait(20)
        db.execute("SELECT pgmq.drop_queue('high')")
        _send(db, "low")
        _until(lambda: len(seen.done) == 1)
        end.set()  # what it had of the queue is lost
        _until(lambda: "lease lost" in caplog.text)
        db.execute("SELECT pgmq.create('high'), pgmq.enable_wakeups('high')")
        _send(db, "high")
        _send(db, "low")
        _until(lambda: sorted(seen.done[-2:]) == [("high", 1), ("low", 1)])
        with connect(autocommit=False) as other:
            other.execute("LOCK TABLE pgmq.q_high")
            _send(db, "low")
            done = len(seen.done)
            _until(lambda: len(seen.done) > done)
    assert 'queue high cannot be read, and is tried again every 0 s: queue "high"' in caplog.text
    assert "queue high is read again" in caplog.text
    assert "no connection" not in caplog.text


def test_what_a_worker_of_several_queues_refuses(dsn: str) -> None:
    for queues, options, words in [
        ([], {}, "needs queues"),
        (["high", "high"], {}, "each of them once"),
        ({"high": 0, "low": 1}, {}, "greater than 0"),
        (["high", "low"], {"read": "read_grouped"}, "workers of one queue"),
        (["high", "low"], {"group": "g"}, "workers of one queue"),
    ]:
        with pytest.raises(ValueError, match=words):
            Worker(dsn, queues, print, **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="handlers are for high, but the queues are high, low"):
        Worker(dsn, ["high", "low"], {"high": print})
    with pytest.raises(TypeError, match="coroutine function"):
        Worker(dsn, "high", {"high": handlers.asynchronous(print)})
    with pytest.raises(psycopg.errors.UndefinedTable, match="missing"):
        Worker(dsn, ["high", "missing"], print).run()
