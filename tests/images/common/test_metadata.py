"""Labels, tags and settings of the image, each compared with its content."""

import json
import re

import pytest
from docker.models.containers import Container
from docker.models.images import Image as EngineImage

from slipway import docker, matrix, repository
from slipway.image.layers import SavedImage
from slipway.images_toml import VERSIONS
from slipway.matrix import Image
from tests.helpers.reasons import NO_PARENT
from tests.images.helpers.containers import Python, Start, inside
from tests.images.helpers.scope import applies

pytestmark = applies()

OCI = "org.opencontainers.image"
PROBE = (repository.ROOT / "slipway" / "build" / "probe.py").read_text(encoding="utf-8")
SECOND = 10**9  # docker counts in nanoseconds
FACTS = """
echo "user $(id -un)"
echo "home $(echo ~)"
echo "architecture $(dpkg --print-architecture)"
echo "machine $(python -c 'import sysconfig; print(sysconfig.get_platform())')"
echo "suite $(. /etc/os-release && echo $VERSION_CODENAME)"
"""
ABSENT = [
    *("LD_AUDIT", "LD_LIBRARY_PATH", "LD_PRELOAD", "SSL_CERT_FILE"),
    *("PYTHONBREAKPOINT", "PYTHONHOME", "PYTHONINSPECT", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONUSERBASE"),
]
VALUES = [
    ("BASH_ENV", "/usr/local/lib/slipway/shell.sh"),
    ("ENV", "/usr/local/lib/slipway/shell.sh"),
    ("HF_HOME", "/cache/huggingface"),
    ("HOME", "/data"),
    ("LANG", "C.UTF-8"),
    ("MPLCONFIGDIR", "/cache/matplotlib"),
    ("NUMBA_CACHE_DIR", "/cache/numba"),
    ("ORT_DISABLE_TELEMETRY", "1"),
    ("PORT", "8000"),
    ("PROMPT_COMMAND", ". /usr/local/lib/slipway/shell.sh"),
    ("PYTHONUNBUFFERED", "1"),
    ("TORCHINDUCTOR_CACHE_DIR", "/cache/torchinductor"),
    ("TORCH_EXTENSIONS_DIR", "/cache/torch_extensions"),
    ("TRITON_CACHE_DIR", "/cache/triton"),
    ("USER", "app"),
    ("VIRTUAL_ENV", "/opt/venv"),
    ("XDG_CACHE_HOME", "/cache"),
]
# Those that an image has beside the ones whose values are checked: all of them, and those for what it has.
VARIABLES = {
    "": {"PATH", "SLIPWAY_DEPRECATED", "UV_LINK_MODE"},
    "cpu": {"USE_LIBUV"},
    "cuda": {"CPATH", "CUDA_CACHE_PATH", "CUDA_HOME", "LIBRARY_PATH", "NVIDIA_REQUIRE_CUDA", "NVIDIA_VISIBLE_DEVICES"}
    | {"NVIDIA_DRIVER_CAPABILITIES"},
    "rocm": {"HIPCXX", "HIP_PATH"},
    "workbench": {"JUPYTER_PATH", "JUPYTER_RUNTIME_DIR", "MATPLOTLIBRC"},
    "desktop": {"NVIDIA_DRIVER_CAPABILITIES"},
    "compute": {"JAVA_HOME", "SPARK_CONF_DIR"},
}
OF_SHELLS = {"HOSTNAME", "PWD", "SHLVL", "SLIPWAY_SHELL", "_"}
LABELS = re.compile(
    rf"{OCI}\.(base\.(digest|name)|description|licenses|revision|source|title|version)"
    rf"|slipway\.(accelerator|base(\.\w+)?|deprecated|flavor|workload|{'|'.join(VERSIONS)})"
)
OF_A_GPU = re.compile(r"slipway\.(driver|gpus\..+)")
# Regular expressions for names of variables.
ABSENT_KINDS = {
    "processors": r"(OMP|MKL|OPENBLAS|NUMEXPR|BLIS|RAYON|TF_\w+OP_PARALLELISM)_\w*THREADS|OMP_\w+",
    "GPUs": r"(CUDA|HIP|ROCR|GPU)_(VISIBLE_DEVICES|DEVICE_ORDINAL)|HSA_OVERRIDE_\w+|CUDA_LAUNCH_BLOCKING",
    "the network": r"(HF|HF_HUB|HF_DATASETS|TRANSFORMERS|UV)_OFFLINE|(?i:(https?|all|no|ftp)_proxy)",
    "indexes": r"(PIP|UV)_\w*INDEX\w*|PIP_(CONFIG_FILE|TRUSTED_HOST|FIND_LINKS)|UV_INSECURE_HOST|HF_ENDPOINT",
}
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


@pytest.fixture(scope="module")
def versions(python: Python) -> dict[str, str]:
    """The versions in the image, as its own Python and libraries tell them."""
    return dict(json.loads(python(PROBE)))


@pytest.fixture(scope="module")
def facts(idle: Container) -> dict[str, str]:
    """The user, home, architecture, machine and Debian suite of a running container."""
    return dict(line.partition(" ")[::2] for line in inside(idle, "sh", "-c", FACTS).splitlines())


def read_variables(listed: str) -> dict[str, str]:
    """Return the variables that `env` lists."""
    return dict(line.split("=", 1) for line in listed.splitlines() if "=" in line)


@pytest.fixture(scope="module")
def variables(idle: Container) -> dict[str, str]:
    """The environment of a process in a running container."""
    return read_variables(inside(idle, "env"))


@pytest.fixture(scope="module")
def login_variables(idle: Container) -> dict[str, str]:
    """The environment of a process that a login shell starts, below the entry point."""
    found = read_variables(inside(idle, "entrypoint", "bash", "-l", "-c", "env"))
    assert "PATH" in found
    return found


# --- labels and tags -----------------------------------------------------------------------------


@pytest.mark.requirement("T2")
@pytest.mark.parametrize("name", VERSIONS)
def test_version_is_the_contracts(
    versions: dict[str, str], contract: Image, pytestconfig: pytest.Config, name: str
) -> None:
    """It has the versions that images.toml promises, and nothing else: a derived image may add to them."""
    later = {"torch", "tensorflow"} if contract.flavor == "base" else set()
    promised = None if name in later else contract.variant.versions.get(name)
    is_added = promised is None and pytestconfig.getoption("--derived")
    assert is_added or versions.get(name) == promised


@pytest.mark.exact
@pytest.mark.requirement("V6")
@pytest.mark.parametrize("name", VERSIONS)
def test_version_label_is_what_is_inside(read_labels: dict[str, str], versions: dict[str, str], name: str) -> None:
    """Labels are read from the image; without the software there is no label."""
    assert read_labels.get(f"slipway.{name}") == versions.get(name)


@pytest.mark.parametrize("name", ["accelerator", "flavor"])
def test_kind_label_is_the_contracts(labels: dict[str, str], contract: Image, name: str) -> None:
    """`--image` takes from these two which contract the image must keep."""
    expected = {"accelerator": contract.variant.accelerator, "flavor": contract.flavor}
    assert labels.get(f"slipway.{name}") == expected[name]


def test_workload_label_is_the_contracts(labels: dict[str, str], contract: Image) -> None:
    """A variant has none; a workload keeps the labels of its variant and adds its own name."""
    assert labels.get("slipway.workload") == (contract.workload.name if contract.workload else None)


@pytest.mark.requirement("V8")
def test_deprecation_label_is_the_contracts(read_labels: dict[str, str], contract: Image) -> None:
    """A registry shows that an image has a successor."""
    deprecated = contract.variant.deprecated
    assert read_labels.get("slipway.deprecated") == (str(deprecated) if deprecated else None)


@pytest.mark.requirement("V8")
@pytest.mark.usefixtures("read_labels")
def test_start_tells_of_a_deprecation(start: Start, contract: Image) -> None:
    """A deprecated image prints its notice at each start, and no other image prints anything."""
    deprecated = contract.variant.deprecated
    container = start("true", network_mode="none")
    container.wait()
    assert container.logs().decode() == (f"warning: this image is {deprecated}.\n" if deprecated else "")


@pytest.mark.exact
def test_title_label_is_the_contracts(labels: dict[str, str], contract: Image) -> None:
    """A list of images shows it: one of another image would be chosen for this one."""
    what = contract.target if contract.workload else f"{contract.variant.accelerator}-{contract.flavor}"
    assert labels.get(f"{OCI}.title") == f"Slipway {what}"


@pytest.mark.exact
@pytest.mark.parametrize(("name", "pattern"), [("description", r"\w.*"), ("licenses", r"Apache-2\.0")])
def test_descriptive_label_is_there(labels: dict[str, str], name: str, pattern: str) -> None:
    """Registries show it; the license is that of this repository."""
    assert re.fullmatch(pattern, labels.get(f"{OCI}.{name}", ""))


@pytest.mark.exact
def test_no_other_label_is_there(labels: dict[str, str], contract: Image) -> None:
    """Whoever reads the image by its labels finds nothing that no check compares: a date, an author, another's GPUs."""
    own = {docker.TEST_LABEL}  # of an image broken on purpose
    other = {name for name in labels if not LABELS.fullmatch(name)} - own
    assert {name for name in other if contract.variant.accelerator == "cpu" or not OF_A_GPU.fullmatch(name)} == set()


@pytest.mark.exact
@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("revision", r"[0-9a-f]{40}(-dirty)?"),
        ("base.digest", r"sha256:[0-9a-f]{64}"),
    ],
)
def test_origin_label_has_its_form(read_labels: dict[str, str], name: str, pattern: str) -> None:
    """It leads from the image to its sources and its base."""
    assert re.fullmatch(pattern, read_labels.get(f"{OCI}.{name}", ""))


