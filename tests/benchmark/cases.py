"""What is measured: each case as the pgbench script of the public API and of SQL written by hand.

Upstream and pgmq run the same script, letter for letter, in the forms that client libraries send.
`bench` stands for the queue and is replaced by its name. The message is a parameter (`:msg`), as a
driver would send it, so parsing its JSON is part of every engine's cost; a batch is composed in SQL
from that one parameter, so that the batch's own cost is not hidden behind parsing so much JSON.
`\\aset` keeps the row that a read returns; when it returns none, the variables keep their values,
and what is then deleted is gone already. Such a read shows in the messages that are left over.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from textwrap import dedent

MESSAGE = (
    '{"order_id": 8210345, "customer": "c-59127", "items": [{"sku": "A-1029", "n": 2}],'
    ' "total": 129.95}'
)
FEW, SOME, MANY = 1, 10, 100  # messages a call


def payload(size: int) -> str:
    """Return a JSON message of so many bytes, the same every time, that hardly compresses."""
    head = '{"order_id": 8210345, "document": "'
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"
    chosen = random.Random(size).choices(letters, k=max(0, size - len(head) - 2))
    return head + "".join(chosen) + '"}'


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table; counts are messages per transaction."""

    name: str
    title: str
    api: str
    by_hand: str
    takes: int = 0  # how many waiting messages it needs
    net: int = 0  # by how much what is counted grows
    counted: str = "true"  # the messages that are counted, as a condition
    held: int = 0  # what a client has read and not yet acknowledged at its end
    upstream: str | None = None  # where upstream has no such function: what its users run instead

    @property
    def unit(self) -> int:
        """How many messages a transaction handles."""
        return max(self.takes, abs(self.net), 1)

    def script(self, engine: str, queue: str) -> str:
        """Return the pgbench script for one engine and queue."""
        text = self.api
        if engine == "by_hand":
            text = self.by_hand
        elif engine == "upstream" and self.upstream is not None:
            text = self.upstream
        return dedent(text).replace("bench", queue).strip() + "\n"


_COLUMNS = "msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers"


# The first ready messages. It looks for no expired lease and for no delayed message fallen due, so
# it is a limit, not a queue that one could run.
def _first(qty: int) -> str:
    return f"""m.msg_id = ANY (ARRAY(
            SELECT q.msg_id FROM pgmq.q_bench AS q WHERE q.vt <= q.enqueued_at
            ORDER BY q.msg_id LIMIT {qty} FOR UPDATE SKIP LOCKED))
        RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers"""


def _take(qty: int) -> str:
    return f"""UPDATE pgmq.q_bench AS m
        SET vt = now() + interval '30 seconds', read_ct = m.read_ct + 1, last_read_at = now()
        WHERE {_first(qty)}"""


def _read(qty: int) -> tuple[str, str]:
    """Return the read of one message, or of several of which it keeps the ids, in both forms."""
    if qty == 1:
        return f"SELECT * FROM pgmq.read('bench', 30, {qty}) \\aset", f"{_take(qty)} \\aset"
    ids = "SELECT coalesce(array_agg(msg_id), '{}') AS msg_ids FROM"
    return (
        f"{ids} pgmq.read('bench', 30, {qty}) \\aset",
        f"WITH m AS ({_take(qty)}) {ids} m \\aset",
    )


def _delete(qty: int) -> tuple[str, str]:
    by_hand = "DELETE FROM pgmq.q_bench WHERE msg_id ="
    if qty == 1:
        return "SELECT pgmq.delete('bench', :msg_id::bigint);", f"{by_hand} :msg_id::bigint;"
    return (
        "SELECT * FROM pgmq.delete('bench', :msg_ids::bigint[]);",
        f"{by_hand} ANY (:msg_ids::bigint[]) RETURNING msg_id;",
    )


def _archive(qty: int) -> tuple[str, str]:
    call = "SELECT pgmq.archive('bench', :msg_id::bigint);"
    condition = ":msg_id::bigint"
    if qty > 1:
        call = "SELECT * FROM pgmq.archive('bench', :msg_ids::bigint[]);"
        condition = "ANY (:msg_ids::bigint[])"
    return (
        call,
        f"""WITH d AS (DELETE FROM pgmq.q_bench WHERE msg_id = {condition} RETURNING *)
        INSERT INTO pgmq.a_bench ({_COLUMNS}) SELECT {_COLUMNS} FROM d RETURNING msg_id;""",
    )


def _script(*statements: tuple[str, str]) -> tuple[str, str]:
    """Return statements one after the other, in both forms."""
    return "\n".join(one[0] for one in statements), "\n".join(one[1] for one in statements)


_SEND = (
    "SELECT * FROM pgmq.send('bench', :msg::jsonb);",
    "INSERT INTO pgmq.q_bench (vt, message) VALUES (now(), :msg::jsonb) RETURNING msg_id;",
)

SEND = Case("send", "send", *_SEND, net=1)
CYCLE = Case(
    "cycle",
    "send + read + delete",
    *_script(_SEND, _read(1), _delete(1)),
)
# In a queue of messages that were never read; so it is with most that are set aside for later.
SET_VT = Case(
    "set_vt",
    "set_vt",
    api="""
        \\set id random(1, :waiting)
        SELECT * FROM pgmq.set_vt('bench', :id::bigint, 60);
    """,
    by_hand=f"""
        \\set id random(1, :waiting)
        UPDATE pgmq.q_bench SET vt = now() + interval '60 seconds' WHERE msg_id = :id::bigint
        RETURNING {_COLUMNS};
    """,
)


