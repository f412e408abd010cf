"""Small vulnerability databases in Trivy's format, as files and in a registry."""

import hashlib
import json
import subprocess
import tarfile
import urllib.request
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from packaging.version import Version

from slipway import tools
from slipway.tools import Tool

FOLDER = Path(__file__).with_name("trivydb")
LAYER = "application/vnd.aquasec.trivy.db.layer.v1.tar+gzip"
CONFIG = "application/vnd.aquasec.trivy.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"

Advisory = dict[str, Any]


def debian(package: str, fixed: str, *, severity: str = "HIGH", identifier: str = "CVE-2026-0001") -> Advisory:
    """A vulnerability of a Debian 13 source package, with or without a fixed version."""
    return {"bucket": "debian 13", "package": package, "identifier": identifier, "severity": severity, "fixed": fixed}


def python(package: str, fixed: str, *, severity: str = "HIGH", identifier: str = "CVE-2026-0002") -> Advisory:
    """A vulnerability of a Python distribution."""
    return {
        "bucket": "pip::a test",
        "package": package,
        "identifier": identifier,
        "severity": severity,
        "vulnerable": [f"<{fixed}"],
        "patched": [fixed],
    }


# What every real database of its kind has.
WELL_KNOWN_DEBIAN = debian("openssl", "1.0.0", identifier="CVE-2014-0160")
WELL_KNOWN_PYTHON = python("django", "1.1", identifier="CVE-2016-0001")
WELL_KNOWN = (WELL_KNOWN_DEBIAN, WELL_KNOWN_PYTHON)


def program() -> Path:
    """The program that writes a database, built once from trivydb/ with the Go version of the tools."""
    source = hashlib.sha256((FOLDER / "main.go").read_bytes()).hexdigest()[:12]
    go = Version(tools.find_line(r"^go (\S+)$", (FOLDER / "go.mod").read_text(), FOLDER))
    return tools.provide_program(Tool("trivydb", FOLDER, source, go))


def make(folder: Path, advisories: Iterable[Advisory] = WELL_KNOWN, *, days: float = 0, schema: int = 2) -> Path:
    """Write trivy.db and metadata.json into a folder, dated some days ago."""
    folder.mkdir(parents=True, exist_ok=True)
    updated = (datetime.now(UTC) - timedelta(days=days)).isoformat()
    wanted = {"schema": schema, "updated": updated, "advisories": list(advisories)}
    subprocess.run([program(), folder], input=json.dumps(wanted), text=True, check=True)
    return folder


def pack(database: Path, archive: Path) -> Path:
    """Pack a database for a registry."""
    with tarfile.open(archive, "w:gz") as output:
        for name in ("trivy.db", "metadata.json"):
            output.add(database / name, name)
    return archive


# --- a registry ----------------------------------------------------------------------------------


def request(method: str, url: str, data: bytes, kind: str) -> str:
    """Send a request to a registry and return the URL in its answer."""
    asked = urllib.request.Request(url, data=data, headers={"Content-Type": kind}, method=method)  # noqa: S310
    with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310 - loopback
        return str(answer.headers.get("Location", ""))


def push(registry_name: str, archive: Path) -> str:
    """Push an archive of a database as the artifact that Trivy downloads; return its reference."""
    base = f"http://{registry_name}/v2/trivy-db"
    blobs = []
    for kind, data in ((CONFIG, b"{}"), (LAYER, archive.read_bytes())):
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        place = request("POST", f"{base}/blobs/uploads/", b"", "application/octet-stream")
        request("PUT", f"{place}&digest={digest}", data, "application/octet-stream")
        title = {"org.opencontainers.image.title": archive.name}
        blobs.append({"mediaType": kind, "digest": digest, "size": len(data), "annotations": title})
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": blobs[0], "layers": blobs[1:]}
    request("PUT", f"{base}/manifests/2", json.dumps(manifest).encode(), MANIFEST)
    return f"{registry_name}/trivy-db:2"
