"""A proxy in front of a server, which can stop passing anything on."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

if TYPE_CHECKING:
    from collections.abc import Iterator


class Proxy:
    """Passes bytes on between clients and the server, until it is frozen."""

    def __init__(self, dsn: str, folder: Path) -> None:
        server = conninfo_to_dict(dsn)
        self._server = f"{server['host']}/.s.PGSQL.{server['port']}"
        self.dsn = make_conninfo(dsn, host=str(folder), connect_timeout=2)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{folder}/.s.PGSQL.{server['port']}")
        self._listener.listen()
        self._ends: list[socket.socket] = []
        self._frozen: set[socket.socket] = set()
        self.refuses = False  # whether new connections are frozen, too
        self.refusals: list[bytes] = []  # what the next transactions get for an answer, and no more
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self) -> None:
        """Pass nothing on any more of the connections that there are."""
        self._frozen.update(self._ends)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for end in [self._listener, *self._ends]:
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._ends.append(client)
                if self.refuses:
                    continue
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._ends.append(server)
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.refusals and data.startswith(b"Q\0\0\0\x0aBEGIN"):
                    source.sendall(self.refusals.pop())
                    source.shutdown(socket.SHUT_RDWR)
                    break
                if source not in self._frozen:
                    target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def proxying(dsn: str) -> Iterator[Proxy]:
    """Start one; skips the test where the server is not on a local socket."""
    if not str(conninfo_to_dict(dsn).get("host", "")).startswith("/"):
        pytest.skip("needs a server on a local socket")
    with tempfile.TemporaryDirectory(prefix="pgmq-") as folder:
        proxy = Proxy(dsn, Path(folder))
        yield proxy
        proxy.close()
