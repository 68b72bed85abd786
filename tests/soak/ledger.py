"""What the clients know to be committed, and what must be true of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from model.history import History
from soak.actors import FAILED, GROUPS, OLD, QUEUES, STREAMS, Queue
from soak.client import Deed, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from model.history import Touch

ARCHIVED_BY_ACK = {"work"}
Key = tuple[str, int]  # of a stream: a key, and a number
Places = dict[str, dict[int, int]]  # by table: the number of each msg_id


class Ledger:
    """The deeds since the last check, and how many of each message there were at that."""

    def __init__(self) -> None:
        self.deeds: dict[tuple[int, int], Deed] = {}
        self.kept: Counter[int] = Counter()
        self.were: dict[int, str] = {}  # where, then
        self.totals: Counter[str] = Counter()

    def note(self, said: Deed | Verdict) -> None:
        if isinstance(said, Deed):
            self.deeds[said.name] = said
        else:
            deed = self.deeds[said.name]
            deed.ended = said.ended
            deed.outcome = "committed" if said.committed else "rolled back"

    @property
    def messages(self) -> int:
        return self.totals["messages sent to queues"] + self.totals["messages sent to streams"]

    def of(self, *queues: str) -> list[Deed]:
        return [d for d in self.deeds.values() if d.queue in queues and d.may_count]

    def check(
        self, places: Places, dead: Counter[Key], *, crashed: bool, upgraded: bool
    ) -> Iterator[str]:
        """Say what is wrong; crashed says that what is unlogged may be gone."""
        self._count()
        yield from self._lost_or_twice(places, crashed)
        for name, queue in {**OLD, **QUEUES}.items():
            history = History([*self.of(name)])
            left = set(places.get(f"q_{name}", {}))
            found: list[Iterable[str]] = [history.leased_twice(), history.sent_twice()]
            found.append(_without_lease(history))
            if not upgraded:
                found.append(history.wrongly_refused(left))
                if queue.in_order:
                    found.append(history.passed_over_in_group(left))
                found += [_over_cap(history, queue), _over_rate(history, queue)]
            for some in found:
                yield from (f"queue {name}: {text}" for text in some)
        yield from (
            f"{key} is a dead letter {count} times" for key, count in dead.items() if count > 1
        )
        for name in STREAMS:
            yield from _out_of_order(name, self.of(name), dead)

    def _count(self) -> None:
        for deed in self.deeds.values():
            self.totals[f"transactions {deed.outcome}"] += 1
            where = "streams" if deed.queue in STREAMS else "queues"
            self.totals[f"messages sent to {where}"] += len(deed.numbers) * deed.copies
            for call in deed.calls:
                self.totals["messages received from queues"] += len(call.messages)
                if call.kind == "fetch":
                    self.totals["messages fetched from streams"] += len(call.sent)
                elif call.kind != "commit":
                    self.totals[f"messages sent to {where}"] += len(call.sent)

    def _lost_or_twice(self, places: Places, crashed: bool) -> Iterator[str]:
        """Each message that was sent is in as many places as it should be."""
        least, most = Counter(self.kept), Counter(self.kept)
        numbers: dict[tuple[str, int], int] = {}
        for deed in self.deeds.values():
            for call in deed.calls:
                numbers |= {(deed.queue, id_): n for id_, (n, _) in call.sent.items()}
                numbers |= {(deed.queue, m.msg_id): m.number for m in call.messages}
        fleeting = {number for number, table in self.were.items() if table == "q_fleeting"}
        for deed in self.deeds.values():
            if not deed.may_count or deed.queue in STREAMS:
                continue
            sure = deed.outcome == "committed"
            sent = Counter(dict.fromkeys(deed.numbers, deed.copies))
            sent.update(n for call in deed.calls for n, _ in call.sent.values())
            most.update(sent)
            least.update(sent if sure else {})
            queue = QUEUES.get(deed.queue) or OLD.get(deed.queue)
            fleeting.update(sent if queue and queue.emptied_by_crash else ())
            for call in deed.calls:
                over = [numbers[deed.queue, msg_id] for msg_id in call.done]
                if call.kind in ("ack", "delete", "pop"):
                    least.subtract(over)
                    archives = call.kind == "ack" and deed.queue in ARCHIVED_BY_ACK
                    if sure and not call.failed and not archives:
                        most.subtract(over)
                elif call.kind == "archive" and queue and queue.forgets_archive:
                    least.subtract(over)
                if sure and not call.failed and call.kind in ("ack", "delete", "pop", "archive"):
                    back = places.get(f"q_{deed.queue}", {}).keys() & set(call.done)
                    for msg_id in back:
                        yield f"{call.text} removed {msg_id} of {deed.queue}, which is still there"
        found: Counter[int] = Counter()
        for table, messages in places.items():
            if table != f"q_{FAILED}" and table != f"a_{FAILED}":
                found.update(messages.values())
        for number in sorted(least.keys() | most.keys() | found.keys()):
            lower = 0 if crashed and number in fleeting else least[number]
            if not max(lower, 0) <= found[number] <= most[number]:
                tables = [t for t, messages in places.items() if number in messages.values()]
                yield (
                    f"message {number}: {found[number]} times in {tables}, expected"
                    f" {least[number]} to {most[number]}{self._story(number, numbers)}"
                )

    def _story(self, number: int, numbers: dict[tuple[str, int], int]) -> str:
        ids = {place for place, other in numbers.items() if other == number}
        stories = f"\n  was in {self.were[number]}" if number in self.were else ""
        stories += "".join(
            f"\n  published by {deed.session}, {deed.outcome}, {deed.ending:.3f}"
            for deed in self.deeds.values()
            if number in deed.numbers
        )
        for queue, msg_id in sorted(ids):
            history = History([*self.of(queue)])
            stories += f"\n  of {queue or 'several'}:" + history.story(
                msg_id, history.by_message().get(msg_id, [])
            )
        return stories

    def settle(self, places: Places) -> None:
        """Begin anew, with what is in the queues."""
        left = [
            (number, table)
            for table, messages in places.items()
            if table.startswith("q_") and table != f"q_{FAILED}"
            for number in messages.values()
        ]
        self.were = dict(left)
        self.kept = Counter(number for number, _ in left)
        self.deeds.clear()


def _leases(history: History) -> Iterator[tuple[float, float, str]]:
    """When each lease began, when it surely had not ended yet, and its group."""
    groups: dict[int, str] = {}
    for touch in history.calls():
        groups |= {msg_id: group for msg_id, (_, group) in touch.call.sent.items()}
    for msg_id, touches in history.by_message().items():
        for touch in touches:
            if touch.transaction.outcome != "committed" or touch.call.kind in ("get", "pop"):
                continue
            for message in touch.call.messages:
                if message.msg_id == msg_id:
                    ends = [
                        other.call.made
                        for other in touches
                        if msg_id in other.call.asked or msg_id in other.call.done
                        if other.call.made >= touch.call.made and other.call is not touch.call
                    ]
                    yield message.since, min([message.until, *ends]), groups.get(msg_id, "?")


def _without_lease(history: History) -> Iterator[str]:
    """Nothing is done with a lease once somebody else has the next one."""
    for msg_id, touches in history.by_message().items():
        leases = [
            (message.read_ct, touch.transaction.ended)
            for touch in touches
            if touch.transaction.outcome == "committed"
            for message in touch.call.messages
            if message.msg_id == msg_id
        ]
        for call in (touch.call for touch in touches if msg_id in touch.call.receipts):
            newer = [ct for ct, known in leases if ct > call.receipts[msg_id] and known < call.made]
            if newer and msg_id in call.done:
                yield f"{call.text} with an old lease{history.story(msg_id, touches)}"


def _over_cap(history: History, queue: Queue) -> Iterator[str]:
    """No more messages are leased at a time than the queue's policy has ever allowed."""
    for cap, by_group in ((queue.cap, False), (queue.cap_of_group, True)):
        if not cap:
            continue
        changes: dict[str, list[tuple[float, int]]] = defaultdict(list)
        for since, until, group in _leases(history):
            if until > since and not (by_group and group == "?"):
                changes[group if by_group else ""] += [(since, 1), (until, -1)]
        for group, some in changes.items():
            leased = 0
            for at, change in sorted(some):
                leased += change
                if leased > cap:
                    yield f"{leased} messages of {group or 'all groups'} leased at {at:.3f}"
                    break


