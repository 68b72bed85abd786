"""Nothing that others have put into a schema on the caller's search_path is ever called.

A function or operator is found by its name in any schema of the search_path, and one there that
fits the arguments exactly comes before one of pg_catalog that needs a cast, takes "any" or is
polymorphic. So the schema of this test has, for every function and operator that pgmq uses, one
for every combination of types, and each raises an error.
"""

from __future__ import annotations

import psycopg
import pytest

import server as servers

PLANT = r"""
CREATE SCHEMA hostile;
CREATE SCHEMA victim;
DO $plant$
DECLARE
    v_types text[] := '{text,varchar,name,int4,int8,numeric,float8,real,jsonb,timestamptz,interval,'
        'oid,regclass,regproc,text[],int8[],int4[],jsonb[],bool,xid,bytea}';
    v_name record;
    v_arguments text;
    v_operator text;
    v_made bigint := 0;
BEGIN
    CREATE FUNCTION hostile.trap() RETURNS void LANGUAGE plpgsql AS
    'BEGIN RAISE EXCEPTION ''a trap was called'' USING ERRCODE = ''TRAPP''; END';
    FOR v_name IN
        SELECT DISTINCT p.proname AS name, p.prokind AS kind
        FROM pg_proc AS p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind IN ('f', 'a')
            -- Those that a string constant calls.
            AND p.proname NOT IN ('text', 'varchar', 'name', 'numeric', 'int4', 'int8', 'bool',
                'make_interval')
            AND p.proname IN (
                SELECT m.match[1]
                FROM pg_proc AS f
                CROSS JOIN regexp_matches(f.prosrc, '([a-z_0-9]+)\(', 'g') AS m (match)
                WHERE f.pronamespace = 'pgmq'::regnamespace
            )
    LOOP
        FOR v_arguments IN
            SELECT t FROM unnest(v_types) AS t
            UNION ALL
            SELECT t || ',' || u FROM unnest(v_types) AS t, unnest(v_types) AS u
            WHERE v_name.kind = 'f'
            UNION ALL
            SELECT repeat('text,', n) || 'text' FROM generate_series(2, 5) AS n
            WHERE v_name.kind = 'f'
        LOOP
            EXECUTE CASE v_name.kind
                WHEN 'f' THEN format(
                    'CREATE FUNCTION hostile.%I(%s) RETURNS text LANGUAGE sql'
                    ' AS ''SELECT hostile.trap(); SELECT null::text''', v_name.name, v_arguments
                )
                ELSE format(
                    'CREATE AGGREGATE hostile.%I(%s)'
                    ' (sfunc = int8inc_any, stype = int8, initcond = 0)',
                    v_name.name, v_arguments
                )
            END;
            v_made := v_made + 1;
        END LOOP;
    END LOOP;
    CREATE FUNCTION hostile.make_interval(secs integer) RETURNS interval LANGUAGE sql
    AS 'SELECT hostile.trap(); SELECT null::interval';
    CREATE FUNCTION hostile.make_interval(secs numeric) RETURNS interval LANGUAGE sql
    AS 'SELECT hostile.trap(); SELECT null::interval';
    FOR v_arguments IN
        SELECT format('%s,%s', t, u) FROM unnest(v_types) AS t, unnest(v_types) AS u
    LOOP
        EXECUTE format(
            'CREATE FUNCTION hostile.operate(%s) RETURNS bool LANGUAGE sql'
            ' AS ''SELECT hostile.trap(); SELECT null::bool''', v_arguments
        );
        FOREACH v_operator IN ARRAY string_to_array(
            '= <> < <= > >= + - * / % || -> ->> #>> @> ~ !~ & << >> && ? ~~', ' '
        ) LOOP
            EXECUTE format(
                'CREATE OPERATOR hostile.%s'
                ' (FUNCTION = hostile.operate, LEFTARG = %s, RIGHTARG = %s)',
                v_operator, split_part(v_arguments, ',', 1), split_part(v_arguments, ',', 2)
            );
        END LOOP;
    END LOOP;
    ASSERT v_made > 10000;
END
$plant$;
"""

