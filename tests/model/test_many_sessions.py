"""Many sessions make random calls, and are killed; what they were told must have one meaning.

Each session writes down what it did and when; afterwards history.py says whether all of it can be
true. Low-water marks are on their own: their safety net, the sweep, is switched off. Sessions wait
for each other only in ways that cannot become a circle (first for messages that others may hold,
then for keys, and then for nobody), so that any deadlock is a defect.

PGMQ_MODEL_SECONDS=n is how long to go on, for all settings together.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from model.history import Call, History, Seen, Transaction
from model.programs import KNOWN, Callers, grant

if TYPE_CHECKING:
    from conftest import Connect, Roles

SECONDS = 2.0
SESSIONS = 6
BACKLOG = 120
# What a schedule has sent is known by its time and the number of the schedule.
NUMBER = (
    "coalesce((message ->> 'n')::bigint, -((message ->> 'tick')::bigint"
    " + 32 * pgmq._microseconds((headers #>> '{x-pgmq-schedule,at}')::timestamptz)))"
)
COLUMNS = (
    f"msg_id, {NUMBER}, read_ct,"
    " extract(epoch FROM coalesce(last_read_at, enqueued_at))::float8,"
    " extract(epoch FROM vt)::float8"
)
ACTIVITY = """
    SELECT pid, pg_blocking_pids(pid), state, wait_event_type, wait_event, query
    FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
LEVELS = [
    *["READ COMMITTED"] * 4,
    "REPEATABLE READ",
    "SERIALIZABLE",
]


@dataclass(frozen=True)
class Setting:
    """A kind of queue, and what sessions do with it."""

    setup: tuple[str, ...] = ("SELECT pgmq.create('q')",)
    policies: tuple[str, ...] = ()  # arguments of set_policy, in turns
    grouped: bool = False
    ordered: bool = False  # so that passing over a message can be proved
    scheduled: bool = False
    rate: tuple[float, int] | None = None  # that all of the policies have


BACKOFF = "retry_delay => '1 ms', retry_delay_max => '4 ms', retry_jitter => 1"
LETTERS = "max_receives => 3, dead_letter_queue => 'dead', message_ttl => '1 hour'"
RATE = "rate_limit => 80, rate_interval => '2 s', rate_burst => 10"
# Twenty schedules, one of them due every 50 ms, that catch up, and one that does not.
SCHEDULES = (
    """
    SELECT pgmq.schedule(
        'tick 0', 'q', '1 s', '{"tick": 0}', '{"x-pgmq-group": "ticks"}', catch_up => true
    )
    """,
    """
    INSERT INTO pgmq.schedule
    SELECT (
        jsonb_populate_record(s, jsonb_build_object(
            'schedule_name', concat('tick ', n), 'anchor', s.anchor + n * interval '50 ms',
            'tick_at', s.tick_at + n * interval '50 ms',
            'next_at', s.next_at + n * interval '50 ms', 'msg', jsonb_build_object('tick', n)
        ))
    ).*
    FROM pgmq.schedule AS s, generate_series(1, 19) AS n
    """,
    """SELECT pgmq.schedule('last', 'q', '1 s', '{"tick": 20}')""",
)
# What the owner does meanwhile.
RESCHEDULE = [
    """SELECT pgmq.schedule('brief', 'q', '1 s', '{"tick": 21}', catch_up => true)""",
    "SELECT pgmq.pause_schedule('last')",
    "SELECT pgmq.unschedule('brief')",
    "SELECT pgmq.resume_schedule('last')",
]
TICKS = """
    SELECT -((s.msg ->> 'tick')::bigint + 32 * pgmq._microseconds(t.at))
    FROM pgmq.schedule AS s
    CROSS JOIN generate_series(
        CASE WHEN s.schedule_name LIKE 'tick %' THEN s.anchor + s.every ELSE s.last_at END,
        s.last_at, s.every
    ) AS t (at)
"""
INDEX = "SELECT pgmq.create_fifo_index('q')"
SETTINGS = {
    "plain": Setting(ordered=True),
    "groups": Setting(("SELECT pgmq.create('q')", INDEX), grouped=True),
    "groups without the index": Setting(grouped=True),
    "policies, unlogged": Setting(
        ("SELECT pgmq.create_unlogged('q')",),
        policies=(
            f"{LETTERS}, {BACKOFF}, dedup_window => '1 hour', max_in_flight => 40",
            f"{LETTERS}, dedup_window => '1 hour', ack_archives => true",
            f"{LETTERS}, dedup_window => '1 hour', priorities => true, max_in_flight => 40",
        ),
    ),
    "by id": Setting(("SELECT pgmq.create_partitioned('q', '50', '100000000', 1)",), ordered=True),
    "by id, groups and policies": Setting(
        ("SELECT pgmq.create_partitioned('q', '20', '100000000', 1)", INDEX),
        policies=(f"{LETTERS}, dedup_window => '1 hour', ack_archives => true",),
        grouped=True,
    ),
    "by time": Setting(
        (
            "SELECT pgmq.create_partitioned('q', '1 second', '1 hour', 1)",
            "SELECT pgmq.create_partitioned('dead', '10', '100000000', 1)",
        ),
        policies=(f"{LETTERS}, dedup_window => '1 hour'",),
        scheduled=True,
    ),
    "rates and schedules": Setting(
        policies=(
            f"{RATE}, dedup_window => '1 hour'",
            f"{RATE}, {LETTERS}, dedup_window => '1 hour', max_in_flight => 40",
            f"{RATE}, dedup_window => '1 hour', priorities => true",
        ),
        scheduled=True,
        rate=(40, 10),
    ),
    "by id, groups, rates and schedules": Setting(
        ("SELECT pgmq.create_partitioned('q', '20', '100000000', 1)", INDEX),
        policies=(f"{RATE}, {LETTERS}, dedup_window => '1 hour', ack_archives => true",),
        grouped=True,
        scheduled=True,
        rate=(40, 10),
    ),
}


