"""What images consist of: layers, components, folders, waste, GPU code. Every byte belongs to one component.

    python -m slipway.report.contents                    the images that are built
    python -m slipway.report.contents cpu-base           writes dist/cpu-base/contents.json, prints tables
    python -m slipway.report.contents cpu-base REF       also compares two images
    python -m slipway.report.contents cpu-base --record  notes the figures in docs/measurements.json

REF is an image of the engine or of a registry, an archive, or a folder in the OCI layout. Exit code 1 when an image of
images.toml differs from docs/measurements.json by more than a limit.
"""

import json
import re
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from slipway import command_line, matrix, repository, results
from slipway.build import images
from slipway.errors import run
from slipway.image.filesystem import FileSystem
from slipway.image.layers import add_source
from slipway.publish import oci_layout
from slipway.report import compare_contents, contents_tables, measurements
from slipway.report.components import Component, Owners
from slipway.report.content_tree import make_tree
from slipway.report.image_layers import describe_layers
from slipway.report.image_sources import Source, read_source
from slipway.report.page_results import Build, Contents, read_result
from slipway.report.waste import compute_efficiency, find_waste
from slipway.tables import show

FILE = "contents.json"
OTHERS = repository.ROOT / "dist" / "contents"  # of images that are not of images.toml
GPU_FILE = re.compile(r"(gfx[0-9a-f]+)[^/]*\.(co|hsaco|dat)$")  # kernels of rocBLAS and others, a file for each GPU

Json = dict[str, Any]


def describe_image(source: Source) -> Json:
    """Return the content of contents.json."""
    image = source.image
    owners = Owners(FileSystem(image), source.contract)
    sizes: dict[Component, list[int]] = {}
    files: list[tuple[str, Component, int]] = []
    for number, layer in enumerate(image.layers):
        for entry in layer.entries:
            if entry.size:
                component = owners.find(entry.path)
                sizes.setdefault(component, [0] * len(image.layers))[number] += entry.size
                files.append((entry.path, component, entry.size))
    ordered = sorted(sizes, key=lambda component: (-sum(sizes[component]), component))
    numbers = {component: number for number, component in enumerate(ordered)}
    waste = find_waste(image)
    stored = {layer.diff_id: layer.stored for layer in image.layers}  # a layer that occurs twice is pulled once
    return {
        "image": source.name,
        "id": image.id,
        "platform": image.platform,
        "bytes": image.size,
        "compressed_bytes": None if None in stored.values() else sum(size or 0 for size in stored.values()),
        "layers": describe_layers(image, source.contract),
        "components": [
            {**component._asdict(), "bytes": sum(sizes[component]), "layers": sizes[component]} for component in ordered
        ],
        "notes": [describe_unread(*each) for each in owners.unread.items()],
        "tree": make_tree((path, numbers[component], size) for path, component, size in files),
        "waste": waste,
        "efficiency": compute_efficiency(waste, image.size),
        "gpu": count_gpu_code(source),
    }


def describe_unread(manager: str, databases: Sequence[str]) -> str:
    """Return why the packages of a manager are no components."""
    more = f" and {len(databases) - 1} more" if len(databases) > 1 else ""
    reason = "it is damaged, too large or not of SQLite" if manager == "rpm" else "it is damaged or too large"
    return f"packages of {manager} are not named: {databases[0]}{more}: {reason}"


def count_gpu_code(source: Source) -> list[Json]:
    """Return the bytes of code for each GPU architecture, in libraries and in files for one architecture."""
    sizes: Counter[str] = Counter()
    files: Counter[str] = Counter()
    for layer in source.image.layers:
        for entry in layer.entries:
            found = {name: int(size) for name, size in (word.split("=") for word in entry.gpu.split())}
            if not found and (match := GPU_FILE.search(entry.path)):
                found = {match[1]: entry.size}
            for name, size in found.items():
                sizes[name] += size
                files[name] += 1
    return [{"architecture": name, "bytes": sizes[name], "files": files[name]} for name in sorted(sizes, key=_order)]


