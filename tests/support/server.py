"""The server that the tests run on, and the databases that it has for them.

By default a throwaway server from a wheel; PGMQ_TEST_POSTGRES chooses its major version, or the
pg_config of an installation to copy instead. PGMQ_DSN names a server that runs already. Under
pytest-xdist the controlling process owns the server; the workers learn of it by an environment
variable.

pytest-postgresql is handed the running server, and makes the templates (conftest.py). Databases
are cloned from them here: its janitor connects anew for each, asks who is connected, and cannot
choose the strategy, which takes twice as long.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgmq import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
CACHE = ROOT / ".venv" / "cache"
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

# Of a database in which lower() knows more than ASCII.
WITH_LETTERS = "ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'"

# Of every database, and role, that belongs to this process of a test run.
PREFIX = f"pgmq_test_{os.getpid()}"

_FOLDER = "pgmq-test-"
_DISK = Path(tempfile.gettempdir())
_MEMORY = Path("/dev/shm")  # noqa: S108
_ROOM = 2 << 30  # two workers need half a gigabyte
_numbers = itertools.count()
# Where a server lies that was made and never used: those that tests start are copies of it.
_original: list[Path] = []


class MissingError(Exception):
    """Raised when something a test needs is not to be had here; the message names it."""


class TestServer:
    """A running server; knows how to make a database for a test."""

    __test__ = False

    def __init__(self, dsn: str, own: embedded.Server | None = None) -> None:
        self.base_dsn = make_conninfo(dsn, dbname=conninfo_to_dict(dsn).get("dbname") or "postgres")
        self.embedded = own
        self.bindir = own.bindir if own else _client()
        self._admin = self.admin()
        self._stack = contextlib.ExitStack()
        self._prepared: dict[tuple[str, str], str] = {}
        info = self._admin.info
        self.version = info.server_version
        self.major = self.version // 10000
        # For pytest-postgresql:
        self.host, self.port = info.host, info.port
        self.user, self.password = info.user, info.password or None
        self.options = ""
        self.maintenance_dbname = info.dbname
        self.template_dbname = "template0"

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

    @contextlib.contextmanager
    def database(self, template: str = "template0", options: str = "") -> Iterator[str]:
        """Make a database from a template, and drop it at the end."""
        dbname = f"{PREFIX}_{next(_numbers)}"
        # Copying files is faster than the default where fsync is off.
        fast = "STRATEGY file_copy" if self.embedded and self.major >= 15 else ""
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {} {} {}").format(
            sql.Identifier(dbname), sql.Identifier(template), sql.SQL(fast), sql.SQL(options)
        )
        self._admin.execute(create)
        try:
            yield dbname
        finally:
            self._await_leaving(dbname)
            drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            self._admin.execute(drop.format(sql.Identifier(dbname)))

    def _await_leaving(self, dbname: str) -> None:
        """Let sessions end that were closed just now: DROP DATABASE sleeps 0.1 s if it sees one."""
        query = "SELECT 1 FROM pg_stat_activity WHERE datname = %s"
        until = time.monotonic() + 0.05
        while self._admin.execute(query, [dbname]).fetchone() and time.monotonic() < until:
            time.sleep(0.002)

    def prepared(self, template: str, script: str) -> str:
        """Give a template in which a script was run, once for all tests that ask for it."""
        if (template, script) not in self._prepared:
            dbname = self._stack.enter_context(self.database(template))
            with psycopg.connect(self.dsn(dbname), autocommit=True) as session:
                session.execute(script.encode())
            self._prepared[template, script] = dbname
        return self._prepared[template, script]

    def make_role(self, options: str) -> str:
        name = f"{PREFIX}_role_{next(_numbers)}"
        self._admin.execute(f"CREATE ROLE {name} {options}".encode())
        return name

    def drop_roles(self, *names: str) -> None:
        if names:
            self._admin.execute(f"DROP ROLE IF EXISTS {', '.join(names)}".encode())

    def close(self) -> None:
        self._stack.close()
        self._admin.close()


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
    """Give the server that PGMQ_DSN names, or a throwaway one."""
    with contextlib.ExitStack() as stack:
        named = os.environ.get("PGMQ_DSN", "")
        if not named:
            _sweep()
            made = stack.enter_context(private({}))
            made.stop()
            _original.append(made.path)
            stack.callback(_original.clear)
        own = None if named else stack.enter_context(private({}))
        server = TestServer(own.dsn() if own else named, own)
        stack.callback(server.close)
        yield server


@contextlib.contextmanager
def private(settings: dict[str, str], postgres: str = "") -> Iterator[embedded.Server]:
    """Start a throwaway server; postgres as PGMQ_TEST_POSTGRES.

    Each of its databases can CREATE EXTENSION pgmq, and the one called pgmq has done so.
    """
    # Short, since a socket's path may not be long, and reachable for the user that runs it.
    folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-", dir=_parent()))
    folder.chmod(0o755)
    usual = os.environ.get("PGMQ_TEST_POSTGRES", "")
    wanted = postgres or usual
    is_copy = bool(_original) and wanted == usual
    if is_copy:
        _copy(_original[0], folder)
    own = embedded.server(
        folder,
        version=int(wanted) if wanted.isdigit() else None,
        pg_config=wanted if wanted and not wanted.isdigit() else None,
        extension=BUILD,
        settings=SETTINGS | settings,
    )
    try:
        if not is_copy:
            _create_extension(own)
        yield own
    finally:
        own.stop(remove=True, mode="immediate")


def _create_extension(server: embedded.Server) -> None:
    for dbname, command in (("postgres", "DATABASE"), ("pgmq", "EXTENSION")):
        with psycopg.connect(server.dsn(dbname), autocommit=True) as session:
            session.execute(f"CREATE {command} pgmq".encode())


def _copy(original: Path, folder: Path) -> None:
    """Copy a server that does not run; a third of what making one takes."""
    subprocess.run(["cp", "-a", f"{original}/.", folder], check=True)
    state = folder / embedded._STATE
    state.write_text(state.read_text().replace(str(original), str(folder)))


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


@contextlib.contextmanager
def attached(address: str) -> Iterator[TestServer]:
    """Use the server that the controlling process of pytest-xdist has started."""
    kind, _, where = address.partition(" ")
    own = None
    if kind == "embedded":
        where, original = where.split(" ")
        own = embedded.server(where)
        _original[:] = [Path(original)]
    with contextlib.closing(TestServer(own.dsn() if own else where, own)) as server:
        yield server


def address(server: TestServer) -> str:
    if server.embedded:
        return f"embedded {server.embedded.path} {_original[0]}"
    return f"named {server.base_dsn}"


def upstream_wheel(cache: Path = CACHE) -> Path:
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


def upstream_sql(cache: Path = CACHE) -> str:
    """Take upstream's SQL from its wheel."""
    with zipfile.ZipFile(upstream_wheel(cache)) as archive:
        return archive.read("pgmq/sql/pgmq.sql").decode()