class Run:
    """What the threads of one run share."""

    def __init__(
        self,
        connect: Connect,
        setting: Setting,
        seed: int,
        seconds: float,
        callers: Callers | None,
    ) -> None:
        self.connect = connect
        self.callers = callers
        self.setting = setting
        self.seed = seed
        self.end = time.monotonic() + seconds
        self.numbers = itertools.count(1)
        self.history = History(rate=setting.rate)
        self.wrong: list[object] = []
        self.pids: dict[int, int] = {}
        self.killed: set[int] = set()
        self.calls = 0
        self.odd: list[str] = []

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.end or bool(self.wrong)

    def open(self, owner: bool = False) -> psycopg.Connection[Any]:
        login = {}
        if self.callers:
            login["user"] = self.callers.owner if owner else self.callers.client
        session = self.connect(autocommit=True, prepare_threshold=None, **login)  # DISCARD ALL
        session.add_notice_handler(self._notice)
        return session

    def _notice(self, notice: psycopg.errors.Diagnostic) -> None:
        text = str(notice.message_primary)
        expected = ("left for later", "stay in queue", "no transaction in progress")
        if notice.severity == "WARNING" and not any(words in text for words in expected):
            self.wrong.append(text)

    def guarded(self, work: Any, number: int) -> threading.Thread:
        def target() -> None:
            try:
                work(self, number, random.Random(self.seed * 100 + number))
            except Exception as error:  # noqa: BLE001
                self.wrong.append(f"{work.__name__}: {error!r} {error}")

        return threading.Thread(target=target, name=work.__name__, daemon=True)


