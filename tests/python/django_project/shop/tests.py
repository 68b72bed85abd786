"""What a project may rely on; run by `manage.py test` on each version of Django."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction
from django.test import TransactionTestCase, override_settings
from django.utils import timezone
from psycopg.conninfo import make_conninfo

import page
import pgmq
from pgmq.django import Client
from pgmq.django._tasks import (
    TaskResultDoesNotExist,
    TaskResultStatus,
    task_backends,
    task_enqueued,
    task_finished,
    task_started,
)
from pgmq.django.client import dsn
from shop import chores
from shop.models import Order
from support import pages

if TYPE_CHECKING:
    from collections.abc import Callable

DAY = timedelta(days=1)
READY, RUNNING = TaskResultStatus.READY, TaskResultStatus.RUNNING
FAILED, SUCCESSFUL = TaskResultStatus.FAILED, TaskResultStatus.SUCCESSFUL


def work(**options: Any) -> None:
    """Run all tasks that are due, here."""
    call_command("pgmq_worker", batch=True, worker_id="here", **options)


def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


class Case(TransactionTestCase):
    client_of_pgmq = Client()

    def setUp(self) -> None:
        for queue in ("default", "mail"):
            self.client_of_pgmq.purge(queue)
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))


class TasksTest(Case):
    def test_a_task_commits_with_the_work_of_the_orm_or_is_rolled_back_with_it(self) -> None:
        with self.assertRaises(ZeroDivisionError), transaction.atomic():
            Order.objects.create(number=1)
            lost = chores.add.enqueue(1, 2)
            self.assertEqual(chores.add.get_result(lost.id).status, READY)
            raise ZeroDivisionError
        self.assertRaises(TaskResultDoesNotExist, lost.refresh)
        with transaction.atomic():
            Order.objects.create(number=2)
            kept = chores.add.enqueue(1, b=2)
            with psycopg.connect(dsn("default")) as other:
                self.assertEqual(other.execute("SELECT FROM pgmq.q_default").fetchall(), [])
        work()
        kept.refresh()
        self.assertEqual((kept.status, kept.return_value), (SUCCESSFUL, 3))
        self.assertEqual([order.number for order in Order.objects.all()], [2])

    def test_a_result_tells_what_has_become_of_a_task(self) -> None:
        begun, go = self.folder / "begun", self.folder / "go"
        result = chores.wait_for.enqueue(str(begun), go=str(go))
        self.assertEqual((result.status, result.attempts), (READY, 0))
        self.assertEqual(chores.wait_for.get_result(result.id).args, [str(begun)])
        with Elsewhere():
            until(begun.exists)
            result.refresh()
            self.assertEqual((result.status, result.attempts), (RUNNING, 1))
            self.assertRaises(ValueError, lambda: result.return_value)
            go.touch()
            until(lambda: result.refresh() or result.is_finished)
        self.assertEqual((result.status, result.return_value), (SUCCESSFUL, None))
        self.assertLess(result.enqueued_at, result.started_at)
        self.assertLess(result.started_at, result.finished_at)
        self.assertEqual(result.worker_ids, ["elsewhere"])
        for unknown in ("", "default:0", f"default:{10**30}", "nowhere:1", "default:x"):
            self.assertRaises(TaskResultDoesNotExist, chores.add.get_result, unknown)

    def test_a_task_that_raises_has_failed_and_its_result_has_the_traceback(self) -> None:
        failed = [chores.place.enqueue(7, error="a bad day"), chores.give.enqueue("NUL")]
        done = chores.give.enqueue("ü 😀")
        with self.assertLogs("django.tasks" if "django.tasks" in sys.modules else "django_tasks"):
            work()
        for result in failed:
            result.refresh()
            self.assertEqual((result.status, result.attempts), (FAILED, 1))
            self.assertRaises(ValueError, lambda result=result: result.return_value)
        self.assertIs(failed[0].errors[0].exception_class, ValueError)
        self.assertIn("raise ValueError(error)", failed[0].errors[0].traceback)
        # Postgres cannot store what it returned.
        self.assertIs(failed[1].errors[0].exception_class, psycopg.errors.UntranslatableCharacter)
        self.assertEqual(chores.give.get_result(done.id).return_value, "ü 😀")
        # A task is no transaction, unless it makes one.
        self.assertEqual(Order.objects.get().number, 7)
        client = self.client_of_pgmq
        client.requeue("default", [int(failed[0].id.partition(":")[2])])
        [message] = client.peek("default", 2)
        again = chores.place.get_result(f"default:{message.msg_id}")
        self.assertEqual((again.status, again.errors), (READY, []))
        client.archive("default", message.msg_id)
        again.refresh()
        self.assertEqual(again.errors[0].traceback, "archived without a result: by hand")

    def test_a_task_asks_for_another_try_by_retry_and_one_that_nobody_knows_gets_some(self) -> None:
        result = chores.try_again.enqueue()
        message = {"task": "shop.chores.of_tomorrow"}
        early = self.client_of_pgmq.send("default", message)
        evil = self.client_of_pgmq.send("default", {"task": "os.getcwd"})
        with self.assertLogs("pgmq.django", "ERROR") as logs:
            work()
        result.refresh()
        self.assertEqual((result.status, result.return_value, result.attempts), (SUCCESSFUL, 2, 2))
        self.assertEqual(result.worker_ids, ["unknown", "here"])
        self.assertEqual(len(logs.output), 2)
        for msg_id in (early, evil):
            found = self.client_of_pgmq.get("default", msg_id)
            assert found is not None
            self.assertEqual(found.read_ct, 1)
            self.assertGreater(found.vt, timezone.now() + timedelta(seconds=5))

    def test_a_task_that_takes_its_worker_with_it_is_tried_again_and_fails_in_the_end(self) -> None:
        result = chores.die.enqueue(times=1)
        behind = chores.add.enqueue(1, 2)
        first = Elsewhere()
        with first:
            first.process.wait(20)
        self.assertEqual(first.process.returncode, -9)
        behind.refresh()
        self.assertEqual(behind.attempts, 0)
        until(lambda: result.refresh() or result.status == READY)  # its lease is over
        work()
        result.refresh()
        self.assertEqual((result.status, result.return_value), (SUCCESSFUL, 2))
        poison = chores.die.enqueue(times=99)
        for _ in range(3):  # as often as max_receives says
            self.client_of_pgmq.read("default", vt=0)
        work()
        poison.refresh()
        self.assertEqual((poison.status, poison.attempts), (FAILED, 3))
        self.assertEqual(poison.errors[0].exception_class.__name__, "HandlerError")
        self.assertTrue(poison.errors[0].traceback.endswith(": max_receives"))

    def test_priorities_and_times_are_those_of_the_queue(self) -> None:
        asked = [0, -100, 100, 1, -1, 40]
        order = [chores.place.using(priority=each).enqueue(each) for each in asked]
        later = chores.place.using(run_after=timezone.now() + timedelta(hours=1)).enqueue(7)
        self.assertEqual(order[1].task.priority, chores.place.get_result(order[1].id).task.priority)
        self.assertEqual(later.task.run_after, chores.place.get_result(later.id).task.run_after)
        work()
        placed = Order.objects.order_by("pk").values_list("number", flat=True)
        self.assertEqual([*placed], sorted(asked, reverse=True))
        self.assertEqual(chores.place.get_result(later.id).status, READY)

    def test_signals_are_sent_and_a_broken_receiver_costs_no_task(self) -> None:
        heard: list[tuple[str, Any]] = []

        def hear(task_result: Any, signal: Any, **_: Any) -> None:
            name = next(name for name, each in signals.items() if each is signal)
            heard.append((name, task_result.status))
            if name != "enqueued":
                raise ZeroDivisionError

        signals = {"enqueued": task_enqueued, "started": task_started, "finished": task_finished}
        for signal in signals.values():
            signal.connect(hear)
            self.addCleanup(signal.disconnect, hear)
        result = chores.attempts.enqueue()
        with self.assertLogs("django.dispatch"):
            work()
        self.assertEqual(
            heard, [("enqueued", READY), ("started", RUNNING), ("finished", SUCCESSFUL)]
        )
        self.assertEqual(chores.attempts.get_result(result.id).return_value, [1, ["here"]])

    def test_async_tasks_and_calls(self) -> None:
        result = async_to_sync(chores.mail.aenqueue)("ann")
        work()
        async_to_sync(result.arefresh)()
        self.assertEqual(result.return_value, ["ann", "order 3"])
        self.assertTrue(result.id.startswith("mail:"))

    def test_a_worker_closes_the_connections_that_tasks_leave_open(self) -> None:
        def sessions() -> Any:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                )
                return cursor.fetchone()

        before = sessions()
        with override_settings():
            connections.settings["default"]["CONN_MAX_AGE"] = None
            self.addCleanup(connections.settings["default"].update, CONN_MAX_AGE=0)
            for number in range(5):
                chores.place.enqueue(number)
            work(concurrency=2)
        until(lambda: sessions() == before)
        self.assertEqual(Order.objects.count(), 5)

    def test_any_client_sends_tasks_and_the_client_here_is_of_the_transaction(self) -> None:
        client = self.client_of_pgmq
        with transaction.atomic():
            msg_id = client.send("default", {"task": "shop.chores.add", "args": [3, 4]})
            transaction.set_rollback(True)
        self.assertIsNone(client.get("default", msg_id))
        msg_id = client.send("default", {"task": "shop.chores.add", "args": [3, 4]})
        message = client.get("default", msg_id)
        assert message is not None
        self.assertEqual(message.message["args"], [3, 4])
        work()
        self.assertEqual(chores.add.get_result(f"default:{msg_id}").return_value, 7)


class PageTest(Case):
    def test_the_page_for_django_shows_what_happens(self) -> None:
        names: dict[str, Any] = {}
        for block in page.EXAMPLES:
            with contextlib.redirect_stdout(io.StringIO()) as shown:
                exec(block, names)  # noqa: S102
            self.assertEqual(shown.getvalue().splitlines(), pages.printed(block))
        self.client_of_pgmq.unschedule("nightly")


class MigrationsTest(Case):
    def test_they_install_pgmq_and_leave_what_is_there(self) -> None:
        call_command("makemigrations", check=True, dry_run=True, stdout=io.StringIO())
        client = self.client_of_pgmq
        with connection.cursor() as cursor:
            cursor.execute("DROP SCHEMA pgmq CASCADE")
        call_command("migrate", "pgmq", "zero", verbosity=0)
        call_command("migrate", verbosity=0)
        self.assertEqual(client.version(), pgmq.__version__)
        sent = chores.add.enqueue(1, 2)
        call_command("migrate", "pgmq", "zero", verbosity=0)
        call_command("migrate", verbosity=0)
        self.assertEqual(chores.add.get_result(sent.id).status, READY)

    def test_an_extension_stays_one(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_available_extensions WHERE name = 'pgmq'")
            if cursor.fetchone() == (0,):
                self.skipTest("the server has no files of the extension")
            cursor.execute("DROP SCHEMA pgmq CASCADE; CREATE EXTENSION pgmq")
        call_command("migrate", "pgmq", "zero", verbosity=0)
        call_command("migrate", verbosity=0)
        with connection.cursor() as cursor:
            cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'pgmq'")
            self.assertEqual(cursor.fetchone(), (pgmq.__version__,))

    def test_queues_have_the_policy_of_the_settings_and_else_what_they_were_given(self) -> None:
        client = self.client_of_pgmq
        client.alter_policy("mail", clear=["priorities"], max_receives=9, message_ttl=DAY)
        call_command("migrate", verbosity=0)
        policy = client.get_policy("mail")
        self.assertEqual(
            (policy.priorities, policy.ack_archives, policy.max_receives, policy.message_ttl),
            (True, True, 3, DAY),
        )
        client.alter_policy("mail", clear=["message_ttl"])


class AdminTest(Case):
    def test_it_shows_the_queues_and_nobody_changes_them(self) -> None:
        self.client.force_login(User.objects.create_superuser("boss"))
        chores.add.enqueue(1, 2)
        shown = self.client.get("/admin/pgmq/queue/?q=defa")
        self.assertContains(shown, '<td class="field-visible">1</td>', html=True)
        self.assertNotContains(shown, "mail")
        self.assertContains(self.client.get("/admin/pgmq/queue/default/change/"), "max_receives: 3")
        for path in ("add/", "default/delete/"):
            self.assertEqual(self.client.get(f"/admin/pgmq/queue/{path}").status_code, 403)
        posted = self.client.post("/admin/pgmq/queue/default/change/", {"queue_name": "x"})
        self.assertEqual(posted.status_code, 403)
        call_command("dumpdata", stdout=(dump := io.StringIO()))
        self.assertNotIn("pgmq.queue", dump.getvalue())
        self.client.force_login(User.objects.create_user("clerk", is_staff=True))
        self.assertEqual(self.client.get("/admin/pgmq/queue/").status_code, 403)


class SettingsTest(Case):
    def test_what_is_wrong_with_them_is_said(self) -> None:
        wrong = {"BACKEND": "pgmq.django.PGMQBackend", "QUEUES": []}
        with self.settings(TASKS={"default": wrong}, INSTALLED_APPS=["shop"]):
            found = [error.id for error in task_backends["default"].check()]
            self.assertEqual(found, ["pgmq.E002", "pgmq.E003"])
        self.assertEqual([*task_backends["default"].check()], [])
        with self.assertRaisesMessage(CommandError, "no queue of that backend: elsewhere"):
            call_command("pgmq_worker", queues=["elsewhere"])
        with (
            self.settings(TASKS={"default": wrong | {"QUEUES": ["new"]}}),
            self.assertRaisesMessage(CommandError, "Is `manage.py migrate` to be run first?"),
        ):
            work()


class Elsewhere:
    """A worker in a process of its own, which ends with the block."""

    def __enter__(self) -> None:
        name = connection.settings_dict["NAME"]
        environment = os.environ | {
            "PGMQ_DJANGO": make_conninfo(os.environ["PGMQ_DJANGO"], dbname=name)
        }
        command = [
            sys.executable,
            "manage.py",
            "pgmq_worker",
            "--worker-id",
            "elsewhere",
            "--queue-name",
            "default",
        ]
        self.process = subprocess.Popen(command, env=environment)

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(20)
