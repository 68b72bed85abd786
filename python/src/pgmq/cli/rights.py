"""The commands for permissions: grant, revoke."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgmq.cli._declare import ANY_QUEUES, JSON, arg, command, session_of
from pgmq.cli._output import say

if TYPE_CHECKING:
    from pgmq.cli._declare import Options

_RIGHTS = ("send", "consume", "requeue", "fetch", "monitor", "maintain", "create")


@command(
    arg("right", metavar="RIGHT", choices=_RIGHTS, help=", ".join(_RIGHTS)),
    arg("queues", metavar="QUEUE", nargs="*", help="none for create"),
    arg("--to", metavar="ROLE", required=True, help="who gets the right"),
    arg("--group", metavar="GROUP", help="of a stream: the group that it fetches as"),
    JSON,
)
def grant(options: Options) -> None:
    """Give a role a right to queues.

    A role that fetches reads a stream as one --group. One that may create has queues of its own.
    Only the owner of a queue may grant these, and only the owner of the schema "create".

    Example: pgmq grant consume orders invoices --to worker
    Example: pgmq grant fetch events --group billing --to worker
    Example: pgmq grant create --to shop
    """
    right, role = options.right, options.to
    if (right == "create") == bool(options.queues):
        options.parser.error("create is a right to no queue, and the others to one or more")
    if (right == "fetch") != (options.group is not None):
        options.parser.error("--group goes with fetch, and fetch with --group")
    with session_of(options) as session:
        if right == "create":
            session.grant_create(role)
            say(options, f"{role}: may create", role=role, right=right)
        for queue in options.queues:
            if right == "fetch":
                session.grant_fetch(queue, options.group, role)
            else:
                getattr(session, f"grant_{right}")(queue, role)
            say(options, f"{queue}: {role} may {right}", queue_name=queue, role=role, right=right)


@command(
    ANY_QUEUES,
    arg("--from", dest="role", metavar="ROLE", required=True, help="who loses the rights"),
    arg("--all", action="store_true", help="every right in the schema pgmq, instead of queues"),
    JSON,
)
def revoke(options: Options) -> None:
    """Take from a role every right to queues that it was given.

    Example: pgmq revoke orders --from worker
    Example: pgmq revoke --all --from worker
    """
    if options.all == bool(options.queues):
        options.parser.error("give queues or --all")
    with session_of(options) as session:
        for queue in options.queues or [None]:
            session.revoke_all(queue, options.role)
            text = f"{queue or 'all'}: revoked from {options.role}"
            say(options, text, queue_name=queue, role=options.role)
