"""What `make dist` makes: reproducible, valid, and each can be installed, offline."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dist
import psycopg
import pytest
import release

from support import server as servers
from support.server import BUILD, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgmq import embedded

pytestmark = pytest.mark.once

VERSION = servers.control()["default_version"]
COPIED = [f"pgmq-{VERSION}.sql", f"pgmq-{VERSION}.tle.sql"]  # DIST of the Makefile
DEBIAN = f"postgresql-pgmq_{VERSION}_all.deb"


def _run(*command: str | Path, **options: Any) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two folders of all there is, made under different circumstances."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs a checkout: git says which files there are, and the time")
    if shutil.which("dpkg-deb") is None:
        pytest.skip("needs dpkg-deb")
    folders = []
    for umask, zone in ((0o022, "UTC"), (0o077, "Asia/Tokyo")):
        folder = tmp_path_factory.mktemp("dist")
        for name in COPIED:
            shutil.copyfile(BUILD / name.replace(f"-{VERSION}", ""), folder / name)
        (folder / "of an earlier time").touch()
        tool = ROOT / "python" / "tools" / "dist.py"
        copied = [folder / name for name in COPIED]
        env = os.environ | {"TZ": zone}
        _run(sys.executable, tool, folder, *copied, umask=umask, env=env)
        folders.append(folder)
    return folders


def test_the_same_commit_gives_the_same_bytes(made: list[Path]) -> None:
    one, other = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in made)
    assert one == other
    sums = one.pop("SHA256SUMS").decode()
    assert {*one} == {
        *(*COPIED, DEBIAN, f"pgmq-{VERSION}.zip"),
        *(f"pgmq-{VERSION}.tar.gz", f"pgmq-{VERSION}-py3-none-any.whl"),
    }
    assert sums == "".join(
        f"{hashlib.sha256(one[name]).hexdigest()}  {name}\n" for name in sorted(one)
    )


def test_the_zip_has_what_the_specification_of_pgxn_asks_for(made: list[Path]) -> None:
    """As of https://pgxn.org/spec/: version 1.0.0, what is required, and the forms of the rest."""
    with zipfile.ZipFile(made[0] / f"pgmq-{VERSION}.zip") as archive:
        names = archive.namelist()
        meta = json.loads(archive.read(f"pgmq-{VERSION}/META.json"))
    assert {name.partition("/")[0] for name in names} == {f"{meta['name']}-{meta['version']}"}
    required = {"name", "abstract", "maintainer", "license", "provides", "version", "meta-spec"}
    optional = {"description", "release_status", "prereqs", "tags", "generated_by", "resources"}
    assert required <= {*meta} <= required | optional
    assert meta["meta-spec"] == {"version": "1.0.0", "url": "https://pgxn.org/meta/spec.txt"}
    term = re.compile(r"[^\x00-\x20\x7f/\\]{2,}")
    semantic = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[A-Za-z][-0-9A-Za-z]*)?")
    assert term.fullmatch(meta["name"])
    assert semantic.fullmatch(meta["version"])
    assert meta["license"] == "postgresql"
    assert meta["release_status"] in {"stable", "testing", "unstable"}
    assert all(isinstance(meta[key], str) and meta[key] for key in ("abstract", "maintainer"))
    for name, provided in meta["provides"].items():
        assert term.fullmatch(name)
        assert {"file", "version"} <= {*provided} <= {"file", "version", "abstract", "docfile"}
        assert semantic.fullmatch(provided["version"])
        for key in ("file", "docfile"):
            assert f"{meta['name']}-{meta['version']}/{provided[key]}" in names
    for phase, relations in meta["prereqs"].items():
        assert phase in {"configure", "build", "test", "runtime", "develop"}
        for relation, needed in relations.items():
            assert relation in {"requires", "recommends", "suggests", "conflicts"}
            assert all(version == "0" or semantic.fullmatch(version) for version in needed.values())
    assert all(re.fullmatch(r"[^/\\\x00-\x1f]{1,255}", tag) for tag in meta["tags"])


@pytest.fixture(scope="module")
def bare() -> Iterator[embedded.Server]:
    """A server in which nobody has installed the extension."""
    with servers.private({}) as own:
        for path in own.extension_dir.glob("pgmq*"):
            path.unlink()
        yield own


@pytest.fixture
def new(bare: embedded.Server) -> Iterator[psycopg.Connection]:
    """A session to a database of the test's own in it."""
    with psycopg.connect(bare.dsn(), autocommit=True) as admin:
        admin.execute("CREATE DATABASE new")
        with psycopg.connect(bare.dsn("new"), autocommit=True) as session:
            yield session
        admin.execute("DROP DATABASE new")


def _works(session: psycopg.Connection) -> None:
    assert session.execute("SELECT pgmq.version()").fetchone() == (VERSION,)
    session.execute("SELECT pgmq.create('q'), pgmq.send('q', '1')")
    assert session.execute("SELECT message FROM pgmq.read('q', 60, 9)").fetchall() == [(1,)]


