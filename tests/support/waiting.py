"""Calls that wait for another session, sessions that never do, and those that hold others up."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Connect

Row = tuple[Any, ...]


def until(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def never_wait(session: psycopg.Connection) -> None:
    """Have a call of this session fail that would wait for another's lock."""
    session.execute("SET lock_timeout = '2s'")


def hold_snapshot(connect: Connect) -> psycopg.Connection:
    """Open a session whose transaction keeps vacuum from what is consumed from now on."""
    session = connect(autocommit=False)
    session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    session.execute("SELECT 1")
    return session


class Waiting:
    """A call in a thread of its own."""

    def __init__(self, session: psycopg.Connection, query: str, *arguments: Any) -> None:
        self.rows: list[Row] = []
        self.error: psycopg.Error | None = None
        self._pid = session.info.backend_pid
        self._thread = threading.Thread(target=self._run, args=(session, query, arguments))
        self._thread.start()

    def _run(self, session: psycopg.Connection, query: str, arguments: tuple[Any, ...]) -> None:
        try:
            cursor = session.execute(query.encode(), arguments or None)
            self.rows = cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            self.error = error

    def waits(self, db: psycopg.Connection) -> bool:
        """Tell whether it waits for another session."""
        query = "SELECT pg_blocking_pids(%s) <> '{}'"
        return db.execute(query, (self._pid,)).fetchone() == (True,)

    def has_ended(self) -> bool:
        """Tell whether it has returned, or raised an error."""
        return not self._thread.is_alive()

    def until_it_waits(self, db: psycopg.Connection) -> Waiting:
        """Return when it waits for another session."""
        deadline = time.monotonic() + 20
        while not self.waits(db):
            assert self._thread.is_alive(), "has not waited"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return self

    def result(self) -> list[Row]:
        """Return its rows, or raise its error."""
        self._thread.join(20)
        assert not self._thread.is_alive(), "still waits"
        if self.error is not None:
            raise self.error
        return self.rows
