"""pgmq 2.1.0."""

from __future__ import annotations

from django.db import migrations

from pgmq.django.migrations import _install


class Migration(migrations.Migration):
    """Brings pgmq to this version."""

    dependencies = (("pgmq", "0001_pgmq_2_0_0"),)
    operations = (_install.Install(),)
