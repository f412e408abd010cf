"""The sessions as people use them: real nox, a real engine, small images that are built, broken and tested."""

import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slipway import docker
from slipway.matrix import load_matrix
from tests.helpers import checkout as copies
from tests.helpers.built_images import list_tags, make_name, read_layers
from tests.helpers.checkout import Checkout
from tests.integration.registries import running_registry

WORKLOAD = "ARG BASE\nFROM ${BASE} AS tools\nUSER 0\nRUN date +%N >/made\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """A copy of the repository with one small image; the image is gone afterwards."""
    made = copies.make(tmp_path / "slipway", make_name())
    yield made
    docker.call("image", "rm", "--force", *(f"{made.repository}:{tag}" for tag in list_tags(made.repository)))


def assert_refused(result: subprocess.CompletedProcess[str], message: str) -> None:
    """A failure ends with one clear message and no traceback."""
    assert result.returncode != 0, result.stdout
    assert re.search(message, result.stdout), result.stdout
    assert "Traceback" not in result.stdout, result.stdout


# --- builds --------------------------------------------------------------------------------------


@pytest.mark.requirement("A8")
def test_a_flavor_is_built_tested_and_run_by_one_command_each(checkout: Checkout) -> None:
    """build.json tells the image, the seconds, and the labels that were read from it.

    The command that is run gets the image's own Python.
    """
    result = checkout.nox("-s", "build-cpu(base)")
    assert result.returncode == 0, result.stdout
    record, built = json.loads((checkout.results / "build.json").read_text()), docker.require_image(checkout.tag)
    assert record["image"] == built["Id"]
    assert record["seconds"] > 0
    labels = built["Config"]["Labels"]
    assert record["labels"].items() <= labels.items()
    assert labels["slipway.python"] == "3.13"
    assert labels["slipway.onnxruntime"]
    result = checkout.nox("-s", "test-cpu(base)", "--", "--", "-k", "user_has_a_name")
    assert result.returncode == 0, result.stdout
    assert re.search(r"\b[1-9]\d* passed", result.stdout), result.stdout
    result = checkout.nox("-s", "run", "--", "cpu-base", "python", "-c", "import sys; print(sys.prefix)")
    assert "\n/opt/venv\n" in result.stdout, result.stdout


@pytest.mark.requirement("T13")
def test_an_unchanged_image_is_not_built_again_unless_asked(checkout: Checkout) -> None:
    """The second build gives the same image; --no-cache runs every instruction anew. Each says what is new.

    build.json has the seconds of the build that made the image, of a cold one, and of one that changed nothing.
    """
    checkout.edit("Dockerfile.cpu", "LABEL", "USER 0\nRUN date +%N >/made\nLABEL")
    builds = [["-s", "build-cpu"], ["-s", "build-cpu"], ["-s", "build-cpu", "--", "--no-cache"]]
    layers, records = [], []
    for words, said in zip(builds, ("built, [0-9.]+ s", "unchanged", r"built, 1 of \d+ layers are new"), strict=True):
        result = checkout.nox(*words)
        assert result.returncode == 0
        assert re.search(rf"(?m)^{checkout.tag} .* {said}", result.stdout), result.stdout
        layers.append(read_layers(checkout.tag))
        records.append(json.loads((checkout.results / "build.json").read_text()))
    assert layers[0] == layers[1] != layers[2]
    made, unchanged, cold = records
    assert made.keys() & {"cold_seconds", "cached_seconds"} == set()
    assert unchanged == made | {"cached_seconds": unchanged["cached_seconds"]}
    assert cold["cold_seconds"] == cold["seconds"]
    assert "cached_seconds" not in cold
    assert list_tags(checkout.repository) == ["cpu-base"]


@pytest.mark.requirement("C9")
def test_a_workload_is_never_built_on_a_stale_variant(checkout: Checkout) -> None:
    """Its layers begin with those of the variant as the Dockerfile has it now; an unchanged variant stays as it is."""
    copies.restore_matrix(checkout)
    (checkout.folder / "Dockerfile").write_text(WORKLOAD)
    assert checkout.nox("-s", "build", "--", "cpu-base").returncode == 0
    assert "cpu-base is built first" in (output := checkout.nox("-s", "build", "--", "cpu-base-tools").stdout), output
    assert re.search(r"cpu-base  \w+  unchanged", output), output
    older = read_layers(checkout.tag)

    checkout.edit("Dockerfile.cpu", "LABEL", "USER 0\nRUN echo new >/new\nLABEL")
    result = checkout.nox("-s", "build", "--", "cpu-base-tools")
    assert result.returncode == 0, result.stdout
    variant, workload = read_layers(checkout.tag), read_layers(f"{checkout.repository}:cpu-base-tools")
    assert variant != older
    assert workload[: len(variant)] == variant
    assert len(workload) == len(variant) + 1
    record = json.loads((checkout.folder / "dist" / "cpu-base-tools" / "build.json").read_text())
    assert record["base"]["name"] == load_matrix().default_distro.tag, "the labels name the parent alone"


@pytest.mark.whole
def test_an_image_that_was_removed_after_its_checks_comes_again(checkout: Checkout) -> None:
    """As `tests -- --all` does it: the results stay, the same image is built from the cache, no check runs again."""
    copies.restore_matrix(checkout)
    (checkout.folder / "Dockerfile").write_text(WORKLOAD)
    for file in (checkout.folder / "tests" / "images").rglob("test_*.py"):
        file.unlink()
    own = checkout.folder / "tests" / "images" / "test_own.py"
    own.write_text(
        "from tests.images.helpers.scope import applies\npytestmark = applies()\ndef test_own(image): pass\n"
    )
    session = """@nox.session(venv_backend="none")
