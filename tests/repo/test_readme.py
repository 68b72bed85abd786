"""The README's first steps do what it says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from server import ROOT

if TYPE_CHECKING:
    from server import TestServer


def test_the_first_five_minutes_in_psql_run_as_they_stand(
    server: TestServer, database: str
) -> None:
    text = (ROOT / "README.md").read_text()
    block = text.partition("## The first five minutes in psql")[2]
    script = re.search(r"```sql\n(.*?)```", block, re.DOTALL)
    assert script is not None
    steps = script[1].replace("CREATE EXTENSION pgmq;", "")  # the test's database has it
    done = server.run_psql(database, "-v", "ON_ERROR_STOP=1", stdin=steps)
    assert done.returncode == 0, done.stdout
    shown = re.findall(r"^-- (.*[|+].*)$", steps, re.MULTILINE)
    assert len(shown) == 4
    assert "\n".join(line.strip() for line in shown) in re.sub(r" *\n *", "\n", done.stdout)
