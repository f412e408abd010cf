"""What the page shows of one image: its verdict, sizes, layers, components, checks and findings, as JSON."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

from packaging.utils import canonicalize_name

from slipway import junit
from slipway.junit import OUTCOMES
from slipway.report import summary
from slipway.report.page_history import Measurement
from slipway.report.page_results import Advisory, Contents, Folder, Found, Results
from slipway.scan import trivy
from slipway.scan.completeness import parse_package_url
from slipway.scan.policy import SEVERITIES

LONGEST_OUTPUT = 4000  # characters of a check's output, its end
SMALLEST_SHARE = 0.0005  # of an image: smaller folders are one entry of their parent
TYPES = {"python": "pypi", "cuda": "pypi"}  # the type in a purl, by the kind of a component
OUTCOMES_OF = {"passed": "passed", "vulnerable": "failed", "failed": "failed", "not scanned": "not run"}
Key = tuple[str, str, str]  # type, name, version
View = dict[str, Any]


# --- the verdict ---------------------------------------------------------------------------------


def judge_checks(found: Found[junit.Report]) -> tuple[str, str]:
    """Return the outcome of the checks, and their numbers or why they were not run."""
    if found.value is None:
        return "not run", found.reason.removeprefix("not run: ")
    numbers = [(sum(check.outcome == outcome for check in found.value.checks), outcome) for outcome in OUTCOMES]
    counted = ", ".join(f"{number} {outcome}" for number, outcome in numbers if number) or "no check"
    if found.value.problems:
        return "failed", counted
    return ("passed", counted) if found.value.is_whole else ("not run", f"a part of the checks: {counted}")


def judge_result(found: Found[Any], details: Iterable[str]) -> tuple[str, str]:
    """Return the outcome of an audit or a scan, and its verdict with details or why it was not run."""
    if found.value is None:
        return "not run", found.reason.removeprefix("not run: ")
    return OUTCOMES_OF[found.value.verdict], "; ".join(details) or found.value.verdict


def judge_size(found: Results) -> tuple[str, str]:
    """Return whether an image keeps its budget."""
    image, size = found.image, found.size
    budget = f"{format_bytes(image.least_size)} to {format_bytes(image.most_size)}"
    if not size:
        return "not run", f"not measured; the budget is {budget}"
    outcome = "passed" if image.least_size <= size <= image.most_size else "failed"
    return outcome, f"{format_bytes(size)}, budget {budget}"


def judge(found: Results) -> list[View]:
    """Return each step with its outcome and details, the verdict of all first.

    A step is waiting where nothing but its session is missing.
    """
    audit, scan = found.audit.value, found.scan.value
    steps = [("build", "passed" if found.build.value else "not run", found.build.reason.removeprefix("not run: "))]
    steps += [
        ("checks", *judge_checks(found.checks)),
        ("audit", *judge_result(found.audit, [f"{len(audit.findings)} findings"] if audit else [])),
        ("scan", *judge_result(found.scan, scan.reasons if scan else [])),
        ("size", *judge_size(found)),
    ]
    outcomes = {outcome for _, outcome, _ in steps}
    return [
        {"step": step, "outcome": outcome, "detail": detail, "is_waiting": detail.startswith("nox -s ")}
        for step, outcome, detail in (("verdict", summary.combine_outcomes(outcomes), ""), *steps)
    ]


def format_bytes(number: float | None) -> str:
    """Return a number of bytes in the largest unit, of powers of 1000, with three digits; `-` for None."""
    if number is None:
        return "-"
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(number) >= size * 0.9995:
            value = number / size
            return f"{value:.{2 if abs(value) < 10 else 1 if abs(value) < 100 else 0}f} {unit}"  # noqa: PLR2004
    return f"{number:.0f} B"


# --- components ----------------------------------------------------------------------------------


def make_key(kind: str, name: str, version: str) -> Key:
    """Return a component's type, name and version, spelled in the same way in the contents, the SBOM and the scan."""
    kind = TYPES.get(kind, kind)
    return kind, canonicalize_name(name) if kind == "pypi" else name.lower(), version


def parse_key(purl: str) -> Key | None:
    """Return the key of a purl; None for one that is none."""
    try:
        package = parse_package_url(purl)
    except ValueError:
        return None
    return package.type, package.name, package.version


