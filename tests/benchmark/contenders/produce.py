"""Sends jobs by a contender's module: python -m benchmark.contenders.produce MODULE.

Answers each line [first, count, rate] with the seconds it took; a rate of 0 is as fast as it can,
one after another, and null is by send_many.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from typing import Any

TEXT = "x" * 100


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _send(module: Any, first: int, count: int, rate: float | None) -> None:
    if rate is None:
        module.send_many([(number, time.time(), TEXT) for number in range(first, first + count)])
        return
    begun = time.monotonic()
    for number in range(count):
        if rate:
            time.sleep(max(0.0, begun + number / rate - time.monotonic()))
        module.send(first + number, time.time(), TEXT)


def _main(name: str) -> None:
    # Imported rather than run, so that workers find its jobs by the same name.
    module = importlib.import_module(f"benchmark.contenders.{name}")
    if hasattr(module, "setup"):
        module.setup()
    for line in sys.stdin:
        began, cpu = time.perf_counter(), _cpu()
        _send(module, *json.loads(line))
        answer = {"seconds": time.perf_counter() - began, "cpu": _cpu() - cpu}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _main(sys.argv[1])
