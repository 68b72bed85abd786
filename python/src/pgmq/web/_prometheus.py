"""The last hour of figures, as Prometheus has kept them of the exporter and of workers."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import re
import time
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from pgmq.web._history import POINTS, STEP, Past, unknown

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterable

    Key = tuple[frozenset[str], tuple[str, ...]]

__all__ = ["Prometheus"]

_PATIENCE = 1.0  # seconds that a page waits; it is renewed every 2 s, and has it then
_TIMEOUT = 5.0  # seconds for an answer
_AT_ONCE = 2  # queries
_LONGEST = 16_000_000  # bytes of an answer: a page of 100 queues has 1 MB
_KEPT = 16  # answers, of a quarter of a MB each at most
_ROLLING = 8  # steps for which the old exporter and the new one may be there together

# A rate needs two scrapes: with two minutes, that is one a minute at least.
_FAILED = 'pgmq_worker_messages_total{outcome=~"failed|rejected",%s}'
_EXPRESSIONS = {
    "sent": "rate(pgmq_messages_total{%s}[2m])",
    "removed": "rate(pgmq_messages_removed_total{%s}[2m])",
    "length": "pgmq_queue_length{%s}",
    "in_flight": "pgmq_queue_in_flight_length{%s}",
    "oldest": "pgmq_oldest_message_age_seconds{%s}",
    "failed": f"sum by (queue) (rate({_FAILED}[2m]))",
}


class _NoRedirects(HTTPRedirectHandler):
    """The password is for one server only."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Prometheus:
    """Asks a Prometheus, one query for a page; each answer is good for as long as a point is."""

    def __init__(self, url: str, match: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            # The address is not repeated: it may have a password in it.
            raise ValueError("the address of Prometheus does not begin with http:// or https://")
        host = parts.netloc.rpartition("@")[2]
        self._url = f"{parts.scheme}://{host}{parts.path.rstrip('/')}/api/v1/query_range"
        self._headers = {}
        if parts.username is not None:
            name, word = unquote(parts.username), unquote(parts.password or "")
            told = base64.b64encode(f"{name}:{word}".encode()).decode()
            self._headers["Authorization"] = f"Basic {told}"
        self._match = match.strip().strip("{}").strip()
        self._open = build_opener(_NoRedirects()).open
        self._kept: OrderedDict[Key, Past] = OrderedDict()
        self._asking: dict[Key, asyncio.Task[None]] = {}
        self._failed = (-STEP, "")  # when, and how

    async def past(self, queues: Iterable[str], figures: Iterable[str] | None = None) -> Past:
        """Give the last hour of queues; what is not known in time is in the next answer."""
        if not (names := frozenset(queues)):
            return Past()
        key = (names, tuple(_EXPRESSIONS if figures is None else figures))
        began = time.monotonic()
        while not self._is_settled(key) and (left := began + _PATIENCE - time.monotonic()) > 0:
            if key not in self._asking and len(self._asking) < _AT_ONCE:
                self._asking[key] = asyncio.create_task(self._ask(key))
            await asyncio.wait(
                self._asking.values(), timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
        failed_at, problem = self._failed
        if time.monotonic() - failed_at >= STEP:
            problem = ""
        if found := self._kept.get(key):
            return replace(found, problem=problem or found.problem)
        return Past(problem=problem or "Prometheus has not answered yet.")

    def start(self) -> None:
        """Begin anew, in the event loop that runs."""
        self._asking = {}

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """What runs."""
        return [*self._asking.values()]

    def _is_settled(self, key: Key) -> bool:
        """Tell whether there is an answer, or none to be had for now."""
        now = time.monotonic()
        found = self._kept.get(key)
        return (found is not None and now - found.at < STEP) or now - self._failed[0] < STEP

    async def _ask(self, key: Key) -> None:
        try:
            found = await asyncio.to_thread(self._fetch, *key)
        except Exception as error:  # noqa: BLE001 an answer may have anything in it
            self._failed = (time.monotonic(), _explain(error))
        else:
            self._kept[key] = found
            self._kept.move_to_end(key)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        finally:
            self._asking.pop(key, None)

    def _fetch(self, queues: frozenset[str], figures: tuple[str, ...]) -> Past:
        """Ask, in a thread."""
        now = time.monotonic()
        step = int(now / STEP)
        end = time.time() - (now - step * STEP)
        form = {
            "query": self._query(queues, figures),
            "start": f"{end - (POINTS - 1) * STEP:.3f}",
            "end": f"{end:.3f}",
            "step": f"{STEP:.0f}",
            "timeout": f"{_TIMEOUT:.0f}s",
        }
        request = Request(self._url, urlencode(form).encode(), self._headers)  # noqa: S310
        body = b""
        with self._open(request, timeout=_TIMEOUT) as answer:
            while piece := answer.read1(1 << 20):
                body += piece
                if len(body) > _LONGEST:
                    raise OSError("its answer is too long")
                if time.monotonic() > now + _TIMEOUT:
                    raise TimeoutError
        series = json.loads(body)["data"]["result"]
        found = _read(series, step, end - (POINTS - 1) * STEP)
        missing = queues - {name for name, _ in found.lines}
        if missing and not found.problem:
            which = f"{len(missing):,} of these queues" if len(queues) > 2 else min(missing)
            found = replace(found, problem=f"Prometheus has nothing of {which}.")
        return found

    def _query(self, queues: Iterable[str], figures: Iterable[str]) -> str:
        """Write one expression for all figures, which a label tells apart."""
        names = "|".join(map(_literally, sorted(queues)))
        of_queues = f"queue=~{_quoted(names)}" + (f",{self._match}" if self._match else "")
        wanted = {figure: _EXPRESSIONS[figure] % of_queues for figure in figures}
        wanted["up"] = f"pgmq_up{{{self._match}}}"
        return " or ".join(
            f'label_replace({expression}, "figure", "{figure}", "", "")'
            for figure, expression in wanted.items()
        )


def _literally(text: str) -> str:
    """Write a text as a regular expression of RE2's that stands for it alone."""
    return re.sub(r"[\\.+*?()|\[\]{}^$]", r"\\\g<0>", text)


def _quoted(text: str) -> str:
    """Write a text as a string of PromQL, which has the escapes of JSON."""
    return json.dumps(text, ensure_ascii=False)


def _read(series: list[dict[str, Any]], step: int, start: float) -> Past:
    """Make lines of an answer, if they are all of one exporter."""
    lines: dict[tuple[str, str], array[float]] = {}
    exporters: dict[str, array[float]] = {}
    for each in series:
        labels = each["metric"]
        figure = labels.pop("figure")
        if figure == "up":
            labels.pop("__name__", None)
            name = ", ".join(f"{name}={_quoted(value)}" for name, value in sorted(labels.items()))
            line = exporters.setdefault(name, unknown())
        else:
            line = lines.setdefault((labels["queue"], figure), unknown())
        for at, text in each["values"]:
            number, value = round((at - start) / STEP), float(text)
            if 0 <= number < POINTS and math.isfinite(value):
                line[number] = value
    if not exporters:
        return Past(problem="Prometheus has nothing of an exporter of pgmq.")
    together = sum(
        sum(not math.isnan(point) for point in points) > 1
        for points in zip(*exporters.values(), strict=True)
    )
    names = "; ".join(sorted(exporters)[:4])
    if together > _ROLLING:
        return Past(
            problem=f"Prometheus has {len(exporters)} exporters of pgmq, such as {names}."
            " Say by --prometheus-match which of them is of this database."
        )
    return Past(step, lines, names)


def _explain(error: Exception) -> str:
    """Say what is wrong; neither the address nor the password is part of that."""
    if isinstance(error, HTTPError):
        try:
            said = str(json.loads(error.read(10_000))["error"])[:300]
        except Exception:  # noqa: BLE001
            said = error.reason
        return f"Prometheus refuses to answer ({error.code}: {said})."
    if isinstance(error, TimeoutError) or (
        isinstance(error, URLError) and isinstance(error.reason, TimeoutError)
    ):
        return f"Prometheus does not answer within {_TIMEOUT:.0f} s."
    if isinstance(error, OSError):
        reason = error.reason if isinstance(error, URLError) else error
        said = getattr(reason, "strerror", None) or str(reason)
        return f"Prometheus does not answer ({said})."
    return "What answers is no Prometheus."
