"""The programs of the engines as processes: producers and workers."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

PATIENCE = 60.0  # seconds for what takes no more than a few


class ProgramError(Exception):
    """Raised when a program of an engine failed; the message is the end of what it said."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A job whose handler has begun."""

    id: int
    at: float
    sent: float


class Process:
    """A program that is told lines and answers lines of JSON."""

    def __init__(self, command: Sequence[str], variables: Mapping[str, str]) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115, closed with the process
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=dict(variables),
        )
        self._condition = threading.Condition()
        self._ended = False
        self._answers: list[Any] = []
        self.count = 0  # the newest plain number that it said
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            with self._condition:
                if isinstance(said, int):
                    self.count = said
                else:
                    self._answers.append(said)
                self._condition.notify()
        with self._condition:
            self._ended = True
            self._condition.notify()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def tell(self, line: str) -> None:
        """Send a line."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its answer will be missing
            print(line, file=self._process.stdin, flush=True)

    def answer(self, seconds: float = PATIENCE) -> Any:
        """Return the next answer."""
        with self._condition:
            self._condition.wait_for(lambda: self._answers or self._ended, seconds)
            if self._answers:
                return self._answers.pop(0)
        raise ProgramError(self._complaint())

    def check(self) -> None:
        """Raise an error if the process has ended."""
        if self._ended and not self._answers:
            raise ProgramError(self._complaint())

    def _complaint(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return lines[-1] if lines else "a program did not answer"

    def close(self) -> None:
        """Have it end."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._errors.close()


def run(command: Sequence[str], variables: Mapping[str, str]) -> None:
    """Run a program that only does something."""
    done = subprocess.run(command, env=dict(variables), capture_output=True, text=True)
    if done.returncode != 0:
        raise ProgramError((done.stderr.strip().splitlines() or ["a program failed"])[-1])


class Pool:
    """Several processes with workers."""

    def __init__(self, processes: list[Process]) -> None:
        self._processes = processes
        self.cpu = 0.0  # seconds, once stopped

    def begin(self) -> None:
        """Have all begin at once."""
        for process in self._processes:
            process.answer()
        for process in self._processes:
            process.tell("go")

    @property
    def pids(self) -> set[int]:
        """The ids of the processes."""
        return {process.pid for process in self._processes}

    def wait(self, done: Callable[[int], bool]) -> None:
        """Wait until the number of jobs begun, or the time, is enough."""
        while not done(sum(process.count for process in self._processes)):
            for process in self._processes:
                process.check()
            time.sleep(0.005)

    def stop(self) -> list[Begun]:
        """Have all stop; returns what they have begun."""
        for process in self._processes:
            process.tell("stop")
        answers = [process.answer() for process in self._processes]
        self.cpu = sum(answer["cpu"] for answer in answers)
        return [Begun(*one) for answer in answers for one in answer["begun"]]


@contextlib.contextmanager
def open_pool(number: int, command: Sequence[str], variables: Mapping[str, str]) -> Iterator[Pool]:
    """Start processes with workers, and end them."""
    with contextlib.ExitStack() as stack:
        processes = [Process(command, variables) for _ in range(number)]
        for process in processes:
            stack.callback(process.close)
        yield Pool(processes)
