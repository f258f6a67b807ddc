"""Checks the files for containers: the Containerfile, the Compose files and the Helm chart.

Usage: containers.py <folder with the files>. Prints what each container runs, in JSON: for each
a name, the command, and the variables of the environment.
"""

import json
import pathlib
import subprocess
import sys
import tomllib

import kubernetes_validate
import yaml
from compose_spec import PyCompose
from helm_python import Chart, chart
from helm_python.errors import HelmError

FOLDER = pathlib.Path(sys.argv[1])
# The oldest version that the chart allows, and the newest one that is known here.
KUBERNETES = ["1.30", kubernetes_validate.latest_version()]
PLAIN = {"publicUrl": "https://chat.example.com"}
# Each value that turns something on.
FULL = {
    "publicUrl": "https://{root}.chat.example.com:8443",
    "imagePullSecrets": [{"name": "registry"}],
    "sealKey": True,
    "redisPlaintext": True,
    "tlsSecretName": "tls",
    "control": {"env": {"ARIZUKO_GRACE": "10s"}},
    "gateway": {
        "trustedProxies": ["10.0.0.0/8", "fd00::/8"],
        "env": {"ARIZUKO_GATEWAY_GRACE": "10s"},
        "service": {"annotations": {"a": "b"}},
    },
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "annotations": {"a": "b"},
        "tlsSecretName": "site",
    },
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "nodeSelector": {"a": "b"},
    "tolerations": [{"operator": "Exists"}],
}
runs = []


def compose(path):
    file = yaml.safe_load(path.read_text())
    PyCompose.from_json(json.dumps(file)).validate()
    for name, service in file["services"].items():
        of = f"{path.name} {name}"
        assert service["read_only"], of
        assert service["cap_drop"] == ["ALL"], of
        assert service["security_opt"] == ["no-new-privileges:true"], of
        assert service["healthcheck"]["test"][0] == "CMD", of
        if service["image"] == "arizuko":
            assert service["healthcheck"]["test"] == ["CMD", "arizuko", "ready"], of
            environment = service["environment"]
            runs.append((of, service["command"], environment))
            secrets = {f"/run/secrets/{secret}" for secret in service.get("secrets", [])}
            assert secrets == {value for value in environment.values() if "/secrets/" in value}, of
    return file["services"]


def render(values):
    with Chart.load(FOLDER / "helm/arizuko") as it:
        files = it.render(values, name="demo", namespace="chat")
        workspace = tomllib.loads((FOLDER.parent / "Cargo.toml").read_text())["workspace"]
        assert it.metadata["appVersion"] == workspace["package"]["version"], it.metadata
    assert "arizuko token issue" in files.pop("arizuko/templates/NOTES.txt")
    return [it for text in files.values() for it in yaml.safe_load_all(text) if it]


def helm(values):
    linted = chart.lint(FOLDER / "helm/arizuko", values)
    assert not linted["errors"], linted
    # Messages of severity 1 are allowed: one says that an icon is recommended.
    assert [it for it in linted["messages"] if it["severity"] > 1] == [], linted
    documents = render(values)
    for document in documents:
        # Kubernetes itself has no schema for a ServiceMonitor.
        for version in KUBERNETES if document["kind"] != "ServiceMonitor" else []:
            kubernetes_validate.validate(document, version, strict=True)
    named = {(it["kind"], it["metadata"]["name"]): it for it in documents}
    assert len(named) == len(documents), "each name is used once"
    deployments = [it for it in documents if it["kind"] == "Deployment"]
    for deployment in deployments:
        pod(deployment)
    pods = [it["spec"]["template"] for it in deployments]
    for service in (it for it in documents if it["kind"] == "Service"):
        chosen = [it for it in pods if selects(service["spec"]["selector"], it)]
        assert chosen, service
        for port in service["spec"]["ports"]:
            assert all(port["targetPort"] in ports(it) for it in chosen), service
    for budget in (it for it in documents if it["kind"] == "PodDisruptionBudget"):
        assert sum(selects(budget["spec"]["selector"]["matchLabels"], it) for it in pods) == 1
    for ingress in (it for it in documents if it["kind"] == "Ingress"):
        [rule] = ingress["spec"]["rules"]
        assert rule["host"] == "*.chat.example.com", rule
        backend = rule["http"]["paths"][0]["backend"]["service"]
        target = named["Service", backend["name"]]["spec"]["ports"]
        assert backend["port"]["name"] in [port["name"] for port in target], rule
    return named


