"""Images that users build FROM one of these by the commands of docs/extending.md keep the contract of their parent."""

import contextlib
import http.client
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slipway import docker, matrix, repository
from slipway.host import downloads
from tests.helpers.built_images import make_name, require_built
from tests.helpers.programs import run_merged
from tests.integration import speech

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MATRIX = matrix.load_matrix()
PARENT = MATRIX.find_image("cpu-base")
GUIDE = (repository.ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
ALONE = ("--rm", "--network=none", f"--label={docker.TEST_LABEL}")
PATIENCE_SECONDS = 120


def read_command(beginning: str) -> list[str]:
    """Return the words of the guide's command with this beginning."""
    [command] = re.findall(rf"(?m)^{re.escape(beginning)}.*$", GUIDE)
    return shlex.split(command)


def build(beginning: str, folder: Path, **arguments: str) -> Iterator[str]:
    """Build an image by the guide's command, with this host's settings for downloads; it is removed afterwards.

    `arguments` come after the guide's build arguments, which they replace.
    """
    require_built(PARENT)
    settings = downloads.find(PARENT.variant.distro.suite)
    words = [word.replace("slipway:", f"{MATRIX.repository}:") for word in read_command(beginning)[2:]]
    words[words.index("-t") + 1] = tag = f"{make_name()}:image"
    command = ["docker", "buildx", "build", "--load", "--provenance=false", *settings.build_arguments(), *words]
    command += [f"--build-arg={name}={value}" for name, value in arguments.items()]
    environment = os.environ | settings.environment()
    built = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    yield tag
    docker.call("image", "rm", "--force", tag)


def check(image: str, *options: str, contract: str = PARENT.name) -> tuple[int, str]:
    """Check an image by the guide's command, or with other options after the image; return exit code and output."""
    words = read_command("nox -s test -- cpu-base --image my/image:1")
    words[words.index(PARENT.name)] = contract
    after = words.index("--image") + 1
    own = [*words[1:after], image, *(options or words[after + 1 :])]
    command = [sys.executable, "-m", "nox", f"--noxfile={repository.ROOT / 'noxfile.py'}", *own]
    ended = run_merged(command)
    return ended.returncode, ended.stdout


# --- an own package ------------------------------------------------------------------------------

# What the recipes install in place of what they name: small packages, one of which requires another.
SMALL = {"…": "more-itertools", "ultralytics": "coloredlogs", "opencv-python": "humanfriendly"}
PROJECT = {
    "pyproject.toml": '[project]\nname = "mine"\nversion = "1"\nrequires-python = ">=3.11"\n',
    "uv.lock": 'version = 1\nrequires-python = ">=3.11"\n\n'
    '[[package]]\nname = "mine"\nversion = "1"\nsource = { virtual = "." }\n',
}


def read_recipes() -> str:
    """Return the guide's RUN lines below its first example, for this host with its CA and with small packages."""
    [section] = re.findall(r"(?s)\n- \*\*Cache.*?\n### An own service", GUIDE)
    recipes = re.findall(r"(?:```dockerfile\n|`)(RUN [^`]+)`", section)
    assert len(recipes) == 4
    text = "\n".join(recipe.replace("\n  --", " --") for recipe in recipes).replace("…", "tabulate", 1)
    for name, small in SMALL.items():
        text = text.replace(name, small)
    text = text.replace("RUN ", "RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt ")
    return re.sub(r"uv (pip install|sync)", r"uv \1 --system-certs", text)


@pytest.fixture(scope="module")
def packages_more(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image with a package of Debian's, one of Python's, and those of the other recipes."""
    folder = tmp_path_factory.mktemp("own-package")
    [dockerfile] = re.findall(r"(?s)```dockerfile\n([^`]*humanize.*?)```", GUIDE)
    dockerfile = dockerfile.replace("slipway:", f"{MATRIX.repository}:")
    (folder / "Dockerfile").write_text(dockerfile.replace("USER 1000:0", f"{read_recipes()}\nUSER 1000:0"))
    for name, text in PROJECT.items():
        (folder / name).write_text(text)
    yield from build("docker build -t my/image:1", folder)


@pytest.mark.requirement("C1")
def test_an_image_with_packages_more_keeps_the_contract(packages_more: str) -> None:
    """The run says how many checks it leaves out."""
    code, output = check(packages_more)
    assert code == 0, output
    assert re.search(r"(?m)^derived: \d{2} checks left out", output)


def test_a_package_of_two_names_is_left_out(packages_more: str) -> None:
    """What requires it is there."""
    found = docker.call("run", *ALONE, packages_more, "uv", "pip", "list").stdout
    assert "coloredlogs" in found
    assert "humanfriendly" not in found


def test_an_image_with_packages_more_is_not_the_one_built_here(packages_more: str) -> None:
    """Without --derived, it must equal the lock."""
    code, output = check(packages_more, "--", "-k", "test_distributions_equal_the_lock")
    assert code != 0
    assert "coloredlogs" in output


# --- an own service ------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[PARENT.name, pytest.param("cuda-base", marks=pytest.mark.whole)])
def base(request: pytest.FixtureRequest) -> str:
    """The image that the example is built on."""
    require_built(MATRIX.find_image(request.param))
    return str(request.param)


@pytest.fixture(scope="module")
def transcribe(base: str) -> Iterator[str]:
    """The example: speech to text in place of the service."""
    command = "docker build --build-arg BASE=slipway:cpu-base"
    yield from build(command, repository.ROOT, BASE=f"{MATRIX.repository}:{base}")


@pytest.fixture
def model(transcribe: str) -> Iterator[str]:
    """A volume with a model of random numbers."""
    volume = make_name()
    command = ("--user=0", f"--volume={volume}:/models", transcribe, "python", "-c", speech.MAKE_MODEL, "/models")
    made = docker.call("run", *ALONE, *command)
    assert made.returncode == 0, made.stderr
    yield volume
    docker.call("volume", "rm", "--force", volume)


Ask = Callable[..., tuple[int, dict[str, object]]]


@contextlib.contextmanager
def serve(*words: str) -> Iterator[Ask]:
    """Start the example; yield a function that returns status and content of an answer once it answers."""
    options = ("--publish=127.0.0.1::8000", f"--label={docker.TEST_LABEL}", "--env=NVIDIA_VISIBLE_DEVICES=void")
    container = docker.output("run", "--detach", *options, *words).strip()
    try:
        port = int(docker.output("port", container, "8000").strip().rpartition(":")[2])

        def ask(method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, object]]:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, json.load(answer)

        wait_for_answer(ask, container)
        yield ask
    finally:
        docker.call("container", "rm", "--force", "--volumes", container)


def wait_for_answer(ask: Ask, container: str) -> None:
    """Wait for the first answer; the test fails with the container's log when none comes."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, http.client.HTTPException):
            ask("GET", "/health")
            return
        time.sleep(0.1)
    pytest.fail(f"no answer within {PATIENCE_SECONDS} s: {docker.call('logs', container)}")


@pytest.mark.requirement("C1", "T17")
def test_the_example_keeps_the_contract_of_its_parent(transcribe: str, base: str) -> None:
    """In a Dockerfile of under 30 lines; ONNX Runtime stays the parent's, for CUDA with its provider."""
    dockerfile = repository.ROOT / "docs" / "examples" / "transcribe" / "Dockerfile"
    assert len(dockerfile.read_text(encoding="utf-8").splitlines()) < 30
    code, output = check(transcribe, contract=base)
    assert code == 0, output
    found = docker.call("run", *ALONE, transcribe, "uv", "pip", "list").stdout
    names = [line.split()[0] for line in found.splitlines() if line.startswith("onnxruntime")]
    assert names == ["onnxruntime-gpu" if base == "cuda-base" else "onnxruntime"]


@pytest.mark.requirement("T17")
def test_the_example_hears_when_somebody_speaks(transcribe: str, tmp_path: Path) -> None:
    """It decodes a recording and finds the speech in it, without a model: one span in a second of silence each side."""
    spoken, silent = tmp_path / "spoken.wav", tmp_path / "silent.wav"
    spoken.write_bytes(speech.write_wav([*speech.SILENCE, *speech.speak(), *speech.SILENCE]))
    silent.write_bytes(speech.write_wav([*speech.SILENCE, *speech.SILENCE]))
    mounts = [f"--volume={file}:/{file.name}:ro" for file in (spoken, silent)]
    program = ("python", "-c", speech.FIND_SPEECH, "/spoken.wav", "/silent.wav")
    found = docker.call("run", *ALONE, *mounts, transcribe, *program)
    assert found.returncode == 0, found.stderr
    [span], silence = json.loads(found.stdout)
    assert 0.5 < span[0] < 1.1
    assert span[1] > 3
    assert silence == []


@pytest.mark.requirement("T17")
def test_the_example_transcribes_with_a_mounted_model(transcribe: str, model: str) -> None:
    """Its words are nonsense, for the model was never trained; the answer says where they were computed, and why."""
    recording = speech.write_wav([*speech.SILENCE, *speech.speak()])
    with serve(f"--volume={model}:/models:ro", "--read-only", "--tmpfs=/tmp", transcribe) as ask:
        status, answer = ask("POST", "/transcribe", recording)
        assert (status, answer["device"], answer["reason"]) == (200, "cpu", "no NVIDIA GPU is in this container")
        assert answer["segments"]
        assert str(answer["text"]).startswith("word")
        status, answer = ask("POST", "/transcribe", b"no recording")
        assert (status, str(answer["detail"])[:26]) == (400, "FFmpeg cannot read this re")


def test_the_example_names_a_missing_model(transcribe: str) -> None:
    """It is alive, and says what to mount."""
    with serve(transcribe) as ask:
        status, answer = ask("POST", "/transcribe", b"no recording")
        assert (status, answer["detail"]) == (503, "/models holds no model: mount one there")


# --- a company's base image ----------------------------------------------------------------------


def test_the_ca_of_a_company_is_trusted() -> None:
    """By Python, after the guide's RUN line, with a certificate where its COPY line puts it."""
    require_built(PARENT)
    [place, command] = re.findall(r"COPY company-ca[.]crt (\S+)\nRUN (.+)\n", GUIDE)[0]
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=Company -keyout /dev/null"
    ask = "import ssl; print(ssl.create_default_context().get_ca_certs())"
    script = f"{make} -out {place}company-ca.crt && {command} && python -c '{ask}'"
    ended = docker.call("run", *ALONE, "--user=0", PARENT.tag, "sh", "-c", script)
    assert "(('commonName', 'Company'),)" in ended.stdout
