"""Django's tasks on pgmq: an app, a backend of TASKS, and a client on Django's connections.

`backend` sends tasks and knows their results, `runner` runs them for `manage.py pgmq_worker`.
`migrations` install the SQL, `apps` has the queues made after each `migrate`, `admin` shows them.
"""

from __future__ import annotations

from pgmq.django.backend import PGMQBackend
from pgmq.django.client import Client

__all__ = ["Client", "PGMQBackend"]
