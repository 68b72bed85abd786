"""One session makes random calls, and everything is as the model says, after each of them.

A failure prints the seed and the shortest program found that still fails, as SQL. PGMQ_SEED=n is
the seed of the first program; PGMQ_PROGRAM_SECONDS=n is how long to go on, with random seeds. The
model knows times by the hour, and not what retention drops meanwhile: look whether it is that which
a long run finds.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
import zlib
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from model.programs import Callers, Deviation, Kind, Maker, Runner, Step
from model.reference import Policy

if TYPE_CHECKING:
    from conftest import Roles
    from support.server import TestServer

STEPS = 150
LETTERS = Policy(
    max_receives=2, dead_letter_queue="Dead", retry_delay="1 hour", retry_delay_max="3 hours"
)
POLICIES = (
    LETTERS,
    Policy(max_receives=1, ack_archives=True),
    Policy(max_receives=3, dead_letter_queue="dead", message_ttl="1 hour", dedup_window="1 hour"),
    Policy(message_ttl="1 hour", retry_delay="2 hours"),
    Policy(message_ttl="1 microsecond", dead_letter_queue="dead"),
    Policy(dedup_window="1 hour", archive_retention="1 microsecond", ack_archives=True),
    Policy(dedup_window="1 microsecond", archive_retention="1 hour", max_receives=1),
    Policy(max_in_flight=3),
    Policy(priorities=True),
    Policy(max_receives=2, dead_letter_queue="dead", message_ttl="1 hour", priorities=True),
    Policy(max_in_flight=2, priorities=True, ack_archives=True),
    Policy(max_in_flight=2, max_receives=2, dead_letter_queue="dead", message_ttl="1 hour"),
)
# By all of these rates, a burst is worth two hours. So none of them ever cuts what is used up.
RATES = (
    Policy(rate_limit=1, rate_interval="1 hour", rate_burst=2),
    Policy(rate_limit=2, rate_interval="1 hour", rate_burst=4, max_in_flight=3),
    Policy(rate_limit=8, rate_interval="2 hours", priorities=True),
    Policy(
        rate_limit=8,
        rate_interval="2 hours",
        max_receives=2,
        dead_letter_queue="dead",
        message_ttl="1 hour",
    ),
)
BY_ID = "SELECT pgmq.create_partitioned(%s, '5', '1000000', 1)"
BY_TIME = "SELECT pgmq.create_partitioned(%s, '1 second', '1 hour', 1)"
KINDS = {
    "plain": Kind(),
    "mixed case": Kind("Mixed Case"),
    "long name": Kind("ö" * 30, policies=POLICIES, fifo=True),
    "unlogged": Kind(create="SELECT pgmq.create_unlogged(%s)", policies=POLICIES[:4]),
    "groups": Kind(fifo=True),
    "policies": Kind(policies=POLICIES),
    "groups and policies": Kind("A b", fifo=True, policies=POLICIES),
    "fair": Kind(fair=True, policies=(LETTERS, Policy(max_in_flight=3), Policy())),
    "rates": Kind("Rates", fifo=True, policies=RATES),
    "schedules": Kind("Sch", scheduled=True, fifo=True, policies=POLICIES[:3]),
    "rates, schedules, fair": Kind(
        scheduled=True, fair=True, policies=(RATES[0], RATES[1], RATES[3], Policy())
    ),
    "by id": Kind(create=BY_ID),
    "by id, groups and policies": Kind("By Id", create=BY_ID, fifo=True, policies=POLICIES),
    "by id, dropped": Kind(create="SELECT pgmq.create_partitioned(%s, '5', '20', 1)", kept_ids=20),
    "by id, rates and schedules": Kind(
        create=BY_ID, scheduled=True, fifo=True, policies=(*RATES, POLICIES[2])
    ),
    "by time": Kind(create=BY_TIME),
    "by time, groups and policies": Kind("By T", create=BY_TIME, fifo=True, policies=POLICIES),
    "by time, dropped": Kind(
        create="SELECT pgmq.create_partitioned(%s, '1 second', '1 second', 2)",
        kept_seconds=0.9,
        policies=POLICIES,
    ),
}


def attempt(
    server: TestServer,
    template: str,
    kind: Kind,
    seed: int,
    callers: Callers,
    steps: list[Step] | None = None,
) -> tuple[list[Step], Deviation | psycopg.Error | None]:
    """Run these steps, or make some by the seed; return them and what went wrong with the last.

    A third of the seeds has a superuser make all calls.
    """
    done: list[Step] = []
    rng = random.Random(seed)
    with server.database(template) as dbname, contextlib.ExitStack() as stack:

        def connect(user: str | None = None) -> psycopg.Connection:
            login = server.dsn(dbname)
            login = make_conninfo(login, user=user) if user else login
            return stack.enter_context(psycopg.connect(login, autocommit=True))

        session = connect()
        if seed % 3:
            callers.let_in(session)
            session = connect(callers.owner)
        runner = Runner(session, kind, seed, callers if seed % 3 else None)
        maker = Maker(rng, runner)
        try:
            if steps is None and kind.policies:
                done.append(Step("set_policy", {"policy": rng.choice(kind.policies)}))
                runner.run(done[-1])
            for number in range(STEPS) if steps is None else range(len(steps)):
                done.append(maker.step() if steps is None else steps[number])
                runner.run(done[-1])
            if steps is None:
                done.append(Step("drain"))
                runner.run(done[-1])
        except Deviation as error:
            return done, error
        except psycopg.Error as error:
            text = "\n".join(line for line in runner.log if "AS m\n" not in line)
            return done, Deviation(f"{done[-1]}\n{error}\n{text}")
    return done, None


def shortest(
    server: TestServer,
    template: str,
    kind: Kind,
    seed: int,
    callers: Callers,
    steps: list[Step],
) -> list[Step]:
    """Leave out what the failure does not need, in ever smaller pieces, while there is time."""
    until = time.monotonic() + 20
    size = len(steps) // 2
    while size and time.monotonic() < until:
        start = 0
        while start < len(steps) - 1 and time.monotonic() < until:
            left = steps[:start] + steps[start + size :] if size else steps
            fewer, error = attempt(server, template, kind, seed, callers, left)
            if error is not None:
                steps = fewer
            else:
                start += size
        size //= 2
    return steps


@pytest.mark.parametrize("name", list(KINDS))
def test_every_call_does_what_the_model_says(
    server: TestServer, template: str, roles: Roles, name: str
) -> None:
    callers = Callers(owner=roles(), client=roles())
    long = float(os.environ.get("PGMQ_PROGRAM_SECONDS") or 0)
    seed = int(os.environ.get("PGMQ_SEED") or 0)
    if not seed:
        seed = random.SystemRandom().randrange(10**9) if long else zlib.crc32(name.encode())
    until = time.monotonic() + long / len(KINDS)
    kind = KINDS[name]
    count = 0
    while not count or time.monotonic() < until:
        steps, error = attempt(server, template, kind, seed, callers)
        if error is not None:
            fewer = shortest(server, template, kind, seed, callers, steps)
            _, again = attempt(server, template, kind, seed, callers, fewer)
            pytest.fail(f"PGMQ_SEED={seed}\n{again or error}")
        count += len(steps)
        seed += 1
    print(f"{count} steps")
