-- Functions run with the caller's rights, so the right to call them is no right to a queue.
GRANT USAGE ON SCHEMA pgmq TO pg_monitor;
GRANT SELECT ON pgmq.meta, pgmq.topic_bindings TO pg_monitor;
GRANT SELECT ON pgmq.template TO public;
-- Routing is no secret, and whoever publishes needs it.
GRANT SELECT ON pgmq.exchange, pgmq.binding TO public;
