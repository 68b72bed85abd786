"""Statements that look at the server and at the tables of queues, and call nothing of pgmq."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from psycopg import sql

from pgmq._statements import Statement, quoted

if TYPE_CHECKING:
    from datetime import datetime

    from pgmq._statements import Known


@dataclass(frozen=True, slots=True)
class Server:
    """Where this is, and as whom."""

    role: str
    database: str
    version: str
    is_standby: bool
    is_superuser: bool


def server() -> Statement[Server]:
    return Statement(
        """
        SELECT
            current_user::text, current_database()::text, current_setting('server_version'),
            pg_is_in_recovery(), current_setting('is_superuser')::boolean
        """,
        {},
        lambda rows: Server(*rows[0]),
    )


def consumers() -> Statement[Counter[str]]:
    """Ask how many sessions consume each queue, by its name in lower case.

    They are those of workers, which are named after their queues, and those whose last statement is
    await, or a read that polls. A statement with parameters does not say of which queue it is: a
    read that polls is known by its locks, and await not at all. Roles that are no members of
    pg_monitor see the statements of their own sessions alone.
    """
    return Statement(
        r"""
        SELECT lower(coalesce(
            substring(a.application_name FROM '^pgmq worker (.+)$'),
            substring(a.query FROM $$pgmq\.(?:await|\w+_with_poll)\('([^']+)'$$),
            (
                SELECT min(substr(c.relname, 3))
                FROM pg_locks AS l
                INNER JOIN pg_class AS c ON c.oid = l.relation
                WHERE l.pid = a.pid AND a.state = 'active' AND a.query LIKE '%%\_with\_poll%%'
                    AND c.relkind IN ('r', 'p') AND NOT c.relispartition
                    AND c.relname LIKE 'q\_%%' AND c.relnamespace = to_regnamespace('pgmq')
            )
        ))
        FROM pg_stat_activity AS a
        WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
            AND (
                a.application_name LIKE 'pgmq worker %%' OR a.query LIKE '%%pgmq.await%%'
                OR a.query LIKE '%%\_with\_poll%%' AND a.state = 'active'
            )
        """,
        {},
        lambda rows: Counter(queue for (names,) in rows if names for queue in names.split(", ")),
    )


@dataclass(frozen=True, slots=True)
class Part:
    """A partition of a queue's table, or a segment of a stream."""

    name: str
    bounds: str
    rows: int | None
    size: int


def parts(table: str) -> Statement[list[Part]]:
    """Ask for the partitions of a table, with the rows that were last estimated."""
    return Statement(
        """
        SELECT
            c.relname::text, pg_get_expr(c.relpartbound, c.oid),
            CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint END, pg_total_relation_size(c.oid)
        FROM pg_class AS p
        INNER JOIN pg_inherits AS i ON i.inhparent = p.oid
        INNER JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE p.relname = %(table)s::name AND p.relnamespace = to_regnamespace('pgmq')
        ORDER BY length(c.relname), c.relname
        LIMIT 200
        """,
        {"table": table},
        lambda rows: [Part(*row) for row in rows],
    )


@dataclass(frozen=True, slots=True)
class Grant:
    """What a role may do with a table."""

    role: str
    relation: str
    privileges: str


def grants(*tables: str) -> Statement[list[Grant]]:
    """Ask for the privileges on tables, those on single columns included."""
    return Statement(
        """
        SELECT
            CASE a.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(a.grantee)::text END,
            c.relname::text,
            string_agg(DISTINCT a.privilege_type, ', ' ORDER BY a.privilege_type)
        FROM pg_class AS c
        CROSS JOIN LATERAL (
            SELECT x.grantee, x.privilege_type FROM aclexplode(c.relacl) AS x
            UNION ALL
            SELECT x.grantee, x.privilege_type || ' of columns'
            FROM pg_attribute AS t
            CROSS JOIN aclexplode(t.attacl) AS x
            WHERE t.attrelid = c.oid
        ) AS a
        WHERE c.relname = ANY (%(tables)s::text[]) AND c.relnamespace = to_regnamespace('pgmq')
            AND a.grantee <> c.relowner
        GROUP BY 1, 2
        ORDER BY 1, 2
        """,
        {"tables": list(tables)},
        lambda rows: [Grant(*row) for row in rows],
    )


