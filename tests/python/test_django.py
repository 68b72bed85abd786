"""Django's tasks on pgmq, in a small project: its own tests, on the versions that Django has."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from support import server as servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgmq import embedded

PROJECT = Path(__file__).parent / "django_project"

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def newer_python() -> str:
    """The Python of a virtual environment with Django 6, which needs Python 3.12."""
    folder = servers.CACHE / "django-6"
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
        known = [*map(str, pyenv.glob("versions/3.1[2-4]*/bin/python"))]
        for command in ("python3.14", "python3.13", "python3.12", *known):
            with contextlib.suppress(OSError, subprocess.CalledProcessError):
                subprocess.run([command, "-m", "venv", folder], check=True, capture_output=True)
                break
        else:
            pytest.skip("there is no Python 3.12 or later, which Django 6 needs")
        install: list[Any] = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        source = servers.ROOT / "python"
        subprocess.run([*install, "--editable", source, "django>=6"], check=True)
        (folder / "installed").touch()
    return str(python)


def environment(dsn: str) -> dict[str, str]:
    return os.environ | {"PGMQ_DJANGO": dsn, "PYTHONPATH": str(servers.ROOT / "tests")}


@pytest.mark.parametrize("version", ["5.2", "6"])
def test_the_tests_of_a_project_pass(
    version: str, server: servers.TestServer, request: pytest.FixtureRequest
) -> None:
    python = sys.executable if version == "5.2" else request.getfixturevalue("newer_python")
    with server.database() as dbname:
        ran = subprocess.run(
            [python, "-W", "error", "manage.py", "test"],
            cwd=PROJECT,
            env=environment(server.dsn(dbname)),
            capture_output=True,
            text=True,
        )
    print(ran.stderr)
    assert ran.returncode == 0
    assert "\nOK" in ran.stderr


def test_a_worker_goes_on_when_the_server_was_restarted(
    new_server: Callable[..., embedded.Server], tmp_path: Path
) -> None:
    server = new_server()
    begun, go = tmp_path / "begun", tmp_path / "go"
    manage: list[Any] = [sys.executable, "manage.py"]
    options: dict[str, Any] = {"cwd": PROJECT, "env": environment(server.dsn())}
    subprocess.run([*manage, "migrate", "--run-syncdb", "--verbosity=0"], check=True, **options)
    with running([*manage, "pgmq_worker"], **options):
        with psycopg.connect(server.dsn()) as connection:
            message = {"task": "shop.chores.wait_for", "args": [str(begun), str(go)]}
            connection.execute("SELECT pgmq.send('default', %s)", [Jsonb(message)])
        until(begun.exists)
        server.restart(mode="immediate")
        go.touch()
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            archived = "SELECT headers #>> '{django-result,status}' FROM pgmq.a_default"
            until(lambda: connection.execute(archived).fetchall() == [("SUCCESSFUL",)])


@contextlib.contextmanager
def running(command: list[str], **options: Any) -> Iterator[None]:
    process = subprocess.Popen(command, **options)
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(20) == 0


def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)
