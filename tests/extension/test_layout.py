"""In which of its two places a message lies: ready (vt <= enqueued_at) or parked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import psycopg


@pytest.mark.parametrize(
    "arguments",
    ["'q', '1'", "'q', '1', 0", "'q', '1', -60", "'q', '1', now() - interval '1 day'"],
)
def test_a_message_without_a_delay_has_one_time_in_both_columns(
    db: psycopg.Connection, arguments: str
) -> None:
    db.execute("SELECT pgmq.create('q')")
    db.execute(f"SELECT pgmq.send({arguments})".encode())
    assert db.execute("SELECT vt = enqueued_at FROM pgmq.q_q").fetchone() == (True,)


@pytest.mark.parametrize(
    "call",
    [
        "SELECT pgmq.set_vt('q', 1, -60)",
        "SELECT pgmq.set_vt('q', 1, '-infinity'::timestamptz)",
        "SELECT pgmq.nack('q', 1, 1, -60)",
        "SELECT pgmq.extend('q', 1, 1, -60)",
        "SELECT pgmq.read('q', -60, 1)",
    ],
)
def test_a_vt_is_never_stored_behind_the_clock(db: psycopg.Connection, call: str) -> None:
    db.execute("SELECT pgmq.create('q'); SELECT pgmq.send('q', '1'); SELECT pgmq.read('q', 0, 1)")
    row = db.execute("SELECT clock_timestamp()").fetchone()
    db.execute(call.encode())
    assert db.execute("SELECT vt >= %s FROM pgmq.q_q", row).fetchone() == (True,)
    assert len(db.execute("SELECT * FROM pgmq.read('q', 60, 1)").fetchall()) == 1
