"""Let compilers find NVIDIA's libraries, and CMake PyTorch; runs inside a build, on the image's own Python.

Each library of the wheels gets its headers and a name without a version below /usr/local/cuda, and a file for
pkg-config. The driver's libraries, which the host brings at run time, get stubs to link with.
"""

import os
import re
import subprocess
import sysconfig
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

CUDA = Path("/usr/local/cuda")
TREE = CUDA.resolve()  # the wheels of CUDA itself share it; each other library has a folder of its own beside it
PACKAGES = Path(sysconfig.get_path("purelib"))
PKG_CONFIG = Path("/usr/local/lib/pkgconfig")
LIBRARY = re.compile(r"nvidia/\w+/lib/lib([\w-]+)(\.so[\d.]*|\.a|\.bc)")
# A driver's library, its headers, how the names of its functions begin, and the error that each function of its stub
# returns: CUDA_ERROR_STUB_LIBRARY, NVML_ERROR_LIBRARY_NOT_FOUND.
DRIVER = [
    ("cuda", ["cuda.h", "cudaEGL.h", "cudaGL.h", "cudaProfiler.h", "cudaVDPAU.h"], "cu", 34),
    ("nvidia-ml", ["nvml.h"], "nvml", 12),
]
PC = """\
Name: {name}
Description: NVIDIA's lib{name}
Version: {version}
Cflags: -I{cuda}/include
Libs: -L{cuda}/{folder} -l{name}
"""


def link(target: Path, path: Path) -> None:
    """Make a relative link; FileExistsError when another library has something of that name."""
    path.symlink_to(os.path.relpath(target, path.parent))


def find_libraries() -> Iterator[tuple[str, str, str, Path]]:
    """Yield name, suffix, version and file of each library in NVIDIA's wheels."""
    for distribution in distributions():
        for file in distribution.files or ():
            path = PACKAGES / file
            if (found := LIBRARY.fullmatch(str(file))) and path.exists():
                yield found[1], found[2], distribution.version, path


def find_functions(text: str, start: str) -> set[str]:
    """Return the names of a header's functions: those declared, and those that macros make of them."""
    code = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)
    found = set(re.findall(rf"\b({start}[A-Z]\w*)\s*\(", code))
    found.update(re.findall(rf"#define\s+{start}\w+\s+({start}[A-Z]\w*)", code))
    for suffix, name in re.findall(rf"__CUDA_API_(PTDS|PTSZ)\(({start}\w+)\)", code):
        found.update([name, f"{name}_{suffix.lower()}"])
    return found


def write_stub(name: str, headers: list[str], start: str, error: int) -> None:
    """Build a library that declares a driver's functions.

    Programs ask for its soname, libcuda.so.1, and only linkers for its file name, libcuda.so: no program finds it.
    """
    functions = set[str]().union(*(find_functions((TREE / "include" / file).read_text(), start) for file in headers))
    source = "".join(f"int {function}(void) {{ return {error}; }}\n" for function in sorted(functions))
    options = ["-shared", "-nostdlib", "-s", "-fno-asynchronous-unwind-tables", f"-Wl,-soname,lib{name}.so.1"]
    output = f"-o{TREE}/lib/stubs/lib{name}.so"
    subprocess.run(["gcc", *options, output, "-xc", "-"], input=source, text=True, check=True)


def write_pc(name: str, version: str, folder: str = "lib64") -> None:
    """Describe a library to pkg-config, by its name and as NVIDIA names it, with CUDA's version."""
    (PKG_CONFIG / f"{name}.pc").write_text(PC.format(name=name, version=version, cuda=CUDA, folder=folder))
    (PKG_CONFIG / f"{name}-{os.environ['CUDA_VERSION']}.pc").symlink_to(f"{name}.pc")


def write_torch_package() -> None:
    """Let CMake find the package of PyTorch's wheel without a path."""
    folder = Path("/usr/local/lib/cmake/Torch")
    folder.mkdir(parents=True)
    for file in PACKAGES.glob("torch/share/cmake/Torch/TorchConfig*.cmake"):
        (folder / file.name).write_text(f'include("{file}")\n')


def main() -> None:
    """Make the links, stubs and files for pkg-config and CMake."""
    link(TREE / "lib", TREE / "lib64")
    for header in PACKAGES.glob("nvidia/*/include/*"):
        if header.parent.parent != TREE:
            link(header, TREE / "include" / header.name)
    PKG_CONFIG.mkdir()
    for name, suffix, version, file in find_libraries():
        shared = suffix.startswith(".so")
        linker_name = TREE / "lib" / f"lib{name}{'.so' if shared else suffix}"
        if linker_name != file:
            link(file, linker_name)
        if shared:
            write_pc(name, version)
    (TREE / "lib" / "stubs").mkdir()
    for name, headers, start, error in DRIVER:
        write_stub(name, headers, start, error)
        write_pc(name, os.environ["CUDA_VERSION"], "lib64/stubs")
    write_torch_package()


if __name__ == "__main__":
    main()
