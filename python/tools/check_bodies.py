"""Check the bodies of all functions of pgmq with plpgsql_check, those compiled for queues too.

Needs a Postgres installation that has the extension plpgsql_check: that of PG_CONFIG, of the
pg_config on the PATH, or one of Debian's. A copy of it is started, and removed again.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psycopg
import scratch
from psycopg.rows import class_row

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from support.queues import KINDS  # noqa: E402

# A trigger function is checked with every table that it is a trigger of.
CHECK = """
SELECT
    p.oid::regprocedure::text AS function, f.lineno AS line, f.level, f.message, f.detail, f.hint
FROM pg_catalog.pg_proc AS p
INNER JOIN pg_catalog.pg_language AS l ON p.prolang = l.oid
LEFT JOIN pg_catalog.pg_trigger AS t ON t.tgfoid = p.oid
CROSS JOIN LATERAL plpgsql_check_function_tb(
    p.oid, COALESCE(t.tgrelid, 0), newtable := t.tgnewtable,
    fatal_errors := false, all_warnings := true
) AS f
WHERE p.pronamespace = 'pgmq'::regnamespace AND l.lanname = 'plpgsql'
    AND (p.prorettype <> 'trigger'::regtype OR t.oid IS NOT NULL)
    AND p.prorettype <> 'anyelement'::regtype
    AND 'record'::regtype <> ALL (p.proargtypes::oid[])
ORDER BY 1, 2
"""

# What takes or returns anything is checked with the types that it is called with.
AS_CALLED = """
CREATE TYPE public.chosen AS (looked_at integer, locked bigint[], is_sweep_due boolean);
DO $$
DECLARE
    v_function oid;
BEGIN
    FOR v_function IN
        SELECT p.oid FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = 'pgmq'::regnamespace AND (
            p.prorettype = 'anyelement'::regtype
            OR 'record'::regtype = ANY (p.proargtypes::oid[])
        )
    LOOP
        EXECUTE replace(
            replace(
                pg_catalog.pg_get_functiondef(v_function), 'anyelement',
                CASE
                    WHEN v_function::regproc::text ~ '_fetch_' THEN 'pgmq.stream_record'
                    ELSE 'pgmq.message_record'
                END
            ),
            'chosen record', 'chosen public.chosen'
        );
    END LOOP;
