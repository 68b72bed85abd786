"""Who may come in: names of hosts, the token, sessions, forms; and the headers of each answer."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = [
    "LOOPBACK",
    "Authorize",
    "RefusedError",
    "Security",
    "Session",
    "path_of",
    "read_form",
    "refuses",
    "session_of",
]

Authorize = Callable[[Request], "str | Awaitable[str | None] | None"]

Login = Callable[[Request, bool], Response]  # the page that asks for the token

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self';"
    " img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none';"
    " base-uri 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_BODY = 8 * 1024 * 1024  # bytes of a form, at most
_COOKIE = "pgmq_web"
_LASTS = 12 * 3600  # seconds: a session


@dataclass(frozen=True, slots=True)
class Session:
    """Who looks, and what their forms must carry."""

    user: str | None
    csrf: str


def session_of(request: Request) -> Session:
    found: Session = request.scope["pgmq.session"]
    return found


def path_of(request: Request) -> str:
    """Give the path below the console's root, as it is routed.

    A request's url may say another one: it is made of the Host header, which callers choose.
    """
    path: str = request.scope["path"]
    return path.removeprefix(request.scope.get("root_path", ""))


class RefusedError(Exception):
    """Raised for what a page does not do: the status of the answer, and why."""

    def __init__(self, status: int, reason: str, hint: str | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.hint = hint


async def read_form(request: Request) -> dict[str, str]:
    """Read a form: the last value of each name, and all of `ids`, with spaces between."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY:
            raise RefusedError(413, "the form is longer than 8 MB")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=5000)
    except ValueError as error:
        raise RefusedError(400, "the form cannot be read") from error
    found = dict(pairs)
    if "ids" in found:
        found["ids"] = " ".join(value for name, value in pairs if name == "ids")
    return found


class Security:
    """Stands before every page. What a session is, its cookie says, signed with a key of ours."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        login: Login,
        token: str | None,
        authorize: Authorize | None,
        hosts: Collection[str],
    ) -> None:
        self._app = app
        self._show_login = login
        self._token = token
        self._authorize = authorize
        self._hosts = {host.lower() for host in hosts}
        self._key = secrets.token_bytes(32)
        self._one_try = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        path = path_of(request)
        number = self._known(request.cookies.get(_COOKIE, ""))
        cookie = None
        if number is None and not self._token:
            number = self._number()
            cookie = self._cookie(request, number)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                if not path.startswith("/static/"):
                    headers["Cache-Control"] = "no-store"
                    if cookie:
                        headers.append("Set-Cookie", cookie)
            await send(message)

        answer = await self._answer(request, path, number)
        await (answer or self._app)(scope, receive, send_with_headers)

    async def _answer(self, request: Request, path: str, number: str | None) -> Response | None:
        """Answer at once, or let the request pass."""
        if not self._is_host(request.headers.get("host", "")):
            return PlainTextResponse("This console does not go by that name.", 421)
        if path.startswith("/static/"):
            return None
        user = None
        if self._authorize:
            asked = self._authorize(request)
            user = await asked if isinstance(asked, Awaitable) else asked
            if user is None:
                return PlainTextResponse("Not for you.", 403)
        if self._token and (number is None or path == "/login"):
            request.scope["pgmq.session"] = Session(user, "")
            return await self._login(request, self._token)
        request.scope["pgmq.session"] = Session(user, self._signed(f"form {number}"))
        return None

    async def _login(self, request: Request, token: str) -> Response:
        home = request.scope.get("root_path", "") + "/"
        wrong = False
        if request.method == "POST":
            try:
                form = await read_form(request)
            except RefusedError as error:
                return PlainTextResponse(str(error), error.status)
            async with self._one_try:  # guessing is slow, for all together
                given = form.get("token", "").strip()
                wrong = not hmac.compare_digest(given.encode(), token.encode())
                await asyncio.sleep(wrong)
            if not wrong:
                answer: Response = RedirectResponse(home, 303)
                answer.headers["Set-Cookie"] = self._cookie(request, self._number())
                return answer
        return self._show_login(request, wrong)

    def _is_host(self, host: str) -> bool:
        name, colon, port = host.lower().rpartition(":")
        return bool(self._hosts & {"*", name if colon and port.isdigit() else host.lower()})

    # Sessions

    def _number(self) -> str:
        """Make the number of a new session, with its end."""
        return f"{secrets.token_urlsafe(16)}.{int(time.time()) + _LASTS}"

    def _signed(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()

    def _known(self, cookie: str) -> str | None:
        number, _, signature = cookie.rpartition(".")
        valid = hmac.compare_digest(signature.encode(), self._signed(f"session {number}").encode())
        return number if valid and int(number.rpartition(".")[2]) > time.time() else None

    def _cookie(self, request: Request, number: str) -> str:
        path = request.scope.get("root_path", "") or "/"
        secure = "; Secure" if request.scope.get("scheme") == "https" else ""
        value = f"{number}.{self._signed(f'session {number}')}"
        return f"{_COOKIE}={value}; HttpOnly; SameSite=Strict; Path={path}{secure}"


def refuses(request: Request, form: dict[str, Any]) -> bool:
    """Tell whether a form was not sent from a page of ours."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return True
    return not hmac.compare_digest(
        str(form.get("csrf", "")).encode(), session_of(request).csrf.encode()
    )
