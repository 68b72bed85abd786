"""What runs with its owner's rights does nothing for a caller that has none.

Every SECURITY DEFINER function, shared or compiled into a queue, is called by a role that may use
the schema and nothing else, which then leaves its transaction open: nobody is held up, nothing is
stored, moved, hidden or silenced. The functions are those that the catalog names.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from support.queues import LAYOUTS, made

if TYPE_CHECKING:
    from conftest import Connect, Roles

FORGET = """
CREATE TEMP TABLE mine AS SELECT {q}::text AS queue_name, 'e'::text AS exchange_name;
CREATE TRIGGER t AFTER DELETE ON mine FOR EACH ROW EXECUTE FUNCTION {f}();
DELETE FROM mine; DROP TABLE mine
"""
# What each is called with, the queue's name and its table for {0} and {1}. A trigger is put on a
# table of the caller's own.
CALLS = {
    "advance": ["SELECT {f}()", "SELECT {f}(true)"],
    "announce": ["SELECT {f}(3600000)", "SELECT {f}(0)"],
    "arm": ["SELECT {f}(3600)"],
    "fire": ["SELECT {f}()"],
    "bury": ["SELECT {f}(ARRAY(SELECT n::bigint FROM generate_series(1, 300) AS n))"],
    "deadletter": ["SELECT {f}('g', 0, n, 1, 'x') FROM generate_series(1, 9) AS n"],
    "gate": ["SELECT {f}(ARRAY(SELECT n::bigint FROM generate_series(1, 300) AS n))"],
    "forget": ["SELECT {f}(2147483647)"],
    "keep": ["SELECT {f}()"],
    "tend": ["SELECT {f}()"],
    "recall": ["SELECT {f}('{{a,old,new}}')"],
    "remember": ["SELECT {f}(ARRAY(SELECT n::bigint FROM generate_series(1, 300) AS n))"],
    "scheduled": ["SELECT {f}()"],
    "_push": ["SELECT {f}({q})"],
    "_clear_tending": ["SELECT {f}('(0,1)')"],
    "_open_channel": ["SELECT {f}({q}, 1000000, 1)", "SELECT {f}({q}, 1, 2147483647)"],
    "close_channel": ["SELECT {f}()", "SELECT {f}((SELECT 'pgmq.c_1'))"],
    "close_dead_channels": ["SELECT {f}()"],
    "_look_at": [
        "SELECT {f}(format('pgmq.%I', pgmq.format_table_name({q}, 'q'))::regclass)",
        "SELECT {f}('pgmq.meta'::regclass)",
    ],
    "_settled": [
        "SELECT {f}(format('pgmq.%I', pgmq.format_table_name({q}, 'q'))::regclass, 0)",
        "SELECT {f}('pgmq.meta'::regclass, 0)",
    ],
    "_is_listed": ["SELECT {f}({q})", "SELECT {f}(null)"],
    "_drop_remains": ["SELECT {f}({q})", "SELECT {f}(null)"],
    "_templates": ["SELECT {f}()"],
    "_partitioning_of": ["SELECT {f}({q}, false)"],
    "_messages_between": ["SELECT {f}({q}, 0, 9)"],
    "_route": ["SELECT {f}('e', 'key')"],
    **{
        name: ["SELECT {f}({q})", "SELECT {f}(null)"]
        for name in (
            "_policy_of",
            "_stored_policy",
            "_pause_of",
            "_ticks_of",
            "_groups_of",
            "_segments_of",
            "_is_exchange",
            "_is_pinned",
            "_refuse_source",
        )
    },
    "_push_at_commit": ["{t}"],
    "_push_backlog": ["{t}"],
    "_cascade_queue": [FORGET],
    "_cascade_exchange": [FORGET],
    "_free_slot_at_once": ["{t}"],
}
TRIGGER = """
CREATE TEMP TABLE mine (msg_id bigint, read_ct integer, vt timestamptz);
CREATE TRIGGER t AFTER INSERT OR UPDATE OR DELETE ON mine FOR EACH ROW EXECUTE FUNCTION {f}({q});
INSERT INTO mine VALUES (1, 1, now()); UPDATE mine SET vt = now() - interval '1 h';
DELETE FROM mine; DROP TABLE mine
"""
FUNCTIONS = """
SELECT
    p.oid::regproc::text,
    coalesce((
        SELECT n.name FROM (
            SELECT t.name FROM pgmq.template AS t UNION SELECT 'scheduled'
        ) AS n
        WHERE p.proname = pgmq._function_name(n.name, %s)
    ), p.proname)
