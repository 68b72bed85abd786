"""Pages for users: each, read from top to bottom in one session of psql, does what it says."""

from __future__ import annotations

import contextlib
import re
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from support import pages
from support.server import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from support.server import TestServer

README = ROOT / "README.md"
USERS = [README, *pages.EXTENSION]
RUN = [page for page in USERS if {"sql", "python"} & {*dict(pages.blocks(page))}]
# What comments show: a table as psql prints it, or at the end of a line its only value.
TABLE = r"^-- .*\n-- -[-+]+\n(?:-- .*\n)*"
SHOWN = re.compile(rf"{TABLE}|(?<=;  -- )(?:true|false|\d+)$", re.MULTILINE)
# What else a page's session must have printed.
SAID = {
    "push.md": "\nmail 1\nmail 2\nmail 3\n",
    "waking.md": 'notification "pgmq.q_parcels.READY" received',
}


@pytest.mark.parametrize("page", RUN, ids=pages.name)
def test_a_page_runs_from_top_to_bottom_in_one_session(
    page: Path, server: TestServer, template: str, tmp_path: Path
) -> None:
    if not server.embedded:
        pytest.skip("needs the embedded server, in which pgmq is an extension")
    shown: list[str] = []

    def end(text: str) -> str:
        shown.append(text)
        return f"\\echo <end of {len(shown)}>\n"

    steps = ""
    for number, (language, block) in enumerate(pages.blocks(page)):
        if language == "sql":
            steps += SHOWN.sub(lambda match: f"{match[0].rstrip()}\n{end(match[0])}", block)
        elif language == "python":
            (tmp_path / f"{number}.py").write_text(block)
            steps += f"\\! '{sys.executable}' '{tmp_path}/{number}.py' 2>&1\n"
            if lines := pages.printed(block):
                steps += end("\n".join(["--", *lines]))
    # The README creates the extension itself.
    with server.database("template0" if page == README else template) as dbname:
        dsn = server.dsn(dbname)
        known = conninfo_to_dict(dsn)
        names = {"dbname": "PGDATABASE", "host": "PGHOST", "port": "PGPORT", "user": "PGUSER"}
        environment = {names[key]: str(value) for key, value in known.items() if key in names}
        environment["DATABASE_URL"] = dsn
        done = server.run_psql(dbname, "-v", "ON_ERROR_STOP=1", stdin=steps, **environment)
    assert done.returncode == 0, done.stdout

    left = re.sub(r" *\n *", "\n", done.stdout)
    for number, text in enumerate(shown, 1):
        part, found, left = left.partition(f"\n<end of {number}>\n")
        assert found, text
        lines = [line.removeprefix("--").strip() for line in text.splitlines()]
        if len(lines) == 1:
            *_, value = re.findall(r"^-+\n(.*)\n\(1 row\)$", part, re.MULTILINE)
            assert value == {"true": "t", "false": "f"}.get(text, text), part
        else:
            assert "\n".join(lines) in f"\n{part}"
    assert "Traceback" not in done.stdout
    assert SAID.get(page.name, "") in f"\n{done.stdout}"


def test_most_pages_for_users_have_examples_that_show_something() -> None:
    shown = {page.name: len(SHOWN.findall(page.read_text())) for page in RUN}
    assert sum(shown.values()) > 35
    assert len([page for page, count in shown.items() if count]) >= 8


def test_every_block_is_of_a_language_whose_examples_are_run() -> None:
    for page in pages.ALL:
        languages = {language for language, _ in pages.blocks(page)}
        if page.name == "REFERENCE.md":
            assert languages == {""}, page
        elif page in pages.PYTHON:
            assert languages <= {"python", "sh"}, page
        elif page in USERS:
            assert languages <= {"python", "sql"}, page


def test_no_merge_has_left_its_marks() -> None:
    for page in pages.ALL:
        assert not re.findall(r"^(?:<{7}|={7}$|>{7})", page.read_text(), re.MULTILINE), page