def group_advisories(advisories: Iterable[trivy.Finding]) -> dict[Key, list[str]]:
    """Return the vulnerabilities by component, the most severe first: `HIGH CVE-2026-1 fixed in 1.2`."""
    found: dict[Key, list[str]] = {}
    for each in sorted(advisories, key=lambda each: (SEVERITIES.index(each.severity), each.identifier)):
        if key := parse_key(each.purl):
            fixed = f"fixed in {each.fixed}" if each.fixed else "no fix"
            accepted = f", accepted: {each.statement}" if each.is_suppressed else ""
            found.setdefault(key, []).append(f"{each.severity} {each.identifier} {fixed}{accepted}")
    return found


def list_components(found: Results) -> Iterator[View]:
    """Yield the components of the contents, the largest first, then those that the SBOM alone lists."""
    advisories = group_advisories(found.advisories.value or ())
    licenses: dict[Key, dict[str, None]] = {}
    listed: dict[Key, tuple[str, str, str]] = {}
    for each in found.components.value or ():
        if key := parse_key(each.purl):
            listed.setdefault(key, (each.kind, each.name, each.version))
            licenses.setdefault(key, {}).update(dict.fromkeys(each.licenses))
    contents = found.contents.value
    for part in sorted(contents.components, key=lambda part: -part.bytes) if contents else ():
        key = make_key(part.kind, part.name, part.version)
        listed.pop(key, None)
        assert contents is not None  # noqa: S101 - for mypy
        layers = [layer.pulled for layer, held in zip(contents.layers, part.layers, strict=True) if held]
        own = {"kind": part.kind, "name": part.name, "version": part.version, "bytes": part.bytes, "pull": sum(layers)}
        yield {**own, "licenses": list(licenses.get(key, ())), "advisories": advisories.get(key, [])}
    for key, (kind, name, version) in sorted(listed.items()):
        own = {"kind": kind, "name": name, "version": version, "bytes": None, "pull": None}
        yield {**own, "licenses": list(licenses[key]), "advisories": advisories.get(key, [])}


# --- contents ------------------------------------------------------------------------------------


def prune(folder: Folder, owners: Sequence[str], least: float) -> list[Any]:
    """Return a folder as name, bytes, owner and children, the largest first; children below `least` are summed."""
    large = sorted((child for child in folder.children if child.bytes >= least), key=lambda child: -child.bytes)
    children = [prune(child, owners, least) for child in large]
    if small := [child.bytes for child in folder.children if child.bytes < least]:
        children.append([f"{len(small)} smaller", sum(small), "", []])
    owner = "" if folder.component is None else owners[folder.component]
    return [folder.name, folder.bytes, owner, children]


def describe_contents(contents: Contents) -> View:
    """Return the layers with their largest components, the waste and the GPUs."""
    layers = []
    for number, layer in enumerate(contents.layers):
        held = sorted(contents.components, key=lambda part: -part.layers[number])[:3]
        largest = [f"{part.name} {format_bytes(part.layers[number])}" for part in held if part.layers[number]]
        layers.append({"number": number + 1, "largest": largest, **layer.model_dump()})
    kinds: dict[str, int] = {}
    for part in contents.components:
        kinds[part.kind] = kinds.get(part.kind, 0) + part.bytes
    return {
        **contents.model_dump(exclude={"tree", "components", "layers"}),
        "pulled": sum({layer.diff_id: layer.pulled for layer in contents.layers}.values()),
        "layers": layers,
        "kinds": sorted(kinds.items(), key=lambda kind: -kind[1]),
        "updates": dict(measure_updates(contents)),
    }


