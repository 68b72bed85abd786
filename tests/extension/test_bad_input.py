"""Every public function with arguments that nobody should give it.

The calls are made from the catalog: each function is called with arguments that are right, and then
with each of them replaced by every bad one of its type. It either works or raises an error of its
own, which says what is wrong; it never fails inside, and an error leaves nothing behind.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterator

SETUP = """
SELECT pgmq.create('q'), pgmq.create('other'), pgmq.create('plain');
SELECT pgmq.set_policy(
    'q', max_receives => 5, dead_letter_queue => 'dead', dedup_window => '1 h', retry_delay => '1 s'
);
SELECT pgmq.enable_wakeups('q'), pgmq.enable_notify_insert('q');
SELECT pgmq.create_fifo_index('q');
SELECT pgmq.create_exchange('x');
SELECT pgmq.bind('x', 'q', 'a.#'), pgmq.bind_topic('a.#', 'q');
SELECT pgmq.send_batch('q', '{1,2,3,4}');
SELECT pgmq.send('dead', '1', '{"x-pgmq-dead-letter": {"queue": "q"}}'::jsonb);
SELECT pgmq.read('q', 30, 2);
"""

NAMES: tuple[str | None, ...] = (
    None, "", " ", "q;DROP TABLE pgmq.q_q", "q'", "'; --", "q--", "$queue", "$$", 'a"b', '"q"',
    "select", "table", "public", "pgmq.q", "q.q", "%s", "%I %L %1$s", "\\", "q\n", "\t", "é" * 30,
    "ü" * 47, "İ" * 20, "😀" * 20, "x" * 47, "x" * 48, "x" * 63, "x" * 64, "x" * 300, "x" * 100_000,
    "{}", "null", "msg_id_seq", "q_msg_id_seq", "Q", "none",
)  # fmt: skip
PATTERNS = ("*", "#", "a..b", ".a", "a.", "**", "#*", "a b", "[", "(", "a{9999}", "(" * 200, "\\")
JSON = ("null", "[]", '""', "1", "{}", '{"a": null}', '{"x-pgmq-group": {"a": 1}}',
    '{"x-pgmq-dedup-id": {"a": 1}}', '{"x-pgmq-ttl": "soon"}', '{"x-pgmq-ttl": -1e300}',
    '{"x-pgmq-dead-letter": 1}', '{"x-pgmq-dead-letter": {"queue": ["q"]}}')  # fmt: skip

# What tells the one from the other only where something is made of a name: elsewhere, some do.
SOME = (
    None, "", " ", "q;DROP TABLE pgmq.q_q", "q'", "$queue", "%I %L %1$s", "\\", "q\n", "İ" * 20,
    "x" * 64, "x" * 100_000, "Q", "none",
)  # fmt: skip

# By the argument's name, or by its type.
BAD: dict[str, tuple[str | None, ...]] = {
    "text": SOME,
    "pattern": (*SOME, *PATTERNS),
    "routing_key": (*SOME, *PATTERNS),
    "integer": (None, "-1", "0", "2147483647", "-2147483648"),
    "bigint": (None, "-1", "0", "9223372036854775807", "-9223372036854775808"),
    "boolean": (None,),
    # Not those that wait.
    "max_poll_seconds": ("-1", "0", "-2147483648"),
    "poll_interval_ms": (None, "-1", "0"),
    "double precision": (None, "-1", "NaN", "Infinity", "-Infinity", "3e38", "1e-45"),
    "jsonb": (None, *JSON),
    "interval": (None, "-1 s", "0", "1000000 years", "-178000000 years", "1 microsecond"),
    "timestamp with time zone": (None, "infinity", "-infinity", "4713-01-01 BC", "294276-12-31"),
    "text[]": (None, "{}", "{NULL}", "{a}", "{a,b,c}", "{{a,b},{c,d}}", "[5:6]={a,b}", '{"",""}'),
    "bigint[]": (None, "{}", "{NULL}", "{1}", "{1,2,3}", "{{1,2},{3,4}}", "[5:6]={1,2}", "{1,1}",
        "{-1,9223372036854775807}"),
    "integer[]": (None, "{}", "{NULL}", "{1}", "{1,2,3}", "{{1,1},{2,2}}", "[5:6]={1,2}",
        "{-1,2147483647}"),
    "jsonb[]": (None, "{}", "{NULL}", "{1}", "{1,2,3}", "{{1,2},{3,4}}", "[5:6]={1,2}",
        *("{%s,1}" % ('"' + j.replace('"', '\\"') + '"') for j in JSON)),
}  # fmt: skip

# What is right, by the argument's name, or by its type.
GOOD = {
    "queue_name": "q", "to_queue": "other", "queue_names": "{q,other}", "dead_letter_queue": "dead",
    "exchange_name": "x", "routing_key": "a.b", "pattern": "a.b", "kind": "topic",
    "channel": "news",
    "dedup_key": "key", "dedup_keys": "{a,b}", "role_name": "pg_monitor", "prefix": "q",
    "group_name": "g", "error": "broken", "max_poll_seconds": "0", "poll_interval_ms": "1",
    "max_receives": "5", "max_in_flight": "5", "maximum_messages": "1",
    "text": "a", "integer": "1", "bigint": "1", "boolean": "true", "jsonb": "{}",
    "double precision": "0",
    "interval": "1 h", "timestamp with time zone": "2000-01-01", "text[]": "{a,b}",
    "bigint[]": "{1,2}", "integer[]": "{1,1}", "jsonb[]": "{1,2}",
}  # fmt: skip

FUNCTIONS = """
SELECT
    p.proname,
    array_agg(a.name ORDER BY a.place),
    array_agg(format_type(a.type, null) ORDER BY a.place)
