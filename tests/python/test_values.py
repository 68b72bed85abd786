"""How values travel, what becomes JSON, durations; and whose transaction a call is part of."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import inspect
import json
import subprocess
import sys
from collections import namedtuple
from datetime import date, datetime, timedelta, timezone
from datetime import time as time_of_day
from decimal import Decimal
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
import psycopg
import pydantic
import pytest
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker

import pgmq
from pgmq._wire import JSONText, UndecodableJSON
from support import server as servers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from support.server import TestServer

KEY = UUID(int=7)
WHEN = datetime(2026, 1, 2, 3, 4, 5, 6, timezone.utc)


class Color(Enum):
    RED = "red"
    OF_THE_DAY = date(2026, 1, 2)


class Size(IntEnum):
    LARGE = 3


@dataclasses.dataclass
class Line:
    item: UUID
    price: Decimal


class Order(pydantic.BaseModel):
    placed: datetime
    total: Decimal
    lines: list[Line]


Point = namedtuple("Point", "x y")

# What is sent, and what arrives.
VALUES: list[tuple[Any, Any]] = [
    (WHEN, "2026-01-02T03:04:05.000006+00:00"),
    (date(2026, 1, 2), "2026-01-02"),
    (time_of_day(3, 4), "03:04:00"),
    (KEY, str(KEY)),
    (Decimal("1.10"), "1.10"),  # a number would lose its zero in a float
    (Color.RED, "red"),
    (Color.OF_THE_DAY, "2026-01-02"),
    (Size.LARGE, 3),
    (Point(1, Size.LARGE), [1, 3]),
    (Line(KEY, Decimal(2)), {"item": str(KEY), "price": "2"}),
    (
        {"orders": [Order(placed=WHEN, total=Decimal("2.50"), lines=[Line(KEY, Decimal(2))])]},
        {
            "orders": [
                {
                    "placed": "2026-01-02T03:04:05.000006Z",
                    "total": "2.50",
                    "lines": [{"item": str(KEY), "price": "2"}],
                }
            ]
        },
    ),
]

# What is no JSON, and what is said of it.
REFUSED: list[tuple[Any, type[Exception], str]] = [
    (b"x", TypeError, "Object of type bytes is not JSON serializable"),
    (
        {"items": [{}, {"photo": bytearray(b"x")}]},
        TypeError,
        "Object of type bytearray is not JSON serializable, at ['items'][1]['photo']",
    ),
    ([Line(KEY, {1, 2})], TypeError, "type set is not JSON serializable, at [0]['price']"),  # type: ignore[arg-type]
    ({"a": {KEY: 1}}, TypeError, "keys must be str, int, float, bool or None, not UUID, at ['a']"),
    ([timedelta(1)], TypeError, "Object of type timedelta is not JSON serializable, at [0]"),
    ([float("nan")], ValueError, "not JSON compliant"),
]


class Blocking:
    """An asynchronous client whose calls are waited for, so that one test is for all clients."""

    def __init__(self, client: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.client = client
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)

        def call(*arguments: Any, **keywords: Any) -> Any:
            result = method(*arguments, **keywords)
            return self._loop.run_until_complete(result) if inspect.isawaitable(result) else result

        return call


CLIENTS: dict[str, Callable[..., Any]] = {
    "psycopg": pgmq.PGMQueue,
    "asynchronous psycopg": pgmq.AsyncPGMQueue,
    "SQLAlchemy": pgmq.SQLAlchemyPGMQueue,
    "SQLAlchemy with asyncpg": lambda dsn, **options: pgmq.SQLAlchemyAsyncPGMQueue(
        engine=create_async_engine(servers.url(dsn, "asyncpg")), **options
    ),
}


@pytest.fixture(scope="module")
def dsn(server: TestServer, template: str) -> Iterator[str]:
    """One database for all these tests; each has a queue of its own."""
    with server.database(template) as dbname:
        yield server.dsn(dbname)


@pytest.fixture(params=CLIENTS)
def make(request: pytest.FixtureRequest, dsn: str) -> Iterator[Callable[..., Any]]:
    """Make a client; arguments are its options."""
    loop = asyncio.new_event_loop()
    with contextlib.ExitStack() as stack:
        stack.callback(loop.close)

        def make_client(**options: Any) -> Any:
            made = CLIENTS[request.param](dsn, **options)
            if not hasattr(made, "__aenter__"):
                return stack.enter_context(made)
            client = Blocking(made, loop)
            client.init()
            stack.callback(client.close)
            if request.param.endswith("asyncpg"):
                stack.callback(lambda: loop.run_until_complete(made.engine.dispose()))
            return client

        yield make_client


@pytest.fixture
def queue(request: pytest.FixtureRequest, dsn: str) -> Iterator[str]:
    """The name of a queue that is there for one test."""
    with pgmq.PGMQueue(dsn) as maker:
        maker.create_queue("q")
        yield "q"
        maker.drop_queue("q")


def test_values_arrive_by_every_way_in(make: Callable[..., Any], queue: str) -> None:
    client = make()
    sent, arrived = [value for value, _ in VALUES], [json for _, json in VALUES]
    client.send_batch(queue, sent, headers=[{"h": value} for value in sent])
    client.create_exchange("values")
    client.bind("values", queue, None, "fanout")
    client.bind_topic("#", queue)
    everything = {"all": sent}
    client.publish("values", "key", everything, everything)
    client.send_topic("key", everything, everything)
    client.send_batch_topic("key", [everything], [everything])
    client.set_policy(queue, dedup_window="1 hour")
    client.send_once(queue, everything, "a", everything)
    client.send_once_batch(queue, [everything], ["b"], [everything])
    msg_id = client.send(queue, None)
    client.amend(queue, msg_id, everything, everything)
    client.schedule("values", queue, "@yearly", everything, everything)
    client.run_schedule("values")
    read = client.read_batch(queue, batch_size=100)
    assert [message.message for message in read[: len(sent)]] == arrived
    assert [message.headers for message in read[: len(sent)]] == [{"h": json} for json in arrived]
    rest = read[len(sent) :]
    assert [message.message for message in rest] == [{"all": arrived}] * 7
    assert [message.headers["all"] for message in rest] == [arrived] * 7
    # A condition is such a value, too.
    client.send(queue, {"color": Color.RED, "key": KEY})
    assert len(client.read(queue, qty=9, conditional={"key": KEY})) == 1
    client.unbind_topic("#", queue)
    client.drop_exchange("values")


def test_what_is_no_json_is_refused_with_its_type_and_place(
    make: Callable[..., Any], queue: str
) -> None:
    client = make()
    for value, kind, complaint in REFUSED:
        for message, headers in ((value, None), ({}, {"h": value})):
            with pytest.raises(kind) as caught:
                client.send(queue, message, headers)
            place = complaint.replace("at [", "at ['h'][") if headers else complaint
            assert place in str(caught.value)
    with pytest.raises(TypeError, match=r"at \['x'\]"):
        client.send_batch(queue, [{}, {"x": b""}])
    assert client.metrics(queue).queue_length == 0


def test_hooks_encode_and_decode_everything(make: Callable[..., Any], queue: str) -> None:
    exact = functools.partial(json.loads, parse_float=Decimal)
    for hooks in (
        {"dumps": orjson.dumps, "loads": exact},
        {"dumps": lambda value: orjson.dumps(value, default=str).decode(), "loads": exact},
    ):
        with_hooks = make(**hooks)
        body = {"when": WHEN, "price": 1.1, "key": KEY}
        with_hooks.send(queue, body, {"h": [body]})
        with_hooks.send(queue, JSONText('{"price": 1.10000000000000000001}'))  # as it stands
        found = with_hooks.read_batch(queue, batch_size=2)
        plain = {"when": WHEN.isoformat(), "price": Decimal("1.1"), "key": str(KEY)}
        assert [found[0].message, found[0].headers] == [plain, {"h": [plain]}]
        assert found[1].message == {"price": Decimal("1.10000000000000000001")}
    # What orjson has no idea of, it says.
    with pytest.raises(TypeError, match="Decimal"):
        make(dumps=orjson.dumps).send(queue, Decimal(1))
    # Nor must a hook lose messages with the one that it cannot decode.
    with_hooks = make(loads=orjson.loads)
    with_hooks.send(queue, JSONText("[" * 2000 + "]" * 2000))
    with_hooks.send(queue, 2)
    broken, whole = with_hooks.read_batch(queue, batch_size=2)
    assert isinstance(broken.message, UndecodableJSON)
    assert whole.message == 2


def _exactly(text: bytes) -> Any:
    if b"poison" in text:
        raise LookupError("no such value")
    return json.loads(text, parse_float=Decimal)


@pytest.mark.parametrize("transactional", [False, True])
@pytest.mark.parametrize("group", [None, "g"])
def test_a_worker_decodes_by_its_hook(transactional: bool, group: str | None, dsn: str) -> None:
    with pgmq.PGMQueue(dsn) as client:
        if group:
            client.create_stream("w")
            client.create_queue("dead")
            client.create_group("w", group, "earliest", 1, 1, "dead")
        else:
            client.create_queue("w")
            client.set_policy("w", max_receives=1)
        client.send_batch("w", [1.1, "poison", 1.2])
        handled: list[Any] = []
        pgmq.Worker(
            dsn,
            "w",
            lambda message, *_: handled.append(message.message),
            transactional=transactional,
            group=group,
            retry_delay=0,
            loads=_exactly,
        ).run(until_empty=True)
        # What the hook cannot decode has failed, and costs no other message.
        assert handled == [Decimal("1.1"), Decimal("1.2")]
        client.drop_queue("w")
        client.drop_queue("dead")


def test_durations_are_numbers_timedeltas_or_texts(make: Callable[..., Any], queue: str) -> None:
    client = make(delay=timedelta(minutes=1), vt=timedelta(minutes=2))
    hour = timedelta(hours=1)
    client.set_policy(
        queue, 5, retry_delay="90 seconds", message_ttl=timedelta(days=3), dedup_window="1 hour"
    )
    client.alter_policy(queue, retry_delay_max="1 hour", archive_retention=timedelta(days=30))
    policy = client.get_policy(queue)
    assert policy.retry_delay == timedelta(seconds=90)
    assert policy.message_ttl == timedelta(days=3)
    assert (policy.retry_delay_max, policy.archive_retention) == (hour, timedelta(days=30))

    def in_seconds(msg_id: int) -> int:
        message = client.get(queue, msg_id)
        seconds: float = (message.vt - datetime.now(timezone.utc)).total_seconds()
        return round(seconds / 10) * 10

    assert in_seconds(client.send(queue, 1)) == 60  # the client's own
    assert in_seconds(client.send(queue, 1, delay=hour)) == 3600
    assert in_seconds(client.send(queue, 1, delay=timedelta(seconds=59, milliseconds=1))) == 60
    assert in_seconds(client.send(queue, 1, delay=datetime.now(timezone.utc) + hour)) == 3600
    assert [in_seconds(one) for one in client.send_batch(queue, [1, 2], delay=hour)] == [3600] * 2
    assert in_seconds(client.send_once(queue, 1, "a", delay=hour).msg_id) == 3600
    client.purge(queue)
    client.send(queue, 1, delay=0)
    message = client.read(queue)
    assert in_seconds(message.msg_id) == 120  # the client's own
    client.set_vt(queue, message.msg_id, hour)
    assert in_seconds(message.msg_id) == 3600
    client.extend(queue, message.msg_id, message.read_ct, timedelta(minutes=5))
    assert in_seconds(message.msg_id) == 300
    client.nack(queue, message.msg_id, message.read_ct, timedelta(minutes=10))
    assert in_seconds(message.msg_id) == 600


def test_a_part_of_a_second_is_one_more(make: Callable[..., Any], queue: str) -> None:
    client = make(vt=0.4)
    client.send(queue, 1, delay=0.0)
    assert client.read(queue)
    assert client.read(queue, vt=Decimal("0.4")) is None
    assert client.read_with_poll(queue, max_poll_seconds=0.4, poll_interval_ms=50)
    (message,) = client.set_vt(queue, [1], 0.6)
    assert message.vt > datetime.now(timezone.utc)


def test_a_time_without_a_zone_is_one_of_the_sessions(
    make: Callable[..., Any], queue: str, dsn: str
) -> None:
    name = sql.Identifier(str(conninfo_to_dict(dsn)["dbname"]))
    zone = sql.SQL("ALTER DATABASE {} SET TimeZone TO 'Asia/Tokyo'").format(name)
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute(zone)
        client = make()
        when = datetime(2100, 1, 1)
        sent = [client.send(queue, 1, delay=when), client.send(queue, 2, tz=when)]
        sent += client.send_batch(queue, [3], delay=when)
        sent.append(client.set_vt(queue, client.send(queue, 4), when).msg_id)
        at = datetime(2099, 12, 31, 15, tzinfo=timezone.utc)
        assert {client.get(queue, msg_id).vt for msg_id in sent} == {at}
        with pytest.raises(ValueError, match="needs a time zone"):
            client.requeue(queue, since=when)
        db.execute(sql.SQL("ALTER DATABASE {} RESET TimeZone").format(name))


def test_streams_take_durations_and_the_server_refuses_what_is_none(dsn: str) -> None:
    with pgmq.PGMQueue(dsn) as client:
        client.create_stream("s", timedelta(hours=12), timedelta(days=2))
        client.drop_queue("s")
        client.create_queue("q")
        with pytest.raises(errors.InvalidDatetimeFormat, match="soon"):
            client.set_policy("q", retry_delay="soon")
        client.drop_queue("q")


# Whose transaction a call is part of


@contextlib.contextmanager
def _blocking_transactions(dsn: str) -> Iterator[dict[str, Any]]:
    """What a synchronous client may be given as conn."""
    engine = create_engine(servers.url(dsn))
    with (
        psycopg.connect(dsn) as connection,
        psycopg.connect(dsn, cursor_factory=psycopg.ClientCursor) as another,
        another.cursor() as cursor,
        engine.connect() as core,
        Session(engine) as session,
    ):
        scoped = scoped_session(sessionmaker(engine))
        yield {
            "connection of psycopg": connection,
            "cursor of psycopg": cursor,
            "connection of SQLAlchemy": core,
            "session of SQLAlchemy": session,
            "scoped session of SQLAlchemy": scoped,
        }
        scoped.remove()
    engine.dispose()


@contextlib.asynccontextmanager
async def _waiting_transactions(dsn: str) -> AsyncIterator[dict[str, Any]]:
    """What an asynchronous client may be given as conn."""
    psycopg_engine = create_async_engine(servers.url(dsn))
    engine = create_async_engine(servers.url(dsn, "asyncpg"))
    async with (
        await psycopg.AsyncConnection.connect(dsn) as connection,
        await psycopg.AsyncConnection.connect(dsn) as another,
        another.cursor() as cursor,
        psycopg_engine.connect() as core,
        AsyncSession(engine) as session,
    ):
        scoped = async_scoped_session(async_sessionmaker(engine), asyncio.current_task)
        yield {
            "connection of psycopg": connection,
            "cursor of psycopg": cursor,
            "connection of SQLAlchemy": core,
            "session of SQLAlchemy, with asyncpg": session,
            "scoped session of SQLAlchemy": scoped,
        }
        await scoped.remove()
    await engine.dispose()
    await psycopg_engine.dispose()


def _transaction(conn: Any) -> Any:
    """What has commit and rollback."""
    return conn.connection if isinstance(conn, psycopg.Cursor | psycopg.AsyncCursor) else conn


@pytest.mark.parametrize("kind", [pgmq.PGMQueue, pgmq.SQLAlchemyPGMQueue])
def test_a_call_is_part_of_whatever_transaction_it_is_given(
    kind: Any, dsn: str, queue: str
) -> None:
    with kind(dsn) as client, _blocking_transactions(dsn) as transactions:
        for name, conn in transactions.items():
            assert client.send(queue, {"key": KEY}, {"h": 1}, conn=conn), name
            # What the server refuses is a no, and does not break the transaction.
            assert not client.validate_routing_key("a..b", conn=conn)
            (message,) = client.peek(queue, conn=conn)
            assert (message.message, message.headers) == ({"key": str(KEY)}, {"h": 1})
            assert client.metrics(queue).queue_length == 0  # nobody else sees it
            _transaction(conn).rollback()
            client.send(queue, name, conn=conn)
            _transaction(conn).commit()
            message = client.read(queue, conn=conn)
            assert message.message == name
            assert client.ack(queue, message.msg_id, message.read_ct, conn=conn)
            _transaction(conn).commit()


@pytest.mark.parametrize("kind", [pgmq.AsyncPGMQueue, pgmq.SQLAlchemyAsyncPGMQueue])
def test_an_asynchronous_call_is_part_of_whatever_transaction_it_is_given(
    kind: Any, dsn: str, queue: str
) -> None:
    async def main() -> None:
        async with kind(dsn) as client, _waiting_transactions(dsn) as transactions:
            for name, conn in transactions.items():
                assert await client.send(queue, {"key": KEY}, {"h": 1}, conn=conn), name
                assert not await client.validate_routing_key("a..b", conn=conn)
                (message,) = await client.peek(queue, conn=conn)
                assert (message.message, message.headers) == ({"key": str(KEY)}, {"h": 1})
                assert (await client.metrics(queue)).queue_length == 0
                await _transaction(conn).rollback()
                await client.send(queue, name, conn=conn)
                await _transaction(conn).commit()
                message = await client.read(queue, conn=conn)
                assert message.message == name
                assert await client.ack(queue, message.msg_id, message.read_ct, conn=conn)
                await _transaction(conn).commit()

    asyncio.run(main())


# In a process of its own: Django's settings are for good.
DJANGO = """
import sys
from decimal import Decimal
from django.conf import settings
dsn, dbname, user, password, host, port = sys.argv[1:]
there = {"ENGINE": "django.db.backends.postgresql", "NAME": dbname, "USER": user,
         "PASSWORD": password, "HOST": host, "PORT": port}
