"""Batches: what random ones hold, and that computed ones visit everything once."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.lm.errors import UserError
from stages.lm.tokens import TokenArray
from stages.lm.training.batches import WindowSampler, get_batch, permute, validation_set


def test_random_batches_are_shifted_by_one_and_reach_every_start(tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", np.arange(100, 120, dtype=np.uint16))
    ids = np.load(tmp_path / "ids.npy", mmap_mode="r")
    x, y = get_batch(ids, 2000, 7, "cpu", torch.Generator().manual_seed(0))
    assert x.shape == y.shape == (2000, 7)
    assert x.dtype == torch.int64
    assert torch.equal(x + 1, y)
    starts, counts = torch.unique(x[:, 0], return_counts=True)
    assert starts.tolist() == list(range(100, 113))  # the last window is ids 12 .. 19
    assert counts.min() > 2000 / 13 / 2


@given(st.integers(1, 5000), st.integers(0, 2**64 - 1))
def test_permute_is_a_permutation(size: int, key: int) -> None:
    image = permute(np.arange(size), size, np.uint64(key))
    assert sorted(image.tolist()) == list(range(size))


def test_permutations_look_random() -> None:
    """Over many keys every place is equally likely for the first element, and neighbours do not stay together."""
    size = 20
    images = np.stack([permute(np.arange(size), size, np.uint64(key)) for key in range(4000)])
    counts = np.bincount(images[:, 0], minlength=size)
    chi_squared = ((counts - 200) ** 2 / 200).sum()
    assert chi_squared < 43.8  # the 0.1 % point for 19 degrees of freedom
    together = (np.abs(np.diff(images, axis=1)) == 1).mean()
    assert together == pytest.approx(2 / size, abs=0.01)


@given(st.integers(2, 9), st.integers(1, 7), st.integers(2, 300), st.integers(0, 1000))
def test_an_epoch_reads_every_window_once(context: int, batch: int, extra: int, seed: int) -> None:
    ids = np.arange(context + extra)
    sampler = WindowSampler(ids, context, batch, seed)
    steps = -(-3 * sampler.windows // batch)
    starts = np.concatenate([sampler.starts(step) for step in range(steps)])
    for epoch in range(3):
        own = np.sort(starts[epoch * sampler.windows : (epoch + 1) * sampler.windows])
        assert (np.diff(own) == context).all()  # each prediction target once: windows overlap in one id
        assert own[0] >= 0
        assert own[-1] + context + 1 <= len(ids)
        assert len(ids) - len(own) * context <= 2 * context  # all but the ends of the stream


def test_a_batch_is_a_pure_function_of_seed_and_step() -> None:
    ids = np.arange(10_000)
    first, second = WindowSampler(ids, 16, 8, seed=3), WindowSampler(ids, 16, 8, seed=3)
    for step in (0, 500, 7):
        batch = first.batch(step)
        assert torch.equal(batch, second.batch(step))
        assert torch.equal(batch, batch[:, :1] + torch.arange(17))
    assert not torch.equal(first.batch(1), first.batch(2))
    assert not torch.equal(first.batch(1), WindowSampler(ids, 16, 8, seed=4).batch(1))


def test_epochs_differ_in_order_and_offset() -> None:
    sampler = WindowSampler(np.arange(1000), 10, 99, seed=0)
    assert sampler.windows == 99
    epochs = [sampler.starts(step) for step in range(20)]
    assert len({tuple(starts) for starts in epochs}) == 20
    assert len({int(starts.min()) for starts in epochs}) > 5


def test_a_split_shorter_than_the_context_is_refused() -> None:
    with pytest.raises(UserError, match=r"context_length is 10, but the train split has only 10 tokens .* at most 9"):
        WindowSampler(np.arange(10), 10, 1, 0)
    assert WindowSampler(np.arange(11), 10, 1, 0).batch(5).tolist() == [list(range(11))]


def one_document(length: int) -> TokenArray:
    return TokenArray(np.arange(length), np.array([0, length]), np.array([length]))


def test_validation_windows_are_spread_evenly_without_overlap() -> None:
    def starts(length: int, windows: int) -> list[int]:
        return validation_set(one_document(length), 10, windows).ids[:, 0].tolist()

    assert starts(101, 3) == [0, 45, 90]
    assert starts(35, 64) == [0, 12, 24]


def test_validation_windows_keep_to_one_document_and_open_with_it_where_it_is_near() -> None:
    """Documents start at 0, 40 and 52; the id before a document is the end-of-text id that it is predicted from."""
    tokens = TokenArray(np.arange(101), np.array([0, 40, 52, 101]), np.zeros(3))
    short = validation_set(tokens, 10, 3)
    assert short.ids[:, 0].tolist() == [0, 39, 90]  # 45 is 6 after 39; 90 is 39 after 51
    assert short.counted.sum(dim=1).tolist() == [10, 10, 10]
    long = validation_set(tokens, 50, 2)
    assert long.ids[:, 0].tolist() == [0, 39]  # 50 is 11 after 39
    assert long.ids[:, 1:][long.counted].tolist() == [*range(1, 40), *range(40, 52)]
