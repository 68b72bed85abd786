"""Run the tests of other projects that use pgmq on a server with ours, and print what differs.

    python python/tools/suites.py                           # of packages that carry their tests
    python python/tools/suites.py pgmq-py=DIRECTORY remoulade=DIRECTORY

A DIRECTORY is a checkout of that project; without one, the package index has a source package with
the tests in it. Each suite gets a throwaway server, and a virtual environment in build/suites with
what it imports. remoulade needs Python 3.12 (`--python`) and a server with pg_partman: as for the
tests, PGMQ_TEST_POSTGRES says which Postgres.

`--client theirs` takes the project's own client, or pgmq-py where it uses that, instead of ours;
`--sql upstream` installs pgmq 1.13. Both show whose a failure is. Exits with 1 when a test fails
that is no listed difference, or when a listed one passes.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import psycopg
from psycopg.conninfo import conninfo_to_dict

from pgmq import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
CACHE = BUILD / "suites"
UPSTREAM = "pgmq==1.1.4"  # pgmq-py, with the SQL of pgmq 1.13.0 in it


@dataclass(frozen=True, slots=True)
class Suite:
    """A project's tests.

    `needs` is what they import, `where` tells them of the server by environment variables, and
    `instead` where their text names one. `path` is where in the project its own package lies;
    `replaced` says that ours stands for it. `differences` are the tests that fail with our client
    and our SQL, and why that stays so.
    """

    source: str  # as the package index has it
    carries_tests: bool
    path: str
    replaced: bool
    needs: tuple[str, ...]
    tests: tuple[str, ...] = ("tests",)
    left_out: tuple[str, ...] = ()
    runs: tuple[tuple[str, ...], ...] = ((),)
    where: Mapping[str, str] = field(default_factory=dict)
    instead: Mapping[str, str] = field(default_factory=dict)
    differences: Mapping[str, str] = field(default_factory=dict)


ASYNCPG = "the asynchronous client is on psycopg 3, not asyncpg"
PRIVATE = "replaces private parts of pgmq-py's installer by mocks"
WORDS = "the same class of error, in other words"
DROP = "returns False for a queue that is not there, as pgmq 1.13 does"
LENGTH = "pgmq 1.13 says 47 characters, and the test 48"
URL = "postgresql://{user}:{password}@{host}:{port}/{dbname}"

SUITES = {
    "pgmq-py": Suite(
        source="pgmq",
        carries_tests=False,
        path="src",
        replaced=True,
        needs=("asyncpg", "fastapi", "httpx", "loguru", "orjson", "python-dotenv"),
        # What is about the package's own parts: its HTTP API, its copy of pgmq's SQL and what
        # makes that, its logger on loguru.
        left_out=(
            "tests/temp_test.py", "tests/test_api.py", "tests/test_logger.py",
            "tests/test_sql_conversion.py", "tests/test_vendor_pgmq_sql.py",
        ),
        where={
            "PG_HOST": "{host}", "PG_PORT": "{port}", "PG_USERNAME": "{user}",
            "PG_PASSWORD": "{password}", "PG_DATABASE": "{dbname}",
            "PG_SQL_INSTALL_PORT": "{port}", "PG_SQL_INSTALL_DATABASE": "plain",
        },
        differences={
            "test_external_pool": ASYNCPG,
            "test_external_pool_not_closed_by_queue": ASYNCPG,
            "test_no_extension_async": ASYNCPG,
            "test_get_embedded_install_sql_read_failure": PRIVATE,
            "test_get_embedded_sql_version_matches_pin": PRIVATE,
            "test_get_embedded_sql_version_read_failure": PRIVATE,
            "test_connect_uses_conn_string_to_preserve_options": PRIVATE,
            "test_sql_execution_failure_raises_install_error": PRIVATE,
            "test_session_raises_without_engine": WORDS,
            "test_async_session_raises_without_engine": WORDS,
            "test_invalid_engine_type_raises": WORDS,
            "test_invalid_async_engine_type_raises": WORDS,
            "test_convert_archive_partitioned":
                "an earlier test has left the table that it renames to",
        },
    ),
    "pgmq-sqlalchemy": Suite(
        source="pgmq-sqlalchemy==0.2.0",
        carries_tests=True,
        path=".",
        replaced=True,
        needs=(
            "pytest<8", "pytest-lazy-fixture", "pytest-xdist", "asyncpg", "filelock", "pg8000",
            "psycopg2-binary",
        ),
        # Most of its tests sleep.
        runs=tuple(
            ("-n", "8", "--driver", driver)
            for driver in ("psycopg2", "psycopg", "asyncpg")
        ),
        where={
            "SQLALCHEMY_HOST": "{host}", "SQLALCHEMY_PORT": "{port}", "SQLALCHEMY_USER": "{user}",
            "SQLALCHEMY_PASSWORD": "{password}", "SQLALCHEMY_DB": "{dbname}",
        },
        differences={
            "test_validate_queue_name": LENGTH,
            "test_validate_queue_name_async": LENGTH,
            "test_drop_non_exist_queue": DROP,
            "test_drop_non_exist_queue_async": DROP,
            "test_drop_non_exist_partitioned_queue": DROP,
            "test_drop_non_exist_partitioned_queue_async": DROP,
        },
    ),
    "kombu-pgmq": Suite(
        source="kombu-pgmq==0.2.0",
        carries_tests=True,
        path="src",
        replaced=False,
        needs=("celery", "kombu", "orjson"),
        left_out=(
            "tests/test_performance.py", "tests/test_performance_brokers.py",
            "tests/test_performance_concurrency.py",
        ),
        instead={
            "postgresql://postgres:postgres@localhost:5432/postgres": URL,
            'hostname="localhost"': 'hostname="{host}"',
            "port=5432": "port={port}",
            'userid="postgres"': 'userid="{user}"',
            'password="postgres"': 'password="{password}"',
            'virtual_host="postgres"': 'virtual_host="{dbname}"',
        },
    ),
    "remoulade": Suite(
        source="remoulade",
        carries_tests=False,
        path=".",
        replaced=False,
        needs=(
            "remoulade",  # whose metadata its code reads
            "amqpstorm<3", "flask-apispec", "flask<3", "freezegun", "limits<5.4", "marshmallow<4",
            "opentelemetry-sdk", "orjson", "pydantic", "pytest-benchmark", "redis",
        ),
        tests=("tests/test_postgres.py",),
        where={"REMOULADE_TEST_DB_URL": URL},
    ),
}  # fmt: skip


def main() -> int:
    """Run the suites that are named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("suites", nargs="*", metavar="SUITE[=DIRECTORY]")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--client", choices=("ours", "theirs"), default="ours")
    parser.add_argument("--sql", choices=("ours", "upstream"), default="ours")
    options = parser.parse_args()
    chosen = options.suites or [name for name, suite in SUITES.items() if suite.carries_tests]
    good = True
    for name, _, directory in (each.partition("=") for each in chosen):
        suite = SUITES.get(name)
        if suite is None:
            parser.error(f"{name} is none of {', '.join(SUITES)}")
        if not directory and not suite.carries_tests:
            parser.error(f"the package of {name} has no tests: {name}=DIRECTORY, of a checkout")
        project = Path(directory).resolve() if directory else source(suite)
        if not (project / "tests").is_dir():
            parser.error(f"{project} has no folder tests")
        good &= run(name, project, options.python, options.client, options.sql)
    return int(not good)


