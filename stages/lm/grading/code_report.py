"""What a machine can say of a submission's code, for the person who reads it. It is parsed, never run."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stages.lm.grading.submission import files, legible

LARGEST = 1 << 20
"""Bytes of a file that is parsed; longer ones are no one's handwriting."""
IMPORTABLE = (".py", ".pyc", ".so")
"""Ends of names of what Python imports; only the first can be read."""
SHOWN = 20


@dataclass
class CodeReport:
    """Counts over all Python files of a submission."""

    files: int = 0
    lines: int = 0
    functions: int = 0
    documented: int = 0
    """Functions and classes' methods with a docstring."""
    annotated: int = 0
    """Functions whose arguments and result all have types."""
    longest: tuple[int, str] = (0, "")
    """Lines of the longest function, and where it is."""
    ready_made: list[str] = field(default_factory=list)
    """Where something is used that was to be written."""
    unreadable: list[str] = field(default_factory=list)

    def sentences(self) -> list[str]:
        """The report as a person reads it."""
        found = [f"Python files: {self.files}, with {self.lines} lines and {self.functions} functions"]
        if self.functions:
            found.append(f"{self.documented} functions have a docstring, {self.annotated} have types throughout")
            found.append(f"the longest function has {self.longest[0]} lines: {self.longest[1]}")
        found += [f"cannot be read as Python: {name}" for name in self.unreadable]
        found += [f"uses {use}" for use in self.ready_made[:SHOWN]]
        if len(self.ready_made) > SHOWN:
            found.append(f"and {len(self.ready_made) - SHOWN} more such uses")
        return found


def code_report(submission: Path, ready_made: Sequence[str]) -> CodeReport:
    """Look at all code; `ready_made` are dotted names of what a submission should not use."""
    report = CodeReport()
    for path in files(submission):
        if path.suffix in IMPORTABLE:
            name = legible(path.relative_to(submission).as_posix())
            report.files += 1
            try:
                _read(report, path, name, ready_made)
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                report.unreadable.append(name)
    return report


def _read(report: CodeReport, path: Path, name: str, ready_made: Sequence[str]) -> None:
    """Raises SyntaxError, ValueError, RecursionError or MemoryError for what is no handwriting."""
    if path.stat().st_size > LARGEST:
        raise ValueError
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    used = [f"{use} in {name}, line {line}" for use, line in _uses(tree, ready_made)]
    _functions(report, tree, name)
    report.lines += len(text.splitlines())
    report.ready_made += used


def _functions(report: CodeReport, tree: ast.Module, name: str) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = [argument for argument in node.args.args + node.args.kwonlyargs if argument.arg not in ("self", "cls")]
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            report.functions += 1
            report.documented += ast.get_docstring(node) is not None
            report.annotated += node.returns is not None and all(argument.annotation for argument in given)
            report.longest = max(report.longest, (length, f"{node.name} in {name}"))


def _uses(tree: ast.Module, ready_made: Sequence[str]) -> Iterator[tuple[str, int]]:
    """The dotted names that code uses of those that begin with one of `ready_made`, and in which lines."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = alias.name if alias.asname else alias.name.partition(".")[0]
                yield from _named(alias.name, node.lineno, ready_made)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield from _named(f"{node.module}.{alias.name}", node.lineno, ready_made)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (dotted := _dotted(node, names)):
            yield from _named(dotted, node.lineno, ready_made, exactly=True)


def _named(dotted: str, line: int, ready_made: Sequence[str], exactly: bool = False) -> Iterator[tuple[str, int]]:
    for name in ready_made:
        if dotted == name or (dotted.startswith(f"{name}.") and not exactly):
            yield dotted, line


def _dotted(node: ast.expr, names: dict[str, str]) -> str | None:
    """The full name of `nn.Linear` where nn is torch.nn; None for what is no such chain of names."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute) and (above := _dotted(node.value, names)):
        return f"{above}.{node.attr}"
    return None
