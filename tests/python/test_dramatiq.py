"""dramatiq on queues: its own worker, killed and stopped, and what a broker adds to it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dramatiq
import psycopg
import pytest
from dramatiq import QueueJoinTimeout
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from pgmq.dramatiq import PGMQBroker
from support.dramatiq_app import make_broker
from support.frameworks import go_through
from support.server import url
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pgmq import embedded

pytestmark = pytest.mark.once


def _send(dsn: str, actor: str, *arguments: str) -> None:
    broker = make_broker(dsn)
    broker.get_actor(actor).send(*arguments)
    broker.close()


def test_a_worker_that_is_killed_sees_the_server_restart_and_is_stopped(
    new_server: Callable[..., embedded.Server], tmp_path: Path
) -> None:
    arguments = ["dramatiq", "dramatiq_app:make_broker", "--processes", "1", "--threads", "3"]
    unknown = dramatiq.Message("default", "x", (), {}, {}).asdict()
    server = new_server()
    dead, archive = go_through(server, tmp_path, "default", arguments, _send, unknown)
    assert [*dead.values()] == ["ValueError: it cannot be done"]
    assert sorted(error.split(":")[0] for error in archive.values()) == [
        "ActorNotFound",
        "DecodeError",
    ]


@pytest.fixture
def broker(dsn: str) -> Iterator[PGMQBroker]:
    """A broker with dramatiq's own middleware."""
    broker = PGMQBroker(dsn)
    dramatiq.set_broker(broker)
    yield broker
    broker.close()


@contextmanager
def _worker(broker: PGMQBroker, threads: int = 4) -> Iterator[dramatiq.Worker]:
    worker = dramatiq.Worker(broker, worker_timeout=100, worker_threads=threads)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()


def test_messages_join_the_transaction_of_their_caller(
    broker: PGMQBroker, db: psycopg.Connection, dsn: str
) -> None:
    @dramatiq.actor
    def add(a: int, b: int) -> None: ...

    engine = create_engine(url(dsn))
    with psycopg.connect(dsn) as conn, Session(engine) as session:
        for connection in (conn, session):
            with broker.using(connection):
                add.send(1, 2)
            connection.rollback()
            with broker.using(connection):
                add.send(3, 4)
            connection.commit()
    engine.dispose()
    sent = db.execute("SELECT message -> 'args' FROM pgmq.q_default").fetchall()
    assert sent == [([3, 4],)] * 2


def test_options_say_when_in_which_order_and_once(
    broker: PGMQBroker, db: psycopg.Connection
) -> None:
    @dramatiq.actor
    def work() -> None: ...

    broker.flush_all()
    broker.client.set_policy("default", dedup_window=timedelta(hours=1), priorities=True)
    for _ in range(2):
        work.send_with_options(delay=60_400, group="g", broker_priority=9, dedup_key="k", ttl=90)
    assert db.execute(
        "SELECT headers, round(extract(epoch FROM vt - enqueued_at)) FROM pgmq.q_default"
    ).fetchall() == [
        (
            {
                "x-pgmq-group": "g",
                "x-pgmq-priority": 9,
                "x-pgmq-dedup-id": "k",
                "x-pgmq-ttl": 90,
            },
            60,
        )
    ]
    with pytest.raises(QueueJoinTimeout):
        broker.join("default", timeout=1)
    broker.flush("default")
    broker.join("default", timeout=1)
    assert (broker.get_declared_queues(), broker.get_declared_delay_queues()) == (
        {"default"},
        set(),
    )


def test_retries_of_dramatiq_are_delayed_messages(
    broker: PGMQBroker, db: psycopg.Connection
) -> None:
    attempts: list[float] = []

    @dramatiq.actor(max_retries=1, min_backoff=300, max_backoff=300)
    def fail() -> None:
        attempts.append(time.monotonic())
        raise ValueError("it cannot be done")

    fail.send()
    with _worker(broker):
        broker.join("default", timeout=10_000)
    assert len(attempts) == 2
    assert attempts[1] - attempts[0] > 0.15
    assert db.execute("SELECT headers ->> 'x-pgmq-error' FROM pgmq.a_default").fetchall() == [
        ("ValueError: it cannot be done",)
    ]


def test_a_worker_that_stops_returns_what_it_has_not_begun(
    broker: PGMQBroker, db: psycopg.Connection
) -> None:
    begun: list[int] = []

    @dramatiq.actor
    def work(number: int) -> None:
        begun.append(number)
        time.sleep(0.3)

    for number in range(5):
        work.send(number)
    with _worker(broker, threads=1):
        until(lambda: begun)
        until(
            lambda: db.execute(
                "SELECT 1 FROM pgmq.q_default WHERE read_ct > 0 AND msg_id > 1"
            ).fetchall()
        )
    left: Any = db.execute(
        "SELECT count(*), bool_and(vt <= clock_timestamp()) FROM pgmq.q_default"
    ).fetchone()
    assert left == (5 - len(begun), True)
