"""The Python side of pgmq, a message queue inside Postgres."""

from __future__ import annotations

from importlib import import_module as _import_module
from importlib.util import find_spec as _find_spec
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from pgmq._installed import VERSION as _VERSION
from pgmq.async_queue import PGMQueue as AsyncPGMQueue
from pgmq.decorators import (
    async_transaction,
    sqlalchemy_async_transaction,
    sqlalchemy_transaction,
    transaction,
)
from pgmq.install import (
    PGMQInstallError,
    get_embedded_install_sql,
    get_embedded_sql_version,
    install_pgmq_from_sql,
    install_pgmq_sql,
)
from pgmq.logger import PGMQLogger, create_logger, log_performance
from pgmq.messages import (
    Binding,
    Channel,
    Finding,
    Message,
    NotificationThrottle,
    Pause,
    Policy,
    QueueMessage,
    QueueMetrics,
    QueueRecord,
    QueueStats,
    RoutingResult,
    Schedule,
    SendOnceResult,
    StreamBatch,
    StreamGroup,
    StreamLane,
    StreamMessage,
    TopicBinding,
    WorkerMessage,
)
from pgmq.queue import PGMQueue
from pgmq.worker import AsyncWorker, Hooks, ProcessWorker, Reject, Retry, Worker

if _TYPE_CHECKING:
    from pgmq.sqlalchemy_async_queue import PGMQueue as SQLAlchemyAsyncPGMQueue
    from pgmq.sqlalchemy_queue import PGMQueue as SQLAlchemyPGMQueue

__all__ = [
    "AsyncPGMQueue",
    "AsyncWorker",
    "Binding",
    "Channel",
    "Finding",
    "Hooks",
    "Message",
    "NotificationThrottle",
    "PGMQInstallError",
    "PGMQLogger",
    "PGMQueue",
    "Pause",
    "Policy",
    "ProcessWorker",
    "QueueMessage",
    "QueueMetrics",
    "QueueRecord",
    "QueueStats",
    "Reject",
    "Retry",
    "RoutingResult",
    "Schedule",
    "SendOnceResult",
    "StreamBatch",
    "StreamGroup",
    "StreamLane",
    "StreamMessage",
    "SyncPGMQueue",
    "TopicBinding",
    "Worker",
    "WorkerMessage",
    "__version__",
    "async_transaction",
    "create_logger",
    "get_embedded_install_sql",
    "get_embedded_sql_version",
    "install_pgmq_from_sql",
    "install_pgmq_sql",
    "log_performance",
    "sqlalchemy_async_transaction",
    "sqlalchemy_transaction",
    "transaction",
]
_SQLALCHEMY = {
    "SQLAlchemyAsyncPGMQueue": "pgmq.sqlalchemy_async_queue",
    "SQLAlchemyPGMQueue": "pgmq.sqlalchemy_queue",
}
if _find_spec("sqlalchemy"):
    __all__ += ["SQLAlchemyAsyncPGMQueue", "SQLAlchemyPGMQueue"]

__version__ = _VERSION

SyncPGMQueue = PGMQueue


def __getattr__(name: str) -> _Any:
    module = _SQLALCHEMY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return _import_module(module).PGMQueue
    except ModuleNotFoundError as error:
        raise ImportError(f"{name} needs SQLAlchemy: pip install 'pgmq[sqlalchemy]'") from error
