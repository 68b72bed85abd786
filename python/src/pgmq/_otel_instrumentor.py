"""The entry point of `opentelemetry-instrument`, which has pgmq.otel instrument what it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from pgmq import otel

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["PGMQInstrumentor"]


class PGMQInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Calls instrument() and uninstrument()."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Name what must be there: nothing but pgmq itself."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        otel.instrument(
            tracer_provider=kwargs.get("tracer_provider"),
            meter_provider=kwargs.get("meter_provider"),
        )

    def _uninstrument(self, **_: Any) -> None:
        otel.uninstrument()
