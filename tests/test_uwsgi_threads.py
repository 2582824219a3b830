"""Old uWSGI without threads starves the reporter's; that is said, with the remedy."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from sls_tracing.guard import limited_log
from sls_tracing.uwsgi_threads import warn_if_threads_starve


@pytest.mark.parametrize(
    ("version", "options", "warned"),
    [
        ((2, 0, 26, 0, b""), {"master": True}, True),
        ((2, 0, 26, 0, b""), {"enable-threads": True}, False),
        ((2, 0, 26, 0, b""), {"threads": b"2"}, False),
        ((2, 0, 27, 0, b""), {"master": True}, False),
        ((2, 1), {"master": True}, False),
        (None, None, False),
    ],
)
def test_it_is_said_where_it_is_so(version, options, warned, monkeypatch, caplog) -> None:
    """uWSGI's own module is a stand-in here: only one version can be installed. What it says was read from 2.0.26."""
    uwsgi = ModuleType("uwsgi")
    uwsgi.version_info, uwsgi.opt = version, options
    monkeypatch.setitem(sys.modules, "uwsgi", uwsgi)
    limited_log._last.pop("uwsgi_threads", None)
    warn_if_threads_starve()
    assert ("--enable-threads" in caplog.text) == warned


def test_elsewhere_nothing_happens(caplog) -> None:
    """Not under uWSGI."""
    warn_if_threads_starve()
    assert caplog.text == ""
