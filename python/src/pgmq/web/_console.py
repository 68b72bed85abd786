"""What all pages share: the connections, the figures, the templates, and how errors are shown."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import logging
import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import jinja2
import psycopg
from psycopg.conninfo import make_conninfo
from starlette.responses import HTMLResponse

from pgmq import __version__
from pgmq import _statements as statements
from pgmq.base import find_server, lasting
from pgmq.web import _plots, _words
from pgmq.web._database import Database
from pgmq.web._history import History, Past, Times
from pgmq.web._security import RefusedError, path_of, read_form, refuses, session_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from starlette.requests import Request
    from starlette.responses import Response

    from pgmq._statements import Known
    from pgmq.messages import Finding
    from pgmq.web._prometheus import Prometheus
    from pgmq.web._sweep import Sweep

    Page = Callable[["Console", Request], Awaitable[Response]]

__all__ = ["Console", "page", "pages"]

_FIGURES = 300  # seconds that taking them may take: thousands of queues, and the first time
_FIGURES_AGAIN = 30  # the same, when they took less than a tenth of it
_DOCTOR = 60  # seconds for which a look of doctor's is good
_AT_ONCE = 5  # connections, beside that of the figures
_SWEEPS = 2  # of these


_logger = logging.getLogger(__name__)

pages: list[tuple[str, list[str], Page]] = []


def page(path: str, *methods: str) -> Callable[[Page], Page]:
    """Register what answers at a path."""

    def register(function: Page) -> Page:
        pages.append((path, list(methods or ("GET",)), function))
        return function

    return register


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that was done."""

    number: int
    at: datetime
    user: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What doctor has found, or why it could not look."""

    at: float
    found: list[Finding]
    problem: str

    @property
    def age(self) -> float:
        """How many seconds ago."""
        return time.monotonic() - self.at


class Console:
    """One console: what it knows of its server, and how its pages are made."""

    def __init__(self, dsn: str | None, *, read_only: bool, prometheus: Prometheus | None) -> None:
        wanted = {"fallback_application_name": "pgmq web", "connect_timeout": "5"}
        self._dsn = make_conninfo("", **lasting(wanted | find_server(dsn)))
        self._read_only = read_only
        self._prometheus = prometheus
        self._room: asyncio.Semaphore  # of an event loop: see start
        self._sampling: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._found: Findings | None = None
        self.history = History()
        self.journal: deque[Entry] = deque(maxlen=200)
        self.sweeps: dict[int, Sweep] = {}  # that run
        self._numbers = itertools.count(1)
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("pgmq.web"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= _words.FILTERS
        self._templates.globals |= {"plot": _plots.plot, "spark": _plots.spark}

    @property
    def read_only(self) -> bool:
        """Whether nothing can be done here: that was asked for, or the server is a standby."""
        return self._read_only or self.history.is_standby

    # Figures

    def start(self) -> None:
        """Begin to take figures, in the event loop that runs."""
        if self._sampling is None or self._sampling.get_loop() is not asyncio.get_running_loop():
            self._room = asyncio.Semaphore(_AT_ONCE)
            if self._prometheus:
                self._prometheus.start()
            self._sampling = asyncio.create_task(self._sample_for_good())

    async def stop(self) -> None:
        running = [self._sampling, self._looking, *(each.task for each in self.sweeps.values())]
        if self._prometheus:
            running += self._prometheus.tasks
        tasks = [task for task in running if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._sampling = self._looking = None

    async def _sample_for_good(self) -> None:
        database: Database | None = None
        seconds = _FIGURES
        try:
            while True:
                began = time.monotonic()
                took = 0.0  # by the server
                try:
                    if database is None:
                        database = await Database.connect(self._dsn)
                        seconds = _FIGURES
                    async with database.transaction(seconds=seconds):
                        await self.history.sample(database)
                except psycopg.Error as error:
                    self.history.fail(*explain(error))
                    if database is not None and not database.connection.closed:
                        took = time.monotonic() - began
                        await database.connection.close()
                    database = None
                else:
                    took = time.monotonic() - began
                    # One that takes ten times as long does not answer any more.
                    seconds = min(_FIGURES, max(_FIGURES_AGAIN, int(10 * took)))
                # At most a fifth of the time is spent on figures, however many queues there are.
                await asyncio.sleep(max(2.0, 4 * took))
        finally:
            if database is not None:
                await database.connection.close()

    async def times(self, queues: Iterable[str], figures: Iterable[str] | None = None) -> Times:
        """Give the hour of queues, with what Prometheus has of it."""
        asked = self._prometheus.past(queues, figures) if self._prometheus else None
        return Times(self.history, await asked if asked else Past())

    # Pages

    @contextlib.asynccontextmanager
    async def database(self, *, write: bool = False, undo: bool = False) -> AsyncIterator[Database]:
        """Open a connection, and a transaction that only looks unless it is to write."""
        # A connection for each page: a server that went away and came back is there at once.
        async with self._room:
            database = await Database.connect(self._dsn)
            async with database.connection, database.transaction(write=write, undo=undo):
                yield database

    def look(self, *, anew: bool = False) -> Findings | None:
        """Give what doctor found last, and have it look when that is long ago.

        It takes long, and while a table is locked it cannot look: nobody waits for it.
        """
        found, task = self._found, self._looking
        is_old = found is None or time.monotonic() - found.at > _DOCTOR
        if (anew or is_old) and (task is None or task.done()):
            self._looking = asyncio.create_task(self._look())
        return found

    async def _look(self) -> None:
        found: list[Finding] = []
        problem = ""
        try:
            async with self.database() as database:
                found = await database.doctor()
        except psycopg.Error as error:
            problem, _ = explain(error)
        self._found = Findings(time.monotonic(), found, problem)

    @staticmethod
    async def known(database: Database, queue: str | None) -> Known:
        """Look a queue up; none of this name is an error."""
        found = await database.run(statements.known(queue or ""))
        if not found:
            raise RefusedError(404, f'there is no queue "{queue}"')
        return found[0]

    def endpoint(self, function: Page) -> Callable[[Request], Awaitable[Response]]:
        """Make what Starlette calls of a page: it checks forms, and shows errors."""

        async def answer(request: Request) -> Response:
            session_of(request)  # a KeyError for what Security has not let in
            self.start()  # of an application that is mounted nobody runs the lifespan
            try:
                if request.method == "POST":
                    form = await read_form(request)
                    if refuses(request, form):
                        raise RefusedError(
                            403, "this form is not from a page of this console, or is too old",
                            "Go back, load the page again, and repeat.",
                        )  # fmt: skip
                    request.state.form = form
                return await function(self, request)
            except RefusedError as error:
                return self._complain(request, error.status, str(error), error.hint)
            except psycopg.Error as error:
                return self._complain(request, _status(error), *explain(error))

        return answer

    def _complain(self, request: Request, status: int, message: str, hint: str | None) -> Response:
        return self.render(request, "error.html", status, message=message, hint=hint)

    @staticmethod
    def link(request: Request, path: str, **query: Any) -> str:
        """Write the address of a page of ours, wherever the console is mounted."""
        root: str = request.scope.get("root_path", "")
        given = {name: value for name, value in query.items() if value not in (None, "")}
        return root + path + (f"?{urlencode(given)}" if given else "")

    def render(
        self, request: Request, template: str, status: int = 200, **values: Any
    ) -> HTMLResponse:
        session = session_of(request)
        done = request.query_params.get("done", "")
        text: str = self._templates.get_template(template).render(
            link=functools.partial(self.link, request),
            path=path_of(request),
            session=session,
            history=self.history,
            read_only=self.read_only,
            done=next((each for each in self.journal if str(each.number) == done), None),
            now=datetime.now(timezone.utc),
            version=__version__,
            **values,
        )
        return HTMLResponse(text, status)

    def begin(self, sweep: Sweep) -> None:
        """Begin what takes its time; the journal says how it ended."""
        if len(self.sweeps) == _SWEEPS:
            raise RefusedError(409, f"{_SWEEPS} of these run already", "Wait, or stop one.")
        sweep.number = next(self._numbers)
        self.sweeps[sweep.number] = sweep
        sweep.task = asyncio.create_task(self._sweep(sweep))

    async def _sweep(self, sweep: Sweep) -> None:
        ending = await sweep.run(functools.partial(self.database, write=True))
        del self.sweeps[sweep.number]
        self.note(
            sweep.user,
            f"{sweep.done:,} message{'' if sweep.done == 1 else 's'} of {sweep.queue}"
            f" {'was' if sweep.done == 1 else 'were'} {sweep.what}, {ending}.",
        )

    async def end(self, number: int) -> None:
        """Stop one of these; what it has done stays done."""
        if (sweep := self.sweeps.get(number)) and sweep.task:
            sweep.task.cancel()
            await asyncio.wait([sweep.task])

    def note(self, user: str | None, text: str) -> Entry:
        """Write down what was done."""
        number = self.journal[-1].number + 1 if self.journal else 1
        entry = Entry(number, datetime.now(timezone.utc), user, text)
        self.journal.append(entry)
        _logger.info("%s%s", f"{user}: " if user else "", text)
        return entry


def explain(error: psycopg.Error) -> tuple[str, str | None]:
    """Say what Postgres says; a message of its own never has a payload in it, its detail may."""
    if isinstance(error, psycopg.errors.UndefinedFunction) and "function pgmq." in str(error):
        return "the pgmq of this database is older than this console", "Run pgmq install."
    if '"pgmq"' in str(error) or '"pgmq.meta"' in str(error):
        return "pgmq is not installed in this database", "Run pgmq install."
    return error.diag.message_primary or str(error).strip(), error.diag.message_hint


def _status(error: psycopg.Error) -> int:
    state = error.sqlstate
    if state is None or state[:2] in {"08", "53", "57"}:  # it is away, or full, or stopped us
        return 503
    return {"42501": 403, "42P01": 404}.get(state, 400)
