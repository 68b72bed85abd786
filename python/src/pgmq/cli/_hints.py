"""The server's hints, which speak SQL, in the words of the command line."""

from __future__ import annotations

import re
import shlex

__all__ = ["spoken"]

# The functions that the server's hints name, as commands. Options follow what is named in a call.
_COMMANDS = {
    "alter_group": "group alter {} {}",
    "alter_policy": "policy set {}",
    "create": "create {}",
    "create_exchange": "exchange create {}",
    "create_fair_index": "create {} --fair",
    "create_group": "group create {} {}",
    "create_stream": "create --stream {}",
    "doctor": "doctor",
    "drop_queue": "drop {}",
    "enable_wakeups": "create {} --wakeups",
    "fetch": "consume {} --group {} -- <program>",
    "grant_consume": "grant consume {} --to {}",
    "grant_create": "grant create --to {}",
    "grant_fetch": "grant fetch {} --group {} --to {}",
    "grant_maintain": "grant maintain {} --to {}",
    "grant_monitor": "grant monitor {} --to {}",
    "grant_requeue": "grant requeue {} --to {}",
    "grant_send": "grant send {} --to {}",
    "list_schedules": "schedules",
    "maintain": "maintain {}",
    "peek": "peek {} --qty {}",
    "purge_queue": "purge {}",
    "redrive": "redrive {}",
    "resume": "resume {}",
    "resume_schedule": "schedule resume {}",
    "seek": "seek {} {} {}",
    "set_vt": "set-vt {} {} --vt {}",
    "unschedule": "schedule remove {}",
}
_TEXT = r"'(?:[^']|'')*'"
_CALL = re.compile(
    r"((?:can )?(?:call )?)(?:SELECT (?:\* FROM )?)?pgmq"
    rf"\.(\w+)\(((?:{_TEXT}|[^')])*)\)(?:, and commit\(\))?"
)
_ARGUMENT = re.compile(rf"(?:(\w+) => )?({_TEXT}|[^',\s][^',]*)")


def spoken(hint: str) -> str:
    """Say in commands what a hint says in SQL; what is no command stays."""
    return _CALL.sub(_command, hint)


def _command(call: re.Match[str]) -> str:
    verb, function, given = call.groups()
    if (command := _COMMANDS.get(function)) is None:
        return call[0]
    words, options = [], []
    for name, value in _ARGUMENT.findall(given):
        word = shlex.quote(value[1:-1].replace("''", "'")) if value[0] == "'" else value
        if name:
            options += [f"--{name.replace('_', '-')}", word]
        else:
            words.append(word)
    # Without any argument, as pgmq.maintain(), it is the command alone.
    line = command.format(*words, *["..."] * 3) if words else command.partition(" {}")[0]
    run = "can run " if "can" in verb else "run " if verb else ""
    return " ".join([f"{run}pgmq {line}", *options])
