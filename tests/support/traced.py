"""A handler for processes, each of which instruments itself as it imports this."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from opentelemetry import trace

import pgmq.otel

if TYPE_CHECKING:
    from pgmq import Message

pgmq.otel.instrument()


def note_trace(message: Message) -> None:
    """Write the trace that the handler is called in to the file that the message names."""
    context = trace.get_current_span().get_span_context()
    Path(message.message["file"]).write_text(format(context.trace_id, "032x"))
