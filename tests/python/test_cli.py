from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgmq import __version__, cli
from pgmq._statements import Seen
from pgmq.cli import _declare
from pgmq.cli._output import compare
from support import pages
from support.server import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Connect, Roles
    from pgmq import embedded
    from support.server import TestServer

Run = Any  # (*words, stdin) -> (exit code, standard output, standard error)
Start = Any  # (*words, **options of Popen) -> Popen

PROGRAM = [sys.executable, "-m", "pgmq.cli"]
VARIABLES = ("PGDATABASE", "PGHOST", "PGPORT", "PGUSER", "PGPASSWORD")


@pytest.fixture
def run(dsn: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command on the test's database: (exit code, standard output, standard error)."""

    def run(*words: str, stdin: str = "", server: str = dsn) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        try:
            code = cli.main([words[0], "--dsn", server, *words[1:]])
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def environment(dsn: str) -> dict[str, str]:
    """Variables that lead to the test's database."""
    names = dict(zip(("dbname", "host", "port", "user", "password"), VARIABLES, strict=True))
    known = conninfo_to_dict(dsn)
    found = {names[key]: str(value) for key, value in known.items() if key in names}
    return os.environ | found | {"PGMQ_DSN": ""}


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Start]:
    """Start a command as a process, which does not outlive the test."""
    with contextlib.ExitStack() as stack:

        def start(*words: str, **options: Any) -> Any:
            # A terminal's hang-up counts also where the tests themselves ignore it (nohup).
            given: dict[str, Any] = {"env": environment, "preexec_fn": _heed_hangup} | options
            process = subprocess.Popen([*PROGRAM, *words], **given)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


def _heed_hangup() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def _rows(db: psycopg.Connection, query: str) -> list[tuple[Any, ...]]:
    return db.execute(query.encode()).fetchall()


