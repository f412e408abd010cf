"""What follows `--`: names of images and options, and the names of earlier sessions."""

import logging

import pytest

from slipway import command_line, matrix
from slipway.errors import SlipwayError
from slipway.matrix import Image

MATRIX = matrix.load_matrix()


def choose(*words: str) -> list[str]:
    """Return the names of the chosen images; cpu-devel is the default one."""
    default = [MATRIX.find_image("cpu-devel")]
    images = command_line.choose_images(MATRIX, command_line.read_options(words), lambda: default)
    return [image.name for image in images]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ((), ["cpu-devel"]),
        (("cuda-base", "cpu-base"), ["cpu-base", "cuda-base"]),
        (("cuda-base", "--no-cache", "cuda-base"), ["cuda-base"]),
        (("cpu-base", "--platform", "linux/arm64"), ["cpu-base-arm64"]),
        (("--all",), [image.name for image in MATRIX.images]),
    ],
)
def test_images_are_chosen_by_name(words: tuple[str, ...], names: list[str]) -> None:
    """In the order of the matrix, in which parents come first, and each once."""
    assert choose(*words) == names


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("CUDA_devel",), "there is no image 'CUDA_devel'; did you mean cuda-devel"),
        (("cuda-develx",), "there is no image 'cuda-develx'.*cuda-devel"),
        (
            ("cpu-base", "-k", "health"),
            "there is no option -k; --help lists all, and a session of tests takes pytest's after",
        ),
        (("--no-cash",), "there is no option --no-cash; did you mean --no-cache?"),
        (("--builder",), "--builder: expected one argument"),
        (("cpu-base", "cuda-base", "--image=x:1"), "--image takes one contract: NAME --image x:1"),
        (("cpu-base", "--derived"), "--derived is about another image: NAME --image REF --derived"),
        (("cuda-base", "--platform=linux/arm64"), "there is no cuda-base for linux/arm64: "),
    ],
)
def test_what_is_wrong_is_named(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(SlipwayError, match=message):
        choose(*words)


def test_options_after_a_second_dash_are_pytests() -> None:
    options = command_line.read_options(["cpu-base", "--require-gpu", "--", "-k", "size", "--no-such"])
    assert options.images == ["cpu-base"]
    assert command_line.make_test_options(options) == ["--require-gpu", "-k", "size", "--no-such"]


def test_options_reach_the_command_that_they_are_for() -> None:
    options = command_line.read_options(
        ["--no-cache", "--builder=b", "--allow-not-scanned", "--database=d", "--vex=a", "--vex=b"]
    )
    image = MATRIX.find_image("cpu-base")
    assert command_line.make_build_options(image, options) == ["--no-cache", "--builder=b"]
    cache = command_line.read_options(["--cache-from=h/a", "--cache-to", "h/b"])
    assert command_line.make_build_options(image, cache) == [
        "--cache-from=type=registry,ref=h/a:cpu-base",
        "--cache-to=type=registry,ref=h/b:cpu-base,mode=max",
    ]
    assert command_line.make_scan_options(options) == ["--database=d", "--vex=a", "--vex=b", "--allow-not-scanned"]
    assert command_line.make_audit_options(image, options) == ["cpu-base"]
    other = command_line.read_options(["cpu-base", "--image=x:1"])
    assert command_line.make_audit_options(image, other) == ["cpu-base", "--image=x:1"]
    assert command_line.make_test_options(options) == []


def test_a_scan_of_another_image_is_refused() -> None:
    """Its verdict would be about the image of that name in this engine."""
    options = command_line.read_options(["cuda-base", "--image=team/image:1"])
    with pytest.raises(SlipwayError, match=r"scan takes no --image: .*docker tag"):
        command_line.make_scan_options(options)


def test_a_parametrized_session_takes_no_names() -> None:
    with pytest.raises(SlipwayError, match="takes no names of images: nox -s test -- cpu-base"):
        command_line.refuse_names("test-cuda", command_line.read_options(["cpu-base"]))
    with pytest.raises(SlipwayError, match=r"nox -s build -- cuda-devel$"):
        command_line.refuse_names("build-cuda(base)", command_line.read_options(["devel"]))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "required: IMAGE.*; name an image to start, options before it: nox -s run -- cpu-base"),
        (["--rm", "cpu-base"], "--rm"),
        (["cpu-base", "--address", "::1"], "--address comes before the image: .* --address IP cpu-base"),
        (["cpu-sid"], "did you mean cpu-base"),
    ],
)
def test_run_wants_options_an_image_and_its_command(words: list[str], message: str) -> None:
    """What follows the image is the command of the container."""
    image, options = command_line.read_run(MATRIX, ["cpu-base", "python", "--help"])
    assert (image.name, options.address, options.command) == ("cpu-base", "127.0.0.1", ["python", "--help"])
    image, options = command_line.read_run(MATRIX, ["--address=0.0.0.0", "cpu-base"])
    assert (image.name, options.address, options.command) == ("cpu-base", "0.0.0.0", [])  # noqa: S104 - what is tested
    with pytest.raises(SlipwayError, match=message):
        command_line.read_run(MATRIX, words)


OLD = {
    "build-cuda13.2": "nox -s build -- cuda13.2-base cuda13.2-runtime cuda13.2-devel",
    "build-cuda13.2(devel)": "nox -s build -- cuda13.2-devel",
    "scan-cuda(base)": "nox -s scan -- cuda-base",
    "sbom-cpu(base)": "nox -s audit -- cpu-base",
    "run-cpu(runtime)": "nox -s run -- cpu-runtime",
    "build-workloads(cpu-base-tools)": "nox -s build -- cpu-base-tools",
    "test-slipway": "nox -s unit integration",
    "test-cpu-base": "nox -s test -- cpu-base",
    "cuda13.2-devel": "-- before names of images, as in nox -s build -- cuda13.2-devel",
    "build-cuda99": "",
    "build-cuda(large)": "",
    "frobnicate": "",
}


@pytest.mark.parametrize(("old", "new"), OLD.items(), ids=OLD)
def test_an_old_session_is_answered_with_the_new_command(old: str, new: str) -> None:
    assert command_line.replace_session(MATRIX, old) == new
    answer = f"\n{old}: use {new}" if new else ""
    for message, extended in (
        (f"Sessions not found: {old}, nothing", f"Sessions not found: {old}, nothing{answer}"),
        (f"Session {old} failed.", f"Session {old} failed."),
    ):
        record = logging.makeLogRecord({"msg": message})
        assert command_line.explain_old_sessions(MATRIX, record)
        assert record.getMessage() == extended


def test_all_names_of_old_sessions_are_explained() -> None:

    def old_name(image: Image, verb: str) -> str:
        group = f"workloads({image.name})" if image.workload else f"{image.variant.name}({image.flavor})"
        return f"{verb}-{group}"

    for image in MATRIX.images:
        for verb in command_line.VERBS:
            new = command_line.replace_session(MATRIX, old_name(image, verb))
            assert new.endswith(f" -- {image.name}")
