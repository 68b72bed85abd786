-- Functions run with the caller's rights, so the right to call them is no right to a queue.
GRANT USAGE ON SCHEMA pgmq TO pg_monitor;
GRANT SELECT ON pgmq.meta TO pg_monitor;
GRANT SELECT ON pgmq.template TO public;
