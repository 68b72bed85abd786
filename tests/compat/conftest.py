from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psycopg
import pytest

from compat.both import Both

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support import server as servers


@pytest.fixture(scope="module")
def pair(server: servers.TestServer, template: str, upstream_template: str) -> Iterator[Both]:
    """A database of each kind; cloning two for every test would take longer than the tests."""
    with contextlib.ExitStack() as stack:
        upstream, ours = (
            stack.enter_context(
                psycopg.connect(
                    server.dsn(stack.enter_context(server.database(name))), autocommit=True
                )
            )
            for name in (upstream_template, template)
        )
        yield Both(upstream, ours)


@pytest.fixture
def both(pair: Both) -> Both:
    """Upstream and this project side by side, both without queues."""
    pair.reset()
    return pair
