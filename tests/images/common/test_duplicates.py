"""Nothing is installed twice, neither in two places nor in two layers."""

import re
from collections import defaultdict

import pytest
from packaging.utils import canonicalize_name

from slipway.image.layers import SavedImage
from tests.images.helpers.databases import is_database
from tests.images.helpers.scope import applies

pytestmark = [applies(flavor="runtime"), applies(workload="workbench")]

# Elyra's environment is apart: it has older packages than the others.
METADATA = re.compile(
    r"(/opt/elyra/)?.*/(?:site|dist)-packages/([\w.-]+?)-\d[^/]*\.(?:dist|egg)-info(?:/METADATA|/PKG-INFO)?"
)


@pytest.mark.requirement("U2", "T4")
def test_every_distribution_is_there_once(saved: SavedImage) -> None:
    """Debian's numpy beside PyPI's is waste, and which of the two is imported depends on the caller."""
    places = defaultdict(set)
    for path, (entry, _) in saved.merged().items():
        found = METADATA.fullmatch(path)
        if found and entry.size:
            places[found[1], canonicalize_name(found[2])].add(path)
    assert places
    assert [paths for paths in places.values() if len(paths) > 1] == []


@pytest.mark.requirement("U2")
def test_no_package_file_is_replaced_or_deleted(saved: SavedImage, replaceable: tuple[str, ...]) -> None:
    """A flavor adds to the one below: what a layer after the empty environment replaces is there twice."""
    environment = saved.merged()["/opt/venv/pyvenv.cfg"][1]
    paths = [wasted.entry.path for wasted in saved.waste() if wasted.by > environment]
    lost = [path for path in paths if not is_database(path)]
    assert [path for path in lost if path.startswith(("/opt/", "/usr/")) and not path.startswith(replaceable)] == []
