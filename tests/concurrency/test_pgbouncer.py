"""Through a PgBouncer that pools by transaction: eight clients share two connections."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import pgmq
from pgmq import cli
from pgmq._session import Session
from pgmq.web import application
from support import pooler
from support.console import act, sampled, served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Connect

pytestmark = pytest.mark.skipif(pooler.PROGRAM is None, reason=pooler.MISSING)


@pytest.fixture
def pooled(dsn: str, request: pytest.FixtureRequest) -> Iterator[Callable[[], psycopg.Connection]]:
    """Open a session through the pool; as PgBouncer asks for it, without prepared statements."""
    mode, *ignored = getattr(request, "param", "transaction").split()
    if not pooler.can_reach(dsn):
        pytest.skip("needs a server on a local socket that asks for no password")
    by_session = mode == "session"
    settings = {
        "ignore_startup_parameters": "options" if by_session or ignored else "extra_float_digits",
        "query_wait_timeout": 10,
    }
    sessions: list[psycopg.Connection] = []
    with pooler.pooling(dsn, mode, 9 if by_session else 2, **settings) as address:

        def connect() -> psycopg.Connection:
            session = psycopg.connect(address, autocommit=True, prepare_threshold=None)
            sessions.append(session)
            return session

        try:
            yield connect
        finally:
            for session in sessions:
                session.close()


def _address(session: psycopg.Connection) -> str:
    return f"host={session.info.host} port=6432 dbname=pool user={session.info.user}"


@pytest.mark.parametrize("pooled", ["transaction", "transaction options", "session"], indirect=True)
def test_a_worker_finds_out_whether_it_can_listen_or_is_told_to_poll(
    pooled: Callable[[], psycopg.Connection], request: pytest.FixtureRequest
) -> None:
    """A pooler may refuse settings, or ignore them; only one by session announces anything."""
    session = pooled()
    address = _address(session)
    session.execute("SELECT pgmq.create('q'), pgmq.enable_wakeups('q')")
    session.execute("SELECT pgmq.send('q', '1')")
    got: list[int] = []
    listening = pgmq.Worker(address, "q", lambda m: got.append(m.message))
    if request.node.callspec.params["pooled"] == "session":
        listening.run(until_empty=True)
        assert got == [1]
    else:
        with pytest.raises(ValueError, match="or pooled=True and listen=False"):
            listening.run(until_empty=True)
        session.execute("SELECT pgmq.send('q', '2', 1)")
        options: dict[str, Any] = {"pooled": True, "listen": False}
        polling = pgmq.Worker(address, "q", lambda m: got.append(m.message), **options)
        with ThreadPoolExecutor(1) as threads:
            future = threads.submit(polling.run)
            end = time.monotonic() + 20
            while len(got) < 2 and time.monotonic() < end:
                time.sleep(0.02)
            polling.stop()
            future.result(20)
        assert got == [1, 2]  # the second one when it fell due


def test_a_worker_is_told_what_it_lacks_to_listen() -> None:
    both: dict[str, Any] = {"listen_dsn": "", "listen": False}
    for options in ({"pooled": True}, both):
        with pytest.raises(ValueError, match="listen"):
            pgmq.Worker("", "q", print, **options)


def test_the_client_the_command_line_and_workers_work_through_the_pool(
    pooled: Callable[[], psycopg.Connection], dsn: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without a word to them: they prepare no statements there, which other sessions would meet."""
    address = _address(pooled())
    with pgmq.PGMQueue(address) as client, ThreadPoolExecutor(8) as threads:
        client.create_queue("q")
        assert len(list(threads.map(lambda n: client.send("q", n), range(160)))) == 160
        assert client.metrics("q").queue_length == 160
        assert cli.main(["--dsn", address, "peek", "q"]) == 0
        assert '"msg_id": 1' in capfd.readouterr().out.replace("msg_id: ", '"msg_id": ')
        got: list[int] = []
        worker = pgmq.Worker(
            address, "q", lambda m: got.append(m.msg_id), listen_dsn=dsn, concurrency=4
        )
        worker.run(until_empty=True)
        assert sorted(got) == list(range(1, 161))
        client.create_stream("s")
        client.create_group("s", "g", "earliest", lanes=2)
        client.send_batch("s", list(range(50)))
        for transactional in (False, True):
            got.clear()
            client.seek("s", "g", "earliest")
            pgmq.Worker(
                address, "s", lambda m, *_: got.append(m.message), listen_dsn=dsn, group="g",
                transactional=transactional, concurrency=2, batch_size=7,
            ).run(until_empty=True)  # fmt: skip
            assert sorted(got) == list(range(50))

        async def receive() -> None:
            async with pgmq.AsyncPGMQueue(address) as other:
                for turn in range(10):
                    await other.send("q", turn)
                    assert await other.pop("q")
            async with pgmq.SQLAlchemyAsyncPGMQueue(address) as last:
                sent = await asyncio.gather(*(last.send("q", n) for n in range(80)))
                assert len(set(sent)) == 80

        asyncio.run(receive())
        with pgmq.SQLAlchemyPGMQueue(address) as another:
            assert len(list(threads.map(lambda n: another.send("q", n), range(160)))) == 160
    with pytest.raises(ValueError, match="give listen_dsn"):
        pgmq.Worker(address, "q", print).run(until_empty=True)


