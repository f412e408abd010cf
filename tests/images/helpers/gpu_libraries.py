"""GPU libraries in an image: whether they load, and their versions, asked without a GPU."""

import json
from collections.abc import Collection

from tests.images.helpers.containers import Python

Function = tuple[str, str, str]  # soname, function, form of its answer

# Each in its own process: none can use what another has loaded.
LOAD = """
import ctypes, json, os, sys
problems = {}
for path in PATHS:
    reader, writer = os.pipe()
    if not os.fork():
        try:
            ctypes.CDLL(os.path.basename(path))
            loaded = {line.split()[-1] for line in open("/proc/self/maps")}
            problem = "" if path in loaded else "another file was loaded"
        except OSError as error:
            problem = str(error)
        os.write(writer, problem.encode())
        os._exit(0)
    _, status = os.wait()
    os.close(writer)
    problem = os.fdopen(reader).read() or (f"ended with {status}" if status else "")
    if problem:
        problems[path] = problem
print(json.dumps(problems))
"""
# The forms: a number or a text that is written through a pointer, a number that is returned, major and minor through
# two pointers, and one part a call (...GetProperty). A library that cannot be asked answers with its error.
ASK = """
import ctypes, json
from ctypes import byref

def number(function):
    value = ctypes.c_int()
    assert function(byref(value)) == 0
    return value.value

def text(function):
    value = ctypes.create_string_buffer(64)
    assert function(value, ctypes.c_size_t(64)) == 0
    return value.value.decode().strip(".")

def returned(function):
    return function()

def pair(function):
    major, minor = ctypes.c_int(), ctypes.c_int()
    assert function(byref(major), byref(minor)) == 0
    return f"{major.value}.{minor.value}"

def parts(function):
    values = [ctypes.c_int() for _ in range(3)]
    assert all(function(part, byref(value)) == 0 for part, value in enumerate(values))
    return ".".join(str(value.value) for value in values)

versions = {}
for soname, name, form in FUNCTIONS:
    try:
        versions[soname] = str(globals()[form](getattr(ctypes.CDLL(soname), name)))
    except Exception as error:
        versions[soname] = repr(error)
print(json.dumps(versions))
"""


def ask_versions(python: Python, functions: Collection[Function]) -> dict[str, str]:
    """Return each library's version by its soname, asked in one process."""
    return dict(json.loads(python(f"FUNCTIONS = {[*functions]!r}\n{ASK}").splitlines()[-1]))


def load_problems(python: Python, paths: Collection[str]) -> dict[str, str]:
    """Return the error of each library that does not load by its name, or that is another file than the one found."""
    return dict(json.loads(python(f"PATHS = {[*paths]!r}\n{LOAD}")))
