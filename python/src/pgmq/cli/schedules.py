"""The commands for schedules: schedules, schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgmq.cli._declare import (
    ANY_QUEUES,
    JSON,
    action,
    arg,
    command,
    json_text,
    queues_of,
    session_of,
)
from pgmq.cli._output import CommandError, Table, local, print_json, say

if TYPE_CHECKING:
    import argparse

    from pgmq.cli._declare import Options


@command(ANY_QUEUES, JSON)
def schedules(options: Options) -> None:
    """Print schedules, with their next and last messages.

    "errors" is how many attempts have failed since. Why they fail is printed below.

    Example: pgmq schedules reports
    """
    with session_of(options) as session:
        found = [
            each for queue in queues_of(options, session) for each in session.list_schedules(queue)
        ]
    if options.json:
        print_json(found)
        return
    Table(
        ["schedule", "queue", "cron", "timezone", "next", "last", "msg_id", "errors"],
        [
            (each.name, each.queue_name, each.cron, each.timezone, each.next_at, each.last_at,
             each.last_msg_id, each.errors)
            for each in found
        ],
        texts=4,
    ).show()  # fmt: skip
    for each in found:
        if each.paused_at:
            print(f"{each.name} is paused since {local(each.paused_at)}")
        if each.last_error:
            print(f"{each.name} fails: {each.last_error}")


def _declare_schedule(parser: argparse.ArgumentParser) -> None:
    words = "add|remove|run|pause|resume"
    actions = parser.add_subparsers(dest="action", metavar=words, required=True)
    for name, text, example in (
        ("add", "begin a schedule, or replace the one of that name",
         "schedule add report orders '30 9 * * mon-fri' '{}' --timezone Europe/Berlin"),
        ("remove", "end a schedule", "schedule remove report"),
        ("run", "send the message of a schedule now, too", "schedule run report"),
        ("pause", "have a schedule send nothing", "schedule pause report"),
        ("resume", "end a pause; of what was missed the last is sent, or all with --catch-up",
         "schedule resume report"),
    ):  # fmt: skip
        one = action(actions, name, text, arg("name", metavar="NAME"), JSON, example=example)
        if name != "add":
            continue
        one.add_argument("queue", metavar="QUEUE")
        one.add_argument("cron", metavar="CRON", help="five fields, or an interval: '30 seconds'")
        one.add_argument("message", type=json_text, metavar="JSON")
        one.add_argument("--headers", type=json_text, metavar="JSON")
        one.add_argument(
            "--timezone", default="UTC", metavar="ZONE", help="of the five fields (default: UTC)"
        )
        one.add_argument(
            "--catch-up", action="store_true", help="send all that was missed, not the last alone"
        )


@command(declare=_declare_schedule)
def schedule(options: Options) -> None:
    """Begin, end, pause or run what sends a message again and again.

    Calls of the queue send what is due; no daemon does. Only the owner of the queue may. "add"
    prints the first time, and "run" the msg_id; "remove" fails when there is none of that name.

    Example: pgmq schedule add report orders '@daily' '{"report": "sales"}'
    """
    with session_of(options) as session:
        if options.action == "remove":
            if not session.unschedule(options.name):
                raise CommandError(f"no such schedule: {options.name}")
            say(options, f"{options.name}: removed", name=options.name, removed=True)
        elif options.action == "run":
            msg_id = session.run_schedule(options.name)
            say(options, msg_id, msg_id=msg_id)
        elif options.action == "pause":
            session.pause_schedule(options.name)
            say(options, f"{options.name}: paused", name=options.name, paused=True)
        elif options.action == "resume":
            was = session.resume_schedule(options.name)
            said = "resumed" if was else "was not paused"
            say(options, f"{options.name}: {said}", name=options.name, resumed=was)
        else:
            first = session.schedule(
                options.name, options.queue, options.cron, options.message, options.headers,
                options.timezone, options.catch_up,
            )  # fmt: skip
            say(options, first, name=options.name, next_at=first)
