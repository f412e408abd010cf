"""Files that package managers and set-up scripts write anew when a package comes."""

import re

# Files that must be replaced to grow. Every other file that a later layer replaces is waste.
DATABASES = {
    "/etc/group": "gets no new line but is written anew by useradd",
    "/etc/gshadow": "as /etc/group",
    "/etc/ld.so.cache": "ldconfig's index of the libraries",
    "/etc/passwd": "holds the user",
    "/etc/profile": "sets no PATH of its own any more",
    "/etc/shadow": "holds the user",
    "/usr/share/applications/mimeinfo.cache": "which application opens which type of file",
    "/usr/share/icons/hicolor/icon-theme.cache": "index of the applications' icons",
    "/var/cache/debconf/config.dat": "answers of the packages' set-up",
    "/var/cache/debconf/templates.dat": "questions of the packages' set-up",
    "/var/lib/apt/extended_states": "which packages were asked for",
    "/var/lib/dpkg/diversions": "which files a package moves out of the way",
    "/var/lib/dpkg/status": "which packages are installed",
    "/var/lib/dpkg/triggers/File": "which package waits for another's files",
}
# A file for each MIME type, and fontconfig's indexes: all rewritten when a package adds a type or a font.
MANY_FILES = re.compile(r"/usr/share/mime/(?!packages/).+|/var/cache/fontconfig/.+")


def is_database(path: str) -> bool:
    """Tell whether every package that adds to a file rewrites it."""
    return path in DATABASES or MANY_FILES.fullmatch(path) is not None
