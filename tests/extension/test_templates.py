"""Templates: what may stand in one, and what becomes of it."""

from __future__ import annotations

import re
from typing import Any

import psycopg
import pytest

from support.prepared import prepared
from support.queries import one
from support.queues import KINDS, LEASED, STREAMS
from support.server import ROOT

template = prepared(";".join(KINDS.values()), by="kinds")


@pytest.fixture
def kinds(db: psycopg.Connection) -> psycopg.Connection:
    return db


def _render(db: psycopg.Connection, body: str, queue: str = "q") -> Any:
    return one(
        db,
        "SELECT pgmq._render(%s, pgmq._features(%s, p), pgmq._words(%s, p))"
        " FROM pgmq._policy_of(%s) AS p",
        body,
        queue,
        queue,
        queue,
    )


def test_every_template_is_valid_sql(db: psycopg.Connection) -> None:
    """As it stands, with all of its conditions and what is to be replaced."""
    templates = db.execute("SELECT name, body FROM pgmq.template").fetchall()
    assert len(templates) > 30
    for name, body in templates:
        with db.transaction(force_rollback=True):
            db.execute("SET LOCAL check_function_bodies = on")
            db.execute(body.encode())
            assert one(db, "SELECT to_regproc(%s) IS NOT NULL", f'pgmq."_{name}_$queue"')


def test_what_a_kind_of_queue_has_for_itself_is_in_a_folder_of_that_name() -> None:
    for file in (ROOT / "extension" / "templates").rglob("*.sql"):
        kind = re.match(r"--# for (plain|partitioned|partitions|stream)\n", file.read_text())
        folders = {"plain", "partitioned", "partitions", "stream"}
        folder = file.parent.name if file.parent.name in folders else None
        assert folder == (kind and kind[1]), file


def test_every_queue_has_what_plain_ones_have(kinds: psycopg.Connection) -> None:
    """So that whatever a plain queue lacks is known to be something that only some queues have."""
    lacking = """
        SELECT m.queue_name, t.name FROM pgmq.meta AS m CROSS JOIN pgmq.template AS t
        WHERE t.features = ANY (%s) AND m.queue_name = ANY (%s)
            AND pgmq._enabled(t.name, m.queue_name) IS NULL
    """
    common = ["", "leases", "plain"]
    assert kinds.execute(lacking, [common, LEASED]).fetchall() == []
    assert kinds.execute(lacking, [["", "partitions", "stream"], STREAMS]).fetchall() == []
    assert one(kinds, "SELECT count(*) FROM pgmq._differences()") == 0


@pytest.mark.parametrize(
    ("queue", "expected"),
    [("plain", "a\nc\ne"), ("by_id", "a\nb\nd"), ("expiring", "a\nc\nd")],
)
def test_lines_are_for_queues_with_a_feature_or_for_the_others(
    kinds: psycopg.Connection, queue: str, expected: str
) -> None:
    body = """a
--# if partitioned
b
--# else
c
--# end
    --# unless partitioned or message_ttl
e
    --# else
d
    --# end"""
    assert _render(kinds, body, queue) == expected


def test_conditions_stand_within_others(kinds: psycopg.Connection) -> None:
    body = "--# if partitioned\n--# if by_time\nt\n--# else\ni\n--# end\n--# else\np\n--# end"
    assert [_render(kinds, body, q) for q in ("by_time", "by_id", "plain")] == ["t", "i", "p"]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("--# if mesage_ttl\na\n--# end", 'no queue has a feature "mesage_ttl"'),
        ("--# unless partitioned or b\na\n--# end", 'no queue has a feature "b"'),
        ("--# if partitioned\na", "has a condition without its end"),
        ("a\n--# end", "has an end without its condition"),
        ("--# else\na\n--# end", "has an else without its condition"),
        ("--# if by_time\n--# else\n--# else\n--# end", "has an else without its condition"),
        ("a\n--# for partitioned", "unknown marker: --# for partitioned"),
        ("--# elsif partitioned", "has an unknown marker: --# elsif partitioned"),
        ("  --# if partitioned and by_time", "unknown marker: --# if partitioned and by_time"),
        ("SELECT 1 --# if partitioned", "unknown marker: SELECT 1 --# if partitioned"),
        ("SELECT mesage_ttl$policy", r"has an unknown word: mesage_ttl\$policy"),
        ("SELECT old$partitions(q)", r"has an unknown word: old\$partitions"),
        ("SELECT live$partition(q)", r"has an unknown word: live\$partition"),
        ("SELECT FROM q_$queue", r"has an unknown word: q_\$queue"),
        ("SELECT $front", r"has an unknown word: \$front"),
    ],
)
def test_whatever_else_stands_in_a_template_is_an_error(
    db: psycopg.Connection, body: str, problem: str
) -> None:
    with pytest.raises(psycopg.errors.SyntaxError, match=problem):
        _render(db, body)


def test_the_error_names_the_template(db: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.SyntaxError, match=r"template of pgmq._a_\$queue has an end"):
        _render(db, "CREATE FUNCTION pgmq._a_$queue()\n--# end")


def test_conditions_on_partitions_are_gone_where_there_are_none(kinds: psycopg.Connection) -> None:
    body = "WHERE live$partitions(q) AND a\n{live$partitions(q)}\nlookup$partitions(r)\n    AND b"
    assert _render(kinds, body, "plain") == "WHERE a\n{true}\nb"
    by_id, by_time = (_render(kinds, body, queue) for queue in ("by_id", "by_time"))
    assert by_id.startswith("WHERE q.msg_id BETWEEN pgmq._first_id('pgmq.floor_mark_by_id') AND ")
    assert by_id.endswith("}\nb")
    assert "\nr.enqueued_at BETWEEN pgmq._first_time('pgmq.floor_mark_by_time') AND " in by_time


def test_what_keeps_to_the_partitions_with_messages_is_planned_on_each_call(
    kinds: psycopg.Connection,
) -> None:
    found = kinds.execute(
        """
        SELECT
            c.relkind = 'p' AND (strpos(t.body, '$partitions') > 0 OR t.name = 'pending'),
            'plan_cache_mode=force_custom_plan' = ANY (p.proconfig) IS TRUE, p.proname
        FROM pgmq.meta AS m
        CROSS JOIN pgmq.template AS t
        INNER JOIN pg_proc AS p ON p.proname = pgmq._function_name(t.name, m.queue_name)
        INNER JOIN pg_class AS c ON c.relname = pgmq.format_table_name(m.queue_name, 'q')
        WHERE t.features <> CASE c.relkind WHEN 'p' THEN 'plain' ELSE 'partitioned' END
        """
    ).fetchall()
    assert len(found) > 300
    assert [name for wanted, planned, name in found if planned is not wanted] == []
