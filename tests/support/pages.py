"""The pages of this repository, and the examples on them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from support.server import ROOT

if TYPE_CHECKING:
    from pathlib import Path

TOP = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")]
EXTENSION = sorted((ROOT / "extension" / "docs").glob("*.md"))
PYTHON = [ROOT / "python" / "README.md", *sorted((ROOT / "python" / "docs").glob("*.md"))]
BENCHMARK = [*(ROOT / "tests" / "benchmark").glob("**/README.md")]
ALL = [*TOP, *EXTENSION, *PYTHON, *BENCHMARK]


def name(page: Path) -> str:
    """Name a page as a test's id."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return a page's fenced blocks, each with its language."""
    return re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def printed(block: str) -> list[str]:
    """Return what an example in Python says that its calls of print() show."""
    return re.findall(r"print\(.*\)  # (.*)$", block, re.MULTILINE)
