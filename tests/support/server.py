"""The server that the tests run on, and the databases cloned from its templates.

By default a throwaway server from a wheel; PGMQ_TEST_POSTGRES chooses its major version, or the
pg_config of an installation to copy instead. PGMQ_DSN names a server that runs already. Under
pytest-xdist the controlling process owns the server and makes the templates; the workers learn of
it by an environment variable.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgmq import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
UPSTREAM = "pgmq==1.1.4"  # the PyPI package; its SQL is upstream's version 1.13.0

SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",  # the tests say when
    "max_connections": "120",
    "max_prepared_transactions": "8",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "1h",
}

_FOLDER = "pgmq-test-"
_DISK = Path(tempfile.gettempdir())
_MEMORY = Path("/dev/shm")  # noqa: S108
_ROOM = 2 << 30  # two workers need half a gigabyte
_numbers = itertools.count()


class MissingError(Exception):
    """Raised when something a test needs is not to be had here; the message names it."""


@dataclass(frozen=True, slots=True)
class TestServer:
    """A running server with its templates; knows how to make a database for a test."""

    __test__ = False

    base_dsn: str
    bindir: Path
    version: int  # as server_version_num
    prefix: str  # of every database that belongs to this test run
    embedded: embedded.Server | None

    @property
    def major(self) -> int:
        return self.version // 10000

    @property
    def psql(self) -> Path:
        return self.bindir / "psql"

    def dsn(self, dbname: str) -> str:
        return make_conninfo(self.base_dsn, dbname=dbname)

    def run_psql(
        self, dbname: str, *arguments: str | Path, stdin: str = "", **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run psql without a psqlrc and quietly; its errors are mixed into its standard output."""
        return subprocess.run(
            [self.psql, "-X", "-q", *arguments, "-d", self.dsn(dbname)],
            check=False,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | env,
        )

    def dump(self, dbname: str, *arguments: str) -> str:
        """Dump a database in plain SQL that this server can restore."""
        done = subprocess.run(
            [self.bindir / "pg_dump", "--restrict-key=pgmq", *arguments, "-d", self.dsn(dbname)],
            check=True,
            capture_output=True,
            text=True,
        )
        # A newer pg_dump says what an older server does not know.
        text = done.stdout.replace("SET transaction_timeout = 0;\n", "")
        if self.major < 15:  # the sequence of an unlogged table's identity column
            text = text.replace("\n    LOGGED\n", "\n")
        return text

    def admin(self) -> psycopg.Connection:
        return psycopg.connect(self.base_dsn, autocommit=True)

    def template(self, name: str) -> str:
        return f"{self.prefix}_{name}"

    @contextlib.contextmanager
    def database(self, template: str | None) -> Iterator[str]:
        """Make a database from a template (None is an empty one), and drop it at the end."""
        dbname = f"{self.prefix}_{os.getpid()}_{next(_numbers)}"
        source = sql.Identifier(self.template(template) if template else "template0")
        # Copying files is several times faster than the default where fsync is off.
        fast = sql.SQL("STRATEGY file_copy" if self.embedded and self.major >= 15 else "")
        with self.admin() as admin:
            admin.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} {}").format(
                    sql.Identifier(dbname), source, fast
                )
            )
        try:
            yield dbname
        finally:
            with self.admin() as admin:
                self._drop(admin, dbname)

    def make_template(self, name: str, script: str) -> None:
        """Make a template database by a script, which may be long."""
        dbname = self.template(name)
        with self.admin() as admin:
            self._drop(admin, dbname)
            admin.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(dbname))
            )
        with psycopg.connect(self.dsn(dbname), autocommit=True) as connection:
            connection.execute(script.encode())

    def has_template(self, name: str) -> bool:
        with self.admin() as admin:
            found = admin.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [self.template(name)]
            )
            return found.fetchone() is not None

    def drop_all(self) -> None:
        with self.admin() as admin:
            names = admin.execute(
                "SELECT datname FROM pg_database WHERE starts_with(datname, %s || '_')",
                [self.prefix],
            ).fetchall()
            for (name,) in names:
                self._drop(admin, name)

    def _drop(self, admin: psycopg.Connection, dbname: str) -> None:
        admin.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(dbname))
        )


def url(dsn: str, driver: str = "psycopg") -> str:
    """Return a connection string as SQLAlchemy takes it."""
    known = {key: str(value) for key, value in conninfo_to_dict(dsn).items()}
    login = quote(known.pop("user", ""), safe="")
    if "password" in known:
        login += ":" + quote(known.pop("password"), safe="")
    return f"postgresql+{driver}://{login}@/{known.pop('dbname')}?{urlencode(known)}"


def build() -> None:
    subprocess.run(["make", "-s", "-C", ROOT, "build"], check=True)


