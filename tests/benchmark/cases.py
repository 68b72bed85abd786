"""What is measured: each case as the pgbench script of the public API and of SQL written by hand.

Upstream and pgmq run the same script, letter for letter, in the forms that client libraries send.
`bench` stands for the queue and is replaced by its name. The message is a parameter (`:msg`), as a
driver would send it, so parsing its JSON is part of every engine's cost; a batch of 100 is composed
in SQL from that one parameter, so that the batch's own cost is not hidden behind parsing 12 kB.
`\\aset` keeps the row that a read returns; when it returns none, the variables keep their values,
and what is then deleted is gone already. Such a read shows in the messages that are left over.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent

MESSAGE = (
    '{"order_id": 8210345, "customer": "c-59127", "items": [{"sku": "A-1029", "n": 2}],'
    ' "total": 129.95}'
)


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table; counts are messages per transaction."""

    name: str
    title: str
    api: str
    by_hand: str
    takes: int  # how many waiting messages it needs
    net: int  # by how much what is counted grows
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


# Taking the first n ready messages in one statement. It looks for no expired lease and for no
# delayed message fallen due, so it is a limit, not a queue that one could run.
def _take(qty: int) -> str:
    return f"""pgmq.q_bench AS m
        SET vt = now() + interval '30 seconds', read_ct = m.read_ct + 1, last_read_at = now()
        WHERE m.msg_id = ANY (ARRAY(
            SELECT q.msg_id FROM pgmq.q_bench AS q WHERE q.vt <= q.enqueued_at
            ORDER BY q.msg_id LIMIT {qty} FOR UPDATE SKIP LOCKED))
        RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers"""


_SEND = "SELECT * FROM pgmq.send('bench', :msg::jsonb);"
_READ = "SELECT * FROM pgmq.read('bench', 30, 1) \\aset"
_READ_100 = """SELECT coalesce(array_agg(msg_id), '{}') AS msg_ids
        FROM pgmq.read('bench', 30, 100) \\aset"""
_DELETE = "SELECT pgmq.delete('bench', :msg_id::bigint);"
_DELETE_100 = "SELECT * FROM pgmq.delete('bench', :msg_ids::bigint[]);"

_HAND_SEND = "INSERT INTO pgmq.q_bench (vt, message) VALUES (now(), :msg::jsonb) RETURNING msg_id;"
_HAND_READ = f"UPDATE {_take(1)} \\aset"
_HAND_READ_100 = f"""WITH m AS (UPDATE {_take(100)})
        SELECT coalesce(array_agg(msg_id), '{{}}') AS msg_ids FROM m \\aset"""
_HAND_DELETE = "DELETE FROM pgmq.q_bench WHERE msg_id = :msg_id::bigint;"

