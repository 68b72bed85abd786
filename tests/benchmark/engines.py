"""The three engines, each in a database of its own in one server: upstream, pgmq, by_hand."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import make_conninfo

from benchmark.cases import MESSAGE
from benchmark.driver import Work
from support.server import upstream_sql

if TYPE_CHECKING:
    from collections.abc import Iterator

# pg_statio_all_tables counts a table's indexes and TOAST too; sequences are looked at one by one,
# since a queue of pgmq has more than its column's.
_WORK = """
    SELECT
        pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0'),
        (SELECT coalesce(sum(
            coalesce(heap_blks_read + heap_blks_hit, 0) + coalesce(idx_blks_read + idx_blks_hit, 0)
            + coalesce(toast_blks_read + toast_blks_hit, 0)
            + coalesce(tidx_blks_read + tidx_blks_hit, 0)
        ), 0) FROM pg_statio_all_tables
        WHERE schemaname = 'pgmq' AND relname = ANY (%(tables)s))
        + (SELECT coalesce(sum(blks_read + blks_hit), 0) FROM pg_statio_all_sequences
        WHERE schemaname = 'pgmq')
"""
NAMES = ("upstream", "pgmq", "by_hand")
ROOT = Path(__file__).resolve().parents[2]

# The table of a pgmq queue, without pgmq.
_BY_HAND_CREATE = """
    CREATE TABLE pgmq.q_bench (
        msg_id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
        read_ct integer NOT NULL DEFAULT 0,
        enqueued_at timestamptz NOT NULL DEFAULT now(),
        last_read_at timestamptz,
        vt timestamptz NOT NULL,
        message jsonb,
        headers jsonb
    );
    CREATE INDEX q_bench_ready ON pgmq.q_bench (msg_id) WHERE vt <= enqueued_at;
    CREATE INDEX q_bench_parked ON pgmq.q_bench (vt) WHERE vt > enqueued_at;
    CREATE TABLE pgmq.a_bench (
        msg_id bigint PRIMARY KEY,
        read_ct integer NOT NULL DEFAULT 0,
        enqueued_at timestamptz NOT NULL DEFAULT now(),
        last_read_at timestamptz,
        archived_at timestamptz NOT NULL DEFAULT now(),
        vt timestamptz NOT NULL,
        message jsonb,
        headers jsonb
    );
    CREATE INDEX a_bench_archived_at ON pgmq.a_bench (archived_at);
"""


@dataclass(slots=True)
class Engine:
    """One engine's database, and a session in it that stays open throughout."""

    name: str
    conninfo: str
    conn: psycopg.Connection
    script: str  # that installs it

    def fresh(self) -> contextlib.AbstractContextManager[Engine]:
        """Install the engine in another database, which is dropped at the end."""
        database = f"{self.conn.info.dbname}_fresh"
        return _installed(self.conn, self.name, database, self.conninfo, self.script)

    def run(self, sql: str) -> None:
        """Run SQL that the benchmark composed itself."""
        self.conn.execute(sql.encode())

    def number(self, sql: str) -> int:
        """Return the one number that a query yields."""
        row = self.conn.execute(sql.encode()).fetchone()
        assert row is not None
        return int(row[0])

    def setting(self, name: str) -> str:
        """Return a setting of the server."""
        row = self.conn.execute("SELECT current_setting(%s)", [name]).fetchone()
        assert row is not None
        return str(row[0])

    def create(self, queue: str, *, autovacuum: bool) -> None:
        """Make a new, empty queue, in place of the one of that name."""
        if self.name == "by_hand":
            self.run(f"DROP TABLE IF EXISTS pgmq.q_{queue}, pgmq.a_{queue}")
            self.run(_BY_HAND_CREATE.replace("bench", queue))
        else:
            if self.number(f"SELECT count(*) FROM pgmq.meta WHERE queue_name = '{queue}'"):
                self.run(f"SELECT pgmq.drop_queue('{queue}')")
            self.run(f"SELECT pgmq.create('{queue}')")
        if not autovacuum:
            for table in (f"q_{queue}", f"a_{queue}"):
                self.run(f"ALTER TABLE pgmq.{table} SET (autovacuum_enabled = off)")

    def fill(
        self,
        queue: str,
        count: int,
        *,
        vt: str = "now()",
        enqueued_at: str = "now()",
        headers: str = "NULL",
        message: str = MESSAGE,
    ) -> None:
        """Insert messages, with the same statement whatever the engine; see also settle()."""
        self.run(
            f"INSERT INTO pgmq.q_{queue} (enqueued_at, vt, message, headers)"
            f" SELECT {enqueued_at}, {vt}, '{message}'::jsonb, {headers}"
            f" FROM generate_series(1, {count}) AS i"
        )

    def settle(self, queue: str) -> None:
        """Leave a queue without dead rows and with fresh statistics."""
        self.run(f"VACUUM (ANALYZE) pgmq.q_{queue}")

    def count(self, queue: str, condition: str = "true") -> int:
        """Count the rows of the queue's table for which a condition holds."""
        return self.number(f"SELECT count(*) FROM pgmq.q_{queue} WHERE {condition}")

    def work(self, queue: str) -> Work:
        """Return the WAL written so far, and the blocks of a queue's relations touched so far.

        Sessions report these when they end. Postgres 14 does that a little later: figures of its
        single runs are off by that.
        """
        self.report()
        row = self.conn.execute(_WORK, {"tables": [f"q_{queue}", f"a_{queue}"]}).fetchone()
        assert row is not None
        return Work(int(row[0]), int(row[1]))

    def report(self) -> None:
        """Have this session's own statistics counted now, not some time in a measurement."""
        if self.conn.info.server_version >= 150000:
            self.run("SELECT pg_stat_force_next_flush()")

    def checkpoint(self) -> None:
        """Write out what is dirty now, so that it is not written during a measurement."""
        with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
            self.run("CHECKPOINT")


@contextlib.contextmanager
def _installed(
    admin: psycopg.Connection, name: str, database: str, conninfo: str, script: str
) -> Iterator[Engine]:
    admin.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)".encode())
    admin.execute(f"CREATE DATABASE {database} TEMPLATE template0".encode())
    try:
        conninfo = make_conninfo(conninfo, dbname=database)
        with psycopg.connect(conninfo, autocommit=True) as conn:
            engine = Engine(name, conninfo, conn, script)
            engine.run(script)
            yield engine
    finally:
        admin.execute(f"DROP DATABASE {database} WITH (FORCE)".encode())


@contextlib.contextmanager
def open_engines(
    names: tuple[str, ...], dsn: str, *, pgmq_sql: Path, cache: Path
) -> Iterator[list[Engine]]:
    """Make a database for each engine, install it there, and drop all of them at the end."""
    # A commit that waits measures the disk; the scenario `durable` does.
    options = "-c synchronous_commit=off -c client_min_messages=error"
    conninfo = make_conninfo(dsn, options=options, application_name="pgmq_benchmark")
    with contextlib.ExitStack() as stack:
        admin = stack.enter_context(psycopg.connect(dsn, autocommit=True))
        engines = []
        for name in names:
            script = "CREATE SCHEMA pgmq"
            if name == "upstream":
                script = upstream_sql(cache)
            elif name == "pgmq":
                script = pgmq_sql.read_text()
            database = f"pgmq_benchmark_{name}"
            engines.append(stack.enter_context(_installed(admin, name, database, conninfo, script)))
        yield engines
