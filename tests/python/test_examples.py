"""The examples in the docstrings, in python/README.md and in python/docs do what they show.

Those of asynchronous sources are tested in their twins, which differ by the word await.
"""

from __future__ import annotations

import doctest
import importlib
from typing import TYPE_CHECKING, Any

import pytest

import pgmq
from pgmq import PGMQueue, base
from support import pages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.once

MODULES = [
    "_worker.hooks",
    "_worker.outcome",
    "base",
    "decorators",
    "install",
    "queue",
    "sync_operations",
    "worker",
]


def _examples() -> Iterator[doctest.DocTest]:
    for name in MODULES:
        for found in doctest.DocTestFinder().find(importlib.import_module(f"pgmq.{name}")):
            if found.examples:
                yield found


@pytest.mark.parametrize("example", [*_examples()], ids=lambda example: example.name)
def test_the_example_of_a_docstring_shows_what_happens(example: doctest.DocTest, dsn: str) -> None:
    names = {name: getattr(pgmq, name) for name in pgmq.__all__}
    with PGMQueue(dsn) as queue:
        queue.create_queue("jobs")
        queue.send("jobs", {"id": 1})
        example.globs = names | {
            "PGMQConfig": base.PGMQConfig,
            "dsn": dsn,
            "pgmq": pgmq,
            "queue": queue,
        }
        assert doctest.DocTestRunner().run(example).failed == 0


# The page for Django is of a project: test_django.py.
PAGES = [
    page
    for page in pages.PYTHON
    if "python" in dict(pages.blocks(page)) and page.name != "django.md"
]


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_a_page_runs_from_top_to_bottom_in_one_program(
    page: Path, dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", dsn)
    names: dict[str, Any] = {"__name__": __name__}  # as if the page were a module
    for language, block in pages.blocks(page):
        if language == "python":
            exec(block, names)  # noqa: S102
            assert capsys.readouterr().out.splitlines() == pages.printed(block), block


def test_no_page_for_python_is_left_out() -> None:
    left_out = {page.name for page in pages.PYTHON} - {page.name for page in PAGES}
    assert left_out == {"command-line.md", "django.md", "pgmq-py.md"}
