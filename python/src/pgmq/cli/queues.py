"""The commands for queues themselves: install, list, create, drop, purge, pause, and so on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgmq import _statements as statements
from pgmq.cli._declare import ANY_QUEUES, JSON, QUEUES, YES, arg, command, session_of
from pgmq.cli._output import (
    CommandError,
    Table,
    asks,
    confirm,
    local,
    pauses,
    print_json,
    require_all,
    say,
)
from pgmq.install import PGMQInstallError, install_or_update

if TYPE_CHECKING:
    from pgmq._session import Session
    from pgmq.cli._declare import Options


@command(
    arg("--sql", action="store_true", help="do not create the extension, even if possible"),
    JSON,
)
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
    say(options, f"pgmq {version}", version=version)


@command(JSON)
def list_(options: Options) -> None:
    """Print the queues, with their kinds and owners.

    "paused" is what is: reads, sends, or both.

    Example: pgmq list
    """
    with session_of(options) as session:
        found = session.run(statements.listed())
        paused = pauses(session.list_paused())
    if options.json:
        print_json(found)
        return
    Table(
        ["queue", "kind", "owner", "created", "paused"],
        [
            (each.queue_name, each.kind, each.owner, local(each.created_at),
             paused.get(each.queue_name.lower()))
            for each in found
        ],
        texts=5,
    ).show()  # fmt: skip


@command(
    QUEUES,
    arg("--unlogged", action="store_true", help="faster; a crash of the server empties it"),
    arg("--fifo", action="store_true", help="index it by FIFO group"),
    arg("--fair", action="store_true", help="index it for reads by turns of groups (read_fair)"),
    arg("--stream", action="store_true", help="a stream, which groups read"),
    arg("--segment", metavar="INTERVAL",
        help="of a stream: drop so much of it at a time, a duration or a number of messages"
        " (default: 1 day)"),
    arg("--retention", metavar="INTERVAL",
        help="of a stream: keep so much of it, or 'all' (default: 7 days)"),
    arg("--wakeups", action="store_true", help="wake consumers that wait for it"),
    JSON,
)  # fmt: skip
def create(options: Options) -> None:
    """Create queues, or streams, unless they are there.

    Example: pgmq create orders --fifo --wakeups
    Example: pgmq create events --stream --retention '30 days' --wakeups
    """
    if options.stream and (options.unlogged or options.fifo or options.fair):
        options.parser.error("a stream is neither --unlogged nor --fifo nor --fair")
    if not options.stream and (options.segment or options.retention):
        options.parser.error("--segment and --retention are for a --stream")
    with session_of(options) as session:
        there = {record.queue_name.lower() for record in session.list_queues()}
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
            if options.fair:
                session.create_fair_index(queue)
            if options.wakeups:
                session.enable_wakeups(queue)
            # If it is there, the server has said so.
            created = queue.lower() not in there
            if created or options.json:
                say(options, f"{queue}: created", queue_name=queue, created=created)


@command(QUEUES, YES, JSON)
def drop(options: Options) -> int:
    """Drop queues, with their messages and archives.

    In a terminal, asks first. The exit code is 1 when one of them was not there.

    Example: pgmq drop orders
    """
    with session_of(options) as session:
        _confirm(options, session, "Drop")
        dropped = []
        for queue in options.queues:
            if session.drop_queue(queue):
                dropped.append(queue)
                say(options, f"{queue}: dropped", queue_name=queue, dropped=True)
    return int(dropped != options.queues)


@command(QUEUES, YES, JSON)
def purge(options: Options) -> None:
    """Delete all messages of queues, leased ones too.

    In a terminal, asks first.

    Example: pgmq purge orders
    """
    with session_of(options) as session:
        _confirm(options, session, "Purge")
        for queue in options.queues:
            count = session.purge(queue)
            say(options, f"{queue}: {count} deleted", queue_name=queue, deleted=count)


def _confirm(options: Options, session: Session, what: str) -> None:
    if asks(options):
        lengths = [
            f"{queue} ({session.metrics(queue).queue_length} messages)" for queue in options.queues
        ]
        confirm(f"{what} {', '.join(lengths)}?")


@command(
    QUEUES,
    arg("--reads", action="store_true", help="reads give nothing (the default)"),
    arg("--sends", action="store_true", help="sends fail; with --reads, both"),
    JSON,
)
def pause(options: Options) -> None:
    """Pause reads of queues, or sends to them, until resumed.

    So for streams. Consumers finish the messages that they have.

    Example: pgmq pause orders
    Example: pgmq pause orders --reads --sends
    """
    reads = options.reads or not options.sends
    what = " and ".join(
        name for name, paused in (("reads", reads), ("sends", options.sends)) if paused
    )
    with session_of(options) as session:
        for queue in options.queues:
            session.pause(queue, reads, options.sends)
            say(options, f"{queue}: {what} paused", queue_name=queue, paused=what)


@command(QUEUES, JSON)
def resume(options: Options) -> None:
    """End the pause of queues, and wake their consumers.

    The exit code is 1 when one of them was not paused.

    Example: pgmq resume orders
    """
    with session_of(options) as session:
        resumed = []
        for queue in options.queues:
            if session.resume(queue):
                resumed.append(queue)
                say(options, f"{queue}: resumed", queue_name=queue, resumed=True)
    require_all(options.queues, resumed, "not paused")


@command(ANY_QUEUES, JSON)
def maintain(options: Options) -> None:
    """Do all the upkeep of queues at once.

    Other calls do it in small steps: they remove what has expired, add and drop partitions, and
    send what is due by schedules. Prints how many messages and keys were moved or removed.

    Example: pgmq maintain orders
    """
    with session_of(options) as session:
        for queue in options.queues or [None]:
            count = session.maintain(queue)
            text = f"{queue or 'all'}: {count} moved or removed"
            say(options, text, queue_name=queue, moved_or_removed=count)
