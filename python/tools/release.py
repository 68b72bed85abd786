"""Refuses a release whose parts do not agree: run by `make release-check`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def unequal(root: Path) -> list[str]:
    """Say which file has another version than pgmq.control."""
    version = _found(r"^default_version = '(.*?)'", root / "pgmq.control")
    meta = json.loads((root / "META.json").read_text())
    provided = meta["provides"]["pgmq"]
    migrations = root / "python" / "src" / "pgmq" / "django" / "migrations"
    last = max(migrations.glob("0*.py")).stem.partition("_pgmq_")[2].replace("_", ".")
    said = {
        "META.json": meta["version"],
        "META.json, provides": provided["version"],
        "META.json, file": provided["file"].removeprefix("build/pgmq--").removesuffix(".sql"),
        "python/pyproject.toml": _found(r'^version = "(.*?)"', root / "python" / "pyproject.toml"),
        "the last migration for Django": last,
    }
    return [
        f"{name} says {found}, pgmq.control {version}"
        for name, found in said.items()
        if found != version
    ]


def unreleased(root: Path) -> list[str]:
    """Say what the changelog lacks, and whether an upgrade starts from the version before."""
    version = _found(r"^default_version = '(.*?)'", root / "pgmq.control")
    titles = re.findall(r"^## (.*)$", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    wrong = []
    if not re.fullmatch(rf"{re.escape(version)} \(\d{{4}}-\d\d-\d\d\)", titles[0]):
        wrong.append(f'CHANGELOG.md begins with "{titles[0]}", not with {version} and a date')
    starts = _found("^UPGRADES := (.*)$", root / "Makefile").split()
    before = [title.split()[0] for title in titles[1:]]
    wrong += [f"UPGRADES in the Makefile lacks {older}" for older in before if older not in starts]
    return wrong


def uncommitted(root: Path) -> list[str]:
    """List what differs from the last commit, or is in none."""
    command = ["git", "status", "--porcelain"]
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    return [f"not committed: {line[3:]}" for line in done.stdout.splitlines()]


def _found(pattern: str, path: Path) -> str:
    match = re.search(pattern, path.read_text(), re.MULTILINE)
    return match[1] if match else f"nothing in {path.name}"


if __name__ == "__main__":
    complaints = [*uncommitted(ROOT), *unequal(ROOT), *unreleased(ROOT)]
    print(*complaints, sep="\n", end="\n" if complaints else "", file=sys.stderr)
    sys.exit(bool(complaints))
