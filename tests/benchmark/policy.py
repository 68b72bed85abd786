"""Policies: what they cost where nothing goes wrong, and how fast dead letters go back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg

from benchmark import report
from benchmark.bench import in_turns
from benchmark.driver import PgbenchError
from benchmark.report import Series, number, progress, spread, times

if TYPE_CHECKING:
    from benchmark.bench import Bench
    from benchmark.engines import Engine

READ_ACK = """\
SELECT * FROM pgmq.read('{0}', 30, 1) \\aset
SELECT pgmq.ack('{0}', :msg_id::bigint, :read_ct::integer);
"""
# Each is a queue; what is done to it before it is read.
SET_POLICY = """
    SELECT pgmq.set_policy(
        'policy_some', max_receives => 5, dead_letter_queue => 'policy_dead',
        retry_delay => '1 s', retry_delay_max => '1 min', retry_jitter => 0.2
    )
"""
READERS = {
    "no policy": ("policy_none", "SELECT 1"),
    "max_receives, dead letters, backoff": ("policy_some", SET_POLICY),
}
LETTERS = 100_000
STEP = 1_000
# Each is how many messages a call redrives, and whether another session holds a snapshot meanwhile.
REDRIVES = {
    "all in one call": (LETTERS, False),
    f"{STEP:,} a call": (STEP, False),
    f"{STEP:,} a call, under a held snapshot": (STEP, True),
}


def _reading(bench: Bench, engine: Engine) -> tuple[str, Any]:
    """Read 1 + ack in turns on a queue with a policy and on one without."""

    def prepare(title: str, waiting: int) -> None:
        queue, setting = READERS[title]
        engine.create(queue, autovacuum=False)
        engine.run(setting)
        engine.fill(queue, waiting)

    queues = {title: queue for title, (queue, _) in READERS.items()}
    results = in_turns(bench, engine, READ_ACK, queues, prepare)
    plain = results["no policy"]
    rows = [
        [
            title,
            spread(one.tps),
            times(report.ratio(one.tps, plain.tps)),
            spread(one.cpu_us),
            times(report.ratio(one.cpu_us, plain.cpu_us)),
        ]
        for title, one in results.items()
    ]
    heads = ["queue", "per second", "to no policy", "CPU us", "to no policy"]
    text = "Read 1 + ack:\n\n" + report.table(heads, rows)
    text += report.notes({"read 1 + ack": results})
    return text, {title: one.as_json() for title, one in results.items()}


def _redrive(engine: Engine, step: int, held: bool) -> list[float]:
    """Redrive dead letters of 2 kB, and return the messages per second of each call."""
    for queue in ("redrive_live", "redrive_dead"):
        engine.create(queue, autovacuum=False)
    engine.run(
        f"""
        INSERT INTO pgmq.q_redrive_dead (enqueued_at, vt, message, headers)
        SELECT now(), now(), m.message, pgmq._dead_letter(
            '{{"trace": "5f1d"}}', 'redrive_live', i, 5, 'max_receives', now())
        FROM generate_series(1, {LETTERS}) AS i
        CROSS JOIN LATERAL (
            SELECT to_jsonb(string_agg(md5(i::text || j::text), '')) AS message
            FROM generate_series(1, 62) AS j
        ) AS m
        """
    )
    engine.settle("redrive_dead")
    engine.checkpoint()
    rates = []
    with psycopg.connect(engine.conninfo) as holder:
        if held:
            holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            holder.execute("SELECT 1")
        for _ in range(LETTERS // step):
            start = time.perf_counter()
            moved = engine.number(f"SELECT pgmq.redrive('redrive_dead', qty => {step})")
            rates.append(moved / (time.perf_counter() - start))
            assert moved == step
    assert engine.count("redrive_live") == LETTERS
    return rates


def _redriving(bench: Bench, engine: Engine) -> tuple[str, Any]:
    """Redrive all dead letters, at once and in steps; say whether the last steps are slower."""
    overall: dict[str, list[float]] = {title: [] for title in REDRIVES}
    flatness: dict[str, list[float]] = {title: [] for title in REDRIVES}
    for _ in range(bench.plan.fewer):
        for title, (step, held) in REDRIVES.items():
            rates = _redrive(engine, step, held)
            overall[title].append(len(rates) / sum(1 / rate for rate in rates))
            tenth = len(rates) // 10
            if tenth:
                flatness[title].append(sum(rates[-tenth:]) / sum(rates[:tenth]))
            progress(f"redrive, {title}: {overall[title][-1]:,.0f}/s")
    rows = [
        [title, spread(rates), ", ".join(map(number, flatness[title])) or "-"]
        for title, rates in overall.items()
    ]
    text = (
        f"Redrive of {LETTERS:,} messages of 2 kB; the last tenth beside the first, by round:\n\n"
    )
    text += report.table(["", "messages per second", "last / first"], rows)
    return text, {"per_second": overall, "last_to_first": flatness}


# The key of a message that is new each time, for no client has another's.
KEY = "'order-' || nextval('bench_keys')"
BATCH = "array_fill(:msg::jsonb, ARRAY[100])"
SENDING = {
    "send": "SELECT * FROM pgmq.send('bench', :msg::jsonb);",
    "send, with a window": "SELECT * FROM pgmq.send('bench_once', :msg::jsonb);",
    "send_once, new": f"SELECT * FROM pgmq.send_once('bench_once', :msg::jsonb, {KEY});",
    "send_once, known": "SELECT * FROM pgmq.send_once('bench_once', :msg::jsonb, 'known');",
    "send_batch of 100": f"SELECT * FROM pgmq.send_batch('bench', {BATCH});",
    "send_once of 100, new": f"""SELECT * FROM pgmq.send_once('bench_once', {BATCH},
        ARRAY(SELECT {KEY} FROM generate_series(1, 100)));""".replace("\n", " "),
}


def _deduplication(bench: Bench, engine: Engine) -> tuple[str, Any]:
    """Send with and without keys, on empty queues that grow alike."""
    pgbench = bench.pgbench()
    results = {title: Series() for title in SENDING}
    per_client: dict[str, int] = {}
    engine.run("CREATE SEQUENCE IF NOT EXISTS bench_keys")
    for done in range(bench.plan.rounds):
        for title, script in SENDING.items():
            size = 100 if "100" in title else 1
            engine.create("bench", autovacuum=False)
            engine.create("bench_once", autovacuum=False)
            engine.run("SELECT pgmq.set_policy('bench_once', dedup_window => '1 hour')")
            engine.run("ALTER TABLE pgmq.dedup_bench_once SET (autovacuum_enabled = off)")
            engine.run("SELECT pgmq.send_once('bench_once', '1', 'known')")
            engine.checkpoint()
            try:
                if title not in per_client:
                    run = pgbench.run(engine.conninfo, script, per_client=max(5, 200 // size))
                    wanted = int(run.tps * bench.plan.seconds / pgbench.clients)
                    per_client[title] = max(5, wanted)
                run = pgbench.run(engine.conninfo, script, per_client=per_client[title])
                results[title].add(Series([run]))
                results[title].note(run.aborted)
            except PgbenchError as error:
                results[title].note(str(error).splitlines()[0])
        progress(
            f"deduplication, round {done + 1} of {bench.plan.rounds}: "
            + ", ".join(f"{title} {s.tps[-1]:,.0f}/s" for title, s in results.items() if s.runs)
        )
    rows = []
    for title, one in results.items():
        base = results["send_batch of 100" if "100" in title else "send"]
        ratios = (report.ratio(one.tps, base.tps), report.ratio(base.cpu_us, one.cpu_us))
        rows.append([title, spread(one.tps), spread(one.cpu_us), *map(times, ratios)])
    heads = ["call", "per second", "CPU us", "to send", "by CPU"]
    text = "Sending once within a dedup_window; the ratios are of speed, to a send without:\n\n"
    text += report.table(heads, rows) + report.notes({"deduplication": results})
    return text, {title: one.as_json() for title, one in results.items()}


PARTS = {"reading": _reading, "redriving": _redriving, "deduplication": _deduplication}


def policy(bench: Bench) -> tuple[str, Any]:
    """Measure what policies cost; upstream has none."""
    engine = next(engine for engine in bench.two() if engine.name != "upstream")
    results = {name: part(bench, engine) for name, part in PARTS.items()}
    return (
        "\n\n".join(text for text, _ in results.values()),
        {name: data for name, (_, data) in results.items()},
    )
