"""The commands that send messages and look at them: send, read, peek, get, pop."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

import psycopg

from pgmq._statements import leases
from pgmq.cli._declare import (
    CONDITIONAL,
    DELAY,
    HEADERS,
    JSON,
    MSG_IDS,
    QTY,
    QUEUE,
    VT,
    arg,
    command,
    json_text,
    path,
    session_of,
)
from pgmq.cli._output import CommandError, explain, line_of, require_all, rich, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import BinaryIO

    from pgmq._session import Session
    from pgmq._wire import JSONText
    from pgmq.cli._declare import Options
    from pgmq.messages import Message

_JSON = arg("--json", action="store_true", help="changes nothing: messages are printed as JSON")


@command(
    QUEUE,
    arg("messages", metavar="JSON", nargs="*", type=json_text, help="messages"),
    arg(
        "--file", metavar="FILE", type=path, help="send every line of a file (- is standard input)"
    ),
    HEADERS,
    DELAY,
    JSON,
)
def send(options: Options) -> None:
    """Send messages: arguments, or lines of JSON.

    The lines (JSONL) are those of a file, or else of standard input. All are sent in one
    transaction: after an error none are. The msg_ids of arguments are printed.

    Example: pgmq send orders '{"id": 1}' --headers '{"x-pgmq-group": "ann"}'
    Example: pgmq send orders --file orders.jsonl
    """
    if options.messages and options.file:
        options.parser.error("give messages or a file, not both")
    with session_of(options) as session, session.connection.transaction():
        if options.messages:
            for msg_id in _send_batch(session, options, options.messages):
                say(options, msg_id, msg_id=msg_id)
            sys.stdout.flush()  # what nobody learns of is not sent
            return
        with _lines(options.file) as lines:
            batch: dict[int, JSONText] = {}
            count = size = 0
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    batch[number] = json_text(line.decode())
                except (argparse.ArgumentTypeError, UnicodeDecodeError) as error:
                    raise CommandError(f"line {number}: {error}; nothing is sent") from error
                count, size = count + 1, size + len(line)
                if len(batch) == 1000 or size > 1 << 20:
                    _send_lines(session, options, batch)
                    batch, size = {}, 0
            if batch:
                _send_lines(session, options, batch)
        if options.json:
            say(options, "", sent=count)
            sys.stdout.flush()
        else:
            print(f"{count} sent", file=sys.stderr)


def _send_lines(session: Session, options: Options, batch: dict[int, JSONText]) -> None:
    try:
        _send_batch(session, options, list(batch.values()))
    except psycopg.DataError as error:
        where = f"lines {min(batch)} to {max(batch)}" if len(batch) > 1 else f"line {min(batch)}"
        raise CommandError(f"{where}: {explain(error)[0]}; nothing is sent") from error


def _send_batch(session: Session, options: Options, batch: Sequence[JSONText]) -> list[int]:
    headers = [options.headers] * len(batch) if options.headers else None
    return session.send_batch(options.queue, batch, headers, options.delay)


def _bar() -> Any:
    """Make a progress bar, or None where rich is missing."""
    with contextlib.suppress(CommandError):
        progress = rich("progress")
        return progress.Progress(
            progress.BarColumn(),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(),
            console=rich("console").Console(stderr=True),
        )
    return None


@contextlib.contextmanager
def _lines(name: str | bytes | None) -> Iterator[Iterable[bytes]]:
    """Open a file, or standard input; in a terminal, a bar shows how far we are."""
    with contextlib.ExitStack() as stack:
        file: BinaryIO
        if name is None or name == "-":
            if sys.stdin.isatty() and name is None:
                raise CommandError("no message: give one, or lines in a file or on standard input")
            file, total = sys.stdin.buffer, None
        else:
            file = stack.enter_context(open(name, "rb"))  # noqa: PTH123
            total = os.fstat(file.fileno()).st_size or None
        bar = _bar() if sys.stderr.isatty() else None
        if bar is None:
            yield file
            return
        stack.enter_context(bar)
        task = bar.add_task("", total=total)

        def followed() -> Iterator[bytes]:
            for line in file:
                yield line
                bar.advance(task, len(line))

        yield followed()


@command(
    QUEUE,
    VT,
    QTY,
    CONDITIONAL,
    arg("--grouped", action="store_true", help="in the order of FIFO groups"),
    _JSON,
)
def read(options: Options) -> None:
    """Lease messages and print them as JSON.

    They are hidden from others for --vt seconds, and come back then: see consume.

    Example: pgmq read orders --vt 60 --qty 10
    """
    if options.grouped and options.conditional:
        options.parser.error("a grouped read takes no --conditional")
    with session_of(options) as session:
        if options.grouped:
            found = session.read_grouped(options.queue, options.vt, options.qty)
        else:
            read = session.read(options.queue, options.vt, options.qty, options.conditional)
            found = read if isinstance(read, list) else [read] if read else []
        _print_leased(session, options.queue, found)


@command(QUEUE, QTY, CONDITIONAL, _JSON)
def peek(options: Options) -> None:
    """Print what a read would lease, and leave it alone.

    Example: pgmq peek orders --qty 5 --conditional '{"country": "eu"}'
    """
    with session_of(options) as session:
        for message in session.peek(options.queue, options.qty, options.conditional):
            print(line_of(message))


@command(QUEUE, MSG_IDS, _JSON)
def get(options: Options) -> None:
    """Print messages by their msg_ids, leased or not.

    Leaves them alone. The exit code is 1 when one of them is not in the queue.

    Example: pgmq get orders 17
    """
    with session_of(options) as session:
        found = {msg_id: session.get(options.queue, msg_id) for msg_id in options.msg_ids}
    for message in found.values():
        if message is not None:
            print(line_of(message))
    require_all(options.msg_ids, [msg_id for msg_id, message in found.items() if message])


@command(QUEUE, QTY, _JSON)
def pop(options: Options) -> None:
    """Take messages out of a queue, and print them as JSON.

    They are printed before they are gone for good. After that, nobody gets them again: see consume.

    Example: pgmq pop orders --qty 10
    """
    with session_of(options) as session, session.connection.transaction():
        popped = session.pop(options.queue, options.qty)
        for message in popped if isinstance(popped, list) else [popped] if popped else []:
            print(line_of(message))
        sys.stdout.flush()


def _print_leased(session: Session, queue: str, messages: Sequence[Message]) -> None:
    """Print messages; those that cannot be printed are given back."""
    for number, message in enumerate(messages):
        try:
            print(line_of(message), flush=True)
        except BaseException:  # noqa: PERF203
            session.nack_batch(queue, *leases(messages[number:]), 0)
            raise
