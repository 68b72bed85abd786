"""How a command is declared: its name, its arguments, and what values they take."""

from __future__ import annotations

import argparse
import inspect
import json
import os
from typing import TYPE_CHECKING, Any

from pgmq import __version__
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
    "QTY",
    "QUEUE",
    "QUEUES",
    "VT",
    "Options",
    "arg",
    "at_least",
    "command",
    "commands",
    "json_text",
    "parser",
    "path",
    "seconds",
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
        help="connection string: a postgresql:// URI or libpq's key=value form (default: PGMQ_DSN)."
        " What it leaves open comes from PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD, PGSERVICE"
        " and so on",
    )
    return found


def parser() -> argparse.ArgumentParser:
    where = server()
    program = argparse.ArgumentParser(
        prog="pgmq",
        description="A message queue inside Postgres.",
        epilog="pgmq COMMAND --help has more, and an example.",
        parents=[where],
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
            one.usage = "pgmq consume [OPTION ...] QUEUE -- COMMAND [ARGUMENT ...]"
    return program


def command(*arguments: Argument, declare: Declare | None = None) -> Callable[[Run], Run]:
    def declare_all(parser: argparse.ArgumentParser) -> None:
        for names, options in arguments:
            parser.add_argument(*names, **options)
        if declare:
            declare(parser)

    def register(run: Run) -> Run:
        commands[run.__name__] = (run, declare_all)
        return run

    return register


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


QUEUE = arg("queue", metavar="QUEUE")
QUEUES = arg("queues", metavar="QUEUE", nargs="+")
ANY_QUEUES = arg("queues", metavar="QUEUE", nargs="*", help="default: all")
QTY = arg("--qty", type=at_least(1), default=1, metavar="N", help="how many (default: 1)")
VT = arg(
    "--vt",
    type=at_least(1),
    default=30,
    metavar="SECONDS",
    help="visibility timeout (default: 30)",
)
CONDITIONAL = arg(
    "--conditional", type=json_text, metavar="JSON", help="only messages that contain this"
)


def session_of(options: Options) -> Session:
    return Session(options.dsn, name=f"pgmq {options.command}")
