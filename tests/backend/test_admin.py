from __future__ import annotations

import requests
from prometheus_client.parser import text_string_to_metric_families

from sls_tracing.backend.admin import admin_app
from sls_tracing.metrics import Counters


class Role:
    def __init__(self):
        self.ready = True
        self.gauges = {"collector_queued_bytes": 7.0}


def test_it_lives_while_it_is_not_ready(serve):
    """/healthz says that the process answers; /readyz, and / as Jaeger's roles have it, that it takes work."""
    role = Role()
    url = serve(admin_app(lambda: role.ready))
    for ready, status in ((True, 200), (False, 503)):
        role.ready = ready
        assert requests.get(url + "/healthz", timeout=20).status_code == 200
        assert requests.get(url + "/readyz", timeout=20).status_code == status
        assert requests.get(url + "/", timeout=20).status_code == status
    assert requests.get(url + "/readyz", timeout=20).json() == {"status": "Server not available"}


def test_metrics_are_prometheus_own(serve):
    """Prometheus' parser reads counters as counters, gauges as gauges; they are those of the moment, and the process's own are there."""
    counters, role = Counters(), Role()
    url = serve(admin_app(lambda: True, lambda: role.gauges, counters=counters))

    def metrics():
        response = requests.get(url + "/metrics", timeout=20)
        assert response.headers["content-type"].startswith("text/plain")
        return {
            family.name: (family.type, family.samples[0].name, family.samples[0].value)
            for family in text_string_to_metric_families(response.text)
        }

    assert "sls_tracing_collector_spans_stored" not in metrics()
    counters.add("collector_spans_stored", 3)
    found = metrics()
    assert found["sls_tracing_collector_spans_stored"] == ("counter", "sls_tracing_collector_spans_stored_total", 3)
    assert found["sls_tracing_collector_queued_bytes"] == ("gauge", "sls_tracing_collector_queued_bytes", 7)
    assert found["process_resident_memory_bytes"][2] > 1e6
    counters.add("collector_spans_stored")
    role.gauges = {"collector_queued_bytes": 0.0}
    found = metrics()
    assert (found["sls_tracing_collector_spans_stored"][2], found["sls_tracing_collector_queued_bytes"][2]) == (4, 0)
