-- Make a schema with a trap for every function and operator that pgmq calls by a bare name outside
-- of functions with a search_path of their own: one for every type, and for every two types, that
-- there could be. A session with this schema in its search_path gets pg_catalog's function only
-- where that takes exactly these types. CREATE would need minutes, so this writes the catalogs:
-- it needs allow_system_table_mods, and a database to throw away.
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.trap(boolean) RETURNS boolean LANGUAGE plpgsql AS
'BEGIN RAISE EXCEPTION ''a trap was called'' USING ERRCODE = ''TRAPP''; END';
CREATE FUNCTION hostile.trap(boolean, boolean) RETURNS boolean LANGUAGE plpgsql AS
'BEGIN RAISE EXCEPTION ''a trap was called'' USING ERRCODE = ''TRAPP''; END';
CREATE OPERATOR hostile.= (FUNCTION = hostile.trap, LEFTARG = boolean, RIGHTARG = boolean);
CREATE OPERATOR hostile.@ (FUNCTION = hostile.trap, RIGHTARG = boolean);

CREATE TABLE hostile.body AS
SELECT p.prosrc AS source
FROM pg_proc AS p
WHERE p.pronamespace = 'pgmq'::regnamespace
    AND NOT coalesce(p.proconfig::text LIKE '%search_path=%', false)
UNION ALL
SELECT t.body FROM pgmq.template AS t;

-- Every type that a value could have: those of pgmq's arguments and columns, and of what they are
-- compared with or computed to; and arrays of them.
CREATE TABLE hostile.type AS
SELECT t.oid AS id
FROM pg_type AS t
WHERE t.typnamespace = 'pg_catalog'::regnamespace AND t.typtype = 'b'
    AND (
        t.typname IN (
            'text', 'varchar', 'bpchar', 'name', 'char', 'int2', 'int4', 'int8', 'numeric',
            'float4', 'float8', 'bool', 'date', 'timestamp', 'timestamptz', 'interval', 'oid',
            'xid', 'xid8', 'cid', 'tid', 'regclass', 'regproc', 'regprocedure', 'regrole',
            'regnamespace', 'regtype', 'json', 'jsonb', 'jsonpath', 'bytea', 'uuid', 'pg_lsn',
            'aclitem', 'oidvector', 'int2vector',
            '_text', '_name', '_int2', '_int4', '_int8', '_numeric', '_float8', '_bool',
            '_timestamptz', '_interval', '_oid', '_jsonb', '_regclass', '_aclitem'
        )
        OR t.oid IN (
            SELECT a.atttypid FROM pg_attribute AS a
            INNER JOIN pg_class AS c ON a.attrelid = c.oid
            WHERE c.relnamespace = 'pgmq'::regnamespace AND a.attnum > 0
        )
        OR t.oid IN (
            SELECT unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]) || p.prorettype)
            FROM pg_proc AS p WHERE p.pronamespace = 'pgmq'::regnamespace
        )
    );

INSERT INTO pg_proc
SELECT r.*
FROM (
    SELECT
        n.name, a.types, a.number, row_number() OVER () AS place
    FROM (
        SELECT DISTINCT p.proname AS name
        FROM pg_proc AS p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname IN (
            SELECT m.match[1] FROM hostile.body AS b
            CROSS JOIN regexp_matches(b.source, '(?<![.\w"])([a-z_][a-z_0-9]*)\(', 'g') AS m (match)
        )
    ) AS n
    CROSS JOIN (
        SELECT t.id::text AS types, 1 AS number FROM hostile.type AS t
        UNION ALL
        SELECT format('%s %s', t.id, u.id), 2 FROM hostile.type AS t, hostile.type AS u
    ) AS a
) AS f
INNER JOIN pg_proc AS p ON p.proname = 'trap' AND p.pronargs = f.number
CROSS JOIN LATERAL jsonb_populate_record(p, jsonb_build_object(
    'oid', 1000000000 + f.place, 'proname', f.name, 'proargtypes', f.types
)) AS r
WHERE p.pronamespace = 'hostile'::regnamespace;

INSERT INTO pg_operator
SELECT r.*
FROM (
    SELECT n.name, a.left_id, a.right_id, a.kind, row_number() OVER () AS place
    FROM (
        SELECT DISTINCT o.oprname AS name
        FROM pg_operator AS o
        WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND (
            o.oprname IN ('=', '<>', '<', '>', '<=', '>=', '~~')     -- IN, BETWEEN, NULLIF, LIKE
            OR EXISTS (SELECT FROM hostile.body AS b WHERE strpos(b.source, o.oprname) > 0)
        )
    ) AS n
    CROSS JOIN (
        SELECT 0::oid AS left_id, t.id AS right_id, 'l' AS kind FROM hostile.type AS t
        UNION ALL
        SELECT t.id, u.id, 'b' FROM hostile.type AS t, hostile.type AS u
    ) AS a
) AS f
INNER JOIN pg_operator AS o ON o.oprkind = f.kind::"char"
CROSS JOIN LATERAL jsonb_populate_record(o, jsonb_build_object(
    'oid', 2000000000 + f.place, 'oprname', f.name, 'oprleft', f.left_id, 'oprright', f.right_id
)) AS r
WHERE o.oprnamespace = 'hostile'::regnamespace
    AND NOT (o.oprname = f.name AND o.oprleft = f.left_id AND o.oprright = f.right_id);
ANALYZE pg_proc, pg_operator;
GRANT USAGE ON SCHEMA hostile TO public;
