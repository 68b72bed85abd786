"""pgmq 2.0.0."""

from __future__ import annotations

from django.db import migrations, models

from pgmq.django.migrations import _install


class Migration(migrations.Migration):
    """Installs pgmq, and tells Django of its table of queues."""

    initial = True
    operations = (
        _install.Install(),
        migrations.CreateModel(
            name="Queue",
            fields=[
                ("queue_name", models.CharField(max_length=47, primary_key=True, serialize=False)),
                ("is_partitioned", models.BooleanField()),
                ("is_unlogged", models.BooleanField()),
                ("created_at", models.DateTimeField()),
            ],
            options={
                "db_table": '"pgmq"."meta"',
                "ordering": ("queue_name",),
                "managed": False,
                "default_permissions": ("view",),
            },
        ),
    )
