"""What an audit has to say: what is wrong with a path or a component, where it comes from."""

from dataclasses import asdict, dataclass

from slipway.image.filesystem import FileSystem


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that is wrong: its kind, the path or component, what was found, the layer with its instruction."""

    kind: str
    what: str
    detail: str = ""
    layer: int | None = None
    instruction: str = ""

    def as_json(self) -> dict[str, object]:
        """Return the finding for audit.json, without what is empty."""
        return {key: value for key, value in asdict(self).items() if value not in (None, "")}


def at(system: FileSystem, kind: str, what: str, detail: str, path: str = "") -> Finding:
    """Return a finding about a file that is there, or about what has it, with the layer that it is from."""
    if (path or what) not in system:
        return Finding(kind, what, detail)
    number = system.layer(path or what)
    return Finding(kind, what, detail, number, system.instruction(number))


@dataclass(frozen=True)
class Claim:
    """Says that a path belongs to an owner, with the digest that it must have; none where the owner knows none."""

    owner: str
    algorithm: str = ""
    digest: str = ""

    def holds(self, system: FileSystem, path: str) -> bool:
        """Tell whether the file is the one that the owner installed."""
        return not self.digest or getattr(system.entry(path), self.algorithm) == self.digest


Claims = dict[str, list[Claim]]
