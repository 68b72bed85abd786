"""The commands for routing: exchange, bind, unbind, bindings, publish, topic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgmq import _statements as statements
from pgmq.cli._declare import (
    ANY_QUEUES,
    DELAY,
    HEADERS,
    JSON,
    QUEUE,
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
    from collections.abc import Sequence

    from pgmq.cli._declare import Options
    from pgmq.messages import RoutingResult, TopicBinding

_EXCHANGE = arg("exchange", metavar="EXCHANGE")
_MESSAGE = arg("message", metavar="JSON", type=json_text)
_BINDING = (
    _EXCHANGE,
    QUEUE,
    arg("pattern", metavar="PATTERN", nargs="?", help="of the routing key; none for fanout"),
    arg("--kind", choices=["topic", "regex", "direct", "fanout"], default="topic",
        help="what the pattern is (default: topic: words, * is one of them, # any number)"),
    arg("--channel", action="store_true", help="QUEUE is the name of a NOTIFY channel instead"),
    JSON,
)  # fmt: skip


def _declare_exchange(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="create|drop|list", required=True)
    action(actions, "create", "create an exchange", _EXCHANGE, JSON, example="exchange create shop")
    action(
        actions, "drop", "drop an exchange with its bindings", _EXCHANGE, JSON,
        example="exchange drop shop",
    )  # fmt: skip
    action(actions, "list", "print the exchanges", JSON, example="exchange list")


@command(declare=_declare_exchange)
def exchange(options: Options) -> int:
    """Create, drop or list exchanges, which publish to queues.

    Example: pgmq exchange create shop
    """
    with session_of(options) as session:
        found = session.run(statements.exchanges())
        if options.action == "list":
            _list(options, found)
            return 0
        name = options.exchange
        if options.action == "drop":
            if not session.drop_exchange(name):
                return 1
            say(options, f"{name}: dropped", exchange_name=name, dropped=True)
            return 0
        session.create_exchange(name)
        # If it is there, the server has said so.
        created = name not in {each.exchange_name for each in found}
        if created or options.json:
            say(options, f"{name}: created", exchange_name=name, created=created)
    return 0


def _list(options: Options, found: Sequence[statements.Exchange]) -> None:
    if options.json:
        print_json(found)
        return
    Table(
        ["exchange", "bindings", "created"],
        [(each.exchange_name, each.bindings, local(each.created_at)) for each in found],
    ).show()


@command(*_BINDING)
def bind(options: Options) -> None:
    """Have a queue get what is published with a matching routing key.

    Example: pgmq bind shop orders 'order.#'
    Example: pgmq bind shop audit --kind fanout
    """
    with session_of(options) as session:
        bind = session.bind_channel if options.channel else session.bind
        bind(options.exchange, options.queue, options.pattern, options.kind)
    say(options, f"{options.queue}: bound to {options.exchange}", **_binding(options))


@command(*_BINDING)
def unbind(options: Options) -> None:
    """Take a binding away.

    The exit code is 1 when there is none like that.

    Example: pgmq unbind shop orders 'order.#'
    """
    with session_of(options) as session:
        unbind = session.unbind_channel if options.channel else session.unbind
        if not unbind(options.exchange, options.queue, options.pattern, options.kind):
            raise CommandError(f"{options.exchange} has no such binding")
    say(options, f"{options.queue}: no longer bound to {options.exchange}", **_binding(options))


def _binding(options: Options) -> dict[str, str | None]:
    target = "channel" if options.channel else "queue_name"
    return {
        "exchange_name": options.exchange,
        target: options.queue,
        "pattern": options.pattern,
        "kind": options.kind,
    }


@command(arg("exchanges", metavar="EXCHANGE", nargs="*", help="default: all"), JSON)
def bindings(options: Options) -> None:
    """Print what is bound to exchanges.

    Example: pgmq bindings shop
    """
    with session_of(options) as session:
        there = {each.exchange_name for each in session.run(statements.exchanges())}
        for name in options.exchanges:
            if name not in there:
                raise CommandError(f'exchange "{name}" does not exist')
        found = [
            each for name in options.exchanges or [None] for each in session.list_bindings(name)
        ]
    if options.json:
        print_json(found)
        return
    Table(
        ["exchange", "kind", "pattern", "queue", "channel"],
        [
            (each.exchange_name, each.kind, each.pattern, each.queue_name, each.channel)
            for each in found
        ],
        texts=5,
    ).show()


@command(_EXCHANGE, arg("routing_key", metavar="ROUTING_KEY"), _MESSAGE, HEADERS, DELAY, JSON)
def publish(options: Options) -> None:
    """Send a message to whatever is bound to an exchange and matches.

    Prints how many copies that were; none is no error.

    Example: pgmq publish shop order.new '{"id": 1}'
    """
    with session_of(options) as session:
        count = session.publish(
            options.exchange, options.routing_key, options.message, options.headers, options.delay
        )
    say(options, f"{count} sent", sent=count)


def _declare_topic(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(
        dest="action", metavar="bind|unbind|list|test|send", required=True
    )
    key = arg("routing_key", metavar="ROUTING_KEY")
    binding = (
        arg("pattern", metavar="PATTERN", help="* is text without a dot, # any text"), QUEUE, JSON,
    )  # fmt: skip
    action(
        actions, "bind", "have a queue get what matches", *binding,
        example="topic bind 'order.*' orders",
    )  # fmt: skip
    action(
        actions, "unbind", "take a binding away", *binding,
        example="topic unbind 'order.*' orders",
    )  # fmt: skip
    action(actions, "list", "print the bindings", ANY_QUEUES, JSON, example="topic list orders")
    action(
        actions, "test", "print which bindings a routing key matches", key, JSON,
        example="topic test order.new",
    )  # fmt: skip
    action(
        actions, "send", "send a message to every queue that matches",
        key, _MESSAGE, HEADERS, DELAY, JSON, example="""topic send order.new '{"id": 1}'""",
    )  # fmt: skip


@command(declare=_declare_topic)
def topic(options: Options) -> None:
    """Bind queues to topics, and send to topics, without an exchange.

    Example: pgmq topic bind 'order.*' orders
    """
    with session_of(options) as session:
        if options.action == "send":
            count = session.send_topic(
                options.routing_key, options.message, options.headers, options.delay
            )
            say(options, f"{count} sent", sent=count)
        elif options.action == "list":
            listed = [
                each
                for queue in queues_of(options, session)
                for each in session.list_topic_bindings(queue)
            ]
            _show(options, listed)
        elif options.action == "test":
            _show(options, session.test_routing(options.routing_key))
        else:
            pattern, queue = options.pattern, options.queue
            if options.action == "bind":
                session.bind_topic(pattern, queue)
            elif not session.unbind_topic(pattern, queue):
                raise CommandError(f"{queue} has no such binding")
            bound = "bound" if options.action == "bind" else "no longer bound"
            say(options, f"{queue}: {bound} to {pattern}", queue_name=queue, pattern=pattern)


def _show(options: Options, found: Sequence[TopicBinding] | Sequence[RoutingResult]) -> None:
    if options.json:
        print_json(found)
    else:
        rows = [(each.pattern, each.queue_name) for each in found]
        Table(["pattern", "queue"], rows, texts=2).show()
