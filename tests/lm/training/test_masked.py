"""How tokens are hidden from BERT: by counting over many draws, and by words."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from stages.lm.errors import UserError
from stages.lm.models.bert.model import IGNORED, mask_id
from stages.lm.models.bert.settings import BertSettings
from stages.lm.tokens import TokenArray
from stages.lm.training.masked import MaskedData, Masking
from stages.lm.training.settings import TrainingSettings

VOCAB, END, MASK = 50, 0, 50
SETTINGS: dict[str, Any] = {"family": "bert", "layers": 1, "heads": 1, "d_model": 4, "context_length": 16}


def many_ids() -> NDArray[np.int64]:
    return np.random.default_rng(0).integers(VOCAB, size=(400, 500))


def within(found: float, probability: float, draws: int) -> bool:
    """Whether a share of so many draws is as its probability says: within five standard deviations."""
    return abs(found - probability) < 5 * (probability * (1 - probability) / draws) ** 0.5


def test_of_fifteen_per_cent_eight_tenths_are_hidden_one_is_replaced_one_stays() -> None:
    ids = many_ids()
    seen, targets = Masking(0.15, VOCAB, END)(ids, np.uint64(7))
    chosen, text = targets != IGNORED, ids != END
    assert np.array_equal(targets[chosen], ids[chosen])
    assert np.array_equal(seen[~chosen], ids[~chosen])
    assert not chosen[~text].any()
    count = int(chosen.sum())
    assert within(count / text.sum(), 0.15, int(text.sum()))
    hidden, kept = (seen == MASK)[chosen], (seen == ids)[chosen]
    assert within(hidden.mean(), 0.8, count)
    assert within(kept.mean(), 0.1 + 0.1 / VOCAB, count)  # a random token may be the same one
    replaced = seen[chosen][~hidden & ~kept]
    assert within(len(replaced) / count, 0.1 * (1 - 1 / VOCAB), count)
    assert set(replaced) == set(range(VOCAB))


def test_every_window_has_something_to_predict() -> None:
    _, targets = Masking(0.01, VOCAB, END)(np.random.default_rng(0).integers(1, VOCAB, size=(100, 4)), np.uint64(1))
    assert ((targets != IGNORED).sum(axis=1) >= 1).all()


def test_words_are_chosen_whole() -> None:
    """Tokens from 25 on begin a word, as does the first of a text."""
    ids = many_ids()
    _, targets = Masking(0.15, VOCAB, END, np.arange(VOCAB) >= 25)(ids, np.uint64(3))
    chosen = targets != IGNORED
    words = 0
    for row, marks in zip(ids, chosen, strict=True):
        begins = (row >= 25) | np.concatenate(([True], row[:-1] == END))
        for word in np.split(np.arange(len(row)), np.flatnonzero(begins)[1:]):
            text = word[row[word] != END]
            assert marks[text].all() or not marks[text].any()
            words += 1
    assert within(chosen.sum() / (ids != END).sum(), 0.15, words)


def documents(lengths: list[int]) -> TokenArray:
    rng = np.random.default_rng(0)
    ids = np.concatenate([[*rng.integers(1, VOCAB, size=length - 1), END] for length in lengths]).astype(np.uint16)
    return TokenArray(ids, np.cumsum([0, *lengths]), np.array(lengths))


def data(folder: Path, **training: object) -> MaskedData:
    tokens = documents([30, 7, 20, 40, 12] * 4)
    settings = TrainingSettings.model_validate({"batch_size": 3, "validation_windows": 5, **training})
    return MaskedData({"train": tokens, "valid": tokens}, folder, VOCAB, END, BertSettings(**SETTINGS), settings)


def test_a_batch_is_a_function_of_seed_and_step(tmp_path: Path) -> None:
    first, second, other = data(tmp_path), data(tmp_path), data(tmp_path, seed=1)
    for step in (0, 9, 300):
        batch = first.batch(step)
        assert all(torch.equal(a, b) for a, b in zip(batch.tensors, second.batch(step).tensors, strict=True))
        assert not torch.equal(batch.tensors[1], other.batch(step).tensors[1])
        assert batch.predictions == int((batch.tensors[1] != IGNORED).sum())
        assert batch.tokens == first.tokens_per_step == 48
        ids = torch.where(batch.tensors[1] == IGNORED, batch.tensors[0], batch.tensors[1]).numpy()
        for row, start in zip(ids, first.starts(step), strict=True):
            assert np.array_equal(row, first.train.ids[start : start + 16])
    repeats = [[batch.tensors[0] for batch in first.validation()] for _ in range(2)]
    assert sum(map(len, repeats[0])) == 5
    assert all(torch.equal(a, b) for a, b in zip(*repeats, strict=True))


def test_documents_are_told_apart(tmp_path: Path) -> None:
    found = data(tmp_path, batches="documents")
    seen, _, numbers = found.batch(2).tensors
    starts = found.starts(2)
    for row in range(len(seen)):
        for place in range(16):  # an end of text belongs to the text that it opens
            assert numbers[row, place] == np.searchsorted(found.train.offsets, starts[row] + place + 1, side="right") - 1


def test_whole_words_need_a_token_artifact_that_knows_them(tmp_path: Path) -> None:
    tokens = documents([30, 30])
    model, splits = BertSettings(**SETTINGS, whole_words=True), {"train": tokens, "valid": tokens}
    with pytest.raises(UserError, match=r"words\.npy: cannot be read .*; run the stage tokenize again"):
        MaskedData(splits, tmp_path, VOCAB, END, model, TrainingSettings())
    np.save(tmp_path / "words.npy", np.arange(VOCAB) >= 25)
    assert MaskedData(splits, tmp_path, VOCAB, END, model, TrainingSettings()).masking.begins_word is not None


def test_the_mask_is_no_token_of_the_vocabulary() -> None:
    assert mask_id(VOCAB) == MASK == VOCAB
