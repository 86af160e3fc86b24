"""What the file of a variant says, read without running it: configs are checked before anything runs, without transformers."""

import ast
from pathlib import Path
from typing import Any, NamedTuple

from stages.lm.errors import UserError
from stages.lm.provenance import version_of

BARE = ("PreTrainedConfig", "PretrainedConfig")
"""The class of transformers that knows no keys of a model; one that builds on another class has that one's keys too."""


class Source(NamedTuple):
    """A file with one config class and one model."""

    code: str
    """The version of its code, in 12 hex digits; comments, docstrings and layout do not count."""
    model_type: str
    """The name under which it registers its classes."""
    keys: frozenset[str] | None
    """What its config class declares; None where that builds on another model's."""
    defaults: dict[str, Any]
    """The values of those keys of its own for which it writes down a number, a text, true, false or None."""


def read_source(file: Path) -> Source:
    """Raises UserError for a file that cannot be read, is no Python, or has not exactly one class with a `model_type`."""
    if not file.name.endswith(".py") or not file.stem.isidentifier():
        raise UserError(f"{file}: should be a Python file, named as a module is: letters, digits and _, then .py")
    try:
        text = file.read_text(encoding="utf-8")
        code, tree = version_of(text), ast.parse(text)
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{file}: is no Python: {error}") from None
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    configs = [(node, kind) for node in classes if (kind := _model_type(node))]
    if len(configs) != 1:
        raise UserError(
            f"{file}: has {len(configs)} config classes with a model_type; a variant needs one, as in "
            'class MyConfig(PreTrainedConfig): model_type = "my-model"'
        )
    ((config, model_type),) = configs
    declared = _declared(config)
    defaults = {key: value.value for key, value in declared.items() if isinstance(value, ast.Constant)}
    return Source(code, model_type, frozenset(declared) if _is_bare(config) else None, defaults)


def _model_type(node: ast.ClassDef) -> str | None:
    """The text that the body of a class assigns to `model_type`."""
    for line in node.body:
        targets = line.targets if isinstance(line, ast.Assign) else [line.target] if isinstance(line, ast.AnnAssign) else []
        named = any(isinstance(target, ast.Name) and target.id == "model_type" for target in targets)
        value = getattr(line, "value", None)
        if named and isinstance(value, ast.Constant) and isinstance(value.value, str):
            return value.value
    return None


def _is_bare(node: ast.ClassDef) -> bool:
    names = [base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", None) for base in node.bases]
    return any(name in BARE for name in names)


def _declared(node: ast.ClassDef) -> dict[str, ast.expr | None]:
    """The fields that a class annotates, and the arguments of a constructor of its own, with their defaults."""
    found: dict[str, ast.expr | None] = {}
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            found[line.target.id] = line.value
        elif isinstance(line, ast.FunctionDef) and line.name == "__init__":
            given = line.args
            without = [None] * (len(given.args) - len(given.defaults))
            found |= dict(zip([argument.arg for argument in given.args], [*without, *given.defaults], strict=True))
            found |= dict(zip([argument.arg for argument in given.kwonlyargs], given.kw_defaults, strict=True))
    return {key: value for key, value in found.items() if key not in ("self", "model_type")}
