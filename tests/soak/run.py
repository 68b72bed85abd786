"""All capabilities at once, under whatever may befall a server; see CONTRIBUTING.md, "Soak".

It goes in rounds. In each the clients are at work, some are killed, and something happens to the
server; then they pause, and what they know is compared with what there is.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

import psycopg

from soak.actors import GROUPS, OLD, QUEUES, consume_from, follow_group
from soak.client import CONSUMER, OWNER, POOL, PRODUCER, Client, Paused, Wrong, main
from soak.ground import Ground
from soak.ledger import Ledger
from soak.report import report
from soak.watch import Watch
from support import server as servers

if TYPE_CHECKING:
    from collections.abc import Iterator

# The clients of the server that suffers; and of one that does not, so that sessions get old.
SUFFERING = (*[OWNER] * 4, CONSUMER, PRODUCER, POOL, POOL)
STEADY = (OWNER, OWNER, POOL)
SHORTEST, LONGEST = 6.0, 20.0  # seconds that clients work in a round
PATIENCE = 60.0
INCIDENTS = (
    "upgrade", "take_over", "kill_server", "restore", "kill_backend", "crash", "nothing", "restart",
)  # fmt: skip
BEARABLE = ("upgrade", "nothing", "nothing")  # for a session


class Process:
    """A client's process, and the thread that hears what it says."""

    def __init__(self, soak: Soak, number: int, door: str) -> None:
        self.door = door
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["soak.ground"])
        self.pipe, other = context.Pipe()
        addresses = str(soak.ground.addresses)
        arguments = (number, soak.seed, addresses, other, door, soak.is_steady)
        self.process = context.Process(target=main, args=arguments, daemon=True)
        self.process.start()
        other.close()
        self.paused: Paused | None = None
        self.heard = threading.Event()
        self._soak = soak
        self.thread = threading.Thread(target=self._hear, daemon=True)
        self.thread.start()

    def _hear(self) -> None:
        # A process that was killed has said half a sentence, perhaps.
        with contextlib.suppress(EOFError, OSError):
            while True:
                said = self.pipe.recv()
                if isinstance(said, Paused):
                    self.paused = said
                    self.heard.set()
                else:
                    self._soak.hear(said)
        self.heard.set()

    def tell(self, *command: Any) -> None:
        self.paused = None
        self.heard.clear()
        with contextlib.suppress(OSError):
            self.pipe.send(command)

    def kill(self) -> None:
        self.process.kill()
        self.thread.join()
        self.process.join()


