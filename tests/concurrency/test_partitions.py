"""Sessions beside each other on a partitioned queue whose partitions change."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from support import queries
from support.prepared import prepared
from support.waiting import Waiting, never_wait

if TYPE_CHECKING:
    from conftest import Connect


def _send(session: psycopg.Connection, count: int) -> None:
    session.execute(
        "SELECT pgmq.send_batch('q', array_agg(to_jsonb(i))) FROM generate_series(1, %s) AS i",
        (count,),
    )


def _partitions(session: psycopg.Connection) -> list[int]:
    query = "SELECT first_key::int FROM pgmq._partitions('pgmq.q_q') ORDER BY 1"
    return queries.ids(session, query)


def _maintain(session: psycopg.Connection) -> list[str]:
    """Return the warnings of an upkeep."""
    warnings: list[str] = []

    def hear(notice: psycopg.errors.Diagnostic) -> None:
        warnings.append(notice.message_primary or "")

    session.add_notice_handler(hear)
    session.execute("SELECT pgmq.maintain('q')")
    session.remove_notice_handler(hear)
    return warnings


template = prepared("SELECT pgmq.create_partitioned('q', '10', '30', 2)", by="queue")


@pytest.fixture
def queue(db: psycopg.Connection) -> psycopg.Connection:
    """A queue with room for the msg_ids 1 to 29, whose upkeep is left to the test."""
    db.execute("SELECT setval('pgmq.tend_due_q', pgmq._microseconds(now() + interval '50 s'))")
    never_wait(db)
    return db


@pytest.fixture
def producer(queue: psycopg.Connection, connect: Connect) -> psycopg.Connection:
    """A session that sends in a transaction it leaves open."""
    session = connect(autocommit=False)
    never_wait(session)
    session.commit()
    return session


# Whatever brings 20 messages to the queue q, whose next partition is being added.
WRITERS = {
    "send": "SELECT pgmq.send('q', '1') FROM generate_series(1, 20)",
    "send_batch": "SELECT pgmq.send_batch('q', array_fill('1'::jsonb, '{20}'))",
    "redrive": "SELECT pgmq.redrive('other', 'q')",
    "move": "SELECT pgmq.move('other', n, 'q') FROM generate_series(1, 20) AS n",
    "a dead letter": "SELECT * FROM pgmq.read('deadly', 60, 20)",
    "publish": "SELECT pgmq.publish('x', 'a', '1') FROM generate_series(1, 20)",
    "send_topic": "SELECT pgmq.send_topic('a', '1') FROM generate_series(1, 20)",
    "insert": "INSERT INTO pgmq.q_q (vt) SELECT now() FROM generate_series(1, 20)",
}


@pytest.fixture
def crowded(queue: psycopg.Connection) -> psycopg.Connection:
    """The queue with 15 messages, beside what the writers need."""
    queue.execute(
        """
        SELECT pgmq.create('other'), pgmq.create('deadly'), pgmq.create_exchange('x');
        SELECT pgmq.bind('x', 'q', 'a'), pgmq.bind_topic('a', 'q'), pgmq.enable_push('q');
        SELECT pgmq.set_policy('deadly', max_receives => 1, dead_letter_queue => 'q');
        SELECT pgmq.send_batch(name, array_fill('1'::jsonb, '{20}'))
        FROM (VALUES ('other'), ('deadly')) AS n (name);
        SELECT pgmq.read('deadly', 0, 20)
        """
    )
    _send(queue, 15)
    return queue


@pytest.mark.parametrize("writer", WRITERS)
def test_a_message_may_be_for_the_partition_that_is_being_added(
    crowded: psycopg.Connection, connect: Connect, writer: str
) -> None:
    upkeep = connect(autocommit=False)
    upkeep.execute("SELECT pgmq.maintain('q')")
    call = Waiting(connect(), WRITERS[writer]).until_it_waits(crowded)
    upkeep.commit()
    call.result()
    assert queries.ids(crowded, "SELECT msg_id FROM pgmq.q_q_p30") == list(range(30, 36))


@pytest.mark.parametrize(
    "call", ["SELECT pgmq.send('q', '1')", "INSERT INTO pgmq.q_q (vt) SELECT now()"]
)
def test_no_partition_is_added_that_an_open_transaction_does_not_know(
    queue: psycopg.Connection, producer: psycopg.Connection, call: str
) -> None:
    """Until it needs a lock that it has not had yet, a session learns of no change."""
    _send(queue, 15)
    call += " FROM generate_series(1, %s::int)"
    for count in (1, 1, 1):
        producer.execute(call.encode(), (count,), prepare=True)
    queue.execute("SELECT pgmq.maintain('q')")
    producer.execute(call.encode(), (20,), prepare=True)
    producer.commit()
    queue.execute("UPDATE pgmq.partitioning SET retention_interval = null")
    assert _maintain(queue) == []
    assert queries.ids(queue, "SELECT msg_id FROM pgmq.q_q_p30") == list(range(30, 39))


def test_an_archive_may_get_a_partition_beside_those_who_archive(
    queue: psycopg.Connection, connect: Connect
) -> None:
    queue.execute("SELECT pgmq.create('work')")
    queue.execute("SELECT pgmq.set_policy('work', ack_archives => true)")
    queue.execute("SELECT pgmq.convert_archive_partitioned('work', '10', '1000', 1)")
    queue.execute("SELECT pgmq.send_batch('work', array_fill('1'::jsonb, '{35}'))")
    queue.execute("SELECT pgmq.read('work', 60, 35)")
    consumer = connect(autocommit=False)
    assert queries.ids(consumer, "SELECT pgmq.ack('work', 1, 1)") == [True]
    queue.execute("SELECT pgmq.maintain('work')")  # in vain
    acks = "SELECT pgmq.ack('work', array_agg(n), array_agg(1)) FROM generate_series(2, 32) AS n"
    assert len(queries.ids(consumer, acks)) == 31
    consumer.commit()
    upkeep = connect(autocommit=False)
    upkeep.execute("SELECT pgmq.maintain('work')")
    archives = "SELECT pgmq.archive('work', '{33,34,35}'::bigint[])"
    call = Waiting(connect(), archives).until_it_waits(queue)
    upkeep.commit()
    call.result()
    assert queries.ids(queue, "SELECT count(*) FROM pgmq.a_work") == [35]


def test_a_partition_of_later_times_is_added_beside_an_open_producer(
    queue: psycopg.Connection, producer: psycopg.Connection, connect: Connect
) -> None:
    queue.execute("SELECT pgmq.create_partitioned('t', '1 hour', '1 day', 1)")
    queue.execute("UPDATE pgmq.partitioning SET premake = 4")
    producer.execute("SELECT pgmq.send('t', '1')")
    # Nor does an upkeep that has not ended hold up whoever sends or reads.
    upkeep = connect(autocommit=False)
    upkeep.execute("SELECT pgmq.maintain('t')")
    assert len(queries.ids(upkeep, "SELECT pgmq._partitions('pgmq.q_t')")) >= 5
    producer.execute("SELECT pgmq.send('t', '1')")
    producer.commit()
    queue.execute("SELECT pgmq.send('t', '1')")
    assert queries.ids(queue, "SELECT msg_id FROM pgmq.read('t', 60, 99)") == [1, 2, 3]
    upkeep.commit()


def test_the_default_partition_is_left_to_a_producer_who_uses_it(
    queue: psycopg.Connection, producer: psycopg.Connection
) -> None:
    _send(producer, 35)
    assert "lock timeout" in _maintain(queue)[0]
    _send(queue, 5)
    assert queries.ids(queue, "SELECT msg_id FROM pgmq.read('q', 60, 99)") == list(range(36, 41))
    producer.commit()
    queue.execute("UPDATE pgmq.partitioning SET retention_interval = null")
    assert _maintain(queue) == []
    assert _partitions(queue) == list(range(0, 70, 10))
    assert queries.ids(queue, "SELECT msg_id FROM ONLY pgmq.q_q_default") == []
    assert queries.ids(queue, "SELECT pgmq.ack('q', 40, 1)") == [True]
    assert queries.ids(queue, "SELECT msg_id FROM pgmq.read('q', 60, 99)") == list(range(1, 36))


def test_a_producer_who_has_not_ended_holds_up_partitions_and_not_the_others(
    queue: psycopg.Connection, producer: psycopg.Connection
) -> None:
    _send(queue, 29)
    queue.execute("UPDATE pgmq.partitioning SET retention_interval = '5'")
    _maintain(queue)
    first = _partitions(queue)[0]
    assert first == 20
    _send(queue, 10)
    _send(producer, 1)
    assert "lock timeout" in _maintain(queue)[0]
    assert _partitions(queue) == [first, 30, 40]
    _send(queue, 1)
    counted = "SELECT dropped_messages::int FROM pgmq.partitioning WHERE NOT is_archive"
    before = queries.ids(queue, counted)
    producer.rollback()
    assert _maintain(queue) == []
    assert _partitions(queue) == [30, 40, 50, 60]
    assert queries.ids(queue, counted)[0] == before[0] + 10


@pytest.mark.parametrize("kind", ["'10', '30', 2", "'1 s', '3 s', 2"], ids=["ids", "times"])
def test_doctor_names_the_transaction_that_is_in_the_way_of_upkeep(
    db: psycopg.Connection, producer: psycopg.Connection, kind: str
) -> None:
    db.execute("SELECT pgmq.drop_queue('q')")
    db.execute(f"SELECT pgmq.create_partitioned('q', {kind})".encode())
    query = "SELECT finding FROM pgmq.doctor() WHERE finding LIKE 'pgmq.q_q %%'"
    assert queries.ids(db, query) == []
    _send(producer, 1)
    _send(db, 99)
    if "s" in kind:
        db.execute("SELECT pg_sleep(6)")
    assert "left for later" in _maintain(db)[0]
    found = queries.ids(db, query)
    pid = producer.info.backend_pid
    assert [(" has no partition " in text, f"process {pid} (" in text) for text in found] == [
        (True, True),
        (False, True),
    ]
    assert "keeps more than retention says" in found[1]
    producer.rollback()
    assert queries.ids(db, query) == []


@pytest.mark.parametrize(
    ("held", "first"),
    [("q_q", True), ("q_q_p0", True), ("q_q", False)],
    ids=["who waits already", "who waits for a partition", "who is about to wait"],
)
def test_upkeep_does_not_wait_for_whoever_waits_for_it(
    queue: psycopg.Connection, connect: Connect, held: str, first: bool
) -> None:
    """Else his call would fail, at once or a second after it began."""
    _send(queue, 40)  # some in the default partition
    upkeep, reader = connect(autocommit=False), connect(autocommit=False)
    upkeep.execute(f"LOCK TABLE ONLY pgmq.{held} IN EXCLUSIVE MODE".encode())
    reader.execute("SELECT pgmq.peek('q', 1)")
    query = "SELECT msg_id FROM pgmq.read('q', 0, 1)"
    if first:
        reading = Waiting(reader, query).until_it_waits(queue)
        time.sleep(0.7)
        said = _maintain(upkeep)
    else:
        maintaining = Waiting(upkeep, "SELECT pgmq.maintain('q')")
        time.sleep(0.2)
        reading = Waiting(reader, query)
        maintaining.result()
        said = []
    time.sleep(0.5)
    upkeep.rollback()
    assert reading.result() == [(1,)]
    assert "could not obtain lock" in "".join(said) or not first


def test_two_upkeeps_at_once_add_each_partition_once(
    queue: psycopg.Connection, connect: Connect
) -> None:
    queue.execute("UPDATE pgmq.partitioning SET retention_interval = null")
    _send(queue, 200)
    errors: list[psycopg.Error] = []

    def maintain(session: psycopg.Connection) -> None:
        try:
            session.execute("SELECT pgmq.maintain('q')")
        except psycopg.Error as error:
            errors.append(error)

    threads = [threading.Thread(target=maintain, args=(connect(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    _maintain(queue)
    assert _partitions(queue) == list(range(0, 230, 10))
    assert queries.ids(queue, "SELECT msg_id FROM pgmq.pop('q', 999)") == list(range(1, 201))


# Whoever knows of a message, by a snapshot that is older than its move to another partition.
OLD_SNAPSHOT = [
    "SELECT pgmq.get('q', 35)",
    "SELECT pgmq.peek('q', 99)",
    "SELECT pgmq.read('q', 60, 99)",
    "SELECT pgmq.read_with_poll('q', 60, 99)",
    "SELECT pgmq.read_grouped('q', 60, 99)",
    "SELECT pgmq.read_group('q', null, 60, 99)",
    "SELECT pgmq.pop('q', 99)",
    "SELECT pgmq.ack('q', 35, 1)",
    "SELECT pgmq.ack('q', '{34,35}'::bigint[], '{1,1}')",
    "SELECT pgmq.ack_and_read('q', 60, 1, '{34,35}'::bigint[], '{1,1}')",
    "SELECT pgmq.nack('q', 35, 1)",
    "SELECT pgmq.extend('q', 35, 1, 60)",
    "SELECT pgmq.set_vt('q', 35, 60)",
    "SELECT pgmq.delete('q', 35)",
    "SELECT pgmq.delete('q', '{34,35}'::bigint[])",
    "SELECT pgmq.archive('q', 35)",
    "SELECT pgmq.archive('q', '{34,35}'::bigint[])",
    "SELECT pgmq.move('q', 35, 'other')",
    "SELECT pgmq.redrive('q', 'other')",
    "SELECT pgmq.purge_queue('q')",
    "SELECT pgmq.next_visible_at('q')",
]


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_an_old_snapshot_does_not_miss_what_was_moved(
    queue: psycopg.Connection, connect: Connect, level: str
) -> None:
    queue.execute("SELECT pgmq.create('other')")
    queue.execute("UPDATE pgmq.partitioning SET retention_interval = null")
    _send(queue, 35)
    queue.execute("SELECT pgmq.read('q', 0, 99)")
    olds = [connect() for _ in OLD_SNAPSHOT]
    for old in olds:
        old.execute(f"BEGIN ISOLATION LEVEL {level}".encode())
        old.execute("SELECT count(*) FROM pg_class")
    assert _maintain(queue) == []
    for old, call in zip(olds, OLD_SNAPSHOT, strict=True):
        with pytest.raises(psycopg.errors.SerializationFailure):
            old.execute(call.encode())
        old.rollback()
        # When it begins again, all is there.
        with old.transaction(force_rollback=True):
            old.execute(f"SET TRANSACTION ISOLATION LEVEL {level}".encode())
            assert old.execute(call.encode()).rowcount > 0
            assert queries.ids(old, "SELECT pgmq.send('q', '1')") != []
        old.close()


def test_an_old_snapshot_waits_for_a_move_and_does_not_miss_it(
    queue: psycopg.Connection, connect: Connect
) -> None:
    _send(queue, 35)
    upkeep = connect(autocommit=False)
    upkeep.execute("SELECT pgmq.maintain('q')")
    old = connect()
    old.execute("SET default_transaction_isolation = 'repeatable read'")
    call = Waiting(old, "SELECT pgmq.delete('q', 35)").until_it_waits(queue)
    upkeep.commit()
    with pytest.raises(psycopg.errors.SerializationFailure, match="due to a new partition of"):
        call.result()
    assert queries.ids(old, "SELECT pgmq.delete('q', 35)") == [True]


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_an_old_snapshot_drops_nothing_that_a_change_since_keeps(
    queue: psycopg.Connection, connect: Connect, level: str
) -> None:
    _send(queue, 65)
    _maintain(queue)
    queue.execute("UPDATE pgmq.partitioning SET retention_interval = '10'")
    old = connect()
    old.execute(f"BEGIN ISOLATION LEVEL {level}".encode())
    old.execute("SELECT count(*) FROM pgmq.partitioning")
    queue.execute("UPDATE pgmq.partitioning SET retention_interval = null")
    before = _partitions(queue)
    assert [each.split(": ")[1] for each in _maintain(old)] == [
        "only a READ COMMITTED transaction drops what is old"
    ]
    old.execute("COMMIT")
    assert _partitions(queue) == before


# Calls that lock several messages.
SEVERAL = [
    "SELECT pgmq.ack('q', %s, %s)",
    "SELECT pgmq.nack('q', %s, %s)",
    "SELECT pgmq.extend('q', %s, %s, 60)",
    "SELECT msg_id FROM pgmq.ack_and_read('q', 60, 0, %s, %s)",
    "SELECT (pgmq.set_vt('q', %s, 60)).msg_id",
    "SELECT pgmq.delete('q', %s)",
    "SELECT pgmq.archive('q', %s)",
    "SELECT pgmq.purge_queue('q')",
]


@pytest.mark.parametrize("policy", ["", "ack_archives => true"])
@pytest.mark.parametrize("kind", ["ids", "times"])
def test_messages_are_locked_in_one_order_wherever_they_are(
    db: psycopg.Connection, connect: Connect, kind: str, policy: str
) -> None:
    """The default partition has smaller msg_ids than the others, and is the last."""
    if kind == "ids":
        db.execute("SELECT pgmq.create_partitioned('q', '10', '1000', 1)")
        db.execute("SELECT pgmq._add_partition('pgmq.q_q', '10', 35, 0)")
    else:
        db.execute("SELECT pgmq.create_partitioned('q', '1 day', '1000 days', 1)")
        db.execute("SELECT setval('pgmq.floor_mark_q', 1)")
    db.execute(f"SELECT pgmq.set_policy('q' {policy and ','} {policy})".encode())
    db.execute("SELECT setval('pgmq.tend_due_q', pgmq._microseconds(now() + interval '50 s'))")
    if kind == "times":
        db.execute(
            "INSERT INTO pgmq.q_q (enqueued_at, vt) SELECT now() - interval '1 year', now()"
            " FROM generate_series(1, 28)"
        )
    _send(db, 35 if kind == "ids" else 7)
    db.execute("SELECT pgmq.read('q', 3600, 99)")
    ids = list(range(25, 35))
    default = queries.ids(db, "SELECT msg_id FROM pgmq.q_q_default WHERE msg_id >= 25 ORDER BY 1")
    assert default[:4] == ids[:4]
    assert default != ids
    free = "SELECT msg_id FROM pgmq.q_q WHERE msg_id = ANY (%s) ORDER BY 1 FOR UPDATE SKIP LOCKED"
    first, second = connect(autocommit=False), connect(autocommit=False)
    for call in SEVERAL:
        first.execute("SELECT FROM pgmq.q_q WHERE msg_id = 25 FOR UPDATE")
        arguments = (ids[::-1], [1] * 10)[: call.count("%s")]
        waiting = Waiting(second, call, *arguments).until_it_waits(db)
        assert queries.ids(db, free, ids) == default[1:], call
        first.rollback()
        waiting.result()
        if "set_vt" in call:
            assert [row[0] for row in waiting.rows] == ids
        second.rollback()


# Ways to call a read in a transaction that does not end with it.
OPEN = {
    "a transaction": ["BEGIN", "SELECT pgmq.read('q', 60, 32)"],
    "begun by the same message": ["BEGIN; SELECT pgmq.read('q', 60, 32)"],
    "in a block": ["BEGIN", "DO $$ BEGIN PERFORM pgmq.read('q', 60, 32); END $$"],
    "a cursor": ["BEGIN", "DECLARE c CURSOR FOR SELECT pgmq.read('q', 60, 32)", "FETCH ALL FROM c"],
}


@pytest.mark.parametrize("way", [*OPEN, "a pipeline"])
def test_nobody_waits_for_a_reader_who_has_not_ended(
    queue: psycopg.Connection, connect: Connect, way: str
) -> None:
    """Its upkeep, which is due, has much to do: but when it commits."""
    _send(queue, 65)
    queue.execute("SELECT setval('pgmq.tend_due_q', 0)")
    reader = connect()
    with contextlib.ExitStack() as stack:
        if way in OPEN:
            stack.callback(reader.execute, b"COMMIT")
            for statement in OPEN[way]:
                reader.execute(statement.encode())
        else:
            stack.enter_context(reader.pipeline())
            call = "SELECT msg_id FROM pgmq.read('q', 60, %s)"
            reader.execute(call, (32,), prepare=True).fetchall()
        # A sweep looks into every partition, as do metrics.
        queue.execute("SELECT setval('pgmq.sweep_due_q', 0)")
        assert len(queries.ids(queue, "SELECT msg_id FROM pgmq.read('q', 60, 99)")) == 33
        assert queries.ids(queue, "SELECT default_partition_length FROM pgmq.metrics('q')") == [36]
        _send(queue, 1)
        assert _partitions(queue) == [0, 10, 20]
    # A step of what it found due: one partition is dropped, one filled from the default one, and
    # there are those of now and the next two.
    assert _partitions(queue) == [10, 20, 30, 60, 70, 80]


READ = "BEGIN; SELECT pgmq.read('q', 60, 32)"
# Ways to prepare a transaction that has read.
PREPARED = {
    "a statement": [READ, "PREPARE TRANSACTION 'reading'"],
    "behind a comment": [READ, "/* app:x */ prepare transaction 'reading'"],
    "comments between": [READ, "-- x\nPREPARE -- y\n/* /* z */ */TRANSACTION 'reading'"],
    "one message": [f"{READ}; PREPARE TRANSACTION 'reading'; SELECT 1"],
}


@pytest.mark.parametrize("way", [*PREPARED, "the extended protocol"])
def test_a_prepared_transaction_locks_nothing_more(
    queue: psycopg.Connection, connect: Connect, way: str
) -> None:
    _send(queue, 35)
    reader = connect()
    reader.execute("SELECT setval('pgmq.tend_due_q', 0)")
    for statement in PREPARED.get(way, PREPARED["behind a comment"]):
        reader.execute(statement.encode(), prepare=way not in PREPARED and statement != READ)
    try:
        assert queries.ids(queue, "SELECT msg_id FROM pgmq.read('q', 60, 99)") == [33, 34, 35]
        assert queries.ids(queue, "SELECT default_partition_length FROM pgmq.metrics('q')") == [6]
    finally:
        queue.execute("COMMIT PREPARED 'reading'")
    assert _partitions(queue) == [0, 10, 20]


def test_words_like_those_that_prepare_a_transaction_put_no_upkeep_off(
    queue: psycopg.Connection, connect: Connect
) -> None:
    _send(queue, 35)
    reader = connect()
    reader.execute("SELECT setval('pgmq.tend_due_q', 0)")
    reader.execute(READ.encode())
    reader.execute("COMMIT; SELECT 'Prepare the transaction, unprepare transactions'")
    assert _partitions(queue) == [0, 10, 20, 30, 40, 50]


def test_push_is_disabled_beside_a_reader_who_has_come_as_far_as_the_table(
    queue: psycopg.Connection, connect: Connect
) -> None:
    """And locks its partitions next: none of them may be locked by one who waits for the table."""
    reader = connect(autocommit=False)
    never_wait(reader)
    queue.execute("SELECT pgmq.enable_push('q')")
    reader.execute("LOCK TABLE ONLY pgmq.q_q IN ACCESS SHARE MODE")
    disabling = Waiting(connect(), "SELECT pgmq.disable_push('q')").until_it_waits(queue)
    reader.execute("SELECT pgmq.read('q', 0, 1)")
    reader.commit()
    disabling.result()


def test_a_queue_may_be_read_and_dropped_at_once(queue: psycopg.Connection) -> None:
    _send(queue, 35)
    queue.execute("SELECT setval('pgmq.tend_due_q', 0)")
    with queue.transaction():
        queue.execute("SELECT pgmq.read('q', 60, 32)")
        queue.execute("SELECT pgmq.drop_queue('q')")
    assert queries.ids(queue, "SELECT count(*) FROM pgmq.tending") == [0]


@pytest.mark.parametrize("kind", ["'50', '100000', 1", "'1 s', '1 h', 1"], ids=["ids", "times"])
def test_nothing_is_lost_or_seen_twice_while_partitions_come(
    db: psycopg.Connection, connect: Connect, kind: str
) -> None:
    db.execute(f"SELECT pgmq.create_partitioned('q', {kind})".encode())
    count, batch, producers = 40, 20, 3
    got: list[int] = []
    errors: list[BaseException] = []
    done = threading.Event()

    def run(work: Any) -> None:
        try:
            work(connect())
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    def produce(session: psycopg.Connection) -> None:
        for i in range(count):
            with session.transaction(force_rollback=i % 10 == 9):
                _send(session, batch)

    def consume(session: psycopg.Connection) -> None:
        while True:
            last = done.is_set()
            session.execute("SELECT setval('pgmq.tend_due_q', 0)")
            ids = queries.ids(session, "SELECT msg_id FROM pgmq.read('q', 600, 32)")
            assert ids == sorted(ids)
            got.extend(ids)
            removed = queries.ids(session, "SELECT pgmq.delete('q', %s::bigint[])", ids)
            assert sorted(removed) == ids
            if last and not ids:
                return

    def maintain(session: psycopg.Connection) -> None:
        while not done.is_set():
            session.execute("SELECT pgmq.maintain('q')")

    sending = [threading.Thread(target=run, args=(produce,)) for _ in range(producers)]
    others = [threading.Thread(target=run, args=(w,)) for w in (consume, consume, maintain)]
    for thread in sending + others:
        thread.start()
    for thread in sending:
        thread.join()
    done.set()
    for thread in others:
        thread.join()
    assert [str(error) for error in errors] == []
    assert len(got) == len(set(got)) == producers * count * batch * 9 // 10
    assert queries.ids(db, "SELECT msg_id FROM pgmq.q_q") == []
