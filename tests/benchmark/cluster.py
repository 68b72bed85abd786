"""The server to measure on: one that is named, or a private one that lives as long as the run."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pgmq import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator

# Defaults but for what would make one round differ from the next: no checkpoint may fall into one.
SETTINGS = {
    "shared_buffers": "256MB",
    "max_connections": "200",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
}


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running server, and the pgbench to use with it."""

    dsn: str
    pgbench: str
    private: bool


@contextlib.contextmanager
def open_cluster(dsn: str | None, bindir: Path | None, pgbench: str | None) -> Iterator[Cluster]:
    """Use the server named by a DSN, else start one from a bindir, else the embedded one."""
    if dsn is not None:
        yield Cluster(dsn, pgbench or _find_pgbench(bindir), private=False)
        return
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(_folder()))
        if bindir is None:
            own = embedded.server(folder, settings=SETTINGS)
            stack.callback(own.stop, remove=True, mode="immediate")
            bindir, started = own.bindir, own.dsn()
        else:
            started = stack.enter_context(_private_server(folder, bindir))
        yield Cluster(started, pgbench or _find_pgbench(bindir), private=True)


def _find_pgbench(bindir: Path | None) -> str:
    if bindir is not None and (bindir / "pgbench").exists():
        return str(bindir / "pgbench")
    found = shutil.which("pgbench")
    if found is None:
        raise SystemExit("pgbench not found: name it with --pgbench, or its folder with PG_BINDIR")
    return found


def _user() -> str | None:
    # Postgres refuses to run as root.
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise SystemExit("running as root, and there is no user postgres or nobody for the server")


@contextlib.contextmanager
def _folder() -> Iterator[str]:
    # A short path, since a socket's may have 107 bytes; deleted also when its owner is another.
    folder = tempfile.mkdtemp(prefix="pgmq-bench-", dir="/tmp")
    try:
        Path(folder).chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _private_server(folder: Path, bindir: Path) -> Iterator[str]:
    user = _user()
    home = folder / "server"
    home.mkdir()
    if user is not None:
        shutil.chown(home, user)

    def call(*command: str) -> None:
        subprocess.run(
            command, user=user, cwd=home, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    data = str(home / "data")
    call(
        str(bindir / "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--no-sync",
        "--encoding", "UTF8", "--locale", "C",
    )  # fmt: skip
    settings = {**SETTINGS, "listen_addresses": "", "unix_socket_directories": str(home)}
    options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
    control = (str(bindir / "pg_ctl"), "-D", data, "-s", "-w")
    call(*control, "-l", str(home / "log"), "-o", options, "start")
    try:
        yield f"host={home} port=5432 user=postgres dbname=postgres"
    finally:
        call(*control, "-m", "immediate", "stop")
