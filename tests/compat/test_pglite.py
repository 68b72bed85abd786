"""PGlite (Postgres in WebAssembly, from npm) installs the plain SQL and runs it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from support.server import BUILD

pytestmark = pytest.mark.once

PACKAGE = "@electric-sql/pglite"
VERSION = "0.5.17"


@pytest.fixture(scope="module")
def module() -> Path:
    """The file of the module; the package is installed into build/ once."""
    folder = BUILD / "pglite" / VERSION
    file = folder / "node_modules" / PACKAGE / "dist" / "index.js"
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("needs node and npm")
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund"]
        done = subprocess.run(
            [*command, f"{PACKAGE}@{VERSION}"], check=False, capture_output=True, text=True
        )
        if done.returncode != 0:
            pytest.skip(f"{PACKAGE} cannot be installed: {done.stderr.strip()[-200:]}")
    return file


def test_pglite_installs_the_plain_file_and_runs_it(module: Path) -> None:
    script = Path(__file__).with_name("pglite.mjs")
    done = subprocess.run(
        ["node", script, module, BUILD / "pgmq.sql"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "read": [
            {"msg_id": 1, "read_ct": 1, "message": {"a": 1}},
            {"msg_id": 2, "read_ct": 1, "message": 2},
            {"msg_id": 3, "read_ct": 1, "message": 3},
        ],
        "parts": [{"message": 4}],
        "archived": [{"archive": True}],
        "acked": [{"ack": True}],
        "deleted": [{"delete": True}],
        "kept": [{"msg_id": 1}],
        "length": [{"queue_length": 0}],
        "dropped": [{"drop_queue": True}],
        "heard": 2,
    }
