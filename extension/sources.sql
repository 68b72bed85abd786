-- What this version consists of, apart from the queues; safe to repeat.
\ir schema/schema.sql
\ir schema/installation.sql
\ir schema/types.sql
\ir schema/meta.sql
\ir schema/policy.sql
\ir schema/partitioning.sql
\ir schema/look.sql
\ir schema/template.sql
\ir schema/notify.sql
\ir schema/topics.sql
\ir schema/exchanges.sql
\ir schema/channels.sql
\ir schema/dumped.sql
\ir templates.sql
\ir functions.sql
\ir upstream.sql
\ir privileges.sql
