"""Versions of GPU libraries, as the libraries tell them without a GPU."""

import json
from collections.abc import Collection

from tests.images.helpers.containers import Python

Function = tuple[str, str, str]  # soname, function, form of its answer

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
