from __future__ import annotations

import contextlib
import fcntl
import io
import itertools
import json
import os
import pty
import re
import select
import shlex
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgmq import __version__, cli
from pgmq._statements import Seen
from pgmq.cli import _declare, _hints
from pgmq.cli._hints import spoken
from pgmq.cli._output import Table
from pgmq.cli.top import Line, View, compare
from support import pages
from support.cases import case
from support.server import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Connect, Roles
    from pgmq import embedded
    from support.server import TestServer

pytestmark = pytest.mark.once

Run = Any  # (*words, stdin) -> (exit code, standard output, standard error)
Start = Any  # (*words, **options of Popen) -> Popen

PROGRAM = [sys.executable, "-m", "pgmq.cli"]
VARIABLES = ("PGDATABASE", "PGHOST", "PGPORT", "PGUSER", "PGPASSWORD")


@pytest.fixture
def run(dsn: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command on the test's database: (exit code, standard output, standard error)."""

    def run(
        *words: str, stdin: str = "", server: str = dsn, terminal: bool = False
    ) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        for stream in (sys.stdin, sys.stderr):
            monkeypatch.setattr(stream, "isatty", lambda: terminal)
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


# What they print is for others than programs, or they print nothing of their own.
NO_JSON = {"completion", "consume", "demo", "exporter", "relay", "web"}


def test_every_command_has_help_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for command in _declare.commands:
        with case(command):
            with pytest.raises(SystemExit) as end:
                cli.main([command, "--help"])
            assert end.value.code == 0
            examples = re.findall(r"Example: pgmq (.*)", capsys.readouterr().out)
            assert examples
            for example in examples:
                words = itertools.takewhile(
                    lambda word: word not in {"--", ">"}, shlex.split(example)
                )
                options = _declare.parser().parse_args([*words])
                assert options.command == command
                assert hasattr(options, "json") == (command not in NO_JSON)


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
            assert run("install", *option, server=empty)[:2] == (0, f"pgmq {__version__}\n")
        with psycopg.connect(empty) as connection:
            extension = connection.execute(
                "SELECT count(*) FROM pg_extension WHERE extname = 'pgmq'"
            )
            assert extension.fetchone() == (0 if option else 1,)
        assert run("create", "orders", server=empty) == (0, "orders: created\n", "")


def test_an_extension_that_the_server_cannot_update_is_named(
    run: Run, db: psycopg.Connection
) -> None:
    db.execute("UPDATE pg_extension SET extversion = '1.13.0' WHERE extname = 'pgmq'")
    assert run("install")[:2] == (0, f"pgmq {__version__}\n")
    assert _rows(db, "SELECT extversion FROM pg_extension WHERE extname = 'pgmq'") == [
        (__version__,)
    ]


def test_a_message_goes_in_and_comes_out_as_it_is(run: Run, db: psycopg.Connection) -> None:
    created = run("create", "orders", "other", "--fifo", "--wakeups", "--unlogged")
    assert created == (0, "orders: created\nother: created\n", "")
    assert run("create", "orders")[:2] == (0, "")
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
    assert run("drop", "orders", "other") == (0, "orders: dropped\nother: dropped\n", "")
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
            "hint: Create it with pgmq create nope.\n"
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
    assert run("create", "events", "--stream", "--segment", "1000", "--retention", "all")[0] == 0
    assert run("create", "events", "--stream", "--fifo")[0] == 2
    assert run("create", "jobs", "--retention", "all")[0] == 2
    options = ("--start", "earliest", "--lanes", "2", "--no-keep-unread")
    assert run("group", "create", "events", "billing", *options)[:2] == (
        0, "events/billing: created\n",
    )  # fmt: skip
    assert run("group", "create", "events", "billing")[:2] == (0, "")
    again = json.loads(run("group", "create", "events", "billing", "--json")[1])
    assert again == {"queue_name": "events", "group_name": "billing", "created": False}
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


def test_consume_backs_off_where_the_queue_does_not_say(
    db: psycopg.Connection, dsn: str, capfd: pytest.CaptureFixture[str]
) -> None:
    db.execute("SELECT pgmq.create('jobs'), pgmq.send_batch('jobs', '{1,2}')")
    db.execute("UPDATE pgmq.q_jobs SET read_ct = 4 WHERE msg_id = 2")
    seconds = (
        "SELECT extract(epoch FROM vt - clock_timestamp())::integer FROM pgmq.q_jobs ORDER BY 1"
    )
    arguments = ["consume", "jobs", "--dsn", dsn, "--until-empty", "--", "false"]
    assert cli.main(arguments) == 0
    first, fifth = _rows(db, seconds)
    assert first <= (1,) < (8,) < fifth <= (16,)
    db.execute("SELECT pgmq.set_policy('jobs', max_receives => 6, retry_delay => '90 s')")
    db.execute("SELECT pgmq.set_vt('jobs', 2::bigint, 0)")
    assert cli.main(arguments) == 0
    assert (80,) < _rows(db, seconds)[-1] <= (90,)
    assert "message 2: received 6 times, goes to the archive" in capfd.readouterr().err


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


def test_several_queues_are_consumed_in_order_of_priority_by_several_programs(
    db: psycopg.Connection, start: Start, tmp_path: Path
) -> None:
    db.execute("SELECT pgmq.create('high'), pgmq.create('low'), pgmq.enable_wakeups('high')")
    db.execute("SELECT pgmq.set_policy('low', retry_delay => '0')")
    for queue in ("low", "high"):
        db.execute("SELECT pgmq.send(%s, to_jsonb(i)) FROM generate_series(1, 2) AS i", [queue])
    script = f"echo $PGMQ_QUEUE $PGMQ_MSG_ID >> {tmp_path}/order"
    process = start("consume", "high", "low", "--until-empty", "--", "sh", "-c", script)
    assert process.wait(20) == 0
    assert (tmp_path / "order").read_text().split("\n")[:-1] == [
        "high 1", "high 2", "low 1", "low 2",
    ]  # fmt: skip

    # Each waits for the others, and then one fails.
    script = f"""
        touch {tmp_path}/$PGMQ_QUEUE-$PGMQ_MSG_ID
        while [ $(ls {tmp_path}/*-* | wc -l) -lt 3 ]; do sleep 0.02; done
        [ $PGMQ_QUEUE-$PGMQ_READ_CT != low-1 ] || exit 7
    """
    words = ("--concurrency", "3", "--poll", "60", "--", "sh", "-c", script)
    process = start("consume", "low", "high", *words, stderr=subprocess.PIPE)
    time.sleep(0.7)  # they wait
    db.execute("SELECT pgmq.send('low', '3'), pgmq.send('high', '3'), pgmq.send('high', '4')")
    left = "SELECT msg_id FROM pgmq.q_high UNION ALL SELECT msg_id FROM pgmq.q_low"
    _until(lambda: _rows(db, left) == [])
    process.terminate()
    assert b"message 3 of low: exit code 7" in process.communicate(timeout=20)[1]
    assert process.returncode == 0


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
    _until(
        lambda: _rows(db, "SELECT read_ct FROM pgmq.q_jobs WHERE vt <= clock_timestamp()") == [(1,)]
    )


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
        with psycopg.connect(own.dsn("pgmq"), autocommit=True) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    execute("SELECT pgmq.create('jobs'), pgmq.enable_wakeups('jobs')")
    got = tmp_path / "got"
    words = ["consume", "jobs", "--dsn", own.dsn("pgmq"), "--", "sh", "-c", f"cat >> {got}"]
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
    assert run("policy", "set", "orders", *words) == (0, "orders: policy set\n", "")
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
    assert run("redrive", "dead", "--conditional", '{"id": 4}') == (0, "0 put back\n", "")
    assert run("redrive", "dead", "--rate", "0.1") == (0, "2 put back\n", "")
    assert _rows(db, "SELECT vt > enqueued_at FROM pgmq.q_orders ORDER BY msg_id") == [
        *[(False,), (False,), (True,)]
    ]
    for rate in ("0", "-1", "nan", "inf"):
        code, _, error = run("redrive", "dead", "--rate", rate)
        assert (code, "must be above 0" in error) == (2, True)


def test_what_waits_is_amended(run: Run, db: psycopg.Connection) -> None:
    run("create", "orders")
    run("send", "orders", "1", "2")
    assert run("amend", "orders", "1", '{"amount": 1.50}') == (0, "1\n", "")
    assert run("amend", "orders", "1", "--headers", '{"trace": 1}') == (0, "1\n", "")
    assert run("amend", "orders", "2", "null", "--json") == (0, '{"msg_id": 2}\n', "")
    assert _rows(db, "SELECT message::text, headers FROM pgmq.q_orders ORDER BY msg_id") == [
        ('{"amount": 1.50}', {"trace": 1}),
        ("null", None),
    ]
    run("read", "orders")
    refused = (1, "", "pgmq: leased, or not in the queue: 1\n")
    assert run("amend", "orders", "1", "2") == refused
    assert run("amend", "orders", "1")[0] == 2


def test_archived_messages_are_sent_again(run: Run, db: psycopg.Connection) -> None:
    run("create", "orders")
    run("send", "orders", '{"n": 1}', '{"n": 2}', '{"n": 3}')
    run("archive", "orders", "1", "2", "3")
    assert run("requeue", "orders", "1", "9", "--keep") == (0, "1 sent again\n", "")
    assert run("requeue", "orders", "1", "--conditional", '{"n": 2}') == (0, "0 sent again\n", "")
    assert run("requeue", "orders", "--until", "2020-01-01") == (0, "0 sent again\n", "")
    some = ("--since", "2020-01-01T08:00", "--until", "2999-12-31T00:00+02:00", "--qty", "2")
    assert run("requeue", "orders", *some, "--rate", "0.1") == (0, "2 sent again\n", "")
    assert _rows(db, "SELECT message, vt > enqueued_at FROM pgmq.q_orders ORDER BY msg_id") == [
        ({"n": 1}, False),
        ({"n": 1}, False),
        ({"n": 2}, True),
    ]
    assert _rows(db, "SELECT msg_id FROM pgmq.a_orders") == [(3,)]
    for wrong in ((), ("--since", "yesterday"), ("x",)):
        assert run("requeue", "orders", *wrong)[0] == 2


def test_leases_end_and_messages_go_where_they_are_told(run: Run, db: psycopg.Connection) -> None:
    run("create", "orders", "audit")
    run("send", "orders", *map(str, range(1, 9)))
    run("read", "orders", "--qty", "4")
    lost = (1, "1\n", "pgmq: the lease is lost: 2\n")
    assert run("ack", "orders", "1:1", "2:9") == lost
    assert run("nack", "orders", "2:1", "--error", "no stock", "--delay", "90") == (0, "2\n", "")
    assert run("nack", "orders", "3:1", "1:1", "--json")[:2] == (1, '{"msg_id": 3}\n')
    assert run("set-vt", "orders", "4", "99", "--vt", "0")[:2] == (1, "4\n")
    assert run("set-vt", "orders", "5", "--vt", "2999-01-01") == (0, "5\n", "")
    code, printed, complaint = run("get", "orders", "2", "1", "5")
    assert (code, complaint) == (1, "pgmq: not in the queue: 1\n")
    second, fifth = map(json.loads, printed.splitlines())
    assert (second["headers"], fifth["vt"][:4]) == ({"x-pgmq-error": "no stock"}, "2999")
    state = "SELECT msg_id, vt > clock_timestamp() FROM pgmq.q_orders WHERE read_ct > 0 ORDER BY 1"
    assert _rows(db, state) == [(2, True), (3, False), (4, False)]

    assert [
        json.loads(line)["msg_id"]
        for line in run("pop", "orders", "--qty", "2")[1].split("\n")[:-1]
    ] == [3, 4]
    assert run("delete", "orders", "5", "3") == (1, "5\n", "pgmq: not in the queue: 3\n")
    missing = (1, "6 is 1 in audit\n", "pgmq: not in the queue: 5\n")
    assert run("move", "orders", "5", "6", "--to", "audit") == missing
    assert json.loads(run("move", "orders", "2", "--to", "audit", "--json")[1]) == {
        "msg_id": 2, "to_queue": "audit", "moved_to": 2,
    }  # fmt: skip
    assert _rows(db, "SELECT msg_id FROM pgmq.q_orders ORDER BY 1") == [(7,), (8,)]
    assert run("pop", "orders")[0] == run("pop", "orders")[0] == run("pop", "orders")[0] == 0
    assert run("maintain", "orders") == (0, "orders: 0 moved or removed\n", "")
    for wrong in (("ack", "orders", "1"), ("set-vt", "orders", "1", "--vt", "soon")):
        assert run(*wrong)[0] == 2


def test_in_a_terminal_drop_and_purge_ask_first(run: Run, db: psycopg.Connection) -> None:
    run("create", "orders", "other")
    run("send", "orders", "1", "2")
    for answer in ("n\n", "", "nonsense\n"):
        code, printed, asked = run("drop", "orders", "other", stdin=answer, terminal=True)
        assert (code, printed) == (1, "")
        assert asked.startswith("Drop orders (2 messages), other (0 messages)? [y/N] ")
    assert run("purge", "orders", stdin="n\n", terminal=True)[0] == 1
    assert run("purge", "orders", stdin="y\n", terminal=True)[:2] == (0, "orders: 2 deleted\n")
    dropped = run("drop", "orders", "other", "--yes", "--json", terminal=True)
    assert [json.loads(line) for line in dropped[1].splitlines()] == [
        {"queue_name": "orders", "dropped": True},
        {"queue_name": "other", "dropped": True},
    ]


# Routing, rights


def test_exchanges_and_topics_route(run: Run, db: psycopg.Connection) -> None:
    run("create", "orders", "audit")
    assert run("exchange", "create", "shop") == (0, "shop: created\n", "")
    assert run("exchange", "create", "shop")[:2] == (0, "")
    assert run("bind", "shop", "orders", "order.#") == (0, "orders: bound to shop\n", "")
    assert run("bind", "shop", "audit", "--kind", "fanout")[0] == 0
    assert run("bind", "shop", "prices", "price.*", "--channel")[0] == 0
    assert [line.split() for line in run("bindings", "shop")[1].splitlines()] == [
        ["exchange", "kind", "pattern", "queue", "channel"],
        ["shop", "fanout", "audit"],
        ["shop", "topic", "order.#", "orders"],
        ["shop", "topic", "price.*", "prices"],
    ]
    assert run("publish", "shop", "order.new", "1", "--headers", '{"h": 1}') == (0, "2 sent\n", "")
    assert run("publish", "shop", "x", "2", "--json") == (0, '{"sent": 1}\n', "")
    assert run("publish", "nope", "x", "2")[2].endswith("with pgmq exchange create nope.\n")
    assert run("bindings", "shop", "nope") == (1, "", 'pgmq: exchange "nope" does not exist\n')
    assert run("unbind", "shop", "prices", "price.*", "--channel")[0] == 0
    assert run("unbind", "shop", "prices", "price.*") == (1, "", "pgmq: shop has no such binding\n")
    assert [each["bindings"] for each in json.loads(run("exchange", "list", "--json")[1])] == [2]
    assert run("exchange", "list")[1].splitlines()[1].startswith("shop             2  20")

    assert run("topic", "bind", "order.*", "orders") == (0, "orders: bound to order.*\n", "")
    assert run("topic", "send", "order.new", "3", "--delay", "60") == (0, "1 sent\n", "")
    table = "pattern  queue\norder.*  orders\n"
    assert run("topic", "list") == run("topic", "list", "orders") == (0, table, "")
    for listing in (["topic", "list"], ["schedules"]):
        code, out, said = run(*listing, "nope")
        assert (code, out) == (1, "")
        assert said.endswith("hint: Create it with pgmq create nope.\n")
    assert run("topic", "test", "order.new") == (0, table, "")
    assert json.loads(run("topic", "test", "x", "--json")[1]) == []
    assert run("topic", "unbind", "order.*", "orders")[0] == 0
    assert run("topic", "unbind", "order.*", "orders")[0] == 1
    assert run("exchange", "drop", "shop") == (0, "shop: dropped\n", "")
    assert run("exchange", "drop", "shop")[0] == 1
    assert _rows(db, "SELECT message, vt > enqueued_at FROM pgmq.q_orders ORDER BY msg_id") == [
        (1, False), (3, True),
    ]  # fmt: skip


def test_queues_are_listed_and_rights_to_them_granted_and_revoked(
    run: Run, db: psycopg.Connection, roles: Roles, server: TestServer
) -> None:
    run("create", "orders", "Other")
    run("create", "events", "--stream")
    run("create", "fast", "--unlogged")
    db.execute("SELECT pgmq.create_partitioned('parts')")
    run("group", "create", "events", "g")
    owner = db.info.user
    assert [line.split()[:3] for line in run("list")[1].splitlines()] == [
        ["queue", "kind", "owner"],
        *([name, kind, owner] for name, kind in (
            ("Other", "queue"), ("events", "stream"), ("fast", "unlogged"), ("orders", "queue"),
            ("parts", "partitioned"),
        )),
    ]  # fmt: skip
    assert {each["kind"] for each in json.loads(run("list", "--json")[1])} == {
        "partitioned", "queue", "stream", "unlogged",
    }  # fmt: skip

    role = roles()
    his = make_conninfo(server.dsn(db.info.dbname), user=role)
    for right, words in {
        "send": ("orders", "Other"), "consume": ("orders",), "monitor": ("Other",),
        "fetch": ("events", "--group", "g"), "maintain": ("orders",), "create": (),
    }.items():  # fmt: skip
        assert run("grant", right, *words, "--to", role)[0] == 0
    assert run("grant", "send", "orders", "--to", role)[1] == f"orders: {role} may send\n"
    for command in (
        ("send", "Other", "1"), ("pop", "orders"), ("metrics", "Other"), ("create", "his"),
    ):  # fmt: skip
        assert run(*command, server=his)[0] == 0
    assert run("revoke", "orders", "--from", role) == (0, f"orders: revoked from {role}\n", "")
    code, _, refused = run("send", "orders", "1", server=his)
    assert (code, refused.splitlines()[1]) == (
        1,
        f"hint: Its owner can run pgmq grant send orders --to {role}.",
    )
    assert run("send", "Other", "1", server=his)[0] == 0
    assert run("revoke", "--all", "--from", role)[0] == 0
    assert run("send", "Other", "1", server=his)[0] == 1
    for wrong in (
        ("grant", "send", "--to", role),
        ("grant", "create", "orders", "--to", role),
        ("grant", "fetch", "events", "--to", role),
        ("grant", "send", "orders", "--group", "g", "--to", role),
        ("revoke", "--from", role),
        ("revoke", "orders", "--all", "--from", role),
    ):
        assert run(*wrong)[0] == 2


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        ("SELECT pgmq.maintain(), or SELECT pgmq.maintain('a b')",
         "pgmq maintain, or pgmq maintain 'a b'"),
        ("Its owner can call SELECT pgmq.enable_wakeups('it''s').",
         """Its owner can run pgmq create 'it'"'"'s' --wakeups."""),
        ("SELECT pgmq.alter_policy('q', dedup_window => '1 hour').",
         "pgmq policy set q --dedup-window '1 hour'."),
        ("It can SELECT pgmq.alter_group('q', 'g', dead_letter_queue => ...).",
         "It can run pgmq group alter q g --dead-letter-queue ...."),
        ("call SELECT * FROM pgmq.fetch('q', <group>, <vt>, <qty>), and commit().",
         "run pgmq consume q --group <group> -- <program>."),
        ("See why: SELECT * FROM pgmq.peek('q', 10); then pgmq.redrive('q') or pgmq.set_vt().",
         "See why: pgmq peek q --qty 10; then pgmq redrive q or pgmq set-vt."),
        ("The owner must call SELECT pgmq.recompile_all().",
         "The owner must call SELECT pgmq.recompile_all()."),
    ],
)  # fmt: skip
def test_hints_speak_the_language_of_the_command_line(hint: str, expected: str) -> None:
    assert spoken(hint) == expected


