"""Kept for callers of pgmq-py 1.1: its loggers, made by the standard library."""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import logging
import logging.handlers
import re
import time
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["LoggingManager", "PGMQLogger", "create_logger", "log_performance", "log_with_context"]

F = TypeVar("F", bound="Callable[..., Any]")

_TEXT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "timestamp": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


class LoggingManager:
    """Makes loggers; without verbose or a file they get no handler, as a library's should not."""

    @classmethod
    def get_logger(
        cls,
        name: str,
        verbose: bool = False,
        log_filename: str | None = None,
        log_format: str | None = None,
        log_level: int | str | None = None,
        enable_rotation: bool = False,
        max_bytes: int = 10 * 1024 * 1024,
        backup_count: int = 5,
        structured: bool = False,
        rotation: str | None = None,
        retention: str | None = None,
        compression: str | None = None,
    ) -> logging.Logger:
        """Return a logger; verbose writes everything to stderr and, if named, to a file.

        `rotation` is a size such as "10 MB" and wins over max_bytes; retention and compression
        are taken and ignored: backup_count files are kept.
        """
        logger = logging.getLogger(name)
        if log_level is not None or verbose:
            logger.setLevel(log_level if log_level is not None else logging.DEBUG)
        formatter = _JsonFormatter() if structured else logging.Formatter(log_format or _TEXT)
        wanted: dict[str, Callable[[], logging.Handler]] = {}
        if verbose:
            wanted["pgmq:stderr"] = logging.StreamHandler
        if log_filename is not None:
            size = _bytes(rotation) or max_bytes if enable_rotation else 0
            wanted[f"pgmq:{log_filename}"] = functools.partial(
                logging.handlers.RotatingFileHandler,
                log_filename,
                maxBytes=size,
                backupCount=backup_count,
                delay=True,
            )
        there = {handler.name for handler in logger.handlers}
        for key in wanted.keys() - there:
            handler = wanted[key]()
            handler.name = key
            handler.setFormatter(formatter)
            logger.addHandler(handler)
        return logger

    @classmethod
    def configure_global_logging(
        cls,
        log_level: int | str = logging.INFO,
        log_format: str | None = None,
        structured: bool = False,
        use_loguru: bool | None = None,
    ) -> None:
        """Have all loggers of pgmq write to stderr; use_loguru is taken and ignored."""
        cls.get_logger(
            "pgmq", verbose=True, log_format=log_format, log_level=log_level, structured=structured
        )

    @classmethod
    def log_transaction_start(cls, logger: logging.Logger, func_name: str, **context: Any) -> None:
        """Log that a transaction begins."""
        log_with_context(logger, logging.DEBUG, f"Transaction started: {func_name}", **context)

    @classmethod
    def log_transaction_success(
        cls, logger: logging.Logger, func_name: str, **context: Any
    ) -> None:
        """Log that a transaction was committed."""
        log_with_context(logger, logging.DEBUG, f"Transaction committed: {func_name}", **context)

    @classmethod
    def log_transaction_error(
        cls, logger: logging.Logger, func_name: str, error: Exception, **context: Any
    ) -> None:
        """Log that a transaction was rolled back."""
        text = f"Transaction rolled back: {func_name}"
        log_with_context(logger, logging.ERROR, text, error=error, **context)

    @staticmethod
    def log_with_context(
        logger: logging.Logger, level: int | str, message: str, **context: Any
    ) -> None:
        """Log a message with its context behind it: `message | key=value`."""
        number = logging.getLevelName(level.upper()) if isinstance(level, str) else level
        if logger.isEnabledFor(number):
            texts = [message, *(f"{key}={value}" for key, value in context.items())]
            logger.log(number, "%s", " | ".join(texts))


PGMQLogger = LoggingManager
log_with_context = LoggingManager.log_with_context


def create_logger(
    name: str, verbose: bool = False, log_filename: str | None = None
) -> logging.Logger:
    """Return a logger; see LoggingManager.get_logger."""
    return LoggingManager.get_logger(name, verbose=verbose, log_filename=log_filename)


def log_performance(logger: logging.Logger) -> Callable[[F], F]:
    """Log how long each call of a function takes, in milliseconds, and whether it succeeded."""

    def decorate(function: Any) -> Any:
        name = function.__name__

        @contextlib.contextmanager
        def timed() -> Iterator[None]:
            started, success = time.perf_counter(), False
            try:
                yield
                success = True
            finally:
                level, word = (logging.DEBUG, "Completed") if success else (logging.ERROR, "Failed")
                elapsed = round((time.perf_counter() - started) * 1000, 2)
                context = {"function": name, "elapsed_ms": elapsed, "success": success}
                log_with_context(logger, level, f"{word} {name}", **context)

        @functools.wraps(function)
        async def asynchronous(*args: Any, **kwargs: Any) -> Any:
            with timed():
                return await function(*args, **kwargs)

        @functools.wraps(function)
        def synchronous(*args: Any, **kwargs: Any) -> Any:
            with timed():
                return function(*args, **kwargs)

        return asynchronous if inspect.iscoroutinefunction(function) else synchronous

    return decorate


def _bytes(size: str | None) -> int:
    found = re.fullmatch(r"\s*(\d+)\s*([KMG]?)I?B?\s*", (size or "").upper())
    return int(found[1]) * _UNITS[found[2]] if found else 0
