"""Linear attention: its three forms agree, with the definition worked by hand."""

import pytest
import torch
from torch import Tensor

from stages.lm.models.attention.linear import Features, chunked, empty_state, feature_map, parallel, recurrent
from stages.lm.models.attention.linear_multi_head import LinearAttention
from stages.lm.models.attention.pattern import Pattern, Segments
from stages.lm.models.block_settings import BlockSettings
from stages.lm.models.kernels import FAST, REFERENCE
from stages.lm.models.positions import RotaryEmbedding

LENGTH, D = 23, 4


def inputs(turned: bool) -> tuple[Features, Features, Tensor]:
    """Positive features; where they are turned, by any numbers at all."""
    generator = torch.Generator().manual_seed(0)
    query, key, value, *other = (torch.randn(2, 3, LENGTH, D, dtype=torch.float64, generator=generator) for _ in range(5))
    query, key = feature_map(query), feature_map(key)
    if turned:
        return Features(other[0], query), Features(other[1], key), value
    return Features(query, query), Features(key, key), value


def test_the_feature_map_by_hand() -> None:
    x = torch.tensor([-2.0, 0.0, 3.0])
    torch.testing.assert_close(feature_map(x), torch.tensor([0.1353353, 1.0, 4.0]))


def test_the_weights_by_hand() -> None:
    query, key, value = (torch.tensor(x) for x in ([[0.0], [1.0]], [[0.0], [2.0]], [[10.0], [20.0]]))
    query, key = feature_map(query), feature_map(key)  # 1, 2 and 1, 3
    found = parallel(Features(query, query), Features(key, key), value, Pattern())
    torch.testing.assert_close(found, torch.tensor([[10.0], [(2 * 10 + 6 * 20) / 8]]))


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("chunk", [1, 4, 23, 64])
def test_parallel_chunked_and_recurrent_forms_agree(turned: bool, chunk: int) -> None:
    query, key, value = inputs(turned)
    expected = parallel(query, key, value, Pattern())
    torch.testing.assert_close(chunked(query, key, value, chunk=chunk), expected, rtol=1e-10, atol=1e-10)
    state = empty_state(2, (3,), D, value)
    torch.testing.assert_close(recurrent(query, key, value, state), expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(state.total.squeeze(-2), key.plain.sum(dim=-2))


def test_a_state_goes_on_where_it_was_left() -> None:
    query, key, value = inputs(True)
    state, parts = empty_state(2, (3,), D, value), []
    for form, start, stop in ((chunked, 0, 9), (recurrent, 9, 12), (chunked, 12, 23)):
        parts.append(form(query.part(start, stop), key.part(start, stop), value[..., start:stop, :], state=state))
    torch.testing.assert_close(torch.cat(parts, dim=-2), parallel(query, key, value, Pattern()), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("chunk", [1, 4, 64])
def test_documents_stay_apart(chunk: int) -> None:
    query, key, value = inputs(True)
    segments = Segments.of(torch.tensor([[0] * 3 + [1] * 14 + [2] * 6, [7] * 11 + [8] + [9] * 11]))
    expected = parallel(query, key, value, Pattern(), segments)
    torch.testing.assert_close(chunked(query, key, value, segments, chunk=chunk), expected, rtol=1e-10, atol=1e-10)
    alone = parallel(query.part(3, 17), key.part(3, 17), value[..., 3:17, :], Pattern())
    torch.testing.assert_close(expected[0, :, 3:17], alone[0])


@pytest.mark.parametrize("rope", [False, True])
@pytest.mark.parametrize("apart", [False, True])
def test_heads_share_keys_and_kernels_agree_in_gradients_too(rope: bool, apart: bool) -> None:
    positions = RotaryEmbedding(100.0, 4, 100) if rope else None
    options = BlockSettings(attention="linear", kv_heads=2)
    torch.manual_seed(0)
    one, other = (LinearAttention(16, 4, positions, kernels=kernels, options=options).double() for kernels in (REFERENCE, FAST))
    other.load_state_dict(one.state_dict())
    x = torch.randn(2, 100, 16, dtype=torch.float64)
    segments = Segments.of(torch.arange(100).expand(2, 100) // 30) if apart else None
    expected, found = one(x, segments=segments), other(x, segments=segments)
    torch.testing.assert_close(found, expected)
    right, tried = (torch.autograd.grad(y.square().sum(), module.parameters()) for y, module in ((expected, one), (found, other)))
    torch.testing.assert_close(tried, right)


def test_without_causality_all_is_seen() -> None:
    query, key, value = inputs(False)
    weights = query.plain @ key.plain.mT
    expected = weights / weights.sum(dim=-1, keepdim=True) @ value
    torch.testing.assert_close(parallel(query, key, value, Pattern(causal=False)), expected)
