"""A call in the transaction of Django's connection, by its own cursor. Django is not imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pgmq import _wire as wire

if TYPE_CHECKING:
    from pgmq._statements import Statement
    from pgmq._wire import Loads

__all__ = ["Connection", "Transaction"]

T = TypeVar("T")

_JSON = {114, 3802}  # the types json and jsonb; Django leaves them as text


class Connection(Protocol):
    """What Django's connections have: django.db.connection, django.db.connections["default"]."""

    @property
    def vendor(self) -> Any: ...

    @property
    def settings_dict(self) -> Any: ...

    def cursor(self) -> Any: ...


class Transaction:
    """The transaction that Django's connection is in; its cursor is of psycopg 3 or of psycopg2."""

    def __init__(self, connection: Any) -> None:
        if connection.vendor != "postgresql":
            raise TypeError(f"Django's connection is to {connection.vendor}, not to Postgres")
        self._connection = connection

    def execute(self, statement: Statement[T], loads: Loads | None) -> T:
        """Run a statement."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement.query, wire.without_jsonb(statement.parameters))
            if cursor.description is None:
                return statement.decode([])
            is_json = [column.type_code in _JSON for column in cursor.description]
            return statement.decode(
                [
                    tuple(
                        wire.loads(value, loads) if json and value is not None else value
                        for value, json in zip(row, is_json, strict=True)
                    )
                    for row in cursor.fetchall()
                ]
            )