END
$$
"""

# What plpgsql_check says and we know better: (part of the function's name, text, reason).
ACCEPTED = (
    (
        "",
        "performance: target type is different type",
        "an assignment cast costs nothing to speak of",
    ),
    ("", "should be IMMUTABLE", "a function that only raises must not be folded when planning"),
    ("pgmq._compile(", "text type variable is not sanitized", "it is a rendered template"),
    ("pgmq._compile_new(", "text type variable is not sanitized", "it is a rendered template"),
    ("pgmq.peek(", "text type variable is not sanitized", "columns as _message_columns() has them"),
    ("pgmq.get(", "text type variable is not sanitized", "columns as _message_columns() has them"),
    ("pgmq._build_index(", "text type variable is not sanitized", "as _relations() has it"),
    ("pgmq._add_sequence(", "text type variable is not sanitized", "made by format()"),
    ("pgmq._revoke(", "text type variable is not sanitized", "as _granted() has it"),
    ("pgmq.grant_create(", "text type variable is not sanitized", "as _for_creators() has it"),
    ("pgmq._append(", "should be STABLE", "it deletes and inserts, in dynamic SQL"),
    ("pgmq._move(", "should be STABLE", "it deletes and inserts, in dynamic SQL"),
    ("pgmq._poll(", "text type variable is not sanitized", "a statement of our own"),
    ("_soonest_", 'unused parameter "as_of"', "only where the policy makes messages leave"),
    ("", 'unused parameter "rounds"', "only where the policy makes messages leave"),
    ("_plangroups_", "should be STABLE", "it must see what is committed since its caller began"),
    ("_claim", "should be STABLE", "it locks"),
    ("_receive_", "should be STABLE", "where there is no quick way to read"),
    ("_receive_", "unused parameter", "where there is no quick way to read"),
    ("_consume_", "unused parameter", "where there is no quick way to pop"),
    ("_sendonce", 'unused parameter "needs_window"', "where a key needs no window to be taken"),
    ("pgmq._visible(", "should be STABLE", "the marks it reads move while a statement runs"),
    ("pgmq._visible(", "text type variable is not sanitized", "made by format()"),
    ("pgmq._lane_state(", "should be STABLE", "its callers wait for a lock first"),
    ("pgmq._lock_lane(", "should be STABLE", "it locks"),
    ("pgmq._send_tick(", "should be STABLE", "it sends, in dynamic SQL"),
    ("pgmq.amend(", "text type variable is not sanitized", "made by format()"),
    ("pgmq._redrive(", "text type variable is not sanitized", "made by format()"),
    ("pgmq._redrive(", "cannot determinate a result of dynamic SQL", "names of its own variables"),
    ("", 'unused parameter "alike"', "for its type"),
    ("_frontgroups_", "should be STABLE", "the marks it reads move while a statement runs"),
    ("_findgroups_", "should be STABLE", "the marks it reads move while a statement runs"),
    ("pgmq._fifo_scan_lock(", "should be STABLE", "it locks"),
    ("pgmq._fairlock_", "should be STABLE", "it locks"),
    ("pgmq._fifo_", "text type variable is not sanitized", "made by format()"),
    ("pgmq._lengths(", "text type variable is not sanitized", "made by format()"),
    ("pgmq._sample(", "text type variable is not sanitized", "conditions of our own"),
    ("pgmq.doctor(", "should be STABLE", "locks and marks are looked at as they are now"),
    ("pgmq.enable_push(", "text type variable is not sanitized", "words of its own, and format()"),
    ("pgmq._release_members(", "text type variable is not sanitized", "made by format()"),
    ("pgmq._write_pinned(", "text type variable is not sanitized", "made by format()"),
    ("pgmq._fan_out(", "the expression is not SQL injection safe", "made by format()"),
    ("pgmq.send_batch_topic(", "is maybe unmodified", "RETURN QUERY sets it"),
    ("pgmq.send_once(", "is maybe unmodified", "RETURN QUERY sets it"),
    ("pgmq.drop_queue(text,boolean)", 'unused parameter "partitioned"', "upstream's signature"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One complaint of plpgsql_check."""

    function: str
    line: int | None
    level: str
    message: str
    detail: str | None
    hint: str | None

    @property
    def accepted(self) -> bool:
        """Whether the list above has it."""
        said = f"{self.level}: {self.message}"
        return any(name in self.function and text in said for name, text, _ in ACCEPTED)

    def __str__(self) -> str:
        more = "".join(f"\n    {text}" for text in (self.detail, self.hint) if text)
        return f"{self.function}: line {self.line}: {self.level}: {self.message}{more}"