@pytest.mark.exact
@pytest.mark.parametrize("name", ["source", "version"])
def test_release_label_is_the_matrixs(read_labels: dict[str, str], name: str) -> None:
    """The place and the release of images.toml: a tag of another release would be given to this image."""
    every = matrix.load_matrix()
    assert read_labels.get(f"{OCI}.{name}") == {"source": every.source, "version": every.release}[name]


@pytest.mark.exact
def test_base_label_is_the_base(read_labels: dict[str, str], facts: dict[str, str], contract: Image) -> None:
    """It names the variant that a workload is built on, or the Debian release."""
    base = contract.variant.distro
    assert read_labels.get(f"{OCI}.base.name") == contract.arguments.get("BASE", base.image)
    assert facts["suite"] == base.suite


@pytest.mark.exact
def test_base_digest_is_the_bases(saved: SavedImage, read_labels: dict[str, str], contract: Image) -> None:
    """The image that it names is the one whose layers are below."""
    name = contract.variant_image if contract.workload else ""
    found = docker.inspect(matrix.load_matrix().find_image(name).tag if name else contract.variant.distro.tag)
    below = found["RootFS"]["Layers"] if found else []
    if not found or [layer.diff_id for layer in saved.layers[: len(below)]] != below:
        pytest.skip(NO_PARENT)
    digests = {found["Id"], *(name.partition("@")[2] for name in found.get("RepoDigests") or ())}
    assert read_labels.get(f"{OCI}.base.digest") in digests


