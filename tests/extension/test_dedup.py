"""send_once and header x-pgmq-dedup-id: what counts as sent already, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from support.plans import touched
from support.prepared import prepared
from support.queries import ids

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Connect, Roles
    from pgmq import embedded

HEADER = "x-pgmq-dedup-id"
# The read that would hand it out again moves it to the dead-letter queue.
DIE = (
    "SELECT pgmq.set_policy('q', 1, 'dead', dedup_window => '1 hour');"
    " SELECT pgmq.read('q', 0, 1); SELECT pgmq.read('q', 0, 1)"
)
LATER = "UPDATE pgmq.dedup_q SET sent_at = sent_at - interval '1 hour'"


def _once(db: psycopg.Connection, key: str, queue: str = "q", **more: Any) -> tuple[int, bool]:
    """Send a message once, and return its id and whether it is new."""
    names = "".join(f", {name} => %s" for name in more)
    rows = db.execute(
        f"SELECT * FROM pgmq.send_once(%s, %s, %s{names})".encode(),
        (queue, Jsonb(key), key, *more.values()),
    ).fetchall()
    assert len(rows) == 1
    return rows[0]


def _rows(db: psycopg.Connection, query: str, *arguments: Any) -> list[Any]:
    return db.execute(query.encode(), arguments).fetchall()


def _key(key: object) -> Jsonb:
    return Jsonb({HEADER: key})


def _set_window(db: psycopg.Connection, queue: str, window: str | None = "1 hour") -> None:
    db.execute("SELECT pgmq.set_policy(%s, dedup_window => %s)", (queue, window))


template = prepared(
    "SELECT pgmq.create('q'); SELECT pgmq.set_policy('q', dedup_window => '1 hour')", by="queue"
)


@pytest.fixture
def queue(db: psycopg.Connection) -> psycopg.Connection:
    return db


@pytest.fixture
def role(roles: Roles, queue: psycopg.Connection) -> str:
    """A role without rights."""
    name = roles()
    queue.execute(f"GRANT USAGE ON SCHEMA pgmq TO {name}".encode())
    return name


def test_a_key_is_sent_once(queue: psycopg.Connection) -> None:
    assert _once(queue, "a") == (1, True)
    assert _once(queue, "a") == (1, False)
    assert _once(queue, "A") == (2, True)
    assert _once(queue, "") == (3, True)
    assert _once(queue, "", delay=5) == (3, False)
    assert ids(queue, "SELECT message FROM pgmq.read('q', 0, 9)") == ["a", "A", ""]


@pytest.mark.parametrize(
    "call",
    [
        "SELECT pgmq.pop('q')",
        "SELECT pgmq.delete('q', 1::bigint)",
        "SELECT pgmq.archive('q', 1::bigint)",
        "SELECT pgmq.purge_queue('q')",
        "TRUNCATE pgmq.q_q",
        DIE,
    ],
)
def test_what_has_become_of_the_first_does_not_matter(queue: psycopg.Connection, call: str) -> None:
    _once(queue, "a")
    queue.execute(call.encode())
    assert _rows(queue, "SELECT FROM pgmq.q_q") == []
    assert _once(queue, "a") == (1, False)
    assert _rows(queue, "SELECT FROM pgmq.q_q") == []


def test_a_message_that_was_rolled_back_was_not_sent(queue: psycopg.Connection) -> None:
    with queue.transaction():
        with queue.transaction(force_rollback=True):
            assert _once(queue, "a")[1]
        assert _once(queue, "a") == (2, True)
        assert _once(queue, "a") == (2, False)
    assert _once(queue, "a") == (2, False)


def test_a_key_is_free_again_when_the_window_is_over(queue: psycopg.Connection) -> None:
    _once(queue, "a")
    queue.execute("UPDATE pgmq.dedup_q SET sent_at = sent_at - interval '59 minutes'")
    assert _once(queue, "a") == (1, False)
    queue.execute(LATER)
    assert _once(queue, "a") == (2, True)
    # And from then on for a window.
    assert _once(queue, "a") == (2, False)


def test_a_window_counts_from_the_sending_not_from_the_start_of_the_transaction(
    queue: psycopg.Connection,
) -> None:
    _set_window(queue, "q", "0.2 seconds")
    with queue.transaction():
        queue.execute("SELECT pg_sleep(0.25)")
        assert _once(queue, "a")[1]
        assert not _once(queue, "a")[1]


def test_a_message_has_its_headers_and_its_delay(queue: psycopg.Connection) -> None:
    _once(queue, "a", headers=Jsonb({"x": 1, HEADER: "other"}), delay=60)
    _once(queue, "b", headers=Jsonb(None))
    assert _rows(queue, "SELECT headers, vt = now() + interval '1 minute' FROM pgmq.q_q") == [
        ({"x": 1, HEADER: "a"}, False),
        ({HEADER: "b"}, False),
    ]
    assert _rows(queue, "SELECT vt > now() + interval '50 s', vt <= enqueued_at FROM pgmq.q_q") == [
        (True, False),
        (False, True),
    ]


def test_a_call_needs_no_casts(queue: psycopg.Connection) -> None:
    for call, expected in {
        """send_once('q', '{"a": 1}', 'a')""": [(1, True)],
        """send_once('q', '{"a": 1}', 'a', '{"b": 1}', 0)""": [(1, False)],
        "send_once('q', '1'::jsonb, 'a', null, 0)": [(1, False)],
        "send_once('q', null, 'b', delay => 5)": [(2, True)],
        "send_once('q', '{1,2}'::jsonb[], '{a,c}')": [(1, False), (3, True)],
        "send_once('q', msgs => '{1,2}', dedup_keys => '{a,c}')": [(1, False), (3, False)],
    }.items():
        assert _rows(queue, f"SELECT * FROM pgmq.{call}") == expected
    assert ids(queue, "SELECT message FROM pgmq.q_q") == [{"a": 1}, None, 2]


def test_an_array_is_sent_in_its_order_each_key_once(queue: psycopg.Connection) -> None:
    _once(queue, "known")
    keys = ["z", "known", "a", "z", "m", "a", "known"]
    call = "SELECT * FROM pgmq.send_once('q', %s::jsonb[], %s)"
    msgs = [Jsonb(n) for n in range(7)]
    sent = [(2, True), (1, False), (3, True), (2, False), (4, True), (3, False), (1, False)]
    assert _rows(queue, call, msgs, keys) == sent
    assert _rows(queue, "SELECT msg_id, message, headers ->> %s FROM pgmq.q_q", HEADER)[1:] == [
        (2, 0, "z"), (3, 2, "a"), (4, 4, "m"),
    ]  # fmt: skip
    assert _rows(queue, call, msgs, keys) == [(msg_id, False) for msg_id, _ in sent]
    headers = [Jsonb({"n": 1}), None]
    _rows(queue, call.replace("%s)", "%s, %s, 60)"), msgs[:2], ["x", "y"], headers)
    assert _rows(queue, "SELECT headers, vt > now() FROM pgmq.q_q WHERE msg_id > 4") == [
        ({"n": 1, HEADER: "x"}, True),
        ({HEADER: "y"}, True),
    ]


SENDS = [
    "send('q', '1', {})",
    "send('q', '1', {}, 60)",
    "send('q', '1', {}, now() + interval '1 minute')",
    "send_batch('q', '{{1}}', ARRAY[{}])",
    "send_batch('q', '{{1}}', ARRAY[{}], 60)",
    "send_batch('q', '{{1}}', ARRAY[{}], now() + interval '1 minute')",
]


@pytest.mark.parametrize("scope", ["window", "pending"])
def test_what_a_trigger_keeps_away_is_not_taken_for_another_of_the_array(
    queue: psycopg.Connection, scope: str
) -> None:
    queue.execute(f"SELECT pgmq.alter_policy('q', dedup_scope => '{scope}')".encode())
    queue.execute("""
        CREATE FUNCTION public.suppress() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN RETURN CASE WHEN NEW.message <> ''1'' THEN NEW END; END';
        CREATE TRIGGER suppress BEFORE INSERT ON pgmq.q_q
        FOR EACH ROW EXECUTE FUNCTION public.suppress()
    """)
    send = "SELECT * FROM pgmq.send_once('q', '{1,2,3,3}'::jsonb[], '{a,b,c,c}'::text[])"
    assert _rows(queue, send) == [(None, False), (2, True), (3, True), (3, False)]
    assert _rows(queue, send) == [(None, False), (2, False), (3, False), (3, False)]


@pytest.mark.parametrize("call", SENDS)
def test_the_header_does_the_same_wherever_headers_are_sent(
    queue: psycopg.Connection, call: str
) -> None:
    # Equal as text.
    for key in ("'7'", "7"):
        headers = f"jsonb_build_object('{HEADER}', {key})"
        assert ids(queue, f"SELECT pgmq.{call.format(headers)}") == [1]
    assert _once(queue, "7") == (1, False)
    # Not an object, or null: no key.
    for number, headers in enumerate([f'["{HEADER}"]', f'"{HEADER}"', f'{{"{HEADER}": null}}']):
        sent = call.format(f"'{headers}'::jsonb")
        assert ids(queue, f"SELECT pgmq.{sent}") == [number + 2]
    assert ids(queue, f"SELECT pgmq.{call.format('null::jsonb')}") == [5]


def test_a_batch_may_have_messages_with_and_without_the_header(queue: psycopg.Connection) -> None:
    call = "SELECT pgmq.send_batch('q', %s::jsonb[], %s::jsonb[])"
    msgs = [Jsonb(n) for n in range(5)]
    headers = [None, _key("b"), Jsonb({}), _key("a"), _key("b")]
    assert ids(queue, call, msgs, headers) == [1, 2, 3, 4, 2]
    assert ids(queue, call, msgs, headers) == [5, 2, 6, 4, 2]
    assert ids(queue, "SELECT message FROM pgmq.q_q") == [0, 1, 2, 3, 0, 2]
    # Whatever the bounds of the arrays.
    bounds = "SELECT pgmq.send_batch('q', '[0:1]={7,8}'::jsonb[], %s::text::jsonb[])"
    assert ids(queue, bounds, f'[3:4]={{null,"{{\\"{HEADER}\\":1}}"}}') == [7, 8]
    assert ids(queue, "SELECT message FROM pgmq.q_q WHERE msg_id > 6") == [7, 8]


def test_what_comes_by_topics_and_exchanges_is_sent_once(queue: psycopg.Connection) -> None:
    queue.execute("SELECT pgmq.create('r'), pgmq.create_exchange('e')")
    for name in ("q", "r"):
        queue.execute("SELECT pgmq.bind('e', %s, '#'), pgmq.bind_topic('#', %s)", (name, name))
    for _ in range(2):
        queue.execute("SELECT pgmq.publish('e', 'k', '1', %s)", (_key("a"),))
        queue.execute("SELECT pgmq.send_topic('k', '1', %s, 0)", (_key("a"),))
        queue.execute("SELECT pgmq.send_batch_topic('k', '{1}', ARRAY[%s])", (_key("a"),))
    assert _rows(queue, "SELECT msg_id FROM pgmq.q_q") == [(1,)]
    assert len(_rows(queue, "SELECT FROM pgmq.q_r")) == 6  # has no window


def test_a_queue_without_a_window_refuses_send_once_and_ignores_the_header(
    db: psycopg.Connection,
) -> None:
    db.execute("SELECT pgmq.create('q')")
    for call in ("'1', 'a'", "'{1}'::jsonb[], '{a}'"):
        with pytest.raises(
            psycopg.errors.ObjectNotInPrerequisiteState, match='queue "q" has no dedup_window'
        ) as caught:
            db.execute(f"SELECT pgmq.send_once('q', {call})".encode())
        assert "pgmq.alter_policy('q', dedup_window" in str(caught.value.diag.message_hint)
    for n in (1, 2):
        assert ids(db, "SELECT pgmq.send('q', '1', %s)", _key("a")) == [n]


def test_turning_a_window_off_and_on_again_forgets_the_keys(queue: psycopg.Connection) -> None:
    _once(queue, "a")
    _set_window(queue, "q", "2 hours")
    assert _once(queue, "a") == (1, False)
    _set_window(queue, "q", None)
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        _once(queue, "a")
    _set_window(queue, "q")
    assert _once(queue, "a") == (2, True)


LONG = "é" * 512


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        ("send_once('q', '1', null)", "NullValueNotAllowed", "dedup_key must not be null"),
        (
            "send_once('q', '{1,2}'::jsonb[], '{a,null}')",
            "NullValueNotAllowed",
            "dedup_key must not be null",
        ),
        (
            f"send_once('q', '1', '{LONG}x')",
            "StringDataRightTruncation",
            'dedup key "éé.*" must have up to 1024 bytes, not 1025',
        ),
        (
            f"""send('q', '1', '{{"{HEADER}": "{LONG}x"}}'::jsonb)""",
            "StringDataRightTruncation",
            "must have up to 1024 bytes, not 1025",
        ),
        (
            "send_once('q', '1', 'a', '[1]')",
            "InvalidParameterValue",
            r"headers must be a JSON object, not array: \[1\]",
        ),
        ("send_once('q', '1', 'a', delay => null)", "NullValueNotAllowed", "delay must not be"),
        (
            "send_once('q', '{1}'::jsonb[], '{a}', delay => null)",
            "NullValueNotAllowed",
            "delay must not be null",
        ),
        (
            "send_once('q', '{1,2}'::jsonb[], '{a}')",
            "ArraySubscriptError",
            "msgs and dedup_keys differ in length: 2 and 1",
        ),
        ("send_once('q', '{}'::jsonb[], '{}')", "RaiseException", "msgs cannot be NULL or empty"),
        ("send_once('x', '1', 'a')", "UndefinedTable", 'queue "x" does not exist'),
    ],
)
def test_what_makes_no_sense_is_a_clear_error(
    queue: psycopg.Connection, call: str, error: str, text: str
) -> None:
    with pytest.raises(getattr(psycopg.errors, error), match=text):
        queue.execute(f"SELECT pgmq.{call}".encode())
    assert _rows(queue, "SELECT FROM pgmq.dedup_q") == []


def test_the_longest_key_is_taken(queue: psycopg.Connection) -> None:
    assert _once(queue, LONG) == (1, True)
    assert _once(queue, LONG) == (1, False)


@pytest.mark.parametrize("name", ["Mixed Case", 'with "quotes" %I', "ü" * 30, "x" * 47])
def test_a_queue_may_have_any_name_and_be_made_anew(db: psycopg.Connection, name: str) -> None:
    for _ in range(2):
        db.execute("SELECT pgmq.create(%s)", (name,))
        _set_window(db, name)
        assert _once(db, "a", name) == (1, True)
        assert _once(db, "a", name) == (1, False)
        assert _once(db, "a", name.upper() if name.isascii() else name) == (1, False)
        db.execute("SELECT pgmq.drop_queue(%s)", (name,))
        left = _rows(db, "SELECT relname FROM pg_class WHERE relname ~ '^(dedup|sent_at_idx)_'")
        assert left == []


def test_nothing_of_it_belongs_to_the_extension(queue: psycopg.Connection) -> None:
    queue.execute("SELECT pgmq.recompile_all()")
    assert _rows(queue, "SELECT name FROM pgmq._members() WHERE name ~ 'dedup_q|_q$'") == []


def test_a_crash_empties_the_keys_of_an_unlogged_queue_and_no_others(
    new_server: Callable[..., embedded.Server],
) -> None:
    server = new_server()
    with psycopg.connect(server.dsn("pgmq"), autocommit=True) as session:
        session.execute("SELECT pgmq.create('kept'), pgmq.create_unlogged('fleeting')")
        for name in ("kept", "fleeting"):
            _set_window(session, name)
            assert _once(session, "a", name) == (1, True)
    server.stop(mode="immediate")
    server.start()
    with psycopg.connect(server.dsn("pgmq"), autocommit=True) as session:
        assert _once(session, "a", "kept") == (1, False)
        assert _once(session, "a", "fleeting")[1]


def test_whoever_may_insert_into_the_queue_may_send_once_and_nobody_else(
    queue: psycopg.Connection, role: str
) -> None:
    calls = [
        "SELECT pgmq.send_once('q', '1', 'a')",
        "SELECT pgmq.send_once('q', '{1}'::jsonb[], '{a}')",
        f"""SELECT pgmq.send('q', '1', '{{"{HEADER}": "a"}}'::jsonb)""",
    ]
    queue.execute(f"SET ROLE {role}".encode())
    for call in calls:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="q_q"):
            queue.execute(call.encode())
    # Nor can one that may not send take keys away from others, or read them.
    queue.execute("SELECT pgmq._recall_q('{a}'), pgmq._remember_q('{1}')")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        queue.execute("SELECT dedup_key FROM pgmq.dedup_q")
    queue.execute("RESET ROLE")
    queue.execute(f"GRANT SELECT, INSERT ON pgmq.q_q TO {role}".encode())
    queue.execute(f"SET ROLE {role}".encode())
    assert _once(queue, "a") == (1, True)
    for call in calls:
        queue.execute(call.encode())
    assert len(_rows(queue, "SELECT FROM pgmq.q_q")) == 1
    queue.execute("RESET ROLE")


def test_an_old_message_does_not_take_its_key_again(queue: psycopg.Connection) -> None:
    _once(queue, "a")
    queue.execute(LATER)
    queue.execute("SELECT pgmq._recall_q('{a}'), pgmq._remember_q('{1}')")
    assert _once(queue, "a") == (2, True)


def test_row_level_security_of_the_queue_holds(queue: psycopg.Connection, role: str) -> None:
    queue.execute(f"GRANT SELECT, INSERT ON pgmq.q_q TO {role}".encode())
    queue.execute("ALTER TABLE pgmq.q_q ENABLE ROW LEVEL SECURITY")
    queue.execute("CREATE POLICY p ON pgmq.q_q USING (true) WITH CHECK (message = '\"mine\"')")
    queue.execute(f"SET ROLE {role}".encode())
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        _once(queue, "other")
    assert _once(queue, "mine")[1]
    queue.execute("RESET ROLE")


def test_a_new_owner_of_the_queue_owns_its_keys(queue: psycopg.Connection, role: str) -> None:
    _once(queue, "a")
    for table in ("q_q", "a_q"):
        queue.execute(f"ALTER TABLE pgmq.{table} OWNER TO {role}".encode())
    queue.execute("SELECT pgmq.recompile_all()")
    queue.execute(f"SET ROLE {role}".encode())
    assert _once(queue, "a") == (1, False)
    assert _once(queue, "b") == (2, True)
    queue.execute("RESET ROLE")


def test_what_a_partial_restore_has_left_out_is_made_again(queue: psycopg.Connection) -> None:
    queue.execute("DROP TABLE pgmq.dedup_q")
    queue.execute("SELECT pgmq._drop_compiled(t.name, 'q') FROM pgmq.template AS t")
    assert _once(queue, "a") == (1, True)
    assert _once(queue, "a") == (1, False)


@pytest.mark.parametrize("analysed", [False, True])
def test_a_call_touches_as_many_keys_as_it_has(
    queue: psycopg.Connection, connect: Connect, *, analysed: bool
) -> None:
    queue.execute("ALTER TABLE pgmq.dedup_q SET (autovacuum_enabled = off)")
    queue.execute("ALTER TABLE pgmq.q_q SET (autovacuum_enabled = off)")
    if analysed:
        queue.execute("VACUUM ANALYZE pgmq.dedup_q")
        queue.execute("VACUUM ANALYZE pgmq.q_q")
    known, new = ([f"{word}{n}" for n in range(10)] for word in ("known", "new"))
    calls: list[tuple[str, Callable[[list[str]], object]]] = [
        ("SELECT pgmq.send_once('q', '1', %s)", lambda keys: keys[0]),
        ("SELECT pgmq.send_once('q', array_fill('1'::jsonb, '{10}'), %s)", lambda keys: keys),
    ]
    sessions = [connect(), connect()]
    for session, (call, key) in zip(sessions, calls, strict=True):
        for _ in range(12):  # plans made while both tables are empty
            with session.transaction(force_rollback=True):
                session.execute(call.encode(), (key(new),))
    queue.execute(
        "SELECT count(*) FROM generate_series(1, 5000) AS i, pgmq.send_once('q', '1', 'k' || i)"
    )
    queue.execute(calls[1][0].encode(), (known,))
    for session, (call, key) in zip([*sessions, *sessions[::-1]], [*calls, *calls], strict=True):
        for table in ("pgmq.dedup_q", "pgmq.q_q"):
            for keys, per_key in ((known, 4), (new, 16)):
                most = per_key * (10 if key(keys) == keys else 1)
                assert touched(session, table, call, key(keys)) <= most
