"""A pool of workers beside other queues in Postgres: a backlog drained, and a steady rate.

See README.md in this folder.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from benchmark.driver import Server, spent_seconds
from benchmark.peers.engines import ENGINES, NAMES, PROCESSES, SLOTS
from benchmark.peers.environment import Environment, MissingError
from benchmark.peers.processes import Process, ProgramError, open_pool, run
from benchmark.report import number, progress, spread, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmark.cluster import Cluster
    from benchmark.peers.engines import Engine
    from benchmark.peers.processes import Begun

__all__ = ["NAMES", "markdown", "measure"]

_WARM = 10_000_000  # ids from here on are not counted
_WARM_RATE, _WARM_SECONDS = 100, 0.5
_GRACE = 3.0  # seconds for what is left when the producer has ended
_PATIENCE = 10  # times the seconds that a producer should take
_BEHIND = 0.5  # seconds of the rate that may wait at the end


@dataclass(frozen=True, slots=True)
class Plan:
    """How much."""

    jobs: int  # of a drain
    drain_seconds: float  # and no longer
    rates: tuple[int, ...]
    seconds: float  # of each rate


QUICK = Plan(5_000, 2.5, (200, 1000), 1.0)
FULL = Plan(30_000, 10.0, (200, 1000), 8.0)


def measure(
    cluster: Cluster | str,
    *,
    quick: bool,
    rounds: int,
    engines: Sequence[str] | None = None,
    sync: bool = False,
) -> dict[str, Any]:
    """Measure the engines in turns, each time in a fresh database."""
    plan = QUICK if quick else FULL
    dsn = cluster if isinstance(cluster, str) else cluster.dsn
    unknown = set(engines or ()) - set(NAMES)
    if unknown:
        raise ValueError(f"not one of {', '.join(NAMES)}: {', '.join(sorted(unknown))}")
    chosen = [engine for engine in ENGINES if engines is None or engine.name in engines]
    found: dict[str, Any] = {
        "plan": asdict(plan) | {"processes": PROCESSES, "slots": SLOTS, "rounds": rounds},
        "versions": {},
        "settings": {},
        "skipped": {},
        "drain": {},
        "steady": {str(rate): {} for rate in plan.rates},
    }
    with contextlib.ExitStack() as stack:
        admin = stack.enter_context(psycopg.connect(dsn, autocommit=True))
        found["versions"]["postgres"] = admin.info.parameter_status("server_version")
        found["synchronous_commit"] = sync
        bench = _Bench(plan, dsn, admin, Server(admin), Environment(), sync)
        ready = []
        for engine in chosen:
            try:
                stack.enter_context(bench.template(engine))
            except (MissingError, ProgramError) as error:
                progress(f"{engine.name} is skipped: {error}")
                found["skipped"][engine.name] = str(error)
                continue
            ready.append(engine)
            found["versions"][engine.name] = bench.environment.versions(engine)
            found["settings"][engine.name] = {"values": engine.settings, "why": engine.reasons}
        for turn in range(rounds):
            for engine in ready:
                if engine.name not in found["skipped"]:
                    progress(f"{engine.name}, round {turn + 1} of {rounds}")
                    try:
                        drained = bench.drain(engine)
                        _add(found["drain"].setdefault(engine.name, {}), drained)
                        for rate, result in bench.steady(engine).items():
                            _add(found["steady"][rate].setdefault(engine.name, {}), result)
                    except ProgramError as error:
                        progress(f"{engine.name} failed: {error}")
                        found["skipped"][engine.name] = str(error)
    return found


def _add(results: dict[str, list[Any]], one: dict[str, Any]) -> None:
    for key, value in one.items():
        results.setdefault(key, []).append(value)


@dataclass(frozen=True, slots=True)
class _Bench:
    plan: Plan
    dsn: str
    admin: psycopg.Connection
    server: Server
    environment: Environment
    sync: bool

    def _database(self, engine: Engine) -> str:
        return f"pgmq_peers_{NAMES.index(engine.name)}"

    def _make(self, name: str, template: str) -> None:
        self._drop(name)
        self.admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        setting = "on" if self.sync else "off"
        self.admin.execute(f"ALTER DATABASE {name} SET synchronous_commit = {setting}".encode())

    def _drop(self, name: str) -> None:
        self.admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())

    def _variables(self, engine: Engine, database: str) -> dict[str, str]:
        given = conninfo_to_dict(make_conninfo(self.dsn, dbname=database))
        wanted = {"port": "5432"} | {key: str(value) for key, value in given.items()}
        known = ("host", "port", "user", "password", "dbname")
        return self.environment.variables(engine, {k: wanted[k] for k in known if k in wanted})

    def _command(self, engine: Engine, *arguments: str) -> list[str]:
        name, *rest = arguments
        settings = json.dumps(engine.settings)
        return [*self.environment.command(engine), name, settings, *rest]

    @contextlib.contextmanager
    def template(self, engine: Engine) -> Iterator[None]:
        """Install an engine into a database that the others are copies of."""
        name = f"{self._database(engine)}_template"
        command = self._command(engine, "setup")
        try:
            self._make(name, "template0")
            run(command, self._variables(engine, name))
            yield
        finally:
            self._drop(name)

    @contextlib.contextmanager
    def _fresh(self, engine: Engine) -> Iterator[dict[str, str]]:
        name = self._database(engine)
        self._make(name, f"{name}_template")
        try:
            yield self._variables(engine, name)
        finally:
            self._drop(name)

    @contextlib.contextmanager
    def _cpu(self, spent: list[float]) -> Iterator[None]:
        """Add the CPU seconds of all sessions that begin and end within, if they can be known."""
        if self.server.postmaster is None:
            yield
            return
        before = self.server.children()
        seconds = self.server.reaped_seconds()
        yield
        self.server.wait_for_only(before)
        spent.append(self.server.reaped_seconds() - seconds)

    def drain(self, engine: Engine) -> dict[str, Any]:
        """Measure how fast a backlog is handled and acknowledged."""
        jobs, most = self.plan.jobs, self.plan.drain_seconds
        spent: list[float] = []
        with self._fresh(engine) as variables:
            run(self._command(engine, "fill", str(jobs)), variables)
            self._settle(engine)
            with self._cpu(spent):
                command = self._command(engine, "work")
                with open_pool(PROCESSES, command, variables) as pool:
                    pool.begin()
                    pool.wait(_enough(1, time.monotonic() + 10))
                    deadline = time.monotonic() + most
                    pool.wait(_enough(jobs, deadline))
                    left = self._unfinished(engine, deadline)
                    end = time.time()
                    begun = pool.stop()
            left = self._unfinished(engine, 0.0)
        start = min((one.at for one in begun), default=end)
        # Of a drain that was not finished, what began in its time.
        done = len({one.id for one in begun if one.at <= end})
        return {
            "rate": done / (end - start) if done else 0.0,
            "finished": left == 0,
            "correct": _correct(begun, jobs, left),
            "postgres_cpu_us": 1e6 * spent[0] / len(begun) if spent and begun else None,
            "workers_cpu_us": 1e6 * pool.cpu / len(begun) if begun else None,
        }

    def _settle(self, engine: Engine) -> None:
        """Do what autovacuum would have done by now, and write what is dirty."""
        with psycopg.connect(
            make_conninfo(self.dsn, dbname=self._database(engine)), autocommit=True
        ) as connection:
            connection.execute("VACUUM (ANALYZE)")
            with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
                connection.execute("CHECKPOINT")

    def _unfinished(self, engine: Engine, deadline: float) -> int:
        """Wait until everything is acknowledged, or the time is over; return what is not."""
        with psycopg.connect(
            make_conninfo(self.dsn, dbname=self._database(engine)), autocommit=True
        ) as connection:
            while True:
                row = connection.execute(engine.unfinished.encode()).fetchone()
                assert row is not None
                if row[0] == 0 or time.monotonic() > deadline:
                    return int(row[0])
                time.sleep(0.005)

    def steady(self, engine: Engine) -> dict[str, dict[str, Any]]:
        """Measure latencies while a producer sends at a rate, one rate after the other."""
        phases = []
        others = self.server.children() if self.server.postmaster else set()
        with (
            self._fresh(engine) as variables,
            open_pool(PROCESSES, self._command(engine, "work"), variables) as pool,
            contextlib.closing(Process(self._command(engine, "produce"), variables)) as sender,
        ):
            pool.begin()
            sender.answer()
            sent = 1  # in order to connect
            for rate, seconds, first in (
                (_WARM_RATE, _WARM_SECONDS, _WARM),
                *((rate, self.plan.seconds, rate * 1000) for rate in self.plan.rates),
            ):
                backends = self.server.children() - others if self.server.postmaster else set()
                before = spent_seconds(backends), spent_seconds(pool.pids)
                sender.tell(json.dumps([rate, seconds, first]))
                answer = sender.answer(_PATIENCE * seconds)
                end = time.time()
                sent += answer["sent"]
                deadline = time.monotonic() + _GRACE
                pool.wait(_enough(sent, deadline))
                spent = (
                    spent_seconds(backends) - before[0] if backends else None,
                    spent_seconds(pool.pids) - before[1],
                )
                phases.append((rate, first, answer, end, spent))
            begun = pool.stop()
        results = {}
        for rate, first, answer, end, (postgres, workers) in phases[1:]:
            of_this = [one for one in begun if first <= one.id < first + answer["sent"]]
            handled = max(1, len(of_this))
            results[str(rate)] = _latencies(rate, of_this, answer, end) | {
                "postgres_cpu_us": None if postgres is None else 1e6 * postgres / handled,
                "workers_cpu_us": 1e6 * workers / handled,
            }
        return results


def _enough(count: int, deadline: float) -> Callable[[int], bool]:
    return lambda begun: begun >= count or time.monotonic() > deadline


def _correct(begun: list[Begun], jobs: int, left: int) -> str | None:
    """Say what is wrong, if jobs were not handled exactly once."""
    counts = Counter(one.id for one in begun if 0 <= one.id < _WARM)
    twice = sum(count > 1 for count in counts.values())
    missing = jobs - len(counts) - left
    wrong = []
    if twice:
        wrong.append(f"{twice} handled more than once")
    if missing > 0:
        wrong.append(f"{missing} neither handled nor left")
    if missing < 0:
        wrong.append(f"{-missing} handled and left")
    return "; ".join(wrong) or None


def _latencies(
    rate: int, begun: list[Begun], answer: dict[str, float], end: float
) -> dict[str, Any]:
    sent = int(answer["sent"])
    taken = sorted(1000 * (one.at - one.sent) for one in begun)
    first: dict[int, float] = {}
    for one in begun:
        first[one.id] = min(one.at, first.get(one.id, one.at))
    backlog = sent - sum(at <= end for at in first.values())
    achieved = sent / answer["seconds"]
    behind = backlog > _BEHIND * rate
    # Who is behind has some left when the time is up, which is not to say that they are lost.
    left = sent - len(first) if behind else 0
    return {
        "sent_rate": achieved,
        "sustained": achieved >= 0.95 * rate and not behind,
        "backlog": backlog,
        "correct": _correct(
            [type(one)(one.id % (rate * 1000), one.at, one.sent) for one in begun], sent, left
        ),
        **{
            name: taken[min(len(taken) - 1, int(len(taken) * part))] if taken else None
            for name, part in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
        },
        "producer_cpu_us": 1e6 * answer["cpu"] / max(sent, 1),
    }


def markdown(found: dict[str, Any]) -> str:
    """Format what measure() found."""
    plan = found["plan"]
    parts = [
        f"{plan['processes']} processes, {plan['slots']} jobs at a time in each;"
        f" synchronous_commit {'on' if found['synchronous_commit'] else 'off'}; "
        + "; ".join(f"{name}: {text}" for name, text in found["versions"].items()),
        f"A backlog of {plan['jobs']:,} drained, until all are acknowledged; CPU for each job:",
        table(
            ["", "per second", "Postgres CPU us", "workers CPU us", ""],
            [
                [
                    name,
                    spread(one["rate"]),
                    spread([cpu for cpu in one["postgres_cpu_us"] if cpu is not None]),
                    spread([cpu for cpu in one["workers_cpu_us"] if cpu is not None]),
                    _remarks(
                        one,
                        "" if all(one["finished"]) else f"not done in {plan['drain_seconds']:g} s",
                    ),
                ]
                for name, one in found["drain"].items()
            ],
        ),
    ]
    for rate, engines in found["steady"].items():
        parts += [
            f"{rate} jobs per second for {plan['seconds']:g} s; ms from the call to the handler:",
            table(
                [
                    "",
                    "sent per second",
                    "p50",
                    "p95",
                    "p99",
                    "max",
                    "Postgres CPU us",
                    "workers CPU us",
                    "",
                ],
                [
                    [
                        name,
                        spread(one["sent_rate"]),
                        *(_middle(one[key]) for key in ("p50", "p95", "p99", "max")),
                        _middle(one["postgres_cpu_us"]),
                        _middle(one["workers_cpu_us"]),
                        _remarks(
                            one,
                            ""
                            if all(one["sustained"])
                            else f"not sustained: {max(one['backlog']):,} wait at the end",
                        ),
                    ]
                    for name, one in engines.items()
                ],
            ),
        ]
    parts += [f"{name} was skipped: {why}" for name, why in found["skipped"].items()]
    return "\n\n".join(parts)


def _remarks(one: dict[str, list[Any]], text: str) -> str:
    return "; ".join(dict.fromkeys([text, *filter(None, one["correct"])])).strip("; ")


def _middle(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return number(median(known)) if known else "-"
