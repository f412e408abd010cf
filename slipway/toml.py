"""Reads TOML files into pydantic models; an error names file, table, key, value and what is allowed there."""

import functools
import operator
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from slipway.errors import SlipwayError

Model = TypeVar("Model", bound=BaseModel)
Place = Sequence[int | str]  # the keys and the numbers in lists that lead to a value, outermost first
KEY = "[key]"  # pydantic's last step of a place where the key itself is wrong
# The reason that a file gives for one of its values.
Reason = Annotated[str, Field(pattern=r"^\S.*[^\s.]$", description="one line that says why, without a full stop")]


class Table(BaseModel):
    """A table of a TOML file: no key but its own, no value of another type."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


def read_toml(file: Path, model: type[Model]) -> Model:
    """Return a file's content; SlipwayError when it is missing, damaged, or does not fit the model."""
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SlipwayError(f"{file.name} is not UTF-8 text: {error}") from None
    except OSError as error:
        raise SlipwayError(
            f"{file} cannot be read: {error.strerror}; it is part of the repository: git checkout -- {file}"
        ) from None
    return parse_toml(text, model, file.name)


def parse_toml(text: str, model: type[Model], name: str) -> Model:
    """Return a text's content, as read_toml does; `name` is the file's name in messages."""
    try:
        content = tomllib.loads(text)
    except ValueError as error:  # tomllib's own error, and an impossible date
        raise SlipwayError(f"{name} is not valid TOML: {error}") from None
    return check_content(content, model, name)


def check_content(content: Any, model: type[Model], name: str) -> Model:  # noqa: ANN401 - a file holds anything
    """Return the content of a file as its model; SlipwayError when it does not fit."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = [
            f"{name}: {describe_problem(problem, model, content)}" for problem in error.errors(include_url=False)
        ]
        raise SlipwayError("\n".join(dict.fromkeys(problems))) from None


def join_names(place: Place) -> str:
    """Return a place as TOML writes a table's name: `[variant."cuda13.2"]`, `[[exception]] 1`."""
    names: list[str] = []
    number = ""
    for part in place:
        if isinstance(part, int):
            number = f" {part + 1}"
        else:
            names.append(part if part.replace("-", "").replace("_", "").isalnum() else f'"{part}"')
    path = ".".join(names)
    return f"[[{path}]]{number}" if number else f"[{path}]"


def require_choice(name: str, place: Place, value: object, allowed: Iterable[str]) -> None:
    """Raise SlipwayError for a value that is not one of a few; the last part of the place is its key."""
    if value not in (allowed := list(allowed)):
        *table, key = place
        raise SlipwayError(f"{name}: {join_names(table)} {key} is {value!r}; it must be one of {', '.join(allowed)}")


def describe_problem(problem: Mapping[str, Any], model: type[BaseModel], content: Any) -> str:  # noqa: ANN401 - a file
    """Return the message for one of pydantic's errors."""
    place = list(problem["loc"])
    if place[-1:] == [KEY]:
        return describe_key(model, place[:-1])
    if problem["type"] == "extra_forbidden":
        return describe_key(model, place)
    if place and isinstance(place[-1], int):  # an item of a list: its list is named
        place = place[:-1]
    annotation, wanted = find_type(model, place)
    if problem["type"] in ("model_type", "model_attributes_type", "dict_type", "mapping_type"):
        return f"{join_names(place)} must be a table, not {problem['input']!r}"
    if problem["type"] == "value_error" and not wanted:
        return f"{join_names(place)} {problem['ctx']['error']}".removeprefix("[] ")
    *table, key = place
    value = "" if problem["type"] == "missing" else functools.reduce(operator.getitem, place, content)
    found = "missing" if problem["type"] == "missing" else str(value) if isinstance(value, date) else repr(value)
    choices = list_choices(annotation)
    wanted = wanted or (f"one of {', '.join(choices)}" if choices else "a table")
    return f"{join_names(table)} {key} is {found}; it must be {wanted}".removeprefix("[] ")


def describe_key(model: type[BaseModel], place: Place) -> str:
    """Return the message for a key that a table may not have."""
    *table, key = place
    annotation, _ = find_type(model, table)
    where = f"{join_names(table)} " if table else ""
    if fields := list_fields(annotation):
        return f"{where}has an unknown key {key!r}; allowed: {', '.join(fields)}"
    types = list(unwrap(get_args(annotation)[0]))
    if wanted := next((each.description for each in types if isinstance(each, FieldInfo)), ""):
        return f"{where}has the key {key!r}; it must be {wanted}"
    return f"{where}has an unknown key {key!r}; allowed: {', '.join(list_choices(types[-1]))}"


def list_choices(annotation: Any) -> list[str]:  # noqa: ANN401 - types have no common type
    """Return the values of a `Literal`; none for another type."""
    return list(get_args(annotation)) if get_origin(annotation) is Literal else []


def unwrap(annotation: Any) -> Iterator[Any]:  # noqa: ANN401 - types have no common type
    """Yield an annotation and those inside `Annotated` and `... | None`, with the metadata of `Annotated`."""
    yield annotation
    if get_origin(annotation) is Annotated:
        yield from annotation.__metadata__
        yield from unwrap(annotation.__origin__)
    elif NoneType in get_args(annotation):
        yield from unwrap(next(each for each in get_args(annotation) if each is not NoneType))


def list_fields(annotation: Any) -> dict[str, FieldInfo]:  # noqa: ANN401 - types have no common type
    """Return the fields of a model by their keys in TOML; none for another type."""
    fields: dict[str, FieldInfo] = getattr(annotation, "model_fields", {})
    return {field.alias or name: field for name, field in fields.items()}


def find_type(model: Any, place: Place) -> tuple[Any, str]:  # noqa: ANN401 - types have no common type
    """Return the type at a place of a model, and the description of what is allowed there."""
    wanted = ""
    annotation: Any = model
    for part in place:
        fields = list_fields(annotation)
        inner = fields[part] if part in fields else get_args(annotation)[0 if isinstance(part, int) else -1]
        known = [inner, *unwrap(inner.annotation if isinstance(inner, FieldInfo) else inner)]
        wanted = next((each.description for each in known if isinstance(each, FieldInfo) and each.description), "")
        annotation = known[-1]
    return annotation, wanted
