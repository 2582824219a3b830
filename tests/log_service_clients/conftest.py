"""The official clients of Log Service against `sls-tracing log-service`, a process of its own. Run by the tox environment ``log-service-clients``: the SDK
pins an older protobuf than the rest of the tests needs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

KEY_ID, SECRET = "testid", "testsecret"


@contextmanager
def log_service(*arguments):
    """Run the embedded Log Service; yield its URL."""
    environment = {**os.environ, "ALIBABA_CLOUD_ACCESS_KEY_ID": KEY_ID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET": SECRET}
    command = [sys.executable, "-m", "sls_tracing", "log-service", "--port=0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            banner = ""
            for line in process.stdout:
                banner += line
                if "Ctrl-C" in line:
                    break
            yield re.search(r"http://\S+", banner)[0]
        finally:
            process.terminate()
    assert process.returncode == 0


@pytest.fixture(scope="session")
def service_url():
    with log_service() as url:
        yield url


@pytest.fixture
def through_proxy(service_url, monkeypatch):
    """The clients' own way to a service at another address: a proxy, to which they name the whole URL."""
    monkeypatch.setenv("HTTP_PROXY", service_url)
    monkeypatch.setenv("http_proxy", service_url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def now():
    return int(time.time())


@pytest.fixture
def run_log_service():
    return log_service
