"""The README's first steps do what it says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from server import ROOT

if TYPE_CHECKING:
    from server import TestServer


def _section(title: str) -> list[str]:
    """Return the SQL examples below a heading of the README."""
    text = (ROOT / "README.md").read_text()
    section = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return re.findall(r"```sql\n(.*?)```", section, re.DOTALL)


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


def test_fifo_groups_run_as_they_stand(server: TestServer, database: str) -> None:
    _run(server, database, _section("FIFO groups")[0], tables=9)


def test_topics_and_exchanges_run_as_they_stand(server: TestServer, database: str) -> None:
    steps = "".join(_section("Topics and exchanges"))
    printed = _run(server, database, steps, tables=6)
    copies = re.findall(r";  -- (\d+)$", steps, re.MULTILINE)
    assert copies == ["2", "0", "1", "1"]
    assert re.findall(r"^ +(\d+)$", printed, re.MULTILINE) == copies