def selects(selector, template):
    return selector.items() <= template["metadata"]["labels"].items()


def ports(template):
    return {port["name"] for port in template["spec"]["containers"][0]["ports"]}


def pod(deployment):
    """Checks what the Pod Security Standards call restricted, and that all parts fit together."""
    name, template = deployment["metadata"]["name"], deployment["spec"]["template"]
    spec = template["spec"]
    [container] = spec["containers"]
    assert selects(deployment["spec"]["selector"]["matchLabels"], template), name
    assert spec["securityContext"]["runAsNonRoot"], name
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }, name
    assert spec["automountServiceAccountToken"] is False, name
    # Longer than the pause and the programs' grace period of 20 s.
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert spec["terminationGracePeriodSeconds"] > pause + 20, name
    for probe, path in [("startup", "healthz"), ("liveness", "healthz"), ("readiness", "readyz")]:
        get = container[f"{probe}Probe"]["httpGet"]
        assert get["path"] == f"/{path}" and get["port"] in ports(template), name
    environment = {variable["name"]: variable["value"] for variable in container["env"]}
    [mount] = container["volumeMounts"]
    [volume] = spec["volumes"]
    assert mount["name"] == volume["name"], name
    sources = [source["secret"]["items"] for source in volume["projected"]["sources"]]
    files = {f"{mount['mountPath']}/{item['path']}" for items in sources for item in items}
    assert files == {value for value in environment.values() if "/secrets/" in value}, name
    runs.append((f"chart {name}", container["command"], environment))


def refuses(values, *words):
    try:
        render(values)
    except HelmError as error:
        assert all(word in str(error) for word in words), error
    else:
        raise AssertionError(f"the chart takes {values}")


hadolint = pathlib.Path(sys.executable).with_name("hadolint")
subprocess.run([hadolint, FOLDER / "Containerfile"], check=True)
for line in (FOLDER / "Containerfile").read_text().splitlines():
    before, command, words = line.partition("CMD ")
    if command and not before.startswith("#"):
        runs.append(("Containerfile", json.loads(words), {}))
files = sorted(FOLDER.glob("compose*.yaml"))
assert len(files) == 2, files
composed = {path.name: compose(path) for path in files}
assert composed["compose.yaml"].keys() == {"arizuko"}
on_redis = composed["compose.redis.yaml"]
assert on_redis["redis"]["command"][1:3] == ["--appendonly", "yes"]
replicas = {name: it["deploy"]["replicas"] for name, it in on_redis.items() if name != "redis"}
assert replicas == {"control": 2, "gateway": 2}
plain, full = helm(PLAIN), helm(FULL)
assert full.keys() - plain.keys() == {
    ("Ingress", "demo-gateway"),
    ("Service", "demo-metrics"),
    ("ServiceMonitor", "demo"),
}
monitor, metrics = full["ServiceMonitor", "demo"], full["Service", "demo-metrics"]
chosen = monitor["spec"]["selector"]["matchLabels"].items()
assert chosen <= metrics["metadata"]["labels"].items()
assert monitor["spec"]["endpoints"] == [{"port": metrics["spec"]["ports"][0]["name"]}]
deployments = {name: it["spec"] for (kind, name), it in plain.items() if kind == "Deployment"}
replicas = {name: spec["replicas"] for name, spec in deployments.items()}
assert replicas == {"demo-control": 2, "demo-gateway": 2}
refuses({}, "/publicUrl")
refuses(PLAIN | {"replicas": 2}, "replicas")
refuses(PLAIN | {"gateway": {"trustedProxies": ["10.0.0.1"]}}, "trustedProxies")
refuses(PLAIN | {"control": {"env": {"ARIZUKO_PARTITIONS": 256}}}, "ARIZUKO_PARTITIONS")
print(json.dumps(runs))
