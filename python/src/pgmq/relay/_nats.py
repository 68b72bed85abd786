"""NATS JetStream."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from pgmq.relay._broker import (
    LONGEST_PATIENCE,
    PATIENCE,
    STEP,
    BrokerError,
    RelayError,
    first_line,
    header,
    load,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pgmq.relay._broker import Outgoing, Progress

__all__ = ["Nats"]

_FILES = {"creds": "user_credentials", "nkey": "nkeys_seed"}
_TLS = {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"}
_PIECE = 65536  # bytes that are written at a time
_IDLE = 60.0  # seconds; later the server may have closed a connection that answers no ping
_WORD = r"(?![*>](?:\.|\Z))[^\s.\x00-\x1f\x7f]+"
_SUBJECT = re.compile(rf"(?!\$){_WORD}(?:\.{_WORD})*")
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NOT_AS_IT_IS = re.compile(r"[\x00-\x1f\x7f]|\A\s|\s\Z")
_LONGEST_LINE = 4096  # bytes of a command with its subjects, unless max_control_line says otherwise
# What the client has heard from the server, in small letters.
_FORBIDDEN = re.compile('permissions violation for publish to "(.*)"')
_NAMES = "$JS.API.STREAM.NAMES"
_NOT_STORED = 10077  # JetStream's number, with the reason in words
_AGAIN = {409, 429}  # of the codes for what is wrong with a message: it is on its way, too many


class Nats:
    """NATS JetStream: each message is confirmed by the stream that has its subject.

    Many are on their way at a time, but of a group one: while a stream has no leader a message may
    be lost, and the next one arrive.
    """

    def __init__(self, base: str, options: dict[str, str], queue: str, timeout: float) -> None:
        self._nats = load("nats", "nats")
        scheme = urlsplit(base).scheme
        self._timeout = timeout
        self._subject = options.pop("subject", "") or queue
        if not _SUBJECT.fullmatch(self._subject):
            raise RelayError(_no_subject(self._subject))
        # Several servers have commas between them, with the scheme repeated or not.
        servers = base.partition("//")[2].rstrip("/").split(",")
        user = servers[0].rpartition("@")[0]
        hosts = [server.rpartition("//")[2].rpartition("@")[2] for server in servers]
        if not all(hosts):
            raise RelayError(f"{scheme}:// needs a server: {scheme}://HOST:4222")
        self._name = f"{scheme}://{','.join(hosts)}/{self._subject}"
        tls = {name: options.pop(name) for name in list(options) if name in _TLS}
        self._tls = _context(tls) if tls or scheme == "tls" else None
        self._config: dict[str, Any] = {
            "servers": [f"nats://{host}" for host in hosts],
            "tls": self._tls,
            "inbox_prefix": options.pop("inbox", "_INBOX"),
            **self._login(user),
            **{_FILES[name]: _file(options.pop(name)) for name in list(options) if name in _FILES},
        }
        if options:
            raise RelayError(f"{scheme}:// has no option {', '.join(options)}")
        self._loop: Any = None
        self._client: Any = None
        self._used_at = 0.0
        self._inbox = ""
        self._said = ""  # the server's last complaint
        self._forbidden: set[str] = set()  # subjects, in small letters
        self._progress: Progress
        self._number = 0  # of the last message sent
        # By number: what is not answered, and what comes after it.
        self._open: dict[str, tuple[Outgoing, deque[Outgoing]]] = {}
        self._nothing_open: asyncio.Event  # or the connection is closed
        self._heard_at = 0.0
        self._patience = PATIENCE
        self._away = ""  # why a message is to be sent again

    def __str__(self) -> str:
        return self._name

    def _login(self, user: str) -> dict[str, Callable[[], str]]:
        """Return what to log in with, in functions that are called when it is known if TLS is."""

        def secret(text: str) -> Callable[[], str]:
            def tell() -> str:
                self._check_tls()
                return unquote(text)

            return tell

        name, colon, password = user.partition(":")
        if colon:
            return {"user": secret(name), "password": secret(password)}
        return {"token": secret(name)} if name else {}

    def _check_tls(self) -> None:
        if self._tls is not None and not self._client._server_info.get("tls_required"):
            raise BrokerError("the server does not ask for TLS")

    def connect(self) -> None:
        if self._client is not None and time.monotonic() - self._used_at < _IDLE:
            return
        self.close()
        self._said = ""
        self._client = self._nats.NATS()
        self._loop = asyncio.new_event_loop()
        try:
            self._loop.run_until_complete(self._connect())
        except Exception as error:  # of whatever the client finds in files, too
            self.close()
            raise BrokerError(self._said or first_line(error)) from error

    async def _connect(self) -> None:
        await self._client.connect(
            **self._config,
            name="pgmq relay",
            # The relay does retries, but the first may try each server twice.
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=self._timeout / 2,
            flush_timeout=STEP,
            error_cb=self._on_error,
            closed_cb=self._on_closed,
        )
        self._check_tls()
        self._nothing_open = asyncio.Event()
        self._inbox = self._client.new_inbox()
        await self._client.subscribe(f"{self._inbox}.*", cb=self._on_answer)
        await self._client.flush(self._timeout)
        if "permissions violation" in self._said:
            raise BrokerError(self._said)
        self._said = ""

    def send(self, messages: Sequence[Outgoing], progress: Progress) -> None:
        self.connect()
        self._progress = progress
        try:
            self._loop.run_until_complete(self._send(messages))
        except (OSError, asyncio.TimeoutError, self._nats.errors.Error) as error:
            self.close()
            raise BrokerError(self._said or first_line(error)) from error
        finally:
            self._used_at = time.monotonic()

    async def _send(self, messages: Sequence[Outgoing]) -> None:
        self._open.clear()
        self._away = ""
        self._heard_at = time.monotonic()
        lines: dict[str | int, deque[Outgoing]] = {}
        for message in messages:
            key = message.msg_id if message.group is None else message.group
            lines.setdefault(key, deque()).append(message)
        for line in lines.values():
            self._progress.pause()
            await self._send_first(line)
        while self._open:
            self._nothing_open.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._nothing_open.wait(), STEP)
            if self._client.is_closed:
                raise ConnectionError("the connection was closed")
            self._progress.pause()
            waited = time.monotonic() - self._heard_at
            if waited > (self._patience if self._progress.patient() else self._timeout):
                self._patience = min(2 * self._patience, LONGEST_PATIENCE)
                raise TimeoutError("no confirmation")
        self._patience = PATIENCE
        if self._away:
            raise BrokerError(self._away)

    async def _send_first(self, line: deque[Outgoing]) -> None:
        """Send the first message that can be sent of those that have to wait for each other."""
        while line:
            message = line.popleft()
            if not self._progress.wanted(message):
                continue
            self._number += 1
            subject, body = self._subject_of(message), message.body.encode()
            answer_to = f"{self._inbox}.{self._number}"
            headers = {
                "Nats-Msg-Id": _unique(message),
                **{name: _text(value) for name, value in message.headers.items()},
            }
            if problem := self._problem(subject, body, answer_to, headers):
                self._progress.settled(message, problem)
                continue
            self._open[str(self._number)] = message, line
            await self._client.publish(subject, body, answer_to, headers)
            if self._client.pending_data_size > _PIECE:
                await asyncio.sleep(0)  # has it written, and what was answered read
            return

    def _subject_of(self, message: Outgoing) -> str:
        return message.routing_key or self._subject

    def _problem(
        self, subject: str, body: bytes, answer_to: str, headers: dict[str, str]
    ) -> str | None:
        """Say why a message must not be sent: the server would close the connection, or worse."""
        if not _SUBJECT.fullmatch(subject):
            return _no_subject(subject)
        for name in headers:
            if not _HEADER_NAME.fullmatch(name):
                return f"NATS has no headers with such a name: {name!r}"
        lines = ["NATS/1.0", *(f"{name}: {value}" for name, value in headers.items()), ""]
        size = len(body) + sum(len(line.encode()) + 2 for line in lines)
        if size > (largest := self._client.max_payload):
            return f"{size} bytes are more than the server takes (max_payload {largest})"
        command = f"HPUB {subject} {answer_to} {size} {size}".encode()
        if len(command) > _LONGEST_LINE:
            return f"a subject of {len(subject)} characters is longer than servers take"
        return None

    async def _on_answer(self, answer: Any) -> None:
        number = answer.subject.rpartition(".")[2]
        if number not in self._open:
            return  # to what was given up
        self._heard_at = time.monotonic()
        message, line = self._open[number]
        try:
            self._progress.settled(message, await self._refusal(message, answer))
            await self._send_first(line)
        except Exception as error:  # noqa: BLE001, the client would keep it to itself
            self._away = first_line(error)
        self._close_number(number)

    def _close_number(self, number: str) -> None:
        del self._open[number]
        if not self._open:
            self._nothing_open.set()

    async def _refusal(self, message: Outgoing, answer: Any) -> str | None:
        """Say why a stream does not take a message, if so; raises BrokerError if it may later."""
        if answer.headers and answer.headers.get("Status") == "503":
            return await self._no_stream(message)
        try:
            said = json.loads(answer.data)
            error = said.get("error")
            if error is None:
                said["seq"]
                return None
            code, description = error["code"], str(error.get("description"))
        except (ValueError, TypeError, LookupError, AttributeError):
            return f"what answers at subject {self._subject_of(message)!r} is no stream"
        is_full = error.get("err_code") == _NOT_STORED and description.startswith("maximum ")
        if is_full or (400 <= code < 500 and code not in _AGAIN):
            return description
        raise BrokerError(description)

    async def _no_stream(self, message: Outgoing) -> str:
        """Tell a stream that is not there from one that has no leader for now."""
        subject = self._subject_of(message)
        complaint = (
            f"no stream has subject {subject!r}: create one"
            f" (nats stream add NAME --subjects {subject}), or add it to one"
        )
        if not message.routing_key:
            raise BrokerError(complaint)
        if self._may_not_ask():
            return complaint
        try:
            streams = self._client.jetstream(timeout=self._timeout)
            stream = await streams.find_stream_name_by_subject(subject)
        except self._nats.js.errors.NotFoundError:
            return complaint
        except self._nats.errors.Error as error:
            if self._may_not_ask():
                return complaint
            raise BrokerError(complaint) from error
        raise BrokerError(f"stream {stream!r} does not answer")

    def _may_not_ask(self) -> bool:
        return _NAMES.lower() in self._forbidden

    async def _on_error(self, error: Exception) -> None:
        self._said = first_line(error)
        if forbidden := _FORBIDDEN.search(self._said):
            self._forbidden.add(forbidden[1])
            for number, (message, line) in list(self._open.items()):
                if self._subject_of(message).lower() == forbidden[1]:
                    self._progress.settled(message, self._said)
                    await self._send_first(line)
                    self._close_number(number)

    async def _on_closed(self) -> None:
        if self._client.last_error is not None:
            self._said = first_line(self._client.last_error)
        self._nothing_open.set()

    def close(self) -> None:
        loop, self._loop = self._loop, None
        client, self._client = self._client, None
        if loop is None:
            return
        loop.run_until_complete(self._disconnect(client))
        loop.close()

    async def _disconnect(self, client: Any) -> None:
        # Closing what is broken says so once more.
        with contextlib.suppress(Exception):
            await asyncio.wait_for(client.close(), self._timeout)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _context(options: dict[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
        if "ssl_certfile" in options:
            context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    except OSError as error:
        raise RelayError(f"TLS: {error}, of {', '.join(options.values())}") from error
    return context


def _file(path: str) -> str:
    """Return the name of a file of nkeys, having looked into it."""
    load("nkeys", "nats")
    try:
        Path(path).read_bytes()
    except OSError as error:
        raise RelayError(f"NATS: {error}") from error
    return path


def _no_subject(subject: str) -> str:
    return (
        f"{subject!r} is no subject for messages: it has a space, an empty token or a wildcard,"
        " or begins with $"
    )


def _unique(message: Outgoing) -> str:
    """Return what a message is known by, and no other of a queue or database of the same name."""
    return f"{message.message_id}/{int(message.enqueued_at.timestamp() * 1e6)}"


def _text(value: Any) -> str:
    """Return a header's value, as JSON where it would not arrive as it is."""
    text = header(value)
    return json.dumps(text) if _NOT_AS_IT_IS.search(text) else text
