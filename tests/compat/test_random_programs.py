"""Random programs, run on both sides and compared after every step.

A failure prints the seed and the shortest program that still fails. PGMQ_SEED=n repeats one program
first; PGMQ_PROGRAMS=n says how many to run. Time is moved by set_vt and by delays so long that
nothing falls due while a program runs, so programs neither sleep nor depend on the machine's speed.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from compat.both import Both

STEPS = 30
HOUR = 3600
SOON, LATER = "clock_timestamp()", f"now() + interval '{HOUR} s'"
CONDITIONS = ["'{}'", "NULL", "'{\"k\":1}'", "'{\"k\":2}'", "'[1]'", "'null'"]
MESSAGES = ['{"k":1}', '{"k":2,"x":[1]}', "[1,2]", "null", '"text"', "{}"]
HEADERS = ['{"x-pgmq-group":"a"}', '{"x-pgmq-group":"b"}', '{"x-pgmq-group":7}', *MESSAGES[2:]]
WEIGHTS = {
    "send": 6,
    "batch": 5,
    "read": 8,
    "grouped": 6,
    "set_vt": 6,
    "pop": 3,
    "delete": 3,
    "archive": 3,
    "insert": 2,
    "other": 2,
}


def program(seed: int) -> list[str]:
    """Make the program of this seed; it never looks at results, so any part of it is one too."""
    rng = random.Random(seed)
    queues = ["p", "P q"][: rng.choice([1, 1, 2])]
    made = [f"SELECT pgmq.{rng.choice(['create', 'create_unlogged'])}('{q}')" for q in queues]
    sent = [1]
    return made + [_step(rng, f"'{rng.choice(queues)}'", sent) for _ in range(STEPS)]


def _step(rng: random.Random, q: str, sent: list[int]) -> str:
    def id_() -> str:
        return str(rng.randint(1, sent[0]))

    def ids() -> str:
        few = [rng.choice([id_(), id_(), id_(), "NULL"]) for _ in range(rng.randint(0, 4))]
        return f"'{{{','.join(few)}}}'::bigint[]"

    def array(values: list[str]) -> str:
        return "ARRAY[" + ",".join(values) + "]::jsonb[]"

    def message() -> str:
        return rng.choice([*(f"'{m}'" for m in MESSAGES), "NULL"])

    def headers() -> str:
        return rng.choice([*(f"'{h}'" for h in HEADERS), "NULL"])

    def delay() -> str:
        return rng.choice(["0", "0", "0", "-1", str(HOUR), SOON, LATER, "'infinity'::timestamptz"])

    def vt() -> str:
        return rng.choice(["0", "0", "-1", str(HOUR), SOON, LATER])

    def read() -> str:
        lease = rng.choice(["0", str(HOUR), str(HOUR)])
        return f"{lease}, {qty()}"

    def qty() -> str:
        return rng.choice(["1", "1", "2", "3", "10", "0", "NULL"])

    def grouped() -> str:
        # Upstream is right about heads only: it steps over gaps within a group.
        call = rng.choice(["read_grouped", "read_grouped_rr", "read_grouped_head"])
        lease = rng.choice(["0", str(HOUR)])
        return f"{call}({q}, {lease}, {qty() if call == 'read_grouped_head' else '1'})"

    kind = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    table = f'pgmq."q_{q[1:-1].lower()}"'
    if kind == "send":
        sent[0] += 1
        return f"SELECT pgmq.send({q}, {message()}, {headers()}::jsonb, {delay()})"
    if kind == "batch":
        size = rng.randint(1, 5)
        sent[0] += size
        bodies, heads = ([make() for _ in range(size)] for make in (message, headers))
        return f"SELECT pgmq.send_batch({q}, {array(bodies)}, {array(heads)}, {delay()})"
    if kind == "read":
        return f"SELECT * FROM pgmq.read({q}, {read()}, {rng.choice(CONDITIONS)})"
    if kind == "grouped":
        return f"SELECT * FROM pgmq.{grouped()}"
    if kind == "set_vt":
        return f"SELECT * FROM pgmq.set_vt({q}, {rng.choice([id_, ids])()}, {vt()})"
    if kind == "pop":
        return f"SELECT * FROM pgmq.pop({q}, {qty()})"
    if kind in ("delete", "archive"):
        return f"SELECT * FROM pgmq.{kind}({q}, {rng.choice([id_, ids])()})"
    if kind == "insert":
        sent[0] += 1
        due = rng.choice([SOON, LATER, "now()", "'2000-01-01'", "'infinity'"])
        return f"INSERT INTO {table} (vt, message) VALUES ({due}, {message()}) RETURNING msg_id"
    return rng.choice(
        [
            f"SELECT pgmq.purge_queue({q})",
            f"DELETE FROM {table} WHERE msg_id = {id_()}",
            "BEGIN",
            "SAVEPOINT s",
            "ROLLBACK TO s",
            "ROLLBACK",
            "COMMIT",
            f"SELECT pgmq.create({q})",
            f"SELECT pgmq.create_fifo_index({q})",
            f"SELECT pgmq.drop_queue({q}), pgmq.create({q})",
        ]
    )


def difference(both: Both, steps: list[str]) -> str | None:
    """Run a program on empty databases and describe where the sides part."""
    both.reset()
    watched = []
    in_transaction = False
    for step in steps:
        in_transaction = (in_transaction or step == "BEGIN") and step not in ("COMMIT", "ROLLBACK")
        # Upstream calls visible what was visible when the transaction began.
        visible = "" if in_transaction else ", queue_visible_length"
        counts = f"queue_name, queue_length, total_messages{visible}"
        watched += [step, f"SELECT {counts} FROM pgmq.metrics_all()"]
    return both.compare(watched)


def shortest(both: Both, steps: list[str]) -> list[str]:
    """Leave out every step but the first ones without which the program still fails."""
    made = next(i for i, step in enumerate(steps) if "pgmq.create" not in step)
    position = len(steps)
    while position > made:
        position -= 1
        fewer = steps[:position] + steps[position + 1 :]
        if difference(both, fewer) is not None:
            steps = fewer
    return steps


def test_random_programs_do_the_same(both: Both) -> None:
    first = int(os.environ.get("PGMQ_SEED") or random.SystemRandom().randrange(10**6))
    for seed in range(first, first + int(os.environ.get("PGMQ_PROGRAMS") or 25)):
        steps = program(seed)
        found = difference(both, steps)
        if found is not None:
            steps = shortest(both, steps)
            found = difference(both, steps) or found
        assert found is None, f"PGMQ_SEED={seed}{found}"
