from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from compat.both import Side
from compat.differences import DIFFERENCES, Difference, Error, Expected
from support import server as servers

if TYPE_CHECKING:
    from collections.abc import Callable

    from compat.both import Both
    from pgmq import embedded


def outcomes(
    side: Side, difference: Difference, expected: dict[str, Expected]
) -> dict[str, Expected]:
    for step in difference.steps:
        done = side.run(step)
        assert done.error is None, f"{step}: {done}"
    found: dict[str, Expected] = {}
    for call in difference.calls:
        outcome = side.run(call)
        if outcome.error is None:
            found[call] = list(outcome.rows)
        elif expected[call] == Error(outcome.error[0], None):
            found[call] = expected[call]
        else:
            found[call] = Error(*outcome.error)
    return found


@pytest.mark.parametrize("title", DIFFERENCES)
def test_the_sides_differ_as_meant(both: Both, title: str) -> None:
    difference = DIFFERENCES[title]
    upstream = {call: expected for call, (expected, _) in difference.calls.items()}
    ours = {call: expected for call, (_, expected) in difference.calls.items()}
    # One side after the other: a script may hold a lock on something of the whole server.
    assert outcomes(both.upstream, difference, upstream) == upstream
    both.upstream.reset()
    assert outcomes(both.ours, difference, ours) == ours


def test_an_unlogged_queue_that_lost_its_messages_in_a_crash_goes_on_with_new_ids(
    new_server: Callable[..., embedded.Server], upstream_sql: str
) -> None:
    """Upstream begins again at 1, which the archive, being logged, still has."""
    server = new_server()
    if server.major < 15:
        pytest.skip("before Postgres 15 an unlogged table's sequence was logged")
    scripts = {"theirs": upstream_sql, "ours": (servers.BUILD / "pgmq.sql").read_text()}
    for dbname, script in scripts.items():
        with psycopg.connect(server.dsn(), autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {dbname}".encode())
        with psycopg.connect(server.dsn(dbname), autocommit=True) as connection:
            connection.execute(script.encode())
            connection.execute("SELECT pgmq.create_unlogged('q')")
            connection.execute("SELECT pgmq.send_batch('q', '{1,2,3}')")
            connection.execute("SELECT count(*) FROM pgmq.read('q', 0, 3)")
            connection.execute("SELECT pgmq.archive('q', 1)")
    server.restart(mode="immediate")
    found = {}
    for dbname in scripts:
        with psycopg.connect(server.dsn(dbname), autocommit=True) as connection:
            side = Side(connection)
            (sent,) = side.run("SELECT pgmq.send('q', '4')").rows
            read = side.run("SELECT msg_id FROM pgmq.read('q', 0, 10)")
            archived = side.run("SELECT pgmq.archive('q', array_agg(msg_id)) FROM pgmq.q_q")
            found[dbname] = (sent[0] > 3, read.rows == (sent,), archived.error)
    collision = ("23505", 'duplicate key value violates unique constraint "a_q_pkey"')
    assert found == {"theirs": (False, True, collision), "ours": (True, True, None)}
