"""Splits the resolved requirements of a flavor into layers: each is in the lowest layer that needs it."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence

from slipway.python_locks import Requirement

# Begins the names of the CUDA libraries, which are a layer below PyTorch although PyTorch asks for them.
NVIDIA = ("nvidia-", "cuda-")
CUDA = "cuda"


def write_pin(pin: Requirement, known: Collection[str]) -> str:
    """Return a requirement as uv writes it; its comment names only inputs and the distributions in `known`."""
    lines = [line for line in pin.text.splitlines() if not line.lstrip().startswith("#")]
    wanted_by = [name for name in list_wanting(pin) if name in known or name.endswith(".in")]
    via = [f"via {wanted_by[0]}"] if len(wanted_by) == 1 else ["via", *(f"  {name}" for name in wanted_by)]
    return "\n".join([*lines, *(f"    # {line}" for line in via)]) + "\n"


def list_wanting(pin: Requirement) -> list[str]:
    """Return the inputs and distributions that ask for a requirement, as uv's comment `# via` names them."""
    words = re.findall(r"^ +#(?: +via)? +((?:-[rc] )?\S+)$", pin.text, re.MULTILINE)
    return [word for word in words if word != "via" and not word.endswith(".txt")]


def split_layers(
    flavors: Iterable[tuple[Sequence[tuple[str, Collection[str]]], Sequence[Requirement]]],
) -> Iterator[tuple[str, str]]:
    """Yield each layer's name and the text of its lock.

    `flavors`: for each, the smallest first, its layers with the inputs of each, the lowest first, and all its pins.
    """
    known: set[str] = set()
    for layers, pins in flavors:
        for number, (layer, inputs) in enumerate(layers, 1):
            rest = [pin for pin in pins if pin.name not in known]
            mine = {pin.name for pin in rest} if number == len(layers) else choose_pins(layer, inputs, rest)
            known |= mine
            yield layer, "".join(write_pin(pin, known) for pin in rest if pin.name in mine)


def choose_pins(layer: str, inputs: Collection[str], pins: Sequence[Requirement]) -> set[str]:
    """Return the names of the requirements of a layer's inputs, with all their dependencies."""
    if layer == CUDA:
        return {pin.name for pin in pins if pin.name.startswith(NVIDIA)}
    asked = {f"-r {name}" for name in inputs}
    while more := {pin.name for pin in pins if asked & set(list_wanting(pin))} - asked:
        asked |= more
    return {pin.name for pin in pins if pin.name in asked}
