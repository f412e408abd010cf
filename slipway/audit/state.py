"""An audit: the data read from the image, the owners of its files, and the findings."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from slipway.audit.debian_packages import Package
from slipway.audit.findings import Claims, Finding, make_finding
from slipway.audit.licenses import Licenses
from slipway.audit.origins import Origins
from slipway.audit.python_packages import Distribution
from slipway.image.filesystem import FileSystem
from slipway.matrix import Image

LIMITS = (
    "Debian packages are in no lock; their files are compared with dpkg's checksums, which the image itself holds.",
    "dpkg stores no targets of links: a package's link may lead to any folder, and to any file that has an owner.",
    "dpkg stores no checksums of packages' scripts and of its database, such as versions and diversions.",
    "Links of update-alternatives are compared with its database, which the image itself holds.",
    "Other links that the packages' scripts make may lead to any file or folder of the image.",
    "Bytecode is compared with its source by its header and its layer; it is not compiled again.",
    "The instructions of layers are those of the image's history, which whoever makes an image can write.",
    "A file that a later layer deletes or replaces is not compared, nor is the owner or mode of a folder.",
    "Labels, ports, working folder and stop signal are not compared, nor is a setting that the image lacks.",
    "A file that the image lacks is no finding where it is MathJax's, or of an npm package whose scripts delete files.",
)


@dataclass
class Audit:
    """An image, its contract, and the results of the checks so far."""

    contract: Image
    system: FileSystem
    packages: Mapping[str, Package]
    distributions: list[Distribution]
    claims: Claims
    origins: Origins
    findings: list[Finding] = field(default_factory=list)
    owners: Counter[str] = field(default_factory=Counter)
    licenses: Licenses = field(default_factory=Licenses)
    notes: list[str] = field(default_factory=lambda: list(LIMITS))

    def add_finding(self, kind: str, what: str, detail: str, path: str = "") -> None:
        """Add a finding about `what`, with the layer of `path` (by default `what`)."""
        self.findings.append(make_finding(self.system, kind, what, detail, path))
