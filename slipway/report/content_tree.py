"""The folders of an image with their bytes, for a treemap: files of a megabyte by name, all others summed."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

LARGE = 1 << 20  # bytes of a file or folder that has a row of its own

Row = dict[str, Any]
Sizes = dict[int, int]  # bytes by component


@dataclass
class Folder:
    """A folder while it is filled: the folders and the files in it by their names."""

    folders: dict[str, "Folder"] = field(default_factory=dict)
    files: dict[str, Sizes] = field(default_factory=dict)


class Part(NamedTuple):
    """A folder or a file: its row, its bytes, and the number of files."""

    row: Row
    sizes: Sizes
    number: int


def make_tree(files: Iterable[tuple[str, int, int]]) -> Row:
    """Return the tree of files given by path, number of their component, and bytes."""
    root = Folder()
    known = {"": root}
    for path, component, size in files:
        above, _, name = path.rpartition("/")
        # A path that several layers have is one file.
        sizes = _find_folder(known, above).files.setdefault(name, {})
        sizes[component] = sizes.get(component, 0) + size
    whole = _make_folder("/", root)
    return whole.row if whole.row["bytes"] >= LARGE else _make_row("/", whole.sizes)


def _find_folder(known: dict[str, Folder], path: str) -> Folder:
    """Return the folder of a path among those that are known, with the folders above it."""
    if path not in known:
        above, _, name = path.rpartition("/")
        known[path] = _find_folder(known, above).folders.setdefault(name, Folder())
    return known[path]


def _make_folder(name: str, folder: Folder) -> Part:
    """Return a folder, with a child for each large file and folder in it and one for all other files."""
    parts = [_make_folder(part, below) for part, below in folder.folders.items()]
    parts += [Part(_make_row(part, sizes), sizes, 1) for part, sizes in folder.files.items()]
    children = [part.row for part in parts if part.row["bytes"] >= LARGE]
    if small := [part for part in parts if part.row["bytes"] < LARGE]:
        number = sum(part.number for part in small)
        children.append(_make_row(f"{number:,} other file{'s' * (number > 1)}", _add_up(small)))
    children.sort(key=lambda child: (-child["bytes"], child["name"]))
    sizes = _add_up(parts)
    return Part(_make_row(name, sizes) | {"children": children}, sizes, sum(part.number for part in parts))


def _add_up(parts: Iterable[Part]) -> Sizes:
    every: Sizes = {}
    for part in parts:
        for component, size in part.sizes.items():
            every[component] = every.get(component, 0) + size
    return every


def _make_row(name: str, sizes: Sizes) -> Row:
    """Return a row; it has a component where all its bytes are of one."""
    component = {"component": next(iter(sizes))} if len(sizes) == 1 else {}
    return {"name": name, "bytes": sum(sizes.values()), **component}