def test_the_pgxn_client_installs_from_the_zip(
    made: list[Path], bare: embedded.Server, new: psycopg.Connection
) -> None:
    client = pytest.importorskip("pgxnclient", reason="needs pgxnclient")
    options = ("--yes", "--pg_config", bare.bindir / "pg_config")
    # Of the make that runs the tests, its options.
    env = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    for command in ("install", "uninstall"):
        # What the program pgxn runs, whatever Python pip has built it for.
        script = Path(client.__file__).parent / "libexec" / f"pgxn-{command}"
        zipped = made[0] / f"pgmq-{VERSION}.zip"
        _run(sys.executable, script, *options, zipped, env=env)
        if command == "install":
            installed = {path.name: path.read_bytes() for path in bare.extension_dir.glob("pgmq*")}
            assert installed == {
                path.name: path.read_bytes()
                for path in (BUILD / "pgmq.control", *BUILD.glob(f"pgmq--*{VERSION}.sql"))
            }
            new.execute("CREATE EXTENSION pgmq")
            _works(new)
    assert [*bare.extension_dir.glob("pgmq*")] == []


def test_the_debian_package_is_installed_upgraded_and_purged(
    made: list[Path], bare: embedded.Server, new: psycopg.Connection, tmp_path: Path
) -> None:
    meta = json.loads((ROOT / "META.json").read_text())
    older, root = tmp_path / "older.deb", tmp_path / "root"
    dist.debian_package(older, meta, "2.0.9", 0)
    for name in ("info", "updates"):
        (root / "var/lib/dpkg" / name).mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    dpkg = ("dpkg", f"--root={root}", "--log=/dev/null", "--force-not-root")
    _run(*dpkg, "--install", older)
    _run(*dpkg, "--install", made[0] / DEBIAN)
    script = (BUILD / f"pgmq--{VERSION}.sql").read_bytes()
    for version in range(14, 19):
        folder = root / f"usr/share/postgresql/{version}/extension"
        assert {path.name for path in folder.iterdir()} == {
            "pgmq.control",
            *(path.name for path in BUILD.glob(f"pgmq--*{VERSION}.sql")),
        }
        assert all(path.read_bytes() == script for path in folder.glob("*.sql"))
    shutil.copytree(folder, bare.extension_dir, dirs_exist_ok=True)
    new.execute("CREATE EXTENSION pgmq")
    _works(new)
    _run(*dpkg, "--purge", "postgresql-pgmq")
    assert not (root / "usr").exists() or [*(root / "usr").rglob("*pgmq*")] == []


def test_the_wheel_installs_in_an_environment_of_its_own(
    made: list[Path], bare: embedded.Server, new: psycopg.Connection, tmp_path: Path
) -> None:
    _run(sys.executable, "-m", "venv", "--without-pip", tmp_path)
    (folder,) = tmp_path.glob("lib/python*/site-packages")
    # What the package needs is there, as the tests have it.
    (folder / "needed.pth").write_text(str(Path(psycopg.__file__).parents[1]))
    (wheel,) = made[0].glob("*.whl")
    pip = ("pip", "--python", tmp_path / "bin/python", "--disable-pip-version-check", "-q")
    _run(sys.executable, "-m", *pip, "install", "--no-deps", "--no-index", wheel)
    _run(tmp_path / "bin/pgmq", "--dsn", bare.dsn("new"), "install", cwd=tmp_path)
    _works(new)


def test_a_release_is_refused_for_what_does_not_agree(tmp_path: Path) -> None:
    for name in ("pgmq.control", "META.json", "CHANGELOG.md", "Makefile"):
        shutil.copy(ROOT / name, tmp_path / name)
    kept = tmp_path / "python"
    (kept / "src/pgmq/django").mkdir(parents=True)
    shutil.copy(ROOT / "python/pyproject.toml", kept)
    shutil.copytree(ROOT / "python/src/pgmq/django/migrations", kept / "src/pgmq/django/migrations")
    assert release.unequal(tmp_path) == []

    def changed(name: str, pattern: str, by: str, ask: Callable[[Path], list[str]]) -> list[str]:
        file = tmp_path / name
        before = file.read_text()
        file.write_text(re.sub(pattern, by, before, count=1, flags=re.MULTILINE))
        assert file.read_text() != before or name == "CHANGELOG.md"
        try:
            return ask(tmp_path)
        finally:
            file.write_text(before)

    dated = f"## {VERSION} (2026-01-02)\n\n## 2.0.0 (2026-01-01)\n"
    (tmp_path / "CHANGELOG.md").write_text(dated)
    assert release.unreleased(tmp_path) == []
    for name, pattern, by, said in (
        ("pgmq.control", "[0-9.]+", "9.9.9", f"META.json says {VERSION}, pgmq.control 9.9.9"),
        ("META.json", '"version": "[0-9.]+', '"version": "9.9.9', "META.json says 9.9.9"),
        ("python/pyproject.toml", '^version = "[0-9.]+', 'version = "9.9.9', "toml says 9.9.9"),
    ):
        assert said in changed(name, pattern, by, release.unequal)[0]
    for name, pattern, by, said in (
        ("CHANGELOG.md", r"^## .*", "## Unreleased", 'begins with "Unreleased"'),
        ("CHANGELOG.md", r" \(2026-01-02\)", "", "and a date"),
        ("Makefile", "^UPGRADES := .*", "UPGRADES := 1.13.0", "lacks 2.0.0"),
    ):
        assert said in changed(name, pattern, by, release.unreleased)[0]
    # All of it, as make runs it.
    (kept / "tools").mkdir()
    tool = shutil.copy(ROOT / "python/tools/release.py", kept / "tools")
    git = ("git", "-C", tmp_path, "-c", "user.name=t", "-c", "user.email=t@example.com")
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "Version"]):
        _run(*git, *command)
    _run(sys.executable, tool)
    (tmp_path / "more").touch()
    done = subprocess.run([sys.executable, tool], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "not committed: more\n")
