"""python/examples/orders.py, with a real server process, a real HTTP client and real crashes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from support import server as servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    from conftest import Connect

pytestmark = pytest.mark.once

httpx = pytest.importorskip("httpx")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

EXAMPLES = servers.ROOT / "python" / "examples"
PATIENCE = 30  # seconds


@pytest.fixture
def start(dsn: str) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `python ARGUMENTS` in the folder of the example; it is killed at the test's end."""
    environment = os.environ | {
        "DATABASE_URL": servers.url(dsn),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    with contextlib.ExitStack() as stack:

        def start(*arguments: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=EXAMPLES,
                env=environment,
                text=True,
                stderr=subprocess.PIPE,
            )
            stack.callback(_kill, process)
            return process

        yield start


def _kill(process: subprocess.Popen[str]) -> None:
    with process:
        process.send_signal(signal.SIGKILL)


def _serve(start: Callable[..., subprocess.Popen[str]]) -> tuple[subprocess.Popen[str], Any]:
    """Start the HTTP server on a port that is free, and return it with a client."""
    server = start("-m", "uvicorn", "orders:app", "--port", "0")
    assert server.stderr is not None
    for line in server.stderr:
        if "running on" in line:
            return server, httpx.Client(base_url=line.split()[-5])
    raise AssertionError("the server did not start")


def _wait(what: Callable[[], Any]) -> Any:
    """Return what is asked for as soon as it is true."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("waited in vain")


def _all(db: psycopg.Connection, query: str) -> list[Any]:
    return [row[0] for row in db.execute(query.encode())]


def _is_waiting(db: psycopg.Connection, text: str) -> list[Any]:
    """Whether another session waits for a lock in a statement with this text."""
    return db.execute(
        """
        SELECT pid FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'
            AND strpos(query, %s) > 0 AND pid <> pg_backend_pid()
        """,
        [text],
    ).fetchall()


def test_an_order_and_its_message_survive_a_crash_together_or_not_at_all(
    start: Callable[..., subprocess.Popen[str]], db: psycopg.Connection, connect: Connect
) -> None:
    server, client = _serve(start)
    with client:
        answer = client.post("/orders", json={"item": "pen", "quantity": 2})
        assert (answer.status_code, answer.json()) == (201, {"id": 1})
        assert client.post("/orders", json={"item": "pen"}).status_code == 422

        # The order is inserted, the message is not: that waits for us.
        with connect(autocommit=False) as blocker:
            blocker.execute("LOCK TABLE pgmq.q_orders IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(httpx.ReadTimeout):
                client.post("/orders", json={"item": "ink", "quantity": 1}, timeout=1)
            assert _is_waiting(db, "pgmq.send")
            _kill(server)
        _wait(lambda: not _all(db, "SELECT 1 FROM pg_locks WHERE NOT granted"))
        _wait(lambda: _all(db, "SELECT count(*) FROM orders") == [1])
        assert _all(db, "SELECT message FROM pgmq.q_orders") == [{"order_id": 1}]

    _, client = _serve(start)
    with client:
        again = client.post("/orders", json={"item": "ink", "quantity": 1})
        assert again.status_code == 201
    assert _all(db, "SELECT (message ->> 'order_id')::integer FROM pgmq.q_orders ORDER BY 1") == (
        _all(db, "SELECT id FROM orders ORDER BY 1")
    )


def test_a_consumer_that_is_killed_at_work_ships_once(
    start: Callable[..., subprocess.Popen[str]], db: psycopg.Connection, connect: Connect
) -> None:
    _, client = _serve(start)
    with client:
        client.post("/orders", json={"item": "pen", "quantity": 2})

    # The message is read; the shipment is inserted; then the acknowledgement waits for us.
    with connect(autocommit=False) as blocker:
        with connect(autocommit=False) as earlier:
            earlier.execute("LOCK TABLE shipments IN SHARE MODE")
            consumer = start("orders.py")
            _wait(lambda: _is_waiting(db, "INSERT INTO shipments"))
            blocker.execute("SELECT FROM pgmq.q_orders FOR KEY SHARE")
        _wait(lambda: _is_waiting(db, "pgmq.ack"))
        _kill(consumer)
    _wait(lambda: not _is_waiting(db, "pgmq.ack"))
    assert _all(db, "SELECT count(*) FROM shipments") == [0]
    assert _all(db, "SELECT read_ct FROM pgmq.q_orders") == [1]

    db.execute("SELECT pgmq.set_vt('orders', 1, 0)")  # its lease ends
    start("orders.py")
    _wait(lambda: _all(db, "SELECT count(*) FROM pgmq.q_orders") == [0])
    assert _all(db, "SELECT order_id FROM shipments") == [1]
