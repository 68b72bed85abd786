"""Queues in the transactions of SQLAlchemy 2, for both clients and their drivers."""

from __future__ import annotations

import asyncio
import inspect
import json
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Engine, ForeignKey, create_engine, exc, func, select
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

import pgmq_sqlalchemy
from pgmq import SQLAlchemyAsyncPGMQueue, SQLAlchemyPGMQueue
from pgmq.decorators import sqlalchemy_async_transaction, sqlalchemy_transaction
from pgmq_sqlalchemy import PGMQueue, op
from support.server import url

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.once

DRIVERS = ["psycopg", "asyncpg"]
MESSAGE = {"it's": [":a", "%s", "ü", None], "b": {"c": 1.5}}


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)


class Order(Base):
    __tablename__ = "order"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customer.id"))


@pytest.fixture
def engine(dsn: str) -> Iterator[Engine]:
    """An engine of a database with the tables and the queue orders."""
    engine = create_engine(url(dsn))
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        op.create_queue("orders", session=session)
    yield engine
    engine.dispose()


def _state(engine: Engine) -> tuple[int | None, list[Any]]:
    """Return the number of orders, and the messages."""
    with Session(engine) as session:
        orders = session.scalar(select(func.count()).select_from(Order))
        queue = SQLAlchemyPGMQueue(engine=engine)
        return orders, [message.message for message in queue.peek("orders", None, conn=session)]


def test_op_sends_in_the_callers_transaction(engine: Engine) -> None:
    with Session(engine) as session:
        session.add(Order(id=1))
        assert op.send("orders", MESSAGE, session=session, commit=False) == 1
        assert op.send_batch("orders", [1, [2]], session=session, commit=False) == [2, 3]
        session.rollback()
        assert _state(engine) == (0, [])
        session.add(Order(id=1))
        op.send("orders", MESSAGE, session=session, commit=False)
        assert _state(engine) == (0, [])
        session.commit()
        assert _state(engine) == (1, [MESSAGE])
        session.add(Order(id=2))
        op.send("orders", 2, session=session)  # which commits
        assert _state(engine) == (2, [MESSAGE, 2])


def test_op_consumes_in_the_callers_transaction(engine: Engine) -> None:
    with Session(engine) as session:
        op.send_batch("orders", [1, 2, 3], session=session)
        message = op.pop("orders", session=session, commit=False)
        assert message is not None
        assert message.message == 1
        session.add(Order(id=message.message))
        session.rollback()
        assert _state(engine) == (0, [1, 2, 3])
        message = op.read("orders", 30, session=session)
        assert message is not None
        session.add(Order(id=message.message))
        assert op.delete("orders", message.msg_id, session=session, commit=False)
        session.commit()
        assert _state(engine) == (1, [2, 3])


def test_a_constraint_that_fails_at_the_end_takes_the_message_with_it(engine: Engine) -> None:
    with Session(engine) as session:
        op.send("orders", 1, session=session, commit=False)
        session.add(Order(id=1, customer_id=99))
        with pytest.raises(exc.IntegrityError):
            session.commit()
    assert _state(engine) == (0, [])


