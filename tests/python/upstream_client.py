"""What upstream's client and this one must do alike; also a program that does it with upstream's.

The program's first argument is the wheel, the second what to do, and the answer is JSON. It runs
in a process of its own because both packages have one name, so it imports only what both have.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import os
import sys
import time
import warnings
from datetime import datetime, timedelta, timezone
from typing import Any

MODULES = [
    *["base", "queue", "async_queue", "messages", "decorators", "install", "logger"],
    *["notify_listener", "sqlalchemy_queue", "sqlalchemy_async_queue"],
    *["sync_operations", "async_operations"],
]

# Stands for a time so many seconds from now.
AT = "@"

SEVERAL = [{"a": 1}, {"b": [1, {"c": None}]}, None, "text", 5]

# Method, arguments, keywords; run in this order by one client on an empty database. Messages stay
# visible by a vt of -1: of 0, upstream's client makes its default.
CALLS: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("create_queue", ["q"], {}),
    ("create_queue", ["q"], {}),
    ("create_queue", ["u"], {"unlogged": True}),
    ("list_queues", [], {}),
    ("validate_queue_name", ["q"], {}),
    ("validate_queue_name", ["x" * 48], {}),
    # sending
    ("send", ["q", {"a": 1, "it's": ["%s", ":a", "ü"]}], {}),
    ("send", ["q", None], {}),
    ("send", ["q", [1, 2]], {}),
    ("send", ["q", {"a": 2}, {"h": 1}], {}),
    ("send", ["q", {"a": 3}, {}, 60], {}),
    ("send", ["q", {"a": 4}, {"h": 1}, f"{AT}60"], {}),
    ("send", ["q", {"a": 5}], {"delay": 60}),
    ("send", ["q", {"a": 6}], {"tz": 60}),
    ("send", ["q", {"a": 7}], {"delay": 0, "tz": f"{AT}60"}),
    ("send", ["q", {"a": 8}], {"delay": f"{AT}-60"}),
    ("send", ["q", {"a": 9}], {"delay": -5}),
    ("send", ["missing", {}], {}),
    ("send_batch", ["q", SEVERAL], {}),
    ("send_batch", ["q", [{}, {}], [{"h": 1}, {}], 60], {}),
    ("send_batch", ["q", [{}], [{"h": 1}]], {}),
    ("send_batch", ["q", [{}]], {"delay": 60}),
    ("send_batch", ["q", [{}]], {"delay": f"{AT}60"}),
    ("send_batch", ["q", [{}], [{}], f"{AT}60"], {}),
    ("send_batch", ["q", [{}], []], {}),
    ("send_batch", ["q", []], {}),
    ("send_batch", ["missing", [{}]], {}),
    ("metrics", ["q"], {}),
    ("metrics", ["u"], {}),
    ("metrics", ["missing"], {}),
    ("metrics_all", [], {}),
    # reading
    ("read", ["q"], {}),
    ("read", ["q", 10], {}),
    ("read", ["q", 60, 2], {}),
    ("read", ["q"], {"vt": None, "qty": 0}),
    ("read", ["q"], {"vt": -1, "conditional": {"a": 8}}),
    ("read", ["q"], {"conditional": {"a": 77}}),
    ("read", ["q"], {"conditional": {"a": 77}, "qty": 2}),
    ("read", ["q"], {"vt": -1, "qty": 3}),
    ("read", ["u"], {}),
    ("read", ["u"], {"qty": 2}),
    ("read", ["missing"], {}),
    ("read_batch", ["q"], {}),
    ("read_batch", ["q", -1, 3], {}),
    ("read_batch", ["u"], {"batch_size": 3}),
    ("read_with_poll", ["q", -1, 2, 0], {}),
    ("read_with_poll", ["q"], {"vt": -1, "max_poll_seconds": 0, "conditional": {"a": 8}}),
    ("read_with_poll", ["u"], {"max_poll_seconds": 0, "poll_interval_ms": 5}),
    ("pop", ["q"], {}),
    ("pop", ["q"], {"qty": 2}),
    ("pop", ["u"], {}),
    ("pop", ["u", 2], {}),
    # done
    ("delete", ["q", 1], {}),
    ("delete", ["q", 1], {}),
    ("delete", ["missing", 1], {}),
    ("delete_batch", ["q", [4, 5, 999]], {}),
    ("delete_batch", ["q", []], {}),
    ("archive", ["q", 6], {}),
    ("archive", ["q", 6], {}),
    ("archive_batch", ["q", [7, 8, 999]], {}),
    ("archive_batch", ["q", []], {}),
    ("set_vt", ["q", 9, 100], {}),
    ("set_vt", ["q", 9, f"{AT}100"], {}),
    ("set_vt", ["q", 999, 100], {}),
    ("set_vt", ["q", [9, 20, 999], 50], {}),
    ("set_vt", ["q", [20], f"{AT}100"], {}),
    ("set_vt", ["q", [], 50], {}),
    ("set_vt", ["q", 9, None], {}),
    ("purge", ["q"], {}),
    ("purge", ["q"], {}),
    ("purge", ["missing"], {}),
    # FIFO groups
    ("create_fifo_index", ["q"], {}),
    ("create_fifo_indexes_all", [], {}),
    ("send_batch", ["q", [1, 2, 3, 4], [{"x-pgmq-group": g} for g in "aabb"]], {}),
    ("read_grouped", ["q"], {"vt": -1}),
    ("read_grouped", ["q", -1, 3], {}),
    ("read_grouped_rr", ["q", -1, 3], {}),
    ("read_grouped_with_poll", ["q", -1, 3, 1, 50], {}),
    ("read_grouped_rr_with_poll", ["q"], {"vt": 60, "qty": 4, "max_poll_seconds": 0}),
    ("read_grouped_with_poll", ["q"], {"max_poll_seconds": 0}),
    # topics
    ("validate_routing_key", ["a.b"], {}),
    ("validate_routing_key", ["a..b"], {}),
    ("validate_topic_pattern", ["a.*"], {}),
    ("validate_topic_pattern", ["a.**"], {}),
    ("bind_topic", ["a.*", "q"], {}),
    ("bind_topic", ["a.#", "u"], {}),
    ("bind_topic", ["a.**", "u"], {}),
    ("bind_topic", ["a", "missing"], {}),
    ("list_topic_bindings", [], {}),
    ("list_topic_bindings", ["q"], {}),
    ("test_routing", ["a.b"], {}),
    ("send_topic", ["a.b", {"t": 1}], {}),
    ("send_topic", ["a.b", {"t": 1}, {"h": 1}, 5], {}),
    ("send_topic", ["a.b", {"t": 1}], {"delay": 5}),
    ("send_topic", ["nobody", {}], {}),
    ("send_topic", ["a..b", {}], {}),
    ("send_batch_topic", ["a.b", [{}, {}]], {}),
    ("send_batch_topic", ["a.b", [{}], [{"h": 1}]], {}),
    ("send_batch_topic", ["a.b", [{}], [{"h": 1}], 5], {}),
    ("send_batch_topic", ["a.b", [{}]], {"delay": f"{AT}5"}),
    ("send_batch_topic", ["a.b", []], {}),
    ("unbind_topic", ["a.*", "q"], {}),
    ("unbind_topic", ["a.*", "q"], {}),
    ("pop", ["u", 99], {}),
    # notifications
    ("enable_notify", ["q"], {}),
    ("update_notify", ["q", 500], {}),
    ("list_notify_throttles", [], {}),
    ("disable_notify", ["q"], {}),
    ("update_notify", ["q", 5], {}),
    ("detach_archive", ["q"], {}),
    ("drop_queue", ["q"], {}),
    ("drop_queue", ["q"], {}),
    ("list_queues", [], {}),
]

# Of configurations: the environment and the arguments.
CONFIGS: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({}, {}),
    ({"DATABASE_URL": "postgresql://a:b%40@c:1/d"}, {}),
    ({"DATABASE_URL": "postgresql://a:b@c:1/d"}, {"conn_string": "host=x dbname=y"}),
    (
        {
            "PG_HOST": "h",
            "PG_PORT": "1",
            "PG_DATABASE": "d",
            "PG_USERNAME": "u",
            "PG_PASSWORD": "p w",
            "PG_INIT_EXTENSION": "false",
        },
        {},
    ),
    ({"PG_HOST": "h", "PG_PORT": "1"}, {"host": "x", "vt": 5, "pool_size": 3}),
    ({"PG_PASSWORD": "p"}, {"conn_string": "postgresql://u@h/d"}),
    ({}, {"conn_string": "host=/tmp port=5 user=u dbname=x"}),
    ({}, {"conn_string": "postgresql+asyncpg://u:p@h/d"}),
    ({}, {"conn_string": "postgres://u:p@h/d", "host": "z", "database": "y"}),
    ({}, {"host": None, "port": "5415"}),
    *[({"PG_INIT_EXTENSION": value}, {}) for value in ["0", "no", "1", "yes", "true", "", "nope"]],
]
CONFIG_FIELDS = ["host", "port", "database", "username", "password", "vt", "pool_size", "delay"]


_started = 0.0


def outcomes(run: Any) -> list[Any]:
    """Make all calls by run(method, arguments, keywords)."""
    global _started  # noqa: PLW0603
    _started = time.time()
    return [
        outcome(run, method, revive(arguments), revive(keywords))
        for method, arguments, keywords in CALLS
    ]


def outcome(run: Any, *call: Any) -> Any:
    """Make a call; an error is its SQLSTATE or, if it is not the server's, its name."""
    try:
        return plain(run(*call))
    except Exception as error:  # noqa: BLE001
        cause = getattr(error, "orig", None) or error
        return {"error": getattr(cause, "sqlstate", None) or type(error).__name__}


