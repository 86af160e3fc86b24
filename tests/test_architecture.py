"""Imports run one way: scripts, then the library's subjects in their order, then the foundation."""

import ast
from pathlib import Path

import pytest

FOUNDATION = {"errors", "settings", "provenance", "artifacts", "progress", "script", "children", "locks", "nested", "pages"}
SUBJECTS = [
    "lineage",
    "corpus",
    "bpe",
    "tokenizers",
    "tokens",
    "tokenization",
    "models",
    "hub",
    "training",
    "inference",
    "accounting",
    "evaluation",
    "studies",
    "sweeps",
    "scaling",
    "reporting",
    "grading",
]
"""Each may use those before it, never those after it."""


def imported(file: Path) -> set[str]:
    """The modules that a file imports, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return names


def modules(root: Path) -> list[Path]:
    """The project's own; what lies in a package's `templates/` is written into artifacts, and imported there."""
    return sorted(file for file in (root / "stages").rglob("*.py") if file.parent.name != "templates")


def test_every_subject_of_the_library_has_its_place(root: Path) -> None:
    found = {path.stem for path in (root / "stages/lm").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert found - {"__init__"} == FOUNDATION | set(SUBJECTS)


def test_imports_run_one_way(root: Path) -> None:
    scripts = {f"stages.{file.stem}" for file in (root / "stages").glob("*.py")} - {"stages.__init__"}
    for file in modules(root):
        parts = file.relative_to(root / "stages").with_suffix("").parts
        names = imported(file)
        assert not names & (scripts | {"snakemake", "workflow"}), f"{file}: imports a script or the workflow"
        if parts[0] != "lm" or parts[1:] == ("__init__",):
            continue
        allowed = FOUNDATION if parts[1] in FOUNDATION else FOUNDATION | set(SUBJECTS[: SUBJECTS.index(parts[1]) + 1])
        used = {name.split(".")[2] for name in names if name.startswith("stages.lm.") and name.count(".") >= 2}
        assert used <= allowed, f"{file}: may not use {sorted(used - allowed)}"


def test_the_library_names_modules_not_packages(root: Path) -> None:
    """`from stages.lm.models import TransformerLM` would hide from a code version which module is used."""
    for file in modules(root):
        for name in imported(file):
            if name.startswith("stages.lm.") and name.count(".") == 3:
                module, _, attribute = name.rpartition(".")
                package = root.joinpath(*module.split("."))
                hidden = package.is_dir() and not (package / f"{attribute}.py").is_file()
                assert not hidden, f"{file}: imports {attribute} from the package {module}"


def test_heavy_and_optional_packages_are_imported_where_they_are_used(root: Path) -> None:
    optional = {"matplotlib", "wandb", "tensorboard", "transformers", "huggingface_hub", "tiktoken", "tokenizers", "sacrebleu"}
    optional |= {"optuna", "scipy"}
    for file in modules(root):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & optional, f"{file}: imports an optional package at its top"


@pytest.mark.parametrize("public", ["bpe", "models", "training"])
def test_public_names_can_be_imported_from_their_package(public: str) -> None:
    package = __import__(f"stages.lm.{public}", fromlist=["__all__"])
    for name in package.__all__:
        assert getattr(package, name) is not None
