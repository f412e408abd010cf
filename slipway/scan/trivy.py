"""Runs Trivy and reads its report strictly: an unknown form of the report counts as not scanned.

Of Trivy's environment variables only those in PASSED_ON are passed, and it runs in an empty folder: a trivy.yaml, a
.trivyignore or a variable such as TRIVY_SEVERITY could remove findings from the report silently.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_pascal

from slipway import files
from slipway.errors import SlipwayError
from slipway.scan.policy import ACCEPTED, FindingKind, Severity

PATIENCE = 3600  # seconds; the largest CUDA image takes some minutes
PASSED_ON = (
    "TRIVY_DB_REPOSITORY",
    "TRIVY_JAVA_DB_REPOSITORY",
    "TRIVY_INSECURE",
    "TRIVY_CACERT",
    "TRIVY_USERNAME",
    "TRIVY_PASSWORD",
    "TRIVY_REGISTRY_TOKEN",
)
QUIET = ("--skip-version-check", "--disable-telemetry", "--cache-backend=memory")  # nothing is sent to Trivy's vendor
REPORT = ("--format=json", "--module-dir=modules", f"--ignorefile={ACCEPTED}", "--show-suppressed")
LEFT_OUT = ("ImageConfig", "Code", "InstalledFiles")  # of the report that is kept
LINES = 5  # of an error message


class NotScannedError(SlipwayError):
    """An image was not scanned, or not completely; the text is the reason."""


# --- run -----------------------------------------------------------------------------------------


def make_environment(given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment without Trivy's variables, except those about the sources of its databases."""
    return {name: value for name, value in given.items() if not name.startswith("TRIVY_") or name in PASSED_ON}


