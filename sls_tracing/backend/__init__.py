"""The roles behind the wire: agent (UDP), collector (queue and writer), query API, and all of them in one process.

    agent.py ──▶ collector.py ──▶ log_service.trace_store ◀── query_api.py        all_in_one.py runs the four on one event loop

Ports, paths and shapes are Jaeger's, so its clients can send here and its UI can read here. Needs the extra ``server``; the client
side of this library never imports it.
"""
