"""What is served to Prometheus, and the files that go with it."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pgmq import ProcessWorker, Worker, exporter
from pgmq import _wire as wire
from pgmq.exporter import Collector, WorkerMetrics
from support import handlers
from support.proxy import proxying
from support.queues import STREAMS, fill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Roles
    from support.server import TestServer

pytestmark = pytest.mark.once

DASHBOARD, RULES = (
    resources.files("pgmq") / "exporter" / n for n in ("dashboard.json", "rules.yml")
)
Samples = dict[tuple[str, str], float]  # by the metric's name, and by the queue or what it is about


def _scrape(collector: Collector) -> Samples:
    registry = CollectorRegistry()
    registry.register(collector)
    return _samples(generate_latest(registry).decode())


def _samples(text: str) -> Samples:
    return {
        (sample.name, "/".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def collector(dsn: str) -> Iterator[Collector]:
    found = Collector(dsn)
    yield found
    found.close()


def _names(text: str) -> set[str]:
    return set(re.findall(r"\bpgmq_\w+", text))


def test_every_kind_of_queue_is_there_and_what_dashboard_and_rules_name_is_served(
    collector: Collector, db: psycopg.Connection, dsn: str
) -> None:
    fill(db)
    db.execute("SELECT pgmq.schedule('soon', 'plain', '1 second', '1')")
    time.sleep(1)
    db.execute("SELECT pgmq.maintain('plain')")
    db.execute("SELECT pgmq.schedule('rests', 'plain', '@hourly', '1')")
    db.execute("SELECT pgmq.pause_schedule('rests')")
    found = _scrape(collector)
    queues = {row[0] for row in db.execute("SELECT queue_name FROM pgmq.list_queues()").fetchall()}
    assert {labels for name, labels in found if name == "pgmq_queue_length"} == queues
    assert found["pgmq_queues", ""] == len(queues)
    visible = {labels for name, labels in found if name == "pgmq_queue_visible_length"}
    assert visible == queues - set(STREAMS)
    assert found["pgmq_queue_length", 'Full "Stream" %I'] == 5
    assert found["pgmq_group_lag", 'g/Full "Stream" %I'] == 3
    assert found["pgmq_queue_in_flight_length", "by_id_policy"] == 1
    assert found["pgmq_queue_dead_letters", "by_id_policy"] == 0
    assert found["pgmq_queue_takes_dead_letters", "dead"] == 1
    assert found["pgmq_queue_takes_dead_letters", 'Dead "Letters" of streams'] == 1
    assert found["pgmq_queue_takes_dead_letters", "plain"] == 0
    assert found["pgmq_queue_sends_paused", "paused"] == 1
    assert found["pgmq_schedule_paused", "plain/rests"] == 1
    assert ("pgmq_schedule_next_timestamp_seconds", "plain/rests") not in found
    assert found["pgmq_default_partition_length", "by_time"] == 0
    assert found["pgmq_schedule_last_timestamp_seconds", "plain/soon"] == pytest.approx(
        time.time(), abs=60
    )
    registry = CollectorRegistry()
    Worker(dsn, "plain", print, hooks=WorkerMetrics(registry)).run(until_empty=True)
    served = {name for name, _ in found | _samples(generate_latest(registry).decode())}
    for file in (DASHBOARD, RULES):
        named = _names(file.read_text())
        assert len(named) > 10
        assert named <= served


def test_only_the_longest_queues_are_served_where_there_are_many(
    dsn: str, db: psycopg.Connection
) -> None:
    for number in range(5):
        db.execute("SELECT pgmq.create(%s)", [f"q{number}"])
        db.execute("SELECT pgmq.send(%s, '1') FROM generate_series(1, %s)", [f"q{number}", number])
    collector = Collector(dsn, limit=2)
    found = _scrape(collector)
    collector.close()
    assert {labels for name, labels in found if name == "pgmq_queue_length"} == {"q3", "q4"}
    assert (found["pgmq_queues", ""], found["pgmq_queues_omitted", ""]) == (5, 3)


def test_a_held_snapshot_and_findings_are_seen_by_a_role_that_monitors(
    server: TestServer, dsn: str, db: psycopg.Connection, roles: Roles
) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.send('q', '1')")
    watcher = roles("LOGIN IN ROLE pg_monitor")
    with psycopg.connect(dsn) as holder:
        holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT 1 FROM pgmq.meta")
        time.sleep(0.2)
        collector = Collector(psycopg.conninfo.make_conninfo(dsn, user=watcher))
        found = _scrape(collector)
        collector.close()
    assert found["pgmq_queue_length", "q"] == 1
    assert found["pgmq_oldest_snapshot_age_seconds", ""] >= 0.2
    assert ("pgmq_doctor_findings", "critical") in found


def test_while_the_database_is_away_that_is_what_is_served(new_server: Any) -> None:
    server = new_server()
    with psycopg.connect(server.dsn("pgmq"), autocommit=True) as session:
        session.execute("SELECT pgmq.create('q')")
    collector = Collector(server.dsn("pgmq"))
    assert _scrape(collector)["pgmq_up", ""] == 1
    server.stop(mode="immediate")
    away = _scrape(collector)
    assert {name for name, _ in away} == {"pgmq_up", "pgmq_scrape_duration_seconds"}
    assert away["pgmq_up", ""] == 0
    server.start()
    found = _scrape(collector)
    collector.close()
    assert (found["pgmq_up", ""], found["pgmq_queue_length", "q"]) == (1, 0)


def test_a_database_that_answers_no_more_is_away(
    dsn: str, db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "_LONGEST", 1500)
    monkeypatch.setattr(wire, "SILENCE_STOPPING", 1)
    with proxying(dsn) as proxy, contextlib.closing(Collector(proxy.dsn)) as collector:
        assert _scrape(collector)["pgmq_up", ""] == 1
        proxy.freeze()
        with ThreadPoolExecutor(4) as pool:  # those that have to wait share the first one's fate
            found = list(pool.map(lambda _: _scrape(collector), range(4)))
        assert all(each["pgmq_up", ""] == 0 for each in found)
        assert _scrape(collector)["pgmq_up", ""] == 1
        # What the server itself is busy with for too long, it ends.
        db.execute("BEGIN; LOCK TABLE pgmq.meta")
        assert _scrape(collector)["pgmq_up", ""] == 0
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        assert db.execute(waiting).fetchone() == (0,)
        db.execute("ROLLBACK")


def test_what_waiting_does_not_mend_is_raised(server: TestServer) -> None:
    with server.database() as empty, pytest.raises(psycopg.errors.InvalidSchemaName):
        _scrape(Collector(server.dsn(empty)))


def test_the_command_serves_until_it_is_stopped(dsn: str, db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q')")
    command = [sys.executable, "-m", "pgmq", "exporter", "--dsn", dsn, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with urllib.request.urlopen(url) as answer:  # noqa: S310
            found = _samples(answer.read().decode())
        process.terminate()
        assert process.wait(10) == 0
    assert found["pgmq_queue_length", "q"] == 0
    done = subprocess.run(
        [*command[:4], "--dsn", psycopg.conninfo.make_conninfo(dsn, dbname="nowhere")],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert 'database "nowhere" does not exist' in done.stderr


@pytest.mark.parametrize("kind", [Worker, ProcessWorker])
def test_a_worker_counts_what_becomes_of_messages(
    kind: Any, dsn: str, db: psycopg.Connection
) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.set_policy('q', max_receives => 1)")
    db.execute("SELECT pgmq.send_batch('q', '{0,1,2,3}')")
    registry = CollectorRegistry()
    hooks = WorkerMetrics(registry)
    kind(dsn, "q", handlers.raise_each, hooks=hooks).run(until_empty=True)
    found = _samples(generate_latest(registry).decode())
    outcomes = {
        labels: value
        for (name, labels), value in found.items()
        if name == "pgmq_worker_messages_total"
    }
    assert outcomes["done/q"] == outcomes["retried/q"] == outcomes["rejected/q"] == 1
    assert outcomes["failed/q"] == 1
    assert outcomes["dead/q"] >= 1
    assert found["pgmq_worker_handler_seconds_count", "q"] == 4


def test_the_rules_are_what_prometheus_takes_and_the_dashboard_is_json() -> None:
    promtool = shutil.which("promtool")
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert all(panel["targets"] for panel in panels if panel["type"] != "row")
    if promtool is None:
        pytest.skip("needs promtool (Debian: prometheus)")
    done = subprocess.run(
        [promtool, "test", "rules", "/dev/stdin"],
        check=False,
        input=TESTS.replace("RULES", str(RULES)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# A queue that nobody reads, one that is read, one for dead letters, and a stream.
TESTS = """
rule_files: [RULES]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'pgmq_up', values: '0x60'}
      - {series: 'pgmq_queue_visible_length{queue="left"}', values: '5x60'}
      - {series: 'pgmq_queue_in_flight_length{queue="left"}', values: '0x60'}
      - {series: 'pgmq_queue_reads_paused{queue="left"}', values: '0x60'}
      - {series: 'pgmq_queue_takes_dead_letters{queue="left"}', values: '0x60'}
      - {series: 'pgmq_messages_removed_total{queue="left"}', values: '7x60'}
      - {series: 'pgmq_oldest_message_age_seconds{queue="left"}', values: '0+60x60'}
      - {series: 'pgmq_queue_dead_letters{queue="left"}', values: '0x30 1x30'}
      - {series: 'pgmq_queue_visible_length{queue="read"}', values: '5x60'}
      - {series: 'pgmq_queue_in_flight_length{queue="read"}', values: '0x60'}
      - {series: 'pgmq_queue_reads_paused{queue="read"}', values: '0x60'}
      - {series: 'pgmq_queue_takes_dead_letters{queue="read"}', values: '0x60'}
      - {series: 'pgmq_messages_removed_total{queue="read"}', values: '0+9x60'}
      - {series: 'pgmq_oldest_message_age_seconds{queue="read"}', values: '1x60'}
      - {series: 'pgmq_queue_visible_length{queue="dead"}', values: '5x60'}
      - {series: 'pgmq_queue_in_flight_length{queue="dead"}', values: '0x60'}
      - {series: 'pgmq_queue_reads_paused{queue="dead"}', values: '0x60'}
      - {series: 'pgmq_queue_takes_dead_letters{queue="dead"}', values: '1x60'}
      - {series: 'pgmq_messages_removed_total{queue="dead"}', values: '0x60'}
      - {series: 'pgmq_oldest_message_age_seconds{queue="dead"}', values: '0+60x60'}
      - {series: 'pgmq_oldest_message_age_seconds{queue="stream"}', values: '0+60x60'}
      - {series: 'pgmq_group_lag{queue="stream", group="g"}', values: '0+10x60'}
      - {series: 'pgmq_group_lag_seconds{queue="stream", group="g"}', values: '0+60x60'}
      - series: pgmq_schedule_next_timestamp_seconds{queue="left", schedule="s"}
        values: 600x60
    promql_expr_test:
      - expr: count by (alertname, queue) (ALERTS{alertstate="firing"})
        eval_time: 40m
        exp_samples:
          - {labels: '{alertname="PgmqDown"}', value: 1}
          - {labels: '{alertname="PgmqNoConsumer", queue="left"}', value: 1}
          - {labels: '{alertname="PgmqOldMessages", queue="left"}', value: 1}
          - {labels: '{alertname="PgmqDeadLetters", queue="left"}', value: 1}
          - {labels: '{alertname="PgmqLag", queue="stream"}', value: 1}
          - {labels: '{alertname="PgmqScheduleLate", queue="left"}', value: 1}
"""
