"""Run the tests of other projects against our Python package, and print a table.

    python python/tools/suites.py pgmq-py=DIRECTORY pgmq-sqlalchemy=DIRECTORY

A DIRECTORY is a checkout of that project; nothing is fetched. Their tests run on a throwaway server
with `--python` (default: this one), which needs what they import: for pgmq-py python-dotenv,
fastapi and httpx; for pgmq-sqlalchemy psycopg2, pytest-asyncio, filelock and pytest-lazy-fixture
with pytest 7. Exits with 1 when a test fails that is no listed difference.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

from pgmq import embedded, install_pgmq_from_sql

PACKAGE = Path(__file__).resolve().parent.parent
ASYNCPG = "the asynchronous client is on psycopg 3, not asyncpg"
PRIVATE = "replaces private parts of pgmq-py's installer by mocks"
WORDS = "the same class of error, in other words"
DROP = "returns False for a queue that is not there, as pgmq 1.13 does"

# The files that are about the other package's own parts: its HTTP API, its copy of pgmq's SQL and
# what makes that, its logger on loguru.
LEFT_OUT: dict[str, set[str]] = {
    "pgmq-py": {
        "tests/temp_test.py", "tests/test_api.py", "tests/test_logger.py",
        "tests/test_sql_conversion.py", "tests/test_vendor_pgmq_sql.py",
    },
    "pgmq-sqlalchemy": set(),
}  # fmt: skip
RUNS: dict[str, list[list[str]]] = {
    "pgmq-py": [[]],
    "pgmq-sqlalchemy": [["--driver", "psycopg2"], ["--driver", "psycopg"]],
}

# What fails, and why that stays so.
DIFFERENCES: dict[str, dict[str, str]] = {
    "pgmq-py": {
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
        "test_convert_archive_partitioned": "an earlier test has left the table that it renames to",
    },
    "pgmq-sqlalchemy": {
        "test_validate_queue_name": "pgmq 1.13 says 47 characters, and the test 48",
        "test_drop_non_exist_queue": DROP,
        "test_drop_non_exist_partitioned_queue": DROP,
    },
}


def run(suite: str, checkout: Path, python: str, server: embedded.Server) -> bool:
    """Run one suite; say whether nothing failed but listed differences."""
    from psycopg.conninfo import conninfo_to_dict

    given = conninfo_to_dict(server.dsn(tcp=True))
    environment = os.environ | {"PYTHONPATH": str(PACKAGE / "src")}
    for field, theirs in (
        ("host", "HOST"), ("port", "PORT"), ("dbname", "DATABASE"), ("user", "USERNAME"),
        ("password", "PASSWORD"),
    ):  # fmt: skip
        value = str(given[field])
        environment[f"PG_{theirs}"] = value
        environment[
            f"SQLALCHEMY_{theirs.replace('USERNAME', 'USER').replace('DATABASE', 'DB')}"
        ] = value
    good = True
    for options in RUNS[suite]:
        with tempfile.TemporaryDirectory() as name:
            # Theirs must not be imported from the checkout.
            folder = Path(name)
            shutil.copytree(checkout / "tests", folder / "tests")
            (folder / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\npythonpath = .\n")
            report = folder / "report.xml"
            ignored = [f"--ignore={path}" for path in LEFT_OUT[suite]]
            subprocess.run(
                [python, "-m", "pytest", "-q", "--tb=line", f"--junitxml={report}", *ignored,
                 *options, "tests"],
                cwd=folder, env=environment, check=False,
            )  # fmt: skip
            good &= show(suite, " ".join([suite, *options]), report)
    return good


def show(suite: str, title: str, report: Path) -> bool:
    """Print what became of the tests of a run."""
    if not report.exists():
        print(f"{title}: did not come to its end")
        return False
    passed = skipped = 0
    expected: list[tuple[str, str]] = []
    failed: list[str] = []
    for case in ET.parse(report).iter("testcase"):  # noqa: S314, our own
        name = case.get("name", "")
        if case.find("failure") is not None or case.find("error") is not None:
            known = DIFFERENCES[suite].get(name.partition("[")[0])
            if known:
                expected.append((name, known))
            else:
                failed.append(name)
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
    print(
        f"{title}: {passed} passed, {skipped} skipped, {len(expected)} differ, {len(failed)} failed"
    )
    for name, reason in expected:
        print(f"  differs: {name}: {reason}")
    for name in failed:
        print(f"  FAILED: {name}")
    return not failed and passed > 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> int:
    """Run the suites that are named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("suites", nargs="+", metavar="SUITE=DIRECTORY")
    parser.add_argument("--python", default=sys.executable)
    options = parser.parse_args()
    good = True
    for each in options.suites:
        suite, _, directory = each.partition("=")
        if suite not in RUNS or not Path(directory, "tests").is_dir():
            parser.error(f"{each} is none of {', '.join(RUNS)}, or has no tests")
        with tempfile.TemporaryDirectory() as name:
            server = embedded.server(Path(name, "server"), port=_free_port())
            try:
                install_pgmq_from_sql(dsn=server.dsn())
                good &= run(suite, Path(directory).resolve(), options.python, server)
            finally:
                server.stop(remove=True)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
