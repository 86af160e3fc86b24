"""All checks by name."""

from stages.lm.grading.checks.check import Check
from stages.lm.grading.checks.decoding import CHECKS as DECODING
from stages.lm.grading.checks.model import CHECKS as MODEL
from stages.lm.grading.checks.tokenizer import CHECKS as TOKENIZER
from stages.lm.grading.checks.training import CHECKS as TRAINING
from stages.lm.grading.checks.variant import CHECKS as VARIANT

CHECKS: dict[str, Check] = {**TOKENIZER, **MODEL, **TRAINING, **DECODING, **VARIANT}
