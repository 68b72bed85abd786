"""RQ, without keeping results."""

from __future__ import annotations

import functools
import os

import redis
import rq

from benchmark.contenders.job import note

_queue = rq.Queue("jobs", connection=redis.Redis.from_url(os.environ["BENCH_URL"]))
send = functools.partial(_queue.enqueue, note, result_ttl=0)
