"""What the Dockerfiles ask apt for: the packages of the stages that an image stands on, with its build arguments."""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from slipway.errors import SlipwayError
from slipway.matrix import ROOT, Image

PACKAGE = re.compile(r"[a-z0-9][a-z0-9.+-]+")


@dataclass(frozen=True)
class Stage:
    """A stage: the one it stands on, as written, the defaults of its arguments, and the scripts that it runs."""

    base: str
    arguments: Mapping[str, str]
    scripts: tuple[str, ...]


@dataclass
class Asked:
    """The packages that are asked for: those that must be there, and those that one may be (`*` ends a beginning)."""

    always: set[str] = field(default_factory=set)
    perhaps: set[str] = field(default_factory=set)

    def roots(self, installed: Mapping[str, object]) -> set[str]:
        """Return all names that may have been asked for, beginnings completed from what is installed."""
        words = self.always | self.perhaps
        beginnings = tuple(word[:-1] for word in words if word.endswith("*"))
        return words | {name for name in installed if beginnings and name.startswith(beginnings)}


def asked(image: Image) -> Asked:
    """Return what the Dockerfiles of an image ask apt for."""
    found = Asked()
    if image.workload:
        add(found, image.dockerfile, image.target, image.arguments)
    variant = image.variant.images[image.flavor]
    add(found, variant.dockerfile, variant.target, variant.arguments)
    return found


def instructions(image: Image) -> str:
    """Return the Dockerfiles that an image is built from on one line, a copy without the options of its COPY."""
    names = {image.dockerfile, image.variant.dockerfile}
    text = " ".join(" ".join((ROOT / name).read_text(encoding="utf-8").split()) for name in sorted(names))
    return re.sub(r"\bCOPY (--\S+ )+", "COPY ", text)


def is_own(made_by: str, text: str) -> bool:
    """Tell whether a layer's instruction, as BuildKit writes it down, is one of the Dockerfiles'."""
    words = made_by.removesuffix("# buildkit").strip()
    return (words.partition("/bin/sh -c ")[2] if words.startswith("RUN ") else words) in text


def add(found: Asked, name: str, target: str, arguments: Mapping[str, str]) -> None:
    """Add the packages of a Dockerfile's target."""
    text = (ROOT / name).read_text(encoding="utf-8")
    own = set(re.findall(r"^Package: (\S+)", text, re.MULTILINE))
    lineage, values = follow(text, target, arguments)
    for stage in lineage:
        for script in stage.scripts:
            if "apt-get install" in script:
                read_script(found, script, values, own)


def follow(text: str, target: str, arguments: Mapping[str, str]) -> tuple[list[Stage], dict[str, str]]:
    """Return the stages that a target stands on, itself first, and the values of all arguments in them."""
    values, stages = read_stages(text)
    values |= arguments
    lineage = []
    while target in stages:
        lineage.append(stages[target])
        target = substitute(stages[target].base, values)
    if not lineage:
        raise SlipwayError(f"there is no stage {target!r} in the Dockerfile")
    for stage in reversed(lineage):
        values = {**values, **{name: value for name, value in stage.arguments.items() if value}}
    return lineage, {**values, **arguments}


def read_stages(text: str) -> tuple[dict[str, str], dict[str, Stage]]:
    """Return the arguments before the first stage, and the stages by name."""
    # Comments outside of scripts may stand between the lines of one instruction.
    first, *parts = re.split(r"^FROM ", text, flags=re.MULTILINE)
    stages = {}
    for part in parts:
        head = part.split("\n", 1)[0].split()
        scripts = tuple(re.findall(r"^RUN [^<]*?<<EOT\n(.*?)^EOT$", part, re.MULTILINE | re.DOTALL))
        stages[head[-1]] = Stage(head[0], read_arguments(part), scripts)
    return read_arguments(first), stages


def read_arguments(text: str) -> dict[str, str]:
    """Return the arguments that a part of a Dockerfile declares, with their defaults."""
    return {name: value.strip('"') for name, value in re.findall(r'^ARG (\w+)=?(".*"|\S*)$', text, re.MULTILINE)}


def substitute(text: str, values: Mapping[str, str]) -> str:
    """Return a text with ${NAME} replaced by its value."""
    return re.sub(r"\$\{(\w+)\}", lambda match: values.get(match[1], match[0]), text)


def read_script(found: Asked, script: str, values: Mapping[str, str], own: set[str]) -> None:
    """Add what one script asks apt for; what it asks for on a condition is there perhaps, by a toggle surely."""
    toggle = block = ""
    for line in re.sub(r"\\\n\s*", " ", script).splitlines():
        words = line.strip()
        if case := re.match(r"case \$\{(\w+)\} in", words):
            toggle = case[1]
        if wanted := re.match(r"if wanted (\w+) .*then$", words):
            block = wanted[1]
        toggle, block = "" if words == "esac" else toggle, "" if words == "fi" else block
        where = decide(words, toggle, values) if not block or values.get(block) == "true" else "no"
        for command in re.findall(r"(?:apt-get install|set --) ([^;|]*)", words):
            target = {"yes": found.always, "no": set(), "perhaps": found.perhaps}[where]
            for name in packages(substitute(command, values), own):
                (found.perhaps if name.endswith("*") else target).add(name)


def decide(line: str, toggle: str, values: Mapping[str, str]) -> str:
    """Tell whether a line of a script is run: yes, no, or perhaps."""
    if wanted := re.match(r"if wanted (\w+) ", line):
        return "yes" if values.get(wanted[1]) == "true" else "no"
    if toggle and (choice := re.match(r"(true|false)\)", line)):
        return "yes" if values.get(toggle) == choice[1] else "no"
    return "perhaps" if re.match(r"if |\[ |\w+ \|\|", line) else "yes"


def packages(command: str, own: set[str]) -> Iterator[str]:
    """Yield the names of packages among the words of a command."""
    for word in shlex.split(command):
        if word.startswith("$(cat "):
            yield word.rpartition("/")[2].rstrip(")") + "*"  # a name with its version, as the stage that wrote it says
        elif word.endswith(".deb"):
            yield from own
        elif PACKAGE.fullmatch(word):
            yield word
