"""The page of a queue or stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgmq.web import _looks as looks
from pgmq.web import _map
from pgmq.web import _words as words
from pgmq.web._actions import OPTIONS
from pgmq.web._console import page

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from pgmq.messages import StreamLane
    from pgmq.web._console import Console


@dataclass(frozen=True, slots=True)
class _Lanes:
    """The lanes of a group, and between which msg_ids they are."""

    rows: list[StreamLane]
    low: int
    high: int

    @classmethod
    def of(cls, group: str, lanes: list[StreamLane], ends: tuple[int, int]) -> _Lanes:
        rows = [each for each in lanes if each.group_name == group]
        return cls(
            rows,
            min([ends[0], *(each.committed for each in rows)]),
            max([ends[1], *(each.leased_up_to or each.committed for each in rows)]),
        )

    def across(self, msg_ids: int) -> str:
        """Say how wide so many msg_ids are in a picture of a width of 200."""
        return f"{msg_ids * 200 / max(self.high - self.low, 1):.1f}"


@page("/queue")
async def show(console: Console, request: Request) -> Response:
    async with console.database() as database:
        known = await console.known(database, request.query_params.get("queue"))
        name = known.queue_name
        queue = console.history.queues.get(name)
        policy = await database.get_policy(name)
        bindings = [each for each in await database.list_bindings() if each.queue_name == name]
        ways = _map.ways(bindings, await database.list_topic_bindings(name))
        groups = await database.list_groups(name) if known.is_stream else []
        lanes = await database.list_lanes(name) if known.is_stream else []
        sees = queue is not None and queue.length is not None
        ends = await database.run(looks.ends(known)) if lanes and sees else (0, 0)
        schedules = await database.list_schedules(name)
        parts = await database.run(looks.parts(known.table))
        grants = await database.run(looks.grants(known.table, known.archive))
    dead = known.dead_letter_queue
    others = console.history.queues.values()
    shares = dead and any(
        each.known.dead_letter_queue == dead and each.name != name for each in others
    )
    return console.render(
        request,
        "queue.html",
        known=known,
        queue=queue,
        times=await console.times([name, dead] if dead else [name]),
        dead_letters="dead letters, of all that share their queue" if shares else "dead letters",
        policy=words.policy(policy),
        options={option: words.option(getattr(policy, option)) for option in OPTIONS},
        ways=ways,
        picture=_map.draw(
            ways[: _map.MOST], lambda queue: console.link(request, "/queue", queue=queue)
        ),
        groups=[(each, _Lanes.of(each.group_name, lanes, ends)) for each in groups],
        schedules=schedules,
        parts=parts,
        grants=grants,
        feeds=[each.name for each in others if each.known.dead_letter_queue == name],
    )
