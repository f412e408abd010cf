"""Records of passed cases, valid as long as the image and the tests are the same."""

import hashlib
import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from slipway import matrix, repository, results
from slipway.errors import SlipwayError
from tests.sabotage.breakage import collect, compare, read_outcomes, read_property, run
from tests.sabotage.cases import Case

# A new commit with the same files makes the same image but for this label.
REVISION = "org.opencontainers.image.revision"


def passed_on(case: Case, *, whole: bool) -> str:
    """Return the day on which the same case passed with all checks or a sample, empty when it must run."""
    known = results.read_json(_file(case))
    if known.get("inputs") == inputs(case, whole=whole):
        return str(known["passed"])
    return "" if case.expected else tested_on(case)


def tested_on(case: Case) -> str:
    """Return the day on which the image's test session ran all checks and none failed, empty without such a run."""
    report = matrix.load_matrix().find_image(case.image).results / "tests.xml"
    since = max(file.stat().st_mtime for file in _files(case.contract))
    if read_property(report, "image") != _inspect(case.image)["Id"] or report.stat().st_mtime < since:
        return ""
    outcomes = read_outcomes(report)
    if collect(case.contract) - outcomes.keys() or compare(case, outcomes):
        return ""
    return datetime.fromtimestamp(report.stat().st_mtime, UTC).date().isoformat()


def remember(case: Case, *, whole: bool) -> None:
    """Record that a case has passed."""
    today = datetime.now(UTC).date().isoformat()
    results.write_json(_file(case), {"passed": today, "inputs": inputs(case, whole=whole)})


def _file(case: Case) -> Path:
    return repository.cache_folder("sabotage") / f"{case.name}.json"


def inputs(case: Case, *, whole: bool) -> str:
    """Return the digest of a case's inputs: the case, the image, the selected checks and the files that they read."""
    files = {str(file.relative_to(repository.ROOT)): _digest(file) for file in _files(case.contract)}
    parts = [vars(case), whole, _contents(case.image), files]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _files(contract: str) -> list[Path]:
    """The files of the repository that the checks of a contract read."""
    image = matrix.load_matrix().find_image(contract)
    locks = f"requirements/{image.variant.locks}-*.txt"
    patterns = ("tests/images/**/*", "tests/sabotage/*.py", "slipway/**/*.py", locks)
    names = ("requirements/uv.txt", "requirements/tests.txt", "images.toml", "docker/trims/*.toml", "pyproject.toml")
    tools = ("tools/code-server/package-lock.json", "tools/code-server/extensions.txt")
    found = {file for pattern in (*patterns, *names, *tools) for file in repository.ROOT.glob(pattern)}
    return sorted(file for file in found.union(image.locks) if file.is_file() and "__pycache__" not in file.parts)


@cache
def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _contents(name: str) -> dict[str, Any]:
    """An image's layers and configuration, which are the same after each build."""
    image = _inspect(name)
    labels = {key: value for key, value in (image["Config"].get("Labels") or {}).items() if key != REVISION}
    return {"layers": image["RootFS"]["Layers"], "config": image["Config"] | {"Labels": labels}}


@cache
def _inspect(name: str) -> dict[str, Any]:
    """The engine's description of an image of the matrix; SlipwayError without such an image."""
    tag = matrix.load_matrix().find_image(name).tag
    found = run("docker", "image", "inspect", tag)
    if found.returncode:
        raise SlipwayError(f"{tag} is gone since the run began: {found.stderr.strip()}")
    return dict(json.loads(found.stdout)[0])