def test_all_of_op_works_in_one_session(engine: Engine) -> None:
    with Session(engine) as session:
        op.check_pgmq_ext(session=session)
        op.create_queue("other", unlogged=True, session=session)
        assert set(op.list_queues(session=session)) == {"orders", "other"}
        op.validate_queue_name("x", session=session)
        assert op.send("orders", {}, 60, session=session) == 1
        assert op.read("orders", 30, session=session) is None
        assert op.read_batch("orders", 30, 5, session=session) is None
        assert op.read_with_poll("orders", 30, 5, 0, session=session) is None
        assert op.pop("orders", session=session) is None
        message = op.set_vt("orders", 1, 0, session=session)
        assert message is not None
        assert op.set_vt("orders", 9, 0, session=session) is None
        assert op.archive("orders", message.msg_id, session=session)
        op.send_batch("orders", [1, 2, 3], session=session)
        assert len(op.read_batch("orders", 30, 5, session=session) or []) == 3
        assert op.archive_batch("orders", [2, 9], session=session) == [2]
        assert op.delete_batch("orders", [3, 9], session=session) == [3]
        metrics = op.metrics("orders", session=session)
        assert metrics is not None
        assert (metrics.queue_length, metrics.total_messages) == (1, 4)
        assert len(op.metrics_all(session=session) or []) == 2
        assert op.purge("orders", session=session) == 1
        assert op.drop_queue("other", True, session=session)
        assert not op.drop_queue("other", session=session)
        with pytest.raises(exc.ProgrammingError, match="too long"):
            op.validate_queue_name("x" * 48, session=session)


def test_a_client_of_a_dsn_an_engine_or_a_maker_of_sessions_sends(dsn: str, engine: Engine) -> None:
    plain = url(dsn).replace("+psycopg", "")  # without a driver
    for made in [
        PGMQueue(dsn=url(dsn)),
        PGMQueue(dsn=plain),
        PGMQueue(engine=engine),
        PGMQueue(session_maker=sessionmaker(engine)),
    ]:
        made.send("orders", 1)
        assert not made.is_async
        with Session(engine) as session:
            made.send("orders", 2, session=session, commit=False)
        message = made.read("orders")
        assert message is not None
        made.delete("orders", message.msg_id)
        assert _state(engine) == (0, [])
        if made.engine is not engine:
            made.engine.dispose()
    with pytest.raises(ValueError, match="Must provide either dsn, engine, or session_maker"):
        PGMQueue()


@pytest.mark.parametrize("driver", DRIVERS)
def test_async_op_and_client_do_the_same(dsn: str, engine: Engine, driver: str) -> None:
    async def use(own: AsyncEngine) -> None:
        maker = async_sessionmaker(own)
        async with maker() as session:
            session.add(Order(id=1))
            await op.send_async("orders", MESSAGE, session=session, commit=False)
            await session.rollback()
            assert await op.read_async("orders", 30, session=session) is None
            session.add(Order(id=1))
            await op.send_async("orders", MESSAGE, session=session, commit=False)
            await op.send_batch_async("orders", [1, [2]], session=session, commit=False)
            await session.commit()
        client = PGMQueue(session_maker=maker)
        assert client.is_async
        messages = await client.read_batch_async("orders", 3, 30)
        assert [message.message for message in messages or []] == [MESSAGE, 1, [2]]
        assert await client.delete_batch_async("orders", [2, 3, 9]) == [2, 3]
        assert await client.list_queues_async() == ["orders"]

    asyncio.run(_with_engine(dsn, driver, use))
    assert _state(engine)[0] == 1


async def _with_engine(dsn: str, driver: str, use: Any) -> None:
    engine = create_async_engine(url(dsn, driver))
    try:
        await use(engine)
    finally:
        await engine.dispose()


def test_an_engine_is_made_of_a_dsn_by_its_driver(dsn: str) -> None:
    made = PGMQueue(dsn=url(dsn, "asyncpg"))
    assert made.is_async
    assert isinstance(made.engine, AsyncEngine)


# SQLAlchemyPGMQueue and its twin


def test_a_client_of_an_engine_takes_connections_and_sessions(engine: Engine) -> None:
    queue = SQLAlchemyPGMQueue(engine=engine)

    @sqlalchemy_transaction
    def send_and_fail(queue: SQLAlchemyPGMQueue, conn: Any = None) -> None:
        queue.send("orders", 1, conn=conn)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        send_and_fail(queue)
    with engine.begin() as conn:
        queue.send("orders", 2, conn=conn)
        assert not queue.validate_routing_key("a..b", conn=conn)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        assert not queue.validate_routing_key("a..b", conn=conn)
    with queue.session() as session:
        queue.send("orders", 3, conn=session)
        assert not queue.validate_topic_pattern("a**", conn=session)
        session.rollback()
    assert _state(engine) == (0, [2])
    queue.close()
    assert queue.version()


