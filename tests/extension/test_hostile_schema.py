"""Nothing that others have put into a schema on the caller's search_path is ever called.

A function or operator is found by its name in any schema of the search_path, and one there that
fits the arguments exactly comes before one of pg_catalog that needs a cast, takes "any" or is
polymorphic. So the schema of this test has, for every function and operator that pgmq uses, one
for every combination of types, and each raises an error.
"""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from support import server as servers
from support.queues import DISTINCT, KINDS, STREAMS

pytestmark = pytest.mark.once

PLANT = (servers.ROOT / "python" / "tools" / "hostile.sql").read_bytes()

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
SELECT pgmq._look_after('q', 40)
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
SELECT pgmq.redrive('other', conditional => '{"a": 1}', rate => 5)
SELECT pgmq.amend('q', min(msg_id), '{"a": 1}', '{"x-pgmq-ttl": 900}') FROM pgmq.q_q
SELECT pgmq.requeue('q', since => now() - interval '1 day', qty => 1, rate => 5, keep => true)
SELECT pgmq.requeue('q', ARRAY[1], conditional => '{"a": 1}')
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

# And those of a stream.
STREAM_CALLS = """
SELECT * FROM pgmq.send('q', '1')
SELECT * FROM pgmq.send('q', '1', '{"x-pgmq-dedup-id": "a", "x-pgmq-group": "g"}'::jsonb)
SELECT * FROM pgmq.send('q', '1', now())
SELECT * FROM pgmq.send_batch('q', '{1,2,3,4,5,6,7,8}')
SELECT * FROM pgmq.send_batch('q', '{1,2}', '{"{\\"x-pgmq-dedup-id\\": 1}",null}'::jsonb[])
SELECT * FROM pgmq.send_once('q', '1', 'key')
SELECT * FROM pgmq.send_once('q', '{1,2}'::jsonb[], '{a,b}'::text[])
SELECT pgmq.publish('x', 'a.b', '1')
SELECT pgmq.send_topic('a.b', '1')
SELECT * FROM pgmq.send_batch_topic('a.b', '{1}')
SELECT pgmq.alter_group('q', 'g', 3, 'other')
SELECT pgmq.release('q', 'g', lane, epoch, error => 'x') FROM pgmq.fetch('q', 'g', 9, 2) LIMIT 1
SELECT pgmq.commit('q', 'g', lane, epoch) FROM pgmq.fetch('q', 'g', 9, 2) LIMIT 1
SELECT pgmq.extend_lease('q', 'g', lane, epoch, 9) FROM pgmq.fetch('q', 'g', 0, 2) LIMIT 1
SELECT pgmq.reject('q', 'g', lane, epoch, msg_id) FROM pgmq.fetch('q', 'g', 0, 1)
SELECT pgmq.commit('q', 'g', lane, epoch, msg_id) FROM pgmq.fetch('q', 'g', 0, 2) LIMIT 1
SELECT pgmq.seek('q', 'g', 'earliest'), pgmq.seek('q', 'g', '1'), pgmq.seek('q', 'g', 'today')
SELECT * FROM pgmq.commit_and_fetch('q', 'g', null, null, 0, 2)
SELECT * FROM pgmq.fetch_with_poll('q', 'g', 0, 2, 1, 10)
SELECT * FROM pgmq.list_groups()
SELECT * FROM pgmq.list_lanes('q')
SELECT * FROM pgmq.peek('q', 3)
SELECT * FROM pgmq.get('q', 1)
SELECT pgmq.await('q', 1)
SELECT * FROM pgmq.metrics('q')
SELECT * FROM pgmq.metrics_all()
SELECT * FROM pgmq.doctor()
SELECT pgmq.maintain('q')
SELECT pgmq.purge_queue('q')
SELECT pgmq.create_group('q', 'h', 'latest', 3), pgmq.drop_group('q', 'h')
SELECT pgmq.unbind('x', 'q', 'a.#'), pgmq.unbind_channel('x', 'news', '*.b')
SELECT pgmq.unbind_topic('a.#', 'q'), pgmq.drop_exchange('x')
SELECT pgmq.disable_notify_insert('q'), pgmq.disable_wakeups('q'), pgmq.recompile('q')
SELECT pgmq.drop_queue('q')
"""

SETUP = """
SELECT pgmq.create_exchange('x')
SELECT pgmq.bind('x', 'q', 'a.#'), pgmq.bind_channel('x', 'news', '*.b')
SELECT pgmq.bind_topic('a.#', 'q')
"""


@pytest.fixture
def trapped(db: psycopg.Connection) -> psycopg.Connection:
    """A session with the schema of traps on its search_path."""
    db.execute("SET allow_system_table_mods = on")
    db.execute(PLANT)
    db.execute("SET search_path = hostile, public")
    with pytest.raises(psycopg.Error, match="a trap was called"):
        db.execute("SELECT 1 = 1::bigint AND to_regclass('x'::name)")
    return db


def test_what_others_put_on_the_search_path_is_never_called(trapped: psycopg.Connection) -> None:
    trapped.execute("SELECT pgmq.create('other')")
    for queue in DISTINCT:
        table = sql.Identifier(f"q_{queue.lower()}").as_string()
        calls = f"{SETUP}{STREAM_CALLS if queue in STREAMS else CALLS}".replace(
            "q_q", table
        ).replace("'q'", f"'{queue}'")
        calls = calls.replace("'{q}'", f"ARRAY['{queue}']")
        for call in [KINDS[queue], *calls.strip().splitlines()]:
            run(trapped, call)


def run(session: psycopg.Connection, call: str) -> None:
    try:
        session.execute(call.encode())
    except psycopg.errors.ObjectNotInPrerequisiteState:
        pass  # the queue has no window, or does not wake or push
    except psycopg.Error as error:
        pytest.fail(f"{call}: {error}")


def test_installing_and_upgrading_call_none_of_it_either(server: servers.TestServer) -> None:
    script = (servers.ROOT / "build" / "pgmq.sql").read_bytes()
    with (
        server.database() as dbname,
        psycopg.connect(server.dsn(dbname), autocommit=True) as db,
    ):
        db.execute(script)
        db.execute("SELECT pgmq.create('q'); SELECT pgmq.enable_notify_insert('q')")
        db.execute("SET allow_system_table_mods = on")
        db.execute(PLANT)
        db.execute("SET search_path = hostile, public")
        db.execute(script)
        assert db.execute("SHOW search_path").fetchone() == ("hostile, public",)
        assert db.execute("SELECT pgmq.send('q', '1')").fetchone() == (1,)
