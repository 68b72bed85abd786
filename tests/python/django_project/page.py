"""The settings, tasks and examples of the page for Django, for the version that is installed."""

from __future__ import annotations

import re

import django

from support import pages
from support.server import ROOT

_blocks = [
    block if django.VERSION >= (6, 0) else block.replace("from django.tasks", "from django_tasks")
    for language, block in pages.blocks(ROOT / "python" / "docs" / "django.md")
    if language == "python"
]
FILES = {match[1]: block for block in _blocks if (match := re.match(r"# (\S+\.py)\n", block))}
EXAMPLES = [block for block in _blocks if block not in FILES.values()]
