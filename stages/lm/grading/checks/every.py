"""All checks by name."""

from stages.lm.grading.checks import decoding, model, tokenizer, training
from stages.lm.grading.checks.check import Check

CHECKS: dict[str, Check] = {**tokenizer.CHECKS, **model.CHECKS, **training.CHECKS, **decoding.CHECKS}
