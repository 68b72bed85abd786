\echo Use "CREATE EXTENSION pgmq" or "ALTER EXTENSION pgmq UPDATE" to load this file. \quit
