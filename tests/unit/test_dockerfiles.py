"""The Dockerfiles and what else names the same things must agree."""

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from string import Template

import pytest

from slipway import matrix, repository
from slipway.build import locks
from slipway.build.dockerfiles import find_sources
from slipway.images_toml import LAYERS
from slipway.report.reference import list_assignments

MATRIX = matrix.load_matrix()
DOCKERFILES = {variant.accelerator: repository.ROOT / variant.dockerfile for variant in MATRIX.variants.values()}
# The values of each build argument of a workload that is a choice: true and false, or one of two parents.
TOGGLES = {
    name: {value, *(image.arguments[name] for image in MATRIX.workloads if name in image.arguments)}
    for name, value, file in list_assignments("ARG")
    if file == "Dockerfile" and (value in ("true", "false") or name.endswith("_ON"))
}
TRIMS = [
    pytest.param(file.stem, entry, id=f"{file.stem}-{entry['path']}-{entry['layer']}")
    for file in sorted((repository.ROOT / "docker" / "trims").iterdir())
    for entry in tomllib.loads(file.read_text())["trim"]
]


def stages(file: Path) -> dict[str, str]:
    """Return each stage's text, with the comment above it, by the stage's name."""
    parts = re.split(r"(?m)^((?:#.*\n)*FROM .+ AS (\S+)\n)", file.read_text())
    return {name: head + body for head, name, body in zip(parts[1::3], parts[2::3], parts[3::3], strict=True)}


@pytest.mark.requirement("V2")
@pytest.mark.parametrize(
    "variant", [f for f in MATRIX.variants.values() if f.name == f.accelerator], ids=lambda f: f.name
)
def test_a_dockerfiles_defaults_are_the_default_variant(variant: matrix.Variant) -> None:
    """`docker build -f Dockerfile.cuda .` gives what `nox -s build-cuda` gives."""
    text = (repository.ROOT / variant.dockerfile).read_text()
    expected = {**variant.arguments, "BASE_IMAGE": MATRIX.default_distro.image, "APT_DATE": MATRIX.apt_date}
    assert expected.items() <= dict(re.findall(r"(?m)^ARG (\w+)=(\S+)$", text)).items()


@pytest.mark.parametrize(
    "variant", [f for f in MATRIX.variants.values() if f.accelerator == "rocm"], ids=lambda f: f.name
)
def test_rocblas_is_given_the_architectures_of_the_contract(variant: matrix.Variant) -> None:
    """The build argument selects the kernels, and the checks read the contract."""
    assert variant.arguments["ROCM_ARCHITECTURES"].split(",") == list(variant.architectures)


@pytest.mark.parametrize("accelerator", locks.TORCH_BACKENDS)
def test_torch_is_locked_for_the_index_it_is_installed_from(accelerator: str) -> None:
    """Another index has other builds, with other hashes."""
    named = re.findall(r"(?m)^ARG UV_TORCH_BACKEND=(\S+)$", DOCKERFILES[accelerator].read_text())
    assert named == [locks.TORCH_BACKENDS[accelerator]]


@pytest.mark.requirement("T1")
@pytest.mark.parametrize("stage", ["uv", "system", "application"])
def test_the_stages_below_all_flavors_are_the_same_in_every_dockerfile(stage: str) -> None:
    """Each Dockerfile is read by itself, so they repeat this part; it must not drift apart."""
    texts = {file.name: stages(file)[stage] for file in DOCKERFILES.values()}
    assert len(set(texts.values())) == 1, texts.keys()


@pytest.mark.requirement("T1", "C3")
@pytest.mark.parametrize("image", MATRIX.workloads, ids=lambda image: image.name)
def test_a_workloads_arguments_name_stages_above(image: matrix.Image) -> None:
    """A stage below, or none of that name, would be looked for on Docker Hub."""
    text = (repository.ROOT / "Dockerfile").read_text()
    defaults = dict(re.findall(r"(?m)^ARG (\w+)=(\S+)$", text.partition("\nFROM ")[0]))
    arguments = defaults | dict(image.arguments)
    above = {arguments["BASE"], arguments["BASE_IMAGE"]}
    for source, stage in re.findall(r"(?m)^FROM (\S+) AS (\S+)$", text):
        assert Template(source).substitute(arguments) in above, stage
        above.add(stage)