# Everything that a queue's users call, then what its owner does.
CALLS = """
SELECT * FROM pgmq.send('q', '1')
SELECT * FROM pgmq.send('q', '1', '{"x-pgmq-dedup-id": "a", "x-pgmq-group": "g"}'::jsonb)
SELECT * FROM pgmq.send('q', '1', 5)
SELECT * FROM pgmq.send('q', '1', '{}'::jsonb, 0)
SELECT * FROM pgmq.send('q', '1', now())
SELECT * FROM pgmq.send('q', '1', '{}'::jsonb, now())
SELECT * FROM pgmq.send_batch('q', '{1,2}')
SELECT * FROM pgmq.send_batch('q', '{1,2}', '{"{\\"x-pgmq-dedup-id\\": 1}",null}'::jsonb[])
SELECT * FROM pgmq.send_batch('q', '{1,2}', 0)
SELECT * FROM pgmq.send_batch('q', '{1,2}', now())
SELECT * FROM pgmq.send_batch('q', '{1,2}', '{null,null}'::jsonb[], 0)
SELECT * FROM pgmq.send_once('q', '1', 'key')
SELECT * FROM pgmq.send_once('q', '{1,2}'::jsonb[], '{a,b}'::text[])
SELECT * FROM pgmq.read('q', 0, 2)
SELECT * FROM pgmq.read('q', 0, 2)
SELECT * FROM pgmq.read('q', 0, 2, '1')
SELECT * FROM pgmq.read('q', 0, 40)
SELECT * FROM pgmq.read_with_poll('q', 0, 1, 1, 10)
SELECT * FROM pgmq.read_any('{q}', 0, 40)
SELECT * FROM pgmq.read_grouped('q', 0, 40)
SELECT * FROM pgmq.read_grouped_rr('q', 0, 3)
SELECT * FROM pgmq.read_grouped_head('q', 0, 3)
SELECT * FROM pgmq.read_group('q', 'g', 0, 3)
SELECT * FROM pgmq.read_grouped_with_poll('q', 0, 3, 1, 10)
SELECT * FROM pgmq.peek('q', 3)
SELECT * FROM pgmq.get('q', 1)
SELECT pgmq.next_visible_at('q')
SELECT * FROM pgmq.set_vt('q', 1, 0)
SELECT * FROM pgmq.set_vt('q', '{1}'::bigint[], now())
SELECT pgmq.nack('q', 1, 1, error => 'x')
SELECT pgmq.nack('q', msg_id, read_ct) FROM pgmq.get('q', 1)
SELECT * FROM pgmq.nack('q', '{1}'::bigint[], '{1}'::integer[], 0)
SELECT pgmq.extend('q', 1, 1, 1)
SELECT * FROM pgmq.extend('q', '{1}'::bigint[], '{1}'::integer[], 1)
SELECT pgmq.ack('q', msg_id, read_ct) FROM pgmq.get('q', 1)
SELECT * FROM pgmq.ack('q', '{1}'::bigint[], '{1}'::integer[])
SELECT * FROM pgmq.ack_and_read('q', 0, 40, '{1}', '{1}')
SELECT pgmq.delete('q', 2)
SELECT * FROM pgmq.delete('q', '{2}'::bigint[])
SELECT pgmq.archive('q', 3)
SELECT * FROM pgmq.archive('q', '{4}'::bigint[])
SELECT * FROM pgmq.pop('q', 2)
SELECT pgmq.await('q', 1)
SELECT * FROM pgmq.metrics('q')
SELECT * FROM pgmq.metrics_all()
SELECT * FROM pgmq.list_queues()
SELECT pgmq.publish('x', 'a.b', '1')
SELECT pgmq.send_topic('a.b', '1')
SELECT * FROM pgmq.send_batch_topic('a.b', '{1}')
SELECT * FROM pgmq.test_routing('a.b')
SELECT * FROM pgmq.list_topic_bindings('q')
SELECT * FROM pgmq.list_bindings('x')
SELECT * FROM pgmq.list_notify_insert_throttles()
SELECT pgmq.move('q', min(msg_id), 'other') FROM pgmq.q_q
SELECT pgmq.redrive('other', 'q')
SELECT pgmq.redrive('other')
SELECT pgmq.get_policy('q')
SELECT pgmq.maintain()
SELECT pgmq.close_channel(pgmq.open_channel('q'))
SELECT pgmq.close_dead_channels()
SELECT * FROM pgmq.list_channels()
SELECT pgmq.purge_queue('q')
SELECT pgmq.unbind('x', 'q', 'a.#')
SELECT pgmq.unbind_channel('x', 'news', '*.b')
SELECT pgmq.unbind_topic('a.#', 'q')
SELECT pgmq.drop_exchange('x')
SELECT pgmq.disable_notify_insert('q'), pgmq.disable_wakeups('q'), pgmq.disable_push('q')
SELECT pgmq.recompile_all()
SELECT pgmq.drop_queue('q')
"""

SETUP = """
SELECT pgmq.create('other'), pgmq.create('q')
SELECT pgmq.create_fifo_index('q')
SELECT pgmq.enable_notify_insert('q'), pgmq.enable_wakeups('q'), pgmq.enable_push('q')
SELECT pgmq.create_exchange('x')
SELECT pgmq.bind('x', 'q', 'a.#'), pgmq.bind_channel('x', 'news', '*.b')
SELECT pgmq.bind_topic('a.#', 'q')
"""

POLICY = """
SELECT pgmq.set_policy('q', max_receives => 9, dead_letter_queue => 'other', retry_delay => '1 s',
    retry_delay_max => '1 min', retry_jitter => 0.5, message_ttl => '1 h',
    archive_retention => '1 h', dedup_window => '1 h', max_in_flight => 100, ack_archives => true)
"""


@pytest.mark.parametrize("options", ["", "dedup_window => '1 h'", POLICY])
def test_what_others_put_on_the_search_path_is_never_called(
    db: psycopg.Connection, options: str
) -> None:
    db.execute(PLANT.encode())
    db.execute("SET search_path = hostile, public")
    # It is a trap indeed.
    with pytest.raises(psycopg.Error, match="a trap was called"):
        db.execute("SELECT format('%s', 'x'::text)")
    lines = SETUP.strip().splitlines()
    if options:
        lines.append(options if "SELECT" in options else f"SELECT pgmq.set_policy('q', {options})")
    lines += CALLS.strip().splitlines()
    for line in lines:
        if "send_once" in line and not options:
            continue
        try:
            db.execute(line.encode())
        except psycopg.Error as error:
            pytest.fail(f"{line}: {error}")


def test_installing_and_upgrading_call_none_of_it_either(server: servers.TestServer) -> None:
    script = (servers.ROOT / "build" / "pgmq.sql").read_bytes()
    with (
        server.database(None) as dbname,
        psycopg.connect(server.dsn(dbname), autocommit=True) as db,
    ):
        db.execute(script)
        db.execute("SELECT pgmq.create('q'); SELECT pgmq.enable_notify_insert('q')")
        db.execute(PLANT.encode())
        db.execute("SET search_path = hostile, public")
        db.execute(script)
        assert db.execute("SHOW search_path").fetchone() == ("hostile, public",)
        assert db.execute("SELECT pgmq.send('q', '1')").fetchone() == (1,)