FROM pg_proc AS p
WHERE p.pronamespace = 'pgmq'::regnamespace AND p.prosecdef
    AND p.proname <> ALL (ARRAY(
        SELECT pgmq._function_name(n.name, m.queue_name)::name
        FROM pgmq.meta AS m, (SELECT t.name FROM pgmq.template AS t UNION SELECT 'scheduled') AS n
        WHERE lower(m.queue_name) <> lower(%s)
    ))
ORDER BY 1
"""
NAMES = {"mixed case": "My Queue", "long": "l" + 46 * "o"}
PREPARED = """
{create}; SELECT pgmq.create('dead'), pgmq.create_fifo_index({q}), pgmq.enable_wakeups({q});
SELECT pgmq.enable_notify_insert({q}, 1000), pgmq.enable_push({q});
SELECT pgmq.create_exchange('e'), pgmq.bind('e', {q}, '#');
SELECT pgmq.set_policy(
    {q}, max_receives => 5, dead_letter_queue => 'dead', message_ttl => '1 d',
    archive_retention => '1 h', dedup_window => '1 h', max_in_flight => 1000,
    rate_limit => 1000, rate_interval => '1 d'
);
-- Message 1 has been received too often, 2 has expired, 3 is due again, 4 is leased.
SELECT pgmq.send_batch({q}, array_fill('1'::jsonb, ARRAY[120]));
SELECT pgmq.send_once({q}, '1', k) FROM unnest('{{a,old}}'::text[]) AS k;
UPDATE pgmq.{table} SET read_ct = 5 WHERE msg_id = 1;
UPDATE pgmq.{table} SET enqueued_at = enqueued_at - interval '2 d', vt = vt - interval '2 d'
WHERE msg_id = 2;
UPDATE pgmq.{table} SET read_ct = 1, vt = clock_timestamp() WHERE msg_id = 3;
UPDATE pgmq.{table} SET read_ct = 1, vt = now() + interval '1 h' WHERE msg_id = 4;
SELECT pgmq.archive({q}, 5::bigint);
UPDATE pgmq.{archive} SET archived_at = now() - interval '2 h';
UPDATE pgmq.{dedup} SET sent_at = now() - interval '2 h' WHERE dedup_key = 'old';
"""
STREAM = """
SELECT pgmq.create_stream({q}), pgmq.create_group({q}, 'g', 'earliest', 1, 3, 'dead');
SELECT pgmq.enable_wakeups({q}), pgmq.enable_notify_insert({q}, 1000);
SELECT pgmq.set_policy({q}, dedup_window => '1 h');
SELECT pgmq.send_batch({q}, array_fill('1'::jsonb, ARRAY[120]));
SELECT pgmq.send_once({q}, '1', k) FROM unnest('{{a,old}}'::text[]) AS k;
UPDATE pgmq.{dedup} SET sent_at = now() - interval '2 h' WHERE dedup_key = 'old';
-- Messages 1 to 3 are committed, 4 to 6 leased.
SELECT pgmq.commit({q}, 'g', lane, epoch) FROM pgmq.fetch({q}, 'g', 60, 3) LIMIT 1;
SELECT pgmq.fetch({q}, 'g', 60, 3);
"""
# A message of a schedule is due.
DUE = """
SELECT pgmq.schedule('due', {q}, '1 hour', '1');
UPDATE pgmq.schedule SET tick_at = now(), next_at = now();
"""
CONTENTS = """
SELECT c.oid::regclass::text FROM pg_class AS c
WHERE c.relnamespace = 'pgmq'::regnamespace AND c.relkind = 'r'
    AND c.relname !~ '^(template|look)' ORDER BY 1
