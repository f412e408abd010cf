"""Formats that nbconvert makes by pandoc, on the command line: by the user's own pandoc, or one line about it.

Those that it makes by a browser get a line, too.
"""

import os
import shutil
import sys
from pathlib import Path

FORMATS = {"asciidoc", "latex", "rst"}
# Where PyPI's pypandoc_binary has it.
own = Path("/data/.slipway/python/lib").glob("python3*/site-packages/pypandoc/files")
os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], *map(str, own)])

asked = {word.removeprefix("--to=") for word in sys.argv}
if browsers := {"qtpdf", "qtpng", "webpdf"} & asked:
    sys.exit(f"error: --to {min(browsers)} needs a browser, which the image leaves out: --to pdf needs none")
wanted = FORMATS & asked
if wanted and not shutil.which("pandoc"):
    sys.exit(f"error: --to {min(wanted)} needs pandoc, 160 MB that the image leaves out: pip install pypandoc_binary")
for exporter in ("ASCIIDocExporter", "LatexExporter", "RSTExporter") if wanted else ():
    c[exporter].enabled = True  # noqa: F821 - traitlets defines it
