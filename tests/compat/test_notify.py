"""What a listener hears from both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from compat.both import Both, Side

STEPS = (
    "SELECT pgmq.create('q'), pgmq.create('a b'), pgmq.create_unlogged('u')",
    "SELECT pgmq.send('q', '1')",
    "SELECT pgmq.enable_notify_insert(queue_name, 0) FROM pgmq.list_queues()",
    "SELECT pgmq.send(queue_name, '1') FROM pgmq.list_queues()",
    "SELECT pgmq.send('q', '1', 60)",
    "SELECT pgmq.send_batch('q', '{1,2,3}')",
    "INSERT INTO pgmq.q_q (vt) SELECT now() FROM generate_series(1, 3)",
    "INSERT INTO pgmq.q_q (vt) SELECT now() FROM generate_series(1, 0)",
    "BEGIN; SELECT pgmq.send('q', '1'); SELECT pgmq.send('q', '2'); COMMIT",
    "BEGIN; SELECT pgmq.send('q', '1'); ROLLBACK",
    "SELECT pgmq.read('q', 0, 5)",
    "SELECT pgmq.update_notify_insert('q', 3600000)",
    "SELECT pgmq.send('q', '1')",
    "SELECT pgmq.send('q', '1')",
    "SELECT pgmq.enable_notify_insert('q', 3600000)",
    "SELECT pgmq.send('q', '1')",
    "SELECT pgmq.disable_notify_insert('q')",
    "SELECT pgmq.send('q', '1')",
)


def heard(side: Side) -> list[tuple[str, list[tuple[str, str]]]]:
    side.connection.execute(
        'LISTEN "pgmq.q_q.INSERT"; LISTEN "pgmq.q_a b.INSERT"; LISTEN "pgmq.q_u.INSERT"'
    )
    told: list[tuple[str, str]] = []
    side.connection.add_notify_handler(lambda note: told.append((note.channel, note.payload)))
    found = []
    for step in STEPS:
        side.connection.execute(step.encode())
        side.connection.execute("SELECT 1")  # what the session has told itself is here now
        found.append((step, sorted(told)))
        told.clear()
    return found


def test_the_same_inserts_are_announced_on_the_same_channels(both: Both) -> None:
    theirs, ours = heard(both.upstream), heard(both.ours)
    assert ours == theirs
    assert sum(len(notes) for _, notes in ours) == 9
