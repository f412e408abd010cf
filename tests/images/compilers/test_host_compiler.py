"""Build tools: CMake with either generator, Python's headers, and git."""

import pytest
from testinfra.host import Host

from tests.images.helpers.build_sources import SOURCES
from tests.images.helpers.scope import applies

pytestmark = applies(flavor="devel")

HOST = f"{SOURCES}/host"
# Prints what is wrong with each package of pkg-config.
PACKAGES = r"""
pkg-config --list-all | cut -d" " -f1 | while read -r name; do
    pkg-config --exists --print-errors "$name" 2>&1 || continue
    for flag in $(pkg-config --cflags --libs "$name"); do
        case $flag in -I* | -L*) [ -d "${flag#??}" ] || echo "$name: $flag" ;; esac
    done
done
echo looked
"""
# Faults of Debian's own files: an empty prefix, which compilers do not need for /usr, and one without its slash.
DEBIANS = {"pybind11: -I/include", "libhsakmt: -Iusr//include/rocm", "libhsakmt: -Lusr//lib/x86_64-linux-gnu"}


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


def test_cmake_builds_with_python_and_numpy(builder: Host) -> None:
    """find_package(Python) finds the image's own; a module uses NumPy's headers, a program embeds Python."""
    builder.check_output("cmake -G Ninja -S %s -B /tmp/python", f"{SOURCES}/python")
    builder.check_output("cmake --build /tmp/python")
    assert builder.check_output("cd /tmp/python && python -c %s", "import zeros; print(zeros.zeros())") == "[0 0 0]"
    assert builder.check_output("/tmp/python/embed") == "embedded"


def test_pkg_config_knows_python(builder: Host) -> None:
    """Meson, autoconf and many Makefiles ask pkg-config."""
    builder.check_output("gcc -shared -fPIC -o /tmp/module.so %s/module.c $(pkg-config --cflags --libs python3)", HOST)


def test_pkg_config_leads_to_what_is_there(builder: Host) -> None:
    """Each package that it lists has its requirements, and its folders are in the image."""
    assert {*builder.check_output(PACKAGES).splitlines()} - DEBIANS == {"looked"}


def test_git_keeps_a_repository(builder: Host) -> None:
    """Editors in a dev container, and builds that take their version from git, call it."""
    builder.check_output("git init --quiet /tmp/repository")
    commit = (
        "git -C /tmp/repository -c user.name=a -c user.email=a@example commit --quiet --allow-empty --message=first"
    )
    builder.check_output(commit)
    assert builder.check_output("git -C /tmp/repository log --format=%s") == "first"