def _order(name: str) -> tuple[str, int, str]:
    """Sort sm_90 before sm_100."""
    kind, number, rest = re.fullmatch(r"(\D*)(\d*)(.*)", name).groups()  # type: ignore[union-attr]
    return kind, int(number or 0), rest


def find_file(source: Source) -> Path:
    """Return where an image's contents are written."""
    if source.contract:
        return source.contract.results / FILE
    return OTHERS / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', source.name).strip('-.') or 'image'}.json"


def main(words: Sequence[str] | None = None) -> int:
    """Describe images; exit code 1 when one has changed more than a limit."""
    parser = command_line.Parser(prog="nox -s contents --", allow_abbrev=False)
    parser.add_argument("images", metavar="IMAGE", nargs="*", help="of images.toml, the engine, a registry, a file")
    parser.add_argument(
        "--compress", action="store_true", help="compress layers as `publish` does, to know their bytes"
    )
    parser.add_argument("--record", action="store_true", help="note the figures in docs/measurements.json")
    parser.add_argument("--json", action="store_true", help="print contents, or a comparison, as JSON")
    options = parser.parse_args(words)
    known = matrix.load_matrix()
    names = options.images or [image.name for image in images.list_built(known)]
    recorded = measurements.read_measurements()
    found = [describe_and_write(read_source(name, known), options) for name in names]
    own = [contents for contents in found if contents["image"] in {image.name for image in known.images}]
    if options.record:
        measurements.record(add_build_seconds(contents, known) for contents in own)
        recorded = measurements.read_measurements()
    pair = compare_contents.compare(*found) if len(options.images) == 2 else None  # noqa: PLR2004 - a pair
    if options.json:
        print(json.dumps(pair or found, indent=2))
    elif pair:
        compare_contents.show_comparison(pair)
    return report_changes(own, recorded, is_quiet=options.json)


def describe_and_write(source: Source, options: Namespace) -> Json:
    """Write the contents of an image, and print them unless only JSON is printed."""
    file = find_file(source)
    earlier = read_result(file, Contents, "contents").value
    contents = describe_image(add_compressed(source, earlier, compress=options.compress))
    results.write_json(file, contents)
    if not options.json:
        contents_tables.show_contents(contents)
    return contents


def add_compressed(source: Source, earlier: Contents | None, *, compress: bool) -> Source:
    """Return an image of the engine with the compressed bytes of its layers, as far as they are known.

    They are measured now, or were when its contents were last written.
    """
    layers = source.image.layers
    if all(layer.stored is not None for layer in layers):
        return source
    image_id, known = source.image.id, {}
    if earlier and earlier.image == image_id:
        known = {layer.diff_id: layer.compressed_bytes for layer in earlier.layers}
    sizes = [known.get(layer.diff_id, layer.stored) for layer in layers]
    if compress and (local := oci_layout.inspect_image(image_id)):
        with oci_layout.temporary_layout() as layout:
            sizes = [layout.sizes[digest] for digest in oci_layout.pack_image(local, layout).layers]
    return replace(source, image=add_source(source.image, image_id, sizes))


def add_build_seconds(contents: Json, known: matrix.Matrix) -> Json:
    """Return the contents of an image with the seconds of its build without the layer cache, if there was one."""
    build = read_result(known.find_image(contents["image"]).results / "build.json", Build, "build").value
    return contents | {"build_seconds": build.cold_seconds if build and build.image == contents["id"] else None}


def report_changes(found: Iterable[Json], recorded: Mapping[str, measurements.Json], *, is_quiet: bool) -> int:
    """Print the changes of images since they were recorded; return 1 when one fails, otherwise 0."""
    failures = []
    for contents in found:
        name = contents["image"]
        if name not in recorded:
            lines = [f"{name} is not recorded in docs/{measurements.FILE.name}: nox -s contents -- {name} --record"]
        else:
            lines = measurements.list_changes(recorded[name], contents)
            failures += measurements.find_failures(recorded[name], contents)
        if lines and not is_quiet:
            show("\n  ".join(lines))
    for failure in failures:
        print(f"error: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    run(main)
