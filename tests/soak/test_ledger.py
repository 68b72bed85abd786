"""What the ledger of the soak notices, in accounts that are made up."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from model.history import Call, Seen
from soak.client import Deed, Verdict
from soak.ledger import Ledger

pytestmark = pytest.mark.once


def _account(*calls: tuple[str, Call], committed: bool = True) -> Ledger:
    """Make an account of calls on queues, a second after the other."""
    ledger = Ledger()
    for at, (queue, call) in enumerate(calls):
        call.made = call.returned = float(at)
        name = (1, at)
        deed = Deed(1, "READ COMMITTED", at, [call], at, at, "unknown", queue=queue, name=name)
        ledger.note(deed)
        if committed:
            ledger.note(Verdict(name, at + 0.1, committed=True))
    return ledger


def _wrong(ledger: Ledger, places: Any, *dead: tuple[str, int]) -> str:
    return "\n".join(ledger.check(places, Counter(dead), crashed=False, upgraded=False))


def _sent(msg_id: int = 1) -> Call:
    return Call("send", 0, sent={msg_id: (7, "g")})


def _read(receipt: int, since: float, until: float) -> Call:
    return Call("read", 0, messages=[Seen(1, 7, receipt, since, until)], quantity=1)


def test_a_message_is_in_one_place() -> None:
    place: Any = {"q_plain": {1: 7}}
    assert _wrong(_account(("plain", _sent())), place) == ""
    assert "message 7: 0 times" in _wrong(_account(("plain", _sent())), {})
    assert "message 7: 2 times" in _wrong(_account(("plain", _sent())), {**place, "a_dead": {9: 7}})
    assert _wrong(_account(("plain", _sent()), committed=False), {}) == ""
    ack = Call("ack", 0, asked=[1], receipts={1: 1}, done=[1])
    acked = _account(("plain", _sent()), ("plain", _read(1, 1, 9)), ("plain", ack))
    assert "removed 1 of plain, which is still there" in _wrong(acked, place)
    acked.settle(place)
    assert "was in q_plain" in _wrong(acked, {})


def test_a_lease_is_one_consumers_until_it_ends() -> None:
    place: Any = {"q_plain": {1: 7}}
    both = ("plain", _read(1, 1, 9)), ("plain", _read(2, 2, 9))
    assert "leased twice" in _wrong(_account(("plain", _sent()), *both), place)
    late = Call("ack", 0, asked=[1], receipts={1: 1}, done=[1])
    both = ("plain", _read(1, 1, 1.5)), ("plain", _read(2, 2, 9))
    assert "with an old lease" in _wrong(_account(("plain", _sent()), *both, ("plain", late)), {})


def test_caps_and_rates_are_kept() -> None:
    many = Call("read", 0, messages=[Seen(n, n, 1, 1.0, 9.0) for n in range(50)])
    sent = Call("send", 0, sent={n: (n, "g") for n in range(50)})
    for queue, found in (("work", "41 messages of all groups"), ("limited", "50 messages from")):
        place: Any = {f"q_{queue}": {n: n for n in range(50)}}
        sends, reads = (
            Call("send", 0, sent=dict(sent.sent)),
            Call("read", 0, messages=many.messages),
        )
        assert found in _wrong(_account((queue, sends), (queue, reads)), place)


def test_a_stream_is_read_in_order_and_to_its_end() -> None:
    def append() -> tuple[str, Call]:
        return "clocked", Call("append", 0, sent={1: (0, "k"), 2: (1, "k")})

    def batch(kind: str, *numbers: int) -> tuple[str, Call]:
        return "clocked", Call(kind, 0, text="only", sent={i + 1: (i, "k") for i in numbers})

    right = [append(), batch("fetch", 0), batch("commit", 0), batch("fetch", 1), batch("commit", 1)]
    assert _wrong(_account(*right), {}) == ""
    assert "[1] of k never came" in _wrong(_account(*right[:3]), {})
    assert "[1] of k before 0" in _wrong(_account(right[0], right[3], right[4], *right[1:3]), {})
    assert "0 of k again after its commit" in _wrong(_account(*right, right[1]), {})
