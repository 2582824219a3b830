"""The roles behind the wire: agent (UDP), collector (queue and writer), query API, and all of them in one process.

    agent.py (UDP) ───────────┐
    collector_http.py (HTTP) ─┴▶ collector.py ──▶ log_service.trace_store ◀── query_api.py        all_in_one.py runs them on one event loop

    collector_http.py   three doors, Thrift, Zipkin, OTLP: a request is read within bounds (request_body.py, content_coding.py), decoded
                        (zipkin_*.py, otlp*.py), counted (intake.py) and submitted
    adjusters.py        what the query API does to a trace on its way out; shared_spans.py for Zipkin's

Ports, paths and shapes are Jaeger's, so its clients can send here and its UI can read here. Needs the extra ``server``; the client
side of this library never imports it.
"""
