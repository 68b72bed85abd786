"""From plain SQL to the extension and back, and removing pgmq: no queue is lost by the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from support import queries, queues
from support.server import BUILD, ROOT, control
from upgrade import older

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Roles
    from support.server import TestServer

LEAVE = ROOT / "extension" / "upgrade" / "leave.sql"
GRANTS = """
    SELECT c.relname::text || a.grantee::regrole::text || a.privilege_type
    FROM pg_class AS c CROSS JOIN aclexplode(c.relacl) AS a
    WHERE c.relnamespace = 'pgmq'::regnamespace AND a.grantee <> 0 ORDER BY 1
"""


@pytest.fixture
def empty(server: TestServer) -> Iterator[psycopg.Connection]:
    if server.embedded is None:
        pytest.skip("needs the embedded server, in which pgmq is an extension")
    with (
        server.database() as dbname,
        psycopg.connect(server.dsn(dbname), autocommit=True) as session,
    ):
        yield session


def test_queues_move_from_plain_sql_to_the_extension_and_back(
    roles: Roles, empty: psycopg.Connection, server: TestServer
) -> None:
    """By a role that is no superuser, and owns all of it."""
    owner, user = roles("LOGIN"), roles()
    database = empty.info.dbname
    empty.execute(f"GRANT CREATE ON DATABASE {database} TO {owner}".encode())
    with psycopg.connect(server.dsn(database), user=owner, autocommit=True) as session:
        plain = (BUILD / "pgmq.sql").read_bytes()
        session.execute(plain)
        queues.fill(session)
        session.execute("SELECT pgmq.grant_consume('plain', %s)", [user])
        session.execute("SELECT pgmq.grant_create(%s)", [user])
        before, grants = queues.contents(session), queries.ids(session, GRANTS)
        for move in (b"CREATE EXTENSION pgmq", LEAVE.read_bytes(), plain, b"CREATE EXTENSION pgmq"):
            session.execute(move)
            assert queues.contents(session) == before
            assert queries.ids(session, GRANTS) == grants
        with server.database() as restored:
            done = server.run_psql(restored, "-v", "ON_ERROR_STOP=1", stdin=server.dump(database))
            assert done.returncode == 0, done.stdout
            with psycopg.connect(server.dsn(restored), autocommit=True) as copy:
                assert queues.contents(copy) == before
        queues.works(session)


def test_the_extension_takes_over_the_plain_sql_of_pgmq_1(
    empty: psycopg.Connection, upstream_sql: str
) -> None:
    empty.execute(upstream_sql.encode())
    empty.execute("SELECT pgmq.create('q'), pgmq.create_unlogged('U'), pgmq.bind_topic('x.#', 'q')")
    empty.execute("SELECT pgmq.enable_notify_insert('q'), pgmq.send_batch('q', '{1,2,3}')")
    empty.execute("SELECT pgmq.archive('q', 1::bigint)")
    for step in (b"CREATE EXTENSION pgmq", (BUILD / "pgmq.sql").read_bytes(), LEAVE.read_bytes()):
        empty.execute(step)
        assert queries.ids(empty, "SELECT msg_id FROM pgmq.read('q', 0, 9)") == [2, 3]
        assert queries.ids(empty, "SELECT finding FROM pgmq.doctor() WHERE queue_name <> ''") == []
    assert queries.one(empty, "SELECT pgmq.send_topic('x.y', '4')") == 1


@pytest.mark.parametrize("version", ["1.13.0", "2.0.0", control()["default_version"]])
@pytest.mark.parametrize("by", ["the plain file", "leave.sql"])
def test_an_extension_becomes_the_plain_sql_and_says_so(
    version: str, by: str, empty: psycopg.Connection, server: TestServer, upstream_sql: str
) -> None:
    today = control()["default_version"]
    if version == today:
        empty.execute("CREATE EXTENSION pgmq")
    else:
        older.install(server, empty, upstream_sql, version)
    empty.execute("SELECT pgmq.create('q'), pgmq.send_batch('q', '{1,2,3}')")
    empty.execute("SELECT pgmq.archive('q', 1::bigint), pgmq.enable_notify_insert('q')")
    said: list[str | None] = []
    expected = "upgraded from " + {"1.13.0": "1.13"}.get(version, version)
    if version == today:
        expected = "unchanged"
    elif by == "the plain file":
        expected += ", and no extension any more"
    if by == "leave.sql":
        empty.execute("SET search_path = pgmq")
        empty.execute(LEAVE.read_bytes())
        assert queries.ids(empty, "SELECT msg_id FROM pgmq.read('q', 0, 9)") == [2, 3]
        assert queries.one(empty, "SHOW search_path") == "pgmq"
    empty.add_notice_handler(lambda notice: said.append(notice.message_primary))
    for done in expected, "unchanged":
        empty.execute((BUILD / "pgmq.sql").read_bytes())
        assert said.pop() == f"pgmq {today}: {done}"
        assert queries.ids(empty, "SELECT msg_id FROM pgmq.read('q', 0, 9)") == [2, 3]
    is_extension = "SELECT count(*) FROM pg_extension WHERE extname = 'pgmq'"
    assert queries.one(empty, is_extension) == (version == today and by != "leave.sql")
    assert queries.ids(empty, "SELECT msg_id FROM pgmq.a_q") == [1]
    assert queries.ids(empty, "SELECT queue_name FROM pgmq.notify_insert_throttle") == ["q"]


def test_the_extension_takes_over_nothing_of_another_role(
    roles: Roles, empty: psycopg.Connection
) -> None:
    owner = roles()
    empty.execute(f"GRANT CREATE ON DATABASE {empty.info.dbname} TO {owner}".encode())
    empty.execute(f"SET ROLE {owner}".encode())
    empty.execute((BUILD / "pgmq.sql").read_bytes())
    empty.execute("RESET ROLE")
    with pytest.raises(
        psycopg.errors.InsufficientPrivilege, match=f"the pgmq .* belongs to role {owner}"
    ):
        empty.execute("CREATE EXTENSION pgmq")


def test_what_was_put_aside_goes_with_the_extension_and_what_is_a_queues_again_stays(
    empty: psycopg.Connection,
) -> None:
    # Of queues of the plain SQL, and of one of the extension that has its functions back.
    empty.execute((BUILD / "pgmq.sql").read_bytes())
    empty.execute("SELECT pgmq.create('p'), pgmq.create('r')")
    empty.execute("SELECT pgmq.drop_queue('p'), pgmq.drop_queue('r')")
    empty.execute("CREATE EXTENSION pgmq")
    for _ in range(2):
        empty.execute("SELECT pgmq.create('Q 1'), pgmq.drop_queue('Q 1')")
    empty.execute("SELECT pgmq.create('Q 1')")
    spares = "SELECT count(*) FROM pg_proc WHERE proname ~ '^spare '"
    assert queries.one(empty, spares) > 0
    compiled = "SELECT count(*) FROM pg_proc WHERE proname ~ '_q 1$'"
    before = queries.one(empty, compiled)
    empty.execute(LEAVE.read_bytes())
    assert queries.one(empty, spares) == 0
    assert queries.one(empty, compiled) == before
    assert queries.ids(empty, "SELECT finding FROM pgmq.doctor() WHERE queue_name <> ''") == []


@pytest.mark.parametrize("kind", ["plain", "by_id", "stream"])
def test_the_extension_is_not_dropped_while_there_is_a_queue(
    kind: str, empty: psycopg.Connection
) -> None:
    empty.execute("CREATE EXTENSION pgmq")
    empty.execute(queues.made(kind, "q").encode())
    with pytest.raises(psycopg.errors.DependentObjectsStillExist, match="_anchor_q"):
        empty.execute("DROP EXTENSION pgmq")
    empty.execute("SELECT pgmq.drop_queue('q')")
    empty.execute("DROP EXTENSION pgmq")
    empty.execute("DROP SCHEMA pgmq")  # which is empty


@pytest.mark.parametrize("kind", ["plain", "fifo", "by_id", "stream"])
def test_a_dropped_extension_leaves_the_messages_for_a_new_one(
    kind: str, empty: psycopg.Connection
) -> None:
    empty.execute("CREATE EXTENSION pgmq")
    empty.execute(queues.made(kind, "q").encode())
    empty.execute("SELECT pgmq.send_batch('q', '{1,2}')")
    empty.execute("DROP EXTENSION pgmq CASCADE")
    empty.execute("CREATE EXTENSION pgmq")
    assert queries.ids(empty, "SELECT queue_name FROM pgmq.list_queues()") == []
    empty.execute(queues.made(kind, "q").encode())
    assert queries.one(empty, "SELECT pgmq.send('q', '3')") == 3
    assert queries.ids(empty, "SELECT message FROM pgmq.peek('q', 9)") == [1, 2, 3]


@pytest.mark.parametrize("install", ["plain SQL", "extension"])
def test_dropping_the_schema_removes_everything(install: str, empty: psycopg.Connection) -> None:
    again = (
        b"CREATE EXTENSION pgmq" if install == "extension" else (BUILD / "pgmq.sql").read_bytes()
    )
    empty.execute(again)
    empty.execute("SELECT pgmq.create('q')")
    empty.execute("DROP SCHEMA pgmq CASCADE")
    assert queries.one(empty, "SELECT count(*) FROM pg_extension WHERE extname = 'pgmq'") == 0
    empty.execute(again)
    assert queries.ids(empty, "SELECT queue_name FROM pgmq.list_queues()") == []
