"""The commands for the groups that read streams: groups, group, seek."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pgmq.cli._declare import JSON, action, arg, at_least, command, session_of
from pgmq.cli._output import Table, say

if TYPE_CHECKING:
    import argparse

    from pgmq._session import Session
    from pgmq.cli._declare import Options
    from pgmq.messages import StreamGroup

_STREAM = arg("stream", metavar="STREAM")
_GROUP = arg("group", metavar="GROUP")
_START = "earliest, latest, a msg_id, or a time that Postgres understands"


@command(
    arg("streams", metavar="STREAM", nargs="*", help="default: all"),
    arg("--json", action="store_true", help="print JSON, with the lanes of each group"),
)
def groups(options: Options) -> None:
    """Print how far the groups of streams have read.

    "committed" is the msg_id up to which a group has done everything, "lag" how many messages it
    has not, "oldest s" the age of the oldest of these. "leased" and "failing" are numbers of lanes.
    What a group waits for, and why it fails, is printed below.

    Example: pgmq groups orders
    """
    with session_of(options) as session:
        found = [
            group for stream in options.streams or [None] for group in session.list_groups(stream)
        ]
        if options.json:
            print(json.dumps([_with_lanes(session, group) for group in found], default=str))
            return
    Table(
        ["group", "committed", "lag", "oldest s", "lanes", "leased", "failing"],
        [
            (_name(group), group.committed, group.lag, group.lag_seconds, group.lanes,
             group.leased_lanes, group.failing_lanes)
            for group in found
        ],
    ).show()  # fmt: skip
    for group in found:
        if group.waits_for:
            print(f"{_name(group)} waits for {group.waits_for}")
        if group.error:
            print(f"{_name(group)} fails: {group.error}")
        if group.held_since:
            print(f"{_name(group)} keeps {group.held_bytes} bytes since {group.held_since}")


def _name(group: StreamGroup) -> str:
    return f"{group.queue_name}/{group.group_name}"


def _with_lanes(session: Session, group: StreamGroup) -> dict[str, Any]:
    lanes = [
        asdict(lane)
        for lane in session.list_lanes(group.queue_name)
        if lane.group_name == group.group_name
    ]
    # "lanes" is their number, as in SQL.
    return asdict(group) | {"lane_states": lanes}


def _declare_group(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="create|alter|drop", required=True)
    for name, text, example in (
        ("create", "create a group, unless it is there",
         "group create orders billing --start earliest --lanes 4"),
        ("alter", "change options of a group; those not given stay as they are",
         "group alter orders billing --max-deliveries 5 --dead-letter-queue billing_dead"),
        ("drop", "drop a group", "group drop orders billing"),
    ):  # fmt: skip
        one = action(actions, name, text, _STREAM, _GROUP, JSON, example=example)
        if name == "create":
            one.add_argument(
                "--start", default="latest", metavar="START", help=f"{_START} (default: latest)"
            )
            one.add_argument(
                "--lanes", type=at_least(1), default=1, metavar="N",
                help="how many consumers work at once, up to 64 (default: 1)",
            )  # fmt: skip
        if name == "drop":
            continue
        one.add_argument(
            "--max-deliveries", type=at_least(1), metavar="N",
            help="a message that has failed so often is a dead letter",
        )  # fmt: skip
        one.add_argument("--dead-letter-queue", metavar="QUEUE", help="created if missing")
        if name == "alter":
            one.add_argument(
                "--clear", action="append", default=[],
                choices=["max_deliveries", "dead_letter_queue"], help="take this option away",
            )  # fmt: skip
        keeps = one.add_mutually_exclusive_group()
        keeps.add_argument(
            "--keep-unread", dest="keep_unread", action="store_true", default=None,
            help="retention waits for the group (default, when it is created)",
        )  # fmt: skip
        keeps.add_argument(
            "--no-keep-unread", dest="keep_unread", action="store_false",
            help="it does not wait, and the group may miss messages",
        )  # fmt: skip


@command(declare=_declare_group)
def group(options: Options) -> int:
    """Create, alter or drop a group that reads a stream.

    Only the owner of the stream may.

    Example: pgmq group create orders billing --start earliest --lanes 4
    """
    stream, group = options.stream, options.group
    done = {"create": "created", "alter": "altered", "drop": "dropped"}[options.action]
    changed = True
    with session_of(options) as session:
        if options.action == "drop":
            if not session.drop_group(stream, group):
                return 1
        elif options.action == "alter":
            session.alter_group(
                stream, group, options.max_deliveries, options.dead_letter_queue,
                options.keep_unread, options.clear,
            )  # fmt: skip
        else:
            changed = group not in {each.group_name for each in session.list_groups(stream)}
            session.create_group(
                stream, group, options.start, options.lanes, options.max_deliveries,
                options.dead_letter_queue, options.keep_unread is not False,
            )  # fmt: skip
    # If a group that is to be created is there, the server has said so.
    if changed or options.json:
        text = f"{stream}/{group}: {done}"
        say(options, text, queue_name=stream, group_name=group, **{done: changed})
    return 0


@command(_STREAM, _GROUP, arg("start", metavar="START", help=_START), JSON)
def seek(options: Options) -> None:
    """Have a group read from somewhere else, to replay or to skip.

    Whoever consumes as the group goes on there; what it had in hand is committed no more. Prints
    the msg_id of where that is.

    Example: pgmq seek orders billing '2026-01-31 12:00+01'
    """
    with session_of(options) as session:
        msg_id = session.seek(options.stream, options.group, options.start)
    say(options, msg_id, msg_id=msg_id)
