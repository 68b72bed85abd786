"""The command line; `pgmq --help` lists the commands.

It needs nothing but psycopg. With rich, from the extra `cli`, it draws tables and progress bars,
and with argcomplete shells complete its words.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from typing import TYPE_CHECKING

import psycopg

from pgmq import _installed  # noqa: F401 it complains before a mixture of two packages does
from pgmq._session import StoppedError

# Each registers its commands; in this order they are listed.
from pgmq.cli import (  # noqa: F401 isort: skip
    queues, messages, outcomes, consuming, groups, policies, schedules, routing, rights, watching,
    top, exporting, console, trying, completion,
)  # fmt: skip
from pgmq.cli._declare import commands, parser
from pgmq.cli._output import CommandError, explain
from pgmq.cli._streams import close_streams, logging_to_stderr, open_streams, unicode

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is 1 when it fails, and 2 when it is not understood."""
    open_streams()
    words = list(sys.argv[1:] if arguments is None else arguments)
    program: list[str] = []
    if next((word for word in words if word in commands), None) == "consume" and "--" in words:
        # What follows is another program's, options included.
        cut = words.index("--")
        words, program = words[:cut], words[cut + 1 :]
    declared = parser()
    completion.complete(declared)
    options = declared.parse_args(
        [unicode(word) for word in words],
        argparse.Namespace(dsn=os.environ.get("PGMQ_DSN", ""), program=program),
    )
    with logging_to_stderr(options.command in {"consume", "relay", "web"}):
        try:
            code = commands[options.command][0](options) or 0
            # Here, where a full disk is an error like others.
            sys.stdout.flush()
        except KeyboardInterrupt:
            code = 130
        except BrokenPipeError:
            code = 1  # whoever read our output has gone
        except psycopg.Error as error:
            code = _complain(*explain(error))
        except UnicodeEncodeError:
            code = _complain("an argument, or a variable of the environment, is not UTF-8")
        except OSError as error:
            name = f"{error.filename}: " if error.filename else ""
            code = _complain(f"{name}{error.strerror or error}")
        except (CommandError, StoppedError) as error:
            code = _complain(str(error))
    close_streams()
    return code


def _complain(message: str, hint: str | None = None) -> int:
    with contextlib.suppress(OSError):
        print(f"pgmq: {message}", file=sys.stderr)
        if hint:
            print(f"hint: {hint}", file=sys.stderr)
    return 1
