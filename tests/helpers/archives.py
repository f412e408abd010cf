"""Made-up layers, and archives of images with them in the layouts of `docker save`."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable

import pytest

from slipway.errors import SlipwayError
from slipway.image import filesystem
from slipway.image.archive import read_archive
from slipway.image.filesystem import FileSystem
from slipway.image.layers import SavedImage

Blobs = dict[str, bytes]
Member = tuple[str, bytes | str] | tarfile.TarInfo
Step = tuple[str, list[Member] | None]  # an instruction and the files of its layer; None without a layer


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tar(*members: Member) -> bytes:
    """Make a tar archive; a name with bytes is a file, with text a symbolic link, alone a directory."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member in members:
            info, content = made(member)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def made(member: Member) -> tuple[tarfile.TarInfo, bytes]:
    """Return a member's header and content."""
    if isinstance(member, tarfile.TarInfo):
        return member, b""
    info = tarfile.TarInfo(member[0])
    if isinstance(member[1], bytes):
        info.size = len(member[1])
        return info, member[1]
    info.type, info.linkname = tarfile.SYMTYPE, member[1]
    return info, b""


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """Make a member without content: a directory, a hard link or a device."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def directory(name: str) -> tarfile.TarInfo:
    return special(name, tarfile.DIRTYPE)


def with_checksum(block: bytes) -> bytes:
    """Return a header with the right checksum."""
    blank = block[:148] + b" " * 8 + block[156:]
    return blank[:148] + b"%06o\0 " % sum(blank) + blank[156:]


def config(*plain: bytes, **changes: object) -> bytes:
    """Make the configuration of an image of these uncompressed layers."""
    history = [{"created_by": f"RUN step {number}"} for number in range(len(plain))]
    history.insert(1, {"created_by": "ENV A=b", "empty_layer": True})  # type: ignore[dict-item]
    diff_ids = [f"sha256:{digest(layer)}" for layer in plain]
    content = {"architecture": "amd64", "os": "linux", "history": history}
    return json.dumps({**content, "rootfs": {"diff_ids": diff_ids}, **changes}).encode()


def manifest(config_name: str, layer_names: list[str]) -> bytes:
    return json.dumps([{"Config": config_name, "RepoTags": None, "Layers": layer_names}]).encode()


def oci(*plain: bytes, pack: Callable[[bytes], bytes] = bytes, **changes: object) -> Blobs:
    """Make an archive of engine 25 and later; with `pack=gzip.compress`, one of the containerd store."""
    text = config(*plain, **changes)
    blobs = {f"blobs/sha256/{digest(blob)}": blob for blob in map(pack, plain)}
    names = [f"blobs/sha256/{digest(pack(layer))}" for layer in plain]
    config_name = f"blobs/sha256/{digest(text)}"
    end = {"index.json": b"{}", "manifest.json": manifest(config_name, names)}
    return {config_name: text, **blobs, **end}


def classic(*plain: bytes) -> Blobs:
    """Make an archive of engines before 25."""
    text = config(*plain)
    names = [f"{digest(layer)[:12]}/layer.tar" for layer in plain]
    config_name = f"{digest(text)}.json"
    end = {config_name: text, "manifest.json": manifest(config_name, names)}
    return {**dict(zip(names, plain, strict=True)), **end}


def saved(blobs: Blobs) -> bytes:
    return tar(*blobs.items())


def read(blobs: Blobs) -> SavedImage:
    return read_archive(io.BytesIO(saved(blobs)), "test:image")


def file_system(*steps: Step) -> FileSystem:
    """Make the file system of an image with the content that an audit needs."""
    history = [{"created_by": instruction, "empty_layer": members is None} for instruction, members in steps]
    data = saved(oci(*(tar(*members) for _, members in steps if members is not None), history=history))
    return FileSystem(read_archive(io.BytesIO(data), "test:image", filesystem.choose_content))


def refused(data: bytes) -> str:
    """Return the error message for an archive, which begins with the image's name."""
    with pytest.raises(SlipwayError) as caught:
        read_archive(io.BytesIO(data), "test:image")
    assert str(caught.value).startswith("test:image: ")
    return str(caught.value)


LOWER = tar(directory("./"), directory("etc/"), ("etc/a", b"12345"), ("etc/b", b"123"))
UPPER = tar(directory("etc/"), ("etc/.wh.a", b""), ("etc/b", b"1234"), ("c", b"7"))
