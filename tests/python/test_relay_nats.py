"""The relay to NATS JetStream: servers from the system's packages."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from pgmq.relay import Relay
from support import pages
from support.brokers import NATS, Nats, free_ports
from support.relays import running
from support.server import ROOT
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg

    from conftest import Connect

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(NATS is None, reason="there is no nats-server here"),
]

nats: Any = pytest.importorskip("nats", reason="nats-py is missing: pip install 'pgmq[nats]'")


@contextlib.contextmanager
def _started(*servers: Nats) -> Iterator[Nats]:
    try:
        for server in servers:
            server.start()
        yield servers[0]
    finally:
        for server in servers:
            server.kill()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Nats]:
    """A server that runs."""
    with _started(Nats(tmp_path)) as server:
        yield server


def _call(url: str, method: str, /, *arguments: Any, **options: Any) -> Any:
    """Call a method of JetStream's context."""

    async def call() -> Any:
        async with await nats.connect(url) as client:
            return await getattr(client.jetstream(), method)(*arguments, **options)

    return asyncio.run(call())


def _stream(url: str, *subjects: str, **options: Any) -> None:
    _call(url, "add_stream", name="out", subjects=[*subjects], **options)


def _messages(url: str) -> list[Any]:
    """Return all that is in the stream, in its order."""

    async def read() -> list[Any]:
        async with await nats.connect(url) as client:
            streams = client.jetstream()
            left = (await streams.stream_info("out")).state.messages
            got: list[Any] = []
            unlimited = nats.js.api.ConsumerConfig(ack_policy="none")
            consumer = await streams.pull_subscribe("", stream="out", config=unlimited)
            while len(got) < left:
                got += await consumer.fetch(left - len(got), timeout=10)
            return got

    return asyncio.run(read())


def _send(db: psycopg.Connection, count: int, groups: int) -> None:
    """Send numbers, of the group that is the rest by division."""
    db.execute(
        """
        SELECT count(*) FROM pgmq.send_batch(
            'orders',
            ARRAY(SELECT to_jsonb(i) FROM generate_series(0, %(count)s - 1) AS i),
            ARRAY(
                SELECT jsonb_build_object('x-pgmq-group', i %% %(groups)s)
                FROM generate_series(0, %(count)s - 1) AS i
            )
        )
        """,
        {"count": count, "groups": groups},
    )


def _left(db: psycopg.Connection) -> list[Any]:
    return db.execute(
        "SELECT message, read_ct, headers ->> 'x-pgmq-error' FROM pgmq.q_orders ORDER BY msg_id"
    ).fetchall()


def test_a_message_arrives_as_it_is_with_its_headers(
    broker: Nats, db: psycopg.Connection, dsn: str
) -> None:
    _stream(broker.url, "shop.>")
    headers = {
        "x-pgmq-routing-key": "shop.eu",
        "text": "grün: 1",
        "number": 1.5,
        "lines": "one\r\ntwo",
        "spaces": " x ",
    }
    db.execute(
        "SELECT pgmq.create('orders'), pgmq.send('orders', '{\"amount\": 0.1234567890123456789}'),"
        " pgmq.send('orders', '2', %s::text::jsonb)",
        [json.dumps(headers)],
    )
    [(sent,)] = db.execute(
        "SELECT trunc(extract(epoch FROM enqueued_at) * 1e6) FROM pgmq.q_orders WHERE msg_id = 1"
    ).fetchall()
    assert Relay(dsn, "orders", f"{broker.url}?subject=shop.new").run(until_empty=True) == 2
    assert _left(db) == []
    first, second = _messages(broker.url)
    assert (first.subject, first.data) == ("shop.new", b'{"amount": 0.1234567890123456789}')
    assert first.headers == {
        "Nats-Msg-Id": f"orders/1/{sent}",
        "x-pgmq-message-id": "orders/1",
    }
    assert (second.subject, second.data) == ("shop.eu", b"2")
    del second.headers["Nats-Msg-Id"]
    assert second.headers == {
        "x-pgmq-message-id": "orders/2",
        "x-pgmq-routing-key": "shop.eu",
        "text": "grün: 1",
        "number": "1.5",
        "lines": '"one\\r\\ntwo"',
        "spaces": '" x "',
    }


