"""Settings: one frozen pydantic model per concern, beside its code, and errors that a reader can act on.

A model's fields, types, defaults and bounds are the only place where a setting is defined; the JSON schema of the config file
(`workflow/schemas/config.schema.json`) is made from them. The docstring under a field is its description.
"""

import difflib
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from stages.lm.errors import UserError


class Settings(BaseModel):
    """Base of every group of settings: unknown keys are refused, values never change, nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, protected_namespaces=())

    def resolved(self) -> dict[str, Any]:
        """Every setting with its default filled in, as plain JSON values: what a digest is taken of."""
        return self.model_dump(mode="json")


S = TypeVar("S", bound=Settings)


def parse(cls: type[S], data: Any, where: str) -> S:
    """Build `cls` from plain values. Raises UserError naming the key's path below `where` and what is allowed there."""
    try:
        return cls.model_validate(data)
    except ValidationError as error:
        raise UserError("; ".join(explain(cls, detail, where) for detail in error.errors())) from None


def explain(cls: type[BaseModel], detail: Any, where: str) -> str:
    """One pydantic error detail as `path: what is wrong; what is allowed`."""
    location = [str(part) for part in detail["loc"]]
    path = ".".join([where, *location]) if where else ".".join(location)
    if detail["type"] == "extra_forbidden":
        return unknown_key(path, location[-1], known_keys(cls, detail["loc"][:-1]))
    if detail["type"] == "missing":
        return f"{path}: this key is required"
    message = detail["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    value = detail.get("input")
    shown = "" if isinstance(value, dict) else f", not {value!r}"
    return f"{path}: {message}{shown if detail['type'] != 'value_error' else ''}"


def unknown_key(path: str, key: str, allowed: list[str]) -> str:
    """The message for a key or name that does not exist, with the nearest one that does."""
    close = difflib.get_close_matches(key, allowed, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return f"{path}: unknown key; {guess}allowed here: {', '.join(sorted(allowed)) or 'nothing'}"


def known_keys(cls: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """The keys allowed at `location` below `cls`; unions are followed by the tag that pydantic puts into the location."""
    models: list[type[BaseModel]] = [cls]
    for part in location:
        below: list[type[BaseModel]] = []
        for model in models:
            field = model.model_fields.get(str(part))
            if field is not None:
                below += models_in(field.annotation)
            elif _tag(model) == part:
                below.append(model)
        models = below or models
    return sorted({key for model in models for key in model.model_fields})


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The settings models that appear in a type annotation: `A | None`, `dict[str, A]`, `Annotated[A | B, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in models_in(argument)]


def _tag(model: type[BaseModel]) -> str | None:
    """The discriminating value of a member of a union (`family: Literal["ngram"]` -> "ngram")."""
    for field in model.model_fields.values():
        if get_origin(field.annotation) is Literal:
            return str(get_args(field.annotation)[0])
    return None