def run_trivy(program: Path, *words: str, inputs: Mapping[str, str] | None = None) -> bytes:
    """Run Trivy in a folder with only these files and return its standard output; NotScannedError when it fails."""
    with files.temporary_folder() as folder:
        for name, text in (inputs or {}).items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        try:
            result = subprocess.run(
                [program, *words, *QUIET],
                cwd=folder,
                env=make_environment() | {"TMPDIR": folder},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise NotScannedError(f"Trivy did not end within {PATIENCE} s") from None
        except OSError as error:
            raise NotScannedError(f"Trivy does not start: {program}: {error.strerror}") from None
    if result.returncode:
        raise NotScannedError(explain_exit(result.returncode, result.stderr.decode(errors="replace")))
    return result.stdout


def explain_exit(code: int, stderr: str) -> str:
    """Return how Trivy ended, with its fatal error on one line, or its last lines when there is none."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    dying = next((number for number, line in enumerate(lines) if "FATAL" in line or "panic:" in line), -LINES)
    text = re.sub(r"^\S+ FATAL (Fatal error )?", "", " ".join(" ".join(lines[dying:][:LINES]).split()))
    how = f"was ended by signal {-code}" if code < 0 else f"failed with exit code {code}"
    return f"Trivy {how}: {text or 'it said nothing'}"


def scan_image(program: Path, reference: str, cache: Path | None, inputs: Mapping[str, str], *options: str) -> bytes:
    """Return Trivy's report on an image of the engine, of all severities; without a database, no vulnerabilities."""
    return run_trivy(
        program,
        "image",
        "--image-src=docker",
        f"--scanners={'vuln,' if cache else ''}secret,license",  # the audit reads the licenses
        "--image-config-scanners=secret",
        "--list-all-pkgs",
        "--skip-db-update",
        f"--cache-dir={cache or 'cache'}",
        f"--timeout={PATIENCE}s",
        *REPORT,
        *options,
        reference,
        inputs=inputs,
    )


def scan_sbom(program: Path, document: Mapping[str, Any], cache: Path) -> bytes:
    """Return Trivy's report on the packages of an SBOM (CycloneDX)."""
    options = ("--format=json", "--skip-db-update", f"--cache-dir={cache}", "sbom.json")
    return run_trivy(program, "sbom", *options, inputs={"sbom.json": json.dumps(document)})


def scan_settings(program: Path, name: str, config: Mapping[str, Any], inputs: Mapping[str, str]) -> bytes:
    """Return Trivy's report on the settings of an image, by the checks built into this version.

    Trivy's own scan of an image for misconfigurations makes a Dockerfile of the image's history and skips it silently
    when a RUN has several lines; it also reports the sample files of packages.
    """
    file = f"{name}.Dockerfile"
    options = ("--scanners=misconfig", "--skip-check-update", "--cache-dir=cache", *REPORT, file)
    return run_trivy(program, "filesystem", *options, inputs={**inputs, file: make_dockerfile(config)})


def make_dockerfile(config: Mapping[str, Any]) -> str:
    """Return a Dockerfile with the settings of an image."""
    variables = (text.partition("=") for text in config.get("Env") or [])
    lines = [f"ENV {name}={json.dumps(value, ensure_ascii=False)}".replace("$", "\\$") for name, _, value in variables]
    lines += [f"EXPOSE {port}" for port in config.get("ExposedPorts") or {}]
    lines += [f"USER {config['User']}"] if config.get("User") else []
    match (config.get("Healthcheck") or {}).get("Test") or []:
        case ["CMD", *words]:
            lines.append(f"HEALTHCHECK CMD {json.dumps(words)}")
        case ["CMD-SHELL", command]:
            lines.append(f"HEALTHCHECK CMD {json.dumps(['sh', '-c', command])}")
    lines += [f"{name.upper()} {json.dumps(config[name])}" for name in ("Entrypoint", "Cmd") if config.get(name)]
    return "\n".join(["FROM scratch", *lines, ""])


# --- read ----------------------------------------------------------------------------------------


class Part(BaseModel):
    """A part of Trivy's report, with the keys that are read."""

    model_config = ConfigDict(alias_generator=to_pascal, strict=True, frozen=True)


class Finding(Part):
    """A finding of Trivy. `package` is the file of a secret or misconfiguration."""

    kind: FindingKind = "vulnerability"  # or unfixed: a vulnerability that no version fixes
    identifier: str = Field(validation_alias=AliasChoices("VulnerabilityID", "RuleID", "ID"))
    severity: Severity
    title: str = ""
    package: str = Field("", validation_alias="PkgName")
    installed: str = Field("", validation_alias="InstalledVersion")
    fixed: str = Field("", validation_alias="FixedVersion")
    purl: str = Field("", validation_alias=AliasPath("PkgIdentifier", "PURL"))
    status: str = ""  # by Trivy, or of one that is suppressed: ignored, not_affected, fixed
    statement: str = ""  # why it is suppressed
    source: str = ""  # by what it is suppressed: ACCEPTED, or a VEX document

    @property
    def is_suppressed(self) -> bool:
        """Whether it does not count. For Trivy, an entry's purls also match a vulnerability that has no purl.

        What a VEX document does not call fixed needs a reason there.
        """
        is_bound = self.kind in ("secret", "misconfiguration") or bool(self.purl)
        return bool(self.source) and is_bound and bool(self.statement or self.status == "fixed")


class Modified(Part):
    """A finding that is suppressed."""

    type: Literal["vulnerability", "secret", "misconfiguration"]
    status: str
    statement: str
    source: str
    finding: Finding


class Package(Part):
    """A package that was examined."""

    purl: str = Field("", validation_alias=AliasPath("Identifier", "PURL"))


class Result(Part):
    """The findings in a file, or in all packages of a kind."""

    target: str
    packages: list[Package] = []
    vulnerabilities: list[Finding] = []
    secrets: list[Finding] = []
    misconfigurations: list[Finding] = []
    misconf_summary: dict[str, int] = {}
    experimental_modified_findings: list[Modified] = []

    def list_findings(self) -> Iterator[Finding]:
        """Yield the findings, of every severity."""
        yield from (self.complete(each, "vulnerability") for each in self.vulnerabilities)
        yield from (self.complete(each, "secret") for each in self.secrets)
        yield from (self.complete(each, "misconfiguration") for each in self.misconfigurations)
        for each in self.experimental_modified_findings:
            if each.finding.status != "PASS":  # Trivy also suppresses checks that found nothing
                change = {"status": each.status, "statement": each.statement, "source": each.source}
                yield self.complete(each.finding, each.type, **change)

    def complete(self, finding: Finding, kind: FindingKind, **change: str) -> Finding:
        """Return a finding with its kind and place."""
        kind = "unfixed" if kind == "vulnerability" and not finding.fixed else kind
        return finding.model_copy(update={"kind": kind, "package": finding.package or self.target, **change})


def from_metadata(*keys: str, default: object = "") -> Any:  # noqa: ANN401 - as pydantic's Field
    """Return the field of a report for a key in its metadata."""
    return Field(default, validation_alias=AliasPath("Metadata", *keys))


class Report(Part):
    """The content of Trivy's report: what was examined and what was found."""

    schema_version: Literal[2]
    image: str = from_metadata("ImageID")
    diff_ids: list[str] = from_metadata("DiffIDs", default=[])
    family: str = from_metadata("OS", "Family")
    release: str = from_metadata("OS", "Name")
    outdated: bool = from_metadata("OS", "EOSL", default=False)  # the system gets no more security fixes
    results: list[Result] = []

    @property
    def system(self) -> str:
        """Name and version, `debian 13.2`; empty when Trivy does not know it."""
        return "" if self.family in ("", "none") else f"{self.family} {self.release}"

    @property
    def checks(self) -> int:
        """The number of checks for misconfigurations, passed or failed."""
        return sum(sum(result.misconf_summary.values()) for result in self.results)

    @property
    def purls(self) -> set[str]:
        """The packages that were examined; those without a purl cannot be compared."""
        return {package.purl for result in self.results for package in result.packages if package.purl}

    def list_findings(self) -> list[Finding]:
        """Return the findings, each once."""
        return list(dict.fromkeys(each for result in self.results for each in result.list_findings()))


def read_report(text: bytes) -> Report:
    """Return the content of a report; NotScannedError for an unknown form."""
    try:
        return Report.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise NotScannedError(f"Trivy's report cannot be read: {where} {first['msg']}") from None


def shorten_report(text: bytes) -> object:
    """Return a report without the image's settings, the lines around a secret, and the lists of packages' files.

    Trivy censors settings and lines only in part.
    """
    return json.loads(text, object_hook=lambda part: {key: part[key] for key in part if key not in LEFT_OUT})
