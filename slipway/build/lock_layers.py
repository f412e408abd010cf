"""Splits what was resolved for a flavor into its layers: each distribution is in the lowest layer that needs it."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

# Begins the names of the CUDA libraries, which are a layer below PyTorch although PyTorch asks for them.
NVIDIA = ("nvidia-", "cuda-")
CUDA = "cuda"
PIN = re.compile(r"^([a-zA-Z0-9][\w.-]*)(.*(?:\n +(?![ #]).*)*)((?:\n +#.*)*)", re.MULTILINE)


@dataclass(frozen=True)
class Pin:
    """One distribution of a lock: its version with hashes, and which distributions and inputs ask for it."""

    name: str
    text: str
    wanted_by: tuple[str, ...]

    def write(self, known: Collection[str]) -> str:
        """Return the pin as uv writes it; of what asks for it only what is known in its layer or below."""
        wanted_by = [name for name in self.wanted_by if name in known or name.endswith(".in")]
        lines = [f"via {wanted_by[0]}"] if len(wanted_by) == 1 else ["via", *(f"  {name}" for name in wanted_by)]
        return "\n".join([self.name + self.text, *(f"    # {line}" for line in lines)]) + "\n"


def read_pins(text: str) -> list[Pin]:
    """Return the distributions of a lock, in its order."""
    pins = []
    for name, pinned, comment in PIN.findall(text):
        words = re.findall(r"^ +#(?: +via)? +((?:-[rc] )?\S+)$", comment, re.MULTILINE)
        pins.append(Pin(name, pinned, tuple(word for word in words if word != "via" and not word.endswith(".txt"))))
    return pins


def split(
    flavors: Iterable[tuple[Sequence[tuple[str, Collection[str]]], Sequence[Pin]]],
) -> Iterator[tuple[str, str]]:
    """Yield each layer's name and the text of its lock.

    `flavors`: for each, the smallest first, its layers with the inputs of each, the lowest first, and all its pins.
    """
    known: set[str] = set()
    for layers, pins in flavors:
        for number, (layer, inputs) in enumerate(layers, 1):
            rest = [pin for pin in pins if pin.name not in known]
            mine = {pin.name for pin in rest} if number == len(layers) else choose(layer, inputs, rest)
            known |= mine
            yield layer, "".join(pin.write(known) for pin in rest if pin.name in mine)


def choose(layer: str, inputs: Collection[str], pins: Sequence[Pin]) -> set[str]:
    """Return the names of what a layer's inputs ask for, and of all that this needs."""
    if layer == CUDA:
        return {pin.name for pin in pins if pin.name.startswith(NVIDIA)}
    asked = {f"-r {name}" for name in inputs}
    while more := {pin.name for pin in pins if asked & set(pin.wanted_by)} - asked:
        asked |= more
    return {pin.name for pin in pins if pin.name in asked}
