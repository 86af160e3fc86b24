"""All that can be looked at in a submission's files, by name."""

import random
from collections.abc import Callable
from pathlib import Path

from stages.lm.grading.case import Case
from stages.lm.grading.evidence.claim import claimed
from stages.lm.grading.evidence.sweep import swept
from stages.lm.grading.evidence.trained import rescored
from stages.lm.grading.rubric import Check

EVIDENCE: dict[str, Callable[[Path, random.Random, Check], list[Case]]] = {
    "trained": rescored,
    "sweep": swept,
    "claim": claimed,
}
