"""Run the same statement against upstream and against this project, and compare the outcomes.

What is compared: column names and types, the rows, the command tag; or the error's SQLSTATE and
message; and warnings and notices. Four rules say what counts as equal, and there are no others:

1. A timestamp equals another that is less than TOLERANCE seconds away (the two servers' clocks are
   one clock, but the statements run one after the other). Infinities equal only themselves.
2. Rows are compared without regard to their order: upstream promises none. This project's batches
   must be in the order of msg_id. (Rounds of groups have an order: scripts aggregate them.)
3. What Postgres itself says while IF [NOT] EXISTS skips something or a name is cut is not compared.
4. Of an error about privileges or a read-only transaction only the SQLSTATE is compared: Postgres
   words it after the table or command that it comes to first.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.types.datetime import TimestamptzLoader

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from psycopg.abc import Buffer
    from psycopg.errors import Diagnostic

    Connection = psycopg.Connection[tuple[Any, ...]]

TOLERANCE = 5.0

DUPLICATE_TABLE = "42P07"
NAME_TOO_LONG = "42622"
INSUFFICIENT_PRIVILEGE = "42501"
READ_ONLY = "25006"

# Inside the text of a composite value a timestamp is recognised by its looks.
_MOMENT_IN_TEXT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?[+-]\d\d(:\d\d)?")

_BATCH = re.compile(
    r"SELECT \* FROM pgmq\."
    r"((read|read_grouped|read_grouped_head)(_with_poll)?|pop|set_vt|delete|archive)\("
)

# What a queue is, as far as upstream defines it.
MESSAGE_COLUMNS = "msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers"


@dataclasses.dataclass(frozen=True, slots=True)
class Moment:
    """A timestamptz in seconds; unlike datetime it can be infinite."""

    seconds: float

    def __repr__(self) -> str:
        return f"<{self.seconds:.3f}>"


class _MomentLoader(TimestamptzLoader):
    def load(self, data: Buffer) -> Any:
        text = bytes(data)
        if text in (b"infinity", b"-infinity"):
            return Moment(float(text))
        try:
            return Moment(super().load(data).timestamp())
        except NotImplementedError:  # psycopg reads ISO dates only
            return "<a moment>"


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What one statement did."""

    tag: str | None = None
    columns: tuple[tuple[str, str], ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    error: tuple[str, str] | None = None
    notices: tuple[tuple[str, str], ...] = ()

    def column(self, name: str) -> list[Any]:
        """Return a column's values, in the order of the rows."""
        position = [column for column, _ in self.columns].index(name)
        return [row[position] for row in self.rows]

    def __str__(self) -> str:
        said = "".join(f"\n    {severity}: {text}" for severity, text in self.notices)
        if self.error is not None:
            return f"{self.error[0]} {self.error[1]}{said}"
        names = ", ".join(f"{name} {type_name}" for name, type_name in self.columns)
        return f"{self.tag} ({names})" + "".join(f"\n    {row}" for row in self.rows) + said


class Side:
    """One of the two databases."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        connection.prepare_threshold = None
        connection.adapters.register_loader("timestamptz", _MomentLoader)
        connection.add_notice_handler(self._hear)
        self._notices: list[tuple[str, str]] = []
        self._types: dict[int, str] = {}

    def _hear(self, said: Diagnostic) -> None:
        skipped = (said.message_primary or "").endswith(" does not exist, skipping")
        if said.sqlstate not in (DUPLICATE_TABLE, NAME_TOO_LONG) and not skipped:
            self._notices.append((said.severity_nonlocalized or "", said.message_primary or ""))

    def _type_name(self, oid: int) -> str:
        if oid not in self._types:
            # Whatever role and search_path the script has set must not matter.
            row = self.connection.execute(
                "SELECT CASE WHEN n.nspname = 'pg_catalog' THEN '' ELSE n.nspname || '.' END"
                " || t.typname FROM pg_catalog.pg_type t"
                " JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE t.oid = %s",
                [oid],
            ).fetchone()
            assert row is not None
            self._types[oid] = row[0]
        return self._types[oid]

    def run(self, statement: str) -> Outcome:
        """Execute one statement and say what it did; an error is an outcome too."""
        self._notices.clear()
        try:
            cursor = self.connection.execute(statement.encode())
        except psycopg.Error as error:
            message = error.diag.message_primary or str(error)
            return Outcome(error=(error.sqlstate or "", message), notices=tuple(self._notices))
        said = tuple(self._notices)
        if cursor.description is None:
            return Outcome(tag=cursor.statusmessage, notices=said)
        rows = tuple(cursor.fetchall())
        columns = tuple((c.name, c.type_code) for c in cursor.description)
        return Outcome(
            tag=cursor.statusmessage,
            columns=tuple((name, self._type_name(oid)) for name, oid in columns),
            rows=rows,
            notices=said,
        )

    def contents(self) -> dict[str, Outcome]:
        """Return `meta`, `topic_bindings`, and every q_ and a_ table by name."""
        found = {
            "meta": self.run("SELECT queue_name, is_partitioned, is_unlogged FROM pgmq.meta"),
            "topic_bindings": self.run("SELECT * FROM pgmq.topic_bindings"),
        }
        for (table,) in self.run(
            "SELECT relname::text FROM pg_catalog.pg_class WHERE relkind IN ('r', 'p')"
            " AND relnamespace = 'pgmq'::regnamespace AND relname ~ '^[qa]_'"
        ).rows:
            extra = ", archived_at" if table.startswith("a_") else ""
            name = table.replace('"', '""')
            found[table] = self.run(f'SELECT {MESSAGE_COLUMNS}{extra} FROM pgmq."{name}"')
        return found

    def reset(self) -> None:
        """Leave no queue and no setting behind."""
        self.connection.execute("ROLLBACK")
        self.connection.execute("RESET SESSION AUTHORIZATION")
        self.connection.execute("RESET ALL")
        self.connection.execute("UNLISTEN *")
        self.connection.execute("SELECT pgmq.drop_queue(queue_name::text) FROM pgmq.meta")
        # Some scripts leave a table that no queue knows of, or a queue without a table.
        for (table,) in self.run(
            "SELECT oid::regclass::text FROM pg_catalog.pg_class WHERE relkind IN ('r', 'p')"
            " AND relnamespace = 'pgmq'::regnamespace AND relname ~ '^[qa]_'"
        ).rows:
            self.connection.execute(f"DROP TABLE {table} CASCADE".encode())
        self.connection.execute("DELETE FROM pgmq.meta")


class Both:
    """Upstream and this project, side by side."""

    def __init__(self, upstream: Connection, ours: Connection) -> None:
        self.upstream = Side(upstream)
        self.ours = Side(ours)

    def run(self, statement: str) -> tuple[Outcome, Outcome]:
        """Execute one statement on both sides: upstream first, then ours."""
        return self.upstream.run(statement), self.ours.run(statement)

    def reset(self) -> None:
        """Leave no queue and no setting behind, on either side."""
        self.upstream.reset()
        self.ours.reset()

    def compare(self, steps: Iterable[str]) -> str | None:
        """Run the steps and describe the first difference; at the end compare all contents."""
        done: list[str] = []
        for step in steps:
            done.append(step)
            theirs, ours = self.run(step)
            if not equal(theirs, ours) or (_BATCH.match(step) and not _in_order(ours)):
                return _report(done, theirs, ours)
        for step in ("ROLLBACK", "RESET SESSION AUTHORIZATION", "RESET ALL"):
            self.run(step)
        left, right = self.upstream.contents(), self.ours.contents()
        if set(left) != set(right):
            return _report([*done, "-- tables"], sorted(left), sorted(right))
        for table, theirs in left.items():
            if not equal(theirs, right[table]):
                return _report([*done, f"TABLE pgmq.{table}"], theirs, right[table])
        return None


def _report(done: Sequence[str], theirs: object, ours: object) -> str:
    script = "".join(f"\n  {step};" for step in done)
    return f"{script}\n  upstream: {theirs}\n  ours:     {ours}"


def equal(theirs: Outcome, ours: Outcome) -> bool:
    """Say whether two outcomes are the same, by the rules at the top of this module."""
    return (
        (theirs.tag, theirs.columns, theirs.notices) == (ours.tag, ours.columns, ours.notices)
        and _same_error(theirs.error, ours.error)
        and len(theirs.rows) == len(ours.rows)
        and all(map(_same_row, sorted(theirs.rows, key=_order), sorted(ours.rows, key=_order)))
    )


def _same_error(theirs: tuple[str, str] | None, ours: tuple[str, str] | None) -> bool:
    if theirs is None or ours is None:
        return theirs is ours
    return theirs == ours or theirs[0] == ours[0] in (INSUFFICIENT_PRIVILEGE, READ_ONLY)


def _in_order(batch: Outcome) -> bool:
    ids = [row[0] for row in batch.rows]
    return ids == sorted(ids)


def _order(row: tuple[Any, ...]) -> list[str]:
    return [repr(_without_moments(value)) for value in row]


def _without_moments(value: object) -> object:
    if isinstance(value, str):
        return _MOMENT_IN_TEXT.sub("<moment>", value)
    return None if isinstance(value, Moment) else value


def _same_row(theirs: tuple[Any, ...], ours: tuple[Any, ...]) -> bool:
    return all(map(_same, theirs, ours))


def _same(theirs: object, ours: object) -> bool:
    if isinstance(theirs, Moment) and isinstance(ours, Moment):
        near = abs(theirs.seconds - ours.seconds) < TOLERANCE
        return theirs.seconds == ours.seconds or near
    if type(theirs) is not type(ours):
        return False
    return _without_moments(theirs) == _without_moments(ours)