def test_what_hints_name_are_commands() -> None:
    for words in _hints._COMMANDS.values():
        line = words.partition(" -- ")[0].format("1", "2", "3")
        _declare.parser().parse_args(line.split())


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
    assert 'pgmq_queue_visible_length{queue="orders"} 1.0' in lines
    assert 'pgmq_messages_total{queue="qu\\"ote"} 0.0' in lines
    # No age where there is nothing.
    assert [line for line in lines if line.startswith("pgmq_oldest_message_age")][1:] == []


def test_the_states_of_messages_are_a_table_or_json_or_what_prometheus_reads(
    run: Run, db: psycopg.Connection
) -> None:
    run("create", "orders", 'odd\\\n"name')
    run("policy", "set", "orders", "--max-receives", "5", "--dead-letter-queue", "dead")
    run("send", "orders", "1", "2", "3")
    run("send", "orders", "4", "5", "--delay", "60")
    run("send", "dead", "0")
    run("read", "orders")
    run("archive", "orders", "3")
    # Postgres counts what is removed a second after the commit.
    removed = "SELECT removed_total FROM pgmq.queue_stats('orders')"
    _until(lambda: _rows(db, removed) == [(1,)])
    headings, line = run("stats", "orders")[1].splitlines()
    assert re.split(r" {2,}", headings) == [
        "queue", "visible", "delayed", "in flight", "dead letters", "archived", "sent", "removed",
        "since",
    ]  # fmt: skip
    assert line.split()[:8] == ["orders", "1", "2", "1", "1", "1", "5", "1"]
    (found,) = json.loads(run("stats", "orders", "--json")[1])
    assert (found["archive_length"], found["sent_total"]) == (1, 5)
    assert len(json.loads(run("stats", "--json")[1])) == 3
    lines = run("metrics", "--prometheus")[1].splitlines()
    for name, kind, value in (
        ("pgmq_queue_delayed_length", "gauge", 2),
        ("pgmq_queue_in_flight_length", "gauge", 1),
        ("pgmq_queue_dead_letters", "gauge", 1),
        ("pgmq_archive_length", "gauge", 1),
        ("pgmq_messages_removed_total", "counter", 1),
    ):
        assert f"# TYPE {name} {kind}" in lines
        assert f'{name}{{queue="orders"}} {value}.0' in lines
    assert 'pgmq_messages_total{queue="odd\\\\\\n\\"name"} 0.0' in lines
    assert not [line for line in lines if line.startswith('pgmq_queue_dead_letters{queue="dead"')]
    assert run("stats", "nope")[0] == 1


