"""Relays that run beside a test."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgmq.relay import Relay


@contextlib.contextmanager
def running(relay: Relay) -> Iterator[None]:
    """Have a relay run, and stopped in the end."""
    thread = threading.Thread(target=relay.run)
    thread.start()
    try:
        yield
    finally:
        relay.stop()
        thread.join(30)
        assert not thread.is_alive()