@pytest.mark.exact
@pytest.mark.requirement("V6")
def test_tags_name_the_contract(image: EngineImage, contract: Image) -> None:
    """No tag of the image promises another accelerator, version or flavor of the matrix."""
    names = {other.name for other in matrix.load_matrix().images}
    tags = {tag.rpartition(":")[2] for tag in image.tags}
    assert tags & names <= {contract.name}


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("Entrypoint", ["tini", "-s", "--", "entrypoint"]),
        ("WorkingDir", "/data"),
        ("StopSignal", "SIGTERM"),
        # Each container would leave an anonymous volume behind, which also hides files of later layers.
        ("Volumes", None),
        ("OnBuild", None),
        ("Shell", None),
    ],
)
def test_setting(image: EngineImage, setting: str, expected: object) -> None:
    """How a container starts, its folder and its stop signal."""
    assert (image.attrs["Config"].get(setting) or None) == expected


@pytest.mark.requirement("U1")
def test_default_mode_is_the_contracts(image: EngineImage, contract: Image) -> None:
    """The command of a container that is started without one."""
    assert image.attrs["Config"]["Cmd"] == [contract.mode]


def test_exposed_ports_are_the_contracts(image: EngineImage, contract: Image) -> None:
    """EXPOSE names each port that a mode listens on, and no other."""
    assert set(image.attrs["Config"]["ExposedPorts"]) == {f"{port}/tcp" for port in contract.ports}


