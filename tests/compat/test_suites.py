"""What makes python/tools/suites.py say that a suite of another project fails, and its reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import suites

if TYPE_CHECKING:
    from pathlib import Path

    from compat.both import Both

CASE = '<testcase classname="tests.x" name="{}">{}</testcase>'


@pytest.mark.parametrize(
    ("cases", "good", "said"),
    [
        ({"a": "", "b[x]": "<failure/>"}, True, "1 passed, 0 skipped, 1 differ as listed"),
        ({"a": "", "b[x]": "<failure/>", "c": "<error/>"}, False, "FAILED: c"),
        ({"a": "", "b[x]": "<skipped/>"}, True, "1 passed, 1 skipped, 0 differ"),
        ({"a": "", "b[x]": ""}, False, "PASSED, but is listed: b"),
        ({"b[x]": "<failure/>", "b[y]": ""}, True, "differs: b: why"),
        ({}, False, "0 passed"),
    ],
)
def test_a_suite_is_good_when_what_fails_is_listed_and_what_is_listed_fails(
    cases: dict[str, str],
    good: bool,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        f"<testsuites>{''.join(CASE.format(*case) for case in cases.items())}</testsuites>"
    )
    assert suites.show("suite", report, {"b": "why"}) is good
    assert said in capsys.readouterr().out
    assert not suites.show("suite", tmp_path / "none", {})


def test_the_reasons_of_differences_hold_for_upstream_too(both: Both) -> None:
    for side in (both.upstream, both.ours):
        error = side.run("SELECT pgmq.validate_queue_name(repeat('a', 49))").error
        assert error is not None
        assert "maximum length is 47 characters" in error[1], suites.LENGTH
        assert side.run("SELECT pgmq.drop_queue('none')").rows == ((False,),), suites.DROP


def test_every_suite_is_described_and_every_difference_has_a_reason() -> None:
    page = (suites.ROOT / "CONTRIBUTING.md").read_text()
    for name, suite in suites.SUITES.items():
        assert name in page
        assert all(len(reason) > 10 for reason in suite.differences.values())
        # What the differences are about is one version, or a checkout that somebody names.
        assert ("==" in suite.source) is suite.carries_tests
