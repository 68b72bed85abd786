"""Writes what a release consists of to a folder; the same commit gives the same bytes.

usage: dist.py FOLDER [FILE...]

The files are in the folder already, made by make; the rest is made here, and anything else that
lies there is removed. All times are SOURCE_DATE_EPOCH, by default the time of the last commit. The
links of the package's page lead to PGMQ_REPOSITORY, an https:// address, if that is set.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
# What the zip has: what the extension is built and tested with, and what its pages are.
ZIPPED = [
    *(":(glob)*.md", "LICENSE", "META.json", "Makefile", "pgmq.control"),
    *("extension", "tests/regress"),
]
VERSIONS = range(14, 19)  # of Postgres
CONTROL = """\
Package: postgresql-pgmq
Version: {version}
Architecture: all
Maintainer: {maintainer}
Section: database
Priority: optional
Installed-Size: {size}
Enhances: {enhances}
Conflicts: {conflicts}
Description: {abstract}
 {description}
 .
 The extension is there for each Postgres 14 to 18 of Debian's: CREATE EXTENSION
 pgmq. Its plain SQL is in /usr/share/postgresql-pgmq.
"""


def main(folder: Path, there: list[Path]) -> None:
    """Make everything, and the sums."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or _run("git", "log", "-1", "--format=%ct").strip()
    os.environ["SOURCE_DATE_EPOCH"] = epoch
    meta = json.loads((ROOT / "META.json").read_text())
    for path in {*folder.iterdir()} - {*there}:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    pgxn_zip(folder / f"pgmq-{meta['version']}.zip", f"pgmq-{meta['version']}", int(epoch))
    name = f"postgresql-pgmq_{meta['version']}_all.deb"
    debian_package(folder / name, meta, meta["version"], int(epoch))
    _run(sys.executable, "-m", "hatchling", "build", "-d", str(folder), cwd=ROOT / "python")
    sums = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.iterdir())
    ]
    (folder / "SHA256SUMS").write_text("".join(sums))
    print("".join(sums), end="")


def pgxn_zip(target: Path, name: str, epoch: int) -> None:
    """Zip the sources of the extension, the plain SQL, and the script that META.json names.

    The scripts are all one text: `make install`, which the pgxn client calls, makes the others.
    """
    listed = _run("git", "ls-files", "-z", *ZIPPED).split("\0")
    files = [ROOT / path for path in listed if path]
    files += [BUILD / "pgmq.sql", BUILD / f"{name.replace('-', '--')}.sql"]
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(files):
            entry = zipfile.ZipInfo(f"{name}/{path.relative_to(ROOT)}", time.gmtime(epoch)[:6])
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())


def debian_package(target: Path, meta: dict[str, str], version: str, epoch: int) -> None:
    """Build a package of this version, for each Postgres, whether it is there or comes later.

    All scripts of the extension are one text, so there is one file of it, and links.
    """
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        shared = root / "usr/share/postgresql-pgmq"
        documents = root / "usr/share/doc/postgresql-pgmq"
        for path in (shared, documents, root / "DEBIAN"):
            path.mkdir(parents=True)
        script = f"pgmq--{meta['version']}.sql"
        for path in (BUILD / "pgmq.control", BUILD / "pgmq.sql", BUILD / script):
            shutil.copyfile(path, shared / path.name)
        shutil.copyfile(ROOT / "LICENSE", documents / "copyright")
        shutil.copyfile(ROOT / "CHANGELOG.md", documents / "changelog")
        size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) // 1024 + 1
        for major in VERSIONS:
            extension = root / f"usr/share/postgresql/{major}/extension"
            extension.mkdir(parents=True)
            for path in (BUILD / "pgmq.control", *BUILD.glob(f"pgmq--*{meta['version']}.sql")):
                aim = path.name if path.suffix == ".control" else script
                (extension / path.name).symlink_to(f"../../../{shared.name}/{aim}")
        control = CONTROL.format(
            version=version,
            maintainer=meta["maintainer"],
            size=size,
            enhances=", ".join(f"postgresql-{major}" for major in VERSIONS),
            conflicts=", ".join(f"postgresql-{major}-pgmq" for major in VERSIONS),
            abstract=meta["abstract"],
            description="\n ".join(textwrap.wrap(meta["description"], 78)),
        )
        (root / "DEBIAN" / "control").write_text(control)
        for path in (root, *root.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() else 0o644)
            os.utime(path, (epoch, epoch), follow_symlinks=False)
        # xz would write other bytes with another number of threads.
        _run("dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(root), str(target))


def _run(*command: str, cwd: Path = ROOT) -> str:
    done = subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr or done.stdout}")
    return done.stdout


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), [Path(name).resolve() for name in sys.argv[2:]])
