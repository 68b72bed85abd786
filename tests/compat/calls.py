"""The calls that must do the same on both sides: titled scripts.

Most are in sql/: a paragraph is a script, its first line the title, and a semicolon at the end of a
line ends a statement. A script starts on an empty database, and after its last step the whole
contents of all queues are compared as well, so most need no SELECT of their own. Where the sides
are meant to differ, the call belongs into differences.py instead.
"""

from __future__ import annotations

from pathlib import Path

Script = list[str]

Q = "SELECT pgmq.create('q')"
SIX = "SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}')"
REFUSED_NAMES = ["a$b", "$", "a;b", "a--b", "a -- b", "a'b", "$" + 48 * "x"]
ACCEPTED_NAMES = [
    *["", " ", "a b", 'a"b', '"', "a-b", "-", "a.b", "pgmq.q_a", "a%b", "%s", "%I", "a\\b", "a/b"],
    *["a{b}", "select", "1a", "q_q", "new\nline", "tab\t", "MiXed", "ü", "ÄÖ", "日本", 47 * "x"],
]
# One message of each kind of JSON, and one that is SQL NULL.
KINDS = """
    SELECT pgmq.send_batch('q', ARRAY['{"a":1}', '{"a":{"b":[1,2]}}', '[1,2,3]', '5', 'null',
        '"s"', '{}', '{"a":1,"b":2}', NULL]::jsonb[])
"""
CONDITIONS = [
    *["{}", " { } ", "null", "[]", "[3,1]", "5", "1", '"s"', '{"a":1}', '{"a":{}}'],
    *['{"a":{"b":[2]}}', '{"b":2, "a":1}', '{"it\'s":1}'],
]

KEYS = [
    *["a", "a.b", "a.b.c", "ab", "a-b", "-", "_", "A.9", "a.b.c.d.e", "a.a.b", "b.a", 255 * "a"],
    *[".", "..", ".a.", ".a b", "a b.", "a..", "..a", "a...b", " ", "a*", "#", "a$", "ä", "a\n"],
    *[256 * "a", "." + 255 * "a", 200 * "ä", 256 * "ä", 128 * "a ", "", None],
]
PATTERNS = [
    *["*", "#", "*.*", "#.*", "*.#", "a.*", "a.#", "#.b", "*.b", "a.#.b", "a.*.c", "a*", "a#b"],
    *["a*.#b", "a.b", "#a", "*-*", "a**", "##", "*#", "#*", "a..#", ".**", "**.", "**##", "*#**"],
    *["#*##", "***", "a.*#.b", ".*#", "##..", "*#.", "#.#", "*.*.*.#"],
]


def literal(text: str | None) -> str:
    """Quote a string for SQL."""
    return "NULL" if text is None else "'" + text.replace("'", "''") + "'"


def read(name: str) -> dict[str, Script]:
    """Read the scripts of a file."""
    text = (Path(__file__).parent / "sql" / f"{name}.sql").read_text("utf-8")
    paragraphs = (paragraph.partition("\n") for paragraph in text.rstrip(";\n").split("\n\n"))
    return {
        title.removeprefix("-- "): body.rstrip(";").split(";\n") for title, _, body in paragraphs
    }


def life_of(name: str) -> Script:
    """Do everything that can be done to a queue of this name."""
    q = literal(name)
    return [
        f"SELECT pgmq.create({q})",
        f"SELECT pgmq.send({q}, '1')",
        f"SELECT pgmq.send_batch({q}, '{{2,3,4,5}}')",
        f"SELECT pgmq.create_fifo_index({q})",
        f"SELECT * FROM pgmq.read_grouped({q}, 0, 1)",
        f"SELECT * FROM pgmq.read_grouped_rr({q}, 0, 1)",
        f"SELECT * FROM pgmq.read_grouped_head({q}, 0, 1)",
        f"SELECT * FROM pgmq.read({q}, 100, 1)",
        f"SELECT * FROM pgmq.read_with_poll({q}, 100, 1)",
        f"SELECT * FROM pgmq.set_vt({q}, 1, 200)",
        f"SELECT * FROM pgmq.set_vt({q}, '{{1,2}}'::bigint[], 300)",
        f"SELECT * FROM pgmq.pop({q})",
        f"SELECT pgmq.delete({q}, 1)",
        f"SELECT pgmq.delete({q}, '{{1,4}}'::bigint[])",
        f"SELECT pgmq.archive({q}, 2)",
        f"SELECT pgmq.archive({q}, '{{5}}'::bigint[])",
        f"SELECT * FROM pgmq.metrics({q})",
        "SELECT * FROM pgmq.metrics_all()",
        f"SELECT pgmq.create({q})",
        f"SELECT pgmq.purge_queue({q})",
        f"SELECT pgmq.send({q}, '6')",
        "SELECT * FROM pgmq.list_queues()",
        f"SELECT pgmq.format_table_name({q}, 'q')",
        f"SELECT pgmq.drop_queue({q})",
        f"SELECT pgmq.drop_queue({q})",
    ]