def test_top_shows_what_lies_where(run: Run, db: psycopg.Connection) -> None:
    run("create", "orders")
    run("policy", "set", "orders", "--max-receives", "1", "--dead-letter-queue", "dead")
    run("send", "orders", "1", "2", "3")
    db.execute("SELECT pgmq.read('orders', 0, 1)")
    db.execute("SELECT pgmq.read('orders', 60, 1)")
    code, tables, _ = run("top", "orders", "--count", "2", "--interval", "0.01")
    assert code == 0
    assert tables.count("dead letters") == 2
    sorted_ = run("top", "orders", "dead", "--count", "1", "--sort", "messages", "--reverse")[1]
    assert [line.split()[0] for line in sorted_.splitlines()][1:] == ["dead", "orders", "all"]
    (found,) = map(json.loads, run("top", "Orders", "--count", "1", "--json")[1].splitlines())
    assert [(each["messages"], each["dead_letters"]) for each in found["queues"]] == [(2, 1)]
    assert found["groups"] == []
    first, second = (line.split() for line in tables.splitlines() if line.startswith("orders"))
    assert first[1:3] == ["2", "1"]
    assert first[4] == "1"  # no rates yet
    assert second[4:7] == ["0.0", "0.0", "1"]


def test_rates_are_those_since_the_last_table() -> None:
    before = {"q": Seen("q", 100, 0, 1, 1000, 10.0, "dead", 0)}
    seen = [Seen("q", 80, 5, 1, 1040, 14.0, "dead", 7), Seen("dead", 3, 0, 9, 3, 14.0, None, 0)]
    lengths = {each.queue: each.length for each in seen}
    lines = compare(seen[:1], before, lengths, {"q": "sends"})
    assert lines == [Line("q", 80, 5, 1, 10.0, 15.0, 3, 7, "sends", "dead")]
    lines = compare([*seen, Seen("p", 0, 0, None, 0, 14.0, "dead", 0)], before, lengths, {})
    # Both have the same dead letters, which are messages of a queue, too.
    total = ["all 3", 83, 5, 9, "10.0", "15.0", 3, None, 7]
    assert View().table(lines).rows[-1] == total
    first = View("messages").table(lines)
    assert [row[0] for row in first.rows] == ["q", "dead", "p", "all 3"]
    # What has no value comes last, whatever the order.
    for reverse in (False, True):
        assert [row[0] for row in View("sent", reverse).table(lines).rows][:1] == ["q"]
    short = View("messages", reverse=True).table(lines, 4)
    assert [row[0] for row in short.rows] == ["p", "dead", "all 3, 1 not shown"]


