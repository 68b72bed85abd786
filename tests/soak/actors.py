"""What clients do: each actor is one small thing, chosen by chance."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import psycopg

from model.history import Call, Seen
from soak.client import CONSUMER, LEVELS, OWNER, POOL, PRODUCER, Wrong
from support import queues

if TYPE_CHECKING:
    from collections.abc import Callable

    from soak.client import Client, Deed


@dataclass(frozen=True)
class Queue:
    """A queue of the soak: the calls that make it, how it is read, and what it promises."""

    make: tuple[str, ...]
    reads: tuple[str, ...] = ("read", "read", "pop", "ack_and_read")
    ends: tuple[str, ...] = ("ack", "ack", "ack", "nack", "archive", "delete", "extend", "set_vt")
    cap: int = 0
    cap_of_group: int = 0
    rate: int = 0
    burst: int = 0
    in_order: bool = False
    forgets_archive: bool = False  # by its own retention
    emptied_by_crash: bool = False


FIFO = ("read_grouped", "read_grouped_rr", "read_grouped_head")
LEASED = ("ack", "ack", "ack", "nack", "extend")
QUEUES = {
    "plain": Queue(("create({q})", "enable_wakeups({q})")),
    "work": Queue(
        (
            "create({q})",
            (
                "set_policy({q}, max_receives => 4, dead_letter_queue => 'dead',"
                " retry_delay => '10 ms', retry_delay_max => '1 s', retry_jitter => 0.5,"
                " dedup_window => '1 h', max_in_flight => 40, ack_archives => true)"
            ),
        ),
        reads=("read",),
        ends=LEASED,
        cap=40,
    ),
    "dead": Queue(("create({q})",)),
    "groups": Queue(("create({q})", "create_fifo_index({q})"), FIFO, LEASED, in_order=True),
    "fair": Queue(
        ("create({q})", "set_policy({q}, max_in_flight_per_group => 5)"),
        ("read_fair", "read_fair", "read"),
        LEASED,
        cap_of_group=5,
    ),
    "ranked": Queue(("create({q})", "set_policy({q}, priorities => true)")),
    "limited": Queue(
        ("create({q})", "set_policy({q}, rate_limit => 100, rate_burst => 20)"),
        ("read",),
        rate=100,
        burst=20,
    ),
    "by_id": Queue(
        ("create_partitioned({q}, '100', '3000', 2)", "create_fifo_index({q})"),
        (*FIFO, "read"),
        forgets_archive=True,
    ),
    "by_time": Queue(("create_partitioned({q}, '5 seconds', '10 minutes', 2)",)),
    "brief": Queue(
        ("create({q})", "set_policy({q}, message_ttl => '2 s', archive_retention => '1 h')"),
        ends=LEASED,
    ),
    "pushed": Queue(("create({q})", "enable_push({q})"), ("read",), LEASED),
    "pending": Queue(("create({q})", "set_policy({q}, dedup_scope => 'pending')"), ("read", "pop")),
    "fleeting": Queue(("create_unlogged({q})",), emptied_by_crash=True),
}
OLD = {  # of pgmq 1.13
    "plain": Queue(("create({q})",), ("read", "pop"), ("delete", "delete", "archive", "set_vt")),
    "by_hand": Queue(("create({q})",), ("read",), ("delete", "archive")),
}
STREAMS = {
    "log": ("create_stream({q}, '100', '2000')", "create_group({q}, 'wide', 'earliest', 4)",
            "create_group({q}, 'narrow', 'earliest')",
            "create_group({q}, 'failing', 'earliest', 2, 3, 'failed')",
            "create_group({q}, 'seeking', 'earliest', 3)"),
    "clocked": ("create_stream({q}, '5 seconds', '15 seconds')",
                "create_group({q}, 'only', 'earliest', 2)",
                "create_group({q}, 'seeking', 'earliest', 3)"),
}  # fmt: skip
SEEKING = "seeking"
FAILED = "failed"  # the dead letters of a group
TICKS = "ticks"
GROUPS = {"log": ("wide", "narrow", "failing", SEEKING), "clocked": ("only", SEEKING)}
GRANTED = {"log": ("wide", SEEKING), "clocked": ("only", SEEKING)}
EXTRAS = (
    f"SELECT pgmq.create('{TICKS}'), pgmq.set_policy('{TICKS}', ack_archives => true)",
    f"SELECT pgmq.schedule('tick', '{TICKS}', '1 second'::interval, '1', catch_up => true)",
    "SELECT pgmq.create_exchange('x'), pgmq.bind('x', 'fair', 'news.#')",
    "SELECT pgmq.bind('x', 'ranked', null, 'fanout')",
    "SELECT pgmq.bind_topic('a.#', 'plain'), pgmq.bind_topic('a.b', 'groups')",
)
# What the sessions that are no owner's live on.
GRANTS = (
    *(
        f"SELECT pgmq.grant_send('{name}', 'soak_producer'),"
        f" pgmq.grant_monitor('{name}', 'soak_producer')"
        for name in (*QUEUES, *STREAMS)
    ),
    *(f"SELECT pgmq.grant_consume('{name}', 'soak_consumer')" for name in (*QUEUES, TICKS)),
    *(
        f"SELECT pgmq.grant_requeue('{name}', 'soak_producer')"
        for name in ("plain", "work", "by_time")
    ),
    *(
        f"SELECT pgmq.grant_fetch('{name}', '{group}', 'soak_consumer')"
        for name, groups in GRANTED.items()
        for group in groups
    ),
)
# What they have no right to.
FOR_NOBODY = (
    "SELECT pgmq.purge_queue('plain')",
    "SELECT pgmq.drop_queue('work')",
    "SELECT pgmq.create('own')",
    "SELECT pgmq.set_policy('groups', max_receives => 2)",
    "SELECT pgmq.enable_push('plain')",
    "SELECT pgmq.grant_send('plain', current_user)",
    "SELECT pgmq.amend('plain', 1, '0'::jsonb)",
    "SELECT * FROM pgmq.fetch('log', 'failing', 1, 1)",
    "SELECT pgmq.seek('log', 'failing', 'latest')",
    "SELECT pgmq.alter_group('log', 'wide', max_deliveries => 1)",
    "SELECT pgmq.drop_group('clocked', 'only')",
    "UPDATE pgmq.q_plain SET message = '0'",
    "DELETE FROM pgmq.meta",
)
FORBIDDEN = {
    "soak_producer": (
        *FOR_NOBODY,
        "SELECT * FROM pgmq.read('plain', 1, 1)",
        "SELECT * FROM pgmq.pop('by_id')",
        "SELECT * FROM pgmq.peek('by_time', 1)",
        "SELECT message FROM pgmq.q_work",
        "SELECT pgmq.delete('plain', 1)",
        "SELECT pgmq.redrive('dead', 'work')",
        "SELECT * FROM pgmq.fetch('log', 'wide', 1, 1)",
    ),
    "soak_consumer": (
        *FOR_NOBODY,
        "SELECT pgmq.send('plain', '0')",
        "SELECT pgmq.send('log', '0')",
        "SELECT * FROM pgmq.a_plain",
        "SELECT pgmq.requeue('plain', since => now())",
        "INSERT INTO pgmq.q_work (message) VALUES ('0')",
    ),
}
BACKLOG = 600  # beyond this nothing is sent


def made(name: str, make: tuple[str, ...]) -> str:
    return "SELECT " + ", ".join(f"pgmq.{call}".replace("{q}", f"'{name}'") for call in make)


def _body(number: int, **more: Any) -> str:
    return json.dumps({"n": number, **more})


def _headers(c: Client, group: str) -> str:
    """Give each message a group, and sometimes a priority."""
    return json.dumps({"x-pgmq-group": group, "x-pgmq-priority": c.rng.randrange(10)})


def _group(c: Client) -> str:
    return f"g{min(int(c.rng.expovariate(0.3)), 19)}"


def _is_full(c: Client, queue: str) -> bool:
    row = c.session.execute("SELECT queue_length FROM pgmq.metrics(%s)", [queue]).fetchone()
    return row is None or row[0] > BACKLOG


def produce(c: Client) -> None:
    _produce(c, c.any_of(QUEUES))


def produce_old(c: Client) -> None:
    _produce(c, c.rng.choice([*OLD]), old=True)


def _produce(c: Client, queue: str, old: bool = False) -> None:
    rng = c.rng
    if _is_full(c, queue):
        return
    level = "READ COMMITTED" if old else rng.choice(LEVELS)
    prepared = queue == "ranked" and rng.random() < 0.1
    with c.deed(queue, level, prepared=prepared) as deed:
        for _ in range(rng.choice([1, 1, 2])):
            count = rng.choice([1, 1, 3, 10, 30])
            numbers = [c.number_of_message() for _ in range(count)]
            if queue in ("work", "pending") and rng.random() < 0.3 and level == "READ COMMITTED":
                _send_once(c, deed, numbers[:1])
                break  # a key is waited for by nobody who holds another
            call = Call("send", 0)
            groups = [_group(c) for _ in numbers]
            headers = [_headers(c, group) for group in groups]
            delay = rng.choice([0, 0, 0, 1, 2])
            if count == 1:
                query = "SELECT pgmq.send(%s, %s::jsonb, %s::jsonb, %s)"
                rows = c.call(deed, call, query, queue, _body(numbers[0]), headers[0], delay)
            else:
                query = "SELECT pgmq.send_batch(%s, %s::jsonb[], %s::jsonb[], %s)"
                bodies = [_body(number) for number in numbers]
                rows = c.call(deed, call, query, queue, bodies, headers, delay)
            ids = [row[0] for row in rows]
            call.sent = dict(zip(ids, zip(numbers, groups, strict=True), strict=True))
            if rng.random() < 0.03:
                time.sleep(rng.random())


def _send_once(c: Client, deed: Deed, numbers: list[int]) -> None:
    call = Call("send_once", 0)
    key = f"{c.round}-{c.rng.randrange(99)}"
    query = "SELECT msg_id, is_new FROM pgmq.send_once(%s, %s::jsonb, %s, %s::jsonb)"
    group = _group(c)
    rows = c.call(deed, call, query, deed.queue, _body(numbers[0]), key, _headers(c, group))
    ((msg_id, is_new),) = rows
    if deed.queue == "work":  # a pending key is new again once its message is gone
        call.keys = [(key, msg_id, is_new)]
    if is_new:
        call.sent = {msg_id: (numbers[0], group)}


def publish(c: Client) -> None:
    """Send to several queues at once, by an exchange or by topics."""
    number = c.number_of_message()
    headers = _headers(c, _group(c))
    by_exchange = c.rng.random() < 0.5
    if any(_is_full(c, queue) for queue in ("fair", "ranked", "groups", "plain")):
        return
    with c.deed("") as deed:
        if by_exchange:
            key = c.rng.choice(["news.today", "other"])
            query = "SELECT pgmq.publish('x', %s, %s::jsonb, %s::jsonb)"
            rows = c.session.execute(query, [key, _body(number), headers]).fetchall()
        else:
            key = c.rng.choice(["a.b", "a.c"])
            query = "SELECT pgmq.send_topic(%s, %s::jsonb, %s::jsonb, 0)"
            rows = c.session.execute(query, [key, _body(number), headers]).fetchall()
        expected = 2 if key in ("news.today", "a.b") else 1
        assert rows == [(expected,)], f"{key} went to {rows}"
        deed.numbers, deed.copies = (number,), rows[0][0]


def consume(c: Client) -> None:
    name = c.any_of(QUEUES)
    consume_from(c, name, QUEUES[name])


def consume_old(c: Client) -> None:
    name = c.rng.choice([*OLD])
    consume_from(c, name, OLD[name])


def consume_from(c: Client, name: str, queue: Queue, faults: float = 1.0) -> int:
    """Read, and then do something with what was read; return how many messages there were."""
    rng = c.rng
    how = rng.choice(queue.reads)
    vt, qty = rng.choice([1, 2, 4]), rng.choice([1, 5, 20, 50]) if faults else 100
    # An old snapshot does not see what was leased since: caps hold for READ COMMITTED.
    capped = queue.cap or queue.cap_of_group
    any_level = faults and how == "read" and queue is QUEUES.get(name) and not capped
    level = rng.choice(LEVELS) if any_level else LEVELS[0]
    if how == "pop":
        with c.deed(name, level, rolled_back=0.05 * faults) as deed:
            found = c.see(deed, "pop", "pop", name, qty)
            deed.calls[0].done = [message.msg_id for message in found]
        return len(found)
    if how == "ack_and_read":
        return _ack_and_read(c, name, vt, qty)
    with c.deed(name, level, rolled_back=0.05 * faults) as deed:
        kind = "read" if how in ("read", "read_fair") else "grouped"
        found = c.see(deed, kind, how, name, vt, qty)
        if found and rng.random() < 0.2:
            _end(c, deed, rng.choice(queue.ends), found)
            found = []
    if deed.outcome != "committed" or not found:
        return len(deed.calls[0].messages)
    fate = rng.random()
    if fate < 0.1 * faults:
        c.forgotten = [*c.forgotten[-9:], (name, found)]
        return len(found)
    if fate < 0.13 * faults:
        time.sleep(rng.random() * 1.5)  # past the lease, perhaps
    cut = rng.randrange(len(found) + 1) if rng.random() < 0.3 else len(found)
    for some in (found[:cut], found[cut:]):
        if some:
            with c.deed(name, rolled_back=0.05 * faults) as deed:
                _end(c, deed, rng.choice(queue.ends) if faults else "ack", some)
    return len(found)


def _ack_and_read(c: Client, name: str, vt: int, qty: int) -> int:
    """Acknowledge what the last such call has read; which of it was acknowledged nobody says."""
    last = c.leases.pop(name, [])
    with c.deed(name) as deed:
        ids, receipts = [m.msg_id for m in last], [m.read_ct for m in last]
        found = c.see(deed, "read", "ack_and_read", name, vt, qty, ids, receipts)
        if ids:
            call = deed.calls[0]
            guess = Call("ack", call.made, call.returned, done=ids, asked=ids)
            deed.calls.append(guess)
            guess.text, guess.failed = "ack_and_read", True
    if deed.outcome == "committed":
        c.leases[name] = found
    return len(found)


def _end(c: Client, deed: Deed, how: str, leases: list[Seen]) -> None:
    """Acknowledge, return, keep or remove messages."""
    rng = c.rng
    ids, receipts = [m.msg_id for m in leases], [m.read_ct for m in leases]
    call = Call(how, 0, asked=ids)
    if how in ("ack", "nack", "extend"):
        call.receipts = dict(zip(ids, receipts, strict=True))
        rest: tuple[Any, ...] = ()
        if how == "nack":
            rest = (rng.choice([0, None, 1]), rng.choice([None, "no luck"]))
        elif how == "extend":
            rest = (rng.choice([1, 2]),)
        if len(ids) == 1:
            query = f"SELECT pgmq.{how}(%s, %s::bigint, %s::integer{', %s' * len(rest)})"
            rows = c.call(deed, call, query, deed.queue, ids[0], receipts[0], *rest)
            call.done = ids if rows[0][0] else []
            return
        query = f"SELECT pgmq.{how}(%s, %s::bigint[], %s::integer[]{', %s' * len(rest)})"
        rows = c.call(deed, call, query, deed.queue, ids, receipts, *rest)
    elif how == "set_vt":
        del ids[1:]
        query = "SELECT msg_id FROM pgmq.set_vt(%s, %s::bigint, %s)"
        rows = c.call(deed, call, query, deed.queue, ids[0], rng.choice([0, 1]))
    else:
        query = f"SELECT pgmq.{how}(%s, %s::bigint[])"
        rows = c.call(deed, call, query, deed.queue, ids)
    call.done = [row[0] for row in rows]


def amend(c: Client) -> None:
    """Give a message that nobody has leased another payload, or other headers."""
    rng = c.rng
    name = c.any_of(QUEUES)
    with c.deed(name, rng.choice(LEVELS)) as deed:
        own = c.owns and rng.random() < 0.3
        if own:
            number = c.number_of_message()
            send = Call("send", 0)
            group = _group(c)
            given = _headers(c, group)
            query = "SELECT pgmq.send(%s, %s::jsonb, %s::jsonb, 0)"
            rows = c.call(deed, send, query, name, _body(number), given)
            send.sent = {rows[0][0]: (number, group)}
            found = [(rows[0][0], number, json.loads(given))]
        elif c.forgotten and rng.random() < 0.3:
            name, leases = rng.choice(c.forgotten)
            deed.queue = name
            found = [(lease.msg_id, lease.number, None) for lease in leases]
        else:
            query = "SELECT msg_id, (message ->> 'n')::bigint, headers FROM pgmq.peek(%s, 20)"
            found = c.session.execute(query, [name]).fetchall()
        if not found:
            return
        msg_id, number, known = rng.choice(found)
        version = c.number_of_message() if c.owns and rng.random() < 0.8 else 0
        if known is None and not version:
            return
        call = Call("amend", 0, asked=[msg_id], version=version)
        payload = _body(number, v=version) if version else None
        headers = None
        if known is not None and (not version or rng.random() < 0.5):
            headers = json.dumps(known | {"x-pgmq-priority": rng.randrange(10)})  # of its group
        query = "SELECT pgmq.amend(%s, %s, %s::jsonb, %s::jsonb)"
        if c.call(deed, call, query, name, msg_id, payload, headers)[0][0]:
            call.done = [msg_id]
        else:
            assert not own, f"{call.text} refuses what its own transaction has sent"


def overreach(c: Client) -> None:
    """Try what is nobody's but the owner's, or another role's."""
    (role,) = c.session.execute("SELECT current_user").fetchone() or ("",)
    attempt = c.rng.choice(FORBIDDEN[role])
    with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
        with c.session.transaction(force_rollback=True):
            c.session.execute(attempt.encode())
        c.say(Wrong(f"{role} may {attempt}"))


