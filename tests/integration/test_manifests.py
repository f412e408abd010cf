"""The Pods of docs/examples/kubernetes/, as containers with the same rights: their probes answer."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from slipway import docker, matrix, repository
from tests.helpers.built_images import make_name, require_built

pytestmark = pytest.mark.slow

FOLDER = repository.ROOT / "docs" / "examples" / "kubernetes"
MATRIX = matrix.load_matrix()
PATIENCE_SECONDS = 60
SECRET = "a-token-of-my-own"  # noqa: S105
# What the kubelet does for a probe by HTTP.
ASK = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=5).status)"


def read_pod(file: Path) -> dict[str, Any]:
    """Return the specification of a file's Pod."""
    [pod] = [each for each in yaml.safe_load_all(file.read_text(encoding="utf-8")) if each["kind"] == "Pod"]
    return dict(pod["spec"])


def make_options(pod: dict[str, Any], secret: Path) -> list[str]:
    """Return docker's options for the rights, volumes and variables of a Pod's container."""
    rights, container = pod["securityContext"], pod["containers"][0]
    own = container["securityContext"]
    sources = {volume["name"]: volume for volume in pod["volumes"]}
    options = [
        f"--user={rights['runAsUser']}:{rights['runAsGroup']}",
        f"--group-add={rights['fsGroup']}",
        f"--read-only={str(own['readOnlyRootFilesystem']).lower()}",
        *(f"--cap-drop={name}" for name in own["capabilities"]["drop"]),
        f"--security-opt=no-new-privileges:{str(not own['allowPrivilegeEscalation']).lower()}",
        *(f"--env={variable['name']}={variable['value']}" for variable in container.get("env", ())),
    ]
    for mount in container["volumeMounts"]:
        is_secret = "secret" in sources[mount["name"]]
        path = mount["mountPath"]
        options.append(f"--volume={secret}:{path}:ro" if is_secret else f"--mount=type=volume,dst={path}")
    return options


def list_probes(pod: dict[str, Any]) -> list[list[str]]:
    """Return the command of each probe: its own, or a request for its path."""
    container = pod["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    probes = [container[name] for name in ("startupProbe", "livenessProbe", "readinessProbe") if name in container]
    return [
        probe["exec"]["command"]
        if "exec" in probe
        else ["python", "-c", ASK, f"http://127.0.0.1:{ports[probe['httpGet']['port']]}{probe['httpGet']['path']}"]
        for probe in probes
    ]


def answers(name: str, probe: list[str]) -> bool:
    """Tell whether a probe succeeds within the time that a container has to start."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if docker.call("exec", name, *probe).returncode == 0:
            return True
        time.sleep(0.2)
    return False


# The manifest, an image that `nox -s tests` builds, and the words that make it start what the manifest is about.
@pytest.fixture(
    params=[("service", "cpu-runtime", []), ("workbench", "cpu-base-tools", ["workbench"])], ids=lambda row: row[0]
)
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """A container as a Pod has it; its name, and the Pod."""
    file, words, image = request.param[0], request.param[2], MATRIX.find_image(request.param[1])
    require_built(image)
    (tmp_path / "token").write_text(SECRET)
    tmp_path.chmod(0o755)
    pod, name = read_pod(FOLDER / f"{file}.yaml"), make_name()
    options = [f"--name={name}", "--network=none", f"--label={docker.TEST_LABEL}", *make_options(pod, tmp_path)]
    docker.output("run", "--detach", *options, image.tag, *words)
    yield name, pod
    docker.call("rm", "--force", "--volumes", name)


def test_every_probe_of_a_pod_answers(running: tuple[str, dict[str, Any]]) -> None:
    """With no more rights than the manifest gives; the token of a Secret is not in the log."""
    name, pod = running
    probes = list_probes(pod)
    assert len(probes) >= 2
    assert [probe for probe in probes if not answers(name, probe)] == []
    logs = docker.call("logs", name)
    assert SECRET not in logs.stdout + logs.stderr
