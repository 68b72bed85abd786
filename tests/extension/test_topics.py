"""Topics as pgmq 1.13 has them; what they do is compared with upstream in tests/compat."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import psycopg
import pytest

from support.plans import touched

if TYPE_CHECKING:
    from conftest import Connect

SENDING = ("pgmq.topic_bindings", "SELECT pgmq.send_topic('a.b.c', '1')")
FILL = """
    INSERT INTO pgmq.topic_bindings (pattern, queue_name)
    SELECT replace(%s, '$', i::text), 'r' FROM generate_series(1, 2000) AS i
"""


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("validate_routing_key('')", "routing_key cannot be NULL or empty"),
        ("validate_routing_key('.a')", "routing_key cannot start with a dot. Got: .a"),
        ("validate_routing_key('a.')", "routing_key cannot end with a dot. Got: a."),
        ("validate_routing_key('a..b')", "routing_key cannot contain consecutive dots. Got: a..b"),
        (
            "validate_routing_key(repeat('a', 256))",
            "routing_key length cannot exceed 255 characters, got 256 characters",
        ),
        (
            "validate_topic_pattern('ä')",
            "pattern contains invalid characters.",
        ),
        (
            "validate_topic_pattern('**')",
            "pattern cannot contain consecutive stars (**).",
        ),
        (
            "validate_topic_pattern('*#')",
            "pattern cannot contain adjacent wildcards (*# or #*).",
        ),
        ("bind_topic('a', '')", "queue_name cannot be NULL or empty"),
        ("unbind_topic(null, 'q')", "pattern cannot be NULL or empty"),
    ],
)
def test_what_is_no_topic_is_refused_in_upstreams_words(
    db: psycopg.Connection, call: str, said: str
) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match=f"^{re.escape(said)}"):
        db.execute(f"SELECT pgmq.{call}".encode())


@pytest.mark.parametrize("pattern", ["a.b.x$", "x$.#", "#.x$", "*.*.x$", "*x$", "a.b.c$", "$a.b.c"])
def test_sending_looks_at_no_binding_that_begins_or_ends_otherwise(
    db: psycopg.Connection, connect: Connect, pattern: str
) -> None:
    db.execute("ALTER TABLE pgmq.topic_bindings SET (autovacuum_enabled = off)")
    db.execute("SELECT pgmq.create('q'), pgmq.create('r')")
    for matching in ("a.b.c", "a.#", "*.b.*", "#.c"):
        db.execute("SELECT pgmq.bind_topic(%s, 'q')", (matching,))
    db.execute("VACUUM ANALYZE pgmq.topic_bindings")
    session = connect()
    few = touched(session, *SENDING)  # and the plan, made while the table was small
    db.execute(FILL, (pattern,))
    for sender in (session, connect()):
        assert touched(sender, *SENDING) <= few + 10
