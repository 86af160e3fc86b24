"""The shape of a transformer by its ratios, at a fixed number of parameters.

What is varied are width against depth, the feed-forward network against the residual stream, the heads against it, and the width
of a head; what is held is the size. `accounting.known_models` shows where known models stand.
"""

from pydantic import PositiveFloat, PositiveInt

from stages.lm.models.block_settings import GATED, FeedForwardKind
from stages.lm.settings import Settings

MULTIPLE = 8
"""Widths are multiples of it."""


class Shape(Settings):
    """Ratios that stand for `layers`, `heads`, `d_head`, `d_model` and `d_ff`."""

    parameters: PositiveInt
    """In the matrices of all blocks together, were no heads shared; `d_ff` takes up what rounding leaves of it."""
    aspect: PositiveFloat = 32.0
    """d_model / layers."""
    ff_ratio: PositiveFloat | None = None
    """d_ff / d_model; by default 8/3 where the network is gated, 4 where it is not."""
    head_ratio: PositiveFloat = 1.0
    """heads * d_head / d_model."""
    d_head: PositiveInt = 32
    """Width of a head."""


def resolve(shape: Shape, feed_forward: FeedForwardKind) -> dict[str, int]:
    """`layers`, `heads`, `d_head`, `d_model` and `d_ff`. Raises ValueError where the heads leave nothing for the rest.

    A block has c d_model^2 parameters, c = 4 head_ratio + (3 or 2) ff_ratio, so that the model has c aspect^2 layers^3.
    """
    matrices = 3 if feed_forward in GATED else 2
    ratio = shape.ff_ratio or 8 / matrices
    square = 4 * shape.head_ratio + matrices * ratio
    layers = max(1, round((shape.parameters / (square * shape.aspect**2)) ** (1 / 3)))
    block = shape.parameters / layers
    d_model = max(1, round((block / square) ** 0.5 / MULTIPLE)) * MULTIPLE
    heads = max(1, round(shape.head_ratio * d_model / shape.d_head))
    d_ff = round((block - 4 * d_model * heads * shape.d_head) / (matrices * d_model) / MULTIPLE) * MULTIPLE
    if d_ff < MULTIPLE:
        raise ValueError(
            f"shape: {heads} heads of {shape.d_head} in each of {layers} layers leave no parameters for the feed-forward "
            "network; give more parameters, or a smaller d_head or head_ratio"
        )
    return {"layers": layers, "heads": heads, "d_head": shape.d_head, "d_model": d_model, "d_ff": d_ff}