def remember(c: Client) -> None:
    """Come back to leases that are over, and perhaps somebody else's by now."""
    if c.forgotten:
        name, found = c.forgotten[c.rng.randrange(len(c.forgotten))]
        with c.deed(name) as deed:
            _end(c, deed, c.rng.choice(LEASED), found)


def redrive(c: Client) -> None:
    with c.deed("") as deed:
        deed.numbers, deed.copies = (0,), 0  # moves messages, and keeps their numbers
        c.session.execute("SELECT pgmq.redrive('dead', 'work', %s)", [c.rng.choice([1, 20])])


def requeue(c: Client) -> None:
    """Put what was archived lately back."""
    name = c.rng.choice(["plain", "work", "by_time"])
    with c.deed("") as deed:
        deed.numbers, deed.copies = (0,), 0
        c.session.execute(
            "SELECT pgmq.requeue(%s, since => now() - interval '5 s', qty => 3)", [name]
        )


def be_pushed(c: Client) -> None:
    """Open a channel for a while; a lease ends with it, so that no end of one is promised."""
    c.session.execute("SELECT pgmq.open_channel('pushed', %s, 2)", [c.rng.choice([1, 5])])
    end = time.monotonic() + c.rng.random() * 2
    while time.monotonic() < end:
        notes = list(c.session.notifies(timeout=0.1, stop_after=1))
        for note in notes:
            payload = json.loads(note.payload)
            if c.rng.random() < 0.1:
                continue
            number = payload["message"]["n"]
            with c.deed("pushed") as deed:
                ids, receipts = [payload["msg_id"]], [payload["read_ct"]]
                lease = Seen(ids[0], number, receipts[0], 0.0, 0.0)
                deed.calls.append(Call("get", time.time(), time.time(), "push", [lease]))
                _end(c, deed, "ack", [lease])
        if not notes:
            c.session.execute("SELECT pgmq.close_dead_channels()")
    if c.stays or c.rng.random() < 0.5:
        c.session.execute("SELECT pgmq.close_channel()")
        _stop_listening(c)
    else:
        c.reconnect()


