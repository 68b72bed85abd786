"""Where a database is, in words that kombu-pgmq understands."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from psycopg.conninfo import conninfo_to_dict


def celery_url(dsn: str) -> str:
    """Say in a URL where the server is; kombu-pgmq does not know of sockets."""
    given = {key: str(value) for key, value in conninfo_to_dict(dsn).items()}
    rest = {key: value for key, value in given.items() if key in {"host", "port"}}
    name = quote(f"{given['dbname']}?{urlencode(rest)}", safe="")
    return f"postgresql://{given['user']}:{given.get('password', 'x')}@localhost:5432/{name}"