FROM pg_proc AS p
CROSS JOIN LATERAL (
    SELECT u.name, u.type, row_number() OVER () AS place
    FROM unnest(p.proargnames, coalesce(p.proallargtypes, p.proargtypes::oid[]), p.proargmodes)
        AS u (name, type, mode)
    WHERE coalesce(u.mode, 'i') = 'i'
) AS a
WHERE p.pronamespace = 'pgmq'::regnamespace AND p.proname NOT LIKE '\\_%'
GROUP BY p.oid
ORDER BY p.oid::regprocedure::text
"""


# What cannot be rolled back: an error must not use up an id.
IDS = r"""
SELECT sum(pg_sequence_last_value(c.oid::regclass)) FROM pg_class AS c
WHERE c.relkind = 'S' AND c.relname LIKE '%\_msg\_id\_seq'
"""

OBJECTS = """
SELECT c.oid::regclass::text, c.relkind::text, c.relacl::text FROM pg_class AS c
WHERE c.relnamespace = 'pgmq'::regnamespace
UNION ALL
SELECT p.oid::regprocedure::text, p.prosrc, p.proacl::text FROM pg_proc AS p
WHERE p.pronamespace = 'pgmq'::regnamespace
UNION ALL
SELECT t.tgrelid::regclass::text, t.tgname, null FROM pg_trigger AS t
ORDER BY 1, 2, 3
"""


def _contents(db: psycopg.Connection) -> list[tuple[object, ...]]:
    objects = db.execute(OBJECTS).fetchall()
    tables = [name for name, kind, _ in objects if kind == "r"]
    rows = [db.execute(f"SELECT t::text FROM {t} AS t ORDER BY 1".encode()) for t in tables]
    return [*objects, *((table, *row.fetchall()) for table, row in zip(tables, rows, strict=True))]


@pytest.fixture
def queues(db: psycopg.Connection) -> psycopg.Connection:
    db.execute(SETUP.encode())
    db.execute("SET client_min_messages = error; SET statement_timeout = '20s'")
    return db


def _calls(function: str, names: list[str], types: list[str]) -> Iterator[list[str | None]]:
    values = BAD | ({"text": NAMES} if function.startswith("create") else {})
    good = [GOOD.get(name, GOOD[kind]) for name, kind in zip(names, types, strict=True)]
    yield [*good]
    for place, (name, kind) in enumerate(zip(names, types, strict=True)):
        for bad in values.get(name, values[kind]):
            yield [*good[:place], bad, *good[place + 1 :]]


def _is_clear(error: psycopg.Error) -> bool:
    """Whether pgmq has raised it; but what is no JSON says so best itself."""
    raised = (error.diag.context or "").partition("\n")[0].endswith(" at RAISE")
    internal = (error.sqlstate or "XX")[:2] == "XX"
    return (raised and not internal) or error.sqlstate == "22P02"


def _error_of(
    db: psycopg.Connection, call: sql.Composed, arguments: list[str | None]
) -> psycopg.Error | None:
    try:
        with db.transaction(force_rollback=True):
            db.execute(call, arguments)
    except psycopg.Error as error:
        return error
    return None


def test_a_bad_argument_is_used_or_refused_with_a_clear_error(queues: psycopg.Connection) -> None:
    before = _contents(queues)
    ids = queues.execute(IDS).fetchone()
    functions = queues.execute(FUNCTIONS.encode()).fetchall()
    wrong = []
    refused = 0
    for name, names, types in functions:
        call = sql.SQL("SELECT * FROM {}({})").format(
            sql.Identifier("pgmq", name),
            sql.SQL(", ").join(sql.SQL("%s::" + kind) for kind in types),
        )
        for arguments in _calls(name, names, types):
            error = _error_of(queues, call, arguments)
            known, ids = ids, queues.execute(IDS).fetchone()
            if error is None:
                continue
            refused += 1
            said = f"{name}{[a and a[:40] for a in arguments]}: {error.sqlstate} {error}"
            if not _is_clear(error):
                wrong.append(said)
            if ids != known:
                wrong.append(f"uses up an id: {said}")
    assert wrong == []
    assert len(functions) > 90
    assert refused > 1000
    assert _contents(queues) == before


def test_no_two_names_that_are_accepted_share_a_table(db: psycopg.Connection) -> None:
    names = [name for name in NAMES if name is not None]
    names += ["to_all", "to_push", "at_commit", "ü" * 30, "Ü" * 30, "x" * 46 + "ü", "x" * 46 + "é"]
    for function in ("create", "create_unlogged"):
        for name in names:
            with contextlib.suppress(psycopg.Error):
                db.execute(f"SELECT pgmq.{function}(%s)".encode(), (name,))
    rows = db.execute(
        """
        SELECT
            m.queue_name, format('pgmq.%I', pgmq.format_table_name(m.queue_name, 'q'))::regclass
        FROM pgmq.meta AS m
        """
    ).fetchall()
    assert len(rows) > 20
    assert len({table for _, table in rows}) == len(rows)
    # And each is a queue of its own.
    for name, _ in rows:
        db.execute("SELECT pgmq.send(%s, to_jsonb(%s::text))", (name, name))
    for name, _ in rows:
        messages = db.execute("SELECT message FROM pgmq.pop(%s, 10)", (name,)).fetchall()
        assert messages == [(name,)]


def test_no_function_of_a_queue_can_have_the_name_of_another_function(
    db: psycopg.Connection,
) -> None:
    """Where it had, the two would be one name with two meanings, and the queue of no use."""
    names = """
        SELECT p.proname FROM pg_proc AS p
        INNER JOIN pgmq.template AS t ON starts_with(p.proname, format('_%s_', t.name))
        WHERE p.pronamespace = 'pgmq'::regnamespace
    """
    assert db.execute(names).fetchall() == []


def test_a_large_payload_comes_back_and_one_too_large_is_refused(
    queues: psycopg.Connection,
) -> None:
    send = "SELECT pgmq.send('plain', to_jsonb(repeat('x', %s)))"
    queues.execute(send, (100 * 2**20,))
    row = queues.execute("SELECT length(message #>> '{}') FROM pgmq.read('plain', 0, 1)").fetchone()
    assert row == (100 * 2**20,)
    assert queues.execute("SELECT pgmq.archive('plain', 1)").fetchone() == (True,)
    with pytest.raises(psycopg.errors.ProgramLimitExceeded, match="too long"):
        queues.execute(send, (300 * 2**20,))
    queues.execute("SELECT pgmq.bind_channel('x', 'news', 'a.b')")
    queues.execute("SELECT pgmq.publish('x', 'a.b', to_jsonb(repeat('x', %s)))", (2**20,))
