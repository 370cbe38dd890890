"""The manifests as Kubernetes would get them: rendered, strictly valid, and safe to roll out and to
stop.
"""

import os
import re
import runpy
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

K8S = Path(__file__).parents[1] / "k8s"
HEARTBEAT = K8S / "base" / "heartbeat.py"
OVERLAYS = {"local": ("1.33", "1.35", "1.37"), "production": ("1.35", "1.37")}
STALL_S = 0.1
Manifest = dict[str, Any]


@pytest.fixture(scope="module", params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def objects(overlay: str) -> list[Manifest]:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    command = ["kubectl", "kustomize", str(K8S / "overlays" / overlay)]
    rendered = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not rendered.stderr, rendered.stderr  # kustomize warns about deprecated fields there
    return list(yaml.safe_load_all(rendered.stdout))


def only(objects: list[Manifest], kind: str) -> Manifest:
    (found,) = [item for item in objects if item["kind"] == kind]
    return found


@pytest.fixture
def pod(objects: list[Manifest]) -> Manifest:
    spec: Manifest = only(objects, "Deployment")["spec"]["template"]["spec"]
    return spec


@pytest.fixture
def server(pod: Manifest) -> Manifest:
    (container,) = pod["containers"]
    assert isinstance(container, dict)
    return container


def environment(server: Manifest) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in server["env"] if "value" in entry}


def test_every_object_is_strictly_valid(objects: list[Manifest], overlay: str) -> None:
    for version in OVERLAYS[overlay]:
        for item in objects:
            assert kubernetes_validate.validate(item, version, strict=True) == version