@pytest.mark.parametrize("toggle", TOGGLES)
def test_a_toggle_has_an_image_with_each_choice(toggle: str) -> None:
    """Its checks then run on both; a row says so itself, for the target that has the toggle or the two parents."""
    chosen = {image.arguments[toggle] for image in MATRIX.workloads if toggle in image.arguments}
    assert chosen == {"true", "false"} or (toggle.endswith("_ON") and len(chosen) == 2)


@pytest.mark.requirement("U8")
@pytest.mark.parametrize("file", sorted(each.file for each in locks.list_locks(MATRIX)), ids=lambda file: file.name)
def test_a_lock_has_a_hash_for_each_package_and_no_index(file: Path) -> None:
    """A lock serves behind any mirror, and the hash says that it is the same file."""
    text = file.read_text()
    pins = re.findall(r"(?m)^[a-z0-9][\w.-]*(?:\[.*\])?==.*(?:\n .*)*", text)
    assert pins
    assert all("--hash=sha256:" in pin for pin in pins)
    assert "://" not in text


def test_every_lock_matches_its_inputs() -> None:
    """A changed .in without `nox -s lock` is caught."""
    assert [item.name for item in locks.list_locks(MATRIX) if not item.is_current()] == []


def test_a_lock_names_the_session_that_compiles_it() -> None:
    """Without its option, a lock for PyTorch's own index would stay as it is."""
    assert {item.session for item in locks.list_index_locks(MATRIX)} == {"nox -s lock -- --index"}
    assert {item.session for item in locks.list_locks(MATRIX)} == {"nox -s lock"}


@pytest.mark.parametrize(("file", "entry"), TRIMS)
def test_a_trim_says_what_where_and_why(file: str, entry: dict[str, object]) -> None:
    """A file that is left out without a reason would be a riddle."""
    assert set(entry) - {"locks", "restored"} == {"path", "layer", "reason"}
    layers = {layer for part in LAYERS[file].values() for layer in part}
    assert entry["layer"] in layers | ({"elyra", "variant"} if file == "workbench" else set())
    assert set(entry.get("locks", [])) <= {variant.locks for variant in MATRIX.variants.values()}  # type: ignore[call-overload]
    assert str(entry["reason"]).endswith(".")


@pytest.mark.requirement("T14")
@pytest.mark.parametrize("dockerfile", ["Dockerfile", *(file.name for file in DOCKERFILES.values())])
def test_the_build_context_is_denied_by_default(dockerfile: str) -> None:
    """Only what this Dockerfile copies or mounts goes to the engine, and all of it."""
    lines = (repository.ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_in = [rule[1:] for rule in rules if rule.startswith("!")]
    text = (repository.ROOT / dockerfile).read_text()
    locks = dict(re.findall(r"(?m)^ARG (LOCKS|\w*_LOCKS)=(\S+)$", text))
    paths = {Template(path).safe_substitute(locks).rstrip("/") for path in find_sources(text)}
    # A folder may be let in whole, or in part.
    let_in += [f"{rule}/*" for rule in let_in] + [str(Path(rule).parent) for rule in let_in]
    assert {path for path in paths if not any(fnmatch(path, rule) for rule in let_in)} == set()


# What a RUN line calls, and the settings of the host that it then gets.
SETTINGS = {
    "source=docker/build/apt,": {"ca", "sources", "apt", "auth"},
    "source=docker/build/python,": {"ca", "uv", "netrc"},
    "source=docker/build/python/pip-install,": {"ca", "pip", "netrc"},
    "target=/root/.npm": {"ca", "npm"},
}


@pytest.mark.parametrize("file", sorted(repository.ROOT.glob("Dockerfile*")), ids=lambda file: file.name)
def test_each_download_gets_all_that_the_host_is_configured_to_use(file: Path) -> None:
    """A RUN line without a login or a CA works on every machine but the one that needs it."""
    lines = [line.replace("\\\n", "") for line in re.findall(r"(?m)^RUN (?:.*\\\n)*.*", file.read_text())]
    expected = [(line, set().union(*(ids for call, ids in SETTINGS.items() if call in line))) for line in lines]
    assert [line for line, ids in expected if not ids <= set(re.findall(r"type=secret,id=(\w+)", line))] == []
    assert any(ids for _, ids in expected)
