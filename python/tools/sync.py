"""Write the synchronous twins of the asynchronous sources, or with --check say which are stale."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = ROOT / "python" / "src"

TWINS = {
    "pgmq/_async_client.py": "pgmq/_client.py",
    "pgmq/_async_connect.py": "pgmq/_connect.py",
    "pgmq/_worker/async_group_job.py": "pgmq/_worker/group_job.py",
    "pgmq/_worker/async_job.py": "pgmq/_worker/job.py",
    "pgmq/async_notify_listener.py": "pgmq/sync_notify_listener.py",
    "pgmq/async_operations.py": "pgmq/sync_operations.py",
    "pgmq/async_queue.py": "pgmq/queue.py",
    "pgmq/sqlalchemy_async_queue.py": "pgmq/sqlalchemy_queue.py",
    "pgmq_sqlalchemy/_async_operation.py": "pgmq_sqlalchemy/_operation.py",
    "pgmq_sqlalchemy/_async_queue.py": "pgmq_sqlalchemy/_queue.py",
}

# Patterns and what they become, in this order.
WORDS = {
    "The asynchronous": "The synchronous",
    "the asynchronous": "the synchronous",
    "an asynchronous": "a synchronous",
    "an `async with`": "a `with`",
    "an asyncio task": "a thread or a process",
    r"sqlalchemy\.ext\.asyncio import AsyncEngine, AsyncSession, create_async_engine": (
        "sqlalchemy import Engine, create_engine\nfrom sqlalchemy.orm import Session"
    ),
    r"^( *)from sqlalchemy\.ext\.asyncio import AsyncConnection, (.*)$": (
        r"\1from sqlalchemy import Connection\n\1from sqlalchemy.orm import \2"
    ),
    r"sqlalchemy\.ext\.asyncio import AsyncSession": "sqlalchemy.orm import Session",
    "async_scoped_session": "scoped_session",
    r"\basync_(notify_listener|operations)\b": r"sync_\1",
    r"\(await (conn\.execute\([^()]*\))\)": r"\1",
    r"\basync (def|for|with)\b": r"\1",
    r"\bawait ": "",
    r"\bAwaitable\[None\] \| ": "",
    r"\bAwaitable\[([CT])\]": r"\1",
    r"\bAsync(NotificationListener|PGMQueueOperationsMixin)\b": r"Sync\1",
    r"\bAsync(Client|Connection|ConnectionPool|Cursor|Engine)\b": r"\1",
    r"\bAsync(Methods|Operation|PGMQueue|Session)\b": r"\1",
    r"\bAsync(ExitStack|GroupJob|Iterator|Job)\b": r"\1",
    r"\basynccontextmanager\b": "contextmanager",
    r"\benter_async_context\b": "enter_context",
    r"\b_async_(client|connect|operation)\b": r"_\1",
    r"\basync_job\b": "job",
    r"(\w)_async\b": r"\1",
    r"\bcurrent_loop\b": "current_process",
    "the event loop and the process": "the process",
    "another event loop or process": "another process",
    r"\bcreate_async_engine\b": "create_engine",
    r"\b__a(enter|exit)__\b": r"__\1__",
}


def twin(text: str, source: str) -> str:
    """Translate a source."""
    for pattern, replacement in WORDS.items():
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    # `# sync: TEXT` at the end of a line is what stands there instead, `# sync: -` is nothing.
    text = re.sub(r"^.*  # sync: -\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^( *).*  # sync: (.*)$", r"\1\2", text, flags=re.MULTILINE)
    head, quote, rest = text.partition("\n\nfrom __future__")
    text = f"{head}\n\n# Made of {Path(source).name} by `make sync`: change that one.{quote}{rest}"
    for command in (["check", "--select", "F401,I", "--fix", "--quiet"], ["format", "--quiet"]):
        text = subprocess.run(
            [
                Path(sys.executable).with_name("ruff"),
                *command,
                "--config",
                ROOT / ".ruff.toml",
                "-",
            ],
            input=text,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
    return text


def main() -> int:
    """Write or check all twins."""
    stale = []
    for source, target in TWINS.items():
        made, path = twin((SOURCES / source).read_text(), source), SOURCES / target
        if not path.exists() or path.read_text() != made:
            stale.append(target)
            if "--check" not in sys.argv:
                path.write_text(made)
    if stale and "--check" in sys.argv:
        print(f"stale: {', '.join(stale)}; run `make sync`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
