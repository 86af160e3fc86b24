"""All checks by name."""

from stages.lm.grading.checks.attention import CHECKS as ATTENTION
from stages.lm.grading.checks.batches import CHECKS as BATCHES
from stages.lm.grading.checks.bpe_training import CHECKS as BPE_TRAINING
from stages.lm.grading.checks.check import Check
from stages.lm.grading.checks.checkpoints import CHECKS as CHECKPOINTS
from stages.lm.grading.checks.decoding import CHECKS as DECODING
from stages.lm.grading.checks.encoding import CHECKS as ENCODING
from stages.lm.grading.checks.layers import CHECKS as LAYERS
from stages.lm.grading.checks.model import CHECKS as MODEL
from stages.lm.grading.checks.training import CHECKS as TRAINING
from stages.lm.grading.checks.variant import CHECKS as VARIANT

CHECKS: dict[str, Check] = {
    **BPE_TRAINING,
    **ENCODING,
    **LAYERS,
    **ATTENTION,
    **MODEL,
    **TRAINING,
    **BATCHES,
    **CHECKPOINTS,
    **DECODING,
    **VARIANT,
}
