"""Findings about an image, and claims: which package or distribution owns a path."""

from dataclasses import asdict, dataclass

from slipway.image.filesystem import FileSystem


@dataclass(frozen=True, order=True)
class Finding:
    """A finding: its kind, the path or component, a sentence, the layer and its instruction."""

    kind: str
    what: str
    detail: str = ""
    layer: int | None = None
    instruction: str = ""

    def as_json(self) -> dict[str, object]:
        """Return the finding for audit.json, without empty fields."""
        return {key: value for key, value in asdict(self).items() if value not in (None, "")}


def make_finding(system: FileSystem, kind: str, what: str, detail: str, path: str = "") -> Finding:
    """Return a finding with the layer of a file of the image: that of `path`, or else of `what`."""
    if (path or what) not in system:
        return Finding(kind, what, detail)
    number = system.find_layer(path or what)
    return Finding(kind, what, detail, number, system.find_instruction(number))


@dataclass(frozen=True)
class Claim:
    """A statement that a path belongs to an owner, with the digest of the content, if the owner has one."""

    owner: str
    algorithm: str = ""
    digest: str = ""

    def matches(self, system: FileSystem, path: str) -> bool:
        """Tell whether the file has the digest."""
        return not self.digest or getattr(system.find_entry(path), self.algorithm) == self.digest


Claims = dict[str, list[Claim]]