def test_a_narrow_table_leaves_out_columns_and_shortens_names_but_no_number() -> None:
    table = Table(["queue", "messages", "none", "dead"], [("q" * 30, 123456789, None, 7)])
    assert table.fitted(60).plain() == table.plain()
    for width, columns, name in (
        (52, ["queue", "messages", "dead"], 30),
        (40, ["queue", "messages", "dead"], 23),
        (28, ["queue", "messages"], 17),
        (20, ["queue"], 20),
        (5, ["queue"], 5),
    ):
        fitted = table.fitted(width)
        assert (fitted.columns, len(fitted.cells()[0][0])) == (columns, name)
        assert max(map(len, fitted.plain().splitlines())) <= width


def test_what_is_paused_is_shown_until_it_is_resumed(run: Run) -> None:
    run("create", "Orders", "other")
    assert run("pause", "Orders") == (0, "Orders: reads paused\n", "")
    both = (0, "other: reads and sends paused\n", "")
    assert run("pause", "other", "--reads", "--sends") == both
    assert run("read", "orders") == (0, "", "")
    code, _, complaint = run("send", "other", "1")
    assert code == 1
    assert complaint.startswith('pgmq: queue "other" is paused: nothing can be sent to it\n')
    for command in (["metrics"], ["metrics", "orders", "other"], ["top", "--count", "1"]):
        headings, orders, other, *_ = run(*command)[1].splitlines()
        assert "  paused" in headings
        assert re.search("  reads( |$)", orders)
        assert re.search("  reads and sends( |$)", other)
    assert [queue["paused"] for queue in json.loads(run("metrics", "--json")[1])] == [
        "reads",
        "reads and sends",
    ]
    lines = run("metrics", "--prometheus")[1].splitlines()
    assert 'pgmq_queue_reads_paused{queue="Orders"} 1.0' in lines
    assert 'pgmq_queue_sends_paused{queue="Orders"} 0.0' in lines
    assert run("pause", "orders", "--sends")[0] == 0
    assert run("send", "other", "1")[0] == 1
    assert run("resume", "orders", "other") == (0, "orders: resumed\nother: resumed\n", "")
    assert run("resume", "orders") == (1, "", "pgmq: not paused: orders\n")
    assert run("send", "orders", "1")[0] == 0
    assert [queue["paused"] for queue in json.loads(run("metrics", "--json")[1])] == [None] * 2


