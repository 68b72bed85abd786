"""Cases that one test goes through, where a database for each of them would take too long."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def case(*names: object) -> Iterator[None]:
    """Have whatever fails within this name the case."""
    try:
        yield
    except (Exception, pytest.fail.Exception) as error:
        raise AssertionError("case: " + ", ".join(map(str, names))) from error
