"""Databases that tests find their queues in, made once rather than for each of a module's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from support.server import TestServer


def prepared(script: str | Mapping[Any, str], *, by: str) -> Any:
    """Make the fixture `template` of a module; for tests with the fixture `by`, with a script.

    Where that fixture has parameters, there is a script for each of them.
    """

    @pytest.fixture
    def template(server: TestServer, template: str, request: pytest.FixtureRequest) -> str:
        if by not in request.fixturenames:
            return template
        found = script if isinstance(script, str) else script[request.node.callspec.params[by]]
        return server.prepared(template, found)

    return template