def _stop_listening(c: Client) -> None:
    c.session.execute("UNLISTEN *")
    list(c.session.notifies(timeout=0))  # what had come by then is not for who listens next


def wait(c: Client) -> None:
    """Wait for a message of the queue with wake-ups."""
    c.session.execute("SELECT pgmq.await('plain', 1)")
    list(c.session.notifies(timeout=0.3, stop_after=1))
    _stop_listening(c)
    consume_from(c, "plain", QUEUES["plain"])
    query = "SELECT pgmq.ack(%s, msg_id, read_ct) FROM pgmq.read(%s, 5, 9)"
    c.session.execute(query, [TICKS, TICKS])


def append(c: Client) -> None:
    """Send to a stream, with keys of this client; a key that is uncertain is given up."""
    rng = c.rng
    name = rng.choice([*STREAMS])
    (lag,) = c.session.execute("SELECT max(lag) FROM pgmq.list_groups(%s)", [name]).fetchone() or (
        0,
    )
    if (lag or 0) > BACKLOG:
        return
    place = (name, rng.randrange(3))
    key = c.keys.pop(place, None) or [f"{c.number}-{c.round}-{c.number_of_message()}", 0]
    level = rng.choice(LEVELS)
    with c.deed(name, level) as deed:
        for _ in range(rng.choice([1, 1, 3])):
            count = rng.choice([1, 1, 5, 30])
            numbers = range(key[1], key[1] + count)
            bodies = [_body(c.number_of_message(), k=key[0], i=i) for i in numbers]
            headers = [json.dumps({"x-pgmq-group": key[0]})] * count
            call = Call("append", 0)
            query = "SELECT pgmq.send_batch(%s, %s::jsonb[], %s::jsonb[])"
            rows = c.call(deed, call, query, name, bodies, headers)
            ids = [row[0] for row in rows]
            call.sent = dict(zip(ids, ((i, key[0]) for i in numbers), strict=True))
            key[1] += count
            if rng.random() < 0.03:
                time.sleep(rng.random())
    if deed.outcome == "committed":
        c.keys[place] = key


