"""The operations, synchronous and asynchronous."""

from __future__ import annotations

from pgmq_sqlalchemy._async_operation import AsyncOperation
from pgmq_sqlalchemy._operation import Operation

__all__ = ["PGMQOperation"]


class PGMQOperation(Operation, AsyncOperation):
    """Every operation under its name, for a Session, and as NAME_async for an AsyncSession."""
