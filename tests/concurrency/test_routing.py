"""Publishing while exchanges, bindings and queues come and go: nobody waits, nothing is lost."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

import psycopg
import pytest

from support.cases import case
from support.prepared import prepared
from support.waiting import hold_snapshot, never_wait

if TYPE_CHECKING:
    from conftest import Connect

SENDS = ["SELECT pgmq.publish('e', 'a.b', '1')", "SELECT pgmq.send_topic('a.b', '1')"]
CHANGES = [
    "SELECT pgmq.bind('e', 'q', 'a.*')",
    "SELECT pgmq.unbind('e', 'q', '#')",
    "SELECT pgmq.bind_channel('e', 'c', '#')",
    "SELECT pgmq.bind_topic('a.*', 'q')",
    "SELECT pgmq.unbind_topic('#', 'q')",
    "SELECT pgmq.drop_exchange('e')",
    "SELECT pgmq.create_exchange('f')",
    "SELECT pgmq.drop_queue('r')",
    "SELECT pgmq.publish('e', 'a.b', '1')",
    "SELECT pgmq.send_topic('a.b', '1')",
]


template = prepared(
    "SELECT pgmq.create('q'), pgmq.create('r'), pgmq.create_exchange('e');"
    "SELECT pgmq.bind('e', 'q', '#'), pgmq.bind_topic('#', 'q'), pgmq.bind('e', 'r', 'x')",
    by="routed",
)


@pytest.fixture
def routed(db: psycopg.Connection) -> psycopg.Connection:
    never_wait(db)
    return db


@pytest.mark.parametrize("send", SENDS)
def test_sending_does_not_wait_for_an_open_change_of_the_routing(
    routed: psycopg.Connection, connect: Connect, send: str
) -> None:
    other = connect(autocommit=False)
    for change in CHANGES:
        with case(change):
            other.execute(change.encode())
            # What is not committed does not count yet.
            assert routed.execute(send.encode()).fetchone() == (1,)
            other.rollback()


@pytest.mark.parametrize("send", SENDS)
def test_no_change_of_the_routing_waits_for_an_open_send(
    routed: psycopg.Connection, connect: Connect, send: str
) -> None:
    other = connect(autocommit=False)
    for change in CHANGES:
        with case(change):
            other.execute(send.encode())
            with routed.transaction(force_rollback=True):
                routed.execute(change.encode())
                routed.execute("SET CONSTRAINTS ALL IMMEDIATE")  # as when it is committed
            locked = other.execute(
                """
                SELECT DISTINCT l.mode FROM pg_locks AS l
                WHERE l.pid = pg_backend_pid() AND l.relation IN (
                    SELECT c.oid FROM pg_class AS c
                    WHERE c.relname ~ '^(exchange|binding|topic_bindings|meta)'
                )
                """
            ).fetchall()
            assert set(locked) <= {("AccessShareLock",)}
            other.rollback()


def test_a_queue_that_is_dropped_meanwhile_cannot_be_bound(
    routed: psycopg.Connection, connect: Connect
) -> None:
    routed.execute("SET lock_timeout = 0")
    for bind, error in (
        ("SELECT pgmq.bind('e', 'r', '#')", psycopg.errors.UndefinedTable),
        ("SELECT pgmq.bind_topic('#', 'r')", psycopg.errors.RaiseException),
    ):
        other = connect(autocommit=False)
        other.execute("SELECT pgmq.drop_queue('r')")
        found: list[psycopg.Error] = []
        thread = threading.Thread(target=_catch, args=(routed, bind, found))
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        other.commit()
        thread.join(10)
        assert [type(one) for one in found] == [error]
        routed.execute("SELECT pgmq.create('r')")


@pytest.mark.parametrize("late", ["drop", "bind"])
@pytest.mark.parametrize(
    ("bind", "bound_to"),
    [("bind('e', 'new', '#')", 'exchange "e"'), ("bind_topic('a', 'new')", 'topic "a"')],
)
def test_a_binding_that_an_old_snapshot_hides_from_a_drop_is_found_and_removed(
    routed: psycopg.Connection, connect: Connect, bind: str, bound_to: str, late: str
) -> None:
    routed.execute("SELECT pgmq.create('new')")
    calls = {"drop": "SELECT pgmq.drop_queue('new')", "bind": f"SELECT pgmq.{bind}"}
    other = hold_snapshot(connect)
    routed.execute(calls["bind" if late == "drop" else "drop"].encode())
    other.execute(calls[late].encode())
    other.commit()
    findings = (
        "SELECT severity, queue_name, finding, fix FROM pgmq.doctor() WHERE queue_name = 'new'"
    )
    ((severity, name, finding, fix),) = routed.execute(findings.encode()).fetchall()
    assert (severity, name) == ("warning", "new")
    assert finding == f"a queue that does not exist is bound to {bound_to}"
    routed.execute(fix.encode())
    assert routed.execute(findings.encode()).fetchall() == []


def test_an_exchange_that_is_dropped_meanwhile_cannot_be_bound_to(
    routed: psycopg.Connection, connect: Connect
) -> None:
    routed.execute("SET lock_timeout = 0")
    other = connect(autocommit=False)
    other.execute("SELECT pgmq.drop_exchange('e')")
    found: list[psycopg.Error] = []
    thread = threading.Thread(
        target=_catch, args=(routed, "SELECT pgmq.bind('e', 'r', '#')", found)
    )
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    other.commit()
    thread.join(10)
    assert [type(one) for one in found] == [psycopg.errors.UndefinedObject]


def _catch(session: psycopg.Connection, query: str, found: list[psycopg.Error]) -> bool:
    try:
        session.execute(query.encode())
    except psycopg.Error as error:
        found.append(error)
        return False
    return True


def test_publishing_goes_on_while_bindings_and_queues_come_and_go(
    routed: psycopg.Connection, connect: Connect
) -> None:
    stop = threading.Event()
    failures: list[psycopg.Error] = []
    sent: list[int] = []

    def repeatedly(*queries: str) -> None:
        session = connect()
        done = 0
        while not stop.is_set():
            for query in queries:
                done += _catch(session, query, failures)
        sent.append(done if queries == publish else 0)

    publish = ("; ".join(SENDS),)  # one transaction
    rebind = (
        "SELECT pgmq.bind('e', 'r', 'a.#'), pgmq.bind_topic('a.#', 'r')",
        "SELECT pgmq.unbind('e', 'r', 'a.#'), pgmq.unbind_topic('a.#', 'r')",
    )
    works = (publish, publish, rebind)
    threads = [threading.Thread(target=repeatedly, args=work) for work in works]
    for thread in threads:
        thread.start()
    for number in range(15):
        routed.execute("SELECT pgmq.create('s')")
        routed.execute("SELECT pgmq.bind('e', 's', 'a.b', 'direct'), pgmq.bind_topic('*.b', 's')")
        routed.execute("SELECT pgmq.publish('e', 'a.b', '1')")
        routed.execute("SELECT pgmq.drop_queue(%s)", ("s" if number % 2 else "S",))
    stop.set()
    for thread in threads:
        thread.join()
    # A producer may meet a queue that is being dropped, as one that calls send may.
    gone = re.compile(r"42P01 |XX000 cache lookup failed for function")
    failed = [f"{failure.sqlstate} {failure}" for failure in failures]
    assert [failure for failure in failed if not gone.match(failure)] == []
    assert sum(sent) > 10
    got = routed.execute("SELECT count(*) FROM pgmq.q_q").fetchone()
    assert got == (2 * sum(sent) + 15,)
