"""Settings of a Django project with nothing but tasks; BENCH_BACKEND says of which backend."""

from __future__ import annotations

import os

from psycopg.conninfo import conninfo_to_dict

BACKEND = os.environ["BENCH_BACKEND"]
URL = os.environ["BENCH_URL"]
SECRET_KEY = "of a benchmark"  # noqa: S105
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django_tasks",
    "django_rq" if BACKEND.startswith("django_tasks_rq") else BACKEND.rpartition(".")[0],
]
TASKS = {"default": {"BACKEND": BACKEND, "QUEUES": ["default"]}}
if URL.startswith("redis"):
    RQ_QUEUES = {"default": {"URL": URL}}
else:
    _given = conninfo_to_dict(URL)
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": _given["dbname"],
            "HOST": _given.get("host", ""),
            "PORT": _given.get("port", ""),
            "USER": _given.get("user", ""),
            "PASSWORD": _given.get("password", ""),
            "CONN_MAX_AGE": None,
        }
    }
