"""The comparison of two builds: each kind of difference is named, with the instruction's line."""

import tarfile

import pytest

from slipway import matrix, repository
from slipway.build import reproduce
from slipway.image.layers import Layer
from tests.helpers.archives import Member, directory, file_system, special

IMAGE = matrix.load_matrix().find_image("cpu-base")
FILE = ("etc/a", b"1234")


def layer(*members: Member) -> Layer:
    """Make a layer as it is read from an image."""
    return file_system(("RUN make", list(members))).image.layers[0]


def member(**fields: object) -> tarfile.TarInfo:
    """Make an empty file with some fields of its header."""
    info = special("etc/a", tarfile.REGTYPE)
    for name, value in fields.items():
        setattr(info, name, value)
    return info


def test_only_layers_whose_diff_ids_differ_are_compared() -> None:
    """The layer has its number, and no more than some differences are printed."""
    many = [layer(*((f"{number}", text) for number in range(reproduce.MOST + 3))) for text in (b"1", b"2")]
    same = layer(FILE)
    assert reproduce.compare_images(IMAGE, [same, same], [same, same]) == []
    first, *files, last = reproduce.compare_images(IMAGE, [same, many[0]], [same, many[1]])
    assert first == "layer 2 of 2, no line of the Dockerfiles: RUN make"
    assert len(files) == reproduce.MOST
    assert last == "    and 3 more"
    assert reproduce.compare_images(IMAGE, [same], [same, same]) == ["1 layers, 2 layers"]


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        (FILE, ("etc/a", b"12345"), "content: 4 bytes 03ac674216f3, 5 bytes 5994471abb01"),
        (FILE, ("etc/a", b"1235"), "content: 4 bytes 03ac674216f3, 4 bytes 310ced37200b"),
        (FILE, ("etc/a", "b"), "kind: file, symlink"),
        (("etc/a", "b"), ("etc/a", "c"), "target: b, c"),
        (member(), member(mode=0o4755), "mode: 0644, 4755"),
        (member(), member(gid=7), "owner: 0:0, 0:7"),
        (member(mtime=1), member(mtime=86400), "date: 1970-01-01 00:00:01, 1970-01-02 00:00:00"),
        (member(), member(pax_headers={"SCHILY.xattr.user.a": "b"}), "extended attributes: , user.a"),
    ],
    ids=["size", "content", "kind", "target", "mode", "owner", "date", "xattrs"],
)
def test_each_difference_is_named(first: Member, second: Member, difference: str) -> None:
    assert f"/etc/a  {difference}" in reproduce.compare_layers(layer(first), layer(second))


LATER = directory("etc")
LATER.mtime = 60
UNREAD = "the order of the entries, fractions of a second, or values of extended attributes"


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        ([directory("etc")], [LATER], ["/etc  date: 1970-01-01 00:00:00, 1970-01-01 00:01:00"]),
        ([FILE, ("b", b"")], [FILE, ("c", b"")], ["/b  only in the first build", "/c  only in the second build"]),
        # The mark that empties a directory is an entry of its own; the directory itself may be the same.
        (
            [directory("etc"), ("etc/.wh..wh..opq", b"")],
            [directory("etc")],
            ["/etc/.wh..wh..opq  only in the first build"],
        ),
        # What is not read of an archive is named without a path.
        ([FILE, ("b", b"")], [("b", b""), FILE], [UNREAD]),
    ],
)
def test_layers_differ_in_entries(first: list[Member], second: list[Member], found: list[str]) -> None:
    assert reproduce.compare_layers(layer(*first), layer(*second)) == found


def test_an_instruction_has_its_line_in_the_dockerfile() -> None:
    """The one of which BuildKit recorded the text; that of another stage may have the same."""
    text = (repository.ROOT / IMAGE.dockerfile).read_text().splitlines()
    found = reproduce.find_lines(IMAGE, "COPY app/ /application/opt/app/app/ # buildkit")
    assert found == f"Dockerfile.cpu:{text.index('COPY app/ /application/opt/app/app/') + 1}"
    recorded = f"RUN |1 APT_DATE={matrix.load_matrix().apt_date} /bin/sh -c /apt/install python3-pip # buildkit"
    line = int(reproduce.find_lines(IMAGE, recorded).partition(":")[2])
    assert text[line - 1].startswith("RUN --mount")
    assert "/apt/install python3-pip" in text[line + 1]
    assert reproduce.find_lines(IMAGE, "made by mmdebstrap from Debian trixie") == "no line of the Dockerfiles"
