"""Times and memory of what reads an image: audit and contents, beside `docker save`; and of scans."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from shutil import which

from slipway import files, repository, results, tools
from slipway.audit import syft
from slipway.bench import timing
from slipway.bench.figures import Figure, Goal
from slipway.errors import SlipwayError
from slipway.image import saved_image
from slipway.matrix import Image

TIMES = 3
MEMORY = Goal(300)  # MB
READ_BEFORE = "its layers were read before"


@contextmanager
def empty_cache() -> Iterator[str]:
    """Make a cache folder for XDG_CACHE_HOME that has no layers, but the tools that are built."""
    with files.temporary_folder() as folder:
        own = repository.cache_folder()
        (Path(folder) / own.name).mkdir()
        (Path(folder) / own.name / "tools").symlink_to(own / "tools")
        yield folder


def measure_readers(image: Image) -> Iterator[Figure]:
    """Yield the figures of the audit and of the contents of an image. The SBOM is written before."""
    timing.print_progress(f"auditing {image.tag}")
    syft.provide_sbom(image, saved_image.find_id(image.tag))
    for module in ("slipway.audit", "slipway.report.contents"):
        what = f"{module.rpartition('.')[2]} {image.name}"
        with empty_cache() as cache:
            used = timing.measure_peak_memory(module, image.name, XDG_CACHE_HOME=cache)
        # To nowhere: what it takes the engine alone.
        save = partial(timing.time_command, "sh", "-c", 'docker save "$0" >/dev/null', image.tag)
        pairs = timing.measure_in_turns(partial(time_unread, module, image), save, TIMES)
        yield Figure(what, **pairs, against="docker save", goal=Goal(1.2, "ratio"))
        again = timing.time_module(module, image.name)
        yield Figure(f"{what}, again", again, goal=Goal(2), note=READ_BEFORE)
        yield Figure(f"memory {what}", used, "MB", goal=MEMORY)


def time_unread(module: str, image: Image) -> float:
    """Return the seconds of a module that reads an image, with an empty cache."""
    with empty_cache() as cache:
        return timing.time_module(module, image.name, XDG_CACHE_HOME=cache)


def measure_dive(image: Image) -> Iterator[Figure]:
    """Yield the seconds of the contents of an image that was not read, beside those of dive."""
    what = f"contents {image.name} beside dive"
    if not (dive := which("dive")):
        yield Figure(what, note="dive is not on PATH: https://github.com/wagoodman/dive")
        return
    pairs = timing.measure_in_turns(
        lambda: time_unread("slipway.report.contents", image),
        lambda: timing.time_command(dive, "--ci", image.tag),
        TIMES,
    )
    yield Figure(what, **pairs, against="dive --ci")


def measure_scan(image: Image) -> Iterator[Figure]:
    """Yield the seconds and the memory of a scan with any verdict; Trivy is built before."""
    tools.provide_program(tools.read_tool("trivy"))
    timing.print_progress(f"scanning {image.tag}")
    command = [sys.executable, "-m", "slipway.scan", image.name]
    result = subprocess.run(command, cwd=repository.ROOT, capture_output=True, text=True, check=False)
    scan = results.read_json(image.results / "scan.json")
    if not scan:
        raise SlipwayError(f"{image.name} could not be scanned: {result.stderr.strip()}")
    yield Figure(f"scan {image.name}", scan["seconds"], note=scan["verdict"])
    yield Figure(f"memory scan {image.name}", scan["own_memory_mb"], "MB", goal=MEMORY, note="without Trivy")
    yield Figure(f"memory scan {image.name}, Trivy", scan["memory_mb"], "MB", note=scan["verdict"])
