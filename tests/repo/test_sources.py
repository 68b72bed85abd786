from __future__ import annotations

import graphlib
import re
import subprocess
from collections import Counter
from typing import TYPE_CHECKING

import pytest
import reference

from support import server as servers
from support.server import BUILD, ROOT

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

EXTENSION = ROOT / "extension"
TOP_LEVEL = {
    "extension",
    "python",
    "tests",
    "Makefile",
    "pgmq.control",
    "README.md",
    "META.json",
    "LICENSE",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
}
IGNORED = {"build"}


def _included(manifest: Path) -> list[Path]:
    lines = re.findall(r"^\\(?:ir|quoted|template)\s+(\S+)", manifest.read_text(), re.MULTILINE)
    return [(manifest.parent / line).resolve() for line in lines]


def test_every_sql_file_is_in_exactly_one_manifest() -> None:
    files = set(EXTENSION.rglob("*.sql"))
    apart = ("install", "tle", "guard", "upgrade/prepare", "upgrade/leave")
    roots = {EXTENSION / f"{name}.sql" for name in apart}
    # tle.sql is the text of install.sql once more.
    named = Counter(path for file in files for path in _included(file) if path not in roots)
    assert set(named) == files - roots
    assert [path for path, count in named.items() if count > 1] == []


def test_a_public_function_is_alone_in_the_file_of_its_name() -> None:
    for file in (EXTENSION / "functions").rglob("*.sql"):
        made = re.findall(
            r"^CREATE(?: OR REPLACE)? FUNCTION\s+pgmq\.(\S+?)\s*\(",
            file.read_text(),
            re.MULTILINE,
        )
        public = {name.strip('"') for name in made if not name.startswith("_")}
        internal = "internal" in file.relative_to(EXTENSION).parts
        assert public == (set() if internal else {file.stem}), file
        assert internal == file.stem.startswith("_"), file


def test_no_function_is_defined_twice() -> None:
    """The second one would win without a word."""
    found = Counter(
        " ".join(signature.split())
        for path in EXTENSION.glob("functions/**/*.sql")
        for signature in re.findall(
            r"^CREATE OR REPLACE FUNCTION (pgmq\.[^(]+\(.*?\))$",
            path.read_text(),
            re.MULTILINE | re.DOTALL,
        )
    )
    assert len(found) > 200
    assert [name for name, count in found.items() if count > 1] == []


def test_no_files_of_functions_call_each_other_in_a_circle() -> None:
    """So that each can be read, and understood, after those that it calls."""
    files = {path: path.read_text() for path in EXTENSION.glob("functions/**/*.sql")}
    homes: dict[str, set[Path]] = {}
    for path, text in files.items():
        for name in re.findall(r"^CREATE OR REPLACE FUNCTION pgmq\.(\w+)", text, re.MULTILINE):
            homes.setdefault(name, set()).add(path)
    calls: dict[Path, set[Path]] = {}
    for path, text in files.items():
        code = re.sub(r"--.*", "", text)
        called = re.findall(r"\bpgmq\.(_\w+)\(", code)
        calls[path] = set().union(*(homes.get(name, set()) for name in called)) - {path}
    try:
        order = list(graphlib.TopologicalSorter(calls).static_order())
    except graphlib.CycleError as error:
        circle = " -> ".join(path.stem for path in reversed(error.args[1]))
        pytest.fail(f"a circle of calls: {circle}")
    assert len(order) == len(files) > 150


def test_every_public_function_has_a_comment_that_begins_with_a_short_sentence(
    db: psycopg.Connection,
) -> None:
    functions = reference.functions(db)
    assert functions
    for function in functions:
        assert function.comment, function.signature
        first, *rest = function.comment.split("\n\n")
        assert len(first) <= 100, function.signature
        assert re.fullmatch(r"[A-Z].*\.", first), function.signature
        assert all(paragraph.strip() for paragraph in rest), function.signature
        assert all(len(line) <= 100 for line in function.comment.splitlines()), function.signature


def test_the_plain_file_has_no_psql_command() -> None:
    lines = (BUILD / "pgmq.sql").read_text().splitlines()
    assert [line for line in lines if line.startswith("\\")] == []


def test_the_scripts_are_the_plain_file_behind_the_guard() -> None:
    guard = (EXTENSION / "guard.sql").read_text()
    plain = (BUILD / "pgmq.sql").read_text()
    version = servers.control()["default_version"]
    scripts = {path.name: path.read_text() for path in BUILD.glob("pgmq--*.sql")}
    assert guard.startswith("\\echo ")
    assert guard.endswith("\\quit\n")
    for start in ("", "--1.13.0", "--1.13.1", "--2.0.0"):
        assert scripts[f"pgmq{start}--{version}.sql"] == guard + plain


def test_the_build_is_reproducible(tmp_path: Path) -> None:
    """The same sources in another directory give the same bytes."""
    for part in ("Makefile", "pgmq.control", "extension"):
        subprocess.run(["cp", "-R", ROOT / part, tmp_path / part], check=True)
    subprocess.run(
        ["make", "-s", "-C", tmp_path, "build"], check=True, env={"PATH": "/usr/bin:/bin"}
    )
    built = {path.name: path.read_bytes() for path in (tmp_path / "build").iterdir()}
    assert built == {name: (BUILD / name).read_bytes() for name in built}


def test_a_psql_command_or_a_file_included_twice_fails_the_build(tmp_path: Path) -> None:
    for part in ("Makefile", "pgmq.control"):
        subprocess.run(["cp", ROOT / part, tmp_path / part], check=True)
    extension = tmp_path / "extension"
    extension.mkdir()
    subprocess.run(["cp", ROOT / "extension" / "expand.awk", extension], check=True)
    (extension / "guard.sql").write_text("\\quit\n")
    (extension / "a.sql").write_text("SELECT 1;\n")
    for manifest, complaint in (
        ("\\set x 1\n", "extension/install.sql:1: \\set is for psql only"),
        ("\\ir a.sql\n\\ir a.sql\n", "extension/a.sql: included a second time"),
        ("\\ir b.sql\n", "extension/b.sql: cannot be read"),
        ("\\template a.sql\n" * 2, "extension/a.sql: a second template a for the same queues"),
    ):
        (extension / "install.sql").write_text(manifest)
        done = subprocess.run(
            ["make", "-s", "-C", tmp_path, "build"], check=False, capture_output=True, text=True
        )
        assert done.returncode != 0
        assert complaint in done.stderr
        assert not (tmp_path / "build" / "pgmq.sql").exists()


def test_the_top_level_holds_only_what_belongs_there() -> None:
    there = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert there - IGNORED == TOP_LEVEL
