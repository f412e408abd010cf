"""Wheels that are made for a check: pip and uv install them without an index."""

import io
import tarfile
import zipfile
from collections.abc import Sequence

from docker.models.containers import Container

FOLDER = "/data/wheels"
TAG = "py3-none-any"


def make_wheel(name: str, version: str, requires: Sequence[str]) -> bytes:
    """Return a wheel with a module and a command of its name, which say its version."""
    metadata = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {package}" for package in requires)]
    files = {
        f"{name}/__init__.py": f"__version__ = {version!r}\n\n\ndef main():\n    print(__version__)\n",
        f"{name}-{version}.dist-info/METADATA": "\n".join(["Metadata-Version: 2.1", *metadata, ""]),
        f"{name}-{version}.dist-info/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {TAG}\n",
        f"{name}-{version}.dist-info/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    record = f"{name}-{version}.dist-info/RECORD"
    files[record] = "".join(f"{file},,\n" for file in (*files, record))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return content.getvalue()


def put_wheel(container: Container, name: str, version: str = "1.0", requires: Sequence[str] = ()) -> None:
    """Lay a wheel into FOLDER, on the container's volume."""
    content = make_wheel(name, version, requires)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo(f"wheels/{name}-{version}-{TAG}.whl")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    assert container.put_archive("/data", archive.getvalue())