def send_batch(qty: int) -> Case:
    """Send so many in one call."""
    batch = f"array_fill(:msg::jsonb, ARRAY[{qty}])"
    return Case(
        f"send_batch{qty}",
        f"send_batch of {qty}",
        api=f"SELECT * FROM pgmq.send_batch('bench', {batch});",
        by_hand=f"""
            INSERT INTO pgmq.q_bench (vt, message) SELECT now(), m FROM unnest({batch}) AS m
            RETURNING msg_id;
        """,
        net=qty,
    )


def read(qty: int) -> Case:
    """Read, and leave it at that: leases pile up."""
    return Case(
        f"read{qty}", f"read {qty}", *_read(qty), takes=qty, net=-qty, counted="read_ct = 0"
    )


def read_delete(qty: int) -> Case:
    """Read, and delete what was read."""
    return Case(
        f"read{qty}_delete",
        f"read {qty} + delete",
        *_script(_read(qty), _delete(qty)),
        takes=qty,
        net=-qty,
    )


def read_archive(qty: int) -> Case:
    """Read, and archive what was read."""
    return Case(
        f"read{qty}_archive",
        f"read {qty} + archive",
        *_script(_read(qty), _archive(qty)),
        takes=qty,
        net=-qty,
    )


def pop(qty: int) -> Case:
    """Read and delete in one."""
    return Case(
        f"pop{qty}",
        f"pop {qty}",
        api=f"SELECT * FROM pgmq.pop('bench', {qty});",
        by_hand=f"DELETE FROM pgmq.q_bench AS m WHERE {_first(qty)};",
        takes=qty,
        net=-qty,
    )


def ack_and_read(qty: int) -> Case:
    """Acknowledge what the transaction before took, and read.

    A client keeps its variables from one transaction to the next. The first acknowledges message 0,
    which does not exist.
    """
    names = "msg_id", "read_ct"
    if qty == 1:
        acked = "ARRAY[:msg_id::bigint], ARRAY[:read_ct::integer]"
        into, of = "SELECT * FROM", f"{_take(qty)} \\aset"
        gone = "msg_id = :msg_id::bigint AND read_ct = :read_ct::integer"
        delete = f"DELETE FROM pgmq.q_bench WHERE {gone}"
        by_hand = f"WITH d AS ({delete}) {of}"
    else:
        acked = ":msg_ids::bigint[], :read_cts::integer[]"
        kept = ", ".join(f"coalesce(array_agg({name}), '{{}}') AS {name}s" for name in names)
        into = f"SELECT {kept} FROM"
        delete = f"""DELETE FROM pgmq.q_bench AS q USING unnest({acked}) AS u (msg_id, read_ct)
            WHERE q.msg_id = u.msg_id AND q.read_ct = u.read_ct"""
        by_hand = f"WITH d AS ({delete}), m AS ({_take(qty)}) {into} m \\aset"
    return Case(
        f"ack_and_read{qty}",
        f"ack_and_read {qty} (1.13: delete + read)",
        api=f"{into} pgmq.ack_and_read('bench', 30, {qty}, {acked}) \\aset",
        by_hand=by_hand,
        upstream=_script(_delete(qty), _read(qty))[0],
        takes=qty,
        net=-qty,
        held=qty,
    )


VARIABLES = {
    "msg": MESSAGE,
    "msg_id": "0",
    "read_ct": "0",
    "msg_ids": "{0}",
    "read_cts": "{0}",
}

CALLS = (
    SEND,
    *map(send_batch, (SOME, MANY)),
    *map(read, (FEW, SOME, MANY)),
    *map(read_delete, (FEW, SOME, MANY)),
    *map(pop, (FEW, SOME, MANY)),
    *map(read_archive, (FEW, SOME, MANY)),
    SET_VT,
    *map(ack_and_read, (FEW, SOME, MANY)),
    CYCLE,
)
# Those that say most, where there is no time for all.
CORE = (
    SEND,
    send_batch(MANY),
    read_delete(FEW),
    read_delete(MANY),
    pop(FEW),
    read_archive(FEW),
    SET_VT,
    ack_and_read(FEW),
    CYCLE,
)


# What a call is made of: the statement by hand on the queue's table, the queue's own function, and
# the public one that finds it by the queue's name. Of the two at the end there is one layer only.
_ID = "\\set id random(1, :waiting)\n"
_NEVER_READ = "read_ct = 0"
LAYERS = {
    "send": (
        Case("send_hand", "by hand", _SEND[1], "", net=1),
        Case(
            "send_compiled",
            "compiled",
            "SELECT pgmq._enqueue_bench(:msg::jsonb, NULL, '-infinity');",
            "",
            net=1,
        ),
        Case("send_public", "public", _SEND[0], "", net=1),
    ),
    "set_vt": (
        Case("set_vt_hand", "by hand", SET_VT.by_hand, ""),
        Case(
            "set_vt_compiled",
            "compiled",
            f"""{_ID}SELECT * FROM pgmq._park_bench(
                    ARRAY[:id::bigint], clock_timestamp() + make_interval(secs => 60), false,
                    NULL::pgmq.message_record);""",
            "",
        ),
        Case("set_vt_public", "public", SET_VT.api, ""),
    ),
    "read 1": (
        Case("read_hand", "by hand", _read(1)[1], "", 1, -1, _NEVER_READ),
        Case(
            "read_compiled",
            "compiled",
            "SELECT * FROM pgmq._receive_bench(30, 1, NULL::pgmq.message_record) \\aset",
            "",
            1,
            -1,
            _NEVER_READ,
        ),
        Case("read_public", "public", _read(1)[0], "", 1, -1, _NEVER_READ),
    ),
    "SELECT 1": (Case("select", "by hand", "SELECT 1;", ""),),
    "an empty PL/pgSQL function": (Case("empty", "compiled", "SELECT pgmq.empty_function();", ""),),
}
