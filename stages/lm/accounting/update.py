"""Operations of an optimizer's step, from the shapes of the parameters that it changes.

AdamW: Loshchilov and Hutter 2019, algorithm 2, line by line: 3 for the mean of the gradient, 4 for that of its square, 5 for the
step and 2 for the decay make 14 for each parameter. Muon: Jordan et al. 2024, as `training/muon.py` computes it.
"""

from typing import Any, cast

import torch
from torch import nn

from stages.lm.models import registry
from stages.lm.models.settings import ModelSettings
from stages.lm.training.muon import ROUNDS
from stages.lm.training.optimizer import parameter_groups
from stages.lm.training.settings import TrainingSettings

ADAMW = 14
CLIPPING = 3
"""Of each gradient: its square, the sum of these, and the product with the factor where the norm is too large."""
MOMENTUM = 3 + 3 + 2 + 1 + 3
"""Of each number of Muon's matrices, outside the iteration: two interpolations, the norm, the division by it, decay and step."""


def update_flops(settings: ModelSettings, training: TrainingSettings, vocab_size: int) -> dict[str, int]:
    """Of one step by kind of work, and their `total`; nothing for families that count."""
    if settings.trained_by == "counting":
        return {"total": 0}
    with torch.device("meta"):  # shapes without numbers
        groups = parameter_groups(cast(nn.Module, registry.build(settings, vocab_size, training.seed)), 0.0)
    shapes = [(tuple(one.shape), group) for group in groups for one in cast(Any, group["params"])]
    orthogonal = [shape for shape, group in shapes if training.optimizer == "muon" and group.get("orthogonal")]
    inner = sum(rows * columns for rows, columns in orthogonal)
    parameters = sum(torch.Size(shape).numel() for shape, _ in shapes)
    parts = {"clipping": CLIPPING * parameters, "adamw": ADAMW * (parameters - inner)}
    if orthogonal:
        iterations = [newton_schulz(rows, columns) for rows, columns in orthogonal]
        parts |= {
            "newton_schulz": sum(products for products, _ in iterations),
            "muon": MOMENTUM * inner + sum(rest for _, rest in iterations),
        }
    return parts | {"total": sum(parts.values())}


def newton_schulz(rows: int, columns: int) -> tuple[int, int]:
    """Of making a matrix orthogonal: operations of the matrix products, and of what stands between them.

    Each round squares X (r, c) to (r, r), multiplies the square with itself, and multiplies both, weighted, with X; r <= c.
    """
    r, c = sorted((rows, columns))
    return ROUNDS * (2 * 2 * r * r * c + 2 * r**3), ROUNDS * (3 * r * r + 2 * r * c)
