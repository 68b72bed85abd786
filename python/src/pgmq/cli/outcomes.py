"""The commands that say what becomes of messages: ack, nack, set-vt, amend, archive and so on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgmq.cli._declare import (
    CONDITIONAL,
    JSON,
    MSG_IDS,
    QUEUE,
    RATE,
    UP_TO,
    arg,
    at_least,
    command,
    json_text,
    lease,
    moment,
    seconds_or_moment,
    session_of,
)
from pgmq.cli._output import CommandError, require_all, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgmq.cli._declare import Options

_LEASES = arg(
    "leases", metavar="MSG_ID:READ_CT", nargs="+", type=lease, help="the lease, as read prints it"
)


@command(QUEUE, _LEASES, JSON)
def ack(options: Options) -> None:
    """Acknowledge messages: remove those whose leases are still held.

    Prints their msg_ids. The exit code is 1 when a lease was lost: the message has been read again,
    or is gone.

    Example: pgmq ack orders 17:1 18:3
    """
    msg_ids, read_cts = map(list, zip(*options.leases, strict=True))
    with session_of(options) as session:
        done = session.ack_batch(options.queue, msg_ids, read_cts)
    _print_done(options, msg_ids, done, "the lease is lost")


@command(
    QUEUE,
    _LEASES,
    arg("--delay", type=at_least(0), metavar="SECONDS",
        help="when they can be read again (default: as the queue's policy says, else at once)"),
    arg("--error", metavar="TEXT", help="why, for the header x-pgmq-error"),
    JSON,
)  # fmt: skip
def nack(options: Options) -> None:
    """Give leased messages back.

    Prints their msg_ids. The exit code is 1 when a lease was lost: see ack.

    Example: pgmq nack orders 17:1 --delay 60 --error 'out of stock'
    """
    msg_ids, read_cts = map(list, zip(*options.leases, strict=True))
    with session_of(options) as session:
        done = session.nack_batch(options.queue, msg_ids, read_cts, options.delay, options.error)
    _print_done(options, msg_ids, done, "the lease is lost")


@command(
    QUEUE,
    MSG_IDS,
    arg("--vt", type=seconds_or_moment, required=True, metavar="SECONDS|TIME",
        help="visible then; 0 is now"),
    JSON,
)  # fmt: skip
def set_vt(options: Options) -> None:
    """Change when messages are visible, leased or not.

    Prints their msg_ids; the exit code is 1 when one of them is not in the queue.

    Example: pgmq set-vt orders 17 18 --vt 3600
    Example: pgmq set-vt orders 17 --vt 2026-11-28T08:00
    """
    with session_of(options) as session:
        found = session.set_vt(options.queue, options.msg_ids, options.vt)
    _print_done(options, options.msg_ids, [message.msg_id for message in found])


@command(
    QUEUE,
    arg("msg_id", metavar="MSG_ID", type=int),
    arg("message", metavar="JSON", nargs="?", type=json_text, help="the new message"),
    arg("--headers", type=json_text, metavar="JSON", help="the new headers"),
    JSON,
)
def amend(options: Options) -> None:
    """Replace a message that waits, or its headers.

    Prints its msg_id; the exit code is 1 when a consumer has it, or it is not in the queue.

    Example: pgmq amend orders 17 '{"id": 17, "paid": true}'
    """
    if options.message is None and options.headers is None:
        options.parser.error("give a message or --headers")
    with session_of(options) as session:
        if not session.amend(options.queue, options.msg_id, options.message, options.headers):
            raise CommandError(f"leased, or not in the queue: {options.msg_id}")
    say(options, options.msg_id, msg_id=options.msg_id)


@command(QUEUE, MSG_IDS, JSON)
def archive(options: Options) -> None:
    """Move messages to the archive.

    Prints the msg_ids of those that were in the queue; the exit code is 1 when others were not.

    Example: pgmq archive orders 17 18
    """
    with session_of(options) as session:
        done = session.archive_batch(options.queue, options.msg_ids)
    _print_done(options, options.msg_ids, done)


@command(QUEUE, MSG_IDS, JSON)
def delete(options: Options) -> None:
    """Remove messages, leased or not.

    Prints the msg_ids of those that were in the queue; the exit code is 1 when others were not.

    Example: pgmq delete orders 17 18
    """
    with session_of(options) as session:
        done = session.delete_batch(options.queue, options.msg_ids)
    _print_done(options, options.msg_ids, done)


@command(
    QUEUE,
    MSG_IDS,
    arg("--to", metavar="QUEUE", required=True, help="the other queue"),
    JSON,
)
def move(options: Options) -> None:
    """Move messages to another queue, leased or not.

    There they are new messages, with new msg_ids. The exit code is 1 when one of them is not in the
    queue.

    Example: pgmq move orders 17 18 --to audit
    """
    with session_of(options) as session:
        moved = []
        for msg_id in options.msg_ids:
            there = session.move(options.queue, msg_id, options.to)
            if there is not None:
                moved.append(msg_id)
                text = f"{msg_id} is {there} in {options.to}"
                say(options, text, msg_id=msg_id, to_queue=options.to, moved_to=there)
    require_all(options.msg_ids, moved)


@command(
    QUEUE,
    arg("msg_ids", metavar="MSG_ID", nargs="*", type=int, help="their ids in the archive"),
    arg("--since", type=moment, metavar="TIME", help="archived then or later"),
    arg("--until", type=moment, metavar="TIME", help="archived before"),
    UP_TO,
    CONDITIONAL,
    RATE,
    arg("--keep", action="store_true", help="leave them in the archive, too"),
    JSON,
)
def requeue(options: Options) -> None:
    """Send archived messages again.

    They are new messages, with new msg_ids. Without a time zone, times are local.

    Example: pgmq requeue orders 17 18
    Example: pgmq requeue orders --since 2026-11-28T08:00 --rate 10 --keep
    """
    if not options.msg_ids and options.since is None and options.until is None:
        options.parser.error("give msg_ids, --since or --until")
    with session_of(options) as session:
        count = session.requeue(
            options.queue,
            options.msg_ids or None,
            since=options.since,
            until=options.until,
            qty=options.qty,
            conditional=options.conditional,
            rate=options.rate,
            keep=options.keep,
        )
    say(options, f"{count} sent again", sent=count)


@command(
    arg("dead_letter_queue", metavar="DEAD_LETTER_QUEUE"),
    arg("--queue", metavar="QUEUE", help="where to (default: where each came from)"),
    UP_TO,
    CONDITIONAL,
    RATE,
    JSON,
)
def redrive(options: Options) -> None:
    """Put dead letters back where they came from.

    Example: pgmq redrive orders_dead --qty 100
    Example: pgmq redrive orders_dead --conditional '{"country": "eu"}' --rate 10
    """
    with session_of(options) as session:
        count = session.redrive(
            options.dead_letter_queue,
            options.queue,
            options.qty,
            options.conditional,
            options.rate,
        )
    say(options, f"{count} put back", put_back=count)


def _print_done(
    options: Options,
    wanted: Sequence[int],
    done: Sequence[int],
    otherwise: str = "not in the queue",
) -> None:
    """Print msg_ids, and raise a CommandError for those that are missing."""
    for msg_id in done:
        say(options, msg_id, msg_id=msg_id)
    require_all(wanted, done, otherwise)
