"""PGMQueue and AsyncPGMQueue; what they share with upstream's is in test_upstream_client.py."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import pickle
import re
import threading
import time
import unittest
import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta, timezone
from enum import Enum
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool

import pgmq
from pgmq import AsyncPGMQueue, PGMQueue, async_transaction, transaction
from pgmq import _statements as statements
from pgmq._client import execute
from pgmq.base import PGMQConfig, resolve_pgmq_config
from pgmq.decorators import sqlalchemy_async_transaction, sqlalchemy_transaction
from pgmq.logger import LoggingManager, log_with_context
from pgmq.messages import Message, QueueMetrics
from pgmq.notify_listener import AsyncNotificationListener, SyncNotificationListener
from support.server import control

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Connect
    from support.server import TestServer

QUERIES = [
    call.query
    for value in vars(statements).values()
    for call in (value, getattr(value, "in_seconds", None), getattr(value, "at_a_time", None))
    if isinstance(call, statements.Call)
]


@pytest.fixture
def queue(dsn: str) -> Iterator[PGMQueue]:
    """A client with the queue q."""
    with PGMQueue(dsn) as client:
        client.create_queue("q")
        yield client


def _ids(client: PGMQueue) -> list[int]:
    return [message.msg_id for message in client.peek("q", None)]


def test_a_call_with_conn_is_part_of_its_transaction(queue: PGMQueue, connect: Connect) -> None:
    conn = connect(autocommit=False)
    queue.send("q", 1, conn=conn)
    assert len(queue.peek("q", None, conn=conn)) == 1
    assert conn.info.transaction_status == TransactionStatus.INTRANS
    conn.rollback()
    assert _ids(queue) == []
    queue.send("q", 2, conn=conn)
    conn.commit()
    assert _ids(queue) == [2]


def test_a_connection_of_the_clients_pool_has_transactions_as_ever(queue: PGMQueue) -> None:
    queue.send("q", 1)
    assert queue.pool is not None
    with queue.pool.connection() as conn:
        queue.send("q", 2, conn=conn)
        conn.rollback()
    assert _ids(queue) == [1]


def test_calls_do_not_care_how_a_connection_makes_rows(dsn: str, connect: Connect) -> None:
    with ConnectionPool(dsn, min_size=1, kwargs={"row_factory": dict_row}) as pool:
        queue = PGMQueue(pool=pool)
        queue.create_queue("q")
        assert queue.send("q", {"a": 1}) == 1
        assert queue.send_batch("q", [1, 2], conn=connect(row_factory=dict_row)) == [2, 3]
        assert [message.msg_id for message in queue.read_batch("q", batch_size=3)] == [1, 2, 3]


def test_calls_in_a_pipeline_wait_for_their_results(queue: PGMQueue, connect: Connect) -> None:
    other = connect(autocommit=False)
    other.execute("CREATE TABLE effect (message jsonb)")
    other.commit()
    with other.pipeline():
        other.execute("INSERT INTO effect VALUES ('1')")
        assert queue.send_batch("q", [1, 2], conn=other) == [1, 2]
        queue.set_policy("q", max_receives=5, conn=other)
        popped = queue.pop("q", conn=other)
        read = queue.read("q", conn=other)
        assert popped is not None
        assert read is not None
        assert (popped.message, read.message) == (1, 2)
        assert queue.ack("q", read.msg_id, read.read_ct, conn=other)
        assert queue.read("q", conn=other) is None
        assert queue.validate_routing_key("a.b", conn=other)
        assert not queue.validate_routing_key("", conn=other)
        without_rows = statements.Statement("SET work_mem = '1MB'", {}, list)
        assert execute(other, without_rows, None) == []
    other.commit()
    assert _ids(queue) == []
    assert other.execute("SELECT message FROM effect").fetchone() == (1,)


# Of its own, and of what was executed before: both are a DataError, as what psycopg cannot decode.
@pytest.mark.parametrize("queries", [[], ["SELECT 'x'::integer"]])
def test_a_call_in_a_pipeline_raises_what_the_server_says(
    queries: list[str], queue: PGMQueue, connect: Connect
) -> None:
    other = connect(autocommit=False)
    with contextlib.suppress(psycopg.errors.PipelineAborted), other.pipeline():
        for query in queries:
            other.execute(query.encode())
        with pytest.raises(psycopg.DataError):
            queue.pop("q", -1, conn=other)


def test_asynchronous_calls_in_a_pipeline_wait_for_their_results(queue: PGMQueue, dsn: str) -> None:
    queue.send_batch("q", [1, 2])

    async def main() -> list[Any]:
        async with AsyncPGMQueue(dsn) as client:
            assert client.pool is not None
            async with client.pool.connection() as conn, conn.pipeline():
                popped = [await client.pop("q", conn=conn) for _ in range(3)]
        return [message and message.message for message in popped]

    assert asyncio.run(main()) == [1, 2, None]


def test_a_given_pool_stays_open_and_an_own_one_is_closed(dsn: str) -> None:
    with ConnectionPool(dsn, min_size=1) as pool:
        given = PGMQueue(pool=pool)
        given.close()
        assert given.version() == pgmq.__version__
    own = PGMQueue(dsn)
    opened = own.pool
    assert opened is not None
    own.close()
    assert opened.closed
    with pytest.raises(RuntimeError, match="not open"):
        own.version()
    own.init()
    assert own.version() == pgmq.__version__
    own.close()


def test_more_threads_than_connections_wait_for_their_turn(dsn: str) -> None:
    with PGMQueue(dsn, pool_size=2) as client, ThreadPoolExecutor(8) as threads:
        client.create_queue("q")
        sent = list(threads.map(lambda n: client.send("q", n), range(64)))
        assert sorted(sent) == list(range(1, 65))
        assert client.pool is not None
        assert client.pool.get_stats()["pool_size"] <= 2


def test_connections_that_the_server_has_closed_are_replaced_without_an_error(
    queue: PGMQueue, dsn: str, db: psycopg.Connection
) -> None:
    others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"

    def end_all() -> None:
        db.execute(f"SELECT pg_terminate_backend(pid) {others} AND query LIKE '%%pgmq%%'")
        while db.execute(f"SELECT 1 {others} AND query LIKE '%%pgmq%%'").fetchone():
            pass
        time.sleep(0.1)  # out of the list, a process closes its socket

    async def main() -> None:
        async with AsyncPGMQueue(dsn) as client:
            assert await client.send("q", 1)
            end_all()
            assert await client.send("q", 2)

    asyncio.run(main())
    assert queue.send("q", 3)


def test_values_that_json_has_not_are_sent_as_pgmq_py_sends_them(queue: PGMQueue) -> None:
    @dataclasses.dataclass
    class Order:
        item: str
        made: date

    class Color(Enum):
        RED = "red"

    key = UUID(int=1)
    when = datetime(2026, 1, 2, 3, 4, 5, 6, timezone.utc)
    queue.send("q", [when, date(2026, 1, 2), key, Order("pen", date(2026, 1, 3)), Color.RED])
    message = queue.read("q")
    assert message is not None
    assert message.message == [
        "2026-01-02T03:04:05.000006+00:00", "2026-01-02", str(key),
        {"item": "pen", "made": "2026-01-03"}, "red",
    ]  # fmt: skip


def test_what_a_connection_string_leaves_open_libpq_decides() -> None:
    config = PGMQConfig("service=mine")
    assert (config.dsn, config.host) == ("service=mine", "localhost")
    assert PGMQConfig("dbname=d", username="app").dsn == "user=app dbname=d"
    assert PGMQConfig("postgresql:///d").async_dsn == "postgresql:///d"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PG_HOST", "elsewhere")
        patch.setenv("DATABASE_URL", "host=wrong")
        assert PGMQConfig("dbname=d").dsn == "host=elsewhere dbname=d"
        # What is said wins over the environment.
        assert resolve_pgmq_config(config_kwargs={"port": "1"}).host == "elsewhere"
        assert resolve_pgmq_config(config_kwargs={"host": "right"}).host == "right"
        assert resolve_pgmq_config(dsn="host=dsn").host == "dsn"
        assert resolve_pgmq_config().host == "wrong"
        with pytest.raises(pgmq.PGMQInstallError, match="Failed to connect"):
            pgmq.install_pgmq_from_sql(host="127.0.0.1", port="1")


@pytest.mark.parametrize("init_extension", [True, False])
def test_a_server_that_is_not_there_is_an_error_that_says_so(init_extension: bool) -> None:
    started = time.monotonic()

    def call() -> None:
        client = PGMQueue("host=127.0.0.1 port=1", init_extension=init_extension)
        with contextlib.closing(client):
            client.list_queues()

    with pytest.raises(psycopg.OperationalError, match="refused"):
        call()
    assert time.monotonic() - started < 10


def test_a_pool_of_the_wrong_kind_is_refused(dsn: str) -> None:
    with pytest.raises(TypeError, match=r"pool must be a psycopg_pool ConnectionPool, not str"):
        PGMQueue(pool="postgresql://")
    pool = ConnectionPool(dsn, open=False)
    with pytest.raises(TypeError, match="psycopg_pool AsyncConnectionPool, not ConnectionPool"):
        asyncio.run(AsyncPGMQueue(pool=pool).init())


def test_a_client_of_another_loop_says_so_at_once(dsn: str) -> None:
    client = AsyncPGMQueue(dsn)
    first = asyncio.new_event_loop()
    first.run_until_complete(client.init())
    with pytest.raises(RuntimeError, match="another event loop"):
        asyncio.run(client.list_queues())
    first.run_until_complete(client.close())
    first.close()


def test_a_client_of_another_process_says_so_and_leaves_the_sessions_alone(
    queue: PGMQueue,
) -> None:
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Python 3.12: there are threads
        child = os.fork()
    if not child:
        try:
            queue.list_queues()
        except RuntimeError as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    assert b"another process" in os.read(reader, 1000)
    os.close(reader)
    assert [found.queue_name for found in queue.list_queues()] == ["q"]


def test_a_call_that_fails_gives_its_connection_back_as_it_was(dsn: str) -> None:
    with PGMQueue(dsn, pool_size=1) as client:
        client.create_queue("q")
        with pytest.raises(psycopg.errors.UndefinedTable, match='queue "missing" does not exist'):
            client.send("missing", 1)
        with pytest.raises(TypeError, match="not JSON serializable"):
            client.send("q", {"what": object()})
        with pytest.raises(ValueError, match="headers list must match"):
            client.send_batch("q", [1, 2], [{}])
        assert client.pool is not None
        with client.pool.connection() as conn:
            assert not conn.autocommit
        assert client.send("q", 1) == 1


def test_what_a_routing_key_is_refused_for_leaves_the_transaction_alone(
    queue: PGMQueue, connect: Connect
) -> None:
    conn = connect(autocommit=False)
    queue.send("q", 1, conn=conn)
    assert not queue.validate_routing_key("a..b", conn=conn)
    assert not queue.validate_topic_pattern("a**", conn=conn)
    assert queue.validate_topic_pattern("a.*", conn=conn)
    conn.commit()
    # In a pipeline, statements are one transaction without being a block.
    alone = connect()
    with alone.pipeline():
        queue.send("q", 2, conn=alone)
        assert not queue.validate_routing_key("a..b", conn=alone)
        assert not queue.validate_topic_pattern("a**", conn=alone)
    assert _ids(queue) == [1, 2]


def test_vt_and_delay_are_the_clients_unless_a_call_has_its_own(dsn: str) -> None:
    with PGMQueue(dsn, vt=500, delay=600) as client:
        client.create_queue("q")
        client.send("q", "later")
        client.send_batch("q", ["later", "later"])
        assert client.peek("q", None) == []
        client.send("q", "now", delay=0)
        client.send("q", "now", tz=datetime.now(timezone.utc) - timedelta(seconds=1))
        message = client.read("q", vt=0)
        assert message is not None
        assert message.vt - datetime.now(timezone.utc) < timedelta(seconds=5)
        message = client.read("q")
        assert message is not None
        assert timedelta(seconds=490) < message.vt - datetime.now(timezone.utc)


def test_a_message_is_hidden_from_the_one_who_sends_it_in_an_open_transaction(
    queue: PGMQueue, connect: Connect
) -> None:
    conn = connect(autocommit=False)
    queue.send("q", {"order": 1}, conn=conn)
    assert queue.read("q") is None
    conn.commit()
    message = queue.read("q")
    assert message is not None
    assert message.message == {"order": 1}


def test_every_function_that_pgmq_2_has_is_a_method(queue: PGMQueue) -> None:
    queue.send_batch("q", [1, 2, 3, 4, 5], [{"x-pgmq-group": group} for group in "aabbb"])
    assert [message.message for message in queue.peek("q", 2)] == [1, 2]
    assert queue.peek("q", conditional={"a": 1}) == []
    got = queue.get("q", 5)
    assert got is not None
    assert (got.message, got.read_ct, got.last_read_at) == (5, 0, None)
    assert queue.get("q", 6) is None
    first, second = queue.read_group("q", "a", qty=5)
    assert (first.read_ct, second.message) == (1, 2)
    assert queue.extend("q", first.msg_id, 1, 100)
    assert not queue.extend("q", first.msg_id, 9)
    assert queue.ack("q", first.msg_id, 1)
    assert not queue.ack("q", first.msg_id, 1)
    assert queue.nack("q", second.msg_id, 1, error="no stock")
    assert not queue.nack("q", second.msg_id, 9, delay=5)
    (second,) = queue.read_group("q", "a", vt=-1)
    assert second.headers == {"x-pgmq-group": "a", "x-pgmq-error": "no stock"}
    assert [m.message for m in queue.read_grouped_head("q", qty=5)] == [2, 3]
    assert queue.read_grouped_head_with_poll("q", max_poll_seconds=0) == []
    assert queue.extend_batch("q", [2, 3, 99], [3, 1, 1], 100) == [2, 3]
    assert queue.nack_batch("q", [2, 3], [3, 9], delay=100) == [2]
    assert queue.ack_batch("q", [3, 2], [1, 9]) == [3]
    four, five = queue.ack_and_read("q", qty=5)
    assert queue.ack_and_read("q", 30, 1, [four.msg_id, five.msg_id], [1, 1]) == []
    due = queue.next_visible_at("q")
    assert due is not None
    assert due > datetime.now(timezone.utc) + timedelta(seconds=60)
    queue.purge("q")
    assert queue.next_visible_at("q") is None
    assert queue.version() == pgmq.__version__
    assert queue.recompile_all() == 1
    queue.pin("q")
    assert queue.unpin("q")
    assert not queue.unpin("q")
    assert [f for f in queue.doctor() if f.queue_name] == []


def test_privileges_are_methods(queue: PGMQueue, db: psycopg.Connection) -> None:
    granted = "SELECT has_table_privilege('pg_monitor', 'pgmq.q_q', %s)"
    for grant, right in ((queue.grant_send, "INSERT"), (queue.grant_consume, "DELETE")):
        grant("q", "pg_monitor")
        assert db.execute(granted, (right,)).fetchone() == (True,)
    queue.grant_monitor("q", "pg_monitor")
    queue.revoke_all("q", "pg_monitor")
    assert db.execute(granted, ("INSERT, DELETE",)).fetchone() == (False,)


def test_policies_are_methods(queue: PGMQueue) -> None:
    assert set(dataclasses.astuple(queue.get_policy("q"))) == {"q", None, 0.0}
    policy = pgmq.Policy(
        queue_name="q",
        max_receives=2,
        dead_letter_queue="dead",
        retry_delay=timedelta(seconds=5),
        retry_delay_max=timedelta(minutes=5),
        retry_jitter=0.5,
        message_ttl=timedelta(days=1),
        archive_retention=timedelta(days=30),
        dedup_window=timedelta(hours=1),
        max_in_flight=100,
        ack_archives=True,
        rate_limit=50,
        rate_interval=timedelta(minutes=1),
        rate_burst=10,
        max_in_flight_per_group=7,
        dedup_scope="window",
        priorities=False,
        priority_ageing=None,
    )
    settings = {
        field.name: getattr(policy, field.name)
        for field in dataclasses.fields(policy)
        if field.name != "queue_name"
    }
    queue.set_policy("q", **settings)
    assert queue.get_policy("q") == policy
    queue.alter_policy("q", 3, clear=["ack_archives"])
    assert queue.get_policy("q") == dataclasses.replace(policy, max_receives=3, ack_archives=False)
    queue.alter_policy("q", 2, ack_archives=True)
    assert queue.get_policy("q") == policy
    ranked: dict[str, Any] = {"priorities": True, "priority_ageing": timedelta(minutes=2)}
    queue.alter_policy("q", **ranked, clear=["max_in_flight_per_group"])
    assert queue.get_policy("q") == dataclasses.replace(
        policy, **ranked, max_in_flight_per_group=None
    )
    queue.set_policy("q", **(settings | ranked | {"max_in_flight_per_group": None}))
    assert queue.get_policy("q").priorities
    queue.set_policy("q", **settings)
    assert queue.send_once("q", {"a": 1}, "key") == pgmq.SendOnceResult(1, True)
    assert queue.send_once("q", {"a": 2}, "key", {"h": 1}, 60) == pgmq.SendOnceResult(1, False)
    sent = queue.send_once_batch("q", [2, 3], ["other", "key"], [None, {"h": 1}])
    assert [(one.msg_id > 1, one.is_new) for one in sent] == [(True, True), (False, False)]
    assert queue.send_once_batch("q", [], []) == []
    queue.create_queue("urgent")
    queue.send("urgent", "now")
    first, second, _ = queue.read_any(["urgent", "q"], vt=-1, qty=5)
    assert (first.queue_name, first.message.message) == ("urgent", "now")
    assert (second.queue_name, second.message.message) == ("q", {"a": 1})
    queue.read_batch("q", vt=-1, batch_size=5)
    assert queue.read_batch("q") == []  # received twice
    assert len(queue.peek("dead", None)) == 2
    assert queue.redrive("dead", qty=1) == 1
    (left,) = queue.peek("dead")
    assert queue.move("dead", left.msg_id, "urgent") is not None
    assert queue.move("dead", left.msg_id, "urgent") is None
    assert queue.redrive("dead", "urgent") == 0
    assert queue.redrive("dead", None, None, {"a": 1}, 0.5) == 0
    assert queue.maintain("q") == 0
    assert queue.maintain() == 0


def test_pauses_are_methods(queue: PGMQueue) -> None:
    queue.send("q", 1)
    queue.pause("q")
    (found,) = queue.list_paused()
    assert dataclasses.astuple(found)[:3] == ("q", True, False)
    assert found.paused_at.tzinfo
    assert queue.read("q") is None
    queue.pause("q", reads=False, sends=True)
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="is paused"):
        queue.send("q", 2)
    assert queue.read("q") is not None
    assert queue.resume("q")
    assert not queue.resume("q")
    assert queue.list_paused() == []


def test_messages_are_amended_and_come_out_of_the_archive(queue: PGMQueue) -> None:
    queue.send_batch("q", [{"n": 1}, {"n": 2}], [{"x-pgmq-group": "a"}, None])
    assert queue.amend("q", 1)
    assert queue.amend("q", 1, {"n": 1, "new": True})
    assert queue.amend("q", 1, headers={})
    found = queue.get("q", 1)
    assert found is not None
    assert (found.message, found.headers) == ({"n": 1, "new": True}, {"x-pgmq-group": "a"})
    queue.read("q", 60)
    assert not queue.amend("q", 1, {})
    assert not queue.amend("q", 3, {})

    assert queue.archive_batch("q", [1, 2]) == [1, 2]
    now = datetime.now(timezone.utc)
    assert queue.requeue("q", [1, 2], conditional={"n": 2}, keep=True) == 1
    assert queue.requeue("q", since=now + timedelta(hours=1)) == 0
    assert queue.requeue("q", since=now - timedelta(hours=1), qty=1, rate=10) == 1
    assert queue.requeue("q", (2,), until=now + timedelta(hours=1)) == 1
    assert queue.requeue("q", []) == 0
    assert [message.message for message in queue.peek("q", 9)] == [
        *[{"n": 2}, {"n": 1, "new": True}, {"n": 2}]
    ]
    with pytest.raises(ValueError, match="needs a time zone"):
        queue.requeue("q", since=datetime(2026, 1, 1))
    with pytest.raises(TypeError, match="a list is wanted"):
        queue.requeue("q", "12")  # type: ignore[arg-type]
    with pytest.raises(psycopg.errors.NullValueNotAllowed):
        queue.requeue("q")


def test_schedules_are_methods(queue: PGMQueue) -> None:
    first = queue.schedule("s", "q", "0 0 29 2 *", {"id": 1}, {"h": 1}, timezone="Asia/Tokyo")
    assert (first.month, first.tzinfo is not None) == (2, True)
    queue.schedule("t", "q", timedelta(days=1, seconds=0.5), None, catch_up=True)
    s, t = queue.list_schedules("q")
    assert (s.name, s.queue_name, s.cron, s.timezone, s.catch_up, s.next_at) == (
        *("s", "q", "0 0 29 2 *", "Asia/Tokyo", False, first),
    )
    assert (s.last_at, s.last_msg_id, s.errors, s.last_error) == (None, None, 0, None)
    assert (t.cron, t.catch_up) == ("86400.5 seconds", True)
    msg_id = queue.run_schedule("s")
    message = queue.read("q")
    assert message is not None
    assert message.headers is not None
    assert (message.msg_id, message.message, message.headers["h"]) == (msg_id, {"id": 1}, 1)
    assert queue.pause_schedule("t")
    assert not queue.pause_schedule("t")
    paused = queue.list_schedules("q")[1]
    assert paused.paused_at is not None
    assert paused.next_at is None
    assert queue.resume_schedule("t")
    assert queue.unschedule("t")
    assert not queue.unschedule("t")
    assert [each.name for each in queue.list_schedules()] == ["s"]


def test_exchanges_are_methods(queue: PGMQueue, connect: Connect) -> None:
    queue.create_exchange("x")
    queue.bind("x", "q", "order.#")
    queue.bind("x", "q", None, "fanout")
    queue.bind_channel("x", "live", "paid", kind="direct")
    assert {(b.queue_name, b.channel, b.pattern, b.kind) for b in queue.list_bindings("x")} == {
        ("q", None, "order.#", "topic"),
        ("q", None, "", "fanout"),
        (None, "live", "paid", "direct"),
    }
    listening = connect()
    listening.execute("LISTEN live")
    assert queue.publish("x", "paid", {"id": 1}, {"h": 1}) == 2
    (notification,) = listening.notifies(timeout=5, stop_after=1)
    assert json.loads(notification.payload)["message"] == {"id": 1}
    message = queue.read("q")
    assert message is not None
    assert (message.message, message.headers) == ({"id": 1}, {"h": 1})
    assert queue.unbind("x", "q", "order.#")
    assert not queue.unbind("x", "q", "order.#")
    assert queue.unbind_channel("x", "live", "paid", "direct")
    assert len(queue.list_bindings()) == 1
    assert queue.drop_exchange("x")
    assert not queue.drop_exchange("x")


def test_a_consumer_that_awaits_is_woken_by_a_send(queue: PGMQueue, connect: Connect) -> None:
    queue.enable_wakeups("q")
    conn = connect()
    until = queue.await_("q", 60, conn=conn)
    assert until > datetime.now(timezone.utc) + timedelta(seconds=50)
    queue.send("q", 1)
    (notification,) = conn.notifies(timeout=10, stop_after=1)
    assert notification.channel == "pgmq.q_q.READY"
    queue.disable_wakeups("q")
    with pytest.raises(psycopg.Error, match="enable_wakeups"):
        queue.await_("q", conn=conn)


def test_messages_are_pushed_to_the_connection_that_opens_a_channel(
    queue: PGMQueue, connect: Connect
) -> None:
    queue.enable_push("q")
    conn = connect()
    channel = queue.open_channel("q", 2, conn=conn)
    queue.send("q", {"id": 1})
    (notification,) = conn.notifies(timeout=10, stop_after=1)
    pushed = json.loads(notification.payload)
    assert (notification.channel, pushed["message"]) == (channel, {"id": 1})
    (known,) = queue.list_channels()
    assert (known.channel, known.queue_name, known.maximum_messages, known.vt, known.in_flight) == (
        *(channel, "q", 2, 30, 1),
    )
    assert queue.ack("q", pushed["msg_id"], pushed["read_ct"])
    assert queue.close_channel(channel, conn=conn) == 1
    assert queue.close_channel(conn=conn) == 0
    assert queue.close_dead_channels() == 0
    queue.disable_push("q")


def test_every_public_function_has_a_statement_and_every_statement_a_function(
    db: psycopg.Connection,
) -> None:
    used = {found[1] for query in QUERIES if (found := re.search(r"pgmq\.(\w+)\(", query))}
    rows = db.execute(
        """
        SELECT DISTINCT proname FROM pg_proc
        WHERE pronamespace = 'pgmq'::regnamespace AND NOT starts_with(proname, '_')
        """
    )
    public = {name for (name,) in rows}
    # For SQL, or another name of what a method calls.
    assert public - used == {
        "acquire_queue_lock",
        "create_non_partitioned",
        "notify_queue_listeners",
        "validate_routing_key",
        "validate_topic_pattern",
    }


def test_every_statement_fits_a_function_of_the_server(db: psycopg.Connection) -> None:
    """PREPARE looks up the function, and does not call it."""
    for number, query in enumerate(QUERIES):
        text = re.sub(r"%\(\w+\)s", "NULL", query)
        db.execute(f"PREPARE statement_{number} AS {text}".encode())


# Decorators

BLOCKING = [transaction, sqlalchemy_transaction]
DECORATORS = [*BLOCKING, async_transaction, sqlalchemy_async_transaction]


@transaction
def _send_two(client: Any, fail: bool = False, conn: Any = None) -> int:
    client.send("q", 1, conn=conn)
    client.send("q", 2, conn=conn)
    if fail:
        raise ZeroDivisionError
    return 2


def test_a_transaction_commits_what_returns_and_rolls_back_what_raises(queue: PGMQueue) -> None:
    with pytest.raises(ZeroDivisionError):
        _send_two(queue, fail=True)
    assert _ids(queue) == []
    assert _send_two(queue) == 2
    assert _send_two(client=queue) == 2
    assert _ids(queue) == [3, 4, 5, 6]
    assert _send_two.__name__ == "_send_two"


def test_a_transaction_that_is_given_a_connection_leaves_it_open(
    queue: PGMQueue, connect: Connect
) -> None:
    conn = connect(autocommit=False)
    _send_two(queue, conn=conn)
    _send_two(queue, False, conn)
    assert _ids(queue) == []

    @transaction
    def outer(client: PGMQueue, conn: Any = None) -> None:
        _send_two(client, conn=conn)
        raise ZeroDivisionError

    conn.rollback()
    with pytest.raises(ZeroDivisionError):
        outer(queue)
    assert _ids(queue) == []


async def _coroutine(client: Any, conn: Any = None) -> None:
    """Be awaited too late."""


def _generator(client: Any, conn: Any = None) -> Any:
    yield client.send("q", 1, conn=conn)


async def _async_generator(client: Any, conn: Any = None) -> Any:
    yield await client.send("q", 1, conn=conn)


@pytest.mark.parametrize(
    ("decorators", "function", "kind"),
    [
        (BLOCKING, _coroutine, "coroutine"),
        (DECORATORS, _generator, "generator"),
        (DECORATORS, _async_generator, "generator"),
    ],
)
def test_what_would_run_when_the_transaction_has_ended_is_not_decorated(
    decorators: list[Any], function: Any, kind: str
) -> None:
    for decorate in decorators:
        with pytest.raises(TypeError, match=f"transaction must not be a {kind} function"):
            decorate(function)


def test_a_method_of_what_has_a_pool_is_decorated_too(queue: PGMQueue) -> None:
    class Shop:
        pool = queue.pool

        @transaction
        def sell(self, conn: Any = None) -> None:
            queue.send("q", "sold", conn=conn)

    Shop().sell()
    assert _ids(queue) == [1]
    with pytest.raises(TypeError, match="needs a queue client among its arguments"):
        _send_two(5)


# The asynchronous client


def test_the_asynchronous_client_keeps_its_transactions_apart(dsn: str) -> None:
    @async_transaction
    async def send_two(client: AsyncPGMQueue, fail: bool, conn: Any = None) -> None:
        await client.send_batch("q", [1, 2], conn=conn)
        if fail:
            raise ZeroDivisionError

    async def main() -> None:
        async with AsyncPGMQueue(dsn, pool_size=2) as client:
            await client.create_queue("q")
            with pytest.raises(ZeroDivisionError):
                await send_two(client, fail=True)
            assert await client.peek("q", None) == []
            await send_two(client, fail=False)
            assert client.pool is not None
            async with client.pool.connection() as conn:
                await client.send("q", 3, conn=conn)
                assert not await client.validate_routing_key("a..b", conn=conn)
                assert len(await client.peek("q", None, conn=conn)) == 3
                await conn.rollback()
            assert len(await client.peek("q", None)) == 2
            sent = await asyncio.gather(*(client.send("q", n) for n in range(20)))
            assert len(set(sent)) == 20

    asyncio.run(main())


def test_the_asynchronous_client_opens_by_init(dsn: str) -> None:
    async def main() -> None:
        client = AsyncPGMQueue(dsn)
        with pytest.raises(RuntimeError, match="not open"):
            await client.version()
        await client.init()
        assert await client.version() == pgmq.__version__
        await client.close()
        async with AsyncConnectionPool(dsn, min_size=1) as pool:
            given = AsyncPGMQueue(pool=pool)
            await given.init()
            await given.close()
            assert await given.version() == pgmq.__version__

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_an_event_loop_ends_with_a_client_that_is_open(dsn: str) -> None:
    class Leaves(unittest.IsolatedAsyncioTestCase):
        async def runTest(self) -> None:  # noqa: N802
            client = AsyncPGMQueue(dsn, init_extension=False)
            await client.init()
            raise ZeroDivisionError

    thread = threading.Thread(target=Leaves().run, args=(unittest.TestResult(),), daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()


def test_a_cancelled_call_does_not_cost_the_pool_its_connection(dsn: str) -> None:
    async def main() -> None:
        async with AsyncPGMQueue(dsn, pool_size=1) as client:
            await client.create_queue("q")
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.read_with_poll("q", max_poll_seconds=60), 0.2)
            assert await client.send("q", 1) == 1
            assert client.pool is not None
            async with client.pool.connection() as conn:
                assert not conn.autocommit

    asyncio.run(main())


# Configuration


def test_a_connection_string_keeps_its_options_and_hides_its_password() -> None:
    config = PGMQConfig("postgresql://u:s3cret@h/d?sslmode=require&connect_timeout=3")
    assert "sslmode=require" in config.dsn
    assert config.async_dsn == "postgresql://u:s3cret@h/d?connect_timeout=3&sslmode=require"
    assert "s3cret" not in repr(config)
    socket = PGMQConfig("host=/tmp user='a b' password='p@ss/'")
    assert socket.async_dsn == "postgresql://a%20b:p%40ss%2F@/?host=%2Ftmp"
    assert psycopg.conninfo.conninfo_to_dict(socket.async_dsn) == (
        psycopg.conninfo.conninfo_to_dict(socket.dsn)
    )


def test_an_address_or_a_service_stands_for_the_host() -> None:
    assert "host=" not in PGMQConfig("hostaddr=127.0.0.1 dbname=x").dsn.replace("hostaddr=", "")
    assert "localhost" not in PGMQConfig("service=main").dsn


def test_a_malformed_connection_string_is_refused_without_its_password() -> None:
    with pytest.raises(ValueError, match="neither a postgresql:// URI nor") as caught:
        PGMQConfig("mysql://u:s3cret@h/d")
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_the_extension_is_created_where_it_is_missing(server: TestServer) -> None:
    if server.embedded is None:
        pytest.skip("the server's extension directory is not ours")
    with server.database() as dbname:
        dsn = server.dsn(dbname)
        client = PGMQueue(dsn, init_extension=False)
        with contextlib.closing(client), pytest.raises(psycopg.errors.InvalidSchemaName):
            client.version()

        def start(_: int) -> str:
            with PGMQueue(dsn) as client:
                return client.version()

        with ThreadPoolExecutor(4) as threads:  # at once, as workers do
            assert set(threads.map(start, range(4))) == {pgmq.__version__}


# What calls return


def test_results_are_values() -> None:
    now = datetime.now(timezone.utc)
    message = Message(1, 2, now, None, now, {"a": 1}, None)
    assert pickle.loads(pickle.dumps(message)) == message  # noqa: S301
    assert dataclasses.replace(message, read_ct=3).read_ct == 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        message.read_ct = 3  # type: ignore[misc]
    row = (1, 2, now, None, now, '{"a": 1}', None)
    assert Message.from_row(row, json.loads) == message
    assert Message.from_row((*row[:5], {"a": 1}, None)) == message
    assert Message.from_row(dataclasses.asdict(message)) == message
    metrics = QueueMetrics("q", 1, 2, 3, 4, now, 5)
    assert QueueMetrics.from_row(dataclasses.asdict(metrics) | {"more": 1}) == metrics


# Notifications


def test_a_listener_calls_back_until_it_is_stopped(queue: PGMQueue, db: psycopg.Connection) -> None:
    name = "MIXED \N{LATIN CAPITAL LETTER A WITH DIAERESIS}"
    ((table,),) = db.execute("SELECT pgmq.format_table_name(%s, 'q')", [name]).fetchall()
    channel = f"pgmq.{table}.INSERT"
    queue.create_queue(name)
    queue.enable_notify(name, 0)
    listener = SyncNotificationListener(queue)
    got: list[Any] = []

    def callback(payload: dict[str, Any]) -> None:
        got.append(payload)
        if len(got) == 4:
            listener.stop()

    thread = threading.Thread(target=listener.listen, args=(name, callback), daemon=True)
    thread.start()
    _wait_until_heard(db, channel)
    queue.send(name, 1)
    for payload in ['{"a": 1}', "no json", "[1]"]:
        db.execute("SELECT pg_notify(%s, %s)", [channel, payload])
    thread.join(10)
    assert not thread.is_alive()
    assert got[0] == {"event": "insert", "payload_empty": True}
    assert got[1] == {"a": 1}
    assert (got[2]["raw_payload"], "parse_error" in got[2]) == ("no json", True)
    assert got[3] == [1]


def test_a_listener_ends_by_its_timeout_by_an_earlier_stop_and_by_an_error(
    queue: PGMQueue, db: psycopg.Connection
) -> None:
    listener = SyncNotificationListener(queue)
    before = time.monotonic()
    listener.listen("q", print, timeout=0.3)
    assert 0.3 <= time.monotonic() - before < 5
    listener.stop()
    listener.listen("q", print)

    def callback(payload: dict[str, Any]) -> None:
        raise ZeroDivisionError

    def notify() -> None:
        _wait_until_heard(db, 'pgmq.q_it"s.INSERT')
        db.execute("""SELECT pg_notify('pgmq.q_it"s.INSERT', '')""")

    thread = threading.Thread(target=notify)
    thread.start()
    with pytest.raises(ZeroDivisionError):
        listener.listen('it"s', callback, timeout=10)
    thread.join()


def test_an_asynchronous_listener_awaits_its_callback(dsn: str, db: psycopg.Connection) -> None:
    got: list[Any] = []

    async def main() -> None:
        async with AsyncPGMQueue(dsn) as client:
            await client.create_queue("q")
            await client.enable_notify("q", 0)
            listener = AsyncNotificationListener(client)

            async def callback(payload: dict[str, Any]) -> None:
                await asyncio.sleep(0)
                got.append(payload)
                if len(got) == 2:
                    listener.stop()

            listening = asyncio.create_task(listener.listen("q", callback))
            await asyncio.to_thread(_wait_until_heard, db, "pgmq.q_q.INSERT")
            await client.send("q", 1)
            await client.send("q", 2)
            await asyncio.wait_for(listening, 10)

    asyncio.run(main())
    assert got == 2 * [{"event": "insert", "payload_empty": True}]


def _wait_until_heard(db: psycopg.Connection, channel: str) -> None:
    """Return when a session has sent LISTEN for the channel."""
    query = "SELECT 1 FROM pg_stat_activity WHERE query = %s AND state = 'idle'"
    listen = psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(channel)).as_string(db)
    end = time.monotonic() + 10
    while not db.execute(query, [listen]).fetchone():
        assert time.monotonic() < end


# Installing by SQL


def test_pgmq_is_installed_by_its_sql_and_again(server: TestServer) -> None:
    with server.database() as dbname:
        dsn = server.dsn(dbname)
        assert pgmq.install_pgmq_from_sql(dsn=dsn) == control()["default_version"]
        assert pgmq.get_embedded_sql_version() == control()["default_version"]
        with PGMQueue(dsn) as client:  # which finds that there is nothing to create
            client.create_queue("q")
            client.send("q", 1)
            pgmq.install_pgmq_from_sql(config=client.config)
            assert len(client.peek("q")) == 1


def test_a_script_is_all_or_nothing_and_part_of_an_open_transaction(server: TestServer) -> None:
    with server.database() as dbname, psycopg.connect(server.dsn(dbname)) as conn:
        there = "SELECT to_regnamespace('pgmq') IS NOT NULL"
        with pytest.raises(pgmq.PGMQInstallError, match="division by zero") as caught:
            pgmq.install_pgmq_sql("CREATE SCHEMA pgmq; SELECT 1 / 0", conn=conn)
        assert isinstance(caught.value.__cause__, psycopg.errors.DivisionByZero)
        assert conn.execute(there).fetchone() == (False,)
        pgmq.install_pgmq_from_sql(conn=conn)  # after that query, in its transaction
        assert conn.execute(there).fetchone() == (True,)
        conn.rollback()
        assert conn.execute(there).fetchone() == (False,)


@pytest.mark.parametrize(
    ("sql", "arguments", "error", "text"),
    [
        (" ", {}, pgmq.PGMQInstallError, "script is empty"),
        ("SELECT 1", {"dsn": "host=/nowhere"}, pgmq.PGMQInstallError, "Failed to connect"),
        ("SELECT 1", {"sslmode": "off"}, ValueError, "Unsupported connection parameters"),
        ("SELECT 1", {"config": PGMQConfig(), "dsn": ""}, ValueError, "Cannot combine config"),
    ],
)
def test_what_cannot_be_installed_says_why(
    sql: str, arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        pgmq.install_pgmq_sql(sql, **arguments)


# Logging


@pytest.fixture
def name() -> Iterator[str]:
    """The name of a logger, which has no handlers afterwards."""
    yield "pgmq.test"
    logger = logging.getLogger("pgmq.test")
    logger.setLevel(logging.NOTSET)
    for handler in [*logger.handlers]:
        handler.close()
        logger.removeHandler(handler)


def test_a_logger_writes_only_where_it_is_told_to(name: str, tmp_path: Path) -> None:
    assert pgmq.create_logger(name).handlers == []
    path = tmp_path / "log"
    for _ in range(2):  # the second time adds nothing
        logger = pgmq.create_logger(name, verbose=True, log_filename=str(path))
    log_with_context(logger, "debug", "done", batch=100, queue="q")
    assert path.read_text().endswith(" - pgmq.test - DEBUG - done | batch=100 | queue=q\n")
    assert path.read_text().count("\n") == 1


def test_a_structured_log_is_json_and_a_large_one_is_rotated(name: str, tmp_path: Path) -> None:
    logger = LoggingManager.get_logger(
        name,
        log_level="INFO",
        log_filename=str(tmp_path / "log"),
        structured=True,
        enable_rotation=True,
        rotation="1 KB",
    )
    for _ in range(10):
        logger.info("x" * 200)
    lines = (tmp_path / "log").read_text().splitlines()
    assert json.loads(lines[0])["message"] == "x" * 200
    assert len(list(tmp_path.iterdir())) > 1


def test_performance_is_logged_with_the_outcome(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    logger = pgmq.create_logger(name)

    @pgmq.log_performance(logger)
    def double(number: int) -> int:
        return 2 * number

    @pgmq.log_performance(logger)
    async def fail() -> None:
        raise ZeroDivisionError

    with caplog.at_level(logging.DEBUG, name):
        assert double(2) == 4
        with contextlib.suppress(ZeroDivisionError):
            asyncio.run(fail())
    assert re.fullmatch(
        r"Completed double \| function=double \| elapsed_ms=[\d.]+ \| success=True",
        caplog.messages[0],
    )
    assert "success=False" in caplog.messages[1]
