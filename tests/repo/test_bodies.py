from __future__ import annotations

import check_bodies
import pytest


def test_plpgsql_check_finds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    if check_bodies.pg_config() is None:
        pytest.skip("no Postgres installation here has the extension plpgsql_check")
    status = check_bodies.main()
    assert status == 0, capsys.readouterr().out
