"""Queues that are created and dropped while others use them, or look at all queues."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import errors

from support.calls import naming_a_queue
from support.waiting import Waiting, never_wait, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Connect, Roles

SECONDS = 2
USERS = [
    "SELECT pgmq.send('q', '1')",
    "SELECT pgmq.read('q', 0, 1)",
    "SELECT pgmq.read('q', 0, 5)",
    "SELECT pgmq.read('q', 0, 1, '1')",
    "SELECT pgmq.read_grouped('q', 0, 1)",
    "SELECT pgmq.pop('q')",
    "SELECT pgmq.next_visible_at('q')",
    "SELECT pgmq.metrics('q')",
    "SELECT pgmq.maintain('q')",
    "SELECT pgmq.send('q', '1'), pgmq.read('q', 0, 1), pgmq.archive('q', ARRAY[1, 2, 3])",
]
READERS = [
    "SELECT pgmq.send('q', '1')",
    "SELECT pgmq.fetch('q', 'g', 0, 1)",
    "SELECT pgmq.commit('q', 'g', lane, epoch) FROM pgmq.fetch('q', 'g', 9, 5) LIMIT 1",
    "SELECT pgmq.release('q', 'g', lane, epoch) FROM pgmq.fetch('q', 'g', 9, 5) LIMIT 1",
    "SELECT pgmq.seek('q', 'g', 'earliest')",
    "SELECT pgmq.list_groups('q')",
    "SELECT pgmq.metrics('q')",
    "SELECT pgmq.maintain('q')",
]
ONLOOKERS = [
    "SELECT * FROM pgmq.metrics_all()",
    "SELECT * FROM pgmq.queue_stats()",
    "SELECT * FROM pgmq.list_queues()",
    "SELECT * FROM pgmq.list_groups()",
    "SELECT * FROM pgmq.list_notify_insert_throttles()",
    "SELECT * FROM pgmq.doctor()",
    "SELECT pgmq.maintain()",
]


def _all_at_once(
    connect: Connect, works: list[Callable[[psycopg.Connection], Any]]
) -> Counter[str]:
    """Repeat each work in a session of its own for some seconds; count what is raised."""
    raised: Counter[str] = Counter()
    end = time.monotonic() + SECONDS

    def repeat(session: psycopg.Connection, work: Callable[[psycopg.Connection], Any]) -> None:
        while time.monotonic() < end:
            try:
                work(session)
            except psycopg.Error as error:  # noqa: PERF203
                raised[f"{error.sqlstate} {error}".splitlines()[0]] += 1

    threads = [threading.Thread(target=repeat, args=(connect(), work)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def _call(query: str) -> Callable[[psycopg.Connection], Any]:
    return lambda session: session.execute(query.encode())


@pytest.mark.parametrize(
    "create",
    [
        "pgmq.create('q')",
        "pgmq.create_partitioned('q', '10')",
        "pgmq.create_stream('q'), pgmq.create_group('q', 'g', 'earliest', 2)",
    ],
    ids=["plain", "partitioned", "stream"],
)
@pytest.mark.parametrize("apart", [True, False], ids=["apart", "in one transaction"])
def test_who_uses_a_queue_that_is_dropped_learns_that_it_does_not_exist_and_nothing_else(
    db: psycopg.Connection, connect: Connect, create: str, apart: bool
) -> None:
    rounds = 0

    def renew(session: psycopg.Connection) -> None:
        nonlocal rounds
        if apart:
            session.execute("SELECT pgmq.drop_queue('q')")
            session.execute(f"SELECT {create}".encode())
        else:
            session.execute(f"SELECT pgmq.drop_queue('q'), {create}".encode())
        rounds += 1
        time.sleep(0.05)

    db.execute(f"SELECT {create}".encode())
    users = READERS if "stream" in create else USERS
    raised = _all_at_once(connect, [renew, *map(_call, users)])
    # Created anew before the commit, the type of the old one's messages is what a first call waits
    # for: then Postgres has no better words than XX000.
    assert {error[:5] for error in raised} <= ({"42P01"} if apart else {"42P01", "XX000"}), raised
    assert rounds > 0


def _has_settled(call: Waiting, db: psycopg.Connection) -> bool:
    return call.has_ended() or call.waits(db)


@pytest.mark.parametrize("kind", ["plain", "pushed", "partitioned", "stream"])
def test_whatever_is_called_beside_a_drop_that_commits_says_that_the_queue_is_gone(
    db: psycopg.Connection, connect: Connect, roles: Roles, kind: str
) -> None:
    create = {
        "plain": "pgmq.create('q')",
        "pushed": "pgmq.create('q'), pgmq.enable_push('q'), pgmq.create_fifo_index('q')",
        "partitioned": "pgmq.create_partitioned('q', '10')",
        "stream": "pgmq.create_stream('q'), pgmq.create_group('q', 'g', 'earliest', 2)",
    }[kind]
    notify = "pgmq.enable_notify_insert('q', 1000), pgmq.enable_wakeups('q')"
    db.execute("SELECT pgmq.create('other'), pgmq.create_exchange('x')")
    # Others may not find the queue there again.
    calls = [
        call.replace("a_role", roles()) if "a_role" in call else call
        for call in naming_a_queue(db)
        if "create" not in call or "index" in call or "group" in call
    ]
    calls += ONLOOKERS
    sessions, dropper = [connect() for _ in range(40)], connect(autocommit=False)
    wrong: list[str] = []
    for first in range(0, len(calls), len(sessions)):
        db.execute(f"SELECT {create}, {notify}, pgmq.send('q', '1')".encode())
        dropper.execute("SELECT pgmq.drop_queue('q')")
        some = calls[first : first + len(sessions)]
        waiting = [Waiting(*each) for each in zip(sessions, some, strict=False)]
        for each in waiting:
            until(partial(_has_settled, each, db))
        dropper.commit()
        for call, each in zip(some, waiting, strict=True):
            try:
                each.result()
            except psycopg.Error as error:  # noqa: PERF203
                is_gone = error.sqlstate in ("42P01", "P0001") and "does not exist" in str(error)
                if not is_gone and (kind, error.sqlstate) != ("stream", "0A000"):
                    wrong.append(f"{call}: {error.sqlstate} {error}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("second", ["pgmq.drop_queue('q')", "itself"])
@pytest.mark.parametrize("first", ["pgmq.create_fifo_index('q')", "pgmq.create_fair_index('q')"])
def test_what_a_queue_is_given_is_given_once_and_before_it_is_dropped(
    db: psycopg.Connection, connect: Connect, first: str, second: str
) -> None:
    db.execute("SELECT pgmq.create('q')")
    writer = connect(autocommit=False)
    writer.execute("SELECT pgmq.send('q', '1')")
    calls = [f"SELECT {first}", f"SELECT {first if second == 'itself' else second}"]
    waiting = [Waiting(connect(), call).until_it_waits(db) for call in calls]
    writer.commit()
    for each in waiting:
        assert each.result()


def test_who_looks_at_all_queues_is_not_disturbed_by_what_comes_and_goes(
    db: psycopg.Connection, connect: Connect
) -> None:
    db.execute("SELECT pgmq.create(name) FROM unnest('{a,b,c}'::text[]) AS n (name)")

    def come_and_go(session: psycopg.Connection) -> None:
        session.execute("SELECT pgmq.create('q'), pgmq.create_partitioned('p', '10')")
        session.execute("SELECT pgmq.create_stream('s'), pgmq.create_group('s', 'g')")
        session.execute("SELECT pgmq.send('q', '1'), pgmq.send('p', '1'), pgmq.send('s', '1')")
        session.execute("SELECT pgmq.drop_queue('s')")
        session.execute("SELECT pgmq.drop_queue('p')")
        session.execute("SELECT pgmq.drop_queue('q')")

    def come_and_go_quickly(session: psycopg.Connection) -> None:
        pid = session.info.backend_pid
        names = [f"q{pid}{number}" for number in range(3)]
        for name in names:
            session.execute("SELECT pgmq.create(%s), pgmq.send(%s, '1')", [name, name])
        for name in names:
            session.execute("SELECT pgmq.drop_queue(%s)", [name])

    assert not _all_at_once(connect, [come_and_go, *map(_call, ONLOOKERS)])
    measuring = map(_call, ONLOOKERS[:2])  # these are quick, and have asked before they look
    assert not _all_at_once(connect, [*[come_and_go_quickly] * 3, *measuring])
    assert db.execute("SELECT queue_name FROM pgmq.metrics_all() ORDER BY 1").fetchall() == [
        (name,) for name in "abc"
    ]


def test_a_drop_waits_for_whoever_uses_the_queue_and_lets_others_go_on_meanwhile(
    db: psycopg.Connection, connect: Connect
) -> None:
    """The archive is held by one session, and by whoever archives, which comes from the queue."""
    db.execute("SELECT pgmq.create('q'), pgmq.send('q', '1')")
    holder, dropper = connect(autocommit=False), connect()
    holder.execute("SELECT FROM pgmq.a_q")
    thread = threading.Thread(target=lambda: dropper.execute("SELECT pgmq.drop_queue('q')"))
    thread.start()
    never_wait(db)
    for _ in range(20):
        db.execute("SELECT pgmq.send('q', '1'), pgmq.archive('q', 1::bigint)")
        time.sleep(0.02)
    holder.rollback()
    thread.join()
    with pytest.raises(errors.UndefinedTable):
        db.execute("SELECT pgmq.send('q', '1')")


def test_a_drop_that_is_not_to_wait_gives_up_and_leaves_the_queue(
    db: psycopg.Connection, connect: Connect
) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.send('q', '1')")
    holder = connect(autocommit=False)
    holder.execute("SELECT pgmq.read('q', 0, 1)")
    db.execute("SET lock_timeout = '50ms'")
    with pytest.raises(errors.LockNotAvailable):
        db.execute("SELECT pgmq.drop_queue('q')")
    assert db.execute("SHOW lock_timeout").fetchone() == ("50ms",)
    holder.commit()
    assert db.execute("SELECT msg_id FROM pgmq.read('q', 0, 1)").fetchone() == (1,)
    assert db.execute("SELECT pgmq.drop_queue('q')").fetchone() == (True,)
    assert db.execute("SHOW lock_timeout").fetchone() == ("50ms",)


@pytest.mark.parametrize(
    ("look", "create", "lock"),
    [
        ("* FROM pgmq.metrics_all()", "create('{}')", "ALTER SEQUENCE pgmq.q_{}_msg_id_seq {}"),
        ("* FROM pgmq.queue_stats()", "create('{}')", "ALTER SEQUENCE pgmq.q_{}_msg_id_seq {}"),
        ("* FROM pgmq.doctor()", "create_partitioned('{}', '10')",
         "ALTER SEQUENCE pgmq.q_{}_msg_id_seq {}"),
        ("pgmq.maintain()", "create('{}')", "ALTER TABLE pgmq.q_{} {}"),
        ("pgmq.close_dead_channels()", "create('{0}'), pgmq.open_channel('{0}', 2)",
         "ALTER TABLE pgmq.q_{} {}"),
    ],
)  # fmt: skip
def test_who_looks_at_all_queues_does_not_wait_with_the_locks_of_some(
    db: psycopg.Connection, connect: Connect, look: str, create: str, lock: str
) -> None:
    """Else whoever has locked one queue, and locks another next, would be in a deadlock."""
    names = [f"q{number}" for number in range(5)]
    for name in names:
        db.execute(f"SELECT pgmq.{create.format(name)}, pgmq.send('{name}', '1')".encode())
    locker, looker = connect(autocommit=False), connect()
    locker.execute(lock.format("q4", "RENAME TO taken").encode())
    with ThreadPoolExecutor() as pool:
        looking = pool.submit(looker.execute, f"SELECT {look}".encode())
        wait([looking], 0.7)
        for name in names[:4]:
            locker.execute(f"LOCK TABLE pgmq.q_{name}".encode())
            locker.execute(lock.format(name, f"RENAME TO taken_{name}").encode())
        locker.rollback()
        looking.result(20)


def test_a_drop_that_would_be_a_deadlock_is_refused(
    db: psycopg.Connection, connect: Connect
) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.create('other'), pgmq.send('q', '1')")
    user, dropper = connect(autocommit=False), connect(autocommit=False)
    user.execute("SET deadlock_timeout = '1min'")  # or Postgres might see it at the right moment
    user.execute("SELECT FROM pgmq.a_q")
    dropper.execute("SELECT pgmq.drop_queue('other')")
    using = Waiting(user, "SELECT pgmq.send('other', '1')").until_it_waits(db)
    with pytest.raises(errors.DeadlockDetected, match='"q" cannot be dropped: who uses it'):
        dropper.execute("SELECT pgmq.drop_queue('q')")
    dropper.rollback()
    assert using.result() == [(1,)]


def test_who_drops_a_queue_waits_for_nobody_who_has_dropped_another(
    db: psycopg.Connection, connect: Connect
) -> None:
    """To put functions aside locks the extension, so only one transaction at a time does."""
    db.execute("SELECT pgmq.create('a'), pgmq.create('b')")
    first = connect(autocommit=False)
    first.execute("SELECT pgmq.drop_queue('a')")
    db.execute("SET statement_timeout = '10s'")  # it would come again and again
    db.execute("SELECT pgmq.drop_queue('b')")
    db.execute("SELECT pgmq.create('c')")
    first.commit()
    db.execute("SELECT pgmq.drop_queue('c')")


def test_doctor_says_who_has_locked_what_it_cannot_look_at(
    db: psycopg.Connection, connect: Connect
) -> None:
    db.execute("SELECT pgmq.create('q')")
    other = connect(autocommit=False)
    other.execute("LOCK TABLE pgmq.q_q")
    found = db.execute("SELECT finding, fix FROM pgmq.doctor() WHERE finding ~ 'locked'").fetchall()
    pid = other.info.backend_pid
    assert found
    for finding, fix in found:
        assert f"a table is locked: pgmq.q_q, by process {pid} since" in finding
        assert fix.endswith(f"SELECT pg_terminate_backend({pid})")
    other.rollback()
    assert db.execute("SELECT * FROM pgmq.doctor() WHERE queue_name = 'q'").fetchall() == []
