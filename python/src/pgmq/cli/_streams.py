"""The standard streams of the command line, whatever state they are in, and its log."""

from __future__ import annotations

import codecs
import contextlib
import json
import logging
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["close_streams", "logging_to_stderr", "open_streams", "unicode"]


def open_streams() -> None:
    """See to it that all standard streams are there, and take every character.

    Cron jobs and services may be started without them. A connection to the server would take the
    place of one that is closed, and a program that consume starts would write to it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # The wrong way round: to use it is an error, as it was.
            null = os.open(os.devnull, os.O_RDONLY if number else os.O_WRONLY)
            os.dup2(null, number)
            os.set_inheritable(number, True)
            if null != number:
                os.close(null)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))
    codecs.register_error("pgmq.json", _escape)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="pgmq.json")


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Write a character that an encoding lacks as JSON does."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def close_streams() -> None:
    """Let go of what cannot be written: the interpreter would complain when it ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # noqa: PERF203
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def unicode(word: str) -> str:
    """Take a word of the command line for UTF-8 where it is, whatever the locale says."""
    try:
        word.encode()
    except UnicodeEncodeError:
        with contextlib.suppress(UnicodeDecodeError):
            return os.fsencode(word).decode()
    return word


@contextlib.contextmanager
def logging_to_stderr(long: bool) -> Iterator[None]:
    """Have what the package logs, and what the server notices, on standard error."""
    logger = logging.getLogger("pgmq")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s" if long else "%(message)s"))
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before
