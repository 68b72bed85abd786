"""What the migrations of this app do."""

from __future__ import annotations

from typing import Any

from django.db import migrations

from pgmq.install import install_or_update

__all__ = ["Install"]


def _install(apps: Any, schema_editor: Any) -> None:
    """Install the SQL that the package carries, or bring an earlier installation up to date.

    An extension that is there stays one, and is updated. Databases that are not Postgres are left
    alone.
    """
    connection = schema_editor.connection
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT")  # begins the transaction that the rest is part of
    with connection.wrap_database_errors:
        install_or_update(connection.connection, extension=False)


class Install(migrations.RunPython):
    """Bring pgmq to the version of this package; undoing that leaves what is there."""

    def __init__(self) -> None:
        super().__init__(_install, migrations.RunPython.noop)

    def describe(self) -> str:
        """Say what it does."""
        return "Install pgmq, or bring it up to date"
