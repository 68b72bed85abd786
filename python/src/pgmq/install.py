"""Install pgmq by its SQL, where CREATE EXTENSION is not to be had."""

from __future__ import annotations

import contextlib
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from pgmq import _statements as statements
from pgmq._installed import VERSION
from pgmq.base import PGMQConfig, resolve_pgmq_config

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "PGMQInstallError",
    "get_embedded_install_sql",
    "get_embedded_sql_version",
    "install_or_update",
    "install_pgmq_from_sql",
    "install_pgmq_sql",
]


class PGMQInstallError(Exception):
    """Raised when pgmq could not be installed; its cause is the error that was in the way."""


def get_embedded_sql_version() -> str:
    """Return the version of pgmq that the package carries."""
    return VERSION


def get_embedded_install_sql() -> str:
    """Return the SQL that installs pgmq, and brings an earlier installation up to date."""
    packaged = files("pgmq") / "sql" / "pgmq.sql"
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    built = Path(__file__).resolve().parents[3] / "build" / "pgmq.sql"
    if built.is_file():
        return built.read_text(encoding="utf-8")
    raise PGMQInstallError("the package has no pgmq.sql; in a source checkout run `make build`")


def install_pgmq_sql(
    sql: str,
    *,
    conn: psycopg.Connection[Any] | None = None,
    config: PGMQConfig | None = None,
    dsn: str | None = None,
    **config_kwargs: Any,
) -> None:
    """Run a script in one transaction.

    The server is that of `conn`, whose open transaction is neither committed nor rolled back, or
    of `config`, or of `dsn` and keywords such as host and port.
    """
    if not sql.strip():
        raise PGMQInstallError("PGMQ SQL script is empty")
    with _connection(conn, config, dsn, config_kwargs) as connection:
        try:
            with connection.transaction():
                connection.execute(sql.encode())
        except Exception as error:
            raise PGMQInstallError(f"Failed to execute PGMQ SQL: {error}") from error


def install_pgmq_from_sql(
    *,
    conn: psycopg.Connection[Any] | None = None,
    config: PGMQConfig | None = None,
    dsn: str | None = None,
    **config_kwargs: Any,
) -> str:
    """Install the SQL that the package carries, in one transaction, and return its version.

    Arguments are those of install_pgmq_sql. May be repeated: an earlier version is upgraded.

        >>> install_pgmq_from_sql(dsn=dsn) == pgmq.__version__
        True
    """
    install_pgmq_sql(get_embedded_install_sql(), conn=conn, config=config, dsn=dsn, **config_kwargs)
    return get_embedded_sql_version()


def install_or_update(connection: psycopg.Connection[Any], *, extension: bool = True) -> str:
    """Install pgmq in a database, or bring it up to date, in one transaction; return its version.

    It is an extension where the server has its files, and else what the package carries. Without
    `extension` that is so from the start; one that is there already stays one. Raises
    PGMQInstallError when the server lacks the files to update it, and psycopg's errors.
    """
    ours = get_embedded_sql_version()
    with connection.transaction(), connection.cursor(row_factory=tuple_row) as cursor:
        # No notices of what is not there to be replaced.
        cursor.execute("SET LOCAL client_min_messages = warning")
        statement = statements.installation(ours)
        cursor.execute(statement.query, statement.parameters)
        there = statement.decode(cursor.fetchall())
        version = sql.Literal(ours)
        if there.extension == ours:
            pass
        elif there.extension is not None:
            if not there.available:
                raise PGMQInstallError(
                    f"the extension is here in version {there.extension}, and the server has no"
                    f" files of {ours}: they come with make install in pgmq's source"
                )
            cursor.execute(sql.SQL("ALTER EXTENSION pgmq UPDATE TO {}").format(version))
        elif extension and there.available and not there.schema:
            cursor.execute(sql.SQL("CREATE EXTENSION pgmq VERSION {}").format(version))
        else:
            cursor.execute(get_embedded_install_sql().encode())
        installed = statements.version()
        cursor.execute(installed.query, installed.parameters)
        return installed.decode(cursor.fetchall())


@contextlib.contextmanager
def _connection(
    conn: psycopg.Connection[Any] | None,
    config: PGMQConfig | None,
    dsn: str | None,
    config_kwargs: dict[str, Any],
) -> Iterator[psycopg.Connection[Any]]:
    if conn is not None:
        yield conn
        return
    found = resolve_pgmq_config(config=config, dsn=dsn, config_kwargs=config_kwargs)
    try:
        connection = psycopg.connect(found.dsn, autocommit=True)
    except psycopg.Error as error:
        raise PGMQInstallError(f"Failed to connect to PostgreSQL: {error}") from error
    with connection:
        yield connection
