"""Runs Trivy and reads its report strictly: an unknown form of the report counts as not scanned.

Of Trivy's environment variables only those in PASSED_ON are passed, and it runs in an empty folder: a trivy.yaml, a
.trivyignore or a variable such as TRIVY_SEVERITY could remove findings from the report silently.
"""

import json
import os
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway import files
from slipway.errors import SlipwayError
from slipway.scan import package_urls
from slipway.scan.package_urls import Package

SCHEMA = 2  # the version of the report's schema
PATIENCE = 3600  # seconds; the largest CUDA image takes some minutes
SCANNERS = ("vuln", "secret", "license")
PASSED_ON = (
    "TRIVY_DB_REPOSITORY",
    "TRIVY_JAVA_DB_REPOSITORY",
    "TRIVY_INSECURE",
    "TRIVY_CACERT",
    "TRIVY_USERNAME",
    "TRIVY_PASSWORD",
    "TRIVY_REGISTRY_TOKEN",
)
QUIET = ("--skip-version-check", "--disable-telemetry")  # no requests to Trivy's vendor
LINES = 5  # of an error message


class NotScannedError(SlipwayError):
    """An image was not scanned, or not completely; the text is the reason."""


@dataclass(frozen=True)
class Finding:
    """A finding of Trivy. `package` is the file of a secret or misconfiguration."""

    kind: str  # vulnerability, secret, misconfiguration
    identifier: str
    severity: str
    package: str
    installed: str
    fixed: str  # the version that fixes a vulnerability; empty when there is none yet
    title: str
    type: str  # of the package, as in its purl: deb, pypi

    @property
    def is_gating(self) -> bool:
        """Whether it fails a scan: HIGH or CRITICAL, and either no vulnerability or one with a fix."""
        has_fix = self.kind != "vulnerability" or bool(self.fixed)
        return has_fix and self.severity in ("HIGH", "CRITICAL")


@dataclass(frozen=True)
class Report:
    """The content of Trivy's report: what was examined and what was found."""

    image: str
    diff_ids: tuple[str, ...]
    system: str  # name and version, `debian 13.2`; empty when Trivy does not know it
    outdated: bool  # the system gets no more security fixes
    packages: frozenset[Package]
    findings: tuple[Finding, ...]
    checks: int  # of misconfigurations, passed or failed
    licenses: Mapping[str, int]  # packages by Trivy's category of their license


# --- run -----------------------------------------------------------------------------------------


