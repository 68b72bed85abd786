"""The calls of pgmq-sqlalchemy 0.2: in the transaction of an ORM session, or one of their own."""

from __future__ import annotations

from pgmq_sqlalchemy import schema
from pgmq_sqlalchemy.operation import PGMQOperation
from pgmq_sqlalchemy.queue import PGMQueue

__all__ = ["PGMQueue", "op", "schema"]

op = PGMQOperation
