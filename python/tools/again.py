"""Run the tests that have failed once more, alone, and say which they are.

On a busy machine a test that races against a clock can fail where nothing is wrong. Whoever runs
all tests unattended does this after a failure: a test that fails again has failed. One that passes
is named all the same, as it is a defect too, of the test or of what it tests. More than a few
failures are not put down to chance.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
FAILED = ROOT / ".cache" / "pytest" / "v" / "cache" / "lastfailed"
MOST = 3


def again(environment: Mapping[str, str] | None = None) -> int:
    """Give pytest's exit code of the second run, or 1 if there is none."""
    names = sorted(json.loads(FAILED.read_text())) if FAILED.exists() else []
    print(f"== failed: {len(names)}", *names, sep="\n", flush=True)
    if not 0 < len(names) <= MOST:
        return 1
    command = [sys.executable, "-m", "pytest", "-q", *names]
    code = subprocess.run(command, check=False, cwd=ROOT, env=environment).returncode
    if code == 0:
        print("== unsteady: failed beside other tests, passed alone", *names, sep="\n", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(again())
