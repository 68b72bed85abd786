"""Write the SQL that each kind of queue has, as pgmq._render() makes it of the templates.

Every kind goes to build/rendered/<kind>/<template>.sql. A few kinds also go to tests/rendered, each
as one file. These are committed: their diff shows what a change does to a queue.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import scratch

if TYPE_CHECKING:
    import psycopg

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from support.queues import KINDS, made  # noqa: E402

# And one that nobody can use, so that it is in no other test of all kinds.
KINDS = KINDS | {"paused": f"{made('plain', 'paused')}, pgmq.pause('paused', true, true)"}

BUILT = ROOT / "build" / "rendered"
GOLDEN = ROOT / "tests" / "rendered"
SHOWN = ("plain", "fifo", "limited", "scheduled", "ranked", "paused", "by_time_policy", "stream")

RENDERED = """
    SELECT t.name, pgmq._render(t.body, q.features, q.words)
    FROM (
        SELECT pgmq._features(p.queue_name, p) AS features, pgmq._words(p.queue_name, p) AS words
        FROM pgmq._policy_of(%s) AS p
    ) AS q
    CROSS JOIN pgmq.template AS t
    WHERE pgmq._has_feature(t.features, q.features)
    ORDER BY t.name
"""


def rendered(connection: psycopg.Connection, kind: str) -> dict[str, str]:
    """Make a queue of this kind, and return the SQL of its functions by the template's name."""
    connection.execute(KINDS[kind].encode())
    return dict(connection.execute(RENDERED, [kind]).fetchall())


def shown(templates: dict[str, str]) -> str:
    """Join the functions of a queue into one text."""
    return "\n".join(templates.values())


def main() -> int:
    """Write the files, and remove those of kinds and templates that are no more."""
    shutil.rmtree(BUILT, ignore_errors=True)
    shutil.rmtree(GOLDEN, ignore_errors=True)
    GOLDEN.mkdir()
    with scratch.session() as connection:
        for kind in KINDS:
            templates = rendered(connection, kind)
            target = BUILT / re.sub(r"\W+", "_", kind.lower()).strip("_")
            target.mkdir(parents=True)
            for name, sql in templates.items():
                (target / f"{name}.sql").write_text(sql)
            if kind in SHOWN:
                (GOLDEN / f"{kind}.sql").write_text(shown(templates))
    return 0


if __name__ == "__main__":
    sys.exit(main())
