from __future__ import annotations

import pytest

pytest.register_assert_rewrite("model.history", "model.programs", "model.reference")
