"""Push delivery under fire: kills, rollbacks, lost listeners, pushed and pulling consumers."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import psycopg

from support.load import SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Connect

VT = 1

# A delayed message, which has its last lease's read_ct, is told by its error.
EXCEEDED = """
    SELECT c.channel, c.maximum_messages, count(*) FROM pgmq.channel AS c
    INNER JOIN ledger AS l ON l.channel = c.channel
    INNER JOIN pgmq.q_q AS q ON q.msg_id = l.msg_id AND q.read_ct = l.read_ct
    WHERE q.vt > clock_timestamp()
        AND q.headers ->> 'x-pgmq-error' IS DISTINCT FROM q.read_ct::text
    GROUP BY c.channel HAVING count(*) > c.maximum_messages
"""
LEAKED = """
    SELECT s.* FROM pgmq.channel_slot AS s
    WHERE s.free_at > clock_timestamp() AND NOT EXISTS (
        SELECT FROM pgmq.q_q AS q
        WHERE q.msg_id = s.msg_id AND q.read_ct = s.read_ct AND q.vt > clock_timestamp()
    )
"""
# Every delivery to a slot is written down by the database itself.
LEDGER = """
    CREATE UNLOGGED TABLE ledger (channel text, msg_id bigint, read_ct integer);
    CREATE INDEX ON ledger (msg_id, read_ct);
    CREATE FUNCTION note_delivery() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        INSERT INTO public.ledger VALUES (new.channel, new.msg_id, new.read_ct);
        RETURN null;
    END
    $$;
    CREATE TRIGGER note AFTER UPDATE ON pgmq.channel_slot FOR EACH ROW
    WHEN ((new.msg_id, new.read_ct) IS DISTINCT FROM (old.msg_id, old.read_ct))
    EXECUTE FUNCTION note_delivery();
"""


@dataclass(frozen=True, slots=True, order=True)
class Lease:
    """A delivery."""

    msg_id: int
    read_ct: int
    end: datetime
    channel: str  # empty for a reader

    @property
    def start(self) -> datetime:
        return self.end - timedelta(seconds=VT)


class Record:
    """What was committed, and who had what."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.sent: set[int] = set()
        self.done: set[int] = set()
        self.leases: list[Lease] = []
        self.returned: set[Lease] = set()
        self.closed: set[str] = set()
        self.failures: list[str] = []

    def delivered(self, note: psycopg.Notify) -> Lease:
        payload = json.loads(note.payload)
        end = datetime.fromisoformat(payload["vt"])
        lease = Lease(payload["msg_id"], payload["read_ct"], end, note.channel)
        self.leases.append(lease)
        return lease

    def early(self) -> list[tuple[Lease, Lease]]:
        """Find what was delivered while somebody else had it, other than from a closed channel."""
        return [
            (one, other)
            for one, other in itertools.pairwise(sorted(self.leases))
            if one.msg_id == other.msg_id
            and (other.read_ct == one.read_ct or other.start < one.end)
            and one not in self.returned
            and one.channel not in self.closed
        ]


@contextlib.contextmanager
def _reported(record: Record) -> Iterator[None]:
    """A killed session is what this test is about; anything else is a failure."""
    try:
        yield
    except (psycopg.errors.AdminShutdown, psycopg.InterfaceError):
        pass
    except psycopg.OperationalError as error:
        if not any(said in str(error) for said in ("closed", "terminating", "lost")):
            record.failures.append(str(error))
    except psycopg.Error as error:
        record.failures.append(str(error))


def _produce(connect: Connect, record: Record, end: float, seed: int) -> None:
    rng = random.Random(seed)
    session = connect(autocommit=False)
    with _reported(record):
        while time.monotonic() < end:
            ids: list[int] = []
            for _ in range(rng.choice([1, 1, 1, 4])):
                row = session.execute("SELECT pgmq.send('q', '1')").fetchone()
                assert row is not None
                ids.append(row[0])
            if rng.random() < 0.1:
                time.sleep(rng.random() * 0.3)
            if rng.random() < 0.15:
                session.rollback()
                continue
            session.commit()
            with record.lock:
                record.sent.update(ids)
            time.sleep(rng.random() * 0.02)


def _settle(session: psycopg.Connection, record: Record, rng: random.Random, lease: Lease) -> None:
    """Do with a lease what consumers do."""
    ids = (lease.msg_id, lease.read_ct)
    chance = rng.random()
    if chance < 0.7:
        kept = rng.random() < 0.9
        with session.transaction(force_rollback=not kept):
            row = session.execute("SELECT pgmq.ack('q', %s::bigint, %s)", ids).fetchone()
        if kept and row == (True,):
            record.done.add(lease.msg_id)
    elif chance < 0.8:
        record.returned.add(lease)
        delay, error = rng.choice([0, 0, 1]), str(lease.read_ct)
        session.execute("SELECT pgmq.nack('q', %s, %s, %s, %s)", (*ids, delay, error))
    elif chance < 0.9 and lease.end - datetime.now(timezone.utc) > timedelta(seconds=VT / 2):
        session.execute("SELECT pgmq.extend('q', %s, %s, 1)", ids)
    # else it ends by itself


