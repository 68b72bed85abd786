"""The command line; `pgmq --help` lists the commands.

It needs nothing but psycopg. With rich, from the extra `cli`, it draws tables and progress bars.
"""

from __future__ import annotations

import argparse
import codecs
import contextlib
import inspect
import json
import logging
import os
import shutil
import signal
import sys
import threading
import time
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from pgmq import __version__
from pgmq._session import Session, StoppedError
from pgmq._tables import TOP, CommandError, Seen, Table, compare, prometheus, rich
from pgmq._wire import JSONText

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import BinaryIO

    from pgmq.messages import Message

    Run = Callable[[argparse.Namespace], int | None]
    Argument = tuple[tuple[str, ...], dict[str, Any]]
    Declare = Callable[[argparse.ArgumentParser], None]

__all__ = ["main"]

Options = argparse.Namespace

_commands: dict[str, tuple[Run, Declare]] = {}

_LONGEST_WAIT = 1_000_000  # seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is 1 when it fails, and 2 when it is not understood."""
    _open_streams()
    words = list(sys.argv[1:] if arguments is None else arguments)
    program: list[str] = []
    if next((word for word in words if word in _commands), None) == "consume" and "--" in words:
        # What follows is another program's, options included.
        cut = words.index("--")
        words, program = words[:cut], words[cut + 1 :]
    options = _parser().parse_args(
        [_unicode(word) for word in words],
        argparse.Namespace(dsn=os.environ.get("PGMQ_DSN", ""), program=program),
    )
    with _logging(options.command in {"consume", "relay"}):
        try:
            code = _commands[options.command][0](options) or 0
            # Here, where a full disk is an error like others.
            sys.stdout.flush()
        except KeyboardInterrupt:
            code = 130
        except BrokenPipeError:
            code = 1  # whoever read our output has gone
        except psycopg.Error as error:
            code = _complain(*_explain(error))
        except UnicodeEncodeError:
            code = _complain("an argument, or a variable of the environment, is not UTF-8")
        except OSError as error:
            name = f"{error.filename}: " if error.filename else ""
            code = _complain(f"{name}{error.strerror or error}")
        except (CommandError, StoppedError) as error:
            code = _complain(str(error))
    _close_streams()
    return code


def _complain(message: str, hint: str | None = None) -> int:
    with contextlib.suppress(OSError):
        print(f"pgmq: {message}", file=sys.stderr)
        if hint:
            print(f"hint: {hint}", file=sys.stderr)
    return 1


def _explain(error: psycopg.Error) -> tuple[str, str | None]:
    diagnostic = error.diag
    message = diagnostic.message_primary or str(error).strip() or type(error).__name__
    if diagnostic.message_detail and isinstance(error, psycopg.DataError):
        message = f"{message}: {diagnostic.message_detail}"
    if isinstance(error, psycopg.errors.InvalidSchemaName) and '"pgmq"' in message:
        return "pgmq is not installed in this database", "Run pgmq install."
    if isinstance(error, psycopg.errors.UndefinedFunction) and "function pgmq." in message:
        name = message.partition("function ")[2].partition("(")[0]
        return (
            f"the pgmq of this database has no function {name}",
            "pgmq install brings it up to date.",
        )
    return message, diagnostic.message_hint


# Declaring commands


def _server() -> argparse.ArgumentParser:
    """Declare what says where the server is."""
    server = argparse.ArgumentParser(add_help=False)
    server.add_argument(
        "--dsn",
        default=argparse.SUPPRESS,
        help="connection string: a postgresql:// URI or libpq's key=value form (default: PGMQ_DSN)."
        " What it leaves open comes from PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD, PGSERVICE"
        " and so on",
    )
    return server


