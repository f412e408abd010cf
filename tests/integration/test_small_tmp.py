"""/tmp in memory, as Debian 13 has it: nothing that reads an image unpacks it there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from slipway import files, matrix, repository, tools
from slipway.image import saved_image
from tests.helpers import hosts
from tests.helpers.built_images import require_built
from tests.helpers.reasons import NO_NAMESPACES

IMAGE = matrix.load_matrix().find_image("cpu-base")
READ = """
import sys
from pathlib import Path
from slipway import matrix, tools
from slipway.audit import syft
from slipway.image import saved_image
from slipway.scan import trivy
image_id, folder = sys.argv[1:]
saved_image.read_image(image_id)
syft.write_sboms(matrix.load_matrix().find_image("cpu-base"), image_id, Path(folder))
program, accepted = tools.provide_program(tools.read_tool("trivy")), {".trivyignore.yaml": "{}"}
assert len(trivy.scan_image(program, image_id, None, accepted)) > 1000
"""


@pytest.mark.skipif(not hosts.HAS_NAMESPACES, reason=NO_NAMESPACES)
def test_image_readers_leave_tmp_alone() -> None:
    """The reader with no cache, Syft and Trivy read a whole image where /tmp has hardly any room."""
    require_built(IMAGE)
    image_id = saved_image.find_id(IMAGE.tag)
    for name in ("syft", "trivy"):
        tools.provide_program(tools.read_tool(name))
    with files.temporary_folder() as cache, files.temporary_folder() as folder:
        (Path(cache) / "slipway").mkdir()
        (Path(cache) / "slipway" / "tools").symlink_to(repository.cache_folder("tools"))
        result = subprocess.run(
            hosts.with_small_tmp(sys.executable, "-c", READ, image_id, folder),
            cwd=repository.ROOT,
            env=os.environ | {"XDG_CACHE_HOME": cache},
            capture_output=True,
            text=True,
            check=False,
        )
    assert result.returncode == 0, result.stderr
