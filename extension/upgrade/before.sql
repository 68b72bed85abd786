-- What is asked before anything else is done.
\ir refuse_role.sql
\ir refuse_older.sql
