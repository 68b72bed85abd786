-- What is done over an older version, before the sources.
\ir refuse_role.sql
\ir refuse_older.sql
\ir lock_queues.sql
