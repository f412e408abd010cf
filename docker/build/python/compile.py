"""Compile the Python files that standard input names, to the same bytecode every time.

What a process has compiled before changes the references in the next file's bytecode, so each process gets a fixed
share of the sorted list, whatever the number of processors (python/cpython#129724, astral-sh/uv#10619).
"""

import os
import py_compile
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

SHARE = 400  # files


def compile_share(files: list[str]) -> None:
    """Compile one share in a new process."""
    command = [sys.executable, "-S", __file__, "share"]
    subprocess.run(command, input="\n".join(files), text=True, check=True, env={**os.environ, "PYTHONHASHSEED": "0"})


def main() -> None:
    """Compile all files, or in a new process those of one share. A file that is no Python has no bytecode."""
    files = sys.stdin.read().splitlines()
    if "share" in sys.argv:
        for file in files:
            py_compile.compile(file, quiet=2)
        return
    files.sort()
    shares = [files[start : start + SHARE] for start in range(0, len(files), SHARE)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_share, shares))


if __name__ == "__main__":
    main()
