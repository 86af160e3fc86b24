"""Batches: what random ones hold, and that computed ones visit everything once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.lm.errors import UserError
from stages.lm.models.settings import TransformerSettings
from stages.lm.models.transformer import TransformerLM
from stages.lm.tokens import TokenArray
from stages.lm.training.batches import get_batch
from stages.lm.training.data import Data
from stages.lm.training.permutation import permute
from stages.lm.training.settings import TrainingSettings
from stages.lm.training.streams import StreamData
from stages.lm.training.windows import EpochStarts, RandomStarts, WindowData, documents_of, validation_batches


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


DOCUMENTS = TokenArray(np.arange(12), np.array([0, 4, 6, 12]), np.zeros(3))


def one_document(ids: np.ndarray) -> TokenArray:
    return TokenArray(ids, np.array([0, len(ids)]), np.array([len(ids)]))


def windows(ids: np.ndarray, context: int, **settings: Any) -> WindowData:
    splits = {"train": one_document(ids), "valid": one_document(np.arange(100))}
    return WindowData(splits, context, TrainingSettings(**settings))


def streams(ids: np.ndarray, context: int, **settings: Any) -> StreamData:
    splits = {"train": one_document(ids), "valid": one_document(np.arange(100))}
    return StreamData(splits, context, TrainingSettings(**settings))


@given(st.integers(2, 9), st.integers(1, 7), st.integers(2, 300), st.integers(0, 1000))
def test_an_epoch_reads_every_window_once(context: int, batch: int, extra: int, seed: int) -> None:
    length = context + extra
    starts_of = EpochStarts(length, context, batch, seed)
    steps = -(-3 * starts_of.windows // batch)
    starts = np.concatenate([starts_of(step) for step in range(steps)])
    for epoch in range(3):
        own = np.sort(starts[epoch * starts_of.windows : (epoch + 1) * starts_of.windows])
        assert (np.diff(own) == context).all()  # each prediction target once: windows overlap in one id
        assert own[0] >= 0
        assert own[-1] + context + 1 <= length
        assert length - len(own) * context <= 2 * context  # all but the ends of the stream


def test_random_starts_are_all_valid_ones_equally_often() -> None:
    """With 20 ids and 7 of context there are 20 - 7 valid starts, the last of them 12 (requirement R53)."""
    starts = np.concatenate([RandomStarts(20, 7, 100, seed=1)(step) for step in range(130)])
    counts = np.bincount(starts)
    assert len(counts) == 13
    assert ((counts - 1000) ** 2 / 1000).sum() < 32.9  # chi squared: the 0.1 % point for 12 degrees of freedom


@pytest.mark.parametrize("make", [windows, streams])
@pytest.mark.parametrize("batches", ["epochs", "random"])
def test_a_batch_is_a_pure_function_of_seed_and_step(make: Callable[..., Data], batches: str) -> None:
    def data(seed: int) -> Data:
        return make(np.arange(10_000), 16, batch_size=8, seed=seed, batches=batches)

    first, second = data(3), data(3)
    for step in (0, 500, 7):
        batch = first.batch(step)
        (ids,) = batch.tensors
        assert torch.equal(ids, second.batch(step).tensors[0])
        assert torch.equal(ids, ids[:, :1] + torch.arange(17))
        assert batch.predictions == first.tokens_per_step == ids[:, 1:].numel()
    assert not torch.equal(first.batch(1).tensors[0], first.batch(2).tensors[0])
    assert not torch.equal(first.batch(1).tensors[0], data(4).batch(1).tensors[0])


def test_epochs_differ_in_order_and_offset() -> None:
    starts_of = EpochStarts(1000, 10, 99, seed=0)
    assert starts_of.windows == 99
    epochs = [starts_of(step) for step in range(20)]
    assert len({tuple(starts) for starts in epochs}) == 20
    assert len({int(starts.min()) for starts in epochs}) > 5


def test_ids_on_disk_are_small_and_those_of_a_batch_are_what_torch_wants() -> None:
    data = windows(np.arange(60_000, 60_100, dtype=np.uint16), 10)
    (ids,) = data.batch(0).tensors
    assert ids.dtype == torch.int64
    assert 60_000 <= ids.min() <= ids.max() < 60_100  # as int16 they would be negative


def test_a_split_shorter_than_the_context_is_refused() -> None:
    with pytest.raises(UserError, match=r"context_length is 10, but the train split has only 10 tokens .* at most 9"):
        windows(np.arange(10), 10)
    (ids,) = windows(np.arange(11), 10, batch_size=1).batch(5).tensors
    assert ids.tolist() == [list(range(11))]


@given(st.integers(1, 9), st.integers(1, 7), st.integers(0, 300), st.integers(0, 1000))
def test_streams_go_on_where_they_ended_and_read_the_text_once_an_epoch(context: int, size: int, extra: int, seed: int) -> None:
    data = streams(np.arange(context * size + 1 + extra), context, batch_size=size, seed=seed)
    for epoch in range(2):
        batches = [data.batch(epoch * data.steps_per_epoch + step) for step in range(data.steps_per_epoch)]
        assert [batch.fresh for batch in batches] == [True] + [False] * (len(batches) - 1)
        targets = torch.cat([batch.tensors[0][:, 1:] for batch in batches], dim=1)  # (batch_size, steps_per_epoch * context)
        assert torch.equal(targets, targets[:, :1] + torch.arange(targets.shape[1]))
        assert len(targets.unique()) == targets.numel()
        assert 1 <= targets.min() <= targets.max() <= context * size + extra
        left_out = context * size + extra - targets.numel()
        assert left_out < size * context + size


def test_streams_longer_than_the_text_are_refused() -> None:
    with pytest.raises(UserError, match=r"batch_size 3 times model.context_length 4 is more than the train split's 12 tokens"):
        streams(np.arange(12), 4, batch_size=3)


def test_packed_documents_are_known_by_what_each_id_predicts() -> None:
    """Documents start at 0, 4 and 6: the end-of-text id at 3 opens the second, that at 5 the third."""
    found = documents_of(DOCUMENTS, np.array([0, 2]), 6)
    assert found.tolist() == [[0, 0, 0, 1, 1, 2], [0, 1, 1, 2, 2, 2]]
    splits = {"train": DOCUMENTS, "valid": DOCUMENTS}
    batch = WindowData(splits, 5, TrainingSettings(batch_size=3, batches="documents")).batch(0)
    ids, marks = batch.tensors
    assert ids.shape == marks.shape == (3, 6)
    assert torch.equal(marks, documents_of(DOCUMENTS, ids[:, 0].numpy(), 6))


def test_the_loss_of_a_packed_document_is_that_of_the_document_alone() -> None:
    settings = TransformerSettings(family="transformer", layers=2, heads=2, d_model=16, context_length=11)
    model = TransformerLM.from_settings(settings, 12).double()
    ids, marks = torch.arange(12)[None], documents_of(DOCUMENTS, np.array([0]), 12)
    alone = [ids[:, max(0, start - 1) : stop] for start, stop in ((0, 4), (4, 6), (6, 12))]  # opened by the id before
    expected = sum(model.total_loss(document) for document in alone)
    torch.testing.assert_close(model.total_loss(ids, marks), expected)
    assert not torch.isclose(model.total_loss(ids), model.total_loss(ids, marks))


def test_validation_windows_are_spread_evenly_without_overlap() -> None:
    def starts(length: int, windows: int) -> list[int]:
        (batch,) = validation_batches(one_document(np.arange(length)), 10, windows, 100)
        return batch.tensors[0][:, 0].tolist()

    assert starts(101, 3) == [0, 45, 90]
    assert starts(35, 64) == [0, 12, 24]


def test_validation_windows_keep_to_one_document_and_open_with_it_where_it_is_near() -> None:
    """Documents start at 0, 40 and 52; the id before a document is the end-of-text id that it is predicted from."""
    tokens = TokenArray(np.arange(101), np.array([0, 40, 52, 101]), np.zeros(3))
    short = validation_batches(tokens, 10, 3, batch_size=2)
    assert [batch.tensors[0][:, 0].tolist() for batch in short] == [[0, 39], [90]]  # 45 is 6 after 39; 90 is 39 after 51
    assert [batch.predictions for batch in short] == [20, 10]
    (long,) = validation_batches(tokens, 50, 2, batch_size=2)
    assert long.counted is not None
    assert long.tensors[0][:, 0].tolist() == [0, 39]  # 50 is 11 after 39
    assert long.tensors[0][:, 1:][long.counted].tolist() == [*range(1, 40), *range(40, 52)]
    assert long.predictions == 51
