"""Every error text of ours is expected by a test, in words that no other one has."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from support.server import ROOT

RAISE = re.compile(r"RAISE EXCEPTION\s+'((?:[^']|'')+)'")
RUN = 12  # so many characters, of two words at least, say which text it is

# No caller sees these.
INTERNAL = {
    "looked": "doctor() gives back its locks by it",
    "measured": "metrics_all() does, too",
    "messages for partition % have just come": "upkeep tries again later",
}


def _texts() -> dict[str, str]:
    """List the texts, as they are in the sources, with the file that each is in."""
    return {
        match[1].replace("''", "'"): str(path.relative_to(ROOT))
        for path in sorted((ROOT / "extension").rglob("*.sql"))
        for match in RAISE.finditer(path.read_text())
    }


def _expected() -> list[str]:
    """List the strings of the tests, without docstrings, and the errors of tests/regress."""
    found: list[str] = []
    for path in (ROOT / "tests").rglob("*.py"):
        if path != Path(__file__):
            tree = ast.parse(path.read_text())
            comments = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            strings = (_string(node) for node in ast.walk(tree) if id(node) not in comments)
            found += (string.replace("\\", "") for string in strings)
    for path in (ROOT / "tests" / "regress" / "expected").glob("*.out"):
        found += re.findall(r"^ERROR:  (.*)", path.read_text(), re.MULTILINE)
    return found


def _string(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(_string(value) or "x" for value in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def test_every_error_text_is_expected_by_a_test() -> None:
    texts, expected = _texts(), _expected()
    everything = "\n".join(expected)
    missing = []
    for text, file in texts.items():
        others = "\n".join(texts.keys() - {text})
        runs = (
            part[start : start + RUN]
            for part in text.split("%")
            for start in range(len(part) - RUN + 1)
        )
        telling = (run for run in runs if " " in run.strip() and run not in others)
        whole = re.compile(re.escape(text).replace("%", ".+"))
        if not (
            text in INTERNAL
            or any(run in everything for run in telling)
            or any(map(whole.fullmatch, expected))
        ):
            missing.append(f"{file}: {text}")
    assert not missing, "\n".join(missing)
