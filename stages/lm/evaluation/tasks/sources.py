"""Where the examples of tasks come from: files, and the toy grammar."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from stages.lm import artifacts
from stages.lm.errors import UserError
from stages.lm.evaluation.tasks.examples import Example, read_examples
from stages.lm.evaluation.tasks.settings import FileTask, TaskSettings
from stages.lm.evaluation.tasks.stories import story_examples


def task_examples(tasks: Mapping[str, TaskSettings]) -> dict[str, list[Example]]:
    """The examples of each task. Raises UserError naming the task, the file, the line and the key of what is wrong."""
    made = {name: story_examples(task) for name, task in tasks.items() if not isinstance(task, FileTask)}
    found = {name: _read(name, path) for name, path in _paths(tasks)} | made
    return {name: found[name] for name in tasks}


def task_files(tasks: Mapping[str, TaskSettings]) -> list[str]:
    """The files of tasks, every example in them checked. Raises UserError as `task_examples` does."""
    for name, path in _paths(tasks):
        _read(name, path)
    return [str(path) for _, path in _paths(tasks)]


def task_hashes(tasks: Mapping[str, TaskSettings]) -> dict[str, str]:
    """The SHA-256 of each task's file, of those tasks that have one."""
    return {name: artifacts.sha256(path) for name, path in _paths(tasks)}


def _paths(tasks: Mapping[str, TaskSettings]) -> Iterator[tuple[str, Path]]:
    return ((name, Path(task.path)) for name, task in tasks.items() if isinstance(task, FileTask))


def _read(name: str, path: Path) -> list[Example]:
    try:
        return read_examples(path)
    except UserError as error:
        raise UserError(f"tasks.{name}: {error}") from None
