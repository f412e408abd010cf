"""The commit of an image: the last one that changed a file of its build context, or a build argument.

A commit elsewhere leaves an image's labels, and so its ID and its results, as they are.
"""

import subprocess

from slipway.matrix import FILE, ROOT, Image

# The lines of images.toml that reach a build; a budget does not.
ARGUMENTS = r"^(apt_date|image|platform|dockerfile|distro|locks|arguments|target|parent|deprecated) ="


def git(*words: str) -> str:
    """Return what git prints, or an empty string when it fails."""
    command = ["git", "-C", str(ROOT), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def list_context(image: Image) -> list[str]:
    """Return the patterns of files that the builds of an image and of its variant can read, as git takes them.

    They come from the .dockerignore files, which exclude everything and then include what Dockerfiles need.
    """
    paths = []
    for dockerfile in dict.fromkeys([image.dockerfile, image.variant.dockerfile]):
        own = ROOT / f"{dockerfile}.dockerignore"
        ignore = own if own.is_file() else ROOT / ".dockerignore"
        rules = [line.strip() for line in ignore.read_text(encoding="utf-8").splitlines()]
        paths += [dockerfile, ignore.name, *(rule[1:] for rule in rules if rule.startswith("!"))]
    return list(dict.fromkeys(paths))


def find_commit(image: Image) -> str:
    """Return the commit of an image, with -dirty when a file of its build context differs; empty outside git."""
    context = list_context(image)
    arguments = [f"-G{ARGUMENTS}", "--", FILE.name]
    last = (git("log", "-1", "--format=%H", "--", *context), git("log", "-1", "--format=%H", *arguments))
    commits = [commit for commit in last if commit]
    if not commits:
        return ""
    # The later of the two: git lists no commit before its children.
    commit = git("rev-list", "--topo-order", "--max-count=1", *commits)
    is_dirty = git("status", "--porcelain", "--untracked-files=all", "--", *context) or git("diff", "HEAD", *arguments)
    return f"{commit}-dirty" if is_dirty else commit
