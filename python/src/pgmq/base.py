"""How everything finds its server: arguments, a connection string, the environment."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo

from pgmq.logger import LoggingManager

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

__all__ = [
    "BaseQueue",
    "ConnStringError",
    "PGMQConfig",
    "find_server",
    "lasting",
    "resolve_pgmq_config",
    "where",
]

# What the fields are called in a connection string, and where their values come from otherwise.
_FIELDS = {
    "host": ("host", "PG_HOST", "localhost"),
    "port": ("port", "PG_PORT", "5432"),
    "database": ("dbname", "PG_DATABASE", "postgres"),
    "username": ("user", "PG_USERNAME", "postgres"),
    "password": ("password", "PG_PASSWORD", "postgres"),
}
# libpq's own variables.
_LIBPQ = {
    "PGHOST": "host",
    "PGHOSTADDR": "host",
    "PGPORT": "port",
    "PGDATABASE": "dbname",
    "PGUSER": "user",
    "PGPASSWORD": "password",
    "PGPASSFILE": "password",
    "PGSERVICE": "service",
}


class ConnStringError(psycopg.ProgrammingError, ValueError):
    """Raised for what is no connection string; its text has no password in it."""


def find_server(conn_string: Any = None, **said: str) -> dict[str, str]:
    """Return what is said about the server, as options of libpq, which decides what is left open.

    Arguments come first: `conn_string`, and then single options. Where there are none, PGMQ_DSN is
    the connection string, or else DATABASE_URL. What is still open PG_HOST, PG_PORT, PG_DATABASE,
    PG_USERNAME and PG_PASSWORD say. After them libpq's own rules apply: PGHOST and its like,
    service and password files.

    `conn_string` is a URI, with a driver as SQLAlchemy has it or without, or SQLAlchemy's object
    for one, or libpq's key=value form.
    """
    conn_string = conn_string or _environment(said)
    given = _parse(conn_string) if conn_string else {}
    # An address or a service in the string stands for the host.
    taken = {"host", "port"} if given.keys() & {"hostaddr", "service"} else set()
    found = {
        key: str(value)
        for key, variable, _ in _FIELDS.values()
        if (value := said.get(key) or os.environ.get(variable)) and key not in taken
    }
    if found and not conn_string:
        found = _defaults() | found
    return found | given


def lasting(given: Mapping[str, str]) -> dict[str, str]:
    """Complete options for a connection that is kept: by default, a lost server is noticed late.

    One that vanishes without a word is noticed in a minute instead of hours.
    """
    return {
        "connect_timeout": os.environ.get("PGCONNECT_TIMEOUT", "10"),
        "keepalives_idle": "30",
        "keepalives_interval": "10",
        "keepalives_count": "3",
        "tcp_user_timeout": "60000",  # milliseconds: also while it owes an answer
        **given,
    }


def _environment(said: Mapping[str, str]) -> str | None:
    return None if said else os.environ.get("PGMQ_DSN") or os.environ.get("DATABASE_URL")


def _libpq() -> set[str]:
    return {key for variable, key in _LIBPQ.items() if variable in os.environ}


def _defaults() -> dict[str, str]:
    """Return pgmq-py's defaults for what libpq's variables do not say; a service may say all."""
    said = _libpq()
    if "service" in said:
        return {}
    return {key: default for key, _, default in _FIELDS.values() if key not in said}


def _parse(conn_string: Any) -> dict[str, str]:
    if hasattr(conn_string, "render_as_string"):  # of SQLAlchemy
        conn_string = conn_string.render_as_string(hide_password=False)
    try:
        if re.match(r"postgres(ql)?\+\w+://", conn_string):
            found = _parse_sqlalchemy(conn_string)
        else:
            found = conninfo_to_dict(conn_string)
    except psycopg.ProgrammingError as error:
        # Other errors of libpq quote the string, which has a password in it.
        name = re.match(r'invalid (connection option|URI query parameter).*"\w+"', str(error))
        what = f"has an {name[0]}" if name else "is neither a postgresql:// URI nor key=value pairs"
        raise ConnStringError(f"the connection string {what}") from None
    return {key: str(value) for key, value in found.items()}


def _parse_sqlalchemy(url: str) -> dict[str, Any]:
    """Parse a URL with a driver: its hosts may be HOST:PORT, and asyncpg has ssl for sslmode."""
    plain, _, query = re.sub(r"\+\w+", "", url, count=1).partition("?")
    options: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        name = "sslmode" if key == "ssl" else key
        options[name] = f"{options[name]},{value}" if name in options else value
    hosts = [re.fullmatch(r"([^:/]+):(\d*)", host) for host in options.get("host", "").split(",")]
    if all(hosts):
        options["host"], options["port"] = (
            ",".join(host[part] for host in hosts if host) for part in (1, 2)
        )
    return conninfo_to_dict(make_conninfo(plain, **options))


def where(conninfo: str, **more: Any) -> str:
    """Write where libpq goes with a connection string, as a URI without secrets and options."""
    options = conninfo_to_dict(conninfo) | more
    known = {option.keyword.decode(): option.val for option in Conninfo.get_defaults()}
    shown = {}
    for key in ("host", "hostaddr", "port", "dbname", "user", "service"):
        default = b"" if "service" in options else known[key] or b""
        if value := options.get(key) or default.decode():
            shown[key] = str(value)
    return _uri(shown)


def _uri(options: Mapping[str, str]) -> str:
    inside = {"user", "password", "dbname", "host", "port"}
    if "," in options.get("host", "") + options.get("port", ""):
        inside -= {"host", "port"}
    elif "/" in options.get("host", ""):  # a directory is no host of a URI
        inside -= {"host"}
    given = {key: quote(value, safe="") for key, value in options.items() if key in inside}
    query = sorted((key, value) for key, value in options.items() if key not in inside)
    user = given.get("user", "") + (f":{given['password']}" if "password" in given else "")
    host = f"[{options['host']}]" if "%3A" in given.get("host", "") else given.get("host", "")
    port = f":{given['port']}" if "port" in given else ""
    uri = f"postgresql://{user}{'@' if user else ''}{host}{port}/{given.get('dbname', '')}"
    return f"{uri}?{urlencode(query, safe=':,', quote_via=quote)}" if query else uri


def _unsaid() -> Any:
    return None


def _init_extension() -> bool:
    value = os.environ.get("PG_INIT_EXTENSION", "true")
    return value.strip().lower() in {"1", "on", "true", "yes"}


@dataclass(repr=False)
class ClientFields:
    """The constructor arguments that all clients have; conn_string wins over the single ones."""

    conn_string: str | None = field(default_factory=_unsaid, repr=False)
    host: str = field(default_factory=_unsaid)
    port: str = field(default_factory=_unsaid)
    database: str = field(default_factory=_unsaid)
    username: str = field(default_factory=_unsaid)
    password: str = field(default_factory=_unsaid, repr=False)
    delay: int | timedelta = 0
    vt: int | timedelta = 30
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

    The server is found as find_server says. Where nothing does, it is pgmq-py's: `localhost`,
    `5432`, and `postgres` for database, username and password.

        >>> config = PGMQConfig("postgresql://app:secret@db.example/orders?sslmode=require")
        >>> config.host, config.port, config.database
        ('db.example', '5432', 'orders')
    """

    _options: dict[str, str] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        said = {key: said for name, (key, _, _) in _FIELDS.items() if (said := getattr(self, name))}
        conn_string = self.conn_string or _environment(said)
        self._options = find_server(conn_string, **said)
        if not self._options and _libpq() <= {"password"}:
            self._options = _defaults()
        found: dict[str, Any] = {
            name: self._options.get(key) or default for name, (key, _, default) in _FIELDS.items()
        }
        for name, value in (found | {"conn_string": conn_string}).items():
            setattr(self, name, value)

    @property
    def dsn(self) -> str:
        """The connection string for libpq."""
        return make_conninfo("", **self._options)

    @property
    def async_dsn(self) -> str:
        """The connection string as a URI."""
        return _uri(self._options)


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
    return PGMQConfig(**keywords)


class BaseQueue:
    """What every client has: config and logger."""

    config: PGMQConfig
    logger: Any

    def _configure(self, name: str) -> None:
        names = [item.name for item in fields(ClientFields)]
        self.config = PGMQConfig(**{name: getattr(self, name) for name in names})
        for each in names:
            setattr(self, each, getattr(self.config, each))
        self.logger = LoggingManager.get_logger(
            name,
            verbose=self.config.verbose,
            log_filename=self.config.log_filename,
            structured=self.config.structured_logging,
            enable_rotation=self.config.log_rotation,
            rotation=self.config.log_rotation_size,
            retention=self.config.log_retention,
        )

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} at {self._where()}>"

    def _where(self) -> str:
        return where(self.config.dsn)