def run(name: str, project: Path, python: str, client: str, sql: str) -> bool:
    """Run one suite on a server of its own; say whether all is as listed."""
    suite = SUITES[name]
    python = environment(name, python)
    packages = [] if suite.replaced and client == "ours" else [str(project / suite.path)]
    if not suite.replaced and client == "theirs":
        packages.append(str(_unpacked(_download(UPSTREAM, "--no-deps"))))
    good = True
    with tempfile.TemporaryDirectory(prefix="pgmq-") as folder, server(Path(folder), sql) as dsn:
        given = {key: str(value) for key, value in conninfo_to_dict(dsn).items()}
        variables = os.environ | {"PYTHONPATH": os.pathsep.join(packages)}
        variables |= {key: value.format(**given) for key, value in suite.where.items()}
        for options in suite.runs:
            # Their package must not be imported from the project's folder.
            with tempfile.TemporaryDirectory(prefix="pgmq-") as name_of_copy:
                copy = Path(name_of_copy)
                shutil.copytree(project / "tests", copy / "tests")
                for path in (copy / "tests").rglob("*.py"):
                    text = path.read_text()
                    for found, value in suite.instead.items():
                        text = text.replace(found, value.format(**given))
                    path.write_text(text)
                (copy / "pytest.ini").write_text(
                    "[pytest]\nasyncio_mode = auto\npythonpath = .\naddopts = -p no:cacheprovider\n"
                )
                report = copy / "report.xml"
                ignored = [f"--ignore={path}" for path in suite.left_out]
                done = subprocess.run(
                    [python, "-m", "pytest", "-q", "--tb=short", "--timeout=100",
                     f"--junitxml={report}", *ignored, *options, *suite.tests],
                    cwd=copy, env=variables, check=False, text=True,
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                )  # fmt: skip
                # With a synchronous driver, an asynchronous test proves nothing.
                synchronous = "--driver" in options and "asyncpg" not in options
                listed = {
                    test: reason
                    for test, reason in suite.differences.items()
                    if (client, sql) == ("ours", "ours")
                    and not (synchronous and test.endswith("_async"))
                }
                title = f"{name} {' '.join(options)}".rstrip()
                if not report.exists():
                    print(done.stdout)
                good &= show(f"{title} (client {client}, SQL {sql})", report, listed)
    return good


