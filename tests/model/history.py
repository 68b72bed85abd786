"""What sessions were told and when, and what must be true of that, whatever the schedule was.

All times are the machine's clock, which is the server's too. A call lies somewhere between when it
was made and when it returned, a commit between when it was asked for and when the session knew.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from model.programs import KNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

REMOVALS = ("ack", "delete", "pop", "archive", "move")


@dataclass(frozen=True)
class Seen:
    """A message as a call returned it."""

    msg_id: int
    number: int
    read_ct: int
    since: float  # last_read_at
    until: float  # vt
    version: int = 0  # that amend has given it


@dataclass
class Call:
    """A call on the queue, and the messages that it told of; made and returned are times."""

    kind: str
    made: float
    returned: float = 0.0
    text: str = ""
    messages: list[Seen] = field(default_factory=list)
    # What it was asked to do something about, and what it said it had done that for.
    asked: list[int] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    receipts: dict[int, int] = field(default_factory=dict)
    sent: dict[int, tuple[int, str]] = field(default_factory=dict)  # number and group by msg_id
    keys: list[tuple[str, int, bool]] = field(default_factory=list)  # with msg_id, and if it is new
    frees: bool = False  # the messages are visible afterwards
    quantity: float = 0
    version: int = 0  # that amend gives
    odd: bool = False  # of those with odd numbers alone
    failed: bool = False


@dataclass
class Transaction:
    """What a session did in a transaction."""

    session: int
    isolation: str
    began: float
    calls: list[Call] = field(default_factory=list)
    ending: float = 0.0  # when its end was asked for
    ended: float = 0.0
    outcome: str = "rolled back"  # or committed, or unknown

    @property
    def may_count(self) -> bool:
        return self.outcome != "rolled back"


@dataclass(frozen=True)
class Touch:
    """A call that had to do with a message."""

    call: Call
    transaction: Transaction


@dataclass
class History:
    """All transactions of all sessions on one queue."""

    transactions: list[Transaction] = field(default_factory=list)
    # What no session has sent, but schedules have, has a negative number, of its schedule and time.
    ticks: set[int] = field(default_factory=set)  # those that were sent for sure
    rate: tuple[float, int] | None = None  # so many messages a second are handed out, and a burst

    def calls(self, *kinds: str) -> Iterator[Touch]:
        for transaction in self.transactions:
            for call in transaction.calls:
                if not kinds or call.kind in kinds:
                    yield Touch(call, transaction)

    def by_message(self) -> dict[int, list[Touch]]:
        """What had to do with each message of the queue, in the order of the calls."""
        touches: dict[int, list[Touch]] = defaultdict(list)
        for touch in sorted(self.calls(), key=lambda touch: touch.call.made):
            seen = {message.msg_id for message in touch.call.messages}
            for msg_id in seen.union(touch.call.asked, touch.call.sent):
                touches[msg_id].append(touch)
        return touches

    def check(
        self, places: dict[str, Counter[int]], left: set[int], ordered: bool, grouped: bool
    ) -> list[str]:
        """Say what is wrong.

        places has the numbers of the messages that each table holds, left the msg_ids that the
        queue does. What is not left there, and no session has removed, became a dead letter: when
        is not known.
        """
        wrong = itertools.chain(
            self.lost_or_twice(places),
            self.sent_twice(),
            self.leased_twice(),
            self.too_fast(),
            self.wrongly_refused(left),
            self.passed_over_in_group(left) if grouped else (),
            self.passed_over() if ordered and "oldest first" not in KNOWN else (),
        )
        return list(itertools.islice(wrong, 10))

    def story(self, msg_id: int, touches: list[Touch]) -> str:
        """Tell what happened to a message, as a failure needs it."""
        lines = [f"\n  message {msg_id}:"]
        for call, transaction in ((touch.call, touch.transaction) for touch in touches):
            seen = [m for m in call.messages if m.msg_id == msg_id]
            lines.append(
                f"\n    {call.made:.3f} to {call.returned:.3f} session {transaction.session}"
                f" {call.text[:150]} {'failed ' * call.failed}{'done ' * (msg_id in call.done)}"
                + "".join(f"receipt {m.read_ct}, {m.since:.3f} to {m.until:.3f} " for m in seen)
                + f"{transaction.outcome} {transaction.ended:.3f} {transaction.isolation}"
            )
        return "".join(lines)

    def lost_or_twice(self, places: dict[str, Counter[int]]) -> Iterator[str]:
        """Each message that was sent is in one place, or has been handed over for good."""
        sent = set(self.ticks)
        unsure: set[int] = set()
        gone: Counter[int] = Counter()
        acked: Counter[int] = Counter()
        numbers = {
            msg_id: number
            for touch in self.calls()
            for msg_id, (number, _) in touch.call.sent.items()
        }
        for touch in self.calls():  # what was redriven as well
            numbers |= {message.msg_id: message.number for message in touch.call.messages}
        for transaction in self.transactions:
            for call in transaction.calls:
                new = {number for number, _ in call.sent.values()}
                over = [numbers[id_] for id_ in call.done if call.kind in REMOVALS]
                if transaction.outcome == "unknown":
                    unsure.update(new, over)
                elif transaction.outcome == "committed":
                    sent |= new
                    if call.kind in ("delete", "pop"):
                        gone.update(over)
                    elif call.kind == "ack":
                        acked.update(over)
        kept = Counter(
            number
            for table, found in places.items()
            if table.startswith("q_")
            for number in found.elements()
        )
        archived = Counter(
            number
            for table, found in places.items()
            if table.startswith("a_")
            for number in found.elements()
        )
        anywhere = kept.keys() | archived.keys() | gone.keys() | acked.keys()
        unsure |= {number for number in anywhere if number < 0}  # a schedule may have sent it
        for number in sorted(sent | unsure | anywhere):
            count = kept[number] + gone[number] + max(archived[number], acked[number])
            if count != (number in sent) and not (number in unsure and count <= 1):
                tables = [table for table, found in places.items() if number in found]
                yield (
                    f"message {number} ({'sent' if number in sent else 'not sent'}) is in {tables},"
                    f" taken {gone[number]} times, acknowledged {acked[number]} times"
                )

    def sent_twice(self) -> Iterator[str]:
        """A key is new once, and everybody else is told of that message."""
        new: dict[str, set[int]] = defaultdict(set)
        unsure: dict[str, set[int]] = defaultdict(set)
        for touch in self.calls():
            for key, msg_id, is_new in touch.call.keys:
                if is_new and touch.transaction.outcome == "committed":
                    new[key].add(msg_id)
                elif is_new and touch.transaction.outcome == "unknown":
                    unsure[key].add(msg_id)
        for touch in self.calls():
            for key, msg_id, is_new in touch.call.keys:
                own = {id_ for other, id_, _ in touch.call.keys if other == key}
                if len(new[key]) > 1 or (not is_new and msg_id not in new[key] | unsure[key] | own):
                    yield f"key {key} was new for {new[key]}; {touch.call.text} returned {msg_id}"

    def leased_twice(self) -> Iterator[str]:
        """A lease ends before the next one begins, unless a call has changed its end."""
        for msg_id, touches in self.by_message().items():
            leases = [
                (message, touch)
                for touch in touches
                for message in touch.call.messages
                if message.msg_id == msg_id and touch.transaction.outcome == "committed"
            ]
            leases = [(m, t) for m, t in leases if t.call.kind not in ("get", "pop")]
            leases.sort(key=lambda lease: lease[0].read_ct)
            for (one, first), (two, second) in itertools.pairwise(leases):
                if one.read_ct == two.read_ct:
                    yield f"receipt {one.read_ct} was given twice{self.story(msg_id, touches)}"
                if two.since < one.until and not any(
                    touch.call.kind in ("nack", "extend", "set_vt")
                    and touch.transaction.may_count
                    and touch.call.made <= second.call.returned
                    and touch.call.returned >= first.call.made
                    for touch in touches
                ):
                    yield f"leased twice at {two.since:.3f}{self.story(msg_id, touches)}"

    def too_fast(self) -> Iterator[str]:
        """In no time more is handed out than a burst, and what the rate allows within that time.

        The messages of a call that lies within it were handed out within it, also if the call was
        rolled back. So there is no tolerance.
        """
        if self.rate is None:
            return
        rate, burst = self.rate
        touches = [t for t in self.calls("read", "pop", "grouped") if t.call.messages]
        touches.sort(key=lambda touch: touch.call.returned)
        for place, first in enumerate(touches):
            since = first.call.made
            # A call that was made later may have returned earlier.
            within = [t.call for t in touches[max(0, place - 50) :] if t.call.made >= since]
            counts = itertools.accumulate(len(call.messages) for call in within)
            for call, count in zip(within, counts, strict=True):
                if count > burst + rate * (call.returned - since):
                    yield (
                        f"{count} messages were handed out from {since:.3f} to {call.returned:.3f};"
                        f" first and last by {first.call.text} and {call.text}"
                    )
                    break

    def wrongly_refused(self, left: set[int]) -> Iterator[str]:
        """What is there can be looked up and deleted, and acknowledged with a fresh lease."""
        for msg_id, touches in self.by_message().items():
            for touch in touches:
                call = touch.call
                if msg_id not in call.asked or msg_id in call.done or call.failed:
                    continue
                if self._hazy(touch):
                    continue
                others = (t for t in touches if t.call is not call and t.call.made <= call.returned)
                if call.kind in ("delete", "archive", "get", "set_vt", "move"):
                    found = self._sent(msg_id, touches, touch) and (
                        msg_id in left or self._removed(msg_id, touches)
                    )
                    disturbed = any(
                        t.call.kind in REMOVALS
                        and (t.transaction.may_count or t.transaction is touch.transaction)
                        for t in others
                    )
                else:
                    lease = self._leased(msg_id, touches, touch)
                    found = lease is not None
                    disturbed = any(
                        lease is not None
                        and t.call.kind != "get"
                        and t.call is not lease
                        and not t.call.sent
                        and t.transaction.ended >= lease.returned
                        for t in others
                    )
                if found and not disturbed:
                    yield f"{call.text} did not find {msg_id}{self.story(msg_id, touches)}"

    def _hazy(self, touch: Touch) -> bool:
        return touch.transaction.isolation != "READ COMMITTED" and "old snapshots" in KNOWN

    def _sent(self, msg_id: int, touches: list[Touch], asking: Touch) -> bool:
        """Say whether its sender had committed when somebody asked for it."""
        for touch in touches:
            if msg_id in touch.call.sent and touch.transaction.outcome == "committed":
                sees = asking.call.made
                if asking.transaction.isolation != "READ COMMITTED":
                    sees = asking.transaction.began
                return touch.transaction.ended < sees
        return False

    def _removed(self, msg_id: int, touches: list[Touch]) -> bool:
        return any(
            touch.call.kind in REMOVALS
            and msg_id in touch.call.done
            and touch.transaction.outcome == "committed"
            for touch in touches
        )

    def _leased(self, msg_id: int, touches: list[Touch], asking: Touch) -> Call | None:
        """Return the call that gave the lease somebody shows, if that cannot have run out."""
        lease = (msg_id, asking.call.receipts.get(msg_id))
        for touch in touches:
            if touch.transaction is not asking.transaction and (
                touch.transaction.outcome != "committed"
                or touch.transaction.ended >= asking.transaction.began
            ):
                continue
            for message in touch.call.messages:
                if (message.msg_id, message.read_ct) == lease:
                    return touch.call if message.until > asking.call.returned else None
        return None

    def passed_over_in_group(self, left: set[int]) -> Iterator[str]:
        """No message is handed out while an earlier one of its group is not done."""
        touches = self.by_message()
        groups: dict[str, list[int]] = defaultdict(list)
        group_of: dict[int, tuple[int, str]] = {}
        for touch in self.calls():
            group_of |= touch.call.sent
        for msg_id, (_, group) in sorted(group_of.items()):
            groups[group].append(msg_id)
        for touch in self.calls("grouped"):
            call = touch.call
            together = [message.msg_id for message in call.messages]
            if touch.transaction.outcome != "committed" or self._hazy(touch):
                continue
            for msg_id in together:
                if msg_id not in group_of:
                    break  # redriven: nobody was told its msg_id
                for earlier in groups[group_of[msg_id][1]]:
                    if earlier >= msg_id:
                        break
                    if earlier in together:
                        if together.index(earlier) > together.index(msg_id):
                            yield f"{call.text} returned {msg_id} before {earlier}"
                        continue
                    if not self._sent(earlier, touches[earlier], touch) or any(
                        earlier in done.call.done
                        and done.call.kind in REMOVALS
                        and done.transaction.may_count
                        and (
                            done.transaction.ending <= call.returned
                            or done.transaction is touch.transaction
                        )
                        for done in touches[earlier]
                    ):
                        continue
                    if earlier not in left and not self._removed(earlier, touches[earlier]):
                        continue  # a dead letter
                    yield (
                        f"{touch.transaction.isolation}: {call.text} gave {msg_id} of {together}"
                        f" at {call.returned:.3f}, passing over"
                        f" {earlier} of its group{self.story(earlier, touches[earlier])}"
                    )

    def passed_over(self) -> Iterator[str]:
        """What is free comes in the order of msg_id, whatever others hold.

        A reader that looks while another changes a message may lock the message as it is now, find
        that it does not suit, and not return it: Postgres then keeps it locked until the reader's
        transaction ends, and nobody is told.
        """
        touches = self.by_message()
        free = {msg_id: list(self._free(msg_id, some)) for msg_id, some in touches.items()}
        numbers: dict[int, int] = {}
        for touch in self.calls():
            numbers |= {id_: number for id_, (number, _) in touch.call.sent.items()}
        blind = [
            (touch.call.made, touch.transaction.ended)
            for touch in self.calls()
            if touch.call.failed
        ]
        for touch in self.calls("read", "pop"):
            call = touch.call
            if touch.transaction.isolation != "READ COMMITTED" or call.failed:
                continue
            if any(since < call.returned and until > call.made for since, until in blind):
                continue
            found = [message.msg_id for message in call.messages]
            if found != sorted(found):
                yield f"{call.text} returned {found}"
            last = max(found, default=0)
            for msg_id, intervals in free.items():
                if (
                    (msg_id < last or len(found) < call.quantity)
                    and msg_id not in found
                    and (not call.odd or numbers.get(msg_id, 0) % 2 == 1)
                    and any(
                        since < call.made and until > call.returned for since, until in intervals
                    )
                    and not self._may_be_held(touches[msg_id], touch)
                ):
                    yield (
                        f"{call.text} returned {found} at {call.returned:.3f}, passing over"
                        f" {msg_id}{self.story(msg_id, touches[msg_id])}"
                    )

    def _may_be_held(self, touches: list[Touch], asking: Touch) -> bool:
        """Say whether a reader that is still open looked while somebody changed the message."""
        return any(
            reader.transaction not in (asking.transaction, change.transaction)
            and reader.call.made <= asking.call.returned
            and reader.transaction.ended >= asking.call.made
            and change.transaction.ending <= reader.call.returned
            and change.transaction.ended >= reader.call.made
            for reader in self.calls("read", "pop")
            for change in touches
        )

    def _free(self, msg_id: int, touches: Iterable[Touch]) -> Iterator[tuple[float, float]]:
        """Say when a message was visible, and nobody about to do anything with it."""
        since: float | None = None
        together: list[Touch] = []
        until = 0.0
        for touch in [t for t in touches if t.call.kind != "get"]:
            if together and touch.call.made > until:
                since = self._free_since(msg_id, since, together)
                if since is not None:
                    yield since, touch.call.made
                together = []
            elif not together and since is not None:
                yield since, touch.call.made
            together.append(touch)
            until = max(until, touch.transaction.ended)
        since = self._free_since(msg_id, since, together)
        if since is not None:
            yield since, float("inf")

    def _free_since(self, msg_id: int, since: float | None, together: list[Touch]) -> float | None:
        """Say since when it is visible after these calls, whose transactions overlapped."""
        if not together:
            return since
        ended = max(touch.transaction.ended for touch in together)
        if all(touch.transaction.outcome == "rolled back" for touch in together):
            return since and ended
        if len(together) > 1 or together[0].transaction.outcome != "committed":
            return None
        call = together[0].call
        sure = call.frees and (msg_id in call.sent or msg_id in call.done or call.kind == "read")
        return ended if sure else None
