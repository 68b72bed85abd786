"""The command for policies: policy."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pgmq.cli._declare import at_least, command, server, session_of
from pgmq.cli._output import print_json, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgmq.cli._declare import Options

_POLICY: dict[str, tuple[Callable[[str], Any], str, str]] = {
    "max_receives": (at_least(1), "N", "after so many receipts a message is a dead letter"),
    "dead_letter_queue": (str, "QUEUE", "they go there, created if missing (default: archive)"),
    "retry_delay": (str, "INTERVAL", "how long a returned message stays hidden"),
    "retry_delay_max": (str, "INTERVAL", "double that with each receipt, up to this"),
    "retry_jitter": (float, "SHARE", "shorten it by a random part of up to this (0 to 1)"),
    "message_ttl": (str, "INTERVAL", "older messages are dead letters"),
    "archive_retention": (str, "INTERVAL", "remove archived messages after this"),
    "dedup_window": (str, "INTERVAL", "for so long a deduplication key stores one message"),
    "max_in_flight": (at_least(1), "N", "lease no more than so many at a time"),
    "max_in_flight_per_group": (at_least(1), "N", "and no more than so many of a group"),
    "rate_limit": (at_least(1), "N", "read no more than so many in a rate interval"),
    "rate_interval": (str, "INTERVAL", "the time for that (default: 1 second)"),
    "rate_burst": (at_least(1), "N", "so many may be read at once (default: the rate limit)"),
    "dedup_scope": (str, "SCOPE", "window, or pending: a key is taken while its message is there"),
    "priority_ageing": (str, "INTERVAL", "waiting so long counts as one priority more"),
}  # fmt: skip
_SWITCHES = ("ack_archives", "priorities")


def _declare_policy(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="show|set", required=True)
    show = actions.add_parser(
        "show",
        help="print the policy of queues",
        description="Example: pgmq policy show orders",
        parents=[server()],
    )
    show.add_argument("queues", metavar="QUEUE", nargs="*", help="default: all")
    show.add_argument("--json", action="store_true", help="print JSON")
    change = actions.add_parser(
        "set",
        help="change the policy of a queue",
        description="Change the policy of a queue: what is not given stays as it is. An INTERVAL is"
        " what Postgres takes for one, such as '30 seconds' or '7 days'.",
        epilog="Example: pgmq policy set orders --max-receives 5 --dead-letter-queue orders_dead"
        " --retry-delay '10 seconds' --retry-delay-max '1 hour'",
        parents=[server()],
    )
    change.add_argument("queue", metavar="QUEUE")
    for name, (kind, metavar, text) in _POLICY.items():
        change.add_argument(
            f"--{name.replace('_', '-')}",
            type=kind,
            metavar=metavar,
            help=text,
        )
    change.add_argument(
        "--ack-archives",
        action=argparse.BooleanOptionalAction,
        help="acknowledging archives",
    )
    change.add_argument(
        "--priorities",
        action=argparse.BooleanOptionalAction,
        help="read messages of a higher x-pgmq-priority first",
    )
    change.add_argument(
        "--off",
        metavar="OPTION",
        action="append",
        default=[],
        choices=[name.replace("_", "-") for name in _POLICY],
        help="turn this one off; may be repeated",
    )
    change.add_argument("--replace", action="store_true", help="turn off what is not given")
    change.add_argument("--json", action="store_true", help="print JSON")


@command(declare=_declare_policy)
def policy(options: Options) -> None:
    """Show or set the policy of queues.

    That is what the server does with failed, expired and repeated messages.

    Example: pgmq policy set orders --max-receives 5 --dead-letter-queue orders_dead
    """
    with session_of(options) as session:
        if options.action == "set":
            given = {name: getattr(options, name) for name in (*_POLICY, *_SWITCHES)}
            given = {name: value for name, value in given.items() if value is not None}
            if options.replace:
                session.set_policy(options.queue, **given)
            else:
                off = [name.replace("-", "_") for name in options.off]
                session.alter_policy(options.queue, **given, clear=off)
            say(options, f"{options.queue}: policy set", queue_name=options.queue)
            return
        queues = options.queues or [record.queue_name for record in session.list_queues()]
        policies = [session.get_policy(queue) for queue in queues]
    if options.json:
        print_json(policies)
        return
    blocks = (
        "\n".join(
            f"{name:23} {'off' if value in {None, False} else value}"
            for name, value in asdict(policy).items()
        )
        for policy in policies
    )
    print("\n\n".join(blocks))
