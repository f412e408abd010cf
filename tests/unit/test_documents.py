"""The documentation: its links lead somewhere, what is generated has not drifted, what it tells to type is right."""

import re
import runpy
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from slipway import matrix, repository
from slipway.images_toml import FLAVORS, Deprecation
from slipway.publish import tags
from slipway.report import image_table, markdown_tables, reference
from tests.helpers.matrices import parse_matrix

DOCS = repository.ROOT / "docs"
PAGES = sorted([*repository.ROOT.glob("*.md"), *DOCS.rglob("*.md")])
MATRIX = matrix.load_matrix()
MANIFESTS = sorted((DOCS / "examples" / "kubernetes").glob("*.yaml"))
# Parts of the headings that come from other programs, and messages that the code puts together.
FOREIGN = (
    *("permission denied", "Permission denied", "certificate verify failed", "401 Unauthorized", "NO_PUBKEY"),
    *("Missing key", "could not select device driver", "port is already allocated", "No space left on device"),
    *("REMOTE HOST IDENTIFICATION HAS CHANGED", "failed to map segment from shared object", "UnknownIssuer"),
    *("Failed to load library", "libcuda.so.1: cannot open shared object file", "detected dubious ownership"),
    *("libonnxruntime_providers_cuda.so", "<<EOT", "--start-interval", "CUDAExecutionProvider", "/data", "/cache"),
    *("/workspaces/", "/tmp", "debian:trixie-slim", "/dist/", "this image is deprecated since", "there is no slipway"),
    *("error getting credentials", "is not valid yet", "unable to prepare context", "error: JUPYTER_PORT"),
    *("line 1 of AUTHORIZED_KEYS is no public key", "Blocking Cross Origin", "libGL.so.1"),
    *("could not read Username", "terminal prompts disabled"),
    *("The Jupyter server could not be started", "unable to watch for file changes"),
    *("list index out of range", "_get_cuda_arch_flags", "libnv", "cuda_fp16.h", "/opt/venv", "No module named pip"),
    *("operator torchvision::nms does not exist", "use_libuv was requested", "torchrun", "curl: command not found"),
    *("Unexpected bus error encountered in worker", "cannot open shared object file", "can't start new thread"),
    *("pthread_create failed", "Illegal instruction", "EACCES: permission denied, open", "/__w/_temp/"),
)


@cache
def parse(page: Path) -> list[Token]:
    """Return the tokens of a page."""
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))


def list_links(page: Path) -> Iterator[str]:
    """Yield the targets of a page's links and pictures that are not on another site."""
    for token in parse(page):
        for child in token.children or ():
            target = str(child.attrs.get("href") or child.attrs.get("src") or "")
            if target and "://" not in target:
                yield unquote(target)


