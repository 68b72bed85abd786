"""The examples in the docstrings and in python/README.md do what they show.

Those of asynchronous sources are tested in their twins, which differ by the word await.
"""

from __future__ import annotations

import doctest
import importlib
import re
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import pgmq
from pgmq import PGMQueue, base
from support.server import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def test_the_readme_runs_from_top_to_bottom_in_one_program(
    dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", dsn)
    text = (ROOT / "python" / "README.md").read_text()
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        exec(block, names)  # noqa: S102
        said = re.findall(r"print\(.*\)  # (.*)$", block, re.MULTILINE)
        assert capsys.readouterr().out.splitlines() == said, block
    with psycopg.connect(dsn) as conn:
        found = conn.execute("SELECT id FROM orders ORDER BY id").fetchall()
        assert found == [(2,), (101,)]
    names["queue"].close()
    names["engine"].dispose()
