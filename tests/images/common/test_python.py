"""Debian's Python: the optional parts of its standard library, TLS, and bytecode that is its source's."""

import json

import pytest
from docker.models.containers import Container

from slipway.matrix import Image
from tests.images.helpers.containers import Python, inside
from tests.images.helpers.programs import IS_ITS_OWN, find_problems
from tests.images.helpers.scope import applies

pytestmark = applies()

# Each is a library that a Python built without it lacks; programs notice when they first use it.
PARTS = {
    "bz2": "import bz2; assert bz2.decompress(bz2.compress(b'x')) == b'x'",
    "ctypes": "import ctypes; assert ctypes.CDLL(None).getpid() == __import__('os').getpid()",
    "curses": "import curses; curses.setupterm('xterm', 1); assert curses.tigetnum('colors') > 1",
    "decimal": "import _decimal, decimal; assert decimal.Decimal is _decimal.Decimal",
    "hashlib": "import hashlib; assert {'blake2b', 'sha3_256', 'sha512'} <= hashlib.algorithms_available; "
    "assert len(hashlib.scrypt(b'x', salt=b'y', n=2, r=1, p=1)) == 64",
    "lzma": "import lzma; assert lzma.decompress(lzma.compress(b'x')) == b'x'",
    "multiprocessing": "import multiprocessing; multiprocessing.Lock()",
    "readline": "import readline; assert readline.backend if hasattr(readline, 'backend') else readline.parse_and_bind",
    "sqlite3": "import sqlite3; connection = sqlite3.connect(':memory:'); "
    "connection.execute('create virtual table words using fts5(word)'); "
    "assert connection.execute('select json_array_length(?)', ['[1, 2]']).fetchone() == (2,)",
    "threads": "import sys, sysconfig; assert not sysconfig.get_config_var('Py_DEBUG'); "
    "assert not sysconfig.get_config_var('Py_GIL_DISABLED'); assert not sys.flags.optimize",
    "uuid": "import uuid; assert uuid.uuid1() != uuid.uuid1()",
    "xml": "from xml.etree import ElementTree; assert ElementTree.fromstring('<a><b/></a>')[0].tag == 'b'",
    "zlib": "import gzip, zlib; assert gzip.decompress(gzip.compress(b'x')) == b'x'",
    "zoneinfo": "import zoneinfo; zoneinfo.ZoneInfo('Europe/Berlin')",
}
TLS = """
import json, ssl
context = ssl.create_default_context()
names = [each["name"] for each in context.get_ciphers()]
weak = [name for name in names if any(word in name for word in ("RC4", "3DES", "NULL", "MD5"))]
print(json.dumps([context.security_level >= 2, context.check_hostname, int(context.verify_mode), weak]))
"""
# Prints the number of compiled sources in some folders, and those whose bytecode is another program's.
BYTECODE = f"""
import importlib.util, json, os, pathlib, sys
{IS_ITS_OWN}
sources = (path for folder in sys.argv[1:] for path in pathlib.Path(folder).rglob("*.py"))
pairs = [(source, importlib.util.cache_from_source(str(source))) for source in sources]
compiled = [pair for pair in pairs if os.path.exists(pair[1])]
print(json.dumps([len(compiled), [pair[1] for pair in compiled if not is_its_own(*pair)]]))
"""
SERVICE = "/opt/app"
INSTALLERS = """
import json
from importlib import metadata
every = list(metadata.distributions())
texts = [(each.name, each.read_text("INSTALLER"), each.read_text("direct_url.json")) for each in every]
print(json.dumps([[name, (by or "uv").strip(), place] for name, by, place in texts]))
"""


def test_standard_library_is_whole(python: Python) -> None:
    """With every part that Debian's Python has by another library."""
    assert find_problems(python, PARTS) == dict.fromkeys(PARTS, "")


def test_tls_is_of_today(python: Python) -> None:
    """By default: no short keys, which excludes TLS before 1.2, and the server's name and certificate are compared."""
    assert json.loads(python(TLS)) == [True, True, 2, []]


@pytest.mark.exact
@pytest.mark.timeout(240)
def test_bytecode_of_debian_and_of_the_service_is_its_sources(idle: Container, contract: Image) -> None:
    """It is what Python runs, and a header does not tell; images above base have base's: test_parent.py."""
    debians = f"/usr/lib/python{contract.variant.versions['python']}"
    is_first = contract.flavor == "base" and not contract.workload
    folders = [SERVICE, *([debians, "/usr/lib/python3"] if is_first else [])]
    seen, other = json.loads(inside(idle, "/usr/bin/python3", "-c", BYTECODE, *folders))
    assert seen > (500 if is_first else 5)
    assert other == []


@pytest.mark.exact
def test_every_distribution_is_installed_by_uv(python: Python) -> None:
    """From an index, by the lock: pip refuses to replace what another program says that it has installed."""
    found = json.loads(python(INSTALLERS))
    assert len(found) > 10
    assert [row for row in found if row[1:] != ["uv", None]] == []
