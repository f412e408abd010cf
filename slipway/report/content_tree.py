"""The folders of an image with their bytes, for a treemap: files of a megabyte by name, all others summed."""

from collections.abc import Iterable
from dataclasses import dataclass, field

LARGE = 1 << 20  # bytes of a file or folder that has a row of its own


@dataclass
class Folder:
    """A folder while it is filled: folders and files by name; a file has its bytes by component."""

    folders: dict[str, "Folder"] = field(default_factory=dict)
    files: dict[str, dict[int, int]] = field(default_factory=dict)


@dataclass
class Rest:
    """The small files of a folder and all below it: their number and their bytes by component."""

    number: int = 0
    sizes: dict[int, int] = field(default_factory=dict)

    def add(self, number: int, sizes: dict[int, int]) -> None:
        """Add files."""
        self.number += number
        for component, size in sizes.items():
            self.sizes[component] = self.sizes.get(component, 0) + size


def make_tree(files: Iterable[tuple[str, int, int]]) -> dict[str, object]:
    """Return the tree of files given by path, number of their component, and bytes."""
    root = Folder()
    known = {"": root}
    for path, component, size in files:
        above, _, name = path.rpartition("/")
        # A path that several layers have is one file.
        sizes = _find_folder(known, above).files.setdefault(name, {})
        sizes[component] = sizes.get(component, 0) + size
    node, rest = _make_folder("/", root)
    return node or _make_leaf("/", rest.sizes)


def _find_folder(known: dict[str, Folder], path: str) -> Folder:
    """Return the folder of a path among those that are known, with the folders above it."""
    if path not in known:
        above, _, name = path.rpartition("/")
        known[path] = _find_folder(known, above).folders.setdefault(name, Folder())
    return known[path]


def _make_folder(name: str, folder: Folder) -> tuple[dict[str, object] | None, Rest]:
    """Return a folder's row; None with all its files for one below a megabyte."""
    children: list[dict[str, object]] = []
    rest, every = Rest(), Rest()
    for part, below in folder.folders.items():
        child, inside = _make_folder(part, below)
        every.add(inside.number, inside.sizes)
        if child:
            children.append(child)
        else:
            rest.add(inside.number, inside.sizes)
    for part, sizes in folder.files.items():
        every.add(1, sizes)
        if sum(sizes.values()) >= LARGE:
            children.append(_make_leaf(part, sizes))
        else:
            rest.add(1, sizes)
    if sum(every.sizes.values()) < LARGE:
        return None, every
    if rest.number:
        children.append(_make_leaf(f"{rest.number:,} other file{'s' * (rest.number > 1)}", rest.sizes))
    children.sort(key=lambda child: (-int(str(child["bytes"])), str(child["name"])))
    return _make_leaf(name, every.sizes) | {"children": children}, every


def _make_leaf(name: str, sizes: dict[int, int]) -> dict[str, object]:
    """Return a row; it has a component where all its bytes are of one."""
    component = {"component": next(iter(sizes))} if len(sizes) == 1 else {}
    return {"name": name, "bytes": sum(sizes.values()), **component}
