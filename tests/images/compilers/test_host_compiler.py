"""Build tools: CMake with either generator, and Python's headers."""

import pytest
from testinfra.host import Host

from tests.images.helpers.build_sources import SOURCES
from tests.images.helpers.scope import applies

pytestmark = applies(flavor="devel")

HOST = f"{SOURCES}/host"


@pytest.mark.requirement("A2", "C6")
@pytest.mark.parametrize("generator", ["Ninja", "Unix Makefiles"])
def test_cmake_builds_a_program(builder: Host, generator: str) -> None:
    """CMake finds compiler and build program by itself; the program, with a shared library, runs."""
    folder = f"/tmp/build-{generator[0]}"
    builder.check_output("cmake -G %s -S %s -B %s", generator, HOST, folder)
    builder.check_output("cmake --build %s", folder)
    assert builder.check_output("%s/greet", folder) == "built by CMake"


@pytest.mark.requirement("A2")
def test_python_module_compiles(builder: Host) -> None:
    """pip and uv build such modules from source distributions."""
    include = builder.check_output("python -c %s", "import sysconfig; print(sysconfig.get_path('include'))")
    builder.check_output("cd /tmp && gcc -shared -fPIC -I%s %s/module.c -o module.so", include, HOST)
    assert builder.check_output("cd /tmp && python -c %s", "import module; print(module.__doc__)") == "built in devel"
