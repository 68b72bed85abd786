"""The README's first steps do what it says."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

from psycopg.conninfo import conninfo_to_dict

from server import ROOT

if TYPE_CHECKING:
    import psycopg

    from server import TestServer


def _section(title: str, language: str = "sql") -> list[str]:
    """Return the examples below a heading of the README."""
    text = (ROOT / "README.md").read_text()
    section = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def _run(server: TestServer, database: str, steps: str, *, tables: int) -> str:
    """Run the steps, and see that they print so many lines of tables as comments show them."""
    done = server.run_psql(database, "-v", "ON_ERROR_STOP=1", stdin=steps)
    assert done.returncode == 0, done.stdout
    printed = re.sub(r" *\n *", "\n", done.stdout)
    shown = re.findall(r"(?:^-- .*[|+].*\n)+", steps, re.MULTILINE)
    assert sum(table.count("\n") for table in shown) == tables
    for table in shown:
        lines = (line.removeprefix("--").strip() for line in table.splitlines())
        assert "\n".join(lines) in printed
    return done.stdout


def test_the_first_five_minutes_in_psql_run_as_they_stand(
    server: TestServer, database: str
) -> None:
    steps = _section("The first five minutes in psql")[0]
    # The test's database has it.
    _run(server, database, steps.replace("CREATE EXTENSION pgmq;", ""), tables=4)


def test_policies_run_as_they_stand(server: TestServer, database: str) -> None:
    steps = "".join(_section("Policies"))
    printed = _run(server, database, steps, tables=8)
    said = re.findall(r" is_new *\n-+\n +([tf])\n", printed)
    assert said == [word[0] for word in re.findall(r";  -- (true|false)$", steps, re.MULTILINE)]
    assert said == ["t", "f"]


def test_fifo_groups_run_as_they_stand(server: TestServer, database: str) -> None:
    _run(server, database, _section("FIFO groups")[0], tables=9)


def test_topics_and_exchanges_run_as_they_stand(server: TestServer, database: str) -> None:
    steps = "".join(_section("Topics and exchanges"))
    printed = _run(server, database, steps, tables=6)
    copies = re.findall(r";  -- (\d+)$", steps, re.MULTILINE)
    assert copies == ["2", "0", "1", "1"]
    assert re.findall(r"^ +(\d+)$", printed, re.MULTILINE) == copies


def test_partitioned_queues_run_as_they_stand(server: TestServer, database: str) -> None:
    _run(server, database, _section("Partitioned queues")[0], tables=6)


def test_waking_consumers_runs_as_it_stands(server: TestServer, database: str) -> None:
    printed = _run(server, database, _section("Waking consumers")[0], tables=3)
    assert 'notification "pgmq.q_jobs.READY" received' in printed


def test_the_loop_of_a_waiting_consumer_gets_what_is_sent(db: psycopg.Connection, dsn: str) -> None:
    db.execute("SELECT pgmq.create('jobs'), pgmq.enable_wakeups('jobs')")
    names: dict[str, Any] = {}
    exec(_section("Waking consumers", "python")[0], names)  # noqa: S102
    got: list[Any] = []
    here = threading.Event()

    def handle(message: Any) -> None:
        got.append(message)
        here.set()
        if message == "stop":
            raise StopIteration

    def consume() -> None:
        with contextlib.suppress(StopIteration):
            names["consume"](dsn, handle)

    thread = threading.Thread(target=consume)
    thread.start()
    while not db.execute("SELECT 1 FROM pgmq.armed_until_jobs WHERE is_called").fetchone():
        pass
    db.execute("SELECT pgmq.send('jobs', '1')")
    assert here.wait(2)  # an await is for 5 seconds
    db.execute("SELECT pgmq.send('jobs', '\"stop\"')")
    thread.join(10)
    assert got == [1, "stop"]
    assert db.execute("SELECT count(*) FROM pgmq.q_jobs").fetchone() == (1,)


def test_pushed_messages_run_as_they_stand(dsn: str) -> None:
    program = _section("Waking consumers", "python")[1]
    # psycopg.connect() takes its server from the environment.
    names = {"dbname": "PGDATABASE", "host": "PGHOST", "port": "PGPORT", "user": "PGUSER"}
    known = conninfo_to_dict(dsn)
    environment = {names[key]: str(value) for key, value in known.items() if key in names}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("mail 1\nmail 2\nmail 3\n", "")
