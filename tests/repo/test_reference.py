from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import reference

from support.server import ROOT

if TYPE_CHECKING:
    import psycopg


def test_the_reference_is_current(db: psycopg.Connection) -> None:
    committed = (ROOT / "extension" / "docs" / "REFERENCE.md").read_text()
    assert committed == reference.render(db), "run `make docs`"


def test_a_folder_without_a_title_is_an_error(
    db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(reference.SECTIONS, "push")
    with pytest.raises(LookupError, match="no title for extension/functions/push"):
        reference.render(db)


def test_internal_functions_come_after_all_public_ones(db: psycopg.Connection) -> None:
    public, heading, internal = reference.render(db).partition("\n## Internal functions\n")
    assert heading
    assert "\n### " not in internal
    assert re.findall(r"^- `(?!_)", internal, re.MULTILINE) == []
    assert re.findall(r"^### _", public, re.MULTILINE) == []
