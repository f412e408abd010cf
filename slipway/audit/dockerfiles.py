"""The Dockerfiles of an image: their instructions, and whether those name the packages that apt was asked for."""

import re
from collections.abc import Iterable, Mapping

from debian.deb822 import Deb822

from slipway import repository
from slipway.audit import debian_packages
from slipway.image.filesystem import FileSystem
from slipway.matrix import Image

EXTENDED_STATES = "/var/lib/apt/extended_states"


def instructions(image: Image) -> str:
    """Return the Dockerfiles that an image is built from on one line, a copy without the options of its COPY."""
    names = {image.dockerfile, image.variant.dockerfile}
    texts = ((repository.ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ") for name in sorted(names))
    return re.sub(r"\bCOPY (--\S+ )+", "COPY ", " ".join(" ".join(texts).split()))


def is_own(made_by: str, text: str) -> bool:
    """Tell whether a layer's instruction, as BuildKit writes it down, is one of the Dockerfiles'."""
    words = made_by.removesuffix("# buildkit").strip()
    return (words.partition("/bin/sh -c ")[2] if words.startswith("RUN ") else words) in text


def find_asked(system: FileSystem, packages: Iterable[str]) -> set[str]:
    """Return the packages that apt was asked for; apt notes those that it installed only because of another."""
    states = Deb822.iter_paragraphs(system.text(EXTENDED_STATES), use_apt_pkg=False)
    automatic = {state.get("Package", "") for state in states if state.get("Auto-Installed") == "1"}
    return set(packages) - automatic - debian_packages.of_layer(system, 0)


def find_named(
    system: FileSystem, packages: Mapping[str, debian_packages.Package], asked: Iterable[str], dockerfiles: str
) -> set[str]:
    """Return those of the packages that the instruction of their layer, or of a later one, names.

    A name may lack the version at its end: libtorch, which a file has with the version that Debian gives it. It may
    also be in the default of an argument that the instruction names.
    """
    lists = re.findall(r'\bARG (\w+)="([^"]*)"', dockerfiles)
    texts = [system.instruction(number) for number in range(len(system.image.layers))]
    texts = [" ".join([text, *(names for name, names in lists if f"${{{name}}}" in text)]) for text in texts]
    named = set()
    for name in asked:
        path = f"{packages[name].documents}.list"
        text = " ".join(texts[system.layer(path) if path in system else 0 :])
        words = "|".join(re.escape(word) for word in (name, re.sub(r"[\d.]+$", "", name)))
        if re.search(rf"(?<![\w.+-])({words})(?![\w+-])", text):
            named.add(name)
    return named
