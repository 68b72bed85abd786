"""Run `make install` and `make installcheck` on a private copy of an installed Postgres.

The argument is its pg_config. Nothing is written into the installation itself, and the server runs
as an ordinary user.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import scratch

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Give make's exit code."""
    with scratch.server(sys.argv[1], extension=None) as server:
        pg_config = f"PG_CONFIG={server.bindir / 'pg_config'}"
        environment = os.environ | {
            "PGHOST": server.socket_dir,
            "PGPORT": "5432",
            "PGUSER": "postgres",
        }
        for target in ("install", "installcheck"):
            done = subprocess.run(
                ["make", "-C", ROOT, target, pg_config], check=False, env=environment
            )
            if done.returncode != 0:
                return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
