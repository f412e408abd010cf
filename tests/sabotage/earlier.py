"""Records of passed cases, valid as long as the image and the tests are the same."""

import hashlib
import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from slipway import matrix, repository, results
from slipway.errors import SlipwayError
from slipway.report import earlier_checks
from tests.sabotage.breakage import run
from tests.sabotage.cases import Case

FOLDER = Path(__file__).parent
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
    passed = earlier_checks.find_passed(matrix.load_matrix().find_image(case.image))
    return passed.date().isoformat() if passed else ""


def find_failed(case: Case) -> list[str]:
    """Return the checks that failed on an unbroken image in its test session, which ran all of them."""
    report = earlier_checks.find_whole(matrix.load_matrix().find_image(case.image))
    return [check.name for check in report.checks if check.outcome == "failed"] if report else []


def remember(case: Case, *, whole: bool) -> None:
    """Record that a case has passed."""
    today = datetime.now(UTC).date().isoformat()
    results.write_json(_file(case), {"passed": today, "inputs": inputs(case, whole=whole)})


def _file(case: Case) -> Path:
    return repository.cache_folder("sabotage") / f"{case.name}.json"


def inputs(case: Case, *, whole: bool) -> str:
    """Return the digest of a case's inputs: the case, the image, the selected checks and the files that they read."""
    parts = [vars(case), whole, _contents(case.image), _digest_files(case.contract)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@cache
def _digest_files(contract: str) -> str:
    """The digest of the files that the checks of a contract and the cases read."""
    own = "".join(file.read_text(encoding="utf-8") for file in sorted(FOLDER.glob("*.py")))
    checks = earlier_checks.digest_inputs(matrix.load_matrix().find_image(contract))
    return hashlib.sha256(f"{checks}\n{own}".encode()).hexdigest()


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