def _client() -> Path:
    """Find the newest psql and pg_dump: they can talk to every older server."""
    for prefix in embedded.prefixes():
        return prefix.root / prefix.bindir
    psql = shutil.which("psql")
    if psql is None:
        raise MissingError("no psql: neither in a wheel (pgmq[embedded]) nor on the PATH")
    return Path(psql).parent


def load_pgmq(**template: Any) -> None:
    """Install the extension, or its plain SQL where the server has no files of it."""
    query = "SELECT 1 FROM pg_available_extension_versions WHERE name = 'pgmq' AND version = %s"
    with _loading(**template) as session:
        found = session.execute(query, [control()["default_version"]]).fetchone()
        script = "CREATE EXTENSION pgmq" if found else (BUILD / "pgmq.sql").read_text()
        session.execute(script.encode())


def load_upstream(**template: Any) -> None:
    with _loading(**template) as session:
        session.execute(upstream_sql().encode())


def _loading(
    host: str, port: int, user: str, dbname: str, password: str | None, **_: Any
) -> psycopg.Connection:
    """Connect to a template as pytest-postgresql calls what loads it."""
    return psycopg.connect(
        host=host, port=port, user=user, dbname=dbname, password=password, autocommit=True
    )


def control() -> dict[str, str]:
    """Read pgmq.control."""
    pairs = (line.partition("=") for line in (ROOT / "pgmq.control").read_text().splitlines())
    return {key.strip(): value.strip().strip("'") for key, _, value in pairs}


def _sweep() -> None:
    """Stop what a killed test run has left behind."""
    for folder in (*_MEMORY.glob(f"{_FOLDER}*-*"), *_DISK.glob(f"{_FOLDER}*-*")):
        pid = folder.name.removeprefix(_FOLDER).partition("-")[0]
        if not pid.isdigit() or _alive(int(pid)):
            continue
        with contextlib.suppress(FileNotFoundError):  # another run sweeps, too
            if folder.stat().st_uid != os.geteuid():
                continue
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
