"""What a build adds: the SQL, made by `make build`, and the project's addresses.

PGMQ_REPOSITORY is where the source is published, an https:// address. With it the links of
README.md are absolute; without it only those that are so already are left, for others would lead
nowhere.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

_PACKAGED = "pgmq/sql/pgmq.sql"
_LINK = re.compile(r"\[([^]]+)\]\((?!https?://|#)([^)]+)\)")


class SqlHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the SQL; a wheel made of an sdist has it already, an editable one reads build/."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the file to what is built."""
        root = Path(self.root)
        if version == "editable" or (root / "src" / _PACKAGED).exists():
            return
        built = _build(root.parent)
        target = _PACKAGED if self.target_name == "wheel" else f"src/{_PACKAGED}"
        build_data["force_include"][str(built)] = target


def _build(checkout: Path) -> Path:
    """Run `make build`, which does nothing when it has been run; needs make and awk."""
    built = checkout / "build" / "pgmq.sql"
    try:
        subprocess.run(["make", "-s", "build"], cwd=checkout, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        if not built.exists():
            said = getattr(error, "stderr", b"").decode() or error
            raise FileNotFoundError(
                f"{built} is missing, and could not be made: run `make build` in {checkout},"
                f" or install a wheel or an sdist, which have it: {said}"
            ) from error
    return built


class AddressHook(MetadataHookInterface):
    """Gives README.md as the long description, and the addresses."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Fill in what pyproject.toml calls dynamic."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        repository = os.environ.get("PGMQ_REPOSITORY", "").rstrip("/")
        if repository:
            page = f"{repository}/blob/v{metadata['version']}/python/README.md"
            text = _LINK.sub(lambda link: f"[{link[1]}]({urljoin(page, link[2])})", text)
            metadata["urls"] = {
                "Repository": repository,
                "Documentation": page,
                "Changelog": urljoin(page, "../CHANGELOG.md"),
            }
        else:
            text = _LINK.sub(r"\1", text)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
