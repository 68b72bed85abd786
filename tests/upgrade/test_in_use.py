"""Upgrading while producers and consumers are at work."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import psycopg
import pytest

from support import queues
from support.queries import ids, one
from support.server import BUILD, ROOT
from support.waiting import Waiting
from upgrade import older

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.server import TestServer

QUEUES = ["a", "Mixed Case", "noisy", "quiet", "fifo", "fleeting"]
FILL = """
    SELECT pgmq.create('a'), pgmq.create('Mixed Case'), pgmq.create('noisy'), pgmq.create('quiet'),
        pgmq.create('fifo'), pgmq.create_unlogged('fleeting');
    SELECT pgmq.create_fifo_index('fifo'), pgmq.enable_notify_insert('noisy', 0);
    SELECT pgmq.bind_topic('x.#', 'a');
"""


class Clients:
    """Sessions that use the queues; what they know to be committed, and what they were refused."""

    def __init__(self, dsn: str, *, creating: bool, kinds: list[str] | None = None) -> None:
        self.dsn = dsn
        self.kinds = kinds or []  # of 2.0.0
        self.creating = creating
        self.sent: set[tuple[str, int]] = set()
        self.received: Counter[tuple[str, int]] = Counter()
        self.deleted: set[tuple[str, int]] = set()
        self.ordered: list[int] = []
        self.errors: list[str] = []
        self.rounds: Counter[str] = Counter()
        self._names: list[str] = []
        self._stopped = threading.Event()

    def two_queues(self, session: psycopg.Connection) -> None:
        self._two(session, "a", "Mixed Case")

    def two_queues_the_other_way(self, session: psycopg.Connection) -> None:
        self._two(session, "Mixed Case", "a")

    def _two(self, session: psycopg.Connection, first: str, second: str) -> None:
        """What is received from one queue is sent to the other in one transaction."""
        with session.transaction():
            sent = {(first, one(session, "SELECT pgmq.send(%s, '1')", first))}
            found = ids(session, "SELECT msg_id FROM pgmq.read(%s, 3600, 2)", second)
            for msg_id in found:
                sent.add((first, one(session, "SELECT pgmq.send(%s, '2', 0)", first)))
                assert one(session, "SELECT pgmq.delete(%s, %s::bigint)", second, msg_id)
            sent.add((second, one(session, "SELECT pgmq.send(%s, '1', '{}'::jsonb)", second)))
        self.sent |= sent
        self.received.update((second, msg_id) for msg_id in found)
        self.deleted.update((second, msg_id) for msg_id in found)

    def batches(self, session: psycopg.Connection) -> None:
        for queue in ("noisy", "fleeting"):
            new = ids(session, "SELECT pgmq.send_batch(%s, '{1,2,3}')", queue)
            self.sent.update((queue, msg_id) for msg_id in new)
        assert one(session, "SELECT pgmq.send_topic('x.y', '1')") == 1

    def consume(self, session: psycopg.Connection) -> None:
        for queue in ("noisy", "fleeting", "a"):
            for msg_id in ids(session, "SELECT msg_id FROM pgmq.read(%s, 3600, 3)", queue):
                self.received[queue, msg_id] += 1
                if msg_id % 4:
                    assert one(session, "SELECT pgmq.archive(%s, %s::bigint)", queue, msg_id)

    def poll(self, session: psycopg.Connection) -> None:
        call = "SELECT msg_id FROM pgmq.read_with_poll('quiet', 3600, 1, 1, 50)"
        assert ids(session, call) == []

    def ordered_sends(self, session: psycopg.Connection) -> None:
        call = "SELECT pgmq.send('fifo', '1', '{\"x-pgmq-group\": \"g\"}'::jsonb)"
        self.sent.add(("fifo", one(session, call)))

    def ordered_reads(self, session: psycopg.Connection) -> None:
        with session.transaction():
            found = ids(session, "SELECT msg_id FROM pgmq.read_grouped('fifo', 3600, 2)")
            for msg_id in found:
                assert one(session, "SELECT pgmq.archive('fifo', %s::bigint)", msg_id)
        self.ordered += found
        self.received.update(("fifo", msg_id) for msg_id in found)

    def every_kind(self, session: psycopg.Connection) -> None:
        for queue in self.kinds:
            self.sent.add((queue, one(session, "SELECT pgmq.send(%s, '1')", queue)))
            for msg_id in ids(session, "SELECT msg_id FROM pgmq.read(%s, 3600, 2)", queue):
                self.received[queue, msg_id] += 1
                assert one(session, "SELECT pgmq.archive(%s, %s::bigint)", queue, msg_id)

    def look(self, session: psycopg.Connection) -> None:
        with session.transaction():
            for queue in ("a", "noisy"):
                one(session, "SELECT queue_length FROM pgmq.metrics(%s)", queue)
            if self.creating:  # as programs do when they start
                session.execute("SELECT pgmq.create('a')")

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        kinds: list[Callable[[psycopg.Connection], None]] = [
            *(self.two_queues, self.two_queues_the_other_way, self.batches),
            *(self.consume, self.consume, self.look, self.ordered_sends, self.ordered_reads),
        ]
        kinds += [self.poll, self.poll, *([self.every_kind] if self.kinds else [])]
        self._names = [kind.__name__ for kind in kinds]
        threads = [threading.Thread(target=self._run, args=(kind,)) for kind in kinds]
        for thread in threads:
            thread.start()
        try:
            self.go_round()
            yield
            self.go_round()
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join()

    def go_round(self) -> None:
        """Wait until each has done all that it does twice."""
        seen = self.rounds.copy()
        deadline = time.monotonic() + 30
        while any(self.rounds[name] < seen[name] + 4 for name in self._names):
            if self.errors:
                return
            assert time.monotonic() < deadline, self.rounds - seen
            time.sleep(0.01)

    def _run(self, work: Callable[[psycopg.Connection], None]) -> None:
        with psycopg.connect(self.dsn, autocommit=True, prepare_threshold=0) as session:
            try:
                while not self._stopped.wait(0.03):
                    work(session)
                    self.rounds[work.__name__] += 1
            except (psycopg.Error, AssertionError) as error:
                self.errors.append(f"{work.__name__}: {error}")

    def check(self, session: psycopg.Connection) -> None:
        assert self.errors == []
        assert self.received.total() == len(self.received)
        assert self.ordered == sorted(self.ordered)
        # What old calls wrote while they waited for the upgrade is behind the marks, perhaps.
        session.execute("SELECT pgmq.maintain()")
        for queue in [*QUEUES, *self.kinds]:
            kept = {
                msg_id
                for prefix in "qa"
                for msg_id in ids(session, f'SELECT msg_id FROM pgmq."{prefix}_{queue.lower()}"')
            }
            sent = {msg_id for name, msg_id in self.sent - self.deleted if name == queue}
            assert sent <= kept
            left = f'SELECT msg_id FROM pgmq."q_{queue.lower()}" WHERE vt <= clock_timestamp()'
            waiting = ids(session, f"{left} ORDER BY msg_id")
            got = []
            read = "read_grouped" if queue == "fifo" else "read"
            while found := ids(session, f"SELECT msg_id FROM pgmq.{read}(%s, 3600, 99)", queue):
                got += found
                if queue == "fifo":
                    session.execute("SELECT pgmq.delete('fifo', %s::bigint[])", [found])
            assert got == waiting
            assert not self.received.keys() & {(queue, msg_id) for msg_id in got}


@pytest.mark.parametrize(
    ("before", "prepared"),
    [
        *((older.VERSIONS[0], False), (older.VERSIONS[-1], True)),
        *((version, False) for version in older.OF_2),
    ],
    indirect=["before"],
)
def test_producers_and_consumers_notice_nothing_of_an_upgrade(
    before: tuple[psycopg.Connection, str], prepared: bool, server: TestServer
) -> None:
    session, upgrade = before
    session.execute(FILL)
    kinds: list[str] = []
    if one(session, "SELECT to_regproc('pgmq.version') IS NOT NULL"):
        kinds = [kind for kind in queues.OF_2 if kind.islower() and kind not in QUEUES]
        for kind in kinds:
            session.execute(queues.KINDS[kind].encode())
    # Upstream's create() and CREATE INDEX CONCURRENTLY would wait for each other.
    clients = Clients(session.info.dsn, creating=not prepared, kinds=kinds)
    with clients.at_work():
        if prepared:
            prepare(server, session)
        run_until_done(session, upgrade)
    clients.check(session)


def run_until_done(session: psycopg.Connection, upgrade: str) -> None:
    """Run it again when it gives up, as on a busy machine beside so many clients it may."""
    for _ in range(3):
        try:
            session.execute(upgrade.encode())
        except psycopg.errors.LockNotAvailable:
            continue
        return
    session.execute(upgrade.encode())


def prepare(server: TestServer, session: psycopg.Connection) -> None:
    file = ROOT / "extension" / "upgrade" / "prepare.sql"
    done = server.run_psql(session.info.dbname, "-v", "ON_ERROR_STOP=1", "-f", file)
    assert (done.returncode, done.stdout) == (0, "")


INDEXES = """
    SELECT c.oid, c.relfilenode, c.relname, pg_get_indexdef(c.oid)
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE i.indrelid::regclass::text = ANY (ARRAY['pgmq.q_a', 'pgmq."q_mixed case"', 'pgmq.q_fifo'])
        AND i.indisvalid AND c.relname ~ '_idx_' ORDER BY c.relname
