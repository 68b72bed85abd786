"""Schedules: when they fire, what they send, who may have them, and what is wrong with some."""

from __future__ import annotations

import functools
import random
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from support.queries import ids, one
from support.queues import DISTINCT, KINDS, STREAMS, made

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Connect, Roles

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
MINUTE = timedelta(minutes=1)


def _next(db: psycopg.Connection, cron: str, zone: str, after: datetime) -> datetime | None:
    query = "SELECT pgmq._cron_next((pgmq._parse_cron(%s)).fields, %s, %s)"
    found: datetime | None = one(db, query, cron, zone, after)
    return found


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


# 2026-03-04 is a Wednesday.
FIRES = [
    ("* * * * *", "2026-03-04 10:00:00", "2026-03-04 10:01"),
    ("* * * * *", "2026-03-04 10:00:59.999999", "2026-03-04 10:01"),
    ("  0\t*  * * *\n", "2026-03-04 10:00:00", "2026-03-04 11:00"),
    ("*/15 * * * *", "2026-03-04 10:46", "2026-03-04 11:00"),
    ("5-59/20 * * * *", "2026-03-04 10:25", "2026-03-04 10:45"),
    ("0,30 9-11 * * *", "2026-03-04 11:30", "2026-03-05 09:00"),
    ("0 */7 * * *", "2026-03-04 21:00", "2026-03-05 00:00"),
    ("30 9 * * mon-fri", "2026-03-06 09:30", "2026-03-09 09:30"),
    ("30 9 * * MON-Fri", "2026-03-06 09:29", "2026-03-06 09:30"),
    ("0 0 * * 0", "2026-03-04 00:00", "2026-03-08 00:00"),
    ("0 0 * * 7", "2026-03-04 00:00", "2026-03-08 00:00"),
    ("0 0 * * sat-sun", "2026-03-07 00:00", "2026-03-08 00:00"),
    ("0 0 * * 5-7", "2026-03-06 00:00", "2026-03-07 00:00"),
    ("0 0 * * 0-7", "2026-03-06 00:00", "2026-03-07 00:00"),
    ("0 0 1 jan,JUL *", "2026-03-04 00:00", "2026-07-01 00:00"),
    ("0 0 1 feb-apr/2 *", "2026-03-04 00:00", "2026-04-01 00:00"),
    ("0 0 31 * *", "2026-03-31 00:00", "2026-05-31 00:00"),
    ("0 0 29 2 *", "2026-03-04 00:00", "2028-02-29 00:00"),
    ("0 0 29 2 *", "2096-03-04 00:00", "2104-02-29 00:00"),
    # One of the two suffices.
    ("0 0 13 * fri", "2026-03-04 00:00", "2026-03-06 00:00"),
    ("0 0 5 * fri", "2026-03-04 00:00", "2026-03-05 00:00"),
    ("0 0 30 2 fri", "2026-01-04 00:00", "2026-02-06 00:00"),
    # Both are needed if one begins with *, as in Vixie's cron.
    ("0 0 */2 * fri", "2026-03-04 00:00", "2026-03-13 00:00"),
    ("0 0 13 * */5", "2026-03-04 00:00", "2026-03-13 00:00"),
    ("0 0 29 2 */7", "2026-03-04 00:00", "2032-02-29 00:00"),
    ("@hourly", "2026-03-04 10:00", "2026-03-04 11:00"),
    ("@Daily", "2026-03-04 10:00", "2026-03-05 00:00"),
    ("@midnight", "2026-03-04 10:00", "2026-03-05 00:00"),
    ("@weekly", "2026-03-04 10:00", "2026-03-08 00:00"),
    ("@monthly", "2026-03-04 10:00", "2026-04-01 00:00"),
    ("@yearly", "2026-03-04 10:00", "2027-01-01 00:00"),
    ("@annually", "2026-03-04 10:00", "2027-01-01 00:00"),
    ("0 0 1 1 *", "1969-12-31 10:00", "1970-01-01 00:00"),
]


def test_cron(db: psycopg.Connection) -> None:
    for cron, after, expected in FIRES:
        assert _next(db, cron, "UTC", _at(after)) == _at(expected), (cron, after)


FIRES_AT_A_CHANGE = [
    # In spring 2 o'clock becomes 3 o'clock: what is left out comes once, at the end of the gap.
    ("30 2 * * *", "Europe/Berlin", "2026-03-28 01:30", "2026-03-29 01:00"),
    ("30 2 * * *", "Europe/Berlin", "2026-03-29 01:00", "2026-03-30 00:30"),
    ("*/20 2 * * *", "Europe/Berlin", "2026-03-28 01:50", "2026-03-29 01:00"),
    ("*/20 2 * * *", "Europe/Berlin", "2026-03-29 01:00", "2026-03-30 00:00"),
    ("0 2,3 * * *", "Europe/Berlin", "2026-03-29 01:00", "2026-03-30 00:00"),
    # In autumn 3 o'clock becomes 2 o'clock: what is there twice comes once, the first time.
    ("30 2 * * *", "Europe/Berlin", "2026-10-24 01:00", "2026-10-25 00:30"),
    ("30 2 * * *", "Europe/Berlin", "2026-10-25 00:30", "2026-10-26 01:30"),
    ("30 2 * * *", "America/New_York", "2026-03-07 08:00", "2026-03-08 07:00"),
    ("30 1 * * *", "America/New_York", "2026-10-31 06:00", "2026-11-01 05:30"),
    ("30 1 * * *", "America/New_York", "2026-11-01 05:30", "2026-11-02 06:30"),
    # Half an hour is left out, and there twice.
    ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03 12:00", "2026-10-03 15:30"),
    ("45 2 * * *", "Australia/Lord_Howe", "2026-10-03 12:00", "2026-10-03 15:45"),
    ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04 12:00", "2026-04-04 14:45"),
    ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04 14:45", "2026-04-05 15:15"),
    # Of every hour, whenever the clocks show the minute.
    ("0 * * * *", "Europe/Berlin", "2026-03-29 00:00", "2026-03-29 01:00"),
    ("30 * * * *", "Europe/Berlin", "2026-03-29 00:30", "2026-03-29 01:30"),
    ("30 * * * *", "Europe/Berlin", "2026-10-25 00:30", "2026-10-25 01:30"),
    ("* * * * *", "Australia/Lord_Howe", "2026-04-04 14:59", "2026-04-04 15:00"),
    ("0 * * * *", "Australia/Lord_Howe", "2026-10-03 14:30", "2026-10-03 16:00"),
    ("30 * * * *", "Australia/Lord_Howe", "2026-10-03 15:00", "2026-10-03 15:30"),
    ("0 * * * *", "Australia/Lord_Howe", "2026-04-04 14:00", "2026-04-04 15:30"),
    ("30 * * * *", "Australia/Lord_Howe", "2026-04-04 14:30", "2026-04-04 15:00"),
    # A day that was left out.
    ("0 12 30 * *", "Pacific/Apia", "2011-12-29 10:00", "2011-12-30 10:00"),
]


