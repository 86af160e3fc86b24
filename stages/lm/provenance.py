"""Where an artifact comes from: the version of the code that made it, the libraries, the machine."""

import ast
import hashlib
import importlib.metadata
import os
import platform
import sys
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ("numpy", "pyarrow", "regex", "numba", "torch", "transformers", "accelerate", "snakemake")


def code_version(*modules: str, root: Path = ROOT) -> str:
    """A hash of `modules` and everything under `stages/` that they import, transitively, in 12 hex digits.

    Taken from the parsed source without comments and docstrings, so that only a change of behaviour changes it. Imports inside
    functions count, and so do the files in a package's `templates/`; modules named by strings (a registry's) do not, so callers
    add those that they use.
    """
    closure = _closure(modules, root)
    sources = {module: _source(path) for module, path in closure.items()}
    for package in {path.parent for path in closure.values()}:
        sources |= {str(file.relative_to(root)): file.read_text(encoding="utf-8") for file in package.glob("templates/*")}
    text = "\n".join(f"# {module}\n{source}" for module, source in sorted(sources.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def version_of(text: str) -> str:
    """The same of one Python file by its text, without what it imports. Raises SyntaxError."""
    return hashlib.sha256(_parse(text)[1].encode()).hexdigest()[:12]


def environment() -> dict[str, Any]:
    """Library versions and the machine, for a manifest."""
    versions = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            versions[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    host = {"name": platform.node(), "system": platform.platform(), "cpu": _cpu_name(), "cores": os.cpu_count()}
    return {"versions": versions, "host": host | _gpu()}


def _gpu() -> dict[str, str]:
    """The GPU, where this process has used one."""
    torch = sys.modules.get("torch")
    return {"gpu": torch.cuda.get_device_name()} if torch is not None and torch.cuda.is_initialized() else {}


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _closure(modules: tuple[str, ...], root: Path) -> dict[str, Path]:
    """Every module under `stages/` reachable by imports from `modules`, packages' `__init__` included, with its file."""
    found: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        path = _file(module, root)
        if path is None or module in found:
            continue
        found[module] = path
        waiting += [module.rpartition(".")[0], *_imports(path)]
    return found


def _file(module: str, root: Path) -> Path | None:
    """The file of a module below `stages`, None for any other module and for names that are no modules."""
    if module != "stages" and not module.startswith("stages."):
        return None
    base = root.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def _imports(path: Path) -> list[str]:
    """What a file imports: modules, and names imported from modules (which may be modules themselves)."""
    return _parse(path.read_text(encoding="utf-8"))[0]


def _source(path: Path) -> str:
    """A file's code in a normal form: no comments, no docstrings, no layout."""
    return _parse(path.read_text(encoding="utf-8"))[1]


@cache
def _parse(text: str) -> tuple[list[str], str]:
    """The imports and the normal form of a file's text."""
    tree = ast.parse(text)
    imports: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            imports += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [line for line in node.body if not _is_string(line)] or [ast.Pass()]
    return imports, ast.unparse(tree)


def _is_string(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
