"""Streams and their groups, in one session: what is handed out, committed, failed and kept."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from support.prepared import prepared
from support.queries import ids, one

if TYPE_CHECKING:
    from collections.abc import Iterable

    from conftest import Connect, Roles

GROUP = "x-pgmq-group"


template = prepared(
    "SELECT pgmq.create_stream('s'), pgmq.create_group('s', 'g', 'earliest')", by="stream"
)


@pytest.fixture
def stream(db: psycopg.Connection) -> psycopg.Connection:
    """Make the stream s with the group g, which has one lane and reads from the beginning."""
    return db


def send(session: psycopg.Connection, messages: Iterable[Any], key: str | None = None) -> list[int]:
    """Append messages to the stream s, all of one key."""
    found = [json.dumps(message) for message in messages]
    headers = [json.dumps({GROUP: key}) if key else None for _ in found]
    return ids(session, "SELECT pgmq.send_batch('s', %s::jsonb[], %s::jsonb[])", found, headers)


def fetch(session: psycopg.Connection, qty: int = 100, group: str = "g", vt: int = 60) -> list[Any]:
    """Fetch a batch of the stream s: rows of lane, epoch, msg_id, delivery_ct and so on."""
    query = "SELECT * FROM pgmq.fetch('s', %s, %s, %s)"
    return session.execute(query, [group, vt, qty]).fetchall()


def lease(batch: list[Any]) -> tuple[int, int]:
    """Return the lane and the epoch of a batch, the same in all rows."""
    ((lane, epoch),) = {row[:2] for row in batch}
    return lane, epoch


def commit(session: psycopg.Connection, batch: list[Any], up_to: int | None = None) -> bool:
    """Commit a batch of group g."""
    return bool(one(session, "SELECT pgmq.commit('s', 'g', %s, %s, %s)", *lease(batch), up_to))


def release(session: psycopg.Connection, batch: list[Any], error: str | None = "boom") -> bool:
    """Give a batch of group g back."""
    query = "SELECT pgmq.release('s', 'g', %s, %s, error => %s)"
    return bool(one(session, query, *lease(batch), error))


def msg_ids(batch: list[Any]) -> list[int]:
    return [row[2] for row in batch]


def test_each_group_reads_every_message_once_in_order(stream: psycopg.Connection) -> None:
    stream.execute("SELECT pgmq.create_group('s', 'other', 'earliest')")
    send(stream, range(5))
    first = fetch(stream, 3)
    assert [row[3:] for row in first] == [(1, first[0][4], i, None) for i in range(3)]
    assert fetch(stream) == []  # its one lane is leased
    assert commit(stream, first)
    assert not commit(stream, first)  # a second time
    assert msg_ids(fetch(stream)) == [4, 5]
    assert msg_ids(fetch(stream, group="other")) == [1, 2, 3, 4, 5]


def test_a_part_can_be_committed_and_the_rest_stays_leased(stream: psycopg.Connection) -> None:
    send(stream, range(5))
    batch = fetch(stream)
    assert commit(stream, batch, 2)
    assert fetch(stream) == []
    assert one(stream, "SELECT pgmq.extend_lease('s', 'g', %s, %s, 60)", *lease(batch))
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="is not in the batch that lane"):
        commit(stream, batch, 6)
    assert release(stream, batch, None)
    assert [(row[2], row[3]) for row in fetch(stream)] == [(3, 1), (4, 1), (5, 1)]


def test_a_lost_lease_commits_and_changes_nothing(stream: psycopg.Connection) -> None:
    send(stream, range(3))
    late = fetch(stream, vt=0)
    again = fetch(stream)
    assert [row[3] for row in again] == [2, 2, 2]
    before = stream.execute("SELECT l::text FROM pgmq.lane_s AS l").fetchall()
    assert not commit(stream, late)
    assert not release(stream, late)
    assert not one(stream, "SELECT pgmq.extend_lease('s', 'g', %s, %s, 60)", *lease(late))
    with pytest.raises(
        psycopg.errors.ObjectNotInPrerequisiteState, match="the lease of lane 0 of group"
    ):
        stream.execute("SELECT * FROM pgmq.commit_and_fetch('s', 'g', %s, %s, 60, 1)", lease(late))
    assert stream.execute("SELECT l::text FROM pgmq.lane_s AS l").fetchall() == before
    assert commit(stream, again)


def test_commit_and_fetch_goes_on_with_the_next_batch(stream: psycopg.Connection) -> None:
    send(stream, range(5))
    seen: list[int] = []
    at: tuple[int | None, int | None] = (None, None)
    while batch := stream.execute(
        "SELECT * FROM pgmq.commit_and_fetch('s', 'g', %s, %s, 60, 2)", at
    ).fetchall():
        seen += msg_ids(batch)
        at = lease(batch)
    assert seen == [1, 2, 3, 4, 5]


def test_seek_replays_skips_and_ends_leases(stream: psycopg.Connection) -> None:
    send(stream, range(5))
    batch = fetch(stream)
    for start, expected in (("4", 4), ("earliest", 1), ("latest", 6), ("1", 1)):
        assert one(stream, "SELECT pgmq.seek('s', 'g', %s)", start) == expected
        assert not commit(stream, batch)
        batch = fetch(stream) or batch
    # A number and a time need no cast.
    assert one(stream, "SELECT pgmq.seek('s', 'g', 4), pgmq.create_group('s', 'number', 4)") == 4
    for zone in ("Asia/Kolkata", "UTC"):
        stream.execute("SELECT set_config('timezone', %s, false)", [zone])
        stream.execute("SET datestyle = 'SQL, DMY'")
        assert one(stream, "SELECT pgmq.seek('s', 'g', now() - interval '1 h')") == 1
    stream.execute("RESET datestyle")
    stream.execute("SELECT pgmq.create_group('s', 'time', now(), keep_unread => false)")
    begins = "SELECT group_name, committed FROM pgmq.list_groups('s') ORDER BY 1"
    assert stream.execute(begins.encode()).fetchall() == [("g", 0), ("number", 3), ("time", 5)]
    drawn = one(stream, "SELECT last_value FROM pgmq.epoch_s")
    stream.execute("SELECT pgmq.seek('s', 'g', '1')")
    assert one(stream, "SELECT last_value FROM pgmq.epoch_s") == drawn + 1
    batch = fetch(stream)
    assert msg_ids(batch) == [1, 2, 3, 4, 5]


def test_a_group_begins_at_a_time_with_what_was_sent_then_or_later(
    stream: psycopg.Connection,
) -> None:
    send(stream, [1])
    between = one(stream, "SELECT clock_timestamp()::text")
    send(stream, [2, 3])
    stream.execute("SELECT pgmq.create_group('s', 'then', %s)", [between])
    assert msg_ids(fetch(stream, group="then")) == [2, 3]
    # Beyond the end of segments too: an id that was inserted by hand with an older time.
    stream.execute("SELECT pgmq.create_group('s', 'later', 'infinity')")
    assert fetch(stream, group="later") == []
    send(stream, [4])
    assert msg_ids(fetch(stream, group="later")) == [4]


def test_a_key_keeps_to_one_lane_and_lanes_share_the_rest(stream: psycopg.Connection) -> None:
    stream.execute("SELECT pgmq.create_group('s', 'wide', 'earliest', 4)")
    for number in range(60):
        send(stream, [number], key=f"k{number % 7}" if number % 3 else None)
    by_hand = "INSERT INTO pgmq.q_s (message, headers) VALUES ('60', '{\"x-pgmq-group\": \"k1\"}')"
    stream.execute(by_hand.encode())
    lanes: dict[int, list[Any]] = {}
    commit_it = "SELECT pgmq.commit('s', 'wide', %s, %s)"
    while batch := fetch(stream, group="wide"):
        lanes.setdefault(batch[0][0], []).extend(batch)
        assert one(stream, commit_it, *lease(batch))
    assert sorted(row[2] for rows in lanes.values() for row in rows) == list(range(1, 62))
    keys = [{row[6][GROUP] for row in rows if row[6] is not None} for rows in lanes.values()]
    assert sum(map(len, keys)) == len(set().union(*keys)) == 7
    assert all(msg_ids(rows) == sorted(msg_ids(rows)) for rows in lanes.values())


def test_a_lane_passes_over_many_messages_of_others(stream: psycopg.Connection) -> None:
    stream.execute("SELECT pgmq.create_group('s', 'wide', 'earliest', 4)")
    stream.execute(
        "SELECT pgmq.send_batch('s', array_agg(to_jsonb(i)), array_agg(%s::jsonb))"
        " FROM generate_series(1, 5000) AS i",
        [json.dumps({GROUP: "hot"})],
    )
    send(stream, range(40))  # without a key: some in each lane
    hot = one(stream, "SELECT max(key_hash) % 4 FROM pgmq.q_s")
    others = [fetch(stream, group="wide") for _ in range(4)]
    assert sorted(batch[0][0] for batch in others) == [0, 1, 2, 3]
    assert all(batch[0][2] > 5000 for batch in others if batch[0][0] != hot)


def test_a_failing_batch_comes_in_pieces_down_to_the_message_that_fails(
    db: psycopg.Connection,
) -> None:
    db.execute(
        "SELECT pgmq.create_stream('S'),"
        " pgmq.create_group('s', 'g', 'earliest', 1, 4, 'Dead \"Letters\"')"
    )
    send(db, range(1, 101))
    deliveries = dict.fromkeys(range(1, 101), 0)
    done = []
    for _ in range(100):
        batch = fetch(db)
        if not batch:
            break
        for row in batch:
            deliveries[row[2]] += 1
            assert row[3] == deliveries[row[2]], row
        if 57 in msg_ids(batch):
            assert release(db, batch, "boom")
        else:
            assert commit(db, batch)
            done += msg_ids(batch)
    assert done == [i for i in range(1, 101) if i != 57]
    assert max(deliveries.values()) == 4
    ((message, headers),) = db.execute(
        "SELECT message, headers FROM pgmq.read('dead \"letters\"', 60, 9)"
    ).fetchall()
    letter = headers["x-pgmq-dead-letter"]
    assert (message, letter["group"], letter["error"], letter["read_ct"]) == (57, "g", "boom", 4)
    # A crash that ends a lease counts as a failure, too.
    send(db, ["crash"])
    for _ in range(4):
        assert [row[5] for row in fetch(db, vt=0)] == ["crash"]
    assert fetch(db) == []
    assert one(db, "SELECT message FROM pgmq.read('dead \"letters\"', 60, 9)") == "crash"


@pytest.mark.parametrize(
    ("spoil", "mend", "reason"),
    [
        ("ADD CONSTRAINT small CHECK (msg_id < 0)", "q_dead DROP CONSTRAINT small", '"small"'),
        ("RENAME TO q_gone", "q_gone RENAME TO q_dead", 'relation "pgmq.q_dead" does not exist'),
    ],
)
@pytest.mark.parametrize("by", ["a release", "a lease that ended"])
def test_a_dead_letter_that_cannot_be_stored_holds_up_its_lane_alone(
    stream: psycopg.Connection, spoil: str, mend: str, reason: str, by: str
) -> None:
    stream.execute("SELECT pgmq.create_group('s', 'two', 'earliest', 2, 1, 'dead')")
    stream.execute(f"ALTER TABLE pgmq.q_dead {spoil}".encode())
    send(stream, range(1, 8))
    warnings: list[str] = []
    stream.add_notice_handler(lambda notice: warnings.append(notice.message_primary or ""))

    def fail() -> None:
        """Have the message 1, the first of lane 1, fail in vain."""
        while (batch := fetch(stream, 1, "two", 0)) and batch[0][:3:2] != (1, 1):
            assert one(stream, "SELECT pgmq.commit('s', 'two', %s, %s)", *lease(batch))
        if by == "a release":
            release = "SELECT pgmq.release('s', 'two', %s, %s, error => 'boom')"
            assert one(stream, release, *lease(batch))

    fail()
    done = []
    while batch := fetch(stream, 1, "two"):
        done += msg_ids(batch)
        assert one(stream, "SELECT pgmq.commit('s', 'two', %s, %s)", *lease(batch))
    assert set(done) <= {2, 4, 6}
    lane = stream.execute(
        "SELECT committed, leased_up_to, leased_until > now() + interval '9 min', failures, error"
        " FROM pgmq.list_lanes('s') WHERE group_name = 'two' AND lane = 1"
    ).fetchall()
    assert lane[0][:4] == (0, None, True, 1)
    assert lane[0][4].startswith("it cannot be stored as a dead letter: ")
    assert reason in lane[0][4]
    assert re.match('message 1 of stream "s" cannot be stored as a dead letter of', warnings[0])
    # After that time it is handed out again.
    stream.execute(f"ALTER TABLE pgmq.{mend}".encode())
    stream.execute("UPDATE pgmq.lane_s SET vt = '-infinity' WHERE group_name = 'two'")
    fail()
    assert msg_ids(fetch(stream, 1, "two")) == [3]
    assert ids(stream, "SELECT message FROM pgmq.peek('dead')") == [1]


def test_what_was_rolled_back_is_no_message(stream: psycopg.Connection) -> None:
    def roll_back(count: int) -> None:
        with stream.transaction(force_rollback=True):
            send(stream, range(count))

    found = send(stream, [1, 2])
    roll_back(3)
    found += send(stream, [3, 4, 5])
    roll_back(200)
    found += send(stream, [6])
    for size in (4, 1, 9, 3):
        assert msg_ids(batch := fetch(stream, size)) == found[:size]
        assert release(stream, batch, None)
    assert msg_ids(batch := fetch(stream, 4)) == found[:4]
    assert commit(stream, batch)
    assert msg_ids(batch := fetch(stream, 4)) == found[4:]
    assert commit(stream, batch)
    # A batch that ends in the gap, and fails, is known by its last message.
    stream.execute("SELECT pgmq.alter_group('s', 'g', 1, 'dead')")
    last = send(stream, ["last"])
    roll_back(20)
    batch = fetch(stream, 10)
    assert msg_ids(batch) == last
    assert release(stream, batch)
    assert ids(stream, "SELECT message FROM pgmq.q_dead") == ["last"]
    # A gap that is longer than a batch.
    assert fetch(stream, 10) == []
    new = send(stream, ["new"])
    assert msg_ids(fetch(stream, 10)) == new


def test_a_rejected_message_is_copied_and_the_rest_goes_on(stream: psycopg.Connection) -> None:
    headers = json.dumps({"x-pgmq-dedup-id": "the same"})
    for number in range(1, 5):
        stream.execute("SELECT pgmq.send('s', %s::text::jsonb, %s::jsonb)", [number, headers])
    batch = fetch(stream)
    reject = "SELECT pgmq.reject('s', 'g', %s, %s, %s, 'no')"
    with pytest.raises(
        psycopg.errors.ObjectNotInPrerequisiteState, match="has no dead_letter_queue"
    ):
        stream.execute(reject, [*lease(batch), 3])
    stream.execute("SELECT pgmq.alter_group('s', 'g', dead_letter_queue => 'dead')")
    stream.execute("SELECT pgmq.set_policy('dead', dedup_window => '1 h')")
    assert one(stream, reject, *lease(batch), 3)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="message 2 is not in the batch"):
        stream.execute(reject, [*lease(batch), 2])
    assert one(stream, reject, *lease(batch), 4)
    assert not one(stream, reject, *lease(batch), 4)
    assert fetch(stream) == []
    letters = stream.execute("SELECT message, headers FROM pgmq.read('dead', 60, 9)").fetchall()
    assert [message for message, _ in letters] == [3, 4]
    with pytest.raises(psycopg.errors.DependentObjectsStillExist, match="takes the dead letters"):
        stream.execute("SELECT pgmq.drop_queue('dead')")


def test_options_of_a_group_change_one_by_one(stream: psycopg.Connection) -> None:
    options = "SELECT max_deliveries, dead_letter_queue, keep_unread FROM pgmq.list_groups('s')"
    alter = "SELECT pgmq.alter_group('s', 'g', {})"
    for change, expected in (
        ("3, 'dead'", (3, "dead", True)),
        ("keep_unread => false", (3, "dead", False)),
        ("clear => ARRAY['max_deliveries']", (None, "dead", False)),
        ("clear => ARRAY['dead_letter_queue'], keep_unread => true", (None, None, True)),
    ):
        stream.execute(alter.format(change).encode())
        assert stream.execute(options).fetchone() == expected
    for change, text in (
        ("5", "max_deliveries needs a dead_letter_queue: 5"),
        ("0, 'dead'", "max_deliveries must be between 1 and 200: 0"),
        ("201, 'dead'", "max_deliveries must be between 1 and 200: 201"),
        ("clear => ARRAY['lanes']", 'has no option "lanes" that can be cleared'),
        ("dead_letter_queue => 's'", 'stream "s" is read by groups'),
    ):
        with pytest.raises(psycopg.Error, match=text):
            stream.execute(alter.format(change).encode())


def test_retention_drops_what_is_old_and_read(db: psycopg.Connection) -> None:
    db.execute(
        "SELECT pgmq.create_stream('s', '100', '250'), pgmq.create_group('s', 'g', 'earliest'),"
        " pgmq.create_group('s', 'lazy', 'earliest', keep_unread => false)"
    )
    segments = "SELECT first_id FROM pgmq.stream_segment WHERE queue_name = 's' ORDER BY 1"
    send(db, range(450))
    db.execute("SELECT pgmq.maintain('s')")
    assert ids(db, segments) == [0, 100, 200, 300, 400]
    held = "SELECT held_bytes > 0, held_since IS NOT NULL FROM pgmq.list_groups('s')"
    assert db.execute(held).fetchall() == [(True, True), (False, False)]
    for _ in range(3):
        assert commit(db, fetch(db))
    db.execute("SELECT pgmq.maintain('s')")
    # 250 messages came after those of the second segment.
    assert ids(db, segments) == [200, 300, 400]
    assert db.execute(held).fetchall() == [(False, False)] * 2
    assert msg_ids(fetch(db, 2, "lazy")) == [200, 201]
    assert db.execute(
        "SELECT dropped_messages, dropped_unread FROM pgmq.partitioning WHERE queue_name = 's'"
    ).fetchone() == (199, 199)


def test_a_stream_with_few_messages_lets_go_of_old_ones(db: psycopg.Connection) -> None:
    db.execute(
        "SELECT pgmq.create_stream('s', '1 day', '3 days'), pgmq.create_group('s', 'g', 'earliest')"
    )
    for day in range(5):
        send(db, [day])
        # A day later.
        db.execute(
            "UPDATE pgmq.stream_segment"
            " SET began_at = began_at - '1 day'::interval, ended_at = ended_at - '1 day'::interval"
        )
        db.execute("SELECT pgmq.maintain('s')")
    assert one(db, "SELECT lag FROM pgmq.list_groups('s')") == 5  # kept for the group
    # What is left of a segment is a batch of its own. One send in 64 notes what is settled: then a
    # batch ends there, since to its reader many ids come before that.
    batches = []
    while batch := fetch(db):
        batches.append([row[5] for row in batch])
        assert commit(db, batch)
    assert batches[0] == [0]
    assert [number for batch in batches for number in batch] == [0, 1, 2, 3, 4]
    db.execute("SELECT pgmq.maintain('s')")
    db.execute("SELECT pgmq.seek('s', 'g', 'earliest')")
    assert [row[5] for row in fetch(db)] == [2]
    assert one(db, "SELECT lag FROM pgmq.list_groups('s')") == 3


def test_a_segment_whose_end_was_rolled_back_ends_with_its_last_message(
    db: psycopg.Connection, connect: Connect
) -> None:
    db.execute(
        "SELECT pgmq.create_stream('s', '1 day', '1000'), pgmq.create_group('s', 'g', 'earliest')"
    )
    a_day_later = (
        "UPDATE pgmq.stream_segment SET began_at = began_at - '1 day'::interval"
        " WHERE ended_at IS NULL"
    )
    send(db, [1, 2, 3])
    db.execute(a_day_later.encode())
    db.execute("SELECT pgmq.maintain('s')")
    assert send(db, [4]) == [10**9]
    db.execute(a_day_later.encode())
    with db.transaction(force_rollback=True):
        db.execute("SELECT pgmq.maintain('s')")
    # As long as there may be a message that is not seen yet, it has not ended.
    with connect(autocommit=False) as open_sender:
        assert send(open_sender, [5]) == [2 * 10**9]
        db.execute("SELECT pgmq.maintain('s')")
        assert one(db, "SELECT held_since FROM pgmq.list_groups('s')") is None
    db.execute("SELECT pgmq.maintain('s'), pgmq.drop_group('s', 'g')")
    db.execute("SELECT pgmq.maintain('s')")
    segments = "SELECT last_id FROM pgmq.stream_segment ORDER BY first_id"
    assert ids(db, segments) == [3, 10**9, None]
    assert one(db, "SELECT total_messages FROM pgmq.metrics('s')") == 5
    assert ids(db, "SELECT message FROM pgmq.peek('s', 9)") == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("interval", "first_end"),
    [
        ("30 minutes", "2026-11-25 10:30"),
        ("1 hour", "2026-11-25 11:00"),
        ("36 hours", "2026-11-26"),
        ("1 day", "2026-11-26"),
        ("2 days", "2026-11-26"),
        ("7 days", "2026-11-30"),
        ("14 days", "2026-11-30"),
        ("1 month", "2026-12-01"),
        ("2 months", "2027-01-01"),
        ("3 months", "2027-01-01"),
        ("1 year", "2027-01-01"),
        ("5 years", "2030-01-01"),
    ],
)
def test_a_segment_lasts_until_the_next_interval_begins(
    db: psycopg.Connection, interval: str, first_end: str
) -> None:
    db.execute("SET timezone = 'UTC'")
    over = """
        SELECT ARRAY[
            pgmq._is_over(x.i, '2026-11-25 10:17', x.e - '1 s'::interval),
            pgmq._is_over(x.i, '2026-11-25 10:17', x.e),
            pgmq._is_over(x.i, x.e + '1 s', x.e + x.i::interval - '1 s'::interval),
            pgmq._is_over(x.i, x.e + '1 s', x.e + x.i::interval)
        ]
        FROM (SELECT %s::text AS i, %s::timestamptz AS e) AS x
    """
    assert one(db, over, interval, first_end) == [False, True, False, True]


@pytest.mark.parametrize("interval", ["10000 days", "240000 hours", "500 months", "40 years"])
def test_a_long_segment_does_not_end_with_the_day(db: psycopg.Connection, interval: str) -> None:
    db.execute("SELECT pgmq.create_stream('s', %s, null)", [interval])  # the next ones: 2036 on
    send(db, [1])
    db.execute("UPDATE pgmq.stream_segment SET began_at = now() - '400 days'::interval")
    db.execute("SELECT pgmq.maintain('s')")
    assert send(db, [2]) == [2]


@pytest.mark.parametrize(
    "call",
    [
        "read('s', 1, 1)", "pop('s')", "delete('s', 1)", "archive('s', 1)", "set_vt('s', 1, 1)",
        "ack('s', 1, 1)", "nack('s', 1, 1)", "extend('s', 1, 1, 1)", "read_with_poll('s', 1, 1)",
        "ack_and_read('s', 1, 1, '{}', '{}')", "read_any('{s}', 1, 1)", "pin('s')",
        "read_grouped('s', 1, 1)", "read_grouped_rr('s', 1, 1)", "read_grouped_head('s', 1, 1)",
        "create_fifo_index('s')", "enable_push('s')", "open_channel('s')", "next_visible_at('s')",
        "set_policy('q', max_receives => 1, dead_letter_queue => 's')",
        "convert_archive_partitioned('s')", "move('s', 1, 'q')", "read_group('s', 'a', 1, 1)",
        "grant_consume('s', 'pg_monitor')", "create_group('q', 'g')", "redrive('s')",
    ],
)  # fmt: skip
def test_what_leases_single_messages_is_refused(stream: psycopg.Connection, call: str) -> None:
    stream.execute("SELECT pgmq.create('q')")
    text = 'queue "q" is not a stream' if "create_group" in call else 'stream "s" is read by groups'
    with pytest.raises(psycopg.errors.FeatureNotSupported, match=text) as error:
        stream.execute(f"SELECT pgmq.{call}".encode())
    hint = "create_stream" if "create_group" in call else "fetch"
    assert hint in str(error.value.diag.message_hint)


@pytest.mark.parametrize(
    ("call", "state", "text"),
    [
        ("send('s', '1', 5)", "0A000", 'stream "s" has no delays'),
        ("send_batch('s', '{1}', now() + '1 h')", "0A000", 'stream "s" has no delays'),
        ("set_policy('s', message_ttl => '1 h')", "0A000", 'stream "s" has no policy but'),
        ("create_stream('q')", "42P07", 'queue "q" exists and is no stream'),
        ("create_partitioned('s')", "42P07", 'queue "s" exists and is a stream'),
        ("create_stream('t', '10')", "22023", "segment_interval must be at least a second"),
        (
            "create_stream('t', '1 ms')",
            "22023",
            "segment_interval must be at least a second",
        ),
        ("create_stream('t', NULL)", "22004", "segment_interval must not be null"),
        ("create_stream('t', 'x')", "22023", "segment_interval is neither a duration nor a number"),
        ("drop_group('s', NULL)", "22004", "group name must not be null"),
        ("create_stream('t', '1 day', 'x')", "22023", "is neither a duration nor a number"),
        ("create_group('s', '')", "42622", 'group name "" must have 1 to 255 bytes, not 0'),
        ("create_group('s', NULL)", "22004", "group name must not be null"),
        ("create_group('s', 'h', lanes => 65)", "22023", "lanes must be between 1 and 64: 65"),
        ("create_group('s', 'h', 'x')", "22023", 'a group cannot start at "x"'),
        ("create_group('s', 'h', '9')", "22023", 'stream "s" has no message 9 yet'),
        ("create_group('s', 'h', NULL)", "22004", "start must not be null"),
        ("fetch('s', 'h', 1, 1)", "42704", 'stream "s" has no group "h"'),
        ("fetch('x', 'h', 1, 1)", "42P01", 'queue "x" does not exist'),
        ("fetch('s', 'g', 1, 0)", "2201W", "qty must be between 1 and 100000: 0"),
        ("fetch('s', 'g', NULL, 1)", "22004", "vt must not be null"),
        ("commit('s', 'g', 1, 1)", "22023", 'group "g" of stream "s" has no lane 1'),
        ("seek('s', 'h', 'latest')", "42704", 'stream "s" has no group "h"'),
        ("list_groups('q')", "0A000", 'queue "q" is not a stream'),
    ],
)
def test_bad_input_is_named(stream: psycopg.Connection, call: str, state: str, text: str) -> None:
    stream.execute("SELECT pgmq.create('q')")
    with pytest.raises(psycopg.Error, match=text) as error:
        stream.execute(f"SELECT pgmq.{call}".encode())
    assert error.value.sqlstate == state
    assert error.value.diag.message_hint
    if state == "42P01":
        assert "pgmq.create_stream('x')" in error.value.diag.message_hint


def test_a_transaction_with_an_old_snapshot_cannot_read(stream: psycopg.Connection) -> None:
    for level in ("REPEATABLE READ", "SERIALIZABLE"):
        for call in (
            "fetch('s', 'g', 1, 1)", "commit('s', 'g', 0, 1)", "release('s', 'g', 0, 1)",
            "seek('s', 'g', 'latest')", "create_group('s', 'h', 'yesterday')",
        ):  # fmt: skip
            with stream.transaction(force_rollback=True):
                stream.execute(f"SET TRANSACTION ISOLATION LEVEL {level}".encode())
                with pytest.raises(
                    psycopg.errors.InvalidTransactionState, match=f"cannot read in a {level} trans"
                ):
                    stream.execute(f"SELECT pgmq.{call}".encode())


def test_a_stream_is_dropped_with_its_groups(stream: psycopg.Connection) -> None:
    assert one(stream, "SELECT pgmq.drop_group('s', 'g')")
    assert not one(stream, "SELECT pgmq.drop_group('s', 'g')")
    stream.execute("SELECT pgmq.create_group('s', 'g'), pgmq.drop_queue('s')")
    assert ids(stream, "SELECT relname FROM pg_class WHERE relname ~ '_s$'") == []
    for table in ("stream_group", "stream_segment", "partitioning", "meta"):
        assert one(stream, f"SELECT count(*) FROM pgmq.{table}") == 0


def test_a_role_reads_as_its_group_only(
    stream: psycopg.Connection, connect: Connect, roles: Roles
) -> None:
    stream.execute("SELECT pgmq.create_group('s', 'other', 'earliest')")
    send(stream, range(3))
    name, monitor = roles(), roles()
    stream.execute("SELECT pgmq.grant_fetch('s', 'g', %s)", [name])
    stream.execute("SELECT pgmq.grant_monitor('s', %s)", [monitor])
    stream.execute("SELECT pgmq.alter_group('s', 'g', 1, 'dead')")
    reader = connect()
    reader.execute(f"SET ROLE {name}".encode())
    batch = fetch(reader, 1)
    assert release(reader, batch)  # its only message becomes a dead letter
    assert one(stream, "SELECT count(*) FROM pgmq.q_dead") == 1
    batch = fetch(reader)
    assert one(reader, "SELECT pgmq.extend_lease('s', 'g', %s, %s, 60)", *lease(batch))
    assert commit(reader, batch)
    assert ids(reader, "SELECT group_name FROM pgmq.list_groups('s')") == ["g"]
    stream.execute("SELECT pgmq.create_stream('t'), pgmq.create_group('t', 'g')")
    assert ids(reader, "SELECT group_name FROM pgmq.list_groups()") == ["g"]
    stream.execute("SELECT pgmq.drop_queue('t')")
    for call, text in (
        ("fetch('s', 'other', 1, 1)", 'permission denied for group "other" of stream "s"'),
        ("commit('s', 'other', 0, 1)", 'permission denied for group "other" of stream "s"'),
        ("seek('s', 'other', 'latest')", 'permission denied for group "other" of stream "s"'),
        ("create_group('s', 'mine')", 'only the owner of stream "s" decides on its groups'),
        ("drop_group('s', 'g')", 'only the owner of stream "s" decides on its groups'),
        ("send('s', '1')", "permission denied for table q_s"),
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=text):
            reader.execute(f"SELECT pgmq.{call}".encode())
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        reader.execute(
            "INSERT INTO pgmq.lane_s SELECT 'other', 0, version + 9, lanes, 9, 9, epoch, vt, size,"
            " pid, changed_at, failed, error FROM pgmq.lane_s"
        )
    assert one(reader, "SELECT pgmq.seek('s', 'g', 'earliest')") == 1
    # Also where a setting makes an error of what a role may not see.
    reader.execute("SET row_security = off")
    assert ids(reader, "SELECT group_name FROM pgmq.list_lanes('s')") == ["g"]
    reader.execute(f"SET ROLE {monitor}".encode())
    assert ids(reader, "SELECT group_name FROM pgmq.list_groups('s')") == ["g", "other"]
    reader.execute("SET ROLE pg_monitor")
    assert ids(reader, "SELECT finding FROM pgmq.doctor() WHERE finding ~ 'not looked at'") == []
    reader.execute(f"SET ROLE {monitor}".encode())
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        reader.execute("SELECT pgmq.fetch('s', 'g', 1, 1)")
    stream.execute("SELECT pgmq.revoke_all('s', %s), pgmq.revoke_all(%s)", [name, monitor])
    assert ids(stream, "SELECT polname FROM pg_policy") == ["monitor"]


def test_a_role_that_is_renamed_keeps_its_groups_and_another_of_its_name_has_none(
    stream: psycopg.Connection, roles: Roles
) -> None:
    name, new = roles(), roles()
    # Policies are known by what they show, which names must not confuse.
    group = 'it\'s a \\ $%I "group"'
    stream.execute("SET quote_all_identifiers = on")
    stream.execute("SELECT pgmq.create_group('s', %s, 'earliest')", [group])
    send(stream, range(3))

    def fetched(role: str) -> int:
        with stream.transaction(force_rollback=True):
            stream.execute(f"SET LOCAL ROLE {role}".encode())
            return len(fetch(stream, 1, group))

    for _ in range(2):
        stream.execute("SELECT pgmq.grant_fetch('s', %s, %s)", [group, name])
        stream.execute("SELECT pgmq.grant_monitor('s', %s)", [name])
    assert one(stream, "SELECT count(*) FROM pg_policy") == 3
    for before, after in ((new, f"{name}_old"), (name, new), (f"{name}_old", name)):
        stream.execute(f"ALTER ROLE {before} RENAME TO {after}".encode())
    assert fetched(new) == 1
    stream.execute("SELECT pgmq.grant_fetch('s', %s, %s)", [group, name])
    assert fetched(name) == 1
    stream.execute("SELECT pgmq.drop_group('s', %s)", [group])
    assert one(stream, "SELECT count(*) FROM pg_policy") == 2  # those who monitor


def test_a_role_without_rights_is_told_which_grant_it_needs(
    stream: psycopg.Connection, connect: Connect, roles: Roles
) -> None:
    name = roles()
    stream.execute("SELECT pgmq.grant_send('s', %s)", [name])
    for call, grant in (
        ("fetch('s', 'g', 1, 1)", "grant_fetch('s', <group>, "),
        ("commit('s', 'g', 0, 1)", "grant_fetch('s', <group>, "),
        ("release('s', 'g', 0, 1)", "grant_fetch('s', <group>, "),
        ("seek('s', 'g', 'latest')", "grant_fetch('s', <group>, "),
        ("list_groups('s')", "grant_monitor('s', "),
        ("list_lanes('s')", "grant_monitor('s', "),
    ):
        other = connect()
        other.execute(f"SET ROLE {name}".encode())
        with pytest.raises(
            psycopg.errors.InsufficientPrivilege, match='permission denied for stream "s"'
        ) as error:
            other.execute(f"SELECT * FROM pgmq.{call}".encode())
        assert f"{grant}'{name}')" in str(error.value.diag.message_hint)
    other.execute("SELECT * FROM pgmq.list_groups()")
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as error:
        other.execute("SELECT * FROM pgmq.peek('s')")
    assert f"grant_fetch('s', <group>, '{name}')" in str(error.value.diag.message_hint)


def test_a_superuser_looks_into_the_streams_of_others_by_name_only(
    db: psycopg.Connection, connect: Connect, roles: Roles
) -> None:
    name = roles()
    db.execute("SELECT pgmq.grant_create(%s)", [name])
    owner = connect(user=name)
    owner.execute(
        "SELECT pgmq.create_stream('s'), pgmq.create_group('s', 'g'), pgmq.create_group('s', 'h')"
    )
    warnings: list[str | None] = []
    db.add_notice_handler(lambda notice: warnings.append(notice.message_primary))
    assert db.execute("SELECT * FROM pgmq.list_groups()").fetchall() == []
    assert warnings == ["list_groups() leaves out queues of other owners: s"]
    assert ids(db, "SELECT group_name FROM pgmq.list_groups('s')") == ["g", "h"]
    assert ids(owner, "SELECT group_name FROM pgmq.list_groups()") == ["g", "h"]


def test_metrics_count_what_is_kept_and_leave_out_ids_passed_over(
    stream: psycopg.Connection, connect: Connect, roles: Roles
) -> None:
    figures = (
        "SELECT queue_length, queue_visible_length, total_messages, oldest_msg_age_sec,"
        " newest_msg_age_sec, default_partition_length FROM pgmq.metrics{}"
    )
    assert stream.execute(figures.format("('s')").encode()).fetchall() == [(0, 0, 0, None, None, 0)]
    send(stream, range(3))
    stream.execute("UPDATE pgmq.stream_segment SET began_at = began_at - '1 day'::interval")
    stream.execute("SELECT pgmq.maintain('s')")
    assert send(stream, [3]) == [10**9]
    assert stream.execute(figures.format("('s')").encode()).fetchall() == [(4, 4, 4, 0, 0, 0)]
    monitor = roles()
    stream.execute("SELECT pgmq.create('q'), pgmq.grant_monitor('s', %s)", [monitor])
    session = connect()
    session.execute(f"SET ROLE {monitor}".encode())
    assert ids(session, "SELECT queue_length FROM pgmq.metrics_all()") == [4]
    # Beyond what is counted, by statistics, or by ids if there are none.
    stream.execute(
        "SELECT pgmq.send_batch('s', array_agg(to_jsonb(i))) FROM generate_series(1, 12000) AS i"
    )
    assert one(session, "SELECT queue_length FROM pgmq.metrics('s')") >= 10001
    stream.execute("SELECT pg_stat_reset(); ANALYZE pgmq.q_s")
    length, deadline = 0, time.monotonic() + 20
    while length != pytest.approx(12004, rel=0.05):  # statistics may come late
        assert time.monotonic() < deadline, length
        time.sleep(0.1)
        length = one(session, "SELECT queue_length FROM pgmq.metrics('s')")
    assert ids(session, "SELECT queue_length FROM pgmq.metrics_all()") == [length]


def test_a_purge_leaves_groups_where_they_are(stream: psycopg.Connection) -> None:
    send(stream, range(3))
    assert commit(stream, fetch(stream, 2))
    assert one(stream, "SELECT pgmq.purge_queue('s')") == 3
    assert one(stream, "SELECT committed FROM pgmq.list_groups('s')") == 2
    assert fetch(stream) == []
    send(stream, [4])
    assert msg_ids(fetch(stream)) == [4]


def test_messages_are_looked_at_without_a_group(stream: psycopg.Connection) -> None:
    send(stream, [{"a": 1}, {"a": 2}, {"a": 2}])
    look = "SELECT msg_id, read_ct, last_read_at, vt = enqueued_at, message FROM pgmq."
    second = (2, 0, None, True, {"a": 2})
    assert stream.execute(f"{look}get('s', 2)".encode()).fetchall() == [second]
    assert stream.execute(f"{look}peek('s', 1, '{{\"a\": 2}}')".encode()).fetchall() == [second]
    assert ids(stream, "SELECT msg_id FROM pgmq.peek('s', null)") == [1, 2, 3]


def test_messages_are_moved_to_a_stream_but_not_from_one(stream: psycopg.Connection) -> None:
    stream.execute("SELECT pgmq.create('q'), pgmq.send('q', '1'), pgmq.send('q', '2', 60)")
    assert one(stream, "SELECT pgmq.move('q', 1, 's')") == 1
    with pytest.raises(psycopg.errors.FeatureNotSupported, match='stream "s" has no delays'):
        stream.execute("SELECT pgmq.move('q', 2, 's')")
    assert one(stream, "SELECT count(*) FROM pgmq.q_q") == 1
    with pytest.raises(psycopg.errors.FeatureNotSupported, match='stream "s" is read by groups'):
        stream.execute("SELECT pgmq.move('s', 1, 'q')")
    assert [row[5] for row in fetch(stream)] == [1]


def test_dead_letters_of_a_group_go_back_only_if_that_is_said(stream: psycopg.Connection) -> None:
    notices: list[str] = []
    stream.add_notice_handler(lambda n: notices.append(f"{n.message_primary} {n.message_hint}"))
    stream.execute("SELECT pgmq.alter_group('s', 'g', 1, 'dead')")
    send(stream, [1])
    assert release(stream, fetch(stream))
    assert one(stream, "SELECT pgmq.redrive('dead')") == 0
    (notice,) = (text for text in notices if 'stay in queue "dead"' in text)
    assert "are streams" in notice
    assert "In a stream all groups would get them again." in notice
    assert one(stream, "SELECT pgmq.redrive('dead', 's')") == 1
    assert [row[5:] for row in fetch(stream)] == [(1, None)]


def test_doctor_names_what_is_wrong_with_groups(
    stream: psycopg.Connection, connect: Connect
) -> None:
    found = "SELECT severity, finding, fix FROM pgmq.doctor() WHERE queue_name = 's'"
    send(stream, range(3))
    assert stream.execute(found).fetchall() == []

    # Ids that sessions put by: who has read past them would never see them.
    ids = one(stream, "SELECT pg_get_serial_sequence('pgmq.q_s', 'msg_id')")
    stream.execute(f"ALTER SEQUENCE {ids} CACHE 100".encode())
    ((severity, finding, fix),) = stream.execute(found).fetchall()
    assert (severity, finding[:40]) == ("critical", "msg_ids are drawn 100 at a time by each ")
    stream.execute(fix.encode())
    assert stream.execute(found).fetchall() == []

    # Retention would have dropped what a group has yet to read.
    stream.execute(
        "UPDATE pgmq.stream_segment SET began_at = began_at - '9 days'::interval;"
        "SELECT pgmq.maintain('s');"
        "UPDATE pgmq.stream_segment SET ended_at = ended_at - '9 days'::interval"
    )
    ((severity, finding, fix),) = stream.execute(found).fetchall()
    assert re.match(r'group "g" keeps \d+ kB that retention would have', finding)
    assert (severity, "keep_unread => false" in fix) == ("warning", True)
    # A transaction that stays open holds back reading, and does not keep retention from it.
    stream.execute("SET pgmq.doctor_patience = '0'")
    with connect(autocommit=False) as writer:
        writer.execute("SELECT pgmq.send('s', '4')")
        while one(stream, "SELECT holder FROM pgmq._open_writer('pgmq.q_s', '1 s')") is None:
            stream.execute("SELECT pg_sleep(0.1)")
        holding = stream.execute(found).fetchall()
        assert any("what was sent last cannot be read yet" in row[1] for row in holding)
        assert f"SELECT pg_terminate_backend({writer.info.backend_pid})" in {
            fix for *_, fix in holding
        }
        assert not any("keeps more than retention" in finding for _, finding, _ in holding)
    # What can be dropped is not, because of a transaction.
    stream.execute("SELECT pgmq.seek('s', 'g', 'latest')")
    with connect(autocommit=False) as reader:
        reader.execute("SELECT * FROM pgmq.fetch('s', 'g', 60, 1)")
        stream.execute("SELECT pg_sleep(0.1)")
        assert "keeps more than retention says" in str(stream.execute(found).fetchall())

    send(stream, [5])
    for _ in range(3):
        assert release(stream, fetch(stream))
    findings = [finding for _, finding, _ in stream.execute(found).fetchall()]
    assert 'group "g" fails again and again in 1 of its 1 lanes: boom' in findings
    stream.execute("SELECT pgmq.seek('s', 'g', 'latest'), pgmq.maintain('s')")
    assert stream.execute(found).fetchall() == []


def test_doctor_names_groups_that_have_lost_their_place(stream: psycopg.Connection) -> None:
    found = (
        "SELECT finding, fix FROM pgmq.doctor() WHERE queue_name = 's' AND severity = 'critical'"
    )
    stream.execute("SELECT pgmq.create_group('s', 'wide', 'earliest', 2, 5, 'dead', false)")
    send(stream, range(3))
    assert commit(stream, fetch(stream))
    # As after a restore of a part.
    stream.execute("DELETE FROM pgmq.lane_s WHERE group_name = 'wide' AND lane = 1")
    ((finding, fix),) = stream.execute(found).fetchall()
    assert finding == 'group "wide" has 1 of its 2 lanes'
    stream.execute(fix.encode())
    assert stream.execute(found).fetchall() == []
    assert len(fetch(stream, group="wide") + fetch(stream, group="wide")) == 3

    stream.execute("TRUNCATE pgmq.q_s RESTART IDENTITY")
    ((finding, fix), *_) = stream.execute(found).fetchall()
    assert 'group "g" has read up to msg_id 3, but the last message has msg_id 0' in finding
    stream.execute(fix.partition(";")[0].encode())
    assert stream.execute(found).fetchall() == []
    assert msg_ids([*fetch(stream), *[(0, 0, i) for i in send(stream, [4])]]) == [4]
    assert msg_ids(fetch(stream)) == [4]


def test_who_waits_is_woken_by_what_is_sent_given_back_or_moved(
    stream: psycopg.Connection, connect: Connect
) -> None:
    stream.execute("SELECT pgmq.enable_wakeups('s'), pgmq.enable_wakeups('s')")
    waiting = connect()

    def heard() -> int:
        return len(list(waiting.notifies(timeout=1, stop_after=1)))

    assert one(waiting, "SELECT pgmq.await('s', 60) > now() + '50 s'::interval")
    send(stream, [1, 2])
    assert heard() == 1
    batch = fetch(stream, 1, vt=20)
    # Nothing is sent, but the lease ends.
    until = "SELECT pgmq.await('s', 60) - now() BETWEEN '10 s'::interval AND '20 s'::interval"
    assert one(waiting, until)
    assert release(stream, batch, None)
    assert heard() == 1
    assert commit(stream, fetch(stream))
    stream.execute("SELECT pgmq.seek('s', 'g', 'earliest')")
    assert heard() == 1
    stream.execute("SELECT pgmq.disable_wakeups('s')")
    assert release(stream, fetch(stream))
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="does not wake"):
        waiting.execute("SELECT pgmq.await('s')")


def test_a_sender_sends_and_a_new_owner_goes_on(
    stream: psycopg.Connection, connect: Connect, roles: Roles
) -> None:
    stream.execute(
        "SELECT pgmq.enable_wakeups('s'), pgmq.set_policy('s', dedup_window => '1 h'),"
        " pgmq.create_exchange('x'), pgmq.bind('x', 's', '#'), pgmq.bind_topic('a', 's')"
    )
    sender, reader, owner = roles(), roles(), roles()
    stream.execute(
        "SELECT pgmq.grant_send('s', %s), pgmq.grant_fetch('s', 'g', %s)", [sender, reader]
    )
    sending, reading = connect(), connect()
    sending.execute(f"SET ROLE {sender}".encode())
    reading.execute(f"SET ROLE {reader}".encode())
    for call in (
        "send('s', '1')", "send_batch('s', '{1,2}')", "send_once('s', '1', 'key')",
        "publish('x', 'a', '1')", "send_topic('a', '1')", "send_batch_topic('a', '{1}')",
    ):  # fmt: skip
        sending.execute(f"SELECT pgmq.{call}".encode())
    for call in ("fetch('s', 'g', 1, 1)", "peek('s')", "get('s', 1)", "metrics('s')"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            sending.execute(f"SELECT pgmq.{call}".encode())
    for call in ("purge_queue('s')", "drop_queue('s')", "grant_send('s', current_user::text)"):
        for session in (sending, reading):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(f"SELECT pgmq.{call}".encode())
    assert len(fetch(reading, 2)) == 2

    for table in ids(stream, "SELECT relid::regclass::text FROM pg_partition_tree('pgmq.q_s')"):
        stream.execute(f"ALTER TABLE {table} OWNER TO {owner}".encode())
    stream.execute("SELECT pgmq.recompile_all()")
    owned = (
        "SELECT relowner::regrole::text FROM pg_class WHERE relname ~ '^(q|lane|epoch|dedup)_s$'"
    )
    assert ids(stream, owned) == [owner] * 4
    assert ids(stream, "SELECT finding FROM pgmq.doctor() WHERE queue_name = 's'") == []
    stream.execute("SELECT pgmq.grant_create(%s)", [owner])
    sending.execute("SELECT pgmq.send('s', '1')")
    assert one(reading, "SELECT pgmq.seek('s', 'g', 'earliest')") == 1
    assert len(fetch(reading)) == 8
    owning = connect()
    owning.execute(f"SET ROLE {owner}".encode())
    owning.execute("SELECT pgmq.create_group('s', 'h', 'earliest')")
    assert len(fetch(owning, group="h")) == 8
    owning.execute("SELECT pgmq.revoke_all('s', %s)", [reader])
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        fetch(reading)
    stream.execute(f"REASSIGN OWNED BY {owner} TO CURRENT_USER".encode())
    stream.execute("SELECT pgmq.recompile_all(), pgmq.drop_queue('s')")
