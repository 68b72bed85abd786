"""What a reader follows from the pages of this repository is there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from support import pages
from support.cases import case
from support.server import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PICTURES = ROOT / "extension" / "docs" / "pictures"


def _links(page: Path) -> list[str]:
    # Not what is in a block of code.
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"\]\((?!https?:)([^)\s]+)\)", text)


def _headings(text: str) -> set[str]:
    """Return the anchors of a page's headings."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_links_lead_to_files_and_headings() -> None:
    for page in pages.ALL:
        for link in _links(page):
            with case(pages.name(page), link):
                name, _, heading = link.partition("#")
                target = (page.parent / name).resolve() if name else page
                assert target.exists()
                assert not heading or heading in _headings(target.read_text())


def test_the_readme_leads_to_every_page_in_one_step() -> None:
    readme = ROOT / "README.md"
    led = {(ROOT / link.partition("#")[0]).resolve() for link in _links(readme)}
    assert {*pages.TOP, *pages.EXTENSION, *pages.PYTHON} - {readme} - led == {
        ROOT / "extension" / "docs" / "README.md"  # which has the same list
    }


@pytest.mark.parametrize("index", [ROOT / "extension/docs/README.md", ROOT / "python/README.md"])
def test_an_index_leads_to_every_page_of_its_folder(index: Path) -> None:
    led = {(index.parent / link.partition("#")[0]).resolve() for link in _links(index)}
    folder = pages.EXTENSION if index in pages.EXTENSION else pages.PYTHON
    assert {*folder} - {index} <= led


def test_every_picture_is_shown_parses_and_has_a_dark_mode() -> None:
    shown = {link for page in pages.EXTENSION for link in _links(page)}
    pictures = list(PICTURES.iterdir())
    assert pictures
    for picture in pictures:
        assert f"pictures/{picture.name}" in shown
        text = picture.read_text()
        assert ET.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314
        assert "@media (prefers-color-scheme: dark)" in text


def test_what_pages_and_pictures_say_of_the_sources_is_there() -> None:
    files = [*(ROOT / "extension").glob("**/*.sql")]
    made = "".join(path.read_text() for path in files)
    written = [page for page in pages.EXTENSION if page.name != "REFERENCE.md"]
    for page in (*written, *PICTURES.iterdir()):
        for function in re.findall(r"(?<![\w$])(_[a-z_]+)\(\)", page.read_text()):
            known = f"FUNCTION pgmq.{function}(" in made
            assert known or function.endswith("_orders"), f"{page.name}: {function}"
        for function, file in re.findall(r"\[`(_\w+)\(\)`\]\((\S+?\.sql)\)", page.read_text()):
            text = (page.parent / file).read_text()
            assert f"FUNCTION pgmq.{function}(" in text, f"{page.name}: {function}"
