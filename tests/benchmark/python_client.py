"""The Python client beside pgmq-py 1.1.4: single calls, batches, and a queue that is drained.

Both are called `pgmq`, so each runs in a process of its own, upstream's in an environment of its
own; python_calls.py is what they run.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark import report
from benchmark.engines import ROOT
from benchmark.report import progress, spread, times
from support.server import UPSTREAM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmark.bench import Bench
    from benchmark.engines import Engine

PROGRAM = Path(__file__).with_name("python_calls.py")
CALLS = {
    "send": "send",
    "send_batch": "send_batch of 100",
    "read_delete": "read 1 + delete",
}
DRAINS = {
    "loop": "read 100, delete each",
    "loop_batch": "read 100, delete_batch",
    "worker": "Worker",
    "worker_threads": "Worker, 4 threads",
    "worker_transactional": "Worker, transactional",
}
OURS_ONLY = ("worker", "worker_threads", "worker_transactional")
MESSAGES = 30_000
QUICK_MESSAGES = 10_000


@dataclass(slots=True)
class Client:
    """A process in which one of the clients does what it is asked."""

    name: str
    engine: Engine
    process: subprocess.Popen[str]
    about: str

    def ask(self, call: str, count: int) -> dict[str, float]:
        """Have a call made so many times; returns its seconds, and those of the client's CPU."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([call, count]), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} has ended in {call}")
        answer: dict[str, float] = json.loads(line)
        return answer

    def measure(self, call: str, count: int) -> dict[str, float]:
        """Do the same on a fresh queue; per second, and microseconds of CPU for each."""
        self.engine.create("bench", autovacuum=False)
        waiting = 0 if call.startswith("send") else count
        if waiting:
            self.engine.fill("bench", waiting)
        self.engine.settle("bench")
        self.engine.checkpoint()
        answer = self.ask(call, count)
        left = self.engine.count("bench")
        wanted = {"send": count, "send_batch": 100 * count}.get(call, 0)
        if left != wanted:
            raise SystemExit(f"{self.name}, {call}: {left} messages are left, not {wanted}")
        return {"tps": count / answer["seconds"], "cpu_us": 1e6 * answer["cpu"] / count}


def python(bench: Bench) -> tuple[str, Any]:
    """Measure the clients in turns."""
    engines = {engine.name: engine for engine in bench.two()}
    theirs = _environment()
    ours = {"PYTHONPATH": str(ROOT / "python" / "src")}
    with contextlib.ExitStack() as stack:
        clients = []
        for name, interpreter, environment, engine in (
            ("pgmq-py on 1.13", theirs, {}, "upstream"),
            ("pgmq-py here", theirs, {}, "pgmq"),
            ("here", Path(sys.executable), ours, "pgmq"),
        ):
            if engine in engines:
                opened = _client(name, interpreter, environment, engines[engine])
                clients.append(stack.enter_context(opened))
        quick = bench.plan.quick
        calls = {
            title: _in_turns(clients, call, bench.plan.rounds, bench.plan.seconds, 0)
            for call, title in CALLS.items()
        }
        messages = QUICK_MESSAGES if quick else MESSAGES
        drains = {
            title: _in_turns(
                [c for c in clients if c.name == "here" or call not in OURS_ONLY],
                call,
                1 if quick else max(1, bench.plan.rounds - 2),
                0,
                messages,
            )
            for call, title in DRAINS.items()
        }
    text = "; ".join(f"{client.name}: {client.about}" for client in clients)
    text += "\n\nCalls per second, and the client's CPU time for one, one client:\n\n"
    text += _table(calls, {})
    loop = drains[DRAINS["loop"]]
    text += f"\n\nMessages per second, {messages:,} in the queue, all handled and deleted;"
    text += " what a client has no such thing for is compared with its first loop:\n\n"
    text += _table(drains, loop)
    return text, {"calls": calls, "drains": drains, "messages": messages}


Figures = dict[str, dict[str, list[float]]]


def _in_turns(clients: list[Client], call: str, rounds: int, seconds: float, count: int) -> Figures:
    """Measure each client so many times, each with as many calls as the first does in the time."""
    figures: Figures = {client.name: {"tps": [], "cpu_us": []} for client in clients}
    for client in clients:
        client.measure(call, 100)  # plans, and whatever else is slow the first time
    if not count:
        count = max(10, int(clients[0].measure(call, 100)["tps"] * seconds))
    for number in range(rounds):
        for client in clients:
            for key, value in client.measure(call, count).items():
                figures[client.name][key].append(value)
        progress(
            f"{call}, round {number + 1} of {rounds}: "
            + ", ".join(f"{name} {f['tps'][-1]:,.0f}/s" for name, f in figures.items())
        )
    return figures


def _table(results: dict[str, Figures], instead: Figures) -> str:
    names = list(next(iter(results.values())))
    against = [name for name in names if name != "here"]
    rows = []
    for title, figures in results.items():
        row = [title]
        for name in names:
            one = figures.get(name)
            row += [spread(one["tps"]), spread(one["cpu_us"])] if one else ["-", "-"]
        for name in against if "here" in names else []:
            other = figures.get(name) or instead.get(name)
            ratio = other and report.ratio(figures["here"]["tps"], other["tps"])
            row.append(times(ratio or None))
        rows.append(row)
    heads = [f"{name}{what}" for name in names for what in ("", ": CPU us")]
    if "here" in names:
        heads += [f"here / {name}" for name in against]
    return report.table(["", *heads], rows)


def _environment() -> Path:
    """Make the environment of upstream's client, once; returns its interpreter."""
    folder = ROOT / "build" / UPSTREAM.replace("==", "-py-")
    interpreter = folder / "bin" / "python"
    stamp = folder / "installed"
    if not stamp.exists():
        progress(f"installing {UPSTREAM} into {folder.relative_to(ROOT)}")
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(interpreter), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([*pip, UPSTREAM], check=True, env=_bare())
        stamp.touch()
    return interpreter


def _bare() -> dict[str, str]:
    # A path of ours would hide upstream's package.
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


@contextlib.contextmanager
def _client(
    name: str, interpreter: Path, environment: dict[str, str], engine: Engine
) -> Iterator[Client]:
    with subprocess.Popen(
        [interpreter, PROGRAM, engine.conninfo],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=_bare() | environment,
    ) as process:
        assert process.stdout is not None
        yield Client(name, engine, process, process.stdout.readline().strip())
        assert process.stdin is not None
        process.stdin.close()
