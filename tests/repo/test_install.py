"""What `make` builds, and `make install` where Postgres has no PGXS."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from support.server import BUILD, ROOT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def pg_config(tmp_path: Path) -> Path:
    """Of a Postgres without the package for extensions in C."""
    program = tmp_path / "pg_config"
    program.write_text(
        "#!/bin/sh\n"
        'case "$1" in --pgxs) echo /nowhere/pgxs.mk ;; --sharedir) echo /usr/share/pg ;; esac\n'
    )
    program.chmod(0o755)
    return program


def _make(target: str, pg_config: Path, root: Path) -> subprocess.CompletedProcess[str]:
    command = ["make", "-s", "-C", str(ROOT), target, f"PG_CONFIG={pg_config}", f"DESTDIR={root}"]
    # Of the make that runs the tests, its options.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)


def test_the_files_are_copied_and_removed(pg_config: Path, tmp_path: Path) -> None:
    root = tmp_path / "root of a package"
    for _ in range(2):
        assert _make("install", pg_config, root).returncode == 0
    folder = root / "usr" / "share" / "pg" / "extension"
    scripts = {path.name for path in BUILD.glob("pgmq--*.sql")}
    assert {path.name for path in folder.iterdir()} == scripts | {"pgmq.control"}
    assert len(scripts) == 4
    for path in folder.iterdir():
        assert path.read_bytes() == (BUILD / path.name).read_bytes()
        assert path.stat().st_mode & 0o777 == 0o644
    assert _make("uninstall", pg_config, root).returncode == 0
    assert list(folder.iterdir()) == []


def test_scripts_of_a_version_that_is_no_longer_built_are_removed(tmp_path: Path) -> None:
    # In a copy: other tests install from the tree's own.
    for name in ("Makefile", "pgmq.control", "extension"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "build").mkdir()
    for name in ("pgmq--2.0.9.sql", "pgmq--1.13.0--2.0.9.sql"):
        (tmp_path / "build" / name).touch()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    for _ in range(2):
        subprocess.run(["make", "-s", "-C", tmp_path], check=True, env=environment)
        found = {path.name for path in (tmp_path / "build").glob("*.sql")}
        assert found == {path.name for path in BUILD.glob("*.sql")}


def test_what_needs_more_names_the_package(pg_config: Path, tmp_path: Path) -> None:
    done = _make("installcheck", pg_config, tmp_path)
    assert done.returncode == 2
    assert "postgresql-server-dev-NN" in done.stderr