"""


class Queue:
    """A queue in which every function would find something to do."""

    def __init__(self, db: psycopg.Connection, kind: str) -> None:
        self.db = db
        self.name = NAMES.get(kind, "q")
        is_stream = kind == "stream"
        create = made("plain" if kind in NAMES else kind, self.name)
        suffix = self._one("SELECT pgmq._suffix(%s)", self.name)
        db.execute(
            (STREAM if is_stream else PREPARED)
            .replace("{create}", create)
            .replace("{q}", f"'{self.name}'")
            .replace("{table}", f'"q_{self.name.lower()}"')
            .replace("{archive}", f'"a_{self.name.lower()}"')
            .replace("{dedup}", f'"dedup_{suffix}"')
            .replace("{{", "{")
            .replace("}}", "}")
            .encode()
        )
        self.suffix = suffix
        # It is time for upkeep, and for a notification.
        for mark in ("tend_due_", "notify_at_", "armed_until_"):
            if mark != "tend_due_" or kind.startswith("by") or is_stream:
                db.execute("SELECT setval(format('pgmq.%%I', %s::text), 0)", [mark + suffix])
        # A session that is there, and a channel of one that is gone.
        if not is_stream:
            db.execute("SELECT pgmq.open_channel(%s, 1)", [self.name])
        db.execute(DUE.replace("{q}", f"'{self.name}'").encode())

    def _one(self, query: str, *arguments: Any) -> Any:
        row = self.db.execute(query.encode(), arguments).fetchone()
        assert row
        return row[0]

    def calls(self) -> list[str]:
        """Every call of every SECURITY DEFINER function that this queue has or shares."""
        calls = []
        for function, name in self.db.execute(
            FUNCTIONS.encode(), (self.name, self.name)
        ).fetchall():
            if name not in CALLS:
                pytest.fail(f"{function} is SECURITY DEFINER and has no case here")
            for call in CALLS[name]:
                text = TRIGGER if call == "{t}" else call
                calls.append(text.format(f=function, q=f"'{self.name}'"))
        assert len(calls) > 20
        return calls

    def armed(self) -> float:
        """For how many more seconds commits are announced to those who await."""
        until = self._one(
            "SELECT pg_sequence_last_value(format('pgmq.%%I', %s::text)::regclass)",
            "armed_until_" + self.suffix,
        )
        return (until or 0) / 1e6 - time.time()

    def contents(self) -> dict[str, set[str]]:
        """Every row of every table, with the transaction that wrote it, and who holds it."""
        names = [name for (name,) in self.db.execute(CONTENTS.encode()).fetchall()]
        return {
            name: {
                row
                for (row,) in self.db.execute(
                    f"SELECT format('%s %s', t.xmin, t.*) FROM ONLY {name} AS t".encode()
                ).fetchall()
            }
            for name in names
        }


@pytest.fixture(params=[*LAYOUTS, *NAMES])
def queue(db: psycopg.Connection, request: pytest.FixtureRequest) -> Queue:
    return Queue(db, request.param)


@pytest.fixture
def outsider(db: psycopg.Connection, connect: Connect, roles: Roles) -> psycopg.Connection:
    """A session, with its transaction open, of a role that has USAGE on the schema alone."""
    role = roles()
    db.execute(f"GRANT USAGE ON SCHEMA pgmq TO {role}".encode())
    return connect(user=role, autocommit=False)


def _attack(session: psycopg.Connection, calls: list[str], *, undo: bool) -> None:
    for call in calls:
        session.execute("SAVEPOINT s")
        try:
            session.execute(call.encode())
        except psycopg.Error:
            session.execute("ROLLBACK TO s")
        if undo:
            session.execute("ROLLBACK TO s")
        session.execute("RELEASE s")


def _use(session: psycopg.Connection, name: str) -> None:
    """Whatever a queue's users do, as fast as ever: nothing is waited for."""
    session.execute("SET lock_timeout = '300ms'; SET statement_timeout = '15s'")

    def call(query: str, *arguments: Any) -> list[Any]:
        return session.execute(query.encode(), [name, *arguments]).fetchall()

    for key, is_new in (("a", False), ("old", True), ("new", True)):
        found = call("SELECT is_new FROM pgmq.send_once(%s, '1', %s)", key)
        assert found == [(is_new,)], key
    call("SELECT pgmq.send(%s, '\"mine\"')")
    read = call("SELECT msg_id, read_ct FROM pgmq.read(%s, 60, 100)")
    read += call("SELECT msg_id, read_ct FROM pgmq.read(%s, 60, 100)")
    ids = [msg_id for msg_id, _ in read]
    # All but the dead and the leased ones, and the one that was archived or pushed.
    assert len(set(ids)) >= 118
    assert {1, 2, 4, 5} & set(ids) == set()
    call("SELECT pgmq.nack(%s, %s, %s)", *read[0])
    call("SELECT pgmq.ack(%s, %s, %s)", *read[1])
    call("SELECT pgmq.delete(%s, %s)", ids[2])
    call("SELECT pgmq.archive(%s, %s)", ids[3])
    call("SELECT pgmq.read_grouped(%s, 0, 5)")
    call("SELECT * FROM pgmq.metrics(%s)")
    call("SELECT pgmq.maintain(%s)")
    assert session.execute("SELECT count(*) FROM pgmq.q_dead").fetchone() == (2,)
    call("SELECT pgmq.purge_queue(%s)")


