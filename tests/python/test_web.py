"""The web console: its pages over queues of every kind, and who and what it lets in."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import html
import math
import re
import threading
import time
import tracemalloc
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from selenium.webdriver.common.by import By
from starlette.datastructures import URL
from starlette.requests import Request

from pgmq import _statements as statements
from pgmq import _wire as wire
from pgmq._statements import Known
from pgmq.messages import QueueMetrics, QueueStats
from pgmq.web import _console, application
from pgmq.web import _looks as looks
from pgmq.web._actions import ACTIONS, Form, _with_each
from pgmq.web._console import Console, pages
from pgmq.web._database import Database
from pgmq.web._history import History
from pgmq.web._looks import Wanted
from pgmq.web._sweep import Sweep
from support import queues
from support.browser import Page, chromium
from support.console import act, csrf_of, sampled, served
from support.proxy import proxying
from support.waiting import Waiting, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from selenium import webdriver

    from conftest import Roles
    from pgmq import embedded
    from support.server import TestServer

pytestmark = pytest.mark.once

TOKEN = "s\N{LATIN SMALL LETTER E WITH ACUTE}cret"  # noqa: S105
HOSTILE = '<script>alert("1")</script> & \N{SNOWMAN}'


@pytest.fixture(scope="module")
def used(server: TestServer, template: str) -> Iterator[str]:
    """The connection string of a database with queues of every kind, and of a hostile name."""
    with server.database(template) as dbname:
        with psycopg.connect(server.dsn(dbname), autocommit=True) as session:
            queues.fill(session)
            session.execute("SELECT pgmq.create(%s)", [HOSTILE])
        yield server.dsn(dbname)


@pytest.fixture(scope="module")
def web(used: str) -> Iterator[httpx.Client]:
    """A console that has taken its first figures."""
    with served(application(used)) as client:
        sampled(client)
        yield client


def test_the_overview_shows_sorts_and_finds_queues_and_names_are_text(web: httpx.Client) -> None:
    page = web.get("/")
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert html.escape(HOSTILE).replace("&quot;", "&#34;") in page.text
    assert re.search(r">by_id</a>.*?partitioned.*?<td class=\"n\">4</td>", page.text, re.DOTALL)
    assert ">5 min: in, out</th>" in page.text  # plots begin with the first figures
    assert re.search(r">paused</a> <span[^>]*>reads and sends paused<", page.text)

    rows = re.findall(r'<th scope="row"><a[^>]*>(.*?)</a>', web.get("/?search=L+%22STR").text)
    assert rows == ["Full &#34;Stream&#34; %I"]
    longest = re.findall(r'<th scope="row">', web.get("/?sort=length&order=down").text)
    assert len(longest) == len(re.findall(r'<th scope="row">', page.text)) > 30
    assert "has “<b>” in its name" not in web.get("/?search=<b>").text


def test_who_consumes_a_queue_is_counted(dsn: str, db: psycopg.Connection) -> None:
    for name in ("worked", "Awaited", "Polled", "alone"):
        db.execute("SELECT pgmq.create(%s), pgmq.enable_wakeups(%s)", [name, name])
    db.execute("SELECT pgmq.create_stream('stream'), pgmq.create_group('stream', 'g')")
    with contextlib.ExitStack() as stack:

        def session(name: str) -> psycopg.Connection:
            connected = psycopg.connect(dsn, autocommit=True, application_name=name)
            return stack.enter_context(connected)

        web = stack.enter_context(served(application(dsn)))
        session("pgmq worker worked").execute("SELECT 1")
        session("pgmq worker worked, Awaited").execute("SELECT 1")
        session("other").execute("SELECT pgmq.await('Awaited', 60)")
        polls = [
            Waiting(session("other"), query, queue)
            for query, queue in (
                ("SELECT * FROM pgmq.read_with_poll(%s, 1, 1, 60)", "Polled"),
                ("SELECT * FROM pgmq.fetch_with_poll(%s, 'g', 1, 1, 60)", "stream"),
            )
        ]

        def counts() -> dict[str, str]:
            rows = re.findall(
                r'<th scope="row"><a[^>]*>(.*?)</a>.*?<td class="n">(\d+)</td>\s*<td><svg',
                web.get("/").text,
                re.DOTALL,
            )
            return {html.unescape(name): count for name, count in rows}

        want = {"worked": "2", "Awaited": "2", "Polled": "1", "stream": "1", "alone": "0"}
        until(lambda: counts() == want)
        db.execute("SELECT pgmq.send('Polled', '1'), pgmq.send('stream', '1')")
        for poll in polls:
            assert len(poll.result()) == 1


def test_each_kind_of_queue_has_a_page(web: httpx.Client) -> None:
    for kind in [*queues.KINDS, HOSTILE]:
        page = web.get("/queue", params={"queue": kind})
        assert page.status_code == 200, kind
        assert "<script>alert" not in page.text
        assert f"<h1>{html.escape(kind).replace('&quot;', '&#34;')}</h1>" in page.text
        assert ("Segments" in page.text) == (kind in queues.STREAMS), kind
        assert ("Partitions" in page.text) == kind.startswith("by_"), kind
        assert "sent in all" in page.text
        if "policy" in kind:
            rule = "A message that was received 9 times goes to Dead &#34;Letters&#34;."
            assert rule in page.text


def test_health_shows_findings_sessions_and_who_waits_for_whom(dsn: str) -> None:
    with contextlib.ExitStack() as stack:
        web = stack.enter_context(served(application(dsn)))
        waiter = stack.enter_context(psycopg.connect(dsn, application_name="waiter"))
        query = b"SELECT pgmq.send('plain', '\"secret\"')"
        waiting = threading.Thread(target=waiter.execute, args=(query,))
        holder = stack.enter_context(psycopg.connect(dsn, application_name="pgmq <b>worker</b>"))
        holder.execute("SELECT pgmq.create('plain'), pgmq.create('paused')")
        holder.execute("SELECT pgmq.pause('paused', sends => true)")
        holder.commit()
        holder.execute("LOCK TABLE pgmq.q_plain")
        waiting.start()
        deadline = time.monotonic() + 30
        while "RowExclusiveLock on q_plain" not in (page := web.get("/health").text):
            assert time.monotonic() < deadline, page
        holder.rollback()
        waiting.join()
        waiter.rollback()
        assert web.get("/health?anew=1").headers["location"] == "/health"
        while "reads and sends paused since" not in (anew := web.get("/health").text):
            assert time.monotonic() < deadline, anew
    assert "SELECT pgmq.resume(&#39;paused&#39;)" in anew
    assert "pgmq &lt;b&gt;worker&lt;/b&gt; idle in transaction" in page
    assert "<td>send</td>" in page
    assert "secret" not in page


def test_every_answer_has_the_headers_and_only_known_hosts_are_answered(web: httpx.Client) -> None:
    for path in (
        "/",
        "/queue?queue=plain",
        "/queue?queue=nothing",
        "/static/console.js",
        "/nothing",
    ):
        headers = web.get(path).headers
        assert headers["content-security-policy"].startswith(
            "default-src 'none'; style-src 'self';"
        )
        assert headers["x-content-type-options"] == "nosniff"
    page = web.get("/")
    assert page.headers["cache-control"] == "no-store"
    assert not re.search(r" style=| on\w+=|<script>|<style|https?://", page.text)
    assert "HttpOnly; SameSite=Strict; Path=/" in httpx.get(web.base_url).headers["set-cookie"]
    for host, status in (("evil.example", 421), ("127.0.0.1:1", 200), ("[::1]", 200), ("", 421)):
        assert web.get("/", headers={"Host": host}).status_code == status, host


def test_a_token_is_asked_for_and_others_than_loopback_need_one(used: str) -> None:
    with pytest.raises(ValueError, match="needs a token, or authorize"):
        application(used, hosts=["*"])
    with served(application(used, token=TOKEN, hosts=["*"])) as client:
        asked = client.get("/queue?queue=plain", headers={"Host": "anywhere"})
        assert asked.status_code == 401
        assert "plain" not in asked.text
        assert "set-cookie" not in asked.headers
        wrong = client.post("/login", data={"token": "secret"})
        assert wrong.status_code == 401
        assert "That is not the token." in wrong.text
        assert client.post("/login", data={"token": TOKEN}).headers["location"] == "/"
        assert client.get("/queue?queue=plain").status_code == 200
        client.cookies.set("pgmq_web", client.cookies["pgmq_web"].replace(".1", ".2"))
        assert client.get("/").status_code == 401


def test_a_host_header_with_a_path_in_it_opens_no_page(
    dsn: str, db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def url_of(request: Request) -> URL:
        return URL(f"http://{request.headers['host']}{request.scope['path']}")

    # As Starlette 1.0.0 has it: whatever Host says goes in.
    monkeypatch.setattr(Request, "url", property(url_of))
    db.execute("SELECT pgmq.create('q'), pgmq.send('q', '\"secret\"')")
    with served(application(dsn, token=TOKEN, hosts=["*"])) as client:
        asked = client.get("/download?queue=q&id=1", headers={"Host": "x/static/?"})
        assert asked.status_code == 401
        assert "secret" not in asked.text


def test_no_page_answers_what_has_not_passed_security(dsn: str, db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.send('q', '1')")
    console = Console(dsn, read_only=False, prometheus=None)
    scope = {"type": "http", "method": "GET", "query_string": b"queue=q&id=1", "headers": []}

    async def ask(path: str, page: Any) -> None:
        await console.endpoint(page)(Request({**scope, "path": path}))

    for path, _, page in pages:
        with pytest.raises(KeyError, match=r"pgmq\.session"):
            asyncio.run(ask(path, page))


def test_mounted_into_another_application_its_links_stay_below_the_path(used: str) -> None:
    from fastapi import FastAPI

    app = FastAPI()
    app.mount(
        "/queues",
        application(used, hosts=["*"], authorize=lambda request: request.headers.get("x-user")),
    )
    with served(app) as client:
        assert client.get("/queues/").status_code == 403
        client.headers["x-user"] = "<ann>"
        sampled(client, "/queues/")
        page = client.get("/queues/").text
        assert "&lt;ann&gt;" in page
        links = re.findall(r' (?:href|src|action)="([^"]+)"', page)
        assert len(links) > 40
        assert [link for link in links if not re.match("/queues/|#main", link)] == []
        assert client.get(html.unescape(next(link for link in links if "plain" in link))).is_success
        assert client.get("/queues/static/console.css").is_success


def test_what_is_bound_is_drawn_and_listed(dsn: str, db: psycopg.Connection) -> None:
    with served(application(dsn)) as web:
        assert "Nothing is bound" in web.get("/routing").text
        db.execute("SELECT pgmq.create('a'), pgmq.create('b'), pgmq.create_exchange('<shop>')")
        db.execute(
            "SELECT pgmq.bind('<shop>', 'a', 'order.*'), pgmq.bind('<shop>', 'b', 'order.*')"
        )
        db.execute("SELECT pgmq.bind('<shop>', 'b', '#'), pgmq.bind_topic('log.#', 'b')")
        db.execute(
            "SELECT pgmq.bind_topic(repeat('word.', 30) || n, 'a') FROM generate_series(1, 200) n"
        )
        page = web.get("/routing").text
        assert "The first 150 of 204 bindings." in page
        picture, listed = page.split("</svg>")
        assert len(re.findall("<path d=", picture)) == 150 + 150
        assert len(re.findall("<tr>", listed)) == 205
        assert 'href="/queue?queue=a" tabindex="-1"' in picture
        assert re.search(r"topic: word\S+\N{HORIZONTAL ELLIPSIS}</text>", picture)
        assert "<shop>" not in page
        picture = web.get("/queue?queue=b").text
        assert "<li>exchange &lt;shop&gt;, topic: order.*</li>" in picture
        assert len(re.findall('<g class="rule">', picture)) == 3


def test_messages_are_shown_without_leasing_and_as_text(web: httpx.Client, used: str) -> None:
    with psycopg.connect(used, autocommit=True) as session:
        session.execute("SELECT pgmq.create('seen')")
        session.execute(
            "SELECT pgmq.send('seen', jsonb_build_object('text', %s::text), jsonb_build_object("
            "'x-pgmq-group', %s::text, 'x-pgmq-error', %s::text))",
            [HOSTILE, HOSTILE, HOSTILE],
        )
        session.execute("SELECT pgmq.send_batch('seen', ARRAY['{\"n\": 1e400}', '2']::jsonb[], 60)")
        session.execute("SELECT pgmq.send('seen', to_jsonb(repeat('0123456789', 5000000)))")
        deep = "[" * 5000 + "]" * 5000  # laid out, it would have 100 MB
        session.execute("SELECT pgmq.send('seen', %s::jsonb)", [deep])
        for kind in [*queues.LAYOUTS, "unlogged", *queues.STREAMS, 'Mixed "Case" %I', "seen"]:
            for which in ("", "1")[: 1 if kind in queues.STREAMS else 2]:
                query = {"queue": kind} | ({"archive": which} if which else {})
                page = web.get("/messages", params=query)
                assert page.status_code == 200, (kind, page.text)
        assert session.execute("SELECT max(read_ct) FROM pgmq.q_seen").fetchone() == (0,)

    page = web.get("/messages?queue=seen")
    assert len(page.text) < 20_000
    assert "<script>alert" not in page.text
    assert page.text.count("&lt;script&gt;alert(&#34;1&#34;)") == 2  # the group and the error
    assert "&lt;script&gt;alert(\\&#34;1\\&#34;)" in page.text
    assert page.text.count(">delayed</span>") == 2
    whole = web.get("/message?queue=seen&id=1")
    assert "<script>alert" not in whole.text
    assert "<b>It failed:</b> &lt;script&gt;" in whole.text
    long = web.get("/message?queue=seen&id=4").text
    assert "of 50\N{NARROW NO-BREAK SPACE}000\N{NARROW NO-BREAK SPACE}002 characters" in long
    assert len(long) < 30_000
    file = web.get("/download?queue=seen&id=4")
    assert len(file.text) == 50_000_002
    assert file.headers["content-disposition"] == 'attachment; filename="message-4.json"'
    assert deep in web.get("/message?queue=seen&id=5").text
    assert web.get("/message?queue=seen&id=9").status_code == 404
    assert web.get("/message?queue=seen&id=x").status_code == 400


def test_a_form_asks_for_messages(web: httpx.Client, used: str) -> None:
    def found(**asked: str) -> list[int]:
        csrf = csrf_of(web.get("/messages?queue=asked").text)
        page = web.post("/messages?queue=asked", data={"csrf": csrf, **asked})
        assert page.status_code == 200, page.text
        return [int(number) for number in re.findall(r'<a href="/message[^>]*>(\d+)<', page.text)]

    with psycopg.connect(used, autocommit=True) as session:
        session.execute("SELECT pgmq.create('asked')")
        session.execute(
            "SELECT pgmq.send('asked', jsonb_build_object('n', n % 7),"
            " jsonb_build_object('x-pgmq-group', 'g' || n % 2)) FROM generate_series(1, 120) AS n"
        )
        session.execute("SELECT pgmq.read('asked', 60, 2), pgmq.set_vt('asked', 3, 60)")
    assert found() == [*range(1, 51)]
    assert found(after="50") == [*range(51, 101)]
    assert found(newest="on", after="10") == [*range(9, 0, -1)]
    assert found(contains='{"n": 1}', group="g0") == [8, 22, 36, 50, 64, 78, 92, 106, 120]
    assert found(headers='{"x-pgmq-group": "g0"}', after="117") == [118, 120]
    assert found(state="in flight") == [1, 2]
    assert found(state="delayed") == [3]
    assert found(reads="1") == [1, 2]
    assert found(older="3600") == []
    page = web.post("/messages?queue=asked", data={"csrf": "x", "contains": "1"})
    assert page.status_code == 403
    csrf = csrf_of(web.get("/messages?queue=asked").text)
    page = web.post("/messages?queue=asked", data={"csrf": csrf, "contains": "{"})
    assert "that is not JSON" in page.text


def test_what_is_done_with_messages_is_asked_first_and_accounted_for(
    web: httpx.Client, used: str
) -> None:
    with psycopg.connect(used, autocommit=True) as session:
        session.execute("SELECT pgmq.create('acted'), pgmq.create('other')")
        session.execute(
            "SELECT pgmq.set_policy('acted', dead_letter_queue => 'other', max_receives => 9)"
        )
        assert act(web, "acted", "send", message='{"a": 1}') == "Message 1 was sent to acted."
        session.execute("SELECT pgmq.send_batch('acted', '{1,2,3,4,5,6,7}')")
        assert "is not JSON" in act(web, "acted", "send", message="{")
        assert "no message is selected" in act(web, "acted", "delete")
        assert act(web, "acted", "delete", "1:0", "99:0") == (
            "1 message of acted was deleted. 1 message of the selection was not there any more."
        )
        assert act(web, "acted", "archive", "2:0", "3:0") == "2 messages of acted were archived."
        assert act(web, "acted", "requeue", "2:0", archive="1") == (
            "1 message of acted was taken out of the archive and sent again."
        )
        assert act(web, "acted", "postpone", "4:0", delay="60") == (
            "1 message of acted was made visible in 60 s."
        )
        session.execute("SELECT pgmq.read('acted', 60, 1)")
        assert act(web, "acted", "nack", "5:1", error="by hand") == (
            "1 message of acted was given back."
        )
        assert act(web, "acted", "move", "6:0", to="other") == (
            "1 message of acted was moved to other."
        )
        assert session.execute(
            "SELECT msg_id, headers ->> 'x-pgmq-error' FROM pgmq.q_acted ORDER BY 1"
        ).fetchall() == [(4, None), (5, "by hand"), (7, None), (8, None), (9, None)]
        assert act(web, "other", "redrive", to="acted", rate="10") == (
            "1 message of other was put back."
        )
        assert act(web, "other", "purge") == "0 messages of other were deleted."
        assert act(web, "acted", "pause", reads="on", sends="on") == (
            "Reads and sends of acted are paused."
        )
        refused = act(web, "acted", "send", message="1")
        assert refused.startswith("400")
        assert "pgmq.resume" in refused  # Postgres' hint
        assert act(web, "acted", "resume") == "acted goes on."
        was = {"was_max_receives": "9", "was_retry_delay": "1 seconds", "was_message_ttl": ""}
        now = {"max_receives": "3", "retry_delay": "", "message_ttl": ""}
        changed = act(web, "acted", "policy", **was, **now)
        assert changed == (
            "The policy of acted was changed. max_receives is 3, retry_delay is off."
        )
        session.execute("SELECT pgmq.schedule('s', 'acted', '@yearly', '1')")
        assert "@yearly" in web.get("/schedules").text
        assert "has sent message" in act(web, "acted", "run_schedule", schedule="s")
        assert act(web, "acted", "pause_schedule", schedule="s") == "Schedule s is paused."
        assert ">paused</span>" in web.get("/schedules").text
        assert "paused" in web.get("/queue?queue=acted").text
        assert act(web, "acted", "resume_schedule", schedule="s") == "Schedule s goes on."
        assert act(web, "acted", "unschedule", schedule="s") == "Schedule s was ended."
    assert "Message 1 was sent to acted." in web.get("/done").text


@pytest.fixture(scope="module")
def acted(server: TestServer, template: str) -> Iterator[str]:
    """A database whose queues change; `taken` takes messages of all of them."""
    with server.database(template) as dbname:
        with psycopg.connect(server.dsn(dbname), autocommit=True) as session:
            queues.fill(session)
            session.execute("SELECT pgmq.create('taken')")
        yield server.dsn(dbname)


@pytest.mark.parametrize(
    "kind",
    [
        *queues.LAYOUTS,
        *("policy", "pending", "ranked", "by_time_policy"),
    ],
)
def test_messages_of_every_kind_of_queue_are_acted_upon(kind: str, acted: str) -> None:
    # Without the forms, which do not know of kinds.
    def visible(queue: str) -> dict[int, Any]:
        return dict(session.execute("SELECT msg_id, message FROM pgmq.peek(%s, 9)", [queue]))

    async def do(action: str, queue: str, *ids: str, **fields: str) -> str:
        form = Form(queue=queue, ids=" ".join(ids), **fields)
        async with connected(write=True) as database:
            return await ACTIONS[action].do(database, form)

    async def sweep(action: str, looked: Wanted) -> tuple[int, str]:
        async with connected() as database:
            [known] = await database.run(statements.known(kind))
            last = await database.run(looks.last(known, archive=False))
        of_messages = ACTIONS[action].of_messages
        assert of_messages
        each = functools.partial(_with_each, of_messages.each, Form(queue=kind))
        found = Sweep(None, kind, False, action, looked, last, None, each)
        ending = await found.run(functools.partial(connected, write=True))
        return found.done, ending

    @contextlib.asynccontextmanager
    async def connected(*, write: bool = False) -> AsyncIterator[Database]:
        database = await Database.connect(acted)
        async with database.connection, database.transaction(write=write):
            yield database

    async def acts() -> None:
        assert visible(kind) == {3: 3, 4: 4}
        await do("postpone", kind, "5:0")
        await do("postpone", kind, "4:0", delay="60")
        assert visible(kind) == {3: 3, 5: 5}
        done = await do("nack", kind, "2:1", "3:9", error="by hand")
        assert done == (
            f"1 message of {kind} was given back."
            " 1 message of the selection was not there any more."
        )
        assert visible(kind) == {2: 2, 3: 3, 5: 5}
        assert (
            await do("move", kind, "3:1", to="taken") == f"1 message of {kind} was moved to taken."
        )
        [(taken, _)] = visible("taken").items()
        await do("move", "taken", f"{taken}:0", to=kind)
        assert await do("requeue", kind, "1:0", archive="1") == (
            f"1 message of {kind} was taken out of the archive and sent again."
        )
        assert sorted(visible(kind).values()) == [1, 2, 3, 5]
        assert await sweep("delete", Wanted(contains="3")) == (1, "all that the filter found")
        assert await sweep("archive", Wanted(reads=1, state="visible")) == (
            1,
            "all that the filter found",
        )
        assert sorted(visible(kind).values()) == [1, 5]
        assert await do("purge", kind) == f"3 messages of {kind} were deleted."

    with psycopg.connect(acted, autocommit=True) as session:
        asyncio.run(acts())
        archive = sql.Identifier("pgmq", f"a_{kind.lower()}")
        archived = sql.SQL("SELECT message, headers ->> 'x-pgmq-error' FROM {}").format(archive)
        assert session.execute(archived).fetchall() == [(2, "by hand")]


def test_all_that_a_filter_finds_is_done_in_batches_and_can_be_stopped(
    web: httpx.Client, used: str
) -> None:
    every = {"every": "on"}

    def until_done(what: str) -> None:
        deadline = time.monotonic() + 30
        while html.escape(what) not in (page := web.get("/done").text):
            assert time.monotonic() < deadline, page
            time.sleep(0.05)

    with psycopg.connect(used, autocommit=True) as session:
        session.execute("SELECT pgmq.create('swept'), pgmq.create('swept to')")
        session.execute(
            "SELECT pgmq.send('swept', jsonb_build_object('n', n % 3),"
            " jsonb_build_object('secret', n % 2)) FROM generate_series(1, 3000) AS n"
        )
        left = "SELECT array_agg(DISTINCT (message -> 'n')::int), count(*) FROM pgmq.q_swept"
        asked = act(web, "swept", "delete", contains='{"n": 1}', question="yes", **every)
        assert "Delete all 1,000 messages of swept that the filter finds for good?" in asked
        assert session.execute(left).fetchone() == ([0, 1, 2], 3000)
        assert act(web, "swept", "delete", contains='{"n": 1}', **every) == ""
        until_done("1,000 messages of swept were deleted, all that the filter found.")
        assert session.execute(left).fetchone() == ([0, 2], 2000)
        filtered = {"headers": '{"secret": 1}', "state": "visible", "to": "swept to"}
        assert act(web, "swept", "move", **filtered, **every) == ""
        until_done("1,000 messages of swept were moved to swept to, all that the filter found.")
        assert "secret" not in web.get("/done").text

        # At a rate it takes long, leaves alone what comes meanwhile, and can be stopped.
        assert act(web, "swept", "archive", rate="3", **every) == ""
        deadline = time.monotonic() + 30
        while "<b>0</b>" in (page := web.get("/done").text) or "so far" not in page:
            assert time.monotonic() < deadline, page
        assert "3.0 a second" in page
        number = re.search(r'name="number" value="(\d+)"', page)[1]  # type: ignore[index]
        assert act(web, "swept to", "delete", rate="0.1", **every) == ""
        assert "2 of these run already" in act(web, "swept to", "delete", **every)
        assert web.post("/stop", data={"number": number}).status_code == 403
        for each in (number, str(int(number) + 1)):
            web.post("/stop", data={"csrf": csrf_of(page), "number": each})
        account = re.search(
            r"(\d+) messages? of swept w\w+ archived, until it was stopped", web.get("/done").text
        )
        assert account
        assert session.execute("SELECT count(*) FROM pgmq.a_swept").fetchone() == (int(account[1]),)
        assert int(account[1]) < 100
        session.execute("ALTER TABLE pgmq.a_swept RENAME TO gone")
        assert act(web, "swept", "archive", contains="{}", **every) == ""
        until_done("0 messages of swept were archived, and then it failed:")
        session.execute("ALTER TABLE pgmq.gone RENAME TO a_swept")
        assert "is not more than 0" in act(web, "swept", "delete", rate="0", **every)


def test_a_seek_is_previewed_and_changes_nothing_until_it_is_confirmed(
    web: httpx.Client, used: str
) -> None:
    with psycopg.connect(used, autocommit=True) as session:
        session.execute(
            "SELECT pgmq.create_stream('sought'), pgmq.create_group('sought', 'g', 'latest')"
        )
        session.execute("SELECT pgmq.send_batch('sought', '{1,2,3}')")
        form = {"queue": "sought", "action": "seek", "group": "g", "start": "2",
                "csrf": csrf_of(web.get("/queue?queue=sought").text)}  # fmt: skip
        asked = web.post("/act", data=form).text
        assert (
            "go on from message 2? It would have 2 messages to read, instead of 3 messages" in asked
        )
        assert session.execute("SELECT lag FROM pgmq.list_groups('sought')").fetchone() == (3,)
        assert act(web, "sought", "seek", group="g", start="2") == (
            "Group g of sought goes on from message 2."
        )
        assert session.execute("SELECT lag FROM pgmq.list_groups('sought')").fetchone() == (2,)
    assert "<td>g</td>" in web.get("/streams").text


def test_no_form_without_its_token_and_none_that_acts_where_one_only_looks(
    web: httpx.Client, used: str
) -> None:
    form = {"queue": "plain", "action": "purge", "sure": "yes"}
    assert web.post("/act", data=form).status_code == 403
    good = form | {"csrf": csrf_of(web.get("/messages?queue=plain").text)}
    assert web.post("/act", data=good, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert web.post("/act", data=good | {"action": "nothing"}).status_code == 400
    with httpx.Client(base_url=web.base_url) as other:  # another session
        other.get("/")
        assert other.post("/act", data=good).status_code == 403
    with served(application(used, read_only=True)) as client:
        page = client.get("/queue?queue=plain").text
        assert "looking only" in page
        assert 'action="/act"' not in page + client.get("/messages?queue=plain").text
        csrf = csrf_of(client.get("/messages?queue=plain").text)
        for action in ACTIONS:
            assert (
                client.post("/act", data=form | {"csrf": csrf, "action": action}).status_code == 403
            )
    with psycopg.connect(used) as session:
        assert session.execute("SELECT count(*) FROM pgmq.q_plain").fetchone() == (4,)


def test_a_role_sees_and_may_do_what_its_grants_say(
    dsn: str, db: psycopg.Connection, roles: Roles
) -> None:
    monitor, consumer = roles(), roles()
    db.execute("SELECT pgmq.create('kept'), pgmq.create('hidden'), pgmq.send('kept', '\"secret\"')")
    db.execute("SELECT pgmq.archive('kept', pgmq.send('kept', '\"secret\"'))")
    db.execute(
        "SELECT pgmq.grant_monitor('kept', %s), pgmq.grant_consume('kept', %s)", [monitor, consumer]
    )
    db.execute("SELECT pgmq.create_stream('log'), pgmq.create_group('log', 'g', 'earliest')")
    db.execute("SELECT pgmq.send_batch('log', '{1,2,3,4}')")
    db.execute(
        "SELECT pgmq.grant_monitor('log', %s), pgmq.grant_fetch('log', 'g', %s)",
        [monitor, consumer],
    )
    with served(application(make_conninfo(dsn, user=monitor))) as client:
        sampled(client)
        assert "from 0 to 4" in client.get("/queue?queue=log").text
        assert "1 of them show no figures to this role." in client.get("/").text
        pages = [client.get(f"/{page}").text for page in (
            "queue?queue=kept", "messages?queue=kept", "messages?queue=kept&archive=1",
            "message?queue=kept&id=1", "message?queue=kept&id=2&archive=1", "health", "schedules",
        )]  # fmt: skip
        assert all("not what is in" in page for page in pages[1:5])
        assert "secret" not in "".join(pages)
        assert 'action="/act"' not in "".join(pages)
        assert "secret" not in client.get("/download?queue=kept&id=1").text
        form = {"csrf": csrf_of(pages[1]), "queue": "kept", "action": "delete", "ids": "1:0"}
        refused = client.post("/act", data=form | {"sure": "yes"})
        assert refused.status_code == 403
        assert "permission denied for table q_kept" in refused.text
        assert "grant_consume" in refused.text  # Postgres' hint
    with served(application(make_conninfo(dsn, user=consumer))) as client:
        page = client.get("/queue?queue=kept").text
        assert "Change the policy" not in page
        assert client.get("/queue?queue=log").status_code == 200
        assert "&#34;secret&#34;" in client.get("/messages?queue=kept").text
        assert act(client, "kept", "delete", "1:0") == "1 message of kept was deleted."


def test_while_postgres_is_away_the_page_says_so_and_goes_on(
    new_server: Callable[..., embedded.Server],
) -> None:
    server = new_server()
    with psycopg.connect(server.dsn("pgmq"), autocommit=True) as session:
        session.execute("SELECT pgmq.create('kept')")
    with served(application(server.dsn("pgmq"))) as client:
        sampled(client)
        server.stop()
        deadline = time.monotonic() + 20
        while "No new figures since" not in (page := client.get("/").text):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert ">kept</a>" in page
        assert client.get("/queue?queue=kept").status_code == 503
        server.start()
        while "No new figures" in client.get("/").text:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert client.get("/queue?queue=kept").status_code == 200


def test_a_server_that_answers_no_more_is_left(used: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_console, "_FIGURES", 2)
    monkeypatch.setattr(_console, "_FIGURES_AGAIN", 2)
    monkeypatch.setattr(wire, "SILENCE_STOPPING", 0)
    with proxying(used) as proxy, served(application(proxy.dsn)) as client:
        sampled(client)
        proxy.refuses = True
        proxy.freeze()
        until(lambda: "No new figures" in client.get("/").text)
        proxy.refuses = False
        until(lambda: "No new figures" not in client.get("/").text)


def test_thousands_of_queues_come_by_pages_and_their_hour_fits_into_memory(
    used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(timezone.utc)
    known = [
        Known(f"q{number}", f"q_q{number}", f"a_q{number}", "plain", now, None, None, None, "me",
              *[True] * 6)
        for number in range(5000)
    ]  # fmt: skip
    metrics = {
        each.queue_name: QueueMetrics(each.queue_name, number, 1, 2, 9, now, number)
        for number, each in enumerate(known)
    }
    stats = {
        each.queue_name: QueueStats(each.queue_name, 7, 0, 0, None, 0, 9, 2, now) for each in known
    }

    async def sample(history: History, _: object) -> None:
        history.take(time.monotonic(), known, metrics, stats, [])
        history.at = now

    history = History()
    tracemalloc.start()
    for tick in (0.0, 20.0):
        history.take(tick, known, metrics, stats, [])
    assert tracemalloc.get_traced_memory()[0] < 50e6
    tracemalloc.stop()
    history.take(65.0, known, metrics, stats, [])  # a little late
    history.take(650.0, known, metrics, stats, [])  # after a long while
    points = [*history.queues["q2"].series["length"].points(history.step)]
    assert points[-1] == 2.0
    assert math.isnan(points[-2])
    assert [point for point in points if not math.isnan(point)] == [2.0] * 6
    history.take(652.0, known[:1], metrics, stats, [])
    assert list(history.queues) == ["q0"]

    monkeypatch.setattr(History, "sample", sample)
    with served(application(used)) as client:
        sampled(client)
        page = client.get("/?sort=length&order=down&page=50").text
        assert "page 50 of 50" in page
        rows = re.findall(r'<th scope="row"><a[^>]*>(.*?)</a>', page)
        assert rows == [f"q{number}" for number in range(99, -1, -1)]
        assert "1 queue<" in client.get("/?search=q4321").text


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    with chromium() as browser:
        yield browser


def test_in_a_browser_pages_renew_themselves_and_forms_are_kept_and_sent(
    browser: webdriver.Chrome, web: httpx.Client, used: str
) -> None:
    page = Page(browser)
    with psycopg.connect(used, autocommit=True) as session:
        session.execute("SELECT pgmq.create('browsed'), pgmq.send_batch('browsed', '{1,2,3}')")
        browser.get(f"{web.base_url}/queue?queue=browsed")
        browser.find_element(By.XPATH, "//summary[.='Send a message']").click()
        message = browser.find_element(By.NAME, "message")
        message.clear()
        message.send_keys('{"text": "<b>bold</b>"}')
        session.execute("SELECT pgmq.send_batch('browsed', '{4,5}')")
        sent = "//dt[.='sent in all']/following-sibling::dd[.='5']"
        browser.find_element(By.XPATH, sent)  # waits for the figures to be renewed
        page.click("button[value=send]")

        page.shows(".notice.good", "Message 6 was sent to browsed.")
        page.shows("tbody", "<b>bold</b>")
        page.click("[data-all]")
        page.click("button[value=delete]")
        page.shows("h1", "Delete 6 messages of browsed for good?")
        page.click("button.danger")
        page.shows(".notice.good", "6 messages of browsed were deleted.")
        assert session.execute("SELECT count(*) FROM pgmq.q_browsed").fetchone() == (0,)
    # Nothing that the policy of the page's content refuses, and no error of the script.
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]