settings.configure(DATABASES={"default": there, "lite": {"ENGINE": "django.db.backends.sqlite3"}},
                   USE_TZ=True)
import django
django.setup()
from django.db import connection, connections, transaction
from django.db.utils import ProgrammingError
import pgmq
from pgmq import PGMQueue, SQLAlchemyPGMQueue

for kind in (PGMQueue, SQLAlchemyPGMQueue):
    client = kind(dsn)
    try:
        with transaction.atomic():
            client.send("q", {"price": Decimal(1)}, {"h": 1}, conn=connection)
            client.send_batch("q", [1, 2], conn=connection)
            assert not client.validate_routing_key("a..b", conn=connection)
            assert client.metrics("q").queue_length == 0
            raise ValueError
    except ValueError:
        assert client.metrics("q").queue_length == 0
    with transaction.atomic(), connection.execute_wrapper(
        lambda execute, sql, params, many, context: execute(sql, params, many, context)
    ):
        client.send("q", {"price": Decimal(1)}, {"h": 1}, conn=connections["default"])
    message = client.read("q", conn=connection)
    assert (message.message, message.headers) == ({"price": "1"}, {"h": 1}), message
    assert message.vt.tzinfo and message.vt > message.enqueued_at
    assert client.ack("q", message.msg_id, message.read_ct, conn=connection)
    assert client.get("q", 1, conn=connection) is None
    try:
        client.send("nowhere", 1, conn=connection)
    except ProgrammingError as error:
        assert error.__cause__.sqlstate == "42P01"
    try:
        client.send("q", 1, conn=connections["lite"])
    except TypeError as error:
        print(error)
    client.close()