class Worker:
    """A session that sends and consumes."""

    def __init__(self, run: Run, number: int, rng: random.Random) -> None:
        self.run = run
        self.number = number
        self.rng = rng
        self.leases: list[tuple[int, int]] = []  # committed ones, which may be anybody's by now
        self.ids: list[int] = []
        self.generation = 0
        self.connect()

    def connect(self) -> None:
        self.session = self.run.open()
        self.pid = self.session.info.backend_pid
        self.run.pids[self.number] = self.pid

    def work(self) -> None:
        while not self.run.over:
            level = self.rng.choice(LEVELS)
            transaction = Transaction(self.number, level, time.time())
            try:
                self._transaction(transaction)
            except psycopg.Error as error:
                if not self._killed(error):
                    self._failed(transaction, error)
            transaction.ended = time.time()
            self.run.history.transactions.append(transaction)

    def _killed(self, error: psycopg.Error) -> bool:
        """Say whether the session was killed; go on with another one, or in no transaction."""
        try:
            self.session.execute("ROLLBACK")
        except psycopg.OperationalError:
            if self.pid not in self.run.killed:
                raise
            self._wait_until_gone()
            self.connect()
            return error.sqlstate in ("57P01", None)
        return False

    def _failed(self, transaction: Transaction, error: psycopg.Error) -> None:
        retry = error.sqlstate == "40001" and transaction.isolation != "READ COMMITTED"
        if not retry:
            text = transaction.calls[-1].text if transaction.calls else ""
            with self.run.connect() as admin:
                names = re.sub(
                    r"(?<=relation )\d+",
                    lambda found: str(
                        admin.execute("SELECT %s::oid::regclass::text", [found[0]]).fetchone()
                    ),
                    str(error),
                )
            self.run.wrong.append(f"{text} ({transaction.isolation}): {error.sqlstate} {names}")
        if transaction.ending and transaction.outcome == "unknown":
            transaction.outcome = "rolled back"

    def _wait_until_gone(self) -> None:
        """A killed session holds its locks until it is gone."""
        with self.run.connect() as admin:
            query = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
            while admin.execute(query, [self.pid]).fetchone():
                time.sleep(0.01)

    def _transaction(self, transaction: Transaction) -> None:
        rng = self.rng
        if rng.random() < 0.05:
            self.session.execute("DISCARD ALL")
        if self.run.setting.scheduled and rng.random() < 0.5:
            # The next call looks whether something is due, beside others that do.
            self.session.execute("SELECT setval('pgmq.tick_due_q', 0)")
        self.session.execute(f"BEGIN ISOLATION LEVEL {transaction.isolation}".encode())
        self.session.execute("SELECT 1")
        transaction.began = time.time()  # its snapshot is older
        leases: dict[int, int] = {}
        if rng.random() < 0.25:
            self._meddle(transaction)
        if rng.random() < 0.35:
            self._send(transaction)
        if rng.random() < 0.6:
            for _ in range(rng.choice([1, 1, 2])):
                leases = self._read(transaction, {} if self.run.setting.policies else leases)
            if rng.random() < 0.1:
                time.sleep(rng.choice([0.01, 0.05, 0.3]))
            if rng.random() < 0.6:
                leases = self._finish(transaction, leases)
        elif rng.random() < 0.2:
            self._other(transaction)
        transaction.ending = time.time()
        if rng.random() < 0.15:
            self.session.execute("ROLLBACK")
            return
        transaction.outcome = "unknown"
        self.session.execute("COMMIT")
        transaction.outcome = "committed"
        self.leases = [*self.leases, *leases.items()][-40:]
        self.ids = self.ids[-40:]

    def _call(
        self, transaction: Transaction, call: Call, query: str, *arguments: Any
    ) -> list[tuple[Any, ...]]:
        call.text = f"{query.rpartition('pgmq.')[2]} {arguments}"
        transaction.calls.append(call)
        call.made = time.time()
        call.failed = True
        try:
            rows = self.session.execute(query.encode(), arguments).fetchall()
        finally:
            call.returned = time.time()
            self.run.calls += 1
        call.failed = False
        return rows

    def _meddle(self, transaction: Transaction) -> None:
        """Do something about messages that others may have. It may wait, but holds nothing yet."""
        rng = self.rng
        what = rng.choice(["set_vt", "set_vt", "ack", "nack", "extend", "delete", "archive", "get"])
        known = self.leases + [(msg_id, 0) for msg_id in self.ids]
        if not known:
            return
        some = rng.sample(known, min(len(known), rng.randint(1, 5)))
        if what in ("ack", "nack", "extend"):
            self._leased_call(transaction, what, some)
            return
        ids = sorted({msg_id for msg_id, _ in some}, key=lambda _: rng.random())
        call = Call(what, 0, asked=ids)
        if self.run.setting.grouped and what in ("delete", "archive"):
            return  # would be out of order on purpose
        if what == "get":
            del ids[1:]
            query = "SELECT msg_id FROM pgmq.get('q', %s)"
            rows = self._call(transaction, call, query, ids[0])
        elif what == "set_vt":
            call.frees = True
            query = "SELECT msg_id FROM pgmq.set_vt('q', %s::bigint[], 0)"
            rows = self._call(transaction, call, query, ids)
        else:
            rows = self._call(transaction, call, f"SELECT pgmq.{what}('q', %s::bigint[])", ids)
        call.done = [row[0] for row in rows]

    def _leased_call(
        self, transaction: Transaction, what: str, leases: list[tuple[int, int]]
    ) -> list[int]:
        rng = self.rng
        leases = list(dict(leases).items())
        ids, receipts = [id_ for id_, _ in leases], [receipt for _, receipt in leases]
        call = Call(what, 0, asked=ids, receipts=dict(leases))
        rest: tuple[Any, ...] = ()
        if what == "nack":
            rest = (rng.choice([0, 0, None, 1]), rng.choice([None, "no luck"]))
            call.frees = rest[0] != 1
        elif what == "extend":
            rest = (rng.choice([0, 1, 60]),)
            call.frees = rest[0] == 0
        if rng.random() < 0.3 and len(ids) == 1:
            query = f"SELECT pgmq.{what}('q', %s::bigint, %s::integer{', %s' * len(rest)})"
            (row,) = self._call(transaction, call, query, ids[0], receipts[0], *rest)
            call.done = ids if row[0] else []
        else:
            query = f"SELECT pgmq.{what}('q', %s::bigint[], %s::integer[]{', %s' * len(rest)})"
            rows = self._call(transaction, call, query, ids, receipts, *rest)
            call.done = [row[0] for row in rows]
        return call.done

    def _send(self, transaction: Transaction) -> None:
        rng = self.rng
        row = self.session.execute("SELECT queue_length FROM pgmq.metrics('q')").fetchone()
        if row is None or row[0] > BACKLOG:
            return
        self.generation += rng.random() < 0.05
        count = rng.choice([1, 1, 2, 5, 10])
        numbers = [next(self.run.numbers) for _ in range(count)]
        # A group has one producer, or its order would be that of the commits.
        names = [str(self.number), *(f"{self.number}-{self.generation + n}" for n in range(5))]
        headers: list[dict[str, Any]] = [{"x-pgmq-group": rng.choice(names)} for _ in numbers]
        bodies = [json.dumps({"n": number, "odd": number % 2 == 1}) for number in numbers]
        delay = rng.choice([0, 0, 0, 1])
        call = Call("send", 0, frees=delay == 0)
        if self.run.setting.policies:
            for header in headers:
                if rng.random() < 0.1:
                    header["x-pgmq-ttl"] = 0
        texts = [json.dumps(header) for header in headers]
        keys = [f"{rng.choice('stuvwxyz')}{rng.randint(1, 200)}" for _ in numbers]
        if self.run.setting.policies and rng.random() < 0.4:
            query = (
                "SELECT msg_id, is_new"
                " FROM pgmq.send_once('q', %s::jsonb[], %s::text[], %s::jsonb[], %s)"
            )
            rows = self._call(transaction, call, query, bodies, keys, texts, delay)
            call.keys = [(key, *row) for key, row in zip(keys, rows, strict=True)]
        else:
            query = "SELECT * FROM pgmq.send_batch('q', %s::jsonb[], %s::jsonb[], %s::integer)"
            rows = [
                (row[0], True) for row in self._call(transaction, call, query, bodies, texts, delay)
            ]
        for (msg_id, is_new), number, header in zip(rows, numbers, headers, strict=True):
            if is_new:
                call.sent[msg_id] = (number, header["x-pgmq-group"])
                self.ids.append(msg_id)

    def _read(self, transaction: Transaction, leases: dict[int, int]) -> dict[int, int]:
        rng = self.rng
        vt, qty = rng.choice([1, 1, 60, 60, 0]), rng.choice([1, 2, 5, 20])
        call = Call("read", 0, frees=vt == 0, quantity=qty)
        arguments: tuple[Any, ...] = (vt, qty)
        if self.run.setting.grouped:
            call.kind = "grouped"
            name = rng.choice(["read_grouped", "read_grouped_rr", "read_grouped_head"])
            source = f"pgmq.{name}('q', %s, %s)"
            if rng.random() < 0.2:
                group = f"{rng.randrange(SESSIONS)}"
                source, arguments = "pgmq.read_group('q', %s, %s, %s)", (group, vt, qty)
        else:
            sources = [
                "pgmq.read('q', %s, %s)",
                "pgmq.read('q', %s, %s)",
                "pgmq.read('q', %s, %s, '{\"odd\": true}')",
                "pgmq.read_any('{q,other}', %s, %s) WHERE queue_name = 'q'",
                "pgmq.ack_and_read('q', %s, %s, null, null)",
                "pgmq.pop('q', %s)",
            ]
            source = rng.choice(sources)
            call.odd = "odd" in source
            if "pop" in source:
                call.kind, arguments, call.frees = "pop", (qty,), False
        rows = self._call(transaction, call, f"SELECT {COLUMNS} FROM {source}", *arguments)
        call.messages = [Seen(*row) for row in rows]
        if call.kind == "pop":
            call.done = [message.msg_id for message in call.messages]
            return {id_: read_ct for id_, read_ct in leases.items() if id_ not in call.done}
        return leases | {message.msg_id: message.read_ct for message in call.messages}

    def _finish(self, transaction: Transaction, leases: dict[int, int]) -> dict[int, int]:
        """Do something about messages that this transaction has locked: nobody is waited for."""
        rng = self.rng
        ids = list(leases)[: rng.randint(0, len(leases))]
        if not ids:
            return leases
        what = rng.choice(["ack", "ack", "ack", "nack", "extend", "archive", "delete"])
        if what in ("ack", "nack", "extend"):
            done = self._leased_call(transaction, what, [(id_, leases[id_]) for id_ in ids])
        else:
            call = Call(what, 0, asked=ids)
            rows = self._call(transaction, call, f"SELECT pgmq.{what}('q', %s::bigint[])", ids)
            call.done = done = [row[0] for row in rows]
        assert sorted(done) == sorted(ids), (
            f"{transaction.isolation}: {[call.text for call in transaction.calls]} did {done}"
        )
        return {msg_id: read_ct for msg_id, read_ct in leases.items() if msg_id not in ids}

    def _other(self, transaction: Transaction) -> None:
        if self.run.setting.policies and self.rng.random() < 0.3:
            # New messages of the queue, with numbers that have been sent before.
            self.session.execute("SELECT pgmq.redrive('dead', qty => 3)")
        elif self.leases and not self.run.setting.grouped:
            msg_id = self.rng.choice(self.leases)[0]
            call = Call("move", 0, asked=[msg_id])
            query = "SELECT pgmq.move('q', %s, 'other')"
            (row,) = self._call(transaction, call, query, msg_id)
            call.done = [] if row[0] is None else [msg_id]


