"""The image's configuration beside what test_metadata.py compares: values of variables, labels of the base, no more."""

import datetime
import re

import pytest
from docker.models.images import Image as EngineImage

from slipway import docker, matrix, repository
from slipway.host import base_image
from slipway.image.layers import SavedImage
from slipway.matrix import Image
from tests.helpers.reasons import NO_PARENT
from tests.images.helpers.scope import applies

pytestmark = [applies(), pytest.mark.exact]

OCI = "org.opencontainers.image"
# The settings that test_metadata.py compares, and two that builders leave.
COMPARED = {
    "ArgsEscaped",
    *("Cmd", "Entrypoint", "Env", "ExposedPorts", "Healthcheck", "Labels", "OnBuild", "Shell", "StopSignal", "User"),
    *("Image", "Volumes", "WorkingDir"),
}
# By what an image has: an accelerator with the least flavor, or a workload.
VARIABLES: dict[str | tuple[str, str], dict[str, str]] = {
    ("cpu", "runtime"): {"USE_LIBUV": "0"},
    ("cuda", "base"): {"CUDA_CACHE_PATH": "/cache/cuda"},
    ("cuda", "devel"): {
        "CPATH": "/usr/local/cuda/include:/usr/local/cuda/include/cccl",
        "CUDA_HOME": "/usr/local/cuda",
        "LIBRARY_PATH": "/usr/local/cuda/lib64:/usr/local/cuda/lib64/stubs",
    },
    ("rocm", "devel"): {"HIPCXX": "/usr/lib/llvm-17/bin/clang++", "HIP_PATH": "/usr"},
    "workbench": {
        "JUPYTER_PATH": "/data/.slipway/python/share/jupyter",
        "JUPYTER_RUNTIME_DIR": "/tmp/slipway/jupyter",
        "UV_LINK_MODE": "copy",
    },
    "compute": {"JAVA_HOME": "/usr/lib/jvm/default-java", "SPARK_CONF_DIR": "/etc/spark"},
}


def has(contract: Image, condition: str | tuple[str, str]) -> bool:
    """Tell whether an image has a workload, or an accelerator with a flavor."""
    if isinstance(condition, tuple):
        accelerator, flavor = condition
        return accelerator == contract.variant.accelerator and flavor in contract.flavors
    return contract.workload is not None and condition in contract.workload.targets


def test_variable_of_what_is_there_has_its_value(environment: dict[str, str], contract: Image) -> None:
    """Compilers, PyTorch and JupyterLab look where it leads; a wrong one is noticed by few programs, and late."""
    expected = {
        name: value for when, values in VARIABLES.items() if has(contract, when) for name, value in values.items()
    }
    assert {name: environment.get(name) for name in expected} == expected


def test_no_other_setting_is_there(image: EngineImage) -> None:
    """A host name, a terminal, an author: engines apply what they find, and readers believe it."""
    settings = {name for name, value in image.attrs["Config"].items() if value}
    assert settings - COMPARED == set()
    assert (image.attrs.get("Author", ""), image.attrs["Os"]) == ("", "linux")
    is_64_bit_arm = image.attrs["Architecture"] == "arm64"
    assert image.attrs.get("Variant", "") in (("", "v8") if is_64_bit_arm else ("",))


def test_image_is_of_its_day(image: EngineImage) -> None:
    """Registries and scanners sort by it: none is older than its packages. A day begins by time zone."""
    created = datetime.datetime.fromisoformat(image.attrs["Created"]).date()
    first = datetime.date.fromisoformat(str(matrix.load_matrix().apt_date))
    day = datetime.timedelta(days=1)
    assert first - day <= created <= datetime.datetime.now(datetime.UTC).date() + day


def test_description_label_is_the_dockerfiles(labels: dict[str, str], contract: Image) -> None:
    """Beside the title, which names the image: that of another one would promise other contents."""
    text = (repository.ROOT / contract.dockerfile).read_text(encoding="utf-8")
    title = re.escape(labels.get(f"{OCI}.title", ""))
    found = re.search(rf'{OCI}\.title="{title}"\s*\\\s*{OCI}\.description="([^"]+)"', text)
    assert found
    assert labels.get(f"{OCI}.description") == found[1]


def test_labels_of_the_base_are_the_bases(saved: SavedImage, read_labels: dict[str, str], contract: Image) -> None:
    """Its maker, release, day and origin, from the image below."""
    base = contract.variant.distro
    own = {name: value for name, value in read_labels.items() if name.startswith(base_image.LABEL)}
    assert own.get(f"{base_image.LABEL}.suite", base.suite) == base.suite
    found = docker.inspect(base.tag)
    below = found["RootFS"]["Layers"] if found else []
    if not found or [layer.diff_id for layer in saved.layers[: len(below)]] != below:
        pytest.skip(NO_PARENT)
    inherited = {n: v for n, v in (found["Config"].get("Labels") or {}).items() if n.startswith(base_image.LABEL)}
    assert own == inherited | {f"{base_image.LABEL}.origin": base_image.describe_image(base)["origin"]}
