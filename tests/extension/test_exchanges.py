"""Exchanges: which bindings a routing key matches, what arrives where, and what it costs."""

from __future__ import annotations

import json
import random
import re
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from support.plans import touched
from support.prepared import prepared

if TYPE_CHECKING:
    from conftest import Connect


def _matches(pattern: str, key: str) -> bool:
    """Say by AMQP's words whether a topic pattern matches: independent of how SQL does it."""

    def match(wanted: list[str], words: list[str]) -> bool:
        if not wanted:
            return not words
        if wanted[0] == "#":
            return any(match(wanted[1:], words[n:]) for n in range(len(words) + 1))
        return bool(words) and wanted[0] in ("*", words[0]) and match(wanted[1:], words[1:])

    return match(_words(pattern), _words(key))


def _words(text: str) -> list[str]:
    return text.split(".") if text else []


def _route(db: psycopg.Connection, key: str, exchange: str = "e") -> list[str]:
    """Return the queues that get a message with this key."""
    row = db.execute("SELECT queues FROM pgmq._route(%s, %s)", (exchange, key)).fetchone()
    assert row is not None
    return row[0] or []


def _bind(db: psycopg.Connection, pattern: str | None, kind: str = "topic") -> None:
    db.execute("SELECT pgmq.bind('e', 'q', %s, %s)", (pattern, kind))


def _publish(db: psycopg.Connection, key: str, message: str = "1") -> int:
    row = db.execute("SELECT pgmq.publish('e', %s, %s)", (key, message)).fetchone()
    assert row is not None
    return int(row[0])


template = prepared(
    "SELECT pgmq.create('q'), pgmq.create('r'), pgmq.create_exchange('e')", by="exchange"
)


@pytest.fixture
def exchange(db: psycopg.Connection) -> psycopg.Connection:
    return db


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("a.#.b", ["a.b", "a.x.b", "a.x.y.b", "a.b.b"], ["a", "b", "a.b.x", "x.a.b", "ab"]),
        ("a.*.b", ["a.x.b", "a..b", "a.*.b"], ["a.b", "a.x.y.b"]),
        ("#", ["", "a", "a.b", ".", "..", "#"], []),
        ("*", ["a", "*", "a b", "ü"], ["", "a.b", "."]),
        ("", [""], ["a", "."]),
        ("a.#", ["a", "a.b", "a.", "a.b.c"], ["", "ab", "b.a"]),
        ("#.a", ["a", "b.a", ".a"], ["", "ba", "a.b"]),
        ("#.*", ["a", "a.b", "."], [""]),
        ("#.#.a", ["a", "b.a", "b.c.a"], ["", "a.b"]),
        ("a..b", ["a..b"], ["a.b", "a.x.b"]),
        (".", ["."], ["", ".."]),
        ("a-b", ["a-b"], ["a", "a.b"]),
    ],
)
def test_a_topic_matches_as_amqp_says(
    exchange: psycopg.Connection, pattern: str, matching: list[str], others: list[str]
) -> None:
    _bind(exchange, pattern)
    assert [key for key in matching if not _route(exchange, key)] == []
    assert [key for key in others if _route(exchange, key)] == []


@pytest.mark.parametrize("seed", range(4))
def test_random_patterns_match_what_an_independent_matcher_says(
    exchange: psycopg.Connection, seed: int
) -> None:
    chance = random.Random(seed)
    # Words that sort around the separators, one the beginning of another, and empty ones.
    words = ["a", "b", "a-b", "a/", "ab", "", "!", "ü"]

    def text(choices: list[str]) -> str:
        return ".".join(chance.choices(choices, k=chance.randint(0, 5)))

    patterns = sorted({text([*words, *"***####"]) for _ in range(150)})
    with exchange.cursor() as cursor:
        names = {pattern: f"q{number:03}" for number, pattern in enumerate(patterns)}
        cursor.executemany(
            "INSERT INTO pgmq.meta (queue_name, is_partitioned, is_unlogged)"
            " VALUES (%s, false, false)",
            [(name,) for name in names.values()],
        )
        cursor.executemany(
            "SELECT pgmq.bind('e', %s, %s)", [(name, pattern) for pattern, name in names.items()]
        )
    keys = [text([*words, "*", "#"]) for _ in range(150)]
    found = {key: _route(exchange, key) for key in keys}
    wanted = {
        key: sorted(name for pattern, name in names.items() if _matches(pattern, key))
        for key in keys
    }
    assert sum(map(len, wanted.values())) > 500
    assert found == wanted


