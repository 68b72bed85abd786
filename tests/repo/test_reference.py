from __future__ import annotations

from typing import TYPE_CHECKING

import reference

from support.server import ROOT

if TYPE_CHECKING:
    import psycopg


def test_the_reference_is_current(db: psycopg.Connection) -> None:
    committed = (ROOT / "extension" / "REFERENCE.md").read_text()
    assert committed == reference.render(db), "run `make docs`"


def test_every_public_function_is_in_the_reference(db: psycopg.Connection) -> None:
    committed = (ROOT / "extension" / "REFERENCE.md").read_text()
    for function in reference.functions(db):
        assert f"\n### {function.name}\n" in committed, function.name