def test_schedules_are_added_listed_run_and_removed(run: Run, db: psycopg.Connection) -> None:
    run("create", "orders")
    more = ["--headers", '{"h": 1}', "--timezone", "Europe/Berlin", "--catch-up"]
    code, out, _ = run("schedule", "add", "nightly", "orders", "0 0 29 2 *", '{"id": 1}', *more)
    assert code == 0
    assert "-02-28 23:00:00" in out
    assert run("schedule", "run", "nightly") == (0, "1\n", "")
    found = _rows(db, "SELECT message, headers ->> 'h' FROM pgmq.q_orders")
    assert found == [({"id": 1}, "1")]
    headings, line = run("schedules")[1].splitlines()
    assert headings.split() == [
        *("schedule", "queue", "cron", "timezone", "next", "last", "msg_id", "errors"),
    ]
    assert line.startswith("nightly   orders  0 0 29 2 *  Europe/Berlin")
    (listed,) = json.loads(run("schedules", "orders", "--json")[1])
    assert (listed["name"], listed["catch_up"], listed["errors"]) == ("nightly", True, 0)
    db.execute("UPDATE pgmq.schedule SET errors = 2, last_error = 'no room'")
    assert run("schedules")[1].endswith("nightly fails: no room\n")
    code, _, complaint = run("schedule", "add", "s", "orders", "60 * * * *", "1")
    assert code == 1
    assert complaint.startswith('pgmq: a schedule has no such minute: "60"\n')
    assert run("schedule", "pause", "nightly") == (0, "nightly: paused\n", "")
    assert "\nnightly is paused since 20" in run("schedules")[1]
    assert run("schedule", "resume", "nightly") == (0, "nightly: resumed\n", "")
    assert run("schedule", "resume", "nightly") == (0, "nightly: was not paused\n", "")
    assert run("schedule", "remove", "nightly") == (0, "nightly: removed\n", "")
    assert run("schedule", "remove", "nightly") == (1, "", "pgmq: no such schedule: nightly\n")
    assert run("schedule", "run", "nightly")[0] == 1