def measure_updates(contents: Contents) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield for each kind of component the least and the most bytes that users pull after an update of one.

    They pull the layers that hold it; every other layer stays as it is, because two builds make the same layers.
    """
    costs: dict[str, list[int]] = {}
    for part in contents.components:
        if any(part.layers):
            cost = sum(layer.pulled for layer, held in zip(contents.layers, part.layers, strict=True) if held)
            costs.setdefault(part.kind, []).append(cost)
    yield from ((kind, (min(pulled), max(pulled))) for kind, pulled in sorted(costs.items()))


# --- checks, findings ----------------------------------------------------------------------------


def list_checks(report: junit.Report | None) -> list[View]:
    """Return the checks: those that failed first, then those that were not run; the end of a long output."""
    order = ("failed", "not run", "passed")
    checks = sorted(report.checks if report else (), key=lambda check: order.index(check.outcome))
    return [
        {
            "name": check.name.removeprefix("tests.images."),  # the same folder for all
            "outcome": check.outcome,
            "reason": check.reason[:LONGEST_OUTPUT],
            "requirements": [f"{each} GPU" if check.needs_gpu else each for each in check.requirements],
            "seconds": round(check.seconds, 1),
            "output": shorten_output(check.output),
        }
        for check in checks
    ]


def shorten_output(text: str) -> str:
    """Return the end of an output, without the colors of a terminal."""
    text = re.sub(r"(\x1b|#x1B)\[[\d;]*m", "", text.strip())
    return text if len(text) <= LONGEST_OUTPUT else f"[…]\n{text[-LONGEST_OUTPUT:]}"


def list_findings(found: Results) -> list[View]:
    """Return what the audit found, what fails the scan, and what the scan shows besides."""
    audit = found.audit.value
    rows: list[View] = [
        {"by": "audit", "kind": each.kind, "what": each.what, "detail": each.detail, "fate": "fails"}
        for each in (audit.findings if audit else ())
    ]
    scan = found.scan.value
    for fate, findings in (("fails", scan.gating), ("shown", scan.shown)) if scan else ():
        rows += (describe_advisory(each, fate) for each in findings)
    return rows


def describe_advisory(finding: Advisory, fate: str) -> View:
    """Return a finding of the scan as a row."""
    what = f"{finding.identifier} {finding.package} {finding.installed}".strip()
    detail = f"{finding.title}{f'; fixed in {finding.fixed}' if finding.fixed else ''}"
    kind = f"{finding.severity} {finding.kind}"
    return {"by": "scan", "kind": kind, "what": what, "detail": detail, "fate": finding.statement or fate}


def describe_image(found: Results, history: Found[list[Measurement]], published: Iterable[View]) -> View:
    """Return all that the page shows of an image."""
    contents, build, checks = found.contents.value, found.build.value, found.checks.value
    steps = judge(found)
    owners = [part.name for part in contents.components] if contents else []
    return {
        "name": found.image.name,
        "dockerfile": PurePosixPath(found.image.dockerfile).name,
        "parent": found.image.parent,
        "steps": steps,
        "verdict": steps[0]["outcome"],
        "build": build.model_dump(mode="json") if build else None,
        "size": found.size or None,
        "least": found.image.least_size,
        "most": found.image.most_size,
        "published": [row for row in published if row["own"] == found.image.name],
        "contents": describe_contents(contents) if contents else None,
        "no_contents": re.sub("^not run", "contents not measured", found.contents.reason),
        "tree": prune(contents.tree, owners, contents.bytes * SMALLEST_SHARE) if contents else None,
        "components": list(list_components(found)),
        "not_listed": [
            f"{what}: {each.reason}"
            for what, each in (("licenses", found.components), ("advisories", found.advisories))
            if each.value is None
        ],
        "checks": list_checks(checks),
        "requirements": summary.group_requirements(checks.checks if checks else ()),
        "findings": list_findings(found),
        "licenses": found.audit.value.licenses.model_dump() if found.audit.value else None,
        "limits": found.audit.value.limits if found.audit.value else [],
        "history": [row.model_dump() for row in history.value or ()],
        "no_history": history.reason,
        "times": list_times(found),
    }


def list_times(found: Results) -> list[tuple[str, str, float]]:
    """Return what was done when: the step, its end, its seconds."""
    times = [("build", found.build.value.built.isoformat(), found.build.value.seconds)] if found.build.value else []
    checks = found.checks.value
    if checks and checks.properties.get("finished"):
        times.append(("checks", checks.properties["finished"], checks.seconds))
    results = (("audit", found.audit.value), ("scan", found.scan.value))
    return times + [(step, each.finished.isoformat(), each.seconds) for step, each in results if each]
