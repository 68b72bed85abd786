"""Streams in Python: the clients' calls, and workers that consume as a group."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from pgmq import AsyncPGMQueue, PGMQueue, StreamBatch
from pgmq.sqlalchemy_queue import PGMQueue as SQLAlchemyQueue

if TYPE_CHECKING:
    from collections.abc import Iterator

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
