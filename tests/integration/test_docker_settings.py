"""The user's settings of the docker command, which are about this host and not about an image."""

import json
import os
import subprocess
import sys
from pathlib import Path

from slipway import matrix, repository
from tests.helpers.built_images import require_built

IMAGE = matrix.load_matrix().find_image("cpu-base")
# Nothing listens there: what is sent to it fails.
PROXIES = {"httpProxy": "http://127.0.0.1:9", "httpsProxy": "http://127.0.0.1:9"}
# A check that asks the service inside a container, and one from outside.
CHECKS = "test_ready_refuses_without_a_required_gpu or test_metrics_count_requests"


def test_proxies_change_no_outcome_of_a_check(tmp_path: Path) -> None:
    """docker writes them into each container; a check that asks 127.0.0.1 in there would ask the proxy."""
    require_built(IMAGE)
    own = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
    settings = json.loads(own.read_text()) if own.is_file() else {}
    (tmp_path / "config.json").write_text(json.dumps(settings | {"proxies": {"default": PROXIES}}))
    command = [sys.executable, "-m", "pytest", "tests/images", f"--image={IMAGE.tag}", f"--contract={IMAGE.name}"]
    finished = subprocess.run(
        [*command, f"-k={CHECKS}", "-p", "no:cacheprovider"],
        cwd=repository.ROOT,
        env=os.environ | {"DOCKER_CONFIG": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
