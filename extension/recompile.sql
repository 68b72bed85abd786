-- Rendering takes its time: for most queues it is done here.
UPDATE pgmq.template AS t
SET plain = r.sql
FROM (
    SELECT
        b.name,
        CASE
            WHEN NOT starts_with(b.body, '--# for ')
                THEN pgmq._render(b.body, pgmq._any_queue(), pgmq._policy_of(pgmq._any_queue()))
        END AS sql
    FROM pgmq.template AS b
) AS r
WHERE t.name = r.name AND t.plain IS DISTINCT FROM r.sql;

-- Give every queue the functions that the templates above describe.
SELECT pgmq.recompile_all();
SELECT pgmq._release_members();