SEND = Case(
    name="send",
    title="send",
    api=_SEND,
    by_hand=_HAND_SEND,
    takes=0,
    net=1,
)
READ_DELETE = Case(
    name="read1_delete",
    title="read 1 + delete",
    api=f"""
        {_READ}
        {_DELETE}
    """,
    by_hand=f"""
        {_HAND_READ}
        {_HAND_DELETE}
    """,
    takes=1,
    net=-1,
)
POP = Case(
    name="pop1",
    title="pop 1",
    api="SELECT * FROM pgmq.pop('bench');",
    by_hand="""
        DELETE FROM pgmq.q_bench AS m
        WHERE m.msg_id = ANY (ARRAY(
            SELECT q.msg_id FROM pgmq.q_bench AS q WHERE q.vt <= q.enqueued_at
            ORDER BY q.msg_id LIMIT 1 FOR UPDATE SKIP LOCKED))
        RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers;
    """,
    takes=1,
    net=-1,
)
READ_ARCHIVE = Case(
    name="read1_archive",
    title="read 1 + archive",
    api=f"""
        {_READ}
        SELECT pgmq.archive('bench', :msg_id::bigint);
    """,
    by_hand=f"""
        {_HAND_READ}
        WITH d AS (DELETE FROM pgmq.q_bench WHERE msg_id = :msg_id::bigint RETURNING *)
        INSERT INTO pgmq.a_bench
            (msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers)
        SELECT msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers FROM d;
    """,
    takes=1,
    net=-1,
)
READ_DELETE_100 = Case(
    name="read100_delete100",
    title="read 100 + delete 100",
    api=f"""
        {_READ_100}
        {_DELETE_100}
    """,
    by_hand=f"""
        {_HAND_READ_100}
        DELETE FROM pgmq.q_bench WHERE msg_id = ANY (:msg_ids::bigint[]) RETURNING msg_id;
    """,
    takes=100,
    net=-100,
)
SEND_BATCH = Case(
    name="send_batch100",
    title="send_batch(100)",
    api="SELECT * FROM pgmq.send_batch('bench', array_fill(:msg::jsonb, ARRAY[100]));",
    by_hand="""
        INSERT INTO pgmq.q_bench (vt, message)
        SELECT now(), m FROM unnest(array_fill(:msg::jsonb, ARRAY[100])) AS m
        RETURNING msg_id;
    """,
    takes=0,
    net=100,
)
CYCLE = Case(
    name="cycle",
    title="send + read + delete",
    api=f"""
        {_SEND}
        {_READ}
        {_DELETE}
    """,
    by_hand=f"""
        {_HAND_SEND}
        {_HAND_READ}
        {_HAND_DELETE}
    """,
    takes=0,
    net=0,
)
READ = Case(
    name="read1",
    title="read 1",
    api=_READ,
    by_hand=_HAND_READ,
    takes=1,
    net=-1,
    counted="read_ct = 0",
)
SET_VT = Case(
    name="set_vt",
    title="set_vt",
    api="""
        \\set id random(1, :waiting)
        SELECT * FROM pgmq.set_vt('bench', :id::bigint, 60);
    """,
    by_hand="""
        \\set id random(1, :waiting)
        UPDATE pgmq.q_bench SET vt = now() + interval '60 seconds' WHERE msg_id = :id::bigint
        RETURNING msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers;
    """,
    takes=0,
    net=0,
)
# A client keeps its variables from one transaction to the next, so each acknowledges what the one
# before it took. The first acknowledges message 0, which does not exist.
ACK_AND_READ = Case(
    name="ack_and_read1",
    title="ack_and_read 1 (upstream: delete + read)",
    api="""
        SELECT * FROM pgmq.ack_and_read('bench', 30, 1,
            ARRAY[:msg_id::bigint], ARRAY[:read_ct::integer]) \\aset
    """,
    upstream=f"""
        {_DELETE}
        {_READ}
    """,
    by_hand=f"""
        WITH d AS (DELETE FROM pgmq.q_bench
                   WHERE msg_id = :msg_id::bigint AND read_ct = :read_ct::integer)
        UPDATE {_take(1)} \\aset
    """,
    takes=1,
    net=-1,
    held=1,
)
ACK_AND_READ_100 = Case(
    name="ack_and_read100",
    title="ack_and_read 100 (upstream: delete + read)",
    api="""
        SELECT coalesce(array_agg(msg_id), '{}') AS msg_ids,
               coalesce(array_agg(read_ct), '{}') AS read_cts
        FROM pgmq.ack_and_read('bench', 30, 100, :msg_ids::bigint[], :read_cts::integer[]) \\aset
    """,
    upstream=f"""
        {_DELETE_100}
        {_READ_100}
    """,
    by_hand=f"""
        WITH d AS (DELETE FROM pgmq.q_bench AS q
                   USING unnest(:msg_ids::bigint[], :read_cts::integer[]) AS u (msg_id, read_ct)
                   WHERE q.msg_id = u.msg_id AND q.read_ct = u.read_ct),
             m AS (UPDATE {_take(100)})
        SELECT coalesce(array_agg(msg_id), '{{}}') AS msg_ids,
               coalesce(array_agg(read_ct), '{{}}') AS read_cts FROM m \\aset
    """,
    takes=100,
    net=-100,
    held=100,
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
    READ_DELETE,
    POP,
    READ_ARCHIVE,
    READ_DELETE_100,
    SEND_BATCH,
    CYCLE,
    READ,
    SET_VT,
    ACK_AND_READ,
    ACK_AND_READ_100,
)
