"""The tasks that tests/instrumentation/services/test_celery.py runs: in a real worker, or eagerly."""

import os

import opentracing
from celery import Celery

app = Celery("shop", broker=os.environ.get("BROKER", "memory://"), backend=os.environ.get("BACKEND", "cache+memory://"))
app.conf.update(
    task_default_queue="orders",
    broker_connection_retry_on_startup=True,
    worker_max_tasks_per_child=int(os.environ["MAX_TASKS"]) if "MAX_TASKS" in os.environ else None,
)


@app.task
def add(a, b):
    with opentracing.tracer.start_active_span("inside"):
        return a + b


@app.task
def fail():
    raise ValueError("no such order")


@app.task(bind=True, max_retries=2, default_retry_delay=0)
def flaky(self):
    if self.request.retries < 1:
        raise self.retry(exc=ValueError("not yet"), countdown=0)
    return self.request.retries


@app.task
def headers():
    request = headers.request
    return {"process": os.getpid(), "own": getattr(request, "own", None)}