@pytest.mark.requirement("T12")
def test_user_is_numeric_and_not_root(image: EngineImage) -> None:
    """Kubernetes' runAsNonRoot can only check a number."""
    uid, _, gid = image.attrs["Config"]["User"].partition(":")
    assert uid.isdecimal()
    assert uid != "0"
    assert gid == "0"


def test_user_has_a_name_and_a_home(facts: dict[str, str]) -> None:
    """Programs such as ssh look both up."""
    assert (facts["user"], facts["home"]) == ("app", "/data")


@pytest.mark.requirement("A10", "T7")
def test_health_check_is_quick_at_the_start(image: EngineImage) -> None:
    """With docker's defaults a container is healthy only after five seconds."""
    check = image.attrs["Config"]["Healthcheck"]
    assert check["Test"] == ["CMD", "healthcheck"]
    assert 0 < check["StartInterval"] <= 0.5 * SECOND
    assert 0 < check["Timeout"] <= 5 * SECOND
    assert check["StartPeriod"] >= 10 * SECOND


@pytest.mark.requirement("T7")
def test_health_check_notices_within_minutes(image: EngineImage) -> None:
    """A service that hangs is shown as unhealthy after so many failures in a row, so far apart; one is no load."""
    check = image.attrs["Config"]["Healthcheck"]
    assert check["Interval"] >= 5 * SECOND
    assert 0 < check["Retries"] * (check["Interval"] + check["Timeout"]) <= 120 * SECOND


@pytest.mark.requirement("T6")
@pytest.mark.parametrize(("variable", "value"), VALUES)
def test_environment_variable(variables: dict[str, str], variable: str, value: str) -> None:
    """Each process of a container has it: logs at once, downloads on the cache volume, the port."""
    assert variables.get(variable) == value


@pytest.mark.parametrize("variable", ABSENT)
def test_environment_variable_is_absent(
    environment: dict[str, str], login_variables: dict[str, str], variable: str
) -> None:
    """It would change programs that a user adds, or run another one before them."""
    assert variable not in environment | login_variables


@pytest.mark.parametrize("kind", ABSENT_KINDS)
def test_no_environment_variable_takes_away(
    environment: dict[str, str], login_variables: dict[str, str], kind: str
) -> None:
    """An image for everybody leaves the machine's processors and GPUs, the network and the indexes to its users."""
    assert [name for name in environment | login_variables if re.fullmatch(ABSENT_KINDS[kind], name)] == []


@pytest.mark.exact
def test_no_other_environment_variable_is_set(
    environment: dict[str, str], login_variables: dict[str, str], contract: Image
) -> None:
    """Any other one is somebody's secret or changes what a user's program does: its certificates, time, memory."""
    has = ("", contract.variant.accelerator, *(contract.workload.targets if contract.workload else ()))
    known = OF_SHELLS.union({name for name, _ in VALUES}, *(VARIABLES.get(name, set()) for name in has))
    assert {*environment, *login_variables} - known == set()


def test_architecture_is_the_programs(image: EngineImage, facts: dict[str, str], contract: Image) -> None:
    """The manifest has the contract's architecture, and so do Debian's packages and Python."""
    architecture = image.attrs["Architecture"]
    assert architecture == contract.variant.distro.architecture
    assert facts["architecture"] == architecture
    assert facts["machine"] == f"linux-{MACHINES[architecture]}"
