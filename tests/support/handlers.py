"""Handlers that a fresh process can import, and a worker in a process of its own.

    python tests/support/handlers.py CLASS DSN
    python tests/support/handlers.py group TRANSACTIONAL DSN

Their messages name files: {"touch": what to make, "wait": what to wait for before that}.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

import pgmq

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgmq import Message


def touch(message: Message) -> None:
    """Make a file, and wait for another."""
    made = Path(message.message["touch"])
    with made.open("a") as file:
        file.write(f"{message.read_ct}\n")
    awaited = message.message.get("wait")
    while awaited and not Path(awaited).exists():
        time.sleep(0.01)


class BusyError(pgmq.Retry):
    """A Retry of somebody's own."""


class BadError(pgmq.Reject):
    """A Reject of somebody's own."""


def raise_each(message: Message) -> None:
    """Raise what the number of the message says."""
    errors = [None, BusyError("busy", delay=60), BadError("no"), ValueError("boom")]
    if error := errors[message.message]:
        raise error


def fail_first(message: Message) -> None:
    """Raise what cannot be pickled, unless the message comes again."""

    class UnpicklableError(Exception):
        pass

    if message.read_ct == 1:
        raise UnpicklableError
    touch(message)


def die_first(message: Message) -> None:
    """Kill the process, unless the message comes again."""
    if message.read_ct == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    touch(message)


def leave(message: Message) -> None:
    """Raise what is no Exception, or end the process, as the message says."""
    kind = message.message["leave"]
    if kind == "exit":
        sys.exit()
    if kind == "interrupt":
        raise KeyboardInterrupt
    if kind == "panic":

        class PanicError(BaseException):
            def __str__(self) -> str:
                raise RuntimeError("it cannot be shown")

        raise PanicError
    if kind == "end" and message.read_ct == 1:
        os._exit(3)
    time.sleep(0.3)


def hang_first(message: Message, connection: psycopg.Connection[Any] | None = None) -> None:
    """Store the message if there is a connection, and hang if it says so and comes first."""
    if connection is not None:
        record(message, connection)
    if message.message == "hang" and message.read_ct == 1:
        time.sleep(600)


def fork(message: Message) -> None:
    """Fork a process, which does what the message says while the handler waits."""
    kind = message.message["fork"]
    begun, begin = os.pipe()
    process = os.fork()
    if process == 0:
        os.write(begin, b".")
        if kind == "raise":
            raise ValueError("in the other process")
        if kind == "exit":
            sys.exit(3)
        if kind in {"wait", "orphan"}:
            time.sleep(20)
        return
    os.read(begun, 1)
    with Path(message.message["pids"]).open("a") as file:
        file.write(f"{process}\n")
    if kind == "orphan":
        os._exit(4)
    if kind == "wait":
        os.kill(process, signal.SIGTERM)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if status != message.message["status"]:
        raise AssertionError(f"{kind}: {status}")


def record(message: Message, connection: psycopg.Connection[Any]) -> None:
    """Store the message: what a transactional handler does."""
    connection.execute("INSERT INTO effect VALUES (%s)", [message.msg_id])


def append(given: Any) -> None:
    """Append the numbers of messages of a stream, one or a batch, to the file that they name."""
    for message in given if isinstance(given, list) else [given]:
        with Path(message.message["file"]).open("a") as file:
            file.write(f"{message.message['n']}\n")


def effect(given: Any, connection: psycopg.Connection[Any]) -> None:
    """Store the numbers of messages of a stream, one or a batch."""
    for message in given if isinstance(given, list) else [given]:
        connection.execute("INSERT INTO effect VALUES (%s)", [_number(message)])


async def effect_asynchronous(given: Any, connection: psycopg.AsyncConnection[Any]) -> None:
    """Do as effect."""
    for message in given if isinstance(given, list) else [given]:
        await connection.execute("INSERT INTO effect VALUES (%s)", [_number(message)])


def _number(message: Any) -> str:
    body = message.message
    return str(body["n"] if isinstance(body, dict) else body)


def _consume_as_group(transactional: bool, dsn: str) -> None:
    """Consume the stream s until killed, some milliseconds a message."""

    def slow(message: Any, connection: psycopg.Connection[Any] | None = None) -> None:
        time.sleep(0.005)
        if connection is None:
            with psycopg.connect(dsn) as own:
                effect(message, own)
        else:
            effect(message, connection)

    pgmq.Worker(dsn, "s", slow, group="g", transactional=transactional, batch_size=20).run()


def asynchronous(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Make a coroutine function of a handler."""

    async def handle(*arguments: Any) -> None:
        await asyncio.to_thread(handler, *arguments)

    return handle


def main(name: str, *arguments: str) -> None:
    """Run a worker of a class until it is told to stop."""
    dsn = arguments[-1]
    if name == "group":
        _consume_as_group(arguments[0] == "1", dsn)
    elif name == "AsyncWorker":
        asyncio.run(pgmq.AsyncWorker(dsn, "jobs", asynchronous(touch), batch_size=10).run())
    else:
        getattr(pgmq, name)(dsn, "jobs", touch, batch_size=10).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
