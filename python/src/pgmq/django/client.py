"""The calls of pgmq on Django's own connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections
from psycopg.conninfo import make_conninfo

from pgmq._django import Connection, Transaction
from pgmq.sync_operations import SyncPGMQueueOperationsMixin

if TYPE_CHECKING:
    from pgmq._statements import Statement

__all__ = ["Client", "dsn"]

T = TypeVar("T")


class Client(SyncPGMQueueOperationsMixin[Connection]):
    """Every function of pgmq as a method, on the connection that Django has in this thread.

    So a call in `transaction.atomic` commits, or is rolled back, with the work of the ORM. Errors
    are those of django.db. `conn` of a call is another connection of Django.
    """

    def __init__(self, using: str = DEFAULT_DB_ALIAS) -> None:
        self.using = using
        self.vt = 30
        self.delay = 0

    def run(self, statement: Statement[T]) -> T:
        """Run a statement that is no method."""
        return self._run(statement, None)

    def _transaction(self, conn: Connection | None) -> Transaction:
        return Transaction(conn or connections[self.using])

    def _perform(self, statement: Statement[T], conn: Connection | None) -> T:
        return self._transaction(conn).execute(statement, None)


def dsn(using: str, **options: str) -> str:
    """Return the connection string of a database of Django's settings, with server settings."""
    connection = connections[using]
    keywords = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    parameters = connection.get_connection_params()
    given = {key: value for key, value in parameters.items() if key in keywords}
    if role := connection.settings_dict["OPTIONS"].get("assume_role"):
        options["role"] = role
    for name, value in options.items():
        escaped = value.replace("\\", r"\\").replace(" ", r"\ ")
        given["options"] = f"{given.get('options', '')} -c {name}={escaped}"
    return make_conninfo(**given)