def one_round(session: nox.Session) -> None:
    assert sessions.run_round(session, MATRIX, [MATRIX.find_image("cpu-base-tools")]) == {}


if __name__"""
    checkout.edit("noxfile.py", "if __name__", session)
    results, records = checkout.folder / "dist" / "cpu-base-tools", []
    for said in ("1 passed", "the same image passed the same checks"):
        result = checkout.nox("-s", "one_round")
        assert (result.returncode, said in result.stdout) == (0, True), result.stdout
        assert list_tags(checkout.repository) == ["cpu-base"]
        assert (results / "tests.xml").exists()
        records.append(json.loads((results / "build.json").read_text()))
    assert records[0]["image"] == records[1]["image"]


@pytest.mark.requirement("C9")
def test_a_printed_definition_builds_without_nox(checkout: Checkout) -> None:
    """One bake of a workload and its variant, which the engine need not have: the layers are those of the session."""
    copies.restore_matrix(checkout)
    (checkout.folder / "Dockerfile").write_text(WORKLOAD)
    command = checkout.command("-s", "build", "--", "--print", "cpu-base-tools")
    definition = subprocess.run(command, capture_output=True, check=True).stdout
    assert json.loads(definition)["group"]["default"]["targets"] == ["cpu-base", "cpu-base-tools"]
    (checkout.folder / "bake.json").write_bytes(definition)
    assert list_tags(checkout.repository) == []
    subprocess.run(["docker", "buildx", "bake", "--file=bake.json"], cwd=checkout.folder, check=True)
    assert sorted(list_tags(checkout.repository)) == ["cpu-base", "cpu-base-tools"]

    baked = [read_layers(f"{checkout.repository}:{name}") for name in ("cpu-base", "cpu-base-tools")]
    assert baked[1][:-1] == baked[0]
    assert checkout.nox("-s", "build", "--", "cpu-base-tools").returncode == 0
    assert [read_layers(f"{checkout.repository}:{name}") for name in ("cpu-base", "cpu-base-tools")] == baked


def commit(checkout: Checkout, *names: str) -> None:
    """Commit files of the copy, or everything."""
    git = ["git", "-C", str(checkout.folder), "-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", *(names or ["."])], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message=a"], check=True)


def read_commit(checkout: Checkout) -> str:
    """Return the commit on the image's label."""
    return str(docker.require_image(checkout.tag)["Config"]["Labels"]["org.opencontainers.image.revision"])


def test_an_unchanged_image_keeps_its_results(checkout: Checkout) -> None:
    """Whatever else is committed: the commit on the label is the last one of the build context."""
    commit(checkout)
    assert checkout.nox("-s", "build-cpu").returncode == 0
    first, image_id = read_commit(checkout), docker.require_image(checkout.tag)["Id"]
    record = json.loads((checkout.results / "build.json").read_text())
    (checkout.results / "tests.xml").write_text("<testsuites/>")
    checkout.edit("README.md", "# Slipway", "# Slipway, ours")
    commit(checkout)

    built = checkout.nox("-s", "build-cpu")
    assert "unchanged" in built.stdout, built.stdout
    assert docker.require_image(checkout.tag)["Id"] == image_id
    assert record.items() <= json.loads((checkout.results / "build.json").read_text()).items()
    assert (checkout.results / "tests.xml").exists()
    assert list_tags(checkout.repository) == ["cpu-base"]

    checkout.edit("Dockerfile.cpu", "LABEL", "# Ours.\nLABEL")
    assert checkout.nox("-s", "build-cpu").returncode == 0
    assert read_commit(checkout) == f"{first}-dirty"
    assert not (checkout.results / "tests.xml").exists()
    commit(checkout)
    assert checkout.nox("-s", "build-cpu").returncode == 0
    assert re.fullmatch(r"[0-9a-f]{40}", read_commit(checkout))
    assert read_commit(checkout) != first


