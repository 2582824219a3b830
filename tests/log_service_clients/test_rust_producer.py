"""Alibaba Cloud's producer, written in Rust, unmodified: every compression it has, thousands of logs, faults in between, and nothing is missing."""

from __future__ import annotations

import itertools
import threading
import time

import pytest
from aliyun_log_producer import EnqueueFullError, Producer, ProducerConfig

from sls_tracing.log_service.aliyun import AliyunLogService
from sls_tracing.log_service.credentials import AccessKey
from sls_tracing.log_service.index import FieldIndex, Index
from sls_tracing.log_service.service import LogstoreInfo
from sls_tracing.log_service.settings import LogServiceSettings

ENDPOINT, KEY = "cn-hangzhou.log.aliyuncs.com", AccessKey("testid", "testsecret")
INDEX = Index(keys={"service": FieldIndex(), "n": FieldIndex("long")})

numbers = itertools.count()


@pytest.fixture
def make_logstore():
    services = []

    def make(url):
        settings = LogServiceSettings(ENDPOINT, f"rust-{next(numbers)}", credentials=lambda: KEY, connect=url)
        service = AliyunLogService(settings)
        services.append(service)
        service.create_project()
        service.create_logstore(LogstoreInfo("jaeger-span"))
        service.logstore("jaeger-span").set_index(INDEX)
        return service

    yield make
    for service in services:
        service.close()


def send(project, count, now, **options):
    """Send logs and wait for each one's fate; return the errors."""
    config = ProducerConfig(
        endpoint="http://" + ENDPOINT, access_key_id=KEY.key_id, access_key_secret=KEY.secret, linger=0.05, **options
    )
    errors, left, done = [], [count], threading.Event()

    def delivered(error, *_):
        left[0] -= 1
        if error is not None:
            errors.append(error)
        if left[0] == 0:
            done.set()

    with Producer(config) as producer:
        writer = producer.writer(project, "jaeger-span")
        for n in range(count):
            _send_when_there_is_room(writer, {"service": "details/é", "n": str(n)}, time=now, on_delivery=delivered)
        assert done.wait(60)
    return errors


def _send_when_there_is_room(writer, log, **options):
    """The producer refuses what it has no room for, and a busy machine empties it slowly."""
    give_up_at = time.monotonic() + 60
    while True:
        try:
            return writer.send(log, **options)
        except EnqueueFullError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.01)


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_what_it_sends_is_stored(service_url, through_proxy, make_logstore, now, compression):
    service = make_logstore(service_url)
    assert send(service.project, 2000, now, compression=compression) == []
    query = "service: details/é | select count(1) as logs, count(distinct n) as numbers, sum(n) as total from log"
    (row,) = (
        service.logstore("jaeger-span").get_logs(query.replace("details/é", '"details/é"'), now - 60, now + 60).logs
    )
    assert (row["logs"], row["numbers"], row["total"]) == ("2000", "2000", str(sum(range(2000))))


def test_faults_cost_nothing(run_log_service, monkeypatch, make_logstore, now):
    """Throttled, refused and failing requests are sent again; everything arrives."""
    with run_log_service("--fault=error=0.2", "--fault=busy=0.2", "--fault=throttle=0.2", "--fault-seed=3") as url:
        monkeypatch.setenv("http_proxy", url)
        monkeypatch.setenv("HTTP_PROXY", url)
        service = make_logstore(url)
        options = {"batch_count_threshold": 50, "base_backoff": 0.1, "max_backoff": 0.2}
        assert send(service.project, 1000, now, **options) == []
        query = "* | select count(distinct n) as numbers from log"
        (row,) = service.logstore("jaeger-span").get_logs(query, now - 60, now + 60).logs
        assert row["numbers"] == "1000"
