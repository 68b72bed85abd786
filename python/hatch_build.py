"""Puts build/pgmq.sql, which `make build` writes, into the wheel and the sdist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_PACKAGED = "pgmq/sql/pgmq.sql"


class SqlHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the file; a wheel made of an sdist has it already, an editable one reads build/."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the file to what is built."""
        root = Path(self.root)
        if version == "editable" or (root / "src" / _PACKAGED).exists():
            return
        built = root.parent / "build" / "pgmq.sql"
        if not built.exists():
            raise FileNotFoundError(f"{built} is missing: run `make build` first")
        target = _PACKAGED if self.target_name == "wheel" else f"src/{_PACKAGED}"
        build_data["force_include"][str(built)] = target