@pytest.mark.requirement("T8")
def test_a_version_is_built_without_cache_and_pushed_where_it_is_told(checkout: Checkout, tmp_path: Path) -> None:
    """The Dockerfile has the version's argument; the tag is the image's name, and no tag of the registry stays."""
    copies.restore_matrix(checkout)
    checkout.edit("Dockerfile.cpu", "LABEL", "ARG LOCKS\nUSER 0\nRUN echo $LOCKS; date +%N >/made\nLABEL")
    name, layers = "cpu-base-py3.11", []
    with running_registry(tmp_path) as host:
        for _ in range(2):
            built = checkout.nox("-s", "build", "--", name, "--no-cache", "--push", f"{host}/team/images")
            assert built.returncode == 0, built.stdout
            assert re.search(r"(?m)^#\d+ \S+ cpu-py3\.11$", built.stdout), built.stdout
            layers.append(read_layers(f"{checkout.repository}:{name}"))
        with urllib.request.urlopen(f"http://{host}/v2/team/images/tags/list") as answer:
            assert json.load(answer)["tags"] == [name]
        assert list_tags(f"{host}/team/images") == []
    assert layers[0] != layers[1]


def test_a_failed_build_leaves_no_older_image_to_be_tested(checkout: Checkout) -> None:
    """What is tested is what was built last, or nothing."""
    assert checkout.nox("-s", "build-cpu").returncode == 0
    checkout.edit("Dockerfile.cpu", "LABEL", "RUN false\nLABEL")
    assert checkout.nox("-s", "build-cpu").returncode != 0
    assert list_tags(checkout.repository) == []
    assert not (checkout.results / "build.json").exists()
    assert_refused(checkout.nox("-s", "test-cpu"), r"its last build failed\. Run: nox -s build -- cpu-base")


