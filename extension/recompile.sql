-- Give every queue the functions that the templates above describe.
SELECT pgmq.recompile_all();
SELECT pgmq._release_members();
