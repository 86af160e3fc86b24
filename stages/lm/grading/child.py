"""The process that runs a submission, and answers what a grader asks of it: `child.py ROOT FOLDER WORK BOUNDS IN OUT`.

It is started by `examinee.py`, by its path. What it answers are values; whether they are right is for the grader to say. What a
submission leaves to chance, as the order of a set, is the same in every run: marks are no lottery.
"""

import importlib
import json
import os
import random
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

LONGEST = 1500
"""Characters of a message that is passed on."""


def main() -> None:
    root, folder, work = (Path(argument) for argument in sys.argv[1:4])
    questions, answers = int(sys.argv[5]), int(sys.argv[6])
    sys.path.insert(0, str(root))
    from stages.lm.grading import isolation

    isolation.end_with_parent()
    bounds = isolation.Bounds(**json.loads(sys.argv[4]))
    in_force = isolation.enter_namespaces(work, bounds)
    isolation.adopt_orphans()
    os.chdir(work)
    import torch

    from stages.lm.grading import packing
    from stages.lm.grading.checks.every import CHECKS

    torch.set_num_threads(1)
    forget_project(root)
    in_force += isolation.limit_resources(bounds)
    readable: list[str | Path] = [*isolation.SYSTEM, sys.prefix, sys.base_prefix, folder]
    writable: list[str | Path] = [work, "/dev/null", *([isolation.SHARED_MEMORY] if isolation.BOUNDED in in_force else [])]
    in_force += isolation.restrict_files([Path(path) for path in readable], [Path(path) for path in writable])
    os.dup2(sys.stdout.fileno(), sys.stderr.fileno())  # what is said of the start is kept, what a submission says is not
    packing.write(answers, packing.pack({"isolation": in_force}))
    sys.path.insert(0, str(folder))
    with suppress(EOFError):
        while True:
            asked = packing.read(questions)
            packing.write(answers, answer(asked, CHECKS, packing.pack, (folder, work)))


def answer(asked: dict[str, Any], checks: Mapping[str, Any], pack: Callable[[Any], bytes], places: Sequence[Path]) -> bytes:
    """The message that answers a question: what a probe gives, or in words why there is nothing to give."""
    reply: dict[str, Any] = {"nonce": asked["nonce"]}
    try:
        seed()
        adapters = importlib.import_module(asked["module"])
        given = checks[asked["check"]].probe(adapters, asked["given"]) if asked["check"] else None
        return pack(reply | {"answer": given})
    except (Exception, SystemExit) as error:  # noqa: BLE001, whatever a submission does is its own matter
        return pack(reply | {"error": told(error, *places)})


def seed() -> None:
    """Let the random numbers of every question be the same, whatever was asked before."""
    import numpy as np
    import torch

    random.seed(0)
    np.random.seed(0)  # noqa: NPY002, the generator that submissions use
    torch.manual_seed(0)


def forget_project(root: Path) -> None:
    """Let `import stages` find nothing, or what a submission brings along."""
    sys.path.remove(str(root))
    for name in [name for name in sys.modules if name.partition(".")[0] == "stages"]:
        del sys.modules[name]


def told(error: BaseException, folder: Path, work: Path) -> str:
    """An error in words that are the same in every run: its message, and where in the submission it comes from."""
    if isinstance(error, NotImplementedError):
        return "is not implemented yet"
    if isinstance(error, AttributeError) and isinstance(error.obj, ModuleType) and error.obj.__name__ == "adapters":
        return f"adapters.py has no `{error.name}`"
    if isinstance(error, MemoryError):
        return "asked for more memory than there is for it"
    where = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(f"{folder}/")]
    place = f", in {where[-1].filename.removeprefix(f'{folder}/')}, line {where[-1].lineno}" if where else ""
    message = f": {' '.join(str(error).split())}" if str(error) else ""
    for drawn, instead in ((f"{folder}/", ""), (f"{work}/", ""), (f"{work}", ".")):
        message = message.replace(drawn, instead)
    message = re.sub(r"\b0x[0-9a-fA-F]+", "0x…", re.sub(r"\btmp[a-z0-9_]{8}\b", "tmp…", message))
    return f"raised {type(error).__name__}{message}"[:LONGEST] + place


if __name__ == "__main__":
    main()
