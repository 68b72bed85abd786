"""The parts of a worker that need no server: when to look again, and what is in hand."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgmq import WorkerMessage
from pgmq import _statements as statements
from pgmq import _wire as wire
from pgmq._worker import inhand
from pgmq._worker.inhand import InHand
from pgmq._worker.outcome import Outcome
from pgmq._worker.waking import SOON, Announcements
from pgmq.messages import NotificationThrottle

if TYPE_CHECKING:
    from pgmq._statements import Statement

pytestmark = pytest.mark.once

NOW = datetime.now(timezone.utc)
POLL = 10.0


def _message(msg_id: int, headers: Any = None, read_ct: int = 1) -> WorkerMessage:
    return WorkerMessage(msg_id, read_ct, NOW, NOW, NOW, None, headers, "q")


class Listener:
    """A connection to a queue that announces in one way, and answers when the next one is due."""

    polls = False

    def __init__(self, way: str, due: float | None = None) -> None:
        self.way = way
        self.due = statements.Due(due, oldest=5, next=7)
        self.asked: list[str] = []

    async def run(self, statement: Statement[Any]) -> Any:
        self.asked.append(statement.query)
        if "clock_timestamp()" in statement.query:
            return self.due
        if "await" in statement.query:
            if self.way != "wake-ups":
                raise psycopg.errors.ObjectNotInPrerequisiteState
            return NOW
        if "throttles" in statement.query:
            return [NotificationThrottle("Q", 2000, NOW)] if self.way == "notify" else []
        return "q_q"

    async def execute(self, command: Any) -> None:
        self.asked.append(command.as_string())

    async def is_notified(self, seconds: float) -> bool:
        return seconds == SOON


async def _announcements(way: str, due: float | None = None) -> Announcements:
    listener: Any = Listener(way, due)
    found = Announcements(["q"], POLL, listener)
    await found.subscribe()
    assert found.expected is (way != "polling")
    assert (found.arming == {"q"}) is (way == "wake-ups")
    assert ('LISTEN "pgmq.q_q.INSERT"' in listener.asked) is (way == "notify")
    assert await found.arm_if_due() is (way == "wake-ups")
    return found


@pytest.mark.parametrize(
    ("way", "due", "least", "most"),
    [
        ("polling", None, 0.75 * POLL, 1.25 * POLL),
        ("polling", 3.0, 3.0, 3.0),
        ("polling", -1.0, SOON, SOON),  # another has for a moment what is visible
        ("wake-ups", None, 0.75 * POLL, 1.25 * POLL),
        ("wake-ups", 0.02, 0.02, 0.02),  # nobody else has it yet
        ("wake-ups", -1.0, SOON, SOON),
        ("notify", None, 0.75 * POLL, 1.25 * POLL),
    ],
)
def test_a_queue_is_looked_at_when_something_is_due_and_else_now_and_then(
    way: str, due: float | None, least: float, most: float
) -> None:
    async def look() -> float:
        return (await _announcements(way, due)).next_look()

    assert least <= asyncio.run(look()) <= most


def test_after_a_notification_the_queue_is_looked_at_when_its_throttle_is_over() -> None:
    async def look() -> float:
        announcements = await _announcements("notify")
        assert await announcements.hear()
        return announcements.next_look()

    assert asyncio.run(look()) == 2.0


def test_a_queue_is_armed_again_while_older_transactions_run() -> None:
    async def arm() -> tuple[bool, bool]:
        listener: Any = Listener("wake-ups")
        announcements = Announcements(["q"], POLL, listener)
        await announcements.subscribe()
        await announcements.arm_if_due()
        again = await announcements.arm_if_due()  # transaction 5 began before it was armed
        listener.due = statements.Due(None, oldest=7, next=9)
        await announcements.arm_if_due()
        return again, await announcements.arm_if_due()

    assert asyncio.run(arm()) == (True, False)


def test_no_more_is_read_than_is_handled_soon() -> None:
    in_hand = InHand(100, 2, in_batches=False, grouped=False)
    assert in_hand.how_many_to_read() == 2  # until it is known how long one takes
    messages = [_message(number) for number in range(2)]
    in_hand.hold(messages, size=20)
    assert in_hand.how_many_to_read() == 0
    in_hand.note_pace(messages, [Outcome("done", 0.1)] * 2)
    assert in_hand.how_many_to_read() == 10  # of half a second
    in_hand.hold(messages, size=inhand._AHEAD_BYTES)
    assert in_hand.how_many_to_read() <= 2  # as large as they are


def test_nothing_is_read_ahead_of_what_a_worker_may_have_died_of() -> None:
    """Or each crash would count receipts of messages that nobody began."""
    in_hand = InHand(100, 2, in_batches=False, grouped=False)
    fresh, again, failed = (
        _message(1),
        _message(2, read_ct=2),
        _message(3, {"x-pgmq-error": "x"}, 2),
    )
    for message, most in ((fresh, 100), (again, 2), (failed, 100), (again, 2), (fresh, 100)):
        in_hand.hold([message], size=10)
        in_hand.let_go(message)
        in_hand.note_pace([message], [Outcome("done", 0.001)])
        assert in_hand.how_many_to_read() == most, message


def test_a_group_goes_to_one_slot() -> None:
    in_hand = InHand(100, 4, in_batches=False, grouped=True)
    messages = [_message(number, {"x-pgmq-group": "ab"[number % 2]}) for number in range(4)]
    in_hand.queue_up(messages)
    assert [[each.msg_id for each in unit] for unit in in_hand.buffer] == [[0, 2], [1, 3]]


def test_what_is_lost_leaves_the_buffer_and_what_is_begun_may_stay() -> None:
    in_hand = InHand(100, 1, in_batches=False, grouped=False)
    waiting, begun = _message(1), _message(2)
    in_hand.hold([waiting, begun], size=2)
    in_hand.queue_up([waiting])
    assert in_hand.drop_lost(waiting, keep_begun=True)
    assert not in_hand.buffer
    assert not in_hand.drop_lost(begun, keep_begun=True)
    assert in_hand.drop_lost(begun, keep_begun=False)
    assert not in_hand


def test_what_somebody_else_has_locked_is_tried_again_and_given_up_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inhand, "LOCKED", 0.0)
    in_hand = InHand(100, 1, in_batches=False, grouped=False)
    message = _message(1)
    for _ in range(3):
        in_hand.add_locked([message])
        assert in_hand.give_up_locked() == []
        in_hand.retry_locked(stopped=True)
        assert in_hand.is_time_to_acknowledge()
        assert in_hand.take_done() == [message]
    in_hand.add_locked([message])
    assert in_hand.give_up_locked() == [message]
    assert not in_hand


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ('FATAL:  password authentication failed for user "app"', False),
        ('FATAL:  database "shopp" does not exist', False),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.7", user "app", no encryption', False),
        ("connection failed: server does not support SSL, but SSL was required", False),
        ("connection failed: SSL error: certificate verify failed", False),
        ("connection failed: Connection refused", True),
        ("server closed the connection unexpectedly", True),
    ],
)
def test_a_server_that_is_away_is_waited_for_but_none_that_lets_nobody_in(
    text: str, passes: bool
) -> None:
    error = psycopg.OperationalError(text)
    assert wire.is_passing(error) == passes
    assert wire.is_passing(error, served=True)  # it will be put right
