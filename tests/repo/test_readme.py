"""The README, read from top to bottom in one session of psql, does what it says."""

from __future__ import annotations

import contextlib
import re
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from support.server import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from support.server import TestServer

PAGES = [
    *("README.md", "CONTRIBUTING.md", "Makefile", "python/README.md", "extension/install.sql"),
    *("extension/HOW_IT_WORKS.md", "extension/REFERENCE.md", "extension/upgrade/prepare.sql"),
]
# What comments show: a table as psql prints it, or at the end of a line its only value.
TABLE = r"^-- .*\n-- -[-+]+\n(?:-- .*\n)*"
SHOWN = re.compile(rf"{TABLE}|(?<=;  -- )(?:true|false|\d+)$", re.MULTILINE)


def _blocks() -> list[tuple[str, str]]:
    """Return the README's examples, each with its language."""
    text = (ROOT / "README.md").read_text()
    return re.findall(r"^```(sql|python)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_the_readme_runs_from_top_to_bottom_in_one_session(
    server: TestServer, tmp_path: Path
) -> None:
    if not server.embedded:
        pytest.skip("needs the embedded server, in which pgmq is an extension")
    shown: list[str] = []

    def mark(match: re.Match[str]) -> str:
        shown.append(match[0])
        return f"{match[0].rstrip()}\n\\echo <end of {len(shown)}>\n"

    steps = ""
    for number, (language, block) in enumerate(_blocks()):
        if language == "sql":
            steps += SHOWN.sub(mark, block)
        else:
            (tmp_path / f"{number}.py").write_text(block)
            steps += f"\\! '{sys.executable}' '{tmp_path}/{number}.py' 2>&1\n"
    with server.database(None) as dbname:
        known = conninfo_to_dict(server.dsn(dbname))
        names = {"dbname": "PGDATABASE", "host": "PGHOST", "port": "PGPORT", "user": "PGUSER"}
        environment = {names[key]: str(value) for key, value in known.items() if key in names}
        done = server.run_psql(dbname, "-v", "ON_ERROR_STOP=1", stdin=steps, **environment)
    assert done.returncode == 0, done.stdout

    left = re.sub(r" *\n *", "\n", done.stdout)
    for number, text in enumerate(shown, 1):
        printed, found, left = left.partition(f"\n<end of {number}>\n")
        assert found, text
        lines = [line.removeprefix("--").strip() for line in text.splitlines()]
        if len(lines) == 1:
            *_, value = re.findall(r"^-+\n(.*)\n\(1 row\)$", printed, re.MULTILINE)
            assert value == {"true": "t", "false": "f"}.get(text, text), printed
        else:
            assert "\n".join(lines) in printed
    assert len(shown) > 20
    assert "Traceback" not in done.stdout
    assert "\nmail 1\nmail 2\nmail 3\n" in done.stdout
    assert 'notification "pgmq.q_parcels.READY" received' in done.stdout


def test_the_loop_of_a_waiting_consumer_gets_what_is_sent(db: psycopg.Connection, dsn: str) -> None:
    db.execute("SELECT pgmq.create('parcels'), pgmq.enable_wakeups('parcels')")
    names: dict[str, Any] = {}
    exec(next(block for _, block in _blocks() if "def consume" in block), names)  # noqa: S102
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
    while not db.execute("SELECT 1 FROM pgmq.armed_until_parcels WHERE is_called").fetchone():
        pass
    db.execute("SELECT pgmq.send('parcels', '1')")
    assert here.wait(2)  # an await is for 5 seconds
    db.execute("SELECT pgmq.send('parcels', '\"stop\"')")
    thread.join(10)
    assert got == [1, "stop"]
    assert db.execute("SELECT count(*) FROM pgmq.q_parcels").fetchone() == (1,)


@pytest.mark.parametrize("page", PAGES)
def test_psql_is_called_so_that_a_failure_is_one(page: str) -> None:
    """Without a psqlrc, without lines for what went well, and not going on after an error."""
    text = (ROOT / page).read_text()
    for command in re.findall(r"psql (?:\S+ )*?-[1cf]\b.*", text):
        assert command.startswith("psql -X -q -v ON_ERROR_STOP=1 "), command
        assert "pgmq.sql" not in command or " -1 -f " in command


def test_what_pages_tell_to_make_or_to_install_is_there() -> None:
    make = (ROOT / "Makefile").read_text()
    targets = {*re.findall(r"^(?:# )?([a-z-]+):.*## ", make, re.MULTILINE)}
    project = (ROOT / "python" / "pyproject.toml").read_text()
    extras = {
        *re.findall(r"^(\w+) = \[", project.partition("optional-dependencies]")[2], re.MULTILINE)
    }
    for page in ("README.md", "CONTRIBUTING.md", "python/README.md", "CHANGELOG.md"):
        text = (ROOT / page).read_text()
        named = re.findall(r"(?:^ {4}|`)make ([a-z-]+)", text, re.MULTILINE)
        assert {*named} <= targets, page
        assert {*re.findall(r"pgmq\[(\w+)\]", text)} <= extras, page