def show(title: str, report: Path, listed: Mapping[str, str]) -> bool:
    """Print what became of the tests of a run."""
    if not report.exists():
        print(f"{title}: did not come to its end")
        return False
    passed: list[str] = []
    failed: list[tuple[str, str]] = []
    skipped = 0
    for case in ET.parse(report).iter("testcase"):  # noqa: S314, our own
        name = case.get("name", "")
        wrong = [*case.iter("failure"), *case.iter("error")]
        if wrong:
            failed.append((name, wrong[0].text or ""))
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed.append(name)
    differ = [name for name, _ in failed if _test(name) in listed]
    failed = [(name, text) for name, text in failed if _test(name) not in listed]
    stale = sorted({_test(name) for name in passed} & listed.keys() - set(map(_test, differ)))
    print(f"{title}: {len(passed)} passed, {skipped} skipped, {len(differ)} differ as listed, "
          f"{len(failed)} failed")  # fmt: skip
    for name in sorted(set(map(_test, differ))):
        print(f"  differs: {name}: {listed[name]}")
    for name, text in failed:
        print(f"  FAILED: {name}\n{textwrap.indent(text, '    ')}")
    for name in stale:
        print(f"  PASSED, but is listed: {name}")
    return bool(passed) and not failed and not stale


def _test(name: str) -> str:
    return name.partition("[")[0]


@contextlib.contextmanager
def server(folder: Path, sql: str) -> Iterator[str]:
    """Start a server with pgmq in its database postgres and another one called plain."""
    folder.chmod(0o755)
    wanted = os.environ.get("PGMQ_TEST_POSTGRES", "")
    extension = BUILD
    if sql == "upstream":
        extension = folder / "upstream"
        extension.mkdir()
        with zipfile.ZipFile(_download(UPSTREAM, "--no-deps")) as wheel:
            text = wheel.read("pgmq/sql/pgmq.sql")
        (extension / "pgmq--1.13.0.sql").write_bytes(text)
        (extension / "pgmq.control").write_text("default_version = '1.13.0'\nschema = 'pgmq'\n")
    started = embedded.server(
        folder / "server",
        version=int(wanted) if wanted.isdigit() else None,
        pg_config=wanted if wanted and not wanted.isdigit() else None,
        extension=extension,
        settings={"fsync": "off", "max_connections": "1000"},
        port=_free_port(),
    )
    try:
        with psycopg.connect(started.dsn(), autocommit=True) as connection:
            connection.execute("CREATE EXTENSION pgmq")
            connection.execute("CREATE DATABASE plain TEMPLATE template0")
        yield started.dsn(tcp=True)
    finally:
        started.stop(remove=True, mode="immediate")


def environment(name: str, python: str) -> str:
    """Make a virtual environment with what a suite needs, and give its Python."""
    version = subprocess.run(
        [python, "-c", "import sys; print(*sys.version_info[:2], sep='.')"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    folder = CACHE / f"{name}-{version}"
    needs = ["pytest", "pytest-asyncio", "pytest-timeout", *SUITES[name].needs]
    stamp = folder / "needs.txt"
    if not stamp.exists() or stamp.read_text().split() != needs:
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([python, "-m", "venv", folder], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-qq"]
        ours = ["--editable", f"{ROOT / 'python'}[sqlalchemy]"]
        subprocess.run([*pip, "--disable-pip-version-check", *needs, *ours], check=True)
        stamp.write_text("\n".join(needs))
    return str(folder / "bin" / "python")


def source(suite: Suite) -> Path:
    """Download a project's source package, and give the folder of what is in it."""
    name, _, _ = suite.source.partition("==")
    archive = _download(suite.source, "--no-deps", "--no-binary", name)
    (inside,) = _unpacked(archive).iterdir()
    return inside


def _download(requirement: str, *options: str) -> Path:
    folder = CACHE / requirement
    if not folder.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as fresh:
            pip = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check"]
            subprocess.run([*pip, *options, "-d", f"{fresh}/x", requirement], check=True)
            Path(fresh, "x").rename(folder)
    (found,) = (path for path in folder.iterdir() if path.is_file())
    return found


def _unpacked(archive: Path) -> Path:
    folder = archive.parent / "unpacked"
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(dir=archive.parent) as fresh:
            kind = "zip" if archive.suffix == ".whl" else "gztar"
            shutil.unpack_archive(archive, f"{fresh}/x", kind)
            Path(fresh, "x").rename(folder)
    return folder


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