def _work(run: Run, number: int, rng: random.Random) -> None:
    Worker(run, number, rng).work()


def _kill(run: Run, number: int, rng: random.Random) -> None:
    session = run.connect()
    while not run.over:
        time.sleep(0.15)
        victim = rng.choice(list(run.pids.values()) or [0])
        run.killed.add(victim)
        session.execute("SELECT pg_terminate_backend(%s)", [victim])


def _maintain(run: Run, number: int, rng: random.Random) -> None:
    session = run.open(owner=True)
    policies = itertools.cycle(run.setting.policies)
    changes = itertools.cycle(RESCHEDULE)
    while not run.over:
        time.sleep(rng.random() / 3)
        session.execute("SELECT pgmq.maintain('q')")
        if len(run.setting.policies) > 1 and rng.random() < 0.3:
            session.execute(f"SELECT pgmq.set_policy('q', {next(policies)})".encode())
        if run.setting.scheduled and rng.random() < 0.5:
            session.execute(next(changes).encode())


def _look(run: Run, number: int, rng: random.Random) -> None:
    """What an old snapshot shows, get() finds."""
    session = run.open()
    while not run.over:
        with contextlib.suppress(psycopg.errors.SerializationFailure), session.transaction():
            session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            rows = session.execute("SELECT msg_id FROM pgmq.q_q").fetchall()
            time.sleep(rng.random() / 2)
            for (msg_id,) in rows[:100]:
                found = session.execute("SELECT FROM pgmq.get('q', %s)", [msg_id])
                if found.fetchone() is None and "old snapshots" not in KNOWN:
                    run.wrong.append(f"get of {msg_id} finds nothing in an old snapshot")
                    return


