"""A console that is served, and what a person does with it."""

from __future__ import annotations

import contextlib
import html
import re
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import uvicorn

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def served(app: Any) -> Iterator[httpx.Client]:
    """Serve an application, and talk to it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(app, log_level="warning", access_log=False, ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            url = f"http://localhost:{listening.getsockname()[1]}"
            with httpx.Client(base_url=url, timeout=30) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


def sampled(client: httpx.Client, path: str = "/") -> None:
    """Wait for the first figures."""
    deadline = time.monotonic() + 20
    while "Figures of" not in client.get(path).text:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def csrf_of(page: str) -> str:
    """Find what the forms of a page must carry."""
    return re.search(r'name="csrf" value="(\w+)"', page)[1]  # type: ignore[index]


def act(client: httpx.Client, queue: str, action: str, *ids: str, **fields: str) -> str:
    """Do something as a person would: ask, confirm where that is wanted, and read the account."""
    csrf = csrf_of(client.get("/messages", params={"queue": queue}).text)
    form = {"csrf": csrf, "queue": queue, "action": action, **fields}
    answer = client.post("/act", data={**form, "ids": ids})
    if answer.status_code == 200:
        if "question" in fields:
            return html.unescape(answer.text)
        hidden = re.findall(r'type="hidden" name="(\w+)" value="(.*?)"', answer.text)
        again: dict[str, list[str]] = {}
        for name, value in hidden:
            again.setdefault(name, []).append(html.unescape(value))
        answer = client.post("/act", data=again)
    if answer.status_code != 303:
        return f"{answer.status_code} {html.unescape(answer.text)}"
    page = client.get(answer.headers["location"]).text
    account = re.search(r'notice good" role="status">(.*?) <small>', page)
    return html.unescape(account[1]) if account else ""
