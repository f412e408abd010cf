"""What images consist of: components, waste, folders, and images that are not from here."""

import gzip
import io
import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slipway import docker
from slipway.errors import SlipwayError
from slipway.image.archive import read_archive
from slipway.matrix import load_matrix
from slipway.report import contents, image_sources
from slipway.report.image_layers import describe_layers
from slipway.report.image_sources import read_source
from tests.helpers.archives import LOWER, UPPER, Member, digest, oci, saved, special, tar
from tests.helpers.contents import Json, describe, sizes
from tests.helpers.layouts import layout, write_layout


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results and cached layers are the test's own; the engine has no image."""
    monkeypatch.setattr(contents, "OTHERS", tmp_path / "dist")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(docker, "inspect", lambda _reference: None)


def wasted(found: Json) -> dict[str, list[str]]:
    """Return the files of each kind of waste that has any."""
    return {row["kind"]: [path for path, _ in row["largest"]] for row in found["waste"] if row["files"]}


# --- components ---

STATUS = b"""Package: hello
Status: install ok installed
Architecture: amd64
Version: 2.10-5

Package: libcublas-13-0
Status: install ok installed
Architecture: amd64
Version: 13.0.2
"""
SITE = "opt/venv/lib/python3.13/site-packages"
RECORD = "x/__init__.py,sha256=abc,1\nx-1.5.dist-info/RECORD,,\n"
DEBIAN: list[Member] = [
    ("lib", "usr/lib"),
    ("var/lib/dpkg/status", STATUS),
    ("var/lib/dpkg/info/hello.list", b"/.\n/usr/bin/hello\n/lib/libhello.so\n"),
    ("var/lib/dpkg/info/libcublas-13-0.list", b"/usr/lib/libcublas.so\n"),
    ("usr/bin/hello", b"h" * 10),
    ("usr/lib/libhello.so", b"l" * 20),
    ("usr/lib/libcublas.so", b"c" * 3000),
    ("etc/motd", b"m" * 5),
]
PACKAGES: list[Member] = [
    (f"{SITE}/x/__init__.py", b"p" * 100),
    (f"{SITE}/x/__pycache__/__init__.cpython-313.pyc", b"b" * 200),
    (f"{SITE}/x-1.5.dist-info/RECORD", RECORD.encode()),
    (f"{SITE}/nvidia_cudnn_cu13-9.20.dist-info/RECORD", b"nvidia/cudnn/lib.so,sha256=abc,9\n"),
    (f"{SITE}/nvidia/cudnn/lib.so", b"n" * 400),
    (f"{SITE}/torch/nn.py", b"t" * 50),  # Debian's, without a RECORD
    (f"{SITE}/torch-2.6.0.egg-info/PKG-INFO", b"Name: torch\nVersion: 2.6.0\n"),
    ("opt/tool/node_modules/@a/b/package.json", b'{"version": "3.1"}'),
    ("opt/tool/node_modules/@a/b/node_modules/c/index.js", b"j" * 60),
    ("opt/tool/node_modules/d/package.json", b"damaged"),
    ("srv/model.bin", b"s" * 1000),
    ("usr/local/go/bin/go", b"g" * 70),
    ("usr/bin/hello", b"H" * 11),
    special("srv/again.bin", tarfile.LNKTYPE, "srv/model.bin"),
]


def test_every_byte_belongs_to_one_component() -> None:
    """In each layer, a replaced file and those that no database lists included; a hard link has no bytes."""
    found = describe(
        ("RUN apt-get install", DEBIAN), ("RUN install", PACKAGES), ("RUN rm", [("srv/.wh.model.bin", b"")])
    )
    lists = sum(len(row[1]) for row in DEBIAN if isinstance(row, tuple) and "info/hello" in row[0])
    assert sizes(found) == {
        "cuda libcublas-13-0 13.0.2": 3000 + len("/usr/lib/libcublas.so\n"),
        "application /srv": 1000,
        "cuda nvidia-cudnn-cu13 9.20": 400 + len("nvidia/cudnn/lib.so,sha256=abc,9\n"),
        "python x 1.5": 300 + len(RECORD),
        "python torch 2.6.0": 50 + len("Name: torch\nVersion: 2.6.0\n"),
        "system /var/lib": len(STATUS),
        "deb hello 2.10-5": 10 + 20 + 11 + lists,
        "application /usr/local/go": 70,
        "npm c": 60,
        "npm @a/b 3.1": 18,
        "npm d": 7,
        "system /etc": 5,
    }
    layers = [layer["bytes"] for layer in found["layers"]]
    assert found["bytes"] == sum(layers) == sum(sizes(found).values()) == found["tree"]["bytes"]
    assert [sum(row["layers"][number] for row in found["components"]) for number in range(3)] == layers