def refusals_of(name: str) -> Script:
    """Call every function with this name, none of which works."""
    q = literal(name)
    return [
        f"SELECT pgmq.{call}"
        for call in [
            f"create({q})",
            f"create_unlogged({q})",
            f"create_non_partitioned({q})",
            f"drop_queue({q})",
            f"drop_queue({q}, true)",
            f"send({q}, '1')",
            f"send_batch({q}, '{{1}}')",
            f"read({q}, 0, 1)",
            f"read_with_poll({q}, 0, 1)",
            f"read_grouped({q}, 0, 1)",
            f"read_grouped_with_poll({q}, 0, 1)",
            f"read_grouped_rr({q}, 0, 1)",
            f"read_grouped_rr_with_poll({q}, 0, 1)",
            f"read_grouped_head({q}, 0, 1)",
            f"read_grouped_head_with_poll({q}, 0, 1)",
            f"create_fifo_index({q})",
            f"pop({q})",
            f"delete({q}, 1)",
            f"delete({q}, '{{1}}'::bigint[])",
            f"archive({q}, 1)",
            f"archive({q}, '{{1}}'::bigint[])",
            f"set_vt({q}, 1, 0)",
            f"set_vt({q}, 1, now())",
            f"set_vt({q}, '{{1}}'::bigint[], 0)",
            f"purge_queue({q})",
            f"metrics({q})",
            f"detach_archive({q})",
            f"validate_queue_name({q})",
            f"format_table_name({q}, 'q')",
        ]
    ]


def condition(wanted: str | None) -> Script:
    """Read messages of every kind that fulfil a condition."""
    return [
        Q,
        KINDS,
        f"SELECT * FROM pgmq.read('q', 0, 100, {literal(wanted)})",
        f"SELECT * FROM pgmq.read('q', 100, 2, conditional => {literal(wanted)})",
        f"SELECT * FROM pgmq.read('q', 100, NULL, {literal(wanted)})",
    ]


def topics_of(name: str) -> Script:
    """Do everything that can be done with topics to a new queue of this name."""
    q = literal(name)
    return [
        f"SELECT pgmq.create({q})",
        f"SELECT pgmq.bind_topic('a.*', {q})",
        f"SELECT pgmq.bind_topic('#.b', {q})",
        f"SELECT pgmq.bind_topic('a..b', {q})",
        "SELECT pattern, compiled_regex FROM pgmq.list_topic_bindings()",
        "SELECT * FROM pgmq.test_routing('a.b')",
        "SELECT * FROM pgmq.test_routing('axb')",
        "SELECT pgmq.send_topic('a.b', '1')",
        "SELECT * FROM pgmq.send_batch_topic('a.b', '{1,2}', 100)",
        f"SELECT pgmq.unbind_topic('a.*', {q})",
        f"SELECT pgmq.drop_queue({q})",
    ]


def pattern(text: str | None) -> Script:
    """Bind a queue with a pattern and see which keys it matches."""
    return [
        Q,
        f"SELECT pgmq.validate_topic_pattern({literal(text)})",
        f"SELECT pgmq.validate_routing_key({literal(text)})",
        f"SELECT pgmq.bind_topic({literal(text)}, 'q')",
        *(f"SELECT * FROM pgmq.test_routing({literal(key)})" for key in KEYS[:12]),
    ]


GROUPS: dict[str, dict[str, Script]] = {
    "names": {
        **{f"the name {name!r} works": life_of(name) for name in ACCEPTED_NAMES},
        **{f"the name {name!r} is refused": refusals_of(name) for name in REFUSED_NAMES},
        **read("names"),
    },
    "queues": read("queues"),
    "send": read("send"),
    "read": {
        **{
            f"the condition {wanted} is the same": condition(wanted)
            for wanted in [None, *CONDITIONS]
        },
        **read("read"),
    },
    "fifo": read("fifo"),
    "acknowledge": read("acknowledge"),
    "metrics": read("metrics"),
    "topics": {
        **{f"the pattern {text!r} is the same": pattern(text) for text in [*PATTERNS, *KEYS]},
        **read("topics"),
    },
    "notify": read("notify"),
    "helpers": read("helpers"),
    "tables": {
        "no setting of the caller matters": [
            "SET search_path = ''",
            "SET DateStyle = 'SQL, DMY'",
            "SET IntervalStyle = 'iso_8601'",
            "SET TimeZone = 'America/St_Johns'",
            "SET standard_conforming_strings = off",
            "SET plpgsql.variable_conflict = 'use_column'",
            *life_of("q"),
            *topics_of("q"),
            "CREATE TEMPORARY TABLE meta (x integer)",
            "CREATE TEMPORARY TABLE q_q (x integer)",
            "SET search_path = pg_temp, pgmq, public",
            *life_of("q"),
            *topics_of("q"),
            "DROP TABLE pg_temp.meta, pg_temp.q_q",
        ],
        **read("tables"),
    },
    # The role `compat` exists and has no rights.
    "privileges": read("privileges"),
}