def test_the_readme_is_short() -> None:
    assert README.stat().st_size <= 10_240


def test_the_loop_of_a_waiting_consumer_gets_what_is_sent(db: psycopg.Connection, dsn: str) -> None:
    db.execute("SELECT pgmq.create('parcels'), pgmq.enable_wakeups('parcels')")
    names: dict[str, Any] = {}
    blocks = pages.blocks(ROOT / "extension" / "docs" / "waking.md")
    exec(next(block for _, block in blocks if "def consume" in block), names)  # noqa: S102
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


def test_psql_is_called_so_that_a_failure_is_one() -> None:
    """Without a psqlrc, without lines for what went well, and not going on after an error."""
    # A command may go on in the next line of a paragraph.
    texts = [re.sub(r"(?<=\S)\n *(?=\S)", " ", page.read_text()) for page in pages.ALL]
    sources = [ROOT / "Makefile", *(ROOT / "extension").glob("**/*.sql")]
    texts += [source.read_text() for source in sources]
    commands = [line for text in texts for line in re.findall(r"psql (?:\S+ )*?-[1cf]\b.*", text)]
    assert len(commands) > 5
    for command in commands:
        assert command.startswith("psql -X -q -v ON_ERROR_STOP=1 "), command
        assert "pgmq.sql" not in command or " -1 -f " in command


def test_what_pages_tell_to_make_or_to_install_is_there() -> None:
    make = (ROOT / "Makefile").read_text()
    targets = {*re.findall(r"^(?:# )?([a-z-]+):.*## ", make, re.MULTILINE)}
    project = (ROOT / "python" / "pyproject.toml").read_text()
    extras = {
        *re.findall(r"^(\w+) = \[", project.partition("optional-dependencies]")[2], re.MULTILINE)
    }
    for page in pages.ALL:
        text = page.read_text()
        named = re.findall(r"(?:^ {4}|`)make ([a-z-]+)", text, re.MULTILINE)
        assert {*named} <= targets, page
        assert {*re.findall(r"pgmq\[(\w+)\]", text)} <= extras, page


def test_contributing_says_where_each_capability_is_tested() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("\n| capability | ")[2]
    rows = re.findall(r"^\| ([\w ]+) \| (.*) \| (.*) \|$", table.partition("\n\n")[0], re.MULTILINE)
    folders = {path.name for path in (ROOT / "extension" / "functions").iterdir()} - {"internal"}
    assert folders <= {capability for capability, _, _ in rows}
    for _, one, several in rows:
        for file in re.findall(r"`(.*?)`", one):
            there = ("regress/sql" if file.endswith(".sql") else "extension") + f"/{file}"
            assert (ROOT / "tests" / there).exists(), there
        for file in re.findall(r"`(.*?)`", several):
            assert (ROOT / "tests" / "concurrency" / file).exists(), file


def test_every_file_of_tests_for_a_capability_is_in_that_table() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text()
    for folder in ("extension", "concurrency"):
        for path in (ROOT / "tests" / folder).glob("test_*.py"):
            assert f"`{path.name}`" in page, f"{path.name} is in no row of CONTRIBUTING.md"


def test_a_plain_queue_has_as_many_functions_and_relations_as_pages_say(
    db: psycopg.Connection,
) -> None:
    count = """
        SELECT
            (SELECT count(*) FROM pg_proc WHERE pronamespace = 'pgmq'::regnamespace),
            (SELECT count(*) FROM pg_class WHERE relnamespace = 'pgmq'::regnamespace)
    """
    before = db.execute(count).fetchall()[0]
    db.execute("SELECT pgmq.create('orders')")
    more = [after - old for after, old in zip(db.execute(count).fetchall()[0], before, strict=True)]
    for page in ("docs/operations.md", "docs/how-it-works.md"):
        text = (ROOT / "extension" / page).read_text()
        said = re.findall(r"(\d+) functions and (\d+) relations", text.replace("\n", " "))
        assert said == [(str(more[0]), str(more[1]))], page
