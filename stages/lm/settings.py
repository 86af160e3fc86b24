"""Settings: one frozen pydantic model per concern, beside its code, and errors that a reader can act on.

A model's fields, types, defaults and bounds are the only place where a setting is defined; the JSON schema of the config file
(`workflow/schemas/config.schema.json`) is made from them. The docstring under a field is its description.
"""

import difflib
import re
from collections.abc import Iterable
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, overload

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator
from pydantic.fields import FieldInfo

from stages.lm.errors import UserError

S = TypeVar("S", bound="Settings")

INTEGER = re.compile(r"[+-]?\d+")
NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")


class Settings(BaseModel):
    """Base of every group of settings: unknown keys are refused, values never change, nothing is converted silently."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True, protected_namespaces=()
    )

    @model_validator(mode="before")
    @classmethod
    def _from_yaml(cls, data: Any) -> Any:
        """Read what YAML does not say: tuples (it has lists); `3e-4`, which YAML 1.1 takes for text (it wants `3.0e-4`); and
        numbers inside the mappings of Snakemake's `--config`, which arrive as text."""
        if not isinstance(data, dict):
            return data
        return {key: _from_yaml(cls.model_fields.get(key), value) for key, value in data.items()}

    def resolved(self) -> dict[str, Any]:
        """Every setting with its default filled in, as plain JSON values: what a digest is taken of."""
        return self.model_dump(mode="json")


def _from_yaml(field: FieldInfo | None, value: Any) -> Any:
    return _converted(_alternatives(field.annotation) if field else [], value)


def _converted(kinds: list[Any], value: Any) -> Any:
    """A value of YAML as one of the kinds that are allowed in its place, if it stands for one; lists entry by entry."""
    if isinstance(value, list):
        lists = [kind for kind in kinds if get_origin(kind) in (list, tuple)]
        entries = [entry for kind in lists for entry in _alternatives(get_args(kind)[0])]
        converted = [_converted(entries, entry) for entry in value]
        return tuple(converted) if any(get_origin(kind) is tuple for kind in lists) else converted
    if not isinstance(value, str):
        return value
    if int in kinds and INTEGER.fullmatch(value):
        return int(value)
    if float in kinds and NUMBER.fullmatch(value):
        return float(value)
    if bool in kinds and value in ("true", "false"):
        return value == "true"
    return value


@overload
def parse(kind: type[S], data: Any, where: str) -> S: ...


@overload
def parse(kind: Any, data: Any, where: str) -> Any: ...


def parse(kind: Any, data: Any, where: str) -> Any:
    """Build settings of `kind` (a model or a union of models) from plain values.

    Raises UserError naming the key's path below `where` and what is allowed there.
    """
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as error:
        raise UserError("; ".join(explain(kind, detail, where) for detail in error.errors())) from None


def explain(kind: Any, detail: Any, where: str) -> str:
    """One pydantic error detail as `path: what is wrong; what is allowed`."""
    shown, annotations = _follow(kind, detail["loc"])
    path = ".".join([where, *shown] if where else shown) or "settings"
    context = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            return unknown(path, "key", shown[-1], _keys(_follow(kind, detail["loc"][:-1])[1]))
        case "missing":
            return f"{path}: this key is required"
        case "union_tag_not_found":
            key = context["discriminator"].strip("'")
            return f"{path}.{key}: this key is required; allowed: {', '.join(filter(None, map(_tag, annotations)))}"
        case "union_tag_invalid":
            key, allowed = context["discriminator"].strip("'"), [tag for tag in map(_tag, annotations) if tag]
            return unknown(f"{path}.{key}", key, str(context["tag"]), allowed)
        case "value_error":
            return f"{path}: {context['error']}"
    message = detail["msg"][0].lower() + detail["msg"][1:]
    value = detail["input"]
    return f"{path}: {message}" + ("" if isinstance(value, dict) else f", not {value!r}")


def unknown(path: str, what: str, name: str, allowed: Iterable[str]) -> str:
    """The message for a key or name that does not exist, with the nearest one that does."""
    allowed = sorted(allowed)
    close = difflib.get_close_matches(name, allowed, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return f"{path}: unknown {what} {name!r}; {guess}allowed: {', '.join(allowed) or 'none'}"


def _follow(annotation: Any, location: tuple[Any, ...]) -> tuple[list[str], list[Any]]:
    """Walk an error's location down the type annotations.

    Returns the path as the user wrote it (pydantic puts the tags of unions into its locations, which nobody wrote) and the
    annotations that are possible at its end.
    """
    shown: list[str] = []
    here = _alternatives(annotation)
    for part in location:
        tagged = [kind for kind in here if _tag(kind) == part]
        if tagged:
            here = tagged
            continue
        shown.append(str(part))
        here = [below for kind in here for below in _below(kind, part)]
    return shown, here


def _alternatives(annotation: Any) -> list[Any]:
    """The members of a union, annotated or not; any other annotation alone."""
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [kind for argument in get_args(annotation) for kind in _alternatives(argument)]
    return [annotation]


def _below(kind: Any, part: Any) -> list[Any]:
    """The annotations under the key or index `part` of a settings model, mapping or list."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(part))
        return _alternatives(field.annotation) if field else []
    if get_origin(kind) in (dict, list, tuple):
        return _alternatives(get_args(kind)[-1])
    return []


def _keys(annotations: list[Any]) -> set[str]:
    models = [kind for kind in annotations if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return {key for model in models for key in model.model_fields}


def _tag(kind: Any) -> str | None:
    """The discriminating value of a member of a union (`family: Literal["ngram"]` -> "ngram")."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for field in kind.model_fields.values():
            if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1:
                return str(get_args(field.annotation)[0])
    return None