@dataclass(frozen=True, slots=True)
class Activity:
    """A session that uses pgmq; function is which one of it ran last."""

    pid: int
    role: str | None
    name: str
    client: str | None
    state: str | None
    function: str | None
    began_at: datetime | None
    wait: str | None
    blocked_by: list[int]


def sessions() -> Statement[list[Activity]]:
    """Ask for the sessions of this database that use pgmq; of a query only the function is told."""
    return Statement(
        r"""
        SELECT
            a.pid, a.usename::text, a.application_name, host(a.client_addr), a.state,
            substring(a.query FROM 'pgmq\.(\w+)'), coalesce(a.xact_start, a.state_change),
            a.wait_event_type || ': ' || a.wait_event,
            CASE WHEN a.wait_event_type = 'Lock' THEN pg_blocking_pids(a.pid) ELSE '{}' END
        FROM pg_stat_activity AS a
        WHERE a.datname = current_database() AND a.backend_type = 'client backend'
            AND (a.application_name LIKE 'pgmq%%' OR a.query LIKE '%%pgmq.%%')
            AND a.pid <> pg_backend_pid()
        ORDER BY a.state = 'active' DESC, a.xact_start, a.pid
        LIMIT 200
        """,
        {},
        lambda rows: [Activity(*row) for row in rows],
    )


@dataclass(frozen=True, slots=True)
class Holder:
    """What keeps vacuum from removing dead rows."""

    what: str
    name: str
    since: datetime | None
    age: int


def holders() -> Statement[list[Holder]]:
    """Ask for what holds the xmin horizon back, the oldest first; age is in transactions."""
    return Statement(
        """
        SELECT 'session', concat_ws(' ', a.pid, a.usename, a.application_name), a.xact_start,
            age(a.backend_xmin)
        FROM pg_stat_activity AS a
        WHERE a.backend_xmin IS NOT NULL AND a.pid <> pg_backend_pid()
            AND a.backend_type <> 'walsender'
        UNION ALL
        SELECT 'replication slot', s.slot_name::text, NULL,
            greatest(age(s.xmin), age(s.catalog_xmin))
        FROM pg_replication_slots AS s
        WHERE s.xmin IS NOT NULL OR s.catalog_xmin IS NOT NULL
        UNION ALL
        SELECT 'standby', concat_ws(' ', a.pid, a.application_name), NULL, age(a.backend_xmin)
        FROM pg_stat_activity AS a
        WHERE a.backend_xmin IS NOT NULL AND a.backend_type = 'walsender'
        UNION ALL
        SELECT 'prepared transaction', p.gid, p.prepared, age(p.transaction)
        FROM pg_prepared_xacts AS p
        ORDER BY 4 DESC, 3
        LIMIT 10
        """,
        {},
        lambda rows: [Holder(*row) for row in rows],
    )


@dataclass(frozen=True, slots=True)
class Blocked:
    """A session that waits for a lock, and for whom."""

    pid: int
    name: str
    since: datetime | None
    lock: str
    blocked_by: str


def blocked() -> Statement[list[Blocked]]:
    return Statement(
        """
        SELECT
            a.pid, concat_ws(' ', a.usename, a.application_name), l.waitstart,
            concat_ws(' ', l.mode, 'on', coalesce(c.relname::text, l.locktype)),
            (
                SELECT
                    string_agg(concat_ws(' ', b.pid, b.usename, b.application_name, b.state), '; ')
                FROM pg_stat_activity AS b
                WHERE b.pid = ANY (pg_blocking_pids(a.pid))
            )
        FROM pg_stat_activity AS a
        INNER JOIN pg_locks AS l ON l.pid = a.pid AND NOT l.granted
        LEFT JOIN pg_class AS c ON c.oid = l.relation
        WHERE a.wait_event_type = 'Lock' AND a.datname = current_database()
        ORDER BY l.waitstart
        LIMIT 50
        """,
        {},
        lambda rows: [Blocked(*row) for row in rows],
    )