def revive(value: Any) -> Any:
    """Put times where AT stands."""
    if isinstance(value, str) and value.startswith(AT):
        return datetime.now(timezone.utc) + timedelta(seconds=int(value.removeprefix(AT)))
    if isinstance(value, list):
        return [revive(item) for item in value]
    if isinstance(value, dict):
        return {key: revive(item) for key, item in value.items()}
    return value


def plain(value: Any) -> Any:
    """Bring a result into a form that JSON keeps; times are in seconds after the start."""
    if isinstance(value, datetime):
        since = value.timestamp() - _started
        return {"time": since if value.year > 1970 else "never"}
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return [type(value).__name__, {name: plain(getattr(value, name)) for name in names}]
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def signatures() -> dict[str, Any]:
    """Describe what the public modules define: `module.name` and `module.Class.name`."""
    found: dict[str, Any] = {}
    for name in MODULES:
        module = importlib.import_module(f"pgmq.{name}")
        for key, value in vars(module).items():
            if not key.startswith("_") and getattr(value, "__module__", "") == module.__name__:
                found[f"{name}.{key}"] = parameters(value)
                members = dir(value) if inspect.isclass(value) else []
                for member in members:
                    if not member.startswith("_"):
                        path = f"{name}.{key}.{member}"
                        found[path] = parameters(getattr(value, member, None))
    return found