def _be_pushed(connect: Connect, record: Record, end: float, seed: int, pids: list[int]) -> None:
    rng = random.Random(seed)
    while time.monotonic() < end:
        channels: list[str] = []
        with _reported(record):
            session = connect()
            pids.append(session.info.backend_pid)
            for _ in range(rng.choice([1, 2])):
                row = session.execute(
                    "SELECT pgmq.open_channel('q', %s, %s)", (rng.choice([1, 5]), VT)
                ).fetchone()
                assert row is not None
                channels.append(row[0])
            while time.monotonic() < end:
                notes = list(session.notifies(timeout=0.2, stop_after=1))
                for note in notes:
                    _settle(session, record, rng, record.delivered(note))
                if not notes:
                    session.execute("SELECT pgmq.close_dead_channels()")
                chance = rng.random()
                if chance < 0.01:
                    session.execute("UNLISTEN *")
                elif chance < 0.02:
                    session.execute("SELECT pgmq.close_channel()")
                    break
            session.close()
        record.closed.update(channels)


def _pull(connect: Connect, record: Record, end: float, seed: int) -> None:
    rng = random.Random(seed)
    session = connect()
    with _reported(record):
        while time.monotonic() < end:
            for msg_id, read_ct, vt in session.execute(
                "SELECT msg_id, read_ct, vt FROM pgmq.read('q', %s, 3)", (VT,)
            ).fetchall():
                lease = Lease(msg_id, read_ct, vt, "")
                record.leases.append(lease)
                _settle(session, record, rng, lease)
            time.sleep(rng.random() * 0.1)


def _kill(connect: Connect, record: Record, end: float, seed: int, pids: list[int]) -> None:
    rng = random.Random(seed)
    session = connect()
    with _reported(record):
        while time.monotonic() < end:
            time.sleep(0.3)
            if pids:
                victim = pids.pop(rng.randrange(len(pids)))
                session.execute("SELECT pg_terminate_backend(%s)", (victim,))


def test_nothing_is_lost_or_delivered_twice_and_no_slot_is_exceeded_or_leaked(
    db: psycopg.Connection, connect: Connect
) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    db.execute("SELECT pgmq.create('q'), pgmq.enable_push('q')")
    db.execute(LEDGER)
    record, pids = Record(), list[int]()
    end = time.monotonic() + SECONDS
    threads = [
        *(
            threading.Thread(target=_produce, args=(connect, record, end, seed + n))
            for n in range(3)
        ),
        *(
            threading.Thread(target=_be_pushed, args=(connect, record, end, seed + 10 + n, pids))
            for n in range(5)
        ),
        threading.Thread(target=_pull, args=(connect, record, end, seed + 20)),
        threading.Thread(target=_kill, args=(connect, record, end, seed + 30, pids)),
    ]
    for thread in threads:
        thread.start()
    exceeded = []
    while time.monotonic() < end:
        exceeded += db.execute(EXCEEDED).fetchall()
        time.sleep(0.02)
    for thread in threads:
        thread.join()
    assert record.failures == []
    assert exceeded == []

    # Nothing rests on a notification, a kill noticed or anybody's luck: one vt later all is free.
    # How long it takes to get through what is left, the machine says.
    last = connect()
    last.execute("SELECT pgmq.open_channel('q', 1000, %s)", (VT,))
    deadline = time.monotonic() + 4 * VT
    while record.sent - record.done and time.monotonic() < deadline:
        for note in list(last.notifies(timeout=0.1, stop_after=1)):
            lease = record.delivered(note)
            done = last.execute(
                "SELECT pgmq.ack('q', %s::bigint, %s)", (lease.msg_id, lease.read_ct)
            ).fetchone()
            if done == (True,):  # else the lease is over, and the message comes once more
                record.done.add(lease.msg_id)
                deadline = time.monotonic() + 4 * VT
        last.execute("SELECT pgmq.close_dead_channels()")
    assert record.sent - record.done == set()
    assert db.execute("SELECT msg_id, vt, read_ct FROM pgmq.q_q").fetchall() == []
    # A consumer that a busy machine has kept silent is left alone for a while, and then no longer.
    deadline = time.monotonic() + 4 * VT
    while leaked := db.execute(LEAKED).fetchall():
        assert time.monotonic() < deadline, leaked[:5]
        time.sleep(0.1)
    assert len(db.execute("SELECT * FROM pgmq.list_channels()").fetchall()) == 1
    assert record.early() == []
    pushed = sum(lease.channel != "" for lease in record.leases)
    print("sent", len(record.sent), "pushed", pushed, "pulled", len(record.leases) - pushed)
    assert pushed > 200
