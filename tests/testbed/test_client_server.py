"""client_server: a message carries the context from a client to a server that runs elsewhere."""

import asyncio
import queue
import threading

import gevent
import gevent.queue
import opentracing
import pytest
from opentracing.ext import tags

pytestmark = pytest.mark.requirement("OT-P01", "OT-M01", "OT-P04")

SERVER = {tags.SPAN_KIND: tags.SPAN_KIND_RPC_SERVER}
CLIENT = {tags.SPAN_KIND: tags.SPAN_KIND_RPC_CLIENT}


def serve(tracer, message):
    parent = tracer.extract(opentracing.Format.TEXT_MAP, message)
    with tracer.start_active_span("receive", child_of=parent, tags=SERVER):
        pass


def message_of(tracer, scope):
    message = {"payload": "text"}
    tracer.inject(scope.span.context, opentracing.Format.TEXT_MAP, message)
    return message


def check(spans):
    assert spans.is_child("receive", "send")
    assert spans["send"].tags[tags.SPAN_KIND] == "client"
    assert spans["receive"].tags[tags.SPAN_KIND] == "server"


def test_threads(threads, reported):
    messages = queue.Queue()
    server = threading.Thread(target=lambda: serve(threads, messages.get()))
    server.start()
    with threads.start_active_span("send", tags=CLIENT) as scope:
        messages.put(message_of(threads, scope))
    server.join()
    check(reported(threads))


def test_tasks(tasks, reported):
    async def main():
        messages = asyncio.Queue()

        async def server():
            serve(tasks, await messages.get())

        running = asyncio.create_task(server())
        with tasks.start_active_span("send", tags=CLIENT) as scope:
            await messages.put(message_of(tasks, scope))
            await running

    asyncio.run(main())
    check(reported(tasks))


def test_greenlets(greenlets, reported):
    messages = gevent.queue.Queue()
    server = gevent.spawn(lambda: serve(greenlets, messages.get()))
    with greenlets.start_active_span("send", tags=CLIENT) as scope:
        messages.put(message_of(greenlets, scope))
    server.get()
    check(reported(greenlets))