def test_a_message_read_twice_is_acknowledged_once_in_a_session(engine: Engine) -> None:
    queue = SQLAlchemyPGMQueue(engine=engine)
    queue.send("orders", 1)
    first = queue.read("orders", vt=-1)
    second = queue.read("orders", vt=60)
    assert first is not None
    assert second is not None
    for message, left in [(first, False), (second, True)]:
        with queue.session() as session:
            session.add(Order(id=message.message))
            done = queue.ack("orders", message.msg_id, message.read_ct, conn=session)
            assert done is left
            if done:
                session.commit()
    assert _state(engine) == (1, [])


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_asynchronous_client_takes_any_driver(dsn: str, engine: Engine, driver: str) -> None:
    @sqlalchemy_async_transaction
    async def send_and_fail(queue: SQLAlchemyAsyncPGMQueue, conn: Any = None) -> None:
        await queue.send("orders", 1, conn=conn)
        raise ZeroDivisionError

    async def use(own: AsyncEngine) -> None:
        queue = SQLAlchemyAsyncPGMQueue(engine=own)
        await queue.init()
        with pytest.raises(ZeroDivisionError):
            await send_and_fail(queue)
        async with queue.session() as session:
            await queue.send("orders", 2, conn=session)
            assert not await queue.validate_routing_key("a..b", conn=session)
        async with own.connect() as conn:
            await conn.execution_options(isolation_level="AUTOCOMMIT")
            assert not await queue.validate_routing_key("a..b", conn=conn)
            assert not await queue.validate_topic_pattern("a**", conn=conn)
        assert await queue.send_batch("orders", [MESSAGE, None], [{"h": 1}, None], 0) == [3, 4]
        messages = await queue.read("orders", qty=5)
        assert isinstance(messages, list)
        assert [(m.message, m.headers) for m in messages] == [(MESSAGE, {"h": 1}), (None, None)]
        assert await queue.ack_batch("orders", [3, 4], [1, 9]) == [3]
        hour = timedelta(hours=1)
        await queue.set_policy("orders", retry_jitter=0.5, dedup_window=hour, retry_delay=hour)
        assert (await queue.get_policy("orders")).dedup_window == hour
        assert (await queue.send_once("orders", MESSAGE, "key")).is_new
        (found,) = await queue.read_any(["orders"])
        assert (found.queue_name, found.message.message) == ("orders", MESSAGE)
        await queue.close()

    asyncio.run(_with_engine(dsn, driver, use))


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_python_cannot_decode_costs_no_other_message(
    dsn: str, engine: Engine, driver: str
) -> None:
    deep = "[" * 5000 + "]" * 5000
    with engine.begin() as conn:
        for message in (deep, "1"):
            conn.exec_driver_sql("SELECT pgmq.send('orders', %s::jsonb)", (message,))
    assert _state(engine)[1] == [deep, 1]

    async def use(own: AsyncEngine) -> None:
        queue = SQLAlchemyAsyncPGMQueue(engine=own)
        async with queue.session() as session:
            messages = await queue.read_batch("orders", batch_size=2, conn=session)
            assert [message.message for message in messages] == [deep, 1]
            await queue.send("orders", messages[0].message, conn=session)
            await session.commit()

    asyncio.run(_with_engine(dsn, driver, use))
    assert _state(engine)[1] == [deep]


def test_an_engine_decodes_as_it_was_told_to(dsn: str, engine: Engine) -> None:
    own = create_engine(url(dsn), json_deserializer=lambda text: ("mine", json.loads(text)))
    client = SQLAlchemyPGMQueue(engine=own)
    client.send("orders", 1)
    assert client.read("orders").message == ("mine", 1)  # type: ignore[union-attr]
    own.dispose()


