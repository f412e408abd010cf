"""BLAS and LAPACK: the OpenBLAS that PyTorch has loaded."""

import pytest
from testinfra.host import Host

from tests.images.helpers.build_sources import SOURCES
from tests.images.helpers.scope import applies

pytestmark = applies(accelerator="cpu", flavor="devel")

BLAS = f"{SOURCES}/blas"
BUILDS = {
    "CMake": f"cmake -G Ninja -S {BLAS} -B /tmp/blas && cmake --build /tmp/blas && cp /tmp/blas/dot /tmp/dot",
    "gcc": f"gcc {BLAS}/dot.c -o /tmp/dot -lblas -llapack",
    "pkg-config": f"gcc {BLAS}/dot.c -o /tmp/dot $(pkg-config --cflags --libs openblas)",
}


@pytest.mark.parametrize("way", BUILDS)
def test_program_links_blas(builder: Host, way: str) -> None:
    """The program loads the one OpenBLAS of the image."""
    builder.check_output(BUILDS[way])
    assert builder.check_output("/tmp/dot") == "10 2"
    assert "libopenblas.so.0 => " in builder.check_output("ldd /tmp/dot")
