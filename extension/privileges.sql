-- Functions run with the caller's rights, so the right to call them is no right to a queue.
GRANT USAGE ON SCHEMA pgmq TO pg_monitor;
GRANT SELECT ON pgmq.meta, pgmq.topic_bindings TO pg_monitor;
GRANT SELECT ON pgmq.template TO public;
-- Neither routing nor policies are secrets, and whoever publishes needs the former.
GRANT SELECT ON pgmq.exchange, pgmq.binding, pgmq.policy TO public;
