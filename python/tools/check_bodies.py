"""Check the bodies of all functions of pgmq with plpgsql_check, those compiled for queues too.

Needs a Postgres installation that has the extension plpgsql_check: that of PG_CONFIG, of the
pg_config on the PATH, or one of Debian's. A copy of it is started, and removed again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.rows import class_row

from pgmq import embedded

ROOT = Path(__file__).resolve().parents[2]

# What is compiled into a queue differs in the names (one plain, one that needs every quote), by its
# policy, and by its partitions.
SAMPLES = """
SELECT pgmq.create('sample');
SELECT pgmq.create('Sample "Quoted" %I');
SELECT pgmq.create('with a policy');
SELECT pgmq.create('with other policies');
SELECT pgmq.create_partitioned('by "msg_id"');
SELECT pgmq.create_partitioned('by time', '1 day', '7 days');
SELECT pgmq.set_policy(
    'with a policy', max_receives => 5, dead_letter_queue => 'Dead "Letters"', retry_delay => '1 s',
    message_ttl => '1 day', archive_retention => '1 day', dedup_window => '1 day',
    max_in_flight => 10, ack_archives => true
);
SELECT pgmq.set_policy('with other policies', message_ttl => '1 day');
SELECT pgmq.create_fifo_indexes_all();
SELECT
    pgmq.enable_notify_insert(queue_name), pgmq.enable_wakeups(queue_name),
    pgmq.enable_push(queue_name)
FROM pgmq.meta;
"""

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
ORDER BY 1, 2
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
    ("pgmq._move(", "should be STABLE", "it deletes and inserts, in dynamic SQL"),
    ("pgmq._poll(", "text type variable is not sanitized", "a statement of our own"),
    ("", 'unused parameter "rounds"', "only where the policy makes messages leave"),
    ("_forget_", 'unused parameter "quantity"', "only where the policy forgets anything"),
    ("_remember_", 'unused parameter "msg_ids"', "only where the policy has a window"),
    ("_sendonce", 'unused parameter "needs_window"', "only where the policy has none"),
    ("_groupplan_", "should be STABLE", "it must see what is committed since its caller began"),
    ("_groupsearch_", "should be STABLE", "the marks it reads move while a statement runs"),
    ("pgmq._planned_rows(", "text type variable is not sanitized", "it is a query of our own"),
    ("pgmq._planned_rows(", "should be STABLE", "EXPLAIN is not allowed in a stable function"),
    ("pgmq.doctor(", "should be STABLE", "locks and marks are looked at as they are now"),
    ("pgmq.enable_push(", "text type variable is not sanitized", "words of its own, and format()"),
    ("pgmq._release_members(", "text type variable is not sanitized", "made by format()"),
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


def check(connection: psycopg.Connection) -> tuple[int, list[Finding]]:
    """Count the functions, and list what is wrong with them."""
    connection.execute("CREATE EXTENSION plpgsql_check")
    connection.execute(SAMPLES)
    count = connection.execute(
        "SELECT count(*) FROM pg_proc WHERE pronamespace = 'pgmq'::regnamespace"
    ).fetchone()
    with connection.cursor(row_factory=class_row(Finding)) as cursor:
        findings = cursor.execute(CHECK).fetchall()
    return count[0] if count else 0, [finding for finding in findings if not finding.accepted]


def main() -> int:
    """Check, or say why not; the exit code is 1 if something is wrong."""
    found = pg_config()
    if found is None:
        print("plpgsql_check: skipped, no Postgres here has it (postgresql-NN-plpgsql-check)")
        return 0
    with tempfile.TemporaryDirectory(prefix="pgmq-") as folder:
        Path(folder).chmod(0o755)
        server = embedded.server(
            Path(folder) / "s", pg_config=found, extension=ROOT / "build", settings={"fsync": "off"}
        )
        try:
            with psycopg.connect(server.dsn(), autocommit=True) as connection:
                connection.execute("CREATE EXTENSION pgmq")
                count, findings = check(connection)
        finally:
            server.stop(remove=True, mode="immediate")
    for finding in findings:
        print(finding)
    if not findings:
        print(f"plpgsql_check: {count} functions, nothing to say")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
