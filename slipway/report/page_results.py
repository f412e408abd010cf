"""The results of one image, read from dist/IMAGE/ for the page.

A result counts for the very image that build.json names; any other is not run, with the reason.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    ValidationError,
    model_validator,
)

from slipway import junit, sbom
from slipway.errors import SlipwayError
from slipway.matrix import Image
from slipway.scan import trivy

Value = TypeVar("Value")


class Part(BaseModel):
    """A part of a result, with the keys that the page shows."""

    model_config = ConfigDict(frozen=True)


class Result(Part):
    """A result and the ID of the image that it is about."""

    image: str


class Build(Result):
    """build.json: when the image was built, the seconds that it took, also without the layer cache, its labels."""

    built: AwareDatetime
    seconds: NonNegativeFloat
    cold_seconds: NonNegativeFloat | None = None
    labels: dict[str, str]


class Finding(Part):
    """A finding of the audit."""

    kind: str
    what: str
    detail: str = ""


class Licenses(Part):
    """The components that the policy names, by reason or terms, and those without a license."""

    accepted: dict[str, list[str]] = {}
    proprietary: dict[str, list[str]] = {}
    unknown: list[str] = []


class Audit(Result):
    """audit.json."""

    verdict: Literal["passed", "failed"]
    finished: datetime
    seconds: float
    licenses: Licenses
    findings: list[Finding]
    limits: list[str] = []


class Advisory(Part):
    """A finding of the scan: about a package in a version, or about a file."""

    kind: str
    identifier: str
    severity: str
    title: str
    package: str
    installed: str
    fixed: str
    statement: str


class Scan(Result):
    """scan.json; `found` has None for a kind of findings that was not scanned for."""

    verdict: Literal["passed", "vulnerable", "failed", "not scanned"]
    finished: datetime
    seconds: float
    reasons: list[str]
    found: dict[str, dict[str, int] | None]
    gating: list[Advisory]
    shown: list[Advisory]


class Layer(Part):
    """A layer; `place` is its line of a Dockerfile, the sizes are in bytes.

    `pulled` are the bytes that a download is counted with: compressed where all images have them, else `bytes`.
    """

    diff_id: str
    bytes: NonNegativeInt
    compressed_bytes: NonNegativeInt | None = None
    instruction: str = ""
    place: str | None = None
    pulled: int = 0


class Component(Part):
    """A package or another owner of files, with its bytes in each layer."""

    kind: str
    name: str
    version: str
    bytes: NonNegativeInt
    layers: list[NonNegativeInt]


class Folder(Part):
    """A folder or a file with its bytes; `component` is the index of its owner."""

    name: str
    bytes: NonNegativeInt
    component: NonNegativeInt | None = None
    children: list["Folder"] = []


def list_owners(folder: Folder) -> Iterator[int]:
    """Yield the index of each component that owns a part of a folder."""
    if folder.component is not None:
        yield folder.component
    for child in folder.children:
        yield from list_owners(child)


class Waste(Part):
    """Bytes of one kind that nobody needs."""

    kind: str
    bytes: NonNegativeInt
    files: NonNegativeInt
    largest: list[tuple[str, NonNegativeInt]] = []


class Gpu(Part):
    """Code for one architecture of GPUs."""

    architecture: str
    bytes: NonNegativeInt
    files: NonNegativeInt


class Contents(Part):
    """contents.json: what the bytes of an image are."""

    image: str = Field(validation_alias="id")
    platform: str
    bytes: NonNegativeInt
    compressed_bytes: NonNegativeInt | None = None
    layers: list[Layer]
    components: list[Component]
    tree: Folder
    waste: list[Waste]
    efficiency: float = Field(ge=0, le=1)
    gpu: list[Gpu] = []

    @model_validator(mode="after")
    def check_sums(self) -> "Contents":
        """Refuse contents that count a byte twice or not at all."""
        for name, parts in (("layers", self.layers), ("components", self.components)):
            if (total := sum(part.bytes for part in parts)) != self.bytes:
                raise ValueError(f"the {name} add up to {total} bytes, the image has {self.bytes}")
        if any(len(each.layers) != len(self.layers) for each in self.components):
            raise ValueError("a component does not list its bytes in each layer")
        if any(index >= len(self.components) for index in list_owners(self.tree)):
            raise ValueError("a file belongs to a component that is not listed")
        return self

    @property
    def is_compressed(self) -> bool:
        """Whether the compressed bytes of each layer are known."""
        return all(layer.compressed_bytes is not None for layer in self.layers)


@dataclass(frozen=True)
class Found(Generic[Value]):
    """A result, or None with the reason why there is none."""

    value: Value | None
    reason: str = ""


@dataclass(frozen=True)
class Results:
    """All results of one image."""

    image: Image
    build: Found[Build]
    checks: Found[junit.Report]
    audit: Found[Audit]
    scan: Found[Scan]
    components: Found[list[sbom.Component]]
    advisories: Found[list[trivy.Finding]]
    contents: Found[Contents]

    @property
    def size(self) -> int:
        """The bytes of the image, as its checks or its contents measured them; 0 without both."""
        by_checks = self.checks.value.size if self.checks.value else 0
        return by_checks or (self.contents.value.bytes if self.contents.value else 0)


def count_pulled(found: Results, *, compressed: bool) -> Results:
    """Return the results with the bytes of each layer that downloads are counted with."""
    contents = found.contents.value
    if contents is None:
        return found
    layers = [
        layer.model_copy(update={"pulled": layer.compressed_bytes if compressed else layer.bytes})
        for layer in contents.layers
    ]
    return replace(found, contents=Found(contents.model_copy(update={"layers": layers})))


def make_visible(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a JSON value with each character that is not printable as its escape sequence, but for line ends and tabs.

    An image's own texts could reverse the direction of a line, or be no Unicode at all.
    """
    if isinstance(value, str):
        if value.isprintable():
            return value
        return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in value)
    if isinstance(value, list):
        return [make_visible(each) for each in value]
    if isinstance(value, dict):
        return {make_visible(key): make_visible(each) for key, each in value.items()}
    return value