def test_a_queue_is_indexed_for_groups_in_turn(run: Run, db: psycopg.Connection) -> None:
    assert run("create", "orders", "--fair")[0] == 0
    assert _rows(db, "SELECT to_regclass('pgmq.turn_orders') IS NOT NULL") == [(True,)]
    assert run("create", "events", "--stream", "--fair")[0] == 2


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


# The page has sixty commands, and starting Python with all modules takes longer than any of them.
# So one process has the modules, and forks for each command, which gets the streams of its caller.
FORKING = """
import os, signal, socket, sys
from pgmq.cli import main
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
print(flush=True)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    caller = listening.accept()[0]
    words, streams, *_ = socket.recv_fds(caller, 1 << 16, 3)
    if not os.fork():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        caller.send(bytes([main(words.decode().split(chr(0)))]))
        os._exit(0)
    for file in [caller.detach(), *streams]:
        os.close(file)
"""
CALLING = """
import socket, sys
called = socket.socket(socket.AF_UNIX)
called.connect(sys.argv[1])
socket.send_fds(called, [chr(0).join(sys.argv[2:]).encode()], [0, 1, 2])
sys.exit(called.recv(1)[0])
"""


@pytest.mark.once
def test_the_commands_of_the_documentation_run_as_they_stand(
    environment: dict[str, str], roles: Roles, tmp_path: Path
) -> None:
    commands = dict(pages.blocks(ROOT / "python" / "docs" / "command-line.md"))["sh"]
    place = str(tmp_path / "socket")
    call = shlex.join([sys.executable, "-ISc", CALLING, place])
    (tmp_path / "pgmq").write_text(f'#!/bin/sh\nexec {call} "$@"\n')
    (tmp_path / "pgmq").chmod(0o755)
    with subprocess.Popen(
        [sys.executable, "-c", FORKING, place], env=environment, stdout=subprocess.PIPE
    ) as forking:
        assert forking.stdout
        forking.stdout.readline()
        done = subprocess.run(
            ["sh", "-e"],
            input=commands,
            env=environment | {"PATH": f"{tmp_path}:{environment['PATH']}", "ROLE": roles()},
            capture_output=True,
            text=True,
            check=False,
        )
        forking.kill()
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
CLOSED_OR_FULL: list[tuple[str, int, list[Any]]] = [
    ("metrics >/dev/full", 1, [(0, False)] * 2),
    ("metrics >&-", 1, [(0, False)] * 2),
    ("send orders <&-", 1, [(0, False)] * 2),
    ("send orders 3 >/dev/full", 1, [(0, False)] * 2),
    ("read orders --qty 2 >/dev/full", 1, [(1, False)] * 2),
    ("pop orders --qty 2 >/dev/full", 1, [(0, False)] * 2),
    ("read orders --qty 2 >&-", 1, [(1, False)] * 2),
    ("send nope 3 2>/dev/full", 1, [(0, False)] * 2),
    ("consume orders --until-empty -- cat <&- 2>&-", 0, []),
    ("consume orders --until-empty --retry-delay 9 -- sh -c 'echo x >&2; exit 1' >&- 2>&-", 0,
     [(1, True)] * 2),
    ("consume orders --until-empty --retry-delay 9 -- sh -c 'echo x >&2; exit 1' 2>/dev/full",
     0, [(1, True)] * 2),
]  # fmt: skip


