"""The commands that go on until they are stopped: consume, relay."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

from pgmq._signals import on_signal
from pgmq.cli._declare import QUEUE, QUEUES, VT, arg, at_least, command, seconds
from pgmq.cli._output import CommandError

if TYPE_CHECKING:
    from pgmq.cli._declare import Options


@command(
    QUEUES,
    VT,
    arg(
        "--concurrency",
        type=at_least(1),
        default=1,
        metavar="N",
        help="run so many programs at a time, each for a message (default: 1)",
    ),
    arg("--grouped", action="store_true", help="in the order of FIFO groups"),
    arg("--group", metavar="GROUP", help="consume a stream, as this group"),
    arg(
        "--retry-delay",
        type=at_least(0),
        metavar="SECONDS",
        help="when a failed message is tried again (default: as the queue's policy says,"
        " else 1, doubled with each receipt up to 5 minutes; of a stream: 1)",
    ),
    arg(
        "--poll",
        type=seconds,
        default=1.0,
        metavar="SECONDS",
        help="look so often into an empty queue without wake-ups (default: 1)",
    ),
    arg("--until-empty", action="store_true", help="end when there is nothing to read"),
)
def consume(options: Options) -> None:
    """Run a program for each message.

    The program has the message on its standard input, and PGMQ_QUEUE, PGMQ_MSG_ID, PGMQ_READ_CT,
    PGMQ_ENQUEUED_AT and PGMQ_HEADERS (JSON; PGMQ_HEADERS_FILE names a file instead where they are
    long) in its environment. Exit code 0 acknowledges the message. After any other it is returned,
    with the last line that the program wrote to standard error. The lease is extended while it
    runs. SIGTERM or Ctrl-C lets the program finish, and so does SIGHUP, when a terminal is closed;
    a second SIGTERM or Ctrl-C ends it and what it has started, a third one kills them. Goes on by
    itself when the server was restarted.

    Several queues are read in order of priority: a message of the second one is handled while the
    first one has none.

    With --group the messages of a lane come in their order, each is committed by itself, and
    PGMQ_GROUP and PGMQ_LANE are in the environment. After a failure, the lane comes again with the
    message that failed.

    Example: pgmq consume orders --vt 60 -- ./handle-order --verbose
    Example: pgmq consume urgent orders --concurrency 4 -- ./handle-order
    Example: pgmq consume events --group billing -- ./write-invoice
    """
    from pgmq.cli._consumer import Consumer, Runner, run_all
    from pgmq.cli._group_consumer import GroupConsumer

    if options.group is not None and options.grouped:
        options.parser.error("--grouped is for queues, and --group for streams")
    if len(options.queues) > 1 and (options.grouped or options.group is not None):
        options.parser.error("--grouped and --group are for one queue, or stream")

    if not options.program:
        options.parser.error("the program is missing")
    if shutil.which(options.program[0]) is None:
        options.parser.error(f"no such program: {options.program[0]}")
    arguments = (options.queues, options.program, options.vt, options.retry_delay, options.poll)

    def consumer() -> Runner[Any]:
        if options.group is None:
            return Consumer(*arguments, options.grouped)
        return GroupConsumer(*arguments, options.group)

    consumers = [consumer() for _ in range(options.concurrency)]

    def stop() -> None:
        for each in consumers:
            each.stop()

    def finish() -> None:
        for each in consumers:
            each.finish()

    with on_signal(stop, finish):
        run_all(consumers, options.dsn, until_empty=options.until_empty)


@command(
    QUEUE,
    arg(
        "url",
        metavar="URL",
        nargs="?",
        help="default: PGMQ_RELAY_URL, which other users do not see",
    ),
    arg("--group", metavar="NAME", help="forward a stream, as this group of its readers"),
    arg("--vt", type=at_least(3), default=30, metavar="SECONDS",
         help="visibility timeout, extended while the broker is away (default: 30)"),
    arg("--batch", type=at_least(1), metavar="N", help="default: 100, of a stream 1000"),
    arg("--poll", type=seconds, default=1.0, metavar="SECONDS",
         help="look so often into an empty queue without wake-ups (default: 1)"),
    arg("--until-empty", action="store_true", help="end when there is nothing to forward"),
)  # fmt: skip
def relay(options: Options) -> None:
    """Forward a queue to another broker.

    Every message at least once, and in the order of its FIFO group. With --group a stream, batch by
    batch, in the order of each key.

    URL is amqp:// (RabbitMQ), redis://, sqs:// or another that kombu knows (extra relay), kafka://
    (extra kafka), or nats:// and tls:// (NATS JetStream, extra nats). Where messages go there:

      amqp://HOST/VHOST?queue=NAME          a queue, created if missing (default: of the same name)
      amqp://HOST/VHOST?exchange=NAME&routing_key=KEY
      redis://HOST/0?queue=NAME             a queue of kombu's, and so for its other transports
      kafka://HOST:9092?topic=NAME          a topic; other options are librdkafka's
      nats://HOST:4222?subject=NAME         a subject, which some stream must have

    The header x-pgmq-routing-key of a message names another routing key, queue, topic or subject.
    Headers are passed on, with x-pgmq-message-id = QUEUE/MSG_ID to tell repetitions by. SIGTERM or
    Ctrl-C ends it and gives back what is not sent.

    Example: pgmq relay orders 'amqp://guest:guest@localhost//?exchange=shop&routing_key=order.new'
    Example: pgmq relay events 'nats://localhost:4222?subject=shop.events' --group nats
    """
    from pgmq.relay import Relay, RelayError

    url = options.url or os.environ.get("PGMQ_RELAY_URL", "")
    if not url:
        options.parser.error("the URL is missing, here and in PGMQ_RELAY_URL")
    try:
        relay = Relay(
            options.dsn, options.queue, url,
            group=options.group, batch=options.batch, vt=options.vt, poll=options.poll,
        )  # fmt: skip
    except RelayError as error:
        raise CommandError(str(error)) from error
    with on_signal(relay.stop):
        relay.run(until_empty=options.until_empty)