def test_nothing_is_wasted_twice() -> None:
    """A file counts in the first kind that fits: this one is a copy, a test and replaced later."""
    text, more = b"text" * 100, b"more" * 50
    lower: list[Member] = [
        ("usr/share/doc/a", text),
        (f"{SITE}/x/tests/a", text),
        (f"{SITE}/x/tests/b", b"a test"),
        ("srv/b", text),
        ("srv/gone", b"gone"),
        ("var/lib/apt/lists/all", b"lists"),
        ("usr/lib/libx.a", b"static"),
        ("usr/lib/debug/x.debug", b"symbols"),
        ("usr/share/locale/de/LC_MESSAGES/x.mo", b"deutsch"),
        ("usr/share/locale/en/LC_MESSAGES/x.mo", b"english"),
        ("srv/empty", b""),
        ("srv/empty2", b""),
    ]
    found = describe(("COPY", lower), ("RUN", [(f"{SITE}/x/tests/a", more), ("srv/.wh.gone", b""), ("srv/c", more)]))
    assert wasted(found) == {
        "replaced": [f"/{SITE}/x/tests/a"],
        "deleted": ["/srv/gone"],
        "caches": ["/var/lib/apt/lists/all"],
        "same content twice": ["/srv/b", "/srv/c"],
        "static libraries": ["/usr/lib/libx.a"],
        "debug symbols": ["/usr/lib/debug/x.debug"],
        "tests": [f"/{SITE}/x/tests/a", f"/{SITE}/x/tests/b"],
        "unused locales": ["/usr/share/locale/de/LC_MESSAGES/x.mo"],
    }
    lost = len(text) + len(b"gone") + len(b"lists")
    assert found["efficiency"] == pytest.approx(1 - lost / found["bytes"], abs=1e-6)


def test_the_tree_names_large_files_and_sums_the_others() -> None:
    """A folder below a megabyte is one of the others; a row has a component where all its bytes are of one."""
    big = b"b" * (1 << 20)
    found = describe(("COPY", [("srv/a/big", big), ("srv/a/s/1", b"11"), ("srv/a/s/2", b"2"), ("etc/x", b"xxxx")]))
    assert [row["name"] for row in found["components"]] == ["/srv/a", "/etc"]
    assert found["tree"] == {
        "name": "/",
        "bytes": len(big) + 7,
        "children": [
            {
                "name": "srv",
                "bytes": len(big) + 3,
                "component": 0,
                "children": [
                    {
                        "name": "a",
                        "bytes": len(big) + 3,
                        "component": 0,
                        "children": [
                            {"name": "big", "bytes": len(big), "component": 0},
                            {"name": "2 other files", "bytes": 3, "component": 0},
                        ],
                    }
                ],
            },
            {"name": "1 other file", "bytes": 4, "component": 1},
        ],
    }


def test_gpu_code_is_summed_by_architecture() -> None:
    """Files for one GPU count by their name."""
    found = describe(
        ("COPY", [("opt/rocm/lib/rocblas/library/Kernels.so-000-gfx1030.hsaco", b"12345"), ("gfx90a", b"1")])
    )
    assert found["gpu"] == [{"architecture": "gfx1030", "bytes": 5, "files": 1}]


def test_a_layer_has_the_line_of_its_dockerfile() -> None:
    contract = load_matrix().find_image("cpu-base")
    lines = (contract.results.parents[1] / "Dockerfile.cpu").read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if text.startswith("WORKDIR /data"))
    history = [{"created_by": "made elsewhere"}, {"created_by": "WORKDIR /data"}]
    image = read_archive(io.BytesIO(saved(oci(LOWER, UPPER, history=history))))
    assert [row["place"] for row in describe_layers(image, contract)] == [None, f"Dockerfile.cpu:{line}"]


# --- images from elsewhere ---


def zstd(content: bytes) -> bytes:
    return subprocess.run(["zstd", "--stdout"], input=content, capture_output=True, check=True).stdout


def pack_plainly(content: bytes) -> bytes:
    """Compress to the same bytes at any time."""
    return gzip.compress(content, mtime=0)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd], ids=["plain", "gzip", "zstd"])
