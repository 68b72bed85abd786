"""What a worker of a group does as long as its connections do: fetch, hand out, commit, wait."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

import psycopg

from pgmq import _statements as statements
from pgmq._worker.outcome import RETURNED, failure, storable_on, undecoded, unrejected
from pgmq._worker.serving import Serving
from pgmq._worker.waking import SOON

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from pgmq._statements import Statement
    from pgmq._worker.connection import Connection
    from pgmq._worker.hooks import Reports
    from pgmq._worker.lanes import Lanes, Lease, Reader
    from pgmq._worker.outcome import Outcome
    from pgmq.messages import StreamBatch, StreamMessage

    Consumed = list[tuple[StreamMessage, Outcome]]

__all__ = ["GroupLoop"]

_LAST_TRIES = 3  # to commit where the stream is locked, when the worker is stopped


class GroupLoop(Serving):
    """Leases lanes, one for each slot, and has their messages handled in order.

    Transactional: each slot fetches, handles and commits by itself, and says what came of it.
    """

    timed = False

    def __init__(
        self,
        stream: str,
        reader: Reader,
        lanes: Lanes,
        reports: Reports,
        perform: Callable[[list[StreamMessage]], Awaitable[list[Outcome]]],
        consume: Callable[[Callable[[StreamBatch], object]], Awaitable[Consumed | None]],
        connect: Callable[[], Awaitable[Connection]],
        listen: Callable[[Connection], AbstractAsyncContextManager[Connection]],
        *,
        slots: int,
        poll_interval: float,
        reconnect_interval: float,
        transactional: bool,
    ) -> None:
        super().__init__(
            [stream], reader.vt, reports, connect, listen,
            slots=slots, poll_interval=poll_interval, reconnect_interval=reconnect_interval,
            transactional=transactional,
        )  # fmt: skip
        self._stream = stream
        self.lanes = lanes
        self._reader = reader
        self._perform = perform
        self._consume = consume
        self._looks = False  # whether a slot is fetching

    def _is_busy(self) -> bool:
        return bool(self.lanes or self.running)

    def _has_leases(self) -> bool:
        return bool(self.lanes) and not self._transactional

    def _seconds_until_due(self) -> float | None:
        return self.lanes.seconds_until_due()

    async def _step(self, connection: Connection) -> bool:
        if not self.served:
            await connection.run(self._call(statements.may_consume))
        for lease in self.lanes.over():
            await self._settle(connection, lease)
        for lease in self.lanes.due():
            await self._commit_progress(connection, lease)
        if not self._may_have_messages or self.stopping or len(self.running) >= self._slots:
            return False
        if self._transactional:
            if not self._looks:
                self._looks = True
                self._begin_to_look()
                self._begin(self._consume_and_report())
            return False
        self._begin_to_look()
        try:
            batch = await connection.run_limited(self._fetch())
        except psycopg.errors.LockNotAvailable:
            batch = None
            asyncio.get_running_loop().call_later(SOON, self._wake)
        self._take(batch)
        return self._may_have_messages

    def _call(self, call: Callable[..., Statement[Any]], *arguments: Any) -> Statement[Any]:
        return call(self._stream, self._reader.group, *arguments)

    # Fetching and handling

    def _fetch(self) -> Statement[StreamBatch | None]:
        return self._call(statements.fetch, self._reader.vt, self._reader.quantity)

    def _begin_to_look(self) -> None:
        # From here on, whoever wants another look says so again.
        self._may_have_messages, self._drained = False, True

    def _take(self, batch: StreamBatch | None) -> None:
        """Have a slot handle what was fetched."""
        if batch is None:
            self._found_empty.set()
            return
        lease = self.lanes.hold(batch)
        self._reports.read(batch.messages)
        self._begin(self._handle(lease), lease)
        self._look_again()

    def _begin(self, work: Any, lease: Lease | None = None) -> None:
        task = asyncio.create_task(work)
        self.running.add(task)
        task.add_done_callback(functools.partial(self._end_of, lease))

    def _end_of(self, lease: Lease | None, task: asyncio.Task[None]) -> None:
        self.running.discard(task)
        if lease is not None:
            lease.is_over = True
        self.something_happened.set()

    async def _handle(self, lease: Lease) -> None:
        while not self.stopping and (unit := self.lanes.next_unit(lease)):
            broken = next((outcome for each in unit if (outcome := undecoded(each))), None)
            try:
                outcomes = [broken] * len(unit) if broken else await self._perform(unit)
            except asyncio.CancelledError:
                outcomes = [RETURNED] * len(unit)
            except BaseException as error:  # noqa: BLE001, that of a thread
                outcomes = [failure(error)] * len(unit)
            if lease.seconds_until_commit() is None:
                self.something_happened.set()  # which now reckons with a commit
            self.lanes.note(lease, unit, outcomes)
            for message, outcome in zip(unit, outcomes, strict=True):
                self._reports.outcome(message, outcome)

    # Committing

    async def _settle(self, connection: Connection, lease: Lease) -> None:
        """Tell the server what became of a batch, and perhaps fetch the next one."""
        lease.tries += 1
        try:
            if lease.is_lost:
                kept = False
            elif lease.is_done and not lease.rejected and lease.tries == 1 and not self.stopping:
                kept = await self._commit_and_fetch(connection, lease)
            else:
                kept = await self._end_lease(connection, lease)
        except psycopg.errors.LockNotAvailable:
            if not self.stopping or lease.tries < _LAST_TRIES:
                asyncio.get_running_loop().call_later(SOON, self.something_happened.set)
                return
            kept = False
        self.lanes.drop(lease)
        self._look_again()
        if not kept:
            for message in lease.messages_left:
                self._reports.lost(message)

    async def _commit_and_fetch(self, connection: Connection, lease: Lease) -> bool:
        """Commit a batch that is done, and take the next one; False for a lost lease."""
        if lease.committed == len(lease.batch):
            return True
        lease.is_ending = True
        both = statements.commit_and_fetch, self._reader.vt, self._reader.quantity
        try:
            batch = await self._call_for(connection, lease, *both)
        except psycopg.errors.ObjectNotInPrerequisiteState:
            return False
        lease.note_commit(len(lease.batch))
        self._take(batch)
        return True

    async def _commit_progress(self, connection: Connection, lease: Lease) -> None:
        try:
            lease.is_lost = not await self._commit_done(connection, lease)
        except psycopg.errors.LockNotAvailable:
            lease.note_commit(lease.committed)

    async def _end_lease(self, connection: Connection, lease: Lease) -> bool:
        """Commit what is done, and give the rest back; False for a lost lease."""
        if not await self._commit_done(connection, lease):
            return False
        if lease.is_done:
            return True
        delay, error = self._reader.how_to_release(lease.end)
        lease.is_ending = True
        error = storable_on(connection, error)
        kept = await self._call_for(connection, lease, statements.release, delay, error)
        self._look_in(delay)
        return bool(kept)

    def _look_in(self, seconds: int) -> None:
        """Look again then: nobody announces a lane whose delay is over."""
        asyncio.get_running_loop().call_later(seconds, self._wake)

    async def _commit_done(self, connection: Connection, lease: Lease) -> bool:
        """Commit what is done, and reject what is to be; False for a lost lease."""
        while lease.rejected:
            message, error = lease.rejected[0]
            lease.is_ending = message is lease.batch.messages[-1]
            text = storable_on(connection, error)
            unheard = lease.is_unheard
            try:
                if not await self._call_for(
                    connection, lease, statements.reject, message.msg_id, text
                ):
                    return False
            except psycopg.errors.ObjectNotInPrerequisiteState as problem:
                lease.fail_to_reject(unrejected(error, problem))
                break
            except psycopg.errors.InvalidParameterValue:
                if not unheard:  # else it is rejected already
                    raise
            lease.rejected.pop(0)
            lease.note_commit(lease.batch.messages.index(message) + 1)
        if lease.done > lease.committed:
            up_to = None if lease.is_done else lease.up_to()
            lease.is_ending = lease.is_done
            done = lease.done
            if not await self._call_for(connection, lease, statements.commit, up_to):
                return False
            lease.note_commit(done)
        return True

    async def _call_for(
        self,
        connection: Connection,
        lease: Lease,
        call: Callable[..., Statement[Any]],
        *arguments: Any,
    ) -> Any:
        """Run a call for a lease; one that is repeated, and finds it gone, had got through."""
        unheard, lease.is_unheard = lease.is_unheard, True
        try:
            result = await connection.run_limited(self._call(call, *lease.batch.lease, *arguments))
        except psycopg.Error:
            lease.is_unheard = connection.closed
            raise
        lease.is_unheard = False
        return result or unheard if isinstance(result, bool) else result

    async def _extend_leases(self, connection: Connection) -> None:
        if self._transactional:
            return
        for lease in list(self.lanes.held.values()):
            extend = self._call(statements.extend_lease, *lease.batch.lease, self._reader.vt)
            try:
                kept = await connection.run_limited(extend)
            except psycopg.errors.LockNotAvailable:
                continue
            if not kept and not lease.is_ending:
                lease.is_lost = True

    # Transactional

    async def _consume_and_report(self) -> None:
        begun: list[StreamBatch] = []
        is_over = False

        def tell(batch: StreamBatch) -> None:
            if is_over:
                return
            begun.append(batch)
            self.lanes.hold(batch)
            self._reports.read(batch.messages)
            self._looks = False
            self._look_again()
            self.something_happened.set()

        loop = asyncio.get_running_loop()
        try:
            # Perhaps from a thread.
            consumed = await self._consume(lambda batch: loop.call_soon_threadsafe(tell, batch))
        except asyncio.CancelledError:
            return
        except BaseException as error:  # noqa: BLE001, the main part raises it
            self._background_error = error
            return
        finally:
            is_over = True
            if not begun:
                self._looks = False
            for batch in begun:
                self.lanes.held.pop(batch.lease, None)
        if consumed is None:
            self._found_empty.set()
            return
        self._look_again()
        for message, outcome in consumed:
            if outcome.kind == "lost":
                self._reports.lost(message)
            elif outcome.kind in ("failed", "retry"):
                self._look_in(self._reader.how_to_release(outcome)[0])
            self._reports.outcome(message, outcome)