def test_a_program_that_waits_through_the_pool_looks_now_and_then(
    pooled: Callable[[], psycopg.Connection],
) -> None:
    """What it listened to would come to whoever has the server's session just then."""
    db = pooled()
    db.execute("SELECT pgmq.create('q'), pgmq.enable_wakeups('q')")
    with Session(_address(db), name="x", stop=threading.Event()) as session:
        assert session.next_batch("q", list, 0.1) == []
        # A lock is waited for a second at most, and the next client has its own settings.
        with session.impatient():
            assert session.send("q", 1) == 1
    assert db.execute("SELECT is_called FROM pgmq.armed_until_q").fetchone() == (False,)
    assert db.execute("SHOW lock_timeout").fetchone() == ("0",)


@pytest.mark.parametrize("pooled", ["statement"], indirect=True)
def test_a_pool_without_transactions_is_an_error_and_no_outage(
    pooled: Callable[[], psycopg.Connection], dsn: str
) -> None:
    db = pooled()
    db.execute("SELECT pgmq.create('q'), pgmq.send('q', '1')")
    worker = pgmq.Worker(_address(db), "q", print, listen_dsn=dsn)
    with pytest.raises(psycopg.errors.ProtocolViolation, match="statement pooling mode"):
        worker.run(until_empty=True)


def test_everything_but_listen_works_through_the_pool(
    pooled: Callable[[], psycopg.Connection],
) -> None:
    setup = pooled()
    setup.execute("SELECT pgmq.create('q'), pgmq.create('copy'), pgmq.create_fifo_index('q')")
    setup.execute("SELECT pgmq.enable_notify_insert('q'), pgmq.enable_wakeups('q')")
    setup.execute("SELECT pgmq.create_exchange('e'), pgmq.bind('e', 'copy', 'a.#')")
    failures: list[psycopg.Error] = []
    done: list[str] = []

    def work(number: int) -> None:
        try:
            session = pooled()
            header = f'{{"x-pgmq-group": "{number % 3}"}}'
            for turn in range(20):
                with session.transaction():
                    session.execute("SELECT pgmq.send('q', '1', %s::jsonb)", (header,))
                    session.execute("SELECT pgmq.publish('e', 'a.b', '1')")
                    if turn % 5 == 0:
                        raise psycopg.Rollback
                done.append("sent")
            calls = ["read('q', 60, 2)", "read_grouped('q', 60, 3)", "read_grouped_rr('q', 60, 3)"]
            for turn in range(60):
                with session.transaction():
                    ack = f"SELECT pgmq.ack('q', m.msg_id, m.read_ct) FROM pgmq.{calls[turn % 3]} m"
                    got = session.execute(ack.encode()).fetchall()
                done.extend("acked" for row in got if row[0])
        except psycopg.Error as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    left = setup.execute("SELECT count(*) FROM pgmq.q_q").fetchone()
    assert left == (8 * 16 - done.count("acked"),)
    assert done.count("acked") > 8
    assert setup.execute("SELECT pgmq.purge_queue('copy')").fetchone() == (8 * 16,)


