from __future__ import annotations

import page

exec(page.FILES["shop/tasks.py"])  # noqa: S102