class Soak:
    """A run: the server, the clients, what they know, and what was found."""

    def __init__(self, seed: str, ground: Ground, wrong: list[str], *, is_steady: bool) -> None:
        self.is_steady = is_steady
        self.seed = seed
        self.rng = random.Random(seed)
        self.ground = ground
        self.ledger = Ledger()
        self.watch = Watch()
        self.began = time.time()
        self.wrong = wrong  # with what another run finds: it ends both
        self.sessions: dict[str, int] = {}  # that are to stay: pid by client
        self.warnings: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.befallen: Counter[str] = Counter()
        self.findings: Counter[str] = Counter()
        self.processes: list[Process] = []
        self.numbers = 0
        self.rounds = 0
        self._lock = threading.Lock()
        self._is_old = True

    def hear(self, said: Any) -> None:
        with self._lock:
            if not isinstance(said, Wrong):
                self.ledger.note(said)
            elif said.warning:
                self.warnings[said.text] += 1
            else:
                self.wrong.append(said.text)

    def _start_client(self, door: str) -> Process:
        self.numbers += 1
        process = Process(self, self.numbers, door)
        self.processes.append(process)
        return process

    def run(self, seconds: float) -> None:
        """Go on until the time is up, or something is wrong; the report says what."""
        try:
            self._run(seconds)
        except Exception as error:  # noqa: BLE001
            self.wrong.append(f"{error!r}\n{traceback.format_exc()}")
        finally:
            for process in self.processes:
                process.kill()

    def _run(self, seconds: float) -> None:
        self._say(f"seed {self.seed}")
        version = self.ground.install_older()
        self._say(f"began with {version}")
        self.befallen[f"began with {version}"] = 1
        doors = self.ground.doors()
        for door in STEADY if self.is_steady else SUFFERING:
            if door in doors:
                self._start_client(door)
        self._pause()  # until all are there
        left: list[str] = []
        end = time.monotonic() + seconds
        while not self.wrong and time.monotonic() < end:
            if not left:
                left = [*(BEARABLE if self.is_steady else INCIDENTS)]
                if self.rounds:
                    self.rng.shuffle(left)
            incident = left.pop(0)
            self._round(incident, min(LONGEST, max(SHORTEST, seconds / 12)))

    def _round(self, incident: str, seconds: float) -> None:
        began, upgraded = time.monotonic(), self._is_old
        for process in self.processes:
            process.tell("go", self.rounds, self._is_old)
        end = began + seconds
        event = began + seconds * (0.3 + 0.2 * self.rng.random())
        happened = incident in ("nothing", "restore")
        while time.monotonic() < end and not self.wrong:
            time.sleep(0.3)
            if not happened and time.monotonic() > event:
                getattr(self.ground, incident)()
                happened = True
            elif not self.is_steady and self.rng.random() < 0.3:
                self._kill_something()
        paused = self._pause()
        if incident == "restore":
            self.ground.restore()
        self.befallen[incident] += 1
        self.rounds += 1
        emptied = incident in ("crash", "kill_server", "kill_backend", "take_over")
        self.wrong += self._check(paused, emptied, upgraded)
        if upgraded and not self.wrong:
            self.ground.make_queues()
            self._is_old = False
        self._say(
            f"round {self.rounds}: {incident}, {self.ledger.messages} messages"
            f" so far, took {time.monotonic() - began:.0f} s"
        )

    def _kill_something(self) -> None:
        """Kill a session, or a client with its session."""
        if self.rng.random() < 0.3:
            victim = self.rng.choice(self.processes)
            self.processes.remove(victim)
            victim.kill()
            self._start_client(victim.door).tell("go", self.rounds, self._is_old)
            self.befallen["client killed"] += 1
            return
        with contextlib.suppress(psycopg.OperationalError), self.ground.connect() as db:
            query = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name ~ '^soak' ORDER BY random() LIMIT 1"
            )
            self.befallen["session killed"] += len(db.execute(query).fetchall())

    def _pause(self) -> list[Paused]:
        for process in self.processes:
            process.tell("pause")
        deadline = time.monotonic() + PATIENCE
        for process in [*self.processes]:
            if not process.heard.wait(max(deadline - time.monotonic(), 0)):
                self.wrong.append(f"client {process.process.name} does not pause")
        for process in [p for p in self.processes if p.paused is None]:
            self.wrong.append(f"client {process.process.name} is gone")
            self.processes.remove(process)
            process.kill()
            self._start_client(process.door)
        paused = [process.paused for process in self.processes if process.paused]
        for one in paused:
            self.done.update(one.done)
        self.ground.end_prepared()
        return paused

    def _check(self, paused: list[Paused], emptied: bool, upgraded: bool) -> Iterator[str]:
        before = self.ground.places()
        counts = {table: len(messages) for table, messages in before.items()}
        # Every second time or so messages stay, so that some become old.
        names = [name for name in (OLD if upgraded else QUEUES) if self.rng.random() < 0.6]
        yield from self._drain({*names, *({"by_id"} if not upgraded else ())}, upgraded)
        places = self.ground.places()
        dead = Counter(self.ground.dead_keys())
        with self._lock:
            yield from self.ledger.check(places, dead, crashed=emptied, upgraded=upgraded)
        yield from self.ground.empty_archives()
        # What had expired there is gone, too.
        self.ledger.settle(places | {"q_brief": self.ground.places().get("q_brief", {})})
        yield from self.ground.wrong_ticks()
        at, now = time.time() - self.began, time.time()
        yield from self.watch.look(self.ground, paused, counts, at, now)
        if self.is_steady and not upgraded:
            pids = {p.process.name: p.paused.pid for p in self.processes if p.paused}
            if self.sessions not in ({}, pids):
                yield f"sessions {self.sessions} did not stay: {pids}"
            self.sessions = pids
        with self.ground.connect() as db:
            for severity, finding in db.execute("SELECT severity, finding FROM pgmq.doctor()"):
                self.findings[f"{severity}: {finding}"] += 1

    def _drain(self, names: set[str], upgraded: bool) -> Iterator[str]:
        """Read everything that is to be had; what is left then, nobody can get."""
        drain = Client(0, f"{self.seed} {self.rounds}", self.ground.addresses, self.hear)
        drain.round = self.rounds
        if not upgraded:
            for name in ("plain", "groups", "log", "by_id"):
                drain.session.execute("SELECT pgmq.resume(%s)", [name])
        try:
            yield from self._drain_streams(drain) if not upgraded else ()
            for name in sorted(names, key=lambda name: name == "dead"):
                queue = OLD[name] if upgraded else QUEUES[name]
                end = time.monotonic() + PATIENCE
                left = f"SELECT count(*), count(*) FILTER (WHERE vt <= now()) FROM pgmq.q_{name}"
                while True:
                    if consume_from(drain, name, queue, faults=0.0):
                        continue
                    count, visible = drain.session.execute(left.encode()).fetchone() or (0, 0)
                    if not count:
                        break
                    if time.monotonic() > end:
                        yield f"{count} messages of {name}, {visible} visible, are never handed out"
                        break
                    time.sleep(0.1)
        finally:
            drain.session.close()

    def _drain_streams(self, drain: Client) -> Iterator[str]:
        end = time.monotonic() + PATIENCE
        query = "SELECT queue_name, group_name, lag FROM pgmq.list_groups() WHERE lag > 0"
        while left := [
            (name, group, lag)
            for name, group, lag in drain.session.execute(query).fetchall()
            if group in GROUPS.get(name, ())
        ]:
            if time.monotonic() > end:
                yield f"what is left of streams is never handed out: {left}"
                return
            if not sum(follow_group(drain, name, group, faults=0.0) for name, group, _ in left):
                time.sleep(0.1)

    def _say(self, text: str) -> None:
        where = "steady: " if self.is_steady else ""
        print(f"{time.time() - self.began:7.1f} s  {where}{text}", flush=True)


def soak(seconds: float, seed: str) -> int:
    with tempfile.TemporaryDirectory(prefix="pgmq-soak-") as folder:
        wrong: list[str] = []
        with contextlib.ExitStack() as stack:
            runs = []
            for is_steady in (False, True):
                where = Path(folder) / ("steady" if is_steady else "suffering")
                where.mkdir()
                ground = Ground(random.Random(f"{where.name} {seed}"), where)
                stack.enter_context(ground.stack)
                runs.append(Soak(seed, ground, wrong, is_steady=is_steady))
            with ThreadPoolExecutor() as threads:
                try:
                    [*threads.map(lambda run: run.run(seconds), runs)]
                except BaseException:
                    wrong.append("it was interrupted")  # which ends them
                    raise
            text = report(*runs)
            for run in runs if wrong else ():
                name = "steady" if run.is_steady else "suffering"
                with contextlib.suppress(OSError):  # of a server that has just been removed
                    shutil.copy(run.ground.log, servers.BUILD / f"soak-{name}.log")
    (servers.BUILD / "soak.md").write_text(text)
    print(text)
    return 1 if wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(2**32)))
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    sys.exit(soak(given.seconds, given.seed))
