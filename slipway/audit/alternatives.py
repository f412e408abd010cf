"""The links of update-alternatives, by its database in /var/lib/dpkg/alternatives.

A file has the mode and the path of the name's link, name and path of each slave's link, and an empty line; then of each
choice the file, the priority and the slaves' files, which may be empty.
"""

from collections.abc import Iterator

from slipway.image.filesystem import FileSystem

DATABASE, LINKS = "/var/lib/dpkg/alternatives/", "/etc/alternatives/"


def find_links(system: FileSystem) -> dict[str, str]:
    """Return the target of each link of update-alternatives by its path, empty where there must be no link.

    The links of a damaged file are left out.
    """
    found: dict[str, str] = {}
    for path in system.paths:
        if path.startswith(DATABASE):
            try:
                found.update(list_links(system, path.removeprefix(DATABASE), system.read_text(path).splitlines()))
            except ValueError:
                continue
    return found


def list_links(system: FileSystem, name: str, lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the links of a file of the database and their targets; ValueError when it is damaged.

    In the mode `auto` a choice of the highest priority counts, else any; with the slaves of the chosen one.
    """
    end = lines.index("")
    mode, link, *slaves = lines[:end]
    paths = {name: link, **dict(zip(slaves[::2], slaves[1::2], strict=True))}
    size = len(paths) + 1
    rows = [lines[at : at + size] for at in range(end + 1, len(lines) - size + 1, size)]
    choices = [(int(priority), [file, *files]) for file, priority, *files in rows]
    highest = max(priority for priority, _ in choices)
    allowed = [files for priority, files in choices if mode == "manual" or priority == highest]
    current = system.paths[LINKS + name][0].target if LINKS + name in system else ""
    chosen = next((files for files in allowed if files[0] == current), allowed[0])
    for each, file in zip(paths, chosen, strict=True):
        yield LINKS + each, file
        yield system.resolve_folders(paths[each]), LINKS + each if file else ""
