"""A PgBouncer in front of a server, where the program is installed."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg.conninfo import conninfo_to_dict, make_conninfo

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
MISSING = "there is no pgbouncer here"
CONFIG = """
[databases]
pool = {server}
[pgbouncer]
listen_addr =
unix_socket_dir = {folder}
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
pidfile = {folder}/pid
logfile = {folder}/log
"""


def can_reach(dsn: str) -> bool:
    """Say whether it is a server on a local socket that asks for no password."""
    server = conninfo_to_dict(dsn)
    return "password" not in server and str(server.get("host", "")).startswith("/")


@contextlib.contextmanager
def pooling(
    dsn: str, mode: str = "transaction", size: int = 2, **settings: str | int
) -> Iterator[str]:
    """Start one; give the connection string of the one database that it has, with its user."""
    assert PROGRAM is not None, MISSING
    server = conninfo_to_dict(dsn)
    wanted = {key: server[key] for key in ("host", "port", "user", "dbname") if key in server}
    # It refuses to run as root, and others may not come to the socket.
    user = pwd.getpwuid(Path(str(server["host"])).stat().st_uid).pw_name
    with tempfile.TemporaryDirectory(prefix="pgmq-", dir="/tmp") as name:
        folder = Path(name)
        config = CONFIG.format(
            server=make_conninfo("", **wanted), folder=name, mode=mode, size=size
        )
        config += "".join(f"{key} = {value}\n" for key, value in settings.items())
        (folder / "ini").write_text(config)
        if os.geteuid() == 0:
            shutil.chown(folder, user)
        (folder / "ini").chmod(0o644)
        process = subprocess.Popen([PROGRAM, "-q", "-u", user, folder / "ini"])
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                # The file is there before anybody listens.
                while probe.connect_ex(str(folder / ".s.PGSQL.6432")):
                    assert process.poll() is None, (folder / "log").read_text()
                    time.sleep(0.02)
            yield make_conninfo(
                "", host=name, port=6432, dbname="pool", user=server.get("user", user),
                connect_timeout=5,
            )  # fmt: skip
        finally:
            process.terminate()
            process.wait()
