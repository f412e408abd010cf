"""The commit of an image: the last one that changed a file of its build context, or a build argument of any image.

Another commit leaves an image's labels, and so its ID and its results, as they are.
"""

from collections.abc import Sequence

from slipway import repository
from slipway.build.dockerfiles import find_sources
from slipway.errors import SlipwayError
from slipway.host.system_files import read
from slipway.images_toml import TARGETS
from slipway.matrix import FILE, Image

# The lines of images.toml that reach a build; a budget does not.
ARGUMENTS = r"^(apt_date|image|platform|dockerfile|distro|locks|arguments|target|parent|deprecated) ="

UNSEEN = (":(exclude,glob)**/__pycache__/**",)  # .dockerignore keeps it from every build


def git(*words: str) -> str:
    """Return what git prints, or an empty string outside a repository; GitError where it refuses another's clone."""
    try:
        return repository.git(*words)
    except repository.GitError as error:
        if "safe.directory" in str(error):  # git before 2.38 takes this setting from a file alone, and says how
            raise
        return ""


def list_context(image: Image, commit: str = "") -> list[str]:
    """Return the paths that the builds of an image and of its variant read, with those of no other image's locks.

    They are those of the Dockerfiles in the checkout, or at a commit. SlipwayError when the checkout lacks one.
    """
    dockerfiles = dict.fromkeys([image.dockerfile, image.variant.dockerfile])
    files = [repository.file_at(commit, name) if commit else read_dockerfile(name) for name in dockerfiles]
    sources = [path for content in files for path in find_sources((content or b"").decode(errors="replace"))]
    targets = image.workload.targets if image.workload else ()
    others = tuple(f"requirements/{target}" for target in TARGETS if target not in targets)
    locks = [f"requirements/{lock.name}" for lock in image.locks]
    own = [path for path in sources if "$" not in path and not path.startswith(others)]
    return list(dict.fromkeys([*dockerfiles, ".dockerignore", *own, *locks]))


def read_dockerfile(name: str) -> bytes:
    """Return the content of a Dockerfile; SlipwayError where the checkout lacks it, as a sparse one may."""
    try:
        return (repository.ROOT / name).read_bytes()
    except FileNotFoundError:
        raise SlipwayError(
            f"this checkout has no {name}: `git sparse-checkout disable` or `git checkout -- .`"
        ) from None


def find_commit(context: Sequence[str]) -> str:
    """Return the last commit of a build context, with -dirty when a file of it differs; empty outside git.

    A file that git ignores differs, too: the build sees it.
    """
    arguments = [f"-G{ARGUMENTS}", "--", FILE.name]
    last = (git("log", "-1", "--format=%H", "--", *context), git("log", "-1", "--format=%H", *arguments))
    commits = [commit for commit in last if commit]
    if not commits:
        return ""
    # The later of the two: git lists no commit before its children.
    commit = git("rev-list", "--topo-order", "--max-count=1", *commits)
    files = ("--porcelain", "--untracked-files=all", "--ignored", "--", *context, *UNSEEN)
    is_dirty = git("status", *files) or git("diff", "HEAD", *arguments)
    return f"{commit}-dirty" if is_dirty else commit


def warn_shallow(commit: str) -> None:
    """Say so where the history of this clone begins at a commit: an earlier one may be meant."""
    boundary = repository.ROOT / (git("rev-parse", "--git-path", "shallow") or "shallow")
    if commit and commit.removesuffix("-dirty") in read(boundary).split():
        print(
            f"note: this clone has no history before {commit[:12]}, so the image's label names this commit where a "
            "whole clone may name an earlier one; the layers are the same. `git fetch --unshallow` gets the history."
        )
