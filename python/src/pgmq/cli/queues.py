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
    arg("--wakeups", action="store_true", help="wake consumers that wait for it"),
)
def create(options: Options) -> None:
    """Create queues, unless they are there.

    Example: pgmq create orders --fifo --wakeups
    """
    with session_of(options) as session:
        for queue in options.queues:
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
