"""How a command is declared: its name, its arguments, and what values they take."""

from __future__ import annotations

import argparse
import functools
import inspect
import json
import math
import os
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pgmq import __version__
from pgmq import _statements as statements
from pgmq._session import Session
from pgmq._wire import JSONText

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[[argparse.Namespace], int | None]
    Argument = tuple[tuple[str, ...], dict[str, Any]]
    Declare = Callable[[argparse.ArgumentParser], None]

__all__ = [
    "ANY_QUEUES",
    "CONDITIONAL",
    "DELAY",
    "HEADERS",
    "JSON",
    "MSG_IDS",
    "QTY",
    "QUEUE",
    "QUEUES",
    "RATE",
    "UP_TO",
    "VT",
    "YES",
    "Options",
    "action",
    "arg",
    "at_least",
    "command",
    "commands",
    "json_text",
    "lease",
    "moment",
    "parser",
    "path",
    "queues_of",
    "seconds",
    "seconds_or_moment",
    "server",
    "session_of",
]

Options = argparse.Namespace

commands: dict[str, tuple[Run, Declare]] = {}

_LONGEST_WAIT = 1_000_000  # seconds


def server() -> argparse.ArgumentParser:
    """Declare what says where the server is."""
    found = argparse.ArgumentParser(add_help=False)
    found.add_argument(
        "--dsn",
        default=argparse.SUPPRESS,
        help="connection string: a postgresql:// URI or libpq's key=value form (default: PGMQ_DSN,"
        " DATABASE_URL). What it leaves open comes from PG_HOST, PG_PORT, PG_DATABASE, PG_USERNAME,"
        " PG_PASSWORD, and then from PGHOST, PGSERVICE and so on",
    )
    return found


class _Help(argparse.HelpFormatter):
    """Has room for the names of commands beside their help."""

    def format_help(self) -> str:
        self._action_max_length += 2  # their indentation, which argparse leaves out
        return super().format_help()


@functools.cache  # it takes as long as some commands
def parser() -> argparse.ArgumentParser:
    where = server()
    program = argparse.ArgumentParser(
        prog="pgmq",
        description="A message queue inside Postgres.",
        epilog="pgmq COMMAND --help has more, and an example.",
        parents=[where],
        formatter_class=_Help,
    )
    program.add_argument("--version", action="version", version=f"pgmq {__version__}")
    found = program.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (run, declare) in commands.items():
        text = inspect.cleandoc(run.__doc__ or "")
        one = found.add_parser(
            name,
            help=text.partition("\n")[0].removesuffix("."),
            description=text,
            parents=[where],
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        declare(one)
        one.set_defaults(parser=one)
        if name == "consume":
            one.usage = "pgmq consume [OPTION ...] QUEUE [QUEUE ...] -- COMMAND [ARGUMENT ...]"
    return program


def command(*arguments: Argument, declare: Declare | None = None) -> Callable[[Run], Run]:
    def declare_all(parser: argparse.ArgumentParser) -> None:
        for names, options in arguments:
            parser.add_argument(*names, **options)
        if declare:
            declare(parser)

    def register(run: Run) -> Run:
        commands[run.__name__.rstrip("_").replace("_", "-")] = (run, declare_all)
        return run

    return register


def action(
    actions: Any, name: str, text: str, *arguments: Argument, example: str
) -> argparse.ArgumentParser:
    """Declare one of the actions of a command, such as `group create`."""
    one: argparse.ArgumentParser = actions.add_parser(
        name, help=text, description=f"Example: pgmq {example}", parents=[server()]
    )
    for names, options in arguments:
        one.add_argument(*names, **options)
    one.set_defaults(parser=one)
    return one


def arg(*names: str, **options: Any) -> Argument:
    return names, options


def at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}")
        return value

    return number


def seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= _LONGEST_WAIT:
        raise argparse.ArgumentTypeError(f"must be between 0 and {_LONGEST_WAIT} seconds")
    return value


def above_zero(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def moment(text: str) -> datetime:
    """Read a time; without a time zone it is a local one."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"not a time such as 2026-11-28T08:00: {text}") from error


def seconds_or_moment(text: str) -> int | datetime:
    """Read a number of seconds, or a time."""
    try:
        return int(text)
    except ValueError:
        return moment(text)


def lease(text: str) -> tuple[int, int]:
    """Read a msg_id and a read_ct."""
    msg_id, _, read_ct = text.partition(":")
    return int(msg_id), int(read_ct)


def json_text(text: str) -> JSONText:
    """Check a JSON text, and leave it as it stands."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no number of JSON")

    try:
        # As text numbers may be as long as they like.
        json.loads(text, parse_int=str, parse_float=str, parse_constant=refuse)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from error
    except RecursionError:
        pass  # too deep for Python; the server will say
    return JSONText(text)


def path(word: str) -> str | bytes:
    """Take a word for the name of a file, also where the locale lacks its characters."""
    try:
        os.fsencode(word)
    except UnicodeEncodeError:
        return word.encode()
    return word


JSON = arg("--json", action="store_true", help="print JSON")
YES = arg("--yes", action="store_true", help="do not ask, in a terminal")
QUEUE = arg("queue", metavar="QUEUE")
QUEUES = arg("queues", metavar="QUEUE", nargs="+")
ANY_QUEUES = arg("queues", metavar="QUEUE", nargs="*", help="default: all")
MSG_IDS = arg("msg_ids", metavar="MSG_ID", nargs="+", type=int)
HEADERS = arg("--headers", type=json_text, metavar="JSON", help="headers of every message")
DELAY = arg("--delay", type=at_least(0), default=0, metavar="SECONDS", help="not visible before")
QTY = arg("--qty", type=at_least(1), default=1, metavar="N", help="how many (default: 1)")
VT = arg(
    "--vt",
    type=at_least(1),
    default=30,
    metavar="SECONDS",
    help="visibility timeout (default: 30)",
)
UP_TO = arg("--qty", type=at_least(1), metavar="N", help="at most so many (default: all)")
RATE = arg("--rate", type=above_zero, metavar="N", help="so many a second (default: all at once)")
CONDITIONAL = arg(
    "--conditional", type=json_text, metavar="JSON", help="only messages that contain this"
)


def queues_of(options: Options, session: Session) -> list[str | None]:
    """Return the queues that are named, each of which must be there, or None, which is all."""
    for queue in options.queues:
        if not session.run(statements.known(queue)):
            session.metrics(queue)  # which says so
    return options.queues or [None]


def session_of(options: Options) -> Session:
    return Session(options.dsn, name=f"pgmq {options.command}")
