"""Real brokers: RabbitMQ and Redis from the system's packages."""

from __future__ import annotations

import doctest
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgmq import relay
from pgmq.relay import Relay, RelayError, _kombu
from support.brokers import RABBITMQ, REDIS, RabbitMQ, free_ports, redis
from support.relays import running
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Connect

pytestmark = pytest.mark.once

kombu: Any = pytest.importorskip("kombu", reason="kombu is missing: pip install 'pgmq[relay]'")


@pytest.fixture(autouse=True)
def _kept_at_once(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Do not wait for a new queue where no broker is killed."""
    if not request.node.name.endswith("while_the_broker_is_killed"):
        monkeypatch.setattr(_kombu, "_WRITTEN", 0.0)


@pytest.fixture(scope="module")
def rabbitmq() -> Iterator[RabbitMQ]:
    """A RabbitMQ that runs."""
    if RABBITMQ is None:
        pytest.skip("there is no rabbitmq-server here")
    with tempfile.TemporaryDirectory(prefix="pgmq-", dir="/tmp") as folder:
        node = RabbitMQ(Path(folder))
        try:
            node.start()
            yield node
        finally:
            node.close()


def _length(db: psycopg.Connection, queue: str = "orders") -> int:
    [(length,)] = db.execute("SELECT queue_length FROM pgmq.metrics(%s)", [queue]).fetchall()
    return int(length)


def test_a_message_arrives_as_it_is_with_what_identifies_it(
    rabbitmq: RabbitMQ, db: psycopg.Connection, dsn: str
) -> None:
    db.execute("SELECT pgmq.create('orders')")
    # What Python's floats cannot hold must not be rounded on the way.
    db.execute(
        """
        SELECT pgmq.send('orders', '{"amount": 0.1234567890123456789}', '{"trace": [1]}'::jsonb),
            pgmq.send('orders', NULL)
        """
    )
    assert Relay(dsn, "orders", f"{rabbitmq.url}?queue=plain").run(until_empty=True) == 2
    first, second = rabbitmq.drain("plain")
    assert first.body == '{"amount": 0.1234567890123456789}'
    assert first.properties["message_id"] == "orders/1"
    assert first.headers == {"trace": [1], "x-pgmq-message-id": "orders/1"}
    assert (first.content_type, first.properties["delivery_mode"]) == ("application/json", 2)
    assert (second.body, second.headers) == ("null", {"x-pgmq-message-id": "orders/2"})
    assert _length(db) == 0


@pytest.mark.slow
def test_nothing_is_lost_and_groups_keep_their_order_while_the_broker_is_killed(
    rabbitmq: RabbitMQ, connect: Connect, dsn: str
) -> None:
    db = connect()
    db.execute("SELECT pgmq.create('orders'), pgmq.create_fifo_index('orders')")
    done, sent = threading.Event(), 0

    def produce() -> None:
        nonlocal sent
        with psycopg.connect(dsn, autocommit=True) as connection:
            while not done.wait(0.05):
                # Seven groups, and as many messages without one.
                connection.execute(
                    """
                    SELECT pgmq.send_batch(
                        'orders',
                        ARRAY(SELECT to_jsonb(%(first)s + i) FROM generate_series(0, 13) AS i),
                        ARRAY(
                            SELECT CASE WHEN i < 7 THEN jsonb_build_object('x-pgmq-group', 'g' || i)
                            END FROM generate_series(0, 13) AS i
                        )
                    )
                    """,
                    {"first": sent},
                )
                sent += 14

    producer = threading.Thread(target=produce)
    producer.start()
    forward = Relay(dsn, "orders", f"{rabbitmq.url}?queue=killed", batch=50)
    try:
        with running(forward):
            until(lambda: sent > 200 and _length(db) < sent - 100)
            rabbitmq.kill()
            before = sent
            until(lambda: sent > before + 100)
            rabbitmq.start()
            until(lambda: sent > before + 200)
            done.set()
            producer.join()
            until(lambda: _length(db) == 0, 60)
    finally:
        done.set()
        producer.join()
    got = [json.loads(message.body) for message in rabbitmq.drain("killed")]
    first = list(dict.fromkeys(got))
    assert sorted(first) == list(range(sent))
    for group in range(7):
        members = [number for number in first if number % 14 == group]
        assert members == sorted(members)
    alone = [number for number in first if number % 14 >= 7]
    assert alone == sorted(alone)


def test_a_new_queue_gets_no_message_before_it_is_on_the_broker_s_disk(
    rabbitmq: RabbitMQ, db: psycopg.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before that, RabbitMQ forgets the queue, with what it has confirmed."""
    monkeypatch.setattr(_kombu, "_WRITTEN", 60.0)
    db.execute("SELECT pgmq.create('orders'), pgmq.send('orders', '1')")
    state = "SELECT read_ct, vt > clock_timestamp() FROM pgmq.q_orders"
    url = f"{rabbitmq.url}?queue=young"
    with running(Relay(dsn, "orders", url, vt=1)):
        until(lambda: db.execute(state).fetchall() == [(1, True)])
        time.sleep(1.5)  # longer than the lease
        assert db.execute(state).fetchall() == [(1, True)]
        assert rabbitmq.drain("young") == []
    assert db.execute(state).fetchall() == [(1, False)]
    # Now it is there.
    assert Relay(dsn, "orders", url).run(until_empty=True) == 1
    assert [message.body for message in rabbitmq.drain("young")] == ["1"]


@pytest.mark.slow
def test_what_a_killed_relay_had_in_hand_is_sent_by_the_next_one(
    rabbitmq: RabbitMQ, db: psycopg.Connection, dsn: str
) -> None:
    db.execute("SELECT pgmq.create('orders'), pgmq.create_fifo_index('orders')")
    db.execute(
        """
        SELECT count(*) FROM pgmq.send_batch(
            'orders',
            ARRAY(SELECT to_jsonb(i) FROM generate_series(0, 999) AS i),
            ARRAY(
                SELECT jsonb_build_object('x-pgmq-group', i % 50) FROM generate_series(0, 999) AS i
            )
        )
        """
    )
    url = f"{rabbitmq.url}?queue=next"
    command = [sys.executable, "-m", "pgmq.cli", "relay", "orders", url, "--dsn", dsn, "--vt", "3"]
    process = subprocess.Popen(command)
    try:
        until(lambda: _length(db) < 800)
    finally:
        process.kill()
        process.wait()
    assert _length(db) > 0
    with running(Relay(dsn, "orders", url)):
        until(lambda: _length(db) == 0)
    first = list(dict.fromkeys(json.loads(message.body) for message in rabbitmq.drain("next")))
    assert sorted(first) == list(range(1000))
    for group in range(50):
        members = [number for number in first if number % 50 == group]
        assert members == sorted(members)


@pytest.mark.parametrize("scheme", ["amqp", "kafka", "nats", "redis"])
def test_a_broker_that_is_down_costs_no_receipt_and_stop_gives_back_at_once(
    scheme: str, db: psycopg.Connection, dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    if module := {"kafka": "confluent_kafka", "nats": "nats"}.get(scheme):
        pytest.importorskip(module)
    db.execute("SELECT pgmq.create('orders'), pgmq.send('orders', '1'), pgmq.send('orders', '2')")
    [port] = free_ports(1)
    state = "SELECT read_ct, vt > clock_timestamp() FROM pgmq.q_orders"
    with running(Relay(dsn, "orders", f"{scheme}://127.0.0.1:{port}", vt=2)):
        until(lambda: db.execute(state).fetchall() == [(1, True)] * 2)
        until(lambda: len(caplog.records) > 3)
        first = db.execute("SELECT min(vt) FROM pgmq.q_orders").fetchone()
        until(lambda: db.execute("SELECT min(vt) FROM pgmq.q_orders").fetchone() != first)
        assert db.execute(state).fetchall() == [(1, True)] * 2
    assert db.execute(state).fetchall() == [(1, False)] * 2
    assert "; again in" in caplog.text


def test_headers_choose_the_routing_key_and_what_has_no_queue_comes_back(
    rabbitmq: RabbitMQ, db: psycopg.Connection, dsn: str
) -> None:
    with rabbitmq.connect() as connection:
        channel = connection.channel()
        channel.exchange_declare("shop", "topic", durable=True, auto_delete=False)
        channel.queue_declare("eu", durable=True, auto_delete=False)
        channel.queue_bind("eu", "shop", "order.eu.*")
    db.execute(
        """
        SELECT pgmq.create('orders'),
            pgmq.send_batch('orders', ARRAY['1', '2', '3', '4']::jsonb[], ARRAY[
            '{"x-pgmq-routing-key": "order.eu.paid", "x-pgmq-group": "a"}',
            '{"x-pgmq-routing-key": "order.us.paid", "x-pgmq-group": "a"}',
            '{"x-pgmq-routing-key": "order.eu.paid", "x-pgmq-group": "a"}',
            NULL
        ]::jsonb[])
        """
    )
    url = f"{rabbitmq.url}?exchange=shop&routing_key=order.eu.new"
    assert Relay(dsn, "orders", url).run(until_empty=True) == 2
    got = {message.body: message.delivery_info["routing_key"] for message in rabbitmq.drain("eu")}
    assert got == {"1": "order.eu.paid", "4": "order.eu.new"}
    left = db.execute(
        "SELECT message, vt > clock_timestamp(), headers ->> 'x-pgmq-error' FROM pgmq.q_orders"
        " ORDER BY msg_id"
    ).fetchall()
    # The third waits behind the second, though it could have gone.
    reason = "no queue for routing key 'order.us.paid' at exchange 'shop'"
    assert left == [(2, True, reason), (3, False, None)]


def test_an_exchange_that_is_missing_is_waited_for(
    rabbitmq: RabbitMQ, db: psycopg.Connection, dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    db.execute("SELECT pgmq.create('orders'), pgmq.send('orders', '1')")
    with running(Relay(dsn, "orders", f"{rabbitmq.url}?exchange=late&routing_key=x")):
        until(lambda: "no exchange 'late'" in caplog.text)
        with rabbitmq.connect() as connection:
            channel = connection.channel()
            channel.queue_declare("patient", durable=True, auto_delete=False)
            channel.exchange_declare("late", "fanout", durable=True, auto_delete=False)
            # Between the two the relay may find the exchange without a queue, and be refused.
            channel.queue_bind("patient", "late")
        until(lambda: _length(db) == 0)
    assert [message.body for message in rabbitmq.drain("patient")] == ["1"]


def test_what_the_protocol_cannot_carry_comes_back_and_the_rest_goes_out(
    rabbitmq: RabbitMQ, db: psycopg.Connection, dsn: str
) -> None:
    db.execute(
        """
        SELECT pgmq.create('orders'),
            pgmq.send_batch('orders', ARRAY['1', '2', '3']::jsonb[], ARRAY[
            NULL, jsonb_build_object('number', trunc(2::numeric ^ 80)),
            jsonb_build_object('x-pgmq-routing-key', repeat('x', 300))
        ]::jsonb[]), pgmq.send('orders', '4')
        """
    )
    assert Relay(dsn, "orders", f"{rabbitmq.url}?queue=most").run(until_empty=True) == 2
    assert [message.body for message in rabbitmq.drain("most")] == ["1", "4"]
    reasons = db.execute("SELECT headers ->> 'x-pgmq-error' FROM pgmq.q_orders").fetchall()
    assert len(reasons) == 2
    assert all(reason for (reason,) in reasons)


def test_a_message_that_closes_the_channel_comes_back_and_the_rest_goes_out(
    rabbitmq: RabbitMQ, db: psycopg.Connection, dsn: str
) -> None:
    # RabbitMQ takes no CC that is not a list.
    db.execute(
        """
        SELECT pgmq.create('orders'), pgmq.send('orders', '1'),
            pgmq.send('orders', '2', '{"CC": "x"}'::jsonb), pgmq.send('orders', '3')
        """
    )
    assert Relay(dsn, "orders", f"{rabbitmq.url}?queue=open").run(until_empty=True) == 2
    got = [message.body for message in rabbitmq.drain("open")]
    assert list(dict.fromkeys(got)) == ["1", "3"]
    [(left, reason)] = db.execute(
        "SELECT message, headers ->> 'x-pgmq-error' FROM pgmq.q_orders"
    ).fetchall()
    assert left == 2
    assert "PRECONDITION_FAILED" in reason


def test_headers_that_fit_into_no_frame_come_back_and_the_rest_goes_out_once(
    rabbitmq: RabbitMQ, db: psycopg.Connection, dsn: str
) -> None:
    """RabbitMQ closes the connection for them, which would look like an outage."""
    db.execute(
        """
        SELECT pgmq.create('orders'), pgmq.send('orders', '1'),
            pgmq.send('orders', '2', jsonb_build_object('h', repeat('x', 140000))),
            pgmq.send('orders', '3'),
            pgmq.send('orders', '4', jsonb_build_object('h', repeat('x', 120000)))
        """
    )
    assert Relay(dsn, "orders", f"{rabbitmq.url}?queue=frames").run(until_empty=True) == 3
    assert [message.body for message in rabbitmq.drain("frames")] == ["1", "3", "4"]
    [(left, receipts, reason)] = db.execute(
        "SELECT message, read_ct, headers ->> 'x-pgmq-error' FROM pgmq.q_orders"
    ).fetchall()
    assert (left, receipts) == (2, 1)
    assert "do not fit into a frame" in reason


def test_a_connection_that_is_closed_for_a_message_is_no_outage(
    rabbitmq: RabbitMQ, db: psycopg.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What cannot be foreseen here, such as a smaller frame of a proxy, the broker says.
    monkeypatch.setattr("pgmq.relay._kombu._RabbitMQ._check_size", lambda *_: None)
    db.execute(
        """
        SELECT pgmq.create('orders'), pgmq.send('orders', '1'),
            pgmq.send('orders', '2', jsonb_build_object('h', repeat('x', 140000))),
            pgmq.send('orders', '3')
        """
    )
    assert Relay(dsn, "orders", f"{rabbitmq.url}?queue=closed").run(until_empty=True) == 2
    got = [message.body for message in rabbitmq.drain("closed")]
    assert list(dict.fromkeys(got)) == ["1", "3"]
    assert len(got) <= 4
    assert db.execute("SELECT message, read_ct FROM pgmq.q_orders").fetchall() == [(2, 1)]


@pytest.mark.parametrize("says", [False, True])
def test_confirmations_that_come_late_are_waited_for(
    says: bool,
    rabbitmq: RabbitMQ,
    db: psycopg.Connection,
    dsn: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sent again, all would arrive twice; a broker without memory says that it is blocked."""
    amqp: Any = pytest.importorskip("amqp")
    drain, begin = amqp.Connection.drain_events, time.monotonic()
    monkeypatch.setattr("pgmq.relay._kombu.PATIENCE", 0.4 if says else 15.0)

    def late(self: Any, timeout: float | None = None) -> Any:
        if time.monotonic() < begin + 2:
            if says and not self.heard:
                self.on_blocked("no disk")
                self.heard = True
            time.sleep(timeout or 0)
            raise TimeoutError
        if says and self.heard:
            self.on_unblocked()
        return drain(self, timeout)

    amqp.Connection.heard = False
    db.execute("SELECT pgmq.create('orders'), pgmq.send_batch('orders', '{1,2,3}')")
    forward = Relay(dsn, "orders", f"{rabbitmq.url}?queue=late{says}", vt=3)
    forward._broker.connect()
    monkeypatch.setattr(amqp.Connection, "drain_events", late)
    assert forward.run(until_empty=True) == 3
    monkeypatch.undo()
    assert [message.body for message in rabbitmq.drain(f"late{says}")] == ["1", "2", "3"]


class _SlowBroker:
    """Takes its time for every message."""

    def __init__(self, seconds: float = 0.05) -> None:
        self.got: list[str] = []
        self._seconds = seconds

    def connect(self) -> None:
        """Be there."""

    def close(self) -> None:
        """Be gone."""

    def send(self, messages: Any, progress: Any) -> None:
        for message in messages:
            progress.pause()
            if progress.wanted(message):
                time.sleep(self._seconds)
                self.got.append(message.body)
                progress.settled(message)


def test_leases_last_as_long_as_a_slow_broker_needs_for_a_batch(
    db: psycopg.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.execute(
        "SELECT pgmq.create('orders');"
        "SELECT pgmq.send('orders', to_jsonb(i)) FROM generate_series(1, 50) AS i"
    )
    slow = _SlowBroker(0.06)  # for a batch longer than the lease
    monkeypatch.setattr("pgmq.relay.broker", lambda *_: slow)
    with (
        running(Relay(dsn, "orders", "slow://", batch=40, vt=1)),
        running(Relay(dsn, "orders", "slow://", batch=40, vt=1)),
    ):
        until(lambda: _length(db) == 0)
    assert sorted(map(int, slow.got)) == list(range(1, 51))


def test_a_relay_that_is_stopped_ends_no_batch_of_a_slow_broker(
    db: psycopg.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.execute(
        "SELECT pgmq.create('orders');"
        "SELECT pgmq.send('orders', to_jsonb(i)) FROM generate_series(1, 100) AS i"
    )
    slow = _SlowBroker()
    monkeypatch.setattr("pgmq.relay.broker", lambda *_: slow)
    with running(Relay(dsn, "orders", "slow://")):
        until(lambda: len(slow.got) > 1)
    assert len(slow.got) < 20
    left = db.execute("SELECT count(*), bool_or(vt > clock_timestamp()) FROM pgmq.q_orders")
    assert left.fetchone() == (100 - len(slow.got), False)


def test_a_message_that_is_locked_holds_up_no_other_and_is_sent_once(
    db: psycopg.Connection, connect: Connect, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.execute("SELECT pgmq.create('orders'), pgmq.send_batch('orders', '{1,2,3}')")
    slow = _SlowBroker(0.3)
    monkeypatch.setattr("pgmq.relay.broker", lambda *_: slow)
    with connect(autocommit=False) as other, running(Relay(dsn, "orders", "slow://")):
        until(lambda: slow.got)
        other.execute("SELECT 1 FROM pgmq.q_orders WHERE msg_id = 2 FOR UPDATE")
        until(lambda: db.execute("SELECT msg_id FROM pgmq.q_orders").fetchall() == [(2,)])
        db.execute("SELECT pgmq.send('orders', '4', '{\"x-pgmq-group\": \"a\"}'::jsonb)")
        until(lambda: slow.got == ["1", "2", "3", "4"])
        other.rollback()
        until(lambda: _length(db) == 0)
    assert slow.got == ["1", "2", "3", "4"]


def _behind(db: psycopg.Connection) -> int:
    [(lag,)] = db.execute("SELECT lag FROM pgmq.list_groups('orders')").fetchall()
    return int(lag)


def _stream(db: psycopg.Connection, numbers: range, options: str = "") -> None:
    """Send numbers to a stream, of keys that their last digit names."""
    db.execute("SELECT pgmq.create_stream('orders')")
    db.execute(f"SELECT pgmq.create_group('orders', 'out', 'earliest'{options})".encode())
    db.execute(
        """
        SELECT count(*) FROM pgmq.send_batch(
            'orders',
            ARRAY(SELECT to_jsonb(i) FROM unnest(%(numbers)s::integer[]) AS i),
            ARRAY(
                SELECT jsonb_build_object('x-pgmq-group', i %% 10)
                FROM unnest(%(numbers)s::integer[]) AS i
            )
        )
        """,
        {"numbers": list(numbers)},
    )


@pytest.mark.slow
def test_a_stream_arrives_whole_and_each_key_in_order_while_the_broker_is_killed(
    rabbitmq: RabbitMQ, connect: Connect, dsn: str
) -> None:
    db = connect()
    _stream(db, range(2000), ", 4")
    forward = Relay(dsn, "orders", f"{rabbitmq.url}?queue=stream", group="out", batch=50, vt=3)
    with running(forward):
        until(lambda: _behind(db) < 1500)
        rabbitmq.kill()
        before = _behind(db)
        lease = "SELECT max(leased_until) > clock_timestamp() FROM pgmq.list_lanes('orders')"
        # Longer than the lease.
        end = time.monotonic() + 4
        until(lambda: time.monotonic() > end or db.execute(lease).fetchone() != (True,))
        assert db.execute(lease).fetchone() == (True,)
        assert _behind(db) in range(before - 50, before + 1)
        assert db.execute("SELECT max(failures) FROM pgmq.list_lanes('orders')").fetchone() == (0,)
        rabbitmq.start()
        until(lambda: _behind(db) == 0, 60)
    got = [json.loads(message.body) for message in rabbitmq.drain("stream")]
    first = list(dict.fromkeys(got))
    assert sorted(first) == list(range(2000))
    assert len(got) <= 2000 + 50
    for key in range(10):
        assert [number for number in first if number % 10 == key] == list(range(key, 2000, 10))


class _ChoosyBroker(_SlowBroker):
    """Refuses some messages, until it is told to take them."""

    def __init__(self, *refused: str) -> None:
        super().__init__(0)
        self.refused = set(refused)

    def send(self, messages: Any, progress: Any) -> None:
        for message in messages:
            progress.pause()
            if not progress.wanted(message):
                continue
            if message.body in self.refused:
                progress.settled(message, "it does not like it")
            else:
                self.got.append(message.body)
                progress.settled(message)


def test_what_a_broker_refuses_of_a_stream_goes_to_the_groups_dead_letters(
    db: psycopg.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _stream(db, range(10), ", dead_letter_queue => 'dead'")
    choosy = _ChoosyBroker("3", "4", "9")
    monkeypatch.setattr("pgmq.relay.broker", lambda *_: choosy)
    assert Relay(dsn, "orders", "x://", group="out").run(until_empty=True) == 7
    assert choosy.got == ["0", "1", "2", "5", "6", "7", "8"]
    dead = db.execute(
        "SELECT message, headers -> 'x-pgmq-dead-letter' ->> 'group', headers ->> 'x-pgmq-error'"
        " FROM pgmq.q_dead ORDER BY msg_id"
    ).fetchall()
    assert dead == [(number, "out", "it does not like it") for number in (3, 4, 9)]
    assert _behind(db) == 0


def test_a_queue_that_is_gone_while_the_relay_runs_makes_no_dead_letters(
    rabbitmq: RabbitMQ, db: psycopg.Connection, dsn: str
) -> None:
    _stream(db, range(3), ", dead_letter_queue => 'dead'")
    with running(Relay(dsn, "orders", f"{rabbitmq.url}?queue=gone", group="out")):
        until(lambda: _behind(db) == 0)
        with rabbitmq.connect() as connection:
            connection.channel().queue_delete("gone")
        db.execute("SELECT pgmq.send_batch('orders', '{3,4}')")
        until(lambda: _behind(db) == 0)
    assert [message.body for message in rabbitmq.drain("gone")] == ["3", "4"]
    assert db.execute("SELECT message FROM pgmq.q_dead").fetchall() == []


def test_what_a_broker_refuses_of_a_stream_is_tried_again_and_nothing_else_is(
    db: psycopg.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _stream(db, range(10))
    choosy = _ChoosyBroker("3")
    monkeypatch.setattr("pgmq.relay.broker", lambda *_: choosy)
    with running(Relay(dsn, "orders", "x://", group="out", poll=0.1)):
        state = "SELECT committed, failures, error FROM pgmq.list_lanes('orders')"
        until(lambda: db.execute(state).fetchone() == (3, 1, "it does not like it"))
        choosy.refused.clear()
        until(lambda: _behind(db) == 0)
    assert choosy.got == ["0", "1", "2", "4", "5", "6", "7", "8", "9", "3"]


def test_a_relay_of_a_stream_that_is_stopped_gives_back_what_it_has_not_sent(
    db: psycopg.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _stream(db, range(100))
    slow = _SlowBroker()
    monkeypatch.setattr("pgmq.relay.broker", lambda *_: slow)
    with running(Relay(dsn, "orders", "slow://", group="out")):
        until(lambda: len(slow.got) > 1)
    assert len(slow.got) < 20
    lane = "SELECT committed, leased_up_to, failures FROM pgmq.list_lanes('orders')"
    assert db.execute(lane).fetchall() == [(len(slow.got), None, 0)]


def test_a_relay_sends_no_more_of_a_batch_whose_lease_is_lost(
    db: psycopg.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _stream(db, range(100))
    slow = _SlowBroker(0.02)
    monkeypatch.setattr("pgmq.relay.broker", lambda *_: slow)
    with running(Relay(dsn, "orders", "slow://", group="out", vt=1)):
        until(lambda: len(slow.got) > 5)
        db.execute("SELECT pgmq.seek('orders', 'out', 'earliest')")
        until(lambda: _behind(db) == 0)
    again = slow.got.index("0", 1)
    assert again < 50
    assert slow.got == [str(n) for n in range(again)] + [str(n) for n in range(100)]


@pytest.mark.parametrize("stream", ["nowhere", "orders"])
def test_a_relay_of_a_group_that_is_not_there_says_so(
    stream: str, db: psycopg.Connection, dsn: str
) -> None:
    db.execute("SELECT pgmq.create_stream('orders')")
    with pytest.raises(psycopg.errors.Error, match="nowhere"):
        Relay(dsn, stream, "memory://", group="nowhere").run()


def test_headers_that_python_cannot_decode_come_back_and_the_rest_goes_out(
    db: psycopg.Connection, dsn: str
) -> None:
    db.execute(
        "SELECT pgmq.create('orders'), pgmq.send('orders', '1', '{\"n\": 1e5000}'::jsonb),"
        " pgmq.send('orders', '1e5000')"
    )
    assert Relay(dsn, "orders", "memory://?queue=headers").run(until_empty=True) == 1
    assert db.execute("SELECT message, read_ct FROM pgmq.q_orders").fetchall() == [(1, 1)]


def test_connections_to_postgres_that_are_cut_are_opened_again(
    db: psycopg.Connection, dsn: str
) -> None:
    db.execute("SELECT pgmq.create('orders'), pgmq.enable_wakeups('orders')")
    cut = """
        SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE application_name = 'pgmq relay' AND datname = current_database()
    """
    with running(Relay(dsn, "orders", "memory://?queue=cut", batch=5)):
        db.execute("SELECT pgmq.send('orders', '0')")
        until(lambda: _length(db) == 0)  # or it might be cut off before it has begun
        for number in range(1, 200):
            db.execute("SELECT pgmq.send('orders', %s::text::jsonb)", [str(number)])
            if number % 50 == 25:
                until(lambda: db.execute(cut).fetchone() == (1,))
        until(lambda: _length(db) == 0, 60)
    with kombu.Connection("memory://") as connection:
        queue = connection.SimpleQueue("cut")
        got = [json.loads(queue.get_nowait().body) for _ in range(queue.qsize())]
    assert list(dict.fromkeys(got)) == list(range(200))


def test_redis_has_what_was_sent(
    db: psycopg.Connection, dsn: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "pgmq.relay")
    if REDIS is None:
        pytest.skip("there is no redis-server here")
    pytest.importorskip("redis", reason="redis is missing: pip install 'pgmq[relay]'")
    db.execute("SELECT pgmq.create('orders'), pgmq.send('orders', '[1.50]')")
    [port] = free_ports(1)
    url = f"redis://127.0.0.1:{port}/0"
    settings = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path))
    forward = Relay(dsn, "orders", f"{url}?queue=out")
    with running(forward):
        # It is not there yet.
        until(lambda: "; again in" in caplog.text)
        process = subprocess.Popen([REDIS, *settings], stdout=subprocess.DEVNULL)
        try:
            until(lambda: _length(db) == 0)
            with kombu.Connection(url) as connection:
                message = connection.SimpleQueue("out").get(timeout=5)
                assert message.body == b"[1.50]"
                assert message.headers == {"x-pgmq-message-id": "orders/1"}
                # Without memory it takes nothing, which is no message's fault.
                client = connection.default_channel.client
                client.config_set("maxmemory", "1")
                db.execute("SELECT pgmq.send('orders', '2')")
                until(lambda: "; again in" in caplog.text.partition("is back")[2])
                assert db.execute("SELECT read_ct, headers FROM pgmq.q_orders").fetchall() == [
                    (1, None)
                ]
                client.config_set("maxmemory", "0")
                until(lambda: _length(db) == 0)
        finally:
            process.terminate()
            process.wait()


def test_redis_is_given_time_for_a_large_message_but_not_for_ever(
    db: psycopg.Connection, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent again in the same time, it would arrive again and again."""
    if REDIS is None:
        pytest.skip("there is no redis-server here")
    errors: Any = pytest.importorskip(
        "redis.exceptions", reason="redis is missing: pip install 'pgmq[relay]'"
    )
    db.execute("SELECT pgmq.create('orders'), pgmq.send_batch('orders', '{99,5,0}')")
    publish = _kombu._Kombu._publish
    words = "for as long as the lease allows"
    tries: list[tuple[str, int]] = []

    def slow(self: Any, message: Any) -> None:
        answer = self._template.transport_options["socket_timeout"]
        tries.append((message.body, answer))
        if answer < float(message.body):
            raise errors.TimeoutError("Timeout reading from socket")
        publish(self, message)

    monkeypatch.setattr(_kombu._Kombu, "_publish", slow)
    with (
        redis(tmp_path) as (url, _),
        running(Relay(dsn, "orders", f"{url}?queue=out&socket_timeout=2", vt=12)),
    ):
        until(
            lambda: (
                db.execute("SELECT message, headers FROM pgmq.q_orders").fetchall()
                == [(99, {"x-pgmq-error": f"Timeout reading from socket, {words}"})]
            )
        )
        with kombu.Connection(url) as connection:
            queue = connection.SimpleQueue("out")
            assert [queue.get(timeout=5).body for _ in range(2)] == [b"5", b"0"]
            with pytest.raises(queue.Empty):
                queue.get(block=False)
    # What has been slow once is given time again, before it is refused.
    assert tries[:5] == [("99", 2), ("99", 4), ("99", 8), ("5", 8), ("0", 2)]


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("localhost", "the URL has no scheme"),
        ("gopher://x", "no broker for gopher://"),
        ("redis://x?exchange=e", "redis:// has no exchanges"),
        ("amqp://x?routingkey=k", "amqp:// has no option routingkey"),
        ("librabbitmq://x", "no broker for librabbitmq://"),
        ("kafka://", "needs a server"),
        ("nats://", "needs a server: nats://HOST:4222"),
        ("tls://x?topic=t", "tls:// has no option topic"),
        ("nats://x?subject=a..b", "'a..b' is no subject"),
        ("nats://x?creds=/no/such/file", "NATS: .*No such file"),
        ("tls://x?ssl_ca_certs=/no/such/file", "TLS: .*No such file.*, of /no/such/file"),
        ("amqp://x?exchange=e&queue=q", "queue is for messages without exchange"),
        ("kafka://x?no.such.setting=1", 'Kafka: No such configuration property: "no.such.setting"'),
    ],
)
def test_a_url_that_cannot_work_is_refused_at_once(url: str, complaint: str) -> None:
    with pytest.raises(RelayError, match=complaint):
        Relay("", "orders", url)


@pytest.mark.parametrize(
    ("url", "extra"), [("amqp://x", "relay"), ("kafka://x", "kafka"), ("nats://x", "nats")]
)
def test_a_missing_extra_is_named(url: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("kombu", "confluent_kafka", "nats"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RelayError, match=rf"is missing: pip install 'pgmq\[{extra}\]'"):
        Relay("", "orders", url)


def test_the_example_runs(db: psycopg.Connection, dsn: str) -> None:
    db.execute("SELECT pgmq.create('orders'), pgmq.send('orders', '1'), pgmq.send('orders', '2')")
    done = doctest.testmod(relay, extraglobs={"dsn": dsn})
    assert (done.attempted, done.failed) == (2, 0)
