"""How the Python package is laid out: who imports whom, and where its SQL stands."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

from support.server import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCES = ROOT / "python" / "src"
# A module imports its own room, and those before it that are named here.
ROOMS: dict[str, set[str]] = {
    "core": {"sqlalchemy"},  # a conn of SQLAlchemy's, when one is given
    "embedded": set(),
    "signals": set(),
    "sqlalchemy": {"core"},
    "pgmq_sqlalchemy": {"core", "sqlalchemy"},
    "session": {"core"},
    "worker": {"core", "signals"},
    "otel": {"core", "session", "worker"},
    "relay": {"core", "session"},
    "taskiq": {"core", "worker"},
    "dramatiq": {"core", "worker"},
    "pgmq_pytest": {"core", "embedded", "package"},
    "django": {"core", "worker"},
    "package": {"core", "worker", "sqlalchemy"},  # pgmq/__init__.py
    "web": {"core", "package"},  # of the package its version
    "exporter": {"core", "session", "worker"},
    "demo": {"core", "session", "worker", "embedded"},
    "cli": {"core", "session", "signals", "relay", "package", "demo", "exporter", "web"},
}


def _room(module: str) -> str:
    for pattern, room in {
        r"pgmq": "package",
        r"pgmq\.(cli(\..+)?|__main__)": "cli",
        r"pgmq\.(_worker(\..+)?|worker)": "worker",
        r"pgmq\.relay(\..+)?": "relay",
        r"pgmq\.web(\..+)?": "web",
        r"pgmq\.django(\..+)?": "django",
        r"pgmq\._(session|signals)": "",
        r"pgmq\.(_otel_instrumentor|otel)": "otel",
        r"pgmq\.(embedded|demo|exporter|dramatiq|taskiq)": "",
        r"pgmq\.(_sqlalchemy|sqlalchemy_\w+)": "sqlalchemy",
        r"pgmq_pytest": "pgmq_pytest",
        r"pgmq_sqlalchemy(\..+)?": "pgmq_sqlalchemy",
    }.items():
        if re.fullmatch(pattern, module):
            return room or module.rpartition(".")[2].strip("_")
    return "core"


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SOURCES.rglob("*.py")):
        name = ".".join(path.relative_to(SOURCES).with_suffix("").parts).removesuffix(".__init__")
        yield name, ast.parse(path.read_text())


def _imports() -> dict[str, set[str]]:
    """The modules of ours that each one imports, for types too."""
    trees = dict(_modules())
    found: dict[str, set[str]] = {name: set() for name in trees}
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    inside = f"{node.module}.{alias.name}"
                    found[name].add(inside if inside in trees else node.module)
            elif isinstance(node, ast.Import):
                found[name].update(alias.name for alias in node.names)
        found[name] &= trees.keys() - {name}
    return found


def test_imports_make_no_circle_and_keep_to_their_room_and_those_below() -> None:
    imports = _imports()
    assert len(imports) > 40
    TopologicalSorter(imports).prepare()  # raises a CycleError
    assert [
        (name, other)
        for name, others in imports.items()
        for other in sorted(others)
        if _room(other) != _room(name) and _room(other) not in ROOMS[_room(name)]
    ] == []


def test_sql_that_calls_pgmq_stands_with_the_statements() -> None:
    strays = []
    for name, tree in _modules():
        texts = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        strays += [
            (name, node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
            if id(node) not in texts and re.search(r"\bpgmq\.\w+\(", node.value)
        ]
    # The demo prints what one may look at.
    assert {name for name, _ in strays} <= {"pgmq._statements", "pgmq.demo"}
    assert [text for name, text in strays if name == "pgmq.demo"] == [
        "  SELECT * FROM pgmq.metrics('"
    ]
