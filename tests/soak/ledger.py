"""What the clients know to be committed, and what must be true of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from model.history import History
from soak.actors import FAILED, GROUPS, OLD, QUEUES, STREAMS, Queue
from soak.client import Deed, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from model.history import Seen, Touch

ARCHIVED_BY_ACK = {"work"}
Key = tuple[str, int]  # of a stream: a key, and a number
Sent = dict[str, dict[int, tuple[int, bool]]]  # of each key: msg_id, and whether it is sure
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
            is_emptied = crashed and queue.emptied_by_crash
            if not is_emptied:
                found.append(_wrongly_amended(history))
            if not (upgraded or is_emptied):
                found.append(history.wrongly_refused(left))
            if not upgraded:
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
                if call.kind == "amend":
                    self.totals["messages amended"] += len(call.done)
                    self.totals["messages not amended, as somebody had them"] += not call.done
                elif call.kind == "seek":
                    self.totals["seeks of groups"] += 1
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
                if call.kind not in ("ack", "delete", "pop", "archive"):
                    continue
                over = [numbers[deed.queue, msg_id] for msg_id in call.done]
                if call.kind != "archive":
                    least.subtract(over)
                    archives = call.kind == "ack" and deed.queue in ARCHIVED_BY_ACK
                    if sure and not call.failed and not archives:
                        most.subtract(over)
                elif queue and queue.forgets_archive:
                    least.subtract(over)
                if sure and not call.failed:
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
                    until = _until(message, touch, touches)
                    yield message.since, until, groups.get(msg_id, "?")


def _until(lease: Seen, touch: Touch, touches: list[Touch]) -> float:
    """Return the earliest time at which a lease may have ended."""
    msg_id = lease.msg_id
    ends = [
        other.call.made
        for other in touches
        if (msg_id in other.call.asked or msg_id in other.call.done) and other.call.kind != "amend"
        if other.call.made >= touch.call.made and other.call is not touch.call
    ]
    return min([lease.until, *ends])


def _wrongly_amended(history: History) -> Iterator[str]:
    """What is leased is not amended, and what was amended is read so.

    Whoever amends or reads a message has its row until the transaction ends: the calls that did so
    are in the order in which they returned.
    """
    for msg_id, touches in history.by_message().items():
        amends = [t for t in touches if t.call.kind == "amend" and msg_id in t.call.done]
        versions = [touch for touch in amends if touch.call.version]
        reads = [
            (message, touch)
            for touch in touches
            if touch.call.kind != "get" and amends
            for message in touch.call.messages
            if message.msg_id == msg_id
        ]
        for message, touch in reads:
            asked = [t.call for t in amends if t.transaction.outcome == "committed"]
            until = _until(message, touch, touches) if touch.call.kind != "pop" else 0.0
            if touch.transaction.outcome == "committed" and any(
                touch.call.returned < call.made and call.returned < until for call in asked
            ):
                yield f"amended while leased{history.story(msg_id, touches)}"
            before = [t for t in versions if t.call.returned < touch.call.returned]
            possible, sure = _latest(before)
            if sure and message.version not in [t.call.version for t in possible]:
                yield f"version {message.version} was read{history.story(msg_id, touches)}"


def _latest(touches: list[Touch]) -> tuple[list[Touch], bool]:
    """Return which of them may be the last to have committed, and whether one surely has."""
    possible: list[Touch] = []
    for touch in sorted(touches, key=lambda touch: touch.call.returned, reverse=True):
        possible.append(touch)
        if touch.transaction.outcome == "committed":
            return possible, True
    return possible, False


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
    history = History([*deeds])
    sent: Sent = defaultdict(dict)
    for touch in history.calls("append"):
        for msg_id, (i, key) in touch.call.sent.items():
            sent[key][i] = (msg_id, touch.transaction.outcome == "committed")
    for group in GROUPS[name]:
        reading = _Reading(
            sent,
            [touch for touch in history.calls() if touch.call.text == group],
            dead if group == "failing" else Counter(),
        )
        appends = [*history.calls("append")]
        for some in (reading.wrong_batches(), reading.missing(), reading.wrong_seeks(appends)):
            yield from (f"{name}, {group}: {text}" for text in some)


class _Reading:
    """What a group has read of a stream, and where it was sent.

    Who reads as the group, commits or seeks has a lock until the transaction ends. So these calls
    are in the order in which they returned, as far as they have to do with the same lane.
    """

    def __init__(self, sent: Sent, touches: list[Touch], dead: Counter[Key]) -> None:
        self.sent = sent
        self.dead = dead
        self.fetches = [t for t in touches if t.call.kind == "fetch"]
        self.seeks = [t for t in touches if t.call.kind == "seek"]
        self.commits = [t for t in touches if t.call.kind == "commit"]
        self.of_key: dict[Key, list[Touch]] = defaultdict(list)
        for touch in self.commits:
            for i, key in touch.call.sent.values():
                self.of_key[key, i].append(touch)

    def _begins(self, until: float) -> list[tuple[int, float]]:
        """Return from where, and when, the group may have begun to read what it had by then."""
        seeks, sure = _latest([t for t in self.seeks if t.call.returned < until])
        begins = [(touch.call.asked[0], touch.call.returned) for touch in seeks]
        return begins if sure else [*begins, (0, 0.0)]

    def _came(self, key: str, i: int, since: float, until: float) -> bool:
        return (key, i) in self.dead or any(
            touch.call.returned > since and touch.call.made <= until
            for touch in self.of_key[key, i]
        )

    def missing(self) -> Iterator[str]:
        """Say what never came, now that everything has been fetched."""
        end = float("inf")
        for key, numbers in self.sent.items():
            left = [
                [
                    i
                    for i, (msg_id, sure) in numbers.items()
                    if sure and msg_id >= place and not self._came(key, i, since, end)
                ]
                for place, since in self._begins(end)
            ]
            if all(left):
                yield f"{left[0][:5]} of {key} never came"

    def wrong_batches(self) -> Iterator[str]:
        for touch in self.fetches:
            if touch.transaction.outcome == "committed":
                wrong = [
                    [*self._wrong_batch(touch, place, since)]
                    for place, since in self._begins(touch.call.returned)
                ]
                if all(wrong):
                    yield from wrong[0]

    def _wrong_batch(self, touch: Touch, place: int, since: float) -> Iterator[str]:
        """A batch goes on where a commit has ended that somebody had at least asked for by then."""
        call = touch.call
        batch: dict[str, list[int]] = defaultdict(list)
        for msg_id, (i, key) in call.sent.items():  # as they came
            batch[key].append(i)
            if msg_id < place:
                yield f"{i} of {key}, {msg_id}, although it seeks {place}"
            if any(
                other.transaction.outcome == "committed"
                and other.call.returned > since
                and other.transaction.ended < call.made
                for other in self.of_key[key, i]
            ):
                yield f"{i} of {key} again after its commit"
        for key, numbers in batch.items():
            if key not in self.sent:
                continue
            if numbers != sorted(set(numbers)):
                yield f"{numbers} of {key}"
            for i, (msg_id, _) in self.sent[key].items():
                is_before = i < numbers[-1] and i not in numbers and msg_id >= place
                if is_before and not self._came(key, i, since, call.returned):
                    yield f"{numbers} of {key} before {i}"
                    break

    def wrong_seeks(self, appends: list[Touch]) -> Iterator[str]:
        """What is sent afterwards is not passed over, and leases end."""
        leased = {epoch: touch for touch in self.fetches for epoch in touch.call.asked}
        for seek in self.seeks:
            (place,), returned = seek.call.asked, seek.call.returned
            for touch in appends:
                if touch.call.made > returned and min(touch.call.sent) < place:
                    yield f"a seek to {place} passes over {min(touch.call.sent)}, sent afterwards"
            if seek.transaction.outcome != "committed":
                continue
            for commit in self.commits:
                for epoch in commit.call.done:
                    fetch = leased.get(epoch)
                    if fetch and fetch.call.returned < returned < commit.call.returned:
                        yield f"a lease from before a seek to {place} was committed after it"