def test_a_consumer_waits_on_a_connection_of_its_own_beside_the_pool(
    pooled: Callable[[], psycopg.Connection], connect: Connect
) -> None:
    producer, consumer, direct = pooled(), pooled(), connect()
    producer.execute("SELECT pgmq.create('q'), pgmq.enable_wakeups('q')")
    assert consumer.execute("SELECT pgmq.read('q', 60, 1)").fetchall() == []
    direct.execute("SELECT pgmq.await('q')")
    producer.execute("SELECT pgmq.send('q', '1')")
    assert [note.channel for note in direct.notifies(timeout=5, stop_after=1)] == ["pgmq.q_q.READY"]
    assert consumer.execute("SELECT msg_id FROM pgmq.read('q', 60, 1)").fetchall() == [(1,)]


def test_a_worker_works_through_the_pool_and_is_woken_beside_it(
    pooled: Callable[[], psycopg.Connection], dsn: str
) -> None:
    producer = pooled()
    producer.execute("SELECT pgmq.create('q'), pgmq.enable_wakeups('q')")
    producer.execute("CREATE TABLE effect (msg_id bigint)")
    done: list[int] = []

    def handler(message: pgmq.Message, connection: psycopg.Connection) -> None:
        connection.execute("INSERT INTO effect VALUES (%s)", [message.msg_id])
        done.append(message.msg_id)

    class Failures(pgmq.Hooks):
        def on_error(
            self, queue: str, message: pgmq.Message, seconds: float, exception: BaseException
        ) -> None:
            failures.append(exception)

    failures: list[BaseException] = []
    worker = pgmq.Worker(
        producer.info.dsn, "q", handler, transactional=True, listen_dsn=dsn, poll_interval=60,
        concurrency=3, hooks=Failures(),
    )  # fmt: skip
    producer.execute("SELECT pgmq.send('q', '1') FROM generate_series(1, 60)")
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        end = time.monotonic() + 10
        for number in range(60, 81):  # all of these, then one at a time
            while len(done) < number:
                assert time.monotonic() < end
                time.sleep(0.005)
            producer.execute("SELECT pgmq.send('q', '1')")
    finally:
        worker.stop()
        thread.join(10)
    assert failures == []
    assert set(done) >= set(range(1, 81))
    assert producer.execute("SELECT count(*), count(DISTINCT msg_id) FROM effect").fetchone() == (
        (len(done), len(done))
    )


@pytest.mark.parametrize("pooled", ["session"], indirect=True)
def test_a_worker_waits_for_no_lock_where_the_pool_ignores_its_options(
    pooled: Callable[[], psycopg.Connection], connect: Connect
) -> None:
    db, other = connect(), connect(autocommit=False)
    db.execute("SELECT pgmq.create('q'), pgmq.send_batch('q', '{1,2,3}')")
    done: list[int] = []

    def handler(message: pgmq.Message) -> None:
        if message.message == 1:
            other.execute("SELECT FROM pgmq.q_q WHERE msg_id = 1 FOR UPDATE")
        done.append(message.message)

    worker = pgmq.Worker(_address(pooled()), "q", handler, vt=2)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        end = time.monotonic() + 10
        while db.execute("SELECT array_agg(msg_id) FROM pgmq.q_q").fetchone() != ([1],):
            assert time.monotonic() < end
            time.sleep(0.01)
        assert done[:3] == [1, 2, 3]
    finally:
        other.rollback()
        worker.stop()
        thread.join(10)
    assert not thread.is_alive()


@pytest.mark.once
def test_the_console(db: psycopg.Connection, pooled: Callable[[], psycopg.Connection]) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.create('r'), pgmq.send_batch('q', '{1,2,3}')")
    with served(application(pooled().info.dsn)) as web:
        sampled(web)
        assert ">q</a>" in web.get("/").text
        for page in ("queue?queue=q", "messages?queue=q", "health", "routing", "schedules"):
            assert web.get(f"/{page}").status_code == 200, page
        assert act(web, "q", "move", "1:0", to="r") == "1 message of q was moved to r."
        assert act(web, "q", "delete", every="on") == ""
        deadline = time.monotonic() + 30
        while "2 messages of q were deleted, all" not in (page := web.get("/done").text):
            assert time.monotonic() < deadline, page
            time.sleep(0.05)
