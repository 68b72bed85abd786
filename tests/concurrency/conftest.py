from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.waiting import never_wait

if TYPE_CHECKING:
    import psycopg

    from conftest import Connect


@pytest.fixture
def other(connect: Connect) -> psycopg.Connection:
    """A second session in autocommit, in which a call that would wait fails instead."""
    session = connect()
    never_wait(session)
    return session