def _drain(session: psycopg.Connection[Any]) -> list[str]:
    """Read everything that is left, as far as it is visible, and then the rest."""
    wrong = []
    session.execute("SELECT pgmq.set_policy('q')")
    for queue in ("q", "other", "dead"):
        for rest in (False, True):
            if rest:
                session.execute(
                    "SELECT pgmq.set_vt(%s, ARRAY(SELECT msg_id FROM {}), 0)".format(
                        f"pgmq.q_{queue}"
                    ).encode(),
                    [queue],
                )
            query = f"SELECT msg_id FROM pgmq.q_{queue} WHERE vt <= clock_timestamp() ORDER BY 1"
            there = [row[0] for row in session.execute(query.encode()).fetchall()]
            read = b"SELECT msg_id FROM pgmq.read(%s, 3600, null)"
            found = [row[0] for row in session.execute(read, [queue]).fetchall()]
            # Meanwhile a lease may have run out.
            if not set(there) <= set(found) or found != sorted(found):
                wrong.append(f"{queue} has {there}, of which a read returned {found}")
    return wrong


@pytest.mark.parametrize("name", list(SETTINGS))
def test_what_sessions_were_told_has_one_meaning(
    db: psycopg.Connection[Any], connect: Connect, roles: Roles, name: str
) -> None:
    setting = SETTINGS[name]
    seed = int(os.environ.get("PGMQ_SEED") or random.SystemRandom().randrange(10**6))
    print(f"PGMQ_SEED={seed} (what a schedule does with it is another matter)")
    # A third of the seeds has a superuser do everything.
    callers = Callers(owner=roles(), client=roles()) if seed % 3 else None
    long = float(os.environ.get("PGMQ_MODEL_SECONDS") or 0)
    row = db.execute("SELECT current_database()").fetchone()
    assert row is not None
    db.execute(f"ALTER DATABASE \"{row[0]}\" SET pgmq.sweep_interval = '1 year'".encode())
    if callers:
        callers.let_in(db)
        db.execute(f"SET ROLE {callers.owner}".encode())
    others = "SELECT pgmq.create('other'), pgmq.create('dead')"
    for query in (*setting.setup, others, *(SCHEDULES if setting.scheduled else ())):
        db.execute(query.encode())
    if setting.policies:
        db.execute(f"SELECT pgmq.set_policy('q', {setting.policies[0]})".encode())
    if callers:
        for queue in ("q", "other", "dead"):
            grant(db, queue, callers.client)
        if setting.scheduled:
            db.execute(f"GRANT UPDATE ON SEQUENCE pgmq.tick_due_q TO {callers.client}".encode())
        db.execute("RESET ROLE")
    run = Run(connect, setting, seed, max(SECONDS, long / len(SETTINGS)), callers)
    work = [_work] * SESSIONS + [_kill, _maintain, _look]
    threads = [run.guarded(kind, number) for number, kind in enumerate(work)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, run.end - time.monotonic()) + 30)
    stuck = [thread.name for thread in threads if thread.is_alive()]
    if stuck:
        run.wrong.append(f"{stuck} do not end: {db.execute(ACTIVITY).fetchall()}")
        run.end = 0
        db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert not run.wrong, "\n".join(map(str, run.wrong[:5]))

    places: dict[str, Counter[int]] = {}
    for table in ("q_q", "q_other", "q_dead", "a_q", "a_other", "a_dead"):
        rows = db.execute(f"SELECT {NUMBER} FROM pgmq.{table}".encode())
        places[table] = Counter(row[0] for row in rows.fetchall())
    left = {row[0] for row in db.execute("SELECT msg_id FROM pgmq.q_q").fetchall()}
    run.history.ticks = {row[0] for row in db.execute(TICKS.encode()).fetchall()}
    wrong = run.history.check(places, left, setting.ordered, setting.grouped) or _drain(db)
    assert not wrong, "\n".join(wrong)
    print(f"{run.calls} calls, {len(run.killed)} kills")
    # It was no empty run.
    assert run.calls > 30
