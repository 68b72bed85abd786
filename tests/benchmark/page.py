"""What a run leaves behind: a page in Markdown and all numbers in JSON."""

from __future__ import annotations

import json
import os
import platform
import re
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.report import progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.bench import Bench


def _find(pattern: str, file: str) -> str | None:
    path = Path(file)
    found = re.search(pattern, path.read_text(), re.MULTILINE) if path.exists() else None
    return found[1] if found else None


def machine() -> dict[str, Any]:
    """Describe the machine that the benchmark runs on, which need not be the server's."""
    about: dict[str, Any] = {"system": platform.system(), "cores": os.cpu_count()}
    if model := _find(r"^model name\s*: (.*)$", "/proc/cpuinfo"):
        about["processor"] = model
    if size := _find(r"^MemTotal:\s*(\d+) kB", "/proc/meminfo"):
        about["memory_gib"] = round(int(size) / 2**20, 1)
    return about


@dataclass(slots=True)
class Page:
    """The outcome of a run, as far as it has come."""

    about: dict[str, Any]
    data: dict[str, Any] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.data["about"] = self.about
        about = self.about
        machine, server = about["machine"], about["server"]
        described = ", ".join(f"{key} {value}" for key, value in machine.items())
        settings = ", ".join(f"{key} {value}" for key, value in server.items())
        text = (
            f"# Measured {about['date']}\n\nPostgres: {settings}. Machine: {described};"
            f" load before {about['load_before']}. {about['rounds']} rounds of about"
            f" {about['seconds']} s, pgbench -M prepared -c {about['clients']} -j {about['jobs']},"
            " unless said otherwise."
        )
        if not about["cpu_times"]:
            text += " The server is not local: no CPU times."
        self._say(text)

    def _say(self, text: str) -> None:
        self.parts.append(text)
        print(f"{text}\n", flush=True)

    def add(self, name: str, heading: str, scenario: Callable[[Bench], Any], bench: Bench) -> None:
        """Run a scenario; one that fails does not take the others with it."""
        started, load = time.monotonic(), os.getloadavg()[0]
        try:
            text, self.data[name] = scenario(bench)
        except Exception as error:  # noqa: BLE001
            progress(traceback.format_exc())
            self.failed.append(name)
            text = f"Failed: {type(error).__name__}: {error}"
        took = round(time.monotonic() - started)
        about = {"seconds": took, "load_before": round(load, 2)}
        self.about.setdefault("scenarios", {})[name] = about
        self._say(f"## {heading}\n\n{text}\n\n({took} s; load before {load:.1f})")

    def write(self, folder: Path) -> None:
        """Write what there is so far."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.md").write_text("\n\n".join(self.parts) + "\n")
        lines = (f"{json.dumps(name)}: {json.dumps(found)}" for name, found in self.data.items())
        (folder / "results.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
