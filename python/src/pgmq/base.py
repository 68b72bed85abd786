"""How a client finds its server: arguments, a connection string, the environment."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgmq.logger import LoggingManager

__all__ = ["BaseQueue", "PGMQConfig", "resolve_pgmq_config"]

# What the fields are called in a connection string, and where their values come from otherwise.
_FIELDS = {
    "host": ("host", "PG_HOST", "localhost"),
    "port": ("port", "PG_PORT", "5432"),
    "database": ("dbname", "PG_DATABASE", "postgres"),
    "username": ("user", "PG_USERNAME", "postgres"),
    "password": ("password", "PG_PASSWORD", "postgres"),
}


def _from_environment(name: str) -> Any:
    _, variable, default = _FIELDS[name]
    return field(default_factory=lambda: os.environ.get(variable, default), repr=name != "password")


def _conn_string() -> str | None:
    return os.environ.get("DATABASE_URL")


def _init_extension() -> bool:
    value = os.environ.get("PG_INIT_EXTENSION", "true")
    return value.strip().lower() in {"1", "on", "true", "yes"}


@dataclass
class ClientFields:
    """The constructor arguments that all clients have; conn_string wins over the single ones."""

    conn_string: str | None = field(default_factory=_conn_string, repr=False)
    host: str = _from_environment("host")
    port: str = _from_environment("port")
    database: str = _from_environment("database")
    username: str = _from_environment("username")
    password: str = _from_environment("password")
    delay: int = 0
    vt: int = 30
    pool_size: int = 10
    verbose: bool = False
    log_filename: str | None = None
    init_extension: bool = field(default_factory=_init_extension)
    structured_logging: bool = False
    log_rotation: bool = False
    log_rotation_size: str = "10 MB"
    log_retention: str = "1 week"


@dataclass
class PGMQConfig(ClientFields):
    """Where the server is and how to talk to it.

    `conn_string` (a URI or libpq's key=value form) wins over host, port, database, username and
    password. What it leaves open, these say where they are given, by an argument or by PG_HOST and
    its like; else libpq, by its own rules: PGHOST and its like, service and password files. Its
    other options, sslmode for example, are kept.

        >>> config = PGMQConfig("postgresql://app:secret@db.example/orders?sslmode=require")
        >>> config.host, config.port, config.database
        ('db.example', '5432', 'orders')
    """

    _options: dict[str, str] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        given = _parse(self.conn_string) if self.conn_string else {}
        # An address or a service in conn_string stands for the host.
        named = given.keys() & {"hostaddr", "service"}
        for name, (key, variable, default) in _FIELDS.items():
            in_string = given.pop(key, None)
            said = getattr(self, name) or os.environ.get(variable)
            setattr(self, name, str(in_string or said or default))
            # Of a default nobody knows whether it was meant: libpq may know better.
            meant = in_string or (said and said != default)
            if not self.conn_string or (
                meant and (in_string or key not in {"host", "port"} or not named)
            ):
                self._options[key] = getattr(self, name)
        self._options.update(given)

    @property
    def dsn(self) -> str:
        """The connection string for libpq."""
        return make_conninfo("", **self._options)

    @property
    def async_dsn(self) -> str:
        """The connection string as a URI."""
        given = {key: quote(value, safe="") for key, value in self._options.items()}
        host = given.get("host", "")
        if "/" in self._options.get("host", ""):  # a directory, which is no host of a URI
            host = ""
        user = ":".join(given[key] for key in ("user", "password") if key in given)
        port = f":{given['port']}" if "port" in given else ""
        known = {"user", "password", "port", "dbname"} | ({"host"} if host else set())
        query = {key: value for key, value in self._options.items() if key not in known}
        uri = f"postgresql://{user}{'@' if user else ''}{host}{port}/{given.get('dbname', '')}"
        return f"{uri}?{urlencode(sorted(query.items()), quote_via=quote)}" if query else uri


def _parse(conn_string: str) -> dict[str, str]:
    # SQLAlchemy's URLs name the driver.
    plain = re.sub(r"^postgres(ql)?\+\w+://", "postgresql://", conn_string)
    try:
        found = conninfo_to_dict(plain)
    except psycopg.ProgrammingError:
        # The error of libpq quotes the string, which has a password in it.
        raise ValueError(
            "conn_string is neither a postgresql:// URI nor in the key=value form of libpq"
        ) from None
    return {key: str(value) for key, value in found.items()}


def resolve_pgmq_config(
    *,
    config: PGMQConfig | None = None,
    dsn: str | None = None,
    config_kwargs: dict[str, Any] | None = None,
) -> PGMQConfig:
    """Make a configuration of a connection string and keywords, or take the one that is given."""
    keywords = dict(config_kwargs or {})
    if config is not None:
        if dsn is not None or keywords:
            raise ValueError("Cannot combine config with dsn or connection kwargs")
        return config
    known = {item.name for item in fields(PGMQConfig) if item.init}
    unknown = sorted(keywords.keys() - known)
    if unknown:
        raise ValueError(
            f"Unsupported connection parameters: {unknown}. "
            "Options of libpq, sslmode for example, go into dsn or conn_string."
        )
    if dsn is not None:
        keywords["conn_string"] = dsn
    elif keywords.keys() & _FIELDS.keys():
        keywords.setdefault("conn_string", None)  # not that of DATABASE_URL
    return PGMQConfig(**keywords)


class BaseQueue:
    """What every client has: config and logger."""

    config: PGMQConfig
    logger: Any

    def _configure(self, name: str) -> None:
        self.config = PGMQConfig(
            **{item.name: getattr(self, item.name) for item in fields(ClientFields)}
        )
        self.logger = LoggingManager.get_logger(
            name,
            verbose=self.config.verbose,
            log_filename=self.config.log_filename,
            structured=self.config.structured_logging,
            enable_rotation=self.config.log_rotation,
            rotation=self.config.log_rotation_size,
            retention=self.config.log_retention,
        )
