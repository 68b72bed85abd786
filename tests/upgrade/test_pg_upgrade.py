"""Queues in use, carried to a newer Postgres by pg_upgrade."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from pgmq import embedded
from support import queues

if TYPE_CHECKING:
    from collections.abc import Callable


def _older(major: int) -> str:
    """Find an older Postgres: in a wheel, or where Debian has it."""
    if major in [prefix.major for prefix in embedded.prefixes()]:
        return str(major)
    pg_config = Path(f"/usr/lib/postgresql/{major}/bin/pg_config")
    if not pg_config.exists():
        pytest.skip(f"needs a Postgres {major}: none in a wheel, none of Debian's")
    return str(pg_config)


@pytest.mark.parametrize("major", [15, 16])
def test_every_kind_of_queue_survives_pg_upgrade(
    major: int, new_server: Callable[..., embedded.Server]
) -> None:
    old, new = new_server(_older(major)), new_server()
    if new.major <= major or not (new.bindir / "pg_upgrade").exists():
        pytest.skip(f"needs a pg_upgrade to more than Postgres {major}")
    with psycopg.connect(new.dsn(), autocommit=True) as session:
        session.execute("DROP DATABASE pgmq")  # it must be empty
    with psycopg.connect(old.dsn("pgmq"), autocommit=True) as session:
        queues.fill(session)
        before = queues.contents(session, without="^template$")
        # Debian's 15.20 gives every column of any table an option that no other Postgres knows.
        session.execute("SET allow_system_table_mods = on")
        session.execute(
            "UPDATE pg_attribute SET attoptions = null WHERE attoptions::text ~ 'pg_attver'"
        )
    old.stop()
    new.stop()
    for server in (old, new):  # on by default since Postgres 18; both sides must agree
        _run(server, "pg_checksums", "--disable", "--no-sync", check=False)
    _run(
        new,
        "pg_upgrade",
        *("--no-sync", "--socketdir", new.socket_dir, "--username", "postgres"),
        *("--old-bindir", old.bindir, "--old-datadir", old.data_dir),
        *("--new-bindir", new.bindir, "--new-datadir", new.data_dir),
    )
    new.start()
    with psycopg.connect(new.dsn("pgmq"), autocommit=True) as session:
        assert queues.contents(session, without="^template$") == before
        queues.works(session)


def _run(server: embedded.Server, program: str, *arguments: str | Path, check: bool = True) -> None:
    """Run a program on a stopped server, as the user that the server runs as."""
    owner = server.data_dir.stat()
    done = subprocess.run(
        [server.bindir / program, *arguments],
        user=owner.st_uid if os.geteuid() == 0 else None,
        group=owner.st_gid if os.geteuid() == 0 else None,
        extra_groups=[] if os.geteuid() == 0 else None,
        env=os.environ | {"PGDATA": str(server.data_dir), "LC_ALL": "C"},
        cwd=server.data_dir,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    logs = (server.data_dir / "pg_upgrade_output.d").rglob("pg_upgrade_dump_*.log")
    details = "".join(log.read_text()[-3000:] for log in logs)
    assert done.returncode == 0 or not check, done.stdout + details
