-- Rendering takes time. Here each template is rendered once for all plain queues.
WITH plain AS (
    SELECT
        pgmq._features(n.name, p) AS features,
        pgmq._words(n.name, p) AS words
    FROM pgmq._any_queue() AS n (name)
    CROSS JOIN pgmq._policy_of(n.name) AS p
),

rendered AS (
    SELECT
        b.name,
        b.features,
        CASE
            WHEN pgmq._has_feature(b.features, a.features)
                THEN pgmq._render(b.body, a.features, a.words)
        END AS sql
    FROM pgmq.template AS b
    CROSS JOIN plain AS a
)

UPDATE pgmq.template AS t
SET plain = r.sql
FROM rendered AS r
WHERE t.name = r.name AND t.features = r.features AND t.plain IS DISTINCT FROM r.sql;

-- Give every queue the functions that the templates above describe.
SELECT pgmq._write_pinned();
SELECT pgmq.recompile_all();
SELECT pgmq._release_members();
