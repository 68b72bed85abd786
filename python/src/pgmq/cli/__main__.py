"""`python -m pgmq.cli`, as ever; `python -m pgmq` is shorter."""

from __future__ import annotations

import sys

from pgmq.cli import main

if __name__ == "__main__":
    sys.exit(main())
