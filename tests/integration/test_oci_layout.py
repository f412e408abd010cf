"""An image on its way to a registry: its layout, and archives that are not what they should be."""

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from slipway.errors import SlipwayError
from slipway.publish import oci_layout
from slipway.publish.oci_layout import LocalImage
from slipway.publish.registry import Manifest
from tests.helpers import archives
from tests.helpers.archives import LOWER, UPPER, Blobs
from tests.helpers.programs import write_program


@pytest.fixture(autouse=True)
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `docker` that saves the file beside it, and an empty folder for temporary files."""
    folder = tmp_path / "bin"
    write_program(folder / "docker", f"cat {folder}/saved")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    return folder


def local(blobs: Blobs, *plain: bytes) -> LocalImage:
    """Return what an engine says of an image that it would save so."""
    config = next(text for text in blobs.values() if b'"rootfs"' in text and text.startswith(b"{"))
    diff_ids = tuple(f"sha256:{archives.digest(layer)}" for layer in plain)
    return LocalImage(f"sha256:{archives.digest(config)}", diff_ids, {}, {"os": "linux", "architecture": "amd64"})


def pack(image: LocalImage) -> tuple[Manifest, dict[str, bytes]]:
    """Pack an image; returns its manifest and the blobs of the layout by digest."""
    with oci_layout.temporary_layout() as layout:
        manifest = oci_layout.pack_image(image, layout)
        index = json.loads((layout.folder / "index.json").read_bytes())
        assert [row["digest"] for row in index["manifests"]] == [manifest.digest]
        return manifest, {f"sha256:{file.name}": file.read_bytes() for file in layout.find_blob("sha256:").iterdir()}


def compressed(content: bytes) -> bytes:
    """Compress a layer as an image was that this program has published."""
    return subprocess.run(["zstd", "--stdout"], input=content, capture_output=True, check=True).stdout


def unpacked(content: bytes) -> bytes:
    """Decompress what was sent."""
    return subprocess.run(["zstd", "--decompress", "--stdout"], input=content, capture_output=True, check=True).stdout


@pytest.mark.parametrize("store", ["classic", "containerd", "zstd", "older"])
def test_layers_are_the_images_whatever_the_engine_saves(bin_folder: Path, store: str) -> None:
    made = archives.oci(LOWER, UPPER)
    if store == "containerd":
        made = archives.oci(LOWER, UPPER, pack=lambda layer: gzip.compress(layer, mtime=0))
    elif store == "zstd":
        made = archives.oci(LOWER, UPPER, pack=compressed)
    elif store == "older":
        made = archives.classic(LOWER, UPPER)
    (bin_folder / "saved").write_bytes(archives.saved(made))
    manifest, sent = pack(local(made, LOWER, UPPER))
    rows = manifest.json["layers"]
    assert [unpacked(sent[row["digest"]]) for row in rows] == [LOWER, UPPER]
    for row in rows:
        content = sent[row["digest"]]
        assert (row["size"], row["digest"]) == (len(content), f"sha256:{hashlib.sha256(content).hexdigest()}")


def test_the_containerd_store_names_an_image_by_its_manifest(bin_folder: Path) -> None:
    """By an index that leads to it, and by none that does not."""
    made = archives.oci(LOWER)
    config = next(name for name, text in made.items() if b'"rootfs"' in text).rpartition("/")[2]
    manifest = json.dumps({"config": {"digest": f"sha256:{config}"}}).encode()
    index = json.dumps({"manifests": [{"digest": f"sha256:{archives.digest(manifest)}"}]}).encode()
    for text in (manifest, index):
        made[f"blobs/sha256/{archives.digest(text)}"] = text
    (bin_folder / "saved").write_bytes(archives.saved(made))
    image = LocalImage(f"sha256:{archives.digest(index)}", local(made, LOWER).diff_ids, {}, {})
    assert pack(image)[0].json["config"]["digest"] == f"sha256:{config}"
    with pytest.raises(SlipwayError, match="is saved as another image"):
        pack(LocalImage("sha256:" + "1" * 64, image.diff_ids, {}, {}))


def test_the_same_image_becomes_the_same_manifest(bin_folder: Path) -> None:
    """So an interrupted publication sends nothing twice."""
    (bin_folder / "saved").write_bytes(archives.saved(archives.oci(LOWER, UPPER)))
    image = local(archives.oci(LOWER, UPPER), LOWER, UPPER)
    assert pack(image) == pack(image)


LAYER = f"blobs/sha256/{archives.digest(UPPER)}"
SAVED = archives.oci(LOWER, UPPER)
CONFIGURATION = next(name for name, text in SAVED.items() if b'"rootfs"' in text)
OTHER_PLATFORM = SAVED[CONFIGURATION].replace(b"amd64", b"arm64")


def replace(name: str, content: bytes) -> bytes:
    """Return the archive with other content of a member."""
    return archives.saved(SAVED | {name: content})


def leave_out(name: str) -> bytes:
    """Return the archive without a member."""
    return archives.saved({each: content for each, content in SAVED.items() if each != name})


def lead_elsewhere() -> bytes:
    """Return an archive with links to files of this machine in the place of a layer, and a file outside of it."""
    buffer = io.BytesIO(leave_out(LAYER))
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        archive.addfile(archives.special(LAYER, tarfile.SYMTYPE, "/etc/passwd"))
        archive.addfile(archives.special(LAYER, tarfile.LNKTYPE, "../../../../etc/passwd"))
        archive.addfile(tarfile.TarInfo("../../../../../../tmp/outside-of-everything"))
    return buffer.getvalue()


WITHOUT_LAYER = "is saved without its layers sha256:"
INCOMPLETE = "is not saved as a complete archive"
BROKEN = {
    "without layer": (leave_out(LAYER), WITHOUT_LAYER),
    "changed layer": (replace(LAYER, LOWER), WITHOUT_LAYER),
    "changed configuration": (replace(CONFIGURATION, OTHER_PLATFORM), "is saved as another image, sha256:"),
    "another configuration": (
        replace(CONFIGURATION, archives.config(UPPER, LOWER)),
        "is saved with another image's configuration",
    ),
    "no manifest": (leave_out("manifest.json"), "is saved without a configuration"),
    "strange manifest": (replace("manifest.json", b"[" * 100_000), "is saved without a configuration"),
    "cut short": (archives.saved(SAVED)[:-12_000], f"{INCOMPLETE}|is saved without"),
    "damaged gzip": (replace(LAYER, gzip.compress(UPPER, mtime=0)[:-20]), INCOMPLETE),
    "no gzip": (replace(LAYER, b"\x1f\x8b nothing of the kind"), INCOMPLETE),
    "no zstd": (replace(LAYER, b"\x28\xb5\x2f\xfd and more"), INCOMPLETE),
    "links and paths": (lead_elsewhere(), WITHOUT_LAYER),
    "noise": (b"no archive" * 1000, INCOMPLETE),
}


@pytest.mark.parametrize(("archive", "reason"), BROKEN.values(), ids=BROKEN)
def test_an_archive_that_is_not_the_image_is_refused(
    bin_folder: Path, tmp_path: Path, archive: bytes, reason: str
) -> None:
    """What it is sent from never becomes a manifest, and no file is left behind."""
    (bin_folder / "saved").write_bytes(archive)
    with pytest.raises(SlipwayError, match=reason):
        pack(local(SAVED, LOWER, UPPER))
    assert not Path("/tmp/outside-of-everything").exists()
    assert not list((tmp_path / "temporary").iterdir())


def test_an_engine_that_fails_is_named(bin_folder: Path) -> None:
    """docker's own words, not those about the archive that ends early."""
    write_program(bin_folder / "docker", "echo the engine is gone >&2; exit 1")
    with pytest.raises(SlipwayError, match=r"`docker save .*` failed: the engine is gone"):
        pack(local(archives.oci(LOWER), LOWER))
