"""What the worker of a framework goes through, as a program of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgmq import PGMQueue
from support.server import ROOT
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pgmq import embedded


@contextmanager
def program(dsn: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `python -m` with modules of this folder at hand."""
    path = os.pathsep.join(str(ROOT / folder) for folder in ("tests", "tests/support"))
    child = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        env=os.environ | {"DATABASE_URL": dsn, "PYTHONPATH": path},
        start_new_session=True,
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def go_through(
    server: embedded.Server,
    folder: Path,
    name: str,
    arguments: list[str],
    send: Callable[..., None],
    unknown: Any,
) -> tuple[dict[str, str], dict[str, str]]:
    """Kill a worker, run another one, restart the server, send what cannot be handled, stop it.

    `send(dsn, task, *arguments)` sends to the queue of this name, on which a worker leases for a
    second: touch(file, awaited) and fail(). `unknown` is the message of a task that there is not.
    Returns what is in the dead-letter queue and in the archive: for each message its error.
    """
    dsn = server.dsn()
    go, first, second = folder / "go", folder / "first", folder / "second"
    send(dsn, "touch", str(first), str(go))
    with PGMQueue(dsn) as queue:
        queue.set_policy(name, max_receives=2, dead_letter_queue="dead")
        with program(dsn, *arguments) as killed:
            until(first.exists)
            time.sleep(1.2)
            held = queue.get(name, 1)
            assert held is not None
            assert held.read_ct == 1
            assert held.vt > datetime.now(timezone.utc)
            os.killpg(killed.pid, signal.SIGKILL)
        with program(dsn, *arguments) as stopped:
            until(lambda: first.read_text() == "begun\nbegun\n")
            server.restart()
            queue.send(name, {"no": "task"})
            queue.send(name, unknown)
            send(dsn, "fail")
            send(dsn, "touch", str(second), str(go))
            until(second.exists)
            until(lambda: queue.metrics(name).queue_length == 2)
            stopped.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                stopped.wait(1.5)  # taskiq looks once a second whether it is to stop
            go.touch()
            stopped.wait(10)
        assert queue.metrics(name).queue_length == 0
    assert second.read_text() == "begun\n"
    with psycopg.connect(dsn) as db:
        query = "SELECT message::text, headers ->> 'x-pgmq-error' FROM pgmq."
        return (
            dict(db.execute(f"{query}q_dead".encode()).fetchall()),
            dict(db.execute(f"{query}a_{name}".encode()).fetchall()),
        )
