from __future__ import annotations

import re
from typing import TYPE_CHECKING

import release

from pgmq import __version__
from support import server as servers

if TYPE_CHECKING:
    import psycopg

VERSION = servers.control()["default_version"]


def test_everything_has_the_version_of_the_control_file() -> None:
    assert release.unequal(servers.ROOT) == []


def test_the_installed_python_package_has_that_version() -> None:
    assert __version__ == VERSION


def test_the_changelog_has_what_is_unreleased_and_then_dated_versions_the_latest_first() -> None:
    changelog = (servers.ROOT / "CHANGELOG.md").read_text()
    first, *released = re.findall(r"^## (.*)$", changelog, re.MULTILINE)
    if first != "Unreleased":  # as in the commit of a release
        released.insert(0, first)
    found = [re.fullmatch(r"(\d+\.\d+\.\d+) \((\d{4}-\d\d-\d\d)\)", title) for title in released]
    assert all(found), released
    versions = [match[1] for match in found if match]
    dates = [match[2] for match in found if match]
    assert versions[0] == VERSION
    assert dates == sorted(dates, reverse=True)


def test_the_extension_says_its_version(db: psycopg.Connection) -> None:
    assert db.execute("SELECT pgmq.version()").fetchone() == (VERSION,)