def test_every_form_of_an_image_has_the_same_contents(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """An archive of docker, compressed as a whole, too; a layout in a folder and in an archive."""
    layers = (LOWER, tar(), UPPER)
    (tmp_path / "docker.tar").write_bytes(saved(oci(*layers, pack=pack)))
    (tmp_path / "docker.tar.gz").write_bytes(gzip.compress(saved(oci(*layers, pack=pack))))
    (tmp_path / "layout.tar").write_bytes(saved(layout(*layers, pack=pack)))
    write_layout(tmp_path / "layout", layout(*layers, pack=pack))
    names = ("docker.tar", "docker.tar.gz", "layout.tar", "layout")
    found = [contents.describe_image(read_source(str(tmp_path / name), load_matrix())) for name in names]
    compressed = [len(pack(layer)) for layer in layers] if pack is not bytes else [None] * 3
    assert [row["compressed_bytes"] for row in found[0]["layers"]] == compressed
    for each in found:
        assert each["bytes"] == 13
        assert each["platform"] == "linux/amd64"
        assert {key: each[key] for key in ("id", "components", "tree", "waste")} == {
            key: found[0][key] for key in ("id", "components", "tree", "waste")
        }


def test_a_layer_of_a_layout_is_read_once(tmp_path: Path) -> None:
    """The second time its blob is not needed."""
    folder = write_layout(tmp_path / "layout", layout(LOWER, UPPER))
    first = read_source(str(folder), load_matrix())
    (folder / "blobs/sha256" / digest(LOWER)).unlink()
    assert read_source(str(folder), load_matrix()) == first


@pytest.mark.parametrize("form", ["docker", "folder", "archive"])
def test_an_image_for_windows_is_refused_with_one_message(tmp_path: Path, form: str) -> None:
    make = oci if form == "docker" else layout
    path = tmp_path / "image"
    if form == "folder":
        write_layout(path, make(LOWER, os="windows"))
    else:
        path.write_bytes(saved(make(LOWER, os="windows")))
    with pytest.raises(SlipwayError, match=r"image:? is an image for Windows; Slipway reads images for Linux$"):
        read_source(str(path), load_matrix())


def test_a_layer_for_windows_is_named_as_such(tmp_path: Path) -> None:
    """docker writes an archive's configuration behind its layers."""
    member = tarfile.TarInfo("Files/x")
    member.pax_headers = {"MSWINDOWS.rawsd": "AQ=="}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(member)
    blobs = oci(buffer.getvalue(), os="windows")
    (tmp_path / "image").write_bytes(saved(dict(sorted(blobs.items(), key=lambda item: b"rootfs" in item[1]))))
    with pytest.raises(SlipwayError, match="is an image for Windows"):
        read_source(str(tmp_path / "image"), load_matrix())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda blobs: blobs.pop("index.json"), "is no OCI layout: it has no index.json"),
        (lambda blobs: blobs.update({"index.json": b"[]"}), "index.json is no JSON object"),
        (lambda blobs: blobs.update({"index.json": b'{"manifests": []}'}), "does not lead to one image but to none"),
        (lambda blobs: blobs.update({"index.json": b'{"manifests": [{"digest": "../x", "size": 1}]}'}), "malformed"),
        (lambda blobs: blobs.pop(f"blobs/sha256/{digest(UPPER)}"), "lacks the blob sha256:"),
        (lambda blobs: blobs.update({f"blobs/sha256/{digest(UPPER)}": LOWER}), "where the configuration has"),
        (lambda blobs: blobs.update({f"blobs/sha256/{digest(UPPER)}": b"<html>"}), "neither a tar archive nor"),
    ],
)
def test_a_damaged_layout_is_an_error(tmp_path: Path, damage: Callable[[Any], object], message: str) -> None:
    blobs = layout(LOWER, UPPER)
    damage(blobs)
    folder = write_layout(tmp_path / "layout", {"oci-layout": b"{}", **blobs})
    with pytest.raises(SlipwayError, match=message) as caught:
        read_source(str(folder), load_matrix())
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd], ids=["plain", "gzip", "zstd"])
def test_a_file_that_ends_early_is_named(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "image"
    for content in (b"", b"text", pack(saved(oci(LOWER)))[:150]):
        path.write_bytes(content)
        with pytest.raises(SlipwayError, match=rf"^{path}:? \S"):
            read_source(str(path), load_matrix())


def test_a_layer_that_occurs_twice_is_pulled_once(tmp_path: Path) -> None:
    """Its files are in both layers, and those of the first one are replaced."""
    (tmp_path / "image").write_bytes(saved(oci(LOWER, LOWER, pack=pack_plainly)))
    found = contents.describe_image(read_source(str(tmp_path / "image"), load_matrix()))
    assert found["bytes"] == 16
    assert found["compressed_bytes"] == len(pack_plainly(LOWER))
    assert wasted(found) == {"replaced": ["/etc/a", "/etc/b"]}


@pytest.mark.parametrize(
    ("word", "hint"), [("cpu-bas", "did you mean cpu-base"), ("a/b", "names no image"), ("x\x1b", ""), ("", "")]
)
def test_a_word_that_names_no_image_is_an_error(word: str, hint: str) -> None:
    with pytest.raises(SlipwayError, match="names no image") as caught:
        read_source(word, load_matrix())
    assert hint in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("localhost:5000/team/x:1.2", ("localhost:5000/team/x", "1.2", None)),
        ("docker.io/library/debian", ("docker.io/library/debian", None, None)),
        (f"ghcr.io/a/b:v1@sha256:{'0' * 64}", ("ghcr.io/a/b", "v1", f"sha256:{'0' * 64}")),
    ],
)
def test_a_reference_of_a_registry_has_parts(word: str, parts: tuple[str | None, ...]) -> None:
    match = image_sources.REGISTRY.fullmatch(word)
    assert match is not None
    assert (match["name"], match["tag"], match["digest"]) == parts


