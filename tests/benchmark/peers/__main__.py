"""Run the comparison alone: PYTHONPATH=python/src:tests python -m benchmark.peers --quick."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from benchmark.cluster import open_cluster
from benchmark.peers import NAMES, markdown, measure


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmark.peers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute, coarser")
    parser.add_argument("--rounds", type=int, help="1 with --quick, otherwise 2")
    parser.add_argument("--engines", help=f"some of {','.join(NAMES)}")
    parser.add_argument("--sync", choices=("on", "off"), default="off")
    parser.add_argument("--json", type=Path, help="write everything there")
    parser.add_argument("--dsn", help="a server to use instead of a private one")
    arguments = parser.parse_args()
    bindir = os.environ.get("PG_BINDIR")
    # pgbench is not used, so any name will do.
    with open_cluster(arguments.dsn, Path(bindir) if bindir else None, "pgbench") as cluster:
        found = measure(
            cluster,
            quick=arguments.quick,
            rounds=arguments.rounds or (1 if arguments.quick else 2),
            engines=[name.strip() for name in arguments.engines.split(",") if name.strip()]
            if arguments.engines
            else None,
            sync=arguments.sync == "on",
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    print(markdown(found))


if __name__ == "__main__":
    main()
