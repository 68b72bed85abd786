"""The console's plots of what was before it: a Prometheus that scrapes exporters and a worker."""

from __future__ import annotations

import base64
import contextlib
import html
import json
import re
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, urlencode

import psycopg
import pytest
from prometheus_client import CollectorRegistry, start_http_server
from psycopg.conninfo import make_conninfo

from pgmq import Reject, Worker
from pgmq.exporter import WorkerMetrics
from pgmq.web import _history, _prometheus, application
from support.brokers import free_ports
from support.browser import Page, chromium
from support.console import sampled, served
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from conftest import Roles
    from support.server import TestServer

pytestmark = pytest.mark.once

PASSWORD = "s3cret word"  # noqa: S105
HASHED = "$2b$04$abcdefghijklmnopqrstuu9F2qeZTNt/fOkdkl8f2kRrQa6WVPPdy"
# As a regular expression it would be every name; PromQL and HTML have to leave it as it is, too.
HOSTILE = 'a|.* "\\d" <b>{%s}\n\N{SNOWMAN}'
CONFIG = """
global: {scrape_interval: 500ms}
scrape_configs:
  - job_name: pgmq
    static_configs:
      - {targets: ["APP", "WORKER"], labels: {database: app}}
      - {targets: ["OTHER"], labels: {database: other}}
"""


@dataclass
class Scraped:
    """Two databases, and the Prometheus that has figures of theirs from before the consoles."""

    dsn: str
    url: str

    def console(self, match: str = 'database="app"', **who: str) -> Any:
        """Serve one."""
        dsn = make_conninfo(self.dsn, **who)
        return served(application(dsn, prometheus=self.url, prometheus_match=match))


@pytest.fixture(scope="module")
def scraped(
    server: TestServer, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scraped]:
    """Databases whose queues had messages while Prometheus looked, and have none any more."""
    with contextlib.ExitStack() as stack:
        app, other = (server.dsn(stack.enter_context(server.database(template))) for _ in "12")
        session = stack.enter_context(psycopg.connect(app, autocommit=True))
        for name in (HOSTILE, "hidden", "failing", "dead", "unwatched"):
            session.execute("SELECT pgmq.create(%s)", [name])
        session.execute("SELECT pgmq.set_policy('failing', 1, 'dead')")
        session.execute("SELECT pgmq.send_batch(%s, array_fill('1'::jsonb, '{100}'))", [HOSTILE])
        session.execute("SELECT pgmq.send_batch('hidden', '{1,2,3}'), pgmq.send('dead', '1')")
        session.execute("SELECT pgmq.send('failing', '1'), pgmq.send('failing', '2')")
        with psycopg.connect(other, autocommit=True) as another:
            another.execute("SELECT pgmq.create(%s)", [HOSTILE])
            for _ in range(7):
                another.execute(
                    "SELECT pgmq.send_batch(%s, array_fill('1'::jsonb, '{111}'))", [HOSTILE]
                )

        registry = CollectorRegistry()
        hooks = WorkerMetrics(registry)
        http, thread = start_http_server(0, "127.0.0.1", registry)
        stack.callback(thread.join)
        stack.callback(http.server_close)
        stack.callback(http.shutdown)
        targets = {
            "APP": stack.enter_context(_exporter(app, "--limit", "4")),
            "OTHER": stack.enter_context(_exporter(other)),
            "WORKER": f"127.0.0.1:{http.server_port}",
        }
        config = CONFIG
        for name, target in targets.items():
            config = config.replace(name, target)
        url = stack.enter_context(_prometheus_of(config, tmp_path_factory.mktemp("prometheus")))

        def handler(message: Any) -> None:
            raise Reject("no") if message.message == 1 else ValueError("boom")

        def work() -> None:
            Worker(app, "failing", handler, hooks=hooks).run(until_empty=True)

        # A rate is of what came after the first sample.
        work()
        failed = 'pgmq_worker_messages_total{outcome="failed"}'
        until(lambda: _value(url, f"count_over_time({failed}[5m])") > 1)
        session.execute(
            "SELECT pgmq.send('failing', to_jsonb(n % 2 + 1)) FROM generate_series(1, 60) AS n"
        )
        work()
        until(lambda: _value(url, f"rate({failed}[2m])") > 0)
        until(lambda: _value(url, "min(count_over_time(pgmq_up[5m]))") > 25)
        session.execute("SELECT pgmq.purge_queue(%s), pgmq.purge_queue('hidden')", [HOSTILE])
        until(lambda: _value(url, 'sum(pgmq_queue_length{database="app"})') < 50)
        yield Scraped(app, url)