@contextlib.contextmanager
def running() -> Iterator[TestServer]:
    """Give a server with the template `pgmq`, and clean up afterwards."""
    named = os.environ.get("PGMQ_DSN")
    if named:
        server = _describe(named, f"pgmq_test_{os.getpid()}", None)
        try:
            _install(server)
            yield server
        finally:
            server.drop_all()
        return
    _sweep()
    with private({}) as own:
        server = _describe(own.dsn(), "test", own)
        _install(server)
        yield server


@contextlib.contextmanager
def private(settings: dict[str, str], postgres: str = "") -> Iterator[embedded.Server]:
    """Start a throwaway server that can CREATE EXTENSION pgmq; postgres as PGMQ_TEST_POSTGRES."""
    # Short, since a socket's path may not be long, and reachable for the user that runs it.
    folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-", dir=_parent()))
    folder.chmod(0o755)
    wanted = postgres or os.environ.get("PGMQ_TEST_POSTGRES", "")
    own = embedded.server(
        folder,
        version=int(wanted) if wanted.isdigit() else None,
        pg_config=wanted if wanted and not wanted.isdigit() else None,
        extension=BUILD,
        settings=SETTINGS | settings,
    )
    try:
        yield own
    finally:
        own.stop(remove=True, mode="immediate")


def _parent() -> Path:
    """Say where the folders of servers go: into memory if that has room and may run programs.

    A disk's file system can slow down as the databases of the tests come and go: ext4 without a
    journal passes over every file deleted lately when it makes one.
    """
    if _MEMORY.is_dir():
        memory = os.statvfs(_MEMORY)
        if memory.f_bavail * memory.f_frsize >= _ROOM and not memory.f_flag & os.ST_NOEXEC:
            return _MEMORY
    return _DISK


def attach(address: str) -> TestServer:
    """Use the server that the controlling process of pytest-xdist has started."""
    kind, prefix, where = address.split(" ", 2)
    if kind == "embedded":
        own = embedded.server(where)
        return _describe(own.dsn(), prefix, own)
    return _describe(where, prefix, None)


def address(server: TestServer) -> str:
    if server.embedded:
        return f"embedded {server.prefix} {server.embedded.path}"
    return f"named {server.prefix} {server.base_dsn}"


def upstream_wheel(cache: Path) -> Path:
    """Download upstream's wheel once."""
    name, _, version = UPSTREAM.partition("==")
    wheel = cache / f"{name}-{version}-py3-none-any.whl"
    if not wheel.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder]
            done = subprocess.run([*command, UPSTREAM], check=False, capture_output=True, text=True)
            if done.returncode != 0:
                reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                raise MissingError(
                    f"{UPSTREAM} cannot be downloaded from the package index: {reason}"
                )
            next(Path(folder).glob("*.whl")).rename(wheel)
    return wheel


def upstream_sql(cache: Path) -> str:
    """Take upstream's SQL from its wheel."""
    with zipfile.ZipFile(upstream_wheel(cache)) as archive:
        return archive.read("pgmq/sql/pgmq.sql").decode()


def _describe(dsn: str, prefix: str, own: embedded.Server | None) -> TestServer:
    dsn = make_conninfo(dsn, dbname=conninfo_to_dict(dsn).get("dbname") or "postgres")
    with psycopg.connect(dsn) as connection:
        version = connection.info.server_version
    return TestServer(dsn, own.bindir if own else _client(), version, prefix, own)


def _client() -> Path:
    """Find the newest psql and pg_dump: they can talk to every older server."""
    for prefix in embedded.prefixes():
        return prefix.root / prefix.bindir
    psql = shutil.which("psql")
    if psql is None:
        raise MissingError("no psql: neither in a wheel (pgmq[embedded]) nor on the PATH")
    return Path(psql).parent


def _install(server: TestServer) -> None:
    with server.admin() as admin:
        found = admin.execute(
            "SELECT 1 FROM pg_available_extension_versions WHERE name = 'pgmq' AND version = %s",
            [control()["default_version"]],
        ).fetchone()
    script = "CREATE EXTENSION pgmq" if found else (BUILD / "pgmq.sql").read_text()
    server.make_template("pgmq", script)


def control() -> dict[str, str]:
    """Read pgmq.control."""
    pairs = (line.partition("=") for line in (ROOT / "pgmq.control").read_text().splitlines())
    return {key.strip(): value.strip().strip("'") for key, _, value in pairs}


def _sweep() -> None:
    """Stop what a killed test run has left behind."""
    for folder in (*_MEMORY.glob(f"{_FOLDER}*-*"), *_DISK.glob(f"{_FOLDER}*-*")):
        pid = folder.name.removeprefix(_FOLDER).partition("-")[0]
        if pid.isdigit() and folder.stat().st_uid == os.geteuid() and not _alive(int(pid)):
            with contextlib.suppress(embedded.EmbeddedError):
                stale = embedded.find(folder)
                if stale:
                    stale.stop(remove=True, mode="immediate")
            shutil.rmtree(folder, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
