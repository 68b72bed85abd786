"""A client: a process that does one thing after the other, says what it did, and may be killed.

What it is about to commit it says before the COMMIT, and that it has committed afterwards; what the
driver has heard only the first of is uncertain.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from model.history import Call, Seen, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from multiprocessing.connection import Connection

LEVELS = [*["READ COMMITTED"] * 6, "REPEATABLE READ", "SERIALIZABLE"]
COLUMNS = (
    "msg_id, (message ->> 'n')::bigint, read_ct,"
    " extract(epoch FROM coalesce(last_read_at, enqueued_at))::float8,"
    " extract(epoch FROM vt)::float8, coalesce((message ->> 'v')::integer, 0)"
)
LOST = ("57P01", "57P02", "57P03", None)  # of a session, or of the whole server
LOST_BY_POOLER = "08P01"  # what it says of that

# How sessions come in: as the owner, as roles that have USAGE and what pgmq.grant_... has given
# them, and as one of these through a pooler, where clients share a session of the server.
OWNER, CONSUMER, PRODUCER, POOL = "owner", "consumer", "producer", "pool"


@dataclass
class Deed(Transaction):
    """A transaction on one queue; where copies is set, it sent so many of each of its numbers."""

    queue: str = ""
    name: tuple[int, int] = (0, 0)
    copies: int = 1
    numbers: tuple[int, ...] = ()  # sent, but nobody was told the msg_ids


@dataclass(frozen=True)
class Verdict:
    """How a deed ended."""

    name: tuple[int, int]
    ended: float
    committed: bool


@dataclass(frozen=True)
class Wrong:
    """What should not have happened to a client, or a warning that it was given."""

    text: str
    warning: bool = False


@dataclass(frozen=True)
class Paused:
    """What a client says when it stops: its session of the server, its memory, what it did."""

    pid: int
    since: float  # when the session began
    context_bytes: int
    dropped: int  # queues that this client has had created and dropped there
    done: dict[str, int]


SESSION = """
    SELECT pg_backend_pid(), extract(epoch FROM backend_start)::float8
    FROM pg_stat_activity WHERE pid = pg_backend_pid()
"""
CONTEXTS = "SELECT sum(total_bytes) FROM pg_backend_memory_contexts"
# What the next client would find there that a pooler gives the session to.
LEFT = """
    SELECT 'setting ' || name FROM pg_settings
    WHERE source = 'session' AND name NOT IN (  -- what PgBouncer itself sets
        'application_name', 'client_encoding', 'DateStyle', 'TimeZone',
        'standard_conforming_strings', 'IntervalStyle', 'transaction_isolation'
    )
    UNION ALL SELECT 'channel ' || name FROM pg_listening_channels() AS name
    UNION ALL SELECT 'prepared statement ' || name FROM pg_prepared_statements
    UNION ALL SELECT 'temporary ' || relname FROM pg_class WHERE relnamespace = pg_my_temp_schema()
    UNION ALL SELECT 'advisory lock ' || objid FROM pg_locks
    WHERE pid = pg_backend_pid() AND locktype = 'advisory'