def test_direct_fanout_and_regex_bindings_match_as_they_say(exchange: psycopg.Connection) -> None:
    for pattern, kind, matching, others in (
        ("a.*", "direct", ["a.*"], ["a.b", "a", ""]),
        ("", "direct", [""], ["a"]),
        ("a.*", "regex", ["a", "xa", "a.b"], ["b", ""]),
        ("^.{2}$", "regex", ["ab", "üü"], ["abc"]),
        (None, "fanout", ["", "a", "a.b"], []),
        ("", "fanout", ["", "a", "a.b"], []),
    ):
        _bind(exchange, pattern, kind)
        assert [key for key in matching if _route(exchange, key) != ["q"]] == []
        assert [key for key in others if _route(exchange, key)] == []
        assert exchange.execute(
            "SELECT pgmq.unbind('e', 'q', %s, %s), pgmq.unbind('e', 'q', %s, %s)",
            (pattern, kind) * 2,
        ).fetchone() == (True, False)


def test_a_queue_bound_several_times_gets_one_copy(exchange: psycopg.Connection) -> None:
    for pattern, kind in (("a.#", "topic"), ("#", "topic"), ("a", "regex"), ("a.b", "direct")):
        _bind(exchange, pattern, kind)
        _bind(exchange, pattern, kind)
    exchange.execute("SELECT pgmq.bind('e', 'r', '', 'fanout')")
    assert exchange.execute("SELECT count(*) FROM pgmq.list_bindings('e')").fetchone() == (5,)
    assert _publish(exchange, "a.b") == 2
    for queue in ("q", "r"):
        assert exchange.execute(f"SELECT message, headers FROM pgmq.q_{queue}").fetchall() == [
            (1, None)
        ]


def test_an_exchange_sees_no_binding_of_another(exchange: psycopg.Connection) -> None:
    # Names that would be told apart by a comparison of beginnings only.
    for name in ("e2", "E", "e\ttopic", "%s"):
        exchange.execute("SELECT pgmq.create_exchange(%s)", (name,))
        exchange.execute("SELECT pgmq.bind(%s, 'q', '#')", (name,))
    assert _publish(exchange, "a") == 0
    assert _route(exchange, "a", "%s") == ["q"]


def test_headers_and_delay_reach_the_queues(exchange: psycopg.Connection) -> None:
    exchange.execute("SELECT pgmq.bind('e', 'Q', '#')")  # names are case-insensitive
    exchange.execute("""SELECT pgmq.publish('e', 'a', '1', '{"h": 1}', 100)""")
    exchange.execute("SELECT pgmq.publish('e', 'a', NULL, delay => -1)")
    assert exchange.execute(
        "SELECT msg_id, message, headers, vt > now() + interval '90 s' FROM pgmq.q_q ORDER BY 1"
    ).fetchall() == [(1, 1, {"h": 1}, True), (2, None, None, False)]


def test_dropping_a_queue_or_an_exchange_removes_its_bindings(
    exchange: psycopg.Connection,
) -> None:
    exchange.execute("SELECT pgmq.create('Mixed'), pgmq.create_exchange('other')")
    for name in ("e", "other"):
        for queue in ("mixed", "r"):
            exchange.execute("SELECT pgmq.bind(%s, %s, '#')", (name, queue))
    exchange.execute("SELECT pgmq.drop_queue('MIXED')")
    bindings = "SELECT exchange_name, queue_name FROM pgmq.list_bindings()"
    assert exchange.execute(bindings).fetchall() == [("e", "r"), ("other", "r")]
    assert exchange.execute("SELECT pgmq.drop_exchange('other')").fetchone() == (True,)
    assert exchange.execute(bindings).fetchall() == [("e", "r")]
    assert exchange.execute("SELECT pgmq.drop_exchange('other')").fetchone() == (False,)
    assert _publish(exchange, "a") == 1


def _announced(session: psycopg.Connection, count: int) -> list[dict[str, Any]]:
    said = [json.loads(n.payload) for n in session.notifies(timeout=10, stop_after=count)]
    assert len(said) == count
    return said


@pytest.fixture
def listener(exchange: psycopg.Connection, connect: Connect) -> psycopg.Connection:
    exchange.execute("SELECT pgmq.bind_channel('e', 'News Channel', '#')")
    session = connect()
    session.execute('LISTEN "News Channel"')
    return session


def test_a_channel_is_told_at_commit_what_is_published(
    exchange: psycopg.Connection, listener: psycopg.Connection
) -> None:
    exchange.execute("SELECT pgmq.bind_channel('e', 'News Channel', 'a', 'direct')")
    _bind(exchange, "#")
    with exchange.transaction():
        # Equal ones too, whatever their delay.
        for _ in range(2):
            sent = exchange.execute("""SELECT pgmq.publish('e', 'a', '[1]', '{"h": 2}', 100)""")
            assert sent.fetchone() == (2,)
        assert list(listener.notifies(timeout=0)) == []
    for payload in _announced(listener, 2):
        assert re.match(r"\d{4}-\d\d-\d\dT", payload.pop("published_at"))
        assert payload == {
            "exchange": "e",
            "routing_key": "a",
            "message": [1],
            "headers": {"h": 2},
        }
    exchange.execute("SELECT pgmq.unbind_channel('e', 'News Channel', '#')")
    assert _publish(exchange, "b") == 1


