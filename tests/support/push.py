"""Push delivery, as a producer and a consumer see it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg


def open_channel(
    session: psycopg.Connection, slots: int = 1, vt: int = 600, queue: str = "q"
) -> str:
    row = session.execute("SELECT pgmq.open_channel(%s, %s, %s)", (queue, slots, vt)).fetchone()
    assert row is not None
    return str(row[0])


def send(session: psycopg.Connection, *messages: int, queue: str = "q") -> None:
    for message in messages:
        session.execute("SELECT pgmq.send(%s, %s::text::jsonb)", (queue, message))


def payloads(session: psycopg.Connection) -> list[dict[str, Any]]:
    """Return what was pushed to a session: what is committed comes with the next answer."""
    session.execute("SELECT 1")
    return [json.loads(note.payload) for note in session.notifies(timeout=0)]


def pushed(*sessions: psycopg.Connection) -> list[Any]:
    """Return the messages that were pushed to sessions."""
    return [payload["message"] for session in sessions for payload in payloads(session)]
