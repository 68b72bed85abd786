-- What is done to queues that are there, after the sources.
\ir adopt.sql
\ir recompile.sql
