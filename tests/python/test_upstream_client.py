"""The client against pgmq-py 1.1.4, whose wheel runs in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import pgmq

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.server import TestServer

pytestmark = pytest.mark.once

_PROGRAM = Path(__file__).with_name("upstream_client.py")
_spec = importlib.util.spec_from_file_location("upstream_client", _PROGRAM)
assert _spec is not None
assert _spec.loader is not None
program = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(program)

TOLERANCE = 5.0  # seconds


@pytest.fixture(scope="session")
def ask_upstream(upstream_wheel: Path) -> Callable[..., Any]:
    """Run the program with upstream's client."""
    for module in ["orjson", "asyncpg", "sqlalchemy"]:
        pytest.importorskip(module, reason=f"upstream's client needs {module}")

    def ask(*arguments: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", _PROGRAM, upstream_wheel, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return ask


@pytest.fixture(scope="session")
def expected(server: TestServer, template: str, ask_upstream: Callable[..., Any]) -> list[Any]:
    with server.database(template) as dbname:
        found = ask_upstream("calls", server.dsn(dbname))
    assert isinstance(found, list)
    return found


def _alike(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, float) and isinstance(theirs, float):  # a time
        return abs(ours - theirs) < TOLERANCE
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(_alike(ours[k], theirs[k]) for k in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_alike, ours, theirs))
    return type(ours) is type(theirs) and bool(ours == theirs)


def _differences(found: list[Any], expected: list[Any]) -> list[Any]:
    # The tuples that a JSON answer cannot have are lists in both.
    found = json.loads(json.dumps(found))
    return [
        (call, ours, theirs)
        for call, ours, theirs in zip(program.CALLS, found, expected, strict=True)
        if not _alike(ours, theirs)
    ]


@pytest.mark.parametrize("name", ["PGMQueue", "SQLAlchemyPGMQueue"])
def test_every_call_gives_what_upstreams_client_gives(
    dsn: str, expected: list[Any], name: str
) -> None:
    with getattr(pgmq, name)(dsn) as queue:
        found = program.outcomes(
            lambda method, args, kwargs: getattr(queue, method)(*args, **kwargs)
        )
    assert _differences(found, expected) == []


@pytest.mark.parametrize("name", ["AsyncPGMQueue", "SQLAlchemyAsyncPGMQueue"])
def test_every_awaited_call_gives_it_too(dsn: str, expected: list[Any], name: str) -> None:
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        queue = getattr(pgmq, name)(dsn)
        loop.run_until_complete(queue.init())

        def run(method: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
            made = getattr(queue, method)(*args, **kwargs)
            assert inspect.iscoroutine(made)
            return loop.run_until_complete(made)

        found = program.outcomes(run)
        loop.run_until_complete(queue.close())
    assert _differences(found, expected) == []


def test_the_calls_are_all_that_upstreams_client_has(ask_upstream: Callable[..., Any]) -> None:
    methods = {
        path.split(".")[2]
        for path, found in ask_upstream("signatures")["signatures"].items()
        if path.startswith("queue.PGMQueue.") and found is not None
    }
    # Partitioned queues are not there yet.
    elsewhere = {"close", "create_partitioned_queue", "convert_archive_partitioned"}
    assert methods - {method for method, _, _ in program.CALLS} == elsewhere


def test_every_public_name_of_upstreams_client_imports_with_its_parameters(
    ask_upstream: Callable[..., Any],
) -> None:
    known = ask_upstream("signatures")
    assert [name for name in known["all"] if not hasattr(pgmq, name)] == []
    wrong = {}
    for path, theirs in known["signatures"].items():
        # The halves of its clients are nobody's business.
        if "Backend" in path or path == "base.BaseQueue":
            continue
        ours = program.signature(path)
        if path.endswith(("PGMQueue", "PGMQConfig")):  # dataclasses, which take keywords
            same = all(each in ours for each in theirs)
        else:
            same = ours == theirs or _is_wider(ours, theirs)
        if not same:
            wrong[path] = (ours, theirs)
    assert wrong == {}


def _is_wider(ours: list[list[str]] | None, theirs: list[list[str]] | None) -> bool:
    """Whether every call with their parameters is one with ours."""
    if ours is None or theirs is None:
        return False
    more = ours[len(theirs) :]
    return ours[: len(theirs)] == theirs and all(
        value != repr(inspect.Parameter.empty) for *_, value in more
    )


def test_configurations_come_to_the_same(ask_upstream: Callable[..., Any]) -> None:
    theirs, ours = ask_upstream("configs"), program.configs()
    wrong = [
        (case, mine, his)
        for case, mine, his in zip(program.CONFIGS, ours, theirs, strict=True)
        if mine != his
    ]
    assert wrong == []
