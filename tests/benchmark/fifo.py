"""What a grouped read costs, whatever the number of FIFO groups and the state they are in."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from statistics import median
from typing import TYPE_CHECKING, Any

import psycopg

from benchmark.cases import Case
from benchmark.driver import WARM_UP, Pgbench, PgbenchError
from benchmark.fifo_sessions import (
    CALLS,
    QUEUE,
    READ_1,
    READ_10,
    TIMEOUT,
    Book,
    Call,
    Samples,
    measure,
    session,
)
from benchmark.fifo_tables import found_in_time, promises, sent, together, usual
from benchmark.report import Series, number, progress

if TYPE_CHECKING:
    from benchmark.bench import Bench
    from benchmark.engines import Engine

SESSIONS = 4
FREE, EACH = 10, 100  # groups that are not blocked, and the messages of each
_HEADERS = "jsonb_build_object('x-pgmq-group', 'g' || {})"
SENDS = {
    Case(
        name="send",
        title="send",
        api=f"""
            \\set g random(0, 999)
            SELECT * FROM pgmq.send('bench', :msg::jsonb, {_HEADERS.format(":g::integer")});
        """,
        by_hand="",
        takes=0,
        net=1,
    ): 4000,
    Case(
        name="send_batch100",
        title="send_batch(100)",
        api=f"""
            \\set g random(0, 999)
            SELECT * FROM pgmq.send_batch('bench', array_fill(:msg::jsonb, ARRAY[100]), ARRAY(
                SELECT {_HEADERS.format("(:g::integer + i) % 1000")}
                FROM generate_series(1, 100) AS i));
        """,
        by_hand="",
        takes=0,
        net=100,
    ): 150,
}


def new_queue(engine: Engine, *, index: bool = True) -> None:
    """Make the queue, with its FIFO index as long as it is empty: that is how users do it."""
    engine.create(QUEUE, autovacuum=False)
    if index:
        engine.run(f"SELECT pgmq.create_fifo_index('{QUEUE}')")


def fill(engine: Engine, rows: int, group: str, *, vt: str = "now()") -> None:
    """Insert messages whose group is an expression of their number i, the same for each engine."""
    engine.run("SELECT setseed(0.5)")
    engine.fill(QUEUE, rows, vt=vt, headers=f"jsonb_build_object('x-pgmq-group', {group})")


def settle(engine: Engine) -> None:
    """Do what autovacuum would have done after the filling, and a checkpoint."""
    engine.settle(QUEUE)
    engine.checkpoint()


def several(pool: ProcessPoolExecutor, engine: Engine, call: Call, messages: int) -> Samples:
    """Measure some sessions at a time."""
    begin = time.time() + 0.3
    most = messages // call.qty // SESSIONS
    futures = [
        pool.submit(session, engine.conninfo, call, begin=begin, seconds=2.0, most=most)
        for _ in range(SESSIONS)
    ]
    samples = Samples()
    for future in futures:
        samples.add(future.result())
    return samples


def consume(book: Book, state: str, engine: Engine, count: int) -> None:
    """Take messages out and leave their dead rows.

    Upstream would take hours by its grouped reads, so there one DELETE does it: it leaves fewer
    dead rows, since a lease leaves one as well.
    """
    if engine.name == "upstream":
        engine.run(
            f"DELETE FROM pgmq.q_{QUEUE} WHERE msg_id <="
            f" (SELECT msg_id FROM pgmq.q_{QUEUE} ORDER BY msg_id OFFSET {count - 1} LIMIT 1)"
        )
        return
    call = Call("read_grouped", 100)
    done = session(engine.conninfo, call, most=count, messages=count, seconds=60.0)
    book.notes.append(
        f"{state}, {engine.name}: {done.messages:,} messages were consumed by {done.calls:,} calls"
        f" of {call.title} in {done.seconds[0]:.1f} s; a call took {number(done.median or 0)} ms,"
        f" p99 {number(done.p99 or 0)}, most {number(max(done.ms, default=0))}"
    )


def grown(bench: Bench, book: Book, sessions: Book) -> None:
    """Measure queues of few and many groups, then with their dead rows, then under a snapshot."""
    rows = bench.plan.fifo_rows
    share = rows // 32  # there are up to 16 sessions, and two fifths are consumed besides
    shapes = {
        "1 group": "'g'",
        "1,000 groups": "'g' || floor(random() * 1000)",
        f"{rows // 10:,} groups": f"'g' || floor(random() * {rows // 10})",
        "every message its own group": "'g' || i",
    }
    with ProcessPoolExecutor(SESSIONS, multiprocessing.get_context("spawn")) as pool:
        for shape, group in shapes.items():
            for engine in bench.two():
                new_queue(engine)
                fill(engine, rows, group)
                if engine.name != "upstream":
                    measure(book, f"{shape}, never analysed", engine, share, (READ_1, READ_10))
                settle(engine)
                measure(book, shape, engine, share)
                found = sessions.engines(shape).setdefault(engine.name, {})
                for call in (READ_1, READ_10):
                    if book.engines(shape)[engine.name][call.title].error is None:
                        found[call.title] = several(pool, engine, call, share)
                if shape in ("1 group", "1,000 groups") and not bench.plan.quick:
                    used_up(book, shape, engine, rows // 5, share)


def used_up(book: Book, shape: str, engine: Engine, count: int, share: int) -> None:
    """Measure behind the dead rows of consumed messages, that is without a vacuum."""
    state = f"{shape}, {count:,} consumed"
    consume(book, state, engine, count)
    measure(book, state, engine, share)
    state += ", as many again under a held snapshot"
    with psycopg.connect(engine.conninfo) as holder:
        holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        holder.execute("SELECT 1")
        consume(book, state, engine, count)
        measure(book, state, engine, share)


def drained(bench: Bench, book: Book) -> None:
    """Measure an empty queue behind the dead rows of all that was in it, under a snapshot."""
    count = bench.plan.fifo_rows // 5
    state = f"1,000 groups, empty after {count:,} consumed under a held snapshot"
    for engine in bench.two():
        new_queue(engine)
        fill(engine, count, "'g' || floor(random() * 1000)")
        settle(engine)
        with psycopg.connect(engine.conninfo) as holder:
            holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            holder.execute("SELECT 1")
            consume(book, state, engine, count)
            measure(book, state, engine, count)


def hot(bench: Bench, book: Book) -> None:
    """Measure with a group that holds nearly all messages and whose head is in flight."""
    rows = bench.plan.fifo_rows
    many = rows * 95 // 100
    share = (rows - many) // (len(CALLS) + 1)
    other = "'g' || floor(random() * 1000)"
    shapes = {
        "sent before the others": f"CASE WHEN i <= {many} THEN 'hot' ELSE {other} END",
        "mixed": f"CASE WHEN i = 1 OR random() < 0.95 THEN 'hot' ELSE {other} END",
    }
    for shape, group in shapes.items():
        for engine in bench.two():
            new_queue(engine)
            fill(engine, rows, group)
            engine.run(f"SELECT count(*) FROM pgmq.set_vt('{QUEUE}', 1, 3600)")
            settle(engine)
            measure(book, f"a blocked group of {many:,}, {shape}", engine, share)


def blocked(bench: Bench, book: Book) -> None:
    """Measure how soon each of a few free groups is served behind very many blocked ones."""
    rows = bench.plan.fifo_rows
    groups = rows // 10
    state = f"{groups:,} blocked groups of 10, then {FREE} free groups of {EACH}"
    for engine in bench.two():
        new_queue(engine)
        # The first of each group is delayed.
        late = f"now() + CASE WHEN i <= {groups} THEN interval '1 hour' ELSE interval '0' END"
        fill(engine, rows, f"'g' || i % {groups}", vt=late)
        settle(engine)
        found = book.engines(state).setdefault(engine.name, {})
        hopeless: set[str] = set()
        for call in CALLS:
            samples = Samples()
            found[call.title] = samples
            if call.function in hopeless:
                samples.error = "not tried"
                continue
            for _ in range(10):
                # A fresh session each time: it knows nothing of where the free ones are.
                engine.run(f"DELETE FROM pgmq.q_{QUEUE} WHERE msg_id > {rows}")
                fill(engine, FREE * EACH, f"'free' || i % {FREE}")
                samples.add(
                    session(
                        engine.conninfo, call, most=100_000, seconds=TIMEOUT, warm_up=1, groups=FREE
                    )
                )
                if samples.error or sum(samples.seconds) > TIMEOUT:
                    break
            if samples.error:
                hopeless.add(call.function)
        progress(
            f"{state}, {engine.name}: "
            + ", ".join(
                f"{title} {s.error or f'{max(s.seconds):.2f} s'}" for title, s in found.items()
            )
        )


def unindexed(bench: Bench, book: Book) -> None:
    """Measure queues whose owner has not called create_fifo_index."""
    rows = bench.plan.fifo_rows
    for count in (rows // 1000, rows // 100, rows // 10, rows):
        for engine in bench.two():
            if count == rows and engine.name == "upstream":
                continue  # as with its index, which it does not use
            new_queue(engine, index=False)
            fill(engine, count, "'g' || floor(random() * 1000)")
            settle(engine)
            measure(book, f"{count:,} messages in 1,000 groups", engine, count // 5)


def sends(bench: Bench) -> dict[str, dict[str, Series]]:
    """Measure sending to 1,000 groups with the FIFO index and without, in turn."""
    pgbench = Pgbench(bench.program, bench.server, bench.plan.clients, bench.plan.jobs, WARM_UP)
    results: dict[str, dict[str, Series]] = {}
    for case, transactions in SENDS.items():
        series = results.setdefault(case.title, {})
        for _ in range(bench.plan.fewer):
            for engine in bench.two():
                for index in (False, True):
                    name = f"{engine.name}, index" if index else engine.name
                    one = series.setdefault(name, Series())
                    try:
                        new_queue(engine, index=index)
                        fill(engine, 1000, "'g' || i")
                        settle(engine)
                        run = pgbench.run(
                            engine.conninfo,
                            case.script(engine.name, QUEUE),
                            per_client=transactions,
                        )
                    except (PgbenchError, psycopg.Error) as error:
                        one.note(str(error).splitlines()[0])
                        continue
                    one.note(run.aborted)
                    one.runs.append(run)
        progress(
            f"{case.title}: "
            + ", ".join(f"{name} {number(median(s.tps))}/s" for name, s in series.items() if s.runs)
        )
    return results


def fifo(bench: Bench) -> tuple[str, Any]:
    """Run everything about FIFO groups."""
    names = [engine.name for engine in bench.two()]
    if not names:
        return "No engine to measure.", {}
    steady, sessions, few, without = (Book(bench.plan.quick) for _ in range(4))
    grown(bench, steady, sessions)
    hot(bench, steady)
    costs: dict[str, dict[str, Series]] = {}
    if not bench.plan.quick:
        drained(bench, steady)
        blocked(bench, few)
        unindexed(bench, without)
        costs = sends(bench)
    for engine in bench.two():
        engine.run(f"SELECT pgmq.drop_queue('{QUEUE}')")
    rows = bench.plan.fifo_rows
    parts = [
        f"{rows:,} messages. A call of one session, then a delete of what it got, in ms:",
        usual(steady, names),
    ]
    if "pgmq" in names:
        parts.append("pgmq:\n\n" + promises(steady))
    parts += [f"{SESSIONS} sessions at a time, ms:", together(sessions, names)]
    if not bench.plan.quick:
        parts += [
            f"{', '.join(few.states)}, ms; each time in a fresh session:",
            found_in_time(few, names, FREE),
            "Without create_fifo_index, ms:",
            usual(without, names),
            "What the index costs a send to one of 1,000 groups:",
            sent(costs, names),
        ]
    data = {
        "rows": rows,
        "states": steady.as_json(),
        "notes": steady.notes,
        "sessions": sessions.as_json(),
        "blocked": few.as_json(),
        "unindexed": without.as_json(),
        "sends": {
            title: {name: one.as_json() for name, one in series.items()}
            for title, series in costs.items()
        },
    }
    return "\n\n".join(parts), data
