"""Migrations that install pgmq, one for each version that changes its SQL."""

from __future__ import annotations