@pytest.mark.parametrize("command", sorted(_declare.commands))
def test_every_command_has_help_with_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([command, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    examples = re.findall(r"Example: pgmq (.*)", text)
    assert examples
    for example in examples:
        words = list(
            itertools.takewhile(lambda word: word not in {"--", ">"}, shlex.split(example))
        )
        assert _declare.parser().parse_args(words).command == command


@pytest.mark.parametrize("option", [(), ("--sql",)])
def test_install_makes_an_empty_database_ready_and_may_be_repeated(
    option: tuple[str, ...], run: Run, server: TestServer
) -> None:
    with server.database() as name:
        empty = server.dsn(name)
        assert run("metrics", server=empty) == (
            1,
            "",
            "pgmq: pgmq is not installed in this database\nhint: Run pgmq install.\n",
        )
        for _ in range(2):
            assert run("install", *option, server=empty) == (0, f"pgmq {__version__}\n", "")
        with psycopg.connect(empty) as connection:
            extension = connection.execute(
                "SELECT count(*) FROM pg_extension WHERE extname = 'pgmq'"
            )
            assert extension.fetchone() == (0 if option else 1,)
        assert run("create", "orders", server=empty) == (0, "", "")


def test_an_extension_that_the_server_cannot_update_is_named(
    run: Run, db: psycopg.Connection
) -> None:
    db.execute("UPDATE pg_extension SET extversion = '1.13.0' WHERE extname = 'pgmq'")
    assert run("install")[:2] == (0, f"pgmq {__version__}\n")
    assert _rows(db, "SELECT extversion FROM pg_extension WHERE extname = 'pgmq'") == [
        (__version__,)
    ]


def test_a_message_goes_in_and_comes_out_as_it_is(run: Run, db: psycopg.Connection) -> None:
    assert run("create", "orders", "other", "--fifo", "--wakeups", "--unlogged") == (0, "", "")
    assert _rows(db, "SELECT queue_name, is_unlogged FROM pgmq.list_queues() ORDER BY 1") == [
        ("orders", True),
        ("other", True),
    ]
    sent = run("send", "orders", '{"amount": 1.50}', "-1", "--headers", '{"x-pgmq-group": "a"}')
    assert sent == (0, "1\n2\n", "")
    assert run("send", "orders", "null", "--delay", "60") == (0, "3\n", "")

    code, peeked, _ = run("peek", "orders", "--qty", "5")
    assert (code, peeked.count("\n")) == (0, 2)
    code, read, _ = run("read", "orders", "--vt", "60", "--conditional", '{"amount": 1.5}')
    assert '"message": {"amount": 1.50}' in read
    assert json.loads(read)["headers"] == {"x-pgmq-group": "a"}
    # The group's first message is leased.
    assert run("read", "orders", "--grouped") == (0, "", "")
    assert _rows(db, "SELECT read_ct FROM pgmq.q_orders ORDER BY msg_id") == [(1,), (0,), (0,)]

    assert run("archive", "orders", "1", "9") == (1, "1\n", "pgmq: not in the queue: 9\n")
    assert run("purge", "orders", "other") == (0, "orders: 2 deleted\nother: 0 deleted\n", "")
    assert run("drop", "orders", "other") == (0, "", "")
    assert run("drop", "orders")[0] == 1


def test_lines_are_sent_all_or_none(run: Run, db: psycopg.Connection, tmp_path: Path) -> None:
    run("create", "orders")
    lines = "".join(f'{{"id": {number}}}\n' for number in range(2500))
    file = tmp_path / "orders.jsonl"
    file.write_text(f"{lines}\n")
    assert run("send", "orders", "--file", str(file)) == (0, "", "2500 sent\n")
    assert run("send", "orders", stdin="1\n2") == (0, "", "2 sent\n")
    assert run("send", "orders", "--file", "-", stdin="3") == (0, "", "1 sent\n")
    code, _, complaint = run("send", "orders", stdin=f"{lines}nonsense\n")
    assert (code, complaint.partition(": Exp")[0]) == (1, "pgmq: line 2501: not JSON")
    assert _rows(db, "SELECT count(*), count(DISTINCT message) FROM pgmq.q_orders") == [
        (2503, 2503)
    ]


def test_errors_are_short_and_their_codes_tell_them_apart(run: Run) -> None:
    assert run("send", "nope", "1") == (
        1,
        "",
        (
            'pgmq: queue "nope" does not exist (relation "pgmq.q_nope" does not exist)\n'
            "hint: Create it with SELECT pgmq.create('nope').\n"
        ),
    )
    code, _, complaint = run("metrics", server="host=/nowhere")
    assert code == 1
    assert "Traceback" not in complaint
    assert "No such file or directory" in complaint
    assert run("send", "orders", "--file", "/nowhere")[0] == 1
    for wrong in (["send", "orders", "{"], ["read"], ["nope"], ["read", "orders", "--qty", "0"]):
        assert run(*wrong)[0] == 2
    assert run("consume", "orders")[0] == 2
    assert run("consume", "orders", "--", "no-such-program")[0] == 2
    assert run("relay", "orders")[0] == 2
    assert run("relay", "orders", "gopher://x")[0] == 1


def test_a_function_that_the_database_does_not_have_is_named(
    run: Run, db: psycopg.Connection
) -> None:
    db.execute("ALTER EXTENSION pgmq DROP FUNCTION pgmq.purge_queue")
    db.execute("DROP FUNCTION pgmq.purge_queue")
    code, _, complaint = run("purge", "orders")
    assert code == 1
    assert complaint.splitlines() == [
        "pgmq: the pgmq of this database has no function pgmq.purge_queue",
        "hint: pgmq install brings it up to date.",
    ]


def test_any_json_is_sent_as_it_is_and_what_is_none_is_named(
    run: Run, db: psycopg.Connection
) -> None:
    run("create", "orders", "consume")
    assert run("send", "orders", "1" * 5000, "[" * 2000 + "]" * 2000)[0] == 0
    assert _rows(db, "SELECT length(message::text) FROM pgmq.q_orders") == [(5000,), (4000,)]
    assert run("send", "orders", "NaN")[0] == 2
    code, _, complaint = run("send", "orders", stdin='1\n\n"\\u0000"\n')
    assert code == 1
    assert complaint.startswith("pgmq: lines 1 to 3: unsupported Unicode escape sequence: ")
    # What follows -- is a program for the command consume only.
    assert run("send", "consume", "--", "-1") == (0, "1\n", "")


def test_waits_are_numbers_of_seconds_and_a_queue_that_is_shown_must_be_there(run: Run) -> None:
    for wrong in ("nan", "inf", "-1", "1e300"):
        assert run("top", "--count", "1", "--interval", wrong)[0] == 2
    code, _, complaint = run("top", "nope", "--count", "1")
    assert (code, complaint.partition(" (")[0]) == (1, 'pgmq: queue "nope" does not exist')
    run("create", "orders")
    assert run("policy", "show", "orders")[0] == 0


# Streams


def test_groups_are_made_listed_moved_and_dropped(run: Run, db: psycopg.Connection) -> None:
    assert run("create", "events", "--stream", "--segment", "1000", "--retention", "all") == (
        0, "", "",
    )  # fmt: skip
    assert run("create", "events", "--stream", "--fifo")[0] == 2
    assert run("create", "jobs", "--retention", "all")[0] == 2
    options = ("--start", "earliest", "--lanes", "2", "--no-keep-unread")
    assert run("group", "create", "events", "billing", *options) == (0, "", "")
    letters = ("--max-deliveries", "3", "--dead-letter-queue", "dead")
    assert run("group", "alter", "events", "billing", *letters)[0] == 0
    assert run("group", "alter", "events", "billing", "--clear", "max_deliveries")[0] == 0
    run("send", "events", "1", "2", "3")
    batch = db.execute("SELECT * FROM pgmq.fetch('events', 'billing', 60, 1)").fetchall()
    db.execute(
        "SELECT pgmq.release('events', 'billing', %s, %s, 0, 'no stock')", list(batch[0][:2])
    )
    code, table, _ = run("groups", "events")
    assert code == 0
    assert table.splitlines()[1:] == [
        "events/billing          0    3         0      2       0        1",
        "events/billing fails: no stock",
    ]
    (found,) = json.loads(run("groups", "--json")[1])
    assert (found["dead_letter_queue"], found["max_deliveries"], found["keep_unread"]) == (
        "dead", None, False,
    )  # fmt: skip
    assert sorted(lane["failures"] for lane in found["lane_states"]) == [0, 1]
    assert run("seek", "events", "billing", "3") == (0, "3\n", "")
    code, tables, _ = run("top", "--count", "1")
    assert code == 0
    assert [line.split()[:2] for line in tables.splitlines() if "/" in line][1:] == [
        ["events/billing", "1"]
    ]
    assert "/billing" not in run("top", "dead", "--count", "1")[1]
    assert run("seek", "events", "billing", "soon")[0] == 1
    assert run("group", "drop", "events", "billing")[0] == 0
    assert run("group", "drop", "events", "billing")[0] == 1


def test_a_program_consumes_a_stream_in_order_and_a_failure_stops_the_lane(
    db: psycopg.Connection, dsn: str, capfd: pytest.CaptureFixture[str]
) -> None:
    db.execute(
        """
        SELECT pgmq.create_stream('events'), pgmq.create_group('events', 'g', 'earliest'),
            pgmq.alter_group('events', 'g', 3, 'dead'),
            pgmq.send('events', '{"n": 1.50}', '{"k": "v"}'::jsonb),
            pgmq.send_batch('events', ARRAY['2', '"fail"', '4']::jsonb[])
        """
    )
    words = ["consume", "events", "--group", "g", "--dsn", dsn, "--until-empty"]
    script = f'echo "$PGMQ_GROUP $PGMQ_LANE"; {SCRIPT}'
    assert cli.main([*words, "--retry-delay", "60", "--", "sh", "-c", script]) == 0
    assert capfd.readouterr().out.splitlines() == [
        "g 0", 'events 1 1 {"k": "v"} {"n": 1.50}', "g 0", "events 2 1 null 2",
        "g 0", 'events 3 1 null "fail"',
    ]  # fmt: skip
    state = "SELECT committed, failures, error, leased_up_to FROM pgmq.list_lanes('events')"
    assert _rows(db, state) == [(2, 1, "no stock", None)]
    db.execute("SELECT pgmq.seek('events', 'g', '3')")
    assert cli.main([*words, "--retry-delay", "0", "--", "sh", "-c", SCRIPT]) == 0
    printed = capfd.readouterr().out.splitlines()
    assert printed[-1].endswith("null 4")
    assert [line for line in printed if "fail" in line] == [
        f'events 3 {n} null "fail"' for n in (1, 2, 3)
    ]
    assert _rows(db, state) == [(4, 0, None, None)]
    assert _rows(db, "SELECT message FROM pgmq.q_dead") == [("fail",)]
    assert cli.main(["consume", "events", "--group", "no", "--dsn", dsn, "--", "true"]) == 1


def test_sigterm_commits_what_the_program_has_done_of_a_stream(
    db: psycopg.Connection, start: Start, tmp_path: Path
) -> None:
    db.execute(
        """
        SELECT pgmq.create_stream('events'), pgmq.create_group('events', 'g', 'earliest'),
            pgmq.send_batch('events', ARRAY['1', '2', '3']::jsonb[])
        """
    )
    words = ("--group", "g", "--vt", "1", "--", "sh", "-c", f"touch {tmp_path}/begun; sleep 1.5")
    process = start("consume", "events", *words)
    _until((tmp_path / "begun").exists)
    process.send_signal(signal.SIGTERM)
    # The lease is shorter than the program, but it goes on.
    leased = "SELECT committed, leased_until > clock_timestamp() FROM pgmq.list_lanes('events')"
    while (lane := _rows(db, leased)) == [(0, True)]:
        assert process.poll() is None
    assert lane[0][0] == 1
    assert process.wait(20) == 0
    state = "SELECT committed, failures FROM pgmq.list_lanes('events')"
    assert _rows(db, state) == [(1, 0)]


# Consuming

SCRIPT = r"""
read -r body
echo "$PGMQ_QUEUE $PGMQ_MSG_ID $PGMQ_READ_CT $PGMQ_HEADERS $body"
case $body in
    *fail*) echo first >&2; echo "no stock" >&2; echo >&2; exit 3 ;;
    *quiet*) exit 4 ;;
    *die*) kill -KILL $$ ;;
esac
"""


def test_the_exit_code_of_the_program_decides(
    db: psycopg.Connection, dsn: str, capfd: pytest.CaptureFixture[str]
) -> None:
    db.execute(
        """
        SELECT pgmq.create('jobs'), pgmq.send('jobs', '{"n": 1.50}', '{"k": "v"}'::jsonb),
            pgmq.send_batch('jobs', ARRAY['"fail"', '"quiet"', '"die"', NULL]::jsonb[])
        """
    )
    words = ("--until-empty", "--retry-delay", "60", "--", "sh", "-c", SCRIPT)
    code = cli.main(["consume", "jobs", "--dsn", dsn, *words])
    output = capfd.readouterr()
    assert code == 0
    assert output.out.splitlines() == [
        'jobs 1 1 {"k": "v"} {"n": 1.50}',
        'jobs 2 1 null "fail"',
        'jobs 3 1 null "quiet"',
        'jobs 4 1 null "die"',
        "jobs 5 1 null null",
    ]
    assert output.err.startswith("first\nno stock\n\n")
    assert _rows(
        db,
        "SELECT msg_id, headers ->> 'x-pgmq-error', vt > clock_timestamp() + '50 s' "
        "FROM pgmq.q_jobs ORDER BY msg_id",
    ) == [(2, "no stock", True), (3, "exit code 4", True), (4, "killed by SIGKILL", True)]


def test_the_lease_lasts_as_long_as_the_program(db: psycopg.Connection, start: Start) -> None:
    db.execute("SELECT pgmq.create('jobs'), pgmq.send('jobs', '1')")
    # Longer than the lease: without extending it, somebody else would read the message.
    words = ("--until-empty", "--vt", "1", "--", "sh", "-c", "sleep 1.3")
    process = start("consume", "jobs", *words)
    leased = "SELECT read_ct FROM pgmq.q_jobs"
    _until(lambda: _rows(db, leased) == [(1,)])
    while process.poll() is None:
        assert _rows(db, "SELECT msg_id FROM pgmq.read('jobs', 0, 1)") == []
    assert process.returncode == 0
    assert _rows(db, leased) == []


def test_sigterm_lets_the_program_finish_and_takes_no_other_message(
    db: psycopg.Connection, start: Start, tmp_path: Path
) -> None:
    db.execute("SELECT pgmq.create('jobs'), pgmq.send('jobs', '1'), pgmq.send('jobs', '2')")
    script = f"touch {tmp_path}/begun; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done"
    process = start("consume", "jobs", "--", "sh", "-c", script)
    _until((tmp_path / "begun").exists)
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    (tmp_path / "go").touch()
    assert process.wait(10) == 0
    assert _rows(db, "SELECT msg_id, read_ct FROM pgmq.q_jobs") == [(2, 0)]


def test_a_second_signal_ends_the_program_and_its_message_comes_back(
    db: psycopg.Connection, start: Start, tmp_path: Path
) -> None:
    db.execute("SELECT pgmq.create('jobs'), pgmq.send('jobs', '1')")
    script = f"touch {tmp_path}/begun; exec sleep 60"
    process = start("consume", "jobs", "--", "sh", "-c", script)
    _until((tmp_path / "begun").exists)
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert _rows(
        db, "SELECT headers ->> 'x-pgmq-error', vt <= clock_timestamp() FROM pgmq.q_jobs"
    ) == [("killed by SIGTERM", True)]


@pytest.mark.parametrize("patient", [False, True])
def test_a_second_signal_is_for_what_the_program_has_started_too_and_a_third_kills(
    patient: bool, db: psycopg.Connection, start: Start, tmp_path: Path
) -> None:
    """As long as any of it runs, the message is nobody else's."""
    db.execute("SELECT pgmq.create('jobs'), pgmq.send('jobs', '1')")
    end = "touch asked" if patient else "exit"
    child = f"trap '{end}' TERM; touch child; while :; do sleep 0.05; done"
    script = f'sh -c "{child}" & wait'
    process = start("consume", "jobs", "--vt", "3", "--", "bash", "-c", script, cwd=tmp_path)
    _until((tmp_path / "child").exists)
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    process.send_signal(signal.SIGTERM)
    if patient:
        _until((tmp_path / "asked").exists)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        assert _rows(db, "SELECT msg_id FROM pgmq.read('jobs', 0, 1)") == []
        process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert _rows(db, "SELECT vt <= clock_timestamp() FROM pgmq.q_jobs") == [(True,)]


def test_what_a_program_complains_of_is_stored_readably(db: psycopg.Connection, dsn: str) -> None:
    db.execute("SELECT pgmq.create('jobs'), pgmq.send('jobs', '1'), pgmq.send('jobs', '2')")
    script = r"read n; if [ $n = 1 ]; then printf 'a\000b\377\n' >&2; exit 1; fi; kill -35 $$"
    words = ("--until-empty", "--retry-delay", "60", "--", "bash", "-c", script)
    assert cli.main(["consume", "jobs", "--dsn", dsn, *words]) == 0
    assert _rows(db, "SELECT headers ->> 'x-pgmq-error' FROM pgmq.q_jobs ORDER BY msg_id") == [
        ("a\ufffdb\ufffd",),
        ("killed by SIGRTMIN+1",) if hasattr(signal.Signals, "SIGRTMIN+1")
        else ("killed by signal 35",),
    ]  # fmt: skip


def test_headers_too_long_for_the_environment_are_in_a_file(
    db: psycopg.Connection, dsn: str, capfd: pytest.CaptureFixture[str]
) -> None:
    db.execute(
        "SELECT pgmq.create('jobs'),"
        " pgmq.send('jobs', '1', jsonb_build_object('h', repeat('x', 200000)))"
    )
    script = 'echo "${PGMQ_HEADERS-none}"; wc -c < "$PGMQ_HEADERS_FILE"'
    words = ("--until-empty", "--", "sh", "-c", script)
    assert cli.main(["consume", "jobs", "--dsn", dsn, *words]) == 0
    assert capfd.readouterr().out == "none\n200009\n"


def test_a_program_that_is_missing_for_a_moment_is_waited_for(
    db: psycopg.Connection, start: Start, tmp_path: Path
) -> None:
    db.execute("SELECT pgmq.create('jobs'), pgmq.send('jobs', '1'), pgmq.send('jobs', '2')")
    program = tmp_path / "program"

    def install(script: str) -> None:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    install(f"rm {program}")
    process = start(
        *("consume", "jobs", "--vt", "3", "--", str(program)), stderr=subprocess.PIPE, bufsize=0
    )
    _until(lambda: not program.exists())
    assert b"cannot be run" in process.stderr.readline()
    time.sleep(0.5)
    install("exit 0")
    _until(lambda: _rows(db, "SELECT msg_id FROM pgmq.q_jobs") == [])
    program.unlink()
    db.execute("SELECT pgmq.send('jobs', '3')")
    _until(lambda: _rows(db, "SELECT read_ct FROM pgmq.q_jobs") == [(1,)])
    process.terminate()
    assert process.wait(10) == 0
    assert _rows(db, "SELECT read_ct, vt <= clock_timestamp() FROM pgmq.q_jobs") == [(1, True)]


@pytest.mark.parametrize("words", ["consume jobs -- true", "relay jobs memory://"])
def test_what_cannot_be_acknowledged_is_not_read(
    words: str, run: Run, db: psycopg.Connection, dsn: str, roles: Roles
) -> None:
    """Else it would be handled again and again."""
    db.execute("SELECT pgmq.create('jobs'), pgmq.send('jobs', '1')")
    role = roles()
    db.execute("SELECT pgmq.grant_consume('jobs', %s)", [role])
    db.execute(f"REVOKE DELETE ON pgmq.q_jobs FROM {role}".encode())
    code, _, complaint = run(*words.split(), server=make_conninfo(dsn, user=role))
    assert (code, "permission denied for table q_jobs" in complaint) == (1, True)
    assert _rows(db, "SELECT read_ct FROM pgmq.q_jobs") == [(0,)]


def test_what_the_consumer_itself_lacks_costs_no_message(
    db: psycopg.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room for its files is waited for; after any other error the lease is given back."""
    db.execute("SELECT pgmq.create('jobs'), pgmq.send('jobs', '1'), pgmq.send('jobs', '2')")
    words = ["consume", "jobs", "--dsn", dsn, "--until-empty", "--", "true"]
    errors: list[Exception] = [OSError(28, "No space left on device"), OSError(24, "x")]
    make = tempfile.TemporaryFile

    def fail() -> Any:
        if errors:
            raise errors.pop(0)
        return make()

    monkeypatch.setattr(tempfile, "TemporaryFile", fail)
    assert cli.main(words) == 0
    assert _rows(db, "SELECT msg_id FROM pgmq.q_jobs") == []
    db.execute("SELECT pgmq.send('jobs', '3')")
    errors.append(MemoryError())
    with pytest.raises(MemoryError):
        cli.main(words)
    assert _rows(db, "SELECT vt <= clock_timestamp() FROM pgmq.q_jobs") == [(True,)]


def test_a_message_that_is_locked_holds_up_no_signal(
    db: psycopg.Connection, connect: Connect, start: Start, tmp_path: Path
) -> None:
    db.execute("SELECT pgmq.create('jobs'), pgmq.send('jobs', '1')")
    script = f"touch {tmp_path}/begun; sleep 0.7"
    process = start("consume", "jobs", "--vt", "1", "--", "sh", "-c", script)
    _until((tmp_path / "begun").exists)
    with connect(autocommit=False) as other:
        other.execute("SELECT 1 FROM pgmq.q_jobs FOR UPDATE")
        # When its terminal is closed, it is told so twice: that is no haste.
        process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        process.send_signal(signal.SIGHUP)
        assert process.wait(10) == 1
    assert _rows(db, "SELECT headers FROM pgmq.q_jobs") == [(None,)]


@pytest.mark.slow
def test_a_consumer_is_woken_and_survives_a_restart_of_the_server(
    new_server: Callable[..., embedded.Server], start: Start, tmp_path: Path
) -> None:
    own = new_server()

    def execute(query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(own.dsn(), autocommit=True) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    execute("CREATE EXTENSION pgmq")
    execute("SELECT pgmq.create('jobs'), pgmq.enable_wakeups('jobs')")
    got = tmp_path / "got"
    words = ["consume", "jobs", "--dsn", own.dsn(), "--", "sh", "-c", f"cat >> {got}"]
    process = start(*words, stderr=subprocess.PIPE)
    try:
        _until(lambda: execute("SELECT is_called FROM pgmq.armed_until_jobs") == [(True,)])
        begin = time.monotonic()
        execute("SELECT pgmq.send('jobs', '1')")
        _until(lambda: got.exists() and got.read_text() == "1")
        assert time.monotonic() - begin < 4  # an await is for 5 seconds
        own.restart(mode="immediate")
        execute("SELECT pgmq.send('jobs', '2')")
        _until(lambda: got.read_text() == "12")
    finally:
        process.terminate()
        _, complaints = process.communicate(timeout=30)
    assert process.returncode == 0
    assert b"Postgres: " in complaints


# Policies


def test_a_policy_that_was_set_is_shown(run: Run, db: psycopg.Connection) -> None:
    run("create", "orders")
    words = ("--max-receives", "5", "--dead-letter-queue", "dead", "--retry-delay", "90 seconds")
    assert run("policy", "set", "orders", *words) == (0, "", "")
    code, shown, _ = run("policy", "show", "orders")
    values = dict(line.split(maxsplit=1) for line in shown.splitlines())
    assert code == 0
    assert (values["max_receives"], values["retry_delay"]) == ("5", "0:01:30")
    assert (values["dead_letter_queue"], values["message_ttl"]) == ("dead", "off")
    [first, second] = json.loads(run("policy", "show", "--json")[1])
    assert {first["queue_name"], second["queue_name"]} == {"dead", "orders"}
    # What is left out stays, unless the whole policy is replaced.
    stored = "SELECT max_receives, dead_letter_queue, ack_archives FROM pgmq.get_policy('orders')"
    for change, expected in (
        (["--ack-archives"], (5, "dead", True)),
        (["--no-ack-archives", "--max-receives", "6"], (6, "dead", False)),
        (["--off", "dead-letter-queue"], (6, None, False)),
        (["--replace", "--ack-archives"], (None, None, True)),
    ):
        assert run("policy", "set", "orders", *change)[0] == 0
        assert _rows(db, stored) == [expected]
    assert run("policy", "set", "orders", "--retry-delay", "soon")[::2] == (
        1,
        'pgmq: invalid input syntax for type interval: "soon"\n',
    )


def test_dead_letters_are_put_back(run: Run, db: psycopg.Connection) -> None:
    run("create", "orders")
    run("policy", "set", "orders", "--max-receives", "1", "--dead-letter-queue", "dead")
    run("send", "orders", "1", "2", "3")
    db.execute("SELECT pgmq.read('orders', 0, 3)")
    db.execute("SELECT pgmq.read('orders', 0, 3)")
    assert _rows(db, "SELECT count(*) FROM pgmq.q_dead") == [(3,)]
    assert run("redrive", "dead", "--qty", "1") == (0, "1 put back\n", "")
    assert run("redrive", "dead") == (0, "2 put back\n", "")
    assert _rows(db, "SELECT count(*) FROM pgmq.q_orders") == [(3,)]


# Looking


def test_metrics_are_a_table_or_json_or_what_prometheus_reads(run: Run) -> None:
    run("create", "orders", 'qu"ote')
    run("send", "orders", "1", "2")
    run("read", "orders")
    code, table, _ = run("metrics")
    assert code == 0
    assert [line.split()[:3] for line in table.splitlines()] == [
        ["queue", "messages", "visible"],
        ["orders", "2", "1"],
        ['qu"ote', "0", "0"],
    ]
    [metrics] = json.loads(run("metrics", "orders", "--json")[1])
    assert (metrics["queue_length"], metrics["total_messages"]) == (2, 2)
    lines = run("metrics", "--prometheus")[1].splitlines()
    assert 'pgmq_queue_visible_length{queue="orders"} 1' in lines
    assert 'pgmq_messages_total{queue="qu\\"ote"} 0' in lines
    # No age where there is nothing.
    assert [line for line in lines if line.startswith("pgmq_oldest")][1:] == []


def test_top_shows_what_lies_where(run: Run, db: psycopg.Connection) -> None:
    run("create", "orders")
    run("policy", "set", "orders", "--max-receives", "1", "--dead-letter-queue", "dead")
    run("send", "orders", "1", "2", "3")
    db.execute("SELECT pgmq.read('orders', 0, 1)")
    db.execute("SELECT pgmq.read('orders', 60, 1)")
    code, tables, _ = run("top", "orders", "--count", "2", "--interval", "0.01")
    assert code == 0
    assert tables.count("dead letters") == 2
    first, second = (line.split() for line in tables.splitlines() if line.startswith("orders"))
    assert first[1:3] == ["2", "1"]
    assert first[4] == "1"  # no rates yet
    assert second[4:7] == ["0.0", "0.0", "1"]


def test_rates_are_those_since_the_last_table() -> None:
    before = {"q": Seen("q", 100, 0, 1, 1000, 10.0, None, 0)}
    table = compare([Seen("q", 80, 5, 1, 1040, 14.0, None, 7)], before, [])
    assert list(table.rows[0]) == ["q", 80, 5, 1, "10.0", "15.0", None, 7]


def test_the_doctor_reports_and_its_exit_code_tells(run: Run, db: psycopg.Connection) -> None:
    exists = _rows(db, "SELECT to_regprocedure('pgmq.doctor()') IS NOT NULL")
    if exists == [(False,)]:
        assert run("doctor") == (
            1,
            "",
            "pgmq: the pgmq of this database has no function pgmq.doctor\n",
        )
    db.execute(
        """
        CREATE OR REPLACE FUNCTION pgmq.doctor(
            OUT severity text, OUT queue_name text, OUT finding text, OUT fix text
        ) RETURNS SETOF record LANGUAGE sql
        AS $$ VALUES ('warning', 'orders', 'it is ill', 'heal it'), ('warning', NULL, 'x', NULL) $$
        """
    )
    assert run("doctor") == (1, "warning: orders: it is ill\n  heal it\nwarning: x\n", "")


# Trying out


def test_bench_measures_and_leaves_nothing(run: Run, db: psycopg.Connection) -> None:
    code, printed, _ = run("bench", "--messages", "100", "--size", "50")
    assert code == 0
    figures = [
        re.search(r" ([\d,]+) messages/s, a call (\S+) ms, p99 (\S+) ms$", line)
        for line in printed.splitlines()
    ]
    assert len(figures) == 4
    assert all(found and 0 < float(found[2]) <= float(found[3]) for found in figures)
    assert _rows(db, "SELECT pgmq.list_queues()") == []


def test_a_server_can_be_named_by_the_environment(
    dsn: str, db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGMQ_DSN", dsn)
    assert cli.main(["create", "orders"]) == 0
    assert _rows(db, "SELECT queue_name FROM pgmq.meta") == [("orders",)]


def test_demo_runs_on_a_server_that_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGMQ_DSN", "")  # restored afterwards
    for number in range(3):
        (tmp_path / f"file {number}").write_text("x")
    code, printed, complaint = run("demo", "--dir", str(tmp_path), "--workers", "1")
    assert (code, complaint) == (0, "")
    assert "3 equal" in printed
    monkeypatch.chdir(tmp_path)
    assert run("demo", "--stop") == (0, "The demo's server is not there.\n", "")


def test_a_relay_ends_cleanly_and_gives_back_what_it_could_not_send(
    db: psycopg.Connection, environment: dict[str, str], start: Start
) -> None:
    db.execute("SELECT pgmq.create('orders'), pgmq.send('orders', '1')")
    process = start(
        *("relay", "orders"),
        env=environment | {"PGMQ_RELAY_URL": "amqp://user:secret@127.0.0.1:1"},
        stderr=subprocess.PIPE,
    )
    state = "SELECT read_ct, vt > clock_timestamp() FROM pgmq.q_orders"
    assert process.stderr is not None
    complaints = b""
    while b"again in" not in complaints:
        line = process.stderr.readline()
        assert line, complaints
        complaints += line
    assert _rows(db, state) == [(1, True)]
    process.terminate()
    complaints += process.communicate(timeout=30)[1]
    assert process.returncode == 0
    assert b"secret" not in complaints
    assert _rows(db, state) == [(1, False)]


# Where it runs


@pytest.mark.parametrize("module", ["pgmq", "pgmq.cli"])
def test_it_is_a_module_too(module: str) -> None:
    command = [sys.executable, "-W", "error", "-m", module, "--version"]
    assert subprocess.check_output(command, text=True) == f"pgmq {__version__}\n"


def test_the_environment_says_where_the_server_is(
    db: psycopg.Connection, environment: dict[str, str]
) -> None:
    db.execute("SELECT pgmq.create('orders')")
    assert cli.main(["--dsn", db.info.dsn, "metrics", "orders"]) == 0
    done = subprocess.run(
        [*PROGRAM, "metrics"], env=environment, capture_output=True, text=True, check=True
    )
    assert "orders" in done.stdout


def test_the_commands_of_the_documentation_run_as_they_stand(
    environment: dict[str, str], tmp_path: Path
) -> None:
    commands = dict(pages.blocks(ROOT / "python" / "docs" / "command-line.md"))["sh"]
    (tmp_path / "pgmq").write_text(f'#!/bin/sh\nexec {shlex.join(PROGRAM)} "$@"\n')
    (tmp_path / "pgmq").chmod(0o755)
    done = subprocess.run(
        ["sh", "-e"],
        input=commands,
        env=environment | {"PATH": f"{tmp_path}:{environment['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "98 sent\n")
    assert "100: 100" in done.stdout


def test_a_reader_of_the_output_that_goes_away_is_no_error_to_speak_of(
    db: psycopg.Connection, start: Start
) -> None:
    db.execute("SELECT pgmq.create('orders')")
    db.execute("SELECT pgmq.send_batch('orders', array_fill(to_jsonb(repeat('x', 999)), '{999}'))")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = start("peek", "orders", "--qty", "999", **pipes)
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 1


# A shell's words; the exit code; what is left of two messages: read so often, hidden.
@pytest.mark.parametrize(
    ("words", "expected", "left"),
    [
        ("metrics >/dev/full", 1, [(0, False)] * 2),
        ("metrics >&-", 1, [(0, False)] * 2),
        ("send orders <&-", 1, [(0, False)] * 2),
        ("send orders 3 >/dev/full", 1, [(0, False)] * 2),
        ("read orders --qty 2 >/dev/full", 1, [(1, False)] * 2),
        ("read orders --qty 2 >&-", 1, [(1, False)] * 2),
        ("send nope 3 2>/dev/full", 1, [(0, False)] * 2),
        ("consume orders --until-empty -- cat <&- 2>&-", 0, []),
        ("consume orders --until-empty --retry-delay 9 -- sh -c 'echo x >&2; exit 1' >&- 2>&-", 0,
         [(1, True)] * 2),
        ("consume orders --until-empty --retry-delay 9 -- sh -c 'echo x >&2; exit 1' 2>/dev/full",
         0, [(1, True)] * 2),
    ],
)  # fmt: skip
def test_streams_that_are_closed_or_full_cost_no_message(
    words: str,
    expected: int,
    left: list[Any],
    db: psycopg.Connection,
    environment: dict[str, str],
) -> None:
    db.execute("SELECT pgmq.create('orders'), pgmq.send_batch('orders', '{1,2}')")
    command = f"{shlex.join(PROGRAM)} {words}"
    done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, check=False)
    assert (done.returncode, b"Traceback" in done.stderr) == (expected, False)
    assert "pgmq:" not in done.stdout.decode()
    assert _rows(db, "SELECT read_ct, vt > clock_timestamp() FROM pgmq.q_orders") == left


def test_any_character_goes_in_and_out_whatever_the_locale(
    db: psycopg.Connection, environment: dict[str, str]
) -> None:
    db.execute("SELECT pgmq.create('größe')")
    bare = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    def run(*words: str | bytes) -> bytes:
        done = subprocess.run(
            [*PROGRAM, *words], env=environment | bare, capture_output=True, check=False
        )
        assert b"Traceback" not in done.stderr
        return done.stdout if done.returncode == 0 else done.stderr

    assert run("send", "größe", '"日本"', "--headers", '{"k": "日"}') == b"1\n"
    assert json.loads(run("peek", "größe"))["message"] == "日本"
    script = "cat; printenv PGMQ_QUEUE PGMQ_HEADERS"
    printed = run("consume", "größe", "--until-empty", "--", "sh", "-c", script)
    assert printed.decode() == '"日本"größe\n{"k": "日"}\n'
    assert b"is not UTF-8" in run("send", "größe", b'"\xff"')


def test_bench_that_is_ended_leaves_nothing(db: psycopg.Connection, start: Start) -> None:
    process = start("bench", "--messages", "10000000")
    _until(lambda: _rows(db, "SELECT queue_name FROM pgmq.meta"))
    process.terminate()
    assert process.wait(10) == 130
    assert _rows(db, "SELECT queue_name FROM pgmq.meta") == []


def test_in_a_terminal_tables_are_drawn_and_a_bar_shows_how_far_we_are(
    db: psycopg.Connection, environment: dict[str, str], tmp_path: Path
) -> None:
    db.execute("SELECT pgmq.create('orders')")
    (tmp_path / "lines").write_text("1\n" * 10)
    for words, shown in (
        (["send", "orders", "--file", str(tmp_path / "lines")], "20/20 bytes"),
        (["metrics"], "──────"),
        (["top", "--count", "1"], "dead tuples"),
    ):
        ours, theirs = pty.openpty()
        subprocess.run(
            [*PROGRAM, *words],
            env=environment | {"TERM": "xterm", "COLUMNS": "120"},
            stdout=theirs,
            stderr=theirs,
            check=True,
        )
        os.close(theirs)
        printed = b""
        while True:
            try:
                chunk = os.read(ours, 4096)
            except OSError:  # the end, on Linux
                break
            if not chunk:
                break
            printed += chunk
        os.close(ours)
        assert shown in printed.decode()


def test_without_rich_the_extra_is_named_and_tables_are_plain(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("rich.console", "rich.table", "rich.live"):
        monkeypatch.setitem(sys.modules, module, None)
    assert run("demo") == (1, "", "pgmq: rich is missing: pip install 'pgmq[demo]'\n")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert run("metrics")[0] == 0
    assert run("top") == (1, "", "pgmq: rich is missing: pip install 'pgmq[cli]'\n")


@pytest.mark.skipif(sys.platform != "linux", reason="prctl() is Linux's")
def test_consume_ends_as_the_first_process_of_a_container(
    db: psycopg.Connection, dsn: str, tmp_path: Path
) -> None:
    """What its program started becomes its own child, whose end nobody else takes note of."""
    db.execute("SELECT pgmq.create('first')")
    db.execute("SELECT pgmq.send('first', '1')")
    started = tmp_path / "started"
    script = f"sleep 60 & touch {started}; sleep 60"
    become = "import ctypes, sys; ctypes.CDLL(None).prctl(36, 1); from pgmq.cli import main; "
    command = ["--dsn", dsn, "consume", "first", "--vt", "3", "--", "sh", "-c", script]
    process = subprocess.Popen([sys.executable, "-c", f"{become}sys.exit(main({command!r}))"])
    try:
        while not started.exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.5)  # or two signals are one
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
