"""The command that teaches shells: completion; and what completes."""

from __future__ import annotations

import argparse
import contextlib
import os
from typing import TYPE_CHECKING, Any

import psycopg

from pgmq._session import Session
from pgmq.cli._declare import arg, command
from pgmq.cli._output import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgmq.cli._declare import Options

__all__ = ["complete"]

_QUEUES = {"QUEUE", "STREAM", "DEAD_LETTER_QUEUE"}  # what arguments that name a queue are called


@command(arg("shell", choices=["bash", "fish", "zsh"]))
def completion(options: Options) -> None:
    """Print what has a shell complete the words of pgmq.

    These are commands, options and names of queues, which come from the server that the
    environment, or a --dsn in the line, names. Needs argcomplete, from the extra cli.

    Example: pgmq completion bash > ~/.local/share/bash-completion/completions/pgmq
    Example: pgmq completion zsh > ~/.zfunc/_pgmq
    Example: pgmq completion fish > ~/.config/fish/completions/pgmq.fish
    """
    try:
        from argcomplete.shell_integration import shellcode
    except ImportError as error:
        raise CommandError("argcomplete is missing: pip install 'pgmq[cli]'") from error
    print(shellcode(["pgmq"], shell=options.shell))


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that asks how a line may go on, and end; return if none asks."""
    if "_ARGCOMPLETE" not in os.environ:
        return
    import argcomplete

    for action in _actions(parser):
        if action.metavar in _QUEUES:
            action.completer = _queues  # type: ignore[attr-defined]
    argcomplete.autocomplete(parser)


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from _actions(each)


def _queues(prefix: str, parsed_args: Options, **_: Any) -> list[str]:
    os.environ.setdefault("PGCONNECT_TIMEOUT", "2")
    with (
        contextlib.suppress(psycopg.Error),
        Session(getattr(parsed_args, "dsn", None), name="pgmq completion") as session,
    ):
        names = [record.queue_name for record in session.list_queues()]
        return [name for name in names if name.startswith(prefix)]
    return []
