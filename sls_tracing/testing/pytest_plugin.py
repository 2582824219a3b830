"""The fixture ``recorded_spans``. In a ``conftest.py``:

    pytest_plugins = ["sls_tracing.testing.pytest_plugin"]

and then, in a test:

    def test_checkout(recorded_spans):
        checkout(cart)
        recorded_spans.one("charge card", error=False)

It is no entry point of pytest's on purpose: that would be imported by every run of pytest in every environment that has this library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sls_tracing.testing.recording import recording

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from sls_tracing.testing.recorded_spans import RecordedSpans

__all__ = ["pytest_runtest_makereport", "recorded_spans"]


@pytest.fixture
def recorded_spans() -> Iterator[RecordedSpans]:
    """The spans that the test makes; see :class:`~sls_tracing.testing.RecordedSpans`. If the test fails, the report shows them."""
    with recording() as spans:
        yield spans


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Generator[None, Any, Any]:
    """Show what was recorded below the traceback of a test that failed."""
    report = yield
    spans = getattr(item, "funcargs", {}).get("recorded_spans")
    if spans is not None and report.when == "call" and report.failed:
        report.sections.append(("recorded spans", spans.tree() or "none"))
    return report
