"""The plain file, as tools for migrations run it: what splits it, and what looks for parameters."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import psycopg
import pytest
import sqlparse

from support.server import BUILD, control, url

if TYPE_CHECKING:
    from pathlib import Path

    from support.server import TestServer

pytestmark = pytest.mark.once

VERSION = control()["default_version"]
PLAIN = BUILD / "pgmq.sql"

ENVIRONMENT = """
from alembic import context
context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
"""
# As documentation has it.
REVISION = f"""
from pathlib import Path
from alembic import op
revision, down_revision = "1", None
def upgrade():
    text = Path({str(PLAIN)!r}).read_text()
    op.get_bind().exec_driver_sql(text, execution_options={{"no_parameters": True}})
"""
RUN_SQL = f"""
import sys
from pathlib import Path
import django
from django.conf import settings
from django.db import connection
from django.db.migrations import RunSQL
settings.configure(DATABASES={{"default": {{
    "ENGINE": "django.db.backends.postgresql", "NAME": sys.argv[1], "USER": sys.argv[2],
    "HOST": sys.argv[3], "PORT": sys.argv[4],
}}}})
django.setup()
with connection.schema_editor() as editor:
    RunSQL(Path({str(PLAIN)!r}).read_text()).database_forwards("app", editor, None, None)
"""


def _version(server: TestServer, dbname: str) -> str:
    return server.run_psql(dbname, "-At", "-c", "SELECT pgmq.version()").stdout.strip()


def test_alembic_runs_it(server: TestServer, tmp_path: Path) -> None:
    pytest.importorskip("alembic")
    import sqlalchemy
    from alembic import command
    from alembic.config import Config

    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text(ENVIRONMENT)
    (tmp_path / "versions" / "1_pgmq.py").write_text(REVISION)
    config = Config()
    config.set_main_option("script_location", str(tmp_path))
    config.set_main_option("path_separator", "os")
    with server.database() as dbname:
        engine = sqlalchemy.create_engine(url(server.dsn(dbname)))
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        engine.dispose()
        assert _version(server, dbname) == VERSION


def test_django_runs_it(server: TestServer) -> None:
    with server.database() as dbname:
        where = [dbname, server.user, server.host, str(server.port)]
        subprocess.run([sys.executable, "-c", RUN_SQL, *where], check=True)
        assert _version(server, dbname) == VERSION


def test_a_tool_that_knows_dollar_quotes_sees_one_statement() -> None:
    """As sqlparse (yoyo) does, Flyway and the rest; and none sees a parameter of its own."""
    text = PLAIN.read_text()
    assert len(sqlparse.split(text)) == 1
    comment, _, rest = text.partition("DO $install$")
    assert all(line.startswith("-- ") for line in comment.splitlines())
    assert not re.search(r"""[;'"$]""", comment)
    assert re.fullmatch(r"(?s)(.*?)\$install\$;\n", rest)
    assert rest.count("$install$") == 1
    # Flyway and Liquibase replace this, golang's templates the other.
    assert "${" not in text
    assert "{{" not in text


def test_a_tool_that_splits_at_semicolons_changes_nothing(
    server: TestServer, upstream: psycopg.Connection
) -> None:
    upstream.execute("SELECT pgmq.create('q'), pgmq.send('q', '1')")
    before = server.dump(upstream.info.dbname)
    first, *_ = PLAIN.read_text().split(";")
    with pytest.raises(psycopg.errors.SyntaxError, match="unterminated dollar-quoted string"):
        upstream.execute(first.encode())
    assert server.dump(upstream.info.dbname) == before


def test_nor_does_it_in_an_empty_database_when_it_goes_on_after_errors(server: TestServer) -> None:
    with server.database() as dbname:
        before = server.dump(dbname)
        with psycopg.connect(server.dsn(dbname), autocommit=True) as session:
            for piece in PLAIN.read_text().split(";"):
                with contextlib.suppress(psycopg.Error):
                    session.execute(piece.encode())
        assert server.dump(dbname) == before
