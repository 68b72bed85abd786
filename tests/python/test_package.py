"""What is built of python/, and that its sources are what `make sync` makes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest
import sync

from pgmq import get_embedded_install_sql
from support.server import BUILD, ROOT

if TYPE_CHECKING:
    from pathlib import Path

SQL = "pgmq/sql/pgmq.sql"


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a wheel, an sdist, and in `again` the wheel that the sdist makes."""
    folder = tmp_path_factory.mktemp("dist")
    _hatchling(ROOT / "python", folder)
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "source", filter="data")
    (source,) = (folder / "source").iterdir()
    _hatchling(source, folder / "again", "-t", "wheel")
    return folder


def _hatchling(source: Path, target: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(target), *arguments]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _content(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        names = (name for name in archive.namelist() if not name.endswith("/RECORD"))
        return {name: archive.read(name) for name in names}


def test_the_wheel_has_the_sources_the_sql_and_the_marks_of_typing(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    content = _content(wheel)
    assert content[SQL] == (BUILD / "pgmq.sql").read_bytes()
    for path in (ROOT / "python" / "src").rglob("*.py*"):
        if path.suffix != ".pyc":
            assert content[str(path.relative_to(ROOT / "python" / "src"))] == path.read_bytes()
    assert {"pgmq/py.typed", "pgmq_sqlalchemy/py.typed"} < content.keys()


def test_the_wheel_of_the_sdist_is_the_same(built: Path) -> None:
    (wheel,), (again,) = built.glob("*.whl"), (built / "again").glob("*.whl")
    assert _content(wheel) == _content(again)


def test_the_wheel_installs_from_its_own_sql(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    program = "import pgmq, sys; sys.stdout.write(pgmq.get_embedded_install_sql())"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(wheel)!r}); {program}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout == get_embedded_install_sql()


def test_the_synchronous_sources_are_those_of_the_asynchronous_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sync, "SOURCES", shutil.copytree(sync.SOURCES, tmp_path / "src"))
    monkeypatch.setattr(sys, "argv", ["sync.py", "--check"])
    assert sync.main() == 0
    with (tmp_path / "src" / "pgmq" / "async_queue.py").open("a") as source:
        source.write("\n\nasync def more() -> None:\n    await more()\n")
    assert sync.main() == 1
    assert capsys.readouterr().err == "stale: pgmq/queue.py; run `make sync`\n"
    monkeypatch.setattr(sys, "argv", ["sync.py"])
    assert sync.main() == 0
    assert (
        (tmp_path / "src" / "pgmq" / "queue.py")
        .read_text()
        .endswith("\n\ndef more() -> None:\n    more()\n")
    )
