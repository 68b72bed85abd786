"""What a reader follows from the pages of this repository is there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from support.server import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "extension/HOW_IT_WORKS.md")]
PICTURES = ROOT / "extension" / "pictures"


def _headings(text: str) -> set[str]:
    """Return the anchors of a page's headings."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text())
    assert links
    for link in links:
        name, _, heading = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not heading or heading in _headings(target.read_text()), link


def test_every_picture_is_shown_parses_and_has_a_dark_mode() -> None:
    shown = (ROOT / "extension" / "HOW_IT_WORKS.md").read_text()
    pictures = list(PICTURES.iterdir())
    assert pictures
    for picture in pictures:
        assert f"](pictures/{picture.name})" in shown
        text = picture.read_text()
        assert ET.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314
        assert "@media (prefers-color-scheme: dark)" in text