"""


def test_a_call_is_part_of_djangos_transaction(dsn: str, queue: str) -> None:
    known = conninfo_to_dict(dsn)
    names = ("dbname", "user", "password", "host", "port")
    arguments = [str(known.get(name) or "") for name in names]
    done = subprocess.run(
        [sys.executable, "-c", DJANGO, dsn, *arguments], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout == "Django's connection is to sqlite, not to Postgres\n" * 2


def test_what_has_no_transaction_for_a_client_is_refused(dsn: str, queue: str) -> None:
    taken = "conn must be a synchronous connection, cursor or session of psycopg or SQLAlchemy"
    engine = create_engine(servers.url(dsn))
    with pgmq.PGMQueue(dsn) as client:
        assert client.pool is not None
        for wrong in (dsn, client, engine, sessionmaker(engine), client.pool.connection()):
            with pytest.raises(TypeError, match=f"{taken}, or Django's connection, not "):
                client.send(queue, 1, conn=wrong)  # type: ignore[arg-type]
        assert client.metrics(queue).queue_length == 0

    async def main() -> None:
        async with pgmq.AsyncPGMQueue(dsn) as client:
            with psycopg.connect(dsn) as conn, Session(engine) as session:
                for wrong in (conn, session, session.connection()):
                    with pytest.raises(TypeError, match="must be an asynchronous connection"):
                        await client.send(queue, 1, conn=wrong)  # type: ignore[arg-type]

    asyncio.run(main())
    engine.dispose()
