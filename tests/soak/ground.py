"""The servers of a soak, and what befalls them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import make_conninfo

from pgmq import embedded
from soak.actors import EXTRAS, FAILED, GRANTS, OLD, QUEUES, STREAMS, TICKS, made
from soak.client import CONSUMER, OWNER, POOL, PRODUCER
from support import pooler
from support import server as servers
from support.load import NO_SWEEP
from support.queries import ids, one
from support.standby import follow, promote
from support.waiting import until
from upgrade import older

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from soak.ledger import Key, Places

SETTINGS = {
    "autovacuum": "on",
    "autovacuum_naptime": "5s",
    "max_connections": "60",
    "checkpoint_timeout": "1min",
    # Without it, a standby that has taken over cannot recover from a crash soon after.
    "full_page_writes": "on",
}


class Ground:
    """The server that clients use now, and its database; where it is, a file says."""

    def __init__(self, rng: random.Random, folder: Path) -> None:
        self.rng = rng
        self.addresses = folder / "addresses"
        self.stack = contextlib.ExitStack()
        self._pooler = self.stack.enter_context(contextlib.ExitStack())
        self._roles = ("", "")  # none as long as an older version is there
        self.database = "soak"
        self.server = self._new_server()
        self.update = ""
        with psycopg.connect(self.server.dsn(), autocommit=True) as admin:
            admin.execute("CREATE DATABASE soak")
            admin.execute("CREATE ROLE soak_consumer LOGIN; CREATE ROLE soak_producer LOGIN")
        self.move()

    def _new_server(self) -> embedded.Server:
        return self.stack.enter_context(servers.private(SETTINGS))

    def move(self) -> None:
        """Tell the clients where to connect."""
        self._pooler.close()
        owner = self.server.dsn(self.database)
        consumer, producer = (
            make_conninfo(owner, user=role) if role else owner for role in self._roles
        )
        # A call that waits so long waits for ever.
        patience: dict[str, Any] = {"options": "-c statement_timeout=60s", "connect_timeout": 5}
        doors = {OWNER: owner, CONSUMER: consumer, PRODUCER: producer}
        doors = {door: make_conninfo(dsn, **patience) for door, dsn in doors.items()}
        if pooler.PROGRAM:
            # One session, so that all who come this way share it.
            doors[POOL] = self._pooler.enter_context(
                pooler.pooling(
                    consumer, size=1, server_login_retry=1, query_wait_timeout=60,
                    server_lifetime=86400, server_idle_timeout=86400,
                )
            )  # fmt: skip
        other = self.addresses.with_suffix(".new")
        other.write_text(json.dumps(doors))
        other.rename(self.addresses)

    @property
    def log(self) -> Path:
        return self.server.data_dir / "server.log"

    def doors(self) -> list[str]:
        return [*json.loads(self.addresses.read_text())]

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.server.dsn(self.database), autocommit=True)

    def test_server(self) -> contextlib.closing[servers.TestServer]:
        return contextlib.closing(servers.TestServer(self.server.dsn(), self.server))

    def install_older(self) -> str:
        """Install an older version and its queues; return which. No sweep corrects the marks."""
        with self.connect() as db, self.test_server() as server:
            db.execute(NO_SWEEP)
            version = self.rng.choice([*older.VERSIONS, *older.OF_2])
            self.update = older.install(server, db, servers.upstream_sql(), version)
            for name, queue in OLD.items():
                db.execute(made(name, queue.make).encode())
            return version

    def make_queues(self) -> None:
        with self.connect() as db:
            for name, queue in QUEUES.items():
                db.execute(made(name, queue.make).encode())
            for name, make in STREAMS.items():
                db.execute(made(name, make).encode())
            for extra in (*EXTRAS, *GRANTS):
                db.execute(extra.encode())
        self._roles = ("soak_consumer", "soak_producer")
        self.move()

    # What befalls the server while clients are at work.

    def upgrade(self) -> None:
        """Bring it to today's version, or install that once more."""
        until(self._updates)

    def _updates(self) -> bool:
        self.end_prepared(older_than=5)  # whose client was killed, for others take no time
        # Else it gives up, for the sake of a transaction that does not end.
        with contextlib.suppress(psycopg.errors.LockNotAvailable), self.connect() as db:
            if one(db, "SELECT to_regclass('pgmq.installation') IS NOT NULL"):
                # So that it cannot know that everything is there already.
                db.execute("DELETE FROM pgmq.installation")
            db.execute(self.update.encode())
            db.execute("SELECT pgmq.recompile_all()")
            return True
        return False

    def crash(self) -> None:
        self.server.restart(mode="immediate")

    def restart(self) -> None:
        self.server.restart()

    def kill_server(self) -> None:
        """Kill the postmaster; its children notice, and only then can another one begin."""
        pid = int((self.server.data_dir / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        until(lambda: not self.server.running)
        until(self._starts)

    def _starts(self) -> bool:
        with contextlib.suppress(embedded.EmbeddedError):
            self.server.start()
        return self.server.running

    def kill_backend(self) -> None:
        """Kill one process of the server, which ends all sessions and recovers."""
        with self.connect() as db:
            pids = ids(db, "SELECT pid FROM pg_stat_activity WHERE application_name ~ '^soak'")
        if pids:
            os.kill(self.rng.choice(pids), signal.SIGKILL)
            time.sleep(0.5)

    def take_over(self) -> None:
        """Make a standby, and let it take over."""
        primary, standby = self.server, self._new_server()
        follow(primary, standby)
        time.sleep(1 + self.rng.random())
        promote(primary, standby)
        self.server = standby
        self.move()
        primary.stop(remove=True, mode="immediate")

    # What is done while they pause.

    def restore(self) -> None:
        """Go on with a restored dump."""
        old, self.database = self.database, f"restored_{time.monotonic_ns()}"
        with self.test_server() as server, server.admin() as admin:
            dump = server.dump(old)
            admin.execute(f"CREATE DATABASE {self.database} TEMPLATE template0".encode())
            done = server.run_psql(self.database, "-v", "ON_ERROR_STOP=1", stdin=dump)
            if done.returncode != 0:
                raise RuntimeError(done.stdout)
            admin.execute(f"DROP DATABASE {old} WITH (FORCE)".encode())
        with self.connect() as db:
            db.execute("SELECT pgmq.maintain()")
        self.move()

    def end_prepared(self, older_than: float = 0) -> None:
        query = (
            "SELECT gid FROM pg_prepared_xacts"
            " WHERE gid ~ '^soak' AND prepared <= clock_timestamp() - make_interval(secs => %s)"
        )
        with self.connect() as db:
            for name in ids(db, query, older_than):
                verdict = self.rng.choice(["COMMIT", "ROLLBACK"])
                db.execute(f"{verdict} PREPARED '{name}'".encode())

    def places(self) -> Places:
        """Where which messages are."""
        with self.connect() as db:
            names = ids(db, "SELECT queue_name FROM pgmq.meta")
            return {
                table: dict(
                    db.execute(
                        f"SELECT msg_id, (message ->> 'n')::bigint FROM pgmq.{table}".encode()
                    ).fetchall()
                )
                for name in names
                if name in {*OLD, *QUEUES, FAILED}
                for table in (f"q_{name}", f"a_{name}")
            }

    def dead_keys(self) -> list[Key]:
        """The dead letters of the group that has some, which are looked at once."""
        with self.connect() as db:
            if not one(db, "SELECT to_regclass(%s) IS NOT NULL", f"pgmq.q_{FAILED}"):
                return []
            query = f"SELECT message ->> 'k', (message ->> 'i')::integer FROM pgmq.q_{FAILED}"
            found: list[Key] = db.execute(query.encode()).fetchall()
            db.execute("SELECT pgmq.purge_queue(%s)", [FAILED])
            return found

    def wrong_ticks(self) -> list[str]:
        """A schedule has sent one message for each second."""
        query = f"""
            SELECT count(*), count(DISTINCT at), extract(epoch FROM max(at) - min(at))::bigint + 1
            FROM (
                SELECT (headers -> 'x-pgmq-schedule' ->> 'at')::timestamptz AS at
                FROM pgmq.q_{TICKS}
                UNION ALL SELECT (headers -> 'x-pgmq-schedule' ->> 'at')::timestamptz
                FROM pgmq.a_{TICKS}
            ) AS t
        """
        with self.connect() as db:
            if not one(db, "SELECT to_regclass(%s) IS NOT NULL", f"pgmq.q_{TICKS}"):
                return []
            db.execute("SELECT pgmq.maintain(%s)", [TICKS])
            count, different, seconds = db.execute(query.encode()).fetchone() or (0, 0, 0)
            if count == different == (seconds or 0):
                return []
            return [f"a schedule sent {count} messages, {different} times, in {seconds} seconds"]

    def empty_archives(self) -> list[str]:
        """Let go of what was looked at: by retention where there is a policy, else by hand."""
        wrong = []
        with self.connect() as db:
            for name in ids(db, "SELECT queue_name FROM pgmq.meta"):
                if name in {*OLD, *QUEUES} and name != "brief":
                    db.execute(f"DELETE FROM pgmq.a_{name}".encode())
            if one(db, "SELECT to_regclass('pgmq.a_brief') IS NOT NULL"):
                db.execute("SELECT pgmq.alter_policy('brief', archive_retention => '1 ms')")
                time.sleep(0.01)
                db.execute("SELECT pgmq.maintain('brief')")
                db.execute("SELECT pgmq.alter_policy('brief', archive_retention => '1 h')")
                left = one(db, "SELECT count(*) FROM pgmq.a_brief")
                if left:
                    wrong.append(f"retention has left {left} messages in the archive of brief")
            db.execute("VACUUM")
        return wrong