def make_environment(given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment without Trivy's variables, except those about the sources of its databases."""
    return {name: value for name, value in given.items() if not name.startswith("TRIVY_") or name in PASSED_ON}


def run_trivy(program: Path, *words: str) -> str:
    """Run Trivy in an empty folder and return its standard output; NotScannedError when it fails or hangs."""
    with files.temporary_folder() as folder:
        try:
            result = subprocess.run(
                [program, *words, *QUIET],
                cwd=folder,
                env=make_environment() | {"TMPDIR": folder},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise NotScannedError(f"Trivy did not end within {PATIENCE} s") from None
        except OSError as error:
            raise NotScannedError(f"Trivy does not start: {program}: {error.strerror}") from None
    if result.returncode:
        raise NotScannedError(f"Trivy {describe_exit(result.returncode)}: {find_error(result.stderr)}")
    return result.stdout


def describe_exit(code: int) -> str:
    """Return the exit of a program in words."""
    return f"was ended by signal {-code}" if code < 0 else f"failed with exit code {code}"


def find_error(stderr: str) -> str:
    """Return Trivy's fatal error on one line, or the last lines of its output when there is none."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    dying = next((number for number, line in enumerate(lines) if "FATAL" in line or "panic:" in line), -LINES)
    text = " ".join(" ".join(lines[dying:][:LINES]).split())
    return re.sub(r"^\S+ FATAL (Fatal error )?", "", text) or "it said nothing"


def scan_image(program: Path, image_id: str, cache: Path | None) -> str:
    """Return Trivy's report on an image of the engine as JSON; without a database, no vulnerabilities."""
    with tempfile.TemporaryDirectory() as empty:
        return run_trivy(
            program,
            "image",
            "--image-src=docker",
            f"--scanners={','.join(SCANNERS if cache else SCANNERS[1:])}",
            "--image-config-scanners=secret",
            "--format=json",
            "--list-all-pkgs",
            "--skip-db-update",
            "--no-progress",
            f"--module-dir={empty}",
            f"--cache-dir={cache or empty}",
            "--cache-backend=memory",
            f"--timeout={PATIENCE}s",
            image_id,
        )


def scan_sbom(program: Path, document: Mapping[str, Any], cache: Path) -> str:
    """Return Trivy's report on the packages of an SBOM (CycloneDX) as JSON."""
    with tempfile.NamedTemporaryFile("w", suffix=".cdx.json") as file:
        json.dump(document, file)
        file.flush()
        options = (
            "--format=json",
            "--skip-db-update",
            "--no-progress",
            f"--cache-dir={cache}",
            "--cache-backend=memory",
        )
        return run_trivy(program, "sbom", *options, file.name)


def scan_settings(program: Path, config: Mapping[str, Any]) -> str:
    """Return Trivy's report on an image's settings as JSON, by the checks built into this version.

    Trivy's own scan of an image for misconfigurations makes a Dockerfile of the image's history and skips it silently
    when a RUN has several lines; it also reports the sample files of packages.
    """
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Dockerfile").write_text(make_dockerfile(config), encoding="utf-8")
        return run_trivy(program, "config", "--format=json", "--skip-check-update", f"--module-dir={folder}", folder)


def make_dockerfile(config: Mapping[str, Any]) -> str:
    """Return a Dockerfile with the settings of an image."""
    variables = (text.partition("=") for text in config.get("Env") or [])
    lines = [f"ENV {name}={quote_value(value)}" for name, _, value in variables]
    lines += [f"EXPOSE {port}" for port in config.get("ExposedPorts") or {}]
    lines += [f"USER {config['User']}"] if config.get("User") else []
    match (config.get("Healthcheck") or {}).get("Test") or []:
        case ["CMD", *words]:
            lines.append(f"HEALTHCHECK CMD {json.dumps(words)}")
        case ["CMD-SHELL", command]:
            lines.append(f"HEALTHCHECK CMD {json.dumps(['sh', '-c', command])}")
    lines += [f"{name.upper()} {json.dumps(config[name])}" for name in ("Entrypoint", "Cmd") if config.get(name)]
    return "\n".join(["FROM scratch", *lines, ""])


def quote_value(text: str) -> str:
    """Return a value in quotes for an ENV instruction."""
    return json.dumps(text, ensure_ascii=False).replace("$", "\\$")


# --- read ----------------------------------------------------------------------------------------


def read_report(text: str) -> Report:
    """Return the content of a report; NotScannedError for an unknown form."""
    try:
        document = json.loads(text)
        schema = document["SchemaVersion"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise NotScannedError(f"Trivy's report cannot be read: {describe_error(error)}") from None
    if schema != SCHEMA:
        raise NotScannedError(f"Trivy's report has schema {schema!r}; schema {SCHEMA} is understood")
    try:
        return _read_document(document)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotScannedError(f"Trivy's report is not as schema {SCHEMA} has it: {describe_error(error)}") from None


def describe_error(error: Exception) -> str:
    """Return the message for an error in a document."""
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)


def _read_document(document: dict[str, Any]) -> Report:
    """Return the content of a report with the known schema."""
    metadata = document.get("Metadata", {})
    system = metadata.get("OS") or {}
    results = [_require_known_class(result) for result in document.get("Results") or []]
    return Report(
        image=metadata.get("ImageID", ""),
        diff_ids=tuple(metadata.get("DiffIDs", [])),
        system=f"{system['Family']} {system['Name']}" if system and system["Family"] != "none" else "",
        outdated=bool(system.get("EOSL")),
        packages=frozenset(package for result in results for package in _read_packages(result)),
        findings=tuple(finding for result in results for finding in _read_findings(result)),
        checks=sum(sum(result["MisconfSummary"].values()) for result in results if "MisconfSummary" in result),
        licenses=Counter(each["Category"] for result in results for each in result.get("Licenses") or []),
    )


def _require_known_class(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result; ValueError for an unknown class."""
    known = ("os-pkgs", "lang-pkgs", "config", "secret", "license", "license-file")
    if result["Class"] not in known or not isinstance(result["Target"], str):
        raise ValueError(f"a result of the class {result['Class']!r}")
    return result


def _read_packages(result: dict[str, Any]) -> Iterator[Package]:
    """Yield the packages of a result that have a purl; others cannot be compared."""
    if result["Class"] in ("os-pkgs", "lang-pkgs"):
        for package in result.get("Packages") or []:
            if "PURL" in package.get("Identifier", {}):
                yield package_urls.parse_package_url(package["Identifier"]["PURL"])


def _read_findings(result: dict[str, Any]) -> Iterator[Finding]:
    """Yield the findings of a result, of every severity."""
    for found in result.get("Vulnerabilities") or []:
        yield Finding(
            kind="vulnerability",
            identifier=found["VulnerabilityID"],
            severity=found["Severity"],
            package=found["PkgName"],
            installed=found["InstalledVersion"],
            fixed=found.get("FixedVersion", ""),
            title=found.get("Title", ""),
            type=package_urls.parse_package_url(purl).type if (purl := found["PkgIdentifier"].get("PURL")) else "",
        )
    for kind, key, name in (("secret", "Secrets", "RuleID"), ("misconfiguration", "Misconfigurations", "ID")):
        for found in result.get(key) or []:
            if found.get("Status", "FAIL") == "FAIL":
                where = result["Target"]
                yield Finding(kind, found[name], found["Severity"], where, "", "", found["Title"], "")


def remove_secrets(text: str) -> dict[str, Any]:
    """Return a report without the image's settings and the lines around a secret, which Trivy censors only in part."""
    document: dict[str, Any] = json.loads(text)
    document["Metadata"].pop("ImageConfig", None)
    for result in document.get("Results") or []:
        for secret in result.get("Secrets") or []:
            secret.pop("Code", None)
    return document