def test_what_does_not_fit_into_a_notification_is_left_out(
    exchange: psycopg.Connection, listener: psycopg.Connection
) -> None:
    def publish(message: int, headers: int, letter: str = "x") -> str:
        exchange.execute(
            "SELECT pgmq.publish('e', 'a', to_jsonb(repeat(%s, %s)), to_jsonb(repeat('x', %s)))",
            (letter, message, headers),
        )
        (said,) = listener.notifies(timeout=10, stop_after=1)
        return said.payload

    # published_at has its fraction without trailing zeros, so its length varies.
    def varying(payload: str) -> int:
        return len(json.loads(payload)["published_at"])

    empty = publish(0, 0)
    fixed = len(empty) - varying(empty)
    whole = {"exchange", "routing_key", "published_at", "message", "headers"}
    cut = {part: whole - {part} | {f"{part}_omitted"} for part in ("message", "headers")}
    both = cut["message"] & cut["headers"] | {"message_omitted", "headers_omitted"}
    longest = 7999 - fixed
    assert set(json.loads(publish(longest - 32, 0))) == whole
    assert set(json.loads(publish(longest - 18, 0))) == cut["message"]
    assert set(json.loads(publish((longest - 32) // 2, 0, "ü"))) == whole
    assert set(json.loads(publish((longest - 18) // 2, 0, "ü"))) == cut["message"]
    assert set(json.loads(publish(4000, 4000))) == cut["message"]
    assert set(json.loads(publish(10, 9000))) == cut["headers"]
    omitted = json.loads(publish(9000, 9000))
    assert set(omitted) == both
    assert omitted["message_omitted"] is omitted["headers_omitted"] is True


def test_a_payload_of_exactly_what_notify_takes_is_whole_and_the_next_byte_is_not(
    exchange: psycopg.Connection,
) -> None:
    payload = """
        SELECT octet_length(p), p::jsonb ? 'message'
        FROM pgmq._payload('{"a": 1}', to_jsonb(repeat(%s, %s) || repeat('x', %s)), NULL) AS p
    """
    fixed = exchange.execute(payload, ("x", 0, 0)).fetchone()
    assert fixed is not None
    room = 7999 - fixed[0]
    for letter in ("x", "ü", "日"):
        some, rest = divmod(room, len(letter.encode()))
        assert exchange.execute(payload, (letter, some, rest)).fetchone() == (7999, True)
        found = exchange.execute(payload, (letter, some, rest + 1)).fetchone()
        assert found is not None
        assert found[1] is False
    exchange.execute("SELECT pg_notify('x', repeat('x', 7999))")
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        exchange.execute("SELECT pg_notify('x', repeat('x', 8000))")


def test_the_longest_names_and_keys_fit_into_a_notification(db: psycopg.Connection) -> None:
    # A control character takes six bytes in JSON.
    long = 255 * "\x01"
    db.execute("SELECT pgmq.create_exchange(%s)", (long,))
    db.execute("SELECT pgmq.bind_channel(%s, repeat('c', 63), '#')", (long,))
    message = '"' + 100_000 * "x" + '"'
    found = db.execute("SELECT pgmq.publish(%s, %s, %s, %s)", (long, long, message, message))
    assert found.fetchone() == (1,)


def test_publishing_needs_rights_on_the_queues_only(exchange: psycopg.Connection) -> None:
    _bind(exchange, "#")
    with exchange.transaction(force_rollback=True):
        exchange.execute("CREATE ROLE pgmq_test_publisher")
        exchange.execute("GRANT USAGE ON SCHEMA pgmq TO pgmq_test_publisher")
        exchange.execute("GRANT INSERT, SELECT (msg_id) ON pgmq.q_q TO pgmq_test_publisher")
        exchange.execute("SET LOCAL ROLE pgmq_test_publisher")
        assert _publish(exchange, "a") == 1
        with pytest.raises(psycopg.errors.InsufficientPrivilege), exchange.transaction():
            _bind(exchange, "a")


ROUTING = ("pgmq.binding", "SELECT pgmq._route('e', %s)")
FILL = """
    INSERT INTO pgmq.binding (exchange_name, queue_name, pattern, kind)
    SELECT 'e', 'q', replace(%s, '$', i::text), 'topic' FROM generate_series(1, 2000) AS i
"""


@pytest.mark.parametrize("analysed", ["never", "while small", "when large"])
@pytest.mark.parametrize("pattern", ["a.b.x$", "#.x$", "*.*.x$", "x$.#", "#.#.x$.#", "a.*.x$"])
def test_routing_looks_at_no_binding_that_does_not_match(
    exchange: psycopg.Connection, connect: Connect, pattern: str, analysed: str
) -> None:
    exchange.execute("ALTER TABLE pgmq.binding SET (autovacuum_enabled = off)")
    for found in ("a.b.c", "a.#", "*.b.*"):
        exchange.execute("SELECT pgmq.bind('e', 'r', %s)", (found,))
    if analysed == "while small":
        exchange.execute("VACUUM ANALYZE pgmq.binding")
    session = connect()
    few = touched(session, *ROUTING, "a.b.c")  # and the plan, made while the table was small
    exchange.execute(FILL, (pattern,))
    if analysed == "when large":
        exchange.execute("VACUUM ANALYZE pgmq.binding")
    for reader in (session, connect()):
        assert touched(reader, *ROUTING, "a.b.c") <= few + 40
        assert _route(reader, "a.b.c") == ["r"]


def test_a_long_key_and_many_wildcards_stay_bounded(exchange: psycopg.Connection) -> None:
    exchange.execute(FILL, ("#.x$.#",))
    _bind(exchange, "#.#.#.y")
    key = ".".join("a" * 128)
    assert touched(exchange, *ROUTING, key) <= 10 * 4 * 128
    assert _route(exchange, key) == []


@pytest.mark.parametrize(
    ("pattern", "word"), [("*." * 8 + "*", "*"), ("#." * 8 + "a", "#"), ("*.#.a." * 3 + "*", "*")]
)
def test_a_key_of_words_that_look_like_wildcards_is_walked_once(
    exchange: psycopg.Connection, pattern: str, word: str
) -> None:
    _bind(exchange, "#")
    exchange.execute(
        "INSERT INTO pgmq.binding (exchange_name, queue_name, pattern, kind)"
        " VALUES ('e', 'r', %s, 'topic')",
        (pattern,),
    )
    for words in ([word] * 9, [word, "a"] * 5, [word] * 8 + ["a"]):
        key = ".".join(words)
        assert touched(exchange, *ROUTING, key) <= 2 * 10
        assert _route(exchange, key) == ["q"] + ["r"] * _quickly_matches(pattern, key)


@pytest.mark.parametrize(
    ("pattern", "stored"),
    [
        ("#.#", "#"),
        ("#.*.#", "*.#"),
        ("a.#.*.*.#.*.b.#", "a.*.*.*.#.b.#"),
        ("*.#.*", "*.*.#"),
        ("#.a.#", "#.a.#"),
        (".".join("#" * 127), "#"),
    ],
)
def test_wildcards_in_a_row_are_stored_as_the_shortest_that_means_the_same(
    exchange: psycopg.Connection, pattern: str, stored: str
) -> None:
    for _ in range(2):
        _bind(exchange, pattern)
        assert exchange.execute("SELECT pattern FROM pgmq.list_bindings('e')").fetchall() == [
            (stored,)
        ]
    unbind = "SELECT pgmq.unbind('e', 'q', %s)"
    assert exchange.execute(unbind, (pattern,)).fetchone() == (True,)
    assert exchange.execute(unbind, (stored,)).fetchone() == (False,)


@pytest.mark.parametrize(
    "pattern", ["#.a." * 63 + "a", "#." * 63 + "b." * 63 + "#", "#.*." * 63 + "b"]
)
def test_a_pattern_of_very_many_wildcards_costs_a_publish_little(
    exchange: psycopg.Connection, pattern: str
) -> None:
    _bind(exchange, "#")
    exchange.execute(
        "INSERT INTO pgmq.binding (exchange_name, queue_name, pattern, kind)"
        " VALUES ('e', 'r', %s, 'topic')",
        (pattern,),
    )
    for words in ("a" * 127, "ab" * 63):
        key = ".".join(words)
        assert touched(exchange, *ROUTING, key) <= 4 * 128
        assert _route(exchange, key) == ["q"] + ["r"] * _quickly_matches(pattern, key)


def _quickly_matches(pattern: str, key: str) -> bool:
    """Say as _matches does, with a set of places instead of a search."""
    words = _words(key)
    places = {0}
    for wanted in _words(pattern):
        if wanted == "#":
            places = set(range(min(places), len(words) + 1)) if places else places
        else:
            places = {n + 1 for n in places if n < len(words) and wanted in ("*", words[n])}
    return len(words) in places
