"""Shapes by ratios: the number of parameters holds, the ratios come near what was asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.lm.accounting import transformer
from stages.lm.errors import UserError
from stages.lm.models.settings import TransformerSettings
from stages.lm.models.shape import Shape, resolve
from stages.lm.settings import parse


def test_the_default_ratios_of_a_known_size() -> None:
    """12 layers of 12 d_model^2 with d_model 768: GPT-2 small's matrices."""
    shape = Shape(parameters=12 * 12 * 768**2, aspect=64, d_head=64)
    assert resolve(shape, "gelu") == {"layers": 12, "heads": 12, "d_head": 64, "d_model": 768, "d_ff": 3072}
    assert resolve(shape, "swiglu")["d_ff"] == 2048


@given(
    parameters=st.integers(10**6, 10**9),
    aspect=st.floats(8, 256),
    ff_ratio=st.floats(1, 8),
    head_ratio=st.floats(0.5, 2),
    gated=st.booleans(),
)
def test_whatever_the_ratios_the_size_is_that_asked_for(
    parameters: int, aspect: float, ff_ratio: float, head_ratio: float, gated: bool
) -> None:
    shape = Shape(parameters=parameters, aspect=aspect, ff_ratio=ff_ratio, head_ratio=head_ratio, d_head=16)
    values = {"family": "transformer", "context_length": 8, "feed_forward": "swiglu" if gated else "relu"}
    model = TransformerSettings.model_validate({**values, "shape": shape.resolved()})
    counts = transformer.parameters(model, 100)
    step = model.layers * (3 if gated else 2) * model.d_model * 8  # the feed-forward width is a multiple of 8
    assert abs(counts["attention"] + counts["feed_forward"] - parameters) <= step / 2 + model.layers
    assert model.heads * 16 / model.d_model == pytest.approx(head_ratio, abs=8.1 / model.d_model)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 2}, "model: shape stands for heads; leave out the one or the other"),
        ({"shape": {"parameters": 800, "d_head": 64}}, "model: shape: 1 heads of 64 in each of 1 layers leave no parameters"),
        ({"shape": {"aspect": 8}}, "model: shape.parameters: this key is required"),
    ],
)
def test_what_does_not_fit_is_refused_with_one_line(changes: dict[str, object], message: str) -> None:
    values = {"family": "transformer", "context_length": 8, "shape": {"parameters": 100_000}} | changes
    with pytest.raises(UserError, match=message):
        parse(TransformerSettings, values, "model")


def test_a_resolved_shape_is_read_again_as_numbers() -> None:
    values = {"family": "transformer", "context_length": 8, "shape": {"parameters": 100_000}}
    model = parse(TransformerSettings, values, "model")
    assert parse(TransformerSettings, model.resolved(), "model") == model
