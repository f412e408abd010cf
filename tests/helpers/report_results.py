"""Results of an image as the sessions write them, with texts of the image that are meant to break a page."""

import copy
import json
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

IMAGE_ID = "sha256:" + "1" * 64
OTHER_ID = "sha256:" + "2" * 64
HOSTILE = (
    '<img src=x onerror="window.hit=1">',
    "</script><script>window.hit=1</script>",
    '<a href="javascript:window.hit=1">CVE-2026-1</a>',
    '"><svg onload=window.hit=1>',
    "javascript:window.hit=1",
    "{{ 7 * 7 }}`|%{label}",
    "\u202egnp.exe\udc80",
)
NASTY = " ".join(HOSTILE)
BUILD = {"image": IMAGE_ID, "built": "2026-11-20T12:00:00+00:00", "seconds": 31.5, "labels": {"slipway.python": "3.13"}}
AUDIT = {
    "image": IMAGE_ID,
    "verdict": "passed",
    "finished": "2026-11-20T12:10:00+00:00",
    "seconds": 20.5,
    "licenses": {"known": {}, "accepted": {}, "proprietary": {}, "unknown": []},
    "findings": [],
    "limits": [],
}
SCAN = {
    "image": IMAGE_ID,
    "verdict": "passed",
    "finished": "2026-11-20T12:12:00+00:00",
    "seconds": 9.5,
    "reasons": [],
    "found": {"vulnerability": {"LOW": 1}},
    "gating": [],
    "shown": [],
}
VULNERABILITY = {
    "VulnerabilityID": "CVE-2026-1234",
    "Severity": "LOW",
    "PkgName": "libc6",
    "InstalledVersion": "2.41",
    "FixedVersion": "2.42",
    "PkgIdentifier": {"PURL": "pkg:deb/debian/libc6@2.41?arch=amd64"},
}
TRIVY = {
    "SchemaVersion": 2,
    "Metadata": {"ImageID": IMAGE_ID},
    "Results": [{"Target": "packages", "Vulnerabilities": [VULNERABILITY]}],
}
SBOM = {
    "bomFormat": "CycloneDX",
    "metadata": {"properties": [{"name": "slipway:image", "value": IMAGE_ID}]},
    "components": [
        {
            "name": "libc6",
            "version": "2.41",
            "purl": "pkg:deb/debian/libc6@2.41?arch=amd64",
            "licenses": [{"license": {"id": "LGPL-2.1-or-later"}}],
        },
        {"name": "inner", "version": "1.0", "purl": "pkg:npm/inner@1.0"},
    ],
}
CONTENTS: dict[str, Any] = {
    "image": "cpu-base",
    "id": IMAGE_ID,
    "platform": "linux/amd64",
    "bytes": 270_000_000,
    "compressed_bytes": 90_000_000,
    "efficiency": 0.9987,
    "layers": [
        {
            "diff_id": "sha256:a",
            "bytes": 170_000_000,
            "compressed_bytes": 60_000_000,
            "instruction": "RUN /apt/install",
            "place": "Dockerfile.cpu:40",
        },
        {
            "diff_id": "sha256:b",
            "bytes": 100_000_000,
            "compressed_bytes": 30_000_000,
            "instruction": "COPY /opt /opt",
            "place": None,
        },
    ],
    "components": [
        {"kind": "deb", "name": "libc6", "version": "2.41", "bytes": 160_000_000, "layers": [160_000_000, 0]},
        {"kind": "python", "name": "NumPy", "version": "2.4.0", "bytes": 100_000_000, "layers": [0, 100_000_000]},
        {"kind": "system", "name": "system", "version": "", "bytes": 10_000_000, "layers": [10_000_000, 0]},
    ],
    "tree": {
        "name": "/",
        "bytes": 270_000_000,
        "children": [
            {
                "name": "usr",
                "bytes": 170_000_000,
                "children": [
                    {"name": "libc.so.6", "bytes": 160_000_000, "component": 0, "children": []},
                    {"name": "12 other files", "bytes": 10_000_000, "children": []},
                ],
            },
            {"name": "opt", "bytes": 100_000_000, "component": 1, "children": []},
        ],
    },
    "waste": [{"kind": "tests", "bytes": 20_000, "files": 2, "largest": [["/opt/tests/a", 15_000]]}],
    "gpu": [],
}
JSON = {
    "build.json": BUILD,
    "audit.json": AUDIT,
    "scan.json": SCAN,
    "trivy.json": TRIVY,
    "sbom.cdx.json": SBOM,
    "contents.json": CONTENTS,
}


