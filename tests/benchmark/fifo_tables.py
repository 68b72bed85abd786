"""Tables of what grouped reads took, and where they take longer than promised."""

from __future__ import annotations

from statistics import median

from benchmark.fifo_sessions import (
    CALLS,
    TIMEOUT,
    Book,
    Samples,
    brief,
)
from benchmark.report import Series, number, ratio, spread, table, times

PROMISED_MS, PROMISED_TIMES = 2.0, 3.0


def sent(results: dict[str, dict[str, Series]], names: list[str]) -> str:
    """Show what the index costs a send."""
    rows = []
    for title, series in results.items():
        for name in names:
            without, with_index = series[name], series[f"{name}, index"]
            rows.append(
                [
                    title,
                    name,
                    spread(without.tps),
                    spread(with_index.tps),
                    times(ratio(with_index.tps, without.tps)),
                    spread(without.cpu_us),
                    spread(with_index.cpu_us),
                    times(ratio(with_index.cpu_us, without.cpu_us)),
                ]
            )
    heads = ["send", "engine"]
    heads += ["per second", "with the index", "ratio", "CPU us", "with the index", "ratio"]
    text = table(heads, rows)
    for title, series in results.items():
        for name, one in series.items():
            text += "".join(f"\n- {title}, {name}: {note}" for note in one.notes)
    return text


def shown(value: float | None) -> str:
    """Format a number that there may be none of."""
    return "-" if value is None else number(value)


def usual(book: Book, names: list[str]) -> str:
    """Show each call in each state: pgmq's in detail, upstream's beside it."""
    texts = []
    for call in CALLS:
        fastest = min((s.median for _, s in book.of("pgmq", call) if s.median), default=None)
        rows = []
        for state, engines in book.states.items():
            row = [state]
            if not any(call.title in engines.get(name, {}) for name in names):
                continue
            ours = engines.get("pgmq", {}).get(call.title, Samples())
            theirs = engines.get("upstream", {}).get(call.title, Samples())
            if "pgmq" in names:
                row += [
                    brief(ours),
                    shown(ours.p99),
                    shown(max(ours.ms, default=None)),
                    spread(ours.first_ms),
                    shown(median(ours.delete_ms) if ours.delete_ms else None),
                    shown(ours.cpu_ms),
                    shown(ours.blocks if ours.ms else None),
                    times(ours.median / fastest if ours.median and fastest else None),
                ]
            if "upstream" in names:
                row += [brief(theirs), shown(theirs.cpu_ms)]
                row += [shown(theirs.blocks if theirs.ms else None)]
            if len(names) == 2:
                row.append(
                    times(theirs.median / ours.median if theirs.median and ours.median else None)
                )
            rows.append(row)
        heads = ["queue"]
        if "pgmq" in names:
            heads += ["pgmq: median", "p99", "max", "first", "delete"]
            heads += ["CPU", "blocks", "to the fastest"]
        if "upstream" in names:
            heads += ["upstream: median", "CPU", "blocks"]
        if len(names) == 2:
            heads.append("pgmq / upstream")
        texts.append(f"{call.title}:\n\n{table(heads, rows)}")
    return "\n\n".join(texts)


def together(book: Book, names: list[str]) -> str:
    """Show several sessions at a time."""
    rows = [
        [
            state,
            title,
            name,
            number(s.calls / max(s.seconds, default=1.0)),
            number(s.messages / max(s.seconds, default=1.0)),
            f"{s.empty / max(1, s.calls):.1%}",
            brief(s),
            shown(s.p99),
            shown(max(s.ms, default=None)),
        ]
        for state, engines in book.states.items()
        for name in names
        for title, s in engines.get(name, {}).items()
    ]
    heads = ["queue", "call", "engine", "calls/s", "messages/s", "empty", "median", "p99", "max"]
    return table(heads, rows)


def found_in_time(book: Book, names: list[str], free: int) -> str:
    """Show how soon each of the free groups was served, the sessions being fresh ones."""
    rows = []
    for engines in book.states.values():
        for call in CALLS:
            for name in names:
                s = engines.get(name, {}).get(call.title, Samples())
                served = spread([1000 * x for x in s.seconds]) if s.groups >= free else "-"
                if s.error:
                    served = s.error
                elif s.groups < free:
                    served = f"{s.groups} of {free} in {TIMEOUT} s"
                figures = map(shown, (s.median, s.p99, max(s.ms, default=None)))
                first = spread(s.first_ms)
                rows.append([call.title, name, served, str(s.calls), str(s.empty), *figures, first])
    heads = ["call", "engine", "all served after, ms", "calls", "empty"]
    return table([*heads, "median", "p99", "max", "first"], rows)


def promises(book: Book) -> str:
    """List where pgmq takes longer than it should."""
    over_ms, over_times, scans = [], [], []
    for call in CALLS:
        timed = [(state, s, s.median) for state, s in book.of("pgmq", call) if s.median]
        fastest = min((one for _, _, one in timed), default=1.0)
        for state, samples, one in timed:
            title = f"{call.title}, {state}"
            if one > PROMISED_MS:
                over_ms.append(f"{title}: {number(one)} ms")
            if one > PROMISED_TIMES * fastest:
                over_times.append(f"{title}: {number(one / fastest)}x")
            if samples.seq_scans:
                scans.append(f"{title}: {samples.seq_scans}")
        book.notes += [
            f"{call.title}, {state}, pgmq: {samples.error}"
            for state, samples in book.of("pgmq", call)
            if samples.error
        ]
        book.notes += [
            f"{call.title}, {state}, pgmq: {samples.empty:,} of {samples.calls:,} found nothing"
            for state, samples, _ in timed
            if samples.empty and samples.messages
        ]
    found = {
        f"medians over {PROMISED_MS:g} ms": over_ms,
        f"over {PROMISED_TIMES:g} times the fastest of the same call": over_times,
        "sequential scans of the queue": scans,
    }
    lines = [f"{title}: {'; '.join(which) or 'none'}" for title, which in found.items()]
    return "\n".join(f"- {line}" for line in lines + book.notes)
