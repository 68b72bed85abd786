"""How everything that connects finds its server: one rule, one table of cases."""

from __future__ import annotations

import asyncio
import os
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import create_async_engine

import pgmq
from pgmq import cli
from pgmq.base import ConnStringError, PGMQConfig, find_server
from pgmq.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from support.server import TestServer

pytestmark = pytest.mark.once

NOWHERE = "postgresql://nobody:s3cret@127.0.0.1:1/nowhere"
OURS = ("PGMQ_DSN", "DATABASE_URL")
THEIRS = ("PG_HOST", "PG_PORT", "PG_DATABASE", "PG_USERNAME", "PG_PASSWORD")
LIBPQ = ("PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD")


@pytest.fixture(scope="module")
def here(server: TestServer, template: str) -> Iterator[dict[str, str]]:
    """Where the queue `here` is: HOST, PORT, DATABASE, USER, PASSWORD."""
    with server.database(template) as dbname:
        known = conninfo_to_dict(server.dsn(dbname))
        with psycopg.connect(server.dsn(dbname), autocommit=True) as conn:
            conn.execute("SELECT pgmq.create('here')")
        yield {
            name: str(known.get(key) or "")
            for key, name in zip(
                ("host", "port", "dbname", "user", "password"),
                ("HOST", "PORT", "DATABASE", "USER", "PASSWORD"),
                strict=True,
            )
        }


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Set variables instead of all those that say where a server is."""
    for variable in os.environ.keys() & {*OURS, *THEIRS, *LIBPQ, "PGSERVICE", "PGHOSTADDR"}:
        monkeypatch.delenv(variable)

    def set_variables(variables: dict[str, str]) -> None:
        for variable, value in variables.items():
            monkeypatch.setenv(variable, value)

    return set_variables


async def _in_async_client(make: Callable[..., Any], dsn: Any) -> None:
    async with make(dsn) as client:
        await client.send("here", 1)


def _in_client(make: Callable[..., Any], dsn: Any) -> None:
    with make(dsn) as client:
        client.send("here", 1)


def _in_command_line(dsn: Any) -> None:
    words = ["--dsn", dsn.render_as_string(False) if hasattr(dsn, "host") else dsn] if dsn else []
    assert cli.main(["purge", "here", *words]) == 0


ENTRANCES: dict[str, Callable[[Any], Any]] = {
    "client": lambda dsn: _in_client(pgmq.PGMQueue, dsn),
    "asynchronous client": lambda dsn: _in_async_client(pgmq.AsyncPGMQueue, dsn),
    "SQLAlchemy": lambda dsn: _in_client(pgmq.SQLAlchemyPGMQueue, dsn),
    "asynchronous SQLAlchemy": lambda dsn: _in_async_client(pgmq.SQLAlchemyAsyncPGMQueue, dsn),
    "worker": lambda dsn: pgmq.Worker(dsn, "here", str).run(until_empty=True),
    "asynchronous worker": lambda dsn: pgmq.AsyncWorker(dsn, "here", asyncio.sleep).run(
        until_empty=True
    ),
    "relay": lambda dsn: Relay(dsn, "here", "memory://?queue=here").run(until_empty=True),
    "installing": lambda dsn: pgmq.install_pgmq_sql("SELECT 'pgmq.q_here'::regclass", dsn=dsn),
    "command line": _in_command_line,
}


class Case(NamedTuple):
    name: str
    dsn: str | None
    variables: Mapping[str, str] = MappingProxyType({})
    url: bool = False  # whether it is given as SQLAlchemy's object, too


HERE = "host=$HOST port=$PORT dbname=$DATABASE user=$USER password=$PASSWORD"
URL = "://$USER:$PASSWORD@/$DATABASE?host=$HOST&port=$PORT"
SAID = ["$HOST", "$PORT", "$DATABASE", "$USER", "$PASSWORD"]
CASES = [
    Case("an argument", HERE, {"PGMQ_DSN": NOWHERE, "DATABASE_URL": NOWHERE, "PGHOST": "nowhere"}),
    Case("PGMQ_DSN", None, {"PGMQ_DSN": HERE, "DATABASE_URL": NOWHERE}),
    Case("DATABASE_URL", None, {"DATABASE_URL": "postgresql+psycopg" + URL, "PG_HOST": "nowhere"}),
    Case("upstream's", None, dict(zip(THEIRS, SAID, strict=True)) | {"PGHOST": "nowhere"}),
    Case("libpq's", None, dict(zip(LIBPQ, SAID, strict=True))),
    Case("what is left open", "dbname=$DATABASE", dict(zip(LIBPQ, SAID, strict=True))),
    Case("a service, by itself", None, {"PGSERVICE": "here"}),
    Case("a service", "service=here", {"PG_HOST": "nowhere"}),
    Case("postgres://", "postgres" + URL),
    Case("a driver", "postgresql+psycopg2" + URL + "&sslmode=disable", url=True),
    Case("another driver", "postgresql+asyncpg" + URL + "&ssl=disable"),
    Case("several hosts", "host=127.0.0.1,$HOST port=1,$PORT target_session_attrs=read-write"
         " dbname=$DATABASE user=$USER password=$PASSWORD"),
]  # fmt: skip


def _filled(text: str, here: dict[str, str]) -> str:
    for name, value in here.items():
        text = text.replace(f"${name}", value)
    return text


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_everything_finds_its_server_in_the_same_way(
    case: Case,
    here: dict[str, str],
    environment: Callable[[dict[str, str]], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = tmp_path / "service"
    service.write_text("[here]\n" + "\n".join(_filled(HERE, here).split(" ")))
    monkeypatch.setenv("PGSERVICEFILE", str(service))
    environment({name: _filled(value, here) for name, value in case.variables.items()})
    dsn = case.dsn and _filled(case.dsn, here)
    for given in [dsn, make_url(dsn)] if dsn and case.url else [dsn]:
        for name, enter in ENTRANCES.items():
            print(name)  # seen if it fails
            result = enter(given)
            if asyncio.iscoroutine(result):
                asyncio.run(result)


# Without connecting: what is said, what find_server makes of it.
SERVERS: list[tuple[Any, dict[str, str], dict[str, str]]] = [
    (None, {}, {}),  # what libpq has without a word
    (None, {"PGMQ_DSN": "host=a", "DATABASE_URL": "host=b"}, {"host": "a"}),
    # What a connection string leaves open upstream's variables say; what it has they do not.
    ("host=a", {"PG_HOST": "b", "PG_PORT": "7"}, {"host": "a", "port": "7"}),
    ("hostaddr=127.0.0.1", {"PG_HOST": "b", "PG_PORT": "7"}, {"hostaddr": "127.0.0.1"}),
    # With upstream's variables go upstream's defaults, but where libpq's variables know better.
    (None, {"PG_HOST": "a", "PGUSER": "me"}, {
        "host": "a", "port": "5432", "dbname": "postgres", "password": "postgres",
    }),
    (None, {"PG_HOST": "a", "PGSERVICE": "here"}, {"host": "a"}),
    ("postgresql+psycopg://u:p%40+@a:7/d?sslmode=require&application_name=x+y", {}, {
        "user": "u", "password": "p@+", "host": "a", "port": "7", "dbname": "d",
        "sslmode": "require", "application_name": "x y",
    }),
    ("postgresql+asyncpg://u@/d?host=a:1&host=b:2&ssl=verify-full", {}, {
        "user": "u", "dbname": "d", "host": "a,b", "port": "1,2", "sslmode": "verify-full",
    }),
    ("postgresql+psycopg2://u@/d?host=/run&port=7", {}, {
        "user": "u", "dbname": "d", "host": "/run", "port": "7",
    }),
    ("postgresql://a:1,b:2/d?target_session_attrs=primary", {}, {
        "host": "a,b", "port": "1,2", "dbname": "d", "target_session_attrs": "primary",
    }),
]  # fmt: skip


@pytest.mark.parametrize(("said", "variables", "found"), SERVERS)
def test_each_source_is_heeded_in_its_turn(
    said: Any,
    variables: dict[str, str],
    found: dict[str, str],
    environment: Callable[[dict[str, str]], None],
) -> None:
    environment(variables)
    assert find_server(said) == found
    if found:
        config = PGMQConfig(said)
        assert conninfo_to_dict(config.dsn) == conninfo_to_dict(config.async_dsn) == found


def test_a_client_heeds_its_arguments_then_libpq_and_last_upstreams_defaults(
    environment: Callable[[dict[str, str]], None],
) -> None:
    environment({})
    assert PGMQConfig().dsn == (
        "host=localhost port=5432 dbname=postgres user=postgres password=postgres"
    )
    environment({"PGPASSWORD": "x"})  # says nothing of where the server is
    assert PGMQConfig().dsn == "host=localhost port=5432 dbname=postgres user=postgres"
    environment({"PGHOST": "a"})
    assert PGMQConfig().dsn == ""
    environment({"DATABASE_URL": "host=b"})
    assert PGMQConfig(host="c").host == "c"
    assert PGMQConfig().conn_string == "host=b"


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("mysql://u:s3cret@a/d", "neither a postgresql:// URI nor"),
        ("s3cret", "neither a postgresql:// URI nor"),
        ("postgresql://u:s3cret@a/d?foo=s3cret", 'invalid URI query parameter: "foo"'),
        ("postgresql+psycopg://u:s3cret@a/d?foo=s3cret", 'invalid connection option "foo"'),
        ("host=a foo=s3cret", 'invalid connection option "foo"'),
    ],
)
def test_what_is_no_connection_string_is_refused_without_its_password(
    said: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for enter in (
        pgmq.PGMQueue,
        lambda dsn: pgmq.Worker(dsn, "q", str),
        lambda dsn: Relay(dsn, "q", "memory://?queue=q").run(),
    ):
        with pytest.raises(ConnStringError, match=complaint) as caught:
            enter(said)
        assert "s3cret" not in str(caught.value)
        assert caught.value.__suppress_context__
    assert cli.main(["metrics", "--dsn", said]) == 1
    complained = capsys.readouterr().err
    assert complaint in complained
    assert "s3cret" not in complained


def test_repr_tells_where_a_client_or_a_worker_connects_and_no_secret(
    here: dict[str, str], environment: Callable[[dict[str, str]], None]
) -> None:
    environment({})
    dsn = "postgresql+psycopg://app:s3cret@[::1],b:7/orders?sslpassword=s3cret"
    place = "postgresql://app@/orders?host=::1,b&port=,7"
    worker = pgmq.AsyncWorker(dsn, "jobs", asyncio.sleep)
    assert repr(worker) == f"<pgmq.worker.AsyncWorker of jobs at {place}>"
    for client in (pgmq.AsyncPGMQueue(dsn), pgmq.SQLAlchemyAsyncPGMQueue(dsn)):
        assert repr(client) == f"<{type(client).__module__}.PGMQueue at {place}>"
    environment({"PGHOST": "a", "PGUSER": "me", "PGPORT": "7"})
    assert repr(pgmq.AsyncPGMQueue()).endswith(" at postgresql://me@a:7/>")
    assert repr(pgmq.AsyncPGMQueue("service=s")).endswith(" at postgresql:///?service=s>")

    # A pool or an engine of the user's leads to where it leads.
    pool = AsyncConnectionPool("host=b password=s3cret", kwargs={"user": "u"}, open=False)
    assert repr(pgmq.AsyncPGMQueue(pool=pool)).endswith(" at postgresql://u@b:7/>")
    engine = create_async_engine("postgresql+asyncpg://u:s3cret@c/d")
    client = pgmq.SQLAlchemyAsyncPGMQueue(engine=engine)
    assert repr(client).endswith(" at postgresql+asyncpg://u:***@c/d>")
