"""Build tools: CMake with either generator, and Python's headers."""

import pytest
from testinfra.host import Host

from tests.images.workshop import SOURCES
from tests.images.workshop import workshop as workshop


@pytest.mark.requirement("A2", "C6")
@pytest.mark.parametrize("generator", ["Ninja", "Unix Makefiles"])
def test_cmake_builds_a_program(workshop: Host, generator: str) -> None:
    """CMake finds compiler and build program by itself; the program, with a shared library, runs."""
    folder = f"/tmp/build-{generator[0]}"
    workshop.check_output("cmake -G %s -S %s -B %s", generator, SOURCES, folder)
    workshop.check_output("cmake --build %s", folder)
    assert workshop.check_output("%s/greet", folder) == "built by CMake"


@pytest.mark.requirement("A2")
def test_python_module_compiles(workshop: Host) -> None:
    """pip and uv build such modules from source distributions."""
    include = workshop.check_output("python -c %s", "import sysconfig; print(sysconfig.get_path('include'))")
    workshop.check_output("cd /tmp && gcc -shared -fPIC -I%s %s/module.c -o module.so", include, SOURCES)
    assert workshop.check_output("cd /tmp && python -c %s", "import module; print(module.__doc__)") == "built in devel"
