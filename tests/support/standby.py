"""A streaming standby that every commit waits for, and how it takes over."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import psycopg

from support import queries

if TYPE_CHECKING:
    from pgmq import embedded


def follow(primary: embedded.Server, standby: embedded.Server) -> None:
    """Make a server the standby of another one, whose commits wait from now on."""
    owner = standby.data_dir.stat()
    configuration = (standby.data_dir / "pgmq.conf").read_text()
    standby.stop()
    shutil.rmtree(standby.data_dir)
    where = ["-d", primary.dsn(), "-D", str(standby.data_dir)]
    how = ["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
    subprocess.run([primary.bindir / "pg_basebackup", *how, *where], check=True)
    (standby.data_dir / "pgmq.conf").write_text(configuration)
    if os.geteuid() == 0:
        for folder, _, files in os.walk(standby.data_dir):
            for path in (folder, *(f"{folder}/{file}" for file in files)):
                os.chown(path, owner.st_uid, owner.st_gid)
    standby.start()
    with psycopg.connect(primary.dsn(), autocommit=True) as db:
        db.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        db.execute("ALTER SYSTEM SET synchronous_commit = 'remote_apply'")
        db.execute("SELECT pg_reload_conf()")
        while queries.one(db, "SHOW synchronous_commit") != "remote_apply":
            time.sleep(0.01)


def promote(primary: embedded.Server, standby: embedded.Server) -> None:
    """Have the primary crash, and its standby take over."""
    primary.stop(mode="immediate")
    with psycopg.connect(standby.dsn(), autocommit=True) as db:
        assert queries.one(db, "SELECT pg_promote()")
