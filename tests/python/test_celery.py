"""Celery on a queue by kombu-pgmq, which uses our package by the name of pgmq-py."""

from __future__ import annotations

import importlib
import itertools
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from support.frameworks import program
from support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

pytestmark = pytest.mark.once


def test_a_task_comes_again_when_its_worker_is_killed_and_countdowns_and_retries_are_kept(
    db: psycopg.Connection, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", dsn)
    celery_app = importlib.import_module("support.celery_app")
    go, first, later = tmp_path / "go", tmp_path / "first", tmp_path / "later"
    arguments = ["celery", "-A", "celery_app", "worker", "--pool", "solo", "--without-mingle"]
    celery_app.touch.delay(str(first), str(go))
    with program(dsn, *arguments) as killed:
        until(first.exists)
        os.killpg(killed.pid, signal.SIGKILL)
    with program(dsn, *arguments) as stopped:
        until(lambda: first.read_text() == "begun\nbegun\n")
        sent = time.time()
        celery_app.fail.apply_async([str(later)], countdown=1)
        go.touch()
        until(lambda: later.exists() and len(later.read_text().splitlines()) == 2)
        until(lambda: db.execute("SELECT count(*) FROM pgmq.q_celery").fetchone() == (0,))
        stopped.send_signal(signal.SIGTERM)
        assert stopped.wait(10) == 0
    times = [sent, *map(float, later.read_text().splitlines())]
    assert all(after - before > 1 for before, after in itertools.pairwise(times))
    assert first.read_text() == "begun\nbegun\n"
    celery_app.app.close()