@pytest.mark.slow
def test_nothing_is_lost_or_there_twice_and_groups_keep_their_order_while_the_broker_is_killed(
    broker: Nats, connect: Connect, dsn: str
) -> None:
    db = connect()
    _stream(broker.url, "orders")
    db.execute("SELECT pgmq.create('orders'), pgmq.create_fifo_index('orders')")
    _send(db, 3000, 100)
    length = "SELECT count(*) FROM pgmq.q_orders"

    def left() -> int:
        [(count,)] = db.execute(length).fetchall()
        return int(count)

    with running(Relay(dsn, "orders", broker.url, vt=3)):
        for below in (2500, 1500):
            until(lambda below=below: left() < below)  # type: ignore[misc]
            broker.kill()
            assert left() > 0
            broker.start()
        until(lambda: left() == 0, 60)
    got = [int(message.data) for message in _messages(broker.url)]
    assert sorted(got) == list(range(3000))
    for group in range(100):
        assert [n for n in got if n % 100 == group] == list(range(group, 3000, 100))


@pytest.mark.slow
def test_a_stream_arrives_whole_and_once_and_each_key_in_order_while_the_broker_is_killed(
    broker: Nats, connect: Connect, dsn: str
) -> None:
    db = connect()
    _stream(broker.url, "orders")
    db.execute("SELECT pgmq.create_stream('orders')")
    db.execute("SELECT pgmq.create_group('orders', 'out', 'earliest', 4)")
    _send(db, 5000, 50)

    def behind() -> int:
        [(lag,)] = db.execute("SELECT lag FROM pgmq.list_groups('orders')").fetchall()
        return int(lag)

    with running(Relay(dsn, "orders", broker.url, group="out", batch=500, vt=3)):
        until(lambda: behind() < 4000)
        broker.kill()
        assert behind() > 0
        broker.start()
        until(lambda: behind() == 0, 60)
    got = [int(message.data) for message in _messages(broker.url)]
    assert sorted(got) == list(range(5000))
    for key in range(50):
        assert [n for n in got if n % 50 == key] == list(range(key, 5000, 50))


BAD = [
    ("has a space", {"x-pgmq-routing-key": "a b"}, "is no subject"),
    ("has an empty token", {"x-pgmq-routing-key": "orders..new"}, "is no subject"),
    ("has a wildcard", {"x-pgmq-routing-key": "orders.*"}, "is no subject"),
    ("would purge", {"x-pgmq-routing-key": "$JS.API.STREAM.PURGE.out"}, "is no subject"),
    ("has no stream", {"x-pgmq-routing-key": "elsewhere"}, "no stream has subject 'elsewhere'"),
    ("is too long", {"x-pgmq-routing-key": 5000 * "x"}, "a subject of 5000 characters is longer"),
    ("is too big", {"x": 1_048_570 * "x"}, "bytes are more than the server takes"),
    ("is too big for the stream", {"x": 1000 * "x"}, "message size exceeds maximum allowed"),
    ("has such a header", {"a: b": "x"}, "NATS has no headers with such a name: 'a: b'"),
    ("expects another", {"Nats-Expected-Last-Sequence": "99"}, "wrong last sequence"),
]


def _send_bad(db: psycopg.Connection) -> None:
    """Send what is refused, each message followed by one that is not, of the same group."""
    for number, (name, headers, _) in enumerate(BAD):
        group = {"x-pgmq-group": f"g{number}"}
        for message, more in ((name, headers), (f"after what {name}", {})):
            db.execute(
                "SELECT pgmq.send('orders', %s::text::jsonb, %s::text::jsonb)",
                [json.dumps(message), json.dumps(group | more)],
            )


def test_what_nats_does_not_take_comes_back_with_the_reason_and_the_rest_goes_out(
    broker: Nats, db: psycopg.Connection, dsn: str
) -> None:
    _stream(broker.url, "orders", max_msg_size=800)
    db.execute(
        "SELECT pgmq.create('orders'), pgmq.create('dead'),"
        " pgmq.set_policy('orders', max_receives => 1, dead_letter_queue => 'dead')"
    )
    _send_bad(db)
    with running(Relay(dsn, "orders", broker.url, poll=0.1)):
        until(lambda: _left(db) == [], 60)
    dead = db.execute(
        "SELECT message, headers ->> 'x-pgmq-error' FROM pgmq.q_dead ORDER BY message"
    ).fetchall()
    assert [message for message, _ in dead] == sorted(name for name, _, _ in BAD)
    for message, reason in dead:
        assert next(part for name, _, part in BAD if name == message) in reason
    got = sorted(json.loads(message.data) for message in _messages(broker.url))
    assert got == sorted(f"after what {name}" for name, _, _ in BAD)


