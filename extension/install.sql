-- pgmq: a message queue inside Postgres.
-- This text installs, upgrades and adopts: it can be run over an empty database, an older pgmq 2,
-- or upstream pgmq 1.13, and running it again changes nothing.
\ir schema/schema.sql
\ir schema/types.sql
\ir schema/meta.sql
\ir schema/policy.sql
\ir schema/template.sql
\ir schema/topics.sql
\ir schema/exchanges.sql
\ir schema/channels.sql
\ir templates.sql
\ir functions.sql
\ir privileges.sql
\ir adopt.sql
\ir recompile.sql