def read_result(file: Path, model: type[Value], session: str) -> Found[Value]:
    """Return the content of a result that `nox -s session` writes, or the reason why there is none."""
    again = f"nox -s {session} -- {file.parent.name}"
    if not file.exists():
        return Found(None, f"not run: {again}")
    try:
        text = file.read_text(encoding="utf-8")
        content = json.loads(text)
        if "\\u" in text:  # may be a name that is no Unicode, which pydantic refuses
            content = make_visible(content)
        return Found(model.model_validate(content))  # type: ignore[attr-defined]
    except (OSError, ValueError, RecursionError) as error:
        return Found(None, f"{file.name} cannot be read ({explain_error(error)}): {again}")


def explain_error(error: Exception) -> str:
    """Return the first line about why a result cannot be read; `it has another format` where a key does not fit."""
    if not isinstance(error, ValidationError):
        return str(error).partition("\n")[0] if not isinstance(error, RecursionError) else "it is nested too deeply"
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"it has another format: {place or 'the whole'}: {first['msg']}"


def read_checks(image: Image, image_id: str) -> Found[junit.Report]:
    """Return the last whole run of the checks, or else one that was cut, or the reason why there is none."""
    again = f"nox -s test -- {image.name}"
    reasons = []
    for name in (junit.WHOLE, junit.PARTIAL):
        if not (image.results / name).exists():
            continue
        try:
            report = junit.read_report(image.results / name)
        except SlipwayError:
            reasons.append(f"{name} is damaged: {again}")
            continue
        if report.image == image_id:
            return Found(report)
        reasons.append(f"{name} is about another image: {again}")
    return Found(None, reasons[0] if reasons else f"not run: {again}")


def read_components(image: Image, image_id: str) -> Found[list[sbom.Component]]:
    """Return the packages of the SBOM, or the reason why there are none."""
    file, again = image.results / sbom.CYCLONEDX, f"nox -s sbom -- {image.name}"
    if not file.exists():
        return Found(None, f"not run: {again}")
    try:
        if sbom.find_image_ids(sbom.read_document(file)) != {image_id}:
            return Found(None, f"{file.name} is about another image: {again}")
        return Found(sbom.read_components(file))
    except SlipwayError:
        return Found(None, f"{file.name} is damaged: {again}")


def read_advisories(image: Image, scan: Found[Scan]) -> Found[list[trivy.Finding]]:
    """Return the vulnerabilities that Trivy found, of every severity, or the reason why there are none."""
    if scan.value is None or scan.value.found.get("vulnerability") is None:
        return Found(None, scan.reason or "not scanned for vulnerabilities")
    again = f"nox -s scan -- {image.name}"
    try:
        report = trivy.read_report((image.results / "trivy.json").read_bytes())
    except (OSError, SlipwayError):
        return Found(None, f"trivy.json is missing or damaged: {again}")
    if report.image != scan.value.image:
        return Found(None, f"trivy.json is about another image: {again}")
    return Found([each for each in report.list_findings() if each.kind in ("vulnerability", "unfixed")])


def read_results(image: Image) -> Results:
    """Return all results of an image; without build.json, nothing counts."""
    build = read_result(image.results / "build.json", Build, "build")
    image_id = build.value.image if build.value else "none"

    def read(file: str, model: type[Value], session: str) -> Found[Value]:
        found = read_result(image.results / file, model, session)
        if found.value is None or getattr(found.value, "image") == image_id:  # noqa: B009 - a type variable
            return found
        return Found(None, f"{file} is about another image: nox -s {session} -- {image.name}")

    scan = read("scan.json", Scan, "scan")
    return Results(
        image=image,
        build=build,
        checks=read_checks(image, image_id),
        audit=read("audit.json", Audit, "audit"),
        scan=scan,
        components=read_components(image, image_id),
        advisories=read_advisories(image, scan),
        contents=read("contents.json", Contents, "contents"),
    )