def _over_rate(history: History, queue: Queue) -> Iterator[str]:
    """What lies within a stretch of time as a whole was let through within it."""
    if not queue.rate:
        return
    calls = [
        touch.call
        for touch in history.calls("read")
        if touch.transaction.outcome == "committed" and touch.call.messages
    ]
    calls.sort(key=lambda call: call.returned)
    for first in calls:
        let_through = 0
        for call in calls:
            if call.made < first.made:
                continue
            let_through += len(call.messages)
            allowed = queue.burst + queue.rate * (call.returned - first.made)
            if let_through > allowed + 1:
                yield f"{let_through} messages from {first.made:.3f} to {call.returned:.3f}"
                return


def _out_of_order(name: str, deeds: list[Deed], dead: Counter[Key]) -> Iterator[str]:
    """Every group has got each key in order, no batch twice, and nothing was left out.

    dead has what became a dead letter of a group: that is taken care of, whenever it was.
    """
    sent: dict[str, dict[int, bool]] = defaultdict(dict)  # of each key, whether it is sure
    for touch in History([*deeds]).calls("append"):
        for i, key in touch.call.sent.values():
            sent[key][i] = touch.transaction.outcome == "committed"
    touches: dict[str, list[Touch]] = {group: [] for group in GROUPS[name]}
    for touch in History([*deeds]).calls("fetch", "commit"):
        touches[touch.call.text].append(touch)
    for group, some in touches.items():
        tried: dict[Key, float] = dict.fromkeys(dead, 0.0) if group == "failing" else {}
        known: dict[Key, float] = {}
        for touch in some:
            if touch.call.kind == "commit":
                for i, key in touch.call.sent.values():
                    tried[key, i] = min(touch.call.made, tried.get((key, i), touch.call.made))
                    if touch.transaction.outcome == "committed":
                        known[key, i] = touch.transaction.ended
        for touch in some:
            if touch.call.kind == "fetch" and touch.transaction.outcome == "committed":
                wrong = _wrong_batch(touch, sent, tried, known)
                yield from (f"{name}, {group}: {text}" for text in wrong)
        for key, numbers in sent.items():
            left = [i for i, sure in numbers.items() if sure and (key, i) not in tried]
            if left:
                yield f"{name}, {group}: {left[:5]} of {key} never came"


def _wrong_batch(
    touch: Touch, sent: dict[str, dict[int, bool]], tried: dict[Key, float], known: dict[Key, float]
) -> Iterator[str]:
    """A batch goes on where a commit has ended that somebody had at least asked for by then."""
    batch: dict[str, list[int]] = defaultdict(list)
    for msg_id in touch.call.sent:  # as they came
        i, key = touch.call.sent[msg_id]
        batch[key].append(i)
        if known.get((key, i), touch.call.made) < touch.call.made:
            yield f"{i} of {key} again after its commit"
    for key, numbers in batch.items():
        if key not in sent:
            continue
        if numbers != sorted(set(numbers)):
            yield f"{numbers} of {key}"
        for i in sent[key]:
            came = tried.get((key, i), float("inf")) <= touch.call.returned
            if i < numbers[-1] and i not in numbers and not came:
                yield f"{numbers} of {key} before {i}"
                break
