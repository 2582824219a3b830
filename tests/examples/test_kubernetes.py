"""The manifests of examples/kubernetes: valid for Kubernetes and Istio, and in agreement with our own commands, ports and variables."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

from sls_tracing.cli import COMMANDS
from sls_tracing.log_service.settings import LogServiceSettings, variable

FOLDER = Path(__file__).parents[2] / "examples" / "kubernetes"
FILES = sorted(FOLDER.glob("*.yaml"))


def documents():
    for file in FILES:
        for number, document in enumerate(yaml.safe_load_all(file.read_text("utf-8"))):
            yield pytest.param(document, id=f"{file.stem}-{number}-{document['kind']}")


DOCUMENTS = [each.values[0] for each in documents()]

TEXT, COUNT = {"type": "string", "minLength": 1}, {"type": "integer", "minimum": 1, "maximum": 65535}
PERCENT = {"type": "number", "minimum": 0, "maximum": 100}


def closed(required=(), **properties):
    """Return the schema of an object with these members and no others."""
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def listed(schema):
    return {"type": "array", "items": schema, "minItems": 1}


METADATA = closed(["name"], name=TEXT, namespace=TEXT, labels={"type": "object"})
ZIPKIN = closed(["service", "port"], service=TEXT, port=COUNT, maxTagLength=COUNT)
OPENTELEMETRY = closed(
    ["service", "port"],
    service=TEXT,
    port=COUNT,
    http=closed(["path"], path={"type": "string", "pattern": "^/"}, timeout=TEXT),
)
PROVIDER = {
    **closed(["name"], name=TEXT, zipkin=ZIPKIN, opentelemetry=OPENTELEMETRY),
    "oneOf": [{"required": ["zipkin"]}, {"required": ["opentelemetry"]}],
}
MATCH = closed(["uri"], uri={**closed(exact=TEXT, prefix=TEXT, regex=TEXT), "minProperties": 1, "maxProperties": 1})
DESTINATION = closed(["destination"], destination=closed(["host"], host=TEXT, port=closed(["number"], number=COUNT)))
SERVER = closed(
    ["port", "hosts"],
    port=closed(
        ["number", "name", "protocol"],
        number=COUNT,
        name=TEXT,
        protocol={"enum": ["HTTP", "HTTPS", "GRPC", "HTTP2", "TCP", "TLS"]},
    ),
    hosts=listed(TEXT),
)
ISTIO = {
    # Istio publishes no schema on PyPI: these are the members used here, as its API of 1.24 to 1.28 has them.
    "IstioOperator": (
        "install.istio.io/v1alpha1",
        closed(
            ["meshConfig"],
            meshConfig=closed([], enableTracing={"type": "boolean"}, extensionProviders=listed(PROVIDER)),
        ),
    ),
    "Telemetry": (
        "telemetry.istio.io/v1",
        closed(
            ["tracing"],
            tracing=listed(closed([], providers=listed(closed(["name"], name=TEXT)), randomSamplingPercentage=PERCENT)),
        ),
    ),
    "Gateway": (
        "networking.istio.io/v1",
        closed(["selector", "servers"], selector={"type": "object"}, servers=listed(SERVER)),
    ),
    "VirtualService": (
        "networking.istio.io/v1",
        closed(
            ["hosts", "http"],
            hosts=listed(TEXT),
            gateways=listed(TEXT),
            http=listed(closed(["route"], match=listed(MATCH), route=listed(DESTINATION))),
        ),
    ),
}


@pytest.mark.parametrize("document", list(documents()))
def test_is_valid(document):
    """By the schemas of Kubernetes itself (strict: no member that it does not know), or of Istio."""
    if document["kind"] == "Kustomization":
        assert all((FOLDER / name).is_file() for name in document["resources"])
    elif document["kind"] in ISTIO:
        version, spec = ISTIO[document["kind"]]
        assert document["apiVersion"] == version
        schema = closed(["apiVersion", "kind", "spec"], apiVersion=TEXT, kind=TEXT, metadata=METADATA, spec=spec)
        jsonschema.validate(document, schema)
    else:
        kubernetes_validate.validate(document, "1.33", strict=True)


def test_a_wrong_manifest_is_found():
    """The checks above can fail."""
    deployment = next(each for each in DOCUMENTS if each["kind"] == "Deployment")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(
            {**deployment, "spec": {**deployment["spec"], "replicas": "two"}}, "1.33", strict=True
        )
    telemetry = next(each for each in DOCUMENTS if each["kind"] == "Telemetry")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**telemetry["spec"], "sampling": 1}, ISTIO["Telemetry"][1])


def containers():
    for document in DOCUMENTS:
        if document["kind"] in ("Deployment", "DaemonSet"):
            for container in document["spec"]["template"]["spec"]["containers"]:
                yield document["metadata"]["name"], container


@pytest.mark.parametrize(("name", "container"), [pytest.param(*each, id=each[0]) for each in containers()])
def test_the_command_is_ours(name, container):
    """Arguments parse; ports are those that the role opens; variables of storage are known."""
    command, *arguments = container["args"]
    parser = argparse.ArgumentParser()
    importlib.import_module(COMMANDS[command].module).add_arguments(parser)
    args = parser.parse_args(arguments)
    if command == "run":
        return
    assert args.host == "0.0.0.0"
    opened = {value for option, value in vars(args).items() if option.endswith("_port")}
    assert {port["containerPort"] for port in container["ports"]} <= opened
    probes = {container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe")}
    assert probes == {"/healthz", "/readyz"}
    named = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert named[container["livenessProbe"]["httpGet"]["port"]] == args.admin_port


def test_the_variables_are_read():
    """What the manifests set is enough for Log Service, and every key that they name exists in Secret and ConfigMap."""
    secret, config = (
        next(each for each in DOCUMENTS if each["kind"] == kind and each["metadata"]["name"] == "log-service")
        for kind in ("Secret", "ConfigMap")
    )
    values = {"secretKeyRef": secret["stringData"], "configMapKeyRef": config["data"]}
    seen = 0
    for name, container in containers():
        if name not in ("tracing-collector", "tracing-on-sls-query"):
            continue
        environ = {}
        for each in container["env"]:
            ((kind, reference),) = each["valueFrom"].items()
            assert reference["name"] == "log-service"
            environ[each["name"]] = values[kind][reference["key"]]
        settings = LogServiceSettings.from_environment({}, environ)
        assert settings.project == config["data"]["project"]
        assert environ[variable("accesskey.secret")] == secret["stringData"]["accesskey-secret"]
        seen += 1
    assert seen == 2


def test_addresses_lead_somewhere():
    """The collector that agent and mesh send to is a Service, with that port; so is every backend of Bookinfo's gateway."""
    services = {
        (each["metadata"]["name"], each["metadata"]["namespace"]): {port["port"] for port in each["spec"]["ports"]}
        for each in DOCUMENTS
        if each["kind"] == "Service"
    }
    providers = [
        (provider.get("zipkin") or provider["opentelemetry"])
        for each in DOCUMENTS
        if each["kind"] == "IstioOperator"
        for provider in each["spec"]["meshConfig"]["extensionProviders"]
    ]
    assert len(providers) == 2
    for provider in providers:
        name, namespace, *rest = provider["service"].split(".")
        assert rest == ["svc", "cluster", "local"]
        assert provider["port"] in services[name, namespace]
    agent = next(container for name, container in containers() if name == "tracing-agent")
    (url,) = [each.partition("=")[2] for each in agent["args"] if each.startswith("--collector=")]
    assert url == "http://tracing-collector.sls-tracing.svc:14268"
    assert 14268 in services["tracing-collector", "sls-tracing"]
    assert 16686 in services["tracing-on-sls-query", "sls-tracing"]


def test_the_image_has_what_it_runs():
    """Whatever the Dockerfile copies exists; Bookinfo's programs are in it."""
    lines = (FOLDER / "Dockerfile").read_text("utf-8").splitlines()
    for line in lines:
        if line.startswith("COPY"):
            assert all((FOLDER.parents[1] / source).exists() for source in line.split()[1:-1]), line
    for _, container in containers():
        if container["args"][0] == "run":
            program = next(each for each in container["args"] if each.endswith(".py"))
            assert (FOLDER.parent / "bookinfo" / program).is_file()
