"""Which pgmq is installed: the name on the package index belongs to another project."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distributions

__all__ = ["VERSION"]

_SUMMARY = "The Python side of pgmq, a message queue inside Postgres"  # that of pyproject.toml


def _version() -> str:
    """Return our version; an ImportError where the other pgmq is in the same place, or before it.

    Both have modules of the same names, and what is imported would be some of each.
    """
    found = None
    for each in distributions(name="pgmq"):
        found = found or each
        if each.locate_file("") != found.locate_file(""):
            break
        if each.metadata["Summary"] != _SUMMARY:
            raise ImportError(
                f"another project's pgmq, version {each.version}, is in {each.locate_file('')} and"
                " gets in the way of this one: `pip uninstall pgmq` until nothing is left of"
                " either, then install this one by its path or its wheel"
            )
    if found is None:
        raise PackageNotFoundError("pgmq")
    return found.version


VERSION: str = _version()
