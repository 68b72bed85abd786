"""Random programs: how they are made, how they run, and how a failing one is made shorter."""

from __future__ import annotations

import copy
import json
import math
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import psycopg

from model.reference import (
    HOURS,
    Json,
    Message,
    Policy,
    Queue,
    Schedule,
    check_dead_letter,
    check_fair,
    check_grouped,
    check_read,
    fields,
    moved,
    parse,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable

UTC = timezone.utc

# What fails today, and why: such a check is left out. A mended defect leaves this list.
KNOWN: dict[str, str] = {}

SOON = "clock_timestamp() + interval '20 ms'"
# What SQL says, and for how many hours a message is hidden then.
DELAYS: dict[str, float] = {
    "0": 0,
    "-7": 0,
    "3600": 1,
    "7200": 2,
    "clock_timestamp()": 0,
    "now()": 0,
    "'-infinity'::timestamptz": 0,
    "'2001-01-01'::timestamptz": 0,
    "clock_timestamp() + interval '3 hours'": 3,
    "'infinity'::timestamptz": math.inf,
    SOON: 0,
}
LONG = "ü" * 5_000  # longer than an index entry may be
BODIES = ['{"k": 1}', '{"k": 2, "x": [1]}', "[1, 2]", "null", '"text"', "{}", "17", None]
CONDITIONS = ["{}", '{"k": 1}', '{"k": 2}', "[1]", "17", '"text"', None]
HEADERS: list[str | None] = [
    None,
    None,
    "{}",
    "null",
    "7",
    '"x-pgmq-group"',
    '["x-pgmq-group", "x-pgmq-ttl", 1]',
    '{"x-pgmq-group": "a"}',
    '{"x-pgmq-group": "a", "trace": [1, {"k": null}]}',
    '{"x-pgmq-group": "b"}',
    '{"x-pgmq-group": "b", "x-pgmq-ttl": 0}',
    '{"x-pgmq-group": 5}',
    '{"x-pgmq-group": "5"}',
    '{"x-pgmq-group": [true, {"k": "v"}]}',
    '{"x-pgmq-group": null, "x-pgmq-ttl": 3600}',
    '{"x-pgmq-group": ""}',
    f'{{"x-pgmq-group": "{LONG}"}}',
    f'{{"x-pgmq-group": "{LONG}x"}}',
    '{"x-pgmq-group": "\'; \\"\\\\ %I $1 {}, 日本"}',
    '{"X-PGMQ-Group": "a"}',
    '{"x-pgmq-group": "_default_fifo_group", "x-pgmq-error": "old"}',
    '{"x-pgmq-ttl": -1}',
    '{"x-pgmq-ttl": "0"}',
    '{"x-pgmq-ttl": null}',
    '{"x-pgmq-ttl": 1000000000000}',
    '{"x-pgmq-dedup-id": "k1"}',
    '{"x-pgmq-dedup-id": "k2", "x-pgmq-group": "a"}',
    '{"x-pgmq-dedup-id": 3}',
    '{"x-pgmq-dedup-id": null}',
    '{"x-pgmq-dead-letter": {"queue": "nowhere"}, "x-pgmq-ttl": 0}',
    '{"x-pgmq-dead-letter": {"queue": "dead"}}',
    '{"x-pgmq-dead-letter": {"queue": "OTHER", "msg_id": 1}, "trace": 1}',
    '{"x-pgmq-dead-letter": "other"}',
    '{"x-pgmq-priority": 9, "x-pgmq-group": "a"}',
    '{"x-pgmq-priority": "7"}',
    '{"x-pgmq-priority": 0, "x-pgmq-dead-letter": {"queue": "dead"}}',
    '{"x-pgmq-priority": 8.5}',
    '{"x-pgmq-priority": "10"}',
]
KEYS = ["k1", "k2", "3", "ö" * 200, ""]
GROUPS = [
    "a",
    "b",
    "5",
    LONG,
    "'; \"\\ %I $1 {}, 日本",
    '[true, {"k": "v"}]',
    "",
    "_default_fifo_group",
    "none",
    None,
]
QUANTITIES = [1, 1, 2, 3, 10, 0, None]

# What the owner of the queue does, and not a client.
OWNERS_CALLS = (
    *("purge", "maintain", "set_policy", "pause", "resume", "hour", "late", "drain"),
    *("schedule", "unschedule", "pause_schedule", "run_schedule", "list_schedules"),
)

SCHEDULES = ("early", "Late")
# All are whole parts of the times by which programs move the clock. None is ever about to be due.
INTERVALS = {"1 hour": 60, "00:30": 30, "10 minutes": 10, "0.5 days": 720}
MINUTES = (70, 190, 610)
TICK_HEADERS = [
    None,
    '{"x-pgmq-group": "a", "x-pgmq-priority": 9}',
    '{"x-pgmq-schedule": "mine", "x-pgmq-group": "b"}',
]

STATE = """
    SELECT '{key}', '{place}', m.msg_id, m.read_ct, m.last_read_at IS NOT NULL,
        greatest(extract(epoch FROM m.vt)::float8
            - extract(epoch FROM clock_timestamp())::float8, 0) / 3600,
        m.message::text, m.headers::text
    FROM pgmq.{table} AS m
"""


@dataclass(frozen=True)
class Kind:
    """A kind of queue to test."""

    name: str = "q"
    create: str = "SELECT pgmq.create(%s)"
    fifo: bool = False
    fair: bool = False
    scheduled: bool = False
    policies: tuple[Policy, ...] = ()
    kept_ids: float = math.inf  # retention: what is that much smaller than the last msg_id may go
    kept_seconds: float = math.inf  # or what is older


@dataclass(frozen=True)
class Step:
    """A call with its arguments; what the queue's own name is, the kind says."""

    call: str
    arguments: dict[str, Any] = field(default_factory=dict)


class Deviation(AssertionError):  # noqa: N818
    """Raised when a program has found something, with the SQL that leads to it."""


@dataclass
class World:
    """The queues, as the model has them; what a rollback restores."""

    queues: dict[str, Queue]
    schedules: dict[str, Schedule] = field(default_factory=dict)  # of queue q
    metered: bool = False  # queue q has had a rate limit


@dataclass(frozen=True)
class Callers:
    """Ordinary roles that make the calls: the owner of the queues, and a client of them."""

    owner: str
    client: str

    def let_in(self, admin: psycopg.Connection[Any]) -> None:
        """Let the owner create queues, move their clocks, and be the client."""
        admin.execute("SELECT pgmq.grant_create(%s)", [self.owner])
        admin.execute(
            f"GRANT USAGE ON SCHEMA pgmq TO {self.client}; GRANT {self.client} TO {self.owner};"
            f" GRANT INSERT, UPDATE ON pgmq.schedule TO {self.owner}".encode()
        )


def grant(session: psycopg.Connection[Any] | psycopg.Cursor[Any], queue: str, client: str) -> None:
    """Let a client do with a queue what there is to do, also amend payloads."""
    for call in ("grant_send", "grant_consume", "grant_requeue"):
        session.execute(f"SELECT pgmq.{call}(%s, %s)".encode(), [queue, client])
    session.execute(f'GRANT UPDATE (message) ON pgmq."q_{queue.lower()}" TO {client}'.encode())


class Runner:
    """Runs steps on a database and on the model."""

    def __init__(
        self,
        session: psycopg.Connection[Any],
        kind: Kind,
        seed: int,
        callers: Callers | None = None,
    ) -> None:
        self.kind = kind
        self.callers = callers
        self.log: list[str] = []
        self.warnings: list[str] = []
        self.cursor = psycopg.ClientCursor(session)
        session.add_notice_handler(self._notice)
        names = {"q": kind.name, "other": "other", "dead": "Dead"}
        self.world = World({key: Queue(name) for key, name in names.items()})
        self.last = dict.fromkeys(names, 0)
        self.first = self.last  # before this step
        self.saved: list[World] = []
        self.began = 0.0
        self.isolation = ""
        # For so many hours the rate is used up; a rollback gives nothing back.
        self.used = 0.0
        # Ticks that this step's call may send, those that it has, and how many it must.
        self.due: dict[str, list[datetime]] = {}
        self.sent = 0
        self.must_send = 0
        # What this step's reads may move away, and must.
        self.may_go: set[int] = set()
        self.must_go: set[int] = set()
        self.arrivals: dict[str, list[Message]] = {}
        self.sql("SELECT setseed(%s)", (seed % 1000) / 1000)
        self.sql(kind.create, kind.name)
        for key in ("other", "dead"):
            self.sql("SELECT pgmq.create(%s)", names[key])
        if kind.fifo:
            self.sql("SELECT pgmq.create_fifo_index(%s)", kind.name)
        if kind.fair:
            self.sql("SELECT pgmq.create_fair_index(%s)", kind.name)
        if callers:
            for name in names.values():
                grant(self.cursor, name, callers.client)
        self.state = " UNION ALL ".join(
            STATE.format(key=key, place=place, table=f'"{place}_{name.lower()}"')
            for key, name in names.items()
            for place in "qa"
        )

    def _notice(self, notice: psycopg.errors.Diagnostic) -> None:
        said = str(notice.message_primary)
        expected = "stay in queue" in said or (
            self.isolation in ("REPEATABLE READ", "SERIALIZABLE") and "left for later" in said
        )
        if notice.severity == "WARNING" and not expected:
            self.warnings.append(said)

    def _be_owner(self) -> None:
        if self.callers:
            self.sql("RESET ROLE")

    def _be_caller(self, call: str) -> None:
        if self.callers and call not in OWNERS_CALLS:
            self.sql(f"SET ROLE {self.callers.client}")

    def sql(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        text = self.cursor.mogrify(query, arguments)
        self.log.append(f"{text};")
        self.cursor.execute(text.encode())
        return self.cursor.fetchall() if self.cursor.description else []

    def one(self, query: str, *arguments: Any) -> Any:
        return self.sql(query, *arguments)[0][0]

    def run(self, step: Step) -> None:
        """Run a step and compare everything there is with the model."""
        if not self.saved:
            self.began = time.monotonic()
        self.may_go, self.must_go, self.arrivals = set(), set(), {}
        self.first = dict(self.last)
        self._be_owner()
        self._look_for_ticks()
        try:
            self._be_caller(step.call)
            getattr(self, step.call)(**step.arguments)
            self._compare()
            assert not self.warnings, self.warnings
        except AssertionError as error:
            lines = "\n".join(line for line in self.log if "AS m\n" not in line)
            raise Deviation(f"{step}\n{error}\n{lines}") from error

    # Sending

    def _add(self, q: str, msg_id: int, body: Json, headers: Json, hours: float) -> None:
        assert msg_id > self.last[q], f"msg_id {msg_id} was drawn before"
        self.last[q] = msg_id
        self.queue(q).messages[msg_id] = Message(body, headers, self.began, hours)

    def _send(self, q: str, found: list[Any], texts: Any, delay: str) -> None:
        """Of each message sent: it is new, or its key was sent before."""
        self._sends_ticks(q)
        queue = self.queue(q)
        window = queue.policy.dedup_window
        for (msg_id, is_new), (body, headers) in zip(found, texts, strict=True):
            key = fields(parse(headers)).get("x-pgmq-dedup-id")
            if window is None or key is None:
                assert is_new in (True, None)
                self._add(q, msg_id, parse(body), parse(headers), DELAYS[delay])
                continue
            key = str(key)
            known = queue.keys.get(key)
            new = known is None
            if key in queue.unsure_keys:
                new = msg_id != known
                queue.unsure_keys.discard(key)
            assert is_new in (new, None), f"key {key!r}: is_new {is_new}, message {known}"
            if new:
                self._add(q, msg_id, parse(body), parse(headers), DELAYS[delay])
                queue.keys[key] = msg_id
            else:
                assert msg_id == known, f"key {key!r} was sent with {known}"
        if window is not None and HOURS[window] == 0:
            queue.past_keys |= queue.keys  # one statement later all is out of the window
            queue.keys.clear()

    def _settle(self, delay: str) -> None:
        if delay == SOON:
            self.sql("SELECT pg_sleep(0.025)")

    def send(self, q: str, body: str | None, headers: str | None, delay: str) -> None:
        query = f"SELECT * FROM pgmq.send(%s, %s::jsonb, %s::jsonb, {delay})"
        if self.queue(q).closed:
            self.refused("55000", query, self.name(q), body, headers)
            return
        msg_id = self.one(query, self.name(q), body, headers)
        self._send(q, [(msg_id, None)], [(body, headers)], delay)
        self._settle(delay)

    def send_batch(
        self, q: str, bodies: list[str | None], headers: list[str | None], delay: str
    ) -> None:
        query = f"SELECT * FROM pgmq.send_batch(%s, %s::jsonb[], %s::jsonb[], {delay})"
        if self.queue(q).closed:
            self.refused("55000", query, self.name(q), bodies, headers)
            return
        ids = [row[0] for row in self.sql(query, self.name(q), bodies, headers)]
        found = [(msg_id, None) for msg_id in ids]
        self._send(q, found, list(zip(bodies, headers, strict=True)), delay)
        self._settle(delay)

    def send_once(
        self,
        q: str,
        bodies: list[str | None],
        keys: list[str],
        headers: list[str | None],
        delay: str,
    ) -> None:
        arguments: tuple[Any, ...] = (bodies, keys, headers)
        types = "%s::jsonb[], %s::text[], %s::jsonb[]"
        if len(bodies) == 1:
            arguments, types = (bodies[0], keys[0], headers[0]), "%s::jsonb, %s, %s::jsonb"
        query = f"SELECT msg_id, is_new FROM pgmq.send_once(%s, {types}, {delay})"
        if any(parse(h) != (None,) and h and not h.startswith("{") for h in headers):
            self.refused("22023", query, self.name(q), *arguments)
            return
        if self.queue(q).closed or self.queue(q).policy.dedup_window is None:
            self.refused("55000", query, self.name(q), *arguments)
            return
        found = self.sql(query, self.name(q), *arguments)
        with_keys = (
            json.dumps(fields(parse(h)) | {"x-pgmq-dedup-id": key})
            for h, key in zip(headers, keys, strict=True)
        )
        self._send(q, found, list(zip(bodies, with_keys, strict=True)), delay)

    # Reading

    def _rows(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        return self.sql(
            f"SELECT msg_id, read_ct, message::text, headers::text FROM {query}", *arguments
        )

    def _same(self, queue: Queue, rows: list[tuple[Any, ...]], receipts: int) -> list[int]:
        """Check that these are the messages as the model has them; return their msg_ids."""
        ids = [row[0] for row in rows]
        assert len(set(ids)) == len(ids), f"twice in {ids}"
        if queue is self.queue("q"):
            # A call may send what is due before it reads, or after that.
            for msg_id, _, body, headers in sorted(rows):
                if msg_id > self.first["q"] and msg_id not in queue.messages:
                    self._tick(msg_id, parse(body), parse(headers))
        for msg_id, read_ct, body, headers in rows:
            assert msg_id in queue.messages, f"{msg_id} is not there"
            message = queue.messages[msg_id]
            shown = (read_ct, parse(body), parse(headers))
            expected = (message.read_ct + receipts, message.body, message.headers)
            assert shown == expected, f"{msg_id}: {shown} is not {expected}"
        return ids

    def _lease(self, queue: Queue, ids: Iterable[int], vt: int) -> None:
        for msg_id in ids:
            message = queue.messages[msg_id]
            message.read_ct += 1
            message.leased = True
            message.hours = max(vt, 0) / 3600

    def _handed_out(self, rows: list[tuple[Any, ...]], wanted: float, receipts: int) -> Any:
        """Return the msg_ids of what q has handed out, and how many it may have been."""
        queue = self.queue("q")
        ids = self._same(queue, rows, receipts)
        self.may_go |= queue.dead()
        if wanted > 0 and not queue.paused:
            self._sends_ticks("q")
        allowance = queue.policy.allowance(self.used)
        if queue.policy.rate_limit is not None:
            self.used += len(ids) * queue.policy.spacing
        return ids, min(wanted, allowance, queue.room() if receipts else math.inf)

    def _read(
        self, q: str, rows: list[tuple[Any, ...]], vt: int, wanted: float, condition: Json = None
    ) -> None:
        queue = self.queue(q)
        if q == "q":
            ids, most = self._handed_out(rows, wanted, 1)
            self.must_go |= check_read(queue, ids, most, condition)
        else:
            ids = self._same(queue, rows, 1)
            check_read(queue, ids, wanted, condition)
        self._lease(queue, ids, vt)

    def read(self, q: str, vt: int, qty: int | None, condition: str | None) -> None:
        rows = self._rows("pgmq.read(%s, %s, %s, %s::jsonb)", self.name(q), vt, qty, condition)
        self._read(q, rows, vt, limit(qty), parse(condition))

    def read_with_poll(self, q: str, vt: int, qty: int | None) -> None:
        rows = self._rows("pgmq.read_with_poll(%s, %s, %s, 0)", self.name(q), vt, qty)
        self._read(q, rows, vt, limit(qty))

    def read_any(self, queues: list[str], vt: int, qty: int | None) -> None:
        names = [self.name(q) for q in queues]
        found = self.sql(
            "SELECT queue_name, msg_id, read_ct, message::text, headers::text"
            " FROM pgmq.read_any(%s::text[], %s, %s)",
            names,
            vt,
            qty,
        )
        places = [names.index(row[0]) for row in found]
        assert places == sorted(places)
        left = limit(qty)
        for place, q in enumerate(queues):
            rows = [row[1:] for row in found if row[0] == names[place]]
            if left > 0:
                self._read(q, rows, vt, left)
            else:
                assert rows == []
            left -= len(rows)

    def ack_and_read(
        self, q: str, vt: int, qty: int | None, ids: list[int | None], receipts: list[int | None]
    ) -> None:
        rows = self._rows(
            "pgmq.ack_and_read(%s, %s, %s, %s::bigint[], %s::integer[])",
            self.name(q),
            vt,
            qty,
            ids,
            receipts,
        )
        self._remove(q, self.queue(q).leases(ids, receipts), self.queue(q).policy.ack_archives)
        self._read(q, rows, vt, limit(qty))

    def grouped(self, q: str, call: str, vt: int, qty: int | None, group: str | None) -> None:
        queue = self.queue(q)
        if call == "read_group":
            rows = self._rows("pgmq.read_group(%s, %s, %s, %s)", self.name(q), group, vt, qty)
        else:
            rows = self._rows(f"pgmq.{call}(%s, %s, %s)", self.name(q), vt, qty)
        if q == "q":
            ids, most = self._handed_out(rows, limit(qty), 1)
        else:
            ids, most = self._same(queue, rows, 1), limit(qty)
        check_grouped(queue, call, ids, most, group)
        self._lease(queue, ids, vt)

    def read_fair(self, vt: int, qty: int | None) -> None:
        queue = self.queue("q")
        rows = self._rows("pgmq.read_fair(%s, %s, %s)", self.name("q"), vt, qty)
        ids, most = self._handed_out(rows, limit(qty), 1)
        check_fair(queue, ids, most)
        self._lease(queue, ids, vt)

    def pop(self, q: str, qty: int | None) -> None:
        queue = self.queue(q)
        rows = self._rows("pgmq.pop(%s, %s)", self.name(q), qty)
        if q == "q":
            ids, most = self._handed_out(rows, limit(qty), 0)
            self.must_go |= check_read(queue, ids, 0 if queue.paused else most, None)
        else:
            ids = self._same(queue, rows, 0)
            check_read(queue, ids, limit(qty), None)
        self._remove(q, ids, False)

    # Looking

    def look(self, q: str, qty: int | None, condition: str | None, msg_id: int | None) -> None:
        queue = self.queue(q)
        dead = queue.dead()
        if not dead or "dead letters look visible" not in KNOWN:
            rows = self._rows("pgmq.peek(%s, %s, %s::jsonb)", self.name(q), qty, condition)
            live = [id_ for id_ in queue.visible(parse(condition)) if id_ not in dead]
            size = len(live) if qty is None else qty
            ids = self._same(queue, rows, 0)
            assert ids == live[:size], f"must have shown {live[:size]}"
            self._look_at_times(q)
        rows = self._rows("pgmq.get(%s, %s)", self.name(q), msg_id)
        assert self._same(queue, rows, 0) == queue.known([msg_id])

    def _look_at_times(self, q: str) -> None:
        queue = self.queue(q)
        doomed, dead = queue.doomed(), queue.dead()
        live = [m for id_, m in queue.messages.items() if id_ not in doomed]
        due = [m for id_, m in queue.messages.items() if id_ not in dead]
        row = self.sql(
            "SELECT queue_length, queue_visible_length, total_messages,"
            " newest_msg_age_sec IS NOT NULL, oldest_msg_age_sec IS NOT NULL"
            " FROM pgmq.metrics(%s)",
            self.name(q),
        )[0]
        size = len(queue.messages)
        visible = sum(m.visible for m in live)
        assert row == (size, visible, self.last[q], size > 0, size > 0)
        hours = self.one(
            "SELECT (extract(epoch FROM v.at)::float8"
            " - extract(epoch FROM clock_timestamp())::float8) / 3600"
            " FROM pgmq.next_visible_at(%s) AS v (at)",
            self.name(q),
        )
        times = [m.hours for m in due]
        if q == "q":
            times += [] if queue.closed else self._hours_to_ticks()
        if queue.paused or not times:
            assert hours is None
            return
        expected = max(0, min(times), queue.policy.opens(self.used))
        assert hours == expected or alike(max(hours, 0), expected)

    # Ending leases

    def _remove(self, q: str, ids: Iterable[int], archived: bool) -> None:
        queue = self.queue(q)
        for msg_id in ids:
            message = queue.messages.pop(msg_id)
            if archived:
                queue.archive[msg_id] = message
                message.at = self.began

    def end(self, q: str, call: str, ids: list[int | None], single: bool) -> None:
        """Delete or archive by msg_id alone."""
        known = self.queue(q).known(ids)
        if single:
            done = self.one(f"SELECT pgmq.{call}(%s, %s::bigint)", self.name(q), ids[0])
            known = self.queue(q).known(ids[:1])
            assert done is bool(known)
        else:
            rows = self.sql(f"SELECT pgmq.{call}(%s, %s::bigint[])", self.name(q), ids)
            assert sorted(row[0] for row in rows) == known
        self._remove(q, known, call == "archive")

    def set_vt(self, q: str, ids: list[int | None], single: bool, vt: str) -> None:
        kind, argument = ("bigint", ids[0]) if single else ("bigint[]", ids)
        queue = self.queue(q)
        rows = self._rows(f"pgmq.set_vt(%s, %s::{kind}, {vt})", self.name(q), argument)
        found = self._same(queue, rows, 0)
        if "set_vt in the default partition" in KNOWN and "partitioned" in self.kind.create:
            found.sort()
        assert found == queue.known(ids[:1] if single else ids)
        for msg_id in found:
            queue.messages[msg_id].hours = DELAYS[vt]
        self._settle(vt)

    def amend(self, q: str, msg_id: int | None, body: str | None, headers: str | None) -> None:
        message = self.queue(q).messages.get(msg_id or 0)
        free = message is not None and (message.visible or not message.leased)
        query = "SELECT pgmq.amend(%s, %s, %s::jsonb, %s::jsonb)"
        assert self.one(query, self.name(q), msg_id, body, headers) is free
        if message is None or not free:
            return
        if body is not None:
            message.body = parse(body)
        if headers is not None:
            kept = ("x-pgmq-group", "x-pgmq-dedup-id", "x-pgmq-dead-letter")
            before = fields(message.headers)
            message.headers = (
                {name: before[name] for name in kept if name in before} | fields(parse(headers)),
            )

    def fenced(
        self,
        q: str,
        call: str,
        ids: list[int | None],
        receipts: list[int | None],
        single: bool,
        rest: list[Any],
    ) -> None:
        """Ack, nack or extend."""
        queue = self.queue(q)
        more = ", %s" * len(rest)
        if single:
            leases = queue.leases(ids[:1], receipts[:1])
            query = f"SELECT pgmq.{call}(%s, %s::bigint, %s::integer{more})"
            assert self.one(query, self.name(q), ids[0], receipts[0], *rest) is bool(leases)
        else:
            leases = queue.leases(ids, receipts)
            query = f"SELECT pgmq.{call}(%s, %s::bigint[], %s::integer[]{more})"
            rows = self.sql(query, self.name(q), ids, receipts, *rest)
            assert sorted(row[0] for row in rows) == leases
        if call == "ack":
            self._remove(q, leases, queue.policy.ack_archives)
            return
        for message in map(queue.messages.__getitem__, leases):
            if call == "extend":
                message.hours = max(rest[0], 0) / 3600
                continue
            delay, error = rest
            message.hours = (
                queue.policy.retry_hours(message.read_ct) if delay is None else max(delay, 0) / 3600
            )
            message.leased = False
            if error is not None:
                message.headers = (fields(message.headers) | {"x-pgmq-error": error},)

    # Moving, and the rest

    def move(self, q: str, msg_id: int | None, to: str) -> None:
        query = "SELECT pgmq.move(%s, %s, %s)"
        if self.queue(to).closed:
            self.refused("55000", query, self.name(q), msg_id, self.name(to))
            return
        found = self.one(query, self.name(q), msg_id, self.name(to))
        if msg_id not in self.queue(q).messages:
            assert found is None
            return
        message = moved(self.queue(q).messages.pop(msg_id), self.began, False)
        self._add(to, found, message.body, message.headers, message.hours)

    def requeue(self, q: str, ids: list[int], keep: bool) -> None:
        archive = self.queue(q).archive
        going = sorted(archive.keys() & ids)
        query = "SELECT pgmq.requeue(%s, %s::bigint[], keep => %s)"
        if self.queue(q).closed:
            self.refused("55000", query, self.name(q), ids, keep)
            return
        assert self.one(query, self.name(q), ids, keep) == len(going)
        table = self.name(q).lower()
        found = self.sql(
            f"SELECT m.headers -> 'x-pgmq-requeued' FROM pgmq.\"q_{table}\" AS m"
            " WHERE m.msg_id > %s AND m.headers ? 'x-pgmq-requeued' ORDER BY m.msg_id",
            self.last[q],
        )
        for msg_id, (source,) in zip(going, found, strict=True):
            assert source.keys() == {"msg_id", "archived_at"}
            assert source["msg_id"] == msg_id
            message = moved(copy.copy(archive[msg_id]), self.began, True)
            headers = (fields(message.headers) | {"x-pgmq-requeued": source},)
            self.arrivals.setdefault(q, []).append(Message(message.body, headers, self.began))
            if not keep:
                del archive[msg_id]

    def redrive(self, q: str, to: str | None, qty: int | None) -> None:
        queue = self.queue(q)
        names = {other.name.lower(): key for key, other in self.world.queues.items() if key != q}
        going = [
            (msg_id, to or names.get(queue.messages[msg_id].origin or ""))
            for msg_id in sorted(queue.visible())  # whatever their priority
        ]
        going = [(msg_id, key) for msg_id, key in going if key is not None]
        going = going if qty is None else going[:qty]
        name = None if to is None else self.name(to)
        query = "SELECT pgmq.redrive(%s, %s, %s)"
        if any(key is not None and self.queue(key).closed for _, key in going):
            self.refused("55000", query, self.name(q), name, qty)
            return
        if to is not None and self.queue(to).closed:
            return  # with nothing to move, both an error and 0 are right
        assert self.one(query, self.name(q), name, qty) == len(going)
        for msg_id, key in going:
            assert key is not None
            message = moved(queue.messages.pop(msg_id), self.began, True)
            self.arrivals.setdefault(key, []).append(message)

    def purge(self, q: str) -> None:
        count = self.one("SELECT pgmq.purge_queue(%s)", self.name(q))
        assert count == len(self.queue(q).messages)
        self.queue(q).messages.clear()

    def maintain(self) -> None:
        queue = self.queue("q")
        self.may_go = self.must_go = queue.dead()
        self.sql("SELECT pgmq.maintain(%s)", self.name("q"))
        self._sends_ticks("q", most=10_000)
        if HOURS.get(queue.policy.archive_retention or "", 1) == 0:
            queue.archive = {id_: m for id_, m in queue.archive.items() if id_ in self.must_go}

    def set_policy(self, policy: Policy) -> None:
        queue = self.queue("q")
        arguments = policy.arguments()
        types = {"dead_letter_queue": "text", "max_receives": "integer"}
        types |= {"max_in_flight": "integer", "ack_archives": "boolean"}
        types |= {"priorities": "boolean", "rate_limit": "integer", "rate_burst": "integer"}
        shown = "".join(f", {name} => %s::{types.get(name, 'interval')}" for name in arguments)
        self.sql(f"SELECT pgmq.set_policy(%s{shown})", self.name("q"), *arguments.values())
        if policy.dedup_window is None:
            queue.keys.clear()
            queue.past_keys.clear()
            queue.unsure_keys.clear()
        elif policy.dedup_window != queue.policy.dedup_window:
            # What was out of a short window is within a longer one, unless upkeep came first.
            queue.keys = queue.past_keys | queue.keys
            queue.past_keys.clear()
            queue.unsure_keys.update(queue.keys)
        if policy.rate_limit is not None and not self.world.metered:
            self.world.metered = True
            self.used = 0
        queue.policy = policy

    def pause(self, reads: bool, sends: bool) -> None:
        self.sql("SELECT pgmq.pause(%s, %s, %s)", self.name("q"), reads, sends)
        queue = self.queue("q")
        queue.paused, queue.closed = reads, sends

    def resume(self) -> None:
        queue = self.queue("q")
        assert self.one("SELECT pgmq.resume(%s)", self.name("q")) == (queue.paused or queue.closed)
        queue.paused = queue.closed = False

    # Rates and schedules: what has to do with time

    def hour(self) -> None:
        """Let an hour go by for the rate."""
        if self.world.metered:
            name = self.one("SELECT pgmq._relation_name('rate', %s)", self.name("q"))
            text = f'pgmq."{name}"'
            self.sql(
                f"SELECT setval(%s, last_value - 3600000000) FROM {text} WHERE is_called", text
            )
            self.used = max(0, self.used - 1)

    def late(self, minutes: int) -> None:
        """Let it be as if nobody had called for some time.

        Of more than 200 due messages, reads choose otherwise than the model says.
        """
        if len(self.queue("q").messages) + sum(map(len, self.due.values())) > 30:
            return
        if self.world.schedules:
            times = ("anchor", "tick_at", "next_at", "last_at")
            shown = ", ".join(f"{time} = {time} - v.time" for time in times)
            self.sql(
                f"UPDATE pgmq.schedule SET {shown} FROM (VALUES (%s::interval)) AS v (time)",
                timedelta(minutes=minutes),
            )
        for schedule in self.world.schedules.values():
            schedule.at -= timedelta(minutes=minutes)
            if schedule.last is not None:
                schedule.last = schedule.last[0] - timedelta(minutes=minutes), schedule.last[1]

    def schedule(
        self, name: str, every: str, body: str | None, headers: str | None, catch_up: bool
    ) -> None:
        schedules = self.world.schedules
        interval = timedelta(minutes=INTERVALS[every])
        before = self.one("SELECT clock_timestamp()")
        at, after = self.sql(
            "SELECT s.at, clock_timestamp() FROM"
            " pgmq.schedule(%s, %s, %s::interval, %s::jsonb, %s::jsonb, catch_up => %s) AS s (at)",
            name,
            self.name("q"),
            every,
            body,
            headers,
            catch_up,
        )[0]
        assert before <= at - interval <= after
        paused = name in schedules and schedules[name].paused
        schedules[name] = Schedule(
            name, parse(body), parse(headers), interval, catch_up, at.astimezone(UTC), paused
        )
        self.due.pop(name, None)

    def unschedule(self, name: str) -> None:
        was = self.world.schedules.pop(name, None)
        assert self.one("SELECT pgmq.unschedule(%s)", name) is (was is not None)
        self.due.pop(name, None)

    def pause_schedule(self, name: str, pauses: bool) -> None:
        query = f"SELECT pgmq.{'pause' if pauses else 'resume'}_schedule(%s)"
        schedule = self.world.schedules.get(name)
        if schedule is None:
            self.refused("42704", query, name)
            return
        assert self.one(query, name) is (schedule.paused != pauses)
        schedule.paused = pauses
        self.due.pop(name, None)

    def run_schedule(self, name: str) -> None:
        query = "SELECT pgmq.run_schedule(%s)"
        schedule = self.world.schedules.get(name)
        if schedule is None or self.queue("q").closed:
            self.refused("42704" if schedule is None else "55000", query, name)
            return
        msg_id = self.one(query, name)
        ((text,),) = self.sql("SELECT headers::text FROM pgmq.get(%s, %s)", self.name("q"), msg_id)
        found = fields(parse(text))
        assert found.pop("x-pgmq-schedule").keys() == {"name", "at"}
        assert found == {k: v for k, v in fields(schedule.headers).items() if "schedule" not in k}
        self._add("q", msg_id, schedule.body, parse(text), 0)

    def list_schedules(self) -> None:
        found = self.sql(
            "SELECT name, lower(queue_name), catch_up, next_at, last_at, last_msg_id, errors,"
            " last_error, paused_at IS NOT NULL FROM pgmq.list_schedules(%s)",
            self.name("q"),
        )
        name = self.queue("q").name.lower()
        expected = [
            (
                *(s.name, name, s.catch_up, None if s.paused else s.at),
                *(s.last or (None, None)),
                *(0, None, s.paused),
            )
            for s in self.world.schedules.values()
        ]
        assert sorted(found) == sorted(expected), f"must have listed {expected}"

    def _hours_to_ticks(self) -> list[float]:
        now = datetime.now(UTC)
        schedules = self.world.schedules.values()
        return [(s.at - now) / timedelta(hours=1) for s in schedules if not s.paused]

    def _look_for_ticks(self) -> None:
        """Say what is due, and have the next call look, as if a second had passed."""
        now = datetime.now(UTC)
        self.due = {name: s.due(now) for name, s in self.world.schedules.items()}
        self.sent = self.must_send = 0
        if any(self.due.values()):
            self.sql(
                "SELECT setval(format('pgmq.%%I', pgmq._relation_name('tick_due', %s)), 0)",
                self.queue("q").name,
            )

    def _sends_ticks(self, q: str, most: int = 100) -> None:
        """Note that this call must send what is due, up to so many messages."""
        if q == "q" and not self.queue(q).closed and self.isolation != "SERIALIZABLE":
            self.must_send = min(most, sum(map(len, self.due.values())))

    def _is_tick(self, body: Json, headers: Json) -> bool:
        """Say whether a new message is what one of the schedules is to send next."""
        shown = fields(headers).get("x-pgmq-schedule")
        name = str(shown.get("name")) if isinstance(shown, dict) else ""
        if not self.due.get(name):
            return False
        schedule = self.world.schedules[name]
        return (body, headers) == (schedule.body, schedule.headers_at(self.due[name][0]))

    def _tick(self, msg_id: int, body: Json, headers: Json) -> None:
        """A schedule has sent its next message."""
        assert self._is_tick(body, headers), f"nobody has sent {msg_id}: {headers} of {self.due}"
        schedule = self.world.schedules[fields(headers)["x-pgmq-schedule"]["name"]]
        at = self.due[schedule.name].pop(0)
        schedule.last = at, msg_id
        schedule.at = at + schedule.every
        self.sent += 1
        self.queue("q").messages[msg_id] = Message(body, headers, self.began)
        self.last["q"] = max(self.last["q"], msg_id)

    def discard(self) -> None:
        if not self.saved:
            self.sql("DISCARD ALL")

    # Transactions

    def begin(self, isolation: str) -> None:
        if not self.saved:
            self.sql(f"BEGIN ISOLATION LEVEL {isolation}")
            self.isolation = isolation
            self.saved.append(copy.deepcopy(self.world))

    def savepoint(self) -> None:
        if self.saved:
            self.sql(f"SAVEPOINT s{len(self.saved)}")
            self.saved.append(copy.deepcopy(self.world))

    def rollback_to(self) -> None:
        if len(self.saved) > 1:
            self.world = self.saved.pop()
            self.sql(f"ROLLBACK TO s{len(self.saved)}")

    def commit(self) -> None:
        if self.saved:
            self.sql("COMMIT")
            self.isolation = ""
            self.saved.clear()

    def rollback(self) -> None:
        if self.saved:
            self.sql("ROLLBACK")
            self.isolation = ""
            self.world = self.saved[0]
            self.saved.clear()

    def refused(self, sqlstate: str, query: str, *arguments: Any) -> None:
        """Make a call that must fail and change nothing."""
        if self.saved:
            self.sql("SAVEPOINT refused")
        found = None
        try:
            self.sql(query, *arguments)
        except psycopg.Error as error:
            found = error.sqlstate
        assert found == sqlstate
        if self.saved:
            self.sql("ROLLBACK TO refused")

    def wrong(self, query: str, sqlstate: str, rest: list[Any]) -> None:
        self.refused(sqlstate, query, self.name("q"), *rest)

    def drain(self) -> None:
        """Make everything visible and read it, with no policy in the way."""
        self.rollback()
        self._be_owner()
        self.resume()
        self.set_policy(Policy())
        for name in list(self.world.schedules):
            self.unschedule(name)
        self.due.clear()
        queue = self.queue("q")
        # Each call may drop a partition.
        self._compare()
        self.set_vt("q", list(queue.messages), False, "0")
        self._compare()
        self.read("q", 0, None, "{}")
        self._compare()
        self.pop("q", None)
        assert not queue.messages

    # The model and the database

    def queue(self, q: str) -> Queue:
        return self.world.queues[q]

    def name(self, q: str) -> str:
        """Return the queue's name, as one may write it."""
        name = self.queue(q).name
        return name.upper() if len(self.log) % 3 == 0 and name.isascii() else name

    def _state(self) -> dict[tuple[str, str], dict[int, tuple[Any, ...]]]:
        state: dict[tuple[str, str], dict[int, tuple[Any, ...]]] = {
            (key, place): {} for key in self.world.queues for place in "qa"
        }
        for key, place, msg_id, *rest in self.sql(self.state):
            assert msg_id not in state[key, place], f"{msg_id} is twice in {place}_{key}"
            state[key, place][msg_id] = tuple(rest)
        return state

    def _compare(self) -> None:
        self._be_owner()
        state = self._state()
        self._let_go(state)
        for key, queue in self.world.queues.items():
            found = state[key, "q"]
            new = []
            for msg_id in sorted(found.keys() - queue.messages.keys()):
                body, headers = map(parse, found[msg_id][-2:])
                if msg_id > self.first[key] and key == "q" and self._is_tick(body, headers):
                    self._tick(msg_id, body, headers)
                elif msg_id > self.last[key]:
                    new.append(msg_id)
            expected = self.arrivals.get(key, [])
            assert len(new) == len(expected), f"new in {queue.name}: {new}"
            for msg_id, message in zip(new, expected, strict=True):
                self._add(key, msg_id, message.body, message.headers, message.hours)
            for place, messages in (("q", queue.messages), ("a", queue.archive)):
                self._compare_with(f"{place}_{queue.name}", state[key, place], messages)
        assert self.must_send <= self.sent <= max(self.must_send, 100), (
            f"sent {self.sent} of {self.must_send} ticks; left: {self.due}"
        )

    def _compare_with(
        self, table: str, found: dict[int, tuple[Any, ...]], messages: dict[int, Message]
    ) -> None:
        assert found.keys() == messages.keys(), (
            f"{table}: {sorted(found.keys() - messages.keys())} too many,"
            f" {sorted(messages.keys() - found.keys())} too few"
        )
        for msg_id, (read_ct, leased, hours, body, headers) in found.items():
            message = messages[msg_id]
            shown = (read_ct, leased, parse(body), parse(headers))
            expected = (message.read_ct, message.leased, message.body, message.headers)
            assert shown == expected, f"{table}, {msg_id}: {shown} is not {expected}"
            if table.startswith("q_"):
                assert alike(hours, message.hours), f"{table}, {msg_id}"

    def _let_go(self, state: dict[tuple[str, str], dict[int, tuple[Any, ...]]]) -> None:
        """Take out of the model what upkeep was allowed to move away, and has."""
        queue = self.queue("q")
        gone = queue.messages.keys() - state["q", "q"].keys()
        dead = sorted(gone & self.may_go)
        left = {m for m in self.must_go if m in queue.messages} - gone
        assert not left, f"{left} must not have been left"
        letters = {}
        for msg_id, row in state["dead", "q"].items():
            letter = fields(parse(row[4])).get("x-pgmq-dead-letter")
            if msg_id > self.last["dead"] and isinstance(letter, dict):
                letters[letter.get("msg_id")] = (msg_id, row)
        arrived = []
        for msg_id in dead:
            was = queue.messages[msg_id]
            kept = letters if queue.policy.dead_letter_queue else state["q", "a"]
            if self._dropped(msg_id, was) and msg_id not in kept:
                continue
            if queue.policy.dead_letter_queue:
                assert msg_id in letters, f"{msg_id} is gone, and no dead letter"
                new_id, row = letters[msg_id]
                headers = parse(row[4])
                arrived.append((new_id, Message(was.body, headers, self.began)))
            elif HOURS.get(queue.policy.archive_retention or "", 1) == 0:
                del queue.messages[msg_id]
                if msg_id not in state["q", "a"]:
                    continue
                headers = parse(state["q", "a"][msg_id][4])
                queue.archive[msg_id] = Message(
                    was.body, headers, self.began, was.hours, was.read_ct, was.leased
                )
                check_dead_letter(queue, msg_id, was, headers)
                continue
            else:
                assert msg_id in state["q", "a"], f"{msg_id} is gone, and not in the archive"
                headers = parse(state["q", "a"][msg_id][4])
                queue.archive[msg_id] = Message(
                    was.body, headers, self.began, was.hours, was.read_ct, was.leased
                )
            check_dead_letter(queue, msg_id, was, headers)
            del queue.messages[msg_id]
        self.arrivals.setdefault("dead", []).extend(message for _, message in sorted(arrived))
        for messages, found in ((queue.messages, "q"), (queue.archive, "a")):
            for msg_id in messages.keys() - state["q", found].keys():
                if self._dropped(msg_id, messages[msg_id]):
                    del messages[msg_id]
        if HOURS.get(queue.policy.archive_retention or "", 1) == 0:
            for msg_id in queue.archive.keys() - state["q", "a"].keys():
                del queue.archive[msg_id]

    def _dropped(self, msg_id: int, message: Message) -> bool:
        """Say whether retention may have dropped the message with its partition."""
        age = time.monotonic() - message.at
        return msg_id + self.kind.kept_ids < self.last["q"] or age > self.kind.kept_seconds


def alike(hours: float, expected: float) -> bool:
    """Say whether a message is hidden for so long; none falls due while a program runs."""
    if expected == 0 or math.isinf(expected):
        return hours == expected
    return abs(hours - expected) < 0.1


def limit(qty: int | None) -> float:
    return math.inf if qty is None else qty


# Making programs

WEIGHTS = {
    "send": 6,
    "send_batch": 4,
    "send_once": 3,
    "read": 8,
    "read_any": 2,
    "read_with_poll": 1,
    "ack_and_read": 3,
    "grouped": 5,
    "read_fair": 8,
    "pop": 2,
    "look": 4,
    "end": 3,
    "set_vt": 5,
    "amend": 3,
    "fenced": 8,
    "move": 2,
    "redrive": 2,
    "requeue": 2,
    "purge": 0.2,
    "maintain": 1,
    "set_policy": 0.5,
    "pause": 0.3,
    "resume": 1,
    "discard": 0.3,
    "hour": 2,
    "schedule": 2,
    "unschedule": 0.3,
    "pause_schedule": 0.3,
    "run_schedule": 0.5,
    "list_schedules": 1,
    "late": 12,
    "begin": 2,
    "savepoint": 2,
    "rollback_to": 1,
    "commit": 1.5,
    "rollback": 1,
    "wrong": 1,
}
WRONG: list[tuple[str, str, list[Any]]] = [
    ("SELECT pgmq.send(%s, '1', null::jsonb, null::integer)", "22004", []),
    ("SELECT pgmq.read(%s, null, 1)", "22004", []),
    ("SELECT pgmq.read(%s, 1, -1)", "2201W", []),
    ("SELECT pgmq.pop(%s, -1)", "2201W", []),
    ("SELECT pgmq.read_grouped_rr(%s, 1, -1)", "2201W", []),
    ("SELECT pgmq.read_any(ARRAY[%s, 'nowhere'], 1, 1)", "42P01", []),
    ("SELECT pgmq.set_vt(%s, 1, null::integer)", "22004", []),
    ("SELECT pgmq.ack(%s, '{1,2}'::bigint[], '{1}'::integer[])", "2202E", []),
    ("SELECT pgmq.extend(%s, 1::bigint, 1, null)", "22004", []),
    ("SELECT pgmq.move(%s, 1, 'nowhere')", "42P01", []),
    ("SELECT pgmq.redrive(%s, null, -1)", "2201W", []),
    ("SELECT pgmq.set_policy(%s, max_receives => 0)", "22023", []),
    ("SELECT pgmq.send_batch(%s, '{}'::jsonb[])", "P0001", []),
]


class Maker:
    """Makes steps that have something to do with what is there."""

    def __init__(self, rng: random.Random, runner: Runner) -> None:
        self.rng = rng
        self.runner = runner
        weights = WEIGHTS | ({} if runner.kind.policies else {"set_policy": 0, "send_once": 0.2})
        weights |= {} if runner.kind.fair else {"read_fair": 0}
        if not runner.kind.scheduled:
            weights |= {call: 0 for call in weights if "schedule" in call or call == "late"}
        if not any(policy.rate_limit for policy in runner.kind.policies):
            weights["hour"] = 0
        self.calls, self.weights = list(weights), list(weights.values())

    def step(self) -> Step:
        call = self.rng.choices(self.calls, self.weights)[0]
        make: Callable[[], dict[str, Any]] = getattr(self, f"_{call}", dict)
        return Step(call, make())

    def _q(self) -> str:
        return self.rng.choice(["q", "q", "q", "q", "q", "other", "dead"])

    def _headers(self) -> str | None:
        weird = "headers that are no object" not in KNOWN
        return self.rng.choice([h for h in HEADERS if weird or h is None or h.startswith("{")])

    def _delay(self) -> str:
        return "0" if self.rng.random() < 0.6 else self.rng.choice(list(DELAYS))

    def _vt(self) -> int:
        return self.rng.choice([3600, 3600, 7200, 0, 0, -1])

    def _qty(self) -> int | None:
        return self.rng.choice(QUANTITIES)

    def _id(self, q: str) -> int | None:
        there = sorted(self.runner.queue(q).messages)
        last = self.runner.last[q]
        some = [None, 0, -1, last + 5, self.rng.randint(1, last + 1)]
        return (
            self.rng.choice(there) if there and self.rng.random() < 0.9 else self.rng.choice(some)
        )

    def _ids(self, q: str, most: int = 6) -> list[int | None]:
        ids = [self._id(q) for _ in range(self.rng.choice([0, 1, 1, 2, 3, most]))]
        return ids + self.rng.sample(ids, min(len(ids), self.rng.choice([0, 0, 0, 1])))

    def _receipt(self, q: str, msg_id: int | None) -> int | None:
        message = self.runner.queue(q).messages.get(msg_id or 0)
        read_ct = message.read_ct if message else 1
        if self.rng.random() < 0.85:
            return read_ct
        return self.rng.choice([read_ct - 1, read_ct + 1, 0, None])

    def _leases(self, q: str) -> dict[str, Any]:
        ids = self._ids(q)
        return {"q": q, "ids": ids, "receipts": [self._receipt(q, id_) for id_ in ids]}

    def _send(self) -> dict[str, Any]:
        body, delay = self.rng.choice(BODIES), self._delay()
        return {"q": self._q(), "body": body, "headers": self._headers(), "delay": delay}

    def _send_batch(self) -> dict[str, Any]:
        size = self.rng.choice([1, 2, 3, 5, 12])
        return {
            "q": self._q(),
            "bodies": self.rng.choices(BODIES, k=size),
            "headers": [self._headers() for _ in range(size)],
            "delay": self._delay(),
        }

    def _send_once(self) -> dict[str, Any]:
        size = self.rng.choice([1, 1, 2, 4])
        return {
            "q": "q",
            "bodies": self.rng.choices(BODIES, k=size),
            "keys": self.rng.choices(KEYS, k=size),
            "headers": [
                h if h is None or "dedup" not in h else None
                for h in (self._headers() for _ in range(size))
            ],
            "delay": self.rng.choice(["0", "0", "-7", "3600"]),
        }

    def _read(self) -> dict[str, Any]:
        condition = self.rng.choice(CONDITIONS) if self.rng.random() < 0.3 else "{}"
        return {"q": self._q(), "vt": self._vt(), "qty": self._qty(), "condition": condition}

    def _read_with_poll(self) -> dict[str, Any]:
        return {"q": self._q(), "vt": self._vt(), "qty": self._qty()}

    def _read_any(self) -> dict[str, Any]:
        queues = self.rng.sample(["q", "other", "dead"], self.rng.randint(1, 3))
        queues.sort(key="dead".__ne__)  # else the dead letters of the same call come as well
        return {"queues": queues, "vt": self._vt(), "qty": self._qty()}

    def _ack_and_read(self) -> dict[str, Any]:
        return self._leases(self._q()) | {"vt": self._vt(), "qty": self._qty()}

    def _grouped(self) -> dict[str, Any]:
        calls = ["read_grouped", "read_grouped_rr", "read_grouped_head", "read_group"]
        group = self.rng.choice(GROUPS)
        call = self.rng.choice(calls)
        return {"q": self._q(), "call": call, "vt": self._vt(), "qty": self._qty(), "group": group}

    def _read_fair(self) -> dict[str, Any]:
        return {"vt": self._vt(), "qty": self._qty()}

    def _pop(self) -> dict[str, Any]:
        return {"q": self._q(), "qty": self.rng.choice([1, 1, 2, 3, 0, None])}

    def _look(self) -> dict[str, Any]:
        q = self._q()
        condition = self.rng.choice(CONDITIONS)
        return {"q": q, "qty": self._qty(), "condition": condition, "msg_id": self._id(q)}

    def _end(self) -> dict[str, Any]:
        q, call = self._q(), self.rng.choice(["delete", "archive"])
        ids = self._ids(q)
        return {"q": q, "call": call, "ids": ids, "single": bool(ids) and self.rng.random() < 0.4}

    def _set_vt(self) -> dict[str, Any]:
        q = self._q()
        ids = self._ids(q, most=30)
        vt = self.rng.choice(["0", "0", *DELAYS])
        return {"q": q, "ids": ids, "single": bool(ids) and self.rng.random() < 0.4, "vt": vt}

    def _amend(self) -> dict[str, Any]:
        q = self._q()
        fixed = ("x-pgmq-group", "x-pgmq-dedup-id")
        headers = [
            h for h in HEADERS if h and h[0] == "{" and not {*fixed} & fields(parse(h)).keys()
        ]
        return {
            "q": q,
            "msg_id": self._id(q),
            "body": self.rng.choice(BODIES),
            "headers": self.rng.choice([None, *headers]),
        }

    def _requeue(self) -> dict[str, Any]:
        q = self._q()
        archived = sorted(self.runner.queue(q).archive)
        ids = self.rng.sample(archived, min(len(archived), self.rng.choice([0, 1, 2, 5])))
        return {"q": q, "ids": [*ids, 0], "keep": self.rng.random() < 0.3}

    def _fenced(self) -> dict[str, Any]:
        call = self.rng.choice(["ack", "ack", "nack", "nack", "extend"])
        leases = self._leases(self._q())
        rest: list[Any] = []
        if call == "nack":
            rest = [self.rng.choice([None, None, 0, -1, 3600]), self.rng.choice([None, "oh", ""])]
        elif call == "extend":
            rest = [self.rng.choice([3600, 7200, 0, -1])]
        single = bool(leases["ids"]) and self.rng.random() < 0.4
        return leases | {"call": call, "rest": rest, "single": single}

    def _move(self) -> dict[str, Any]:
        q, to = self.rng.sample(["q", "other", "dead"], 2)
        return {"q": q, "msg_id": self._id(q), "to": to}

    def _redrive(self) -> dict[str, Any]:
        q, to = self.rng.choice(["dead", "dead", "dead", "other", "q"]), None
        if self.rng.random() < 0.3 or q == "q":
            to = self.rng.choice([key for key in ("q", "other", "dead") if key != q])
        return {"q": q, "to": to, "qty": self._qty()}

    def _purge(self) -> dict[str, Any]:
        return {"q": self._q()}

    def _set_policy(self) -> dict[str, Any]:
        return {"policy": self.rng.choice([*self.runner.kind.policies, Policy()])}

    def _pause(self) -> dict[str, Any]:
        reads = self.rng.random() < 0.7
        return {"reads": reads, "sends": not reads or self.rng.random() < 0.5}

    def _schedule(self) -> dict[str, Any]:
        return {
            "name": self.rng.choice(SCHEDULES),
            "every": self.rng.choice(list(INTERVALS)),
            "body": self.rng.choice(BODIES),
            "headers": self.rng.choice(TICK_HEADERS),
            "catch_up": self.rng.random() < 0.5,
        }

    def _unschedule(self) -> dict[str, Any]:
        return {"name": self.rng.choice(SCHEDULES)}

    _run_schedule = _unschedule

    def _pause_schedule(self) -> dict[str, Any]:
        return {"name": self.rng.choice(SCHEDULES), "pauses": self.rng.random() < 0.4}

    def _late(self) -> dict[str, Any]:
        return {"minutes": self.rng.choice(MINUTES)}

    def _begin(self) -> dict[str, Any]:
        levels = ["READ COMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]
        return {"isolation": self.rng.choice(levels)}

    def _wrong(self) -> dict[str, Any]:
        query, sqlstate, rest = self.rng.choice(WRONG)
        return {"query": query, "sqlstate": sqlstate, "rest": rest}
