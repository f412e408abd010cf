"""Finds the bytes of an image that no user needs, by kinds. A file is counted once, in the first kind that fits."""

import re
from collections.abc import Iterator

from slipway.image.layers import Entry, SavedImage

LARGEST = 10  # files that are named of each kind
REPLACED, DELETED, CACHES, COPIES = "replaced", "deleted", "caches", "same content twice"
# Efficiency is about those that are of no use in any container; the others are a choice.
LOST = (REPLACED, DELETED, CACHES)
BY_PATH = {
    CACHES: r"/(?:tmp|var/tmp|var/lib/apt/lists|var/cache/(?:apt|apk|dnf|yum|ldconfig|man)|opt/conda/pkgs)/.*"
    r"|/(?:root|home/[^/]+)/\.(?:cache|npm/_cacache|cargo/registry|conda/pkgs)/.*",
    "static libraries": r".*\.a",
    "debug symbols": r"/usr/lib/debug/.*|.*\.(?:debug|dwo|dwp|pdb)",
    "tests": r".*/(?:(?:site|dist)-packages|node_modules|lib/python3[^/]*)/(?:.*/)?(?:tests?|__tests__)/.*",
    "unused locales": r"/usr/share/locale/(?!(?:en|C)[/_@.])[^/]+/.*|/usr/share/i18n/locales/(?!en_US|C)[^/]*"
    r"|/usr/lib/locale/(?!C[./]).*|.*/locales?/(?!(?:en|C)[/_@.])[^/]+/LC_MESSAGES/.*",
}
KINDS = (REPLACED, DELETED, CACHES, COPIES, *(kind for kind in BY_PATH if kind != CACHES))
# One expression for all kinds, because it is matched with every path: the number of its group is the kind's.
PATTERN = re.compile("|".join(f"({pattern})" for pattern in BY_PATH.values()))


def find_waste(image: SavedImage) -> list[dict[str, object]]:
    """Return each kind of waste with its bytes, its number of files and the largest files."""
    found: dict[str, list[tuple[str, int]]] = {kind: [] for kind in KINDS}
    for entry, kind in classify_files(image):
        if kind:
            found[kind].append((entry.path, entry.size))
    return [
        {
            "kind": kind,
            "bytes": sum(size for _, size in files),
            "files": len(files),
            "largest": [list(file) for file in sorted(files, key=lambda file: (-file[1], file[0]))[:LARGEST]],
        }
        for kind, files in found.items()
    ]


def classify_files(image: SavedImage) -> Iterator[tuple[Entry, str]]:
    """Yield every file of every layer that has content with its kind of waste; empty for a file that is needed."""
    final = image.merged()
    lost = {(item.entry.path, item.layer) for item in image.waste()}
    seen: set[str] = set()
    for number, layer in enumerate(image.layers):
        for entry in layer.entries:
            if not entry.size:
                continue
            if (entry.path, number) in lost:
                yield entry, REPLACED if entry.path in final else DELETED
                continue
            match = PATTERN.fullmatch(entry.path)
            kind = list(BY_PATH)[match.lastindex - 1] if match and match.lastindex else ""
            yield entry, COPIES if entry.sha256 in seen and kind != CACHES else kind
            seen.add(entry.sha256)


def compute_efficiency(waste: list[dict[str, object]], size: int) -> float:
    """Return the part of an image's bytes that no later layer deletes or replaces and that is no cache."""
    lost = sum(int(str(row["bytes"])) for row in waste if row["kind"] in LOST)
    return round(1 - lost / size, 6) if size else 1.0
