"""sls-tracing: the tracing library of a Python service in an Istio mesh."""