@pytest.mark.parametrize("undo", [False, True], ids=["kept", "rolled back to savepoints"])
def test_an_outsider_holds_up_nobody(
    queue: Queue, outsider: psycopg.Connection, connect: Connect, undo: bool
) -> None:
    before = queue.contents()
    _attack(outsider, queue.calls(), undo=undo)
    assert queue.contents() == before
    assert queue.armed() < 6

    warnings: list[str | None] = []
    user = connect()
    user.add_notice_handler(lambda notice: warnings.append(notice.message_primary))
    listener = connect()
    channel = sql.Identifier(f"pgmq.q_{queue.name.lower()}.INSERT")
    if len(queue.name) < 40:
        listener.execute(sql.SQL("LISTEN {}").format(channel))
    _use(user, queue.name)
    if len(queue.name) < 40:
        assert len(list(listener.notifies(timeout=5, stop_after=1))) == 1
    # A lock to look at the table remains, which holds up what partitions are added by. PREPARE
    # gives it to anybody, so that has nothing to do with these functions.
    if undo:
        assert warnings == []


def test_an_outsider_stores_and_moves_nothing(queue: Queue, outsider: psycopg.Connection) -> None:
    before = queue.contents()
    _attack(outsider, queue.calls(), undo=False)
    outsider.commit()
    assert queue.contents() == before
    sizes = "SELECT sum(pg_relation_size(oid)) FROM pg_class WHERE relname ~ '^(dedup_|channel)'"
    size = queue.db.execute(sizes.encode()).fetchone()
    for _ in range(20):
        _attack(outsider, queue.calls(), undo=False)
        outsider.rollback()
    assert queue.db.execute(sizes.encode()).fetchone() == size


@pytest.mark.parametrize("undo", [False, True], ids=["kept", "rolled back to savepoints"])
def test_an_outsider_does_nothing_to_a_stream(
    db: psycopg.Connection, outsider: psycopg.Connection, connect: Connect, undo: bool
) -> None:
    stream = Queue(db, "stream")
    before = stream.contents()
    _attack(outsider, stream.calls(), undo=undo)
    assert stream.contents() == before
    assert stream.armed() < 6
    # While its transaction is open, all go on at once.
    user = connect()
    user.execute("SET lock_timeout = '300ms'; SET statement_timeout = '15s'")
    for key, is_new in (("a", False), ("old", True), ("new", True)):
        found = user.execute("SELECT is_new FROM pgmq.send_once('q', '1', %s)", [key]).fetchall()
        assert found == [(is_new,)], key
    user.execute("SELECT pgmq.seek('q', 'g', 'earliest'), pgmq.maintain('q')")
    assert len(user.execute("SELECT * FROM pgmq.fetch('q', 'g', 60, 500)").fetchall()) == 125
    before = stream.contents()
    outsider.commit()
    assert stream.contents() == before
