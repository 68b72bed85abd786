-- Who may see and change which lanes: a policy of row security for each role and group. A role that
-- monitors has one without a group.
--
-- A policy is known by whom it is for and by what it shows. Its name is not asked for: a role that
-- is renamed keeps its policies, and another one may have the old name then.
CREATE OR REPLACE FUNCTION pgmq._lane_policies(queue_name text, reader text)
RETURNS TABLE (name name, role_id oid)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on SET quote_all_identifiers = off
AS $$
    SELECT p.polname, r.id
    FROM pg_policy AS p
    CROSS JOIN unnest(p.polroles) AS r (id)
    WHERE p.polrelid = to_regclass(format('pgmq.%I', pgmq._relation_name('lane', queue_name)))
        AND p.polname <> 'monitor'
        AND pg_get_expr(p.polqual, p.polrelid) = CASE
            WHEN reader IS NULL THEN 'true'
            ELSE format('(group_name = ''%s''::text)', replace(reader, '''', ''''''))
        END
$$;
COMMENT ON FUNCTION pgmq._lane_policies(text, text) IS
'The policies by which roles see the lanes of a group of a stream (null: of all), and these roles.';

CREATE OR REPLACE FUNCTION pgmq._show_lanes(queue_name text, role_name text, reader text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_lane CONSTANT text := pgmq._relation_name('lane', queue_name);
    v_role CONSTANT oid := (SELECT o.oid FROM pg_roles AS o WHERE o.rolname = role_name);
    -- It fits, however long the names are.
    v_name CONSTANT text := md5(format('%L %L %s', role_name, reader, v_role));
BEGIN
    IF EXISTS (
        SELECT FROM pgmq._lane_policies(queue_name, reader) AS p WHERE p.role_id = v_role
    )
    THEN
        RETURN;
    ELSIF reader IS NULL THEN
        EXECUTE format(
            'CREATE POLICY %I ON pgmq.%I FOR SELECT TO %I USING (true)', v_name, v_lane, role_name
        );
    ELSE
        EXECUTE format(
            'CREATE POLICY %I ON pgmq.%I TO %I USING (group_name = %L)',
            v_name, v_lane, role_name, reader
        );
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._show_lanes(text, text, text) IS
'Let a role see and change the lanes of a group of a stream, or with null see those of all groups.';

CREATE OR REPLACE FUNCTION pgmq._hide_lanes(
    queue_name text,
    role_name text,
    reader text DEFAULT null
)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_lane CONSTANT text := pgmq._relation_name('lane', queue_name);
    v_name name;
BEGIN
    FOR v_name IN
        SELECT p.polname
        FROM pg_policy AS p
        CROSS JOIN unnest(p.polroles) AS r (id)
        INNER JOIN pg_roles AS o ON r.id = o.oid
        WHERE p.polrelid = to_regclass(format('pgmq.%I', v_lane)) AND p.polname <> 'monitor'
            AND (o.rolname = role_name OR role_name IS NULL)
            AND (
                reader IS NULL
                OR p.polname IN (SELECT l.name FROM pgmq._lane_policies(queue_name, reader) AS l)
            )
    LOOP
        EXECUTE format('DROP POLICY %I ON pgmq.%I', v_name, v_lane);
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._hide_lanes(text, text, text) IS
'Drop the policies of a role (null: of all) on the lanes of a group of a stream (null: of all).';

CREATE OR REPLACE FUNCTION pgmq._may_use_lanes(privilege text, queue_name text)
RETURNS boolean
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_lane CONSTANT regclass := pgmq._relation('lane', queue_name);
BEGIN
    IF has_table_privilege(v_lane, privilege) IS NOT FALSE THEN     -- null: it was just dropped
        RETURN true;
    END IF;
    RAISE EXCEPTION 'permission denied for stream "%"', queue_name
        USING ERRCODE = 'insufficient_privilege',
            HINT = format(
                CASE privilege
                    WHEN 'SELECT' THEN 'Its owner can SELECT pgmq.grant_monitor(%L, %L).'
                    ELSE 'Its owner can SELECT pgmq.grant_fetch(%L, <group>, %L).'
                END,
                queue_name, current_user
            );
END
$$;
COMMENT ON FUNCTION pgmq._may_use_lanes(text, text) IS
'True; raise the error of a role without a privilege on a stream''s lanes, with a hint which it needs.

It says that it is IMMUTABLE, and is not. So a function that is compiled for a stream asks when it
plans its statement, for the first time in a session, and Postgres asks each time.';