FETCH = """
    SELECT msg_id, lane, epoch, (message ->> 'i')::integer, message ->> 'k'
    FROM pgmq.fetch(%s, %s, %s, %s)
"""


def follow(c: Client) -> None:
    name = c.rng.choice([*STREAMS])
    follow_group(c, name, c.rng.choice((GROUPS if c.owns else GRANTED)[name]))


def follow_group(c: Client, name: str, group: str, faults: float = 1.0) -> int:
    """Fetch a batch of a stream and commit it, or not; return how many messages it had."""
    rng = c.rng
    vt, qty = rng.choice([1, 3]), rng.choice([1, 20, 200]) if faults else 1000
    with c.deed(name, rolled_back=0.05 * faults) as deed:
        call = Call("fetch", 0)
        rows = c.call(deed, call, FETCH, name, group, vt, qty)
        call.text = group
        call.sent = {row[0]: (row[3], row[4]) for row in rows}
        call.asked = [row[2] for row in rows[:1]]
        fetched = dict(call.sent)
        c.fetched[name] = [*fetched] or c.fetched.get(name, [])
        if rows and rng.random() < 0.2:  # exactly once
            _commit_batch(c, deed, group, rows[0], fetched)
            rows = []
    if deed.outcome != "committed" or not rows:
        return len(fetched)
    fate = rng.random()
    if fate < 0.04 * faults:
        return len(fetched)  # forgotten
    if fate < 0.08 * faults:
        time.sleep(rng.random() * 1.5)
    lane, epoch = rows[0][1:3]
    with c.deed(name, rolled_back=0.05 * faults) as deed:
        if faults and rng.random() < 0.1:
            error = "failed" if group == "failing" else rng.choice([None, "failed"])
            query = "SELECT pgmq.release(%s, %s, %s, %s, 0, %s)"
            c.call(deed, Call("release", 0), query, name, group, lane, epoch, error)
        elif faults and group == "failing" and rng.random() < 0.05:
            bad = rng.choice(rows)[0]
            call = Call("commit", 0, asked=[epoch])
            query = "SELECT pgmq.reject(%s, %s, %s, %s, %s, 'rejected')"
            done = c.call(deed, call, query, name, group, lane, epoch, bad)[0][0]
            call.text = group
            if done:
                call.sent = {m: what for m, what in fetched.items() if m < bad}
                call.done = call.asked
        else:
            _commit_batch(c, deed, group, rows[0], fetched)
    return len(fetched)


