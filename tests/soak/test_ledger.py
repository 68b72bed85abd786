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


def test_what_is_unlogged_is_gone_after_a_crash() -> None:
    ack = Call("ack", 0, asked=[1], receipts={1: 1})
    for crashed in (False, True):
        calls = _sent(), _read(1, 1, 9), ack
        ledger = _account(*(("fleeting", call) for call in calls))
        wrong = "\n".join(ledger.check({}, Counter(), crashed=crashed, upgraded=False))
        assert ("did not find 1" in wrong, "0 times" in wrong) == (not crashed, not crashed)


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


def _append(*numbers: int) -> tuple[str, Call]:
    return "clocked", Call("append", 0, sent={i + 1: (i, "k") for i in numbers})


def _batch(kind: str, *numbers: int, group: str = "only", epoch: int = 0) -> tuple[str, Call]:
    call = Call(kind, 0, text=group, sent={i + 1: (i, "k") for i in numbers}, asked=[epoch])
    call.done = [epoch] if kind == "commit" else []
    return "clocked", call


def _of_group(group: str, *calls: tuple[str, Call]) -> str:
    lines = _wrong(_account(*calls), {}).splitlines()
    return "\n".join(line for line in lines if f"clocked, {group}: " in line)


def test_a_stream_is_read_in_order_and_to_its_end() -> None:
    right = [_append(0, 1), _batch("fetch", 0), _batch("commit", 0)]
    right += [_batch("fetch", 1), _batch("commit", 1)]
    assert _of_group("only", *right) == ""
    assert "[1] of k never came" in _of_group("only", *right[:3])
    swapped = right[0], right[3], right[4], *right[1:3]
    assert "[1] of k before 0" in _of_group("only", *swapped)
    assert "0 of k again after its commit" in _of_group("only", *right, right[1])


def test_a_seek_says_what_comes_next() -> None:
    def seek(place: int) -> tuple[str, Call]:
        return "clocked", Call("seek", 0, text="seeking", asked=[place])

    def read(*numbers: int, epoch: int) -> list[tuple[str, Call]]:
        return [_batch(k, *numbers, group="seeking", epoch=epoch) for k in ("fetch", "commit")]

    def wrong(*calls: tuple[str, Call]) -> str:
        return _of_group("seeking", *calls)

    sent, once = _append(0, 1, 2), read(0, 1, 2, epoch=1)
    again = read(1, 2, epoch=2)
    assert wrong(sent, *once, seek(2), *again) == ""
    assert wrong(sent, seek(4)) == ""
    assert "[1, 2] of k never came" in wrong(sent, *once, seek(2))
    assert "[2] of k before 1" in wrong(sent, *once, seek(2), *read(2, epoch=2), *read(1, epoch=3))
    assert "0 of k, 1, although it seeks 2" in wrong(sent, *once, seek(2), *read(0, 1, 2, epoch=2))
    assert "again after its commit" in wrong(sent, *once, seek(2), *again, *read(1, 2, epoch=3))
    assert "passes over 4, sent afterwards" in wrong(sent, *once, seek(9), _append(3))
    late = wrong(sent, once[0], seek(1), once[1], *read(0, 1, 2, epoch=2))
    assert "a lease from before a seek to 1 was committed after it" in late


def test_only_what_nobody_has_is_amended_and_it_is_read_so() -> None:
    place: Any = {"q_plain": {1: 7}}
    amended = Call("amend", 0, asked=[1], done=[1], version=5)

    def wrong(*calls: Call) -> str:
        return _wrong(_account(*(("plain", call) for call in (_sent(), *calls))), place)

    def read(version: int) -> Call:
        lease = Seen(1, 7, 1, 1.0, 9.0, version)
        return Call("read", 0, messages=[lease], quantity=1)

    assert wrong(amended, read(5)) == ""
    assert "version 0 was read" in wrong(amended, read(0))
    later = Call("amend", 0, asked=[1], done=[1], version=6)
    assert "version 5 was read" in wrong(amended, later, read(5))
    assert "amended while leased" in wrong(read(0), amended)
    back = Call("nack", 0, asked=[1], receipts={1: 1}, done=[1])
    assert wrong(read(0), back, amended) == ""
