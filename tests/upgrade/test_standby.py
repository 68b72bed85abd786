"""A streaming standby: what it answers, and that it takes over; the sweep is off."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from pgmq.web import application
from support import queries, queues
from support.console import csrf_of, sampled, served
from support.load import NO_SWEEP, Load
from support.standby import follow, promote

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgmq import embedded


UNLOGGED = "^(channel|epoch|q_fleeting|q_unlogged|dedup_fleeting)|_seq$"


@pytest.fixture
def pair(
    new_server: Callable[..., embedded.Server],
) -> tuple[embedded.Server, embedded.Server]:
    """A primary with the extension, and its standby, which every commit waits for."""
    primary, standby = new_server(), new_server()
    if not (primary.bindir / "pg_basebackup").exists():
        pytest.skip("needs pg_basebackup")
    with psycopg.connect(primary.dsn("pgmq"), autocommit=True) as db:
        db.execute(NO_SWEEP)
    follow(primary, standby)
    return primary, standby


def test_a_standby_answers_what_only_looks_and_refuses_the_rest(
    pair: tuple[embedded.Server, embedded.Server],
) -> None:
    primary, standby = pair
    looks = [
        "SELECT * FROM pgmq.peek('plain', 9)",
        "SELECT * FROM pgmq.get('plain', 5)",
        "SELECT pgmq.next_visible_at('plain')",
        "SELECT queue_length, queue_visible_length FROM pgmq.metrics('plain')",
        "SELECT queue_name, queue_length FROM pgmq.metrics_all() ORDER BY 1",
        "SELECT * FROM pgmq.list_queues() WHERE NOT is_unlogged ORDER BY 1",
        "SELECT pgmq.get_policy('work')",
        "SELECT * FROM pgmq.list_bindings() ORDER BY 1, 2, 3",
        "SELECT * FROM pgmq.list_notify_insert_throttles()",
        "SELECT * FROM pgmq.test_routing('a.b')",
    ]
    with (
        psycopg.connect(primary.dsn("pgmq"), autocommit=True) as db,
        psycopg.connect(standby.dsn("pgmq"), autocommit=True) as copy,
    ):
        queues.fill(db)
        for look in looks:
            found = [
                row
                for row in db.execute(look.encode()).fetchall()
                if row[0] not in {"fleeting", "unlogged"}
            ]
            assert found, look
            assert copy.execute(look.encode()).fetchall() == found, look
        # Dead letters that it does not have are not counted.
        with db.transaction():
            db.execute("SELECT pgmq.create('to fleeting')")
            db.execute(
                "SELECT pgmq.set_policy('to fleeting', max_receives => 1,"
                " dead_letter_queue => 'fleeting')"
            )
        letters = "SELECT dead_letters FROM pgmq.queue_stats('to fleeting')"
        assert copy.execute(letters).fetchall() == [(None,)]
        # Also of one that became unlogged by hand.
        db.execute("SELECT pgmq.create('by hand'), pgmq.send('by hand', '1')")
        db.execute('ALTER TABLE pgmq."q_by hand" SET UNLOGGED')
        for call in ("metrics_all()", "queue_stats()"):
            names = "SELECT count(*) FILTER (WHERE queue_name = 'by hand'), count(*) > 1 FROM pgmq."
            assert copy.execute((names + call).encode()).fetchall() == [(0, True)]
        assert (
            "by hand",
            'pgmq."q_by hand" is unlogged, which pgmq.meta does not say',
        ) in copy.execute("SELECT queue_name, finding FROM pgmq.doctor()").fetchall()
        # It has no channels; what is wrong with the queues that it has is found there as well.
        db.execute("SELECT pgmq.open_channel('plain', 1, 60)")
        db.execute("DROP INDEX pgmq.parked_idx_plain")
        assert copy.execute("SELECT * FROM pgmq.list_channels()").fetchall() == []
        findings = "SELECT queue_name, finding FROM pgmq.doctor()"
        assert ("plain", "the index of parked messages is missing") in copy.execute(
            findings
        ).fetchall()
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="unlogged"):
            copy.execute("SELECT * FROM pgmq.peek('fleeting')")
        for call in ("read('plain', 60, 1)", "send('plain', '1')", "pop('plain')"):
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                copy.execute(f"SELECT * FROM pgmq.{call}".encode())


def test_nothing_is_lost_or_hidden_when_the_standby_takes_over(
    pair: tuple[embedded.Server, embedded.Server],
) -> None:
    primary, standby = pair
    with psycopg.connect(primary.dsn("pgmq"), autocommit=True) as db:
        db.execute("SELECT pgmq.create('q'), pgmq.create('other'), pgmq.create_fifo_index('q')")
        db.execute("SELECT pgmq.maintain()")  # the one sweep of a year
    load = Load(primary.dsn("pgmq"), ["q", "other"])
    with load.running():
        with psycopg.connect(primary.dsn("pgmq"), autocommit=True) as db:
            for _ in range(20):
                db.execute("SELECT pgmq._look_after('q', 1)")
                time.sleep(0.05)
        promote(primary, standby)
    with psycopg.connect(standby.dsn("pgmq"), autocommit=True) as db:
        load.check(db)
        assert len(load.archived) > 10
        assert queries.one(db, "SELECT last_value FROM pgmq.ready_mark_q") > 1
        assert ("q", queries.one(db, "SELECT pgmq.send('q', '1')")) > max(load.sent)


def test_every_kind_of_queue_works_once_it_has_taken_over(
    pair: tuple[embedded.Server, embedded.Server],
) -> None:
    primary, standby = pair
    with psycopg.connect(primary.dsn("pgmq"), autocommit=True) as db:
        queues.fill(db)
        before = queues.contents(db, without=UNLOGGED)
    promote(primary, standby)
    with psycopg.connect(standby.dsn("pgmq"), autocommit=True) as db:
        after = queues.contents(db, without=UNLOGGED)
        assert after == before
        queues.works(db, emptied=True)


@pytest.mark.once
def test_the_console_looks_at_a_standby_and_does_nothing_there(
    pair: tuple[embedded.Server, embedded.Server],
) -> None:
    primary, standby = pair
    with psycopg.connect(primary.dsn("pgmq"), autocommit=True) as db:
        queues.fill(db)
    with served(application(standby.dsn("pgmq"))) as web:
        sampled(web)
        assert "standby: looking only" in web.get("/").text
        for kind in ("plain", "unlogged", *queues.STREAMS):
            for page in ("queue", "messages"):
                found = web.get(f"/{page}", params={"queue": kind})
                looks = kind != "unlogged" or page == "queue"
                assert (found.status_code == 200) == looks, (kind, page, found.text)
                assert 'action="/act"' not in found.text
        for page in ("streams", "routing", "schedules", "health", "done"):
            assert web.get(f"/{page}").status_code == 200, page
        form = {"queue": "plain", "action": "purge", "sure": "yes"}
        form["csrf"] = csrf_of(web.get("/messages?queue=plain").text)
        assert web.post("/act", data=form).status_code == 403