def test_streams_that_are_closed_or_full_cost_no_message(
    db: psycopg.Connection, environment: dict[str, str]
) -> None:
    db.execute("SELECT pgmq.create('orders')")
    for words, expected, left in CLOSED_OR_FULL:
        with case(words):
            db.execute("SELECT pgmq.purge_queue('orders')")
            db.execute("SELECT pgmq.send_batch('orders', '{1,2}')")
            command = ["sh", "-c", f"{shlex.join(PROGRAM)} {words}"]
            done = subprocess.run(command, env=environment, capture_output=True, check=False)
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
    for width, words, shown in (
        ("120", ["send", "orders", "--file", str(tmp_path / "lines")], "20/20 bytes"),
        ("120", ["metrics"], "──────"),
        ("40", ["metrics"], "newest s  sent in all  paused"),  # nothing is cut: the line goes on
        ("120", ["top", "--count", "1"], "dead tuples"),
    ):
        ours, theirs = pty.openpty()
        subprocess.run(
            [*PROGRAM, *words],
            env=environment | {"TERM": "xterm", "COLUMNS": width},
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


@pytest.mark.once
def test_a_shell_completes_commands_options_and_queues(
    run: Run, environment: dict[str, str], tmp_path: Path
) -> None:
    run("create", "orders", "ordinary", "other")
    (tmp_path / "pgmq").write_text(f'#!/bin/sh\nexec {shlex.join(PROGRAM)} "$@"\n')
    (tmp_path / "pgmq").chmod(0o755)
    ask = """
        eval "$(pgmq completion bash)"
        for COMP_LINE in 'pgmq mo' 'pgmq group cre' 'pgmq policy set --priority-a' 'pgmq drop ord'
        do
            COMP_POINT=${#COMP_LINE} COMP_TYPE=9
            _python_argcomplete pgmq 2>/dev/null
            echo ${COMPREPLY[@]}
        done
    """
    answered = subprocess.check_output(
        ["bash", "-c", ask],
        env=environment | {"PATH": f"{tmp_path}:{environment['PATH']}"},
        text=True,
    )
    assert answered.splitlines() == ["move", "create", "--priority-ageing", "orders ordinary"]
    for shell, sign in (("zsh", "#compdef pgmq"), ("fish", "complete --command pgmq")):
        assert sign in run("completion", shell)[1]


def _screen(terminal: int, wanted: str) -> tuple[list[str], str]:
    """Read a terminal until its screen is as wanted: its lines, and how they are written."""
    written = ""
    while True:
        last = written.rpartition("\x1b[H")[2]
        text = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", last)
        if re.search(wanted, text, re.DOTALL):
            return text.splitlines(), last
        assert select.select([terminal], [], [], 30)[0], f"nothing came after {text}"
        written += os.read(terminal, 9999).decode()


@pytest.mark.once
def test_top_is_a_screen_that_keys_change_and_a_narrow_one_has_whole_numbers(
    run: Run, db: psycopg.Connection, start: Start, environment: dict[str, str]
) -> None:
    run("create", "few", "many")
    run("policy", "set", "few", "--max-receives", "1", "--dead-letter-queue", "many")
    run("create", "stream", "--stream")
    run("group", "create", "stream", "g")
    db.execute("SELECT pgmq.send_batch('many', array_fill('1'::jsonb, '{1234}'))")
    for width, more, last_column in (
        (130, {}, "dead tuples"), (36, {"NO_COLOR": "1"}, "in flight"), (24, {}, "messages"),
    ):  # fmt: skip
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 20, width, 0, 0))
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
        known = environment | {"TERM": "xterm"} | more
        known.pop("COLUMNS", None)
        process = start("top", "--interval", "100", env=known, **streams)
        os.close(theirs)
        lines, written = _screen(ours, "stream/g")
        assert lines[1].rstrip().endswith(last_column)
        assert max(map(len, lines)) <= width
        assert [line.split()[0] for line in lines[2:6]] == ["few", "many", "stream", "all"]
        assert lines[3].split()[1] == "1234"
        assert ("\x1b[31m" in written) == (width == 130)
        os.write(ours, b"s")
        _screen(ours, "by messages.*many.*few.*stream.*all 3.*stream/g")
        os.write(ours, b"r")
        _screen(ours, "by messages.*few.*stream.*many.*all 3.*stream/g")
        os.write(ours, b"q")
        assert process.wait(20) == 0
        os.close(ours)


def test_without_rich_the_extra_is_named_and_tables_are_plain(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("rich.console", "rich.table", "rich.live", "argcomplete.shell_integration"):
        monkeypatch.setitem(sys.modules, module, None)
    assert run("demo") == (1, "", "pgmq: rich is missing: pip install 'pgmq[demo]'\n")
    argcomplete = "pgmq: argcomplete is missing: pip install 'pgmq[cli]'\n"
    assert run("completion", "bash") == (1, "", argcomplete)
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
