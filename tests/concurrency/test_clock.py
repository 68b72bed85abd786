"""A clock that is set back and forward: nothing is late for longer than a sweep's interval."""

from __future__ import annotations

import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from pgmq._session import Session
from support.sweeps import let_look, sweep_every

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pgmq import embedded

LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
INTERVAL = 2
NOW, MINUTE = timedelta(), timedelta(minutes=1)
FILL = "SELECT pgmq.send_batch('q', array_agg('1'::jsonb)) FROM generate_series(1, 100)"
DRAIN = "SELECT pgmq.delete('q', msg_id) FROM pgmq.read('q', 60, 50)"


class Clock:
    """The clock of a server, which the test moves."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.move(0)

    def move(self, seconds: int) -> None:
        self.file.write_text(f"{seconds:+d}s\n")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    if not LIBRARY.exists():
        pytest.skip("needs libfaketime (Debian: libfaketime)")
    # Not below tmp_path: the server may run as another user, who can enter none of its parents.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield _moved_by(Path(folder) / "clock", monkeypatch)


def _moved_by(file: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(file)
    clock.file.chmod(0o644)
    for name, value in {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(clock.file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DISABLE_SHM": "1",
    }.items():
        monkeypatch.setenv(name, value)
    return clock


@pytest.fixture
def queue(clock: Clock, new_server: Callable[..., embedded.Server]) -> Iterator[psycopg.Connection]:
    server = new_server()
    with psycopg.connect(server.dsn("pgmq"), autocommit=True) as session:
        clock.move(-86400)
        seen = session.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchall()
        assert abs(seen[0][0] - time.time() + 86400) < 60
        clock.move(0)
        session.execute("SELECT pgmq.create('q')")
        sweep_every(session, f"{INTERVAL} s")
        _use(session)
        yield session


def _use(session: psycopg.Connection) -> None:
    session.execute(FILL)
    while session.execute(DRAIN).fetchall():
        pass
    let_look(session)
    session.execute("SELECT pgmq._advance_q()")


def _late(session: psycopg.Connection, wanted: set[int], due: float) -> float:
    """Poll until these are delivered; return how many seconds after they were due that is."""
    end = time.monotonic() + due + 15
    while wanted and time.monotonic() < end:
        rows = session.execute("SELECT msg_id FROM pgmq.read('q', 3600, 5)").fetchall()
        wanted -= {row[0] for row in rows}
        time.sleep(0.02)
    assert not wanted
    return time.monotonic() - (end - 15)


@pytest.mark.parametrize("jump", [1, 300, 3600])
def test_leases_and_stragglers_are_in_time_when_the_clock_is_set_back(
    queue: psycopg.Connection, clock: Clock, jump: int
) -> None:
    clock.move(-jump)
    for way in ("back", "forward"):
        rows = queue.execute("SELECT * FROM pgmq.send_batch('q', '{1,2,3}')").fetchall()
        assert queue.execute("SELECT msg_id FROM pgmq.read('q', 1, 3)").fetchall() == rows, way
        assert _late(queue, {row[0] for row in rows}, 1) < INTERVAL + 1, way
        queue.execute(
            "INSERT INTO pgmq.q_q (msg_id, vt) OVERRIDING SYSTEM VALUE VALUES (-7, now())"
        )
        assert _late(queue, {-7}, 0) < INTERVAL + 1, way
        queue.execute("DELETE FROM pgmq.q_q")
        _use(queue)
        clock.move(0)


def test_marks_of_priorities_are_set_back_with_the_clock(
    queue: psycopg.Connection, clock: Clock
) -> None:
    queue.execute("SELECT pgmq.set_policy('q', priorities => true)")
    # While it is due, the marks of the whole queue stay, and those of the priorities go on.
    queue.execute("SELECT pgmq.send('q', '1', '{\"x-pgmq-priority\": 0}'::jsonb)")
    queue.execute("SELECT pgmq.read('q', 0, 1)")
    for _ in range(2):
        queue.execute(FILL)
    queue.execute("SELECT pgmq.read('q', 0, 200)")
    queue.execute("SELECT pgmq.pop('q', 200)")
    ahead = """
        SELECT
            coalesce(bool_or(pgmq._parked_mark(m.parked_mark) > clock_timestamp() - %s), false)
        FROM pgmq._priority_marks('q') AS m
    """
    deadline = time.monotonic() + 10
    while queue.execute(ahead, (MINUTE,)).fetchall() == [(False,)]:  # autovacuum may be at it
        assert time.monotonic() < deadline
        let_look(queue)
        queue.execute("SELECT pgmq._advance_q()")
    clock.move(-300)
    assert queue.execute(ahead, (NOW,)).fetchall() == [(True,)]
    rows = queue.execute("SELECT * FROM pgmq.send_batch('q', '{1,2,3}')").fetchall()
    assert queue.execute("SELECT msg_id FROM pgmq.read('q', 1, 3)").fetchall() == rows
    assert _late(queue, {row[0] for row in rows}, 1) < INTERVAL + 1
    assert queue.execute(ahead, (NOW,)).fetchall() == [(False,)]


@pytest.mark.parametrize("jump", [-3600, 3600])
def test_a_consumer_that_waits_goes_by_no_difference_of_clocks(
    queue: psycopg.Connection, clock: Clock, jump: int
) -> None:
    """It is not in the time between, neither asleep nor looking all the while."""
    queue.execute("SELECT pgmq.enable_wakeups('q')")
    stop, looks = threading.Event(), 0
    found: Sequence[int] = ()
    give_up = threading.Timer(10, stop.set)
    with Session(queue.info.dsn, name="consumer", stop=stop) as session:

        def read() -> list[int]:
            nonlocal looks
            looks += 1
            return [message.msg_id for message in session.read_batch("q", vt=60)]

        clock.move(jump)
        queue.execute("SELECT pgmq.send('q', '1', 2)")
        give_up.start()
        while not found and not stop.is_set():
            found = session.next_batch(["q"], read, 1)
    give_up.cancel()
    assert found
    assert looks < 20