def signature(path: str) -> Any:
    """Describe what is found under one of these names; raises AttributeError if there is none."""
    name, *attributes = path.split(".")
    value: Any = importlib.import_module(f"pgmq.{name}")
    for attribute in attributes:
        # The field of a dataclass without a default is no attribute of the class.
        fields = getattr(value, "__dataclass_fields__", {})
        value = None if attribute in fields else getattr(value, attribute)
    return parameters(value)


def parameters(value: Any) -> Any:
    """Describe a signature: for each parameter its name, kind and default."""
    try:
        found = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return None
    return [[item.name, item.kind.name, default(item.default)] for item in found]


def default(value: Any) -> str:
    return "<made>" if "factory" in repr(value) else repr(value)


def configs() -> list[Any]:
    """Describe what each of CONFIGS comes to."""
    from pgmq.base import PGMQConfig

    found = []
    saved = dict(os.environ)
    for environment, keywords in CONFIGS:
        for key in [key for key in os.environ if key.startswith("PG") or key == "DATABASE_URL"]:
            del os.environ[key]
        os.environ.update(environment)
        config = PGMQConfig(**keywords)
        found.append({name: getattr(config, name) for name in [*CONFIG_FIELDS, "init_extension"]})
    os.environ.clear()
    os.environ.update(saved)
    return found


if __name__ == "__main__":
    wheel, what, *rest = sys.argv[1:]
    sys.path.insert(0, wheel)
    warnings.simplefilter("ignore")
    answer: Any
    if what == "calls":
        from pgmq import PGMQueue

        queue = PGMQueue(conn_string=rest[0], init_extension=False)
        answer = outcomes(lambda method, args, kwargs: getattr(queue, method)(*args, **kwargs))
        queue.close()
    elif what == "signatures":
        import pgmq

        names = [name for name in pgmq.__all__ if getattr(pgmq, name, None) is not None]
        answer = {"all": names, "signatures": signatures()}
    else:
        answer = configs()
    print(json.dumps(answer))
