from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import rendered

if TYPE_CHECKING:
    import psycopg


@pytest.mark.parametrize("kind", rendered.SHOWN)
def test_the_golden_copy_is_what_a_queue_of_the_kind_has(db: psycopg.Connection, kind: str) -> None:
    committed = (rendered.GOLDEN / f"{kind}.sql").read_text()
    assert committed == rendered.shown(rendered.rendered(db, kind)), (
        "run `make rendered`, and look at what `git diff tests/rendered` says of this queue"
    )


def test_there_is_no_other_golden_copy() -> None:
    assert {file.stem for file in rendered.GOLDEN.iterdir()} == set(rendered.SHOWN)