def _parser() -> argparse.ArgumentParser:
    server = _server()
    parser = argparse.ArgumentParser(
        prog="pgmq",
        description="A message queue inside Postgres.",
        epilog="pgmq COMMAND --help has more, and an example.",
        parents=[server],
    )
    parser.add_argument("--version", action="version", version=f"pgmq {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (run, declare) in _commands.items():
        text = inspect.cleandoc(run.__doc__ or "")
        command = commands.add_parser(
            name,
            help=text.partition("\n")[0].removesuffix("."),
            description=text,
            parents=[server],
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        declare(command)
        command.set_defaults(parser=command)
        if name == "consume":
            command.usage = "pgmq consume [OPTION ...] QUEUE -- COMMAND [ARGUMENT ...]"
    return parser


def _command(*arguments: Argument, declare: Declare | None = None) -> Callable[[Run], Run]:
    def declare_all(parser: argparse.ArgumentParser) -> None:
        for names, options in arguments:
            parser.add_argument(*names, **options)
        if declare:
            declare(parser)

    def register(run: Run) -> Run:
        _commands[run.__name__.strip("_")] = (run, declare_all)
        return run

    return register


def _arg(*names: str, **options: Any) -> Argument:
    return names, options


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}")
        return value

    return number


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= _LONGEST_WAIT:
        raise argparse.ArgumentTypeError(f"must be between 0 and {_LONGEST_WAIT} seconds")
    return value


def _json(text: str) -> JSONText:
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


_QUEUE = _arg("queue", metavar="QUEUE")
_QUEUES = _arg("queues", metavar="QUEUE", nargs="+")
_ANY_QUEUES = _arg("queues", metavar="QUEUE", nargs="*", help="default: all")
_QTY = _arg("--qty", type=_at_least(1), default=1, metavar="N", help="how many (default: 1)")
_VT = _arg(
    "--vt",
    type=_at_least(1),
    default=30,
    metavar="SECONDS",
    help="visibility timeout (default: 30)",
)
_CONDITIONAL = _arg(
    "--conditional", type=_json, metavar="JSON", help="only messages that contain this"
)


# Output and helpers


def _open_streams() -> None:
    """See to it that all standard streams are there, and take every character.

    Cron jobs and services may be started without them. A connection to the server would take the
    place of one that is closed, and a program that consume starts would write to it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # The wrong way round: to use it is an error, as it was.
            null = os.open(os.devnull, os.O_RDONLY if number else os.O_WRONLY)
            os.dup2(null, number)
            os.set_inheritable(number, True)
            if null != number:
                os.close(null)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))
    codecs.register_error("pgmq.json", _escape)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="pgmq.json")


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Write a character that an encoding lacks as JSON does."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def _close_streams() -> None:
    """Let go of what cannot be written: the interpreter would complain when it ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # noqa: PERF203
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _unicode(word: str) -> str:
    """Take a word of the command line for UTF-8 where it is, whatever the locale says."""
    try:
        word.encode()
    except UnicodeEncodeError:
        with contextlib.suppress(UnicodeDecodeError):
            return os.fsencode(word).decode()
    return word


def _path(word: str) -> str | bytes:
    """Take a word for the name of a file, also where the locale lacks its characters."""
    try:
        os.fsencode(word)
    except UnicodeEncodeError:
        return word.encode()
    return word


@contextlib.contextmanager
def _logging(long: bool) -> Iterator[None]:
    """Have what the package logs, and what the server notices, on standard error."""
    logger = logging.getLogger("pgmq")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s" if long else "%(message)s"))
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before


def _session(options: Options) -> Session:
    return Session(options.dsn, name=f"pgmq {options.command}")


@contextlib.contextmanager
def _on_signal(
    action: Callable[[], None], hang_up: Callable[[], None] | None = None
) -> Iterator[None]:
    """Have SIGTERM, SIGINT and SIGHUP do something else than to end the program."""
    before = {}
    actions = {signal.SIGTERM: action, signal.SIGINT: action, signal.SIGHUP: hang_up or action}
    try:
        for number in actions:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it, and & in a script
                before[number] = signal.signal(
                    number, lambda got, _: actions[signal.Signals(got)]()
                )
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt() -> None:
    raise KeyboardInterrupt


def _line(message: Message) -> str:
    """Write a message as one line of JSON, its own JSON as it stands."""
    values = {field.name: getattr(message, field.name) for field in fields(message)}
    texts = (
        f'"{name}": {value if isinstance(value, JSONText) else json.dumps(value, default=str)}'
        for name, value in values.items()
    )
    return "{" + ", ".join(texts) + "}"


def _print_leased(session: Session, queue: str, messages: Sequence[Message]) -> None:
    """Print messages; those that cannot be printed are given back."""
    for number, message in enumerate(messages):
        try:
            print(_line(message), flush=True)
        except BaseException:  # noqa: PERF203
            unseen = messages[number:]
            leases = [each.msg_id for each in unseen], [each.read_ct for each in unseen]
            session.nack_batch(queue, *leases, 0)
            raise


# Queues


@_command(_arg("--sql", action="store_true", help="do not create the extension, even if possible"))
def _install(options: Options) -> None:
    """Install pgmq in a database, or update it.

    As an extension where the server has its files, else by the SQL that comes with this package,
    which works on managed servers too. May be repeated: queues and messages stay.

    Example: pgmq install --dsn postgresql://db.example/shop
    """
    from pgmq.install import PGMQInstallError, install_pgmq_from_sql

    with _session(options) as session:
        connection = session.connection
        # No notices of what is not there to be replaced.
        connection.execute("SET client_min_messages = warning")
        [(installed, ours)] = connection.execute(
            """
            SELECT
                (SELECT extversion FROM pg_extension WHERE extname = 'pgmq'),
                EXISTS (
                    SELECT FROM pg_available_extension_versions
                    WHERE name = 'pgmq' AND version = %(ours)s
                )
            """,
            {"ours": __version__},
        ).fetchall()
        if installed is not None and installed != __version__:
            if not ours:
                raise CommandError(
                    f"the extension is here in version {installed}, and the server has no files of"
                    f" {__version__}: they come with make install in pgmq's source"
                )
            connection.execute(
                sql.SQL("ALTER EXTENSION pgmq UPDATE TO {}").format(sql.Literal(__version__))
            )
        elif installed is None:
            [(schema,)] = connection.execute("SELECT to_regnamespace('pgmq')").fetchall()
            if ours and schema is None and not options.sql:
                connection.execute(
                    sql.SQL("CREATE EXTENSION pgmq VERSION {}").format(sql.Literal(__version__))
                )
            else:
                try:
                    install_pgmq_from_sql(conn=connection)
                except PGMQInstallError as error:
                    raise error.__cause__ or CommandError(str(error)) from error
        print(f"pgmq {session.version()}")


@_command(
    _QUEUES,
    _arg("--unlogged", action="store_true", help="faster; a crash of the server empties it"),
    _arg("--fifo", action="store_true", help="index it by FIFO group"),
    _arg("--wakeups", action="store_true", help="wake consumers that wait for it"),
)
def _create(options: Options) -> None:
    """Create queues, unless they are there.

    Example: pgmq create orders --fifo --wakeups
    """
    with _session(options) as session:
        for queue in options.queues:
            session.create_queue(queue, options.unlogged)
            if options.fifo:
                session.create_fifo_index(queue)
            if options.wakeups:
                session.enable_wakeups(queue)


@_command(_QUEUES)
def _drop(options: Options) -> int:
    """Drop queues, with their messages and archives.

    Example: pgmq drop orders
    """
    with _session(options) as session:
        dropped = [session.drop_queue(queue) for queue in options.queues]
    return int(not all(dropped))


@_command(_QUEUES)
def _purge(options: Options) -> None:
    """Delete all messages of queues, leased ones too.

    Example: pgmq purge orders
    """
    with _session(options) as session:
        for queue in options.queues:
            print(f"{queue}: {session.purge(queue)} deleted")


# Messages


@_command(
    _QUEUE,
    _arg("messages", metavar="JSON", nargs="*", type=_json, help="messages"),
    _arg(
        "--file", metavar="FILE", type=_path, help="send every line of a file (- is standard input)"
    ),
    _arg("--headers", type=_json, metavar="JSON", help="headers of every message"),
    _arg("--delay", type=_at_least(0), default=0, metavar="SECONDS", help="not visible before"),
)
def _send(options: Options) -> None:
    """Send messages: arguments, or lines of JSON.

    The lines (JSONL) are those of a file, or else of standard input. All are sent in one
    transaction: after an error none are. The msg_ids of arguments are printed.

    Example: pgmq send orders '{"id": 1}' --headers '{"x-pgmq-group": "ann"}'
    Example: pgmq send orders --file orders.jsonl
    """
    if options.messages and options.file:
        raise CommandError("give messages or a file, not both")
    with _session(options) as session, session.connection.transaction():
        if options.messages:
            for msg_id in _send_batch(session, options, options.messages):
                print(msg_id)
            sys.stdout.flush()  # what nobody learns of is not sent
            return
        with _lines(options.file) as lines:
            batch: dict[int, JSONText] = {}
            count = size = 0
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    batch[number] = _json(line.decode())
                except (argparse.ArgumentTypeError, UnicodeDecodeError) as error:
                    raise CommandError(f"line {number}: {error}; nothing is sent") from error
                count, size = count + 1, size + len(line)
                if len(batch) == 1000 or size > 1 << 20:
                    _send_lines(session, options, batch)
                    batch, size = {}, 0
            if batch:
                _send_lines(session, options, batch)
        print(f"{count} sent", file=sys.stderr)


def _send_lines(session: Session, options: Options, batch: dict[int, JSONText]) -> None:
    try:
        _send_batch(session, options, list(batch.values()))
    except psycopg.DataError as error:
        where = f"lines {min(batch)} to {max(batch)}" if len(batch) > 1 else f"line {min(batch)}"
        raise CommandError(f"{where}: {_explain(error)[0]}; nothing is sent") from error


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


@_command(
    _QUEUE,
    _VT,
    _QTY,
    _CONDITIONAL,
    _arg("--grouped", action="store_true", help="in the order of FIFO groups"),
)
def _read(options: Options) -> None:
    """Lease messages and print them as JSON.

    They are hidden from others for --vt seconds, and come back then: see consume.

    Example: pgmq read orders --vt 60 --qty 10
    """
    with _session(options) as session:
        if options.grouped:
            if options.conditional:
                raise CommandError("a grouped read takes no --conditional")
            found = session.read_grouped(options.queue, options.vt, options.qty)
        else:
            read = session.read(options.queue, options.vt, options.qty, options.conditional)
            found = read if isinstance(read, list) else [read] if read else []
        _print_leased(session, options.queue, found)


@_command(_QUEUE, _QTY, _CONDITIONAL)
def _peek(options: Options) -> None:
    """Print what a read would lease, and leave it alone.

    Example: pgmq peek orders --qty 5 --conditional '{"country": "eu"}'
    """
    with _session(options) as session:
        for message in session.peek(options.queue, options.qty, options.conditional):
            print(_line(message))


@_command(_QUEUE, _arg("msg_ids", metavar="MSG_ID", nargs="+", type=int))
def _archive(options: Options) -> int:
    """Move messages to the archive.

    Prints the msg_ids of those that were in the queue; the exit code is 1 when others were not.

    Example: pgmq archive orders 17 18
    """
    with _session(options) as session:
        found = session.archive_batch(options.queue, options.msg_ids)
    for msg_id in found:
        print(msg_id)
    missing = sorted(set(options.msg_ids) - set(found))
    if missing:
        raise CommandError(f"not in the queue: {', '.join(map(str, missing))}")
    return 0


@_command(
    _arg("dead_letter_queue", metavar="DEAD_LETTER_QUEUE"),
    _arg("--queue", metavar="QUEUE", help="where to (default: where each came from)"),
    _arg("--qty", type=_at_least(1), metavar="N", help="at most so many (default: all)"),
)
def _redrive(options: Options) -> None:
    """Put dead letters back where they came from.

    Example: pgmq redrive orders_dead --qty 100
    """
    with _session(options) as session:
        count = session.redrive(options.dead_letter_queue, options.queue, options.qty)
    print(f"{count} put back")


# Consuming


@_command(
    _QUEUE,
    _VT,
    _arg("--grouped", action="store_true", help="in the order of FIFO groups"),
    _arg(
        "--retry-delay",
        type=_at_least(0),
        metavar="SECONDS",
        help="when a failed message is tried again (default: as the queue's policy says)",
    ),
    _arg(
        "--poll",
        type=_seconds,
        default=1.0,
        metavar="SECONDS",
        help="look so often into an empty queue without wake-ups (default: 1)",
    ),
    _arg("--until-empty", action="store_true", help="end when there is nothing to read"),
)
def _consume(options: Options) -> None:
    """Run a program for each message.

    The program has the message on its standard input, and PGMQ_QUEUE, PGMQ_MSG_ID, PGMQ_READ_CT,
    PGMQ_ENQUEUED_AT and PGMQ_HEADERS (JSON; PGMQ_HEADERS_FILE names a file instead where they are
    long) in its environment. Exit code 0 acknowledges the message. After any other it is returned,
    with the last line that the program wrote to standard error. The lease is extended while it
    runs. SIGTERM or Ctrl-C lets the program finish, and so does SIGHUP, when a terminal is closed;
    a second SIGTERM or Ctrl-C ends it and what it has started, a third one kills them. Goes on by
    itself when the server was restarted. For more messages at a time, start it several times.

    Example: pgmq consume orders --vt 60 -- ./handle-order --verbose
    """
    from pgmq._consumer import Consumer

    if not options.program:
        options.parser.error("the program is missing")
    if shutil.which(options.program[0]) is None:
        options.parser.error(f"no such program: {options.program[0]}")
    consumer = Consumer(
        options.queue,
        options.program,
        options.vt,
        options.grouped,
        options.retry_delay,
        options.poll,
    )
    with _on_signal(consumer.stop, consumer.finish):
        consumer.run(options.dsn, until_empty=options.until_empty)


# Policies

_POLICY: dict[str, tuple[Callable[[str], Any], str, str]] = {
    "max_receives": (_at_least(1), "N", "after so many receipts a message is a dead letter"),
    "dead_letter_queue": (str, "QUEUE", "they go there, created if missing (default: archive)"),
    "retry_delay": (str, "INTERVAL", "how long a returned message stays hidden"),
    "retry_delay_max": (str, "INTERVAL", "double that with each receipt, up to this"),
    "retry_jitter": (float, "SHARE", "shorten it by a random part of up to this (0 to 1)"),
    "message_ttl": (str, "INTERVAL", "older messages are dead letters"),
    "archive_retention": (str, "INTERVAL", "remove archived messages after this"),
    "dedup_window": (str, "INTERVAL", "for so long a deduplication key stores one message"),
    "max_in_flight": (_at_least(1), "N", "lease no more than so many at a time"),
}  # fmt: skip


def _declare_policy(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="show|set", required=True)
    show = actions.add_parser(
        "show",
        help="print the policy of queues",
        description="Example: pgmq policy show orders",
        parents=[_server()],
    )
    show.add_argument("queues", metavar="QUEUE", nargs="*", help="default: all")
    show.add_argument("--json", action="store_true", help="print JSON")
    change = actions.add_parser(
        "set",
        help="set the whole policy of a queue",
        description="Set the whole policy of a queue: what is not given is off. An INTERVAL is what"
        " Postgres takes for one, such as '30 seconds' or '7 days'.",
        epilog="Example: pgmq policy set orders --max-receives 5 --dead-letter-queue orders_dead"
        " --retry-delay '10 seconds' --retry-delay-max '1 hour'",
        parents=[_server()],
    )
    change.add_argument("queue", metavar="QUEUE")
    for name, (kind, metavar, text) in _POLICY.items():
        change.add_argument(
            f"--{name.replace('_', '-')}",
            type=kind,
            metavar=metavar,
            help=text,
            default=0.0 if name == "retry_jitter" else None,
        )
    change.add_argument("--ack-archives", action="store_true", help="acknowledging archives")


@_command(declare=_declare_policy)
def _policy(options: Options) -> None:
    """Show or set the policy of queues.

    That is what the server does with failed, expired and repeated messages.

    Example: pgmq policy set orders --max-receives 5 --dead-letter-queue orders_dead
    """
    with _session(options) as session:
        if options.action == "set":
            session.set_policy(
                options.queue,
                **{name: getattr(options, name) for name in _POLICY},
                ack_archives=options.ack_archives,
            )
            return
        queues = options.queues or [record.queue_name for record in session.list_queues()]
        policies = [session.get_policy(queue) for queue in queues]
    if options.json:
        print(json.dumps([asdict(policy) for policy in policies], default=str))
        return
    blocks = (
        "\n".join(
            f"{name:18} {'off' if value in {None, False} else value}"
            for name, value in asdict(policy).items()
        )
        for policy in policies
    )
    print("\n\n".join(blocks))


# Looking


@_command(
    _ANY_QUEUES,
    _arg("--json", action="store_true", help="print JSON"),
    _arg("--prometheus", action="store_true", help="print Prometheus' text format"),
)
def _metrics(options: Options) -> None:
    """Print what queues hold.

    Lengths are exact up to 10,000 messages and estimated beyond; ages are in seconds.

    Example: pgmq metrics orders
    Example: pgmq metrics --prometheus > /var/lib/node_exporter/pgmq.prom
    """
    with _session(options) as session:
        found = (
            [session.metrics(queue) for queue in options.queues]
            if options.queues
            else session.metrics_all()
        )
    if options.json:
        print(json.dumps([asdict(metrics) for metrics in found], default=str))
    elif options.prometheus:
        print(prometheus(found), end="")
    else:
        Table(
            ["queue", "messages", "visible", "oldest s", "newest s", "sent in all"],
            [
                (m.queue_name, m.queue_length, m.queue_visible_length, m.oldest_msg_age_sec,
                 m.newest_msg_age_sec, m.total_messages)
                for m in found
            ],
        ).show()  # fmt: skip


@_command(
    _ANY_QUEUES,
    _arg("--interval", type=_seconds, default=2.0, metavar="SECONDS", help="default: 2"),
    _arg("--count", type=_at_least(1), metavar="N", help="end after so many tables"),
)
def _top(options: Options) -> None:
    """Watch queues.

    "in flight" is what is leased or delayed, "dead letters" the length of the queue's dead-letter
    queue, "dead tuples" what vacuum has not removed from its table. Rates are those since the last
    table. Where the output is no terminal, tables follow each other.

    Example: pgmq top --interval 5
    """
    stop = threading.Event()
    with _on_signal(stop.set), contextlib.ExitStack() as stack:
        # First of all, lest the server be asked for what cannot be shown.
        live = None
        if sys.stdout.isatty():
            live = stack.enter_context(
                rich("live").Live(screen=options.count is None, auto_refresh=False)
            )
        session = stack.enter_context(_session(options))
        before: dict[str, Seen] = {}
        left = options.count
        while not stop.is_set():
            seen = [Seen(*row) for row in session.connection.execute(TOP)]
            if not before:
                names = {each.queue for each in seen}
                for queue in [name for name in options.queues if name not in names]:
                    session.metrics(queue)  # which says what is wrong with it
            table = compare(seen, before, options.queues)
            if live:
                live.update(table.drawn(), refresh=True)
            else:
                print(table.plain(), flush=True)
            before = {each.queue: each for each in seen}
            if left is not None:
                left -= 1
                if not left:
                    break
            stop.wait(options.interval)


@_command()
def _doctor(options: Options) -> int:
    """Look for what is wrong.

    Says what to do about it. The exit code is 1 when there is something.

    Example: pgmq doctor
    """
    with _session(options) as session:
        [(there,)] = session.connection.execute(
            "SELECT to_regprocedure('pgmq.doctor()') IS NOT NULL"
        ).fetchall()
        if not there:
            raise CommandError("the pgmq of this database has no function pgmq.doctor")
        findings = session.connection.execute(
            "SELECT severity, queue_name, finding, fix FROM pgmq.doctor()"
        ).fetchall()
    for severity, queue, finding, fix in findings:
        print(f"{severity}: {f'{queue}: ' if queue else ''}{finding}")
        if fix:
            print(f"  {fix}")
    return int(bool(findings))


# Trying out


@_command(
    _arg("--messages", type=_at_least(100), default=2000, metavar="N", help="default: 2000"),
    _arg("--size", type=_at_least(1), default=100, metavar="BYTES", help="default: 100"),
)
def _bench(options: Options) -> None:
    """Measure sending and consuming from here.

    Uses one connection and a queue of its own, which it drops again. Says how many messages a
    second, and how long a call took: the median and the 99th percentile. The figures are those of
    this server, this network and one client; `make bench` in pgmq's source compares with others.

    Example: pgmq bench --messages 10000 --size 1000
    """
    queue, count = f"bench_{os.getpid()}", options.messages
    body = JSONText(json.dumps("x" * max(0, options.size - 2)))

    def drop() -> None:
        # On a connection of its own: an interrupt may leave the other in the middle of a command.
        with _session(options) as other:
            other.drop_queue(queue)

    with _on_signal(_interrupt), _session(options) as session, contextlib.ExitStack() as stack:
        session.create_queue(queue)
        stack.callback(drop)

        def measure(name: str, call: Callable[[], int]) -> None:
            taken: list[float] = []
            done = 0
            while done < count:
                begin = time.perf_counter()
                done += call()
                taken.append(time.perf_counter() - begin)
            rate, taken = done / sum(taken), sorted(1000 * seconds for seconds in taken)
            median, slow = taken[len(taken) // 2], taken[int(0.99 * (len(taken) - 1))]
            text = f"{name:20} {rate:9,.0f} messages/s, a call {median:.2f} ms, p99 {slow:.2f} ms"
            print(text, flush=True)

        def consume(qty: int) -> int:
            found = session.read_batch(queue, 30, qty)
            msg_ids, read_cts = [m.msg_id for m in found], [m.read_ct for m in found]
            return len(session.ack_batch(queue, msg_ids, read_cts))

        measure("send", lambda: int(bool(session.send(queue, body))))
        measure("read and ack", lambda: consume(1))
        measure("send_batch of 100", lambda: len(session.send_batch(queue, [body] * 100)))
        measure("read and ack of 100", lambda: consume(100))


@_command(
    _arg("--dir", metavar="DIR", help="default: Python's standard library"),
    _arg("--workers", type=_at_least(1), metavar="N", help="default: 4"),
    _arg("--stop", action="store_true", help="stop the demo's server and remove it"),
)
def _demo(options: Options) -> int:
    """See it at work on your files.

    Hashes all files below a directory by four processes, of which one is killed. Without --dsn on
    a server of its own, in .demo, which needs the extra demo.

    Example: pgmq demo --dir /usr/share/doc
    """
    from pgmq import demo

    rich("console", "demo")
    words = ["--stop"] if options.stop else []
    words += ["--dir", options.dir] if options.dir else []
    words += ["--workers", str(options.workers)] if options.workers else []
    if options.dsn:
        os.environ["PGMQ_DSN"] = options.dsn
    return demo.main(words)


@_command(
    _QUEUE,
    _arg(
        "url",
        metavar="URL",
        nargs="?",
        help="default: PGMQ_RELAY_URL, which other users do not see",
    ),
    _arg("--vt", type=_at_least(3), default=30, metavar="SECONDS",
         help="visibility timeout, extended while the broker is away (default: 30)"),
    _arg("--batch", type=_at_least(1), default=100, metavar="N", help="default: 100"),
    _arg("--poll", type=_seconds, default=1.0, metavar="SECONDS",
         help="look so often into an empty queue without wake-ups (default: 1)"),
    _arg("--until-empty", action="store_true", help="end when there is nothing to forward"),
)  # fmt: skip
def _relay(options: Options) -> None:
    """Forward a queue to another broker.

    Every message at least once, and in the order of its FIFO group.

    URL is amqp:// (RabbitMQ), redis://, sqs:// or another that kombu knows (extra relay), or
    kafka:// (extra kafka). Where messages go there:

      amqp://HOST/VHOST?queue=NAME          a queue, created if missing (default: of the same name)
      amqp://HOST/VHOST?exchange=NAME&routing_key=KEY
      redis://HOST/0?queue=NAME             a queue of kombu's, and so for its other transports
      kafka://HOST:9092?topic=NAME          a topic; other options are librdkafka's

    The header x-pgmq-routing-key of a message names another routing key, queue or topic. Headers
    are passed on, with x-pgmq-message-id = QUEUE/MSG_ID to tell repetitions by. SIGTERM or Ctrl-C
    ends it and gives back what is not sent.

    Example: pgmq relay orders 'amqp://guest:guest@localhost//?exchange=shop&routing_key=order.new'
    """
    from pgmq.relay import Relay, RelayError

    url = options.url or os.environ.get("PGMQ_RELAY_URL", "")
    if not url:
        options.parser.error("the URL is missing, here and in PGMQ_RELAY_URL")
    try:
        relay = Relay(
            options.dsn, options.queue, url,
            batch=options.batch, vt=options.vt, poll=options.poll,
        )  # fmt: skip
    except RelayError as error:
        raise CommandError(str(error)) from error
    with _on_signal(relay.stop):
        relay.run(until_empty=options.until_empty)


if __name__ == "__main__":
    sys.exit(main())
