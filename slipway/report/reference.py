"""The tables of docs/reference.md: build arguments, modes and variables, from the Dockerfiles, docker/rootfs/ and app/.

    python -m slipway.report.reference    writes them

The meanings in the first and the third table are written by hand and stay. A unit test compares the tables with the
files, and asks for a meaning in each row.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from slipway import repository
from slipway.build.dockerfiles import read_instructions
from slipway.errors import run
from slipway.matrix import Matrix, load_matrix
from slipway.report.markdown_tables import DOCS, Rows, read_rows, replace_table, write_document

DOCUMENT = DOCS / "reference.md"
ROOTFS = repository.ROOT / "docker" / "rootfs"
MODES = "usr/local/lib/slipway/modes"
HEADERS = {
    "arguments": ("argument", "meaning", "default", "images.toml also has", "in"),
    "modes": ("mode", "in", "default of", "runs"),
    "variables": ("variable", "meaning", "value in the image", "in"),
}
# What a program makes for the processes below it, or a shell for itself: not for a user to set.
INTERNAL = {"BASH", "PS1", "SLIPWAY_SHELL"}
ENVIRONMENT = re.compile(r"\$\{([A-Z][A-Z_0-9]+):?[-+=]|environment\.get\(\"([A-Z_]+)\"\)")
ASSIGNMENT = re.compile(r"(\w+)(?:=(\"[^\"]*\"|\S*))?(?:\s+|$)")
BUILD_STAGES = {"node"}  # no image holds what is set there
# Files and folders, for readers.
PLACES = {"variant": "every image", "app": "the service", "Dockerfile": "workloads"}


def list_dockerfiles() -> list[Path]:
    """Return the Dockerfiles, that of the workloads last."""
    return sorted(repository.ROOT.glob("Dockerfile*"), key=lambda file: (not file.suffix, file.name))


def list_assignments(keyword: str) -> Iterator[tuple[str, str, str]]:
    """Yield name, value and Dockerfile of each ARG or ENV of an image; the value is empty where there is none."""
    for file in list_dockerfiles():
        stage = ""
        for instruction in read_instructions(file.read_text(encoding="utf-8")):
            if instruction.keyword == "FROM":
                stage = instruction.text.rpartition(" AS ")[2]
            if instruction.keyword == keyword and stage not in BUILD_STAGES:
                found = ASSIGNMENT.findall(instruction.text)
                yield from ((name, value.strip('"'), file.name) for name, value in found)


def format_code(text: str) -> str:
    """Return a text as a code span of a table's cell, nothing for an empty one."""
    return f"`{text}`".replace("|", "\\|") if text else ""


def name_place(name: str) -> str:
    """Return a file or folder for readers: `cpu` for Dockerfile.cpu."""
    return PLACES.get(name, f"`{name.removeprefix('Dockerfile.')}`")


def make_arguments(matrix: Matrix, known: Rows) -> Rows:
    """Return the rows of all build arguments."""
    places: dict[str, list[str]] = {}
    defaults: dict[str, list[str]] = {}
    for name, value, file in list_assignments("ARG"):
        places.setdefault(name, []).append(file)
        defaults.setdefault(name, []).extend([value] if value else [])
    set_to: dict[str, list[str]] = {}
    for image in matrix.images:
        for name, value in image.arguments.items():
            set_to.setdefault(name, []).append(value)
    rows: Rows = {}
    for name, files in places.items():
        others = [v for v in dict.fromkeys(set_to.get(name, [])) if v not in defaults[name] and name != "BASE"]
        cells = [", ".join(map(format_code, dict.fromkeys(some))) for some in (defaults[name], others)]
        meaning = known.get(format_code(name), ("",))[0]
        rows[format_code(name)] = (meaning, *cells, ", ".join(dict.fromkeys(map(name_place, files))))
    return rows


def read_comment(script: Path) -> str:
    """Return the first sentence of the comment that a mode's script begins with."""
    comment = re.match(r"#!.*\n((?:# .*\n)+)", script.read_text(encoding="utf-8"))
    text = " ".join(line.removeprefix("# ") for line in comment[1].splitlines()) if comment else ""
    return re.split(r"(?<=\w\w\.)\s(?=[A-Z-])", text)[0].removesuffix(".")


def make_modes(matrix: Matrix) -> Rows:
    """Return the rows of all modes: the images that have them, those that run them by default, what they run."""
    workloads = [image.workload for image in matrix.workloads if image.workload]
    rows: Rows = {}
    for script in sorted(ROOTFS.glob(f"*/{MODES}/*"), key=lambda file: (file.name != "serve", file)):
        place = script.relative_to(ROOTFS).parts[0]
        where = PLACES.get(place, f"with `{place}`")
        if all(place in workload.targets for workload in workloads):
            where = "every workload"
        default_of = dict.fromkeys(f"`{workload.name}`" for workload in workloads if workload.mode == script.name)
        if script.name == "serve":
            default_of = {"images without a workload": None}
        rows[format_code(script.name)] = (where, ", ".join(default_of), read_comment(script))
    return rows


def list_readers() -> Iterator[tuple[str, str]]:
    """Yield the name of each variable that a script or the service reads with a default, and its folder."""
    scripts = [(file.relative_to(ROOTFS).parts[0], file) for file in sorted(ROOTFS.rglob("*")) if file.is_file()]
    sources = [*scripts, *(("app", file) for file in sorted((repository.ROOT / "app").glob("*.py")))]
    for place, file in sources:
        for names in ENVIRONMENT.findall(file.read_text(encoding="utf-8")):
            yield "".join(names), name_place(place)


def make_variables(known: Rows) -> Rows:
    """Return the rows of all variables that an image sets, or that its programs read."""
    places: dict[str, list[str]] = {}
    values: dict[str, str] = {}
    for name, value, file in list_assignments("ENV"):
        places.setdefault(name, []).append(name_place(file))
        values.setdefault(name, value)
    for name, place in list_readers():
        places.setdefault(name, []).append(place)
    variants = {name_place(file.name) for file in list_dockerfiles() if file.suffix}
    rows: Rows = {}
    for name in sorted(places.keys() - INTERNAL):
        where = dict.fromkeys(places[name])
        if variants <= where.keys():
            where = dict.fromkeys(["every image", *(each for each in where if each not in variants)])
        key = format_code(name)
        rows[key] = (known.get(key, ("",))[0], format_code(values.get(name, "")), ", ".join(where))
    return rows


def renew(text: str) -> str:
    """Return the text of the document with its tables as the files are now."""
    matrix = load_matrix()
    tables = {
        "arguments": make_arguments(matrix, read_rows(text, "arguments")),
        "modes": make_modes(matrix),
        "variables": make_variables(read_rows(text, "variables")),
    }
    for name, rows in tables.items():
        text = replace_table(text, name, HEADERS[name], rows)
    return text


def main() -> int:
    """Bring the tables up to date."""
    write_document(DOCUMENT, renew(DOCUMENT.read_text(encoding="utf-8")))
    return 0


if __name__ == "__main__":
    run(main)
