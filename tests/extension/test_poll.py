"""Reads that look again for a while."""

from __future__ import annotations

import concurrent.futures
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import psycopg

    from conftest import Connect

POLLS = [
    *["read_with_poll", "read_grouped_with_poll", "read_grouped_rr_with_poll"],
    "read_grouped_head_with_poll",
]


def test_a_poll_whose_times_are_null_has_the_defaults(
    db: psycopg.Connection, connect: Connect
) -> None:
    db.execute("SELECT pgmq.create('q')")

    def poll(function: str) -> float:
        session = connect()
        session.execute("SET statement_timeout = '60s'")
        start = time.monotonic()
        call = f"SELECT * FROM pgmq.{function}('q', 0, 1, NULL, NULL)"
        assert session.execute(call.encode()).fetchall() == []
        return time.monotonic() - start

    with concurrent.futures.ThreadPoolExecutor() as pool:
        assert {round(took) >= 5 for took in pool.map(poll, POLLS)} == {True}


@pytest.mark.parametrize("function", POLLS)
def test_a_poll_of_no_seconds_returns_at_once(db: psycopg.Connection, function: str) -> None:
    db.execute("SELECT pgmq.create('q')")
    for seconds in (0, -1):
        call = f"SELECT * FROM pgmq.{function}('q', 0, 1, {seconds}, NULL)"
        assert db.execute(call.encode()).fetchall() == []
