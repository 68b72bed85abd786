"""The pytest plugin, in projects of its users: what a test gets, and what is left in the end."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import psycopg
import pytest

import pgmq_pytest
from pgmq import embedded
from support import pages
from support.server import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from support.server import TestServer

pytest_plugins = "pytester"
pytestmark = pytest.mark.once

# The examples of the page: two files of tests, and a conftest.py.
FIRST, SECOND, CONFTEST = [
    block
    for language, block in pages.blocks(ROOT / "python" / "docs" / "testing.md")
    if language == "python"
]
TESTS = """
    import pytest

    @pytest.mark.parametrize("attempt", range(2))
    def test_has_what_the_template_has_and_nothing_else(pgmq_queue, attempt):
        assert [each.queue_name for each in pgmq_queue.list_queues()] == ["mails"]
        with pgmq_queue.pool.connection() as connection:
            assert connection.execute("SELECT FROM orders").fetchall() == []
            connection.execute("INSERT INTO orders VALUES (7)")
        pgmq_queue.create_queue("orders")
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.delenv("PGMQ_DSN", raising=False)
    return pytester


def test_the_processes_of_xdist_share_a_server_which_is_gone_in_the_end(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(test_first=FIRST, test_second=SECOND)
    done = project.runpytest_subprocess("-n", "2", "--basetemp", "run")
    done.assert_outcomes(passed=3)
    assert [each.name for each in (project.path / "run").glob("pgmq*")] == ["pgmq.lock"]


def test_on_a_server_that_is_named_no_database_is_left(
    project: pytest.Pytester, server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGMQ_DSN", server.base_dsn)
    project.makeconftest(CONFTEST)
    project.makepyfile(TESTS)
    project.runpytest_subprocess("-n", "0").assert_outcomes(passed=2)
    with psycopg.connect(server.base_dsn) as connection:
        found = connection.execute("SELECT FROM pg_database WHERE datname LIKE 'pgmq\\_pytest%'")
        assert found.fetchall() == []


def test_without_a_wheel_the_server_is_that_of_pytest_postgresql(
    project: pytest.Pytester, server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.makeconftest(f"""
        from pgmq import embedded
        from pytest_postgresql import factories

        embedded.prefixes = lambda: []
        postgresql_proc = factories.postgresql_noproc(
            host={server.host!r}, port={server.port!r}, user={server.user!r}
        )
    """)
    project.makepyfile("""
        def test(pgmq_queue):
            assert pgmq_queue.list_queues() == []
    """)
    project.runpytest_subprocess("-n", "0").assert_outcomes(passed=1)
    project.makeconftest("from pgmq import embedded; embedded.prefixes = lambda: []")
    done = project.runpytest_subprocess("-n", "0", "-p", "no:pytest_postgresql")
    done.stdout.fnmatch_lines(["*no Postgres for pgmq_server: set PGMQ_DSN, or pip install*"])


def test_who_does_not_use_it_imports_nothing_of_pgmq() -> None:
    check = "import sys, pgmq_pytest; print([n for n in ('pgmq', 'psycopg') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_what_a_killed_run_left_is_stopped_and_what_another_run_uses_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = []

    class Server:
        def __init__(self, path: Path, **_: object) -> None:
            self.path = path

        def dsn(self) -> str:
            return str(self.path)

        def stop(self, **_: object) -> None:
            stopped.append(self.path.parent.name)

    monkeypatch.setattr(embedded, "server", Server)
    monkeypatch.setattr(embedded, "find", Server)
    for number in range(3):
        (tmp_path / f"pytest-{number}").mkdir()
    (tmp_path / "pytest-0" / "pgmq.lock").touch()
    with pgmq_pytest._embedded(tmp_path / "pytest-1"):
        assert stopped == ["pytest-0"]
        with pgmq_pytest._embedded(tmp_path / "pytest-2"):
            assert stopped == ["pytest-0", "pytest-0"]
        assert stopped == ["pytest-0", "pytest-0", "pytest-2"]
    assert stopped[3:] == ["pytest-1"]
