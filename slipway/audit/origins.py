"""Finds the origin of each layer, the base image or the Dockerfiles, and the packages that it requested from apt.

apt marks the packages that it installed only as dependencies. All others that a layer adds were requested, and the
instruction of the layer must name them. The history of an image can be forged, so each file of a layer needs an owner,
whatever its instruction.
"""

import re
from dataclasses import dataclass, field

from debian.deb822 import Deb822

from slipway.audit import debian_packages
from slipway.build.dockerfiles import Dockerfiles
from slipway.image.filesystem import FileSystem
from slipway.image.layers import Layer

EXTENDED_STATES = "/var/lib/apt/extended_states"


@dataclass
class Origins:
    """The layers of an image by number, and the packages that were requested from apt.

    `foreign` has the instructions above the base image that are in no Dockerfile, each with its layer or None.
    `named` has the requested packages that the instruction of their layer names, `unnamed` the others with their layer.
    """

    base: int = 0  # the number of the base image's layers
    own: set[int] = field(default_factory=set)  # the layers of instructions of the Dockerfiles
    foreign: list[tuple[int | None, str]] = field(default_factory=list)
    base_packages: set[str] = field(default_factory=set)
    named: set[str] = field(default_factory=set)
    unnamed: dict[str, int] = field(default_factory=dict)
    package_layers: set[int] = field(default_factory=set)  # the layers that install a named package


def read_origins(system: FileSystem, dockerfiles: Dockerfiles) -> Origins:
    """Return the origins of an image's layers and packages."""
    origins = Origins()
    instructions = list_instructions(system)
    firsts = [number for number, (_, text) in enumerate(instructions) if dockerfiles.begins_stage(text)]
    # Without the first instruction of a stage, the base image cannot be told from a replacement of it.
    above = instructions[firsts[0] :] if firsts else instructions
    origins.base = next((layer for layer, _ in above if layer is not None), 0)
    for layer, text in above:
        if dockerfiles.contains(text):
            origins.own |= {layer} if layer is not None else set()
        # The value of an ARG is compared in the RUN or ENV that uses it.
        elif not text.startswith("ARG "):
            origins.foreign.append((layer, text))
    add_packages(origins, system, dockerfiles)
    return origins


def list_instructions(system: FileSystem) -> list[tuple[int | None, str]]:
    """Return the instructions of an image's history, each with its layer or None."""
    layers = range(len(system.image.layers))
    history = system.image.config["history"]
    if sum(not item["empty_layer"] for item in history) != len(layers):
        return [(layer, system.find_instruction(layer)) for layer in layers]
    numbers = iter(layers)
    return [(None if item["empty_layer"] else next(numbers), " ".join(item["created_by"].split())) for item in history]


def add_packages(origins: Origins, system: FileSystem, dockerfiles: Dockerfiles) -> None:
    """Add the packages that were requested from apt, layer by layer."""
    installed: set[str] = set()
    automatic: set[str] = set()
    earlier: set[str] = set()
    for number, layer in enumerate(system.image.layers):
        installed = read_installed(layer, installed)
        automatic = read_automatic(layer, automatic)
        asked = installed - automatic - earlier
        earlier = installed - automatic
        if number < origins.base:
            origins.base_packages = installed
            continue
        # A foreign instruction could name any package.
        instruction = system.find_instruction(number) if number in origins.own else ""
        text = " ".join((instruction, *dockerfiles.list_arguments(instruction)))
        named = {name for name in asked if names_package(text, name)}
        origins.named |= named
        origins.unnamed.update(dict.fromkeys(asked - named, number))
        origins.package_layers |= {number} if named else set()


def read_installed(layer: Layer, earlier: set[str]) -> set[str]:
    """Return the installed packages after a layer, given those before it."""
    status = layer.kept.get(debian_packages.STATUS)
    if status is None:
        return earlier
    return {str(fields["Package"]) for fields in debian_packages.iterate_installed(status.decode(errors="replace"))}


def read_automatic(layer: Layer, earlier: set[str]) -> set[str]:
    """Return the packages that apt marks as dependencies after a layer, given those before it."""
    states = layer.kept.get(EXTENDED_STATES)
    if states is None:
        is_deleted = any(entry.path == EXTENDED_STATES for entry in layer.entries)
        return set() if is_deleted else earlier
    paragraphs = Deb822.iter_paragraphs(states.decode(errors="replace"), use_apt_pkg=False)
    return {str(fields.get("Package", "")) for fields in paragraphs if fields.get("Auto-Installed") == "1"}


def names_package(instruction: str, name: str) -> bool:
    """Tell whether an instruction has a package's name as a word, with or without its final version (libtorch2.6)."""
    words = "|".join(re.escape(word) for word in (name, re.sub(r"[\d.]+$", "", name)))
    return re.search(rf"(?<![\w.+-])({words})(?![\w+-])", instruction) is not None