def test_what_nats_does_not_take_of_a_stream_goes_to_the_groups_dead_letters(
    broker: Nats, db: psycopg.Connection, dsn: str
) -> None:
    _stream(broker.url, "orders", max_msg_size=800)
    db.execute("SELECT pgmq.create_stream('orders')")
    db.execute("SELECT pgmq.create_group('orders', 'out', 'earliest', dead_letter_queue => 'dead')")
    _send_bad(db)
    assert Relay(dsn, "orders", broker.url, group="out").run(until_empty=True) == len(BAD)
    dead = db.execute(
        "SELECT message, headers ->> 'x-pgmq-error' FROM pgmq.q_dead ORDER BY msg_id"
    ).fetchall()
    assert [message for message, _ in dead] == [name for name, _, _ in BAD]
    for (_, reason), (_, _, part) in zip(dead, BAD, strict=True):
        assert part in reason
    got = [json.loads(message.data) for message in _messages(broker.url)]
    assert sorted(got) == sorted(f"after what {name}" for name, _, _ in BAD)


def test_what_is_not_confirmed_is_not_acknowledged_and_sent_again_it_is_there_once(
    broker: Nats,
    db: psycopg.Connection,
    dsn: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("pgmq.relay._nats.PATIENCE", 0.2)
    monkeypatch.setattr("pgmq.relay._nats.LONGEST_PATIENCE", 0.4)
    # Stores messages, and does not say so.
    _stream(broker.url, "orders", no_ack=True)
    db.execute("SELECT pgmq.create('orders'), pgmq.send('orders', '1'), pgmq.send('orders', '2')")
    with running(Relay(dsn, "orders", broker.url)):
        until(lambda: caplog.text.count("no confirmation; again") > 1)
        assert [message.data for message in _messages(broker.url)] == [b"1", b"2"]
        assert _left(db) == [(1, 1, None), (2, 1, None)]
        _call(broker.url, "update_stream", name="out", subjects=["orders"], no_ack=False)
        until(lambda: _left(db) == [])
    assert [message.data for message in _messages(broker.url)] == [b"1", b"2"]


def test_the_next_message_of_a_key_is_sent_when_the_one_before_is_confirmed(
    broker: Nats, db: psycopg.Connection, dsn: str
) -> None:
    """Without that, a stream that gets a leader may miss a message and have the next one."""
    _stream(broker.url, "orders", no_ack=True)
    db.execute("SELECT pgmq.create_stream('orders')")
    db.execute("SELECT pgmq.create_group('orders', 'out', 'earliest')")
    _send(db, 9, 3)
    with running(Relay(dsn, "orders", broker.url, group="out", vt=3)):
        until(lambda: len(_messages(broker.url)) >= 3)
    assert [message.data for message in _messages(broker.url)] == [b"0", b"1", b"2"]


def test_a_stream_that_is_missing_is_waited_for(
    broker: Nats, db: psycopg.Connection, dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    db.execute("SELECT pgmq.create('orders'), pgmq.send('orders', '1')")
    with running(Relay(dsn, "orders", f"{broker.url}?subject=shop.new")):
        until(lambda: "no stream has subject 'shop.new': create one" in caplog.text)
        _stream(broker.url, "shop.*")
        until(lambda: _left(db) == [])
    assert [message.data for message in _messages(broker.url)] == [b"1"]


def test_a_stream_that_is_full_gives_back_what_it_does_not_take(
    broker: Nats, db: psycopg.Connection, dsn: str
) -> None:
    _stream(broker.url, "orders", max_msgs=2, discard="new")
    db.execute("SELECT pgmq.create('orders'), pgmq.send_batch('orders', '{1,2,3}')")
    assert Relay(dsn, "orders", broker.url).run(until_empty=True) == 2
    assert _left(db) == [(3, 1, "maximum messages exceeded")]


@pytest.mark.slow
def test_a_stream_whose_server_is_away_is_waited_for_whatever_names_its_subject(
    tmp_path: Path, db: psycopg.Connection, dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is no message's fault, and would fill dead-letter queues."""
    routes = free_ports(3)
    servers = []
    for number, port in enumerate(routes):
        folder = tmp_path / str(number)
        folder.mkdir()
        others = ",".join(f"nats://127.0.0.1:{route}" for route in routes)
        options = ("--name", str(number), "--cluster_name", "c", "--routes", others)
        servers.append(Nats(folder, *options, "--cluster", f"nats://127.0.0.1:{port}"))
    with _started(*servers):

        def create() -> bool:
            with contextlib.suppress(nats.errors.Error):  # no leader yet
                _stream(servers[0].url, "orders.>")
                return True
            return False

        until(create, 60)
        leader = int(_call(servers[0].url, "stream_info", "out").cluster.leader)
        relay_to = servers[(leader + 1) % 3]
        db.execute("SELECT pgmq.create('orders'), pgmq.create_fifo_index('orders')")
        servers[leader].kill()
        db.execute(
            "SELECT pgmq.send('orders', '1', '{\"x-pgmq-routing-key\": \"orders.new\"}'::jsonb)"
        )
        with running(Relay(dsn, "orders", relay_to.url)):
            until(lambda: "again in" in caplog.text, 60)
            assert _left(db) == [(1, 1, None)]
            servers[leader].start()
            until(lambda: _left(db) == [], 60)
        assert [message.data for message in _messages(servers[leader].url)] == [b"1"]


def test_users_may_send_what_they_are_allowed_to(
    tmp_path: Path, db: psycopg.Connection, dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    config = """
        accounts { A { jetstream: enabled, users: [
            {user: admin, password: admin},
            {user: "re:lay", password: "s@cret", permissions: {
                publish: [orders], subscribe: ["_RELAY.>"]}}
        ] } }
    """
    with _started(Nats(tmp_path, config=config)) as server:
        admin = f"nats://admin:admin@{server.address}"
        _stream(admin, "orders", "secret")
        db.execute(
            "SELECT pgmq.create('orders'), pgmq.send('orders', '1'),"
            " pgmq.send('orders', '2', '{\"x-pgmq-routing-key\": \"secret\"}'::jsonb),"
            " pgmq.send('orders', '3')"
        )
        for user, inbox, complaint in (
            ("re%3Alay:wrong", "_RELAY", "authorization violation"),
            ("re%3Alay:s%40cret", "_INBOX", "permissions violation for subscription"),
        ):
            with running(Relay(dsn, "orders", f"nats://{user}@{server.address}?inbox={inbox}")):
                until(lambda complaint=complaint: complaint in caplog.text.lower())  # type: ignore[misc]
            assert "s@cret" not in caplog.text
            assert "s%40cret" not in caplog.text
        url = f"nats://re%3Alay:s%40cret@{server.address}?inbox=_RELAY"
        assert Relay(dsn, "orders", url).run(until_empty=True) == 2
        assert [message.data for message in _messages(admin)] == [b"1", b"3"]
    [(left, _, reason)] = _left(db)
    assert left == 2
    assert reason == 'nats: permissions violation for publish to "secret"'


def test_a_seed_logs_in(tmp_path: Path, db: psycopg.Connection, dsn: str) -> None:
    nkeys: Any = pytest.importorskip("nkeys")
    seed = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER)
    (tmp_path / "seed").write_bytes(seed)
    public = nkeys.from_seed(bytearray(seed)).public_key.decode()
    users = f"{{user: admin, password: admin}}, {{nkey: {public}}}"
    config = f"accounts {{ A {{ jetstream: enabled, users: [{users}] }} }}"
    with _started(Nats(tmp_path, config=config)) as server:
        _stream(f"nats://admin:admin@{server.address}", "orders")
        db.execute("SELECT pgmq.create('orders'), pgmq.send('orders', '1')")
        assert Relay(dsn, "orders", f"{server.url}?nkey={tmp_path}/seed").run(until_empty=True) == 1


def test_tls_is_used_with_the_certificate_that_is_given(
    tmp_path: Path, db: psycopg.Connection, dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    options = ("--tls", "--tlscert", str(certificate), "--tlskey", str(key))
    db.execute("SELECT pgmq.create('orders'), pgmq.send('orders', '1')")
    with _started(Nats(tmp_path, *options)) as server:
        with running(Relay(dsn, "orders", f"tls://{server.address}")):
            until(lambda: "certificate verify failed" in caplog.text)
        url = f"tls://{server.address}?ssl_ca_certs={certificate}"
        with running(Relay(dsn, "orders", url)):
            until(lambda: "no stream has subject" in caplog.text)


def test_a_server_without_tls_is_told_nothing(
    db: psycopg.Connection, dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody between it and us may say that it has none."""
    db.execute("SELECT pgmq.create('orders'), pgmq.send('orders', '1')")
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b'INFO {"auth_required": true, "max_payload": 1000000}\r\n')
                heard.append(connection.recv(1000))

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        with running(Relay(dsn, "orders", f"tls://me:secret@127.0.0.1:{port}")):
            thread.join(30)
            until(lambda: "the server does not ask for TLS; again" in caplog.text)
    assert heard == [b""]


def test_the_page_s_example_runs(broker: Nats, db: psycopg.Connection, dsn: str) -> None:
    page = ROOT / "python" / "docs" / "relay.md"
    [block] = [text for _, text in pages.blocks(page) if "nats://" in text]
    create, relay = map(shlex.split, block.splitlines())
    _stream(broker.url, create[create.index("--subjects") + 1])
    db.execute("SELECT pgmq.create('orders'), pgmq.send('orders', '1')")
    url = relay[-1].replace("relay:secret@nats.example:4222", broker.address)
    command = [sys.executable, "-m", "pgmq.cli", *relay[1:-1], url, "--dsn", dsn, "--until-empty"]
    subprocess.run(command, check=True)
    assert [message.subject for message in _messages(broker.url)] == ["shop.orders.new"]
