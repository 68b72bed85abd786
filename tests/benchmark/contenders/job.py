"""What every job does, whoever has it run: it writes down that it has begun."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(os.environ.get("BENCH_FOLDER", ""))
BEGUN, WAITING, GATE = "begun", "waiting", "gate"  # files there
RECORD = struct.Struct("=qqdd")

_passed = 0  # the process that has passed the gate; what is forked of it has not
_begun = -1


class Begun(NamedTuple):
    """A job that a process has begun."""

    process: int
    number: int
    sent: float
    at: float


def note(number: int, sent: float, text: str) -> None:
    """Be a job; the first ones wait until each process has one."""
    global _passed, _begun  # noqa: PLW0603, they are the process's
    if _passed != os.getpid():
        _begun = os.open(FOLDER / BEGUN, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        _wait()
        _passed = os.getpid()
    os.write(_begun, RECORD.pack(_passed, number, sent, time.time()))


def _wait() -> None:
    gate = FOLDER / GATE
    if not gate.exists():
        with (FOLDER / WAITING).open("a") as waiting:
            waiting.write(f"{os.getpid()}\n")
        while not gate.exists():
            time.sleep(0.001)
