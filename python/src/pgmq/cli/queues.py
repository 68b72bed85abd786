"""The commands for queues themselves: install, create, drop, purge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgmq.cli._declare import QUEUES, arg, command, session_of
from pgmq.cli._output import CommandError
from pgmq.install import PGMQInstallError, install_or_update

if TYPE_CHECKING:
    from pgmq.cli._declare import Options


@command(arg("--sql", action="store_true", help="do not create the extension, even if possible"))
def install(options: Options) -> None:
    """Install pgmq in a database, or update it.

    As an extension where the server has its files, else by the SQL that comes with this package,
    which works on managed servers too. May be repeated: queues and messages stay.

    Example: pgmq install --dsn postgresql://db.example/shop
    """
    with session_of(options) as session:
        try:
            version = install_or_update(session.connection, extension=not options.sql)
        except PGMQInstallError as error:
            raise CommandError(str(error)) from error
    print(f"pgmq {version}")


@command(
    QUEUES,
    arg("--unlogged", action="store_true", help="faster; a crash of the server empties it"),
    arg("--fifo", action="store_true", help="index it by FIFO group"),
    arg("--stream", action="store_true", help="a stream, which groups read"),
    arg("--segment", metavar="INTERVAL",
        help="of a stream: drop so much of it at a time, a duration or a number of messages"
        " (default: 1 day)"),
    arg("--retention", metavar="INTERVAL",
        help="of a stream: keep so much of it, or 'all' (default: 7 days)"),
    arg("--wakeups", action="store_true", help="wake consumers that wait for it"),
)  # fmt: skip
def create(options: Options) -> None:
    """Create queues, or streams, unless they are there.

    Example: pgmq create orders --fifo --wakeups
    Example: pgmq create events --stream --retention '30 days' --wakeups
    """
    if options.stream and (options.unlogged or options.fifo):
        options.parser.error("a stream is neither --unlogged nor --fifo")
    if not options.stream and (options.segment or options.retention):
        options.parser.error("--segment and --retention are for a --stream")
    with session_of(options) as session:
        for queue in options.queues:
            if options.stream:
                retention = options.retention or "7 days"
                session.create_stream(
                    queue, options.segment or "1 day", None if retention == "all" else retention
                )
            else:
                session.create_queue(queue, options.unlogged)
            if options.fifo:
                session.create_fifo_index(queue)
            if options.wakeups:
                session.enable_wakeups(queue)


@command(QUEUES)
def drop(options: Options) -> int:
    """Drop queues, with their messages and archives.

    Example: pgmq drop orders
    """
    with session_of(options) as session:
        dropped = [session.drop_queue(queue) for queue in options.queues]
    return int(not all(dropped))


@command(QUEUES)
def purge(options: Options) -> None:
    """Delete all messages of queues, leased ones too.

    Example: pgmq purge orders
    """
    with session_of(options) as session:
        for queue in options.queues:
            print(f"{queue}: {session.purge(queue)} deleted")
