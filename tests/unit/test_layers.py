"""Layers on top of each other: the final file system, the waste, and the instructions."""

import tarfile
import time

import pytest

from slipway.errors import SlipwayError
from tests.helpers.archives import LOWER, UPPER, directory, oci, read, special, tar


def merged(*plain: bytes) -> dict[str, int]:
    """Return the final paths, each with the layer it is from."""
    return {path: layer for path, (_, layer) in read(oci(*plain)).merged().items()}


def wasted(*plain: bytes) -> list[tuple[str, int, int, int]]:
    """Return the path and size of each lost file, its layer and the one that takes it."""
    waste = read(oci(*plain)).waste()
    return [(item.entry.path, item.entry.size, item.layer, item.by) for item in waste]


TREE = tar(directory("d"), directory("d/e"), ("d/e/f", b"12"), ("de", b"3"))
OPAQUE = (
    tar(directory("d"), ("d/old", b"12"), ("d/same", b"1"), ("other", b"3")),
    # The marker may follow the directory's new files.
    tar(directory("d"), ("d/new", b"4"), ("d/same", b"5"), ("d/.wh..wh..opq", b"")),
)
Lost = tuple[str, int, int, int]
CASES: dict[str, tuple[tuple[bytes, ...], dict[str, int], list[Lost]]] = {
    "whiteouts delete and files replace": (
        (LOWER, UPPER),
        {"/": 0, "/etc": 1, "/etc/b": 1, "/c": 1},
        [("/etc/a", 5, 0, 1), ("/etc/b", 3, 0, 1)],
    ),
    "a whiteout takes a whole directory": ((TREE, tar((".wh.d", b""))), {"/de": 0}, [("/d/e/f", 2, 0, 1)]),
    "an opaque directory keeps only its own layer's files": (
        OPAQUE,
        {"/d": 1, "/d/new": 1, "/d/same": 1, "/other": 0},
        [("/d/old", 2, 0, 1), ("/d/same", 1, 0, 1)],
    ),
    "a file in the place of a folder without an entry hides what is below": (
        (tar(("d/e/f", b"1")), tar(("d", b"2"))),
        {"/d": 1},
        [("/d/e/f", 1, 0, 1)],
    ),
    "a deleted file that is there again is of the last layer": (
        (tar(("d/a", b"1")), tar((".wh.d", b"")), tar(("d/a", b"22"))),
        {"/d/a": 2},
        [("/d/a", 1, 0, 1)],
    ),
    "a link in a directory's place takes its files": (
        (tar(directory("lib"), ("lib/x", b"12")), tar(("lib", "usr/lib"))),
        {"/lib": 1},
        [("/lib/x", 2, 0, 1)],
    ),
    "a directory that is named again keeps its files": (
        (LOWER, tar(directory("etc"))),
        {"/": 0, "/etc": 1, "/etc/a": 0, "/etc/b": 0},
        [],
    ),
}


@pytest.mark.parametrize(("layers", "files", "waste"), CASES.values(), ids=CASES)
def test_layers_make_one_file_system(layers: tuple[bytes, ...], files: dict[str, int], waste: list[Lost]) -> None:
    assert merged(*layers) == files
    assert wasted(*layers) == waste


def test_a_file_below_a_link_of_a_lower_layer_is_refused() -> None:
    """One engine puts it into the folder that the link leads to, another replaces the link."""
    linked = tar(directory("usr/lib"), ("lib", "usr/lib"))
    with pytest.raises(SlipwayError, match="has files in '/lib/x', which leads through a link"):
        merged(linked, tar(("lib/x/y", b"1")))
    assert merged(linked, tar(directory("lib"), ("lib/x", b"1"))) == {"/usr/lib": 0, "/lib": 1, "/lib/x": 1}


def test_time_does_not_grow_with_the_number_of_layers() -> None:
    """Each entry is looked at once, not once for each whiteout above it."""
    files = [(f"{folder}/e/f/g/{file}", b"") for folder in range(500) for file in range(20)]
    layers = [tar(*files), *(tar((f".wh.{number}", b"")) for number in range(200))]
    image = read(oci(*layers))
    start = time.process_time()
    assert len(image.merged()) == 300 * 20
    assert time.process_time() - start < 2


def test_a_file_with_a_hard_link_left_is_no_waste() -> None:
    pair = tar(("a", b"123"), special("b", tarfile.LNKTYPE, "a"))
    assert read(oci(pair)).size == 3
    assert wasted(pair, tar((".wh.a", b""))) == []
    assert wasted(pair, tar((".wh.a", b""), (".wh.b", b""))) == [("/a", 3, 0, 1)]


def test_without_history_the_instructions_are_empty() -> None:
    image = read(oci(LOWER, UPPER, history=None))
    assert [layer.created_by for layer in image.layers] == ["", ""]
