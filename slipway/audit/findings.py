"""Findings about an image, and claims of packages and distributions to paths."""

from dataclasses import asdict, dataclass

from slipway.image.filesystem import FileSystem


@dataclass(frozen=True, order=True)
class Finding:
    """A finding: its kind, the path or component, an explanation, the layer and its instruction."""

    kind: str
    what: str
    detail: str = ""
    layer: int | None = None
    instruction: str = ""

    def as_json(self) -> dict[str, object]:
        """Return the finding for audit.json, without empty fields."""
        return {key: value for key, value in asdict(self).items() if value not in (None, "")}


def make_finding(system: FileSystem, kind: str, what: str, detail: str, path: str = "") -> Finding:
    """Return a finding with the layer of `path`, by default `what`, if the image has such a file."""
    if (path or what) not in system:
        return Finding(kind, what, detail)
    number = system.find_layer(path or what)
    return Finding(kind, what, detail, number, system.find_instruction(number))


@dataclass(frozen=True)
class Claim:
    """An owner's claim to a path, with the digest of the content if the owner's database has one."""

    owner: str
    algorithm: str = ""
    digest: str = ""

    def matches(self, system: FileSystem, path: str) -> bool:
        """Tell whether a file has the digest; True without a digest."""
        return not self.digest or getattr(system.find_entry(path), self.algorithm) == self.digest


Claims = dict[str, list[Claim]]
