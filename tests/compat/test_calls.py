from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from compat.calls import GROUPS, Script

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compat.both import Both

SCRIPTS = [
    pytest.param(script, id=f"{group}: {title}".encode("unicode_escape").decode())
    for group, scripts in GROUPS.items()
    if group != "privileges"
    for title, script in scripts.items()
]


@pytest.fixture
def role(both: Both) -> Iterator[None]:
    """Make the role of the scripts; it belongs to the server, so only one test may use it."""
    admin = both.ours.connection
    admin.execute("DROP ROLE IF EXISTS compat")
    admin.execute("CREATE ROLE compat")
    yield
    _strip(both)
    admin.execute("DROP ROLE compat")


def _strip(both: Both) -> None:
    both.reset()
    for side in (both.upstream, both.ours):
        side.connection.execute("DROP OWNED BY compat")


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_same_calls_have_the_same_outcomes(both: Both, script: Script) -> None:
    difference = both.compare(script)
    assert difference is None, difference


@pytest.mark.usefixtures("role")
def test_the_same_grants_allow_the_same_calls(both: Both) -> None:
    failures = ""
    for title, script in GROUPS["privileges"].items():
        difference = both.compare(script)
        if difference is not None:
            failures += f"\n{title}:{difference}"
        _strip(both)
    assert not failures, failures