"""


def test_what_was_built_beforehand_is_not_built_again(
    before: tuple[psycopg.Connection, str], server: TestServer
) -> None:
    session, upgrade = before
    session.execute(FILL)
    said: list[str | None] = []
    session.add_notice_handler(lambda notice: said.append(notice.message_primary))
    session.execute(
        "INSERT INTO pgmq.q_a (vt) SELECT now() FROM generate_series(1, 20000);"
        "INSERT INTO pgmq.q_fifo (vt) SELECT now() FROM generate_series(1, 200000)"
    )
    # What is left when building it was interrupted.
    with contextlib.suppress(psycopg.errors.UniqueViolation):
        session.execute("CREATE UNIQUE INDEX CONCURRENTLY ready_idx_a ON pgmq.q_a (read_ct)")
    prepare(server, session)
    session.execute("DROP INDEX pgmq.ready_idx_fifo")
    built = session.execute(INDEXES).fetchall()
    assert [name for _, _, name, _ in built] == [
        *("fifo_idx_fifo", "parked_idx_a", "parked_idx_fifo", "parked_idx_mixed case"),
        *("ready_idx_a", "ready_idx_mixed case"),
    ]
    session.execute(upgrade.encode())
    # Only of what was missing, one is told how long it takes.
    expected = 'queue "fifo": indexes of 12 MB of messages are built while all its clients wait,'
    assert [text for text in said if text and " MB " in text] == [f"{expected} for about 1 s"]
    after = session.execute(INDEXES).fetchall()
    assert {*after} > {*built}
    assert [row[2] for row in {*after} - {*built}] == ["ready_idx_fifo"]
    session.execute("SELECT pgmq.create('new'), pgmq.create_fifo_index('new')")
    new = {row[3] for row in session.execute(INDEXES.replace("q_fifo", "q_new"))}
    fifo = {re.sub("(idx|q)_fifo", r"\1_new", row[3]) for row in after if "_fifo" in row[2]}
    assert len(fifo) == 3
    assert fifo < new


def test_an_index_that_failed_to_build_is_built_anew(
    before: tuple[psycopg.Connection, str],
) -> None:
    session, upgrade = before
    session.execute(FILL)
    session.execute("SELECT pgmq.send('a', '1'), pgmq.send('a', '2')")
    with contextlib.suppress(psycopg.errors.UniqueViolation):
        session.execute("CREATE UNIQUE INDEX CONCURRENTLY ready_idx_a ON pgmq.q_a (read_ct)")
    session.execute(upgrade.encode())
    found = [
        definition for _, _, name, definition in session.execute(INDEXES) if name == "ready_idx_a"
    ]
    assert found == [
        "CREATE INDEX ready_idx_a ON pgmq.q_a USING btree (msg_id) WHERE (vt <= enqueued_at)"
    ]


@pytest.mark.parametrize("before", older.OF_2, indirect=True)
def test_over_2_0_0_whoever_holds_queues_goes_on_and_maintain_does_the_rest(
    before: tuple[psycopg.Connection, str],
) -> None:
    session, upgrade = before
    kinds = [kind for kind in queues.OF_2 if kind.islower() and "unlogged" not in kind]
    for kind in kinds:
        session.execute(queues.KINDS[kind].encode())
    with psycopg.connect(session.info.dsn, prepare_threshold=0) as client:
        client.execute('LISTEN "pgmq.q_announced.INSERT"')
        client.commit()

        def use() -> None:
            for kind in kinds:
                one(client, "SELECT pgmq.send(%s, '1')", kind)
                for msg_id in ids(client, "SELECT msg_id FROM pgmq.read(%s, 60, 2)", kind):
                    assert one(client, "SELECT pgmq.delete(%s, %s::bigint)", kind, msg_id)

        use()
        session.execute("SET lock_timeout = '200ms'")  # of the tables that all queues share
        session.execute(upgrade.encode())
        use()
        session.execute("SELECT pgmq.maintain()")
        left = "SELECT count(*) FROM pgmq.doctor() WHERE finding ~ 'version 2.0.0'"
        assert one(session, left) == len(kinds)
        use()
        client.commit()
        use()
        client.commit()
        assert len(list(client.notifies(timeout=5, stop_after=2))) == 2
        throttles = "SELECT queue_name FROM pgmq.list_notify_insert_throttles()"
        assert "announced" in ids(session, throttles)
    session.execute("SELECT pgmq.maintain()")
    assert one(session, left) == 0


def test_a_transaction_over_two_queues_does_not_deadlock_with_an_upgrade(
    before: tuple[psycopg.Connection, str],
) -> None:
    session, upgrade = before
    session.execute(FILL)
    with (
        psycopg.connect(session.info.dsn) as client,
        psycopg.connect(session.info.dsn, autocommit=True) as observer,
    ):
        client.execute("SELECT pgmq.send('fleeting', '1')")
        waiting = Waiting(session, upgrade).until_it_waits(observer)
        for queue in QUEUES:
            assert one(client, "SELECT pgmq.send(%s, '1')", queue)
        client.execute("SELECT pgmq.create('a'), pgmq.bind_topic('y', 'a')")
        client.commit()
        waiting.result()
        assert ids(session, "SELECT msg_id FROM pgmq.read('fleeting', 60, 9)") == [1, 2]


@pytest.mark.parametrize("is_prepared", [False, True], ids=["open", "prepared"])
def test_an_upgrade_gives_up_when_a_transaction_does_not_end(
    before: tuple[psycopg.Connection, str], is_prepared: bool
) -> None:
    session, upgrade = before
    session.execute(FILL)
    with psycopg.connect(session.info.dsn) as client:
        client.tpc_begin("it's")
        client.execute("SELECT pgmq.send('quiet', '1')")
        holder = f"Processes: {client.info.backend_pid}."
        if is_prepared:
            client.tpc_prepare()
            holder = "Prepared transactions: 'it''s'."
        session.execute("SET lock_timeout = '50 ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable, match="q_quiet is in use") as error:
            session.execute(upgrade.encode())
        assert error.value.diag.message_detail == holder
        assert one(session, "SHOW lock_timeout") == "50ms"
        client.tpc_commit()
    session.execute(upgrade.encode())


def test_running_the_file_again_waits_for_nobody(db: psycopg.Connection, dsn: str) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.create_fifo_index('q'), pgmq.create_unlogged('u')")
    db.execute("SELECT pgmq.set_policy('u', dedup_window => '1 s', max_in_flight => 1)")
    with psycopg.connect(dsn) as client:
        client.execute("SELECT pgmq.send('q', '1'), pgmq.send('u', '1')")
        client.execute("SELECT pgmq.read('q', 60, 1), pgmq.send_topic('x', '1')")
        db.execute("SET lock_timeout = 1")
        db.execute((BUILD / "pgmq.sql").read_bytes())
