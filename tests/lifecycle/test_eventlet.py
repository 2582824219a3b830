"""eventlet, which OpenStack runs on: patched before us, after us, or not at all (jaeger-client's #191, #265, #266)."""

from __future__ import annotations

import pytest

IMPORT = "from sls_tracing import init_tracer\n"
ORDERS = {
    "patched first": "import eventlet; eventlet.monkey_patch()\n" + IMPORT,
    "patched after the import": IMPORT + "import eventlet; eventlet.monkey_patch()\n",
    "not patched": IMPORT + "import eventlet\n",
}

WORK = """
tracer = init_tracer()

def work():
    for _ in range(50):
        with tracer.start_active_span("outer") as outer:
            with tracer.start_active_span("inner") as inner:
                eventlet.sleep(0)
                assert inner.span.context.parent_id == outer.span.context.span_id

for greenlet in [eventlet.spawn(work) for _ in range(10)]:
    greenlet.wait()
"""
ENDS = {"end of the script": "", "flush": "import os; assert tracer.flush(10); os._exit(0)"}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("order", ORDERS)
def test_spans_of_greenlets_arrive(order, end, run_program, receiver) -> None:
    """Each green thread has its own active span; the end delivers."""
    run_program(ORDERS[order] + WORK + ENDS[end])
    receiver.wait_for(1000)
    assert receiver.names() == {"outer": 500, "inner": 500}
