"""Redriving dead letters, and moving a message: what arrives where, and what stays."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from support.plans import touched
from support.prepared import prepared
from support.sweeps import let_look

if TYPE_CHECKING:
    from conftest import Connect

ODD = '%I "x" \\'
LONG = "l" * 47


def _rows(session: psycopg.Connection, query: str, *arguments: Any) -> list[Any]:
    return session.execute(query.encode(), arguments).fetchall()


def _redrive(session: psycopg.Connection, queue: str | None = None, qty: int | None = None) -> int:
    (row,) = _rows(session, "SELECT pgmq.redrive('dead', %s, %s)", queue, qty)
    return int(row[0])


def _messages(session: psycopg.Connection, queue: str) -> list[Any]:
    return [row[0] for row in _rows(session, "SELECT message FROM pgmq.peek(%s, NULL)", queue)]


def _bury(session: psycopg.Connection, *letters: tuple[Any, Any], queue: str = "dead") -> None:
    """Put dead letters into a queue: the message, and what the header says of its origin."""
    for message, origin in letters:
        session.execute(
            "SELECT pgmq.send(%s, %s::jsonb, %s::jsonb)",
            (queue, json.dumps(message), json.dumps({"x-pgmq-dead-letter": {"queue": origin}})),
        )


@pytest.fixture
def warnings(db: psycopg.Connection) -> list[tuple[str | None, str | None]]:
    said: list[tuple[str | None, str | None]] = []
    db.add_notice_handler(lambda notice: said.append((notice.severity, notice.message_primary)))
    return said


CREATE = "".join(f"SELECT pgmq.create('{name}');" for name in ("q", "Mixed", ODD, LONG, "dead"))
template = prepared(CREATE, by="queues")


@pytest.fixture
def queues(db: psycopg.Connection) -> psycopg.Connection:
    return db


def test_a_dead_letter_goes_back_as_if_it_were_new(queues: psycopg.Connection) -> None:
    queues.execute("SELECT pgmq.set_policy('q', max_receives => 1, dead_letter_queue => 'dead')")
    queues.execute("SELECT pgmq.send('q', '1', '{\"trace\": 7}'::jsonb), pgmq.send('q', '2')")
    queues.execute("SELECT pgmq.nack('q', msg_id, 1, 0, 'oops') FROM pgmq.read('q', 60, 2)")
    assert _rows(queues, "SELECT * FROM pgmq.read('q', 60, 2)") == []
    assert _rows(queues, "SELECT headers ? 'x-pgmq-error' FROM pgmq.q_dead") == [(True,)] * 2
    assert _redrive(queues) == 2
    assert _rows(queues, "TABLE pgmq.q_dead") == []
    assert _rows(
        queues,
        "SELECT msg_id, read_ct, last_read_at, message, headers, enqueued_at = vt,"
        " enqueued_at > now() - interval '1 minute' FROM pgmq.q_q ORDER BY msg_id",
    ) == [(3, 0, None, 1, {"trace": 7}, True, True), (4, 0, None, 2, None, True, True)]
    assert _rows(queues, "SELECT msg_id, read_ct FROM pgmq.read('q', 60, 2)") == [(3, 1), (4, 1)]


def test_letters_go_back_to_their_own_queues_oldest_first(
    queues: psycopg.Connection, warnings: list[Any]
) -> None:
    origins = ["q", "MIXED", ODD, LONG, "mixed"]
    # More than a step takes, and of each queue some in every step.
    queues.execute(
        """
        INSERT INTO pgmq.q_dead (enqueued_at, vt, message, headers)
        SELECT now(), now(), to_jsonb(i), jsonb_build_object(
            'x-pgmq-dead-letter', jsonb_build_object('queue', (%s::text[])[i %% 5 + 1]))
        FROM generate_series(0, 2499) AS i
        """,
        (origins,),
    )
    # Some were returned, last the first ones.
    queues.execute(
        "UPDATE pgmq.q_dead SET read_ct = 1, enqueued_at = now() - interval '1 day',"
        " vt = now() - msg_id * interval '1 s' WHERE msg_id % 7 = 0"
    )
    assert _redrive(queues, qty=1000) == 1000
    assert _rows(queues, "SELECT min(message::int), count(*) FROM pgmq.q_dead") == [(1000, 1500)]
    assert _redrive(queues) == 1500
    for place, name in enumerate(["q", None, ODD, LONG]):
        if name:
            assert _messages(queues, name) == list(range(place, 2500, 5))
    assert _messages(queues, "mixed") == [i for i in range(2500) if i % 5 in (1, 4)]
    assert warnings == []


def test_letters_whose_queue_is_unknown_stay_with_a_warning_and_are_not_counted(
    queues: psycopg.Connection, warnings: list[Any]
) -> None:
    queues.execute("SELECT pgmq.send('dead', '0'), pgmq.send('dead', '0', '[3]'::jsonb)")
    odd = ["gone", "dead", "DEAD", "", "$;--'", "pgmq.q_q", "x" * 300, {"q": 1}, None, 5, "\\"]
    _bury(queues, *((0, origin) for origin in odd), (1, "q"), (0, "gone"), (2, "q"), (3, "q"))
    assert _redrive(queues, qty=2) == 2
    assert _messages(queues, "q") == [1, 2]
    assert len(warnings) == 1
    severity, text = warnings[0]
    assert severity == "WARNING"
    assert text is not None
    assert text.startswith('14 messages stay in queue "dead"')
    assert "gone" in text
    assert "not known" in text
    warnings.clear()
    assert _redrive(queues, "q") == 15
    assert warnings == []
    assert _messages(queues, "dead") == []


def test_what_is_leased_or_delayed_stays(queues: psycopg.Connection, warnings: list[Any]) -> None:
    _bury(queues, *((i, "q") for i in range(1, 6)))
    queues.execute("SELECT pgmq.read('dead', 600, 1)")
    queues.execute("SELECT pgmq.set_vt('dead', 3, 600)")
    queues.execute("SELECT pgmq.set_vt('dead', 4, 0)")
    assert _redrive(queues) == 3
    assert _messages(queues, "q") == [2, 4, 5]
    assert _rows(queues, "SELECT msg_id FROM pgmq.q_dead ORDER BY 1") == [(1,), (3,)]
    assert _redrive(queues) == 0
    assert warnings == []


def test_headers_of_any_kind_survive(queues: psycopg.Connection) -> None:
    for headers in ("1", "null", '["x-pgmq-error"]', '"x-pgmq-error"', '{"a": 1}', "{}"):
        queues.execute("SELECT pgmq.send('dead', '0', %s::jsonb)", (headers,))
    queues.execute("SELECT pgmq.send('dead', '0')")
    assert _redrive(queues, "q") == 7
    assert _rows(queues, "SELECT headers::text FROM pgmq.q_q ORDER BY msg_id") == [
        ("1",), ("null",), ('["x-pgmq-error"]',), ('"x-pgmq-error"',), ('{"a": 1}',), (None,),
        (None,),
    ]  # fmt: skip


def test_redriving_is_announced_like_sending(queues: psycopg.Connection, connect: Connect) -> None:
    queues.execute("SELECT pgmq.enable_notify_insert('q', 0)")
    listener = connect()
    listener.execute('LISTEN "pgmq.q_q.INSERT"')
    _bury(queues, (1, "q"), (2, "q"))
    assert _redrive(queues) == 2
    listener.execute("SELECT 1")
    assert [note.channel for note in listener.notifies(timeout=0)] == ["pgmq.q_q.INSERT"]


def test_a_step_costs_the_same_whatever_was_redriven_before_or_lies_behind(
    queues: psycopg.Connection, connect: Connect
) -> None:
    queues.execute("ALTER TABLE pgmq.q_dead SET (autovacuum_enabled = off)")
    queues.execute(
        "INSERT INTO pgmq.q_dead (enqueued_at, vt, message, headers)"
        """ SELECT now(), now(), '1', '{"x-pgmq-dead-letter": {"queue": "q"}}'"""
        " FROM generate_series(1, 20000)"
    )
    # Nothing that is consumed now can be vacuumed, nor its index entries be killed.
    snapshot = connect(autocommit=False)
    snapshot.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    snapshot.execute("SELECT 1")
    queues.execute("SELECT pgmq.read('dead', 600, 2000)")
    call = ("pgmq.q_dead", "SELECT pgmq.redrive('dead', NULL, 10)")
    # Moving a mark passes what was leased or redriven since it was moved last, once.
    assert touched(queues, *call) <= 2200
    for _ in range(8):
        assert _redrive(queues, qty=1000) == 1000
        let_look(queues, "dead")
    assert touched(queues, *call) <= 1200


def test_moving_keeps_payload_headers_and_a_delay_but_not_the_receipts(
    queues: psycopg.Connection,
) -> None:
    queues.execute(
        "SELECT pgmq.send('q', '1', '{\"x-pgmq-error\": \"e\"}'::jsonb), pgmq.send('q', '2', 900),"
        " pgmq.send('q', '3'), pgmq.send('q', '4')"
    )
    queues.execute("SELECT pgmq.read('q', 900, 1), pgmq.set_vt('q', 4, 900)")
    (due,) = _rows(queues, "SELECT vt FROM pgmq.q_q WHERE msg_id = 2")
    moved = [_rows(queues, "SELECT pgmq.move('Q', %s, 'MIXED')", n)[0][0] for n in (4, 3, 2, 1, 1)]
    assert moved == [1, 2, 3, 4, None]
    assert _rows(queues, "TABLE pgmq.q_q") == []
    assert _rows(
        queues,
        "SELECT msg_id, read_ct, last_read_at, message, headers, vt > now()"
        " FROM pgmq.q_mixed ORDER BY 1",
    ) == [
        (1, 0, None, 4, None, True),
        (2, 0, None, 3, None, False),
        (3, 0, None, 2, None, True),
        (4, 0, None, 1, {"x-pgmq-error": "e"}, False),
    ]
    assert _rows(queues, "SELECT vt FROM pgmq.q_mixed WHERE msg_id = 3") == [due]
    assert _messages(queues, "mixed") == [3, 1]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("redrive('none')", psycopg.errors.UndefinedTable),
        ("redrive('dead', 'none')", psycopg.errors.UndefinedTable),
        ("redrive('none', 'q')", psycopg.errors.UndefinedTable),
        ("redrive(NULL)", psycopg.errors.NullValueNotAllowed),
        ("redrive(NULL, 'q')", psycopg.errors.NullValueNotAllowed),
        ("redrive('dead', 'DEAD')", psycopg.errors.InvalidParameterValue),
        ("redrive('dead', qty => -1)", psycopg.errors.InvalidRowCountInLimitClause),
        ("move('none', 1, 'q')", psycopg.errors.UndefinedTable),
        ("move('q', 1, 'none')", psycopg.errors.UndefinedTable),
        ("move(NULL, 1, 'q')", psycopg.errors.NullValueNotAllowed),
        ("move('q', 1, NULL)", psycopg.errors.NullValueNotAllowed),
        ("move('q', 1, 'Q')", psycopg.errors.InvalidParameterValue),
    ],
)
def test_errors_name_the_argument_and_give_a_hint(
    queues: psycopg.Connection, call: str, error: type[psycopg.Error]
) -> None:
    with pytest.raises(error) as raised:
        queues.execute(f"SELECT pgmq.{call}".encode())
    assert raised.value.diag.message_hint
    if error is psycopg.errors.InvalidParameterValue:
        assert raised.match("messages of queue .* cannot be moved to itself")


def test_nothing_is_asked_for_where_there_is_nothing_to_do(queues: psycopg.Connection) -> None:
    assert _redrive(queues) == 0
    _bury(queues, (1, "q"))
    assert _redrive(queues, qty=0) == 0
    assert _rows(queues, "SELECT pgmq.move('dead', NULL, 'q')") == [(None,)]


def test_redriving_needs_rights_on_the_two_queues_only(queues: psycopg.Connection) -> None:
    _bury(queues, (1, "q"), (2, "mixed"))
    with queues.transaction(force_rollback=True):
        queues.execute("CREATE ROLE pgmq_test_operator")
        queues.execute("GRANT USAGE ON SCHEMA pgmq TO pgmq_test_operator")
        queues.execute("GRANT SELECT, UPDATE, DELETE ON pgmq.q_dead TO pgmq_test_operator")
        queues.execute("GRANT INSERT, SELECT (msg_id) ON pgmq.q_q TO pgmq_test_operator")
        queues.execute("SET LOCAL ROLE pgmq_test_operator")
        assert _redrive(queues, qty=1) == 1
        with pytest.raises(psycopg.errors.InsufficientPrivilege), queues.transaction():
            _redrive(queues)


def test_only_what_contains_the_condition_goes_back(
    queues: psycopg.Connection, warnings: list[Any]
) -> None:
    letters = [({"kind": n % 3, "n": n}, "q" if n < 2500 else "gone") for n in range(2600)]
    with queues.transaction():
        _bury(queues, *letters)
    call = "SELECT pgmq.redrive('dead', qty => %s, conditional => '{\"kind\": 1}')"
    assert _rows(queues, call, 3) == [(3,)]
    assert [message["n"] for message in _messages(queues, "q")] == [1, 4, 7]
    assert warnings == []
    assert _rows(queues, call, None) == [(830,)]
    assert {message["kind"] for message in _messages(queues, "q")} == {1}
    ((_, warning),) = warnings
    assert str(warning).startswith('34 messages stay in queue "dead"')
    assert len(_messages(queues, "dead")) == 2600 - 833
    nothing = "SELECT pgmq.redrive('dead', 'q', conditional => '{\"kind\": 7}')"
    assert _rows(queues, nothing) == [(0,)]


def test_a_rate_spreads_what_goes_back_over_time(queues: psycopg.Connection) -> None:
    with queues.transaction():
        _bury(queues, *((n, "q" if n % 2 else "Mixed") for n in range(1500)))
    queues.execute("BEGIN")
    queues.execute("SELECT pgmq.redrive('dead', rate => 0.1)")
    for name in ("q", "mixed"):
        rows = _rows(
            queues,
            "SELECT message::integer, vt <= enqueued_at, extract(epoch FROM vt - now())::float8"
            f" FROM pgmq.q_{name} ORDER BY vt",
        )
        sent = [message for message, _, _ in rows]
        assert sent == list(range(name == "q", 1500, 2))
        # One is ready at once; of the others, each has ten seconds of its own.
        assert [is_ready for _, is_ready, _ in rows] == [True] + [False] * 749
        assert {round(b[2] - a[2], 1) for a, b in itertools.pairwise(rows[1:])} == {10.0}
        assert 7490 <= rows[-1][2] < 7500
    queues.execute("COMMIT")
    assert (_messages(queues, "q"), _messages(queues, "Mixed")) == ([1], [0])
    queues.execute("SELECT pgmq.purge_queue('dead')")
    _bury(queues, *((n, LONG) for n in range(3)))
    assert _rows(queues, "SELECT pgmq.redrive('dead', rate => 0.5)") == [(3,)]
    assert _messages(queues, LONG) == [0]


@pytest.mark.parametrize("rate", ["0", "-1", "'NaN'", "'infinity'"])
def test_a_rate_must_be_above_zero(queues: psycopg.Connection, rate: str) -> None:
    for call in (f"redrive('dead', rate => {rate})", f"requeue('q', ARRAY[1], rate => {rate})"):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="rate must be above 0"):
            queues.execute(f"SELECT pgmq.{call}".encode())


def test_a_stream_takes_dead_letters_without_a_rate_only(queues: psycopg.Connection) -> None:
    queues.execute("SELECT pgmq.create_stream('s')")
    _bury(queues, (1, "s"))
    with pytest.raises(psycopg.errors.FeatureNotSupported, match='stream "s" has no delays'):
        queues.execute("SELECT pgmq.redrive('dead', 's', rate => 5)")
    assert _redrive(queues, "s") == 1
