"""The list of kinds of queue is complete: what a test does with all of them is done with all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.queries import ids
from support.queues import KINDS

if TYPE_CHECKING:
    import psycopg


def test_every_feature_is_had_by_one_kind_and_lacked_by_another(db: psycopg.Connection) -> None:
    """Else neither side of a condition in the templates, which ask for features, is tested."""
    for make in KINDS.values():
        db.execute(make.encode())
    uniform = """
        SELECT f.name
        FROM unnest(%s::text[]) AS k (queue)
        CROSS JOIN pgmq._policy_of(k.queue) AS p
        CROSS JOIN pgmq._features(k.queue, p) AS features
        CROSS JOIN jsonb_object_keys(features) AS f (name)
        WHERE f.name NOT IN ('queue_name', 'retry_jitter')  -- which every queue has
            AND f.name NOT LIKE 'paused%%'  -- test_flow.py pauses every kind
        GROUP BY f.name HAVING count(DISTINCT pgmq._has_feature(f.name, features)) < 2
    """
    assert ids(db, uniform, list(KINDS)) == []
    compiled_for_none = """
        SELECT t.name FROM pgmq.template AS t WHERE NOT EXISTS (
            SELECT FROM pg_proc AS p, unnest(%s::text[]) AS k (queue)
            WHERE p.pronamespace = 'pgmq'::regnamespace
                AND p.proname = pgmq._function_name(t.name, k.queue)
        )
    """
    assert ids(db, compiled_for_none, list(KINDS)) == []