"""


class Client:
    """A session, and what it remembers: its leases, by queue."""

    def __init__(
        self,
        number: int,
        seed: str,
        addresses: Path,
        say: Callable[[Any], None],
        door: str = OWNER,
        stays: bool = False,
    ) -> None:
        self.door = door
        self.stays = stays  # the session: it is to become old
        self.number = number
        self.seed = seed
        self.rng = random.Random(f"{seed} {number}")
        self.addresses = addresses
        self.say = say
        self.round = 0
        self.is_old = True  # what is installed, or has just been
        self.leases: dict[str, list[Seen]] = {}
        self.forgotten: list[tuple[str, list[Seen]]] = []
        self.done: dict[str, int] = {}
        self.keys: dict[tuple[str, int], list[Any]] = {}  # of streams: a name, the next number
        self.fetched: dict[str, list[int]] = {}  # of streams: msg_ids
        self._numbers = 0
        self._deeds = 0
        self.lost = (*LOST, LOST_BY_POOLER) if door == POOL else LOST
        self.dsn = ""
        self.dropped = 0
        self.session: psycopg.Connection[Any] = self.open()

    @property
    def owns(self) -> bool:
        return self.door == OWNER

    def address(self, door: str) -> str:
        """Return where that door is now."""
        where: str = json.loads(self.addresses.read_text())[door]
        return where

    def open(self) -> psycopg.Connection[Any]:
        """Connect to the server that is the right one now, as soon as there is one."""
        while True:
            self.dsn = self.address(self.door)
            try:
                session = psycopg.connect(
                    self.dsn,
                    autocommit=True,
                    application_name=f"soak {self.number}",
                    # PgBouncer asks for that.
                    **{"prepare_threshold": None} if self.door == POOL else {},
                )
            except psycopg.OperationalError:
                time.sleep(0.1)
                continue
            session.add_notice_handler(self._heard)
            return session

    def reconnect(self) -> None:
        self.session.close()
        self.session = self.open()
        self.dropped = 0

    def _heard(self, notice: psycopg.errors.Diagnostic) -> None:
        if notice.severity == "WARNING":
            self.say(Wrong(str(notice.message_primary), warning=True))

    def any_of(self, names: Iterable[str]) -> str:
        """Choose a queue; half of the time all clients choose the same, as long as a round is."""
        known = [*names]
        if self.rng.random() < 0.5:
            return random.Random(f"{self.seed} {self.round}").choice(known)
        return self.rng.choice(known)

    def number_of_message(self) -> int:
        self._numbers += 1
        return self.number * 1_000_000 + self._numbers

    @contextlib.contextmanager
    def deed(self, queue: str, level: str = "READ COMMITTED", **kept: Any) -> Iterator[Deed]:
        """Do something with a queue in a transaction, which sometimes is rolled back."""
        self._deeds += 1
        deed = Deed(self.number, level, time.time(), queue=queue, name=(self.number, self._deeds))
        self.session.execute(f"BEGIN ISOLATION LEVEL {level}".encode())
        self.session.execute("SELECT 1")
        deed.began = time.time()
        yield deed
        if not deed.calls and not deed.numbers:
            self.session.execute("ROLLBACK")
            return
        if self.rng.random() < kept.get("rolled_back", 0.05):
            if self.rng.random() < 0.3:
                time.sleep(self.rng.random() * 0.3)
            self.session.execute("ROLLBACK")
            deed.outcome = "rolled back"
            return
        deed.ending = time.time()
        deed.ended = float("inf")
        deed.outcome = "unknown"
        self.say(deed)
        try:
            self._commit(kept.get("prepared", False))
        except psycopg.Error as error:
            if error.sqlstate not in self.lost:
                self.say(Verdict(deed.name, time.time(), committed=False))
            raise
        self.say(Verdict(deed.name, time.time(), committed=True))
        deed.outcome = "committed"

    def _commit(self, prepared: bool) -> None:
        if not prepared:
            self.session.execute("COMMIT")
            return
        name = f"soak {self.number} {self._deeds}"
        self.session.execute(f"PREPARE TRANSACTION '{name}'".encode())
        time.sleep(self.rng.random() * 0.2)
        self.session.execute(f"COMMIT PREPARED '{name}'".encode())

    def call(self, deed: Deed, call: Call, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Make a call of a deed and return its rows."""
        call.text = f"{query.rpartition('pgmq.')[2]} {arguments}"
        call.made = time.time()
        rows = self.session.execute(query.encode(), arguments).fetchall()
        call.returned = time.time()
        deed.calls.append(call)
        return rows

    def see(self, deed: Deed, kind: str, function: str, *arguments: Any) -> list[Seen]:
        """Read messages by a function, and return the leases."""
        call = Call(kind, 0)
        places = ", ".join(["%s"] * len(arguments))
        rows = self.call(deed, call, f"SELECT {COLUMNS} FROM pgmq.{function}({places})", *arguments)
        call.messages = [Seen(*row) for row in rows]
        return call.messages

    def act(self, actors: dict[Callable[[Client], None], int]) -> None:
        """Do something, and see to it that there is a session afterwards."""
        (actor,) = self.rng.choices([*actors], [*actors.values()])
        name = actor.__name__
        try:
            actor(self)
            self.done[name] = self.done.get(name, 0) + 1
        except psycopg.Error as error:
            self.done[f"{name}, cut short"] = self.done.get(f"{name}, cut short", 0) + 1
            if not self._expected(error):
                self.say(Wrong(f"{name}: {error.sqlstate} {error}"))
        except Exception:  # noqa: BLE001
            self.say(Wrong(f"{name}: {traceback.format_exc()}"))
        if self.session.closed or self.session.broken:
            self.reconnect()
        elif self.session.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            with contextlib.suppress(psycopg.OperationalError):
                self.session.execute("ROLLBACK")

    def _expected(self, error: psycopg.Error) -> bool:
        if error.sqlstate in (*self.lost, "40001"):
            return True
        # What a read that waits for the upgrade may be told: see upgrading.md.
        gone = error.sqlstate == "42883" or "cache lookup failed for function" in str(error)
        return self.is_old and gone

    def report(self) -> Paused:
        left: list[Any] = []
        while True:
            try:
                with self.session.transaction():  # or a pooler takes two sessions
                    pid, since = self.session.execute(SESSION).fetchone() or (0, 0.0)
                    # To look at them takes more than USAGE.
                    row = self.session.execute(CONTEXTS).fetchone() if self.owns else None
                    if self.door == POOL:
                        left = self.session.execute(LEFT).fetchall()
                break
            except psycopg.OperationalError:
                self.reconnect()
        if left:
            self.say(Wrong(f"a session from a pooler keeps {left}"))
        done, self.done = self.done, {}
        self.leases.clear()
        self.forgotten.clear()
        self.keys.clear()
        self.fetched.clear()
        return Paused(pid, since, int(row[0] if row else 0), self.dropped, done)


def main(number: int, seed: str, address: str, pipe: Connection, door: str, stays: bool) -> None:
    """Run until told to stop: the driver says go, with what to do, and pause."""
    from soak.actors import ACTORS

    client = Client(number, seed, Path(address), pipe.send, door, stays)
    actors = ACTORS["old"]
    going = False
    try:
        while True:
            if not going or pipe.poll():
                command = pipe.recv()
                going = command[0] == "go"
                if going:
                    client.round, client.is_old = command[1:]
                    actors = ACTORS["old" if client.is_old else door]
                    if client.dsn != client.address(door):
                        client.reconnect()
                elif command[0] == "pause":
                    pipe.send(client.report())
                else:
                    return
            else:
                client.act(actors)
                time.sleep(client.rng.random() * 0.01)
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        os._exit(0)  # the driver is gone