def pg_config() -> str | None:
    """Find the pg_config of an installation with plpgsql_check."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_config"), reverse=True)
    for candidate in [os.environ.get("PG_CONFIG"), shutil.which("pg_config"), *map(str, debian)]:
        if not candidate or not shutil.which(candidate):
            continue
        done = subprocess.run(
            [candidate, "--sharedir"], check=False, capture_output=True, text=True
        )
        control = Path(done.stdout.strip()) / "extension" / "plpgsql_check.control"
        if done.returncode == 0 and control.exists():
            return candidate
    return None


# A call with three arguments or more, or with named ones, must not be by a bare name: hostile.sql
# has traps for one and two. (Several arguments of unnest are pg_catalog's anyhow.)
CALL = re.compile(r"(?<![.\w\"$])([a-z_]\w*)\(")


def bare_calls(body: str) -> list[str]:
    """List the functions of more than two arguments that a body calls by a bare name."""
    body = re.sub(r"'[^']*'", "''", re.sub(r"--[^\n]*", "", body))
    found = []
    for call in CALL.finditer(body):
        depth, commas, place = 1, 0, call.end()
        while depth and place < len(body):
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(body[place], 0)
            commas += depth == 1 and body[place] == ","
            place += 1
        named = "=>" in body[call.end() : place]
        if call[1] != "unnest" and (commas > 1 or named):
            found.append(call[1])
    return found


def dependencies(connection: psycopg.Connection, oid: int) -> list[str]:
    """List what of the schema hostile a function with a parsed body depends on."""
    rows = connection.execute(
        """
        SELECT pg_catalog.pg_describe_object(d.refclassid, d.refobjid, 0)
        FROM pg_catalog.pg_depend AS d
        WHERE d.objid OPERATOR(pg_catalog.=) %s::oid
            AND d.refobjid OPERATOR(pg_catalog.>=) '1000000000'::oid
        """,
        [oid],
    )
    return [what for (what,) in rows]


def check_names(connection: psycopg.Connection) -> list[Finding]:
    """Find what a schema in the caller's search_path could put in pg_catalog's place.

    Of every function without a search_path of its own every statement is analysed, run or not,
    while the search_path has a schema with a trap for whatever is not exactly pg_catalog's.
    """
    catalog = {
        name
        for (name,) in connection.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace"
        )
    }
    functions = connection.execute(
        """
        SELECT p.oid, p.oid::regprocedure::text, l.lanname, p.prosrc, pg_get_functiondef(p.oid),
            coalesce(t.tgrelid, 0), t.tgnewtable
        FROM pg_proc AS p
        INNER JOIN pg_language AS l ON p.prolang = l.oid
        LEFT JOIN pg_trigger AS t ON t.tgfoid = p.oid
        WHERE p.pronamespace = 'pgmq'::regnamespace AND p.prokind = 'f'
            AND l.lanname IN ('sql', 'plpgsql')
            AND NOT coalesce(p.proconfig::text LIKE '%search_path=%', false)
            AND (p.prorettype <> 'trigger'::regtype OR t.oid IS NOT NULL)
            AND p.prorettype <> 'anyelement'::regtype
            AND 'record'::regtype <> ALL (p.proargtypes::oid[])
        """
    ).fetchall()
    connection.execute("SET allow_system_table_mods = on")
    connection.execute((Path(__file__).parent / "hostile.sql").read_bytes())
    connection.execute("SET search_path = hostile, public")
    findings = []
    for oid, name, language, body, definition, relation, new_table in functions:
        found = [
            f"{call} is called by a bare name with more than two arguments"
            for call in bare_calls(body)
            if call in catalog
        ]
        if language == "sql":
            # With a body that is parsed now, what it calls is in pg_depend.
            head, _, text = definition.partition("AS $function$")
            text = text.rpartition("$function$")[0].strip().rstrip(";")
            try:
                with connection.transaction(force_rollback=True):
                    connection.execute(f"{head} BEGIN ATOMIC {text}; END".encode())
                    found += dependencies(connection, oid)
            except psycopg.Error as error:
                found.append(str(error))
        else:
            arguments = (oid, relation)
            found += [
                f"{kind} {schema}.{called}{types}"
                for kind, schema, called, types in connection.execute(
                    "SELECT type, schema, name, params FROM public.plpgsql_show_dependency_tb("
                    "%s::oid::regprocedure, %s::oid::regclass)",
                    arguments,
                )
                if schema == "hostile"
            ]
            found += [
                f"line {line}: {message}"
                for line, level, message in connection.execute(
                    "SELECT lineno, level, message FROM public.plpgsql_check_function_tb("
                    "%s::oid::regprocedure, %s::oid::regclass, newtable := %s::name,"
                    " fatal_errors := false)",
                    (*arguments, new_table),
                )
                if level == "error"
            ]
        findings += [
            Finding(name, None, "error", f"not pg_catalog's: {what}", None, None) for what in found
        ]
    return findings


def check(connection: psycopg.Connection) -> tuple[int, list[Finding]]:
    """Count the functions, and list what is wrong with them."""
    connection.execute("CREATE EXTENSION plpgsql_check")
    for statement in KINDS.values():
        connection.execute(statement.encode())
    # A function is for every queue, used or not: its relations must be there.
    connection.execute(
        """
        SELECT pgmq.create_fifo_indexes_all();
        SELECT pgmq.enable_notify_insert(queue_name), pgmq.enable_wakeups(queue_name)
        FROM pgmq.meta;
        SELECT pgmq.enable_push(queue_name), pgmq.pin(queue_name)
        FROM pgmq.meta WHERE NOT pgmq._is_stream(pgmq._queue_table(queue_name))
        """
    )
    count = connection.execute(
        "SELECT count(*) FROM pg_proc WHERE pronamespace = 'pgmq'::regnamespace"
    ).fetchone()
    connection.execute(AS_CALLED)
    with connection.cursor(row_factory=class_row(Finding)) as cursor:
        findings = cursor.execute(CHECK).fetchall()
    findings = [finding for finding in findings if not finding.accepted]
    return count[0] if count else 0, findings


def main() -> int:
    """Check, or say why not; the exit code is 1 if something is wrong."""
    found = pg_config()
    if found is None:
        print("plpgsql_check: skipped, no Postgres here has it (postgresql-NN-plpgsql-check)")
        return 0
    with scratch.session(found) as connection:
        count, findings = check(connection)
        with psycopg.connect(connection.info.dsn, autocommit=True) as another:
            findings += check_names(another)
    for finding in findings:
        print(finding)
    if not findings:
        print(f"plpgsql_check: {count} functions, nothing to say")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
