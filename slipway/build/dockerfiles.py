"""Reads the instructions of Dockerfiles, and compares them with those that BuildKit recorded.

BuildKit records each instruction without its options in an image's history and in the build cache. What is compared:

    RUN                    the shell text word by word; nothing in it is interpreted. Build arguments recorded with it
                           have the contract's value, or a default of the Dockerfiles where the contract has none
    CMD, ENTRYPOINT        the words of the list
    HEALTHCHECK            the words of the command, not the times
    EXPOSE                 the ports
    ENV, LABEL and others  the words without quotes; ${NAME} stands for the values of the build argument NAME, any other
                           reference for one word
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from typing import NamedTuple

from slipway import repository
from slipway.matrix import Image

REFERENCE = re.compile(r"(\$\{(?:[^{}]|\{[^{}]*\})*\})")
CACHE_ID = re.compile(r"\btype=cache,id=([^,\s]+)")
UNCHECKED = "BASE"  # the parent image of a workload, under any tag
LISTS = ("CMD", "ENTRYPOINT", "HEALTHCHECK")


class Instruction(NamedTuple):
    """An instruction: keyword, text without options, options, line. The text of a here-document is the document."""

    keyword: str
    text: str
    options: str = ""
    line: int = 0


Patterns = dict[str, list[tuple[re.Pattern[str], int]]]


class Dockerfiles:
    """The instructions of some Dockerfiles, for the build arguments of a contract."""

    def __init__(self, texts: Iterable[str], arguments: Mapping[str, str] | None = None) -> None:
        files = [list(read_instructions(text)) for text in texts]
        every = [instruction for instructions in files for instruction in instructions]
        self.cache_ids = {name for instruction in every for name in CACHE_ID.findall(instruction.options)}
        self._values = read_values(every, arguments or {})
        self._every = self._compile(every)
        self._caching = self._compile(instruction for instruction in every if CACHE_ID.search(instruction.options))
        self._first = self._compile(first for instructions in files for first in self._find_first(instructions))

    def contains(self, recorded: str) -> bool:
        """Tell whether a recorded instruction is one of the Dockerfiles'."""
        return bool(self._find(recorded, self._every))

    def find_lines(self, recorded: str) -> list[int]:
        """Return the lines with a recorded instruction, which several stages may have."""
        return self._find(recorded, self._every)

    def mounts_cache(self, recorded: str) -> bool:
        """Tell whether a recorded instruction is one of the Dockerfiles' that mounts a cache."""
        return bool(self._find(recorded, self._caching))

    def begins_stage(self, recorded: str) -> bool:
        """Tell whether a recorded instruction is the first RUN or COPY of a stage that starts from an image."""
        return bool(self._find(recorded, self._first))

    def list_arguments(self, recorded: str) -> set[str]:
        """Return the values of the build arguments that an instruction refers to."""
        return {value for name in REFERENCE.findall(recorded) for value in self._values.get(name[2:-1], ())}

    def _find(self, recorded: str, patterns: Patterns) -> list[int]:
        keyword, _, text = recorded.removesuffix("# buildkit").strip().partition(" ")
        if keyword == "RUN":
            arguments, _, text = f" {text}".partition(" /bin/sh -c ")
            if not self._allows(arguments):
                return []
        found = normalize(Instruction(keyword, text))
        return [line for pattern, line in patterns.get(keyword, ()) if pattern.fullmatch(found)]

    def _allows(self, recorded: str) -> bool:
        """Tell whether the build arguments recorded with a RUN, ` |2 A=1 B=2`, have values that they may have."""
        pairs = re.split(r" (?=\w+=)", recorded)[1:]
        split = (pair.split("=", 1) for pair in pairs)
        return all(name == UNCHECKED or value in self._values.get(name, ()) for name, value in split)

    def _compile(self, instructions: Iterable[Instruction]) -> Patterns:
        patterns: Patterns = {}
        for instruction in instructions:
            text = normalize(instruction)
            pattern = re.escape(text) if instruction.keyword == "RUN" else self._expand(text)
            patterns.setdefault(instruction.keyword, []).append((re.compile(pattern), instruction.line))
        return patterns

    def _expand(self, text: str) -> str:
        """Return a regular expression of an instruction's text, for all values that its references may have."""
        parts = REFERENCE.split(text)
        values = [self._values.get(reference[2:-1]) for reference in parts[1::2]]
        choices = ["|".join(map(re.escape, sorted(some))) if some else r"\S*" for some in values]
        literals = map(re.escape, parts[::2])
        return "".join(f"{literal}(?:{choice})" for literal, choice in zip(literals, [*choices, ""], strict=True))

    def _find_first(self, instructions: Iterable[Instruction]) -> Iterator[Instruction]:
        """Yield the first RUN or COPY of each stage that does not start from another stage of the Dockerfile."""
        stages: list[str] = []
        is_first = False
        for instruction in instructions:
            if instruction.keyword == "FROM":
                source, *name = re.split(r"\s+AS\s+", instruction.text)
                is_first = not any(re.fullmatch(self._expand(source), stage) for stage in stages)
                stages += name
            elif is_first and instruction.keyword in ("RUN", "COPY"):
                yield instruction
                is_first = False


