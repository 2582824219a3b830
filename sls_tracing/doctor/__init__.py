"""What `sls-tracing doctor` finds out, apart from how it is printed.

    finding       one sentence, and how bad it is
    libraries     which libraries can be traced here, tried out
    way_out       the settings, and a trace sent with them
    headers       the trace headers of one request: what came in, what is made of it, what goes out, and why
    mesh_probe    a request sent through a service, and the trace that came of it
    mesh_trace    that trace, in words

Nothing here needs more than a plain install: it runs inside the container of the service.
"""