def test_cron_where_the_clock_is_changed(db: psycopg.Connection) -> None:
    for cron, zone, after, expected in FIRES_AT_A_CHANGE:
        assert _next(db, cron, zone, _at(after)) == _at(expected), (cron, zone, after)


def _values(field: str, low: int, high: int, names: list[str]) -> set[int]:
    found: set[int] = set()
    for item in field.split(","):
        span, _, step = item.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        numbers = [
            low + names.index(word) if word in names else int(word)
            for word in (first, last or first)
        ]
        found |= set(range(numbers[0], numbers[1] + 1, int(step or 1)))
    return found


@functools.cache
def _clock(zone: str, since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    """Return each minute, also of some hours before, and what a clock shows then."""
    begin = since - timedelta(hours=4)
    moments = [begin + n * MINUTE for n in range((until - begin) // MINUTE + 1)]
    return [(now, now.astimezone(ZoneInfo(zone)).replace(tzinfo=None)) for now in moments]


def _reference(cron: str, zone: str, since: datetime, until: datetime) -> Iterator[datetime]:
    """Look at the clock each minute: at the times that it has come to, or passed over."""
    fields = cron.split()
    minutes, hours = _values(fields[0], 0, 59, []), _values(fields[1], 0, 23, [])
    days, months = _values(fields[2], 1, 31, []), _values(fields[3], 1, 12, MONTHS)
    weekdays = {day % 7 for day in _values(fields[4], 0, 6, WEEKDAYS)}
    both = fields[2].startswith("*") or fields[4].startswith("*")

    def fires(shown: datetime) -> bool:
        match = [shown.day in days, shown.isoweekday() % 7 in weekdays]
        return (
            shown.minute in minutes and shown.hour in hours and shown.month in months
            and (all(match) if both else any(match))
        )  # fmt: skip

    clock = _clock(zone, since, until)
    seen = clock[0][1]
    for now, shown in clock:
        if len(hours) == 24:
            is_due = fires(shown)
        else:
            is_due = False
            while seen < shown:
                seen += MINUTE
                is_due |= fires(seen)
        if is_due and now > since:
            yield now


CHANGES = [
    ("Europe/Berlin", "2026-03-29 01:00"),
    ("Europe/Berlin", "2026-10-25 01:00"),
    ("America/New_York", "2026-03-08 07:00"),
    ("America/New_York", "2026-11-01 06:00"),
    ("Australia/Lord_Howe", "2026-10-03 15:30"),
    ("Australia/Lord_Howe", "2026-04-04 15:00"),
    ("America/St_Johns", "2010-11-07 02:31"),  # at a minute past midnight
    ("Asia/Beirut", "2026-03-28 22:00"),  # midnight itself is left out
    ("UTC", "2026-03-01 00:00"),
]
CRONS = [
    "*/7 * * * *", "0 * * * *", "30 * * * *", "*/30 0-5 * * *", "30 2 * * *",
    "15,45 1-2 * * *", "0 0 * * *", "5 0 * * *", "0 */2 * * *", "1-59/9 1-3 * * sun",
    "0 * 29 mar,oct *", "*/20 0 1,8,25,29 * mon", "45 23 * * *", "15 0-22 * * *",
]  # fmt: skip


TICKS = """
WITH RECURSIVE given AS (
    SELECT regexp_split_to_array(%s, ' ') AS fields, %s AS zone, %s AS since, %s AS until
),
tick (at) AS (
    SELECT pgmq._cron_next(g.fields, g.zone, g.since) FROM given AS g
    UNION ALL
    SELECT pgmq._cron_next(g.fields, g.zone, t.at)
    FROM tick AS t CROSS JOIN given AS g
    WHERE t.at <= g.until
)
SELECT t.at FROM tick AS t CROSS JOIN given AS g WHERE t.at <= g.until
"""


def _some_crons(chance: random.Random) -> list[str]:
    def some(low: int, high: int, width: int) -> str:
        return ",".join(str(n) for n in sorted(chance.sample(range(low, high + 1), width)))

    return [
        f"{some(0, 59, 3)} {chance.choice(['*', '0-3', some(0, 23, 4)])} "
        f"{chance.choice(['*', some(1, 31, 8)])} * {chance.choice(['*', some(0, 6, 2)])}"
        for _ in range(10)
    ]


def test_cron_is_what_a_look_at_the_clock_each_minute_finds(db: psycopg.Connection) -> None:
    for zone, change in CHANGES:
        since, until = _at(change) - timedelta(hours=5), _at(change) + timedelta(hours=26)
        for cron in CRONS + _some_crons(random.Random(change)):
            expected = list(_reference(cron, zone, since, until))
            found = ids(db, TICKS, cron, zone, since, until)
            assert found == expected, (cron, zone, change)


def _error(db: psycopg.Connection, query: str, *arguments: Any) -> psycopg.Error | None:
    """Return the error of a statement, or None."""
    try:
        db.execute(query.encode(), arguments or None)
    except psycopg.Error as error:
        return error
    return None


WRONG = [
    ("60 * * * *", 'no such minute: "60"', "values of 0 to 59, ranges as 1-5"),
    ("* 24 * * *", 'no such hour: "24"', "0 to 23"),
    ("* * 0 * *", 'no such day of the month: "0"', "1 to 31"),
    ("* * * 13 *", 'no such month: "13"', "1 to 12 or jan to dec"),
    ("* * * * 8", 'no such day of the week: "8"', "0 to 7 or sun to sat"),
    ("* * * * monday", 'no such day of the week: "monday"', "sun to sat"),
    ("* * * mon *", 'no such month: "mon"', "jan to dec"),
    ("1,2,,3 * * * *", 'no such minute: ""', "lists"),
    ("5-1 * * * *", 'no such minute: "5-1"', "ranges"),
    ("5/2 * * * *", 'no such minute: "5/2"', "a step after * or a range"),
    ("*/0 * * * *", 'no such minute: "*/0"', "a step"),
    ("*5 * * * *", r'no such minute: "*5"', "values"),
    ("-1 * * * *", 'no such minute: "-1"', "values"),
    ("* * * * ?", 'no such day of the week: "?"', "values"),
    ("* 1.5 * * *", 'no such hour: "1.5"', "values"),
    ("* * * *", '"* * * *" is neither five fields of cron nor an interval', "@hourly"),
    ("0 * * * * *", '"0 * * * * *" is neither five fields', "30 9"),
    ("@reboot", '"@reboot" is neither five fields', "@yearly"),
    ("", '"" is neither five fields', "30 seconds"),
    ("1 month", 'a schedule has no months of equal length: "1 month"', "@monthly"),
    ("0.9 seconds", 'a schedule is not for less than a second: "0.9 seconds"', "1 second"),
    ("-1 hour", 'a schedule is not for less than a second: "-1 hour"', "1 second"),
    ("36526 days", 'a schedule is not for more than a century: "36526 days"', "36525 days"),
    ("999999999 days", 'more than a century: "999999999 days"', "36525 days"),
    ("0 0 30 2 *", 'no day is ever one of schedule "s": "0 0 30 2 *"', "such a day"),
    ("0 0 31 apr,jun *", "no day is ever one of schedule", "such a day"),
]


def test_what_is_wrong_is_named(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q')")
    for when, error, hint in WRONG:
        found = _error(db, "SELECT pgmq.schedule('s', 'q', %s, '1')", when)
        assert isinstance(found, psycopg.errors.InvalidParameterValue), (when, found)
        assert error in str(found), when
        assert hint in (found.diag.message_hint or ""), when
        assert ids(db, "SELECT name FROM pgmq.list_schedules()") == [], when


BAD_ARGUMENTS = [
    ("null, 'q', '@daily', '1'", "name of a schedule must not be null"),
    ("'s', 'q', null::text, '1'", "cron expression or interval must not be null"),
    ("'s', 'q', null::interval, '1'", "cron expression or interval must not be null"),
    ("'s', 'q', '@daily', '1', timezone => null", "timezone must not be null"),
    ("'s', 'q', '@daily', '1', catch_up => null", "catch_up must not be null"),
    (
        "'s', 'q', '@daily', '1', '[1]'",
        "headers of a schedule must be a JSON object, not array",
    ),
    ("'s', 'q', '@daily', '1', timezone => 'Mars'", 'there is no time zone "Mars"'),
    ("repeat('ü', 128), 'q', '@daily', '1'", 'üü" must have 1 to 255 bytes, not 256'),
    ("'', 'q', '@daily', '1'", 'name of schedule "" must have 1 to 255 bytes, not 0'),
    ("'s', 'none', '@daily', '1'", 'queue "none" does not exist'),
    ("'s', null, '@daily', '1'", "queue name must not be null"),
]


def test_bad_arguments(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q')")
    for arguments, error in BAD_ARGUMENTS:
        found = _error(db, f"SELECT pgmq.schedule({arguments})")
        assert error in str(found), arguments
    for call in ("run_schedule", "pause_schedule", "resume_schedule"):
        found = _error(db, f"SELECT pgmq.{call}('s')")
        assert isinstance(found, psycopg.errors.UndefinedObject), call
        assert 'schedule "s" does not exist' in str(found), call


def _pass(db: psycopg.Connection, name: str, time: str) -> None:
    """Let so much time pass for a schedule, as if nobody had called."""
    db.execute(
        "UPDATE pgmq.schedule SET anchor = anchor - %(time)s::interval,"
        " tick_at = tick_at - %(time)s::interval, next_at = next_at - %(time)s::interval"
        " WHERE schedule_name = %(name)s",
        {"name": name, "time": time},
    )
    db.execute(
        "SELECT setval(format('pgmq.%%I', pgmq._relation_name('tick_due', queue_name)), 0)"
        " FROM pgmq.schedule WHERE schedule_name = %s",
        [name],
    )


def _schedule(db: psycopg.Connection, name: str) -> dict[str, Any]:
    row: dict[str, Any] = one(
        db, "SELECT to_jsonb(s) FROM pgmq.list_schedules() AS s WHERE s.name = %s", name
    )
    return row


def _make(db: psycopg.Connection) -> None:
    """Make queue q with schedule s, anew if they are there."""
    db.execute("SELECT pgmq.drop_queue('q')")
    db.execute(
        "SELECT pgmq.create('q'), pgmq.schedule('s', 'q', '1 hour', '{\"a\": 1}', '{\"b\": 2}')"
    )


@pytest.fixture
def queue(db: psycopg.Connection) -> psycopg.Connection:
    _make(db)
    return db


def test_what_is_due_is_read_at_once_and_once(queue: psycopg.Connection) -> None:
    assert ids(queue, "SELECT msg_id FROM pgmq.read('q', 0, 9)") == []
    due = one(queue, "SELECT next_at FROM pgmq.list_schedules('Q')")
    _pass(queue, "s", "1 hour")
    message, headers = queue.execute(
        "SELECT message, headers FROM pgmq.read('q', 0, 9)"
    ).fetchall()[0]
    at = due - timedelta(hours=1)
    assert message == {"a": 1}
    assert headers == {
        "b": 2,
        "x-pgmq-schedule": {"name": "s", "at": headers["x-pgmq-schedule"]["at"]},
    }
    assert datetime.fromisoformat(headers["x-pgmq-schedule"]["at"]) == at
    assert headers["x-pgmq-schedule"]["at"].endswith("+00:00")
    found = queue.execute("SELECT next_at, last_at, last_msg_id, errors FROM pgmq.list_schedules()")
    assert found.fetchall() == [(due, at, 1, 0)]
    assert len(ids(queue, "SELECT msg_id FROM pgmq.read('q', 0, 9)")) == 1


READS = [
    "SELECT * FROM pgmq.read('q', 30, 5)",
    "SELECT * FROM pgmq.read('q', 30, 5, '{\"a\": 1}')",
    "SELECT * FROM pgmq.read_with_poll('q', 30, 5, 1, 10)",
    "SELECT * FROM pgmq.read_any('{q}', 30, 5)",
    "SELECT * FROM pgmq.pop('q', 5)",
    "SELECT * FROM pgmq.read_grouped('q', 30, 5)",
    "SELECT * FROM pgmq.read_grouped_rr('q', 30, 5)",
    "SELECT * FROM pgmq.read_grouped_head('q', 30, 5)",
    "SELECT * FROM pgmq.read_group('q', '_default_fifo_group', 30, 5)",
    "SELECT * FROM pgmq.ack_and_read('q', 30, 5, '{}', '{}')",
]


def test_every_read_gets_what_it_finds_due(db: psycopg.Connection) -> None:
    for makes in ("", "pgmq.create_fifo_index('q')", "pgmq.pin('q')"):
        _make(db)
        if makes:
            db.execute(f"SELECT {makes}".encode())
        for number, call in enumerate(READS):
            db.execute("SELECT pgmq.purge_queue('q')")
            _pass(db, "s", "1 hour")
            assert len(db.execute(call.encode()).fetchall()) == 1, (makes, call)
            _pass(db, "s", "1 hour")
            again = db.execute(call.replace("q'", "Q'").encode()).fetchall()
            assert len(again) <= 1, (makes, call)
            last = one(db, "SELECT last_msg_id FROM pgmq.list_schedules()")
            assert last == 2 * number + 2, (makes, call)


SENDS = [
    "pgmq.send('q', '0')",
    "pgmq.send_batch('q', '{0,0}')",
    "pgmq.send('q', '0', '{\"x-pgmq-dedup-id\": \"k\"}'::jsonb)",
    "pgmq.send_batch('q', '{0}', ARRAY['{\"x-pgmq-dedup-id\": \"l\"}'::jsonb])",
    "pgmq.maintain('q')",
    "pgmq.maintain()",
    "pgmq.send_once('q', '0', 'm')",
]


def test_every_send_and_maintain_sends_what_it_finds_due(db: psycopg.Connection) -> None:
    sent = "SELECT message FROM pgmq.q_q WHERE headers ? 'x-pgmq-schedule'"
    for kind in ("plain", "deduplicated", "by_id_policy", 'Full "Stream" %I'):
        db.execute("SELECT pgmq.drop_queue('q')")
        db.execute(made(kind, "q").encode())
        db.execute("SELECT pgmq.schedule('s', 'q', '1 hour', '1')")
        for call in SENDS:
            db.execute("DELETE FROM pgmq.q_q")
            if "send_once" in call:
                db.execute("SELECT pgmq.alter_policy('q', dedup_window => '1 h')")
            _pass(db, "s", "1 hour")
            db.execute(f"SELECT {call}".encode())
            assert ids(db, sent) == [1], (kind, call)


def test_every_kind_of_queue(db: psycopg.Connection) -> None:
    differences = "SELECT to_jsonb(d) - 'sql' FROM pgmq._differences() AS d"
    for kind in DISTINCT:
        name = f"s of {kind}"
        db.execute(KINDS[kind].encode())
        db.execute("SELECT pgmq.schedule(%s, %s, '1 hour', '1')", [name, kind])
        read = "SELECT message FROM pgmq.read(%s, 30, 5)"
        if kind in STREAMS:
            read = "SELECT message FROM pgmq.fetch(%s, 'g', 30, 5)"
        assert ids(db, read, kind) == [], kind
        _pass(db, name, "1 hour")
        found = ids(db, read, kind) + ids(db, read, kind)
        assert found == [1], kind
    assert ids(db, differences) == []
    for kind in DISTINCT:
        assert one(db, "SELECT pgmq.unschedule(%s)", f"s of {kind}"), kind
    assert ids(db, differences) == []


def test_a_busy_queue_sends_what_is_due_too(queue: psycopg.Connection) -> None:
    queue.execute("SELECT pgmq.send_batch('q', array_fill('0'::jsonb, ARRAY[30]))")
    _pass(queue, "s", "1 hour")
    assert ids(queue, "SELECT message FROM pgmq.read('q', 30, 5)") == [0] * 5
    assert one(queue, "SELECT last_msg_id FROM pgmq.list_schedules()") == 31
    _pass(queue, "s", "1 hour")
    queue.execute("SELECT pgmq.set_policy('q', max_in_flight => 5)")
    assert ids(queue, "SELECT message FROM pgmq.read('q', 30, 5)") == []
    assert one(queue, "SELECT last_msg_id FROM pgmq.list_schedules()") == 32


def test_a_queue_without_schedules_has_the_functions_that_it_had(db: psycopg.Connection) -> None:
    state = "SELECT string_agg(proname || prosrc, '' ORDER BY oid) FROM pg_proc"
    db.execute("SELECT pgmq.create('q')")
    before = one(db, state)
    db.execute(
        "SELECT pgmq.schedule('s', 'q', '@daily', '1'), pgmq.schedule('t', 'q', '@daily', '1')"
    )
    assert one(db, "SELECT pgmq.unschedule('s')")
    assert one(db, state) != before
    assert one(db, "SELECT pgmq.unschedule('t')")
    assert not one(db, "SELECT pgmq.unschedule('t')")
    # A call that began before may still ask for this one.
    state += " WHERE proname <> '_fire_q'"
    assert one(db, state) == before


def test_intervals_are_counted_from_the_beginning_and_do_not_drift(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q')")
    first = one(db, "SELECT pgmq.schedule('s', 'q', interval '1 day 90.5 seconds', '1')")
    step = timedelta(days=1, seconds=90.5)
    anchor = one(db, "SELECT anchor FROM pgmq.schedule")
    assert first == anchor + step
    assert one(db, "SELECT cron FROM pgmq.list_schedules()") == "1 day 00:01:30.5"
    for moment in (anchor, anchor + step / 2, anchor + 1000 * step, anchor + 1000.9 * step):
        expected = anchor + ((moment - anchor) // step + 1) * step
        assert one(db, "SELECT pgmq._next_tick(s, %s) FROM pgmq.schedule AS s", moment) == expected
    assert one(db, "SELECT pgmq.schedule('s', 'q', '2 days', '1') > clock_timestamp()")
    with db.transaction():
        db.execute("SET LOCAL timezone = 'Europe/Berlin'")  # where a day may have 23 hours
        anchor, ticks = db.execute(
            "SELECT s.anchor, array_agg(pgmq._next_tick(s, s.anchor + n * interval '48 hours'))"
            " FROM pgmq.schedule AS s, generate_series(0, 182) AS n GROUP BY s.anchor"
        ).fetchall()[0]
        assert [tick.astimezone(timezone.utc) for tick in ticks] == [
            anchor.astimezone(timezone.utc) + timedelta(days=2 * n) for n in range(1, 184)
        ]


def test_of_missed_messages_the_last_is_sent_or_all_in_order(db: psycopg.Connection) -> None:
    sent = (
        "SELECT (headers #>> '{x-pgmq-schedule,at}')::timestamptz FROM pgmq.q_q WHERE headers @> %s"
    )
    for when in ("1 minute", "* * * * *"):
        db.execute("SELECT pgmq.drop_queue('q')")
        db.execute("SELECT pgmq.create('q'), pgmq.schedule('last', 'q', %s, '1')", [when])
        db.execute("SELECT pgmq.schedule('all', 'q', %s, '1', catch_up => true)", [when])
        for name in ("last", "all"):
            _pass(db, name, "250 minutes")
        missed = one(
            db,
            "SELECT array_agg(at ORDER BY at) FROM pgmq.schedule AS s, generate_series("
            " s.tick_at, clock_timestamp(), '1 minute') AS at WHERE s.schedule_name = 'all'",
        )
        assert len(missed) in (250, 251), when
        for number in (100, 200, len(missed)):
            _pass(db, "all", "0")
            db.execute("SELECT pgmq.send('q', '0')")
            found = ids(db, sent, '{"x-pgmq-schedule": {"name": "all"}}')
            assert abs(len(found) - number) <= 1, when
        assert found[: len(missed)] == missed, when
        latest = ids(db, sent, '{"x-pgmq-schedule": {"name": "last"}}')
        assert len(latest) <= 2, when
        assert timedelta(minutes=2) > datetime.now(tz=timezone.utc) - latest[0], when
        is_ahead = one(db, "SELECT min(next_at) > clock_timestamp() FROM pgmq.list_schedules()")
        assert is_ahead, when


def test_a_call_that_sends_does_not_look_again_whoever_sets_the_time_of_the_next_look(
    db: psycopg.Connection,
) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.schedule('s', 'q', '1 hour', '1', catch_up => true)")
    db.execute("SELECT pgmq.schedule('t', 'q', '1 hour', '2')")
    # As a session does that has looked just before, when this call takes long.
    db.execute(
        "CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN PERFORM setval('pgmq.tick_due_q', 0); RETURN new; END $$;"
        "CREATE TRIGGER look BEFORE INSERT ON pgmq.q_q FOR EACH ROW EXECUTE FUNCTION look()"
    )
    for call in ("pgmq.read('q', 0, 1)", "pgmq.maintain('q')"):
        for name in "st":
            _pass(db, name, "3 hours")
        db.execute(f"SELECT {call}".encode())
        assert ids(db, "SELECT message FROM pgmq.pop('q', 9)") == [2, 1, 1, 1]


def test_after_years_the_last_message_is_found_at_once(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.schedule('s', 'q', '*/5 9-17 * * mon-fri', '1')")
    _pass(db, "s", "20 years")
    db.execute("SELECT pgmq.maintain('q')")
    at, next_at = db.execute("SELECT last_at, next_at FROM pgmq.list_schedules()").fetchall()[0]
    assert (
        _next(db, "*/5 9-17 * * mon-fri", "UTC", at) == next_at > datetime.now(tz=timezone.utc) > at
    )


def test_maintain_sends_all_that_was_missed(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.schedule('s', 'q', '1 min', '1', catch_up => true)")
    _pass(db, "s", "250 minutes")
    db.execute("SELECT pgmq.maintain()")
    assert one(db, "SELECT count(*) FROM pgmq.q_q") in (250, 251)


def test_a_message_that_cannot_be_sent_fails_no_call_and_is_tried_again(
    queue: psycopg.Connection,
) -> None:
    queue.execute(
        "CREATE FUNCTION boom() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN SET search_path = public; RAISE 'no room'; END $$;"
        "CREATE TRIGGER boom BEFORE INSERT ON pgmq.q_q FOR EACH ROW"
        " WHEN (new.headers IS NOT NULL) EXECUTE FUNCTION boom()"
    )
    path = one(queue, "SHOW search_path")
    _pass(queue, "s", "1 hour")
    for number in (1, 2, 3):
        assert ids(queue, "SELECT msg_id FROM pgmq.read('q', 30, 5)") == []
        state = _schedule(queue, "s")
        assert (state["errors"], state["last_error"]) == (number, "no room")
        wait = one(queue, "SELECT next_at - clock_timestamp() FROM pgmq.list_schedules()")
        assert timedelta(0) < wait <= timedelta(seconds=2 ** (number - 1))
        found = queue.execute("SELECT severity, finding FROM pgmq.doctor() WHERE queue_name = 'q'")
        said = f'schedule "s" cannot send its message ({number} attempts): no room'
        assert ("warning", said) in found.fetchall()
        queue.execute("UPDATE pgmq.schedule SET next_at = clock_timestamp()")
        _pass(queue, "s", "0")
    assert one(queue, "SHOW search_path") == path
    queue.execute("DROP TRIGGER boom ON pgmq.q_q")
    at = one(queue, "SELECT tick_at FROM pgmq.schedule")
    assert len(ids(queue, "SELECT msg_id FROM pgmq.read('q', 30, 5)")) == 1
    found = queue.execute("SELECT errors, last_error, last_at FROM pgmq.list_schedules()")
    assert found.fetchall() == [(0, None, at)]


def test_a_schedule_is_replaced_moves_to_another_queue_and_goes_with_it(
    queue: psycopg.Connection,
) -> None:
    queue.execute("SELECT pgmq.create('Other'), pgmq.schedule('s', 'OTHER', '@daily', '2')")
    assert [_schedule(queue, "s")[key] for key in ("queue_name", "cron")] == ["Other", "@daily"]
    assert one(queue, "SELECT count(*) FROM pgmq._differences()") == 0
    assert one(queue, "SELECT count(*) FROM pgmq.list_schedules('q')") == 0
    queue.execute("SELECT pgmq.schedule('s', 'Other', '1 hour', '3', timezone => 'Asia/Tokyo')")
    _pass(queue, "s", "1 hour")
    assert ids(queue, "SELECT message FROM pgmq.read('Other', 30, 5)") == [3]
    queue.execute("SELECT pgmq.drop_queue('Other')")
    assert one(queue, "SELECT count(*) FROM pgmq.list_schedules()") == 0
    queue.execute("SELECT pgmq.create('Other'), pgmq.send('Other', '1')")
    assert ids(queue, "SELECT message FROM pgmq.read('Other', 30, 5)") == [1]


def test_a_schedule_runs_now_too(queue: psycopg.Connection) -> None:
    before = _schedule(queue, "s")
    assert one(queue, "SELECT pgmq.run_schedule('s')") == 1
    headers = one(queue, "SELECT headers FROM pgmq.read('q', 30, 5)")
    assert headers["x-pgmq-schedule"]["name"] == "s"
    assert _schedule(queue, "s") == before


def test_a_paused_schedule_sends_nothing_and_then_what_was_missed(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.schedule('last', 'q', '1 hour', '1')")
    db.execute("SELECT pgmq.schedule('all', 'q', '1 hour', '2', catch_up => true)")
    for name in ("last", "all"):
        assert one(db, "SELECT pgmq.pause_schedule(%s)", name)
    since = _schedule(db, "last")["paused_at"]
    assert not one(db, "SELECT pgmq.pause_schedule('last')")
    assert _schedule(db, "last")["paused_at"] == since is not None
    assert _schedule(db, "last")["next_at"] is None
    for name in ("last", "all"):
        _pass(db, name, "3.5 hours")
    assert ids(db, "SELECT message FROM pgmq.read('q', 30, 9)") == []
    db.execute("SELECT pgmq.maintain('q')")
    assert one(db, "SELECT count(*) FROM pgmq.q_q") == 0
    assert one(db, "SELECT pgmq.next_visible_at('q')") is None
    found = db.execute("SELECT severity, fix FROM pgmq.doctor() WHERE queue_name = 'q'").fetchall()
    assert ("info", "SELECT pgmq.resume_schedule('last')") in found
    assert {severity for severity, _ in found} == {"info"}
    # Who deploys declares schedules again.
    db.execute("SELECT pgmq.schedule('new', 'q', '1 hour', '3')")
    assert one(db, "SELECT pgmq.pause_schedule('new')")
    db.execute("SELECT pgmq.schedule('new', 'q', '2 hours', '3')")
    assert _schedule(db, "new")["next_at"] is None
    for name in ("last", "all", "new"):
        assert one(db, "SELECT pgmq.resume_schedule(%s)", name)
        assert not one(db, "SELECT pgmq.resume_schedule(%s)", name)
        _pass(db, name, "0")
    assert sorted(ids(db, "SELECT message FROM pgmq.read('q', 30, 9)")) == [1, 2, 2, 2]
    assert one(db, "SELECT min(next_at) > now() FROM pgmq.list_schedules()")


def test_a_paused_schedule_runs_and_wakes_nobody(db: psycopg.Connection) -> None:
    for kind in ("woken", STREAMS[-1]):
        db.execute(KINDS[kind].encode())
        db.execute("SELECT pgmq.schedule('s', %s, '1 hour', '1')", [kind])
        db.execute("SELECT pgmq.pause_schedule('s')")
        _pass(db, "s", "2 hours")
        # A consumer may see what is in the queue first.
        db.execute("DELETE FROM pgmq.q_woken")
        until = one(db, "SELECT pgmq.await(%s, 5) - now()", kind)
        assert until > timedelta(seconds=4), kind
        assert one(db, "SELECT pgmq.run_schedule('s')") > 0
        assert _schedule(db, "s")["next_at"] is None


def test_doctor_names_a_schedule_that_is_late(queue: psycopg.Connection) -> None:
    query = "SELECT finding, fix FROM pgmq.doctor() WHERE queue_name = 'q'"
    _pass(queue, "s", "119 minutes")
    assert queue.execute(query.encode()).fetchall() == []
    _pass(queue, "s", "2 minutes")
    finding, fix = queue.execute(query.encode()).fetchall()[0]
    assert finding.startswith('schedule "s" is late: a message was due at 20')
    assert "SELECT pgmq.maintain('q')" in fix


def test_the_next_message_counts_for_next_visible_at(queue: psycopg.Connection) -> None:
    next_at = one(queue, "SELECT next_at FROM pgmq.list_schedules()")
    assert one(queue, "SELECT pgmq.next_visible_at('q')") == next_at
    queue.execute("SELECT pgmq.send('q', '1', 60)")
    assert one(queue, "SELECT pgmq.next_visible_at('q')") < next_at


def test_only_the_owner_schedules_and_sees_the_message(
    db: psycopg.Connection, connect: Connect, roles: Roles
) -> None:
    owner, other, consumer = roles(), roles(), roles()
    db.execute(f"SELECT pgmq.grant_create('{owner}'), pgmq.grant_create('{other}')".encode())
    mine = connect(user=owner)
    mine.execute("SELECT pgmq.create('q'), pgmq.schedule('s', 'q', '1 hour', '1')")
    db.execute(f"GRANT USAGE ON SCHEMA pgmq TO {consumer}".encode())
    mine.execute(f"SELECT pgmq.grant_consume('q', '{consumer}')".encode())
    for role in (other, consumer):
        session = connect(user=role)
        for call in ("schedule('s', 'q', '@daily', '2')", "schedule('t', 'q', '@daily', '2')"):
            with pytest.raises(
                psycopg.errors.InsufficientPrivilege, match="only its owner changes the schedules"
            ):
                session.execute(f"SELECT pgmq.{call}".encode())
        for call in ("unschedule", "pause_schedule", "resume_schedule"):
            with pytest.raises(
                psycopg.errors.InsufficientPrivilege, match="only its owner changes the schedules"
            ):
                session.execute(f"SELECT pgmq.{call}('s')".encode())
    session = connect(user=other)
    session.execute("SELECT pgmq.create('theirs')")
    with pytest.raises(
        psycopg.errors.InsufficientPrivilege, match="only its owner changes the schedules"
    ):
        session.execute("SELECT pgmq.schedule('s', 'theirs', '@daily', '2')")
    session = connect(user=consumer)
    assert one(session, "SELECT name FROM pgmq.list_schedules()") == "s"
    for query in ("SELECT msg FROM pgmq.schedule", "SELECT pgmq.run_schedule('s')"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute(query.encode())
    # With the owner's rights, a consumer sends what is due, and nothing else.
    _pass(db, "s", "1 hour")
    assert ids(session, "SELECT message FROM pgmq.read('q', 30, 5)") == [1]
    assert one(session, "SELECT pgmq.next_visible_at('q') > now()")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        session.execute("SELECT pgmq.send('q', '1')")


def test_an_owner_without_a_right_to_schedules_is_told_so(
    db: psycopg.Connection, connect: Connect, roles: Roles
) -> None:
    owner = roles()
    db.execute(f"SELECT pgmq.grant_create('{owner}')".encode())
    db.execute(f"REVOKE ALL ON pgmq.schedule FROM {owner}".encode())
    session = connect(user=owner)
    session.execute("SELECT pgmq.create('q')")
    for caller in (db, session):
        with pytest.raises(
            psycopg.errors.InsufficientPrivilege, match="no right to schedules"
        ) as caught:
            caller.execute("SELECT pgmq.schedule('s', 'q', '@daily', '1')")
        assert f"pgmq.grant_create('{owner}')" in (caught.value.diag.message_hint or "")
    # A schedule from before is none of the caller's business.
    db.execute(f"GRANT SELECT, UPDATE ON pgmq.schedule TO {owner}".encode())
    db.execute("SELECT pgmq.schedule('s', 'q', '1 hour', '1')")
    db.execute(f"REVOKE ALL ON pgmq.schedule FROM {owner}".encode())
    _pass(db, "s", "1 hour")
    notices: list[str] = []
    session.add_notice_handler(lambda note: notices.append(str(note.message_primary)))
    assert ids(session, "SELECT message FROM pgmq.read('q', 30, 5)") == []
    assert notices == ['schedules of queue "q" failed: permission denied for table schedule']


ADMISSION = [
    "rate_limit => 100",
    "max_in_flight => 100",
    "max_in_flight_per_group => 5",
    "priorities => true",
    "max_in_flight => 100, max_in_flight_per_group => 5, rate_limit => 100",
]
READS_THAT_ASK = [
    "read('q', 30, 5)",
    "read('q', 30, 5, '{\"a\": 1}')",
    "read_fair('q', 30, 5)",
    "read_grouped('q', 30, 5)",
    "pop('q', 5)",
]


def test_reads_that_ask_for_admission_get_what_is_due_too(db: psycopg.Connection) -> None:
    for options in ADMISSION:
        _make(db)
        db.execute("SELECT pgmq.create_fair_index('q')")
        db.execute(f"SELECT pgmq.set_policy('q', {options})".encode())
        for call in READS_THAT_ASK:
            db.execute("SELECT pgmq.purge_queue('q')")
            _pass(db, "s", "1 hour")
            found = db.execute(f"SELECT * FROM pgmq.{call}".encode()).fetchall()
            assert len(found) == 1, (options, call)


def test_what_catches_up_holds_up_no_other_schedule(queue: psycopg.Connection) -> None:
    queue.execute("SELECT pgmq.schedule('far', 'q', '1 s', '\"far\"', catch_up => true)")
    _pass(queue, "far", "1 hour")
    _pass(queue, "s", "1 hour")
    queue.execute("SELECT pgmq.send('q', '0')")
    found = ids(queue, "SELECT message FROM pgmq.q_q ORDER BY msg_id")
    assert found == [0, {"a": 1}, *["far"] * 99]


def test_maintain_sends_ten_thousand_at_the_most(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.schedule('s', 'q', '1 s', '1', catch_up => true)")
    _pass(db, "s", "11000 seconds")
    db.execute("SELECT pgmq.maintain('q')")
    assert one(db, "SELECT count(*) FROM pgmq.q_q") == 10000


def test_with_a_key_no_message_is_sent_while_the_last_one_waits(
    queue: psycopg.Connection,
) -> None:
    queue.execute("SELECT pgmq.set_policy('q', dedup_scope => 'pending')")
    queue.execute("SELECT pgmq.schedule('s', 'q', '1 hour', '1', '{\"x-pgmq-dedup-id\": \"k\"}')")
    for _ in range(3):
        _pass(queue, "s", "1 hour")
        queue.execute("SELECT pgmq.maintain('q')")
        state = _schedule(queue, "s")
        assert (state["errors"], state["last_msg_id"]) == (0, 1)
    assert len(ids(queue, "SELECT msg_id FROM pgmq.pop('q', 9)")) == 1
    _pass(queue, "s", "1 hour")
    queue.execute("SELECT pgmq.maintain('q')")
    assert len(ids(queue, "SELECT msg_id FROM pgmq.pop('q', 9)")) == 1


@pytest.mark.parametrize("by", ["1 day", "5 seconds"])
def test_where_the_clock_was_set_back_calls_look_at_once(
    queue: psycopg.Connection, by: str
) -> None:
    _pass(queue, "s", "1 hour")
    queue.execute(
        "SELECT setval('pgmq.tick_due_q', pgmq._microseconds(clock_timestamp() + %s::interval))",
        [by],
    )
    assert ids(queue, "SELECT message FROM pgmq.read('q', 30, 5)") == [{"a": 1}]


def test_a_row_that_has_no_next_tick_is_refused(queue: psycopg.Connection) -> None:
    for change in ("every = '0'", "every = '-1 s'", "fields = '{*}'", "every = null"):
        error = _error(queue, f"UPDATE pgmq.schedule SET {change}")
        assert isinstance(error, psycopg.errors.CheckViolation), (change, error)


def test_what_is_wrong_in_the_table_fails_no_call(queue: psycopg.Connection) -> None:
    queue.execute("SELECT pgmq.schedule('t', 'q', '@daily', '2')")
    queue.execute("UPDATE pgmq.schedule SET fields = '{x,1,1,1,1}' WHERE schedule_name = 't'")
    for name in ("s", "t"):
        _pass(queue, name, "1 day")
    assert ids(queue, "SELECT message FROM pgmq.read('q', 30, 5)") == [{"a": 1}]
    assert _schedule(queue, "t")["last_error"] == 'a schedule has no such minute: "x"'


def test_a_scheduler_of_grant_maintain_sends_what_is_due(
    db: psycopg.Connection, connect: Connect, roles: Roles
) -> None:
    scheduler = roles()
    db.execute("SELECT pgmq.create('q'), pgmq.schedule('s', 'q', '1 hour', '1')")
    db.execute(f"SELECT pgmq.grant_maintain('q', '{scheduler}')".encode())
    _pass(db, "s", "1 hour")
    connect(user=scheduler).execute("SELECT pgmq.maintain()")
    assert ids(db, "SELECT message FROM pgmq.q_q") == [1]
    # By itself, the function asks who calls.
    _pass(db, "s", "1 hour")
    stranger = roles()
    db.execute(f"GRANT USAGE ON SCHEMA pgmq TO {stranger}".encode())
    assert one(connect(user=stranger), "SELECT pgmq._fire_q()") == 0
    assert ids(db, "SELECT message FROM pgmq.q_q") == [1]


def test_while_sends_are_paused_what_is_due_waits(queue: psycopg.Connection) -> None:
    queue.execute("SELECT pgmq.enable_wakeups('q'), pgmq.pause('q', reads => false, sends => true)")
    _pass(queue, "s", "3 hours")
    assert ids(queue, "SELECT message FROM pgmq.read('q', 30, 5)") == []
    assert one(queue, "SELECT pgmq.await('q', 5) > now() + interval '4 s'")
    assert (state := _schedule(queue, "s"))["errors"] == 0
    assert state["last_at"] is None
    found = ids(queue, "SELECT finding FROM pgmq.doctor() WHERE queue_name = 'q'")
    assert [finding for finding in found if "schedule" in finding] == []
    queue.execute("SELECT pgmq.resume('q')")
    assert ids(queue, "SELECT message FROM pgmq.read('q', 30, 5)") == [{"a": 1}]
    # While reads are paused, messages are sent, and stay.
    queue.execute("SELECT pgmq.pause('q')")
    _pass(queue, "s", "1 hour")
    assert ids(queue, "SELECT message FROM pgmq.read('q', 30, 5)") == []
    assert one(queue, "SELECT count(*) FROM pgmq.q_q") == 2
