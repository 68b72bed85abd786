"""`python -m pgmq`: the command line."""

from __future__ import annotations

import sys

from pgmq.cli import main

if __name__ == "__main__":
    sys.exit(main())