@pytest.mark.parametrize("number", [0, 1000])
def test_an_image_may_have_no_layer_or_a_thousand(tmp_path: Path, number: int) -> None:
    layers = [tar((f"srv/{each}", b"12345"), ("srv/same", str(each).encode())) for each in range(number)]
    (tmp_path / "image").write_bytes(saved(oci(*layers)))
    found = contents.describe_image(read_source(str(tmp_path / "image"), load_matrix()))
    assert len(found["layers"]) == number
    assert found["bytes"] == sum(5 + len(str(each)) for each in range(number)) == sum(sizes(found).values())
    assert found["waste"][0]["files"] == max(0, number - 1)


# --- the command ---


@pytest.mark.parametrize("layers", [None, "x", [7], []])
def test_earlier_contents_of_another_format_are_written_anew(tmp_path: Path, layers: object) -> None:
    path = write_image(tmp_path / "image", tar(("srv/a", b"12345")))
    assert contents.main([path]) == 0
    [file] = (tmp_path / "dist").iterdir()
    found = json.loads(file.read_text())
    file.write_text(json.dumps(found | {"layers": layers}))
    assert contents.main([path]) == 0
    assert json.loads(file.read_text()) == found


def write_image(path: Path, *layers: bytes) -> str:
    """Write an archive and return its path as a word of the command."""
    path.write_bytes(saved(oci(*layers)))
    return str(path)


def test_a_name_of_an_image_prints_nothing_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters of names are shown as such."""
    name = "srv/\x1b[2J/evil.a"
    path = write_image(tmp_path / "image", tar((name, b"x" * 5000)))
    assert contents.main([path]) == 0
    assert "\x1b" not in capsys.readouterr().out
    [file] = (tmp_path / "dist").iterdir()
    assert json.loads(file.read_text())["bytes"] == 5000


def test_two_images_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The component, the instruction and the layers that are the same."""
    first = write_image(tmp_path / "first", LOWER, tar(("srv/a", b"1")))
    second = write_image(tmp_path / "second", LOWER, tar(("srv/a", b"12345"), ("etc/c", b"1")))
    assert contents.main([first, second, "--json"]) == 0
    pair = json.loads(capsys.readouterr().out)
    assert pair["bytes"] == [9, 14]
    assert pair["shared"] == {"layers": 1, "bytes": 8}
    assert [(row["name"], row["bytes"]) for row in pair["components"]] == [
        ("application /srv", [1, 5]),
        ("system /etc", [8, 9]),
    ]
    assert [(row["name"], row["bytes"]) for row in pair["lines"]] == [("RUN step 1", [1, 6])]
    assert contents.main([first, second]) == 0
    assert f"from {first} to {second}: 0.0 MB to 0.0 MB" in capsys.readouterr().out
