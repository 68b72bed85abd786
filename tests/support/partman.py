"""The extension pg_partman, where the server has it."""

from __future__ import annotations

import psycopg
import pytest


def install(session: psycopg.Connection) -> None:
    """Create it; else the test is skipped."""
    try:
        session.execute("CREATE SCHEMA partman; CREATE EXTENSION pg_partman SCHEMA partman")
    except (psycopg.errors.UndefinedFile, psycopg.errors.FeatureNotSupported):
        pytest.skip("needs the extension pg_partman (Debian: postgresql-15-partman)")