@dataclass(frozen=True, slots=True)
class Dead:
    """A table of pgmq with dead rows."""

    table: str
    dead: int
    live: int
    size: int | None  # None before the first vacuum
    vacuumed_at: datetime | None


def dead_rows() -> Statement[list[Dead]]:
    return Statement(
        """
        SELECT
            s.relname::text, s.n_dead_tup, s.n_live_tup,
            -- Not pg_relation_size(): it waits for whoever has locked the table.
            nullif(c.relpages, 0) * current_setting('block_size')::bigint,
            greatest(s.last_vacuum, s.last_autovacuum)
        FROM pg_stat_all_tables AS s
        INNER JOIN pg_class AS c ON c.oid = s.relid
        WHERE s.schemaname = 'pgmq' AND s.n_dead_tup > 0
        ORDER BY s.n_dead_tup DESC
        LIMIT 10
        """,
        {},
        lambda rows: [Dead(*row) for row in rows],
    )


# Messages


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages to show; what is None does not matter."""

    contains: str | None = None  # JSON
    headers: str | None = None  # JSON
    group: str | None = None
    state: str | None = None  # visible, delayed, in flight
    older: int | None = None  # seconds
    reads: int | None = None  # at least
    newest: bool = False  # first
    after: int | None = None  # msg_id, in this order
    until: int | None = None  # msg_id, the largest


@dataclass(frozen=True, slots=True)
class Shown:
    """A message as the list shows it; what a table has not, or its reader may not see, is None."""

    msg_id: int
    read_ct: int | None
    enqueued_at: datetime
    last_read_at: datetime | None
    vt: datetime | None
    archived_at: datetime | None
    size: int | None  # as it is stored
    message: str | None  # its beginning
    group: str | None
    error: str | None

    def state(self, now: datetime) -> str:
        """Say whether a read may return it."""
        if self.vt is None or self.archived_at is not None:
            return ""
        if self.vt <= now or self.vt <= self.enqueued_at:
            return "visible"
        return "in flight" if self.last_read_at else "delayed"


PAGE = 50
_LOOKED_AT = 10_000  # messages, at most
_SHORT = 50_000  # bytes up to which a list shows how a message begins
_STATES = {
    "visible": "m.vt <= greatest(m.enqueued_at, now())",
    "delayed": "m.vt > greatest(m.enqueued_at, now()) AND m.last_read_at IS NULL",
    "in flight": "m.vt > greatest(m.enqueued_at, now()) AND m.last_read_at IS NOT NULL",
}


def _of(known: Known, *, archive: bool) -> tuple[sql.Composable, list[str], bool]:
    """Give the table of messages, which of their columns it has, and whether they are readable."""
    readable = known.archive_readable if archive else known.readable
    leases = [] if known.is_stream else ["read_ct", "last_read_at", "vt"]
    columns = ["msg_id", "enqueued_at", *leases, *(["archived_at"] if archive else [])]
    if archive and not readable:  # what grant_monitor shows of it
        columns = ["msg_id", "enqueued_at", "archived_at"]
    return (
        quoted("pgmq", known.archive if archive else known.table),
        columns + (["message", "headers"] if readable else []),
        readable,
    )


def _conditions(columns: list[str], wanted: Wanted, *, archive: bool) -> sql.Composed:
    """Write what a filter asks of a message m; what the reader may not see is not asked."""
    conditions = ["true"]
    if "message" in columns and wanted.contains is not None:
        conditions.append("m.message @> %(contains)s::jsonb")
    if "headers" in columns and wanted.headers is not None:
        conditions.append("m.headers @> %(headers)s::jsonb")
    if "headers" in columns and wanted.group is not None:
        conditions.append("m.headers ->> 'x-pgmq-group' = %(group)s")
    if wanted.older is not None:
        conditions.append("m.enqueued_at < now() - make_interval(secs => %(older)s)")
    if wanted.reads is not None and "read_ct" in columns:
        conditions.append("m.read_ct >= %(reads)s")
    if wanted.state in _STATES and "vt" in columns and not archive:
        conditions.append(_STATES[wanted.state])
    return sql.SQL(" AND ").join(map(sql.SQL, conditions))


def messages(known: Known, wanted: Wanted, *, archive: bool) -> Statement[list[Shown]]:
    """Ask for a page of messages and one more, of the next 10,000, without leasing any."""
    table, columns, readable = _of(known, archive=archive)
    query = sql.SQL(
        "SELECT {shown} FROM {some} AS m WHERE {conditions} ORDER BY m.msg_id {order} LIMIT {page}"
    ).format(
        shown=sql.SQL(", ").join(
            sql.SQL(f"m.{name}" if name in columns else "NULL")
            for name in (
                "msg_id",
                "read_ct",
                "enqueued_at",
                "last_read_at",
                "vt",
                "archived_at",
            )
        )
        + sql.SQL(
            f""",
            pg_column_size(m.message),
            CASE WHEN pg_column_size(m.message) < {_SHORT} THEN left(m.message::text, 200) END,
            left(m.headers ->> 'x-pgmq-group', 100), left(m.headers ->> 'x-pgmq-error', 200)"""
            if readable
            else ", NULL, NULL, NULL, NULL"
        ),
        some=_next(table, columns, wanted),
        conditions=_conditions(columns, wanted, archive=archive),
        order=sql.SQL("DESC" if wanted.newest else "ASC"),
        page=sql.Literal(PAGE + 1),
    )
    return Statement(query.as_string(), _values(wanted), lambda rows: [Shown(*row) for row in rows])


def looked_at(known: Known, wanted: Wanted, *, archive: bool) -> Statement[int | None]:
    """Ask how far that has looked; None when it was to the end."""
    table, _, _ = _of(known, archive=archive)
    query = sql.SQL("SELECT {last}(m.msg_id), count(*) FROM {some} AS m").format(
        last=sql.SQL("min" if wanted.newest else "max"), some=_next(table, ["msg_id"], wanted)
    )
    return Statement(
        query.as_string(),
        _values(wanted),
        lambda rows: rows[0][0] if rows[0][1] == _LOOKED_AT else None,
    )


def count(known: Known, wanted: Wanted, *, archive: bool) -> Statement[str]:
    """Ask how many messages a filter finds, of the first 10,000; in words."""
    table, columns, _ = _of(known, archive=archive)
    query = sql.SQL(
        "SELECT count(*) FILTER (WHERE {conditions}), count(*) FROM {some} AS m"
    ).format(
        conditions=_conditions(columns, wanted, archive=archive),
        some=_next(table, columns, wanted),
    )

    def decode(rows: list[Any]) -> str:
        found, of = rows[0]
        if of == _LOOKED_AT:
            return f"all messages ({found:,} of the first {of:,})"
        return f"all {found:,} message{'' if found == 1 else 's'}"

    return Statement(query.as_string(), _values(wanted), decode)


def last(known: Known, *, archive: bool) -> Statement[int]:
    """Ask for the largest msg_id, or 0."""
    table, _, _ = _of(known, archive=archive)
    query = f"SELECT coalesce(max(m.msg_id), 0) FROM {table.as_string()} AS m"
    return Statement(query, {}, lambda rows: rows[0][0])


def ends(known: Known) -> Statement[tuple[int, int]]:
    """Ask for the msg_ids between which the messages of a stream are."""
    table, _, _ = _of(known, archive=False)
    query = f"SELECT min(m.msg_id) - 1, max(m.msg_id) FROM {table.as_string()} AS m"
    return Statement(query, {}, lambda rows: (rows[0][0] or 0, rows[0][1] or 0))


def found(
    known: Known, wanted: Wanted, *, archive: bool, most: int
) -> Statement[list[tuple[int, int]]]:
    """Ask for the msg_id and the read_ct of the first messages that a filter finds."""
    table, columns, _ = _of(known, archive=archive)
    query = sql.SQL(
        "SELECT m.msg_id, {reads} FROM {table} AS m WHERE m.msg_id > %(after)s"
        " AND m.msg_id <= %(until)s AND {conditions} ORDER BY m.msg_id LIMIT {most}"
    ).format(
        reads=sql.SQL("m.read_ct" if "read_ct" in columns else "0"),
        table=table,
        conditions=_conditions(columns, wanted, archive=archive),
        most=sql.Literal(most),
    )
    return Statement(query.as_string(), _values(wanted), lambda rows: rows)


def _next(table: sql.Composable, columns: list[str], wanted: Wanted) -> sql.Composed:
    return sql.SQL(
        "(SELECT {columns} FROM {table} AS q"
        " WHERE (%(after)s::bigint IS NULL OR q.msg_id {beyond} %(after)s::bigint)"
        " AND (%(until)s::bigint IS NULL OR q.msg_id <= %(until)s::bigint)"
        " ORDER BY q.msg_id {order} LIMIT {limit})"
    ).format(
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        table=table,
        beyond=sql.SQL("<" if wanted.newest else ">"),
        order=sql.SQL("DESC" if wanted.newest else "ASC"),
        limit=sql.Literal(_LOOKED_AT),
    )


def _values(wanted: Wanted) -> dict[str, Any]:
    return {field.name: getattr(wanted, field.name) for field in fields(wanted)}


@dataclass(frozen=True, slots=True)
class Whole:
    """A message as its own page shows it: the beginning of what is long, and how long it is."""

    shown: Shown
    length: int | None  # characters of the message
    text: str | None
    headers: str | None


LONGEST = 20_000  # characters
_LAID_OUT = 1_000_000  # characters that are laid out in lines, of which the first ones are shown
_DEEPEST = 50  # the same, levels: each line is indented by its depth


def _beginning(column: str) -> str:
    return (
        f"left(CASE WHEN length({column}::text) > {_LAID_OUT}"
        f" OR jsonb_path_exists({column}, 'strict $.**{{{_DEEPEST}}}') THEN {column}::text"
        f" ELSE jsonb_pretty({column}) END, {LONGEST})"
    )


def message(known: Known, msg_id: int, *, archive: bool) -> Statement[Whole | None]:
    table, _, readable = _of(known, archive=archive)
    shown = messages(known, Wanted(), archive=archive).query.partition(" FROM (")[0]
    payload = (
        f"length(m.message::text), {_beginning('m.message')}, {_beginning('m.headers')}"
        if readable
        else "NULL, NULL, NULL"
    )
    query = f"{shown}, {payload} FROM {table.as_string()} AS m WHERE m.msg_id = %(msg_id)s"
    return Statement(
        query,
        {"msg_id": msg_id},
        lambda rows: Whole(Shown(*rows[0][:-3]), *rows[0][-3:]) if rows else None,
    )


def payload(known: Known, msg_id: int, *, archive: bool) -> Statement[str | None]:
    """Ask for a whole message, however long it is."""
    table, _, _ = _of(known, archive=archive)
    return Statement(
        f"SELECT m.message::text FROM {table.as_string()} AS m WHERE m.msg_id = %(msg_id)s",
        {"msg_id": msg_id},
        lambda rows: rows[0][0] if rows else None,
    )
