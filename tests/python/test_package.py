"""What is built of python/ and how it is installed; its sources are what `make sync` makes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest
import sync

import pgmq
from pgmq import get_embedded_install_sql
from support.server import BUILD, ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

SQL = "pgmq/sql/pgmq.sql"
REPOSITORY = "https://forge.example/pgmq"


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a wheel, an sdist, and in `again` the wheel that the sdist makes.

    They are made of a checkout in which nobody has called make, as by `pip install ./python`.
    """
    folder, checkout = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("checkout")
    for name in ("Makefile", "pgmq.control", "extension", "python"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, checkout / name)
    _hatchling(checkout / "python", folder)
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "source", filter="data")
    (source,) = (folder / "source").iterdir()
    _hatchling(source, folder / "again", "-t", "wheel")
    return folder


def _hatchling(source: Path, target: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(target), *arguments]
    environment = os.environ | {"PGMQ_REPOSITORY": REPOSITORY}
    done = subprocess.run(
        command, cwd=source, env=environment, capture_output=True, text=True, check=False
    )
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
    assert {"pgmq/py.typed", "pgmq_pytest/py.typed", "pgmq_sqlalchemy/py.typed"} < content.keys()


def test_the_wheel_has_its_license_addresses_and_links_that_lead_somewhere(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    content = _content(wheel)
    (license_file,) = (name for name in content if name.endswith("licenses/LICENSE"))
    assert content[license_file] == (ROOT / "LICENSE").read_bytes()
    metadata = next(content[name] for name in content if name.endswith("/METADATA")).decode()
    assert "License-Expression: PostgreSQL" in metadata
    assert f"Project-URL: Repository, {REPOSITORY}" in metadata
    known = re.findall(r"Classifier: Programming Language :: Python :: (3\.\d+)", metadata)
    assert known == ["3.10", "3.11", "3.12", "3.13"]
    links = re.findall(r"\]\((.*?)\)", metadata)
    assert len(links) > 15
    tree = f"{REPOSITORY}/blob/v{pgmq.__version__}/"
    for link in links:
        assert link.startswith(tree), link
        assert (ROOT / link.removeprefix(tree).partition("#")[0]).exists(), link


def test_a_build_without_the_sql_or_an_address_says_what_to_do_and_has_no_dead_links(
    tmp_path: Path,
) -> None:
    source = shutil.copytree(ROOT / "python", tmp_path / "python")

    def hatchling(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "hatchling", *words]
        return subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)

    complaint = f"could not be made: run `make build` in {tmp_path}"
    assert complaint in hatchling("build", "-t", "wheel").stderr
    readme = hatchling("metadata", "readme").stdout
    assert "| client |" in readme
    assert "](docs/" not in readme


@pytest.mark.parametrize("upstream_first", [True, False])
def test_another_projects_pgmq_is_noticed(
    upstream_first: bool, built: Path, upstream_wheel: Path, tmp_path: Path
) -> None:
    (wheel,) = built.glob("*.whl")
    for one in (upstream_wheel, wheel) if upstream_first else (wheel, upstream_wheel):
        shutil.unpack_archive(one, tmp_path, "zip")
    done = subprocess.run(
        [sys.executable, "-m", "pgmq.cli", "--version"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"ImportError: another project's pgmq, version 1.1.4, is in {tmp_path}" in done.stderr


def test_no_page_installs_another_projects_pgmq() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("extension/docs/*.md"), *ROOT.glob("python/**/*.md")]
    texts = [page.read_text() for page in [*pages, *ROOT.glob("python/examples/*.py")]]
    installed = [
        word for text in texts for word in re.findall(r"pip install ['\"]?(\S+?)['`\s]", text)
    ]
    assert "./python" in installed
    assert {word for word in installed if word.startswith("pgmq")} == {"pgmq[relay]"}


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
