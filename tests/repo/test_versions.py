from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from pgmq import __version__
from support import server as servers

if TYPE_CHECKING:
    import psycopg

VERSION = servers.control()["default_version"]


def test_the_python_package_has_the_version_of_the_control_file() -> None:
    text = (servers.ROOT / "python" / "pyproject.toml").read_text()
    assert re.findall(r'^version = "(.*?)"', text, re.MULTILINE) == [VERSION]


def test_the_installed_python_package_has_that_version() -> None:
    assert __version__ == VERSION


def test_pgxn_metadata_has_the_version_of_the_control_file() -> None:
    meta = json.loads((servers.ROOT / "META.json").read_text())
    provided = meta["provides"]["pgmq"]
    assert meta["version"] == VERSION
    assert provided["version"] == VERSION
    assert provided["file"] == f"build/pgmq--{VERSION}.sql"


def test_the_changelog_knows_the_version() -> None:
    changelog = (servers.ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## .*\b{re.escape(VERSION)}\b", changelog, re.MULTILINE)


def test_the_extension_says_its_version(db: psycopg.Connection) -> None:
    assert db.execute("SELECT pgmq.version()").fetchone() == (VERSION,)