def test_validation_would_notice_a_misspelt_field(objects: list[Manifest]) -> None:
    wrong = only(objects, "PodDisruptionBudget")
    wrong = {**wrong, "spec": {**wrong["spec"], "maxUnavailible": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.33", strict=True)


def test_the_objects_are_those_of_a_server(objects: list[Manifest], overlay: str) -> None:
    kinds = {
        "ConfigMap",
        "Deployment",
        "Namespace",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
        "ServiceAccount",
    }
    if overlay == "local":
        kinds |= {"PersistentVolumeClaim", "Secret"}
    assert {item["kind"] for item in objects} == kinds
    namespaces = {
        item["metadata"].get("namespace") for item in objects if item["kind"] != "Namespace"
    }
    assert namespaces == {only(objects, "Namespace")["metadata"]["name"]}
    # A Service called vllm sets VLLM_PORT in the namespace's pods, and the engine dies of it.
    assert all(item["metadata"]["name"].startswith("flab-") for item in objects)


def test_draining_ends_before_the_pod_is_killed(pod: Manifest, server: Manifest) -> None:
    withdrawn_s = server["lifecycle"]["preStop"]["sleep"]["seconds"]
    (drain,) = [
        re.fullmatch(r"--shutdown-timeout=(\d+)", item)
        for item in server["command"]
        if "shutdown" in item
    ]
    assert drain is not None
    assert withdrawn_s >= 10
    assert pod["terminationGracePeriodSeconds"] >= withdrawn_s + int(drain[1]) + 15


def test_the_server_is_process_one_and_gets_the_signal(server: Manifest) -> None:
    assert server["command"][0] == "python3"
    assert "args" not in server


def test_probes_need_no_key_and_leave_time_to_load(
    objects: list[Manifest], server: Manifest
) -> None:
    startup, readiness, liveness = (
        server[f"{name}Probe"] for name in ("startup", "readiness", "liveness")
    )
    assert startup["httpGet"] == readiness["httpGet"] == {"path": "/health", "port": "http"}
    budget_s = startup["periodSeconds"] * startup["failureThreshold"]
    assert budget_s >= 600
    assert only(objects, "Deployment")["spec"]["progressDeadlineSeconds"] > budget_s
    assert readiness["periodSeconds"] * readiness["failureThreshold"] <= 15
    assert liveness["exec"]["command"] == ["python3", "/opt/flab/heartbeat.py"]


def test_liveness_runs_the_heartbeat_that_is_tested_here(
    objects: list[Manifest], pod: Manifest
) -> None:
    config = only(objects, "ConfigMap")
    assert config["data"]["heartbeat.py"] == HEARTBEAT.read_text()
    volume = next(item for item in pod["volumes"] if item["name"] == "heartbeat")
    assert volume["configMap"] == {"name": config["metadata"]["name"], "defaultMode": 0o444}


def test_the_pod_is_admitted_at_the_restricted_level(
    objects: list[Manifest], pod: Manifest, server: Manifest
) -> None:
    assert (
        only(objects, "Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        == "restricted"
    )
    context = pod["securityContext"]
    assert context["runAsNonRoot"] is True
    assert min(context[name] for name in ("runAsUser", "runAsGroup", "fsGroup")) >= 10_000
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert server["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & pod.keys()
    allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "image"}
    assert all(volume.keys() - {"name"} <= allowed for volume in pod["volumes"])
    assert all("hostPort" not in port for port in server["ports"])


def test_nothing_of_the_cluster_leaks_into_the_pod(objects: list[Manifest], pod: Manifest) -> None:
    assert pod["enableServiceLinks"] is False
    assert pod["automountServiceAccountToken"] is False
    assert only(objects, "ServiceAccount")["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == only(objects, "ServiceAccount")["metadata"]["name"]


def test_every_writable_path_is_sized_scratch_space(pod: Manifest, server: Manifest) -> None:
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    writable = {}
    for mount in server["volumeMounts"]:
        if not mount.get("readOnly"):
            writable[mount["mountPath"]] = volumes[mount["name"]]["emptyDir"]
    assert writable.keys() == {"/tmp", "/cache", "/dev/shm"}
    assert all(scratch["sizeLimit"] for scratch in writable.values())
    assert writable["/dev/shm"]["medium"] == "Memory"


def test_caches_go_to_the_writable_paths(server: Manifest) -> None:
    values = environment(server)
    needed = {
        "HOME",
        "TMPDIR",
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "HF_HOME",
        "VLLM_CACHE_ROOT",
        "TRITON_CACHE_DIR",
        "TORCHINDUCTOR_CACHE_DIR",
        "NUMBA_CACHE_DIR",
        "OUTLINES_CACHE_DIR",
        "MPLCONFIGDIR",
    }
    assert needed <= values.keys()
    assert all(values[name].startswith(("/cache", "/tmp")) for name in needed)
    assert values["HF_HUB_OFFLINE"] == values["VLLM_NO_USAGE_STATS"] == "1"


def test_the_model_is_mounted_read_only(pod: Manifest, server: Manifest, overlay: str) -> None:
    (mount,) = [item for item in server["volumeMounts"] if item["name"] == "model"]
    assert mount == {"name": "model", "mountPath": "/model", "readOnly": True}
    assert "--model=/model" in server["command"]
    (volume,) = [item for item in pod["volumes"] if item["name"] == "model"]
    if overlay == "production":
        assert volume.keys() == {"name", "image"}
        assert re.search(r"@sha256:[0-9a-f]{64}$", volume["image"]["reference"])
    else:
        assert volume["persistentVolumeClaim"]["readOnly"] is True


def test_the_engine_is_named_by_digest(server: Manifest) -> None:
    assert re.fullmatch(r"[a-z./-]+@sha256:[0-9a-f]{64}", server["image"])
    assert server["imagePullPolicy"] == "IfNotPresent"


def test_the_key_comes_from_a_secret(
    objects: list[Manifest], server: Manifest, overlay: str
) -> None:
    (entry,) = [item for item in server["env"] if item["name"] == "VLLM_API_KEY"]
    reference = entry["valueFrom"]["secretKeyRef"]
    assert reference["key"] == "api-key"
    if overlay == "local":
        assert reference["name"] == only(objects, "Secret")["metadata"]["name"]
    else:
        assert reference["name"] == "flab-server-api-key"


def test_memory_is_reserved_and_bounded(pod: Manifest, server: Manifest, overlay: str) -> None:
    requests, limits = server["resources"]["requests"], server["resources"]["limits"]
    assert requests["memory"] == limits["memory"]
    assert (
        requests["ephemeral-storage"] == limits["ephemeral-storage"] == "12Gi"
    )  # more than /tmp and /cache together
    if overlay == "production":
        assert requests["nvidia.com/gpu"] == limits["nvidia.com/gpu"] == "1"
        assert all(
            rule["matchLabelKeys"] == ["pod-template-hash"]
            for rule in pod["topologySpreadConstraints"]
        )
        assert {
            rule["topologyKey"].rsplit("/")[-1] for rule in pod["topologySpreadConstraints"]
        } == {"hostname", "zone"}


def test_a_rollout_never_loses_capacity_and_a_drain_is_never_blocked(
    objects: list[Manifest], overlay: str
) -> None:
    deployment, budget = (
        only(objects, "Deployment")["spec"],
        only(objects, "PodDisruptionBudget")["spec"],
    )
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert deployment["replicas"] >= (2 if overlay == "production" else 1)
    assert budget["maxUnavailable"] == 1
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_selectors_find_the_pods(objects: list[Manifest]) -> None:
    labels = only(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        only(objects, "Deployment")["spec"]["selector"]["matchLabels"],
        only(objects, "Service")["spec"]["selector"],
        only(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        only(objects, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ]
    assert selectors == [{"app.kubernetes.io/name": "flab-server"}] * 4
    assert labels["app.kubernetes.io/name"] == "flab-server"


def test_the_network_is_closed_but_for_clients(objects: list[Manifest]) -> None:
    policy = only(objects, "NetworkPolicy")["spec"]
    assert sorted(policy["policyTypes"]) == ["Egress", "Ingress"]
    assert not policy.get("egress")
    (rule,) = policy["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": "http"}]
    assert all(peer["namespaceSelector"]["matchLabels"] for peer in rule["from"])


def test_overlays_leave_the_command_alone() -> None:
    # A patch that sets a list replaces it, and the shutdown timeout would be gone.
    for patch in K8S.glob("overlays/*/*patch.yaml"):
        (container,) = yaml.safe_load(patch.read_text())["spec"]["template"]["spec"]["containers"]
        assert not {"command", "args"} & container.keys()


def test_each_file_holds_one_object() -> None:
    for path in K8S.rglob("*.yaml"):
        assert len(list(yaml.safe_load_all(path.read_text()))) == 1, path


class FakeVllm:
    """Answers /health and /metrics as vLLM does, in whatever state a test puts it."""

    def __init__(self) -> None:
        self.health, self.running, self.steps = 200, 0, 0
        self.keys: set[str | None] = set()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                fake.keys.add(self.headers.get("Authorization"))
                self.send_response(fake.health if self.path == "/health" else 200)
                self.end_headers()
                if self.path == "/metrics":
                    self.wfile.write(fake.metrics().encode())

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def metrics(self) -> str:
        labels = '{engine="0",model_name="flab"}'
        return (
            f"# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{labels} "
            f"{self.running}.0\n"
            f"vllm:iteration_tokens_total_count{labels} "
            f"{self.steps}.0\nvllm:iteration_tokens_total_sum{labels} 9.0\n"
        )


@pytest.fixture
def fake() -> Iterator[FakeVllm]:
    server = FakeVllm()
    yield server
    server.http.shutdown()
    server.http.server_close()


def beat(url: str, state: Path) -> tuple[int, str]:
    """Exit code and message of one probe; a stall is a tenth of a second long here."""
    settings = {
        "FLAB_HEARTBEAT_URL": url,
        "FLAB_HEARTBEAT_STATE": str(state),
        "FLAB_HEARTBEAT_STALL_S": str(STALL_S),
    }
    variables = {**os.environ, **settings, "VLLM_API_KEY": "secret"}
    result = subprocess.run(
        [sys.executable, "-I", str(HEARTBEAT)],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.returncode, result.stderr


def test_an_idle_or_busy_server_is_alive(fake: FakeVllm, tmp_path: Path) -> None:
    assert beat(fake.url, tmp_path / "state") == (0, "")
    fake.running = 3
    for _ in range(3):
        fake.steps += 1
        time.sleep(1.5 * STALL_S)
        assert beat(fake.url, tmp_path / "state") == (0, "")
    assert fake.keys == {"Bearer secret"}


def test_a_hung_engine_is_dead_although_health_answers(fake: FakeVllm, tmp_path: Path) -> None:
    fake.running, fake.steps = 1, 7
    assert beat(fake.url, tmp_path / "state")[0] == 0
    time.sleep(1.5 * STALL_S)
    code, message = beat(fake.url, tmp_path / "state")
    assert (code, "1 requests running, no engine step" in message) == (1, True)
    fake.steps = 8
    assert beat(fake.url, tmp_path / "state")[0] == 0


def test_idle_time_does_not_count_as_a_stall(fake: FakeVllm, tmp_path: Path) -> None:
    fake.running = 1
    beat(fake.url, tmp_path / "state")
    fake.running = 0
    beat(fake.url, tmp_path / "state")
    time.sleep(1.5 * STALL_S)
    fake.running = 1
    assert beat(fake.url, tmp_path / "state")[0] == 0


def test_a_server_that_is_down_or_unhealthy_is_dead(fake: FakeVllm, tmp_path: Path) -> None:
    fake.health = 503
    assert beat(fake.url, tmp_path / "state") == (1, f"{fake.url}/health answered 503\n")
    fake.http.shutdown()
    fake.http.server_close()
    assert "no answer" in beat(fake.url, tmp_path / "state")[1]


def test_renamed_metrics_never_kill_a_server(fake: FakeVllm, tmp_path: Path) -> None:
    fake.metrics = lambda: "something_else 1\n"  # type: ignore[method-assign]
    assert beat(fake.url, tmp_path / "state")[0] == 0


def test_metric_values_are_summed_over_engines() -> None:
    total = runpy.run_path(str(HEARTBEAT), run_name="heartbeat")["total"]
    page = 'vllm:x{engine="0"} 1.5\nvllm:x{engine="1"} 2.5e0\nvllm:x_more 9\n'
    assert total(page, "vllm:x") == 4.0
    assert total(page, "vllm:y") is None
