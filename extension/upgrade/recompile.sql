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
-- After 2.0.0, what else there is to do with a queue waits for nobody. maintain() does the rest:
-- what cannot be locked at once, and what others may need, for they may be in calls that began
-- before this. That would also take many more locks.
SELECT pgmq._finish_upgrade(m.queue_name, '1ms')
FROM pgmq.meta AS m
WHERE pgmq._type_of_2_0_0(m.queue_name) IS NOT null
ORDER BY m.queue_name;
SELECT pgmq._shed(m.queue_name)
FROM pgmq.meta AS m
WHERE
    pgmq._type_of_2_0_0(m.queue_name) IS NOT null
    AND NOT pgmq._has_company()
    AND (SELECT count(*) * 100 FROM pgmq.meta) < pgmq._room_for_locks();
SELECT pgmq._shed_if_last();
SELECT pgmq._release_members();
-- Those of an installation without the extension are not tied yet.
SELECT pgmq._tie_spares();