def test_a_client_without_an_engine_makes_and_closes_its_own(dsn: str) -> None:
    queue = SQLAlchemyPGMQueue(dsn, pool_size=1)
    assert queue.version()
    queue.dispose()
    with pytest.raises(RuntimeError, match="not open"):
        queue.version()

    async def main() -> None:
        async with SQLAlchemyAsyncPGMQueue(dsn, pool_size=1) as client:
            assert await client.version()

    asyncio.run(main())


# Beside pgmq-sqlalchemy 0.2


@pytest.mark.parametrize("interval", [0, "-5", "soon", "1 fortnight", ""])
def test_what_is_no_interval_of_partitions_is_refused(interval: Any, engine: Engine) -> None:
    for pair in ((interval, "1 day"), ("1 day", interval)):
        with (
            Session(engine) as session,
            pytest.raises(ValueError, match=r"(Numeric|Invalid time-based) partition interval"),
        ):
            op.create_partitioned_queue("q", *pair, session=session)


def test_the_operations_have_the_signatures_of_pgmq_sqlalchemy() -> None:
    """As `inspect` shows those of 0.2.0, but for the types."""
    operations = {
        "check_pgmq_ext": [],
        "check_pg_partman_ext": [],
        "create_queue": ["queue_name", "unlogged=False"],
        "create_partitioned_queue": ["queue_name", "partition_interval", "retention_interval"],
        "validate_queue_name": ["queue_name"],
        "drop_queue": ["queue", "partitioned=False"],
        "list_queues": [],
        "send": ["queue_name", "message", "delay=0"],
        "send_batch": ["queue_name", "messages", "delay=0"],
        "read": ["queue_name", "vt"],
        "read_batch": ["queue_name", "vt", "batch_size=1"],
        "read_with_poll": [
            *["queue_name", "vt", "qty=1", "max_poll_seconds=5", "poll_interval_ms=100"],
        ],
        "set_vt": ["queue_name", "msg_id", "vt"],
        "pop": ["queue_name"],
        "delete": ["queue_name", "msg_id"],
        "delete_batch": ["queue_name", "msg_ids"],
        "archive": ["queue_name", "msg_id"],
        "archive_batch": ["queue_name", "msg_ids"],
        "purge": ["queue_name"],
        "metrics": ["queue_name"],
        "metrics_all": [],
    }
    methods = {name: known for name, known in operations.items() if not name.startswith("check")}
    methods |= {
        "create_partitioned_queue": [
            *["queue_name", "partition_interval=10000", "retention_interval=100000"],
        ],
        "read": ["queue_name", "vt=None"],
        "read_batch": ["queue_name", "batch_size=1", "vt=None"],
        "read_with_poll": [
            *["queue_name", "vt=None", "qty=1", "max_poll_seconds=5", "poll_interval_ms=100"],
        ],
    }
    for owner, known, keywords in [
        (op, operations, ["session", "commit=True"]),
        (PGMQueue, methods, ["self", "session=None", "commit=True"]),
    ]:
        for name, expected in known.items():
            for variant in [name, f"{name}_async"]:
                function = getattr(owner, variant)
                found = [
                    item.name + ("" if item.default is item.empty else f"={item.default}")
                    for item in inspect.signature(function).parameters.values()
                ]
                assert sorted(found) == sorted([*expected, *keywords]), variant
                assert inspect.iscoroutinefunction(function) is (variant != name)


def test_the_core_does_without_sqlalchemy() -> None:
    """In a process where it cannot be imported."""
    program = """
import sys
sys.modules["sqlalchemy"] = None
import pgmq
try:
    pgmq.SQLAlchemyPGMQueue
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert "pip install 'pgmq[sqlalchemy]'" in done.stdout, done.stderr
    assert pgmq_sqlalchemy.schema.Message.__name__ == "Message"
