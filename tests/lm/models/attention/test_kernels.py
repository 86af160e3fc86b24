"""The kernels of attention against the definition, forward and backward."""

import pytest
import torch
from torch import Tensor

from stages.lm.errors import UserError
from stages.lm.models.attention import flash, flex, fused, reference, sliding
from stages.lm.models.attention.pattern import Pattern, Segments, mask

KERNELS = {
    "auto": fused.attention,
    "sdpa": fused.sdpa,
    "plain": fused.plain,
    "flash": flash.attention,
}
PATTERNS = {
    "causal": Pattern(),
    "bidirectional": Pattern(causal=False),
    "window": Pattern(window=20),
    "bidirectional window": Pattern(causal=False, window=3),
    "strided": Pattern(stride=4),
}
LENGTHS = [(6, 6), (1, 6), (3, 6), (70, 70), (2, 70), (530, 530), (3, 530), (1, 530)]


def inputs(queries: int, keys: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(queries + keys)
    return [torch.randn(2, 2, n, 8, dtype=torch.float64, generator=generator, requires_grad=True) for n in (queries, keys, keys)]


def documents(queries: int, keys: int) -> Segments:
    """Two rows that change their document at different places."""
    key = torch.stack((torch.arange(keys) * 3 // keys, torch.arange(keys) * 2 // keys))
    return Segments(key[:, keys - queries :], key)


def test_masks_by_hand() -> None:
    assert mask(Pattern(), 2, 3).tolist() == [[True, True, False], [True, True, True]]  # type: ignore[union-attr]
    assert mask(Pattern(causal=False), 2, 3) is None
    seen = mask(Pattern(), 3, 3, Segments.of(torch.tensor([[5, 5, 6]])))
    assert seen is not None
    assert seen.tolist() == [[[[True, False, False], [True, True, False], [False, False, True]]]]


@pytest.mark.parametrize(
    ("pattern", "rows"),
    [
        (Pattern(window=2), ["x....", "xx...", ".xx..", "..xx.", "...xx"]),
        (Pattern(stride=2), ["x....", "xx...", "xxx..", ".xxx.", "x.xxx"]),  # itself, one before, and even distances
        (Pattern(causal=False, window=2), ["xx...", "xxx..", ".xxx.", "..xxx", "...xx"]),
    ],
    ids=["sliding", "strided", "both sides"],
)
def test_sparse_patterns_by_hand(pattern: Pattern, rows: list[str]) -> None:
    position = torch.arange(5)
    assert ["".join(".x"[seen] for seen in row) for row in pattern.visible(position[:, None], position).int().tolist()] == rows


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
def test_no_tile_that_holds_a_visible_pair_is_left_out(pattern: Pattern) -> None:
    for queries in (range(16), range(30, 31), range(40, 70)):
        for keys in (range(16), range(16, 31), range(31, 41), range(69, 90)):
            pairs = pattern.visible(torch.tensor(queries)[:, None], torch.tensor(keys))
            assert pattern.reaches(queries, keys) or not pairs.any()
    assert not Pattern().reaches(range(16), range(16, 32))
    assert not Pattern(window=4).reaches(range(20, 32), range(16))


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("apart", [False, True], ids=["one text", "documents"])
def test_every_kernel_agrees_with_the_definition(kernel: str, pattern: str, lengths: tuple[int, int], apart: bool) -> None:
    tensors, segments = inputs(*lengths), documents(*lengths) if apart else None
    expected = reference.attention(*tensors, PATTERNS[pattern], segments)
    found = KERNELS[kernel](*tensors, PATTERNS[pattern], segments)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    weight = torch.randn_like(expected)
    right, tried = (torch.autograd.grad((result * weight).sum(), tensors) for result in (expected, found))
    torch.testing.assert_close(tried, right, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("window", "length"), [(20, 70), (1, 5), (7, 21), (64, 600)])
def test_a_window_is_computed_in_a_band(window: int, length: int) -> None:
    assert sliding.is_banded(Pattern(window=window), length, length)
    tensors = inputs(length, length)
    expected = reference.attention(*tensors, Pattern(window=window))
    torch.testing.assert_close(sliding.banded(*tensors, Pattern(window=window)), expected, rtol=1e-12, atol=1e-12)


def test_flash_attention_sums_half_precision_in_float32_under_autocast_too() -> None:
    tensors = [x.detach().to(torch.bfloat16) for x in inputs(70, 70)]
    expected = reference.attention(*(x.float() for x in tensors), Pattern()).to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        found = flash.attention(*tensors, Pattern())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-3)  # one rounding to bfloat16: 2^-8


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("lengths", [(70, 70), (2, 70), (33, 70)])
def test_flash_attention_does_not_depend_on_its_tiles(pattern: str, lengths: tuple[int, int]) -> None:
    tensors, segments = inputs(*lengths), documents(*lengths)
    expected = reference.attention(*tensors, PATTERNS[pattern], segments)
    for tile in (16, 70):
        found = flash.attention(*tensors, PATTERNS[pattern], segments, tile)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_gradients_of_flash_attention_are_the_differences_of_its_values() -> None:
    tensors = [x.detach().requires_grad_() for x in inputs(3, 5)]
    assert torch.autograd.gradcheck(lambda q, k, v: flash.attention(q, k, v, Pattern(window=4), tile=2), tensors)


@pytest.mark.parametrize("lengths", [(3, 140), (140, 140)])
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("apart", [False, True], ids=["one text", "documents"])
def test_flex_attention_agrees_with_the_definition(pattern: str, lengths: tuple[int, int], apart: bool) -> None:
    tensors, segments = [x.detach().float() for x in inputs(*lengths)], documents(*lengths) if apart else None
    expected = reference.attention(*tensors, PATTERNS[pattern], segments)
    torch.testing.assert_close(flex.attention(*tensors, PATTERNS[pattern], segments), expected)


def test_flex_attention_says_that_it_cannot_train_on_a_cpu() -> None:
    with pytest.raises(UserError, match="kernel: flex has no backward pass on a CPU"):
        flex.attention(*(x.float() for x in inputs(6, 6)), Pattern())
