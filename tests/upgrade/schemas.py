"""The schema of a database, to compare with that of another."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg

    from support.server import TestServer

# A dump leaves out the members of an extension: now it sees them.
_RELEASE = """
    SET allow_system_table_mods = on;
    DELETE FROM pg_depend
    WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' AND refobjid = (
        SELECT oid FROM pg_extension WHERE extname = 'pgmq'
    );
    DELETE FROM pg_init_privs;
    DELETE FROM pg_extension WHERE extname = 'pgmq';
"""


def schema_of(server: TestServer, session: psycopg.Connection) -> str:
    session.execute(_RELEASE)
    dump = server.dump(session.info.dbname, "--schema-only", "--exclude-schema=partman")
    # pg_partman marks the columns of what it makes with a number.
    dump = re.sub(r"^.* SET \(pg_attver=\d+\);\n", "", dump, flags=re.MULTILINE)
    # A dump of an upgraded extension lacks the grants on ctid: maintain() gives them again.
    on_ctid = re.compile(r"^-- Name: COLUMN .*[.]ctid; .*\n--\n\nGRANT .*\n\n\n--\n", re.MULTILINE)
    dump = on_ctid.sub("", dump)
    # The grants on one object come in the order in which they were made.
    grants = re.compile(r"(?:^GRANT .*\n){2,}", re.MULTILINE)
    return grants.sub(lambda run: "".join(sorted(run[0].splitlines(keepends=True))), dump)


def equal(schema: str, fresh: str) -> None:
    differences = "\n".join(difflib.unified_diff(fresh.splitlines(), schema.splitlines(), n=1))
    assert not differences, differences