def list_anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as code hosts make them."""
    tokens = parse(page)
    titles = [
        "".join(child.content for child in after.children or ())
        for token, after in pairwise(tokens)
        if token.type == "heading_open"
    ]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def read_readme_sizes() -> dict[str, list[str]]:
    """Return the sizes in README.md's table of images by flavor, in GB for the CPU, CUDA and ROCm."""
    text = (repository.ROOT / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"(?m)^\| `(\w+)` \|.*\n\| \| (.*) GB \|$", text)
    return {flavor: cells.split(" GB | ") for flavor, cells in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(repository.ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """To a file of the repository, and to a heading of it where they name one."""
    broken = []
    for link in list_links(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in list_anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_is_in_the_sidebar() -> None:
    settings = runpy.run_path(str(DOCS / "site" / "conf.py"))
    listed = [name for names in settings["PAGES"].values() for name in names]
    assert sorted(f"{name}.md" for name in listed) == sorted(
        [*(page.name for page in DOCS.glob("*.md")), "decisions/README.md"]
    )


def test_reference_has_every_toggle_mode_and_variable() -> None:
    """As the Dockerfiles, docker/rootfs/ and app/ have them; `python -m slipway.report.reference` renews it."""
    text = reference.DOCUMENT.read_text(encoding="utf-8")
    assert reference.renew(text) == text
    rows = markdown_tables.read_rows(text, "arguments") | markdown_tables.read_rows(text, "variables")
    assert [name for name, cells in rows.items() if not cells[0]] == []


def test_comparison_has_every_image_and_its_versions() -> None:
    """Of images.toml, in its order; `python -m slipway.report.image_table` renews it."""
    rows = markdown_tables.read_rows(image_table.DOCUMENT.read_text(encoding="utf-8"), "images")
    versions = {name: list(cells[: -len(image_table.FIGURES)]) for name, cells in rows.items()}
    assert versions == {f"`{image.name}`": image_table.list_versions(image) for image in MATRIX.images}
    assert list(rows) == list(versions)


def test_sizes_are_those_that_were_measured() -> None:
    """All figures as docs/measurements.json records them, and sizes within the budgets that checks enforce."""
    rows = markdown_tables.read_rows(image_table.DOCUMENT.read_text(encoding="utf-8"), "images")
    recorded = image_table.read_recorded()
    figures = {image.name: rows[f"`{image.name}`"][-len(image_table.FIGURES) :] for image in MATRIX.images}
    drifted = [n for n, cells in recorded.items() if any(a and a != b for a, b in zip(cells, figures[n], strict=True))]
    assert drifted == []
    sizes = {name: cells[0] for name, cells in figures.items()}
    measured = [image for image in MATRIX.images if sizes[image.name]]
    assert measured
    outside = [i.name for i in measured if not i.least_size <= float(sizes[i.name]) * 1e9 <= i.most_size + 5e6]
    assert outside == []
    flavors = {name: [sizes[f"{each}-{name}"] for each in ("cpu", "cuda", "rocm")] for name in FLAVORS}
    assert read_readme_sizes() == flavors


def test_recipes_of_own_variants_and_workloads_are_valid() -> None:
    """Each table of docs/extending.md goes into images.toml, and the commands after it name the new images."""
    guide = (DOCS / "extending.md").read_text(encoding="utf-8")
    blocks = re.findall(r"(?s)```toml\n(.*?)```", guide)
    own = [block for block in blocks if not block.startswith("[distro")]
    changed = parse_matrix("\n".join([matrix.FILE.read_text(encoding="utf-8"), *own]))
    named = [line.split() for line in re.findall(r"(?m)^nox -s build test -- (.*)$", guide)]
    assert len(own) == len(named) == 2
    added = {image.name for image in changed.images} - {image.name for image in MATRIX.images}
    assert added == {name for names in named for name in names}
    [base] = [block for block in blocks if block not in own]
    assert tomllib.loads(base)["distro"]["trixie"].items() >= {"suite": "trixie", "glibc": "2.40"}.items()


def test_notice_of_deprecation_is_the_one_that_a_start_prints() -> None:
    """For the table of images.toml that docs/upgrading.md shows."""
    page = (DOCS / "upgrading.md").read_text(encoding="utf-8")
    [block] = re.findall(r"(?s)```toml\n(.*?)```", page)
    [row] = tomllib.loads(block)["variant"].values()
    assert f"\nwarning: this image is {Deprecation.model_validate(row['deprecated'])}.\n" in page


def test_troubleshooting_has_the_messages_that_there_are() -> None:
    """The words of each heading in code are in the sources, unless they come from another program."""
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    spans = [span for title in re.findall(r"(?m)^### (.*)$", page) for span in re.findall(r"`([^`]+)`", title)]
    words = [part.strip(" :?'") for span in spans for part in re.split(r"…|nox -s lock", span)]
    files = [file for folder in ("slipway", "docker", "app") for file in (repository.ROOT / folder).rglob("*")]
    sources = "".join(file.read_text(encoding="utf-8") for file in files if file.is_file() and file.suffix != ".pyc")
    flat = re.sub(r'"\s*\n\s*f?"|\\\n', "", sources)
    assert len(words) > 20
    unknown = [each for each in words if each and each not in flat and not any(known in each for known in FOREIGN)]
    assert unknown == []


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.stem)
def test_manifests_are_narrow_and_name_images(file: Path) -> None:
    """As a cluster's profile "restricted" wants them; the tag is one that publishing gives. lint has the schema."""
    pods = []
    for resource in yaml.safe_load_all(file.read_text(encoding="utf-8")):
        spec = resource.get("spec", {})
        pods += [pod for pod in (spec, spec.get("template", {}).get("spec", {})) if "containers" in pod]
    assert len(pods) == 1
    [container] = pods[0]["containers"]
    assert pods[0]["securityContext"].items() >= {"runAsNonRoot": True, "runAsUser": 1000, "runAsGroup": 0}.items()
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"/data", "/cache", "/tmp"} <= {mount["mountPath"] for mount in container["volumeMounts"]}
    published = {f"{tag}-r1" for image in MATRIX.published for tag in list_tags(image)}
    assert container["image"].rpartition(":")[2] in published


def list_tags(image: matrix.Image) -> list[str]:
    """Return the tags of an image, with the labels that it has once it is built."""
    versions = image.variant.versions
    labels = {f"slipway.{name}": version for name, version in versions.items()}
    labels |= {tags.RELEASE: MATRIX.release, "slipway.flavor": image.flavor}
    return tags.list_tags(image, labels | {"slipway.workload": image.workload.name if image.workload else ""})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(repository.ROOT)))
def test_images_have_their_names(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"(?<![\w./-])slipway:([\w.-]*[\w-])", text)
    named += re.findall(r"`((?:cpu|cuda|rocm)[\w.]*-(?:base|runtime|devel)[\w.-]*)`", text)
    assert set(named) - {image.name for image in MATRIX.images} - {"NAME"} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(repository.ROOT)))
def test_commands_are_shell(page: Path) -> None:
    """A shell can read them: no quote is open, no line lacks its end."""
    blocks = re.findall(r"(?ms)^```sh\n(.*?)^```", page.read_text(encoding="utf-8"))
    wrong = [
        block for block in blocks if subprocess.run(["bash", "-n"], input=block, text=True, check=False).returncode
    ]
    assert wrong == []
