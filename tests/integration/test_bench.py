"""The bench on the real engine: missing images, and the traces of a build in its cache."""

import subprocess
import uuid
from pathlib import Path

import pytest

from slipway import matrix
from slipway.bench import bench, build_times, measurements
from slipway.build import clean
from slipway.errors import SlipwayError


def test_a_missing_image_is_named_with_its_build_session(rows: matrix.Matrix) -> None:
    """Nothing is measured, and nothing built."""
    absent = matrix.read_matrix(
        matrix.FILE.read_text().replace(
            f'repository = "{rows.repository}"', f'repository = "{measurements.new_name()}"'
        )
    )
    with pytest.raises(SlipwayError, match=r"there is no \S+:cpu-base, \S+:cuda-base; .* nox -s build-cpu build-cuda"):
        bench.require_images([absent.image("cpu-base"), absent.image("cuda-base")])


def test_traces_of_a_build_leave_the_engines_cache(tmp_path: Path) -> None:
    """With a real engine: steps, copies on top of them, and the cache mount."""
    mark = f"slipway-test-{uuid.uuid4().hex[:8]}"
    (tmp_path / "file").write_text(mark)
    (tmp_path / "Dockerfile").write_text(
        f"FROM {matrix.load().base.image}\n"
        f"RUN --mount=type=cache,id={mark}-uv,target=/cache touch /cache/x /x # {mark}\n"
        "COPY file /file\nWORKDIR /data\n"
    )
    command = ["docker", "buildx", "build", "--quiet", f"--tag={mark}", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    assert len(build_times.traces(clean.read_records(), mark)) >= 4
    subprocess.run(["docker", "image", "rm", mark], check=True, capture_output=True)
    build_times.forget(mark)
    assert build_times.traces(clean.read_records(), mark) == set()
