"""Run the psql scripts as pg_regress does, so that both share the expected output.

A new script needs an expected file: run the test, read build/regress/NAME.out, and copy it.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.server import BUILD

if TYPE_CHECKING:
    from support.server import TestServer

HERE = Path(__file__).resolve().parent
SCRIPTS = sorted((HERE / "sql").glob("*.sql"))
# What pg_regress sets.
ENVIRONMENT = {
    "PGTZ": "PST8PDT",
    "PGDATESTYLE": "Postgres, MDY",
    "PGOPTIONS": "-c intervalstyle=postgres_verbose",
    "LC_ALL": "C",
}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_prints_what_is_expected(server: TestServer, database: str, script: Path) -> None:
    done = server.run_psql(database, "-a", stdin=script.read_text(), **ENVIRONMENT)
    result = BUILD / "regress" / f"{script.stem}.out"
    result.parent.mkdir(parents=True, exist_ok=True)
    result.write_text(done.stdout)
    expected = HERE / "expected" / result.name
    difference = difflib.unified_diff(
        expected.read_text().splitlines() if expected.exists() else [],
        done.stdout.splitlines(),
        str(expected),
        str(result),
        lineterm="",
    )
    shown = "\n".join(difference)
    assert not shown, f"\n{shown}\nIf this is right: cp {result} {expected}"


def test_every_expected_file_has_its_script() -> None:
    scripts = {script.stem for script in SCRIPTS}
    assert {file.stem for file in (HERE / "expected").glob("*.out")} == scripts