@contextlib.contextmanager
def _exporter(dsn: str, *options: str) -> Iterator[str]:
    command = [sys.executable, "-m", "pgmq", "exporter", "--dsn", dsn, "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip().removeprefix("http://").removesuffix("/metrics")
        finally:
            process.terminate()


@contextlib.contextmanager
def _prometheus_of(config: str, folder: Path) -> Iterator[str]:
    """Start Debian's Prometheus with a password."""
    program = shutil.which("prometheus")
    assert program, "prometheus is not installed"
    [port] = free_ports(1)
    (folder / "prometheus.yml").write_text(config)
    (folder / "web.yml").write_text(json.dumps({"basic_auth_users": {"ann@": HASHED}}))
    command = [
        program, f"--config.file={folder}/prometheus.yml", f"--web.config.file={folder}/web.yml",
        f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]  # fmt: skip
    with subprocess.Popen(command) as process:
        try:
            yield f"http://ann%40:{quote(PASSWORD)}@127.0.0.1:{port}/"
        finally:
            process.kill()


def _value(url: str, query: str) -> float:
    """Ask Prometheus for one number."""
    told = _prometheus.Prometheus(url)
    at = told._url.replace("query_range", "query")
    form = urlencode({"query": query}).encode()
    request = urllib.request.Request(at, form, told._headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            found = json.load(answer)["data"]["result"]
    except urllib.error.URLError:  # it starts
        return 0
    return float(found[0]["value"][1]) if found else 0


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the points of a plot those of four minutes instead of an hour."""
    for module in (_history, _prometheus):
        monkeypatch.setattr(module, "STEP", 1.0)


def test_in_a_browser_plots_show_what_was_before_the_console_however_often_it_starts(
    scraped: Scraped, quick: None
) -> None:
    with chromium() as browser:
        page = Page(browser)

        def shows(place: int, said: str) -> None:
            page.at(
                f".plots section:nth-of-type({place}) .plot",
                lambda plot: re.search(said, plot.get_attribute("aria-label") or "") is not None,
            )

        for _ in range(2):
            with scraped.console() as client:
                browser.get(f"{client.base_url}/queue?{urlencode({'queue': HOSTILE})}")
                shows(1, "in: now 0, .* out: .* at most 0.[1-9]")
                shows(2, "in it: now 0, at most 100,")
                shows(3, r"oldest: now \N{EN DASH}, at most \d+ s")
                page.shows("#figures", 'database="app"')
                browser.get(f"{client.base_url}/queue?queue=failing")
                shows(1, "dead letters: .* failures, of workers that report: .* at most 0.[1-9]")
                browser.get(f"{client.base_url}/queue?queue=unwatched")
                page.shows("#figures", "Prometheus has nothing of unwatched. The plots go on")
                shows(1, "out: now 0, at most 0$")
                browser.get(str(client.base_url))
                page.shows("#queues", "Prometheus has nothing of 1 of these queues.")
        # Nothing that the policy of the page's content refuses.
        assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]


def test_whose_figures_they_are_must_be_known_and_a_role_sees_none_of_hidden_queues(
    scraped: Scraped, quick: None, roles: Roles
) -> None:
    with scraped.console("") as client:
        page = _settled(client, "/queue", queue=HOSTILE)
        assert re.search('has 2 exporters of pgmq, such as .*"other".*-match which of them', page)
        assert "at most 0, in flight" in page
    with scraped.console("database=") as client:
        assert re.search(r"refuses to answer \(400: .*parse error", _settled(client, "/"))
    with scraped.console('{database="none"}') as client:
        assert "Prometheus has nothing of an exporter of pgmq." in _settled(client, "/")
    watcher = roles("LOGIN")
    with psycopg.connect(scraped.dsn, autocommit=True) as session:
        session.execute("SELECT pgmq.grant_monitor('failing', %s)", [watcher])
        with scraped.console(user=watcher) as client:
            page = _settled(client, "/")
            queue = _settled(client, "/queue", queue="failing")
        session.execute(f"DROP OWNED BY {watcher}".encode())
    sparks = {
        name: "<path" in spark
        for name, spark in re.findall(r"queue=(\w+)\">.*?(<svg.*?</svg>)", page, re.DOTALL)
    }
    assert sparks == {"failing": True, "dead": False, "hidden": False, "unwatched": False}
    assert "failures, of workers that report:" in queue
    assert "dead letters:" not in queue


def _settled(client: httpx.Client, path: str, **query: str) -> str:
    """Wait for the figures, and for what Prometheus says or why it does not."""
    pages: list[str] = []

    def has_come() -> bool:
        pages[:] = [html.unescape(client.get(path, params=query).text)]
        return (
            "Figures of" in pages[0]
            and "Prometheus" in pages[0]
            and "not answered yet" not in pages[0]
        )

    until(has_come)
    return pages[0]


class Fake(BaseHTTPRequestHandler):
    """What answers as Prometheus may: by the first word of the path."""

    asked: ClassVar[list[tuple[str, str | None, str]]] = []
    may_answer = threading.Event()

    def do_POST(self) -> None:
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.asked.append((self.path, self.headers["Authorization"], form))
        kind = self.path.split("/")[1]
        if kind == "hangs":
            self.may_answer.wait(30)
        self.send_response({"elsewhere": 302, "broken": 500}.get(kind, 200))
        self.send_header("Location", "/other")
        self.end_headers()
        said = {"data": {"result": [] if kind == "hangs" else [{"metric": ""}]}}
        self.wfile.write(json.dumps(said).encode() if kind != "garbage" else b"<html>")

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def fake() -> Iterator[str]:
    """The address of a Prometheus that does what the path says, with a name and a password."""
    Fake.asked.clear()
    Fake.may_answer.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Fake) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://ann%40:{quote(PASSWORD)}@127.0.0.1:{server.server_port}"
        Fake.may_answer.set()
        server.shutdown()
        thread.join()


def test_pages_do_not_wait_for_prometheus_and_ask_it_once_for_all_queues(
    fake: str, dsn: str, db: psycopg.Connection
) -> None:
    for number in range(30):
        db.execute("SELECT pgmq.create(%s)", [f"q{number}"])
    with served(application(dsn, prometheus=f"{fake}/hangs/")) as client:
        sampled(client)
        for _ in range(3):
            assert "Prometheus has not answered yet." in client.get("/").text
        Fake.may_answer.set()
        for _ in range(3):
            assert "nothing of an exporter" in _settled(client, "/")
    # Before the first figures there was nothing to ask about.
    [(path, told, form)] = Fake.asked
    assert path == "/hangs/api/v1/query_range"
    assert base64.b64decode(str(told).split()[1]).decode() == f"ann@:{PASSWORD}"
    assert all(f"q{number}" in form for number in range(30))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("elsewhere", "Prometheus refuses to answer (302: Found)."),
        ("broken", "Prometheus refuses to answer (500: Internal Server Error)."),
        ("garbage", "What answers is no Prometheus."),
        ("strange", "What answers is no Prometheus."),
        ("nobody", "Prometheus does not answer (Connection refused)."),
    ],
)
def test_what_is_wrong_with_it_is_said_without_its_address_or_password(
    kind: str, said: str, fake: str, dsn: str, db: psycopg.Connection
) -> None:
    db.execute("SELECT pgmq.create('q')")
    url = f"{fake}/{kind}" if kind != "nobody" else re.sub(r"\d+$", "1", fake)
    with served(application(dsn, prometheus=url)) as client:
        sampled(client)
        page = _settled(client, "/") + client.get("/queue?queue=q").text
    assert f"{said} The plots go on with what this console has seen itself." in page
    assert "in it: now 0" in page
    assert not re.search(f"{PASSWORD}|{quote(PASSWORD)}|ann|{url}", page)
    assert len(Fake.asked) == (kind != "nobody")  # of an answer that was none, not at once again


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", f"//u:{PASSWORD}@host", "http://", "host:90"]
)
def test_another_address_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(
        ValueError, match=r"^the address of Prometheus does not begin with http[^@]*$"
    ):
        application(prometheus=url)