def write_case(name: str, message: str = "", output: str = "", *, requirement: str = "A1", size: int = 0) -> str:
    """Return a check as pytest writes it; with a message it has failed."""
    properties = f'<property name="requirement" value="{requirement}"/>'
    properties += f'<property name="size" value="{size}"/>' if size else ""
    body = f"<failure message={quoteattr(message)}>{escape(output)}</failure>" if message else ""
    return (
        f'<testcase classname="tests.images.common" name={quoteattr(name)} time="1.5">'
        f"<properties>{properties}</properties>{body}</testcase>"
    )


def write_junit(*cases: str, image: str = IMAGE_ID, whole: str = "yes") -> str:
    """Return a JUnit file of some checks."""
    values = {"image": image, "whole": whole, "finished": "2026-11-20T12:05:00+00:00"}
    properties = "".join(f'<property name="{name}" value="{value}"/>' for name, value in values.items())
    failures = sum("<failure" in case for case in cases)
    return (
        f'<testsuites><testsuite time="42.5" failures="{failures}" errors="0"><properties>{properties}</properties>'
        f"{''.join(cases)}</testsuite></testsuites>"
    )


def write_results(folder: Path, **changes: str | None) -> None:
    """Write whole and passed results of an image of 270 MB.

    `changes` are other contents of files, such as audit_json; None is for one that is missing.
    """
    texts: dict[str, str | None] = {name: json.dumps(content) for name, content in JSON.items()}
    texts["tests.xml"] = write_junit(write_case("test_size", size=CONTENTS["bytes"]))
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (texts | {name.replace("_", "."): text for name, text in changes.items()}).items():
        (folder / name).unlink(missing_ok=True)
        if text is not None:
            (folder / name).write_text(text)


def write_hostile(folder: Path) -> None:
    """Write results of an image all of whose own texts are NASTY."""
    contents = copy.deepcopy(CONTENTS)
    contents["layers"][0] |= {"instruction": NASTY, "place": NASTY}
    contents["components"][0] |= {"name": NASTY, "version": NASTY}
    contents["tree"]["children"][0]["name"] = NASTY
    contents["tree"]["children"][0]["children"][0]["name"] = NASTY
    contents["waste"][0] |= {"kind": NASTY, "largest": [[NASTY, 15_000]]}
    contents["gpu"] = [{"architecture": NASTY, "bytes": 1, "files": 1}]
    advisory = dict.fromkeys(("kind", "identifier", "severity", "title", "package", "installed", "fixed"), NASTY)
    sbom = copy.deepcopy(SBOM)
    sbom["components"] = [
        {"name": NASTY, "version": "1", "purl": "pkg:npm/x@1", "licenses": [{"license": {"name": NASTY}}]},
        {"name": "libc6", "version": "2.41", "purl": "pkg:deb/debian/libc6@2.41"},
    ]
    trivy = copy.deepcopy(TRIVY)
    trivy["Results"] = [{"Target": NASTY, "Vulnerabilities": [VULNERABILITY | {"VulnerabilityID": NASTY}]}]
    visible = NASTY.encode("ascii", "backslashreplace").decode()  # as pytest writes what is no XML
    write_results(
        folder,
        build_json=json.dumps(BUILD | {"labels": {NASTY: NASTY}}),
        audit_json=json.dumps(
            AUDIT
            | {"verdict": "failed", "findings": [{"kind": NASTY, "what": NASTY, "detail": NASTY}], "limits": [NASTY]}
            | {"licenses": {"accepted": {NASTY: [NASTY]}, "proprietary": {}, "unknown": [NASTY]}}
        ),
        scan_json=json.dumps(
            SCAN | {"verdict": "vulnerable", "reasons": [NASTY], "gating": [advisory | {"statement": ""}]}
        ),
        trivy_json=json.dumps(trivy),
        sbom_cdx_json=json.dumps(sbom),
        contents_json=json.dumps(contents),
        tests_xml=write_junit(write_case(visible, visible, visible, size=CONTENTS["bytes"])),
    )
