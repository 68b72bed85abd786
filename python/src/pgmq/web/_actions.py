"""What can be done: each as a form, a question before it, and an account of it afterwards."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.responses import RedirectResponse

from pgmq import _statements as statements
from pgmq._wire import JSONText
from pgmq.web import _looks as looks
from pgmq.web._console import page
from pgmq.web._messages import json_text, wanted, whole
from pgmq.web._security import RefusedError, session_of
from pgmq.web._sweep import Sweep

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from pgmq.web._console import Console
    from pgmq.web._database import Database

    Do = Callable[[Database, "Form"], Awaitable[str]]
    Each = Callable[[Database, "Form"], Awaitable[int]]

MOST = 1000  # selected messages at a time


class Form(dict[str, str]):
    """What a form says; what is left empty is None."""

    def text(self, name: str) -> str | None:
        return self.get(name, "").strip() or None

    def needed(self, name: str) -> str:
        found = self.text(name)
        if found is None:
            raise RefusedError(400, f"{name.replace('_', ' ')} is missing")
        return found

    def number(self, name: str) -> int | None:
        return whole(self.text(name))

    def rate(self) -> float | None:
        try:
            rate = float(text) if (text := self.text("rate")) else None
        except ValueError as error:
            raise RefusedError(400, "the rate is not a number") from error
        if rate is not None and not 0 < rate < math.inf:
            raise RefusedError(400, "the rate is not more than 0")
        return rate

    @property
    def queue(self) -> str:
        return self.needed("queue")

    @property
    def leases(self) -> list[tuple[int, int]]:
        """The selected messages: the msg_id, and the read_ct that the page has shown."""
        pairs = [each.partition(":") for each in self.get("ids", "").split()]
        if not pairs:
            raise RefusedError(400, "no message is selected")
        if len(pairs) > MOST:
            raise RefusedError(400, f"more than {MOST} messages are selected")
        return [(whole(msg_id) or 0, whole(read_ct) or 0) for msg_id, _, read_ct in pairs]

    @property
    def ids(self) -> list[int]:
        return [msg_id for msg_id, _ in self.leases]


@dataclass(frozen=True, slots=True)
class Action:
    """What a button does. Without a question it is done at once."""

    do: Do
    verb: str
    question: Callable[[Form], str] | None
    back: str  # the page to show afterwards
    of_messages: OfMessages | None = None


@dataclass(frozen=True, slots=True)
class OfMessages:
    """What is done with messages that are selected, or with all that a filter finds."""

    each: Each  # do it with the messages that a form names, and say with how many it was done
    question: Callable[[Form, str], str]  # about messages, in words
    done: Callable[[Form], str]  # what was done with them, in words


ACTIONS: dict[str, Action] = {}


def action(
    verb: str, back: str, question: Callable[[Form], str] | None = None
) -> Callable[[Do], Do]:
    def register(do: Do) -> Do:
        ACTIONS[do.__name__] = Action(do, verb, question, back)
        return do

    return register


def of_messages(
    verb: str,
    question: Callable[[Form, str], str],
    done: Callable[[Form], str],
    *,
    asks: bool = True,
) -> Callable[[Each], Each]:
    """Register what is done with messages; those that are selected may come without a question."""

    def register(each: Each) -> Each:
        async def do(database: Database, form: Form) -> str:
            return _account(await each(database, form), form, done(form))

        ask = functools.partial(_about_selected, question) if asks else None
        what = OfMessages(each, question, done)
        ACTIONS[each.__name__] = Action(do, verb, ask, "/messages", what)
        return each

    return register


def _about_selected(question: Callable[[Form, str], str], form: Form) -> str:
    return question(form, f"{_count(len(form.ids))} of {form.queue}")


@page("/act", "POST")
async def act(console: Console, request: Request) -> Response:
    form = Form(request.state.form)
    found = ACTIONS.get(form.get("action", ""))
    if found is None:
        raise RefusedError(400, "there is no such action")
    if console.read_only:
        raise RefusedError(403, "this console only looks")
    if found.of_messages and "every" in form:
        return await _with_all(console, request, form, found.of_messages)
    if found.question and "sure" not in form:
        return _ask(console, request, form, found.question(form))
    if form["action"] == "seek" and "sure" not in form:
        return await _preview(console, request, form)
    async with console.database(write=True) as database:
        account = await found.do(database, form)
    entry = console.note(session_of(request).user, account)
    target = console.link(request, found.back, done=entry.number, **_place(form))
    return RedirectResponse(target, 303)


async def _with_all(console: Console, request: Request, form: Form, of: OfMessages) -> Response:
    """Ask about all messages that a filter finds, and then begin with them."""
    archive = "archive" in form
    looked = wanted(form)
    async with console.database() as database:
        known = await console.known(database, form.queue)
        if "sure" not in form:
            count = await database.run(looks.count(known, looked, archive=archive))
            form.pop("ids", None)
            which = f"{count} of {form.queue} that the filter finds"
            return _ask(console, request, form, of.question(form, which))
        last = await database.run(looks.last(known, archive=archive))
    console.begin(
        Sweep(
            session_of(request).user, form.queue, archive, of.done(form), looked, last,
            form.rate(), functools.partial(_with_each, of.each, form),
        )
    )  # fmt: skip
    return RedirectResponse(console.link(request, "/done"), 303)


async def _with_each(
    each: Each, form: Form, database: Database, found: list[tuple[int, int]]
) -> int:
    ids = " ".join(f"{msg_id}:{read_ct}" for msg_id, read_ct in found)
    return await each(database, Form(form | {"ids": ids}))


@page("/stop", "POST")
async def stop(console: Console, request: Request) -> Response:
    await console.end(Form(request.state.form).number("number") or 0)
    return RedirectResponse(console.link(request, "/done"), 303)


def _ask(console: Console, request: Request, form: Form, question: str) -> Response:
    """Show what is to be done, with the same form once more."""
    of = ACTIONS[form["action"]]
    fields = [(name, value) for name, value in form.items() if name not in {"csrf", "ids"}]
    fields += [("ids", each) for each in form.get("ids", "").split()]
    back = console.link(request, of.back, **_place(form))
    return console.render(
        request, "confirm.html", question=question, verb=of.verb, fields=fields, back=back
    )


async def _preview(console: Console, request: Request, form: Form) -> Response:
    """Seek, look how many messages that is, and take it back."""
    group, start = form.needed("group"), form.needed("start")

    async def lag(database: Database) -> int:
        found = await database.list_groups(form.queue)
        return next((each.lag for each in found if each.group_name == group), 0)

    async with console.database(write=True, undo=True) as database:
        before = await lag(database)
        first = await database.seek(form.queue, group, start)
        after = await lag(database)
    question = (
        f"Have group {group} of {form.queue} go on from message {first}? It would have"
        f" {_count(after)} to read, instead of {_count(before)}. All its leases end."
    )
    return _ask(console, request, form, question)


def _place(form: Form) -> dict[str, Any]:
    """Say which page of a kind to go back to."""
    return {name: form.get(name) for name in ("queue", "archive")}


def _count(number: int, what: str = "message") -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _account(done: int, form: Form, what: str) -> str:
    """Say what became of a selection."""
    rest = len(form.ids) - done
    gone = f" {_count(rest)} of the selection {_was(rest)} not there any more." if rest else ""
    return f"{_count(done)} of {form.queue} {_was(done)} {what}.{gone}"


def _was(number: int) -> str:
    return "was" if number == 1 else "were"


# Messages


@action("Send", "/messages")
async def send(database: Database, form: Form) -> str:
    message = json_text(form.needed("message")) or ""
    headers = json_text(form.text("headers"))
    msg_id = await database.send(
        form.queue, JSONText(message), JSONText(headers) if headers else None, form.number("delay")
    )
    return f"Message {msg_id} was sent to {form.queue}."


@of_messages(
    "Delay",
    lambda form, which: f"Make {which} visible in {form.number('delay') or 0} s?",
    lambda form: f"made visible in {s} s" if (s := form.number("delay")) else "made visible",
    asks=False,
)
async def postpone(database: Database, form: Form) -> int:
    seconds = form.number("delay") or 0
    done = await database.run(statements.postpone(form.queue, form.ids, seconds))
    return len(done)


@of_messages(
    "Give back",
    lambda _, which: f"Give back {which} as failed? Whoever has leased them loses them.",
    lambda _: "given back",
)
async def nack(database: Database, form: Form) -> int:
    msg_ids, read_cts = zip(*form.leases, strict=True)
    seconds, error = form.number("delay") or 0, form.text("error")
    return len(await database.nack_batch(form.queue, msg_ids, read_cts, seconds, error))


@of_messages("Archive", lambda _, which: f"Archive {which}?", lambda _: "archived")
async def archive(database: Database, form: Form) -> int:
    return len(await database.archive_batch(form.queue, form.ids))


@of_messages("Delete", lambda _, which: f"Delete {which} for good?", lambda _: "deleted")
async def delete(database: Database, form: Form) -> int:
    return len(await database.delete_batch(form.queue, form.ids))


@of_messages(
    "Move",
    lambda form, which: f"Move {which} to {form.needed('to')}?",
    lambda form: f"moved to {form.needed('to')}",
)
async def move(database: Database, form: Form) -> int:
    to = form.needed("to")
    moved = [await database.move(form.queue, msg_id, to) for msg_id in form.ids]
    return len([each for each in moved if each is not None])


@of_messages(
    "Requeue",
    lambda _, which: f"Send {which} from the archive again?",
    lambda _: "taken out of the archive and sent again",
)
async def requeue(database: Database, form: Form) -> int:
    return await database.requeue(form.queue, form.ids, rate=form.rate())


@action(
    "Redrive", "/queue",
    lambda form: f"Put {_up_to(form)} of {form.queue} back"
    f" to {form.text('to') or 'where they came from'}?",
)  # fmt: skip
async def redrive(database: Database, form: Form) -> str:
    done = await database.redrive(form.queue, form.text("to"), form.number("qty"), rate=form.rate())
    return f"{_count(done)} of {form.queue} {_was(done)} put back."


@action(
    "Delete all", "/queue",
    lambda form: f"Delete all messages of {form.queue} for good, leased ones included?",
)  # fmt: skip
async def purge(database: Database, form: Form) -> str:
    return f"{_count(await database.purge(form.queue))} of {form.queue} were deleted."


def _up_to(form: Form) -> str:
    most = form.number("qty")
    return "all messages" if most is None else f"up to {_count(most)}"


# Queues


@action("Pause", "/queue", lambda form: f"Pause {' and '.join(_paused(form))} of {form.queue}?")
async def pause(database: Database, form: Form) -> str:
    what = _paused(form)
    await database.pause(form.queue, "reads" in what, "sends" in what)
    return f"{' and '.join(what).capitalize()} of {form.queue} are paused."


@action("Resume", "/queue")
async def resume(database: Database, form: Form) -> str:
    was = await database.resume(form.queue)
    return f"{form.queue} goes on." if was else f"{form.queue} was not paused."


def _paused(form: Form) -> list[str]:
    return [what for what in ("reads", "sends") if what in form] or ["reads"]


@action("Change", "/queue", lambda form: f"Change the policy of {form.queue}? {_changes(form)}")
async def policy(database: Database, form: Form) -> str:
    changed, cleared = _options(form)
    if not (changed or cleared):
        return f"The policy of {form.queue} is as it was."
    await database.alter_policy(form.queue, **changed, clear=cleared)
    return f"The policy of {form.queue} was changed. {_changes(form)}"


OPTIONS: dict[str, Callable[[str], Any]] = {
    "max_receives": whole,
    "dead_letter_queue": str,
    "retry_delay": str,
    "retry_delay_max": str,
    "retry_jitter": float,
    "message_ttl": str,
    "archive_retention": str,
    "dedup_window": str,
    "dedup_scope": str,
    "max_in_flight": whole,
    "max_in_flight_per_group": whole,
    "rate_limit": whole,
    "rate_interval": str,
    "rate_burst": whole,
    "ack_archives": "true".__eq__,
    "priorities": "true".__eq__,
    "priority_ageing": str,
}


def _options(form: Form) -> tuple[dict[str, Any], list[str]]:
    """Give the options that differ from what the form was filled with, and those to switch off."""
    changed: dict[str, Any] = {}
    cleared = []
    for name, convert in OPTIONS.items():
        new = form.text(name)
        if name not in form or new == form.text(f"was_{name}"):
            continue
        if new is None:
            cleared.append(name)
            continue
        try:
            changed[name] = convert(new)
        except ValueError as error:
            raise RefusedError(400, f'"{new[:40]}" is no {name}') from error
    return changed, cleared


def _changes(form: Form) -> str:
    changed, cleared = _options(form)
    said = [f"{name} is {form.text(name)}" for name in changed]
    said += [f"{name} is off" for name in cleared]
    return f"{', '.join(said)}." if said else "Nothing differs."


# Streams and schedules


@action("Seek", "/queue")
async def seek(database: Database, form: Form) -> str:
    group, start = form.needed("group"), form.needed("start")
    first = await database.seek(form.queue, group, start)
    return f"Group {group} of {form.queue} goes on from message {first}."


@action(
    "Run now",
    "/schedules",
    lambda form: f"Send the message of schedule {form.needed('schedule')} now?",
)
async def run_schedule(database: Database, form: Form) -> str:
    name = form.needed("schedule")
    return f"Schedule {name} has sent message {await database.run_schedule(name)}."


@action("Pause", "/schedules")
async def pause_schedule(database: Database, form: Form) -> str:
    name = form.needed("schedule")
    await database.pause_schedule(name)
    return f"Schedule {name} is paused."


@action("Resume", "/schedules")
async def resume_schedule(database: Database, form: Form) -> str:
    name = form.needed("schedule")
    was = await database.resume_schedule(name)
    return f"Schedule {name} goes on." if was else f"Schedule {name} was not paused."


@action("End", "/schedules", lambda form: f"End schedule {form.needed('schedule')} for good?")
async def unschedule(database: Database, form: Form) -> str:
    name = form.needed("schedule")
    there = await database.unschedule(name)
    return f"Schedule {name} was {'ended' if there else 'not there any more'}."
