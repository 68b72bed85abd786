"""The messages of a queue, of its archive, or of a stream; none is leased for looking at it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from starlette.responses import Response

from pgmq.web import _looks as looks
from pgmq.web._console import page
from pgmq.web._security import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from pgmq.web._console import Console


_ASKED = ("contains", "headers", "group", "state", "older", "reads", "newest")


@page("/messages", "GET", "POST")
async def messages(console: Console, request: Request) -> Response:
    # What is asked for may be part of a message, so a form asks, and no address has it.
    form: dict[str, str] = request.state.form if request.method == "POST" else {}
    given = {name: form[name].strip() for name in _ASKED if form.get(name, "").strip()}
    archive = "archive" in request.query_params
    asked = replace(wanted(form), newest="newest" in form, after=whole(form.get("after")))
    async with console.database() as database:
        known = await console.known(database, request.query_params.get("queue"))
        found = await database.run(looks.messages(known, asked, archive=archive))
        more = found[looks.PAGE - 1].msg_id if len(found) > looks.PAGE else None
        if more is None and form:
            more = await database.run(looks.looked_at(known, asked, archive=archive))
    return console.render(
        request,
        "messages.html",
        known=known,
        archive=archive,
        readable=known.archive_readable if archive else known.readable,
        messages=found[: looks.PAGE],
        more=more,
        given=given,
    )


@page("/message")
async def message(console: Console, request: Request) -> Response:
    query = request.query_params
    archive = "archive" in query
    msg_id = whole(query.get("id")) or 0
    async with console.database() as database:
        known = await console.known(database, query.get("queue"))
        found = await database.run(looks.message(known, msg_id, archive=archive))
    if found is None:
        raise RefusedError(404, f"message {msg_id} is not there any more")
    return console.render(
        request,
        "message.html",
        known=known,
        archive=archive,
        message=found,
        headers=_headers(found.headers),
        cut=(found.length or 0) > looks.LONGEST or len(found.text or "") == looks.LONGEST,
    )


@page("/download")
async def download(console: Console, request: Request) -> Response:
    query = request.query_params
    msg_id = whole(query.get("id")) or 0
    async with console.database() as database:
        known = await console.known(database, query.get("queue"))
        text = await database.run(looks.payload(known, msg_id, archive="archive" in query))
    if text is None:
        raise RefusedError(404, f"message {msg_id} is not there any more, or has no payload")
    name = f'attachment; filename="message-{msg_id}.json"'
    return Response(text, media_type="application/json", headers={"Content-Disposition": name})


def _headers(text: str | None) -> dict[str, str]:
    """Give each header as text; JSON that was cut is none."""
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in found.items()
    }


def wanted(form: Mapping[str, str]) -> looks.Wanted:
    """Read what a filter asks for."""
    given = {name: form[name].strip() for name in _ASKED if form.get(name, "").strip()}
    return looks.Wanted(
        contains=json_text(given.get("contains")),
        headers=json_text(given.get("headers")),
        group=given.get("group"),
        state=given.get("state"),
        older=whole(given.get("older")),
        reads=whole(given.get("reads")),
    )


def whole(text: str | None) -> int | None:
    """Read a whole number."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise RefusedError(400, f'"{text[:40]}" is not a whole number')
    return int(text)


def json_text(text: str | None) -> str | None:
    """Check JSON, and leave it as it stands."""
    if not text:
        return None
    try:
        json.loads(text, parse_int=str, parse_float=str)
    except ValueError as error:
        raise RefusedError(400, f"that is not JSON: {error}") from error
    except RecursionError:
        pass  # Postgres will say
    return text
