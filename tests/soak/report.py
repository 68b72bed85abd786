"""What was done, how often, and what was found, as Markdown."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from soak.watch import MB
from support import pooler

if TYPE_CHECKING:
    from collections import Counter

    from soak.run import Soak
    from soak.watch import Sample

SIZES = (
    "| at | tables, MB | indexes, MB | catalogs, MB | relations | messages | oldest session, s"
    " | largest session, MB | its contexts, MB |\n"
    "| --: | --: | --: | --: | --: | --: | --: | --: | --: |"
)


def report(suffering: Soak, steady: Soak) -> str:
    took = time.time() - suffering.began
    wrong = suffering.wrong
    return "\n".join(
        [
            f"# Soak of {took / 60:.0f} minutes ({took:.0f} s), seed {suffering.seed}",
            "",
            (
                f"Postgres {suffering.ground.server.version}, {os.cpu_count()} cores,"
                f" load {os.getloadavg()[2]:.1f}. Found: {len(wrong) or 'nothing'}."
            ),
            *(f"\n- {text}" for text in wrong[:20]),
            *([] if pooler.PROGRAM else ["", f"Nobody came through a pooler: {pooler.MISSING}."]),
            *_run("The server that suffers", suffering, took),
            *_run("The server whose sessions stay", steady, took),
            "",
        ]
    )


def _run(title: str, run: Soak, took: float) -> list[str]:
    samples = run.watch.samples
    count = len(samples)
    shown = sorted({0, 1, count // 4, count // 2, 3 * count // 4, count - 1} & {*range(count)})
    return [
        "",
        f"## {title}",
        "",
        (
            f"{len(run.processes)} clients, {run.rounds} rounds. {run.ledger.messages} messages"
            f" were sent, {run.ledger.messages / took:.0f} a second."
        ),
        *_table("what was checked", run.ledger.totals),
        *_table("what befell", run.befallen),
        *_table("what clients did", run.done),
        "",
        SIZES,
        *(_line(samples[i]) for i in shown),
        *_list("Warnings", run.warnings),
        *_list("What doctor said", run.findings),
    ]


def _table(title: str, counts: Counter[str]) -> list[str]:
    rows = [f"| {name.replace('_', ' ')} | {n} |" for name, n in sorted(counts.items())]
    return ["", f"| {title} | times |", "| :-- | --: |", *rows]


def _list(title: str, counts: Counter[str]) -> list[str]:
    rows = [f"- {text} ({n} times)" for text, n in counts.most_common(12)]
    return ["", f"{title}:", "", *rows] if rows else []


def _line(sample: Sample) -> str:
    return (
        f"| {sample.at:.0f} s | {sample.tables / MB:.1f} | {sample.indexes / MB:.1f}"
        f" | {sample.catalogs / MB:.1f} | {sample.relations} | {sample.messages}"
        f" | {sample.session_age:.0f} | {sample.session_memory / MB:.1f}"
        f" | {sample.contexts / MB:.1f} |"
    )