def test_two_builds_of_one_image_at_once_both_succeed(checkout: Checkout) -> None:
    checkout.edit("Dockerfile.cpu", "LABEL", "USER 0\nRUN sleep 2\nLABEL")
    runs = [subprocess.Popen(checkout.command("-s", "build-cpu"), stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outputs
    assert list_tags(checkout.repository) == ["cpu-base"]


def interrupt(checkout: Checkout, words: list[str], has_begun: Callable[[str], bool]) -> str:
    """Run nox, press Ctrl-C when its output or the engine shows what has begun, and return the output.

    It must not succeed.
    """
    log = checkout.folder / "log"
    with log.open("w") as output:
        run = subprocess.Popen(checkout.command(*words), stdout=output, stderr=output, start_new_session=True)
        deadline = time.monotonic() + 300
        while not has_begun(log.read_text()):
            assert time.monotonic() < deadline, log.read_text()
            assert run.poll() is None, log.read_text()
            time.sleep(0.1)
        os.killpg(run.pid, signal.SIGINT)
        assert run.wait(timeout=50) != 0
    return log.read_text()


def test_an_interrupted_build_leaves_nothing(checkout: Checkout) -> None:
    """Ctrl-C: no tag, no record, no temporary file."""
    checkout.edit("Dockerfile.cpu", "LABEL", "RUN sleep 120\nLABEL")
    text = interrupt(checkout, ["-s", "build-cpu"], lambda text: "RUN sleep 120" in text)
    assert "Traceback" not in text
    assert list_tags(checkout.repository) == []
    assert [file.name for file in checkout.results.iterdir()] == [".lock"]


def test_an_interrupted_check_leaves_no_container(checkout: Checkout) -> None:
    """Ctrl-C ends the containers that the checks started."""
    assert checkout.nox("-s", "build-cpu").returncode == 0
    image_id = docker.require_image(checkout.tag)["Id"]
    listed = ("ps", "--all", "--quiet", f"--filter=ancestor={image_id}")
    interrupt(checkout, ["-s", "test-cpu"], lambda _: bool(docker.output(*listed)))
    assert docker.output(*listed) == ""


@pytest.mark.requirement("N6")
def test_builds_with_the_same_layers_are_reproducible(checkout: Checkout) -> None:
    checkout.edit("Dockerfile.cpu", "LABEL", "USER 0\nRUN mkdir /made && touch --date=2026-11-21 /made /etc\nLABEL")
    result = checkout.nox("-s", "reproduce", "--", "cpu-base")
    assert result.returncode == 0, result.stdout
    assert "cpu-base: two builds have the same layers" in result.stdout
    assert list_tags(checkout.repository) == []


@pytest.mark.requirement("N6")
def test_what_differs_between_two_builds_is_named(checkout: Checkout) -> None:
    """The layer by its instruction, the file, and its content, date or mode; a checkout's owner is in no layer."""
    checkout.edit("Dockerfile.cpu", "LABEL", "USER 0\nRUN date +%N >/made\nCOPY LICENSE /copied\nLABEL")
    result = checkout.nox("-s", "reproduce", "--", "cpu-base")
    assert result.returncode != 0
    assert "cpu-base: two builds have different layers" in result.stdout, result.stdout
    made, copied = re.findall(r"(?ms)^layer \d+ of \d+, .*?(?=^layer|^nox >)", result.stdout)
    assert re.match(r"layer \d+ of \d+, Dockerfile\.cpu:6: RUN /bin/sh -c date \+%N >/made # buildkit\n", made), made
    assert re.search(r"(?m)^    /made  content: \d+ bytes \w{12}, \d+ bytes \w{12}$", made), made
    assert re.match(r"layer \d+ of \d+, Dockerfile\.cpu:7: COPY LICENSE /copied # buildkit\n", copied), copied
    assert "/copied  mode: 0644, 0700\n" in copied, copied
    assert re.search(r"(?m)^    /copied  date: [\d :-]+, [\d :-]+$", copied), copied
    assert "content" not in copied
    assert "owner" not in copied
    assert list_tags(checkout.repository) == []


# --- what is refused -----------------------------------------------------------------------------


def test_a_wrong_matrix_is_one_line_for_every_command(checkout: Checkout) -> None:
    checkout.edit("images.toml", 'accelerator = "cpu"', 'accelerator = "abacus"')
    result = checkout.nox("-l")
    assert_refused(result, r"images\.toml: .*accelerator is 'abacus'; it must be one of cpu, cuda")
    assert len(result.stdout.strip().splitlines()) == 1


@pytest.mark.requirement("U8")
def test_a_lock_that_no_longer_matches_its_input_is_refused(checkout: Checkout) -> None:
    """A build would not hold what the .in file asks for."""
    checkout.edit("requirements/cpu-base.in", "-r service.in", "-r service.in\nrequests")
    assert_refused(checkout.nox("-s", "build-cpu"), r"requirements/cpu-base\.txt does not match .*nox -s lock")


@pytest.mark.requirement("T16")
def test_an_engine_that_does_not_answer_is_said(checkout: Checkout) -> None:
    """An engine elsewhere is nothing that setup may replace."""
    result = checkout.nox("-s", "build-cpu", DOCKER_HOST="tcp://127.0.0.1:9")
    assert_refused(result, r"aborted: .*127\.0\.0\.1:9")


# --- images that others built --------------------------------------------------------------------


def foreign(checkout: Checkout, *lines: str, platform: str = "linux/amd64") -> str:
    """Build an image with one file by docker alone and return its tag."""
    tag = f"{checkout.repository}:foreign"
    dockerfile = "\n".join(["FROM scratch", *lines, "COPY <<EOT /file", "EOT"])
    options = (f"--platform={platform}", f"--tag={tag}", "--load", "--provenance=false", "-")
    docker.output("buildx", "build", *options, data=dockerfile.encode())
    return tag


def test_an_image_of_another_flavor_is_left_to_its_own_session(checkout: Checkout) -> None:
    """The label decides, and the session says so."""
    tag = foreign(checkout, "LABEL slipway.flavor=devel")
    assert "is not a cpu-base, as its labels say" in checkout.nox("-s", "test-cpu", "--", "--image", tag).stdout


def test_an_image_of_another_architecture_is_refused(checkout: Checkout) -> None:
    """Its programs would not start here, and every check would fail for the wrong reason."""
    tag = foreign(checkout, "LABEL slipway.flavor=base", platform="linux/arm64")
    assert_refused(checkout.nox("-s", "test-cpu", "--", "--image", tag), r"is made for .*arm64.* runs .*amd64")
