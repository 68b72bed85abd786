from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from pgmq import __version__, demo, install_pgmq_from_sql

if TYPE_CHECKING:
    import collections.abc

    from support.server import TestServer

pytestmark = pytest.mark.once

FILES = demo.MUST_KILL


@pytest.fixture
def tree(tmp_path: Path) -> collections.abc.Iterator[Path]:
    """A directory with files, and with what is not a file, under names of every kind."""
    top = tmp_path / "tree with 'quotes'"
    for number in range(FILES):
        folder = top / f"folder {number % 7}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file {number}").write_bytes(b"line\n" * number)
    (top / "ünïcode \\ % {}\n").write_text("x")
    Path(os.fsdecode(os.fsencode(top) + b"/not utf-8 \xff\xfe")).write_text("y")
    (top / "empty").touch()
    (top / "link").symlink_to("empty")
    (top / "broken link").symlink_to("nowhere")
    os.mkfifo(top / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        before = Path.cwd()
        os.chdir(top)  # the path itself would be too long for a socket
        listener.bind("socket")
        os.chdir(before)
        yield top


def _run(dsn: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setenv("PGMQ_DSN", dsn)
    return demo.main(list(arguments))


def test_every_file_is_done_exactly_once_although_a_worker_is_killed(
    tree: Path,
    dsn: str,
    db: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = _run(dsn, monkeypatch, "--dir", str(tree))
    output = capsys.readouterr().out
    assert status == 0, output
    assert f"{FILES + 3} (left out: 4 links and special files)" in output
    assert "killed with SIGKILL" in output
    assert db.execute("SELECT count(*), count(DISTINCT path) FROM demo.result").fetchone() == (
        FILES + 3,
        FILES + 3,
    )
    assert db.execute("SELECT count(*) > 0 FROM demo.result WHERE read_ct > 1").fetchone() == (
        True,
    )
    assert db.execute(
        "SELECT lines, size FROM demo.result WHERE path LIKE '%/file 42'"
    ).fetchone() == (42, 210)
    assert db.execute("SELECT count(*) FROM demo.result WHERE path LIKE '%xff%'").fetchone() == (1,)
    assert "-m pgmq web --dsn" in output
    stats = "SELECT visible, delayed + in_flight, dead_letters FROM pgmq.queue_stats('demo_orders')"
    assert db.execute(stats).fetchone() == (13, 5, 1)
    assert db.execute("SELECT group_name, lag FROM pgmq.list_groups()").fetchall() == [
        ("billing", 300),
        ("search", 500),
    ]
    assert db.execute("SELECT count(*) FROM pgmq.list_schedules()").fetchone() == (1,)


def test_a_wrong_result_fails_the_check(
    tree: Path, dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    examine = demo.examine

    def tampered(
        connection: psycopg.Connection, found: demo.Found, fleet: demo.Fleet
    ) -> list[demo.Check]:
        connection.execute("INSERT INTO demo.result SELECT * FROM demo.result LIMIT 1")
        connection.execute("UPDATE demo.result SET sha256 = '' WHERE path LIKE '%/file 42'")
        return examine(connection, found, fleet)

    monkeypatch.setattr(demo, "examine", tampered)
    for number in range(50, FILES):  # fewer will do
        (tree / f"folder {number % 7}" / f"file {number}").unlink()
    assert _run(dsn, monkeypatch, "--dir", str(tree), "--workers", "1") == 1
    output = capsys.readouterr().out
    assert "no: 0 missing, 1 too many" in output
    assert "1 differ" in output


def test_a_pgmq_that_is_there_is_brought_up_to_date(
    server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server.database() as dbname:
        dsn = server.dsn(dbname)
        install_pgmq_from_sql(dsn=dsn)
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(
                "CREATE OR REPLACE FUNCTION pgmq.version() RETURNS text LANGUAGE sql"
                " AS $$ SELECT '2.0.0-older' $$"
            )
            monkeypatch.setenv("PGMQ_DSN", dsn)
            demo.prepare()
            assert connection.execute("SELECT pgmq.version()").fetchone() == (__version__,)


@pytest.mark.parametrize("name", ["nothing here", "tree"])
def test_a_directory_without_files_is_refused(
    name: str,
    tmp_path: Path,
    dsn: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "tree").mkdir()
    assert _run(dsn, monkeypatch, "--dir", str(tmp_path / name)) == 2
    assert str(tmp_path / name) in capsys.readouterr().err


def test_outside_of_the_repository_it_has_a_server_and_the_sql_of_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PGMQ_DSN", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").touch()
    try:
        assert demo.main(["--dir", "tree", "--workers", "1"]) == 0
        output = capsys.readouterr().out
        assert "each exactly once:                yes - ok" in output
        assert "and end it with: pgmq demo --stop" in output
    finally:
        assert demo.main(["--stop"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tree"]