def read_dockerfiles(image: Image) -> Dockerfiles:
    """Return the Dockerfiles that an image and its variant are built from, for the build arguments of the contract."""
    return Dockerfiles(_read_texts(image).values(), _find_arguments(image))


def read_each_dockerfile(image: Image) -> dict[str, Dockerfiles]:
    """Return the same, each by its name, the variant's first."""
    return {name: Dockerfiles([text], _find_arguments(image)) for name, text in _read_texts(image).items()}


def _read_texts(image: Image) -> dict[str, str]:
    names = dict.fromkeys((image.variant.dockerfile, image.dockerfile))
    return {name: (repository.ROOT / name).read_text(encoding="utf-8") for name in names}


def _find_arguments(image: Image) -> dict[str, str]:
    return {**image.variant.images[image.flavor].arguments, **image.arguments}


def read_instructions(text: str) -> Iterator[Instruction]:
    """Yield the instructions of a Dockerfile."""
    numbered = enumerate(text.splitlines(), 1)
    lines = (line for _, line in numbered)
    for number, line in numbered:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        instruction = line.strip()
        while instruction.endswith("\\"):
            more = next(lines, "").strip()
            instruction = instruction if more.startswith("#") else instruction[:-1] + more
        keyword, _, rest = instruction.partition(" ")
        options = re.match(r"(?:--\S+\s+)*", rest := rest.strip())[0]  # type: ignore[index]
        rest = rest.removeprefix(options)
        if document := re.search(r"<<-?\"?(\w+)", rest):
            content = "\n".join(takewhile(lambda line, end=document[1]: line.strip() != end, lines))  # type: ignore[misc]
            rest = content if rest == document[0] else rest
        yield Instruction(keyword.upper(), rest, options, number)


def find_sources(dockerfile: str) -> list[str]:
    """Return the paths of the build context that a Dockerfile mounts or copies."""
    mounted = re.findall(r"--mount=(?!\S*from=)\S*?\bsource=([^\s,]+)", dockerfile)
    copied = re.findall(r"(?m)^COPY (?!--from|<<)(?:--\S+ )*(.+) \S+$", dockerfile)
    return [*mounted, *(path for paths in copied for path in paths.split())]


def read_values(instructions: Iterable[Instruction], arguments: Mapping[str, str]) -> dict[str, set[str]]:
    """Return the values of each build argument: that in `arguments`, or the defaults."""
    values = {name: {value} for name, value in arguments.items()}
    for instruction in instructions:
        for word in shlex.split(instruction.text) if instruction.keyword == "ARG" else ():
            name, is_set, value = word.partition("=")
            if name not in arguments:
                values.setdefault(name, set()).update(expand_references(value, values) if is_set else ())
    return values


def expand_references(text: str, values: Mapping[str, set[str]]) -> set[str]:
    """Return a text for all values of the build arguments that it refers to."""
    if not (reference := REFERENCE.search(text)):
        return {text}
    choices = values.get(reference[0][2:-1], ())
    return {found for value in choices for found in expand_references(text.replace(reference[0], value), values)}


def normalize(instruction: Instruction) -> str:
    """Return an instruction's text in a form that is the same for a Dockerfile and BuildKit's record of it."""
    if instruction.keyword in LISTS and (listed := re.search(r"\[.*?\]", instruction.text)):
        words = re.findall(r'"((?:[^"\\]|\\.)*)"', listed[0])
        return "\n".join(words[1:] if instruction.keyword == "HEALTHCHECK" and "{" in instruction.text else words)
    if instruction.keyword == "EXPOSE":
        ports = re.findall(r"(\d+)(?:/(\w+))?", instruction.text)
        return " ".join(sorted(f"{port}/{protocol or 'tcp'}" for port, protocol in ports))
    if instruction.keyword in ("ENV", "LABEL"):
        return " ".join(instruction.text.replace('"', "").split())
    return " ".join(instruction.text.split())