def _commit_batch(
    c: Client, deed: Deed, group: str, lease: tuple[Any, ...], content: dict[int, tuple[int, str]]
) -> None:
    call = Call("commit", 0, asked=[lease[2]])
    query = "SELECT pgmq.commit(%s, %s, %s, %s)"
    if c.call(deed, call, query, deed.queue, group, *lease[1:3])[0][0]:
        call.sent = content
        call.done = call.asked
    call.text = group


def seek(c: Client) -> None:
    """Have a group read something once more, or skip something."""
    name = c.rng.choice([*STREAMS])
    starts = ["latest", "earliest", f"{datetime.now(timezone.utc) - timedelta(seconds=1)}"]
    # Segments of the other one go by the clock: what a msg_id was may be gone.
    starts += map(str, c.fetched.get(name, [])[:1] * 3 if name == "log" else [])
    start = c.rng.choice(starts)
    with c.deed(name) as deed:
        call = Call("seek", 0)
        query = "SELECT pgmq.seek(%s, %s, %s::text)"
        ((place,),) = c.call(deed, call, query, name, SEEKING, start)
        call.text, call.asked = SEEKING, [place]
        assert not start.isdigit() or place == int(start), f"seek to {start} goes on from {place}"


def change(c: Client) -> None:
    """Change what is compiled into queues, under those who use them."""
    c.session.execute(
        c.rng.choice(
            [
                "SELECT pgmq.alter_policy('work', max_in_flight => 30)",
                "SELECT pgmq.alter_policy('work', max_in_flight => 40, ack_archives => true)",
                "SELECT pgmq.alter_policy('work', ack_archives => false, retry_delay => '5 ms')",
                "SELECT pgmq.alter_policy('fair', max_in_flight_per_group => 4)",
                "SELECT pgmq.alter_policy('fair', max_in_flight_per_group => 5)",
                "SELECT pgmq.alter_policy('ranked', priorities => true, priority_ageing => '1 s')",
                "SELECT pgmq.alter_policy('ranked', clear => '{priority_ageing,priorities}')",
                "SELECT pgmq.alter_policy('ranked', priorities => true)",
                "SELECT pgmq.enable_notify_insert('plain', 50)",
                "SELECT pgmq.disable_notify_insert('plain')",
                "SELECT pgmq.pin('plain')",
                "SELECT pgmq.unpin('plain')",
                "SELECT pgmq.enable_push('by_time')",
                "SELECT pgmq.disable_push('by_time')",
                "SELECT pgmq.alter_group('log', 'failing', max_deliveries => 4)",
                "SELECT pgmq.alter_group('log', 'failing', max_deliveries => 3)",
                "SELECT pgmq.recompile('plain')",
            ]
        ).encode()
    )


def pause(c: Client) -> None:
    name = c.rng.choice(["plain", "groups", "log", "by_id"])
    c.session.execute("SELECT pgmq.pause(%s)", [name])
    time.sleep(c.rng.random() * 0.5)
    c.session.execute("SELECT pgmq.resume(%s)", [name])


def keep_up(c: Client) -> None:
    """Do what schedulers and people do."""
    c.session.execute(
        c.rng.choice(
            [
                "SELECT pgmq.maintain()",
                f"SELECT pgmq.maintain('{c.rng.choice([*QUEUES, *STREAMS])}')",
                "SELECT * FROM pgmq.doctor()",
                "SELECT * FROM pgmq.metrics_all()",
                "SELECT * FROM pgmq.queue_stats()",
                "SELECT pgmq.recompile_all()",
                "VACUUM",
                "ANALYZE",
            ]
        ).encode()
    )


def hold(c: Client) -> None:
    """Keep a snapshot for some seconds, which vacuum must respect."""
    with psycopg.connect(c.address(OWNER)) as session:
        session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        session.execute("SELECT count(*) FROM pgmq.meta")
        time.sleep(c.rng.random() * 5)


def create_and_drop(c: Client) -> None:
    """Use a queue of any kind for a moment."""
    kind = c.rng.choice([*queues.KINDS])
    name = f"temp {c.number} {c.number_of_message()}"
    c.session.execute(queues.made(kind, name).encode())
    c.session.execute("SELECT pgmq.send_batch(%s, '{1,2,3}'::jsonb[])", [name])
    if kind in queues.STREAMS:
        query = "SELECT count(*) FROM pgmq.fetch(%s, 'g', 60, 9)"
    else:
        query = "SELECT count(*) FROM pgmq.read(%s, 60, 9)"
    c.session.execute(query.encode(), [name])
    c.session.execute("SELECT pgmq.drop_queue(%s)", [name])
    c.dropped += 1


ACTORS: dict[str, dict[Callable[[Client], None], int]] = {
    OWNER: {
        produce: 300, consume: 400, remember: 60, publish: 40, append: 60, follow: 120, amend: 60,
        seek: 15, be_pushed: 6, wait: 5, redrive: 10, requeue: 5, change: 4, pause: 2, keep_up: 6,
        hold: 2, create_and_drop: 4,
    },
    PRODUCER: {produce: 300, publish: 40, append: 60, requeue: 5, overreach: 20},
    CONSUMER: {
        consume: 400, remember: 60, follow: 120, amend: 40, seek: 10, be_pushed: 6, wait: 5,
        overreach: 20,
    },
    POOL: {consume: 400, remember: 60, follow: 120, amend: 40, seek: 10, overreach: 20},
    "old": {produce_old: 30, consume_old: 40, hold: 1},
}  # fmt: skip
